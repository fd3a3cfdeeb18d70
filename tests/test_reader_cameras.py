"""Videos of cameras and editors: interlaced, HDR, with more than 8 bits, in odd formats, transparent."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.config.settings import InputSettings
from pipeline.media.image.transfer import linear_from_srgb, srgb_from_linear
from pipeline.media.reader import decode
from pipeline.media.reader.pixels import Conversion, Orientation, conversion, peak_nits, to_rgb
from pipeline.media.reader.source import probe
from pipeline.media.reader.thumbnails import Thumbnails
from tests.support.cameras import (
    BT2020,
    HLG,
    PQ,
    woven,
    write_deep,
    write_interlaced,
    write_rgba,
)
from tests.support.clips import moving_square, write_video
from tests.support.reading import FRAMES, SETTINGS, pixels, read_from_everywhere

Data = Callable[[str], Path]
MOMENTS = moving_square(24, size=(96, 64), step_px=3)
SQUARE = slice(22, 42)
"""Rows with everything that moves."""


def error(image: Any, expected: Any) -> float:
    return float(np.abs(image.astype(float) - expected)[SQUARE].mean())


# Interlaced


@pytest.mark.parametrize("top_first", [True, False])
def test_interlaced_frames_show_the_moment_of_their_first_field(tmp_path: Path, top_first: bool) -> None:
    path = write_interlaced(tmp_path / "a.mkv", woven(MOMENTS, top_first=top_first), top_first=top_first)
    source = probe([path], SETTINGS)
    assert source.interlaced
    assert source.frame_count == 12
    assert [float(pts * source.time_base) for pts in source.pts] == pytest.approx([i / 25 for i in range(12)])
    assert any("interlaced" in note for note in source.notes)
    for index, image in enumerate(read_from_everywhere(source)):
        assert error(image, MOMENTS[2 * index]) < 1.5 < 4 < error(image, MOMENTS[2 * index + 1])


def test_fields_can_be_left_alone_and_separated_without_a_mark(tmp_path: Path) -> None:
    frames = woven(MOMENTS)
    never = InputSettings(deinterlace="never")
    path = write_interlaced(tmp_path / "a.mkv", frames)
    assert any("not separated" in note for note in probe([path], never).notes)
    assert error(pixels(probe([path], never), never)[5], frames[5]) < 1
    always = InputSettings(deinterlace="always")
    unmarked = probe([write_video(tmp_path / "b.mkv", frames)], always)
    assert not unmarked.interlaced
    assert any("Read as interlaced" in note for note in unmarked.notes)
    assert error(read_from_everywhere(unmarked, always)[5], MOMENTS[10]) < 1.5


def test_progressive_frames_between_interlaced_ones_stay_as_they_are(tmp_path: Path) -> None:
    frames = [*woven(MOMENTS[:12]), *MOMENTS[12:18]]
    path = write_interlaced(tmp_path / "a.mkv", frames, marked=[True] * 6 + [False] * 6, codec="ffv1")
    never = InputSettings(deinterlace="never")
    stored = pixels(probe([path], never), never)
    for index, image in enumerate(read_from_everywhere(probe([path], SETTINGS))):
        assert (image == stored[index]).all() == (index >= 6)


def test_small_frames_of_an_interlaced_video_are_read_like_all_others(tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / "a.mkv", woven(MOMENTS))
    with Thumbnails(32) as thumbnails:
        source = probe([path], SETTINGS, thumbnails=thumbnails)
        assert not thumbnails.holds([0], thumbnails.size)
        width, height = thumbnails.size
        small = pixels(source, width_px=width, height_px=height, thumbnails=thumbnails)
        np.testing.assert_array_equal(small[5], pixels(source, width_px=width, height_px=height)[5])


@pytest.mark.parametrize("size", [(2, 2), (2, 32), (32, 3)])
def test_frames_too_small_for_the_filter_are_shown_as_they_are(tmp_path: Path, size: tuple[int, int]) -> None:
    always = InputSettings(deinterlace="always")
    path = write_video(tmp_path / "a.mkv", moving_square(3, size=size), codec="ffv1", pix_fmt="yuv444p")
    plain = pixels(probe([path], SETTINGS))
    np.testing.assert_array_equal(pixels(probe([path], always), always), plain)


# HDR and more than 8 bits


@pytest.mark.parametrize(("transfer", "name", "white"), [(PQ, "PQ", 0.580689), (HLG, "HLG", 0.75)])
@pytest.mark.parametrize("pix_fmt", ["yuv444p10le", "yuv420p10le"])
def test_hdr_is_tone_mapped(tmp_path: Path, transfer: int, name: str, white: float, pix_fmt: str) -> None:
    steps = np.repeat(np.array([0, white / 2, white, 1]), 12)
    card = np.broadcast_to(np.rint(steps * 65535).astype(np.uint16)[None, :, None], (32, 48, 3))
    path = write_deep(
        tmp_path / "a.mkv", [card] * 3, transfer=transfer, primaries=BT2020, matrix=BT2020, pix_fmt=pix_fmt
    )
    source = probe([path], SETTINGS)
    assert any(f"HDR ({name}, up to 1000" in note for note in source.notes)
    rgb = read_from_everywhere(source)[1]
    black, dark, bright, peak = (rgb[8:24, at : at + 4].reshape(-1, 3).mean(axis=0) for at in (4, 16, 28, 40))
    assert black.max() <= 1
    assert peak.min() >= 254
    assert np.abs(bright - 229).max() <= 2
    assert 20 < dark.mean() < 130
    assert np.ptp(dark) <= 1.5


def test_peak_of_the_clip_is_what_it_states(tmp_path: Path) -> None:
    if "libx265" not in av.codecs_available:
        pytest.skip("no encoder for HEVC")
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)"
    card = [np.full((64, 96, 3), 40000, np.uint16)] * 3
    levels = []
    for number, light in enumerate(("max-cll=600,300", "max-cll=0,0")):
        params = f"log-level=0:hdr10=1:repeat-headers=1:{display}:{light}"
        path = write_deep(
            tmp_path / f"{number}.mp4",
            card,
            transfer=PQ,
            primaries=BT2020,
            matrix=BT2020,
            pix_fmt="yuv420p10le",
            codec="libx265",
            options={"x265-params": params},
        )
        source = probe([path], SETTINGS)
        assert source.peak_nits == (600, 4000)[number]
        levels.append(float(pixels(source)[0].mean()))
    assert levels[0] > levels[1] + 5  # less has to be compressed


def test_small_frames_of_hdr_are_those_that_reading_gives(tmp_path: Path) -> None:
    frames = [frame.astype(np.uint16) * 200 for frame in moving_square(4, size=(96, 64))]
    path = write_deep(tmp_path / "a.mkv", frames, transfer=HLG, primaries=BT2020, matrix=BT2020)
    with Thumbnails(16) as thumbnails:
        source = probe([path], SETTINGS, thumbnails=thumbnails)
        width, height = thumbnails.size
        assert thumbnails.holds(range(4), thumbnails.size)
        kept = pixels(source, width_px=width, height_px=height, thumbnails=thumbnails)
        np.testing.assert_array_equal(kept, pixels(source, width_px=width, height_px=height))


def test_wide_primaries_are_converted(tmp_path: Path) -> None:
    card = [np.broadcast_to(np.array([40000, 30000, 20000], np.uint16), (32, 48, 3))] * 2
    path = write_deep(tmp_path / "a.mkv", card, transfer=14, primaries=BT2020, matrix=BT2020)
    source = probe([path], SETTINGS)
    assert any("BT.2020" in note for note in source.notes)
    from_2020 = np.array([[1.6605, -0.5876, -0.0729], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    light = from_2020 @ linear_from_srgb(card[0][0, 0].astype(np.float32) / np.float32(65535))
    expected = 255 * srgb_from_linear(light.astype(np.float32))
    assert np.abs(pixels(source)[0][16, 24] - expected).max() < 2.5


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_more_than_8_bits_are_kept_where_they_are_asked_for(tmp_path: Path, codec: str) -> None:
    ramp = np.linspace(20000, 21000, 48).astype(np.uint16)
    card = np.repeat(np.repeat(ramp[None, :, None], 32, axis=0), 3, axis=2)
    path = write_deep(tmp_path / "a.mkv", [card], codec=codec)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        deep = to_rgb(frame, (48, 32), Orientation(), Conversion(deep=True))
        flat = to_rgb(frame, (48, 32), Orientation(), Conversion())
    assert (str(deep.dtype), str(flat.dtype)) == ("uint16", "uint8")
    assert np.abs(deep.astype(int) - card).max() < 130  # two of 1023
    assert len(np.unique(deep)) > 2 * len(np.unique(flat))
    assert np.abs(deep / 257 - flat).max() <= 1.0


def test_readers_deliver_16_bits_once_they_are_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.broadcast_to(np.arange(48, dtype=np.uint16)[None, :, None] * 1000, (32, 48, 3))
    path = write_deep(tmp_path / "a.mkv", [codes] * 6)
    blended = InputSettings(rate="blend")
    source = probe([path], blended, fps=Fraction(12))
    monkeypatch.setattr(decode, "conversion", partial(conversion, deep=True))
    for image in read_from_everywhere(source, blended):
        assert image.dtype == np.uint16
        assert np.abs(image.astype(int) - codes).max() < 200


def test_8_bit_sources_stay_8_bit(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", FRAMES[:1])
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert to_rgb(frame, (48, 32), Orientation(), Conversion(deep=True)).dtype == np.uint8
        assert peak_nits(frame) == 0


def test_deep_hdr_and_deep_transparency_agree_with_8_bits(tmp_path: Path) -> None:
    card = [np.broadcast_to(np.array([30000, 35000, 25000], np.uint16), (32, 48, 3))]
    hdr = write_deep(tmp_path / "a.mkv", card, transfer=HLG, primaries=BT2020, matrix=BT2020)
    rgba = [np.dstack([FRAMES[0], np.full((32, 48), 90, np.uint8)])]
    transparent = write_rgba(tmp_path / "b.mov", rgba, codec="prores_ks", pix_fmt="yuva444p10le")
    for path in (hdr, transparent):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            deep, flat = (
                to_rgb(frame, (48, 32), Orientation(), Conversion(background=(20, 40, 60), deep=how))
                for how in (True, False)
            )
        assert deep.dtype == np.uint16
        assert np.abs(deep / 257 - flat).max() <= 1.5


@pytest.mark.parametrize(
    "pix_fmt", ["gray", "gray10le", "gbrp10le", "gbrp12le", "yuv411p", "yuv410p", "bgr0", "rgb48le"]
)
def test_odd_pixel_formats_are_read(tmp_path: Path, pix_fmt: str) -> None:
    soft = [np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8) for frame in FRAMES[:2]]
    path = write_video(tmp_path / "a.mkv", soft, codec="ffv1", pix_fmt=pix_fmt, tagged=False)
    rgb = pixels(probe([path], SETTINGS))[1]
    assert np.abs(rgb.astype(float) - soft[1]).mean() < 2.5


def test_palettes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    palette = np.random.default_rng(0).integers(0, 256, (256, 4)).astype(np.uint8)
    palette[:, 0] = 255  # opaque: PyAV's palettes are ARGB
    indices = np.arange(32 * 48, dtype=np.uint8).reshape(32, 48)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("png", rate=24)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "pal8"
        indexed: Any = (indices, palette)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(indexed, format="pal8")))
        container.mux(stream.encode())
    np.testing.assert_array_equal(pixels(probe([path], SETTINGS))[0], palette[indices][..., 1:])


@pytest.mark.parametrize("aspect", [Fraction(1000), Fraction(1, 1000)])
def test_absurd_pixel_aspects_are_ignored(tmp_path: Path, aspect: Fraction) -> None:
    source = probe([write_video(tmp_path / "a.mkv", FRAMES[:2], sample_aspect=aspect)], SETTINGS)
    assert (source.width_px, source.height_px) == (48, 32)


# Transparency

ALPHA = [np.dstack([frame, np.where(np.arange(48) < 24, 0, 255)[None].repeat(32, 0)]) for frame in FRAMES[:6]]


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        (".mov", "qtrle", "argb"),
        (".mov", "png", "rgba"),
        (".mov", "prores_ks", "yuva444p10le"),
        (".webm", "libvpx-vp9", "yuva420p"),
        (".webm", "libvpx", "yuva420p"),
        (".mkv", "ffv1", "bgra"),
    ],
)
def test_background_shows_through(tmp_path: Path, suffix: str, codec: str, pix_fmt: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"no encoder {codec}")
    images = [image.astype(np.uint8) for image in ALPHA]
    options = {"auto-alt-ref": "0", "b": "2M"} if suffix == ".webm" else {}
    path = write_rgba(tmp_path / f"a{suffix}", images, codec=codec, pix_fmt=pix_fmt, options=options)
    on_green = InputSettings(background="#205030")
    source = probe([path], on_green)
    assert any("#205030" in note for note in source.notes)
    for index, rgb in enumerate(read_from_everywhere(source, on_green)):
        assert np.abs(rgb[:, :20].astype(int) - (0x20, 0x50, 0x30)).max() <= 3
        assert np.abs(rgb[:, 28:].astype(float) - FRAMES[index][:, 28:]).mean() < 12
    assert (pixels(probe([path], SETTINGS))[0][:, :20] >= 252).all()


def test_real_transparent_webm_is_not_opaque(data: Data) -> None:
    path = data("video/transparent_vp9_alpha.webm")
    blue = InputSettings(background="#0000ff")
    white, on_blue = pixels(probe([path], SETTINGS), stop=1)[0], pixels(probe([path], blue), blue, stop=1)[0]
    behind = (white == 255).all(axis=2)
    assert behind.mean() > 0.9
    assert (on_blue[behind] == (0, 0, 255)).all()
