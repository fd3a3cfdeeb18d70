"""Weave and rainbow grain of cold frames: fine lines along the axes, and color that changes within a few pixels.

    python scripts/bench/weave.py --data DATA [-o FOLDER] [--sizes 512 768 1024 1920] [--set KEY=VALUE ...]

The content is smooth noise without direction (at 768 px, or at every size given), the photographs of the reference
images in DATA/reference at 512 px, and one photograph at 320 px with pale styles. For every stylized frame, its style
image at the size it was compared at, and the reference image, if there is one:

- axis ratio: in the luma's spectrum at 0.2 to 0.48 cycles per px, mean energy within 1.8 degrees of the axes over the
  mean of all; 1 for a texture without direction,
- strokes: mean energy at 0.05 to 0.2 cycles per px,
- color: mean energy of Cb and Cr at 0.1 to 0.5 cycles per px.

Energies are those of white noise with that variance, in squared levels of 255. `-o` keeps the frames. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from machine import environment
from numpy.typing import NDArray

from pipeline.config.catalog import load_style
from pipeline.media.image.arrays import fit_size, resize, to_tensor, to_uint8
from pipeline.media.image.load import load_rgb
from pipeline.media.image.png import save_png
from pipeline.stylers.resources import find_resources
from pipeline.stylers.scales import style_image_size
from pipeline.stylers.table import build_styler
from pipeline.types import FrameBatch

Array = NDArray[Any]

SMOOTH_STYLE = "vangogh_starry_night_1889"
PALE = (("tubingen", "watercolor"), ("tubingen", "oil"))
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, help="folder for the frames")
    parser.add_argument("--encoder", default="compact")
    parser.add_argument("--sizes", type=int, nargs="*", default=[768], help="longer sides of the smooth content, in px")
    parser.add_argument("--set", action="append", default=[], help="a setting, key=value", dest="sets")
    options = parser.parse_args()
    references = sorted((options.data / "reference").glob("*__*.png"))
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        rows.append(case(f"smooth {size} px", smooth(size), find(options.data / "style", SMOOTH_STYLE), options))
    for path in references:
        content_name, style_name = path.stem.split("__")
        content = shown(find(options.data / "photo", content_name), 512)
        row = case(path.stem, content, find(options.data / "style", style_name), options)
        rows.append({**row, "reference": measured(load_rgb(path))})
    for content_name, style_name in PALE:
        content = shown(find(options.data / "photo", content_name), 320)
        rows.append(case(f"{content_name} 320 px, {style_name}", content, style_name, options))
    sys.stdout.write(
        json.dumps({"machine": environment(), "encoder": options.encoder, "sets": options.sets, "frames": rows}) + "\n"
    )


def case(name: str, content: Array, style: Path | str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one stylized frame and of its style image; also a line on stderr."""
    config = load_style(str(style), [f"encoder={options.encoder}", *options.sets])
    resources = find_resources(config)
    styler = build_styler(config, resources)
    began = time.perf_counter()
    stylized = styler.stylize(FrameBatch("cold", to_tensor(content)[None], None, (0,)))
    seconds = time.perf_counter() - began
    image, stats = to_uint8(stylized.images[0]), stylized.stats[0]
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        save_png(options.output / f"{name.replace(' ', '_').replace(',', '')}.png", image)
    style_rgb = load_rgb(Path(config.style.images[0].path))
    height, width = style_image_size(style_rgb.shape[:2], content.shape[:2], config.style.scale)
    row = {
        "frame": name,
        "stylized": measured(image),
        "style_image": measured(resize(style_rgb, width, height)),
        "content_loss": round(stats.content_loss, 4),
        "style_loss": round(stats.style_loss, 6),
        "seconds": round(seconds, 1),
    }
    sys.stderr.write(f"{name}: {row['stylized']}, style image {row['style_image']}\n")
    return row


def measured(rgb: Array) -> dict[str, float]:
    """Axis ratio, and energies of strokes and of fine color, of the square in the middle of an image."""
    side = min(rgb.shape[:2]) // 2 * 2
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    window = np.hanning(side)[:, None] * np.hanning(side)
    planes = np.einsum("oc,hwc->ohw", YCBCR, rgb[top : top + side, left : left + side].astype(float))
    planes -= planes.mean(axis=(1, 2), keepdims=True)
    luma, blue, red = np.abs(np.fft.fft2(planes * (window / np.sqrt(np.square(window).sum())))) ** 2
    y, x = (np.abs(axis) for axis in np.meshgrid(*(np.fft.fftfreq(side),) * 2, indexing="ij"))
    radius, degrees = np.hypot(x, y), np.degrees(np.arctan2(np.minimum(x, y), np.maximum(x, y)))
    band = (radius > 0.2) & (radius < 0.48)
    return {
        "axis_ratio": round(float(luma[band & (degrees < 1.8)].mean() / luma[band].mean()), 2),
        "strokes": round(float(luma[(radius > 0.05) & (radius < 0.2)].mean()), 1),
        "color": round(float((blue + red)[(radius > 0.1) & (radius < 0.5)].mean()), 1),
    }


def smooth(size: int) -> Array:
    """Low-pass noise, standard deviation 40 px, uint8 (3/4 size, size, 3)."""
    sigma = 40
    noise = np.random.default_rng(0).normal(size=(size * 3 // 4 + 8 * sigma, size + 8 * sigma, 3))
    blurred = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), sigma)[4 * sigma : -4 * sigma, 4 * sigma : -4 * sigma]
    scaled = 0.5 + 0.2 * (blurred - blurred.mean(axis=(0, 1))) / blurred.std(axis=(0, 1))
    return np.asarray(np.rint(scaled.clip(0, 1) * 255), np.uint8)


def find(folder: Path, stem: str) -> Path:
    return next(path for path in sorted(folder.iterdir()) if path.stem == stem)


def shown(path: Path, size: int) -> Array:
    rgb = load_rgb(path)
    height, width = rgb.shape[:2]
    landscape = width >= height
    return resize(rgb, *fit_size(width, height, size if landscape else None, None if landscape else size))


if __name__ == "__main__":
    main()
