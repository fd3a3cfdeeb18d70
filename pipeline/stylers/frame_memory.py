"""Which way of minimizing is used for frames of a size: the fastest that fits into the memory that is free."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pipeline.optimize.feature_terms import needed_layers
from pipeline.optimize.memory import FeatureMemory, MemoryPlan, fitting_plans
from pipeline.runtime.device import release_freed_memory
from pipeline.runtime.memory import free_bytes
from pipeline.runtime.threads import KEPT_BYTES, keep_freed_memory

if TYPE_CHECKING:
    import torch

    from pipeline.config.settings import StylizeSettings
    from pipeline.encoders.network import Encoder
    from pipeline.stylers.scales import Size

USED_FRACTION: Final = 0.9
"""Of the free memory: the rest is for what cannot be used in one piece."""

KEPT_BYTES_OF_TILES: Final = 1 << 26
"""Freed blocks up to this size are kept of frames that are computed in tiles. Tiles stand beside images of many times
the size of a map: kept, the blocks of these would be cut to pieces that no image fits into."""

MAX_WHOLE_PIXELS: Final = 12 << 20
"""Larger frames are taken in tiles on the CPU also where memory is free: whole, a cold frame of 24 megapixels takes 15
percent less time and twice the memory, 12 GB."""


def usable_plans(
    size: Size, batch: int, pairs: int, available_bytes: int, features: FeatureMemory, *, on_cpu: bool
) -> list[MemoryPlan]:
    """The plans for a batch of frames of (height, width) px, from the fastest that fits to the smallest."""
    plans = fitting_plans(size, batch, pairs, available_bytes, features)
    if on_cpu and size[0] * size[1] > MAX_WHOLE_PIXELS and len(plans) > 1:
        plans = [plan for plan in plans if plan.tile_px is not None]
    return plans


class FrameMemory:
    """The memory plans of a style: `memory(size, batch)` for frames of (height, width) px.

    What is free is asked once, so that frames of one session are all minimized in the same way, unless it turns out to
    be too little (`reduce`). `note` is told where frames are not taken whole.
    """

    def __init__(
        self, settings: StylizeSettings, encoder: Encoder, device: torch.device, note: Callable[[str], None] | None
    ) -> None:
        self._pairs = settings.curvature_pairs
        self._features = FeatureMemory.of(encoder, needed_layers(settings.losses))
        self._device = device
        self._available = int(USED_FRACTION * free_bytes(device))
        self._note = note
        self._plans: dict[tuple[Size, int], list[MemoryPlan]] = {}
        self._latest: tuple[Size, int] | None = None
        self._tiled = False
        self._said: set[tuple[Size, int]] = set()

    def __call__(self, size: Size, batch: int) -> MemoryPlan:
        """The plan for a batch of frames."""
        key = self._latest = size, batch
        if key not in self._plans:
            self._plans[key] = usable_plans(
                size, batch, self._pairs, self._available, self._features, on_cpu=self._device.type == "cpu"
            )
        return self._plans[key][0]

    def begin(self, size: Size, batch: int) -> None:
        """Say how a batch of frames of this full size will be computed, and make room for it."""
        plan = self(size, batch)
        self._tiled = plan.tile_px is not None
        if self._device.type == "cpu":  # finishing, in the same process, has set another limit
            keep_freed_memory(KEPT_BYTES_OF_TILES if self._tiled else KEPT_BYTES)
        if not self._tiled:
            return
        if self._note is not None and (size, batch) not in self._said:
            self._note(f"frames of {size[1]}x{size[0]} px are large for this machine: computed {plan}")
            self._said.add((size, batch))
        self.make_room()

    def make_room(self) -> None:
        """Between the scales of a frame that is computed in tiles: free what was kept for images of another size."""
        if self._tiled:
            release_freed_memory()

    def reduce(self) -> tuple[Size, MemoryPlan] | None:
        """The size of the frames asked for last, which did not fit, and a smaller plan; None if there is none."""
        if self._latest is None or len(self._plans[self._latest]) == 1:
            return None
        del self._plans[self._latest][0]
        return self._latest[0], self._plans[self._latest][0]
