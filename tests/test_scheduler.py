"""The scheduler, with stylers that are pure functions and a real render directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.errors import InputError, StylizeError, TemperaError, WriteError
from pipeline.execute.chain_frames import ChainFrame
from pipeline.execute.scheduler import run_chains
from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.motion.correspondence import Correspondence
from pipeline.motion.warm_start import warm_start
from pipeline.plan.chains import StyleChains, frame_seed, make_chains
from pipeline.plan.identity import identity_digest
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.store.status import read_status
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
    WarmStart,
)

RGB = NDArray[np.uint8]
WIDTH, HEIGHT = 6, 4


@pytest.fixture(autouse=True, scope="module")
def _no_flush_to_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("os.fsync", lambda descriptor: None)
        yield


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
    """Stylizes by `blend`, keeps every batch, and fails as its fields say."""

    fits: int = 1000
    broken: Callable[[torch.Tensor], bool] = lambda content: False
    raises: bool = True
    uses_previous_frames: bool = True
    style_colors: None = None
    failure: Callable[[], Exception] = lambda: torch.OutOfMemoryError("CUDA out of memory")
    batches: list[FrameBatch] = field(default_factory=list)

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        self.batches.append(batch)
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


class FakeFrames:
    """Content by index in which nothing moves; raises at the frame `damaged`; `unrelated` ones do not correspond."""

    def __init__(self, chain: Chain, start: int, damaged: int | None = None, unrelated: Collection[int] = ()) -> None:
        self.chain, self.at, self.damaged, self.closed = chain, start, damaged, False
        self.unrelated = unrelated

    def next_item(self) -> ChainFrame:
        index, self.at = self.at, self.at + self.chain.interval
        if index == self.damaged:
            raise InputError(f"frame {index} is damaged", hint="replace it")
        first = index == self.chain.frames.start
        if first and self.chain.keyframe_chain:
            return ChainFrame(index, content_of(index), repeats=index)
        confidence = 0.0 if index in self.unrelated else 1.0
        correspondences = {} if first else {index - self.chain.interval: nothing_moved(index, confidence)}
        return ChainFrame(index, content_of(index), correspondences)

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
    stop_after: int | None = None,
    damaged: int | None = None,
    unrelated: Collection[int] = (),
) -> Run:
    recorder, opened = Recorder(stop_after), list[FakeFrames]()

    def open_frames(chain: Chain, start: int) -> FakeFrames:
        opened.append(FakeFrames(chain, start, damaged if damaged in chain.frames else None, unrelated))
        return opened[-1]

    directory = RenderDirectory.create(path, plan)
    with directory.lock():
        failed = run_chains(
            directory,
            dict.fromkeys((chain.style for chain in plan.chains), styler),
            open_frames,
            starts={chain.id: directory.done(chain) for chain in plan.chains},
            batch_size=batch_size,
            reporter=recorder,
            cancellation=recorder.cancellation,
        )
    assert all(frames.closed for frames in opened)
    return Run(directory, failed, recorder, opened)


def expected(plan: RenderPlan) -> dict[tuple[str, int], RGB]:
    """Every frame of a plan, stylized one after the other from the rounded one before."""
    frames = {}
    for chain in plan.chains:
        previous: RGB | None = None
        for index in range(chain.start, chain.stop):
            seed = frame_seed(chain.seed, chain.style, index)
            init = None if previous is None else to_tensor(previous)
            previous = frames[chain.id, index] = to_uint8(blend(to_tensor(content_of(index)), init, seed))
    return frames


def stored(directory: RenderDirectory) -> dict[tuple[str, int], RGB]:
    plan = directory.plan
    return {(c.id, i): directory.read_frame(c.id, i) for c in plan.chains for i in sorted(directory.stored(c))}


def assert_same(found: dict[tuple[str, int], RGB], wanted: dict[tuple[str, int], RGB]) -> None:
    assert found.keys() == wanted.keys()
    for key, rgb in wanted.items():
        assert np.array_equal(found[key], rgb), key


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_every_frame_is_stored_once_in_order_at_any_batch_size(tmp_path: Path, batch_size: int) -> None:
    plan = a_plan(("a", "b"), (3, 5, 9))
    styler = FakeStyler()
    done = run(tmp_path, plan, styler, batch_size=batch_size)
    assert not done.failed
    assert_same(stored(done.directory), expected(plan))
    assert len(done.recorder.frames) == 18 == sum(styler.sizes)
    for chain in plan.chains:
        own = [(index, phase) for name, index, phase in done.recorder.frames if name == chain.id]
        phases = ["cold"] + ["warm"] * (chain.stop - chain.start - 1)
        assert own == list(zip(range(chain.start, chain.stop), phases, strict=True))
    lines = done.directory.read_stats()
    assert [(line["chain"], line["frame"], line["phase"]) for line in lines] == done.recorder.frames
    assert all(line["seconds"] >= 0 and line["loss"] == 0.5 and line["evaluations"] == 5 for line in lines)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_frame_that_corresponds_with_nothing_starts_anew_and_is_told_once(tmp_path: Path, batch_size: int) -> None:
    plan = a_plan(("a",), (5, 9))
    done = run(tmp_path, plan, FakeStyler(fits=1), batch_size=batch_size, unrelated=(2, 7))
    assert sorted(done.recorder.anew) == [("a-s000", 2), ("a-s001", 7)]
    cold = sorted(index for _, index, phase in done.recorder.frames if phase == "cold")
    assert cold == [0, 2, 5, 7]
    anew = {line["frame"]: line["anew"] for line in done.directory.read_stats()}
    assert [index for index, told in sorted(anew.items()) if told] == [2, 7]
    status = read_status(done.directory)
    assert (status.total.anew, [row.progress.anew for row in status.chains]) == (2, [1, 1])


def test_warm_frame_starts_from_the_stored_pixels(tmp_path: Path) -> None:
    styler = FakeStyler()
    done = run(tmp_path, a_plan(), styler)
    for index, batch in enumerate(styler.batches):
        assert torch.equal(batch.content[0], to_tensor(content_of(index)))
        if index == 0:
            assert batch.phase == "cold" and batch.init is None
        else:
            assert batch.phase == "warm" and batch.init is not None
            assert torch.equal(batch.init[0], to_tensor(done.directory.read_frame("a-s000", index - 1)))


def test_batches_have_one_style_and_phase_and_reach_the_given_size(tmp_path: Path) -> None:
    plan = a_plan(("a", "b"), (2, 5, 9))
    style_of = {
        frame_seed(chain.seed, chain.style, index): (chain.style, "cold" if index == chain.start else "warm")
        for chain in plan.chains
        for index in range(chain.start, chain.stop)
    }
    styler = FakeStyler()
    run(tmp_path, plan, styler, batch_size=3)
    for batch in styler.batches:
        kinds = {style_of[seed] for seed in batch.seeds}
        assert len(kinds) == 1 and kinds.pop()[1] == batch.phase
    assert max(styler.sizes) == 3


def test_second_run_stylizes_only_missing_frames(tmp_path: Path) -> None:
    plan = a_plan(cuts=(3, 6))
    first = run(tmp_path, plan, FakeStyler(), stop_after=2)
    assert len(first.recorder.frames) == 2
    again = run(tmp_path, plan, FakeStyler())
    assert [index for _, index, _ in again.recorder.frames] == [2, 3, 4, 5]
    assert_same(stored(again.directory), expected(plan))
    idle = run(tmp_path, plan, FakeStyler(raises=False, fits=0))
    assert idle.recorder.frames == [] and idle.opened == []


def test_cancellation_stores_the_frames_being_stylized(tmp_path: Path) -> None:
    done = run(tmp_path, a_plan(cuts=(3, 6, 9)), FakeStyler(), batch_size=3, stop_after=1)
    assert sorted(stored(done.directory)) == [("a-s000", 0), ("a-s001", 3), ("a-s002", 6)]


@pytest.mark.parametrize(
    "failure",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory"),
        lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 GB"),
        lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB, max allowed: 9.07 GB)"),
        lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError,
    ],
)
def test_out_of_memory_halves_the_batch_permanently_with_one_note(
    tmp_path: Path, failure: Callable[[], Exception]
) -> None:
    plan = a_plan(cuts=(3, 6, 9, 12))
    styler = FakeStyler(fits=2, failure=failure)
    done = run(tmp_path, plan, styler, batch_size=4)
    assert styler.sizes == [4, 2, 2] + [2] * 4
    assert len(done.recorder.notes) == 1 and "out of memory" in done.recorder.notes[0]
    assert_same(stored(done.directory), expected(plan))


def test_out_of_memory_with_one_frame_ends_the_render_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(StylizeError, match=r"single frame of 6 x 4 px") as caught:
        run(tmp_path, a_plan(), FakeStyler(fits=0))
    assert "--width" in caught.value.hint and caught.value.exit_code == 7


def test_other_errors_of_torch_are_not_handled_as_out_of_memory(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        run(tmp_path, a_plan(), FakeStyler(fits=0, failure=lambda: RuntimeError("shapes do not match")))


def test_damaged_input_stops_its_chain_and_no_other(tmp_path: Path) -> None:
    plan = a_plan(cuts=(3, 6, 9))
    done = run(tmp_path, plan, FakeStyler(), batch_size=2, damaged=4)
    assert list(done.failed) == ["a-s001"]
    error = done.failed["a-s001"]
    assert isinstance(error, InputError) and "a-s001, frame 4" in error.message
    left = {key: rgb for key, rgb in expected(plan).items() if key not in {("a-s001", 4), ("a-s001", 5)}}
    assert_same(stored(done.directory), left)


@pytest.mark.parametrize("raises", [True, False], ids=["the styler raises", "the image is not finite"])
def test_frame_that_is_not_finite_fails_alone(tmp_path: Path, raises: bool) -> None:
    plan = a_plan(cuts=(3, 6, 9))
    bad = to_tensor(content_of(4))
    styler = FakeStyler(broken=lambda content: torch.equal(content, bad), raises=raises)
    done = run(tmp_path, plan, styler, batch_size=3)
    assert list(done.failed) == ["a-s001"]
    assert isinstance(done.failed["a-s001"], StylizeError)
    left = {key: rgb for key, rgb in expected(plan).items() if key not in {("a-s001", 4), ("a-s001", 5)}}
    assert_same(stored(done.directory), left)


def test_linear_algebra_error_fails_its_chain(tmp_path: Path) -> None:
    def failure() -> Exception:
        return cast("Exception", torch.linalg.LinAlgError("eigh did not converge"))  # type: ignore[attr-defined]

    done = run(tmp_path, a_plan(), FakeStyler(fits=0, failure=failure))
    assert isinstance(done.failed["a-s000"], StylizeError)


def test_full_disk_ends_the_render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RenderDirectory.write_frame

    def full(self: RenderDirectory, chain_id: str, index: int, rgb: RGB) -> None:
        if index == 2:
            raise WriteError("disk full", hint="free some space")
        real(self, chain_id, index, rgb)

    monkeypatch.setattr(RenderDirectory, "write_frame", full)
    with pytest.raises(WriteError):
        run(tmp_path, a_plan(), FakeStyler())
    monkeypatch.undo()
    left = RenderDirectory.open(tmp_path)
    assert [index for _, index in stored(left)] == [line["frame"] for line in left.read_stats()] == [0, 1]


@pytest.mark.parametrize("disk_is_full", [False, True])
def test_stylized_frame_is_stored_and_reported_when_the_next_one_fails(
    tmp_path: Path, disk_is_full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While frame 2 is being stored, something else fails. A full disk is the error that is raised."""
    real = RenderDirectory.write_frame

    def write(self: RenderDirectory, chain_id: str, index: int, rgb: RGB) -> None:
        time.sleep(0.05)
        if disk_is_full and index == 2:
            raise WriteError("disk full", hint="free some space")
        real(self, chain_id, index, rgb)

    def start(*arguments: object, **settings: object) -> WarmStart | None:
        if len(styler.batches) == 3:
            raise MemoryError("no room for a start")
        return warm_start(*arguments, **settings)  # type: ignore[arg-type]

    styler, recorder = FakeStyler(), Recorder()
    monkeypatch.setattr(RenderDirectory, "write_frame", write)
    monkeypatch.setattr("pipeline.execute.running_chain.warm_start", start)
    directory = RenderDirectory.create(tmp_path, a_plan())
    with directory.lock(), pytest.raises(WriteError if disk_is_full else MemoryError):
        run_chains(
            directory,
            {"a": styler},
            FakeFrames,
            starts={"a-s000": 0},
            batch_size=1,
            reporter=recorder,
            cancellation=Cancellation(),
        )
    found = [index for _, index in stored(directory)]
    assert found == [0, 1, 2][: 2 if disk_is_full else 3]
    assert [line["frame"] for line in directory.read_stats()] == [index for _, index, _ in recorder.frames] == found


