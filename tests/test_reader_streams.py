"""Videos with several streams, open GOPs, edit lists, mirrored frames, and fewer frames a second."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.config.settings import InputSettings
from pipeline.errors import InputError
from pipeline.media.image.transfer import linear_from_srgb, srgb_from_linear
from pipeline.media.reader import decode
from pipeline.media.reader.pixels import blend
from pipeline.media.reader.source import probe
from pipeline.media.reader.thumbnails import Thumbnails
from tests.support.cameras import (
    woven,
    write_interlaced,
    write_streams,
)
from tests.support.clips import moving_square, write_video
from tests.support.reading import COUNT, FRAMES, MS, SETTINGS, UNEVEN, pixels, read_from_everywhere

Data = Callable[[str], Path]
MOMENTS = moving_square(24, size=(96, 64), step_px=3)


# Streams


def test_stream_can_be_chosen(tmp_path: Path) -> None:
    clips = [moving_square(4, seed=7), moving_square(3, size=(64, 48))]
    path = write_streams(tmp_path / "a.mkv", clips, default=1)
    source = probe([path], SETTINGS)
    assert source.stream_index == 1
    assert "not stream 0 of 48x32; --set input.stream" in source.notes[0]
    first = InputSettings(stream=0)
    np.testing.assert_array_equal(read_from_everywhere(probe([path], first), first), clips[0])
    with pytest.raises(InputError, match="stream 7 is no video") as caught:
        probe([path], InputSettings(stream=7))
    assert "stream=0" in (caught.value.hint or "")


def test_many_streams_are_not_all_listed(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "a.mkv", [FRAMES[:1]] * 40)
    (note, *_) = probe([path], SETTINGS).notes
    assert "and 35 more" in note
    assert len(note) < 300


def test_audio_and_cover_art_are_no_stream_to_choose(data: Data) -> None:
    path = data("video/testsrc_cover_art.mp4")
    source = probe([path], SETTINGS)
    with av.open(str(path)) as container:
        others = [stream.index for stream in container.streams if stream.index != source.stream_index]
    for index in others:
        with pytest.raises(InputError, match=f"stream {index} is no video"):
            probe([path], InputSettings(stream=index))


# Time and size


@pytest.mark.parametrize("settings", [SETTINGS, InputSettings(deinterlace="always")], ids=["plain", "deinterlaced"])
def test_size_that_changes_is_scaled_to_the_first_one(tmp_path: Path, settings: InputSettings) -> None:
    clips = [moving_square(5), moving_square(5, size=(96, 64))]
    parts = [write_video(tmp_path / f"{number}.h264", clip) for number, clip in enumerate(clips)]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = probe([path], settings)
    assert (source.width_px, source.height_px, source.frame_count) == (48, 32, 10)
    assert "The frame size changes at frame 5; all frames are scaled to the first one's." in source.notes
    whole = read_from_everywhere(source, settings)
    halves = [frame.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3)) for frame in clips[1]]
    for image, expected in zip(whole, [*clips[0], *halves], strict=True):
        assert np.abs(image - expected.astype(float)).mean() < 3


def test_open_gop_reads_the_same_from_everywhere(tmp_path: Path) -> None:
    options = {"qp": "20", "bf": "3", "x264-params": "open-gop=1:keyint=5:min-keyint=5:scenecut=0:b-adapt=0"}
    source = probe([write_video(tmp_path / "a.mp4", MOMENTS, options=options)], SETTINGS)
    assert source.frame_count == len(MOMENTS)
    read_from_everywhere(source)


def test_leading_frames_without_their_reference_are_not_shown(tmp_path: Path) -> None:
    options = {"qp": "20", "bf": "3", "x264-params": "open-gop=1:keyint=5:min-keyint=5:scenecut=0:b-adapt=0"}
    whole = write_video(tmp_path / "whole.mkv", MOMENTS, options=options)
    full = pixels(probe([whole], SETTINGS))
    cut = tmp_path / "cut.mkv"
    begun = False
    with av.open(str(whole)) as given, av.open(str(cut), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            begun |= packet.is_keyframe and (packet.pts or 0) > 100
            if begun and packet.size:
                packet.stream = stream
                made.mux(packet)
    source = probe([cut], InputSettings(on_damaged="skip"))
    shown = read_from_everywhere(source, InputSettings(on_damaged="skip"))
    # What is shown is a run of the whole clip up to its end, apart from the leading frames.
    np.testing.assert_array_equal(shown[-15:], full[-15:])


def test_frames_before_an_edit_list_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    stamps = [40 * i - 120 for i in range(COUNT)]
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    write_video(path, FRAMES, time_base=MS, pts=stamps, container_options=options)
    source = probe([path], SETTINGS)
    whole = read_from_everywhere(source)
    assert source.frame_count == COUNT - 3
    assert source.pts[0] == 0
    assert np.abs(whole[0].astype(float) - FRAMES[3]).mean() < 1


def test_stamps_may_begin_late(tmp_path: Path) -> None:
    first = 12_345
    stamps = [1000 * first + 40 * i for i in range(COUNT)]
    path = write_video(tmp_path / "a.mkv", FRAMES, time_base=MS, pts=stamps)
    source = probe([path], SETTINGS, frames=(3, 9))
    assert source.frame_count == 6
    assert (source.pts[1] - source.pts[0]) * source.time_base == Fraction(1, 25)
    assert source.pts[0] * source.time_base == first + Fraction(120, 1000)
    np.testing.assert_array_equal(read_from_everywhere(source), pixels(probe([path], SETTINGS))[3:9])


@pytest.mark.parametrize(("turn", "flip"), [(0, True), (90, True), (180, True), (270, True), (90, False)])
def test_display_matrices_that_mirror(tmp_path: Path, turn: int, flip: bool) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES, rotation_deg=turn, hflip=flip)
    plain = pixels(probe([write_video(tmp_path / "b.mp4", FRAMES)], SETTINGS))[0]
    shown = pixels(probe([path], SETTINGS))[0]
    possible = [np.rot90(image, k) for image in (plain, plain[:, ::-1]) for k in range(4)]
    (match,) = [at for at, image in enumerate(possible) if np.array_equal(image, shown)]
    assert (match >= 4) == flip
    assert match % 2 == turn // 90 % 2


# Fewer frames a second


def test_blending_averages_light() -> None:
    dark, bright = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 255, np.uint8)
    assert (blend(iter([dark, bright])) == 188).all()  # sRGB of half the light
    np.testing.assert_array_equal(blend(iter([FRAMES[0]] * 5)), FRAMES[0])
    deep = blend(iter([dark.astype(np.uint16), np.full((2, 3, 3), 65535, np.uint16)]))
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - 187.5).max() < 0.5


def test_rate_can_blend_the_frames_of_each_tick(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES, rate=24)
    settings = InputSettings(rate="blend")
    own = pixels(probe([path], SETTINGS))
    source = probe([path], settings, fps=Fraction(6))
    assert source.decoded_indices == (0, 4, 8, 12)
    assert source.blended == (4, 4, 4, 2)
    assert any("averaged" in note for note in source.notes)
    whole = read_from_everywhere(source, settings)
    for image, first, count in zip(whole, source.decoded_indices, source.blended, strict=True):
        light = linear_from_srgb(np.stack(own[first : first + count]).astype(np.float32) / np.float32(255)).mean(axis=0)
        assert np.abs(image - 255 * srgb_from_linear(light)).max() < 0.6
    assert probe([path], settings).blended == ()
    assert probe([path], settings, fps=Fraction(24)).blended == ()
    assert probe([path], SETTINGS, fps=Fraction(6)).blended == ()


def test_frames_of_a_part_are_blended_with_none_that_the_part_leaves_out(tmp_path: Path) -> None:
    settings = InputSettings(rate="blend")
    path = write_video(tmp_path / "a.mp4", FRAMES, rate=24)
    part = probe([path], settings, frames=(5, 11), fps=Fraction(6))
    assert (part.decoded_indices, part.blended) == ((5, 9), (4, 2))
    read_from_everywhere(part, settings)
    assert probe([path], settings, frames=(5, 11)).blended == ()
    assert probe([path], settings, frames=(1, None, 2), fps=Fraction(6)).blended == ()  # those between are left out


def test_blending_an_uneven_clip_uses_every_frame_once(tmp_path: Path) -> None:
    settings = InputSettings(rate="blend")
    path = write_video(tmp_path / "a.mkv", FRAMES, time_base=MS, pts=UNEVEN)
    source = probe([path], settings, fps=Fraction(10))
    taken = [at + k for at, count in zip(source.decoded_indices, source.blended, strict=True) for k in range(count)]
    assert taken == list(range(COUNT))
    with Thumbnails(16) as thumbnails:
        probe([path], settings, fps=Fraction(10), thumbnails=thumbnails)
        width, height = thumbnails.size
        small = pixels(source, settings, width_px=width, height_px=height, thumbnails=thumbnails)
        np.testing.assert_array_equal(small, pixels(source, settings, width_px=width, height_px=height))


def test_deinterlacing_and_blending_work_together_past_a_failed_seek(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = InputSettings(rate="blend")
    path = write_interlaced(tmp_path / "a.mkv", woven(MOMENTS))
    source = probe([path], settings, fps=Fraction(10))
    assert source.interlaced
    assert max(source.blended) == 3
    whole = read_from_everywhere(source, settings)

    def lost(*_: object) -> Any:
        raise decode._LostFrameError("the container cannot seek")

    monkeypatch.setattr(decode, "_by_stamp", lost)
    np.testing.assert_array_equal(pixels(source, settings, start=2), whole[2:])
