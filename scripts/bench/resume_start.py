"""Time from the start of `tempera resume` to the work on the first new frame, in a directory of 2,000 frames.

    python scripts/bench/resume_start.py [--frames 2000] [--runs 5] [--input video|photos]

The command runs in a new process, with all its imports, with `compact`, and with all but the last 20 frames stored.
It is measured with the frames in the system's cache, and with the cache dropped, so that they are read from the disk
(where the system allows that). With photos of 1 MB as the input, once without the note that saves hashing them and
once with it, the photos in the cache; `digest_s` is the time of finding their digest alone. The work on a frame begins
when its line of progress comes, less the time of stylizing it. The last line is JSON: seconds, median and every run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.config.catalog import load_style
from pipeline.media.image.png import encode_png
from pipeline.plan.paths import absolute_source
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.input.digest import NOTE_NAME, hash_input
from pipeline.workflows.prepare import prepare
from pipeline.workflows.request import RenderRequest

RGB = NDArray[np.uint8]
SIZES = ((640, 360), (1280, 720))
PHOTO_SIZE, PHOTO_BYTES = (640, 360), 1_000_000
LEFT = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; the disk that is measured")
    parser.add_argument("--input", choices=("both", "video", "photos"), default="both")
    options = parser.parse_args()
    rows = []
    if options.input != "photos":
        for width, height in SIZES:
            rows += measure_video(options.folder, options.frames, options.runs, width, height)
    if options.input != "video":
        rows += measure_photos(options.folder, options.frames, options.runs)
    load = round(os.getloadavg()[1], 1)  # of five minutes, this run included; above 2, other programs ran too
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": load}
    sys.stdout.write(json.dumps({"machine": machine, "rows": rows}) + "\n")


def measure_video(folder: Path | None, frames: int, runs: int, width: int, height: int) -> list[dict[str, Any]]:
    """Starts with the frames in the cache and from the disk."""
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as home:
        clip = Path(home) / "clip.mp4"
        make_clip(clip, frames, width, height)
        directory = make_render(clip, frames, width, height)
        size = sum(path.stat().st_size for path in directory.path.glob("frames/*/*.png"))
        for cached in (True, False):
            times = []
            for run in range(runs + cached):  # the first one fills the cache
                if not cached:
                    empty_cache(directory.path)
                seconds = start(directory.path)
                if run or not cached:
                    times.append(seconds)
                sys.stderr.write(f"{width}x{height}, {'cached' if cached else 'from the disk'}: {seconds:.2f} s\n")
            facts = {"input": "video", "gigabytes": round(size / 1e9, 2), "cached": cached}
            rows.append({"size": [width, height], "frames": frames, **facts, **spread(times)})
    return rows


def measure_photos(folder: Path | None, frames: int, runs: int) -> list[dict[str, Any]]:
    """Starts that hash every photo, and starts that find a note about them, side by side."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        photos = Path(home) / "photos"
        make_photos(photos, frames)
        directory = make_render(photos, frames, *PHOTO_SIZE)
        note = directory.cache_path / NOTE_NAME
        source = absolute_source(directory.plan, directory.path)
        times: dict[bool, list[float]] = {False: [], True: []}
        alone: dict[bool, list[float]] = {False: [], True: []}
        for run in range(runs + 1):  # the first one fills the cache
            note.unlink(missing_ok=True)
            for noted in (False, True):
                seconds = start(directory.path)
                began = time.perf_counter()
                hash_input(source, directory.path, use_note=noted)
                if run:
                    times[noted].append(seconds)
                    alone[noted].append(time.perf_counter() - began)
                sys.stderr.write(f"photos, {'noted' if noted else 'hashed'}: {seconds:.2f} s\n")
    facts = {"size": list(PHOTO_SIZE), "frames": frames, "input": "photos", "photo_bytes": PHOTO_BYTES}
    digest_s = {noted: round(statistics.median(found), 3) for noted, found in alone.items()}
    return [{**facts, "noted": noted, **spread(times[noted]), "digest_s": digest_s[noted]} for noted in (False, True)]


def spread(times: list[float]) -> dict[str, Any]:
    """Median and every run, in seconds."""
    return {"median_s": round(statistics.median(times), 2), "runs_s": [round(seconds, 2) for seconds in times]}


def make_clip(path: Path, frames: int, width: int, height: int) -> None:
    """A video that pans over blurred noise."""
    wide = synthetic_frame(1, width + 400, height)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "60"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            at = abs(index % 800 - 400)
            frame = np.ascontiguousarray(wide[:, at : at + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def make_photos(folder: Path, count: int) -> None:
    """JPEGs with old dates, no two the same, padded after the image data to `PHOTO_BYTES`."""
    folder.mkdir()
    encoded_frames = []
    for number in range(8):
        good, encoded = cv2.imencode(".jpg", synthetic_frame(number, *PHOTO_SIZE))
        assert good
        encoded_frames.append(encoded.tobytes())
    padding = np.random.default_rng(0).bytes(PHOTO_BYTES)
    for index in range(count):
        photo = folder / f"{index:05d}.jpg"
        data = encoded_frames[index % 8] + index.to_bytes(4, "big")
        photo.write_bytes(data + padding[len(data) :])
        os.utime(photo, (1_500_000_000 + index, 1_500_000_000 + index))


def make_render(given: Path, frames: int, width: int, height: int) -> RenderDirectory:
    """A render directory that lacks its last frames; the stored ones compress as stylized frames do."""
    home = given.parent
    Image.fromarray(synthetic_frame(2, 480, 360)).save(home / "style.png")
    config = load_style(str(home / "style.png"), ["encoder=compact", "input.cuts=none", "input.deflicker=0"])
    request = RenderRequest(inputs=(str(given),), styles=(config,), output=home / "v.mp4")
    prepared = prepare(request, SilentReporter())
    directory = RenderDirectory.create(prepared.path, prepared.plan)
    encoded_frames = [encode_png(synthetic_frame(number, width, height)) for number in range(8)]
    for chain in directory.plan.chains:
        folder = directory.frames_path / chain.id
        folder.mkdir(parents=True)
        for index in chain.frames:
            if index < frames - LEFT:
                (folder / f"{index:08d}.png").write_bytes(encoded_frames[index % 8])
    return directory


def empty_cache(path: Path) -> None:
    """Drop the frames from the system's cache."""
    os.sync()
    for file in path.glob("frames/*/*.png"):
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def start(path: Path) -> float:
    """Seconds from the start of the command to the work on its first frame. It is killed then and the frame removed."""
    words = [sys.executable, "-m", "pipeline", "resume", str(path), "--progress", "json"]
    before = set(path.glob("frames/*/*.png"))
    began = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "frame":
                seconds = time.perf_counter() - began - float(event["seconds"])
                process.kill()
                break
        else:
            raise RuntimeError(f"no frame was stylized: {''.join(said)}")
    for file in set(path.glob("frames/*/*.png")) - before:
        file.unlink()
    return seconds


def synthetic_frame(seed: int, width: int, height: int) -> RGB:
    """Blurred noise that compresses as stylized frames do (about 2.2 bytes per pixel), uint8 (height, width, 3)."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width, 3)).astype(np.float32)
    fine, broad = cv2.GaussianBlur(noise, (0, 0), 1.2), cv2.GaussianBlur(noise, (0, 0), 12)
    frame: RGB = np.clip(128 + 60 * fine + 900 * broad, 0, 255).astype(np.uint8)
    return frame


if __name__ == "__main__":
    main()
