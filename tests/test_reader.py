"""The reader: one contract that every kind of input keeps, what is special about each, and what users get wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
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

from pipeline.config.settings import InputSettings
from pipeline.errors import InputError, UsageError
from pipeline.media.reader.order import natural_key
from pipeline.media.reader.source import content_digest, probe, read_frames
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.media.reader.timing import choose, repair
from pipeline.types import Frame, Source
from tests.support.clips import moving_square, texture, truncate, write_animation, write_photos, write_video

Data = Callable[[str], Path]
SETTINGS = InputSettings()
COUNT = 14
FRAMES = moving_square(COUNT)
UNEVEN = [0, 40, 90, 100, 180, 230, 231, 300, 400, 410, 500, 610, 650, 700]
MS = Fraction(1, 1000)


def read(source: Source, **options: Any) -> list[Frame]:
    return list(read_frames(source, settings=SETTINGS, **options))


def _video(name: str, *, frames: list[Any] = FRAMES, **options: Any) -> Callable[[Path], list[Path]]:
    return lambda folder: [write_video(folder / name, frames, **options)]


def _bframes(**more: Any) -> dict[str, Any]:
    return {"options": {"qp": "0", "g": "6", "bf": "2", **more}}


# Every sample shows FRAMES, upright and with square pixels, so one contract fits all.
SAMPLES: dict[str, Callable[[Path], list[Path]]] = {
    "h264-mp4": _video("a.mp4"),
    "h264-b-frames": _video("a.mp4", **_bframes()),
    "h264-open-gop": _video("a.mkv", **_bframes(g="5", **{"x264-params": "open-gop=1:scenecut=0"})),
    "h264-420": _video("a.mp4", pix_fmt="yuv420p", **_bframes()),
    "h264-10-bit": _video("a.mkv", pix_fmt="yuv444p10le"),
    "h264-full-range": _video("a.mp4", full_range=True),
    "h264-601": _video("a.mp4", matrix=Colorspace.ITU601),
    "h264-untagged": _video("a.mp4", matrix=Colorspace.ITU601, tagged=False),
    "h264-uneven": _video("a.mkv", time_base=MS, pts=UNEVEN, **_bframes()),
    "h264-late-start": _video("a.mp4", time_base=MS, pts=[1000 + 40 * i for i in range(COUNT)]),
    "h264-tone": _video("a.mp4", tone_s=0.5),
    "h264-stream-without-stamps": _video("a.h264"),
    "h264-transport-stream": _video("a.ts", **_bframes()),
    "h265": _video("a.mp4", codec="libx265", options={"x265-params": "lossless=1:log-level=0:keyint=5"}),
    "rotated-90": _video("a.mp4", frames=[np.rot90(f, -1) for f in FRAMES], rotation_deg=90),
    "rotated-180": _video("a.mp4", frames=[np.rot90(f, 2) for f in FRAMES], rotation_deg=180),
    "rotated-270": _video("a.mov", frames=[np.rot90(f, 1) for f in FRAMES], rotation_deg=270),
    "mirrored": _video("a.mp4", frames=[f[:, ::-1] for f in FRAMES], hflip=True),
    "vp9": _video("a.webm", codec="libvpx-vp9", pix_fmt="yuv420p", options={"lossless": "1", "g": "5"}),
    "mpeg4-avi": _video(
        "a.avi",
        codec="mpeg4",
        pix_fmt="yuv420p",
        matrix=Colorspace.ITU601,  # AVI states no matrix
        options={"bf": "2", "qmin": "1", "qmax": "1", "g": "6"},
    ),
    "ffv1": _video("a.mkv", codec="ffv1", pix_fmt="bgr0"),
    "prores": _video("a.mov", codec="prores_ks", pix_fmt="yuv444p10le"),
    "alpha": _video("a.mov", codec="qtrle", pix_fmt="argb"),
    "gif": lambda folder: [write_animation(folder / "a.gif", FRAMES, [40] * COUNT)],
    "webp": lambda folder: [write_animation(folder / "a.webp", FRAMES, [40, 80] * (COUNT // 2))],
    "apng": lambda folder: [write_animation(folder / "a.apng", FRAMES, [40, 80] * (COUNT // 2))],
    "photo-list": lambda folder: write_photos(folder, FRAMES),
    "photo-folder": lambda folder: [write_photos(folder / "in", FRAMES)[0].parent],
    "photo-glob": lambda folder: [write_photos(folder, FRAMES)[0].parent / "shot_*.png"],
    "photo-pattern": lambda folder: [write_photos(folder, FRAMES)[0].parent / "shot_%03d.png"],
}
LOSSY = {"h264-420": 7, "vp9": 7, "mpeg4-avi": 14, "gif": 14}
"""Mean difference allowed where chroma subsampling, quantizing or a palette make the square's edges bleed."""


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Path], Source]:
    inputs = SAMPLES[request.param](tmp_path_factory.mktemp("sample"))
    return request.param, inputs, probe(inputs, SETTINGS)


