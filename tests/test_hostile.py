"""Hostile input on the command line and in the reader: all of it is read, or ends in an error and a hint.

Every refusal has its exit code, one error and one hint, no traceback, and leaves the folder as it was.
"""

from __future__ import annotations

import os
import pickle
import resource
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from pipeline import cli
from pipeline.config.settings import InputSettings
from pipeline.errors import InputError, printable
from pipeline.media.reader.source import probe, read_frames
from pipeline.types import Frame, Source
from tests.support.clips import (
    damage_packet,
    moving_square,
    texture,
    write_photos,
    write_video,
)
from tests.support.fuzz.cases import KINDS, run_case

COUNT = 12
FRAMES = moving_square(COUNT, size=(96, 64))
QUICK = [
    "--encoder",
    "tiny",
    "--progress",
    "none",
    "--set=output.preset=ultrafast",
    "--set=optimize.cold.evaluations=1",
]
QUICK += ["--set=optimize.warm.evaluations=1", "--set=optimize.warm.min_evaluations=1"]
SMALL = {"qp": "20", "g": "6", "bf": "0"}
BROKEN = 8
"""The frame that is damaged."""


def input_settings(policy: str) -> InputSettings:
    return InputSettings.model_validate({"on_damaged": policy})


def read(source: Source, policy: str, **options: Any) -> list[Frame]:
    return list(read_frames(source, settings=input_settings(policy), **options))


@pytest.fixture
def tempera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(texture((48, 48), 7)).save(tmp_path / "style.png")

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def everything(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def assert_refused(result: tuple[int, str, str], code: int, *words: str) -> None:
    found, out, err = result
    assert found == code, err
    assert out == "" and "Traceback" not in err
    starts = [line.split(":")[0] for line in err.splitlines() if not line.startswith("  ")]
    assert starts.count("error") == starts.count("hint") == 1, err
    assert starts.index("error") < starts.index("hint")
    assert len(err) < 3000
    for word in words:
        assert word in err


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims to be that large, with good checksums."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def claiming(kind: str, size: int) -> bytes:
    """The start of an image that claims to be `size` px square."""
    if kind == "png":
        return png_claiming(size, size)
    if kind == "gif":
        return (
            b"GIF89a"
            + struct.pack("<HH", size, size)
            + b"\x80\0\0"
            + bytes(6)
            + b",\0\0\0\0"
            + struct.pack("<HH", size, size)
            + b"\0\2\2L\1\0;"
        )
    if kind == "bmp":
        return b"BM" + struct.pack("<IIIIIIHHIIIIII", 90, 0, 54, 40, size, size, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(40)
    if kind == "ppm":
        return f"P6\n{size} {size}\n255\n".encode() + bytes(100)
    if kind == "jpg":
        frame = struct.pack(">BHHB", 8, size, size, 1) + b"\1\x11\0"
        return (
            b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xda\0\x08\1\1\0\0\x3f\0\0\xff\xd9"
        )
    entries = [(256, 4, size), (257, 4, size), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    entries += [(278, 4, size), (279, 4, size * size)]
    table = b"".join(struct.pack("<HHII", tag, kind_, 1, value) for tag, kind_, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4)


@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "ppm", "jpg", "tiff"])
def test_image_that_claims_60000_px_is_refused_without_memory(
    tempera: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    (tmp_path / f"huge.{kind}").write_bytes(claiming(kind, 60_000))
    before, memory = everything(tmp_path), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for arguments in (["render", f"huge.{kind}", "-s", "style.png"], ["render", "style.png", "-s", f"huge.{kind}"]):
        result = tempera(*arguments, *QUICK, "-o", "o.png")
        assert_refused(result, result[0], f"huge.{kind}", "60000x60000 px is too large")
        assert result[0] in (3, 4)
    assert_refused(tempera("probe", f"huge.{kind}"), 4, "too large")
    assert everything(tmp_path) == before
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert grown_kb < 500_000


SPECIAL: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "endless noise": lambda path: path.symlink_to("/dev/urandom"),
    "link in a circle": lambda path: path.symlink_to(path.name),
    "link to nowhere": lambda path: path.symlink_to("nowhere"),
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.touch(),
    "zero bytes": lambda path: path.write_bytes(bytes(5000)),
    "web page": lambda path: path.write_text("<!DOCTYPE html><title>404</title>"),
    "archive": lambda path: path.write_bytes(b"PK\3\4" + bytes(100)),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
}


@pytest.mark.parametrize("what", SPECIAL)
def test_other_files_named_like_media_configs_or_weights_are_refused(
    tempera: Callable[..., Any], tmp_path: Path, what: str
) -> None:
    names = ("clip.mp4", "photo.jpg", "style.yaml", "net.pth", "net.safetensors")
    for name in names:
        SPECIAL[what](tmp_path / name)
    write_photos(tmp_path / "photos", FRAMES[:2])
    SPECIAL[what](tmp_path / "photos/p000.png")
    before = everything(tmp_path)
    for name in names[:2]:
        assert_refused(tempera("render", name, "-s", "style.png", *QUICK), 4, name)
        assert_refused(tempera("probe", name), 4, name)
    for style in names[1:3]:
        assert_refused(tempera("render", "photos/shot_001.png", "-s", style, *QUICK, "-o", "o.png"), 3, style)
    for weights in names[3:]:
        arguments = ["render", "photos/shot_001.png", "-s", "style.png", "--progress", "none", "-o", "o.png"]
        encoder = "vgg19" if weights.endswith("pth") else "compact"
        assert_refused(tempera(*arguments, "--weights", weights, "--encoder", encoder), 6, weights)
    if what != "folder":
        assert_refused(tempera("probe", "photos"), 4, "p000.png")
    assert everything(tmp_path) == before


def test_pipes_devices_and_links_beside_photos_are_left_out(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:2])
    for name, make in SPECIAL.items():
        make(tmp_path / name)
    source = probe([tmp_path], InputSettings())
    assert source.frame_count == 2
    assert "Left out, not images" in source.notes[0]


