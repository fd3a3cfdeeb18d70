"""What tests of the command line use: settings of a quick render, the result of a command, and readers of outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.clips import moving_square, texture, write_video

FRAMES = 5
_TINY = ["--encoder", "tiny", "--set=losses.style.layers={relu1_1: 64, relu2_1: 16}", "--set=output.preset=ultrafast"]
_TINY += ["--set=optimize.warm.evaluations=1", "--set=optimize.cold.min_scale_px=32"]
QUICK = [*_TINY, "--progress", "none", "--set=optimize.cold.evaluations=2"]
"""A render of few evaluations of the tiny encoder."""
BRIEF = [*_TINY, "--progress", "plain", "--set=optimize.cold.evaluations=1"]
"""One evaluation for every frame, with plain lines of progress."""


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Tempera = Callable[..., Result]


def assert_refused(result: Result, code: int, *words: str) -> None:
    """Check that a command ended with this code, one error and one hint, and printed no traceback."""
    assert result.code == code, result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    lines = result.err.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    hints = [number for number, line in enumerate(lines) if line.startswith("hint: ")]
    assert len(errors) == len(hints) == 1 and errors[0] < hints[0], result.err
    assert len(lines[hints[0]]) > len("hint: ") + 5
    for word in words:
        assert word in result.err


def export(tempera: Tempera, render: Path, name: str, *settings: str) -> tuple[Path, str]:
    """The file that the export of a render without loss writes, with settings of its output, and what it says."""
    assignments = [f"--set=output.{setting}" for setting in ("codec=ffv1", *settings)]
    result = tempera("export", render, "-o", name, "--progress", "plain", *assignments)
    assert result.code == 0, result.err
    return Path(result.out.strip()), result.err


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    """The frames of a video, uint8 (H, W, 3)."""
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def video_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [Fraction(frame.pts or 0) * (frame.time_base or 1) for frame in container.decode(stream)]


def audio_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.audio[0]))
        return sum(frame.samples for frame in frames) / frames[0].sample_rate


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def clip_and_style(folder: Path) -> Path:
    """Write a clip of 6 frames, `clip.mp4`, and a style image, `one.png`, into a folder; returns it."""
    write_video(folder / "clip.mp4", moving_square(6), rate=10)
    Image.fromarray(texture((64, 48), 50)).save(folder / "one.png")
    return folder


def render_of(home: Path, *more: str) -> list[str]:
    """The arguments of a brief render of what `clip_and_style` wrote, into `v.mp4`."""
    return ["render", f"{home}/clip.mp4", "-s", f"{home}/one.png", "-o", f"{home}/v.mp4", *BRIEF, *more]
