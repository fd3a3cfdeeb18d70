"""Do long runs leak? Memory and open files of one process, as frames go by."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np


def watch_render(frames: int, marks: tuple[int, ...], size: tuple[int, int] = (32, 32)) -> dict[int, dict[str, int]]:
    """Render `frames` tiny frames and say, for each of `marks` frames done, what the process holds: `rss_kb`, `files`.

    Everything takes part, decoding, motion, painting and storing; only fsync is left out. Linux only.
    """
    from pipeline import cli
    from pipeline.store.directory import RenderDirectory

    found: dict[int, dict[str, int]] = {}
    painted = 0
    store = RenderDirectory.append_stats

    def counting(directory: RenderDirectory, record: Any) -> None:
        nonlocal painted
        store(directory, record)
        painted += 1
        if painted in marks:
            gc.collect()
            found[painted] = held()

    with tempfile.TemporaryDirectory() as home, mock.patch.object(os, "fsync", lambda _descriptor: None):
        clip, painting = Path(home, "clip.mkv"), Path(home, "paint.png")
        _write_clip(clip, frames, size)
        _write_painting(painting)
        words = ["render", str(clip), "-s", str(painting), "-o", str(Path(home, "v.mkv")), "--encoder", "tiny"]
        words += ["--progress", "none", "--set=optimize.cold.evaluations=1", "--set=optimize.warm.evaluations=1"]
        words += ["--set=optimize.cold.min_scale_px=32", "--set=input.cuts=none", "--set=output.preset=ultrafast"]
        with mock.patch.object(RenderDirectory, "append_stats", counting):
            code = cli.run(words)
        if code:
            raise RuntimeError(f"the render ended with {code}")
    return found


def held() -> dict[str, int]:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "rss_kb": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names are all that is wanted
        "threads": threading.active_count(),  # of Python: FFmpeg's come and go
    }


def in_a_process(target: Callable[..., Any], *arguments: Any) -> Any:
    """Result of a call in a process of its own, whose memory nobody else has touched."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(target, *arguments).result()


def _write_clip(path: Path, frames: int, size: tuple[int, int]) -> None:
    import av

    width, height = size
    base = np.random.default_rng(0).integers(60, 200, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
        for index in range(frames):
            rgb = np.roll(base, index % width, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        container.mux(stream.encode(None))


def _write_painting(path: Path) -> None:
    from PIL import Image

    y, x = np.mgrid[0:48, 0:64]
    rgb = np.stack([x * 4, y * 5, 255 - x * 2 - y], axis=-1).clip(0, 255).astype(np.uint8)
    Image.fromarray(rgb).save(path)


if __name__ == "__main__":
    count = int(sys.argv[1])
    print(watch_render(count, tuple(range(100, count + 1, 100))))