class TestContract:
    """What holds for every kind of input."""

    def test_timeline(self, sample: tuple[str, list[Path], Source]) -> None:
        name, _, source = sample
        assert source.frame_count == COUNT
        assert (source.width_px, source.height_px) == (48, 32)
        assert len(source.decoded_indices) == COUNT
        assert source.decoded_indices == tuple(range(COUNT))
        assert all(a < b for a, b in pairwise(source.pts))
        assert source.duration_ticks > 0
        assert len(source.digest) == 64
        assert source.has_audio == (name == "h264-tone")
        assert source.kind == ("photos" if name.startswith("photo") else "video")
        assert source.frame_rate > 0
        if "uneven" not in name and name not in ("webp", "apng"):
            assert 23 < source.frame_rate <= 25.01
            assert source.duration_s == pytest.approx(COUNT / source.frame_rate, rel=0.01)

    def test_frames(self, sample: tuple[str, list[Path], Source]) -> None:
        name, _, source = sample
        frames = read(source)
        assert [frame.index for frame in frames] == list(range(COUNT))
        assert tuple(frame.pts for frame in frames) == source.pts
        for frame, truth in zip(frames, FRAMES, strict=True):
            assert frame.rgb.dtype == np.uint8
            assert frame.rgb.flags.c_contiguous
            difference = frame.rgb.astype(float) - truth
            assert np.abs(difference).mean() < LOSSY.get(name, 1.0)
            assert np.abs(difference.mean(axis=(0, 1))).max() < 2.0  # no tint
        for index, frame in enumerate(frames):
            distances = [np.abs(frame.rgb.astype(float) - truth).mean() for truth in FRAMES]
            assert int(np.argmin(distances)) == index

    def test_reading_may_start_anywhere(self, sample: tuple[str, list[Path], Source]) -> None:
        """A resumed render must see the very pixels that one that never stopped sees."""
        _, _, source = sample
        whole = read(source)
        for start in range(COUNT):
            part = read(source, start=start, stop=min(start + 3, COUNT))
            assert [frame.index for frame in part] == list(range(start, min(start + 3, COUNT)))
            for frame in part:
                assert frame.pts == source.pts[frame.index]
                np.testing.assert_array_equal(frame.rgb, whole[frame.index].rgb)
        assert read(source, start=COUNT) == []

    @pytest.mark.parametrize("longer_side_px", [10, 30, 160])
    def test_thumbnails_are_the_small_frames_that_reading_gives(
        self, sample: tuple[str, list[Path], Source], longer_side_px: int
    ) -> None:
        _, inputs, whole = sample
        asked: list[dict[str, Any]] = [{}, {"frames": (3, 9)}, {"fps": Fraction(10)}]
        for options in asked:
            with Thumbnails(longer_side_px) as thumbnails:
                source = probe(inputs, SETTINGS, thumbnails=thumbnails, **options)
                width, height = thumbnails.size_of(source.width_px, source.height_px)
                assert max(width, height) == min(longer_side_px, 48)
                assert thumbnails.holds(source.decoded_indices, (width, height)) == (whole.kind == "video")
                size = {"width_px": width, "height_px": height}
                kept = read(source, thumbnails=thumbnails, **size)
                decoded = read(probe(inputs, SETTINGS, **options), **size)
            assert [frame.index for frame in kept] == [frame.index for frame in decoded]
            for frame, other in zip(kept, decoded, strict=True):
                assert frame.pts == other.pts
                np.testing.assert_array_equal(frame.rgb, other.rgb)

    def test_slice_and_rate(self, sample: tuple[str, list[Path], Source]) -> None:
        _, inputs, source = sample
        whole = read(source)
        part = probe(inputs, SETTINGS, frames=(3, 9))
        assert part.decoded_indices == tuple(range(3, 9))
        for frame, original in zip(read(part), whole[3:9], strict=True):
            np.testing.assert_array_equal(frame.rgb, original.rgb)
        if source.kind == "video":
            assert part.pts == source.pts[3:9]
            assert part.pts[-1] + part.duration_ticks == source.pts[9]
            slow = probe(inputs, SETTINGS, frames=(2, None), fps=Fraction(10))
            assert slow.frame_rate == 10
            assert slow.frame_count < COUNT - 2
            assert slow.decoded_indices[0] == 2
            for frame, pick in zip(read(slow), slow.decoded_indices, strict=True):
                np.testing.assert_array_equal(frame.rgb, whole[pick].rgb)
        else:
            assert part.pts == tuple(range(6))
            assert probe(inputs, SETTINGS, fps=Fraction(10)).time_base == Fraction(1, 10)

    def test_slices_outside_name_the_valid_range(self, sample: tuple[str, list[Path], Source]) -> None:
        _, inputs, _ = sample
        wrong: list[tuple[int | None, int | None]] = [(-1, 3), (5, 5), (6, 2), (None, 0)]
        for frames in wrong:
            with pytest.raises(UsageError, match="expected A:B"):
                probe(inputs, SETTINGS, frames=frames)
        outside: list[tuple[int | None, int | None]] = [(0, COUNT + 1), (COUNT, None), (99, 120)]
        for frames in outside:
            with pytest.raises(UsageError, match=f"has {COUNT} frames") as caught:
                probe(inputs, SETTINGS, frames=frames)
            assert f"0:{COUNT}" in caught.value.hint

    def test_resized(self, sample: tuple[str, list[Path], Source]) -> None:
        _, _, source = sample
        assert read(source, stop=1, width_px=24)[0].rgb.shape == (16, 24, 3)
        assert read(source, stop=1, height_px=64)[0].rgb.shape == (64, 96, 3)
        assert read(source, stop=1, width_px=10, height_px=20)[0].rgb.shape == (20, 10, 3)

    def test_closing_early_lets_go_of_the_file(self, sample: tuple[str, list[Path], Source]) -> None:
        _, _, source = sample
        before = len(list(Path("/proc/self/fd").iterdir()))
        frames = read_frames(source, settings=SETTINGS)
        next(frames)
        frames.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_content_makes_the_digest(self, sample: tuple[str, list[Path], Source], tmp_path: Path) -> None:
        _, _, source = sample
        assert content_digest(source) == source.digest
        moved = tmp_path / "moved"
        moved.mkdir()
        copies = [shutil.copy(file, moved / Path(file).name) for file in source.files]
        assert probe(copies, SETTINGS).digest == source.digest
        if len(source.files) == 1:
            assert source.digest == hashlib.sha256(Path(source.files[0]).read_bytes()).hexdigest()

    def test_a_range_outside_is_a_mistake_of_ours(self, sample: tuple[str, list[Path], Source]) -> None:
        _, _, source = sample
        for start, stop in [(-1, 2), (3, 2), (0, COUNT + 1)]:
            with pytest.raises(ValueError, match="are not inside"):
                read_frames(source, start=start, stop=stop, settings=SETTINGS)


