"""Long runs do not leak: memory, open files and threads do not grow with the number of frames."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.settings import InputSettings
from pipeline.media.reader.source import probe, read_frames
from tests.support.clips import moving_square, write_video
from tests.support.torture.leaks import in_a_process, watch_render


def test_decoded_frames_are_freed_at_once(tmp_path: Path) -> None:
    """Not only by the garbage collector, which counts objects and not the megabytes of pixels they refer to."""
    clip = write_video(tmp_path / "clip.mp4", moving_square(12), rotation_deg=90)
    source = probe([str(clip)], InputSettings())
    size: dict[str, Any] = {"width_px": source.width_px, "height_px": source.height_px}
    list(read_frames(source, **size, settings=InputSettings()))
    gc.collect()
    gc.disable()
    try:
        list(read_frames(source, **size, settings=InputSettings()))
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = sum(type(item).__name__ == "VideoFrame" for item in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="memory and open files are read from /proc")
@pytest.mark.slow
def test_memory_and_open_files_do_not_grow() -> None:
    """`scripts/torture` does the same with 2,000 frames. One float image kept of each frame would be 5 MB here."""
    found = in_a_process(watch_render, 120, (40, 110), (96, 64))
    early, late = found[40], found[110]
    assert late["rss_kb"] - early["rss_kb"] < 2500
    assert late["files"] <= early["files"]
    assert late["threads"] <= early["threads"]
