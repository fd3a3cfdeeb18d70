"""Nothing waits: storing and preparing go on while a batch is stylized, and every frame is safe before the next one.

Where a test says "meanwhile", one side waits for the other, so that a scheduler that does both in turn times out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import InputError, StylizeError, WriteError
from pipeline.execute.chain_frames import ChainFrame
from pipeline.execute.scheduler import run_chains
from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.motion.warm_start import warm_start
from pipeline.runtime.cancellation import Cancellation
from pipeline.store.directory import RenderDirectory
from pipeline.types import Chain, FrameBatch, RenderPlan, WarmStart
from tests.support.scheduling import (
    RGB,
    FakeFrames,
    FakeStyler,
    Recorder,
    a_plan,
    assert_same,
    blend,
    content_of,
    expected,
    frames_of,
    nothing_moved,
    run,
    segmented,
    stored,
)

TIMEOUT_S = 20.0
"""How long a test waits for another thread before it fails."""

write_frame = RenderDirectory.write_frame


@pytest.fixture(autouse=True, scope="module")
def _no_flush_to_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith(("prepare", "store"))] == []


def wait_for(event: threading.Event) -> None:
    assert event.wait(TIMEOUT_S), "timed out"


@pytest.fixture
def on_write(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, int], None]], None]:
    """Sets a function that is called with chain and index before every frame is written."""

    def hook(before: Callable[[str, int], None]) -> None:
        def write(self: RenderDirectory, chain_id: str, index: int, rgb: RGB) -> None:
            before(chain_id, index)
            write_frame(self, chain_id, index, rgb)

        monkeypatch.setattr(RenderDirectory, "write_frame", write)

    return hook


OnWrite = Callable[[Callable[[str, int], None]], None]


def test_one_group_is_stored_while_the_other_is_stylized(tmp_path: Path, on_write: OnWrite) -> None:
    plan, styler = a_plan(cuts=(2, 4)), FakeStyler()
    second_begun, first_safe = threading.Event(), threading.Event()

    def meanwhile(batch: FrameBatch) -> None:
        if len(styler.batches) == 2:
            second_begun.set()
            wait_for(first_safe)

    def storing(chain_id: str, index: int) -> None:
        wait_for(second_begun)
        first_safe.set()

    on_write(storing)
    styler.on_batch = meanwhile
    assert_same(stored(run(tmp_path, plan, styler, groups=2).directory), expected(plan))


def test_warm_starts_of_one_group_are_made_while_the_other_is_stylized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, styler = a_plan(cuts=(2, 4)), FakeStyler()
    second_begun, first_started = threading.Event(), threading.Event()

    def meanwhile(batch: FrameBatch) -> None:
        if len(styler.batches) == 2:
            second_begun.set()
            wait_for(first_started)

    def start(content: RGB, stylized: object, *arguments: object, **settings: object) -> WarmStart | None:
        if stylized:
            wait_for(second_begun)
            first_started.set()
        return warm_start(content, stylized, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr("pipeline.motion.device_warm_start.warm_start", start)
    styler.on_batch = meanwhile
    assert_same(stored(run(tmp_path, plan, styler, groups=2).directory), expected(plan))


def test_segment_begins_while_keyframes_behind_it_are_stored(tmp_path: Path, on_write: OnWrite) -> None:
    """The keyframe in frame 8 is stored only when the first segment, from 0 to 4, is being stylized."""
    plan = segmented()
    segment_begun = threading.Event()

    def meanwhile(batch: FrameBatch) -> None:
        if any(chain.id == "a-s000-p000" for chain, _ in frames_of(batch, plan)):
            segment_begun.set()

    def storing(chain_id: str, index: int) -> None:
        if (chain_id, index) == ("a-s000-keys", 8):
            wait_for(segment_begun)

    on_write(storing)
    done = run(tmp_path, plan, FakeStyler(on_batch=meanwhile), groups=2)
    assert_same(stored(done.directory), expected(plan))


def test_frames_of_one_batch_are_stored_at_the_same_time(tmp_path: Path, on_write: OnWrite) -> None:
    plan, together = a_plan(cuts=(2, 4, 6)), threading.Barrier(3)

    def storing(chain_id: str, index: int) -> None:
        together.wait(TIMEOUT_S)

    on_write(storing)
    assert_same(stored(run(tmp_path, plan, FakeStyler(), batch_size=3).directory), expected(plan))


def test_straggler_holds_up_only_its_own_group(tmp_path: Path, on_write: OnWrite) -> None:
    """Frame 0 of the first of four chains is stored when the last frame of the second one has been stylized."""
    plan = a_plan(cuts=(3, 6, 9, 12))
    others_done = threading.Event()

    def meanwhile(batch: FrameBatch) -> None:
        if any(index == 5 for _, index in frames_of(batch, plan)):
            others_done.set()

    on_write(lambda chain_id, index: wait_for(others_done) if index == 0 else None)
    done = run(tmp_path, plan, FakeStyler(on_batch=meanwhile), batch_size=2, groups=2)
    assert_same(stored(done.directory), expected(plan))


PLANS: dict[str, tuple[RenderPlan, int, tuple[int, ...]]] = {
    "two styles, three shots": (a_plan(("a", "b"), (3, 5, 9)), 1, (2, 7)),
    "segments": (segmented((14, 16)), 1, (6,)),
    "every keyframe is cold": (segmented((15,), 3), 1, (3, 6, 9, 12)),
    "on twos": (a_plan(cuts=(5, 9)), 2, (4,)),
}
"""A plan, `motion.hold`, and frames that start anew."""


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_every_frame_is_safe_before_the_next_one_and_the_same_in_any_batch(
    tmp_path: Path, on_write: OnWrite, name: str, groups: int, batch_size: int
) -> None:
    """Also while storing is slow. Frames of one chain are in one batch only if none starts from another."""
    plan, hold, unrelated = PLANS[name]
    directory = RenderDirectory(tmp_path, plan)
    batches: list[list[tuple[Chain, int]]] = []

    def check(batch: FrameBatch) -> None:
        frames = frames_of(batch, plan)
        batches.append(frames)
        assert len(frames) <= batch_size and len({chain.style for chain, _ in frames}) == 1
        for chain, index in frames:
            together = {other for same, other in frames if same == chain}
            assert len(together) == 1 or batch.phase == "cold"
            for before in range(chain.start, index, chain.interval):
                assert before in together or directory.read_frame(chain.id, before) is not None
            if chain.keyframe_chain:
                directory.read_frame(chain.keyframe_chain, chain.start)

    on_write(lambda chain_id, index: time.sleep(0.001 * (index % 3)))
    done = run(
        tmp_path,
        plan,
        FakeStyler(on_batch=check),
        batch_size=batch_size,
        groups=groups,
        hold=hold,
        unrelated=unrelated,
    )
    assert not done.failed
    assert_same(stored(done.directory), expected(plan, unrelated, hold))
    told = [(chain, index) for chain, index, _ in done.recorder.frames]
    assert len(told) == len(set(told)) == len(stored(done.directory))
    lines = done.directory.read_stats()
    assert [(line["chain"], line["frame"]) for line in lines] == told
    for chain in plan.chains:
        assert [index for chain_id, index in told if chain_id == chain.id] == list(chain.frames)


def test_cold_keyframes_in_a_row_are_one_batch(tmp_path: Path) -> None:
    plan = segmented((24,))
    styler = FakeStyler()
    run(tmp_path, plan, styler, batch_size=3, groups=2, unrelated=(4, 12, 16, 20))
    keyframes = [
        [index for _, index in frames_of(batch, plan)]
        for batch in styler.batches
        if frames_of(batch, plan)[0][0].interval > 1
    ]
    assert keyframes == [[0, 4], [8], [12, 16, 20]]


def test_chain_without_warm_frames_fills_the_batches_alone(tmp_path: Path) -> None:
    styler = FakeStyler()
    run(tmp_path, a_plan(cuts=(8,)), styler, batch_size=3, unrelated=range(8))
    assert styler.sizes == [3, 3, 2]


class FramesFromFarBack(FakeFrames):
    """Eight cold frames, and a ninth that starts from the first one alone. `taken` is set when that is reached."""

    taken = threading.Event()

    def next_item(self) -> ChainFrame:
        frame = super().next_item()
        if frame.index < 8:
            return frame
        self.taken.set()
        return replace(frame, correspondences={0: nothing_moved(8)})


def test_frame_far_back_is_read_once_it_is_stored(tmp_path: Path, on_write: OnWrite) -> None:
    """More frames are being stored than are kept in memory."""
    plan = a_plan(cuts=(9,))

    def storing(chain_id: str, index: int) -> None:
        wait_for(FramesFromFarBack.taken)
        time.sleep(0.002)

    on_write(storing)
    directory = RenderDirectory.create(tmp_path, plan)
    with directory.lock():
        failed = run_chains(
            directory,
            {"a": FakeStyler()},
            lambda chain, start: FramesFromFarBack(chain, start, unrelated=range(8)),
            starts={"a-s000": 0},
            batch_size=8,
            reporter=Recorder(),
            cancellation=Cancellation(),
        )
    assert not failed
    first = to_tensor(directory.read_frame("a-s000", 0))
    assert np.array_equal(directory.read_frame("a-s000", 8), to_uint8(blend(to_tensor(content_of(8)), first, 0)))


@pytest.mark.parametrize("raises", [True, False], ids=["the styler raises", "the image is not finite"])
def test_cold_frame_that_is_not_finite_ends_its_chain_before_it(tmp_path: Path, raises: bool) -> None:
    bad = to_tensor(content_of(2))
    styler = FakeStyler(broken=lambda content: torch.equal(content, bad), raises=raises)
    plan = a_plan(cuts=(5,))
    done = run(tmp_path, plan, styler, batch_size=4, unrelated=range(5))
    assert isinstance(done.failed["a-s000"], StylizeError) and "frame 2" in done.failed["a-s000"].message
    assert sorted(index for _, index in stored(done.directory)) == [0, 1]


def test_damaged_frame_behind_cold_ones_ends_its_chain_there(tmp_path: Path) -> None:
    done = run(tmp_path, a_plan(cuts=(5,)), FakeStyler(), batch_size=4, unrelated=range(5), damaged=2)
    assert isinstance(done.failed["a-s000"], InputError) and "frame 2" in done.failed["a-s000"].message
    assert sorted(index for _, index in stored(done.directory)) == [0, 1]


def test_disk_that_is_full_for_one_chain_loses_nothing_of_the_others(tmp_path: Path, on_write: OnWrite) -> None:
    """It ends the render. What was stylized with that frame is stored, reported, and not stylized again."""
    plan = a_plan(cuts=(3, 6, 9, 12))
    failed = threading.Event()

    def storing(chain_id: str, index: int) -> None:
        if index == 4:
            failed.set()
            raise WriteError("disk full", hint="free some space")
        if index == 1:
            wait_for(failed)  # what is being stored meanwhile is stored

    on_write(storing)
    recorder, styler = Recorder(), FakeStyler()
    directory = RenderDirectory.create(tmp_path, plan)
    with directory.lock(), pytest.raises(WriteError, match="disk full"):
        run_chains(
            directory,
            {"a": styler},
            FakeFrames,
            starts={chain.id: chain.start for chain in plan.chains},
            batch_size=2,
            groups=2,
            reporter=recorder,
            cancellation=Cancellation(),
        )
    stylized = {(chain.id, index) for batch in styler.batches for chain, index in frames_of(batch, plan)}
    kept = {key for key in stylized if key != ("a-s001", 4)}
    assert set(stored(directory)) == kept == {(chain, index) for chain, index, _ in recorder.frames}
    on_write(lambda chain_id, index: None)
    again = run(tmp_path, plan, FakeStyler(), batch_size=2, groups=2)
    assert_same(stored(directory), expected(plan))
    assert not kept & {(chain, index) for chain, index, _ in again.recorder.frames}


class EndlessFrames(FakeFrames):
    """Frames of which the second never comes: whoever waits for it is freed when they are closed."""

    def __init__(self, chain: Chain, start: int) -> None:
        super().__init__(chain, start)
        self.closing = threading.Event()

    def next_item(self) -> ChainFrame:
        if self.at > self.chain.start:
            wait_for(self.closing)
            raise EOFError
        return super().next_item()

    def close(self) -> None:
        super().close()
        self.closing.set()


class StopNowError(BaseException):
    """Stands in for the second Ctrl-C."""


@pytest.mark.parametrize("groups", [1, 2])
def test_second_interrupt_ends_at_once_though_chains_are_being_prepared(tmp_path: Path, groups: int) -> None:
    plan = a_plan(cuts=(3, 6, 9, 12))
    opened: list[EndlessFrames] = []

    def open_frames(chain: Chain, start: int) -> EndlessFrames:
        opened.append(EndlessFrames(chain, start))
        return opened[-1]

    def interrupt(batch: FrameBatch) -> None:
        if len(styler.batches) == groups:
            raise StopNowError

    styler, recorder = FakeStyler(on_batch=interrupt), Recorder()
    directory = RenderDirectory.create(tmp_path, plan)
    with directory.lock(), pytest.raises(StopNowError):
        run_chains(
            directory,
            {"a": styler},
            open_frames,
            starts={chain.id: chain.start for chain in plan.chains},
            batch_size=2,
            groups=groups,
            reporter=recorder,
            cancellation=Cancellation(),
        )
    assert len(opened) == 2 * groups and all(frames.closed for frames in opened)
    assert len(stored(directory)) == len(recorder.frames) == 2 * (groups - 1)


@pytest.mark.parametrize("stop_after", range(1, 12))
def test_interrupted_groups_continue_with_the_same_pixels(tmp_path: Path, stop_after: int) -> None:
    plan, unrelated = a_plan(("a", "b"), (3, 6)), (4,)
    first = run(tmp_path, plan, FakeStyler(), batch_size=2, groups=2, stop_after=stop_after, unrelated=unrelated)
    kept = set(stored(first.directory))
    assert stop_after <= len(kept) <= 12 and len(kept) == len(first.recorder.frames)
    second = run(tmp_path, plan, FakeStyler(), batch_size=2, groups=2, unrelated=unrelated)
    assert_same(stored(second.directory), expected(plan, unrelated))
    assert not kept & {(chain, index) for chain, index, _ in second.recorder.frames}


def test_seconds_of_frames_add_up_to_the_time_of_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting counts as well, so that the time left is right where the accelerator waits for the rest."""
    clock = iter(range(10**6))
    monkeypatch.setattr("pipeline.execute.scheduler.time.perf_counter", lambda: float(next(clock)))
    styler = FakeStyler()
    done = run(tmp_path, a_plan(cuts=(3, 6, 8)), styler, batch_size=3, groups=1)
    ends = next(clock) - 1  # one more than there were batches: the beginning
    assert sum(line["seconds"] for line in done.directory.read_stats()) == pytest.approx(ends, abs=1e-3)
    assert ends == len(styler.batches)
