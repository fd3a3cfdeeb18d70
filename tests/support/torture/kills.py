"""Renders that are killed at random moments, again and again, until they are done; then every byte is compared.

Half of the kills come from outside after a random time, the others from inside, before or after a random operation on
the disk, where the narrow moments are. The renders take turns at every way in which a frame may look back: at the frame
before, at farther ones, at a keyframe, at one that is held.
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
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.store.directory import RenderDirectory
from pipeline.store.report import verify_frames
from pipeline.store.stats import read_lines
from tests.support.torture import children
from tests.support.torture.faults import STORE_OPERATIONS, WRITER_OPERATIONS

RGB = NDArray[np.uint8]
SIZE: Final = (48, 32)
FRAMES: Final = 18
CUTS: Final = (5, 9)
VIDEOS: Final = ("v-one.mp4", "v-two.mp4")
_SETTINGS: Final = ("optimize.cold.evaluations=3", "optimize.warm.evaluations=3", "optimize.cold.min_scale_px=32")
_SETTINGS_OF_WORK: Final = ("runtime.prefetch=3", "output.preset=ultrafast")
VARIANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "plain": (),
    "segments": ("motion.segment_frames=3", "runtime.batch_size=1"),
    "hold": ("motion.hold=2",),
    "segments, batches of 3": ("motion.segment_frames=2", "runtime.batch_size=3", "optimize.precision=bfloat16"),
    "boil": ("motion.boil=0.4",),
    "earlier": ("losses.temporal.long_term=[2,4]",),
    "segments, hold, earlier": ("motion.segment_frames=4", "motion.hold=2", "losses.temporal.long_term=[2,4]"),
}
"""Settings of the renders, by name. Each is compared with a render of the same settings, batch size included. A render
that goes on after a kill may batch its frames otherwise, and only batches of one are promised to end with the same
bytes: in float32 some sums of a batch of one and of three are rounded differently. Those of bfloat16 agree, as far as
we have seen."""
_LONGEST_S: Final = 120.0
_KILLS_PER_RENDER: Final = 12


@dataclass(frozen=True)
class KillAt:
    """Kills its own process with SIGKILL around the `number`-th operation on the disk."""

    number: int
    after: bool

    def __call__(self) -> None:
        from pipeline.media.writer import partial
        from pipeline.runtime import atomic

        count = 0

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def operation(*arguments: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                mine = count == self.number
                if mine and not self.after:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = real(*arguments, **options)
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return operation

        modules: list[tuple[ModuleType, Sequence[str]]] = [(atomic, STORE_OPERATIONS), (partial, WRITER_OPERATIONS)]
        for module, names in modules:
            for name in names:
                setattr(module, name, dying(getattr(module, name)))


@dataclass
class Tally:
    """What was done and what was found; only kills, renders and stored frames should be above 0 at the end."""

    kills: int = 0
    kills_after_time: int = 0
    kills_at_operations: int = 0
    kills_by_variant: dict[str, int] = field(default_factory=dict)
    """Kills of the renders with each of `VARIANTS`."""
    renders: int = 0
    frames_stored_at_kills: int = 0
    frames_lost: int = 0
    """Whole before a kill or a start, and gone later."""
    frames_redone: int = 0
    """Whole at a kill, and written again later."""
    torn_files: int = 0
    """Files with the name of a frame or of the video that are not whole."""
    mismatches: int = 0
    """Frames or videos that differ from those of the render that was never stopped."""
    broken_statistics: int = 0
    failures: list[str] = field(default_factory=list)
    """Commands that ended with an error, and what they said."""

    @property
    def bad(self) -> int:
        """How much of this must not be."""
        found = self.frames_lost + self.frames_redone + self.torn_files + self.mismatches + self.broken_statistics
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
) -> Tally:
    """Kill renders until there were that many kills and the last render is done; stops early at `until` (monotonic).

    The renders take turns at the variants, settings by name.
    """
    chance = random.Random(seed)
    tally = Tally()
    references: dict[str, Reference] = {}
    for name in itertools.cycle(variants):
        if tally.kills >= kills or time.monotonic() > until:
            break
        if name not in references:
            runs = 1 if references else 2  # the first of all warms up the machine; and both must be the same
            found = _reference(home / f"reference-{len(references)}", variants[name], tally, runs=runs)
            if any(found.wanted == other.wanted for other in references.values()):
                raise RuntimeError(f"{name}: these settings change nothing here")
            references[name] = found
        folder = home / f"render-{tally.renders}"
        make_inputs(folder)
        before = tally.kills, len(tally.failures)
        _kill_one(folder, references[name], chance, tally, most=kills, until=until)
        shutil.rmtree(folder)
        tally.renders += 1
        tally.kills_by_variant[name] = tally.kills_by_variant.get(name, 0) + tally.kills - before[0]
        tally.failures[before[1] :] = [f"{name}: {failure}" for failure in tally.failures[before[1] :]]
    return tally


def _reference(folder: Path, settings: tuple[str, ...], tally: Tally, *, runs: int) -> Reference:
    """Render without stopping, so many times; all must be the same."""
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
        again = whole(folder)
        tally.mismatches += bool(wanted) and again != wanted
        wanted = again
        tally.renders += 1
    return Reference(settings, wanted, seconds)


def _kill_one(
    folder: Path, reference: Reference, chance: random.Random, tally: Tally, *, most: int, until: float
) -> None:
    """One render from its beginning to its end, with kills on the way."""
    wanted = reference.wanted
    before: dict[str, tuple[int, int]] = {}
    for _ in range(_KILLS_PER_RENDER):
        left = 1 - len(before) / len(wanted)
        by_time = chance.random() < 0.5
        hook = (
            None if by_time else KillAt(1 + int(chance.random() * reference.operations * left), chance.random() < 0.5)
        )
        words = command(folder, reference.settings)
        if (folder / "v.render/plan.json").exists() and chance.random() < 0.5:
            words = ["resume", str(folder / "v.render"), "--progress", "none"]
        process = children.start(words, hook=hook, err=folder / "err.txt")
        process.join(chance.random() * reference.seconds * (0.3 + 0.8 * left) if by_time else _LONGEST_S)
        if process.is_alive():
            process.kill()
        process.join(_LONGEST_S)
        before = _look(folder, before, wanted, tally)
        if process.exitcode == 0:
            break
        if process.exitcode != -signal.SIGKILL:
            tally.failures.append(
                f"{words[0]} ended with {process.exitcode}: {(folder / 'err.txt').read_text()[-500:]}"
            )
            return
        tally.kills += 1
        tally.kills_after_time += by_time
        tally.kills_at_operations += not by_time
        tally.frames_stored_at_kills += len(before)
        if tally.kills >= most or time.monotonic() > until:
            break
    process = children.start(command(folder, reference.settings), err=folder / "err.txt")
    process.join(_LONGEST_S)
    if process.exitcode != 0:
        tally.failures.append(f"the last run ended with {process.exitcode}: {(folder / 'err.txt').read_text()[-500:]}")
        return
    _look(folder, before, wanted, tally)
    found = whole(folder)
    tally.mismatches += sum(found.get(name) != data for name, data in wanted.items()) + len(
        found.keys() - wanted.keys()
    )


def _look(
    folder: Path, before: dict[str, tuple[int, int]], wanted: Mapping[str, bytes], tally: Tally
) -> dict[str, tuple[int, int]]:
    """Look at a directory whose process is dead: are all frames of before there, untouched, and is nothing torn?"""
    root = folder / "v.render"
    stored = {}
    for path in sorted(root.glob("frames/*/*.png")):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith("."):
            continue
        if path.read_bytes() != wanted[name]:
            tally.torn_files += 1
        found = path.stat()
        stored[name] = (found.st_ino, found.st_mtime_ns)
    for video in VIDEOS:
        if (folder / video).exists() and (folder / video).read_bytes() != wanted[video]:
            tally.torn_files += 1
    tally.frames_lost += len(before.keys() - stored.keys())
    tally.frames_redone += sum(stored[name] != facts for name, facts in before.items() if name in stored)
    statistics = root / "stats.jsonl"
    if statistics.exists():
        lines = statistics.read_bytes().split(b"\n")
        good = len(read_lines(statistics))
        tally.broken_statistics += sum(1 for line in lines[:-1] if not _is_json(line)) + (good > len(lines))
    if (root / "plan.json").exists():
        report = verify_frames(RenderDirectory.open(root))
        tally.torn_files += sum(finding.kind == "damaged" for finding in report.findings)
    return stored


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def whole(folder: Path) -> dict[str, bytes]:
    """Every frame and the videos of a finished render, by name."""
    paths = [*sorted(folder.glob("v.render/frames/*/*.png")), *(folder / name for name in VIDEOS)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.exists()}


def command(folder: Path, settings: Sequence[str] = ()) -> list[str]:
    """A render of two styles over three shots, with motion and frames decoded ahead, and with more settings."""
    words = ["render", str(folder / "clip.mkv"), "-s", str(folder / "one.png"), "-s", str(folder / "two.png")]
    words += ["-o", str(folder / "v.mp4"), "--encoder", "tiny", "--progress", "none"]
    return [*words, *(f"--set={setting}" for setting in (*_SETTINGS, *_SETTINGS_OF_WORK, *settings))]


def make_inputs(folder: Path) -> None:
    """A lossless clip of three shots in which a square moves, and two paintings; equal every time."""
    import av
    from PIL import Image

    folder.mkdir(parents=True)
    with av.open(str(folder / "clip.mkv"), "w") as container:
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
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        chance.uniform(70, 180) + 25 * sum(np.sin((fx * x + fy * y) / 8 + phase) for fx, fy, phase in waves)
        for waves in chance.uniform((-3, -3, 0), (3, 3, 6.28), (3, 3, 3))
    ]
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)
