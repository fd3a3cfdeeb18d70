"""Broken and hostile input: damaged frames are named and gone past as asked, and all else ends in an error and a hint.

Every refusal has its exit code, one error and one hint, no traceback, and leaves the folder as it was.
"""

from __future__ import annotations

import os
import pickle
import resource
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from pipeline import cli
from pipeline.config.settings import InputSettings
from pipeline.errors import DamagedInputError, InputError, printable
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
from tests.support.fuzz.cases import KINDS, run_case

COUNT = 12
FRAMES = moving_square(COUNT, size=(96, 64))
QUICK = [
    "--encoder",
    "tiny",
    "--progress",
    "none",
    "--set=output.preset=ultrafast",
    "--set=optimize.cold.evaluations=1",
]
QUICK += ["--set=optimize.warm.evaluations=1", "--set=optimize.warm.min_evaluations=1"]
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
    """What holds for a damaged frame in every kind of input."""

    def test_stop_paints_up_to_it_and_names_it(self, damaged: list[Path]) -> None:
        try:
            source = probe(damaged, input_settings("stop"))
        except InputError as error:  # of photos some damage is found before the first is painted
            assert damaged[0].suffix not in {Path(name).suffix for name in VIDEOS}
            assert f"p{BROKEN + 1:03d}" in error.message
            assert "input.on_damaged" in error.hint
            return
        assert source.frame_count == COUNT
        delivered = []
        with pytest.raises(InputError, match=rf"frame {BROKEN}\b") as caught:
            for frame in read_frames(source, settings=input_settings("stop")):
                delivered.append(frame.index)
        assert delivered == list(range(BROKEN))
        assert "input.on_damaged=hold" in caught.value.hint
        assert caught.value.exit_code == 4
        assert Path(source.files[0]).parent.name in caught.value.message
        if source.kind == "video":
            assert f"frame {BROKEN} (" in " ".join(source.notes)
        assert [frame.index for frame in read(source, "stop", start=BROKEN + 1)] == list(range(BROKEN + 1, COUNT))

    def test_hold_shows_the_one_before_again(self, damaged: list[Path]) -> None:
        source = probe(damaged, input_settings("hold"))
        assert source.frame_count == COUNT
        assert any(f"frame {BROKEN} (" in note and "shown again" in note for note in source.notes)
        frames = read(source, "hold")
        np.testing.assert_array_equal(frames[BROKEN].rgb, frames[BROKEN - 1].rgb)
        assert (frames[BROKEN + 1].rgb != frames[BROKEN].rgb).any()

    def test_skip_leaves_it_out(self, damaged: list[Path]) -> None:
        held, source = (probe(damaged, input_settings(policy)) for policy in ("hold", "skip"))
        assert source.frame_count == COUNT - 1
        assert any(f"frame {BROKEN} (" in note and "left out" in note for note in source.notes)
        frames, others = read(source, "skip"), read(held, "hold")
        del others[BROKEN]
        for frame, other in zip(frames, others, strict=True):
            np.testing.assert_array_equal(frame.rgb, other.rgb)
        if source.kind == "video":  # what is left keeps its time, beside the sound
            assert source.pts == held.pts[:BROKEN] + held.pts[BROKEN + 1 :]
        assert all(a < b for a, b in pairwise(source.pts))
        assert source.duration_s == pytest.approx(held.duration_s, rel=0.1)

    @pytest.mark.parametrize("policy", ["hold", "skip"])
    def test_reading_may_start_anywhere(self, damaged: list[Path], policy: str) -> None:
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

    def test_a_slice_counts_the_damaged_frame(self, damaged: list[Path]) -> None:
        held = probe(damaged, input_settings("hold"), frames=(BROKEN, BROKEN + 2))
        assert held.frame_count == 2
        whole = read(probe(damaged, input_settings("hold")), "hold")
        for frame, other in zip(read(held, "hold"), whole[BROKEN:], strict=False):
            np.testing.assert_array_equal(frame.rgb, other.rgb)
        skipped = probe(damaged, input_settings("skip"), frames=(BROKEN, BROKEN + 2))
        assert skipped.frame_count == 1
        np.testing.assert_array_equal(read(skipped, "skip")[0].rgb, whole[BROKEN + 1].rgb)
        beside = probe(damaged, input_settings("stop"), frames=(0, BROKEN))
        assert len(read(beside, "stop")) == BROKEN  # what is not rendered may be damaged
        with pytest.raises(InputError, match="not one"):
            probe(damaged, input_settings("skip"), frames=(BROKEN, BROKEN + 1))


