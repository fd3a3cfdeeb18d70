"""Masks of a single frame: from pictures, from region colors, from ranges of lightness and hue."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.config.masks import MaskSettings
from pipeline.errors import ConfigError, InputError
from pipeline.masks.guided import apply_affine, enlarged, fit_affine
from pipeline.masks.labels import dominant_colors, label_mask, nearest_label
from pipeline.masks.picture import feathered, mask_of, read_mask
from pipeline.masks.ranges import hue_mask, luminance_mask, smoothstep

RED, GRAY, BLACK, WHITE = (220, 30, 30), (128, 128, 128), (0, 0, 0), (255, 255, 255)


def drawing() -> np.ndarray:
    """Four regions with antialiased edges: the mixture of black and white is the gray of a region elsewhere."""
    large = np.zeros((480, 640, 3), np.uint8)
    large[:, 320:] = WHITE
    cv2.circle(large, (320, 240), 130, BLACK, -1)
    large[400:, :200] = GRAY
    large[:100, 500:] = RED
    return cv2.resize(large, (160, 120), interpolation=cv2.INTER_AREA)


def index_of(labels: np.ndarray, color: tuple[int, int, int]) -> int:
    found = nearest_label(labels, color)
    assert found is not None and tuple(labels[found]) == color
    return found


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_regions_are_found_by_size() -> None:
    labels = dominant_colors(drawing())
    assert {tuple(color) for color in labels.tolist()} == {BLACK, WHITE, RED, GRAY}
    assert tuple(labels[0]) in (BLACK, WHITE) and tuple(labels[-1]) in (RED, GRAY)


def test_masks_of_all_regions_add_up_to_one() -> None:
    picture = drawing()
    labels = dominant_colors(picture)
    total = sum(label_mask(picture, labels, index) for index in range(len(labels)))
    assert np.abs(total - 1).max() < 1e-6


def test_mixture_of_two_regions_is_no_halo_of_a_third() -> None:
    """Between black and white lies gray, which is a region of its own in another place."""
    picture = drawing()
    labels = dominant_colors(picture)
    gray = label_mask(picture, labels, index_of(labels, GRAY))
    assert gray[:95].max() == 0
    assert gray[105:115, 5:45].min() == 1


def test_antialiased_edge_is_the_covered_fraction() -> None:
    picture = drawing()
    labels = dominant_colors(picture)
    red = label_mask(picture, labels, index_of(labels, RED))
    large = np.zeros((480, 640), np.float32)
    large[:100, 500:] = 1
    assert np.abs(red - cv2.resize(large, (160, 120), interpolation=cv2.INTER_AREA)).max() < 0.02


def test_unknown_color_lists_those_that_are_there() -> None:
    with pytest.raises(ConfigError, match="#00ff00") as caught:
        mask_of(drawing(), "#00ff00", (160, 120), name="map.png")
    assert all(color in caught.value.message for color in ("#dc1e1e", "#808080", "#000000", "#ffffff"))


def test_color_of_a_compressed_picture_is_found(tmp_path: Path) -> None:
    path = tmp_path / "map.jpg"
    Image.fromarray(drawing()).save(path, quality=85)
    red = read_mask(path, "#ff2020", (160, 120))
    assert red[2:22, 128:158].min() > 0.9 and red[40:, :].max() < 0.1


def test_gray_level_is_the_mask(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (144, 1))
    mask = read_mask(save(tmp_path / "ramp.png", ramp), None, (256, 144))
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask[0], np.arange(256) / 255, atol=1e-6)


@pytest.mark.parametrize("size", [(320, 240), (80, 60), (57, 43)])
def test_resized_mask_keeps_its_mean(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = np.zeros((120, 160), np.uint8)
    picture[30:90, 40:120] = 255
    mask = read_mask(save(tmp_path / "m.png", picture), None, size)
    assert mask.shape == size[::-1]
    assert mask.mean() == pytest.approx(0.25, abs=0.01) and mask.min() == 0 and mask.max() == 1


@pytest.mark.parametrize("color", [WHITE, BLACK, RED])
def test_opacity_is_the_mask_of_a_shape_of_one_color(tmp_path: Path, color: tuple[int, int, int]) -> None:
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[..., :3] = color
    rgba[20:40, 20:60, 3] = 255
    mask = read_mask(save(tmp_path / "shape.png", rgba), None, (80, 60))
    assert mask[30, 40] == 1 and mask[5, 5] == 0


def test_opacity_is_turned_upright_as_the_pixels_are(tmp_path: Path) -> None:
    rgba = np.zeros((80, 60, 4), np.uint8)
    rgba[:40, :, 3] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right: what is stored at the top is at the right
    Image.fromarray(rgba).save(tmp_path / "turned.png", exif=exif)
    mask = read_mask(tmp_path / "turned.png", None, (80, 60))
    assert mask[:, 45:].min() == 1 and mask[:, :35].max() == 0


def test_other_aspect_is_refused_with_both_sizes(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.zeros((300, 300), np.uint8))
    with pytest.raises(ConfigError, match=r"300x300 px.*640x360 px"):
        read_mask(path, None, (640, 360))
    assert read_mask(path, None, (301, 300)).shape == (300, 301)


def test_unreadable_pictures_are_input_errors(tmp_path: Path) -> None:
    broken = tmp_path / "m.png"
    broken.write_bytes(save(tmp_path / "good.png", drawing()).read_bytes()[:200])
    for path in (broken, tmp_path / "missing.png"):
        with pytest.raises(InputError):
            read_mask(path, None, (160, 120))


def test_settings_refuse_a_luminance_range_backwards() -> None:
    with pytest.raises(ValueError, match="darker to brighter"):
        MaskSettings(luminance=(0.8, 0.2))


@given(st.floats(0.05, 0.95), st.floats(0, 1))
def test_luminance_ranges_that_adjoin_add_up_to_one(bound: float, softness: float) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    dark, bright = luminance_mask(ramp, (0, bound), softness), luminance_mask(ramp, (bound, 1), softness)
    np.testing.assert_allclose(dark + bright, 1, atol=1e-6)
    assert (np.diff(bright[0]) >= 0).all() and (bright[0, 0] == 0 or softness > bound)


def test_hard_luminance_range_is_a_step() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    mask = luminance_mask(ramp, (0.4, 0.7), 0.0)[0]
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert np.diff(mask).nonzero()[0].size == 2


def hsv_wheel() -> np.ndarray:
    """Pure colors of 360 hues, (1, 360, 3)."""
    hsv = np.stack(np.broadcast_arrays(np.arange(360, dtype=np.float32)[None], 1.0, 1.0), axis=-1).astype(np.float32)
    return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)


def test_hue_range_goes_through_zero() -> None:
    mask = hue_mask(hsv_wheel(), (330, 30), 0.05)[0]
    assert mask[[340, 350, 0, 10, 20]].min() == 1
    assert mask[40:320].max() == 0
    np.testing.assert_allclose(mask[1:180], mask[:180:-1], atol=0.05)


@given(st.integers(0, 359), st.integers(20, 300))
def test_hue_mask_turns_with_its_range(first: int, width: int) -> None:
    turned = hue_mask(hsv_wheel(), (first, (first + width) % 360), 0.1)[0]
    np.testing.assert_allclose(np.roll(turned, -first), hue_mask(hsv_wheel(), (0, width), 0.1)[0], atol=0.05)


def test_gray_has_no_hue() -> None:
    gray = np.full((4, 4, 3), (130, 128, 127), np.uint8)
    assert hue_mask(gray, (0, 360), 0.1).max() == 0
    assert hue_mask(hsv_wheel(), (0, 360), 0.1).min() == 1


def test_smoothstep_is_symmetric() -> None:
    t = np.linspace(-1, 2, 31, dtype=np.float32)
    np.testing.assert_allclose(smoothstep(0, 1, t) + smoothstep(0, 1, 1 - t), 1, atol=1e-6)


def test_feather_is_a_gaussian_of_the_longer_side() -> None:
    mask = np.zeros((100, 200), np.float32)
    mask[:, 100:] = 1
    row = feathered(mask, 0.05)[50]
    assert row[100] == pytest.approx(0.52, abs=0.01)
    assert row[110] == pytest.approx(0.853, abs=0.01)  # the normal distribution at 10.5 px of 10
    assert feathered(mask, 0) is mask


def test_guided_filter_keeps_a_mask_that_is_affine_in_the_guide() -> None:
    guide = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    mask = (0.1 + guide @ np.array([0.3, 0.2, 0.3]) / 255).astype(np.float32)
    fitted = apply_affine(fit_affine(guide, mask, radius_px=4, epsilon=1e-7), guide)
    np.testing.assert_allclose(fitted, mask, atol=2e-3)


def test_guided_filter_moves_a_coarse_edge_onto_that_of_the_content() -> None:
    content = np.full((120, 160, 3), 40, np.uint8)
    content[:, 83:] = (200, 180, 160)
    coarse = np.zeros((30, 40), np.float32)
    coarse[:, 21:] = 1
    mask = enlarged(coarse, content, radius_px=4, epsilon=1e-4)
    assert mask[:, :82].max() < 0.1 and mask[:, 84:].min() > 0.9


def test_guided_filter_continues_what_is_known_by_color() -> None:
    """Unknown pixels, of weight near 0, get the mask of known pixels of their color."""
    content = np.full((60, 60, 3), 50, np.uint8)
    content[:, 30:] = 200
    truth = (content[..., 0] > 100).astype(np.float32)
    known = np.full((60, 60), 1e-4, np.float32)
    known[:25] = known[35:] = 1
    guess = np.where(known == 1, truth, np.float32(0.5))
    fitted = apply_affine(fit_affine(content, guess, radius_px=8, epsilon=1e-4, weight=known), content)
    assert np.abs(fitted - truth).max() < 0.05
