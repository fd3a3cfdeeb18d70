"""HDR and wide-gamut light: the curves of the standards, tone mapping, and the soft border of the gamut."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.media.reader import hdr
from pipeline.types import ColorTags

RAMP = np.arange(0, 65536, 16, dtype=np.uint16)
PQ = ColorTags("bt2020", "smpte2084")
HLG = ColorTags("bt2020", "arib-std-b67")


def test_pq_has_the_values_of_the_standard() -> None:
    # Report ITU-R BT.2408, table 1: 58 percent is the reference white, 203 cd/m2; 75.2 percent is 1000 cd/m2.
    assert hdr.pq_to_nits(np.array([0.0, 0.508078, 0.580689, 0.751827, 1.0])) == pytest.approx(
        [0, 100, 203, 1000, 10_000], rel=1e-4
    )
    signal = np.linspace(0.01, 1, 50)
    assert hdr.nits_to_pq(hdr.pq_to_nits(signal)) == pytest.approx(signal, abs=1e-9)


def test_hlg_has_the_values_of_the_standard() -> None:
    # BT.2100, table 5: both branches meet at 1/2; 75 percent is the reference white once the OOTF is applied.
    assert hdr.hlg_to_scene(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 1 / 12, 1], abs=1e-6)
    white = float(hdr.hlg_to_scene(np.array([0.75]))[0])
    assert 1000 * white**1.2 == pytest.approx(203, abs=0.5)


@pytest.mark.parametrize("peak", [203, 400, 1000, 4000, 10_000])
def test_tone_curve_keeps_the_dark_and_fits_the_peak(peak: int) -> None:
    nits = np.linspace(0, peak, 2000)
    shown = hdr.compressed(nits, peak)
    assert shown[0] == 0
    assert shown[-1] == pytest.approx(203, rel=1e-6)
    assert (np.diff(shown) > 0).all()
    assert (shown <= nits + 1e-9).all()
    # The knee of BT.2390 lies where the target is as far above it as the source's peak: what is below stays.
    dark = nits < 20
    assert shown[dark] == pytest.approx(nits[dark], rel=1e-9)
    assert hdr.compressed(np.array([3.0 * peak]), peak) == pytest.approx([203], rel=1e-6)


def test_tone_curve_is_smooth_at_the_knee() -> None:
    nits = np.linspace(60, 120, 4000)
    slopes = np.diff(hdr.compressed(nits, 1000)) / np.diff(nits)
    assert np.abs(np.diff(slopes)).max() < 0.01


@pytest.mark.parametrize("tags", [PQ, HLG, ColorTags("bt2020", "bt2020-10"), ColorTags("smpte432", "bt709")])
@pytest.mark.parametrize("peak", [0, 600, 4000])
def test_gray_stays_gray_and_is_monotone(tags: ColorTags, peak: int) -> None:
    mapping = hdr.sdr_mapping(tags, peak)
    assert mapping is not None
    gray = mapping(np.repeat(RAMP[None, :, None], 3, axis=2))[0]
    assert np.abs(gray - gray[:, :1]).max() < 2e-4
    assert gray[0].max() == 0
    assert (np.diff(gray[:, 1]) >= 0).all()
    assert gray[-1] == pytest.approx([1, 1, 1], abs=1e-3)


@pytest.mark.parametrize(("tags", "white"), [(PQ, 0.580689), (HLG, 0.75)])
def test_reference_white_is_bright_but_leaves_room_for_highlights(tags: ColorTags, white: float) -> None:
    mapping = hdr.sdr_mapping(tags, 0)
    assert mapping is not None
    level = 255 * mapping(np.full((1, 1, 3), round(white * 65535), np.uint16))[0, 0, 1]
    assert level == pytest.approx(229, abs=1)  # 162 of 203 cd/m2, by the spline of BT.2390


def test_primaries_are_those_of_the_display() -> None:
    """A color inside both gamuts keeps its light: BT.2020 values of a muted red give back that red."""
    red = np.array([0.5, 0.2, 0.15])
    wide = np.linalg.inv(np.array(hdr._TO_BT709["bt2020"])) @ red
    encoded = np.where(wide <= 0.0031308, wide * 12.92, 1.055 * wide ** (1 / 2.4) - 0.055)
    mapping = hdr.sdr_mapping(ColorTags("bt2020", "bt2020-10"), 0)
    assert mapping is not None
    shown = mapping(np.rint(encoded * 65535).astype(np.uint16)[None, None])[0, 0]
    assert shown == pytest.approx(1.055 * red ** (1 / 2.4) - 0.055, abs=1e-3)


def test_colors_outside_srgb_keep_their_order_and_never_clip() -> None:
    mapping = hdr.sdr_mapping(PQ, 1000)
    assert mapping is not None
    low = np.linspace(38000, 0, 200).astype(np.uint16)  # from gray to pure green of BT.2020
    greens = np.stack([low, np.full(200, 38000, np.uint16), low], axis=-1)[None]
    shown = mapping(greens)[0]
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (np.diff(shown[:, 0]) < 1e-6).all()
    assert shown[-1, 0] < 0.1


def test_soft_gamut_leaves_muted_colors_and_ends_at_the_border() -> None:
    muted = np.array([[[0.5, 0.3, 0.2]]], np.float32)
    np.testing.assert_allclose(hdr.soft_gamut(muted, 1.5), muted, rtol=1e-6)
    farthest = np.array([[[1.0, -0.5, 0.5]]], np.float32)
    np.testing.assert_allclose(hdr.soft_gamut(farthest, 1.5), [[[1, 0, 0.5]]], atol=1e-6)
    beyond = hdr.soft_gamut(np.array([[[-1.0, -0.5, -0.2]]], np.float32), 1.5)
    assert (beyond == 0).all()


def test_plain_video_has_no_mapping() -> None:
    assert hdr.sdr_mapping(ColorTags(), 0) is None
    assert hdr.sdr_mapping(ColorTags("bt709", "bt709"), 1000) is None
    assert hdr.sdr_mapping(ColorTags("smpte170m", "smpte170m"), 0) is None


def test_large_frames_are_mapped_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = hdr.sdr_mapping(HLG, 0)
    assert mapping is not None
    codes = np.random.default_rng(0).integers(0, 65536, (37, 20, 3)).astype(np.uint16)
    whole = mapping(codes)
    monkeypatch.setattr(hdr, "_BLOCK_PX", 100)
    np.testing.assert_array_equal(mapping(codes), whole)
