"""How long a render will take, and how much memory and disk it needs, before its first frame.

Seconds come from earlier renders on this machine, where one was like it (`workflows.remembered`), else from a few
evaluations that are measured, and the evaluations that the settings let expect (`workflows.cost`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.workflows.forecast.cost import cold_work, expected_work, measure, scales_of, warm_work, work_of
from pipeline.workflows.forecast.disk import in_words, needs
from pipeline.workflows.forecast.frames_left import FrameCounts, frames_left
from pipeline.workflows.forecast.memory import MemoryNeed, memory_need
from pipeline.workflows.forecast.remembered import output_key, recall, remember, style_keys
from pipeline.workflows.prepare import Prepared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.runtime.progress import Reporter

WRITE_S_PER_PX: Final = 0.18e-6
"""Processor time of finishing a frame, writing it as h264 and reading it back: 163 ms for 1280x720."""
MOST_WRITING_THREADS: Final = 8
BEGINNING_S: Final = 1.1
"""What a session takes until frames follow each other at their rate, where no session is remembered: clips of 16 and of
48 frames took as much more than the frames themselves."""
WORTH_MEASURING_PX: Final = 100_000_000
"""A render of fewer pixel evaluations (100 of a megapixel) is over soon, and begins without a measurement."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is left of a render: frames, seconds and memory (None: not known), and bytes of disk.

    `missing` are the networks that would have to be downloaded: of them nothing is known.
    """

    frames: FrameCounts
    seconds: float | None
    memory: MemoryNeed | None
    disk_bytes: int
    missing: tuple[str, ...] = ()

    def in_words(self) -> str:
        """As in `900 frames (3 cold, 897 warm): about 26 min, 1.2 GB of memory, 4.1 GB of disk`."""
        cold, warm, repeated = self.frames
        again = f", and {repeated:,} repeated" if repeated else ""
        frames = f"{cold + warm:,} frame{'' if cold + warm == 1 else 's'} ({cold:,} cold, {warm:,} warm{again})"
        needed = [f"{in_words(self.disk_bytes)} of disk"]
        if self.memory is not None:
            where = "" if self.memory.device == "cpu" else f" on {self.memory.device}"
            needed.insert(0, f"{in_words(self.memory.total)} of memory{where}")
        return (
            f"{frames if any(self.frames) else 'nothing to stylize'}: "
            f"{'time unknown' if self.seconds is None else about(self.seconds)}, {', '.join(needed)}"
        )

    def warnings(self) -> list[str]:
        """What stands in the way, or makes it slower, in sentences without a period."""
        found = [
            f"weights: those of {name} are not here: `tempera weights fetch {name}` gets them, and so does the render"
            for name in self.missing
        ]
        return [*found, self.memory.warning] if self.memory and self.memory.warning else found


def about(seconds: float) -> str:
    """`about 8 s`, `about 50 s`, `about 26 min`, `about 11 h 20 min`: no more digits than a forecast has."""
    if seconds < 20:
        return f"about {max(1, round(seconds))} s"
    if seconds < 97.5:
        return f"about {round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    hours, minutes = divmod(round(minutes / 5) * 5, 60)
    return f"about {hours:,} h {minutes:02d} min"


def tell_forecast(prepared: Prepared, reporter: Reporter) -> None:
    """Note what is left of a render that begins, if that is known or worth a measurement, and memory that won't do."""
    found = forecast(prepared, if_worth_it=True)
    if found.seconds is not None:
        reporter.note(f"forecast: {found.in_words()}")
    if found.memory is not None and not found.memory.suffices:
        reporter.note(found.memory.warning)


def forecast(
    prepared: Prepared,
    *,
    anew: bool = False,
    missing: tuple[str, ...] = (),
    if_worth_it: bool = False,
) -> Forecast:
    """What is left of a prepared render; with `anew` stored frames are ignored.

    What was measured goes into the cache folder; nothing else is written. With `if_worth_it` nothing is measured for a
    render that is over soon. `missing` networks are not looked at.

    Raises RenderDirectoryError if the directory cannot be read.
    """
    left = frames_left(prepared, anew=anew)
    total = FrameCounts(*map(sum, zip(FrameCounts(), *left.values(), strict=True)))
    configs = {name: prepared.configs[name] for name in left}
    disk = sum(need.expected for need in needs(prepared.plan, prepared.path, configs, prepared.outputs, anew=anew))
    if missing:
        return Forecast(total, None, None, disk, missing)
    styles = [name for name, frames in left.items() if frames.cold or frames.warm]
    memory = memory_need(prepared, styles) if styles else None  # before a measurement takes some, too
    parts = [_stylizing_s(prepared, name, frames, if_worth_it) for name, frames in left.items()]
    known = [part for part in parts if part is not None]
    writing = sum(_writing_s(prepared, name) for name in left)
    return Forecast(total, sum(known) + writing if len(known) == len(parts) else None, memory, disk)


def _stylizing_s(prepared: Prepared, style: str, frames: FrameCounts, if_worth_it: bool) -> float | None:
    """Seconds until the frames of a style are stored; None: nothing is known, and measuring is not worth it."""
    config, size = prepared.configs[style], (prepared.plan.height_px, prepared.plan.width_px)
    keys = style_keys(config, prepared.resources[style], size)
    known = recall(keys)
    if not all(_rate(known, phase) for phase, count in zip(("cold", "warm"), frames, strict=False) if count):
        if if_worth_it and expected_work(config, size, frames.cold, frames.warm) < WORTH_MEASURING_PX:
            return None
        found = measure(config, size, prepared.resources[style], largest=True, motion=frames.warm > 0)
        measured = {
            "measured_cold": found.rate,
            "measured_warm": found.rate * warm_work(config, size, found.beside) / work_of(size),
            "setup": found.setup_s,
        }
        remember({keys[0]: measured})
        known = measured | known
    anew = frames.warm * known.get("anew", 0.0)
    seconds = (frames.cold + anew) * cold_work(config, size) * _rate(known, "cold")
    if "cold" not in known:
        seconds += BEGINNING_S + (known["setup"] * len(scales_of(config, size)) if frames.cold else 0.0)
    return seconds + (frames.warm - anew) * work_of(size) * _rate(known, "warm")


def _rate(known: Mapping[str, float], phase: str) -> float:
    """Seconds for each unit of a phase: as renders took them, else as measured, else 0."""
    return known.get(phase) or known.get(f"measured_{phase}", 0.0)


def _writing_s(prepared: Prepared, style: str) -> float:
    """Seconds of finishing and writing the result of a style."""
    import torch

    plan, config = prepared.plan, prepared.configs[style]
    known = recall([output_key(config, prepared.resources[style], prepared.outputs[style].suffix)])
    if "write" in known:
        return known["write"] * plan.source.frame_count * work_of((plan.height_px, plan.width_px))
    threads = min(config.runtime.threads or torch.get_num_threads(), MOST_WRITING_THREADS)
    return WRITE_S_PER_PX / threads * plan.source.frame_count * plan.width_px * plan.height_px
