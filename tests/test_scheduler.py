"""The scheduler, with stylers that are pure functions and a real render directory."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import torch

from pipeline.errors import InputError, StylizeError, WriteError
from pipeline.execute.scheduler import run_chains
from pipeline.media.image.arrays import to_tensor
from pipeline.motion.warm_start import warm_start
from pipeline.plan.chains import frame_seed
from pipeline.runtime.cancellation import Cancellation
from pipeline.store.directory import RenderDirectory
from pipeline.store.status import read_status
from pipeline.types import Chain, FrameBatch, StylizedBatch, WarmStart
from tests.support.scheduling import (
    RGB,
    FakeFrames,
    FakeStyler,
    Recorder,
    a_plan,
    assert_same,
    content_of,
    expected,
    run,
    segmented,
    stored,
)


@pytest.fixture(autouse=True, scope="module")
def _no_flush_to_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("os.fsync", lambda descriptor: None)
        yield


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


def test_out_of_memory_with_one_frame_goes_on_in_a_smaller_way(tmp_path: Path) -> None:
    class Frugal(FakeStyler):
        """Fits after it was asked to save memory twice."""

        ways: tuple[str, ...] = ("in tiles", "in small tiles")

        def save_memory(self) -> str | None:
            way, self.ways = self.ways[0], self.ways[1:]
            self.fits = 0 if self.ways else 1
            return way

    plan = a_plan(cuts=(3,))
    done = run(tmp_path, plan, Frugal(fits=0))
    assert [note.rsplit("now ")[-1] for note in done.recorder.notes] == ["in tiles", "in small tiles"]
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


def test_nothing_of_a_frame_that_failed_is_held(tmp_path: Path) -> None:
    """Neither while the others of its batch are stylized apart, nor by its error, which is kept until the end."""

    class Large(FakeStyler):
        def __init__(self) -> None:
            super().__init__(broken=lambda content: torch.equal(content, bad))
            self.used: list[weakref.ref[torch.Tensor]] = []
            self.held: list[int] = []

        def stylize(self, batch: FrameBatch) -> StylizedBatch:
            self.held.append(sum(it() is not None for it in self.used))
            activations = torch.zeros(9)
            self.used.append(weakref.ref(activations))
            return super().stylize(batch)

    bad = to_tensor(content_of(4))
    styler = Large()
    gc.disable()
    try:
        done = run(tmp_path, a_plan(cuts=(3, 6, 9)), styler, batch_size=3)
        assert list(done.failed) == ["a-s001"] and set(styler.held) == {0}
        assert not any(it() is not None for it in styler.used)
    finally:
        gc.enable()


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
    monkeypatch.setattr("pipeline.motion.device_warm_start.warm_start", start)
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


@pytest.mark.parametrize(("batch_size", "groups"), [(1, 1), (2, 1), (8, 1), (2, 2), (8, 2)])
def test_segments_begin_with_their_keyframes(tmp_path: Path, batch_size: int, groups: int) -> None:
    plan = segmented()
    done = run(tmp_path, plan, FakeStyler(), batch_size=batch_size, groups=groups)
    assert not done.failed
    assert_same(stored(done.directory), expected(plan))
    keyframes, *segments = plan.chains
    order = [(name, index) for name, index, _ in done.recorder.frames]
    for segment in segments:
        needed = [index for index in (segment.start, segment.stop) if index in keyframes.frames]
        assert all(order.index((keyframes.id, index)) < order.index((segment.id, segment.start)) for index in needed)
    lines = done.directory.read_stats()
    again = [line for line in lines if line["chain"] != keyframes.id and line["frame"] % 4 == 0]
    assert len(again) == 3 and all(line["evaluations"] == 0 and line["loss"] is None for line in again)


@pytest.mark.parametrize(("damaged", "complete"), [(0, 0), (4, 0), (8, 1), (12, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_segments_that_miss_a_keyframe_fail_with_it_and_the_others_go_on(
    tmp_path: Path, damaged: int, complete: int, groups: int
) -> None:
    plan = segmented((16, 19))
    keyframes, *segments, other = plan.chains
    done = run(tmp_path, plan, FakeStyler(), damaged=damaged, batch_size=2, groups=groups)
    assert set(done.failed) == {keyframes.id, *(segment.id for segment in segments[complete:])}
    assert len({id(error) for error in done.failed.values()}) == 1
    assert f"{keyframes.id}, frame {damaged}: frame {damaged} is damaged" in done.failed[keyframes.id].message
    whole = expected(plan)
    kept = {*(chain.id for chain in segments[:complete]), other.id}
    left = {key: rgb for key, rgb in whole.items() if key[0] in kept or (key[0] == keyframes.id and key[1] < damaged)}
    assert_same(stored(done.directory), left)


def test_segments_stopped_anywhere_and_continued_have_the_same_pixels(tmp_path: Path) -> None:
    plan = segmented()
    whole = expected(plan, unrelated := (4, 6))
    for stop_after in range(1, len(whole)):
        path = tmp_path / str(stop_after)
        first = run(path, plan, FakeStyler(), batch_size=2, groups=2, stop_after=stop_after, unrelated=unrelated)
        second = run(path, plan, FakeStyler(), batch_size=3, groups=1 + stop_after % 2, unrelated=unrelated)
        assert_same(stored(second.directory), whole)
        stylized = first.recorder.frames + second.recorder.frames
        assert len(stylized) == len(set(stylized)) == len(whole)
