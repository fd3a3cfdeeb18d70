"""Animated pictures are clips: their delays, what frames leave behind, and what is transparent."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from pipeline.config.settings import InputSettings
from pipeline.errors import InputError
from pipeline.media.reader.source import probe, read_frames
from tests.support.clips import moving_square

SETTINGS = InputSettings()
SIDE = 16
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
KEEP, CLEAR, RESTORE = 0, 1, 2
SOURCE, OVER = 0, 1


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_apng(path: Path, frames: list[tuple[tuple[int, ...], tuple[int, int, int, int], int, int]]) -> Path:
    """An animated PNG (specification 1.0) of uniform rectangles: RGBA, (x, y, width, height), disposal, blend."""
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 6, 0, 0, 0))
    data += chunk(b"acTL", struct.pack(">II", len(frames), 3))
    number = 0
    for index, (color, (x, y, width, height), disposal, blend) in enumerate(frames):
        control = struct.pack(">IIIIIHHBB", number, width, height, x, y, 50 * (index + 1), 1000, disposal, blend)
        data += chunk(b"fcTL", control)
        pixels = zlib.compress((b"\0" + bytes(color) * width) * height)
        data += chunk(b"fdAT", struct.pack(">I", number + 1) + pixels) if index else chunk(b"IDAT", pixels)
        number += 2 if index else 1
    path.write_bytes(data + chunk(b"IEND", b""))
    return path


def rgb_of(path: Path) -> list[NDArray[np.uint8]]:
    return [frame.rgb for frame in read_frames(probe([path], SETTINGS), settings=SETTINGS)]


def test_animated_png_is_composed_as_its_frames_say(tmp_path: Path) -> None:
    whole, corner, middle = (0, 0, SIDE, SIDE), (0, 0, 4, 4), (4, 4, 8, 8)
    path = write_apng(
        tmp_path / "a.png",
        [
            ((*RED, 255), whole, KEEP, SOURCE),
            ((*GREEN, 255), middle, RESTORE, OVER),
            ((*BLUE, 0), corner, KEEP, OVER),  # nothing of it is seen, and the middle is as it was
            ((*BLUE, 0), corner, KEEP, SOURCE),  # a hole
            ((*BLUE, 255), middle, CLEAR, SOURCE),
            ((*GREEN, 255), (15, 15, 1, 1), KEEP, OVER),  # the middle is a hole now
        ],
    )
    source = probe([path], SETTINGS)
    assert source.kind == "video"
    assert [int(pts) for pts in source.pts] == [0, 50, 150, 300, 500, 750]
    assert float(source.duration_s) == pytest.approx(1.05)
    found = rgb_of(path)
    seen = [(tuple(rgb[1, 1]), tuple(rgb[8, 8]), tuple(rgb[15, 15])) for rgb in found]
    assert seen == [
        (RED, RED, RED),
        (RED, GREEN, RED),
        (RED, RED, RED),
        (WHITE, RED, RED),
        (WHITE, BLUE, RED),
        (WHITE, WHITE, GREEN),
    ]
    last = list(read_frames(source, start=5, settings=SETTINGS))
    np.testing.assert_array_equal(last[0].rgb, found[5])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_transparent_frames_are_laid_over_white(tmp_path: Path, kind: str) -> None:
    frames = []
    for left in (0, 4, 8):
        rgba = np.zeros((SIDE, SIDE, 4), np.uint8)
        rgba[4:12, left : left + 8] = (*BLUE, 255)
        rgba[0, 0] = rgba[-1, -1] = (*WHITE, 128)  # else a WebP has opaque rectangles only, and no transparency at all
        frames.append(Image.fromarray(rgba))
    path = tmp_path / f"a.{kind.lower()}"
    options = {"lossless": True} if kind == "WEBP" else {"disposal": 1 if kind == "PNG" else 2}
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], duration=100, loop=2, **options)
    expected = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for left, rgb in zip((0, 4, 8), rgb_of(path), strict=True):
        wanted = expected.copy()
        wanted[4:12, left : left + 8] = BLUE
        np.testing.assert_array_equal(rgb, wanted)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_animated_avif_has_its_delays_and_ends_with_an_error_where_it_is_cut_off(tmp_path: Path) -> None:
    frames = moving_square(4, size=(64, 48))
    images = [Image.fromarray(frame) for frame in frames]
    path = tmp_path / "a.avif"
    images[0].save(path, "AVIF", save_all=True, append_images=images[1:], duration=[40, 80, 200, 40], quality=95)
    source = probe([path], SETTINGS)
    assert source.kind == "video"
    assert source.pts == (0, 40, 120, 320)
    for rgb, frame in zip(rgb_of(path), frames, strict=True):
        assert np.abs(rgb.astype(int) - frame).mean() < 3
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError) as caught:
        probe([path], SETTINGS)
    assert caught.value.hint


def test_an_animation_of_one_frame_is_a_photo(tmp_path: Path) -> None:
    path = write_apng(tmp_path / "a.png", [((*RED, 255), (0, 0, SIDE, SIDE), KEEP, SOURCE)])
    assert probe([path], SETTINGS).kind == "photos"
