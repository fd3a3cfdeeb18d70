"""How many frames a batch holds where no setting says it: as many as the memory of the accelerator has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

    from pipeline.config.settings import Config
    from pipeline.stylers.resources import Resources

MAX_BATCH: Final = 16
"""Each chain of two such batches has its own decoder and its own thread that estimates motion."""
USED_FRACTION: Final = 0.8
"""Of the free memory. The rest is for the workspace of convolutions, and for what cannot be used in one piece."""
WAITING_IMAGES: Final = 12
"""Images of three float32 channels, for each frame of a batch, that are prepared or stored while it is stylized."""


def frame_bytes(config: Config, resources: Resources, size: tuple[int, int]) -> int:
    """Memory that stylizing takes for each frame of (height, width) px of a batch, bytes."""
    from pipeline.optimize.feature_terms import needed_layers
    from pipeline.optimize.memory import FeatureMemory, MemoryPlan, needed_bytes

    waiting = size[0] * size[1] * 3 * 4 * WAITING_IMAGES
    if resources.encoder is None:
        return waiting
    pairs = config.curvature_pairs if config.optimize.minimizer == "lbfgs" else 2
    features = FeatureMemory.of(resources.encoder, needed_layers(config.losses))
    two, one = (needed_bytes(MemoryPlan(None, pairs), size, batch, features) for batch in (2, 1))
    return waiting + two - one


def automatic_batch_size(device: torch.device, largest_frame_bytes: int) -> int:
    """Frames in a batch, from 1 to `MAX_BATCH`; 1 on the CPU, which gains nothing from batches."""
    from pipeline.runtime.memory import free_bytes

    if device.type == "cpu":
        return 1
    return min(MAX_BATCH, max(1, int(USED_FRACTION * free_bytes(device)) // largest_frame_bytes))
