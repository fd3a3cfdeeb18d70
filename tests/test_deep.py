"""More than 8 bits: read, converted to sRGB, corrected and resized with all of them, and rounded once."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.analysis.content import content_frames
from pipeline.analysis.tone_curve import apply_tone_curve
from pipeline.config.finish import DetailSettings, FinishSettings
from pipeline.config.settings import InputSettings
from pipeline.errors import InputError, MissingPartError
from pipeline.media.image.arrays import fit, resize, to_tensor
from pipeline.media.image.depth import as_8_bit, as_float
from pipeline.media.image.icc import apply_deep
from pipeline.media.image.load import load_rgb, open_image, render_frame
from pipeline.media.reader.source import probe, read_deep, read_frames
from pipeline.postprocess.effect import FrameContext
from pipeline.postprocess.finish import apply_effects, finish
from pipeline.types import TONE_NODES
from tests.support.clips import texture
from tests.support.profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    color_profile,
    curve,
    gray_profile,
    sampled,
    srgb_curve,
)

Data = Callable[[str], Path]
Deep = NDArray[np.uint16]
SETTINGS = InputSettings()
ALL_LEVELS = np.arange(65536, dtype=np.uint16).reshape(256, 256)
CURVE = (*((300, 250, 200, 150, 120, 100, 80, 60) * 8)[: len(TONE_NODES)], 40, 0, -40)


def ramp(width: int = 96, height: int = 48) -> Deep:
    """A sky whose levels are a tenth of one of 8 bits apart."""
    levels = 20_000 + 26 * np.arange(width)[None, :, None] + np.array([0, 900, 4000])
    return np.broadcast_to(levels, (height, width, 3)).astype(np.uint16)


def pixels_of(path: Path) -> NDArray[Any]:
    with open_image(path) as image:
        return render_frame(image, path)


def written(path: Path, pixels: Deep) -> Path:
    assert cv2.imwrite(str(path), pixels[..., ::-1])
    return path


# Arrays


def test_depths_are_converted_exactly() -> None:
    rgb = texture((24, 16), seed=1)
    deep = rgb.astype(np.uint16) * np.uint16(257)
    np.testing.assert_array_equal(as_8_bit(ALL_LEVELS), np.rint(ALL_LEVELS / 257))
    np.testing.assert_array_equal(as_8_bit(deep), rgb)
    np.testing.assert_array_equal(as_8_bit(rgb), rgb)
    np.testing.assert_allclose(as_float(deep), as_float(rgb), atol=1e-7)
    np.testing.assert_allclose(to_tensor(deep).numpy(), to_tensor(rgb).numpy(), atol=1e-7)


def test_resizing_and_fitting_keep_the_depth() -> None:
    deep = ramp()
    for small in (resize(deep, 48, 24), fit(deep, 48, 48, "cover"), fit(deep, 48, 48, "contain")):
        assert small.dtype == np.uint16
        assert len(np.unique(small[24 if len(small) > 24 else 12, :, 0])) > 40
    np.testing.assert_allclose(resize(deep, 48, 24)[0, :, 0], deep[0].reshape(48, 2, 3).mean(axis=1)[:, 0], atol=1)


# Reading


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_are_read_exactly_and_rounded_once(tmp_path: Path, suffix: str) -> None:
    deep = ramp()
    source = probe([written(tmp_path / f"sky.{suffix}", deep)], SETTINGS)
    (found,) = read_deep(source, 0, 1, size_px=(96, 48), settings=SETTINGS)
    np.testing.assert_array_equal(found, deep)
    (frame,) = read_frames(source, settings=SETTINGS)
    np.testing.assert_array_equal(frame.rgb, np.rint(deep / 257).astype(np.uint8))
    (half,) = read_frames(source, settings=SETTINGS, width_px=48, height_px=24)
    np.testing.assert_array_equal(half.rgb, as_8_bit(resize(deep, 48, 24)))


def test_16_bit_gray_and_floating_point_are_deep(tmp_path: Path) -> None:
    gray = Image.fromarray(ALL_LEVELS)
    for suffix in ("png", "tiff"):
        gray.save(tmp_path / f"gray.{suffix}")
        np.testing.assert_array_equal(pixels_of(tmp_path / f"gray.{suffix}")[..., 1], ALL_LEVELS)
    Image.fromarray((ALL_LEVELS / 65535).astype(np.float32)).save(tmp_path / "float.tiff")
    np.testing.assert_array_equal(pixels_of(tmp_path / "float.tiff")[..., 2], ALL_LEVELS)


def test_8_bits_stay_8_bits(tmp_path: Path) -> None:
    Image.fromarray(texture((24, 16), seed=1)).save(tmp_path / "a.png")
    assert pixels_of(tmp_path / "a.png").dtype == np.uint8


def test_of_several_pages_the_first_is_read_and_that_is_said(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    path = tmp_path / "pages.tiff"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    source = probe([path], SETTINGS)
    assert source.frame_count == 1
    assert any("several pages" in note for note in source.notes)
    (frame,) = read_frames(source, settings=SETTINGS)
    assert (frame.rgb == (255, 0, 0)).all()


# Color profiles


@pytest.mark.parametrize(
    "profile",
    [
        color_profile(ADOBE_RGB, curve(563 / 256)),
        color_profile(DISPLAY_P3, srgb_curve()),
        color_profile(SRGB, sampled(1.8)),
    ],
    ids=["Adobe RGB", "Display P3", "gamma 1.8"],
)
def test_16_bits_become_srgb_as_littlecms_makes_it(tmp_path: Path, profile: bytes) -> None:
    rgb = texture((48, 32), seed=3) // 2 + 64  # inside sRGB
    image = Image.fromarray(rgb)
    image.save(tmp_path / "shallow.png", icc_profile=profile)
    deep = rgb.astype(np.uint16) * np.uint16(257)
    plain = written(tmp_path / "plain.png", deep).read_bytes()
    with_profile = io.BytesIO()
    image.save(with_profile, "PNG", icc_profile=profile)
    chunk_start = with_profile.getvalue().index(b"iCCP") - 4
    length = int.from_bytes(with_profile.getvalue()[chunk_start : chunk_start + 4], "big") + 12
    chunk = with_profile.getvalue()[chunk_start : chunk_start + length]
    path = tmp_path / "deep.png"
    path.write_bytes(plain[:33] + chunk + plain[33:])
    found = pixels_of(path)
    assert found.dtype == np.uint16
    expected = pixels_of(tmp_path / "shallow.png").astype(float)
    assert np.abs(expected - rgb).max() > 4
    assert np.abs(found / 257 - expected).max() < 1.1


def test_gray_profile_is_applied_to_8_and_16_bits(tmp_path: Path) -> None:
    profile = gray_profile(curve(1.8))
    gray = np.arange(0, 256, dtype=np.uint8).repeat(2).reshape(16, 32)
    Image.fromarray(gray).save(tmp_path / "a.tiff", icc_profile=profile)
    Image.fromarray(gray.astype(np.uint16) * np.uint16(257)).save(tmp_path / "b.tiff", icc_profile=profile)
    shallow, deep = pixels_of(tmp_path / "a.tiff"), pixels_of(tmp_path / "b.tiff")
    assert [str(pixels.dtype) for pixels in (shallow, deep)] == ["uint8", "uint16"]
    assert np.abs(shallow[..., 0].astype(int) - gray).max() > 10
    assert np.abs(deep / 257 - shallow).max() < 1.6  # that of 8 bits is rounded twice in the shadows


def test_a_broken_profile_is_ignored_with_a_note(tmp_path: Path) -> None:
    for name, profile in (("a.png", b"no profile"), ("b.png", color_profile(SRGB, curve(2.2))[:200])):
        Image.fromarray(texture((24, 16), seed=1)).save(tmp_path / name, icc_profile=profile)
    source = probe([tmp_path], SETTINGS)
    assert any("2 of 2 photos have a color profile that cannot be read" in note for note in source.notes)
    (first, _) = read_frames(source, settings=SETTINGS)
    np.testing.assert_array_equal(first.rgb, texture((24, 16), seed=1))


def test_a_profile_of_other_channels_is_not_applied(tmp_path: Path) -> None:
    printed = Image.fromarray(texture((24, 16), seed=1)).convert("CMYK")
    printed.save(tmp_path / "a.tiff")
    printed.save(tmp_path / "b.tiff", icc_profile=color_profile(ADOBE_RGB, curve(2.2)))
    np.testing.assert_array_equal(load_rgb(tmp_path / "a.tiff"), load_rgb(tmp_path / "b.tiff"))


# On the way to the finish


def test_tone_curve_acts_alike_on_both_depths() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    shallow = apply_tone_curve(levels, CURVE)
    deep = apply_tone_curve(levels.astype(np.uint16) * np.uint16(257), CURVE)
    assert np.abs(deep / 257 - shallow).max() <= 0.5 + 1e-6
    whole = apply_tone_curve(np.repeat(ALL_LEVELS[..., None], 3, axis=2), CURVE).reshape(-1, 3).astype(int)
    assert (np.diff(whole, axis=0) >= 0).all()
    assert whole[0].tolist() == [0, 0, 0]
    assert whole[-1].tolist() == [65535] * 3
    assert len(np.unique(whole[:, 0])) > 20_000


def test_content_to_be_stylized_is_rounded_after_its_tone_curve(tmp_path: Path) -> None:
    deep = ramp()
    source = probe([written(tmp_path / "sky.png", deep)], SETTINGS)
    (frame,) = content_frames(source, 0, 1, size_px=(96, 48), settings=SETTINGS, exposure=(CURVE,))
    np.testing.assert_array_equal(frame.rgb, as_8_bit(apply_tone_curve(deep, CURVE)))
    assert frame.rgb.dtype == np.uint8


@pytest.mark.parametrize(
    "settings",
    [
        FinishSettings(follow_level=0, match_light=0.7),
        FinishSettings(follow_level=0, preserve_color=1),
        FinishSettings(follow_level=0, detail=DetailSettings(fine=1, medium=0.5)),
    ],
    ids=["match_light", "preserve_color", "detail"],
)
def test_effects_take_content_of_both_depths(settings: FinishSettings) -> None:
    stylized, content = texture((64, 48), seed=4), texture((64, 48), seed=5)
    shallow = finish(stylized, content, settings, index=0, seed=0)
    deep = finish(stylized, content.astype(np.uint16) * np.uint16(257), settings, index=0, seed=0)
    np.testing.assert_array_equal(shallow, deep)
    assert np.abs(shallow.astype(int) - stylized).max() > 4


def test_color_between_the_levels_of_8_bits_is_preserved() -> None:
    image = np.full((48, 96, 3), 0.4, np.float32)
    settings = FinishSettings(follow_level=0, preserve_color=1)
    found, rounded = (
        apply_effects(image, settings, FrameContext(content, 0, 0)) for content in (ramp(), as_8_bit(ramp()))
    )
    np.testing.assert_allclose(found, rounded, atol=1.5 / 255)
    steps = [float(np.abs(np.diff(pixels[24], axis=0)).max()) for pixels in (found, rounded)]
    assert steps[0] < steps[1] / 5  # a gradient without bands


# HEIF


def test_heic_names_the_package_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(MissingPartError) as caught:
        load_rgb(path)
    assert caught.value.exit_code == 6
    assert "pip install 'tempera[heif]'" in caught.value.hint


def test_10_bit_heic_keeps_its_bits(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    gray = np.repeat(ramp(128, 64)[..., :1], 3, axis=2)
    made = heif.from_bytes("RGB;16", (128, 64), gray.tobytes())
    try:
        made.save(tmp_path / "deep.heic", quality=-1, chroma=444)
    except RuntimeError:
        pytest.skip("this libheif has no encoder")
    source = probe([tmp_path / "deep.heic"], SETTINGS)
    (found,) = read_deep(source, 0, 1, size_px=(128, 64), settings=SETTINGS)
    assert found.dtype == np.uint16
    assert np.abs(found.astype(int) - gray).max() < 150
    assert len(np.unique(found[32, :, 1])) > 30


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_heic_is_refused(tmp_path: Path, transfer: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    made = heif.from_bytes("RGB;16", (64, 64), np.full((64, 64, 3), 30000, np.uint16).tobytes())
    path = tmp_path / "hdr.heic"
    try:
        made.save(path, transfer_characteristics=transfer, color_primaries=9, matrix_coefficients=9, full_range_flag=1)
    except RuntimeError:
        pytest.skip("this libheif has no encoder")
    with pytest.raises(InputError, match="is an HDR photo") as caught:
        load_rgb(path)
    assert caught.value.hint


def test_real_heic_of_tiles_is_read_whole_and_upright(data: Data) -> None:
    pytest.importorskip("pillow_heif")
    path = data("burst/raw/IMG_2682.heic")
    source = probe([path], SETTINGS)
    assert (source.width_px, source.height_px) == (4032, 3024)
    (frame,) = read_frames(source, settings=SETTINGS, width_px=403, height_px=302)
    quarters = [frame.rgb[y : y + 151, x : x + 201] for y in (0, 151) for x in (0, 201)]
    assert all(quarter.std() > 10 for quarter in quarters)


@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / f"a.{suffix}"
    try:
        Image.fromarray(texture((64, 64), seed=1)).save(path)
    except (KeyError, OSError, RuntimeError):
        pytest.skip(f"there is no encoder of {suffix} here")
    assert load_rgb(path).shape == (64, 64, 3)
    data = path.read_bytes()
    for length in (len(data) - 1, len(data) * 3 // 4, len(data) // 2, 60):
        path.write_bytes(data[:length])
        with pytest.raises(InputError) as caught:
            load_rgb(path)
        assert caught.value.hint
        assert caught.value.exit_code == 4


def test_real_heic_that_is_cut_off_is_refused(data: Data) -> None:
    pytest.importorskip("pillow_heif")
    with pytest.raises(InputError, match="cut off"):
        load_rgb(data("broken/found_truncated.heic"))


def test_heic_sequence_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heics"
    path.write_bytes(b"\0\0\0\x18ftypmsf1\0\0\0\0hevcmsf1" + b"\0\0\0\x08moov")
    with pytest.raises(InputError, match="is an HEIC sequence"):
        load_rgb(path)


def test_profile_with_a_curve_that_divides_by_zero_is_none() -> None:
    tone = struct.pack(">4sIHH3i", b"para", 0, 1, 0, 1 << 16, 0, 1 << 16)
    assert apply_deep(np.zeros((2, 2, 3), np.uint16), color_profile(ADOBE_RGB, tone)) is None
