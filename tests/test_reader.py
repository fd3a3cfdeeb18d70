"""The reader: one contract for every kind of input, wrong input, and real media."""

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

from pipeline.config.settings import InputSettings
from pipeline.errors import InputError, UsageError
from pipeline.media.reader.source import content_digest, probe, read_frames
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.media.reader.timing import parse_fps
from pipeline.types import Source
from tests.support.clips import moving_square, truncate, write_animation, write_photos, write_video
from tests.support.reading import COUNT, FRAMES, MS, SETTINGS, UNEVEN, read

Data = Callable[[str], Path]


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

    def test_source_has_the_properties_of_its_input(self, sample: tuple[str, list[Path], Source]) -> None:
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
            low, high = (4, 4) if source.kind == "photos" else (23, 25.01)  # few photos are a burst
            assert low <= source.frame_rate <= high
            assert source.duration_s == pytest.approx(COUNT / source.frame_rate, rel=0.01)

    def test_frames_are_those_that_were_written(self, sample: tuple[str, list[Path], Source]) -> None:
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

    def test_reading_from_any_frame_gives_the_same_pixels(self, sample: tuple[str, list[Path], Source]) -> None:
        """A resumed render must read the same pixels as an uninterrupted one."""
        _, _, source = sample
        whole = read(source)
        for start in range(COUNT):
            part = read(source, start=start, stop=min(start + 3, COUNT))
            assert [frame.index for frame in part] == list(range(start, min(start + 3, COUNT)))
            for frame in part:
                assert frame.pts == source.pts[frame.index]
                np.testing.assert_array_equal(frame.rgb, whole[frame.index].rgb)
        assert read(source, start=COUNT) == []

    def test_thumbnails_are_the_small_frames_that_reading_gives(self, sample: tuple[str, list[Path], Source]) -> None:
        _, inputs, whole = sample
        cases: list[dict[str, Any]] = [{}, {"frames": (3, 9)}, {"fps": Fraction(10)}]
        for options in cases:
            alone = probe(inputs, SETTINGS, **options)
            for longer_side_px in (10, 30, 160):
                with Thumbnails(longer_side_px) as thumbnails:
                    source = probe(inputs, SETTINGS, thumbnails=thumbnails, **options)
                    width, height = thumbnails.size_of(source.width_px, source.height_px)
                    assert max(width, height) == min(longer_side_px, 48)
                    assert thumbnails.holds(source.decoded_indices, (width, height)) == (whole.kind == "video")
                    size = {"width_px": width, "height_px": height}
                    kept = read(source, thumbnails=thumbnails, **size)
                decoded = read(alone, **size)
                assert [frame.index for frame in kept] == [frame.index for frame in decoded]
                for frame, other in zip(kept, decoded, strict=True):
                    assert frame.pts == other.pts
                    np.testing.assert_array_equal(frame.rgb, other.rgb)

    def test_slice_and_rate_choose_frames_of_the_whole(self, sample: tuple[str, list[Path], Source]) -> None:
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
            for frame, index in zip(read(slow), slow.decoded_indices, strict=True):
                np.testing.assert_array_equal(frame.rgb, whole[index].rgb)
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

    def test_frames_are_resized_to_the_requested_size(self, sample: tuple[str, list[Path], Source]) -> None:
        _, _, source = sample
        assert read(source, stop=1, width_px=24)[0].rgb.shape == (16, 24, 3)
        assert read(source, stop=1, height_px=64)[0].rgb.shape == (64, 96, 3)
        assert read(source, stop=1, width_px=10, height_px=20)[0].rgb.shape == (20, 10, 3)

    def test_closed_iterator_closes_the_file(self, sample: tuple[str, list[Path], Source]) -> None:
        _, _, source = sample
        before = len(list(Path("/proc/self/fd").iterdir()))
        frames = read_frames(source, settings=SETTINGS)
        next(frames)
        frames.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_digest_depends_on_content_and_order_only(
        self, sample: tuple[str, list[Path], Source], tmp_path: Path
    ) -> None:
        _, _, source = sample
        assert content_digest(source) == source.digest
        moved = tmp_path / "moved"
        moved.mkdir()
        copies = [shutil.copy(file, moved / Path(file).name) for file in source.files]
        assert probe(copies, SETTINGS).digest == source.digest
        if len(source.files) == 1:
            assert source.digest == hashlib.sha256(Path(source.files[0]).read_bytes()).hexdigest()

    def test_range_outside_the_source_is_a_value_error(self, sample: tuple[str, list[Path], Source]) -> None:
        _, _, source = sample
        for start, stop in [(-1, 2), (3, 2), (0, COUNT + 1)]:
            with pytest.raises(ValueError, match="are not inside"):
                read_frames(source, start=start, stop=stop, settings=SETTINGS)


# Wrong input