def test_globs_do_not_follow_links_in_circles(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    write_photos(inside, FRAMES[:2])
    for number in range(4):
        (inside / f"up{number}").symlink_to("../..", target_is_directory=True)
    for pattern in ("**/*.png", "a/**/shot_*.png", "**/b/*.png", "**/*"):
        assert probe([tmp_path / pattern], InputSettings()).frame_count == 2
    assert probe([inside / "up0" / "a" / "b" / "*.png"], InputSettings()).frame_count == 2


DIFFICULT_NAMES = [
    'two  spaces & quote\'s "double".png',
    "new\nline\nhint: do what I say.png",
    "\x1b[2Jscreen\x07.png",
    os.fsdecode(b"not \xff utf-8 \xe9.png"),
    "-o.png",
    "100%d.png",
    "[a-z]*.png",
    "$(touch gone);`touch gone`.png",
    "冰 été #1?.png",
    "x" * 250 + ".png",
]


@pytest.mark.parametrize("name", DIFFICULT_NAMES, ids=range(len(DIFFICULT_NAMES)))
def test_difficult_names_are_rendered_and_escaped_in_messages(
    tempera: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(texture((48, 32), 1)).save(folder / name, "PNG")
    for given_input in (f"in/{name}", "in"):
        code, out, err = tempera("render", given_input, "-s", "style.png", *QUICK, "-o", f"{len(given_input)}.png")
        assert (code, out) == (0, f"{len(given_input)}.png\n"), err
    (folder / name).write_bytes(b"")
    result = tempera("render", f"in/{name}", "-s", "style.png", *QUICK, "-o", "late.png")
    assert_refused(result, 4, "is empty")
    assert "\x1b" not in result[2] and "\x07" not in result[2]
    clip = write_video(tmp_path / "clip.mp4", FRAMES[:2])
    clip.rename(folder / name)
    assert probe([folder / name], InputSettings()).frame_count == 2


def test_control_characters_in_notes_are_escaped(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:2])
    (tmp_path / "evil\x1b[2J\nerror: no.txt").write_text("words")
    note = probe([tmp_path], InputSettings()).notes[0]
    assert "\x1b" not in note and "\n" not in note and "evil" in note
    assert printable("a\nb\x1b\n  list") == "a\\nb\\x1b\n  list"


def test_huge_numbers_in_names_do_not_make_long_lists(tmp_path: Path) -> None:
    for number in (1, 2, 7, 9_999_999_999_999, 10**60):
        Image.fromarray(FRAMES[0]).save(tmp_path / f"a{number}.png")
    source = probe([tmp_path / "a%d.png"], InputSettings())
    assert source.frame_count == 5
    assert source.notes[0] == (
        f"The numbering has gaps: 3 to 6, 8 to 9999999999998, 10000000000000 to {10**60 - 1} missing."
    )
    for pattern in ("a%0999999999d.png", "a%099999999999999d.png"):
        with pytest.raises(InputError):
            probe([tmp_path / pattern], InputSettings())


def test_time_stamps_far_apart_are_read_quickly(tmp_path: Path) -> None:
    stamps = [0, 40, 40 + 10**12, 80 + 10**12]
    path = write_video(tmp_path / "a.mkv", FRAMES[:4], time_base=Fraction(1, 1000), pts=stamps, options=SMALL)
    source = probe([path], InputSettings(), fps=Fraction(1000))
    assert source.frame_count == len(read(source, "stop")) <= 4


def test_thousand_photos_are_read_one_at_a_time(tmp_path: Path) -> None:
    """All are probed, but never more than one is in memory."""
    photo = tmp_path / "p0000.jpg"
    Image.fromarray(texture((64, 48), 1)).save(photo)
    for number in range(1, 1000):
        (tmp_path / f"p{number:04d}.jpg").hardlink_to(photo)
    (tmp_path / "p0500.jpg").unlink()
    (tmp_path / "p0500.jpg").write_bytes(photo.read_bytes()[:300])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for policy in ("hold", "skip"):
        source = probe([tmp_path], input_settings(policy))
        assert source.frame_count == 1000 - (policy == "skip")
        assert sum(1 for _ in read_frames(source, width_px=8, settings=input_settings(policy))) == source.frame_count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    with pytest.raises(InputError, match=r"p0500\.jpg"):
        probe([tmp_path], input_settings("stop"))


@pytest.mark.parametrize("policy", ["stop", "hold", "skip"])
def test_damaged_video_is_rendered_and_resumed_as_set(tempera: Callable[..., Any], tmp_path: Path, policy: str) -> None:
    damage_packet(write_video(tmp_path / "clip.mp4", FRAMES, pix_fmt="yuv420p", options=SMALL), BROKEN)
    command = ["render", "clip.mp4", "-s", "style.png", "--set", f"input.on_damaged={policy}", *QUICK, "-o", "o.mp4"]
    result = tempera(*command)
    if policy == "stop":
        assert_refused(result, 4, f"frame {BROKEN}", "0.333 s", "clip.mp4", "input.on_damaged")
        assert not (tmp_path / "o.mp4").exists()
        return
    assert result[:2] == (0, "o.mp4\n")
    frames = sorted((tmp_path / "o.render").glob("frames/*/*.png"))
    assert len(frames) == COUNT - (policy == "skip")
    contents = [frame.read_bytes() for frame in frames]
    for frame in frames[5:]:
        frame.unlink()
    assert tempera("resume", "o.render", "--progress", "none")[0] == 0
    assert [frame.read_bytes() for frame in frames] == contents
    code, out, _ = tempera("probe", "clip.mp4", "--set", f"input.on_damaged={policy}")
    assert code == 0 and f"frame {BROKEN} (0.333 s) cannot be decoded" in out


@pytest.mark.parametrize(
    "text",
    [
        "seed: 0x" + "F" * 6000,
        "seed: 1" + ":59" * 9000,
        "seed: 1" + ":59" * 9000 + ".5",
        "seed: !!int ''",
        "seed: !!float ''",
        "styler: !!bool maybe",
        "name: !!timestamp now",
        "name: !!python/object/apply:os.system [touch gone]",
        "name: !<" + "a" * 50_000 + "> 1",
        "losses: !!set {content, style}",
        "? {a: 1}\n: 2",
        "seed: .nan",
        "losses: {tv: {weight: 1e999}}",
        "output: {crf: yes please, preset: [medium]}",
        "style: 7",
        "runtime: {threads: 99999999999999999999}",
        "losses: {content: {layers: {relu4_2: .inf}}}",
    ],
    ids=range(17),
)
def test_hostile_config_is_refused(tempera: Callable[..., Any], tmp_path: Path, text: str) -> None:
    (tmp_path / "hostile.yaml").write_text(
        f"{text}\nstyle: {{images: [{{path: style.png}}]}}\n".replace("style: 7\nstyle", "style: 7\nx")
    )
    before = everything(tmp_path)
    assert_refused(tempera("render", "style.png", "-s", "hostile.yaml", *QUICK), 3, "hostile.yaml")
    assert everything(tmp_path) == before


class _Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("gone",))


