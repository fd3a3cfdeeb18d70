"""Memory, open files and threads of one process during a long render."""

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
    """Render `frames` tiny frames; for each number of frames in `marks`, what the process uses then (see `resources`).

    Decoding, motion, stylizing and storing take part; only fsync is left out. Linux only.
    """
    from pipeline import cli
    from pipeline.store.directory import RenderDirectory

    found: dict[int, dict[str, int]] = {}
    stylized = 0
    store = RenderDirectory.append_stats

    def counting(directory: RenderDirectory, record: Any) -> None:
        nonlocal stylized
        store(directory, record)
        stylized += 1
        if stylized in marks:
            gc.collect()
            found[stylized] = resources()

    with tempfile.TemporaryDirectory() as home, mock.patch.object(os, "fsync", lambda _descriptor: None):
        clip, style = Path(home, "clip.mkv"), Path(home, "style.png")
        _write_clip(clip, frames, size)
        _write_style_image(style)
        words = ["render", str(clip), "-s", str(style), "-o", str(Path(home, "v.mkv")), "--encoder", "tiny"]
        words += ["--progress", "none", "--set=optimize.cold.evaluations=1", "--set=optimize.warm.evaluations=1"]
        words += ["--set=optimize.cold.min_scale_px=32", "--set=input.cuts=none", "--set=output.preset=ultrafast"]
        words += ["--set=losses.style.layers={relu1_1: 64, relu2_1: 16}"]
        with mock.patch.object(RenderDirectory, "append_stats", counting):
            code = cli.run(words)
        if code:
            raise RuntimeError(f"the render ended with {code}")
    return found


def resources() -> dict[str, int]:
    """What this process holds now: resident memory in kB, open files, Python threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "rss_kb": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - only their number is needed
        # Of Python (FFmpeg's come and go), without those of a warp, which end with it.
        "threads": sum(not thread.name.startswith("warp") for thread in threading.enumerate()),
    }


def in_a_process(target: Callable[..., Any], *arguments: Any) -> Any:
    """Result of a call in a new process, whose memory no other test has used."""
    from concurrent.futures import ProcessPoolExecutor

    from tests.support.torture import children

    with ProcessPoolExecutor(1, mp_context=children.context()) as pool:
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


def _write_style_image(path: Path) -> None:
    from PIL import Image

    y, x = np.mgrid[0:48, 0:64]
    rgb = np.stack([x * 4, y * 5, 255 - x * 2 - y], axis=-1).clip(0, 255).astype(np.uint8)
    Image.fromarray(rgb).save(path)


if __name__ == "__main__":
    count = int(sys.argv[1])
    print(watch_render(count, tuple(range(100, count + 1, 100))))
