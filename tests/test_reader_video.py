"""Videos and animations: their time stamps, sizes, colors and transparency."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.reformatter import Colorspace
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.media.reader.source import probe
from pipeline.media.reader.timing import choose, repair
from tests.support.clips import moving_square, write_animation, write_video
from tests.support.reading import COUNT, FRAMES, MS, SETTINGS, UNEVEN, read

Data = Callable[[str], Path]


# Time


def test_time_stamps_are_those_of_the_stream(tmp_path: Path) -> None:
    source = probe([write_video(tmp_path / "a.mkv", FRAMES, time_base=MS, pts=UNEVEN)], SETTINGS)
    assert source.time_base == MS
    assert list(source.pts) == UNEVEN
    late = write_video(tmp_path / "late.mp4", FRAMES, time_base=MS, pts=[1000 + 40 * i for i in range(COUNT)])
    source = probe([late], SETTINGS)
    assert source.pts[0] * source.time_base == 1
    assert source.frame_rate == 25


def test_rate_takes_the_latest_frame_at_every_tick(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", FRAMES, time_base=MS, pts=UNEVEN)
    source = probe([path], SETTINGS, fps=Fraction(10))
    # ticks at 0, 100, ... 700 ms
    assert source.decoded_indices == (0, 3, 4, 7, 8, 10, 13)
    assert [pts * source.time_base for pts in source.pts] == [
        Fraction(t, 1000) for t in (0, 100, 200, 300, 400, 500, 700)
    ]
    # at 600 ms frame 10 is still shown: it lasts longer instead of coming twice
    assert probe([path], SETTINGS, fps=Fraction(1000)).decoded_indices == tuple(range(COUNT))


def test_stamps_that_repeat_or_are_missing_are_repaired() -> None:
    assert repair([0, 10, 20], 10) == ([0, 10, 20], 0)
    assert repair([0, None, 20], 10) == ([0, 10, 20], 1)
    assert repair([0, 10, 10, 10, 40], 10) == ([0, 10, 20, 30, 40], 2)
    assert repair([0, 10, 5, 14], 10) == ([0, 10, 13, 14], 1)
    assert repair([None, None, 100], 40) == ([20, 60, 100], 2)
    assert repair([None, None], 40) == ([0, 40], 2)


@given(st.lists(st.one_of(st.none(), st.integers(-1000, 1000)), min_size=1, max_size=30), st.integers(1, 50))
def test_repaired_stamps_always_increase(stamps: list[int | None], step: int) -> None:
    repaired, made_up = repair(stamps, step)
    assert len(repaired) == len(stamps)
    assert all(a < b for a, b in pairwise(repaired))
    assert made_up == sum(a != b for a, b in zip(stamps, repaired, strict=True))


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=30),
    st.integers(-50, 500),
    st.fractions(Fraction(1, 2), 240, max_denominator=1001),
)
def test_chosen_rate_shows_the_latest_frame_at_each_tick(steps: list[int], first: int, fps: Fraction) -> None:
    pts = [first]
    for step in steps:
        pts.append(pts[-1] + step)
    end = pts.pop()
    line = choose(pts, range(len(pts)), end, MS, fps)
    assert all(a < b for a, b in pairwise(line.numbers))
    assert all(a < b for a, b in pairwise(line.pts))
    assert line.pts[0] * line.time_base == first * MS
    for number, shown in zip(line.numbers, line.pts, strict=True):
        now = shown * line.time_base
        assert ((now - first * MS) * fps).denominator == 1  # a tick of the rate
        assert pts[number] * MS <= now
        assert number + 1 == len(pts) or pts[number + 1] * MS > now
    over = (line.pts[-1] + line.duration_ticks) * line.time_base
    assert 0 <= over - end * MS < 1 / fps


# Size and color


def test_odd_sizes_and_a_size_of_one_pixel(tmp_path: Path, data: Data) -> None:
    odd = moving_square(4, size=(47, 31))
    source = probe([write_video(tmp_path / "odd.mkv", odd)], SETTINGS)
    assert (source.width_px, source.height_px) == (47, 31)
    assert np.abs(read(source)[3].rgb.astype(float) - odd[3]).mean() < 1
    pixel = probe([data("broken/found_1x1_pixel_5frames.mp4")], SETTINGS)
    assert [frame.rgb.shape for frame in read(pixel)] == [(1, 1, 3)] * 5


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (64, 32)), (Fraction(2, 3), (48, 48))])
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    source = probe([write_video(tmp_path / "a.mp4", FRAMES, sample_aspect=aspect)], SETTINGS)
    assert (source.width_px, source.height_px) == size
    assert read(source, stop=1)[0].rgb.shape == (size[1], size[0], 3)


def test_hd_without_tags_is_709_and_sd_is_601(tmp_path: Path) -> None:
    plain = [np.full((32, 1280, 3), (220, 40, 60), np.uint8)] * 2
    hd = write_video(tmp_path / "hd.mp4", plain, matrix=Colorspace.ITU709, tagged=False)
    assert np.abs(read(probe([hd], SETTINGS))[0].rgb.astype(int) - (220, 40, 60)).max() <= 2
    sd = write_video(tmp_path / "sd.mp4", [frame[:, :48] for frame in plain], matrix=Colorspace.ITU601, tagged=False)
    assert np.abs(read(probe([sd], SETTINGS))[0].rgb.astype(int) - (220, 40, 60)).max() <= 2


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [Colorspace.ITU709, Colorspace.ITU601, Colorspace.BT2020])
def test_colors_are_right_in_every_format(tmp_path: Path, pix_fmt: str, full_range: bool, matrix: Colorspace) -> None:
    colors = np.array([(235, 30, 40), (30, 220, 60), (40, 50, 230), (250, 250, 250), (5, 5, 5), (128, 128, 128)])
    card = np.repeat(np.repeat(colors[None], 32, axis=0), 16, axis=1).astype(np.uint8)
    path = write_video(tmp_path / "card.mkv", [card] * 2, pix_fmt=pix_fmt, full_range=full_range, matrix=matrix)
    rgb = read(probe([path], SETTINGS))[0].rgb
    for number, color in enumerate(colors):
        patch = rgb[8:24, number * 16 + 6 : number * 16 + 10].astype(float)
        assert np.abs(patch.mean(axis=(0, 1)) - color).max() <= 2.0


def test_tags_are_reported(tmp_path: Path) -> None:
    source = probe([write_video(tmp_path / "a.mp4", FRAMES, full_range=True)], SETTINGS)
    assert (source.color.matrix, source.color.full_range) == ("bt709", True)
    assert probe([write_video(tmp_path / "b.mp4", FRAMES, tagged=False)], SETTINGS).color.matrix is None


def test_transparent_video_is_laid_over_white(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mov"
    rgba = np.dstack([FRAMES[0], np.full((32, 48), 255, np.uint8)])
    rgba[:, :24, 3] = 0
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("qtrle", rate=24)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "argb"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="argb")))
        container.mux(stream.encode())
    rgb = read(probe([path], SETTINGS))[0].rgb
    assert (rgb[:, :24] == 255).all()
    np.testing.assert_array_equal(rgb[:, 24:], FRAMES[0][:, 24:])


# Animations


def test_delays_are_kept_and_those_below_20_ms_become_100_ms(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.gif", FRAMES[:5], [20, 50, 0, 40, 100])
    source = probe([path], SETTINGS)
    assert source.pts == (0, 20, 70, 170, 210)
    assert source.duration_ticks == 100
    assert source.order == "stream"


def test_transparent_animation_is_laid_over_white(tmp_path: Path) -> None:
    images = [
        Image.fromarray(np.dstack([f, np.full((32, 48), 255 * (i % 2), np.uint8)])) for i, f in enumerate(FRAMES[:4])
    ]
    path = tmp_path / "a.webp"
    images[0].save(path, save_all=True, append_images=images[1:], duration=50, lossless=True)
    frames = read(probe([path], SETTINGS))
    assert (frames[0].rgb == 255).all()
    np.testing.assert_array_equal(frames[1].rgb, FRAMES[1])
