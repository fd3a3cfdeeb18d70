"""Frames as tensors, and stylizing some as one batch, with errors that say whether a smaller batch could help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import StylizeError
from pipeline.plan.chains import frame_seed
from pipeline.types import FrameBatch, FrameTask, StylizedBatch

if TYPE_CHECKING:
    import torch

    from pipeline.types import Styler

NOT_FINITE_HINT: Final = "try --set optimize.precision=float32, or smaller weights; `tempera doctor` tests the encoder"

_OUT_OF_MEMORY: Final = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "alloc_failed",
    "could not create a",  # oneDNN: "a primitive", "a memory object"
    "unable to find an engine",  # cuDNN, without memory for the workspace of any algorithm
)
"""Parts of torch's messages where it raises a plain RuntimeError: on the CPU, on Apple's GPUs, in CUDA's libraries."""


class BatchTooLargeError(Exception):
    """The batch did not fit into memory."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame that is ready to be stylized: its task, and the same as a batch of one."""

    task: FrameTask
    batch: FrameBatch


def make_sample(task: FrameTask, device: torch.device | None = None) -> Sample:
    """A task with its tensors on a device (None: the CPU); what a warm start holds is there already.

    Several threads may do this at once, if the device can take copies from several threads, as CUDA's can.
    """
    import torch

    from pipeline.media.image.arrays import to_tensor
    from pipeline.runtime.transfers import upload

    warm = task.warm
    recent_change = None
    if warm is not None:
        recent_change = torch.zeros_like(warm.confidence) if warm.recent_change is None else warm.recent_change
    batch = FrameBatch(
        phase=task.phase,
        content=to_tensor(task.content, device)[None],
        init=None if warm is None else warm.init[None],
        seeds=(frame_seed(task.chain.seed, task.chain.style, task.index),),
        warped_previous=None if warm is None else warm.target[None],
        confidence=None if warm is None else warm.confidence[None],
        new_fractions=() if warm is None else (warm.new_fraction,),
        recent_change=None if recent_change is None else recent_change[None],
        regions=None if task.regions is None else upload(task.regions[None], device),
        indices=(task.index,),
        values=(task.values,),
        settings_changes=(task.settings_change,),
    )
    return Sample(task, batch)


def stylize_samples(styler: Styler, samples: Sequence[Sample]) -> StylizedBatch:
    """Stylize frames of one style and one phase as a batch.

    Raises BatchTooLargeError if they do not fit into memory, StylizeError if a loss is not finite.
    """
    import torch

    try:
        return styler.stylize(join([sample.batch for sample in samples]))
    except (torch.OutOfMemoryError, MemoryError) as error:
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
    import torch

    device = max((batch.content.device for batch in batches), key=lambda device: device.type != "cpu")

    def joined(name: str) -> Any:
        values = [getattr(batch, name) for batch in batches]
        if isinstance(values[0], torch.Tensor):
            return torch.cat([value.to(device) for value in values])
        return tuple(item for value in values for item in value) if isinstance(values[0], tuple) else values[0]

    return FrameBatch(**{field.name: joined(field.name) for field in fields(FrameBatch)})
