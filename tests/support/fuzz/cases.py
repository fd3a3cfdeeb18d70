"""One case of the fuzzer: make an input, damage it, and see that it is read or refused, and read the same twice.

Run as a program this is the worker: it takes cases on stdin, one JSON object a line, and answers each with a
line on the file descriptor that its first argument names. Decoders are native code: when one crashes, only the worker
dies with it.
"""

from __future__ import annotations

import functools
import io
import json
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.config.raw import RawSettings
from pipeline.config.reading import config_keys, parse_config, read_yaml, set_value
from pipeline.config.settings import Config, InputSettings
from pipeline.errors import InputError, TemperaError
from pipeline.media.reader.photo_facts import photo_facts
from pipeline.media.reader.source import probe, read_frames
from tests.support.cameras import BT2020, PQ, woven, write_deep, write_interlaced, write_rgba, write_streams
from tests.support.clips import moving_square, texture, write_video
from tests.support.dng import write_dng
from tests.support.profiles import ADOBE_RGB, color_profile, curve

ROOT = Path(__file__).resolve().parents[3]
ADDRESS_SPACE = 12 << 30
MEMORY_LIMIT = 3 << 30
"""Bytes that reading one hostile input may take at most."""


class BrokenPromiseError(Exception):
    """Reading gives other frames than `probe` stated."""


