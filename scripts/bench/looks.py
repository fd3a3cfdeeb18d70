"""Steadiness of the looks without a network on shots of a camera that stands still.

    python scripts/bench/looks.py --data DATA [--width 480] [--frames 24]

For the clips of DATA/timelapse that are photographed from a tripod, and a still photograph with sensor noise: mean
absolute change between neighboring output frames over that of the input, 1 where they are equal. Frames are warm and
start from the previous one as it is, as those of a static shot do. The cells of SLIC by scikit-image, where it is
installed, are cut anew in every frame and shown in the same way, for comparison. The last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from machine import environment
from numpy.typing import NDArray

from pipeline.media.image.arrays import resize, size_within
from pipeline.media.image.load import load_rgb
from pipeline.stylers.palette import PaletteStyler
from pipeline.stylers.shot_colors import ShotColors
from pipeline.stylers.superpixel import SuperpixelStyler

RGB = NDArray[np.uint8]
CLIPS = ("sunset_rpi", "icecube_s60")
STYLE = "style/hokusai_great_wave_c1831.jpg"
CELLS = 400


def main() -> None:
    """Measure every look on every clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--frames", type=int, default=24)
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    for name in (*CLIPS, "still"):
        contents = clip(options.data, name, options.width, options.frames)
        change = mean_change(contents)
        results[name] = {"input_change": round(change, 3)}
        for look, stylize in looks(load_rgb(options.data / STYLE), contents).items():
            frames: list[RGB] = []
            for index, content in enumerate(contents):
                frames.append(stylize(content, frames[-1] if frames else None, index))
            results[name][look] = round(mean_change(frames) / change, 3)
            print(name, look, results[name][look], flush=True)
    print(
        json.dumps({"environment": environment(), "width": options.width, "frames": options.frames, "clips": results})
    )


def clip(data: Path, name: str, width: int, count: int) -> list[RGB]:
    """Frames of a clip, uint8 (H, W, 3), or a still photograph with noise of 4 levels."""
    if name == "still":
        photo = load_rgb(data / "photo/kodim03.png")
        small = resize(photo, *size_within(photo.shape[1], photo.shape[0], width)).astype(np.float64)
        random = np.random.default_rng(0)
        return [
            np.clip(np.rint(small + random.normal(0, 4, small.shape)), 0, 255).astype(np.uint8) for _ in range(count)
        ]
    photos = [load_rgb(path) for path in sorted((data / "timelapse" / name).glob("*.jp*g"))[:count]]
    return [resize(photo, *size_within(photo.shape[1], photo.shape[0], width)) for photo in photos]


def looks(style: RGB, contents: list[RGB]) -> dict[str, Callable[[RGB, RGB | None, int], RGB]]:
    """The looks by name: functions of content, previous stylized frame and index."""
    shot = ShotColors(np.concatenate([frame.reshape(-1, 3)[::997] for frame in contents]), 0, len(contents))
    palettes = {
        "palette": PaletteStyler([style], 12, 0),
        "palette of the content": PaletteStyler([style], 12, 0, shot=shot),
        "drifting palette": PaletteStyler([style], 12, 0, shot=shot, drift=True),
        "ordered dither": PaletteStyler([style], 12, 0, dither="ordered"),
        "blue noise": PaletteStyler([style], 12, 0, shot=shot, dither="blue_noise"),
    }
    cells = {
        "superpixel": SuperpixelStyler([style], CELLS, 0),
        "superpixel without lines": SuperpixelStyler([style], CELLS, 0, border_width=0),
        "superpixel of mean color": SuperpixelStyler([], CELLS, 0),
    }
    found: dict[str, Callable[[RGB, RGB | None, int], RGB]] = {
        name: lambda rgb, previous, index, styler=styler: styler.stylize_frame(rgb, previous, index=index)  # type: ignore[misc]
        for name, styler in palettes.items()
    }
    found |= {
        name: lambda rgb, previous, _, styler=styler: styler.stylize_frame(rgb, previous)  # type: ignore[misc]
        for name, styler in cells.items()
    }
    found["superpixel, cut anew"] = lambda rgb, _, __: cells["superpixel of mean color"].stylize_frame(rgb)
    if find_spec("skimage"):
        found["scikit-image SLIC, cut anew"] = lambda rgb, _, __: scikit_image_cells(rgb)
    return found


def scikit_image_cells(rgb: RGB) -> RGB:
    """Cells of scikit-image's SLIC in the mean color of their content, with the lines of ours."""
    from skimage.segmentation import slic

    from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
    from pipeline.stylers.cells import cell_means, lines_between
    from pipeline.stylers.colors import smooth_regions

    smooth = smooth_regions(rgb)
    labels = np.asarray(slic(smooth, CELLS, compactness=10, start_label=0), np.int32)
    lab = oklab_from_srgb(smooth)
    colors = srgb_from_oklab(cell_means(lab, labels, np.zeros((int(labels.max()) + 1, 3), np.float32)))
    line_px = max(2, round((labels.size / (labels.max() + 1)) ** 0.5 / 12))
    return np.asarray(np.rint(colors[labels] * (1 - 0.37 * lines_between(labels, line_px))[..., None]), np.uint8)


def mean_change(frames: list[RGB]) -> float:
    """Mean absolute change between neighboring frames, levels of 255, without the first two, which settle."""
    return float(np.mean([np.abs(b.astype(int) - a).mean() for a, b in itertools.pairwise(frames[2:])]))


if __name__ == "__main__":
    main()
