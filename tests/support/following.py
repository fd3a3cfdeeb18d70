"""Clips in which the content changes while the camera stands still, made of real photographs.

A day passes, fog rolls in, the picture fades, something enters: what a stylized clip must follow. The photographs are
given by the caller, uint8 (H, W, 3) RGB; every clip is a list of frames of that size. What is random is drawn from a
seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
Plane = NDArray[np.float32]

FRAMES: Final = 48
FOG_COLOR: Final = (203, 208, 213)


class Light(NamedTuple):
    """The light of one hour: factors of red, green and blue, contrast around the mean, and from where it shines.

    `side` is the relative difference of the factors between the right and left edge; positive: light from the right.
    """

    gain: tuple[float, float, float]
    contrast: float
    side: float


DAY: Final[tuple[tuple[float, Light], ...]] = (
    (0.00, Light((0.10, 0.13, 0.24), 0.60, 0.0)),
    (0.12, Light((0.13, 0.16, 0.28), 0.60, -0.1)),
    (0.26, Light((1.10, 0.72, 0.52), 0.75, -0.7)),
    (0.46, Light((1.00, 1.00, 1.00), 1.00, 0.0)),
    (0.54, Light((1.00, 1.00, 1.00), 1.00, 0.0)),
    (0.76, Light((1.15, 0.80, 0.45), 1.10, 0.7)),
    (0.90, Light((0.22, 0.17, 0.28), 0.65, 0.2)),
    (1.00, Light((0.10, 0.13, 0.24), 0.60, 0.0)),
)
"""Times of the day as fractions of the clip: night, first light, dawn, noon, golden hour, dusk, night."""


def rolling_fog(photo: RGB, count: int = FRAMES, *, seed: int = 0) -> list[RGB]:
    """Banks of fog drift over the photograph, thicken until nothing is seen, and clear.

    The first eighth and the last eighth of the clip are the photograph itself, the middle is `FOG_COLOR` alone.
    """
    height, width = photo.shape[:2]
    rng = np.random.default_rng(seed)
    banks = [(_soft_noise(height, 2 * width, fraction * width, rng), speed) for fraction, speed in _BANKS]
    frames = []
    for index in range(count):
        at = index / max(1, count - 1)
        density = np.interp(at, (1 / 8, 7 / 16, 9 / 16, 7 / 8), (0, 1, 1, 0))
        noise = np.mean([np.roll(bank, round(speed * width * index), axis=1)[:, :width] for bank, speed in banks], 0)
        amount = np.clip(2 * density - 1 + (noise - noise.min()) / np.ptp(noise), 0, 1)
        amount = amount * amount * (3 - 2 * amount)
        frames.append(_blended(photo, np.broadcast_to(np.array(FOG_COLOR, np.float32), photo.shape), amount))
    return frames


_BANKS = ((0.12, 0.012), (0.05, 0.020))
"""Standard deviation of the blur and drift per frame of each layer, over the width."""


def passing_day(photo: RGB, count: int = FRAMES) -> list[RGB]:
    """A day's light over the photograph: blue night, warm dawn from the left, noon, golden light from the right, night.

    Noon is the photograph itself, the first and the last frame are equal.
    """
    times = [time for time, _ in DAY]
    across = np.linspace(-1, 1, photo.shape[1], dtype=np.float32)[None, :, None]
    mean = photo.mean(axis=(0, 1), dtype=np.float64)
    frames = []
    for index in range(count):
        at = index / max(1, count - 1)
        red, green, blue, contrast, side = (
            np.interp(at, times, [(*light.gain, light.contrast, light.side)[part] for _, light in DAY])
            for part in range(5)
        )
        lit = (mean + contrast * (photo - mean)).clip(0, 255) * (1 + side / 2 * across) * (red, green, blue)
        frames.append(_levels(lit))
    return frames


def fade_to_black(photo: RGB, count: int = FRAMES) -> list[RGB]:
    """The photograph, which fades linearly to black: the first eighth is as it is, the last eighth is black."""
    times = np.arange(count) / max(1, count - 1)
    return [_levels(photo * np.interp(at, (1 / 8, 7 / 8), (1, 0))) for at in times]


def fade_from_black(photo: RGB, count: int = FRAMES) -> list[RGB]:
    """`fade_to_black` backward."""
    return fade_to_black(photo, count)[::-1]


class Cutout(NamedTuple):
    """Something cut out of a photograph: uint8 (h, w, 3), and how much of every pixel belongs to it, (h, w), 0 to 1."""

    rgb: RGB
    mask: Plane


def cut_out(photo: RGB, center: tuple[float, float], height_px: int, *, aspect: float = 1.0, seed: int = 0) -> Cutout:
    """A blob around `center` (x, y as fractions of the photograph), with an uneven, soft edge.

    It is as large as the photograph allows, `aspect` times as wide as high, and scaled to `height_px`.
    """
    height, width = photo.shape[:2]
    x, y = center[0] * width, center[1] * height
    half = min(y, height - y, x / aspect, (width - x) / aspect)
    top, left = round(y - half), round(x - half * aspect)
    crop = photo[top : round(y + half), left : round(x + half * aspect)]
    size = (max(1, round(height_px * aspect)), height_px)
    down, right = np.mgrid[-1 : 1 : height_px * 1j, -1 : 1 : size[0] * 1j]
    angle = np.arctan2(down, right)
    rng = np.random.default_rng(seed)
    waves = sum(a * np.cos(k * angle + phase) for k, (a, phase) in enumerate(rng.uniform(0, (0.05, 6.28), (4, 2)), 2))
    soft = max(0.08, 3 / height_px)
    inside = (0.8 + waves - np.hypot(down, right)) / soft
    return Cutout(
        np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(np.clip(0.5 + inside, 0, 1), np.float32),
    )


def something_enters(background: RGB, thing: Cutout, count: int = FRAMES) -> list[RGB]:
    """`thing` comes in at the left, crosses the static background on a wave, and leaves at the right.

    The first and the last eighth of the clip are the background alone.
    """
    height, width = background.shape[:2]
    high, wide = thing.mask.shape
    planes = np.dstack([thing.rgb.astype(np.float32) * thing.mask[..., None], thing.mask])
    frames = []
    for index in range(count):
        at = (index / max(1, count - 1) - 1 / 8) * 8 / 6
        if not 0 < at < 1:
            frames.append(background.copy())
            continue
        x = -wide + at * (width + wide)
        y = 0.6 * height - high / 2 + 0.06 * height * math.sin(2 * math.pi * at)
        moved = cv2.warpAffine(planes, np.array([[1, 0, x], [0, 1, y]]), (width, height), flags=cv2.INTER_LINEAR)
        mask = moved[..., 3:]
        frames.append(_levels(background * (1 - mask) + moved[..., :3]))
    return frames


CLIPS: Final[dict[str, Callable[[RGB, int], list[RGB]]]] = {
    "fog": rolling_fog,
    "day": passing_day,
    "fade_to_black": fade_to_black,
    "fade_from_black": fade_from_black,
}
"""The clips that are made of one photograph, by name; `something_enters` needs two."""


def _soft_noise(height: int, width: int, blur_px: float, rng: np.random.Generator) -> Plane:
    """Periodic noise of variance 1, (H, W), smoothed by a Gaussian."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    response = np.exp(-2 * (math.pi * blur_px) ** 2 * (rows**2 + columns**2))
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) * response, s=(height, width))
    return np.asarray(noise / noise.std(), np.float32)


def _blended(under: RGB, over: NDArray[np.float32], amount: NDArray[np.floating]) -> RGB:
    return _levels(under * (1 - amount[..., None]) + over * amount[..., None])


def _levels(values: NDArray[np.floating]) -> RGB:
    return np.asarray(np.rint(values).clip(0, 255), np.uint8)
