"""How the stylized frames of a clip follow its content, frame after frame, in memory that does not grow with the clip.

`Follower` is given the frames in order. It keeps small images of the first frame of the shot and of some frames since,
and the images of the darkest and the brightest frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.changes import COLOR_SIGMA, LEAST_DIFFERENCE, LEAST_FRACTION, content_difference
from pipeline.evaluate.figures import RowName
from pipeline.evaluate.light import (
    Light,
    blurred,
    change_correlation,
    light_correlation,
    light_of,
    light_of_content,
    small,
)
from pipeline.evaluate.measures import mean_luma
from pipeline.types import StyleColors

RGB = NDArray[np.uint8]

MAX_EARLIER: Final = 16
"""At most so many earlier frames of a shot are remembered, evenly spread over it."""
RETURNED_DIFFERENCE: Final = 0.02
"""Content has come back to what it was where it differs by less than this, of the range."""


class Followed(NamedTuple):
    """How one image follows the content. None: cannot be said of this frame.

    `light` and `change` are correlations (`pipeline.evaluate.light`). `trail` is the mean absolute difference, in
    levels, to earlier frames, where the content was like now and something else in between.
    """

    light: float | None = None
    change: float | None = None
    trail: float | None = None


@dataclass(frozen=True, slots=True)
class Extreme:
    """The darkest or the brightest frame of the content, with its mean luma in levels, and the images of that frame."""

    frame: int
    luma: float
    content: RGB
    images: Mapping[RowName, RGB]


@dataclass(slots=True)
class _Earlier:
    """An earlier frame: its content and its blurred images, small, and how far the content has been from it since."""

    frame: int
    content: RGB
    images: dict[RowName, NDArray[np.float32]]
    farthest: NDArray[np.float32]


@dataclass(slots=True)
class _Shot:
    """What is remembered of a shot; the first light of an image is that of the first frame that has it."""

    index: int
    interval: int = 1
    count: int = 0
    first: dict[RowName, tuple[Light, Light]] = field(default_factory=dict)
    earlier: list[_Earlier] = field(default_factory=list)


class Follower:
    """Measures the frames of a clip one after the other."""

    def __init__(self, colors: StyleColors) -> None:
        self._colors = colors
        self._shot: _Shot | None = None
        self.extremes: dict[Literal["darkest", "brightest"], Extreme] = {}
        """Of the frames so far; the first of equal ones."""

    def add(self, frame: int, content: RGB, images: Mapping[RowName, RGB], *, shot: int = 0) -> dict[RowName, Followed]:
        """Measure the images of the next frame; all are uint8 (H, W, 3) of one size.

        A frame of another `shot` than the one before is the first of its shot.
        """
        if self._shot is None or self._shot.index != shot:
            self._shot = _Shot(shot)
        self._update_extremes(frame, content, images)
        expected = light_of_content(content, self._colors)
        trails = _trails(self._shot, frame, content, images)
        found = {}
        for name, image in images.items():
            light = light_of(image)
            first_light, first_expected = self._shot.first.setdefault(name, (light, expected))
            found[name] = Followed(
                light_correlation(light, expected),
                change_correlation(light, expected, first_light, first_expected),
                trails.get(name),
            )
        return found

    def _update_extremes(self, frame: int, content: RGB, images: Mapping[RowName, RGB]) -> None:
        extreme = Extreme(frame, mean_luma(content), content, images)
        darkest, brightest = (self.extremes.setdefault(name, extreme) for name in ("darkest", "brightest"))
        if extreme.luma < darkest.luma:
            self.extremes["darkest"] = extreme
        if extreme.luma > brightest.luma:
            self.extremes["brightest"] = extreme


def _trails(shot: _Shot, frame: int, content: RGB, images: Mapping[RowName, RGB]) -> dict[RowName, float]:
    """The difference of every image to earlier ones where the content has come back; and remember the frame.

    Mean over all pairs of this frame with a remembered one, weighted by the area that has come back. Left out are
    images of which that is less than 0.2 percent.
    """
    reduced = small(content)
    blurs = {name: blurred(small(image).astype(np.float32), COLOR_SIGMA) for name, image in images.items()}
    sums = dict.fromkeys(images, 0.0)
    counts = dict.fromkeys(images, 0)
    for earlier in shot.earlier:
        # Blurred as much as the stylized frames, whose difference would else be that of something beside the area.
        distance = content_difference(reduced, earlier.content, COLOR_SIGMA)
        returned = (distance < RETURNED_DIFFERENCE) & (earlier.farthest > LEAST_DIFFERENCE)
        np.maximum(earlier.farthest, content_difference(reduced, earlier.content), out=earlier.farthest)
        for name in images.keys() & earlier.images.keys() if returned.any() else ():
            sums[name] += float(np.abs(blurs[name] - earlier.images[name]).mean(axis=2)[returned].sum())
            counts[name] += int(returned.sum())
    if shot.count % shot.interval == 0:
        shot.earlier.append(_Earlier(frame, reduced, blurs, np.zeros(reduced.shape[:2], np.float32)))
    shot.count += 1
    if len(shot.earlier) > MAX_EARLIER:
        shot.interval *= 2
        del shot.earlier[1::2]
    least = LEAST_FRACTION * reduced.shape[0] * reduced.shape[1]
    return {name: sums[name] / count for name, count in counts.items() if count >= max(1.0, least)}
