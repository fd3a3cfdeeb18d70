"""Storing stylized frames on a thread, while the start of the next ones is computed."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime.progress import Reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain, FrameStats, Phase


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What is known of a stylized frame beside its pixels; `batch` is the number of frames stylized together.

    `anew`: it is cold because too little of it corresponds with the frames before.
    """

    chain: Chain
    index: int
    phase: Phase
    stats: FrameStats
    seconds: float
    batch: int
    anew: bool = False


class FrameWriter:
    """Writes frames in the order in which they are given, one at a time.

    `wait` must be called before the next frame of a chain is stylized: the frame that the next one starts from must be
    on the disk. Use as a context manager: leaving it waits for the frames that are still being written.
    """

    def __init__(self, directory: RenderDirectory, reporter: Reporter) -> None:
        self._directory = directory
        self._reporter = reporter
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._pending: deque[tuple[Future[None], FrameRecord]] = deque()

    def write(self, record: FrameRecord, rgb: NDArray[np.uint8]) -> None:
        """Begin to store a frame, uint8 (H, W, 3) sRGB."""
        future = self._pool.submit(self._directory.write_frame, record.chain.id, record.index, rgb)
        self._pending.append((future, record))

    def wait(self) -> None:
        """Wait until every frame given so far is stored, and report it. Raises what the first failed write raised."""
        while self._pending:
            future, record = self._pending.popleft()
            future.result()
            self._directory.append_stats(
                {
                    "chain": record.chain.id,
                    "frame": record.index,
                    "phase": record.phase,
                    **asdict(record.stats),
                    "seconds": round(record.seconds, 4),
                    "batch": record.batch,
                    "anew": record.anew,
                }
            )
            self._reporter.frame_stored(record.chain, record.index, record.phase, record.stats, record.seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        finally:
            self._pool.shutdown()
