"""Writing: times, colors and sound are read back as they were given, and no incomplete output is left."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.config.settings import OutputSettings
from pipeline.errors import ConfigError, InputError, TemperaError, UsageError, WriteError
from pipeline.media.writer.output import write_video
from pipeline.media.writer.target import check_output, describe_codecs, written_size
from pipeline.media.writer.timing import output_timing
from pipeline.types import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]

FAST = OutputSettings(preset="ultrafast")
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
VIDEOS = [
    (".mp4", "h264"),
    (".mp4", "hevc"),
    (".mp4", "av1"),
    (".mp4", "vp9"),
    (".mov", "h264"),
    (".mov", "prores"),
    (".mkv", "h264"),
    (".mkv", "ffv1"),
    (".webm", "vp9"),
    (".webm", "av1"),
]


def source_of(
    pts: tuple[int, ...] = tuple(range(6)),
    *,
    time_base: Fraction = Fraction(1, 25),
    last: int = 1,
    sound: Path | None = None,
    size: tuple[int, int] = (96, 64),
) -> Source:
    return Source(
        path=str(sound or "photos"),
        kind="video" if sound else "photos",
        files=(str(sound),) if sound else (),
        width_px=size[0],
        height_px=size[1],
        frame_rate=Fraction(25),
        time_base=time_base,
        pts=pts,
        duration_ticks=last,
        decoded_indices=tuple(range(len(pts))),
        has_audio=sound is not None,
    )


def card(size_px: int = 80) -> RGB:
    """Uniform patches of saturated and of ordinary colors, 3 by 4."""
    rows = [np.hstack([np.full((size_px, size_px, 3), c, np.uint8) for c in SATURATED[i : i + 4]]) for i in (0, 4, 8)]
    return np.vstack(rows)


def ramps(count: int, width: int = 96, height: int = 64) -> list[RGB]:
    """Smooth frames, each a little brighter than the one before."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    base = np.dstack([x * 200 / width, y * 200 / height, 100 + 60 * np.sin(x / 9)])
    return [np.asarray(np.rint(base + 5 * i), np.uint8) for i in range(count)]


def read_back(path: Path) -> tuple[list[RGB], list[Fraction], float]:
    """Frames, times in seconds, and the duration in seconds that the file states."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [frame.pts * frame.time_base for frame in frames if frame.pts is not None and frame.time_base]
        stated = (
            float(stream.duration * stream.time_base)
            if stream.duration is not None and stream.time_base is not None
            else (container.duration or 0) / 1e6
        )
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames], times, stated


def times_of(source: Source) -> list[Fraction]:
    return [(tick - source.pts[0]) * source.time_base for tick in source.pts]


def leftovers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))


# --- colors ---------------------------------------------------------------------------------------------------------


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
    from av.video.reformatter import VideoReformatter

    from pipeline.media.writer.pixels import to_video_frame

    ramp = np.zeros((32, 64, 3), np.uint8)
    ramp[..., 0] = np.arange(64) * 4
    frame = to_video_frame(ramp, 64, 32, "yuv420p", VideoReformatter())
    red = np.frombuffer(frame.planes[2], np.uint8).reshape(-1, frame.planes[2].line_size)[8, :32].astype(float)  # type: ignore[call-overload]
    expected = 128 + 224 * (np.arange(0, 64, 2) * 4 / 255) * (1 - 0.2126) / (2 * (1 - 0.2126))
    np.testing.assert_allclose(red[1:-1], expected[1:-1], atol=0.8)


def test_ffv1_is_lossless(tmp_path: Path) -> None:
    frames = [np.random.default_rng(i).integers(0, 256, (33, 47, 3), dtype=np.uint8) for i in range(3)]
    path = write_video(tmp_path / "a.mkv", frames, source=source_of((0, 1, 2)), settings=OutputSettings(codec="ffv1"))
    for got, wanted in zip(read_back(path)[0], frames, strict=True):
        np.testing.assert_array_equal(got, wanted)


# --- timing ---------------------------------------------------------------------------------------------------------


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


# --- sizes ----------------------------------------------------------------------------------------------------------


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


# --- sound ----------------------------------------------------------------------------------------------------------

RATE = 48_000


def clip_with_clicks(path: Path, codec: str, *, seconds: int = 3, first_pts: int = 0) -> Path:
    """A video of 25 frames per second that begins at `first_pts` frames, clicking at every whole second but 0."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio: Any = container.add_stream(codec, rate=RATE, layout="mono")
        sound = np.zeros((1, seconds * RATE), np.float32)
        for second in range(1, seconds):
            sound[0, second * RATE : second * RATE + 300] = 0.8 * np.sin(np.arange(300) * 0.5)
        for index in range(first_pts, seconds * 25):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index, np.uint8), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, sound.shape[1], 960):
            piece = av.AudioFrame.from_ndarray(sound[:, start : start + 960].copy(), format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE, start, Fraction(1, RATE)
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))
    return path