class UnsteadyError(Exception):
    """A damaged video gives other pixels when reading starts elsewhere.

    A decoder that lacks reference frames, and does not report it, may show uninitialized memory. For undamaged files
    and for damage that is reported the tests of the reader demand the same pixels.
    """


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage as disks, cables and attackers do it: bits, runs, extreme numbers, missing and repeated parts."""
    content = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 4, 16))):
        if not content:
            break
        at = rng.randrange(len(content)) if rng.random() < 0.5 else min(rng.randrange(200), len(content) - 1)
        length = min(rng.choice((1, 2, 4, 16, 100, 1000)), len(content) - at)
        match rng.randrange(8):
            case 0 | 1:
                content[at] ^= 1 << rng.randrange(8)
            case 2:
                content[at : at + length] = rng.randbytes(length)
            case 3:
                content[at : at + length] = bytes(length)
            case 4:
                extreme = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0xEA60, 0x7FFFFFFF, 0xFFFFFFFF))
                size = rng.choice((2, 4)) if extreme <= 0xFFFF else 4
                content[at : at + size] = extreme.to_bytes(size, rng.choice(("big", "little")))
            case 5:
                del content[at : at + length]
            case 6:
                content[at:at] = content[at : at + length]
            case _:
                content[at:at] = rng.randbytes(length)
    if rng.random() < 0.25:
        del content[rng.randrange(len(content) + 1) :]
    return bytes(content)


# Images


@functools.cache
def images() -> dict[str, bytes]:
    """Small valid images of every kind that is read, by suffix and variety."""
    rgb = Image.fromarray(texture((40, 24), 1))
    deep = Image.fromarray((np.arange(960, dtype=np.uint16) * 60).reshape(24, 40))
    frames = [Image.fromarray(frame) for frame in moving_square(5, size=(40, 24))]
    animated: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": 50}
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2024:05:04 10:00:00"
    wanted: list[tuple[str, Image.Image, str, dict[str, Any]]] = [
        ("baseline.jpg", rgb, "JPEG", {"exif": exif}),
        ("progressive.jpg", rgb, "JPEG", {"progressive": True}),
        ("cmyk.jpg", rgb.convert("CMYK"), "JPEG", {}),
        ("rgb.png", rgb, "PNG", {"icc_profile": b"no profile"}),
        ("palette.png", rgb.convert("P"), "PNG", {"transparency": 3}),
        ("alpha.png", rgb.convert("RGBA"), "PNG", {}),
        ("deep.png", deep, "PNG", {}),
        ("moving.png", frames[0], "PNG", animated),
        ("still.gif", rgb, "GIF", {}),
        ("moving.gif", frames[0], "GIF", animated),
        ("lossy.webp", rgb, "WEBP", {"exif": exif}),
        ("lossless.webp", rgb, "WEBP", {"lossless": True}),
        ("moving.webp", frames[0], "WEBP", animated),
        ("plain.tiff", rgb, "TIFF", {}),
        ("lzw.tiff", rgb, "TIFF", {"compression": "tiff_lzw"}),
        ("deflate.tiff", rgb, "TIFF", {"compression": "tiff_deflate"}),
        ("jpeg.tiff", rgb, "TIFF", {"compression": "jpeg"}),
        ("deep.tiff", deep, "TIFF", {}),
        ("float.tiff", Image.fromarray(np.linspace(0, 1, 960, dtype=np.float32).reshape(24, 40)), "TIFF", {}),
        ("rgb.bmp", rgb, "BMP", {}),
        ("rgb.avif", rgb, "AVIF", {}),
        ("moving.avif", frames[0], "AVIF", animated),
        ("rgb.ppm", rgb, "PPM", {}),
        ("rgb.jp2", rgb, "JPEG2000", {}),
    ]
    made = {}
    for name, image, kind, options in wanted:
        buffer = io.BytesIO()
        try:
            image.save(buffer, kind, **options)
        except (OSError, KeyError, ValueError):
            continue  # this Pillow was built without the codec
        made[name] = buffer.getvalue()
    return made | _deep_images()


def _deep_images() -> dict[str, bytes]:
    """Those of more than 8 bits, and raw files; only the kinds that can be written and read here."""
    deep = (texture((40, 24), 1).astype(np.uint16) << 8) + 77
    png = cv2.imencode(".png", deep)[1].tobytes()
    tiff = cv2.imencode(".tiff", deep)[1].tobytes()
    profile = zlib.compress(color_profile(ADOBE_RGB, curve(2.2)))
    chunk = b"iCCPTest\0\0" + profile
    named = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    made = {"deep_color.png": png, "deep_color.tiff": tiff, "wide.png": png[:33] + named + png[33:]}
    if find_spec("rawpy"):
        with tempfile.TemporaryDirectory() as folder:
            taken = datetime(2026, 5, 4, 10, 0, 0, 250_000)
            path = write_dng(Path(folder, "a.dng"), deep / 65535, orientation=6, taken=taken)
            made["raw.dng"] = path.read_bytes()
    if find_spec("pillow_heif"):
        import pillow_heif

        for name, depth, data in (("rgb.heic", "RGB", texture((64, 64), 1)), ("deep.heic", "RGB;16", deep)):
            buffer = io.BytesIO()
            try:
                pillow_heif.from_bytes(depth, data.shape[1::-1], data.tobytes()).save(buffer)
            except (RuntimeError, ValueError):
                continue  # a libheif without an encoder
            made[name] = buffer.getvalue()
    return made


def image(folder: Path, rng: random.Random) -> None:
    """A damaged image, maybe with the suffix of another kind."""
    name = rng.choice(list(images()))
    path = folder / (name if rng.random() < 0.8 else f"wrong{rng.choice(('.mp4', '.jpg', '.png', '', '.cr2'))}")
    path.write_bytes(mutate(images()[name], rng))
    read([path], rng)


# EXIF

_TIME_TAGS = (0x0132, 0x9003, 0x9004)
_EXIF_TAGS = (
    *(*_TIME_TAGS, 0x010F, 0x0110, 0x0112, 0x8825, 0xA005, 0x9011, 0x9290, 0x9291, 0x9292),
    *(0x829A, 0x829D, 0x8827, 0x8831, 0x8833, 0xA431, 0xC62F, 0x927C),
)
_TIME_TEXTS = (
    *(b"2024:05:04 10:00:00", b"2024:05:04 10:00:01.5+02:00", b"2199-12-31T23:59:59Z", b"0001:01:01 00:00:00"),
    *(b"9999:99:99 99:99:99", b""),
)
_EXIF_TEXTS = (b"Canon", b"Canon EOS 7D", b"+99:99", b"-12:00", b"500", b"\xff\xfe\0", b"\x1b[2J", b"x" * 30_000, b"")


def exif_block(rng: random.Random) -> bytes:
    """A block of EXIF whose form is right: any tags of any types, with counts, offsets and values from good to absurd.

    Values may lie outside or in a directory, and there may be more of them stated than there are.
    """
    order: Literal["little", "big"] = rng.choice(("little", "big"))
    block = bytearray(8)
    sub_directory = len(block)
    _add_directory(block, rng.sample(_EXIF_TAGS, k=rng.randint(1, 12)), order, rng)
    main_directory = len(block)
    _add_directory(block, rng.sample(_EXIF_TAGS, k=rng.randint(0, 8)), order, rng, sub_directory)
    start = rng.choice((*[main_directory] * 9, sub_directory, 0, 2**32 - 1))
    block[:8] = (b"II*\0" if order == "little" else b"MM\0*") + start.to_bytes(4, order)
    return bytes(block)


def _add_directory(
    block: bytearray, tags: Sequence[int], order: Literal["little", "big"], rng: random.Random, below: int = 0
) -> None:
    """Add a directory with these tags and their values to a block; `below` is where the one that it leads to begins."""
    values = bytearray()
    start = len(block) + 2 + 12 * (len(tags) + bool(below)) + 4
    block += (len(tags) + bool(below)).to_bytes(2, order)
    for tag in tags:
        kind = rng.choice((2, 2, 2, 2, 2, 5, 5, 3, 4, 7, 9, 10, 12, 99))
        if tag in _TIME_TAGS and rng.random() < 0.8:
            kind, data = 2, rng.choice(_TIME_TEXTS)
        else:
            data = rng.choice(_EXIF_TEXTS if kind in (2, 7) else (bytes(8), rng.randbytes(8), b"\xff" * 8))
        count, at = len(data) if kind in (2, 7) else 1, start + len(values)
        if rng.random() < 0.1:
            count = rng.choice((0, 2, 2**31, 2**32 - 1))
        if rng.random() < 0.1:
            at = rng.choice((0, 8, len(block), 2**32 - 1))
        values += data
        block += tag.to_bytes(2, order) + kind.to_bytes(2, order) + count.to_bytes(4, order) + at.to_bytes(4, order)
    if below:
        block += b"".join(n.to_bytes(size, order) for n, size in ((0x8769, 2), (4, 2), (1, 4), (below, 4)))
    block += rng.choice((0, 0, 0, 8, 2**32 - 1)).to_bytes(4, order) + values


def exif(folder: Path, rng: random.Random) -> None:
    """A few photos whose EXIF is absurd, or damaged too."""
    for number in range(rng.randint(1, 4)):
        block = exif_block(rng) if rng.random() < 0.7 else mutate(exif_block(rng), rng)
        kind, suffix = rng.choice((("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")))
        picture = Image.fromarray(texture((24, 16), number))
        picture.save(folder / f"IMG_{number}.{suffix}", kind, exif=b"Exif\0\0" + block[:65_000])
    read([folder], rng)
    photo_facts(probe([folder], InputSettings(fit="cover"), digest=False), InputSettings())


# Videos


@functools.cache
def videos() -> dict[str, bytes]:
    """Small good videos in the containers and codecs that people have."""
    frames = moving_square(12, size=(64, 48))
    small = {"qp": "28", "g": "5"}
    wanted: list[tuple[str, str, str, dict[str, Any]]] = [
        ("plain.mp4", "libx264", "yuv420p", {"options": small}),
        (
            "fast.mp4",
            "libx264",
            "yuv420p",
            {"options": small | {"bf": "2"}, "container_options": {"movflags": "+faststart"}, "tone_s": 0.4},
        ),
        ("fragments.mp4", "libx264", "yuv420p", {"options": small, "container_options": {"movflags": "frag_keyframe"}}),
        ("turned.mov", "libx264", "yuv420p", {"options": small, "rotation_deg": 90}),
        ("plain.mkv", "libx264", "yuv420p", {"options": small}),
        ("h265.mp4", "libx265", "yuv420p", {"options": {"x265-params": "log-level=0:keyint=5"}}),
        ("vp9.webm", "libvpx-vp9", "yuv420p", {"options": {"g": "5"}}),
        ("vp8.webm", "libvpx", "yuv420p", {"options": {"g": "5"}}),
        ("mpeg4.avi", "mpeg4", "yuv420p", {"options": {"g": "5", "bf": "2"}}),
        ("h264.ts", "libx264", "yuv420p", {"options": small}),
        ("raw.h264", "libx264", "yuv420p", {"options": small}),
        ("mjpeg.mov", "mjpeg", "yuvj420p", {}),
        ("ffv1.mkv", "ffv1", "bgr0", {"options": {"level": "3", "slicecrc": "1", "g": "1"}}),
        ("prores.mov", "prores_ks", "yuv444p10le", {}),
    ]
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, codec, pix_fmt, options in wanted:
            try:
                made[name] = write_video(
                    Path(folder, name), frames, codec=codec, pix_fmt=pix_fmt, **options
                ).read_bytes()
            except (OSError, ValueError):
                continue  # an FFmpeg without this encoder
        fields, deep = woven(frames), [frame.astype(np.uint16) * 257 for frame in frames[:6]]
        clear = [np.dstack([frame, frame[..., 0]]) for frame in frames[:6]]
        for path in (
            write_interlaced(Path(folder, "fields.mkv"), fields),
            write_interlaced(Path(folder, "mixed.mkv"), fields, marked=[True, False] * 3, codec="ffv1"),
            write_deep(Path(folder, "pq.mp4"), deep, transfer=PQ, primaries=BT2020, matrix=BT2020),
            write_rgba(Path(folder, "clear.webm"), clear, codec="libvpx-vp9", pix_fmt="yuva420p"),
            write_rgba(Path(folder, "clear.mov"), clear, codec="qtrle", pix_fmt="argb"),
            write_streams(Path(folder, "streams.mkv"), [frames[:3]] * 9),
        ):
            made[path.name] = path.read_bytes()
    return made


def video(folder: Path, rng: random.Random) -> None:
    """A damaged video."""
    name = rng.choice(list(videos()))
    path = folder / (name if rng.random() < 0.9 else "wrong.jpg")
    path.write_bytes(mutate(videos()[name], rng))
    read([path], rng)


# Sequences

_NAME_PARTS = (
    *("a", "b", "7", "010", "99999999999999999999", " ", "'", '"', "\n", "%", "%04d", "[1]", "*", "é", "冰", "-"),
    *("\x1b[2J", "\udcff", "~", "$HOME", "..", "\\", "#", "&", "²"),
)


def sequence(folder: Path, rng: random.Random) -> None:
    """A folder of photos with difficult names, gaps, other files and damaged ones; named in every way."""
    inside = folder / ("".join(rng.choices(_NAME_PARTS, k=2)).strip("./") or "in")
    inside.mkdir()
    good = ["rgb.png", "alpha.png", "baseline.jpg", "still.gif", "moving.webp", "deep_color.png"]
    good += [name for name in ("raw.dng", "rgb.heic") if name in images()]
    numbers = rng.sample((0, 1, 2, 3, 7, 10, 11, 100, 10**12, 10**200), k=rng.randint(1, 5))
    for number in numbers:
        kind = rng.choice(good)
        stem = f"p{number:03d}" if rng.random() < 0.6 else "".join(rng.choices(_NAME_PARTS, k=rng.randint(1, 4)))
        suffix = Path(kind).suffix if rng.random() < 0.8 else rng.choice(("", ".JPG", ".txt", ".mp4"))
        data = images()[kind]
        path = inside / f"{stem.replace('/', '')}{suffix}"
        _put_photo(path, data if rng.random() < 0.7 else mutate(data, rng), rng)
    ways: list[list[str | Path]] = [
        [inside],
        [inside / "*"],
        [folder / "**" / "*"],
        [inside / rng.choice(("p%03d.png", "p%d.jpg", "%0999999999d.png", "p%099d%d.png", "*%d*.png"))],
        list(inside.iterdir()),
    ]
    read(rng.choice(ways), rng)


def _put_photo(path: Path, data: bytes, rng: random.Random) -> None:
    """Write a photo there, or now and then something else of that name."""
    if os.path.lexists(path):
        return  # writing into a pipe waits forever
    try:
        match rng.randrange(40):
            case 0:
                path.symlink_to(path.name)
            case 1:
                path.symlink_to("..")
            case 2:
                path.mkdir()
            case 3:
                os.mkfifo(path)
            case 4:
                path.touch()
            case 5:
                path.symlink_to("/dev/zero")
            case 6:
                path.symlink_to("nowhere")
            case _:
                path.write_bytes(data)
    except OSError:
        pass  # a name that the system does not take


def read(given: list[Any], rng: random.Random) -> None:
    """Probe and read everything; what is accepted must be read as `probe` stated, from any start."""
    settings = InputSettings(
        on_damaged=rng.choice(("stop", "hold", "skip")),
        fit=rng.choice(("strict", "cover", "contain")),
        order=rng.choice(("auto", "name", "time", "listed")),
        raw=RawSettings(
            prefer=rng.choice(("jpeg", "raw")),
            white_balance=rng.choice(("first", "camera", "daylight", (2.0, 1.0, 1.5, 1.0))),
            highlights=rng.choice(("clip", "blend", "reconstruct")),
        ),
        duplicates=rng.choice(("auto", "drop", "keep")),
        gaps=rng.choice(("keep", "hold", "interpolate")),
        camera=rng.choice(("",) * 11 + ("canon",)),
        deinterlace=rng.choice(("auto", "auto", "always", "never")),
        stream=rng.choice((None, None, None, None, 0, 7)),
        rate=rng.choice(("drop", "blend")),
    )
    frames = rng.choice((None, None, None, (0, 2), (1, None), (3, 5)))
    fps = rng.choice((None, None, None, Fraction(10), Fraction(1, 7)))
    source = probe(given, settings, frames=frames, fps=fps)
    whole: list[NDArray[np.uint8]] = []
    try:
        for frame in read_frames(source, settings=settings):
            if frame.rgb.shape != (source.height_px, source.width_px, 3) or frame.pts != source.pts[len(whole)]:
                raise BrokenPromiseError(f"frame {frame.index}: {frame.rgb.shape}, pts {frame.pts}")
            whole.append(frame.rgb)
            if len(whole) > 2000:
                return
    except InputError as error:
        if settings.on_damaged != "stop":
            raise BrokenPromiseError(f"{settings.on_damaged}, but {error.message}") from error
        raise
    if len(whole) != source.frame_count:
        raise BrokenPromiseError(f"{source.frame_count} frames according to probe, {len(whole)} read")
    start = rng.randrange(len(whole))
    for frame in read_frames(source, start=start, stop=min(start + 2, len(whole)), settings=settings):
        if not np.array_equal(frame.rgb, whole[frame.index]):
            kind = UnsteadyError if source.kind == "video" else BrokenPromiseError
            raise kind(f"frame {frame.index} is another one when reading starts at {start}")


# Configs

_TOKENS = (
    *"& * { } [ ] : ? | > ' # ~ = \" - &a *a <<: --- ... %YAML".split(),  # noqa: SIM905
    *"!!python/object/apply:os.system !!binary !!int !!float !!bool !!timestamp !!set !!omap !!pairs".split(),  # noqa: SIM905
    *".nan .inf -1 1e999 2020-13-45 true style images path weight losses optimize".split(),  # noqa: SIM905
    *("\t", "\n", " ", "\0", "\ud800", "0x" + "F" * 5000, "9" * 5000, "1" + ":59" * 2000, "x" * 100_000),
    *("[" * 200, "{a: " * 200),
)


@functools.cache
def config_texts() -> list[str]:
    """The configs that ship."""
    return [path.read_text(encoding="utf-8") for path in sorted((ROOT / "configs").glob("*.yaml"))]


def config(folder: Path, rng: random.Random) -> None:
    """A damaged style config, or a damaged `--set`."""
    if rng.random() < 0.3:
        data: dict[str, Any] = {"style": {"images": [{"path": "a.png"}]}}
        key = rng.choice(config_keys()) if rng.random() < 0.8 else "".join(rng.choices("abc._0[]=\0é", k=9))
        set_value(data, f"{key}{rng.choice(('=', '', '=='))}{rng.choice(_TOKENS)}")
        parse_config(data, where="--set")
        return
    text = rng.choice(config_texts())
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(_TOKENS) + text[at + rng.choice((0, 0, 1, 5, 40)) :]
    content = text.encode("utf-8", "surrogatepass")
    path = folder / "style.yaml"
    path.write_bytes(content if rng.random() < 0.8 else mutate(content, rng))
    read_back = parse_config(read_yaml(path), where=str(path))
    if Config.model_validate(read_back.model_dump(by_alias=True)) != read_back:
        raise BrokenPromiseError("the config is another one after writing and reading")


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "config": config,
    "image": image,
    "exif": exif,
    "video": video,
    "sequence": sequence,
}


def run_case(kind: str, number: int, folder: Path) -> dict[str, str]:
    """Try one case in an empty folder: its outcome is "accepted", "refused", "unsteady" or "failed", with
    the error."""
    rng = random.Random(f"{kind} {number}")
    try:
        KINDS[kind](folder, rng)
    except TemperaError as error:
        good = bool(error.hint) and len(error.message) < 4000 and error.exit_code in (2, 3, 4, 6)
        return {"outcome": "refused" if good else "failed", "error": f"{type(error).__name__}: {error.message[:500]}"}
    except UnsteadyError as error:
        return {"outcome": "unsteady", "error": str(error)}
    except BaseException as error:
        return {"outcome": "failed", "error": f"{type(error).__name__}: {str(error)[:500]}"}
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > MEMORY_LIMIT:
        return {"outcome": "failed", "error": "memory over the limit"}
    return {"outcome": "accepted", "error": ""}


def main() -> None:
    """Serve cases until stdin ends."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    images(), videos()
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            case = json.loads(line)
            folder = Path(case["folder"])
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            answers.write(json.dumps(run_case(case["kind"], case["number"], folder)) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
