"""Small clips made in the process: frames whose motion is known to the pixel, written by PyAV or Pillow.

`moving_square` makes the frames, `write_video` writes them into a container with the properties that a test needs. The
default is 48x32 px and a few frames, so that a clip takes milliseconds.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]

SIZE = (48, 32)
"""Width and height in px of the usual clip."""
SAMPLE_RATE = 48_000
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def texture(size: tuple[int, int], seed: int) -> RGB:
    """Smooth texture around one color, uint8 (H, W, 3): survives chroma subsampling and lossy codecs."""
    width, height = size
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for _ in range(3):
        waves = sum(
            np.sin((fx * x + fy * y) * 2 * math.pi / 48 + phase)
            for fx, fy, phase in rng.uniform((-3, -3, 0), (3, 3, 2 * math.pi), (3, 3))
        )
        planes.append(rng.uniform(80, 175) + 75 * waves / 3)
    image: RGB = np.rint(np.stack(planes, axis=-1)).astype(np.uint8)
    return image


def moving_square(
    count: int, *, size: tuple[int, int] = SIZE, step_px: int = 2, cut_at: int | None = None, seed: int = 0
) -> list[RGB]:
    """`count` frames, uint8 (H, W, 3): a textured square of a third of the height moves `step_px` px to the right per
    frame, around the edge and back in, over a static texture. From frame `cut_at` on both textures are different."""
    width, height = size
    side = max(2, height // 3)
    frames = []
    for index in range(count):
        shot = seed + (100 if cut_at is not None and index >= cut_at else 0)
        frame = texture(size, shot)
        square = 255 - texture((side, side), shot + 1) // 2
        columns = (np.arange(side) + index * step_px) % width
        top = (height - side) // 2
        frame[top : top + side, columns] = square
        frames.append(frame)
    return frames


def write_video(
    path: Path,
    frames: Sequence[RGB],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv444p",
    rate: Fraction | int = 24,
    time_base: Fraction | None = None,
    pts: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    matrix: int = Colorspace.ITU709,
    full_range: bool = False,
    tagged: bool = True,
    rotation_deg: int = 0,
    hflip: bool = False,
    sample_aspect: Fraction | None = None,
    tone_s: float = 0.0,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode `frames` (uint8 (H, W, 3), sRGB values) and return `path`.

    `pts` are in ticks of `time_base` (1 / `rate` by default). The display matrix turns the *stored* frames by
    `rotation_deg` counter-clockwise. `tone_s` seconds of a 440 Hz tone are added. Without `tagged` the stream does not
    state its matrix and range. x264 writes without loss unless `options` say otherwise.
    """
    if options is None:
        options = {"qp": "0", "g": "6", "bf": "0"} if codec == "libx264" else {}
    base = time_base or 1 / Fraction(rate)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(rate), options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = base
        if sample_aspect is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect
        if tagged:
            stream.codec_context.colorspace = {Colorspace.ITU601: 5}.get(Colorspace(matrix), int(matrix))
            stream.codec_context.color_range = int(ColorRange.JPEG if full_range else ColorRange.MPEG)
        if rotation_deg or hflip:
            stream.set_display_rotation(rotation_deg, hflip=hflip)
        tone: Any = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono") if tone_s else None
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
                format=pix_fmt,
                dst_colorspace=matrix,
                dst_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
                interpolation=_EXACT,
            )
            frame.pts = index if pts is None else pts[index]
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone is not None:
            container.mux(list(_tone_packets(tone, tone_s)))
    return path


def _tone_packets(stream: Any, seconds: float) -> list[Any]:
    packets: list[Any] = []
    count = round(seconds * SAMPLE_RATE)
    samples = (0.2 * np.sin(2 * math.pi * 440 * np.arange(count) / SAMPLE_RATE)).astype(np.float32)
    for start in range(0, count, 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024].copy(), format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = start
        packets += stream.encode(frame)
    packets += stream.encode()
    return packets


def write_animation(path: Path, frames: Sequence[RGB], delays_ms: Sequence[int], **options: Any) -> Path:
    """Animated GIF, WebP or PNG by Pillow, the format by the suffix; WebP and PNG without loss."""
    images = [Image.fromarray(frame) for frame in frames]
    suffixes: dict[str, dict[str, Any]] = {".webp": {"lossless": True}, ".apng": {"format": "PNG"}}
    lossless = suffixes.get(path.suffix, {})
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=list(delays_ms), loop=0, **(lossless | options)
    )
    return path


def write_photos(folder: Path, frames: Sequence[RGB], *, pattern: str = "shot_{:03d}.png") -> list[Path]:
    """One image file per frame, numbered from 1; the format by the pattern's suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / pattern.format(number) for number in range(1, len(frames) + 1)]
    for path, frame in zip(paths, frames, strict=True):
        Image.fromarray(frame).save(path)
    return paths


def truncate(path: Path, fraction: float) -> Path:
    """Cut a file down to this fraction of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def damage_packet(path: Path, number: int) -> Path:
    """Overwrite one whole packet of a video, counted in the order of the file, with noise."""
    return _change_packet(path, number, lambda body: np.random.default_rng(1).bytes(len(body)))


def blank_half_packet(path: Path, number: int) -> Path:
    """Overwrite the second half of a packet with zeros."""
    return _change_packet(path, number, lambda body: body[: len(body) // 2] + bytes(len(body) - len(body) // 2))


def flip_bit(path: Path, number: int, at: int) -> Path:
    """Flip the lowest bit of the byte `at` of a packet (negative: from its end)."""

    def flip(body: bytes) -> bytes:
        changed = bytearray(body)
        changed[at] ^= 1
        return bytes(changed)

    return _change_packet(path, number, flip)


def set_prores_matrix(path: Path, number: int, matrix: int) -> Path:
    """Let one frame of a ProRes video state another color matrix (code point of ITU-T H.273)."""
    at = 24  # 8 bytes of size and signature, then 16 of the frame header before the matrix
    return _change_packet(path, number, lambda body: body[:at] + bytes([matrix]) + body[at + 1 :])


def _change_packet(path: Path, number: int, change: Callable[[bytes], bytes]) -> Path:
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]
    data = path.read_bytes()
    body = packets[number][5 if path.suffix == ".h264" else 0 :]  # a raw stream has start codes and nothing else
    at = data.find(body)
    assert at > 0
    changed = change(body)
    assert len(changed) == len(body)
    path.write_bytes(data[:at] + changed + data[at + len(body) :])
    return path
