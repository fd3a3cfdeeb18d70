"""The memory that stylizing needs where it is done, estimated before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.workflows.forecast.disk import in_words

if TYPE_CHECKING:
    from pipeline.workflows.prepare import Prepared

# Of the reserve of `optimize.memory`: renders of 320 px had 0.2 GB less than with all of it, those of 1280x720 all.
_RESERVE_AT_LEAST: Final = 100 << 20
_RESERVE_BYTES_PER_PX: Final = 240


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that are needed and that are free on a device, by its type, and `held`, which the process has already.

    What is needed has a reserve; `unused` is how much of it frames of this size do not take. `warning` says in words
    what is done where whole frames do not fit, or that nothing will do ("": they fit).
    """

    needed: int
    free: int
    device: str
    held: int = 0
    warning: str = ""
    unused: int = 0

    @property
    def total(self) -> int:
        """Bytes that the process will probably have."""
        return self.held + self.needed - self.unused

    @property
    def suffices(self) -> bool:
        """Whether the memory will do, if need be in tiles."""
        return self.needed <= self.free


def memory_need(prepared: Prepared, styles: Sequence[str]) -> MemoryNeed:
    """What the most demanding of some styles needs, with the way that its styler would choose now."""
    return max((_need(prepared, style) for style in styles), key=lambda need: need.needed)


def _need(prepared: Prepared, style: str) -> MemoryNeed:
    from pipeline.execute.batch_size import automatic_batch_size, frame_bytes
    from pipeline.optimize.feature_terms import needed_layers
    from pipeline.optimize.memory import RESERVE_BYTES, FeatureMemory, MemoryPlan, needed_bytes
    from pipeline.runtime.memory import free_bytes, resident_bytes
    from pipeline.stylers.frame_memory import USED_FRACTION, usable_plans

    plan, config, resources = prepared.plan, prepared.configs[style], prepared.resources[style]
    size, device = (plan.height_px, plan.width_px), resources.device
    free, each = free_bytes(device), frame_bytes(config, resources, size)
    held = resident_bytes() if device.type == "cpu" else 0
    batch = config.runtime.batch_size or automatic_batch_size(device, each)
    if resources.encoder is None:
        return MemoryNeed(RESERVE_BYTES + each, free, device.type, held)
    features = FeatureMemory.of(resources.encoder, needed_layers(config.losses))
    pairs = config.curvature_pairs
    usable = int(USED_FRACTION * free)
    chosen, *_ = usable_plans(size, batch, pairs, usable, features, on_cpu=device.type == "cpu")
    needed = needed_bytes(chosen, size, batch, features)
    whole = needed_bytes(MemoryPlan(None, pairs), size, batch, features)
    frames = f"frames of {size[1]}x{size[0]} px"
    warning = ""
    if needed > free:
        warning = (
            f"memory: about {in_words(needed)} are needed, {in_words(free)} are free: {frames} do not fit even "
            f"{chosen}; render smaller with --width, or close other programs"
        )
    elif whole > usable:
        warning = (
            f"memory: about {in_words(whole)} are needed for whole frames, {in_words(free)} are free: {frames} are "
            f"computed {chosen}, which takes longer"
        )
    reserve = min(RESERVE_BYTES, _RESERVE_AT_LEAST + _RESERVE_BYTES_PER_PX * batch * size[0] * size[1])
    return MemoryNeed(needed, free, device.type, held, warning, RESERVE_BYTES - reserve)
