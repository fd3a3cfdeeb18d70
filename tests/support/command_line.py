"""What tests of the command line use: settings of a quick render, the result of a command, and readers of outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

FRAMES = 5
QUICK = ["--encoder", "tiny", "--progress", "none"]
QUICK += [f"--set={key}" for key in ("optimize.cold.evaluations=2", "optimize.warm.evaluations=1")]
QUICK += [f"--set={key}" for key in ("optimize.cold.min_scale_px=32", "output.preset=ultrafast")]
QUICK += ["--set=losses.style.layers={relu1_1: 64, relu2_1: 16}"]


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
