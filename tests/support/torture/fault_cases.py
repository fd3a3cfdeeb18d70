"""The work that is put through every fault: storing, planning, locking, statistics, videos, and removing frames."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.config.settings import OutputSettings
from pipeline.errors import RenderDirectoryError
from pipeline.media.writer.output import write_video
from pipeline.media.writer.video import check_whole
from pipeline.plan.identity import identity_digest
from pipeline.store.directory import RenderDirectory, fresh
from pipeline.store.lock import RenderLock, probe
from pipeline.store.verification import verify_frames
from pipeline.store.videos import Video, exported, remove_frames
from pipeline.types import Chain, RenderPlan, Shot, Source
from pipeline.workflows.input.digest import NOTE_NAME, hash_input, remember_input
from tests.support.torture.faults import Case

RGB = NDArray[np.uint8]
WIDTH, HEIGHT = 7, 5


def small_plan(seed: int = 0, cuts: tuple[int, ...] = (4, 6)) -> RenderPlan:
    """A plan of one style and a chain per shot, of 7x5 px; the shots stop at `cuts`."""
    identity = {"seed": seed}
    shots = tuple(Shot(index, a, b) for index, (a, b) in enumerate(zip((0, *cuts), cuts, strict=False)))
    return RenderPlan(
        digest=identity_digest(identity),
        identity=identity,
        source=_source(cuts[-1]),
        width_px=WIDTH,
        height_px=HEIGHT,
        shots=shots,
        chains=tuple(Chain(f"a-s{s.index:03d}", "a", s.index, s.start, s.stop, seed) for s in shots),
        styles={"a": {}},
        outputs={"a": "../out.mp4"},
    )


def _source(count: int) -> Source:
    return Source(
        path="../in.mp4",
        kind="video",
        files=(),
        width_px=70,
        height_px=50,
        frame_rate=Fraction(25),
        time_base=Fraction(1, 25),
        pts=tuple(range(count)),
        duration_ticks=1,
        decoded_indices=tuple(range(count)),
        digest="0" * 64,
    )


def noise(number: int) -> RGB:
    """Random pixels, uint8 (5, 7, 3), different for every number."""
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def snapshot(folder: Path) -> dict[str, bytes]:
    """The content of every file, by name, without the lock, whose text names the process."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def small_render(folder: Path) -> None:
    """A render directory with two frames and one line of statistics."""
    directory = RenderDirectory.create(folder, small_plan())
    with directory.lock():
        directory.write_frame("a-s000", 0, noise(0))
        directory.write_frame("a-s000", 1, noise(1))
        directory.append_stats({"chain": "a-s000", "frame": 0})


def _frame(index: int) -> Case:
    def work(folder: Path) -> None:
        directory = RenderDirectory.open(folder)
        with directory.lock():
            directory.write_frame("a-s000", index, noise(9))

    def check(folder: Path, fault: str) -> str:
        directory = RenderDirectory.open(folder)
        report = verify_frames(directory)
        assert report.ok, (fault, report)
        stored = directory.stored(directory.plan.chains[0])
        assert stored >= {0, 1}, fault
        new = index in stored and np.array_equal(directory.read_frame("a-s000", index), noise(9))
        if index == 1 and not new:
            assert np.array_equal(directory.read_frame("a-s000", index), noise(1)), fault
        assert new or index == 1 or index not in stored, fault
        work(folder)  # the next run finishes
        assert np.array_equal(directory.read_frame("a-s000", index), noise(9))
        assert np.array_equal(directory.read_frame("a-s000", 0), noise(0))
        assert not verify_frames(directory).findings, fault
        return "new" if new else "old"

    return Case("a new frame" if index == 2 else "a frame over an old one", small_render, work, check)


def _first_frame() -> Case:
    def work(folder: Path) -> None:
        directory = RenderDirectory.open(folder)
        with directory.lock():
            directory.write_frame("a-s001", 4, noise(4))

    def check(folder: Path, fault: str) -> str:
        directory = RenderDirectory.open(folder)
        chain = directory.plan.chains[1]
        stored = len(directory.stored(chain))
        assert directory.done(chain) == 4 + stored, fault
        work(folder)
        assert directory.done(chain) == 5
        assert not verify_frames(directory).findings
        return "new" if stored else "old"

    return Case("the first frame of a chain", small_render, work, check)


def _plan() -> Case:
    def work(folder: Path) -> None:
        RenderDirectory.create(folder / "new" / "x.render", small_plan())

    def check(folder: Path, fault: str) -> str:
        path = folder / "new" / "x.render"
        found = "new"
        try:
            assert RenderDirectory.open(path).plan == small_plan(), fault
        except RenderDirectoryError as error:
            assert "not a render directory" in error.message, fault
            found = "old"
        work(folder)
        with RenderDirectory.open(path).lock():
            pass
        assert set(snapshot(path)) == {"plan.json"}, fault
        return found

    return Case("the plan", lambda _: None, work, check)


def _lock() -> Case:
    def work(folder: Path) -> None:
        with RenderLock(folder) as lock:
            lock.check()

    def check(folder: Path, fault: str) -> str:
        assert probe(folder) == ("stopped", None), fault
        work(folder)
        return "old"

    return Case("the lock", lambda _: None, work, check)


