"""A small version of `scripts/torture`, with a few kills and every part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.torture import __main__ as torture
from tests.support.torture.kills import VARIANTS, KillAt, KillResult, kill_renders


@pytest.mark.slow
def test_renders_killed_at_random_moments_end_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With keyframes, repeated frames and long-term ones; `scripts/torture` runs all variants."""
    monkeypatch.setattr("tests.support.torture.kills._KILLS_PER_RENDER", 3)
    few = {name: VARIANTS[name] for name in ("segments", "segments, hold, long term")}
    result = kill_renders(tmp_path / "kills", kills=6, seed=1, variants=few)
    assert result.kills == sum(result.kills_by_variant.values()) == 6 and result.renders >= 5
    assert result.kills_by_variant.keys() == few.keys()
    assert result.failures == []
    assert result.errors == 0, result


def test_every_kind_of_error_is_counted() -> None:
    assert KillResult(kills=3, renders=2, frames_stored_at_kills=9).errors == 0
    for name in ("frames_lost", "frames_redone", "incomplete_files", "mismatches", "broken_statistics"):
        result = KillResult()
        setattr(result, name, 1)
        assert result.errors == 1
    assert KillResult(failures=["x"]).errors == 1


@pytest.mark.slow
def test_store_that_does_not_write_atomically_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are written without a temporary file, so a kill leaves half a frame."""
    monkeypatch.setattr("tests.support.torture.kills.KillAt", NonAtomicKillAt)
    monkeypatch.setattr("tests.support.torture.kills._KILLS_PER_RENDER", 2)
    result = kill_renders(tmp_path / "kills", kills=2, seed=0, variants={"plain": ()})
    assert result.incomplete_files > 0 and result.errors > 0


class NonAtomicKillAt(KillAt):
    """Writes frames in two halves under their final names, and kills the process between them."""

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

        setattr(atomic, "write_bytes", write_bytes)  # noqa: B010 - mypy refuses to assign to a function


@pytest.mark.slow
def test_full_disk_keeps_the_old_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torture, "FULL_AFTER", 4)
    problems: list[str] = []
    assert torture.fill_disks(problems) == 16
    assert problems == []


def test_summary_counts_kills_and_reports_leaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torture, "kill_renders", lambda home, *, kills, seed: KillResult(kills=kills, renders=2))
    monkeypatch.setattr(torture, "CASES", ())
    monkeypatch.setattr(torture, "FULL_AFTER", 1)
    usage = {"rss_kb": 1000, "files": 8, "threads": 3}
    monkeypatch.setattr(torture, "in_a_process", lambda target, frames, marks: dict.fromkeys(marks, usage))
    result = torture.torture(7, 0.0, 3)
    assert result["good"] and (result["kills"], result["frames_lost"], result["seed"]) == (7, 0, 3)
    more = {**usage, "rss_kb": 1000 + torture.LEAK_KB + 1}
    monkeypatch.setattr(torture, "in_a_process", lambda target, frames, marks: {marks[0]: usage, marks[1]: more})
    assert not torture.torture(7, 0.0, 3)["good"]
    assert "PROBLEM: memory grew" in capsys.readouterr().err
