"""Storing stylized frames on threads: several chains at a time, the frames of one chain in order."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime.progress import Reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain, FrameStats, Phase

MAX_THREADS: Final = 8


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
    """Stores frames on up to `threads` threads. Nothing is stored behind a frame of the same chain that was not.

    The next frame of a chain may be stylized only when `storing` of the chain is None: what it starts from must be on
    the disk. Use as a context manager: leaving it waits for the frames that are still being written.
    """

    def __init__(self, directory: RenderDirectory, reporter: Reporter, *, threads: int = 1) -> None:
        self._directory = directory
        self._reporter = reporter
        self._pool = ThreadPoolExecutor(min(threads, MAX_THREADS), thread_name_prefix="store")
        self._latest: dict[str, Future[None]] = {}
        self._stored: SimpleQueue[FrameRecord] = SimpleQueue()

    def write(self, record: FrameRecord, rgb: NDArray[np.uint8]) -> None:
        """Begin to store a frame, uint8 (H, W, 3) sRGB. Threads may call this at once for different chains."""
        chain_id = record.chain.id
        self._latest[chain_id] = self._pool.submit(self._store, self._latest.get(chain_id), record, rgb)

    def storing(self, chain: Chain) -> Future[None] | None:
        """The latest frame of a chain that is not stored yet; None if all are. Raises what a failed write raised."""
        latest = self._latest.get(chain.id)
        if latest is None or not latest.done():
            return latest
        latest.result()
        return None

    def report(self) -> list[FrameRecord]:
        """Report the frames that were stored since the last call, on the calling thread; returns them."""
        reported = []
        while not self._stored.empty():
            record = self._stored.get()
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
            reported.append(record)
        return reported

    def wait(self) -> None:
        """Wait until every frame given so far is stored, and report them. Raises what a failed write raised."""
        errors = [latest.exception() for latest in list(self._latest.values())]
        self.report()
        for error in errors:
            if error is not None:
                raise error

    def _store(self, before: Future[None] | None, record: FrameRecord, rgb: NDArray[np.uint8]) -> None:
        if before is not None:
            before.result()  # the pool began it first, so it ends
        self._directory.write_frame(record.chain.id, record.index, rgb)
        self._stored.put(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        finally:
            self._pool.shutdown()