# Video: time


def test_time_stamps_are_those_of_the_stream(tmp_path: Path) -> None:
    source = probe([write_video(tmp_path / "a.mkv", FRAMES, time_base=MS, pts=UNEVEN)], SETTINGS)
    assert source.time_base == MS
    assert list(source.pts) == UNEVEN
    late = write_video(tmp_path / "late.mp4", FRAMES, time_base=MS, pts=[1000 + 40 * i for i in range(COUNT)])
    source = probe([late], SETTINGS)
    assert source.pts[0] * source.time_base == 1
    assert source.frame_rate == 25


def test_a_rate_takes_the_latest_frame_at_every_tick(tmp_path: Path) -> None:
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
def test_a_chosen_rate_shows_what_is_there(steps: list[int], first: int, fps: Fraction) -> None:
    pts = [first]
    for step in steps:
        pts.append(pts[-1] + step)
    end = pts.pop()
    line = choose(pts, 0, end, MS, fps)
    assert all(a < b for a, b in pairwise(line.numbers))
    assert all(a < b for a, b in pairwise(line.pts))
    assert line.pts[0] * line.time_base == first * MS
    for pick, shown in zip(line.numbers, line.pts, strict=True):
        now = shown * line.time_base
        assert ((now - first * MS) * fps).denominator == 1  # a tick of the rate
        assert pts[pick] * MS <= now
        assert pick + 1 == len(pts) or pts[pick + 1] * MS > now
    over = (line.pts[-1] + line.duration_ticks) * line.time_base
    assert 0 <= over - end * MS < 1 / fps


