"""The stylized frames of a clip as an iterator, for programs that want frames instead of a video."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RenderDirectoryError
from pipeline.execute.session import Session
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory, resume_command
from pipeline.store.edits import restore_pinned
from pipeline.workflows.masks.regions import with_region_masks
from pipeline.workflows.prepare import prepare

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.types import Chain, FrameStats, Phase
    from pipeline.workflows.request import RenderRequest


def stylized_frames(request: RenderRequest) -> Iterator[NDArray[np.uint8]]:
    """The stylized frames of a request for one style, in order, uint8 (H, W, 3) sRGB, as soon as they are stored.

    They are kept in the request's `workdir`, which can be continued, or in a temporary folder that is removed in the
    end. Closing the iterator ends the work after the frames in flight. Raises what preparing and stylizing raise.
    """
    with ExitStack() as stack:
        if request.workdir is None:
            temporary = tempfile.mkdtemp(prefix="tempera-")
            stack.callback(shutil.rmtree, temporary, ignore_errors=True)
            # No video is written: neither the place nor the codec of one may stand in the way.
            request = replace(request, workdir=Path(temporary, "clip.render"), output=Path(temporary, "%05d.png"))
        prepared = prepare(request, SilentReporter())
        directory = RenderDirectory.create(prepared.path, prepared.plan)
        session = Session(directory, prepared.source, prepared.configs, prepared.resources)
        stack.enter_context(directory.lock())
        if restore_pinned(directory) and any(directory.done(chain) < chain.stop for chain in directory.plan.chains):
            raise RenderDirectoryError(
                f"{directory.path}: frames that follow from an edit are not stylized yet",
                hint=f"stylize them first: {resume_command(directory.path)}",
            )
        session = with_region_masks(session, SilentReporter(), Cancellation())
        worker = _Worker(session)
        stack.callback(worker.stop)
        for chain in sorted(directory.plan.chains, key=lambda chain: chain.start):
            for index in chain.frames if chain.in_output else ():
                worker.wait_for(chain, index)
                yield directory.read_frame(chain.id, index)


class _Worker(SilentReporter):
    """Stylizes on a thread, and lets another thread wait for a frame."""

    def __init__(self, session: Session) -> None:
        plan = session.directory.plan
        self._session = session
        self._starts = {chain.id: session.directory.done(chain) for chain in plan.chains}
        self._next = dict(self._starts)
        self._cancellation = Cancellation()
        self._events: queue.Queue[tuple[str, int] | BaseException] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="stylize", daemon=True)
        self._thread.start()

    def wait_for(self, chain: Chain, index: int) -> None:
        """Return when a frame is stored. Raises the error that ended the work before that."""
        while self._next[chain.id] <= index:
            event = self._events.get()
            if isinstance(event, BaseException):
                raise event
            self._next[event[0]] = event[1]

    def stop(self) -> None:
        """Finish the frames in flight and end the thread."""
        self._cancellation.request()
        self._thread.join()

    def frame_stored(
        self,
        chain: Chain,
        index: int,
        phase: Phase,  # noqa: ARG002 - the protocol's names
        stats: FrameStats,  # noqa: ARG002
        seconds: float,  # noqa: ARG002
    ) -> None:
        """See `Reporter`."""
        self._events.put((chain.id, index + chain.interval))

    def _run(self) -> None:
        try:
            self._session.stylize(self._starts, self, self._cancellation)
        except BaseException as error:
            self._events.put(error)  # raised in the thread that waits
