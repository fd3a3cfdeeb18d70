"""Small frames kept while a video is probed: a video is decoded once before stylizing, and its plan stays the same."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.catalog import load_style
from pipeline.config.settings import InputSettings
from pipeline.media.reader import decode, scan, thumbnails
from pipeline.media.reader.source import probe, read_frames
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.runtime.reporters import make_reporter
from pipeline.types import RenderPlan
from pipeline.workflows import prepare as workflow
from pipeline.workflows.prepare import prepare
from pipeline.workflows.request import RenderRequest
from tests.support.clips import damage_packet, moving_square, write_animation, write_photos, write_video

COUNT = 14
FRAMES = moving_square(COUNT, size=(192, 128), cut_at=8)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by 1 with every frame that a video decoder gives."""
    counted: list[int] = []

    def counting(function: Any) -> Any:
        def wrapper(*arguments: Any, **options: Any) -> Generator[Any]:
            for frame in function(*arguments, **options):
                counted.append(1)
                yield frame

        return wrapper

    for name in ("decode", "decode_past_damage"):
        wrapper = counting(getattr(decode, name))
        monkeypatch.setattr(decode, name, wrapper)
        monkeypatch.setattr(scan, name, wrapper)
    return counted


def make_plan(path: Path, **settings: Any) -> RenderPlan:
    style_image = write_photos(path.parent / "style", FRAMES[:1])[0]
    assignments = ["styler=palette", *(f"input.{key}={value}" for key, value in settings.items())]
    style = load_style(str(style_image), assignments)
    request = RenderRequest(inputs=(str(path),), styles=(style,), output=path.with_name("out.mp4"))
    return prepare(request, make_reporter("none")).plan


def test_video_is_decoded_once_before_stylizing(tmp_path: Path, decoded: list[int]) -> None:
    plan = make_plan(write_video(tmp_path / "in.mp4", FRAMES))
    assert len(plan.shots) == 2
    assert len(decoded) == COUNT
    make_plan(tmp_path / "in.mp4", cuts="none", deflicker=0)
    assert len(decoded) == 2 * COUNT


def test_damaged_video_is_decoded_once_more_on_one_thread(tmp_path: Path, decoded: list[int]) -> None:
    path = write_video(tmp_path / "in.mp4", FRAMES, pix_fmt="yuv420p", options={"qp": "20", "g": "6", "bf": "0"})
    make_plan(damage_packet(path, 7), on_damaged="hold")
    assert COUNT < len(decoded) <= 2 * COUNT


@pytest.mark.parametrize("name", ["in.mp4", "in.gif", "in", "damaged.mp4"])
def test_plan_is_the_same_without_thumbnails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    flickering = [
        np.clip(frame.astype(int) + 12 * (index % 2), 0, 255).astype(np.uint8) for index, frame in enumerate(FRAMES)
    ]
    path = tmp_path / name
    if name == "in":
        write_photos(path, flickering)
    elif name == "in.gif":
        write_animation(path, flickering, [40] * COUNT)
    else:
        write_video(path, flickering, pix_fmt="yuv420p", options={"qp": "20", "g": "6", "bf": "0"})
    if name == "damaged.mp4":
        damage_packet(path, 7)
    settings = {"on_damaged": "hold"} if name == "damaged.mp4" else {}
    plan = make_plan(path, **settings)
    assert plan.exposure or name == "damaged.mp4"
    monkeypatch.setattr(Thumbnails, "holds", lambda *_: False)
    assert make_plan(path, **settings) == plan


def test_frames_beyond_the_memory_limit_are_kept_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "_IN_MEMORY_BYTES", 1000)
    path = write_video(tmp_path / "in.mp4", FRAMES)
    with Thumbnails(60) as small:
        source = probe([path], InputSettings(), thumbnails=small)
        assert small.holds(range(COUNT), (60, 40))
        frames = [small.frame(position) for position in range(COUNT)]
        assert isinstance(small._file.fileno(), int)  # only a real file has one
    for frame in read_frames(source, width_px=60, height_px=40, settings=InputSettings()):
        np.testing.assert_array_equal(frame.rgb, frames[frame.index])


def test_full_disk_discards_the_thumbnails(tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() > 5 * 60 * 40 * 3:
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda **_: Full())
    path = write_video(tmp_path / "in.mp4", FRAMES)
    with Thumbnails(60) as small:
        source = probe([path], InputSettings(), thumbnails=small)
        assert not small.holds([0], (60, 40))
        frames = list(read_frames(source, width_px=60, height_px=40, settings=InputSettings(), thumbnails=small))
    assert len(frames) == COUNT
    assert len(decoded) == 2 * COUNT


def test_frames_of_another_size_are_decoded_again(tmp_path: Path, decoded: list[int]) -> None:
    path = write_video(tmp_path / "in.mp4", FRAMES)
    with Thumbnails(60) as small:
        source = probe([path], InputSettings(), thumbnails=small)
        frames = list(read_frames(source, width_px=61, height_px=40, settings=InputSettings(), thumbnails=small))
    assert frames[0].rgb.shape == (40, 61, 3)
    assert len(decoded) == 2 * COUNT


def test_size_keeps_the_aspect_and_never_grows() -> None:
    with Thumbnails(160) as small:
        assert small.size_of(1920, 1080) == (160, 90)
        assert small.size_of(1080, 1920) == (90, 160)
        assert small.size_of(48, 32) == (48, 32)
        assert small.size_of(20_000, 3) == (160, 1)
    assert workflow.THUMBNAIL_SIDE_PX == 160
