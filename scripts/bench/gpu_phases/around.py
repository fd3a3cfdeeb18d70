"""The phases "warp", "storing" and "flow": what is done for a frame beside its evaluations."""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from gpu_phases import subjects
from gpu_phases.setting import Row, Setting, attempt
from gpu_phases.timing import activity, measure

FLOW_PX = 2.3
"""Not a whole number of pixels, which would only be copied."""


def warp(setting: Setting) -> Iterator[Row]:
    """One warp: the package's on the host and on the device, and torch's bicubic sampling, which is a floor."""
    yield attempt({"what": "pipeline.motion.warp", "batch": 1}, partial(_host_warp, setting))
    for batch in (1, setting.batches[-1]):
        yield attempt({"what": "pipeline.motion.device_warp", "batch": batch}, partial(_package_warp, setting, batch))
    for batch in (1, setting.batches[-1]):
        yield attempt({"what": "grid_sample, bicubic", "batch": batch}, partial(_bicubic_warp, setting, batch))


def _host_warp(setting: Setting) -> Row:
    from pipeline.motion.warp import warp as warped

    height, width = setting.size
    image = np.asarray(subjects.texture(height, width, 0), np.float32) / np.float32(255)
    flow = np.full((height, width, 2), FLOW_PX, np.float32)
    return measure(lambda: warped(image, flow), "cpu")


def _package_warp(setting: Setting, batch: int) -> Row:
    warped = importlib.import_module("pipeline.motion.device_warp").device_warp  # not in every revision
    images = subjects.contents(batch, setting.size, setting.device)
    flows = torch.full((batch, *setting.size, 2), FLOW_PX, device=setting.device)
    run = partial(warped, images, flows)
    return {**measure(run, setting.device), **activity(run, setting.device)}


def _bicubic_warp(setting: Setting, batch: int) -> Row:
    images = subjects.contents(batch, setting.size, setting.device)
    grid = F.affine_grid(torch.eye(2, 3).expand(batch, 2, 3), list(images.shape), align_corners=False).to(images)
    grid = grid + 2 * FLOW_PX / max(setting.size)
    return measure(
        lambda: F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False), setting.device
    )


def storing(setting: Setting) -> Iterator[Row]:
    """Frames per second that are encoded, written and flushed, by threads."""
    smooth = subjects.texture(*setting.size, 0)
    grain = np.random.default_rng(0).integers(-6, 7, smooth.shape)  # compresses like a stylized frame
    frame = (smooth + grain).clip(0, 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for threads in _threads():
            yield attempt({"threads": threads}, partial(_stored, setting, frame, Path(folder), threads))


def _stored(setting: Setting, frame: NDArray[np.uint8], folder: Path, threads: int) -> Row:
    from pipeline.media.image.png import encode_png
    from pipeline.runtime.atomic import write_bytes

    size = len(encode_png(frame))
    count = 4 if setting.small else max(16, 4 * threads)
    found = _rate(lambda index: write_bytes(folder / f"{index}.png", encode_png(frame)), threads, count)
    return {"bytes": size, **found}


def flow(setting: Setting) -> Iterator[Row]:
    """Pairs of frames per second whose motion is estimated, with its confidence, by threads."""
    frames = subjects.moving(2, setting.size)
    for threads in _threads():
        yield attempt({"threads": threads}, partial(_flow, setting, frames, threads))


def _flow(setting: Setting, frames: list[NDArray[np.uint8]], threads: int) -> Row:
    from pipeline.motion.estimate import estimate_motion

    def estimate(_index: int) -> object:
        return estimate_motion(frames[0], frames[1], from_index=0, to_index=1)

    estimate(0)
    return _rate(estimate, threads, 2 * threads if setting.small else max(8, 3 * threads))


def _threads() -> list[int]:
    return [count for count in (1, 2, 4, 8, 16, 32) if count <= (os.cpu_count() or 1)]


def _rate(work: Callable[[int], object], threads: int, count: int) -> Row:
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(count)))
    seconds = time.perf_counter() - began
    return {"count": count, "per_second": round(count / seconds, 2), "ms": round(1e3 * seconds / count, 2)}
