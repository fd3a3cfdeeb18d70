"""The cost of durable storage: fsync, rename and lock, per frame and compared with the time of stylizing a frame.

    python scripts/bench/durability.py [--frames 40]

Frames of 640x360 px are stored in turn by the store as it is ("durable"), and by one that only writes files ("plain":
no temporary file, no fsync, no check of the lock); both encode the PNG. Then come whole renders with the `tiny` test
encoder, in turn with one store and the other, and one render with `compact` for the time of a real warm frame. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline import cli
from pipeline.media.image.png import encode_png
from pipeline.runtime import atomic
from pipeline.store.directory import RenderDirectory
from pipeline.store.lock import RenderLock
from tests.support.torture.fault_cases import small_plan

RGB = NDArray[np.uint8]
WIDTH, HEIGHT = 640, 360


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40, help="frames stored in each way")
    parser.add_argument("--folder", type=Path, help="where to write; the disk that is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as home:
        stored = store_frames(Path(home), options.frames)
        say(f"a frame stored: {stored}")
        make_inputs(Path(home))
        renders: dict[str, list[float]] = {"durable": [], "plain": []}
        warm: list[float] = []
        for number in range(6):
            kind = ("durable", "plain")[number % 2]
            with ExitStack() as stack:
                if kind == "plain":
                    stack.enter_context(plain())
                seconds, frames = render(Path(home), "tiny", f"{kind}-{number}", 16)
            renders[kind].append(1e3 * seconds)
            warm += frames
            say(f"a render of 16 frames with tiny, {kind}: {seconds:.2f} s")
        compact = render(Path(home), "compact", "compact", 8)[1]
    overhead_ms = stored["durable_ms"] - stored["plain_ms"]
    tiny_ms, compact_ms = 1e3 * statistics.median(warm), 1e3 * statistics.median(compact)
    load = round(os.getloadavg()[1], 1)  # of five minutes, this run included; above 2, other programs ran too
    result = {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": load},
        "size": [WIDTH, HEIGHT],
        "a_frame_stored": stored,
        "overhead_ms": round(overhead_ms, 2),
        "warm_frame_ms": {"tiny": round(tiny_ms, 1), "compact": round(compact_ms, 1)},
        "overhead_percent": {
            "of a frame by tiny": round(100 * overhead_ms / tiny_ms, 2),
            "of a frame by compact": round(100 * overhead_ms / compact_ms, 2),
        },
        "render_of_16_frames_ms": {kind: [round(value) for value in values] for kind, values in renders.items()},
    }
    sys.stdout.write(json.dumps(result) + "\n")


def store_frames(home: Path, count: int) -> dict[str, float]:
    """Median and spread, in ms, of storing a frame in both ways, in turn; and of its PNG alone."""
    plan = small_plan(cuts=(2 * count + 4,))
    directory = RenderDirectory.create(home / "frames.render", replace(plan, width_px=WIDTH, height_px=HEIGHT))
    frames = [synthetic_frame(number) for number in range(8)]
    times: dict[str, list[float]] = {"durable": [], "plain": [], "png": []}
    with directory.lock():
        for number in range(count + 2):
            for offset, kind in enumerate(("durable", "plain")):
                with plain() if kind == "plain" else contextlib.nullcontext():
                    began = time.perf_counter()
                    directory.write_frame("a-s000", 2 * number + offset, frames[number % 8])
                    times[kind].append(1e3 * (time.perf_counter() - began))
            began = time.perf_counter()
            encode_png(frames[number % 8])
            times["png"].append(1e3 * (time.perf_counter() - began))
    found = {}
    for kind, values in times.items():
        kept = sorted(values[2:])
        found[f"{kind}_ms"] = round(statistics.median(kept), 2)
        found[f"{kind}_90_percent_ms"] = round(kept[int(0.9 * len(kept))], 2)
    return found


@contextmanager
def plain() -> Iterator[None]:
    """Replace the store's writing by a plain write of the file."""

    def write_bytes(path: Path, data: bytes) -> None:
        path.write_bytes(data)

    nothing: Any = lambda *_: None  # noqa: E731
    with (
        mock.patch.object(atomic, "write_bytes", write_bytes),
        mock.patch.object(atomic, "sync", nothing),
        mock.patch.object(atomic, "sync_folder", nothing),
        mock.patch.object(RenderLock, "check", nothing),
    ):
        yield


def render(home: Path, encoder: str, name: str, frames: int) -> tuple[float, list[float]]:
    """Seconds of a whole render, and of stylizing each of its warm frames."""
    words = ["render", str(home / "clip.mp4"), "-s", str(home / "style.png"), "-o", str(home / f"{name}.mp4")]
    words += ["--encoder", encoder, "--frames", f"0:{frames}", "--progress", "none", "--set=input.cuts=none"]
    words += ["--set=output.preset=ultrafast", "--set=optimize.cold.evaluations=10"]
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        code = cli.run(words)
    seconds = time.perf_counter() - began
    if code:
        raise RuntimeError(f"the render ended with {code}")
    lines = (home / f"{name}.render/stats.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return seconds, [record["seconds"] for record in records if record["phase"] == "warm"]


def make_inputs(home: Path) -> None:
    """A clip that pans over blurred noise, and a style image of the same kind."""
    wide = synthetic_frame(99, width=2 * WIDTH)
    with av.open(str(home / "clip.mp4"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(16):
            frame = np.ascontiguousarray(wide[:, 2 * index : 2 * index + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    Image.fromarray(synthetic_frame(100, width=480)).save(home / "style.png")


def synthetic_frame(seed: int, width: int = WIDTH) -> RGB:
    """Blurred noise that compresses as stylized frames do (about 2.2 bytes per pixel), uint8 (360, width, 3)."""
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, width, 3)).astype(np.float32)
    fine, broad = cv2.GaussianBlur(noise, (0, 0), 1.2), cv2.GaussianBlur(noise, (0, 0), 12)
    frame: RGB = np.clip(128 + 60 * fine + 900 * broad, 0, 255).astype(np.uint8)
    return frame


def say(text: str) -> None:
    """Print progress to stderr."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