@pytest.mark.parametrize("policy", ["hold", "skip"])
@pytest.mark.parametrize("name", ["a.mp4", "mjpeg.mov", "png-folder"])
def test_the_first_and_the_last_frame(tmp_path: Path, name: str, policy: str) -> None:
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


def test_a_chosen_rate_goes_past_damage_too(tmp_path: Path) -> None:
    path = damage_packet(write_video(tmp_path / "a.mp4", FRAMES, **VIDEOS["a.mp4"]), BROKEN)
    for policy in ("hold", "skip"):
        source = probe([path], input_settings(policy), fps=Fraction(12))
        assert len(read(source, policy)) == source.frame_count == COUNT // 2
    stopped = probe([path], input_settings("stop"), fps=Fraction(12))
    with pytest.raises(InputError, match=f"frame {BROKEN // 2}, which is number {BROKEN} of the input, at 0.333 s"):
        read(stopped, "stop")


def test_what_the_decoder_patched_is_shown_unless_asked_otherwise(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES, **VIDEOS["a.mp4"])
    blank_half_packet(path, BROKEN)
    source = probe([path], input_settings("stop"))
    assert len(read(source, "stop")) == COUNT
    assert f"patched by the decoder, first {BROKEN} (0.333 s)" in source.notes[0]
    held = read(probe([path], input_settings("hold")), "hold")
    np.testing.assert_array_equal(held[BROKEN].rgb, held[BROKEN - 1].rgb)
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
    held = probe([path], input_settings("hold"))
    whole = read(held, "hold")
    for index in range(BROKEN, BROKEN + count):
        np.testing.assert_array_equal(whole[index].rgb, whole[BROKEN - 1].rgb)
    for start in range(COUNT):
        np.testing.assert_array_equal(read(held, "hold", start=start, stop=start + 1)[0].rgb, whole[start].rgb)
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
    held = probe([path], input_settings("hold"))
    whole = read(held, "hold")
    np.testing.assert_array_equal(whole[BROKEN].rgb, whole[BROKEN - 1].rgb)
    np.testing.assert_array_equal(read(held, "hold", start=BROKEN)[0].rgb, whole[BROKEN].rgb)
    assert len(read(probe([path], input_settings("skip")), "skip")) == COUNT - 1
    for number in range(COUNT):
        set_prores_matrix(path, number, YCGCO)
    for policy in ("stop", "hold", "skip"):
        with pytest.raises(InputError, match=f"matrix number {YCGCO}"):
            probe([path], input_settings(policy))


def test_a_real_damaged_video(data: Data) -> None:
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
def test_a_video_that_breaks_off_is_rendered_as_far_as_it_goes(tmp_path: Path, policy: str) -> None:
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


def test_an_animation_ends_at_its_damage(tmp_path: Path) -> None:
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


def test_good_input_is_read_the_same_whatever_is_asked_for(tmp_path: Path) -> None:
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
    # p3 says nothing of its time: it goes behind p2, its neighbor by name, and shows that
    assert [Path(source.files[pick]).name for pick in source.decoded_indices] == [
        "p4.jpg",
        "p2.jpg",
        "p2.jpg",
        "p1.jpg",
        "p0.jpg",
    ]
    assert probe([tmp_path], input_settings("skip")).frame_count == 4


