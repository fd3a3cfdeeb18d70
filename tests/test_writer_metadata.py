"""What a written video says about itself."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.config.settings import OutputSettings
from pipeline.media.writer.output import write_video
from pipeline.types import Source
from pipeline.version import __version__
from tests.support.written import FAST, ramps, source_of

RECORDED = {
    "title": "Lake at dawn",
    "creation_time": "2024-05-06T05:08:09.000000Z",
    "location": "+47.5000+011.5000/",
    "timecode": "01:02:03:04",
}


def recording(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        container.metadata.update(RECORDED)
        video: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def of_recording(path: Path, **changes: Any) -> Source:
    source = source_of((0, 1, 2), audio=recording(path))
    return dataclasses.replace(source, has_audio=False, **changes)


def said_by(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        found = {**container.metadata}
        for stream in container.streams:
            found |= {name: text for name, text in stream.metadata.items() if name == "timecode"}
    return {name.lower(): text for name, text in found.items()}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_title_and_time_are_carried_and_the_place_is_not(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", ramps(3), source=of_recording(tmp_path / "in.mp4"), settings=FAST)
    found = said_by(path)
    assert found["title"] == RECORDED["title"]
    assert found["creation_time"] == RECORDED["creation_time"]
    assert found["comment"] == f"encoded by Tempera {__version__}"
    assert "47.5" not in str(found)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_place_is_carried_if_asked(tmp_path: Path, suffix: str) -> None:
    settings = OutputSettings(preset="ultrafast", location=True)
    path = write_video(tmp_path / f"a{suffix}", ramps(3), source=of_recording(tmp_path / "in.mov"), settings=settings)
    assert "+47.5" in said_by(path)["location"]


@pytest.mark.parametrize(
    ("changes", "fps", "kept"),
    [({}, None, True), ({"pts": (1, 2, 3)}, None, False), ({}, Fraction(10), False), ({"pts": (0, 1, 3)}, None, False)],
    ids=["whole", "trimmed", "another rate", "uneven"],
)
def test_time_code_is_carried_where_it_still_holds(
    tmp_path: Path, changes: dict[str, Any], fps: Fraction | None, kept: bool
) -> None:
    source = of_recording(tmp_path / "in.mov", **changes)
    path = write_video(tmp_path / "a.mov", ramps(3), source=source, settings=FAST, fps=fps)
    assert said_by(path).get("timecode") == (RECORDED["timecode"] if kept else None)


@pytest.mark.parametrize(("offset", "kept"), [("+02:00", True), (None, False)])
def test_time_of_the_first_photo_is_carried_if_its_zone_is_known(
    tmp_path: Path, offset: str | None, kept: bool
) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    if offset:
        exif.get_ifd(0x8769)[0x9011] = offset
    photo = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(photo, exif=exif)
    Image.new("RGB", (8, 8)).save(before := tmp_path / "before.jpg")  # is not among the frames
    source = dataclasses.replace(source_of((0, 1)), files=(str(before), str(photo)), decoded_indices=(1, 1))
    found = said_by(write_video(tmp_path / "a.mp4", ramps(2), source=source, settings=FAST))
    assert found.get("creation_time") == ("2024-05-06T05:08:09.000000Z" if kept else None)


def test_input_that_is_gone_leaves_the_metadata_out(tmp_path: Path) -> None:
    source = of_recording(tmp_path / "in.mp4")
    (tmp_path / "in.mp4").unlink()
    assert "title" not in said_by(write_video(tmp_path / "a.mp4", ramps(3), source=source, settings=FAST))
