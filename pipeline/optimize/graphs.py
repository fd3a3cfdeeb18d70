"""CUDA graphs: an objective is recorded once and then replayed, so that the host does not start its kernels one by one.

What runs on the device is recorded and replayed by a `Recorder`; everything else here does not depend on the device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pipeline.optimize.minimum import Evaluation, ObjectiveFunction

log = logging.getLogger(__name__)

WARM_UPS = 2
"""Evaluations before the recording, in which libraries choose their kernels and take their working memory."""

Recorder = Callable[[Callable[[], Evaluation]], tuple[Evaluation, Callable[[], None]]]
"""Runs a function once or more and records what it does. Returns what it found, and the function that does it again,
which overwrites what was found. Raises RuntimeError for a function that cannot be recorded: one that waits for the
device, or copies from or to the host."""


class Graphs:
    """The graphs of objectives, one for each objective and shape of its images.

    An objective must read the same tensors at every call; they may be overwritten in place between two calls. Recording
    takes `WARM_UPS` + 1 evaluations. The first objective that cannot be recorded turns graphs off for good: that is
    logged, and objectives are called as they are.
    """

    def __init__(self, recorder: Recorder | None = None, *, device_type: str = "cuda", limit: int = 4) -> None:
        """For images on devices of one type; of more than `limit` graphs the one recorded first is dropped."""
        self._record = recorder or CudaRecorder()
        self._device_type = device_type
        self._limit = limit
        self._off = False
        # With each objective, whose identity would be given to another one if it were gone.
        self._graphs: dict[tuple[int, torch.Size], tuple[ObjectiveFunction, ObjectiveFunction]] = {}

    def of(self, objective: ObjectiveFunction, images: Tensor) -> ObjectiveFunction:
        """An objective that replays the graph for images of this shape, or the same objective if there is none.

        `images` (B, 3, H, W) are those that it is recorded with.
        """
        if self._off or images.device.type != self._device_type:
            return objective
        key = (id(objective), images.shape)
        if key not in self._graphs:
            while len(self._graphs) >= self._limit:
                del self._graphs[next(iter(self._graphs))]
            try:
                self._graphs[key] = objective, self._recorded(objective, images)
            except RuntimeError as error:
                log.warning("the objective is computed without a CUDA graph, because recording it failed: %s", error)
                self._off = True
                self._graphs.clear()
                return objective
        return self._graphs[key][1]

    def _recorded(self, objective: ObjectiveFunction, images: Tensor) -> ObjectiveFunction:
        fixed = images.detach().clone(memory_format=torch.contiguous_format)
        found, replay = self._record(lambda: objective(fixed))

        def evaluate(images: Tensor) -> Evaluation:
            fixed.copy_(images)
            replay()
            return found

        return evaluate


class CudaRecorder:
    """Records CUDA graphs that share one pool of memory: only one is replayed at a time."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, run: Callable[[], Evaluation]) -> tuple[Evaluation, Callable[[], None]]:
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # Other threads, which estimate motion, may go on allocating memory and waiting for the device.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            found = run()
        return found, graph.replay
