"""Storing on threads: chains beside each other, the frames of one chain in order and never behind a failed one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import WriteError
from pipeline.execute.frame_writer import FrameRecord, FrameWriter
from pipeline.store.directory import RenderDirectory
from pipeline.types import Chain, FrameStats
from tests.support.scheduling import HEIGHT, RGB, WIDTH, Recorder, a_plan, stored

TIMEOUT_S = 20.0
Write = Callable[[RenderDirectory, str, int, RGB], None]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RenderDirectory]:
    """A locked directory with three chains of four frames."""
    found = RenderDirectory.create(tmp_path, a_plan(cuts=(4, 8, 12)))
    with found.lock():
        yield found


def record(chain: Chain, index: int) -> FrameRecord:
    return FrameRecord(chain, index, "warm", FrameStats(3, 0.5), seconds=1.0, batch=1)


def pixels(index: int) -> RGB:
    return np.full((HEIGHT, WIDTH, 3), index, np.uint8)


def write_everything(writer: FrameWriter, directory: RenderDirectory) -> None:
    for position in range(4):
        for chain in directory.plan.chains:
            index = chain.frames[position]
            writer.write(record(chain, index), pixels(index))


def replace_writing(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[Write, RenderDirectory, str, int, RGB], None]
) -> None:
    real = RenderDirectory.write_frame

    def replaced(self: RenderDirectory, chain_id: str, index: int, rgb: RGB) -> None:
        write(real, self, chain_id, index, rgb)

    monkeypatch.setattr(RenderDirectory, "write_frame", replaced)


@pytest.mark.parametrize("threads", [1, 2, 3, 100])
def test_frames_are_stored_and_reported_once_and_in_order(directory: RenderDirectory, threads: int) -> None:
    recorder = Recorder()
    with FrameWriter(directory, recorder, threads=threads) as writer:
        write_everything(writer, directory)
    assert all((rgb == index).all() for (_, index), rgb in stored(directory).items())
    for chain in directory.plan.chains:
        assert [index for name, index, _ in recorder.frames if name == chain.id] == list(chain.frames)
    assert [(line["chain"], line["frame"]) for line in directory.read_stats()] == [told[:2] for told in recorder.frames]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("store")]


def test_chains_are_written_at_once_and_the_frames_of_a_chain_one_by_one(
    directory: RenderDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, writing, most = threading.Barrier(3), set[str](), 0

    def write(real: Write, directory: RenderDirectory, chain_id: str, index: int, rgb: RGB) -> None:
        nonlocal most
        assert chain_id not in writing
        writing.add(chain_id)
        together.wait(TIMEOUT_S)  # all three chains are being written
        most = max(most, len(writing))
        real(directory, chain_id, index, rgb)
        together.wait(TIMEOUT_S)
        writing.discard(chain_id)

    replace_writing(monkeypatch, write)
    with FrameWriter(directory, Recorder(), threads=3) as writer:
        write_everything(writer, directory)
    assert most == 3 and len(stored(directory)) == 12


def test_nothing_is_written_behind_a_frame_that_was_not(
    directory: RenderDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(real: Write, directory: RenderDirectory, chain_id: str, index: int, rgb: RGB) -> None:
        if index == 5:
            raise WriteError("disk full", hint="free some space")
        real(directory, chain_id, index, rgb)

    replace_writing(monkeypatch, write)
    recorder = Recorder()
    with pytest.raises(WriteError, match="disk full"), FrameWriter(directory, recorder, threads=2) as writer:
        write_everything(writer, directory)
    assert sorted(index for _, index in stored(directory)) == [0, 1, 2, 3, 4, 8, 9, 10, 11]
    assert {told[:2] for told in recorder.frames} == set(stored(directory))


def test_failed_write_is_raised_where_its_chain_goes_on(
    directory: RenderDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(real: Write, directory: RenderDirectory, chain_id: str, index: int, rgb: RGB) -> None:
        if index == 0:
            raise WriteError("disk full", hint="free some space")
        real(directory, chain_id, index, rgb)

    replace_writing(monkeypatch, write)
    first, second, idle = directory.plan.chains
    writer = FrameWriter(directory, Recorder(), threads=2)
    with pytest.raises(WriteError), writer:
        writer.write(record(first, 0), pixels(0))
        writer.write(record(second, 4), pixels(4))
        while storing := writer.storing(second):
            storing.result()
        assert writer.storing(idle) is None
        with pytest.raises(WriteError):
            while storing := writer.storing(first):
                storing.exception()


def test_frame_is_stored_although_the_work_fails(directory: RenderDirectory) -> None:
    recorder, chain = Recorder(), directory.plan.chains[0]
    with pytest.raises(KeyError), FrameWriter(directory, recorder) as writer:
        writer.write(record(chain, 0), pixels(0))
        raise KeyError("something else")
    assert [told[:2] for told in recorder.frames] == [(chain.id, 0)] == list(stored(directory))