def test_what_was_never_a_picture_is_no_damage(tmp_path: Path) -> None:
    photos = write_photos(tmp_path, FRAMES[:3])
    for policy in ("hold", "skip"):
        with pytest.raises(InputError, match="no such file"):
            probe([*photos, tmp_path / "gone.png"], input_settings(policy))
        with pytest.raises(InputError, match="raw camera file"):
            (tmp_path / "z.jpg").write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(50))
            probe([tmp_path], input_settings(policy))
    for photo in tmp_path.iterdir():
        photo.write_bytes(b"")
    with pytest.raises(DamagedInputError, match="not one of 4 photos"):
        probe([tmp_path], input_settings("skip"))


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_filling(good: list[bool]) -> None:
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


# Through the command line


@pytest.fixture
def tempera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(texture((48, 48), 7)).save(tmp_path / "paint.png")

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def everything(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def assert_refused(result: tuple[int, str, str], code: int, *words: str) -> None:
    found, out, err = result
    assert found == code, err
    assert out == "" and "Traceback" not in err
    starts = [line.split(":")[0] for line in err.splitlines() if not line.startswith("  ")]
    assert starts.count("error") == starts.count("hint") == 1, err
    assert starts.index("error") < starts.index("hint")
    assert len(err) < 3000
    for word in words:
        assert word in err


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims to be that large, with good checksums."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def claiming(kind: str, size: int) -> bytes:
    """The start of a picture that claims to be `size` px square."""
    if kind == "png":
        return png_claiming(size, size)
    if kind == "gif":
        return (
            b"GIF89a"
            + struct.pack("<HH", size, size)
            + b"\x80\0\0"
            + bytes(6)
            + b",\0\0\0\0"
            + struct.pack("<HH", size, size)
            + b"\0\2\2L\1\0;"
        )
    if kind == "bmp":
        return b"BM" + struct.pack("<IIIIIIHHIIIIII", 90, 0, 54, 40, size, size, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(40)
    if kind == "ppm":
        return f"P6\n{size} {size}\n255\n".encode() + bytes(100)
    if kind == "jpg":
        frame = struct.pack(">BHHB", 8, size, size, 1) + b"\1\x11\0"
        return (
            b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xda\0\x08\1\1\0\0\x3f\0\0\xff\xd9"
        )
    entries = [(256, 4, size), (257, 4, size), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    entries += [(278, 4, size), (279, 4, size * size)]
    table = b"".join(struct.pack("<HHII", tag, kind_, 1, value) for tag, kind_, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4)


@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "ppm", "jpg", "tiff"])
def test_pictures_that_claim_60000_px(tempera: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    (tmp_path / f"huge.{kind}").write_bytes(claiming(kind, 60_000))
    before, memory = everything(tmp_path), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for arguments in (["render", f"huge.{kind}", "-s", "paint.png"], ["render", "paint.png", "-s", f"huge.{kind}"]):
        result = tempera(*arguments, *QUICK, "-o", "o.png")
        assert_refused(result, result[0], f"huge.{kind}", "60000x60000 px is too large")
        assert result[0] in (3, 4)
    assert_refused(tempera("probe", f"huge.{kind}"), 4, "too large")
    assert everything(tmp_path) == before
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert grown_kb < 500_000


SPECIAL: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "endless noise": lambda path: path.symlink_to("/dev/urandom"),
    "link in a circle": lambda path: path.symlink_to(path.name),
    "link to nowhere": lambda path: path.symlink_to("nowhere"),
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.touch(),
    "zero bytes": lambda path: path.write_bytes(bytes(5000)),
    "web page": lambda path: path.write_text("<!DOCTYPE html><title>404</title>"),
    "archive": lambda path: path.write_bytes(b"PK\3\4" + bytes(100)),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
}


@pytest.mark.parametrize("what", SPECIAL)
def test_things_named_like_media_configs_and_weights(tempera: Callable[..., Any], tmp_path: Path, what: str) -> None:
    names = ("clip.mp4", "photo.jpg", "style.yaml", "net.pth", "net.safetensors")
    for name in names:
        SPECIAL[what](tmp_path / name)
    write_photos(tmp_path / "photos", FRAMES[:2])
    SPECIAL[what](tmp_path / "photos/p000.png")
    before = everything(tmp_path)
    for name in names[:2]:
        assert_refused(tempera("render", name, "-s", "paint.png", *QUICK), 4, name)
        assert_refused(tempera("probe", name), 4, name)
    for style in names[1:3]:
        assert_refused(tempera("render", "photos/shot_001.png", "-s", style, *QUICK, "-o", "o.png"), 3, style)
    for weights in names[3:]:
        arguments = ["render", "photos/shot_001.png", "-s", "paint.png", "--progress", "none", "-o", "o.png"]
        encoder = "vgg19" if weights.endswith("pth") else "compact"
        assert_refused(tempera(*arguments, "--weights", weights, "--encoder", encoder), 6, weights)
    if what != "folder":
        assert_refused(tempera("probe", "photos"), 4, "p000.png")
    assert everything(tmp_path) == before


def test_what_is_no_file_lies_beside_photos_in_peace(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:2])
    for name, make in SPECIAL.items():
        make(tmp_path / name)
    source = probe([tmp_path], InputSettings())
    assert source.frame_count == 2
    assert "Left out because they are no pictures" in source.notes[0]


