"""A small version of `scripts/torture`: a few kills, and no part missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.torture import __main__ as torture
from tests.support.torture.kills import VARIANTS, KillAt, Tally, kill_renders


def test_killed_at_random_moments_a_render_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keyframes, held frames and farther ones here; the long version takes turns at all."""
    monkeypatch.setattr("tests.support.torture.kills._KILLS_PER_RENDER", 3)
    few = {name: VARIANTS[name] for name in ("segments", "segments, hold, earlier")}
    tally = kill_renders(tmp_path / "kills", kills=6, seed=1, variants=few)
    assert tally.kills == sum(tally.kills_by_variant.values()) == 6 and tally.renders >= 5
    assert tally.kills_by_variant.keys() == few.keys()
    assert tally.failures == []
    assert tally.bad == 0, tally


def test_what_must_not_be_is_counted() -> None:
    """A rig that cannot fail proves nothing."""
    assert Tally(kills=3, renders=2, frames_stored_at_kills=9).bad == 0
    for name in ("frames_lost", "frames_redone", "torn_files", "mismatches", "broken_statistics"):
        tally = Tally()
        setattr(tally, name, 1)
        assert tally.bad == 1
    assert Tally(failures=["x"]).bad == 1


def test_a_store_that_writes_carelessly_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames written in place, without a temporary file: a kill in mid-write leaves half a frame behind."""
    monkeypatch.setattr("tests.support.torture.kills.KillAt", Careless)
    monkeypatch.setattr("tests.support.torture.kills._KILLS_PER_RENDER", 2)
    tally = kill_renders(tmp_path / "kills", kills=2, seed=0, variants={"plain": ()})
    assert tally.torn_files > 0 and tally.bad > 0


class Careless(KillAt):
    """Writes frames in two pieces under their own names, and dies between them."""

    def __call__(self) -> None:
        import os
        import signal

        from pipeline.runtime import atomic

        written = 0

        def write_bytes(path: Path, data: bytes) -> None:
            nonlocal written
            written += 1
            with path.open("wb") as file:
                file.write(data[: len(data) // 2])
                file.flush()
                if written == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                file.write(data[len(data) // 2 :])

        setattr(atomic, "write_bytes", write_bytes)  # noqa: B010 - mypy knows that this is not done


def test_a_full_disk_never_replaces_a_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torture, "FULL_AFTER", 4)
    problems: list[str] = []
    assert torture.fill_disks(problems) == 16
    assert problems == []


def test_the_summary(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torture, "kill_renders", lambda home, *, kills, seed: Tally(kills=kills, renders=2))
    monkeypatch.setattr(torture, "CASES", ())
    monkeypatch.setattr(torture, "FULL_AFTER", 1)
    held = {"rss_kb": 1000, "files": 8, "threads": 3}
    monkeypatch.setattr(torture, "in_a_process", lambda target, frames, marks: dict.fromkeys(marks, held))
    result = torture.torture(7, 0.0, 3)
    assert result["good"] and (result["kills"], result["frames_lost"], result["seed"]) == (7, 0, 3)
    more = {**held, "rss_kb": 1000 + torture.LEAK_KB + 1}
    monkeypatch.setattr(torture, "in_a_process", lambda target, frames, marks: {marks[0]: held, marks[1]: more})
    assert not torture.torture(7, 0.0, 3)["good"]
    assert "PROBLEM: memory grew" in capsys.readouterr().err
