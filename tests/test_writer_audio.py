"""Audio of written videos: in sync, from the right part of the source, and left out where it is not wanted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from pipeline.config.settings import OutputSettings
from pipeline.errors import ConfigError, InputError
from pipeline.media.writer.output import write_video
from pipeline.media.writer.stretch import stretched
from pipeline.media.writer.time_map import AS_RECORDED, TimeMap
from tests.support.clicks import clip_with_clicks, listen
from tests.support.written import FAST, ramps, read_back, source_of, times_of

if TYPE_CHECKING:
    from collections.abc import Callable


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
def test_audio_stays_in_sync(
    tmp_path: Path, clips: Callable[[str], Path], codec: str, suffix: str, result: str, start: int
) -> None:
    """Also when `--frames 13:70` begins half a second into the file: the click at 1 s is then heard at 0.48 s."""
    stop = 70 if start else 75
    source = source_of(tuple(range(start, stop)), audio=clips(codec))
    path = write_video(tmp_path / f"a{suffix}", ramps(stop - start, 32, 32), source=source, settings=FAST)
    clicks, begin, end, name = listen(path)
    assert name == result
    assert read_back(path)[1][0] == 0
    assert clicks == pytest.approx([1 - start / 25, 2 - start / 25], abs=0.0025)
    # copied packets are whole, and only edit lists can hide a part of the first one: 4608 samples of FLAC are 96 ms
    assert 0 <= begin <= (0.05 if suffix in {".mp4", ".mov"} else 0.1)
    assert end == pytest.approx(source.duration_s, abs=0.05 if codec == "flac" else 0.015)


def test_audio_before_the_first_frame_is_left_out(tmp_path: Path) -> None:
    """A video whose first frame comes 0.4 s after its audio: the audio before it is left out."""
    clip = clip_with_clicks(tmp_path / "late.mkv", "pcm_s16le", first_pts=10)
    source = source_of(tuple(range(10, 75)), audio=clip)
    path = write_video(tmp_path / "a.mp4", ramps(65, 32, 32), source=source, settings=FAST)
    assert listen(path)[0] == pytest.approx([0.6, 1.6], abs=0.002)


def test_output_is_silent_if_set_if_retimed_and_without_a_track(tmp_path: Path, clips: Callable[[str], Path]) -> None:
    source = source_of(tuple(range(10)), audio=clips("aac"))
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


# Another speed


def map_of(*pairs: tuple[float, float]) -> TimeMap:
    return TimeMap(tuple(Fraction(t) for t, _ in pairs), tuple(Fraction(s) for _, s in pairs))


def test_time_map_is_piecewise_linear_and_goes_on_at_full_speed() -> None:
    ramp = map_of((0, 1), (2, 2), (3, 4))
    assert [ramp.input_at(t) for t in (0, 1, 2, 2.5, 3, 4)] == [1, 1.5, 2, 3, 4, 5]
    assert [ramp.speed_at(t) for t in (0, 1.9, 2, 3)] == [0.5, 0.5, 2, 1]
    assert not ramp.plain
    assert map_of((0, 1), (2, 3)).plain
    assert AS_RECORDED.plain


@pytest.mark.parametrize("pairs", [((1, 0), (2, 1)), ((0, 0), (1, 1), (1, 2)), ((0, 2), (1, 1))])
def test_time_map_that_runs_backward_is_a_value_error(pairs: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="time"):
        map_of(*pairs)


def blocks_of(audio: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    return (audio[:, start : start + 1024] for start in range(0, audio.shape[1], 1024))


def test_stretching_keeps_the_pitch_and_the_loudness() -> None:
    """A tone of 440 Hz at half, full and double speed, in one map, and nothing behind the end of the input."""
    tone = np.sin(2 * np.pi * 440 * np.arange(4 * 8000) / 8000).astype(np.float32)[None].repeat(2, axis=0)
    ramp = map_of((0, 0), (2, 1), (3, 2), (4, 4))
    result = np.concatenate(list(stretched(blocks_of(tone), ramp, rate=8000, length=5 * 8000, channels=2)), axis=1)
    assert result.shape == (2, 5 * 8000)
    for second in range(4):
        inside = result[0, second * 8000 + 400 : (second + 1) * 8000 - 400]
        assert abs(int(np.abs(np.fft.rfft(inside)).argmax()) * 8000 / len(inside) - 440) < 2
        assert inside.std() == pytest.approx(np.sqrt(0.5), abs=0.02)
    assert np.abs(result[:, 4 * 8000 + 400 :]).max() == 0


def test_stretching_at_full_speed_changes_no_sample() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, (1, 9000)).astype(np.float32)
    result = np.concatenate(
        list(stretched(blocks_of(noise), map_of((0, 0.5)), rate=8000, length=8000, channels=1)), axis=1
    )
    np.testing.assert_allclose(result, noise[:, :8000], atol=1e-6)


def test_held_moment_and_a_rush_are_silent() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(40 * 8000) / 8000).astype(np.float32)[None]
    ramp = map_of((0, 0), (1, 1), (2, 1), (3, 2), (4, 30))
    result = np.concatenate(list(stretched(blocks_of(tone), ramp, rate=8000, length=5 * 8000, channels=1)), axis=1)
    loud = [result[0, second * 8000 + 400 : (second + 1) * 8000 - 400].std() > 0.1 for second in range(5)]
    assert loud == [True, False, True, False, True]


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mov", "pcm_s16le"), (".webm", "libopus")])
def test_audio_follows_a_ramp(tmp_path: Path, clips: Callable[[str], Path], suffix: str, codec: str) -> None:
    """Half speed for 2 s, then double: the click at 1 s of the input is heard at 2 s, that at 2 s at 2.5 s."""
    ramp = map_of((0, 0), (2, 1), (3, 3))
    source = source_of(tuple(range(75)), audio=clips(codec))
    path = write_video(tmp_path / f"a{suffix}", ramps(75, 32, 32), source=source, settings=FAST, time_map=ramp)
    clicks, begin, end, _ = listen(path)
    assert clicks == pytest.approx([2, 2.5], abs=0.03)  # the window around a click may be heard before it
    assert begin == pytest.approx(0, abs=0.03)
    assert end == pytest.approx(3, abs=0.03)


def test_audio_of_a_later_moment_is_copied(tmp_path: Path, clips: Callable[[str], Path]) -> None:
    """A map of one speed is a trim: the packets are those of the input."""
    source = source_of(tuple(range(40)), audio=clips("aac"))
    path = write_video(
        tmp_path / "a.mp4",
        ramps(40, 32, 32),
        source=source,
        settings=OutputSettings(preset="ultrafast", audio="copy"),
        time_map=map_of((0, 0.5)),
    )
    assert listen(path)[0] == pytest.approx([0.5, 1.5], abs=0.0025)


def test_frames_that_run_backward_have_no_audio(
    tmp_path: Path, clips: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    source = source_of(tuple(range(10)), audio=clips("aac"))
    path = write_video(tmp_path / "a.mp4", ramps(10), source=source, settings=FAST, time_map=None)
    with av.open(str(path)) as container:
        assert not container.streams.audio
    assert "no audio" in caplog.text


# What is asked for


def test_audio_that_cannot_be_copied_is_refused_or_encoded(tmp_path: Path, clips: Callable[[str], Path]) -> None:
    source = source_of(tuple(range(75)), audio=clips("libopus"))
    copy, encode = (OutputSettings(preset="ultrafast", audio=audio) for audio in ("copy", "encode"))
    with pytest.raises(ConfigError, match="mp4 does not take opus") as caught:
        write_video(tmp_path / "a.mp4", ramps(75, 32, 32), source=source, settings=copy)
    assert "output.audio=auto" in caught.value.hint
    with pytest.raises(ConfigError, match="speed changes"):
        write_video(
            tmp_path / "a.mkv", ramps(75, 32, 32), source=source, settings=copy, time_map=map_of((0, 0), (3, 2))
        )
    assert not list(tmp_path.iterdir())
    path = write_video(tmp_path / "a.mkv", ramps(75, 32, 32), source=source, settings=encode)
    assert listen(path)[3] == "aac"


def test_default_stream_of_several_is_carried(tmp_path: Path) -> None:
    """Two tones; the second one is the default."""
    clip = tmp_path / "two.mkv"
    with av.open(str(clip), "w") as container:
        video: Any = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "bgr0"
        streams = [container.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(2)]
        streams[0].disposition = av.stream.Disposition(0)
        streams[1].disposition = av.stream.Disposition.default
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        for number, stream in enumerate(streams):
            tone = np.rint(9000 * np.sin(2 * np.pi * (500 + 500 * number) * np.arange(8000) / 8000)).astype(np.int16)
            piece = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 8000, 0, Fraction(1, 8000)
            container.mux(stream.encode(piece))
    path = write_video(
        tmp_path / "a.mkv", ramps(25, 32, 32), source=source_of(tuple(range(25)), audio=clip), settings=FAST
    )
    with av.open(str(path)) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert int(np.abs(np.fft.rfft(heard.astype(float))).argmax()) * 8000 / len(heard) == pytest.approx(1000, abs=2)


def test_damaged_audio_ends_where_the_damage_begins(
    tmp_path: Path, clips: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    data = clips("flac").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 6 // 10])
    path = write_video(tmp_path / "a.mp4", ramps(75), source=source_of(tuple(range(75)), audio=cut), settings=FAST)
    assert len(read_back(path)[0]) == 75
    assert listen(path)[2] < 3


def test_missing_source_of_audio_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="audio") as caught:
        write_video(tmp_path / "a.mp4", ramps(6), source=source_of(audio=tmp_path / "gone.mp4"), settings=FAST)
    assert "output.audio=none" in caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["phone_rot180_vfr_audio.mp4", "bbb_vp8_cuts_fadein.webm"])
def test_real_audio_and_timing_are_kept(tmp_path: Path, data: Callable[[str], Path], name: str) -> None:
    file = data(f"video/{name}")
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        time_base = stream.time_base
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)[5:22]
    source = source_of(tuple(stamps[:-1]), time_base=time_base, last=stamps[-1] - stamps[-2], audio=file)
    path = write_video(tmp_path / "a.mp4", ramps(16, 32, 32), source=source, settings=FAST)
    assert read_back(path)[1] == times_of(source)
    assert read_back(path)[2] == pytest.approx(source.duration_s, abs=1e-6)
    _, begin, end, _ = listen(path)
    assert begin == pytest.approx(0, abs=0.01)
    assert end == pytest.approx(source.duration_s, abs=0.03)