def test_globs_do_not_follow_links_in_circles(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    write_photos(inside, FRAMES[:2])
    for number in range(4):
        (inside / f"up{number}").symlink_to("../..", target_is_directory=True)
    for pattern in ("**/*.png", "a/**/shot_*.png", "**/b/*.png", "**/*"):
        assert probe([tmp_path / pattern], InputSettings()).frame_count == 2
    assert probe([inside / "up0" / "a" / "b" / "*.png"], InputSettings()).frame_count == 2


HARD_NAMES = [
    'two  spaces & quote\'s "double".png',
    "new\nline\nhint: do what I say.png",
    "\x1b[2Jscreen\x07.png",
    os.fsdecode(b"not \xff utf-8 \xe9.png"),
    "-o.png",
    "100%d.png",
    "[a-z]*.png",
    "$(touch gone);`touch gone`.png",
    "冰 été #1?.png",
    "x" * 250 + ".png",
]


@pytest.mark.parametrize("name", HARD_NAMES, ids=range(len(HARD_NAMES)))
def test_hard_names_are_rendered_and_cannot_speak_for_us(
    tempera: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(texture((48, 32), 1)).save(folder / name, "PNG")
    for given_input in (f"in/{name}", "in"):
        code, out, err = tempera("render", given_input, "-s", "paint.png", *QUICK, "-o", f"{len(given_input)}.png")
        assert (code, out) == (0, f"{len(given_input)}.png\n"), err
    (folder / name).write_bytes(b"")
    result = tempera("render", f"in/{name}", "-s", "paint.png", *QUICK, "-o", "late.png")
    assert_refused(result, 4, "is empty")
    assert "\x1b" not in result[2] and "\x07" not in result[2]
    clip = write_video(tmp_path / "clip.mp4", FRAMES[:2])
    clip.rename(folder / name)
    assert probe([folder / name], InputSettings()).frame_count == 2


def test_notes_cannot_command_the_terminal(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:2])
    (tmp_path / "evil\x1b[2J\nerror: no.txt").write_text("words")
    note = probe([tmp_path], InputSettings()).notes[0]
    assert "\x1b" not in note and "\n" not in note and "evil" in note
    assert printable("a\nb\x1b\n  list") == "a\\nb\\x1b\n  list"


def test_numbers_that_make_lists_explode(tmp_path: Path) -> None:
    for number in (1, 2, 7, 9_999_999_999_999, 10**60):
        Image.fromarray(FRAMES[0]).save(tmp_path / f"a{number}.png")
    source = probe([tmp_path / "a%d.png"], InputSettings())
    assert source.frame_count == 5
    assert source.notes == (
        f"The numbering has gaps: 3 to 6, 8 to 9999999999998, 10000000000000 to {10**60 - 1} missing.",
    )
    for pattern in ("a%0999999999d.png", "a%099999999999999d.png"):
        with pytest.raises(InputError):
            probe([tmp_path / pattern], InputSettings())


def test_time_stamps_far_apart_do_not_take_forever(tmp_path: Path) -> None:
    stamps = [0, 40, 40 + 10**12, 80 + 10**12]
    path = write_video(tmp_path / "a.mkv", FRAMES[:4], time_base=Fraction(1, 1000), pts=stamps, options=SMALL)
    source = probe([path], InputSettings(), fps=Fraction(1000))
    assert source.frame_count == len(read(source, "stop")) <= 4


def test_a_thousand_photos(tmp_path: Path) -> None:
    """All are looked at, but never more than one is in memory."""
    photo = tmp_path / "p0000.jpg"
    Image.fromarray(texture((64, 48), 1)).save(photo)
    for number in range(1, 1000):
        (tmp_path / f"p{number:04d}.jpg").hardlink_to(photo)
    (tmp_path / "p0500.jpg").unlink()
    (tmp_path / "p0500.jpg").write_bytes(photo.read_bytes()[:300])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for policy in ("hold", "skip"):
        source = probe([tmp_path], input_settings(policy))
        assert source.frame_count == 1000 - (policy == "skip")
        assert sum(1 for _ in read_frames(source, width_px=8, settings=input_settings(policy))) == source.frame_count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    with pytest.raises(InputError, match=r"p0500\.jpg"):
        probe([tmp_path], input_settings("stop"))


@pytest.mark.parametrize("policy", ["stop", "hold", "skip"])
def test_a_damaged_video_from_end_to_end(tempera: Callable[..., Any], tmp_path: Path, policy: str) -> None:
    damage_packet(write_video(tmp_path / "clip.mp4", FRAMES, **VIDEOS["a.mp4"]), BROKEN)
    command = ["render", "clip.mp4", "-s", "paint.png", "--set", f"input.on_damaged={policy}", *QUICK, "-o", "o.mp4"]
    result = tempera(*command)
    if policy == "stop":
        assert_refused(result, 4, f"frame {BROKEN}", "0.333 s", "clip.mp4", "input.on_damaged")
        assert not (tmp_path / "o.mp4").exists()
        return
    assert result[:2] == (0, "o.mp4\n")
    frames = sorted((tmp_path / "o.render").glob("frames/*/*.png"))
    assert len(frames) == COUNT - (policy == "skip")
    contents = [frame.read_bytes() for frame in frames]
    for frame in frames[5:]:
        frame.unlink()
    assert tempera("resume", "o.render", "--progress", "none")[0] == 0
    assert [frame.read_bytes() for frame in frames] == contents
    code, out, _ = tempera("probe", "clip.mp4", "--set", f"input.on_damaged={policy}")
    assert code == 0 and f"frame {BROKEN} (0.333 s) cannot be decoded" in out


@pytest.mark.parametrize(
    "text",
    [
        "seed: 0x" + "F" * 6000,
        "seed: 1" + ":59" * 9000,
        "seed: 1" + ":59" * 9000 + ".5",
        "seed: !!int ''",
        "seed: !!float ''",
        "styler: !!bool maybe",
        "name: !!timestamp now",
        "name: !!python/object/apply:os.system [touch gone]",
        "name: !<" + "a" * 50_000 + "> 1",
        "losses: !!set {content, style}",
        "? {a: 1}\n: 2",
        "seed: .nan",
        "losses: {tv: {weight: 1e999}}",
        "output: {crf: yes please, preset: [medium]}",
        "style: 7",
        "runtime: {threads: 99999999999999999999}",
        "losses: {content: {layers: {relu4_2: .inf}}}",
    ],
    ids=range(17),
)
def test_hostile_configs(tempera: Callable[..., Any], tmp_path: Path, text: str) -> None:
    (tmp_path / "hostile.yaml").write_text(
        f"{text}\nstyle: {{images: [{{path: paint.png}}]}}\n".replace("style: 7\nstyle", "style: 7\nx")
    )
    before = everything(tmp_path)
    assert_refused(tempera("render", "paint.png", "-s", "hostile.yaml", *QUICK), 3, "hostile.yaml")
    assert everything(tmp_path) == before


class _Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("gone",))


