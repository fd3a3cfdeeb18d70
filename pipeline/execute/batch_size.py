"""How many frames a batch holds where no setting says it: as many as the memory of the accelerator has room for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

    from pipeline.config.settings import Config
    from pipeline.stylers.resources import Resources

MAX_BATCH: Final = 16
"""Each chain of two such batches has its own decoder and its own thread that estimates motion."""
UNKNOWN_MEMORY_BATCH: Final = 8
USED_FRACTION: Final = 0.8
"""Of the free memory. The rest is for the workspace of convolutions, and for what cannot be used in one piece."""

_EVALUATION_BYTES: Final[Mapping[tuple[str, str], int]] = {
    ("compact", "bfloat16"): 310,
    ("compact", "float32"): 510,
    ("vgg19", "bfloat16"): 1650,
    ("vgg19", "float32"): 2450,
}
"""Bytes per pixel of the tensors that an evaluation of the default losses holds at most: features and their gradients.
Counted on the CPU, operation by operation: 290 to 310, 500, 1600 and 2400. Other encoders count as vgg19."""
_IMAGES: Final = 24
"""Images of three float32 channels that a frame holds beside them: points, steps, gradients, the targets of all terms
(10 with compact, 21 with vgg19, counted as above), and the frames that wait for the next batches."""
_IMAGE_BYTES: Final = 3 * 4


def frame_bytes(config: Config, resources: Resources, pixels: int) -> int:
    """Memory that stylizing takes for each frame of a batch, bytes."""
    if resources.encoder is None:
        return pixels * _IMAGES * _IMAGE_BYTES
    encoder = resources.encoder.name if resources.encoder.name == "compact" else "vgg19"
    history = 2 * config.optimize.history if config.optimize.minimizer == "lbfgs" else 0
    per_pixel = _EVALUATION_BYTES[encoder, resources.precision] + (history + _IMAGES) * _IMAGE_BYTES
    return pixels * per_pixel


def automatic_batch_size(device: torch.device, largest_frame_bytes: int) -> int:
    """Frames in a batch, from 1 to `MAX_BATCH`; 1 on the CPU, which gains nothing from batches."""
    from pipeline.runtime.device import free_memory

    if device.type == "cpu":
        return 1
    free = free_memory(device)
    if free is None:
        return UNKNOWN_MEMORY_BATCH
    return min(MAX_BATCH, max(1, int(USED_FRACTION * free) // largest_frame_bytes))