def _statistics() -> Case:
    def work(folder: Path) -> None:
        directory = RenderDirectory.open(folder)
        with directory.lock():
            directory.append_stats({"chain": "a-s000", "frame": 1})

    def check(folder: Path, fault: str) -> str:
        directory = RenderDirectory.open(folder)
        frames = [line["frame"] for line in directory.read_stats()]
        assert frames in ([0], [0, 1]), fault
        work(folder)
        assert [line["frame"] for line in directory.read_stats()] == [*frames, 1], fault
        assert all(json.loads(line) for line in directory.stats_path.read_text().splitlines()), fault
        return "new" if frames == [0, 1] else "old"

    return Case("the statistics", small_render, work, check)


def _fresh() -> Case:
    def check(folder: Path, fault: str) -> str:
        folders = [path.parent for path in folder.glob("*/plan.json")]
        assert len(folders) == 1, fault
        assert RenderDirectory.open(folders[0]).done(small_plan().chains[0]) == 2, fault
        return "old" if folders[0].name == "x.render" else "new"

    return Case("beginning anew", lambda folder: small_render(folder / "x.render"), _anew, check)


def _anew(folder: Path) -> None:
    fresh(folder / "x.render")


def _removal() -> Case:
    """The note is written before the first frame is removed."""
    video = Video("a", "../out.mp4", False, 6, 1, "0" * 64, "0" * 64, "2026-01-01T00:00:00+00:00")

    def work(folder: Path) -> None:
        directory = RenderDirectory.open(folder)
        with directory.lock():
            remove_frames(directory, video)

    def check(folder: Path, fault: str) -> str:
        directory = RenderDirectory.open(folder)
        noted = exported(directory)
        assert noted in ({}, {"a": video}), fault
        if not noted:
            assert directory.stored(directory.plan.chains[0]) == {0, 1}, fault
        work(folder)
        assert exported(directory) == {"a": video} and not directory.stored(directory.plan.chains[0]), fault
        return "new" if noted else "old"

    return Case("removing exported frames", small_render, work, check)


def _input_note() -> Case:
    """The note about the input is right, or is not used."""

    def source_in(folder: Path) -> Source:
        return replace(_source(6), files=(str(folder / "in.mp4"),))

    def put(folder: Path, data: bytes, day: int) -> None:
        (folder / "in.mp4").write_bytes(data)
        os.utime(folder / "in.mp4", (86400 * day, 86400 * day))

    def prepare(folder: Path) -> None:
        small_render(folder)
        put(folder, b"old", 1)
        work(folder)
        put(folder, b"new", 2)

    def work(folder: Path) -> None:
        directory = RenderDirectory.open(folder)
        hashed = hash_input(source_in(folder), folder)
        with directory.lock():
            remember_input(directory, hashed)

    def check(folder: Path, fault: str) -> str:
        found = hash_input(source_in(folder), folder)
        assert found.digest == hashlib.sha256(b"new").hexdigest(), fault
        work(folder)
        assert hash_input(source_in(folder), folder).note is None, fault
        assert [path.name for path in (folder / "cache").iterdir()] == [NOTE_NAME], fault
        return "old" if found.note else "new"

    return Case("the note about the input", prepare, work, check, in_place=True)


_VIDEO: Final = OutputSettings(preset="ultrafast")


def _frames(tone: int) -> list[RGB]:
    return [np.full((16, 16, 3), tone + 20 * index, np.uint8) for index in range(3)]


def _tone(file: Path) -> str:
    """Which of the two videos it is: the frames of the old one are dark."""
    with av.open(str(file)) as container:
        mean = float(next(container.decode(video=0)).to_ndarray(format="gray").mean())
    return "old" if mean < 100 else "new"


def video_case(name: str) -> Case:
    """Replacing a video or a folder of stills: afterwards all of the old or of the new ones can be decoded."""

    def prepare(folder: Path) -> None:
        write_video(folder / name, _frames(0), source=_source(3), settings=_VIDEO)

    def work(folder: Path) -> None:
        write_video(folder / name, _frames(120), source=_source(3), settings=_VIDEO)

    def check(folder: Path, fault: str) -> str:
        files = [folder / name] if "%" not in name else [folder / (name % index) for index in range(3)]
        for file in files:
            assert file.exists(), fault
            check_whole(file, 3 if len(files) == 1 else 1)
        first = _tone(files[0])
        assert first in ("old", "new"), fault
        work(folder)
        assert sorted(path.name for path in files[0].parent.iterdir()) == sorted(file.name for file in files), fault
        assert [_tone(file) for file in files] == ["new"] * len(files), fault
        return first

    return Case(f"a video, {name}", prepare, work, check)


CASES: Final = (
    _frame(1),
    _frame(2),
    _first_frame(),
    _plan(),
    _lock(),
    _statistics(),
    _fresh(),
    _removal(),
    _input_note(),
    video_case("a.mp4"),
    video_case("a.gif"),
    video_case("p/%d.png"),
)