@pytest.mark.parametrize("what", ["code", "code in a tensor file", "shapes", "nan", "huge header", "names"])
def test_hostile_weights_are_refused(tempera: Callable[..., Any], tmp_path: Path, what: str) -> None:
    pth, safe = tmp_path / "net.pth", tmp_path / "net.safetensors"
    save_file({"features.0.weight": torch.zeros(3)}, safe)
    match what:
        case "code":
            pth.write_bytes(pickle.dumps(_Attack()))
        case "code in a tensor file":
            torch.save({"features.0.weight": _Attack()}, pth)
        case "shapes":
            torch.save({"features.0.weight": torch.zeros(64, 3, 3, 4), "features.0.bias": torch.zeros(64)}, pth)
        case "nan":
            torch.save({"features.0.weight": float("nan")}, pth)
        case "huge header":
            pth.write_bytes(b"PK\3\4" + bytes(60))
            safe.write_bytes(struct.pack("<Q", 2**62) + b"{}")
        case _:
            torch.save({7: torch.zeros(1), "../x": torch.zeros(1)}, pth)
            save_file({"../../x": torch.zeros(1)}, safe)
    write_photos(tmp_path / "in", FRAMES[:1])
    before = everything(tmp_path)
    command = ["render", "in/shot_001.png", "-s", "style.png", "--progress", "none", "-o", "o.png"]
    assert_refused(tempera(*command, "--encoder", "vgg19", "--weights", "net.pth"), 6, "net.pth")
    for encoder in ("vgg16", "compact"):
        assert_refused(tempera(*command, "--encoder", encoder, "--weights", "net.safetensors"), 6, "net.safetensors")
    assert everything(tmp_path) == before


