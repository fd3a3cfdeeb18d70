"""Hooks for a render in a process of its own: signals and pauses around the storing of one frame.

They run in that process before the command, so they are picklable and this module imports little.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.execute.batches import Sample
    from pipeline.types import Styler, StylizedBatch


@dataclass(frozen=True)
class SignalAtFrame:
    """Makes the process send itself a signal around the storing of one frame, named as `chain/00000123.png`.

    `moment`: "stylizing", "before" it is stored, "during" that (the frame is a temporary file), or "after" it, when its
    line of statistics is not written yet. `number` is the signal's, `times` how often it is sent.
    """

    moment: str
    name: str
    number: int
    times: int = 1

    def __call__(self) -> None:
        from pipeline.execute import batches, scheduler
        from pipeline.runtime import atomic
        from pipeline.store.directory import RenderDirectory

        stylize, store, replace = batches.stylize_samples, RenderDirectory.write_frame, atomic.replace

        def send() -> None:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)

        def stylizing(styler: Styler, samples: Sequence[Sample]) -> StylizedBatch:
            if self.moment == "stylizing" and any(
                f"{it.task.chain.id}/{it.task.index:08d}.png" == self.name for it in samples
            ):
                send()
            return stylize(styler, samples)

        def write_frame(directory: RenderDirectory, chain: str, index: int, rgb: NDArray[np.uint8]) -> None:
            this = f"{chain}/{index:08d}.png" == self.name
            if this and self.moment == "before":
                send()
            store(directory, chain, index, rgb)
            if this and self.moment == "after":
                send()

        def rename(source: Path, target: Path) -> None:
            if self.moment == "during" and str(target).endswith(self.name):
                send()
            replace(source, target)

        setattr(scheduler, "stylize_samples", stylizing)  # noqa: B010
        setattr(RenderDirectory, "write_frame", write_frame)  # noqa: B010 - mypy refuses to assign to a method
        setattr(atomic, "replace", rename)  # noqa: B010


@dataclass(frozen=True)
class PauseAtFrame:
    """Makes the process create the file `flag` before it stores one frame, and wait until that is removed.

    `terminal` is the device of a terminal that becomes the controlling one of the process; `ignoring` is a signal that
    it ignores from the beginning, as under `nohup`.
    """

    name: str
    flag: Path
    terminal: str = ""
    ignoring: int = 0

    def __call__(self) -> None:
        import signal

        from pipeline.store.directory import RenderDirectory

        store = RenderDirectory.write_frame
        if self.terminal:
            os.setsid()
            opened = os.open(self.terminal, os.O_RDWR)  # the first terminal that a session leader opens is its own
            for descriptor in range(3):
                os.dup2(opened, descriptor)
            os.close(opened)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests themselves run under `nohup`
        if self.ignoring:
            signal.signal(self.ignoring, signal.SIG_IGN)

        def write_frame(directory: RenderDirectory, chain: str, index: int, rgb: NDArray[np.uint8]) -> None:
            if f"{chain}/{index:08d}.png" == self.name:
                self.flag.touch()
                while self.flag.exists():
                    time.sleep(0.01)
            store(directory, chain, index, rgb)

        setattr(RenderDirectory, "write_frame", write_frame)  # noqa: B010
