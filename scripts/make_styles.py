"""Make the style images that ship with Tempera: `configs/images/<name>.jpg`.

    python scripts/make_styles.py [NAME ...] [--out FOLDER]

Every image is computed by our own code in `scripts/style_art` from a seed, so that the styles carry no one else's
rights and anyone can make them again. The numbers are the same on every run; another NumPy or OpenCV may round a pixel
differently, which is why the JPEGs are committed and renders read those. The last line is about the last image:
path, size in px and kB, and seconds.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))


@dataclass(frozen=True)
class Style:
    """A shipped style image: the module that draws it, its width in pixels, its seed, its JPEG quality."""

    name: str
    width_px: int
    seed: int = 7
    jpeg_quality: int = 88


STYLES: tuple[Style, ...] = (
    Style("swirl", 768),
    Style("pointillist", 768, jpeg_quality=84),
    Style("woodcut", 896),
    Style("stainedglass", 768),
    Style("watercolor", 896),
    Style("ink", 896),
    Style("oil", 896),
)


def make_style_image(name: str, width_px: int, seed: int = 7) -> NDArray[np.uint8]:
    """The image of style `name` as (H, W, 3) uint8 sRGB, `width_px` wide; the same on every call."""
    style = importlib.import_module(f"style_art.{name}")
    image: NDArray[np.uint8] = style.make_image(width_px, seed)
    return image


def save_jpeg(image: NDArray[np.uint8], path: Path, quality: int) -> None:
    """Writes `image` (H, W, 3) sRGB without color subsampling: thin colored strokes are the point of a style."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise RuntimeError(f"cannot encode {path}")
    partial = path.with_suffix(".part")
    partial.write_bytes(data.tobytes())
    os.replace(partial, path)  # noqa: PTH105 (Path.replace reads like str.replace; this is the atomic rename)


def main() -> None:
    """Make the style images that are named on the command line, or all of them."""
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Make the style images that ship with Tempera.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="styles to make (default: all)")
    parser.add_argument("--out", type=Path, default=root / "configs" / "images", help="folder for the JPEGs")
    arguments = parser.parse_args()
    known = {style.name: style for style in STYLES}
    for name in arguments.names:
        if name not in known:
            parser.error(f"no style {name!r}; there are {', '.join(known)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or known:
        started = time.perf_counter()
        style = known[name]
        image = make_style_image(name, style.width_px, style.seed)
        path = arguments.out / f"{name}.jpg"
        save_jpeg(image, path, style.jpeg_quality)
        height, width = image.shape[:2]
        print(f"{path}  {width}x{height}  {path.stat().st_size / 1000:.0f} kB  {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