# Video: space and color


def test_odd_sizes_and_sizes_of_a_pixel(tmp_path: Path, data: Data) -> None:
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
    flat = [np.full((32, 1280, 3), (220, 40, 60), np.uint8)] * 2
    hd = write_video(tmp_path / "hd.mp4", flat, matrix=Colorspace.ITU709, tagged=False)
    assert np.abs(read(probe([hd], SETTINGS))[0].rgb.astype(int) - (220, 40, 60)).max() <= 2
    sd = write_video(tmp_path / "sd.mp4", [frame[:, :48] for frame in flat], matrix=Colorspace.ITU601, tagged=False)
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


def test_transparent_video_lies_over_white(tmp_path: Path) -> None:
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


def test_delays_are_kept_and_impossible_ones_are_what_browsers_show(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.gif", FRAMES[:5], [20, 50, 0, 40, 100])
    source = probe([path], SETTINGS)
    assert source.pts == (0, 20, 70, 170, 210)
    assert source.duration_ticks == 100
    assert source.order == "stream"


def test_a_transparent_animation_lies_over_white(tmp_path: Path) -> None:
    pictures = [
        Image.fromarray(np.dstack([f, np.full((32, 48), 255 * (i % 2), np.uint8)])) for i, f in enumerate(FRAMES[:4])
    ]
    path = tmp_path / "a.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50, lossless=True)
    frames = read(probe([path], SETTINGS))
    assert (frames[0].rgb == 255).all()
    np.testing.assert_array_equal(frames[1].rgb, FRAMES[1])


# Photos: order


def photo(
    path: Path, *, original: str = "", subsec: str = "", ifd0: str = "", sub_datetime: str = "", seed: int = 0
) -> Path:
    exif = Image.Exif()
    if ifd0:
        exif[0x0132] = ifd0
    details = exif.get_ifd(0x8769)
    for tag, value in ((0x9003, original), (0x9291, subsec), (0x0132, sub_datetime)):
        if value:
            details[tag] = value
    Image.fromarray(texture((24, 16), seed)).save(path, exif=exif, quality=95)
    return path


def names(source: Source) -> list[str]:
    return [Path(source.files[pick]).name for pick in source.decoded_indices]


def test_natural_order() -> None:
    given_names = ["b10.jpg", "b9.jpg", "B1.jpg", "a 2.jpg", "a 10.jpg", "c.jpg", "c1.jpg", "x/1.jpg", "1.jpg"]
    assert sorted(given_names, key=natural_key) == [
        "1.jpg", "a 2.jpg", "a 10.jpg", "B1.jpg", "b9.jpg", "b10.jpg", "c.jpg", "c1.jpg", "x/1.jpg",
    ]  # fmt: skip


@given(st.lists(st.text(alphabet="a1B20²٣ ._-é/", min_size=1, max_size=12), max_size=8))
def test_any_names_can_be_ordered(paths: list[str]) -> None:
    ordered = sorted(paths, key=natural_key)
    assert sorted(sorted(paths), key=natural_key) == ordered


def test_capture_time_with_sub_seconds_orders_photos_and_names_break_ties(tmp_path: Path) -> None:
    for name, second, subsec in [("a", 3, "5"), ("b", 3, "05"), ("d", 1, ""), ("c10", 2, "1"), ("c9", 2, "1")]:
        photo(
            tmp_path / f"{name}.jpg", original=f"2024:05:04 10:00:0{second}", subsec=subsec, ifd0="2025:01:01 00:00:00"
        )
    source = probe([tmp_path], SETTINGS)
    assert names(source) == ["d.jpg", "c9.jpg", "c10.jpg", "b.jpg", "a.jpg"]
    assert source.order == "capture time"
    assert any("differently from their names" in note for note in source.notes)
    by_name = probe([tmp_path], InputSettings(order="name"))
    assert names(by_name) == ["a.jpg", "b.jpg", "c9.jpg", "c10.jpg", "d.jpg"]
    assert by_name.order == "name"


def test_the_time_of_an_edit_is_no_capture_time(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", ifd0="2024:05:04 10:00:09")
    photo(tmp_path / "b.jpg", ifd0="2024:05:04 10:00:01")
    source = probe([tmp_path], SETTINGS)
    assert (names(source), source.order) == (["a.jpg", "b.jpg"], "name")
    # but in the sub-IFD it is what libcamera writes when it takes the picture
    photo(tmp_path / "a.jpg", sub_datetime="2024:05:04 10:00:09")
    photo(tmp_path / "b.jpg", sub_datetime="2024:05:04 10:00:01")
    assert names(probe([tmp_path], SETTINGS)) == ["b.jpg", "a.jpg"]


def test_one_photo_without_a_time_means_order_by_name(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", original="2024:05:04 10:00:09")
    photo(tmp_path / "b.jpg", original="2024:05:04 10:00:01")
    photo(tmp_path / "c.jpg", original="0000:00:00 00:00:00")
    source = probe([tmp_path], SETTINGS)
    assert source.order == "name"
    assert any("2 of 3 photos" in note for note in source.notes)
    with pytest.raises(InputError, match=r"c\.jpg: has no capture time"):
        probe([tmp_path], InputSettings(order="time"))


def test_an_alphabetical_list_is_ordered_and_any_other_was_meant(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, FRAMES[:11], pattern="f{}.png")
    source = probe(sorted(paths), SETTINGS)  # as a shell expands *.png: f1 f10 f11 f2 ...
    assert names(source) == [f"f{number}.png" for number in range(1, 12)]
    backwards = probe(paths[::-1], SETTINGS)
    assert names(backwards) == [f"f{number}.png" for number in range(11, 0, -1)]
    assert backwards.order == "as listed"
    assert names(probe(sorted(paths), InputSettings(order="listed"))) == sorted(path.name for path in paths)
    assert probe(sorted(paths), SETTINGS).digest != backwards.digest


def test_gaps_in_time_are_noted(data: Data) -> None:
    source = probe([data("timelapse/icecube_s60")], SETTINGS)
    assert source.order == "capture time"
    assert source.frame_count == 70
    assert [note.split(" (")[0] for note in source.notes] == [
        "Gap of 148 s after S60_050504_183749.jpg",
        "Gap of 120 s after S60_050504_191217.jpg",
    ]


def test_real_series_are_in_the_order_they_were_taken(data: Data) -> None:
    sunset = probe([data("timelapse/sunset_rpi")], SETTINGS)
    assert sunset.order == "capture time"
    assert names(sunset) == [f"frame-{number:03d}.jpg" for number in range(70, 150)]
    tree = probe([data("burst/monstree_iphone")], SETTINGS)
    assert tree.order == "capture time"
    assert (tree.width_px, tree.height_px) == (864, 1152)
    mug = probe([data("burst/handheld_mug")], SETTINGS)
    assert (names(mug), mug.order) == ([f"{number}.jpg" for number in range(1, 9)], "name")


def test_a_pattern_takes_numbers_in_order_and_notes_missing_ones(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:12], pattern="a{}.png")
    (tmp_path / "a7.png").unlink()
    source = probe([tmp_path / "a%d.png"], SETTINGS)
    assert names(source) == [f"a{number}.png" for number in range(1, 13) if number != 7]
    assert source.notes == ("The numbering has gaps: 7 missing.",)
    assert names(probe([tmp_path / "a%02d.png"], SETTINGS)) == ["a10.png", "a11.png", "a12.png"]
    with pytest.raises(InputError, match="no file matches the pattern"):
        probe([tmp_path / "b%d.png"], SETTINGS)
    with pytest.raises(InputError, match="one number"):
        probe([tmp_path / "a%d_%d.png"], SETTINGS)


# Photos: sizes, strange names, strange neighbors


def test_photos_of_another_size_are_refused_or_fitted(tmp_path: Path) -> None:
    paths = write_photos(
        tmp_path, [texture((24, 16), 1), texture((24, 16), 2), texture((40, 16), 3), texture((12, 8), 4)]
    )
    with pytest.raises(InputError, match=r"shot_003\.png: is 40x16 px; expected 24x16 px") as caught:
        probe(paths, SETTINGS)
    assert "--set input.fit=cover" in caught.value.hint
    for fit in ("cover", "contain"):
        settings = InputSettings(fit=fit)
        source = probe(paths, settings)
        assert "2 of 4 photos have another size" in source.notes[0]
        assert {frame.rgb.shape for frame in read_frames(source, settings=settings)} == {(16, 24, 3)}
    assert probe(paths, SETTINGS, frames=(0, 2)).frame_count == 2  # the odd one is not rendered


def test_a_photo_that_changes_after_the_probe_is_found(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, FRAMES[:3])
    source = probe(paths, SETTINGS)
    Image.fromarray(texture((24, 16), 1)).save(paths[1])
    assert content_digest(source) != source.digest
    with pytest.raises(InputError, match=r"shot_002\.png: is 24x16 px"):
        read(source)
    paths[1].write_bytes(b"")
    with pytest.raises(InputError, match=r"frame 1: .*is empty"):
        read(source)


def test_hard_names(data: Data, tmp_path: Path) -> None:
    folder = data("broken/names")
    source = probe([folder], SETTINGS)
    assert source.frame_count == 3
    for path in sorted(folder.iterdir()):
        assert probe([path], SETTINGS).frame_count == 1
    bracket = tmp_path / "take [1] %04d.png"
    Image.fromarray(FRAMES[0]).save(bracket)
    assert probe([bracket], SETTINGS).frame_count == 1  # a file of that very name comes before glob and pattern
    video = write_video(tmp_path / "-50% café #1?.mp4", FRAMES)
    assert probe([video], SETTINGS).frame_count == COUNT


def test_names_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "-a:b.mp4", FRAMES)
    assert len(read(probe(["-a:b.mp4"], SETTINGS))) == COUNT
    write_photos(tmp_path, FRAMES[:3])
    assert probe(["shot_%03d.png"], SETTINGS).frame_count == 3
    assert probe(["*.png"], SETTINGS).frame_count == 3


def test_what_lies_beside_photos_is_left_out_and_noted(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:3])
    for name in ("Thumbs.db", "._shot_001.png", ".hidden.png", ".DS_Store"):
        (tmp_path / name).write_bytes(b"\0\1 no picture")
    for name in ("notes.txt", "edit.xmp", "empty.aae"):
        (tmp_path / name).write_text("" if name.startswith("empty") else "some words")
    (tmp_path / "sub").mkdir()
    shutil.copy(tmp_path / "shot_001.png", tmp_path / "shot_001")  # without suffix, but a picture
    source = probe([tmp_path], SETTINGS)
    assert names(source) == ["shot_001", "shot_001.png", "shot_002.png", "shot_003.png"]
    assert source.notes == ("Left out because they are no pictures: edit.xmp, empty.aae, notes.txt.",)
    assert probe([tmp_path / "*"], SETTINGS).decoded_indices == source.decoded_indices


def test_raw_files_beside_their_developed_photos_are_left_out(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:2], pattern="IMG_{}.JPG")
    (tmp_path / "IMG_1.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    assert probe([tmp_path], SETTINGS).frame_count == 2
    (tmp_path / "IMG_3.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    with pytest.raises(InputError, match=r"IMG_3\.CR2: is a raw camera file"):
        probe([tmp_path], SETTINGS)


# What users get wrong


def assert_refused(inputs: list[Any], message: str, settings: InputSettings = SETTINGS) -> None:
    with pytest.raises(InputError, match=message) as caught:
        probe(inputs, settings)
    assert caught.value.hint
    assert caught.value.exit_code == 4


def test_missing_and_empty(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no input"):
        probe([], SETTINGS)
    assert_refused([""], "is not a path")
    assert_refused([tmp_path / "none.mp4"], "no such file or folder")
    assert_refused([tmp_path / "none" / "*.jpg"], "no file matches")
    assert_refused([tmp_path / "none" / "a%04d.jpg"], "no file matches the pattern")
    assert_refused([tmp_path], "the folder is empty")
    (tmp_path / "notes.txt").write_text("words")
    assert_refused([tmp_path], "no picture is there, only 1 other files such as notes.txt")
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert_refused([tmp_path / "empty.mp4"], "is empty")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert_refused([tmp_path / "pipe.mp4"], "is a pipe")
    with pytest.raises(InputError) as caught:
        probe([tmp_path / "photos" / "day1" / "a.jpg"], SETTINGS)
    assert str(tmp_path) in caught.value.hint  # the nearest folder that is there


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES)
    path.chmod(0)
    assert_refused([path], "cannot be read")


def test_several_inputs_are_photos(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", FRAMES)
    photos = write_photos(tmp_path / "in", FRAMES[:2])
    assert_refused([*photos, video], "several inputs must all be photos")
    assert_refused([photos[0], tmp_path / "in"], "is a folder among 2 inputs")
    assert_refused([photos[0], tmp_path / "none.png"], "no such file")
    assert_refused([tmp_path / "*.mp4"] * 1 + [photos[0]], "no such file")
    (tmp_path / "videos").mkdir()
    for name in ("x.mp4", "y.mp4"):
        shutil.copy(video, tmp_path / "videos" / name)
    assert_refused([tmp_path / "videos"], "2 video files such as x.mp4")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("found_zero_byte.webm", "is empty"),
        ("made_text_named.mp4", "found text"),
        ("made_html_error_page_named.jpg", "HTML page"),
        ("made_mp4_cut_at_60pct.mp4", "cannot be opened"),
        ("found_truncated.jpg", "cut off"),
        ("found_truncated.png", "cut off"),
        ("made_jpeg_cut_at_40pct.jpg", "cut off"),
        ("found_decompression_bomb.gif", "too large"),
        ("made_huge_header_100000x100000.png", "too large"),
        ("mixed_sequence", r"frame_\d+\.jpg: (is empty|the picture is cut off)"),
        ("../burst/raw/Blackmagic.dng", "raw camera file"),
        ("../MANIFEST.md", "found text"),
    ],
)
def test_broken_files_are_refused_at_probe(data: Data, name: str, message: str) -> None:
    assert_refused([data(f"broken/{name}")], message)


def test_a_playlist_is_text_and_nothing_is_fetched(tmp_path: Path) -> None:
    for name, text in [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile /etc/hostname\n"),
        ("art.nfo", "words that FFmpeg would show as a video of a terminal\n"),
    ]:
        (tmp_path / name).write_text(text)
        assert_refused([tmp_path / name], "found text")


def test_sound_is_no_video(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(4000))
    assert_refused([tmp_path / "a.wav"], "found only sound")


def test_random_bytes_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert_refused([tmp_path / "a.mp4"], "expected a video")


@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.ts", "a.mp4", "a.avi"])
def test_a_video_that_breaks_off_gives_what_is_whole(tmp_path: Path, name: str, share: float) -> None:
    big = moving_square(30, size=(96, 64))
    codec = {"a.webm": "libvpx-vp9", "a.avi": "mpeg4"}.get(name, "libx264")
    path = write_video(
        tmp_path / name,
        big,
        codec=codec,
        pix_fmt="yuv420p",
        options={"g": "10"},
        container_options={"movflags": "+faststart"} if name == "a.mp4" else None,
    )
    truncate(path, share)
    try:
        source = probe([path], SETTINGS)
    except InputError as error:
        assert share < 0.5  # hardly anything is left
        assert error.hint
        return
    assert 0 < source.frame_count < 30
    frames = read(source)  # what probe promises is there
    assert len(frames) == source.frame_count
    if name != "a.ts":  # which states no length that could be missed
        assert source.notes


def test_damage_after_the_probe_names_the_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving_square(30, size=(96, 64)), options={"qp": "0", "g": "5"})
    source = probe([path], SETTINGS)
    truncate(path, 0.5)
    frames = []
    with pytest.raises(InputError, match=r"frame \d+ cannot be decoded") as caught:
        for frame in read_frames(source, settings=SETTINGS):
            frames.append(frame.index)
    assert f"frame {len(frames)} " in caught.value.message
    write_video(path, FRAMES, time_base=MS, pts=UNEVEN)
    with pytest.raises(InputError, match="cannot be decoded"):
        read(source, start=3)
    path.unlink()
    with pytest.raises(InputError, match=r"no such file|cannot be"):
        read(source)