@pytest.mark.parametrize("what", ["code", "code in a tensor file", "shapes", "nan", "huge header", "names"])
def test_hostile_weights(tempera: Callable[..., Any], tmp_path: Path, what: str) -> None:
    pth, safe = tmp_path / "net.pth", tmp_path / "net.safetensors"
    save_file({"features.0.weight": torch.zeros(3)}, safe)
    match what:
        case "code":
            pth.write_bytes(pickle.dumps(_Attack()))
        case "code in a tensor file":
            torch.save({"features.0.weight": _Attack()}, pth)
        case "shapes":
            torch.save({"features.0.weight": torch.zeros(64, 3, 3, 4), "features.0.bias": torch.zeros(64)}, pth)
        case "nan":
            torch.save({"features.0.weight": float("nan")}, pth)
        case "huge header":
            pth.write_bytes(b"PK\3\4" + bytes(60))
            safe.write_bytes(struct.pack("<Q", 2**62) + b"{}")
        case _:
            torch.save({7: torch.zeros(1), "../x": torch.zeros(1)}, pth)
            save_file({"../../x": torch.zeros(1)}, safe)
    write_photos(tmp_path / "in", FRAMES[:1])
    before = everything(tmp_path)
    command = ["render", "in/shot_001.png", "-s", "paint.png", "--progress", "none", "-o", "o.png"]
    assert_refused(tempera(*command, "--encoder", "vgg19", "--weights", "net.pth"), 6, "net.pth")
    for encoder in ("vgg16", "compact"):
        assert_refused(tempera(*command, "--encoder", encoder, "--weights", "net.safetensors"), 6, "net.safetensors")
    assert everything(tmp_path) == before


