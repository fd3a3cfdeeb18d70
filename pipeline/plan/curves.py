"""Curves resolved for the frames of a clip: the values that the plan holds, so that resume and segments need no more.

The values of curves under `output` are not in the plan: they are resolved when the video is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.config.curves import Curve, rounded
from pipeline.config.finish import FinishSettings
from pipeline.config.section import Settings, curves_of, with_values
from pipeline.config.settings import Config
from pipeline.errors import ConfigError, RenderDirectoryError
from pipeline.types import RenderPlan, Source

FrameValues = Mapping[str, Sequence[float]]
"""By dotted key of the config, the value of its curve at every frame."""
RECENT_FRAMES: Final = 12
"""So many frames after a change of weights the strokes still settle."""
_OUTPUT: Final = "output."
_WEIGHT: Final = re.compile(r"losses\..*\.weight|regions\.[0-9]+\.content_weight")


@dataclass(frozen=True, slots=True)
class Drivers:
    """What curves follow, for every frame, in [0, 1]: the light, and by region the fraction that it covers."""

    light: Sequence[float] = ()
    regions: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clock:
    """When each frame appears, in seconds after the first one, and how long the last one stays."""

    times: Sequence[float] = (0.0,)
    last_s: float = 0.0

    @classmethod
    def of(cls, source: Source) -> Clock:
        """The clock of the rendered frames of a source."""
        times = [float((pts - source.pts[0]) * source.time_base) for pts in source.pts]
        return cls(times, float(source.duration_ticks * source.time_base))

    def frame(self, index: int) -> float:
        """When a frame appears, also one behind the last, as if the clip went on."""
        behind = index - len(self.times) + 1
        return self.times[index] if behind <= 0 else self.times[-1] + behind * self.last_s


def stylizing_curves(config: Config) -> dict[str, Curve]:
    """The curves that change how frames are stylized, by dotted key: all but those of the finish."""
    return {key: curve for key, curve in curves_of(config).items() if not key.startswith(_OUTPUT)}


def stylizing_values(config: Config, clock: Clock, drivers: Drivers) -> FrameValues:
    """The values of every curve that changes how frames are stylized.

    Raises ConfigError where the points of a curve are out of order in this clip, where it follows a region that the
    style does not have, and where a frame is left without a style image.
    """
    found = _resolved(config, stylizing_curves(config), clock, drivers, f"style {config.name!r}")
    for images in sorted({key[: key.rindex(".images.")] + ".images" for key in found if ".images." in key}):
        weights = [
            found.get(f"{images}.{number}.weight", (image.weight,) * len(clock.times))
            for number, image in enumerate(_setting(config, images))
        ]
        empty = next((index for index, frame in enumerate(zip(*weights, strict=True)) if not any(frame)), None)
        if empty is not None:
            raise ConfigError(
                f"style {config.name!r}: at frame {empty} every image of {images} has weight 0",
                hint="let the weight of one of them stay above 0, or add points to its curve",
            )
    return found


def finish_settings(
    plan: RenderPlan, finish: FinishSettings, name: str, regions: FrameValues | None = None
) -> Callable[[int], FinishSettings]:
    """A finish for every frame of a plan, by index; `name` says in errors whose it is.

    `regions` has by region the fraction of each frame that it covers, where curves follow it. Raises ConfigError as
    `stylizing_values` does.
    """
    from pipeline.analysis.driving import measured_light

    drivers = Drivers(measured_light(plan.levels, plan.shots) if plan.levels else (), regions or {})
    values = _resolved(finish, curves_of(finish), Clock.of(plan.source), drivers, f"{name}: finish")
    return lambda index: with_values(finish, values_at(values, index))


def values_at(values: FrameValues, index: int) -> dict[str, float]:
    """The values at one frame, as `with_values` takes them."""
    return {key: own[index] for key, own in values.items()}


def recent_changes(config: Config, values: FrameValues, interval: int = 1) -> list[float]:
    """How much the weights of the objective changed at each frame, in [0, 1]; all 0 if they never do.

    The change since the frame that is `interval` earlier is the part of a style, that of the frame or of a region, that
    is exchanged, or the part of a weight that comes or goes, whichever is largest. It fades over the next
    `RECENT_FRAMES`. Where chains begin makes no difference.
    """
    if not values:
        return []
    count = len(next(iter(values.values())))
    styles = {"": config.style} | {f"regions.{number}.": it.style for number, it in enumerate(config.regions)}
    exchanges: list[list[list[float]]] = []
    weights = [own for key, own in values.items() if _WEIGHT.fullmatch(key)]
    for prefix, style in styles.items():
        images = [
            values.get(f"{prefix}style.images.{number}.weight", (image.weight,) * count)
            for number, image in enumerate(style.images if style else ())
        ]
        if images:
            totals = [sum(frame) for frame in zip(*images, strict=True)]
            exchanges.append([[part / total for part, total in zip(own, totals, strict=True)] for own in images])
            weights.append(totals)
    steps = [0.0]
    for index in range(1, count):
        earlier = max(0, index - interval)
        exchanged = max(sum(abs(own[index] - own[earlier]) for own in parts) / 2 for parts in exchanges)
        pairs = [(own[earlier], own[index]) for own in weights]
        steps.append(max(exchanged, *(abs(old - new) / (max(old, new) or 1) for old, new in pairs)))
    fading = [1 - distance / RECENT_FRAMES for distance in range(RECENT_FRAMES)]
    return [
        max(steps[index - distance] * rest for distance, rest in enumerate(fading[: index + 1]))
        for index in range(count)
    ]


def curve_identity(name: str, values: FrameValues) -> dict[str, list[float]]:
    """What the identity of a render holds of the curves of a style."""
    return {f"{_prefix(name)}{key}": list(own) for key, own in values.items()}


def planned_values(plan: RenderPlan, name: str, config: Config) -> FrameValues:
    """The values of a style's curves as a plan holds them. Raises RenderDirectoryError if it does not."""
    found: dict[str, list[float]] = {}
    for key, curve in stylizing_curves(config).items():
        own = plan.identity.get(f"{_prefix(name)}{key}")
        if not isinstance(own, list) or len(own) != plan.source.frame_count or not all(map(curve.reaches, own)):
            raise RenderDirectoryError(
                f"the plan has no value of {key} for every frame of {name!r}",
                hint="begin anew with --fresh (the old folder is moved aside) or another --workdir",
            )
        found[key] = own
    return found


