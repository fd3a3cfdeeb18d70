"""The stylers without a network: their colors come from the painting, and they hold still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.stylers.palette import PaletteStyler, distances, style_palette
from pipeline.stylers.superpixel import SuperpixelStyler, superpixels
from pipeline.types import FrameBatch, Styler

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANDOM = np.random.default_rng(3)


def scene(noise: float = 0.0, seed: int = 0) -> NDArray[np.uint8]:
    """A sky, a hill and a sun, 60x80, with sensor noise."""
    y, x = np.mgrid[:60, :80].astype(np.float64)
    picture = np.dstack([90 + y, 130 + y, np.full_like(y, 210)])
    picture[y > 38 + 6 * np.sin(x / 9)] = (60, 110, 40)
    picture[(x - 55) ** 2 + (y - 14) ** 2 < 64] = (250, 230, 120)
    picture += np.random.default_rng(seed).normal(0, noise, picture.shape)
    return np.asarray(np.rint(np.clip(picture, 0, 255)), np.uint8)


def style_image() -> NDArray[np.uint8]:
    """Four flat colors of unequal share."""
    colors = np.array([(20, 30, 60), (200, 60, 30), (240, 220, 150), (60, 120, 130)], np.uint8)
    return np.asarray(colors[RANDOM.choice(4, (50, 50), p=[0.5, 0.3, 0.15, 0.05])], np.uint8)


def tensor(*pictures: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def batch(*pictures: NDArray[np.uint8]) -> FrameBatch:
    return FrameBatch("cold", tensor(*pictures), None, tuple(range(len(pictures))))


def stylers() -> list[Styler]:
    return [PaletteStyler([style_image()], 6, 1), SuperpixelStyler([style_image()], 60, 1)]


@pytest.mark.parametrize("styler", stylers(), ids=["palette", "superpixel"])
def test_a_batch_is_its_frames(styler: Styler) -> None:
    pictures = [scene(), scene(5, 1), RANDOM.integers(0, 256, (60, 80, 3), dtype=np.uint8)]
    together = styler.stylize(batch(*pictures))
    assert together.images.shape == (3, 3, 60, 80)
    assert together.images.dtype == torch.float32
    assert float(together.images.min()) >= 0
    assert float(together.images.max()) <= 1
    for number, picture in enumerate(pictures):
        alone = styler.stylize(batch(picture))
        assert torch.equal(alone.images[0], together.images[number])
        assert alone.stats[0] == together.stats[number]
        assert alone.stats[0].evaluations == 1
        difference = float(((alone.images - tensor(picture)) ** 2).mean())
        assert alone.stats[0].loss == pytest.approx(difference, rel=1e-5)


def test_the_same_arguments_give_the_same_frames() -> None:
    style = style_image()
    for make in (lambda: PaletteStyler([style], 8, 5), lambda: SuperpixelStyler([style], 80, 5)):
        assert torch.equal(make().stylize(batch(scene())).images, make().stylize(batch(scene())).images)


def test_the_palette_has_the_painting_s_colors() -> None:
    palette = srgb_from_oklab(style_palette([style_image()], 4, 0)).astype(int)
    assert palette.shape == (4, 3)
    # moved apart a little, so near but not equal; sorted from dark to light
    for color, wanted in zip(palette, [(20, 30, 60), (60, 120, 130), (200, 60, 30), (240, 220, 150)], strict=True):
        assert np.abs(color - wanted).max() < 40
    assert (np.diff(style_palette([style_image()], 4, 0)[:, 0]) >= 0).all()


def test_more_colors_than_the_painting_has_are_no_problem() -> None:
    flat = np.full((9, 9, 3), 120, np.uint8)
    assert PaletteStyler([flat, flat], 16, 0).paint(scene()).shape == (60, 80, 3)


def test_a_print_is_flat() -> None:
    styler = PaletteStyler([style_image()], 4, 0)
    result = oklab_from_srgb(styler.paint(scene()))
    nearest = distances(result.reshape(-1, 3), styler.palette).min(axis=1)
    assert float((nearest < 0.01).mean()) > 0.9  # all but the contours


def test_the_previous_frame_steadies_a_noisy_one() -> None:
    styler = PaletteStyler([style_image()], 6, 0)
    ramp = np.broadcast_to(np.linspace(20, 235, 80)[np.newaxis, :, np.newaxis], (60, 80, 3))
    noise = np.random.default_rng(1).normal(0, 8, (2, 60, 80, 3))
    first, second = (np.asarray(np.rint(np.clip(ramp + part, 0, 255)), np.uint8) for part in noise)
    before = styler.paint(first)
    free = np.abs(styler.paint(second).astype(int) - before).mean()
    held = np.abs(styler.paint(second, before).astype(int) - before).mean()
    untrusted = styler.paint(second, before, np.zeros((60, 80), np.float32))
    assert held < free / 2
    np.testing.assert_array_equal(untrusted, styler.paint(second))


def test_warm_batches_use_the_previous_frame() -> None:
    styler = PaletteStyler([style_image()], 6, 0)
    before = styler.paint(scene(6, 1))
    content = tensor(scene(6, 2))
    warm = FrameBatch("warm", content, None, (0,), tensor(before), torch.ones(1, 1, 60, 80))
    expected = styler.paint(scene(6, 2), before, np.ones((60, 80), np.float32))
    assert torch.equal(styler.stylize(warm).images, tensor(expected))


def test_cells_follow_edges_and_cover_the_picture() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 33:] = 255  # not on the grid
    labels, means = superpixels(picture, 24, 0)
    assert labels.shape == (40, 60)
    assert 16 <= len(means) <= 32
    assert not set(np.unique(labels[:, :33])) & set(np.unique(labels[:, 33:]))
    for label in np.unique(labels):
        ys, xs = np.nonzero(labels == label)
        assert np.ptp(ys) < 30
        assert np.ptp(xs) < 30


def test_cells_hold_still_under_noise() -> None:
    labels = [superpixels(scene(3, seed), 60, 0)[0] for seed in (1, 2)]
    assert float((labels[0] == labels[1]).mean()) > 0.93


def test_borders_can_be_left_out() -> None:
    plain = SuperpixelStyler([style_image()], 60, 0, border=0).paint(scene())
    leaded = SuperpixelStyler([style_image()], 60, 0).paint(scene())
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) <= 70
    assert leaded.mean() < plain.mean()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 1)])
def test_tiny_frames(size: tuple[int, int]) -> None:
    picture = RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)
    for styler in (PaletteStyler([style_image()], 12, 0), SuperpixelStyler([style_image()], 900, 0)):
        assert styler.paint(picture).shape == picture.shape
