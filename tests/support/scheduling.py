"""Fakes around the scheduler: stylers that are pure functions, frames in which nothing moves, a real directory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import InputError, StylizeError, TemperaError
from pipeline.execute.chain_frames import ChainFrame
from pipeline.execute.scheduler import run_chains
from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.motion.correspondence import Correspondence
from pipeline.plan.chains import StyleChains, frame_seed, make_chains
from pipeline.plan.identity import identity_digest
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.types import (
    Chain,
    FrameBatch,
    FrameStats,
    Motion,
    Phase,
    RenderPlan,
    Shot,
    Source,
    StylizedBatch,
)

RGB = NDArray[np.uint8]
WIDTH, HEIGHT = 6, 4


def a_plan(styles: Sequence[str] = ("a",), cuts: Sequence[int] = (4,)) -> RenderPlan:
    shots = tuple(Shot(index, a, b) for index, (a, b) in enumerate(zip((0, *cuts), cuts, strict=False)))
    identity = {"styles": list(styles), "cuts": list(cuts)}
    source = Source(
        path="../in.mp4",
        kind="video",
        files=(),
        width_px=WIDTH,
        height_px=HEIGHT,
        frame_rate=Fraction(25),
        time_base=Fraction(1, 25),
        pts=tuple(range(cuts[-1])),
        duration_ticks=1,
        decoded_indices=tuple(range(cuts[-1])),
        digest="0" * 64,
    )
    chains = make_chains([StyleChains(style, seed) for seed, style in enumerate(styles, 1)], shots)
    outputs = {style: f"../{style}.mp4" for style in styles}
    digest = identity_digest(identity)
    return RenderPlan(digest, identity, source, WIDTH, HEIGHT, shots, chains, {s: {} for s in styles}, outputs)


def content_of(index: int) -> RGB:
    return np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def blend(content: torch.Tensor, init: torch.Tensor | None, seed: int) -> torch.Tensor:
    """One frame as the fake stylers stylize it; values lie between the levels of uint8, so that rounding matters."""
    start = torch.full_like(content, (seed % 997) / 997) if init is None else init
    return (0.37 * content + 0.61 * start + 0.0013).clamp(0, 1)


@dataclass
class FakeStyler:
    """Stylizes by `blend`, keeps every batch, calls `on_batch` with it, and fails as its other fields say."""

    fits: int = 1000
    broken: Callable[[torch.Tensor], bool] = lambda content: False
    raises: bool = True
    style_colors: None = None
    failure: Callable[[], Exception] = lambda: torch.OutOfMemoryError("CUDA out of memory")
    on_batch: Callable[[FrameBatch], None] = lambda batch: None
    batches: list[FrameBatch] = field(default_factory=list)

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        self.batches.append(batch)
        self.on_batch(batch)
        count = batch.content.shape[0]
        if count > self.fits:
            raise self.failure()
        inits = [None] * count if batch.init is None else list(batch.init)
        images = [blend(*sample) for sample in zip(batch.content, inits, batch.seeds, strict=True)]
        for sample, content in enumerate(batch.content):
            if self.broken(content):
                if self.raises:
                    raise StylizeError("the loss is nan", hint="smaller weights")
                images[sample] = images[sample] * float("nan")
        return StylizedBatch(torch.stack(images), tuple(FrameStats(5, 0.5) for _ in images))

    @property
    def sizes(self) -> list[int]:
        return [batch.content.shape[0] for batch in self.batches]


def nothing_moved(index: int, confidence: float = 1.0) -> Correspondence:
    plane = np.full((HEIGHT, WIDTH), confidence, np.float32)
    motion = Motion(index - 1, index, np.zeros((HEIGHT, WIDTH, 2), np.float32), plane)
    return Correspondence(motion, np.zeros((HEIGHT, WIDTH), np.float32))


@dataclass
class FakeFrames:
    """Content by index in which nothing moves; raises at the frame `damaged`; `unrelated` ones do not correspond.

    Every `hold`-th frame of a chain is stylized, the others repeat it.
    """

    chain: Chain
    at: int
    damaged: int | None = None
    unrelated: Collection[int] = ()
    hold: int = 1
    closed: bool = False

    def next_item(self) -> ChainFrame:
        index = self.at
        if index == self.damaged:
            raise InputError(f"frame {index} is damaged", hint="replace it")
        self.at += self.chain.interval
        first = index == self.chain.start
        if first and self.chain.keyframe_chain:
            return ChainFrame(index, content_of(index), repeats=index)
        if self.chain.interval == 1 and (index - self.chain.start) % self.hold:
            return ChainFrame(index, content_of(index), repeats=index - 1)
        confidence = 0.0 if index in self.unrelated else 1.0
        back = max(self.chain.interval, self.hold)
        return ChainFrame(index, content_of(index), {} if first else {index - back: nothing_moved(index, confidence)})

    def close(self) -> None:
        self.closed = True


@dataclass
class Recorder(SilentReporter):
    """Remembers what the scheduler reports, and requests an end after so many frames."""

    stop_after: int | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)
    notes: list[str] = field(default_factory=list)
    frames: list[tuple[str, int, Phase]] = field(default_factory=list)
    anew: list[tuple[str, int]] = field(default_factory=list)

    def started_anew(self, chain: Chain, index: int) -> None:
        self.anew.append((chain.id, index))

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        self.frames.append((chain.id, index, phase))
        if len(self.frames) == self.stop_after:
            self.cancellation.request()

    def note(self, message: str) -> None:
        self.notes.append(message)


@dataclass
class Run:
    """One call of `run_chains`: its directory, outcome, reports and readers."""

    directory: RenderDirectory
    failed: dict[str, TemperaError]
    recorder: Recorder
    opened: list[FakeFrames]


def run(
    path: Path,
    plan: RenderPlan,
    styler: FakeStyler,
    *,
    batch_size: int = 1,
    groups: int = 1,
    stop_after: int | None = None,
    damaged: int | None = None,
    unrelated: Collection[int] = (),
    hold: int = 1,
) -> Run:
    recorder, opened = Recorder(stop_after), list[FakeFrames]()

    def open_frames(chain: Chain, start: int) -> FakeFrames:
        opened.append(FakeFrames(chain, start, damaged if damaged in chain.frames else None, unrelated, hold))
        return opened[-1]

    directory = RenderDirectory.create(path, plan)
    with directory.lock():
        failed = run_chains(
            directory,
            dict.fromkeys((chain.style for chain in plan.chains), styler),
            open_frames,
            starts={chain.id: directory.done(chain) for chain in plan.chains},
            batch_size=batch_size,
            groups=groups,
            reporter=recorder,
            cancellation=recorder.cancellation,
        )
    assert all(frames.closed for frames in opened)
    return Run(directory, failed, recorder, opened)


def expected(plan: RenderPlan, unrelated: Collection[int] = (), hold: int = 1) -> dict[tuple[str, int], RGB]:
    """Every frame of a plan, stylized one after the other from the rounded one that it starts from."""
    frames: dict[tuple[str, int], RGB] = {}
    for chain in plan.chains:
        previous: RGB | None = None
        for index in chain.frames:
            if index == chain.start and chain.keyframe_chain:
                previous = frames[chain.keyframe_chain, index]
            elif previous is None or chain.interval > 1 or (index - chain.start) % hold == 0:
                init = None if previous is None or index in unrelated else to_tensor(previous)
                seed = frame_seed(chain.seed, chain.style, index)
                previous = to_uint8(blend(to_tensor(content_of(index)), init, seed))
            frames[chain.id, index] = previous
    return frames


def frames_of(batch: FrameBatch, plan: RenderPlan) -> list[tuple[Chain, int]]:
    """Which frames a batch holds. The seeds tell: a segment does not stylize the keyframe that it begins with."""
    frames = {
        frame_seed(chain.seed, chain.style, index): (chain, index)
        for chain in plan.chains
        for index in chain.frames
        if not (chain.keyframe_chain and index == chain.start)
    }
    return [frames[seed] for seed in batch.seeds]


def stored(directory: RenderDirectory) -> dict[tuple[str, int], RGB]:
    plan = directory.plan
    return {(c.id, i): directory.read_frame(c.id, i) for c in plan.chains for i in sorted(directory.stored(c))}


def assert_same(found: dict[tuple[str, int], RGB], wanted: dict[tuple[str, int], RGB]) -> None:
    assert found.keys() == wanted.keys()
    for key, rgb in wanted.items():
        assert np.array_equal(found[key], rgb), key


def segmented(stops: tuple[int, ...] = (12,), length: int = 4) -> RenderPlan:
    plan = a_plan(("a",), stops)
    return replace(plan, chains=make_chains([StyleChains("a", 1, length)], plan.shots))
