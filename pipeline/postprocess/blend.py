"""Blending: a layer over what lies under it.

The formulas are those of W3C Compositing and Blending Level 1 (https://www.w3.org/TR/compositing-1/), for an opaque
backdrop Cb and a source Cs of opacity a, in gamma-encoded sRGB as there:

    Co = (1 - a) Cb + a B(Cb, Cs)

`luminosity` and `color` depart from it: lightness is the L of Oklab instead of 0.3 R + 0.59 G + 0.11 B, which takes
blue for darker than it looks, and a color outside sRGB loses chroma at the same lightness and hue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.bands import in_bands
from pipeline.media.image.depth import as_float
from pipeline.media.image.oklab import image_from_oklab, lightness_from_image, oklab_from_image
from pipeline.postprocess.effect import in_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Pixels

    Image = NDArray[np.float32]


def blend(backdrop: Pixels | Image, source: Pixels | Image, mode: str, alpha: Image | float) -> Image:
    """A layer `source` over `backdrop`, both (H, W, 3) sRGB, by a mode of `MODES`.

    Each is float32 in [0, 1], uint8 or uint16.

    `alpha` is its opacity in [0, 1], or a map of it, float32 (H, W). Where it is 0 the result is the backdrop, and
    where it is 1 the blended color, to the bit.
    """
    blended = MODES[mode]
    if np.ndim(alpha) == 0:
        part = float(alpha)

        def over(b: Pixels | Image, s: Pixels | Image) -> Image:
            b = as_float(b)
            return np.asarray(cv2.addWeighted(b, 1 - part, blended(b, s), part, 0), np.float32)

        return in_bands(over, backdrop, source)

    def masked(b: Pixels | Image, s: Pixels | Image, opacity: Image) -> Image:
        b = as_float(b)
        whole = in_channels(opacity)
        rest = 1 - whole
        rest *= b
        whole *= blended(b, s)
        rest += whole
        return rest

    return in_bands(masked, backdrop, source, np.asarray(alpha, np.float32))


def _normal(backdrop: Image, source: Pixels | Image) -> Image:  # noqa: ARG001 - all modes are called alike
    return as_float(source)


def _multiply(backdrop: Image, source: Pixels | Image) -> Image:
    return backdrop * as_float(source)


def _screen(backdrop: Image, source: Pixels | Image) -> Image:
    source = as_float(source)
    return backdrop + source - backdrop * source


def _overlay(backdrop: Image, source: Pixels | Image) -> Image:
    """Hard light with the layers exchanged, in one formula for both halves of the backdrop."""
    source = as_float(source)
    twice = backdrop + backdrop
    result = twice * source
    twice -= np.float32(1)
    np.maximum(twice, 0, out=twice)
    twice *= 1 - 2 * source
    result += twice
    return result


def _soft_light(backdrop: Image, source: Pixels | Image) -> Image:
    """Darker by the part of `2 source - 1` below 0, and lighter by that above."""
    light = np.where(backdrop <= 0.25, ((16 * backdrop - 12) * backdrop + 4) * backdrop, np.sqrt(backdrop))
    light -= backdrop
    part = 2 * as_float(source) - 1
    light *= np.maximum(part, 0)
    shade = backdrop - backdrop * backdrop
    shade *= np.minimum(part, 0, out=part)
    light += shade
    light += backdrop
    return light


def _luminosity(backdrop: Pixels | Image, source: Pixels | Image) -> Image:
    """The lightness of the source with the color of the backdrop."""
    lab = oklab_from_image(backdrop)
    cv2.insertChannel(lightness_from_image(source), lab, 0)  # much faster than slices of the last axis
    return image_from_oklab(lab)


def _color(backdrop: Image, source: Pixels | Image) -> Image:
    """The color of the source with the lightness of the backdrop."""
    return _luminosity(source, backdrop)


MODES: Final[dict[str, Callable[[Image, Pixels | Image], Image]]] = {
    "normal": _normal,
    "multiply": _multiply,
    "screen": _screen,
    "overlay": _overlay,
    "soft_light": _soft_light,
    "luminosity": _luminosity,
    "color": _color,
}
"""What each blend mode makes of a backdrop and a source where the source is opaque."""
