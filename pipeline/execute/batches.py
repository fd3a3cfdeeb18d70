"""Stylizing tasks as one batch, with errors that say whether a smaller batch could help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pipeline.errors import StylizeError
from pipeline.plan.chains import frame_seed
from pipeline.types import FrameBatch, FrameTask, StylizedBatch

if TYPE_CHECKING:
    import torch

    from pipeline.types import Styler

NOT_FINITE_HINT: Final = "try --set optimize.precision=float32, or smaller weights; `tempera doctor` tests the encoder"

_OUT_OF_MEMORY: Final = ("can't allocate memory", "not enough memory", "out of memory", "alloc_failed")
"""Parts of torch's messages where it raises a plain RuntimeError: on the CPU, on Apple's GPUs, in CUDA's libraries."""


class BatchTooLargeError(Exception):
    """The batch did not fit into memory."""


def stylize_tasks(styler: Styler, tasks: Sequence[FrameTask]) -> StylizedBatch:
    """Stylize tasks of one style and one phase as a batch.

    Raises BatchTooLargeError if they do not fit into memory, StylizeError if a loss is not finite.
    """
    import torch

    batch = make_batch(tasks)
    try:
        return styler.stylize(batch)
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


def make_batch(tasks: Sequence[FrameTask]) -> FrameBatch:
    """Tasks of one style, size and phase as tensors."""
    import numpy as np
    import torch

    from pipeline.media.image.arrays import to_tensor

    warm = [task.warm for task in tasks if task.warm is not None]
    return FrameBatch(
        phase=tasks[0].phase,
        content=to_tensor(np.stack([task.content for task in tasks])),
        init=_stack([start.init for start in warm]),
        seeds=tuple(frame_seed(task.chain.seed, task.chain.style, task.index) for task in tasks),
        warped_previous=_stack([start.target for start in warm]),
        confidence=_stack([start.confidence for start in warm]),
        new_fractions=tuple(start.new_fraction for start in warm),
        recent_change=_stack(
            [
                torch.zeros_like(start.confidence) if start.recent_change is None else start.recent_change
                for start in warm
            ]
        ),
    )


def _stack(images: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Images as a batch, None for none; a single one without a copy."""
    import torch

    if not images:
        return None
    return images[0][None] if len(images) == 1 else torch.stack(list(images))
