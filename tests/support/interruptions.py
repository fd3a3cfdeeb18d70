"""What happens to a render in a process of its own: signals around the writing of one frame, and pauses.

The hooks run in that process before the command, so they are picklable and this module imports little.
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

    from pipeline.types import FrameTask, Styler, StylizedBatch


@dataclass(frozen=True)
class Hit:
    """Sends a signal to itself around the writing of one frame.

    `moment`: while it is "painted", "before" it is written, "during" (the frame is a temporary file), or "after", when
    its line of statistics is still to come.
    """

    moment: str
    name: str
    number: int
    times: int = 1

    def __call__(self) -> None:
        from pipeline.execute import batches, scheduler
        from pipeline.runtime import atomic
        from pipeline.store.directory import RenderDirectory

        stylize, store, replace = batches.stylize_tasks, RenderDirectory.write_frame, atomic.replace

        def hit() -> None:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)

        def stylized(styler: Styler, tasks: Sequence[FrameTask]) -> StylizedBatch:
            if self.moment == "painted" and any(f"{it.chain.id}/{it.index:08d}.png" == self.name for it in tasks):
                hit()
            return stylize(styler, tasks)

        def write_frame(directory: RenderDirectory, chain: str, index: int, rgb: NDArray[np.uint8]) -> None:
            this = f"{chain}/{index:08d}.png" == self.name
            if this and self.moment == "before":
                hit()
            store(directory, chain, index, rgb)
            if this and self.moment == "after":
                hit()

        def rename(source: Path, target: Path) -> None:
            if self.moment == "during" and str(target).endswith(self.name):
                hit()
            replace(source, target)

        setattr(scheduler, "stylize_tasks", stylized)  # noqa: B010
        setattr(RenderDirectory, "write_frame", write_frame)  # noqa: B010 - mypy knows that this is not done
        setattr(atomic, "replace", rename)  # noqa: B010


@dataclass(frozen=True)
class Wait:
    """Before one frame is stored, makes a file and waits until somebody takes it away; in a terminal, if one is given.

    `terminal` is the name of a terminal's device, which becomes the one of this process; `ignoring` a signal that this
    process ignores from its beginning, as `nohup` would have it.
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
        if self.ignoring:
            signal.signal(self.ignoring, signal.SIG_IGN)

        def write_frame(directory: RenderDirectory, chain: str, index: int, rgb: NDArray[np.uint8]) -> None:
            if f"{chain}/{index:08d}.png" == self.name:
                self.flag.touch()
                while self.flag.exists():
                    time.sleep(0.01)
            store(directory, chain, index, rgb)

        setattr(RenderDirectory, "write_frame", write_frame)  # noqa: B010