def test_motion_jpeg_with_exif_is_turned(tmp_path: Path) -> None:
    """PyAV does not know EXIF as side data of a frame."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(3):
        Image.fromarray(texture((48, 32), number)).save(tmp_path / f"{number}.jpg", exif=exif)
    clip = tmp_path / "clip.mjpeg"
    clip.write_bytes(b"".join((tmp_path / f"{number}.jpg").read_bytes() for number in range(3)))
    with av.open(str(clip)) as container, av.open(str(tmp_path / "clip.avi"), "w") as copy:
        stream = copy.add_stream_from_template(container.streams.video[0])
        for number, packet in enumerate(container.demux(container.streams.video[0])):
            if packet.size:
                packet.pts = packet.dts = number
                packet.stream = stream
                copy.mux(packet)
    source = probe([tmp_path / "clip.avi"], InputSettings())
    assert (source.frame_count, source.width_px, source.height_px) == (3, 32, 48)
    assert read(source, "stop")[0].rgb.shape == (48, 32, 3)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_damage_of_a_video_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """scripts/fuzz.py does this for hours, with more kinds and in processes that may crash."""
    clip = tmp_path_factory.getbasetemp() / "whole.mp4"
    if not clip.exists():
        write_video(clip, FRAMES, pix_fmt="yuv420p", options=SMALL | {"bf": "2"})
    content = bytearray(clip.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        junk = data.draw(st.binary(min_size=1, max_size=40))
        content[at : at + len(junk)] = junk
    path = clip.with_name("damaged.mp4")
    path.write_bytes(content)
    policy = data.draw(st.sampled_from(["stop", "hold", "skip"]))
    try:
        source = probe([path], input_settings(policy))
        frames = read(source, policy)
    except InputError as error:
        assert error.hint
    else:
        assert len(frames) == source.frame_count


def test_fuzzer_finds_no_unexpected_error(tmp_path: Path) -> None:
    outcomes = [run_case(kind, number, _fresh(tmp_path / f"{kind}-{number}")) for kind in KINDS for number in range(3)]
    assert {answer["outcome"] for answer in outcomes} <= {"accepted", "refused"}


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder
