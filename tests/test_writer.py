"""Writing: colors, times and sizes are read back as they were given, in videos, animations and images."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.config.settings import OutputSettings
from pipeline.errors import UsageError, WriteError
from pipeline.media.writer.output import write_video
from pipeline.media.writer.target import check_output, written_size
from pipeline.media.writer.timing import output_timing
from pipeline.types import Source
from tests.support.written import FAST, RGB, VIDEOS, ramps, read_back, source_of, times_of

if TYPE_CHECKING:
    pass


SATURATED = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (0, 255, 255),
    (255, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (128, 128, 128),
    (200, 30, 40),
    (20, 40, 90),
    (250, 200, 180),
]
VARIABLE = (500, 540, 600, 610, 700, 1000, 1001, 1200)


def card(size_px: int = 80) -> RGB:
    """Uniform patches of saturated and of ordinary colors, 3 by 4."""
    rows = [np.hstack([np.full((size_px, size_px, 3), c, np.uint8) for c in SATURATED[i : i + 4]]) for i in (0, 4, 8)]
    return np.vstack(rows)


# Colors


@pytest.mark.parametrize(("suffix", "codec"), VIDEOS)
def test_colors_are_read_back_in_every_format(tmp_path: Path, suffix: str, codec: Any) -> None:
    image = card()
    path = write_video(
        tmp_path / f"card{suffix}", [image] * 3, source=source_of((0, 1, 2)), settings=OutputSettings(codec=codec)
    )
    frames, _, _ = read_back(path)
    difference = frames[1].astype(float) - image
    assert np.abs(difference).mean() < 2
    assert np.abs(difference.mean(axis=(0, 1))).max() < 2
    for row in range(3):
        for column in range(4):
            patch = difference[row * 80 + 10 : row * 80 + 70, column * 80 + 10 : column * 80 + 70]
            # FFmpeg's plain conversion, which many readers use, is itself off by up to 3 in ProRes' ten bits
            assert np.abs(patch.mean(axis=(0, 1))).max() < 3.5, SATURATED[row * 4 + column]


@pytest.mark.parametrize(("suffix", "codec"), [case for case in VIDEOS if case[1] != "ffv1"])
def test_colors_are_tagged(tmp_path: Path, suffix: str, codec: Any) -> None:
    path = write_video(
        tmp_path / f"a{suffix}", ramps(2), source=source_of((0, 1)), settings=OutputSettings(codec=codec)
    )
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)


def test_luma_is_bt709(tmp_path: Path) -> None:
    """Red, green and blue have the limited-range luma of BT.709 (63, 173, 32), not of BT.601 (82, 145, 41)."""
    image = card()
    path = write_video(tmp_path / "a.mp4", [image], source=source_of((0,)), settings=OutputSettings(crf=4))
    with av.open(str(path)) as container:
        luma = next(container.decode(video=0)).to_ndarray()[:240]
    assert [int(luma[40, x]) for x in (40, 120, 200)] == pytest.approx([63, 173, 32], abs=1)


def test_chroma_is_sited_left(tmp_path: Path) -> None:
    """On a horizontal ramp each chroma sample is that of the left one of its two columns."""
    from pipeline.media.writer.pixels import PixelFormat, to_video_frame

    ramp = np.zeros((32, 64, 3), np.uint8)
    ramp[..., 0] = np.arange(64) * 4
    frame = to_video_frame(ramp, 64, 32, PixelFormat(420, 8))
    red = np.frombuffer(frame.planes[2], np.uint8).reshape(-1, frame.planes[2].line_size)[8, :32].astype(float)  # type: ignore[call-overload]
    expected = 128 + 224 * (np.arange(0, 64, 2) * 4 / 255) * (1 - 0.2126) / (2 * (1 - 0.2126))
    np.testing.assert_allclose(red[1:-1], expected[1:-1], atol=0.8)


def test_ffv1_is_lossless(tmp_path: Path) -> None:
    frames = [np.random.default_rng(i).integers(0, 256, (33, 47, 3), dtype=np.uint8) for i in range(3)]
    path = write_video(tmp_path / "a.mkv", frames, source=source_of((0, 1, 2)), settings=OutputSettings(codec="ffv1"))
    for got, wanted in zip(read_back(path)[0], frames, strict=True):
        np.testing.assert_array_equal(got, wanted)


# Timing


@pytest.mark.parametrize(("suffix", "codec"), VIDEOS)
@pytest.mark.parametrize(
    "source",
    [
        source_of(tuple(range(7, 15))),
        source_of(tuple(range(0, 8008, 1001)), time_base=Fraction(1, 30000), last=1001),
        source_of(VARIABLE, time_base=Fraction(1, 1000), last=250),
    ],
    ids=["constant", "ntsc", "variable"],
)
def test_every_frame_keeps_the_time_of_the_source(tmp_path: Path, suffix: str, codec: Any, source: Source) -> None:
    settings = OutputSettings(codec=codec)  # not the fastest preset: B-frames must be there
    path = write_video(tmp_path / f"a{suffix}", ramps(8), source=source, settings=settings)
    _, times, stated = read_back(path)
    # Matroska and WebM count in milliseconds.
    exact = suffix in {".mp4", ".mov"}
    assert times[0] == 0
    for got, wanted in zip(times, times_of(source), strict=True):
        assert abs(got - wanted) <= (0 if exact else Fraction(1, 2000))
    assert stated == pytest.approx(source.duration_s, abs=1e-6 if exact else 0.0011)


def test_h264_has_b_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", ramps(8), source=source_of(tuple(range(8))), settings=OutputSettings())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert [packet.pts for packet in packets] != sorted(packet.pts or 0 for packet in packets)


def test_fps_makes_the_rate_constant(tmp_path: Path) -> None:
    source = source_of(VARIABLE, time_base=Fraction(1, 1000), last=250)
    path = write_video(tmp_path / "a.mp4", ramps(8), source=source, settings=FAST, fps=Fraction(24000, 1001))
    assert read_back(path)[1] == [Fraction(1001 * i, 24000) for i in range(8)]


@pytest.mark.parametrize("rate", [Fraction(1, 60), Fraction(1000)])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mp4", "hevc"), (".webm", "vp9"), (".webm", "av1")])
def test_very_slow_and_very_fast_rates_are_exact(tmp_path: Path, suffix: str, codec: Any, rate: Fraction) -> None:
    settings = OutputSettings(codec=codec, preset="ultrafast")
    path = write_video(tmp_path / f"a{suffix}", ramps(3), source=source_of((0, 1, 2)), settings=settings, fps=rate)
    assert read_back(path)[1] == [i / rate for i in range(3)]


def test_timing_is_the_coarsest_exact_clock() -> None:
    timing = output_timing(source_of((900, 4500, 8100), time_base=Fraction(1, 90000), last=3600), None)
    assert (timing.tick_s, timing.starts, timing.stop) == (Fraction(1, 25), (0, 1, 2), 3)
    assert timing.constant
    assert timing.mean_rate == 25
    fine = output_timing(source_of((0, 10**11 + 1), time_base=Fraction(1, 10**12), last=10**11), None)
    assert (fine.tick_s, fine.starts, fine.stop) == (Fraction(1, 10**6) * 100_000, (0, 1), 2)


@pytest.mark.parametrize("pts", [(), (0, 0), (3, 1)])
def test_times_that_do_not_increase_are_a_value_error(pts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"frames|increase"):
        output_timing(source_of(pts), None)


# Sizes


@pytest.mark.parametrize(("suffix", "codec"), VIDEOS)
@pytest.mark.parametrize("size", [(97, 65), (45, 31), (2, 2), (1, 1)])
def test_odd_and_tiny_sizes_are_written_or_refused_in_time(
    tmp_path: Path, suffix: str, codec: Any, size: tuple[int, int]
) -> None:
    settings = OutputSettings(codec=codec, preset="ultrafast" if codec != "ffv1" else "medium")
    path = tmp_path / f"a{suffix}"
    frames = ramps(3, *size)
    try:
        check_output(path, settings, frame_count=3, width_px=size[0], height_px=size[1])
    except WriteError:
        # an encoder refuses a size before the work, and again when the frames are written
        assert (codec, *size) in {("hevc", 45, 31), ("hevc", 2, 2), ("hevc", 1, 1), ("av1", 2, 2), ("av1", 1, 1)}
        with pytest.raises(WriteError):
            write_video(path, frames, source=source_of((0, 1, 2)), settings=settings)
        assert not list(tmp_path.iterdir())
        return
    write_video(path, frames, source=source_of((0, 1, 2)), settings=settings)
    got = read_back(path)[0]
    assert (got[0].shape[1], got[0].shape[0]) == written_size(path, settings, *size)
    for written, shown in zip(frames, got, strict=True):
        inside = shown[: size[1], : size[0]].astype(int)
        if min(size) > 2:  # two pixels have one color
            assert np.abs(inside - written).mean() < 5
        if shown.shape[1] > size[0]:  # the added column repeats the last one
            assert np.abs(shown[:, -1].astype(int) - shown[:, -2]).mean() < 4


def test_frames_of_different_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frame 1"):
        write_video(tmp_path / "a.mp4", [*ramps(1), ramps(1, 48, 32)[0]], source=source_of((0, 1)), settings=FAST)
    assert not list(tmp_path.iterdir())


# Animations and images


@pytest.mark.parametrize(("suffix", "clock_ms"), [(".gif", 10), (".webp", 1), (".apng", 1), (".avif", 1)])
def test_animations_keep_frames_and_times(tmp_path: Path, suffix: str, clock_ms: int) -> None:
    source = source_of((0, 1, 2, 5, 6), time_base=Fraction(1, 15), last=2)
    frames = ramps(5)
    seen: list[int] = []
    path = write_video(tmp_path / f"a{suffix}", frames, source=source, settings=FAST, progress=seen.append)
    with Image.open(path) as animation:
        assert animation.n_frames == 5  # type: ignore[attr-defined]
        assert animation.info.get("loop", 0) == 0
        time_ms = 0.0
        for index, wanted in enumerate(times_of(source)):
            animation.seek(index)
            assert time_ms == pytest.approx(float(wanted) * 1000, abs=clock_ms / 2 + 0.01)
            shown = np.asarray(animation.convert("RGB"), np.float32)
            # The colors of a GIF are mixed of pixels.
            difference = cv2.blur(shown - frames[index], (5, 5) if suffix == ".gif" else (1, 1))
            assert np.abs(difference).mean() < (4 if suffix == ".gif" else 2)
            time_ms += animation.info["duration"]
        assert time_ms == pytest.approx(source.duration_s * 1000, abs=clock_ms / 2 + 0.01)
    assert seen == [1, 2, 3, 4, 5]


def test_gif_shows_no_frame_shorter_than_browsers_do(tmp_path: Path) -> None:
    source = source_of(tuple(range(12)), time_base=Fraction(1, 120))
    path = write_video(tmp_path / "a.gif", ramps(12), source=source, settings=FAST)
    with Image.open(path) as animation:
        durations = []
        for index in range(animation.n_frames):  # type: ignore[attr-defined]
            animation.seek(index)
            durations.append(animation.info["duration"])
    assert min(durations) >= 20
    assert sum(durations) == 100


def test_webp_of_quality_0_is_lossless(tmp_path: Path) -> None:
    frames = [np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8) for i in range(2)]
    path = write_video(tmp_path / "a.webp", frames, source=source_of((0, 1)), settings=OutputSettings(crf=0))
    with Image.open(path) as animation:
        for index, frame in enumerate(frames):
            animation.seek(index)
            np.testing.assert_array_equal(np.asarray(animation.convert("RGB")), frame)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animation_of_one_frame_is_written(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", ramps(1), source=source_of((0,)), settings=FAST)
    with Image.open(path) as image:
        assert np.abs(np.asarray(image.convert("RGB"), int) - ramps(1)[0]).mean() < 6


def test_numbered_images_are_exact_and_other_files_stay(tmp_path: Path) -> None:
    pattern = tmp_path / "out" / "%05d.png"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    frames = ramps(3, 45, 31)
    assert write_video(pattern, frames, source=source_of((0, 1, 2)), settings=FAST) == pattern
    assert sorted(path.name for path in pattern.parent.iterdir()) == [
        "00000.png",
        "00001.png",
        "00002.png",
        "notes.txt",
    ]
    for index, frame in enumerate(frames):
        read = cv2.imread(str(tmp_path / "out" / f"{index:05d}.png"))
        assert read is not None
        np.testing.assert_array_equal(read[..., ::-1], frame)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "A.JPEG"])
def test_one_image_is_written_and_refuses_two_frames(tmp_path: Path, name: str) -> None:
    frame = ramps(1, 45, 31)[0]
    path = write_video(tmp_path / "new" / name, [frame], source=source_of((0,)), settings=FAST)
    with Image.open(path) as image:
        assert np.abs(np.asarray(image, int) - frame).mean() < 2
    with pytest.raises(UsageError, match="cannot hold 2 frames"):
        write_video(path, ramps(2), source=source_of((0, 1)), settings=FAST)