def listen(path: Path) -> tuple[list[float], float, float, str]:
    """Times of the clicks, begin and end of the sound (all in seconds), and its codec."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        to_float = av.AudioResampler("fltp", "mono", RATE)
        clicks: list[float] = []
        begin = end = -1.0
        for frame in container.decode(stream):
            assert frame.pts is not None
            assert frame.time_base is not None
            at = float(frame.pts * frame.time_base)
            begin = at if begin < 0 else begin
            end = at + frame.samples / frame.sample_rate
            for piece in to_float.resample(frame):
                for index in np.flatnonzero(np.abs(piece.to_ndarray()[0]) > 0.35):
                    time_s = at + index / RATE
                    if not clicks or time_s - clicks[-1] > 0.5:
                        clicks.append(time_s)
        return clicks, begin, end, stream.codec_context.name


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def clip(codec: str) -> Path:
        if codec not in made:
            suffix = ".mp4" if codec == "aac" else ".mkv"
            made[codec] = clip_with_clicks(tmp_path_factory.mktemp("clips") / f"{codec}{suffix}", codec)
        return made[codec]

    return clip


@pytest.mark.parametrize("start", [0, 13])
@pytest.mark.parametrize(
    ("codec", "suffix", "result"),
    [
        ("aac", ".mp4", "aac"),
        ("aac", ".mov", "aac"),
        ("aac", ".mkv", "aac"),
        ("aac", ".webm", "opus"),
        ("libopus", ".webm", "opus"),
        ("libopus", ".mp4", "aac"),
        ("pcm_s16le", ".mov", "pcm_s16le"),
        ("pcm_s16le", ".mp4", "aac"),
        ("flac", ".mkv", "flac"),
        ("libmp3lame", ".mp4", "mp3float"),
    ],
)
def test_sound_stays_in_sync(
    tmp_path: Path, clips: Callable[[str], Path], codec: str, suffix: str, result: str, start: int
) -> None:
    """Also when `--frames 13:70` begins half a second into the file: the click at 1 s is then heard at 0.48 s."""
    stop = 70 if start else 75
    source = source_of(tuple(range(start, stop)), sound=clips(codec))
    path = write_video(tmp_path / f"a{suffix}", ramps(stop - start, 32, 32), source=source, settings=FAST)
    clicks, begin, end, name = listen(path)
    assert name == result
    assert read_back(path)[1][0] == 0
    assert clicks == pytest.approx([1 - start / 25, 2 - start / 25], abs=0.0025)
    # copied packets are whole, and only edit lists can hide a part of the first one: 4608 samples of FLAC are 96 ms
    assert 0 <= begin <= (0.05 if suffix in {".mp4", ".mov"} else 0.1)
    assert end == pytest.approx(source.duration_s, abs=0.05 if codec == "flac" else 0.015)


def test_sound_before_the_first_frame_is_left_out(tmp_path: Path) -> None:
    """A video whose first frame comes 0.4 s after its sound: the sound before it is left out."""
    clip = clip_with_clicks(tmp_path / "late.mkv", "pcm_s16le", first_pts=10)
    source = source_of(tuple(range(10, 75)), sound=clip)
    path = write_video(tmp_path / "a.mp4", ramps(65, 32, 32), source=source, settings=FAST)
    assert listen(path)[0] == pytest.approx([0.6, 1.6], abs=0.002)


def test_output_is_silent_if_set_if_retimed_and_without_a_track(tmp_path: Path, clips: Callable[[str], Path]) -> None:
    source = source_of(tuple(range(10)), sound=clips("aac"))
    for number, options in enumerate(
        [
            {"source": source, "settings": OutputSettings(preset="ultrafast", audio="none")},
            {"source": source, "settings": FAST, "fps": Fraction(10)},
            {"source": source_of(tuple(range(10))), "settings": FAST},
        ]
    ):
        path = write_video(tmp_path / f"{number}.mp4", ramps(10), **options)  # type: ignore[arg-type]
        with av.open(str(path)) as container:
            assert not container.streams.audio


def test_damaged_sound_ends_where_the_damage_begins(
    tmp_path: Path, clips: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    data = clips("flac").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 6 // 10])
    path = write_video(tmp_path / "a.mp4", ramps(75), source=source_of(tuple(range(75)), sound=cut), settings=FAST)
    assert len(read_back(path)[0]) == 75
    assert listen(path)[2] < 3


def test_missing_source_of_sound_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sound") as caught:
        write_video(tmp_path / "a.mp4", ramps(6), source=source_of(sound=tmp_path / "gone.mp4"), settings=FAST)
    assert "output.audio=none" in caught.value.hint
    assert not list(tmp_path.iterdir())


# --- animations and images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "clock_ms"), [(".gif", 10), (".webp", 1)])
def test_animations_keep_frames_and_times(tmp_path: Path, suffix: str, clock_ms: int) -> None:
    source = source_of((0, 1, 2, 5, 6), time_base=Fraction(1, 15), last=2)
    frames = ramps(5)
    seen: list[int] = []
    path = write_video(tmp_path / f"a{suffix}", frames, source=source, settings=FAST, progress=seen.append)
    with Image.open(path) as animation:
        assert animation.n_frames == 5  # type: ignore[attr-defined]
        assert animation.info["loop"] == 0
        time_ms = 0.0
        for index, wanted in enumerate(times_of(source)):
            animation.seek(index)
            assert time_ms == pytest.approx(float(wanted) * 1000, abs=clock_ms / 2 + 0.01)
            assert np.abs(np.asarray(animation.convert("RGB"), int) - frames[index]).mean() < 6
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


# --- faults ---------------------------------------------------------------------------------------------------------

RESULTS = ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.gif", "a.webp", "a/%05d.png"]


class Boom(BaseException):
    """An exception that is neither an error of the package nor an `Exception`."""


@pytest.mark.parametrize("error", [ValueError("wrong"), OSError("disk"), KeyboardInterrupt(), GeneratorExit(), Boom()])
@pytest.mark.parametrize("name", RESULTS)
def test_error_of_the_frames_is_raised_and_keeps_the_old_file(tmp_path: Path, name: str, error: BaseException) -> None:
    path = tmp_path / name
    settings = OutputSettings(preset="ultrafast")
    write_video(path, ramps(6), source=source_of(), settings=settings)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    def failing() -> Iterator[RGB]:
        yield from [255 - frame for frame in ramps(4)]
        raise error

    with pytest.raises(type(error)) as caught:
        write_video(path, failing(), source=source_of(), settings=settings)
    assert caught.value is error
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("count", [0, 4, 9])
def test_wrong_number_of_frames_is_refused(tmp_path: Path, name: str, count: int) -> None:
    if count > 6 and name.endswith((".gif", ".webp")):
        pytest.skip("an animation stops reading at the last frame that it needs")
    with pytest.raises(WriteError, match=f"expected 6 frames, found {count}") as caught:
        write_video(tmp_path / name, ramps(count), source=source_of(), settings=FAST)
    assert "resume" in caught.value.hint
    assert not leftovers(tmp_path)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that takes no more than this many bytes of one file, as the kernel enforces it."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_full_disk_keeps_the_old_file(tmp_path: Path, name: str, fraction: float) -> None:
    """The disk is full at once, in the middle, or one byte before the end, where a missing check would show."""
    path = tmp_path / name
    noise = [np.random.default_rng(i).integers(0, 256, (64, 96, 3), dtype=np.uint8) for i in range(6)]
    write_video(path, noise, source=source_of(), settings=FAST)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    largest = max(len(data) for data in before.values())
    with largest_file(max(int(largest * fraction) - 1, 0)), pytest.raises(WriteError, match="File too large") as caught:
        write_video(path, noise, source=source_of(), settings=FAST)
    assert "disk" in caught.value.hint
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a/%05d.png"])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failing_flush_or_rename_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync" if call == "fsync" else "pathlib.Path.replace", full)
    with pytest.raises(WriteError, match="No space left") as caught:
        write_video(tmp_path / name, ramps(6), source=source_of(), settings=FAST)
    assert "free some space" in caught.value.hint
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not leftovers(tmp_path)


def test_video_is_on_the_disk_before_it_replaces_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    from pathlib import Path as RealPath

    real_sync, real_replace = os.fsync, RealPath.replace

    def fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_sync(descriptor)

    def replace(self: RealPath, target: RealPath) -> RealPath:
        steps.append("replace")
        return real_replace(self, target)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr("pathlib.Path.replace", replace)
    write_video(tmp_path / "a.mp4", ramps(6), source=source_of(), settings=FAST)
    assert steps == ["file", "replace", "folder"]


def test_file_system_that_cannot_flush_folders_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real_sync(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    assert write_video(tmp_path / "a.mp4", ramps(6), source=source_of(), settings=FAST).exists()


def test_file_that_cannot_be_read_back_does_not_replace_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[int] = []
    real = av.container.OutputContainer.mux

    class Losing:
        """A container that silently loses a packet."""

        def __init__(self, container: Any) -> None:
            self.container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self.container, name)

        def mux(self, packet: Any) -> None:
            dropped.append(1)
            if len(dropped) != 3:
                real(self.container, packet)

    opened = av.open

    def losing(file: str, mode: str = "r", **options: Any) -> Any:
        container = opened(file, mode, **options)  # type: ignore[call-overload]
        return Losing(container) if mode == "w" else container

    monkeypatch.setattr("av.open", losing)
    with pytest.raises(WriteError, match="6 frames were written, 5 can be read back"):
        write_video(tmp_path / "a.mp4", ramps(6), source=source_of(), settings=FAST)
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.media.writer.partial import filling, replacing
with (filling if "%" in sys.argv[1] else replacing)(Path(sys.argv[1])) as partial:
    print(partial, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["a.mp4", "out/%05d.png"])
def test_partial_file_of_a_killed_process_does_not_disturb_the_next(tmp_path: Path, name: str) -> None:
    """A partial file of a living process is kept; both outputs are complete, and the later one replaces the other."""
    path = tmp_path / name
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as other:
        assert other.stdout is not None
        partial = Path(other.stdout.readline().strip())
        assert partial.exists()
        write_video(path, ramps(6), source=source_of(), settings=FAST)
        assert partial.exists()
        other.kill()
        other.wait()
    assert partial.exists()
    write_video(path, ramps(6), source=source_of(), settings=FAST)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", ["a file/a.mp4", "a file/a.gif", "a file/%d.png"])
def test_file_instead_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(WriteError) as caught:
        write_video(tmp_path / name, ramps(6), source=source_of(), settings=FAST)
    assert "-o" in caught.value.hint
    with pytest.raises(WriteError):
        check_output(tmp_path / name, FAST, frame_count=6)


def test_output_with_a_difficult_name_is_written(tmp_path: Path) -> None:
    for name in ("c:d.mp4", "-o.mp4", "50% größer.mp4", "a 'b'  c.mkv", "#1.gif"):
        path = write_video(tmp_path / name, ramps(2), source=source_of((0, 1)), settings=FAST)
        assert path.stat().st_size > 0
    assert len(list(tmp_path.iterdir())) == 5


# --- checks before the work -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "kind", "hint"),
    [
        ("a.avi", {}, UsageError, ".mp4"),
        ("a", {}, UsageError, ".mp4"),
        ("%d-%d.png", {}, UsageError, "%05d"),
        ("a.png", {}, UsageError, "%05d.png"),
        ("a.mp4", {"codec": "ffv1"}, ConfigError, ".mkv"),
        ("a.webm", {"codec": "h264"}, ConfigError, "vp9"),
        ("a.mov", {"codec": "av1"}, ConfigError, "prores"),
        ("a.mp4", {"crf": 60}, ConfigError, "51"),
        ("a.mp4", {"preset": "quick"}, ConfigError, "veryfast"),
        ("a.webm", {"preset": "quick"}, ConfigError, "veryfast"),
    ],
)
def test_impossible_output_is_refused_before_the_work(
    tmp_path: Path, name: str, options: dict[str, Any], kind: type[TemperaError], hint: str
) -> None:
    settings = OutputSettings(**options)
    for call in (
        lambda: check_output(tmp_path / name, settings, frame_count=6),
        lambda: write_video(tmp_path / name, iter([]), source=source_of(), settings=settings),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert hint in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_missing_codec_is_refused_with_an_alternative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.codecs_available", {"libx264"})
    with pytest.raises(ConfigError, match="libx265") as caught:
        check_output(tmp_path / "a.mp4", OutputSettings(codec="hevc"), frame_count=6)
    assert "h264" in caught.value.hint
    assert describe_codecs()["codecs"]["hevc"]["encoder"] is None


def test_possible_output_is_described_and_no_file_is_left(tmp_path: Path) -> None:
    descriptions = [
        check_output(tmp_path / "new" / "deep" / name, OutputSettings(), frame_count=6, width_px=641, height_px=359)
        for name in ("a.mp4", "a.webm", "a.gif", "%05d.png")
    ]
    assert descriptions == ["h264 in .mp4", "vp9 in .webm", "animated .gif", "numbered .png images"]
    assert not list(tmp_path.iterdir())


def test_size_beyond_the_format_is_refused(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.webp"):
        with pytest.raises(WriteError) as caught:
            check_output(tmp_path / name, OutputSettings(), frame_count=6, width_px=20_000, height_px=20_000)
        assert "--width" in caught.value.hint


def test_folder_without_write_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is simulated, because the tests may run as root, which may write anywhere."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(WriteError, match="Permission denied") as caught:
        check_output(tmp_path / "a.mp4", OutputSettings(), frame_count=6)
    assert "folder" in caught.value.hint


def test_folder_with_the_name_of_the_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(WriteError, match="is a folder"):
        check_output(tmp_path / "a.mp4", OutputSettings(), frame_count=6)
    with pytest.raises(WriteError):
        write_video(tmp_path / "a.mp4", ramps(6), source=source_of(), settings=FAST)
    assert not leftovers(tmp_path)


def test_codecs_are_described_with_their_containers() -> None:
    found = describe_codecs()
    assert found["codecs"]["h264"] == {"encoder": "libx264", "containers": [".mp4", ".mov", ".mkv"]}
    assert found["containers"][".webm"] == ["vp9", "av1"]
    assert "aac" in found["audio"]


# --- real media -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["phone_rot180_vfr_audio.mp4", "bbb_vp8_cuts_fadein.webm"])
def test_real_sound_and_timing_are_kept(tmp_path: Path, data: Callable[[str], Path], name: str) -> None:
    file = data(f"video/{name}")
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        time_base = stream.time_base
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)[5:22]
    source = source_of(tuple(stamps[:-1]), time_base=time_base, last=stamps[-1] - stamps[-2], sound=file)
    path = write_video(tmp_path / "a.mp4", ramps(16, 32, 32), source=source, settings=FAST)
    assert read_back(path)[1] == times_of(source)
    assert read_back(path)[2] == pytest.approx(source.duration_s, abs=1e-6)
    _, begin, end, _ = listen(path)
    assert begin == pytest.approx(0, abs=0.01)
    assert end == pytest.approx(source.duration_s, abs=0.03)
