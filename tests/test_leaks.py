"""Long runs do not leak: what a process holds after many frames is what it held after some."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from torture_rig.leaks import in_a_process, watch_render


@pytest.mark.skipif(sys.platform != "linux", reason="memory and open files are read from /proc")
def test_memory_and_open_files_stay_as_they_are() -> None:
    """`scripts/torture` does the same with 2,000 frames. Only the bytes of each frame, kept, would be 5,500 kB here."""
    found = in_a_process(watch_render, 370, (120, 345), (128, 64))
    early, late = found[120], found[345]
    assert late["rss_kb"] - early["rss_kb"] < 4096
    assert late["files"] <= early["files"]
    assert late["threads"] <= early["threads"]
