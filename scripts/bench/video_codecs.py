"""Size, speed and error of every codec at its defaults, and which CRF of each gives the quality of h264 at 16.

    python scripts/bench/video_codecs.py --data DATA [--frames 60] [--match] [--out video_codecs.json]

Clips of 640x360: `artwork` moves slowly over one, as stylized frames are made of strokes; `timelapse` is a real one;
`strokes` is blurred noise that moves, as hard to compress as fine strokes. Both that are made here shimmer by noise
with a standard deviation of 2 levels, as strokes that are drawn again do. Every codec, and every variant of the editing
codecs, is written by `write_video` at the default preset and read back by the reader of inputs. `mbit_s` is the bit
rate at 25 frames per second, `error` the mean absolute difference of R, G and B in levels of 255, `psnr` that of luma
in dB (that of R, G and B is limited by how color is halved; 99 where nothing is lost), `fps` the frames written per
second of processor time, conversion and check included.

`--match` also writes each codec with a CRF at several values: `matched` is the one whose mean PSNR over the clips is
nearest to that of h264 at 16. The last line on stdout is JSON.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from arguments import media_parser
from clips import clip_source
from machine import environment, write_report
from numpy.typing import NDArray
from resume_start import synthetic_frame

from pipeline.config.settings import InputSettings, OutputSettings
from pipeline.media.image.load import load_rgb
from pipeline.media.reader.source import probe, read_frames
from pipeline.media.writer.codecs import CODECS, available_encoder
from pipeline.media.writer.output import write_video
from pipeline.postprocess.effect import LUMA

RGB = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 360
LOSSLESS = 99.0
RATE = 25
SUFFIXES = {"h264": ".mp4", "hevc": ".mp4", "av1": ".mp4", "vp9": ".webm", "prores": ".mov", "dnxhr": ".mov"}
MATCHED = {"hevc": range(15, 20), "av1": range(10, 18), "vp9": range(8, 15)}
ARTWORK, TIMELAPSE = "style/vangogh_starry_night_1889.jpg", "timelapse/sunset_rpi"


def main() -> None:
    parser = media_parser(__doc__)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--match", action="store_true")
    options = parser.parse_args()
    clips = {name: make(options.data, options.frames) for name, make in CLIPS.items()}
    cases = [(codec, variant) for codec in CODECS for variant in CODECS[codec].variants or ("auto",)]
    result: dict[str, Any] = {"machine": environment(), "frames": options.frames, "codecs": {}}
    with tempfile.TemporaryDirectory() as folder:
        for codec, variant in cases:
            if available_encoder(codec) is None:
                continue
            name = codec if variant == "auto" else f"{codec} {variant}"
            settings = OutputSettings.model_validate({"codec": codec, "variant": variant})
            result["codecs"][name] = {clip: measure(Path(folder), frames, settings) for clip, frames in clips.items()}
            print(_row(name, result["codecs"][name]), file=sys.stderr)
        if options.match:
            wanted = mean_psnr(result["codecs"]["h264"])
            result["matched"] = {codec: match(Path(folder), clips, codec, wanted) for codec in MATCHED}
            print(result["matched"], file=sys.stderr)
    write_report(result, options.out)


def artwork(data: Path, count: int) -> list[RGB]:
    """A window that moves over an artwork by half a pixel a frame."""
    image = load_rgb(data / ARTWORK)
    image = cv2.resize(image, (WIDTH + count, round(image.shape[0] * (WIDTH + count) / image.shape[1])))  # type: ignore[assignment]
    corner = (HEIGHT / 2 + 20, WIDTH / 2)
    return [
        shimmering(cv2.getRectSubPix(image, (WIDTH, HEIGHT), (corner[1] + index / 2, corner[0])), index)
        for index in range(count)
    ]


def timelapse(data: Path, count: int) -> list[RGB]:
    """The first frames of a real timelapse, in the size of the others."""
    settings = InputSettings(fit="cover")
    source = probe([data / TIMELAPSE], settings, frames=(0, count))
    found = read_frames(source, width_px=WIDTH, height_px=HEIGHT, settings=settings)
    return [frame.rgb for frame in found]


def strokes(_: Path, count: int) -> list[RGB]:
    """Noise of the spectrum of stylized frames, moving by a pixel a frame."""
    image = synthetic_frame(1, WIDTH + count, HEIGHT)
    return [shimmering(image[:, index : index + WIDTH], index) for index in range(count)]


def shimmering(image: Any, index: int) -> RGB:
    """An image with the noise of one frame."""
    noise = np.random.default_rng(index).normal(0, 2, image.shape)
    return np.asarray(np.rint(image + noise).clip(0, 255), np.uint8)


CLIPS: dict[str, Callable[[Path, int], list[RGB]]] = {
    "artwork": artwork,
    "timelapse": timelapse,
    "strokes": strokes,
}


def measure(folder: Path, frames: list[RGB], settings: OutputSettings) -> dict[str, float]:
    """Write and read back one clip."""
    path = folder / f"clip{SUFFIXES.get(settings.codec, '.mkv')}"
    start = time.process_time()
    write_video(path, frames, source=clip_source(frames, RATE), settings=settings)
    seconds = time.process_time() - start
    source = probe([path], InputSettings())
    shown = [frame.rgb for frame in read_frames(source, settings=InputSettings())]
    difference = np.array(shown, np.float32) - np.array(frames, np.float32)
    squared = float(((difference @ LUMA[0]) ** 2).mean())
    return {
        "mbit_s": round(path.stat().st_size * 8 * RATE / len(frames) / 1e6, 2),
        "error": round(float(np.abs(difference).mean()), 2),
        "psnr": round(10 * float(np.log10(255**2 / squared)), 2) if squared else LOSSLESS,
        "fps": round(len(frames) / seconds, 1),
    }


def match(folder: Path, clips: dict[str, list[RGB]], codec: str, wanted: float) -> dict[str, Any]:
    """The CRF of a codec whose mean PSNR over the clips is nearest to the wanted one."""
    tried = {}
    for crf in MATCHED[codec]:
        settings = OutputSettings.model_validate({"codec": codec, "crf": crf})
        tried[crf] = mean_psnr({name: measure(folder, frames, settings) for name, frames in clips.items()})
    return {"crf": min(tried, key=lambda crf: abs(tried[crf] - wanted)), "wanted": wanted, "psnr": tried}


def mean_psnr(measured: dict[str, dict[str, float]]) -> float:
    """Mean over the clips, in dB."""
    return round(float(np.mean([figures["psnr"] for figures in measured.values()])), 2)


def _row(name: str, measured: dict[str, dict[str, float]]) -> str:
    cells = (f"{its['mbit_s']:7.2f} Mbit/s {its['psnr']:5.1f} dB {its['fps']:6.1f} fps" for its in measured.values())
    return f"{name:<16}" + " | ".join(cells)


if __name__ == "__main__":
    main()
