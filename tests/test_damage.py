"""Frames that cannot be decoded, in every kind of input: they are named, and left out or repeated as set."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.config.settings import InputSettings
from pipeline.errors import DamagedInputError, InputError, MissingPartError
from pipeline.media.reader.damage import fill
from pipeline.media.reader.source import content_digest, probe, read_frames
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.types import Frame, Source
from tests.support.clips import (
    blank_half_packet,
    damage_packet,
    flip_bit,
    moving_square,
    set_prores_matrix,
    texture,
    truncate,
    write_animation,
    write_photos,
    write_video,
)

COUNT = 12
FRAMES = moving_square(COUNT, size=(96, 64))
SMALL = {"qp": "20", "g": "6", "bf": "0"}
Data = Callable[[str], Path]


def input_settings(policy: str) -> InputSettings:
    return InputSettings.model_validate({"on_damaged": policy})


def read(source: Source, policy: str, **options: Any) -> list[Frame]:
    return list(read_frames(source, settings=input_settings(policy), **options))


# A frame in the middle that cannot be decoded, in every kind of input

VIDEOS: dict[str, dict[str, Any]] = {
    "a.mp4": {"pix_fmt": "yuv420p", "options": SMALL},
    "b-frames.mp4": {"pix_fmt": "yuv420p", "options": SMALL | {"bf": "2"}},
    "a.mkv": {"pix_fmt": "yuv420p", "options": SMALL},
    "vp8.webm": {"codec": "libvpx", "pix_fmt": "yuv420p", "options": {"g": "6"}},
    "vp9.webm": {"codec": "libvpx-vp9", "pix_fmt": "yuv420p", "options": {"g": "6"}},
    "mpeg4.avi": {"codec": "mpeg4", "pix_fmt": "yuv420p", "options": {"g": "6"}},
    "raw.h264": {"pix_fmt": "yuv420p", "options": SMALL},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv444p10le"},
    "ffv1.mkv": {"codec": "ffv1", "pix_fmt": "bgr0", "options": {"g": "1"}},
}
PHOTOS = ("png", "jpg", "webp", "tiff", "gif", "bmp")
WAYS = ("list", "folder", "glob", "pattern")
YCGCO = 8
"""The code point of a color matrix that FFmpeg does not convert to RGB."""
BROKEN = 8
"""The frame that is damaged; for the AVI, whose time stamps start at 1, too."""


def make_damaged(name: str, folder: Path) -> list[Path]:
    if name in VIDEOS:
        return [damage_packet(write_video(folder / name, FRAMES, **VIDEOS[name]), BROKEN)]
    suffix, way = name.split("-")
    photos = write_photos(folder / "in", FRAMES, pattern=f"p{{:03d}}.{suffix}")
    truncate(photos[BROKEN], 0.6)
    inside = folder / "in"
    return {"list": photos, "folder": [inside], "glob": [inside / "*"], "pattern": [inside / f"p%03d.{suffix}"]}[way]


DAMAGED = [*VIDEOS, *(f"{suffix}-folder" for suffix in PHOTOS), *(f"png-{way}" for way in WAYS if way != "folder")]


@pytest.fixture(scope="module", params=DAMAGED)
def damaged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_damaged(request.param, tmp_path_factory.mktemp("damaged"))


class TestDamagedFrame:
    """A damaged frame in every kind of input."""

    def test_stop_reads_up_to_it_and_names_it(self, damaged: list[Path]) -> None:
        try:
            source = probe(damaged, input_settings("stop"))
        except InputError as error:  # of photos some damage is found by probe
            assert damaged[0].suffix not in {Path(name).suffix for name in VIDEOS}
            assert f"p{BROKEN + 1:03d}" in error.message
            assert "input.on_damaged" in error.hint
            return
        assert source.frame_count == COUNT
        indices = []
        with pytest.raises(InputError, match=rf"frame {BROKEN}\b") as caught:
            for frame in read_frames(source, settings=input_settings("stop")):
                indices.append(frame.index)
        assert indices == list(range(BROKEN))
        assert "input.on_damaged=hold" in caught.value.hint
        assert caught.value.exit_code == 4
        assert Path(source.files[0]).parent.name in caught.value.message
        if source.kind == "video":
            assert f"frame {BROKEN} (" in " ".join(source.notes)
        assert [frame.index for frame in read(source, "stop", start=BROKEN + 1)] == list(range(BROKEN + 1, COUNT))

    def test_hold_repeats_the_frame_before(self, damaged: list[Path]) -> None:
        source = probe(damaged, input_settings("hold"))
        assert source.frame_count == COUNT
        assert any(f"frame {BROKEN} (" in note and "shown again" in note for note in source.notes)
        frames = read(source, "hold")
        np.testing.assert_array_equal(frames[BROKEN].rgb, frames[BROKEN - 1].rgb)
        assert (frames[BROKEN + 1].rgb != frames[BROKEN].rgb).any()

    def test_skip_leaves_it_out(self, damaged: list[Path]) -> None:
        repeated, source = (probe(damaged, input_settings(policy)) for policy in ("hold", "skip"))
        assert source.frame_count == COUNT - 1
        assert any(f"frame {BROKEN} (" in note and "left out" in note for note in source.notes)
        frames, others = read(source, "skip"), read(repeated, "hold")
        del others[BROKEN]
        for frame, other in zip(frames, others, strict=True):
            np.testing.assert_array_equal(frame.rgb, other.rgb)
        if source.kind == "video":  # what is left keeps its time, beside the audio
            assert source.pts == repeated.pts[:BROKEN] + repeated.pts[BROKEN + 1 :]
        assert all(a < b for a, b in pairwise(source.pts))
        assert source.duration_s == pytest.approx(repeated.duration_s, rel=0.1)

    @pytest.mark.parametrize("policy", ["hold", "skip"])
    def test_reading_from_any_frame_gives_the_same_pixels(self, damaged: list[Path], policy: str) -> None:
        source = probe(damaged, input_settings(policy))
        assert content_digest(source) == source.digest
        whole = read(source, policy)
        for start in range(source.frame_count):
            part = read(source, policy, start=start, stop=min(start + 2, source.frame_count))
            for frame in part:
                np.testing.assert_array_equal(frame.rgb, whole[frame.index].rgb)

    @pytest.mark.parametrize("policy", ["stop", "hold", "skip"])
    def test_thumbnails_are_the_small_frames_that_reading_gives(self, damaged: list[Path], policy: str) -> None:
        def all_frames(thumbnails: Thumbnails | None) -> tuple[list[Frame], str]:
            frames: list[Frame] = []
            try:
                source = probe(damaged, input_settings(policy), thumbnails=thumbnails)
                for frame in read_frames(
                    source, width_px=16, height_px=11, settings=input_settings(policy), thumbnails=thumbnails
                ):
                    frames.append(frame)
            except InputError as error:
                return frames, str(error)
            return frames, ""

        with Thumbnails(16) as thumbnails:
            kept, error = all_frames(thumbnails)
            assert thumbnails.size == ((16, 11) if damaged[0].name in VIDEOS else (0, 0))
        decoded, same_error = all_frames(None)
        assert error == same_error
        for frame, other in zip(kept, decoded, strict=True):
            np.testing.assert_array_equal(frame.rgb, other.rgb)

    def test_slice_counts_the_damaged_frame(self, damaged: list[Path]) -> None:
        repeated = probe(damaged, input_settings("hold"), frames=(BROKEN, BROKEN + 2))
        assert repeated.frame_count == 2
        whole = read(probe(damaged, input_settings("hold")), "hold")
        for frame, other in zip(read(repeated, "hold"), whole[BROKEN:], strict=False):
            np.testing.assert_array_equal(frame.rgb, other.rgb)
        skipped = probe(damaged, input_settings("skip"), frames=(BROKEN, BROKEN + 2))
        assert skipped.frame_count == 1
        np.testing.assert_array_equal(read(skipped, "skip")[0].rgb, whole[BROKEN + 1].rgb)
        beside = probe(damaged, input_settings("stop"), frames=(0, BROKEN))
        assert len(read(beside, "stop")) == BROKEN  # damage outside the range does not matter
        with pytest.raises(InputError, match="not one"):
            probe(damaged, input_settings("skip"), frames=(BROKEN, BROKEN + 1))


@pytest.mark.parametrize("policy", ["hold", "skip"])
@pytest.mark.parametrize("name", ["a.mp4", "mjpeg.mov", "png-folder"])
def test_damaged_first_and_last_frames_are_repeated_or_left_out(tmp_path: Path, name: str, policy: str) -> None:
    if name in VIDEOS:
        path = write_video(tmp_path / name, FRAMES, **VIDEOS[name])
        damage_packet(damage_packet(path, 0), COUNT - 1)
    else:
        photos = write_photos(tmp_path / "in", FRAMES)
        for photo in (photos[0], photos[-1]):
            photo.write_bytes(b"" if policy == "hold" else b"<html>")
        path = tmp_path / "in"
    source = probe([path], input_settings(policy))
    frames = read(source, policy)
    lost = 6 if name == "a.mp4" else 1  # without its key frame nothing of the first group can be decoded
    assert len(frames) == COUNT if policy == "hold" else COUNT - lost - 1
    if policy == "hold":
        for index in range(lost):
            np.testing.assert_array_equal(frames[index].rgb, frames[lost].rgb)
        np.testing.assert_array_equal(frames[-1].rgb, frames[-2].rgb)


def test_chosen_rate_continues_past_damage(tmp_path: Path) -> None:
    path = damage_packet(write_video(tmp_path / "a.mp4", FRAMES, **VIDEOS["a.mp4"]), BROKEN)
    for policy in ("hold", "skip"):
        source = probe([path], input_settings(policy), fps=Fraction(12))
        assert len(read(source, policy)) == source.frame_count == COUNT // 2
    stopped = probe([path], input_settings("stop"), fps=Fraction(12))
    with pytest.raises(InputError, match=f"frame {BROKEN // 2}, which is number {BROKEN} of the input, at 0.333 s"):
        read(stopped, "stop")


def test_frame_concealed_by_the_decoder_is_shown_with_stop_and_not_with_hold_or_skip(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES, **VIDEOS["a.mp4"])
    blank_half_packet(path, BROKEN)
    source = probe([path], input_settings("stop"))
    assert len(read(source, "stop")) == COUNT
    assert f"concealed by the decoder, first {BROKEN} (0.333 s)" in source.notes[0]
    repeated = read(probe([path], input_settings("hold")), "hold")
    np.testing.assert_array_equal(repeated[BROKEN].rgb, repeated[BROKEN - 1].rgb)
    assert probe([path], input_settings("skip")).frame_count == COUNT - 1


@pytest.mark.parametrize("group", ["1", "4"])
@pytest.mark.parametrize("seed", range(4))
def test_ffv1_frame_with_wrong_checksum_counts_as_damaged(tmp_path: Path, group: str, seed: int) -> None:
    """FFmpeg covers the slice with the frame before, or with what is in memory, and reports nothing."""
    path = write_video(tmp_path / "a.mkv", FRAMES, codec="ffv1", pix_fmt="bgr0", options={"g": group, "slicecrc": "1"})
    flip_bit(path, BROKEN, int(np.random.default_rng(seed).integers(100, 1000)))
    count = 1 if group == "1" else 4  # the frames after it in its group go on with the state of its coder
    stopped = probe([path], input_settings("stop"))
    assert stopped.damaged == tuple(range(BROKEN, BROKEN + count))
    repeated = probe([path], input_settings("hold"))
    whole = read(repeated, "hold")
    for index in range(BROKEN, BROKEN + count):
        np.testing.assert_array_equal(whole[index].rgb, whole[BROKEN - 1].rgb)
    for start in range(COUNT):
        np.testing.assert_array_equal(read(repeated, "hold", start=start, stop=start + 1)[0].rgb, whole[start].rgb)
    assert probe([path], input_settings("stop"), frames=(0, BROKEN)).damaged == ()


def test_ffv1_without_checksums_is_read_in_full(tmp_path: Path) -> None:
    for number, options in enumerate(({"slicecrc": "0"}, {"level": "1"}, {"slices": "9", "g": "5"})):
        path = write_video(tmp_path / f"{number}.mkv", FRAMES, codec="ffv1", pix_fmt="bgr0", options=options)
        source = probe([path], input_settings("stop"))
        assert not source.damaged and source.stream_pts and not source.notes
        np.testing.assert_array_equal(read(source, "stop")[BROKEN].rgb, FRAMES[BROKEN])


def test_undefined_color_matrix_is_read_as_unstated(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mov", FRAMES, **VIDEOS["prores.mov"])
    for number in range(COUNT):
        set_prores_matrix(path, number, 2)
    unstated = read(probe([path], input_settings("stop")), "stop")
    for number in range(COUNT):
        set_prores_matrix(path, number, 99)
    source = probe([path], input_settings("stop"))
    assert source.damaged == ()
    for frame, expected in zip(read(source, "stop"), unstated, strict=True):
        np.testing.assert_array_equal(frame.rgb, expected.rgb)


def test_frame_with_a_color_matrix_that_cannot_be_converted_counts_as_damaged(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mov", FRAMES, **VIDEOS["prores.mov"])
    set_prores_matrix(path, BROKEN, YCGCO)
    assert probe([path], input_settings("stop")).damaged == (BROKEN,)
    repeated = probe([path], input_settings("hold"))
    whole = read(repeated, "hold")
    np.testing.assert_array_equal(whole[BROKEN].rgb, whole[BROKEN - 1].rgb)
    np.testing.assert_array_equal(read(repeated, "hold", start=BROKEN)[0].rgb, whole[BROKEN].rgb)
    assert len(read(probe([path], input_settings("skip")), "skip")) == COUNT - 1
    for number in range(COUNT):
        set_prores_matrix(path, number, YCGCO)
    for policy in ("stop", "hold", "skip"):
        with pytest.raises(InputError, match=f"matrix number {YCGCO}"):
            probe([path], input_settings(policy))


def test_real_damaged_video_is_read_up_to_its_damage_or_past_it(data: Data) -> None:
    path = data("broken/found_corrupted_decord.mp4")
    source = probe([path], input_settings("stop"))
    assert source.frame_count == 50
    assert "found_corrupted_decord.mp4: frame 30 (3.000 s) cannot be decoded" in source.notes[0]
    frames = []
    with pytest.raises(InputError, match=r"frame 30 at 3\.000 s"):
        for frame in read_frames(source, width_px=160, settings=input_settings("stop")):
            frames.append(frame.index)
    assert frames == list(range(30))
    assert len(read(probe([path], input_settings("hold")), "hold", width_px=160)) == 50
    assert len(read(probe([path], input_settings("skip")), "skip", width_px=160)) == 48


@pytest.mark.parametrize("policy", ["stop", "hold", "skip"])
def test_truncated_video_is_read_up_to_its_end(tmp_path: Path, policy: str) -> None:
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("a.mp4", {"options": SMALL, "container_options": {"movflags": "+faststart"}}),
        ("a.webm", {"codec": "libvpx-vp9", "options": {"g": "6"}}),
    ]
    for name, options in wanted:
        path = truncate(write_video(tmp_path / name, FRAMES, pix_fmt="yuv420p", **options), 0.6)
        source = probe([path], input_settings(policy))
        assert 1 < source.frame_count < COUNT
        assert len(read(source, policy)) == source.frame_count
        assert any("breaks off" in note or "cut off" in note for note in source.notes)


def test_animation_ends_at_its_damage(tmp_path: Path) -> None:
    for name in ("a.gif", "a.apng", "a.webp"):
        path = write_animation(tmp_path / name, FRAMES, [40] * COUNT)
        truncate(path, 0.6)
        try:
            source = probe([path], input_settings("hold"))
        except InputError as error:
            assert name == "a.webp" and error.hint  # libwebp wants the whole file
            continue
        assert 0 < source.frame_count < COUNT
        assert len(read(source, "hold")) == source.frame_count
        assert "can be read" in source.notes[0]


def test_undamaged_input_is_the_same_with_every_policy(tmp_path: Path) -> None:
    inputs = [
        [write_video(tmp_path / "a.mp4", FRAMES)],
        write_photos(tmp_path / "in", FRAMES),
        [write_animation(tmp_path / "a.gif", FRAMES, [40] * COUNT)],
    ]
    for given_inputs in inputs:
        sources = {policy: probe(given_inputs, input_settings(policy)) for policy in ("stop", "hold", "skip")}
        assert sources["stop"] == sources["hold"] == sources["skip"]


def test_damage_of_photos_taken_at_known_times(tmp_path: Path) -> None:
    for number, second in enumerate((5, 4, 3, 2, 1)):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2024:05:04 10:00:0{second}"
        Image.fromarray(texture((24, 16), number)).save(tmp_path / f"p{number}.jpg", exif=exif)
    (tmp_path / "p3.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    source = probe([tmp_path], input_settings("hold"))
    assert source.order == "capture time"
    # p3 has no capture time: it follows p2, the one before it by name, which is shown again
    assert [Path(source.files[index]).name for index in source.decoded_indices] == [
        "p4.jpg",
        "p2.jpg",
        "p2.jpg",
        "p1.jpg",
        "p0.jpg",
    ]
    assert probe([tmp_path], input_settings("skip")).frame_count == 4


def test_missing_raw_and_empty_files_are_refused_with_every_policy(tmp_path: Path) -> None:
    photos = write_photos(tmp_path, FRAMES[:3])
    for policy in ("hold", "skip"):
        with pytest.raises(InputError, match="no such file"):
            probe([*photos, tmp_path / "gone.png"], input_settings(policy))
    (tmp_path / "z.jpg").write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(50))
    with pytest.raises((DamagedInputError, MissingPartError)):
        probe([tmp_path], input_settings("stop"))
    for photo in tmp_path.iterdir():
        photo.write_bytes(b"")
    with pytest.raises(DamagedInputError, match="not one of 4 photos"):
        probe([tmp_path], input_settings("skip"))


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_hold_fills_every_gap_with_a_frame_beside_it(good: list[bool]) -> None:
    positions = iter(range(len(good)))
    indices = [next(positions) if fine else None for fine in good]
    assert fill(indices, "skip") == fill(indices, "stop") == indices
    repeated = fill(indices, "hold")
    if any(good):
        known = [index for index in repeated if index is not None]
        assert len(known) == len(good) and known == sorted(known)
        assert {*known} == {*range(sum(good))}
    else:
        assert repeated == indices