def _prefix(name: str) -> str:
    return f"styles.{name}.curves."


def _resolved(section: Settings, curves: Mapping[str, Curve], clock: Clock, drivers: Drivers, name: str) -> FrameValues:
    found = {}
    for key, curve in curves.items():
        where = f"{name}: {key}"
        positions = _positions(curve, clock, where)
        driver = clock.times if curve.follow == "time" else _driver(curve, drivers, where)
        whole = isinstance(_setting(section, key), int)
        values = [curve.value_at(positions, amount) for amount in driver]
        found[key] = tuple(round(value) if whole else rounded(value) for value in values)
    return found


def _setting(section: Settings, key: str) -> Any:
    """What stands in a section at a dotted key."""
    found: Any = section
    for part in key.split("."):
        if isinstance(found, Mapping):
            found = found[part]
        else:
            found = found[int(part)] if isinstance(found, tuple) else getattr(found, part)
    return found


def _positions(curve: Curve, clock: Clock, where: str) -> list[float]:
    """Where the points of a curve stand: seconds after the first frame, or amounts of what it follows."""
    if curve.follow != "time":
        return [float(point.at) for point in curve.points]
    last = clock.times[-1]
    found: list[float] = []
    for point in curve.points:
        amount, unit = point.moment
        if unit == "frame":
            found.append(clock.frame(int(amount)))
        else:
            found.append(amount if unit == "s" else amount / 100 * last)
    for before, after in zip(range(len(found)), range(1, len(found)), strict=False):
        if found[before] > found[after] or (found[before] == found[after] and last > 0):
            raise ConfigError(
                f"{where}: in this clip {curve.points[after].at} is not later than {curve.points[before].at} "
                f"({found[after]:.3f} s and {found[before]:.3f} s)",
                hint="put the points in order; frames, seconds and parts count from the first rendered frame",
            )
    return found


def _driver(curve: Curve, drivers: Drivers, where: str) -> Sequence[float]:
    if curve.follow == "light":
        if not drivers.light:
            raise ConfigError(
                f"{where}: follows the light, which is not measured in a single frame or a damaged input",
                hint="give a number, or a curve by time",
            )
        return drivers.light
    if curve.region not in drivers.regions:
        known = ", ".join(sorted(drivers.regions)) or "none"
        raise ConfigError(
            f"{where}: follows the region {curve.region!r}; known here: {known}",
            hint="name a region of the style; a composition has none",
        )
    return drivers.regions[curve.region]