@pytest.mark.parametrize("batch_size", [1, 3])
def test_next_frame_is_stylized_only_after_the_previous_ones_are_stored(
    tmp_path: Path, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its warm start is computed while they are stored, so a power cut loses only the frame being stylized."""
    plan, real, safe = a_plan(("a", "b"), (3, 6, 9)), RenderDirectory.write_frame, 0

    def slow(self: RenderDirectory, chain_id: str, index: int, rgb: RGB) -> None:
        nonlocal safe
        time.sleep(0.01)
        real(self, chain_id, index, rgb)
        safe += 1

    monkeypatch.setattr(RenderDirectory, "write_frame", slow)
    styler, seen = FakeStyler(), list[tuple[int, int]]()
    stylize = styler.stylize

    def counted(batch: FrameBatch) -> StylizedBatch:
        seen.append((safe, sum(styler.sizes)))
        return stylize(batch)

    monkeypatch.setattr(styler, "stylize", counted)
    done = run(tmp_path, plan, styler, batch_size=batch_size)
    assert seen[-1][0] >= 18 - batch_size and all(on_disk == stylized for on_disk, stylized in seen)
    assert_same(stored(done.directory), expected(plan))


def test_frames_are_closed_when_stylizing_fails(tmp_path: Path) -> None:
    opened: list[FakeFrames] = []

    def open_frames(chain: Chain, start: int) -> FakeFrames:
        opened.append(FakeFrames(chain, start))
        return opened[-1]

    directory = RenderDirectory.create(tmp_path, a_plan(cuts=(3, 6)))
    with directory.lock(), pytest.raises(StylizeError, match="out of memory"):
        run_chains(
            directory,
            {"a": FakeStyler(fits=0)},
            open_frames,
            starts={chain.id: chain.start for chain in directory.plan.chains},
            batch_size=2,
            reporter=Recorder(),
            cancellation=Cancellation(),
        )
    assert len(opened) == 2 and all(frames.closed for frames in opened)


def segmented(stops: tuple[int, ...] = (12,), length: int = 4) -> RenderPlan:
    plan = a_plan(("a",), stops)
    return replace(plan, chains=make_chains([StyleChains("a", 1, length)], plan.shots))


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_segments_wait_for_their_keyframes_and_begin_with_them(tmp_path: Path, batch_size: int) -> None:
    plan = segmented()
    done = run(tmp_path, plan, FakeStyler(), batch_size=batch_size)
    assert not done.failed
    order = [(name, index) for name, index, _ in done.recorder.frames]
    keyframes, *segments = plan.chains
    assert order[:3] == [(keyframes.id, 0), (keyframes.id, 4), (keyframes.id, 8)]
    for segment in segments:
        assert np.array_equal(
            done.directory.read_frame(segment.id, segment.start), done.directory.read_frame(keyframes.id, segment.start)
        )
        assert done.directory.stored(segment) == set(segment.frames)
    lines = done.directory.read_stats()
    again = [line for line in lines if line["chain"] != keyframes.id and line["frame"] % 4 == 0]
    assert len(again) == 3 and all(line["evaluations"] == 0 and line["loss"] is None for line in again)


def test_segments_fail_with_their_keyframes_and_other_shots_go_on(tmp_path: Path) -> None:
    plan = segmented((12, 15))
    done = run(tmp_path, plan, FakeStyler(), damaged=4)
    failed = {chain.id for chain in plan.chains if chain.shot == 0}
    assert set(done.failed) == failed
    other = plan.chains[-1]
    assert done.directory.stored(other) == set(other.frames)


def test_segments_stopped_anywhere_and_continued_have_the_same_pixels(tmp_path: Path) -> None:
    plan = segmented()
    whole = stored(run(tmp_path / "whole", plan, FakeStyler()).directory)
    for stop_after in range(1, len(whole)):
        path = tmp_path / str(stop_after)
        first = run(path, plan, FakeStyler(), batch_size=2, stop_after=stop_after)
        second = run(path, plan, FakeStyler(), batch_size=3)
        assert_same(stored(second.directory), whole)
        stylized = first.recorder.frames + second.recorder.frames
        assert len(stylized) == len(set(stylized)) == len(whole)
