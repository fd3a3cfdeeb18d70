"""GIFs of Tempera beside those of FFmpeg and ImageMagick: size, error and flicker.

    python scripts/bench/gif.py --data DIR [--width 360] [--frames 24] [--keep FOLDER] [--out gif.json]

Clips: a burst by hand (`mug`), a timelapse (`icecube`), a video (`swing`) and the demo's own timelapse (`sample`).
Writers: `tempera` (defaults) and `tempera error` (error diffusion); `ffmpeg` (palettegen and paletteuse as they are)
and `ffmpeg bayer`; `imagemagick` (convert with -layers optimize), which is left out where it is not installed.

Figures: size in kB. Error: mean Oklab distance, times 100, of what is seen from some way off (linear light blurred by a
Gaussian of 1.5 px). Flicker: mean change from frame to frame, in levels of 255, where the input stands still (the mean
of 5 by 5 pixels changes by less than 2 levels), less that of the input; below 0 is calmer than the input's noise.
`--keep` keeps the files. The last line is JSON.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "2")

import av
import av.error
import av.filter
import cv2
import numpy as np
from arguments import media_parser
from clips import clip_source
from machine import commit, processor, write_report
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.config.animation import AnimationSettings
from pipeline.config.settings import InputSettings, OutputSettings
from pipeline.media.image.oklab import oklab_from_linear
from pipeline.media.image.png import save_png
from pipeline.media.image.transfer import linear_from_pixels
from pipeline.media.reader.source import probe, read_frames
from pipeline.media.writer.output import write_video
from pipeline.sample.photos import write_sample

RGB = NDArray[np.uint8]
RATE: Final = 25
CLIPS: Final = {"mug": "burst/handheld_mug", "icecube": "timelapse/icecube_s60", "swing": "davis/swing.mp4"}
SEEN_SIGMA_PX: Final = 1.5
STILL_LEVELS: Final = 2.0


def clip(path: Path, width_px: int, count: int) -> list[RGB]:
    """The first frames of an input at a width."""
    settings = InputSettings()
    source = probe([str(path)], settings, digest=False)
    source = probe([str(path)], settings, frames=(0, min(count, source.frame_count)), digest=False)
    height_px = round(source.height_px * width_px / source.width_px)
    return [frame.rgb for frame in read_frames(source, width_px=width_px, height_px=height_px, settings=settings)]


def tempera(frames: list[RGB], file: Path, animation: AnimationSettings) -> None:
    """Write by `write_video`."""
    write_video(file, frames, source=clip_source(frames, RATE), settings=OutputSettings(animation=animation))


def ffmpeg(frames: list[RGB], file: Path, dither: str) -> None:
    """Write by `split[a][b];[a]palettegen[p];[b][p]paletteuse` and FFmpeg's GIF encoder."""
    height_px, width_px = frames[0].shape[:2]
    graph = av.filter.Graph()
    tick = Fraction(1, RATE)
    source = graph.add_buffer(width=width_px, height=height_px, format=av.VideoFormat("rgb24"), time_base=tick)
    split, table, sink = graph.add("split"), graph.add("palettegen"), graph.add("buffersink")
    use = graph.add("paletteuse", dither)
    source.link_to(split)
    split.link_to(table, 0, 0)
    split.link_to(use, 1, 0)
    table.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    for index, rgb in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts, frame.time_base = index, tick
        source.push(frame)
    source.push(None)
    with av.open(str(file), "w", format="gif") as output:
        stream: Any = output.add_stream("gif", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "pal8"
        for _ in frames:
            output.mux(stream.encode(sink.pull()))
        output.mux(stream.encode(None))


def imagemagick(frames: list[RGB], file: Path, program: str) -> None:
    """Write by `convert -delay 4 -loop 0 FRAMES -layers optimize`."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for index, rgb in enumerate(frames):
            names.append(str(Path(folder) / f"{index:04d}.png"))
            save_png(names[-1], rgb, level=1)
        delay = str(100 // RATE)
        subprocess.run(
            [program, "-delay", delay, "-loop", "0", *names, "-layers", "optimize", str(file)], check=True, timeout=600
        )


def shown(file: Path) -> list[RGB]:
    """The frames of a GIF as a browser shows them."""
    frames = []
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB"), np.uint8))
    return frames


def seen(rgb: RGB) -> NDArray[np.float32]:
    """A frame from some way off, Oklab (H, W, 3)."""
    return oklab_from_linear(np.maximum(cv2.GaussianBlur(linear_from_pixels(rgb), (0, 0), SEEN_SIGMA_PX), 0))


def error_of(frames: list[RGB], written: list[RGB]) -> float:
    """Mean Oklab distance, times 100."""
    return 100 * float(
        np.mean([np.linalg.norm(seen(a) - seen(b), axis=2).mean() for a, b in zip(frames, written, strict=True)])
    )


def flicker_of(frames: list[RGB], written: list[RGB]) -> float | None:
    """Mean change of what stands still, above that of the input; None where nothing does."""
    changes = []
    for index in range(1, len(frames)):
        before, after = (frame.astype(np.float32) for frame in frames[index - 1 : index + 1])
        still = np.abs(cv2.blur(after - before, (5, 5))).max(axis=2) < STILL_LEVELS
        if still.any():
            own = np.abs(written[index].astype(np.float32) - written[index - 1])[still].mean()
            changes.append(float(own - np.abs(after - before)[still].mean()))
    return float(np.mean(changes)) if changes else None


def writers() -> dict[str, Callable[[list[RGB], Path], None]]:
    """Every writer that is here, by name."""
    found: dict[str, Callable[[list[RGB], Path], None]] = {
        "tempera": lambda frames, file: tempera(frames, file, AnimationSettings()),
        "tempera error": lambda frames, file: tempera(frames, file, AnimationSettings(dither="error")),
        "ffmpeg": lambda frames, file: ffmpeg(frames, file, ""),
        "ffmpeg bayer": lambda frames, file: ffmpeg(frames, file, "dither=bayer"),
    }
    for program in ("magick", "convert"):
        path = shutil.which(program)
        if path is None:
            continue
        said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False, timeout=60).stdout
        if said.startswith("Version: ImageMagick"):
            found["imagemagick"] = partial(imagemagick, program=path)
            return found
    print("imagemagick: not installed here, left out")
    return found


def main() -> None:
    """Write every clip by every writer and print the figures."""
    parser = media_parser(__doc__)
    parser.add_argument("--width", type=int, default=360)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'clip':8} {'writer':14} {'kB':>6} {'error':>6} {'flicker':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        photos = Path(temporary) / "photos"
        write_sample(photos, count=options.frames)
        for name, path in {**{name: options.data / file for name, file in CLIPS.items()}, "sample": photos}.items():
            frames = clip(path, options.width, options.frames)
            for writer, write in writers().items():
                file = folder / f"{name}-{writer.replace(' ', '-')}.gif"
                write(frames, file)
                written = shown(file)
                flicker = flicker_of(frames, written)
                row = {
                    "clip": name,
                    "writer": writer,
                    "frames": len(frames),
                    "kB": round(file.stat().st_size / 1000),
                    "error": round(error_of(frames, written), 3),
                    "flicker": None if flicker is None else round(flicker, 2),
                }
                rows.append(row)
                print(f"{name:8} {writer:14} {row['kB']:6} {row['error']:6} {row['flicker']!s:>8}", flush=True)
    result = {"commit": commit(), "processor": processor(), "width_px": options.width, "rows": rows}
    write_report(result, options.out)


if __name__ == "__main__":
    main()