def test_rates_that_nobody_means(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES)
    for fps in (Fraction(0), Fraction(-24), Fraction(10_000)):
        with pytest.raises(UsageError, match="--fps"):
            probe([path], SETTINGS, fps=fps)


# Real media, as the manifest describes them

REAL = [
    # name, size, frames, audio, rotation, part of a note
    ("video/cockatoo_yuv444_audio.mp4", (1280, 720), 280, True, 0, ""),
    ("video/phone_rot180_vfr_audio.mp4", (1280, 720), 25, True, 180, ""),
    ("video/phone_rot90.mov", (320, 568), 3, False, 270, ""),
    ("video/nasa_13013_multistream_cuts.mp4", (320, 180), 325, True, 0, "not stream 3"),
    ("video/chaplin_bw_audio.mp4", (640, 360), 241, True, 0, ""),
    ("video/webcam_vfr.webm", (640, 480), 94, False, 0, "does not state its duration"),
    ("video/testsrc_hevc_10bit.mp4", (200, 200), 30, False, 0, ""),
    ("video/testsrc_hevc_8bit_audio.mp4", (640, 360), 60, True, 0, ""),
    ("video/testsrc_sar_2by3.mp4", (640, 540), 60, True, 0, ""),
    ("video/testsrc_bt709_full_range.mp4", (1280, 720), 30, False, 0, ""),
    ("video/testsrc_cover_art.mp4", (640, 360), 60, True, 0, ""),
    ("video/transparent_vp9_alpha.webm", (200, 200), 150, True, 0, ""),
    ("video/pigs_odd_314x273.gif", (314, 273), 30, False, 0, ""),
    ("video/newtonscradle_uneven_delays.gif", (200, 150), 36, False, 0, ""),
    ("timelapse/drawing_portrait.mp4", (270, 480), 48, False, 0, ""),
    ("broken/made_faststart_tail_missing.mp4", (640, 360), 102, False, 0, "first 102 of 241"),
    ("broken/made_webm_cut_at_70pct.webm", (1280, 720), 11, True, 0, "may be cut off"),
    ("broken/found_no_duration.webm", (1280, 720), 74, True, 0, "does not state"),
    ("broken/made_animated_icecube.webp", (540, 360), 14, False, 0, ""),
    ("broken/made_animated_icecube.apng", (270, 180), 4, False, 0, ""),
]


