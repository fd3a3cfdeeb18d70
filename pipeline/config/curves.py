"""Curves: a number that changes during the clip, as points with easing, by time or by what is measured in the frames.

A curve by time is a list of points. `at` is a frame of the rendered clip, counted from 0, or a time after its first
frame (`3s`), or a part of the time from the first frame to the last (`50%`):

    [{at: 0, value: 100}, {at: 3s, value: 0, ease: smooth}]

A curve that follows something has a value for each amount of it, in [0, 1]: of light, or of the area of a mask:

    {follow: light, points: [{at: 0.1, value: 0}, {at: 0.7, value: 100}]}
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, model_validator

Ease = Literal["linear", "smooth", "in", "out", "hold"]
EASES: Final[Mapping[str, Callable[[float], float]]] = {
    "linear": lambda t: t,
    "smooth": lambda t: t * t * (3 - 2 * t),
    "in": lambda t: t * t,
    "out": lambda t: t * (2 - t),
    "hold": lambda _: 0.0,
}
"""How far a value has come at the part t in [0, 1) of the way to a point; at the point itself it has arrived."""
MAX_POINTS: Final = 1000
_TIME: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(s|%)", re.ASCII)
_LAST_FRAME: Final = 10**9


class Point(BaseModel):
    """One point of a curve."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: StrictInt | StrictFloat | str = Field(
        description="By time: a frame of the rendered clip from 0, a time such as '1.5s' after its first frame, or a "
        "part such as '50%' of the time to its last one. Else the amount of what is followed, from 0 to 1."
    )
    value: StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] = Field(
        description="The value there; before the first point and after the last one it stays."
    )
    ease: Ease = Field(
        "linear",
        description="How the value comes here from the point before: linear, smooth (slow at both ends), "
        "in (slow at first), out (slow at last), hold (not until here).",
    )

    @property
    def moment(self) -> tuple[float, str]:
        """`at` as an amount and its unit: `frame`, `s` or `%`. Raises ValueError for anything else."""
        if isinstance(self.at, int) and 0 <= self.at <= _LAST_FRAME:
            return self.at, "frame"
        found = _TIME.fullmatch(self.at) if isinstance(self.at, str) else None
        if found is None:
            raise ValueError(f"{str(self.at)[:40]!r} is no frame such as 12, no time such as 1.5s, no part such as 50%")
        return float(found[1]), found[2]


class Curve(BaseModel):
    """A number that changes: by time, by the light of the content, or by how much of the frame a region covers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    follow: Literal["time", "light", "mask"] = Field(
        "time",
        description="What the points stand at: time; light (mean brightness of the content, from 0 to 1, smoothed "
        "over time); or mask (the fraction of the frame that a region covers).",
    )
    region: str = Field("", max_length=64, description="With `follow: mask`: the region.")
    points: tuple[Point, ...] = Field(min_length=1, max_length=MAX_POINTS, description="The points, in order.")

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, data: Any) -> Any:
        return {"points": data} if isinstance(data, list | tuple) else data

    @model_validator(mode="after")
    def _in_order(self) -> Curve:
        if bool(self.region) != (self.follow == "mask"):
            raise ValueError("a curve with `follow: mask` names its region, and no other does")
        last: dict[str, float] = {}
        for point in self.points:
            if self.follow == "time":
                amount, unit = point.moment
            elif isinstance(point.at, str) or not 0 <= point.at <= 1:
                raise ValueError(f"`at` is from 0 to 1 where a curve follows something, not {str(point.at)[:40]}")
            else:
                amount, unit = point.at, ""
            if amount <= last.get(unit, -1):
                raise ValueError(f"the points must be in order, each later than the one before; see {point.at}")
            last[unit] = amount
        return self

    @property
    def most(self) -> float:
        """The largest of the values: the curve stays between it and the smallest one."""
        return max(point.value for point in self.points)

    def reaches(self, value: Any) -> bool:
        """Whether a value is a number between the smallest and the largest one."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return rounded(min(point.value for point in self.points)) <= value <= rounded(self.most)

    def plain(self) -> Any:
        """The curve as it stands in a config."""
        points = [point.model_dump() for point in self.points]
        if self.follow == "time":
            return points
        region = {"region": self.region} if self.region else {}
        return {"follow": self.follow, **region, "points": points}

    def value_at(self, positions: Sequence[float], position: float) -> float:
        """The value at `position`, where the points stand at `positions`, in order."""
        following = bisect_right(positions, position)
        if position <= positions[0]:
            return self.points[0].value
        if following == len(self.points):
            return self.points[-1].value
        start, stop = positions[following - 1 : following + 1]
        before, point = self.points[following - 1 : following + 1]
        way = EASES[point.ease]((position - start) / (stop - start))
        return before.value + (point.value - before.value) * way

    def __str__(self) -> str:
        """For people: `100 at 0 s, 0 at 3 s (smooth)`."""
        return ", ".join(
            f"{point.value:g} at {self._place(point)}{'' if point.ease == 'linear' else f' ({point.ease})'}"
            for point in self.points
        )

    def _place(self, point: Point) -> str:
        if self.follow == "time":
            amount, unit = point.moment
            return f"frame {amount:g}" if unit == "frame" else f"{amount:g} {unit}"
        return f"light {point.at}" if self.follow == "light" else f"{point.at} of {self.region}"


def rounded(value: float) -> float:
    """A value to six digits: no platform's arithmetic differs there, and no eye sees the rest."""
    return float(f"{value:.6g}")


def is_curve(value: Any) -> bool:
    """Whether plain data is meant as a curve, right or wrong."""
    if isinstance(value, list | tuple):
        return bool(value) and isinstance(value[0], Mapping) and "at" in value[0]
    return isinstance(value, Mapping) and "points" in value and set(value) <= set(Curve.model_fields)
