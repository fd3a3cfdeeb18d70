"""Keeping the pictures of cold frames while they are stylized, for `tempera explain`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.store.growth import write_growth

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.store.directory import RenderDirectory
    from pipeline.types import FrameTask


class GrowthKeeper:
    """Observes stylers and keeps the picture of every cold frame after the first and each `every` evaluations.

    Nothing of a render depends on these pictures: one that cannot be written ends the keeping, with a note, and not the
    render.
    """

    def __init__(self, directory: RenderDirectory, every: int, note: Callable[[str], None]) -> None:
        self._directory = directory
        self._every = every
        self._note = note
        self._tasks: Sequence[FrameTask] = ()

    def begin(self, tasks: Sequence[FrameTask]) -> None:
        """Tell which frames the next batch holds, in their order."""
        self._tasks = tasks if tasks[0].warm is None else ()

    def __call__(self, number: int, images: Tensor, losses: Tensor, terms: Tensor) -> None:  # noqa: ARG002 - an observer
        """See `Observer`: the images of a batch after evaluation `number`."""
        from pipeline.media.image.arrays import to_frames

        if not self._every or not self._tasks or (number > 1 and number % self._every):
            return
        try:
            for task, rgb in zip(self._tasks, to_frames(images), strict=True):
                if rgb is not None:
                    write_growth(self._directory, task.chain.id, task.index, number, rgb)
        except OSError as error:
            self._every = 0
            self._note(f"pictures of the growth are not kept any more: {error.strerror or error}")