@pytest.mark.parametrize(("name", "size", "count", "audio", "rotation", "note"), REAL)
def test_real_media(
    data: Data, name: str, size: tuple[int, int], count: int, audio: bool, rotation: int, note: str
) -> None:
    source = probe([data(name)], SETTINGS)
    assert (source.width_px, source.height_px) == size
    assert source.frame_count == count
    assert source.has_audio == audio
    assert source.rotation_deg == rotation
    assert any(note in text for text in source.notes) if note else source.notes == ()
    # resuming near the end gives the pixels that reading on gives
    start = count * 2 // 3
    resumed = read(source, start=start, stop=start + 1)[0]
    straight = read(source, start=max(0, start - 20), stop=start + 1)[-1]
    np.testing.assert_array_equal(resumed.rgb, straight.rgb)
    assert resumed.rgb.shape == (size[1], size[0], 3)


def test_a_picture_named_as_video_is_a_photo(data: Data) -> None:
    source = probe([data("broken/made_jpeg_named.mp4")], SETTINGS)
    assert source.kind == "photos"
    assert source.frame_count == 1
    assert source.frame_rate == 24


@pytest.mark.parametrize(
    "name", ["video/phone_rot90.mov", "video/testsrc_bt709_full_range.mp4", "burst/monstree_iphone"]
)
def test_small_frames_are_the_large_ones_made_small(data: Data, name: str) -> None:
    """They are decoded small, which is several times as fast; the pictures are the same."""
    from pipeline.media.image.arrays import resize

    source = probe([data(name)], SETTINGS)
    large = read(source, stop=2)
    for width in (source.width_px // 9, source.width_px // 5, source.width_px // 3):
        for small, whole in zip(read(source, stop=2, width_px=width), large, strict=True):
            height, width_found = small.rgb.shape[:2]
            assert width_found == width
            difference = np.abs(small.rgb.astype(float) - resize(whole.rgb, width, height))
            assert difference.mean() < 1.5


def test_full_range_test_picture_has_its_colors(data: Data) -> None:
    """FFmpeg's test picture begins with bars; white and the primaries must come out pure."""
    rgb = read(probe([data("video/testsrc_bt709_full_range.mp4")], SETTINGS), stop=1)[0].rgb
    assert rgb.min() <= 3
    assert rgb.max() >= 252
