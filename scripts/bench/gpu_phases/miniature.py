"""The phase "miniature": a short clip from nothing to the video, and what it says about one of 900 frames.

Where every library is installed the clip is rendered by `pipeline.render`; otherwise its frames are stylized by the
styler alone, in chains side by side, each warm frame from the stored previous one moved by the known motion.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch

from gpu_phases import subjects
from gpu_phases.setting import Row, Setting
from gpu_phases.standins import need
from gpu_phases.timing import activity, synchronize
from pipeline.types import FrameBatch

LONG = 900
"""Frames that are extrapolated to."""
SEGMENT = 48
"""Frames of a segment in such a clip."""
FORMULA = "start_s + cold_s + (keyframes - 1) * keyframe_s + (frames - keyframes) * warm_s + frames * write_s"
SAMPLE_S = 0.1
LIBRARIES = ("av", "cv2", "pydantic", "yaml", "PIL", "safetensors")


def rows(setting: Setting) -> Iterator[Row]:
    """Seconds of each part, how much of the time the device is busy, and the extrapolation with its formula."""
    try:
        need(*LIBRARIES)
    except ModuleNotFoundError as error:
        yield {"how": "pipeline.render", "skipped": str(error)}
        yield from _by_styler(setting)
    else:
        yield from _by_render(setting)


def extrapolated(parts: Row, frames: int = LONG) -> Row:
    """Seconds for a clip of so many frames, from the seconds of the parts named in `FORMULA`."""
    keyframes = -(-frames // SEGMENT)
    seconds = parts["start_s"] + parts["cold_s"] + (keyframes - 1) * parts["keyframe_s"]
    seconds += (frames - keyframes) * parts["warm_s"] + frames * parts["write_s"]
    return {"frames": frames, "keyframes": keyframes, "seconds": round(seconds, 1), "formula": FORMULA}


class _Busy:
    """Samples how much of the time the device is busy, in percent, as its driver tells; [] where it does not."""

    def __init__(self, setting: Setting) -> None:
        self.samples: list[float] = []
        self._read = _reader() if setting.device == "cuda" else None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while self._read is not None and not self._done.wait(SAMPLE_S):
            self.samples.append(self._read())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def share(self) -> float | None:
        return round(statistics.fmean(self.samples) / 100, 3) if self.samples else None


def _reader() -> Any:
    """A function that gives the utilization of the device in percent, or None if nothing tells it."""

    def ask() -> float:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
        return float(subprocess.run(command, capture_output=True, check=True, text=True, timeout=5).stdout)

    for read in (torch.cuda.utilization, ask):
        try:
            read()
        except Exception:
            continue
        return read
    return None


def _by_render(setting: Setting) -> Iterator[Row]:
    import pipeline
    from pipeline.media.image.png import save_png
    from pipeline.store.directory import RenderDirectory
    from pipeline.store.stats import read_lines

    count, segment = (6, 3) if setting.small else (64, 8)
    quick = {"optimize.cold.evaluations": 2, "optimize.cold.min_scale_px": 64, "optimize.warm.evaluations": 2}
    settings = {"runtime.device": setting.device, "encoder": "compact", "motion.segment_frames": segment}
    times: list[float] = []
    with tempfile.TemporaryDirectory() as home, _Busy(setting) as busy:
        photos = Path(home) / "photos"
        photos.mkdir()
        for index, frame in enumerate(subjects.moving(count, setting.size)):
            save_png(photos / f"{index:04d}.png", frame, level=1)
        save_png(Path(home) / "style.png", subjects.texture(512, 512, 99))
        style = pipeline.load_style(Path(home) / "style.png", {**settings, **(quick if setting.small else {})})
        busy.samples.clear()
        began = time.perf_counter()
        pipeline.render(photos, style, Path(home) / "v.mp4", progress=lambda _: times.append(time.perf_counter()))
        seconds = time.perf_counter() - began
        directory = RenderDirectory.open(Path(home) / "v.render")
        keyframe_chains = {chain.id for chain in directory.plan.chains if not chain.in_output}
        stats = read_lines(directory.path / "stats.jsonl")
    cold, *keyframes = [line for line in stats if line["chain"] in keyframe_chains]
    stylizing_s = times[-1] - times[0]
    keyframe_s = statistics.fmean(line["seconds"] for line in keyframes)
    warm = [line for line in stats if line["chain"] not in keyframe_chains and line["evaluations"]]
    parts = {
        "start_s": times[0] - began - cold["seconds"],
        "cold_s": cold["seconds"],
        "keyframe_s": keyframe_s,
        "warm_s": max(0.0, stylizing_s - len(keyframes) * keyframe_s) / len(warm),
        "write_s": (began + seconds - times[-1]) / count,
    }
    yield {
        "how": "pipeline.render",
        "frames": count,
        "seconds": round(seconds, 2),
        "busy_share": busy.share,
        "evaluations": round(statistics.fmean(line["evaluations"] for line in warm), 1),
        "batch": max(line["batch"] for line in warm),
        **{name: round(value, 4) for name, value in parts.items()},
    }
    yield {"how": "extrapolated", **extrapolated(parts)}


def _by_styler(setting: Setting) -> Iterator[Row]:
    from pipeline.config.settings import ColdSettings, OptimizeSettings, WarmSettings

    chains, frames = (2, 3) if setting.small else (8, 8)
    encoder = subjects.encoder("compact", setting.device, torch.bfloat16)
    quick = OptimizeSettings(
        cold=ColdSettings(evaluations=2, min_scale_px=64), warm=WarmSettings(evaluations=2, min_evaluations=2)
    )
    styler = subjects.styler(encoder, quick if setting.small else None)
    contents = [  # of every chain another part of the clip, side by side
        torch.cat([subjects.tensor(frame).roll((37 * chain, 61 * chain), (2, 3)) for chain in range(chains)])
        for frame in subjects.moving(frames, setting.size)
    ]
    found: dict[str, list[float]] = {}
    stored: torch.Tensor | None = None

    def stylize(content: torch.Tensor, previous: torch.Tensor | None) -> tuple[torch.Tensor, Row]:
        batch, seeds = len(content), tuple(range(len(content)))
        began = time.perf_counter()
        if previous is None:
            given = FrameBatch("cold", content, None, seeds)
        else:
            init = subjects.moved(previous.to(setting.device).float() / 255)
            given = FrameBatch("warm", content, init, seeds, init, torch.ones_like(init[:, :1]))
        stylized = styler.stylize(given)
        rounded = stylized.images.mul(255).round().byte().cpu()  # what is stored, and what the next frame starts from
        seconds = time.perf_counter() - began
        evaluations = statistics.fmean(each.evaluations for each in stylized.stats)
        facts = {"start": given.phase, "batch": batch, "seconds": round(seconds, 4), "evaluations": evaluations}
        found.setdefault(f"{given.phase} {batch}", []).append(seconds)
        return rounded, {"how": "styler", **facts}

    began = time.perf_counter()
    with _Busy(setting) as busy:
        for content in itertools.islice(contents, 2):  # one chain alone, as keyframes are
            stored, row = stylize(content[:1], stored)
            yield row
        stored = None
        for content in contents:
            stored, row = stylize(content, stored)
            yield {**row, "busy_share": busy.share}
            busy.samples.clear()
    synchronize(setting.device)
    seconds = time.perf_counter() - began
    last, before = contents[-1], stored
    busy_ms = activity(lambda: stylize(last, before), setting.device).get("busy_ms")
    warm = statistics.median(found[f"warm {chains}"][: frames - 1])
    parts = {
        "start_s": 0.0,
        "cold_s": found["cold 1"][0],
        "keyframe_s": found["warm 1"][0],
        "warm_s": warm / chains,
        "write_s": 0.0,
    }
    share = None if busy_ms is None else round(busy_ms / 1e3 / warm, 3)
    yield {
        "how": "styler",
        "start": "all",
        "frames": chains * frames,
        "seconds": round(seconds, 2),
        "busy_share": share,
    }
    yield {"how": "extrapolated", **{name: round(value, 4) for name, value in parts.items()}, **extrapolated(parts)}
