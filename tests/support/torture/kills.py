"""Renders that are killed at random moments, again and again, until they are done; then every byte is compared.

Half of the kills come from outside after a random time, the others from inside, before or after a random operation on
the disk. The renders take turns at every way in which a frame depends on others: on the previous frame, on long-term
ones, on a keyframe, on a repeated frame.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.store.directory import RenderDirectory
from pipeline.store.stats import read_lines
from pipeline.store.verification import verify_frames
from tests.support.torture import children

RGB = NDArray[np.uint8]
SIZE: Final = (48, 32)
FRAMES: Final = 18
CUTS: Final = (5, 9)
VIDEOS: Final = ("v-one.mp4", "v-two.mp4")
_SETTINGS: Final = (
    "optimize.cold.evaluations=3",
    "optimize.warm.evaluations=3",
    "optimize.cold.min_scale_px=32",
    "losses.style.layers={relu1_1: 64, relu2_1: 16}",
)
_SETTINGS_OF_WORK: Final = ("runtime.prefetch=3", "output.preset=ultrafast")
VARIANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "plain": (),
    "segments": ("motion.segment_frames=3", "runtime.batch_size=1"),
    "hold": ("motion.hold=2",),
    "segments, batches of 3": ("motion.segment_frames=2", "runtime.batch_size=3", "optimize.precision=bfloat16"),
    "boil": ("motion.boil=0.4",),
    "long term": ("losses.temporal.long_term=[2,4]",),
    "segments, hold, long term": ("motion.segment_frames=4", "motion.hold=2", "losses.temporal.long_term=[2,4]"),
}
"""Settings of the renders, by name. Each is compared with a render of the same settings, batch size included. A render
that continues after a kill may batch its frames differently, and only batches of one guarantee the same bytes: in
float32 some sums of a batch of one and of three are rounded differently. In bfloat16 they have agreed in all runs."""
_LONGEST_S: Final = 120.0
_KILLS_PER_RENDER: Final = 12


@dataclass(frozen=True)
class KillAt:
    """Kills its own process with SIGKILL around the `number`-th operation on the disk."""

    number: int
    after: bool

    def __call__(self) -> None:
        from pipeline.runtime import atomic

        count = 0

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def operation(*arguments: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                chosen = count == self.number
                if chosen and not self.after:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = real(*arguments, **options)
                if chosen:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return operation

        for name in atomic.OPERATIONS:
            setattr(atomic, name, dying(getattr(atomic, name)))


@dataclass
class KillResult:
    """What was done and what was found. All but the kills, the renders and the stored frames must be 0 at the end."""

    kills: int = 0
    kills_after_time: int = 0
    kills_at_operations: int = 0
    kills_by_variant: dict[str, int] = field(default_factory=dict)
    """Kills of the renders with each of `VARIANTS`."""
    renders: int = 0
    frames_stored_at_kills: int = 0
    frames_lost: int = 0
    """Complete before a kill or a start, and missing later."""
    frames_redone: int = 0
    """Complete at a kill, and written again later."""
    incomplete_files: int = 0
    """Files with the name of a frame or of a video that are incomplete."""
    mismatches: int = 0
    """Frames or videos that differ from those of the render that was never stopped."""
    broken_statistics: int = 0
    failures: list[str] = field(default_factory=list)
    """Commands that ended with an error, and their messages."""

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        found = self.frames_lost + self.frames_redone + self.incomplete_files + self.mismatches + self.broken_statistics
        return found + len(self.failures)


@dataclass(frozen=True)
class Reference:
    """A render that was never stopped: its settings, the bytes of its frames and videos, and how long it took."""

    settings: tuple[str, ...]
    wanted: Mapping[str, bytes]
    seconds: float

    @property
    def operations(self) -> int:
        """About how many operations on the disk it made."""
        return 11 * len(self.wanted)


def kill_renders(
    home: Path,
    *,
    kills: int,
    seed: int,
    until: float = math.inf,
    variants: Mapping[str, tuple[str, ...]] = VARIANTS,
) -> KillResult:
    """Kill renders until there were that many kills and the last render is done; stops early at `until` (monotonic).

    The renders take turns at the variants, settings by name.
    """
    generator = random.Random(seed)
    result = KillResult()
    references: dict[str, Reference] = {}
    for name in itertools.cycle(variants):
        if result.kills >= kills or time.monotonic() > until:
            break
        if name not in references:
            runs = 1 if references else 2  # the first one warms up the machine, and both must be the same
            found = _reference(home / f"reference-{len(references)}", variants[name], result, runs=runs)
            if any(found.wanted == other.wanted for other in references.values()):
                raise RuntimeError(f"{name}: these settings change nothing here")
            references[name] = found
        folder = home / f"render-{result.renders}"
        make_inputs(folder)
        before = result.kills, len(result.failures)
        _kill_one(folder, references[name], generator, result, most=kills, until=until)
        shutil.rmtree(folder)
        result.renders += 1
        result.kills_by_variant[name] = result.kills_by_variant.get(name, 0) + result.kills - before[0]
        result.failures[before[1] :] = [f"{name}: {failure}" for failure in result.failures[before[1] :]]
    return result


def _reference(folder: Path, settings: tuple[str, ...], result: KillResult, *, runs: int) -> Reference:
    """Render `runs` times without a kill; all must be the same."""
    make_inputs(folder)
    wanted: dict[str, bytes] = {}
    seconds = 0.0
    for _ in range(runs):
        shutil.rmtree(folder / "v.render", ignore_errors=True)
        began = time.monotonic()
        process = children.start([*command(folder, settings), "--fresh"], err=folder / "err.txt")
        process.join(_LONGEST_S)
        seconds = time.monotonic() - began
        if process.exitcode != 0:
            raise RuntimeError(f"the reference ended with {process.exitcode}: {(folder / 'err.txt').read_text()}")
        again = results_of(folder)
        result.mismatches += bool(wanted) and again != wanted
        wanted = again
        result.renders += 1
    return Reference(settings, wanted, seconds)


def _kill_one(
    folder: Path, reference: Reference, generator: random.Random, result: KillResult, *, most: int, until: float
) -> None:
    """One render from its beginning to its end, with kills in between."""
    wanted = reference.wanted
    before: dict[str, tuple[int, int]] = {}
    for _ in range(_KILLS_PER_RENDER):
        left = 1 - len(before) / len(wanted)
        by_time = generator.random() < 0.5
        last = reference.operations * left
        hook = None if by_time else KillAt(1 + int(generator.random() * last), generator.random() < 0.5)
        arguments = command(folder, reference.settings)
        if (folder / "v.render/plan.json").exists() and generator.random() < 0.5:
            arguments = ["resume", str(folder / "v.render"), "--progress", "none"]
        process = children.start(arguments, hook=hook, err=folder / "err.txt")
        process.join(generator.random() * reference.seconds * (0.3 + 0.8 * left) if by_time else _LONGEST_S)
        if process.is_alive():
            process.kill()
        process.join(_LONGEST_S)
        before = _compare(folder, before, wanted, result)
        if process.exitcode == 0:
            break
        if process.exitcode != -signal.SIGKILL:
            result.failures.append(
                f"{arguments[0]} ended with {process.exitcode}: {(folder / 'err.txt').read_text()[-500:]}"
            )
            return
        result.kills += 1
        result.kills_after_time += by_time
        result.kills_at_operations += not by_time
        result.frames_stored_at_kills += len(before)
        if result.kills >= most or time.monotonic() > until:
            break
    process = children.start(command(folder, reference.settings), err=folder / "err.txt")
    process.join(_LONGEST_S)
    if process.exitcode != 0:
        result.failures.append(f"the last run ended with {process.exitcode}: {(folder / 'err.txt').read_text()[-500:]}")
        return
    _compare(folder, before, wanted, result)
    found = results_of(folder)
    result.mismatches += sum(found.get(name) != data for name, data in wanted.items()) + len(
        found.keys() - wanted.keys()
    )


def _compare(
    folder: Path, before: dict[str, tuple[int, int]], wanted: Mapping[str, bytes], result: KillResult
) -> dict[str, tuple[int, int]]:
    """After the process has ended: are all frames of before there, unchanged, and is every file complete?

    Returns the inode and time of change of every stored frame, by name.
    """
    root = folder / "v.render"
    stored = {}
    for path in sorted(root.glob("frames/*/*.png")):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith("."):
            continue
        if path.read_bytes() != wanted[name]:
            result.incomplete_files += 1
        found = path.stat()
        stored[name] = (found.st_ino, found.st_mtime_ns)
    for video in VIDEOS:
        if (folder / video).exists() and (folder / video).read_bytes() != wanted[video]:
            result.incomplete_files += 1
    result.frames_lost += len(before.keys() - stored.keys())
    result.frames_redone += sum(stored[name] != facts for name, facts in before.items() if name in stored)
    statistics = root / "stats.jsonl"
    if statistics.exists():
        lines = statistics.read_bytes().split(b"\n")
        good = len(read_lines(statistics))
        result.broken_statistics += sum(1 for line in lines[:-1] if not _is_json(line)) + (good > len(lines))
    if (root / "plan.json").exists():
        report = verify_frames(RenderDirectory.open(root))
        result.incomplete_files += sum(finding.kind == "damaged" for finding in report.findings)
    return stored


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def results_of(folder: Path) -> dict[str, bytes]:
    """Every frame and the videos of a finished render, by name."""
    paths = [*sorted(folder.glob("v.render/frames/*/*.png")), *(folder / name for name in VIDEOS)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.exists()}


def command(folder: Path, settings: Sequence[str] = ()) -> list[str]:
    """A command that renders two styles over three shots, with motion and decoding ahead, and with more settings."""
    arguments = ["render", str(folder / "clip.mkv"), "-s", str(folder / "one.png"), "-s", str(folder / "two.png")]
    arguments += ["-o", str(folder / "v.mp4"), "--encoder", "tiny", "--progress", "none"]
    return [*arguments, *(f"--set={setting}" for setting in (*_SETTINGS, *_SETTINGS_OF_WORK, *settings))]


def make_inputs(folder: Path) -> None:
    """A lossless clip of three shots in which a square moves, and two style images; the same on every call."""
    import av
    from PIL import Image

    folder.mkdir(parents=True)
    # Bit-exact: the videos state the digest of their input, and Matroska files have a random identifier otherwise.
    with av.open(str(folder / "clip.mkv"), "w", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("ffv1", rate=12)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "bgr0"
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(_scene(index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for number, name in enumerate(("one", "two")):
        Image.fromarray(_waves((64, 48), 7 + number)).save(folder / f"{name}.png")


def _scene(index: int) -> RGB:
    shot = sum(index >= cut for cut in CUTS)
    frame = _waves(SIZE, shot)
    side, (width, height) = 12, SIZE
    columns = (np.arange(side) + 2 * index) % width
    frame[(height - side) // 2 : (height + side) // 2, columns] = 255 - _waves((side, side), 40 + shot) // 2
    return frame


def _waves(size: tuple[int, int], seed: int) -> RGB:
    """Smooth texture around one color, uint8 (H, W, 3)."""
    width, height = size
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        generator.uniform(70, 180) + 25 * sum(np.sin((fx * x + fy * y) / 8 + phase) for fx, fy, phase in waves)
        for waves in generator.uniform((-3, -3, 0), (3, 3, 6.28), (3, 3, 3))
    ]
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)