def assert_refused(inputs: list[Any], message: str, settings: InputSettings = SETTINGS) -> None:
    with pytest.raises(InputError, match=message) as caught:
        probe(inputs, settings)
    assert caught.value.hint
    assert caught.value.exit_code == 4


def test_missing_empty_and_other_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no input"):
        probe([], SETTINGS)
    assert_refused([""], "is not a path")
    assert_refused([tmp_path / "none.mp4"], "no such file or folder")
    assert_refused([tmp_path / "none" / "*.jpg"], "no file matches")
    assert_refused([tmp_path / "none" / "a%04d.jpg"], "no file matches the pattern")
    assert_refused([tmp_path], "the folder is empty")
    (tmp_path / "notes.txt").write_text("words")
    assert_refused([tmp_path], "expected images, found only 1 other files such as notes.txt")
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert_refused([tmp_path / "empty.mp4"], "is empty")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert_refused([tmp_path / "pipe.mp4"], "is a pipe")
    with pytest.raises(InputError) as caught:
        probe([tmp_path / "photos" / "day1" / "a.jpg"], SETTINGS)
    assert str(tmp_path) in caught.value.hint  # the nearest folder that is there


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_read_permission_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES)
    path.chmod(0)
    assert_refused([path], "cannot be read")


def test_several_inputs_that_are_not_all_photos_are_refused(tmp_path: Path) -> None:
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
        ("mixed_sequence", r"frame_\d+\.jpg: (is empty|the image is cut off)"),
        ("../MANIFEST.md", "found text"),
    ],
)
def test_broken_files_are_refused_at_probe(data: Data, name: str, message: str) -> None:
    assert_refused([data(f"broken/{name}")], message)


def test_playlist_is_refused_as_text_and_nothing_is_fetched(tmp_path: Path) -> None:
    for name, text in [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile /etc/hostname\n"),
        ("art.nfo", "words that FFmpeg would show as a video of a terminal\n"),
    ]:
        (tmp_path / name).write_text(text)
        assert_refused([tmp_path / name], "found text")


def test_file_with_audio_only_is_refused(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(4000))
    assert_refused([tmp_path / "a.wav"], "found only audio")


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert_refused([tmp_path / "a.mp4"], "expected a video")


@pytest.mark.parametrize("fraction", [0.35, 0.6, 0.9])
@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.ts", "a.mp4", "a.avi"])
def test_truncated_video_gives_its_complete_frames(tmp_path: Path, name: str, fraction: float) -> None:
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
    truncate(path, fraction)
    try:
        source = probe([path], SETTINGS)
    except InputError as error:
        assert fraction < 0.5  # hardly anything is left
        assert error.hint
        return
    assert 0 < source.frame_count < 30
    frames = read(source)  # all frames of the plan can be read
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


def test_rates_out_of_range_are_refused_in_the_same_words() -> None:
    for text in ("0", "-24", "1/3601", "0.00001", "1000.1", "10000", "x"):
        with pytest.raises(UsageError, match=f"--fps {text}: expected 1/3600 to 1000 frames per second"):
            parse_fps(text)
    assert [parse_fps("1/3600"), parse_fps("1000")] == [Fraction(1, 3600), Fraction(1000)]


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
    ("video/transparent_vp9_alpha.webm", (200, 200), 150, True, 0, "laid over #ffffff"),
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
def test_real_media_have_their_known_properties_and_can_be_read_from_any_frame(
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


def test_image_named_as_video_is_a_photo(data: Data) -> None:
    source = probe([data("broken/made_jpeg_named.mp4")], SETTINGS)
    assert source.kind == "photos"
    assert source.frame_count == 1
    assert source.frame_rate == 24


@pytest.mark.parametrize(
    "name", ["video/phone_rot90.mov", "video/testsrc_bt709_full_range.mp4", "burst/monstree_iphone"]
)
def test_small_frames_are_the_large_ones_scaled_down(data: Data, name: str) -> None:
    """They are decoded small, which is several times as fast."""
    from pipeline.media.image.arrays import resize

    source = probe([data(name)], SETTINGS)
    large = read(source, stop=2)
    for width in (source.width_px // 9, source.width_px // 5, source.width_px // 3):
        for small, whole in zip(read(source, stop=2, width_px=width), large, strict=True):
            height, width_found = small.rgb.shape[:2]
            assert width_found == width
            difference = np.abs(small.rgb.astype(float) - resize(whole.rgb, width, height))
            assert difference.mean() < 1.5


def test_full_range_test_image_has_pure_colors(data: Data) -> None:
    """FFmpeg's test image begins with bars; white and the primaries must come out pure."""
    rgb = read(probe([data("video/testsrc_bt709_full_range.mp4")], SETTINGS), stop=1)[0].rgb
    assert rgb.min() <= 3
    assert rgb.max() >= 252
