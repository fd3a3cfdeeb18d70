"""Frames as tensors, and stylizing some as one batch, with errors that say whether a smaller batch could help."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import StylizeError
from pipeline.plan.chains import frame_seed
from pipeline.types import FrameBatch, FrameTask, StylizedBatch

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.types import Styler, WarmStart

NOT_FINITE_HINT: Final = "try --set optimize.precision=float32, or smaller weights; `tempera doctor` tests the encoder"

_OUT_OF_MEMORY: Final = ("can't allocate memory", "not enough memory", "out of memory", "alloc_failed")
"""Parts of torch's messages where it raises a plain RuntimeError: on the CPU, on Apple's GPUs, in CUDA's libraries."""


class BatchTooLargeError(Exception):
    """The batch did not fit into memory."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame that is ready to be stylized: its task, and the same as a batch of one."""

    task: FrameTask
    batch: FrameBatch


def make_sample(task: FrameTask, device: torch.device | str = "cpu") -> Sample:
    """A task with its tensors, on a device, or on the CPU where the device has no room for them.

    Several threads may do this at once, if the device can take copies from several threads, as CUDA's can.
    """
    import torch

    from pipeline.media.image.arrays import to_tensor

    warm = task.warm
    batch = FrameBatch(
        phase=task.phase,
        content=to_tensor(task.content)[None],
        init=None if warm is None else _channels_first(warm.init),
        seeds=(frame_seed(task.chain.seed, task.chain.style, task.index),),
        warped_previous=None if warm is None else _channels_first(warm.target),
        confidence=None if warm is None else torch.from_numpy(warm.confidence)[None, None],
        new_fractions=() if warm is None else (warm.new_fraction,),
        recent_change=None if warm is None else torch.from_numpy(_recent_change(warm))[None, None],
    )
    with suppress(torch.OutOfMemoryError):
        batch = _joined([batch], device)
    return Sample(task, batch)


def stylize_samples(styler: Styler, samples: Sequence[Sample]) -> StylizedBatch:
    """Stylize frames of one style and one phase as a batch.

    Raises BatchTooLargeError if they do not fit into memory, StylizeError if a loss is not finite.
    """
    import torch

    try:
        return styler.stylize(join([sample.batch for sample in samples]))
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise BatchTooLargeError from error
    except MemoryError as error:
        raise BatchTooLargeError from error
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        # Decompositions refuse matrices with values that are not finite.
        raise StylizeError(f"a matrix of the style loss has no roots: {error}", hint=NOT_FINITE_HINT) from error
    except RuntimeError as error:
        if any(sentence in str(error).lower() for sentence in _OUT_OF_MEMORY):
            raise BatchTooLargeError from error
        raise


def join(batches: Sequence[FrameBatch]) -> FrameBatch:
    """Batches of one style, size and phase as one; a single one without a copy.

    If some are on the CPU, because the device had no room for them, they follow the others.
    """
    if len(batches) == 1:
        return batches[0]
    return _joined(batches, max((batch.content.device for batch in batches), key=lambda device: device.type != "cpu"))


def as_stored(image: torch.Tensor) -> NDArray[np.uint8] | None:
    """A stylized frame (3, H, W) as it is stored, uint8 (H, W, 3); None if it has values that are not finite."""
    from pipeline.media.image.arrays import to_uint8

    with suppress(ValueError):
        return to_uint8(image)
    return None


def _joined(batches: Sequence[FrameBatch], device: torch.device | str) -> FrameBatch:
    """Batches as one on a device; tensors that are there already are copied only to join them."""
    import torch

    def joined(name: str) -> Any:
        values = [getattr(batch, name) for batch in batches]
        if isinstance(values[0], torch.Tensor):
            there = [value.to(device) for value in values]
            return there[0] if len(there) == 1 else torch.cat(there)
        return tuple(item for value in values for item in value) if isinstance(values[0], tuple) else values[0]

    return FrameBatch(**{field.name: joined(field.name) for field in fields(FrameBatch)})


def _recent_change(start: WarmStart) -> NDArray[np.float32]:
    """Where the content of a warm frame changed recently, (H, W); 0 where it is not known."""
    import numpy as np

    return np.zeros_like(start.confidence) if start.recent_change is None else start.recent_change


def _channels_first(image: NDArray[np.float32]) -> torch.Tensor:
    """An image (H, W, 3) as (1, 3, H, W)."""
    import torch

    return torch.from_numpy(image).permute(2, 0, 1)[None]
