"""Time, kernels, synchronizations and memory of a function on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.profiler import DeviceType, ProfilerActivity, profile

Run = Callable[[], object]

WARM_UPS = 3
FEWEST, MOST = 5, 200
"""Timed calls."""
_HOST_WAITS = ("cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize")


def synchronize(device: str) -> None:
    """Wait for everything that was given to the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def measure(run: Run, device: str, *, seconds: float = 0.3, repeat: int = 1) -> dict[str, Any]:
    """Median, least and most milliseconds of one call, from as many calls as fit into `seconds` (a tenth on the CPU).

    A run that repeats the work within itself says so in `repeat`. On CUDA each call is timed by events on its stream,
    so that it includes the gaps in which the device waits for the host.
    """
    for _ in range(WARM_UPS):
        run()
    synchronize(device)
    began = time.perf_counter()
    run()
    synchronize(device)
    one = max(time.perf_counter() - began, 1e-6)
    count = min(MOST, max(FEWEST, int((seconds if device == "cuda" else seconds / 10) / one)))
    found = [each / repeat for each in (_event_ms if device == "cuda" else _clock_ms)(run, count)]
    return {
        "ms": significant(statistics.median(found)),
        "ms_range": [significant(min(found)), significant(max(found))],
        "runs": count,
    }


def significant(value: float) -> float:
    """The number with four significant digits."""
    return float(f"{value:.4g}")


def _event_ms(run: Run, count: int) -> list[float]:
    pairs = []
    for _ in range(count):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        run()
        end.record()
        pairs.append((start, end))
    torch.cuda.synchronize()
    return [float(start.elapsed_time(end)) for start, end in pairs]


def _clock_ms(run: Run, count: int) -> list[float]:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - began))
    return times


def captured(run: Run, repeat: int = 1) -> Run:
    """`repeat` calls as one CUDA graph, without the host's part. Raises RuntimeError if the run cannot be captured."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeat):
            run()
    return graph.replay


def measure_device(run: Run, device: str, *, repeat: int = 10) -> dict[str, Any]:
    """`measure` of short work, on CUDA as graphs of `repeat` calls: what the device needs, whatever the host does."""
    if device != "cuda":
        return measure(run, device, seconds=0.1)
    return measure(captured(run, repeat), device, seconds=0.1, repeat=repeat)


def activity(run: Run, device: str) -> dict[str, Any]:
    """What one call does, by torch's profiler: operators, and values that the host reads (and so waits for).

    On CUDA also the kernels, the calls that make the host wait, and for how many ms at least one kernel ran, if the
    profiler can see kernels.
    """
    run()
    own, empty = (counted(_profiled(function, device)) for function in (run, lambda: None))
    counts = {name: own[name] - empty[name] for name in ("operators", "values_read")}
    if not own["kernels"]:
        return counts
    waits = own["synchronizations"] - empty["synchronizations"]
    return {**counts, "kernels": own["kernels"], "synchronizations": waits, "busy_ms": round(own["busy_ms"], 4)}


def _profiled(run: Run, device: str) -> Sequence[Any]:
    synchronize(device)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=kinds) as profiler:
        run()
        synchronize(device)
    return list(profiler.events() or [])


def counted(events: Sequence[Any]) -> dict[str, Any]:
    """Counts of the profiler's events; copies and fills by the device are not counted as kernels."""
    own = [event for event in events if event.device_type == DeviceType.CUDA]
    kernels = [event for event in own if not event.name.startswith(("Memcpy", "Memset"))]
    host = [event.name for event in events if event.device_type != DeviceType.CUDA]
    return {
        "operators": sum(name.startswith("aten::") for name in host),
        "values_read": host.count("aten::_local_scalar_dense"),
        "kernels": len(kernels),
        "synchronizations": sum(host.count(name) for name in _HOST_WAITS),
        "busy_ms": covered((event.time_range.start, event.time_range.end) for event in kernels) / 1e3,
    }


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def peak_mb(run: Run, device: str) -> float | None:
    """Most memory in MB that was allocated on the device during one call; None on the CPU."""
    if device != "cuda":
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run()
    return round(torch.cuda.max_memory_allocated() / 1e6, 1)
