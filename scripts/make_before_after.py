"""Make the animation of the README, docs/before-after.webp, from a finished demo.

    tempera demo -o DIR
    python scripts/make_before_after.py DIR [-o docs/before-after.webp] [--width 480] [--frames 48] [--fps 12]

Left of a line that moves from side to side is the photographed frame, right of it the frame of the demo's video. The
suffix of the output chooses the format: .webp or .gif. The program stops if the file would be larger than 2.5 MB.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageDraw

DEFAULT_OUTPUT = Path(__file__).resolve().parents[1] / "docs" / "before-after.webp"
MAX_BYTES = 2_500_000
LINE_PX = 2
SWING = 0.34
"""How far the line moves from the middle, as a fraction of the width."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder of a finished `tempera demo -o DIR`")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_OUTPUT, help="the .webp or .gif to write")
    parser.add_argument("--width", type=int, default=480, help="width in px")
    parser.add_argument("--frames", type=int, default=48, help="how many frames, taken evenly from the demo's")
    parser.add_argument("--fps", type=float, default=12.0, help="frames per second")
    parser.add_argument("--quality", type=int, default=80, help="quality of the WebP, 0 to 100")
    options = parser.parse_args()
    photos = sorted((options.demo / "photos").glob("*.jpg"))
    video = next(iter(sorted(options.demo.glob("sample-*.mp4"))), None)
    if not photos or video is None:
        sys.exit(f"{options.demo}: expected a photos folder and a sample-*.mp4; make them with `tempera demo -o DIR`")
    chosen = evenly(len(photos), options.frames)
    contents = [Image.open(photos[index]).convert("RGB") for index in chosen]
    stylized = [image for index, image in enumerate(video_frames(video)) if index in chosen]
    if len(stylized) != len(contents):
        sys.exit(f"{video}: expected a frame for each of {len(photos)} photos; let the demo finish first")
    frames = wiped(contents, stylized, options.width)
    data = encoded(frames, options.output.suffix.lower(), fps=options.fps, quality=options.quality)
    if len(data) > MAX_BYTES:
        sys.exit(f"{options.output}: would have {len(data)} bytes, expected at most {MAX_BYTES}; lower --quality")
    options.output.write_bytes(data)
    print(f"{options.output}: {len(frames)} frames of {frames[0].width}x{frames[0].height} px, {len(data) // 1000} kB")


def evenly(total: int, count: int) -> list[int]:
    """`count` different indices spread over range(total), the first one included; all of them if there are fewer."""
    count = min(count, total)
    return [index * total // count for index in range(count)]


def video_frames(path: Path) -> Iterator[Image.Image]:
    """The frames of a video in order, RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield Image.fromarray(frame.to_ndarray(format="rgb24"))


def wiped(contents: Sequence[Image.Image], stylized: Sequence[Image.Image], width_px: int) -> list[Image.Image]:
    """Content on the left and stylized on the right of a line that swings once over all frames; `width_px` wide."""
    frames = []
    for index, (content, painted) in enumerate(zip(contents, stylized, strict=True)):
        size = (width_px, round(width_px * content.height / content.width))
        frame = painted.resize(size, Image.Resampling.LANCZOS)
        line_px = round(width_px * (0.5 - SWING * math.sin(2 * math.pi * index / len(contents))))
        frame.paste(content.resize(size, Image.Resampling.LANCZOS).crop((0, 0, line_px, size[1])), (0, 0))
        ImageDraw.Draw(frame).rectangle((line_px - LINE_PX // 2, 0, line_px + LINE_PX // 2 - 1, size[1]), fill="white")
        frames.append(frame)
    return frames


def encoded(frames: Sequence[Image.Image], suffix: str, *, fps: float, quality: int) -> bytes:
    """The frames as an animation that repeats for ever, .webp or .gif."""
    if suffix == ".gif":
        frames = [frame.quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    formats: dict[str, dict[str, Any]] = {
        ".webp": {"format": "WEBP", "quality": quality, "method": 6},
        ".gif": {"format": "GIF"},
    }
    if suffix not in formats:
        sys.exit(f"{suffix or 'no suffix'}: expected .webp or .gif")
    buffer = io.BytesIO()
    frames[0].save(
        buffer, save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0, **formats[suffix]
    )
    return buffer.getvalue()


if __name__ == "__main__":
    main()