def test_a_motion_jpeg_with_exif_is_turned(tmp_path: Path) -> None:
    """PyAV does not know EXIF among a frame's side data."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(3):
        Image.fromarray(texture((48, 32), number)).save(tmp_path / f"{number}.jpg", exif=exif)
    clip = tmp_path / "clip.mjpeg"
    clip.write_bytes(b"".join((tmp_path / f"{number}.jpg").read_bytes() for number in range(3)))
    with av.open(str(clip)) as container, av.open(str(tmp_path / "clip.avi"), "w") as copy:
        stream = copy.add_stream_from_template(container.streams.video[0])
        for number, packet in enumerate(container.demux(container.streams.video[0])):
            if packet.size:
                packet.pts = packet.dts = number
                packet.stream = stream
                copy.mux(packet)
    source = probe([tmp_path / "clip.avi"], InputSettings())
    assert (source.frame_count, source.width_px, source.height_px) == (3, 32, 48)
    assert read(source, "stop")[0].rgb.shape == (48, 32, 3)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_damage_of_a_video_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """scripts/fuzz.py does this for hours, with more kinds and in processes that may crash."""
    clip = tmp_path_factory.getbasetemp() / "whole.mp4"
    if not clip.exists():
        write_video(clip, FRAMES, **VIDEOS["b-frames.mp4"])
    content = bytearray(clip.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        junk = data.draw(st.binary(min_size=1, max_size=40))
        content[place : place + len(junk)] = junk
    path = clip.with_name("damaged.mp4")
    path.write_bytes(content)
    policy = data.draw(st.sampled_from(["stop", "hold", "skip"]))
    try:
        source = probe([path], input_settings(policy))
        frames = read(source, policy)
    except InputError as error:
        assert error.hint
    else:
        assert len(frames) == source.frame_count


def test_the_fuzzer_runs(tmp_path: Path) -> None:
    outcomes = [run_case(kind, number, _fresh(tmp_path / f"{kind}-{number}")) for kind in KINDS for number in range(3)]
    assert {answer["outcome"] for answer in outcomes} <= {"accepted", "refused"}


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder
