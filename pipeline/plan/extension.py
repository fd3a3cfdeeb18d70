"""Which stored frames of a render stay valid when a plan with more frames at its end takes the place of its own.

A frame depends on its content (and on how many frames are blended to it), on its tone curve, on the values of curves up
to it, and on the stored frames that it starts from; so of every chain the frames before the first difference are those
that the longer plan would give. A style with masks that are carried or averaged over a shot, or with colors of the
content, depends on the whole shot. The last frames of a loop depend on where it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.settings import Config
from pipeline.plan.curves import planned_values
from pipeline.plan.region_colors import planned_region_colors
from pipeline.plan.segments import Segments
from pipeline.types import Chain, RenderPlan


def kept_until(existing: RenderPlan, wanted: RenderPlan, configs: Mapping[str, Config]) -> dict[str, int]:
    """By id of every chain of `wanted`, the index before which frames stored for `existing` are those of `wanted`.

    `wanted` extends `existing` (see `pipeline.plan.comparison.extends`); `configs` are those of its styles by name.
    """
    before = {chain.id: chain for chain in existing.chains}
    segments = Segments(existing.chains), Segments(wanted.chains)
    same_values = {name: _same_values(existing, wanted, name, config) for name, config in configs.items()}
    old_blended, blended = (it.source.blended or (1,) * it.source.frame_count for it in (existing, wanted))
    kept: dict[str, int] = {}
    for chain in wanted.chains:  # keyframes stand before the segments that read them
        old = before.get(chain.id)
        kept[chain.id] = chain.start
        if old is None or not _begins_alike(old, chain, existing, wanted):
            continue
        config = configs[chain.style]
        if _needs_shot(config) and not _same_shot(old, chain, existing, wanted, config):
            continue
        if chain.keyframe_chain:
            approached = [found.next_keyframe(part) for found, part in zip(segments, (old, chain), strict=True)]
            if approached[0] != approached[1] or segments[1].last_keyframe(chain) >= kept[chain.keyframe_chain]:
                continue
        stop = min(old.stop, chain.stop, same_values[chain.style])
        if configs[chain.style].motion.loop:
            stops = (part.stop - found.loop_frames(part) for found, part in zip(segments, (old, chain), strict=True))
            stop = min(stop, *stops)
        stop = max(chain.start, stop)
        stop = _first_difference(old_blended, blended, range(chain.start, stop))
        kept[chain.id] = _first_difference(existing.exposure, wanted.exposure, range(chain.start, stop))
    return kept


def _begins_alike(old: Chain, chain: Chain, existing: RenderPlan, wanted: RenderPlan) -> bool:
    """Whether two chains of one id start in the same way, and `motion.hold` counts from the same frame."""
    starts = [(it.style, it.start, it.seed, it.interval, it.keyframe_chain) for it in (old, chain)]
    return starts[0] == starts[1] and existing.shots[old.shot].start == wanted.shots[chain.shot].start


def _needs_shot(config: Config) -> bool:
    """Whether every frame of a style depends on its whole shot."""
    return config.uses_shot_colors or any(it.mask.sky or it.mask.painted is not None for it in config.regions)


def _same_shot(old: Chain, chain: Chain, existing: RenderPlan, wanted: RenderPlan, config: Config) -> bool:
    """Whether two chains are of the same shot: its frames, their tone curves, its colors and those of its regions."""
    shots = existing.shots[old.shot], wanted.shots[chain.shot]
    frames = range(shots[0].start, shots[0].stop)
    colors = [
        (plan.shot_colors[shot:][:1], planned_region_colors(plan, config)[shot:][:1])
        for plan, shot in ((existing, old.shot), (wanted, chain.shot))
    ]
    alike = shots[0].stop == shots[1].stop and colors[0] == colors[1]
    return alike and _first_difference(existing.exposure, wanted.exposure, frames) == frames.stop


def _same_values(existing: RenderPlan, wanted: RenderPlan, name: str, config: Config) -> int:
    """The index of the first frame at which a curve of a style has another value; the end of `existing` if none has."""
    frames = range(existing.source.frame_count)
    old, new = (planned_values(plan, name, config) for plan in (existing, wanted))
    return min((_first_difference(old[key], new[key], frames) for key in new), default=frames.stop)


def _first_difference(old: Sequence[Any], new: Sequence[Any], frames: range) -> int:
    """The first of the frames at which two lists differ, else their stop. An empty list is one of empty entries."""
    pairs = ((index, old[index] if old else (), new[index] if new else ()) for index in frames)
    return next((index for index, before, now in pairs if before != now), frames.stop)
