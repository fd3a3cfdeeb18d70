"""The stylers without a network: their colors come from the style images, and noise does not make them flicker."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.media.image.palette import color_distances
from pipeline.stylers.cells import CellGrid, lines_between, previous_cells
from pipeline.stylers.colors import smooth_regions, style_palette
from pipeline.stylers.palette import PaletteStyler
from pipeline.stylers.superpixel import SuperpixelStyler
from pipeline.types import FrameBatch, Styler

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANDOM = np.random.default_rng(3)


def scene(noise: float = 0.0, seed: int = 0) -> NDArray[np.uint8]:
    """A sky, a hill and a sun, 60x80, with sensor noise."""
    y, x = np.mgrid[:60, :80].astype(np.float64)
    image = np.dstack([90 + y, 130 + y, np.full_like(y, 210)])
    image[y > 38 + 6 * np.sin(x / 9)] = (60, 110, 40)
    image[(x - 55) ** 2 + (y - 14) ** 2 < 64] = (250, 230, 120)
    image += np.random.default_rng(seed).normal(0, noise, image.shape)
    return np.asarray(np.rint(np.clip(image, 0, 255)), np.uint8)


def style_image() -> NDArray[np.uint8]:
    """Four colors, from half of the pixels to a twentieth."""
    colors = np.array([(20, 30, 60), (200, 60, 30), (240, 220, 150), (60, 120, 130)], np.uint8)
    return np.asarray(colors[RANDOM.choice(4, (50, 50), p=[0.5, 0.3, 0.15, 0.05])], np.uint8)


def tensor(*images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def batch(*images: NDArray[np.uint8]) -> FrameBatch:
    return FrameBatch("cold", tensor(*images), None, tuple(range(len(images))))


@pytest.fixture(params=["palette", "superpixel"])
def styler(request: pytest.FixtureRequest) -> PaletteStyler | SuperpixelStyler:
    if request.param == "palette":
        return PaletteStyler([style_image()], 6, 1)
    return SuperpixelStyler([style_image()], 60, 1)


def test_frames_of_a_batch_equal_frames_alone(styler: Styler) -> None:
    images = [scene(), scene(5, 1), RANDOM.integers(0, 256, (60, 80, 3), dtype=np.uint8)]
    together = styler.stylize(batch(*images))
    assert together.images.shape == (3, 3, 60, 80)
    assert together.images.dtype == torch.float32
    assert float(together.images.min()) >= 0
    assert float(together.images.max()) <= 1
    for number, image in enumerate(images):
        alone = styler.stylize(batch(image))
        assert torch.equal(alone.images[0], together.images[number])
        assert alone.stats[0] == together.stats[number]
        assert alone.stats[0].evaluations == 1
        difference = float(((alone.images - tensor(image)) ** 2).mean())
        assert alone.stats[0].loss == pytest.approx(difference, rel=1e-5)


def test_same_arguments_give_the_same_frames() -> None:
    style = style_image()
    for make in (lambda: PaletteStyler([style], 8, 5), lambda: SuperpixelStyler([style], 80, 5)):
        assert torch.equal(make().stylize(batch(scene())).images, make().stylize(batch(scene())).images)


def test_palette_has_the_colors_of_the_style_image() -> None:
    palette = srgb_from_oklab(style_palette([style_image()], 4, 0)).astype(int)
    assert palette.shape == (4, 3)
    # The colors are moved apart a little, so they are near but not equal; they are sorted from dark to light.
    for color, wanted in zip(palette, [(20, 30, 60), (60, 120, 130), (200, 60, 30), (240, 220, 150)], strict=True):
        assert np.abs(color - wanted).max() < 40
    assert (np.diff(style_palette([style_image()], 4, 0)[:, 0]) >= 0).all()


def test_palette_larger_than_the_colors_of_the_style_image_is_allowed() -> None:
    gray = np.full((9, 9, 3), 120, np.uint8)
    assert PaletteStyler([gray, gray], 16, 0).stylize_frame(scene()).shape == (60, 80, 3)


def test_palette_frames_have_few_colors() -> None:
    styler = PaletteStyler([style_image()], 4, 0)
    result = oklab_from_srgb(styler.stylize_frame(scene()))
    nearest = color_distances(result.reshape(-1, 3), styler.palette).min(axis=1)
    assert float((nearest < 0.01).mean()) > 0.9  # all but the contours


def test_noise_changes_a_warm_palette_frame_less_than_half_as_much() -> None:
    styler = PaletteStyler([style_image()], 6, 0)
    ramp = np.broadcast_to(np.linspace(20, 235, 80)[np.newaxis, :, np.newaxis], (60, 80, 3))
    noise = np.random.default_rng(1).normal(0, 8, (2, 60, 80, 3))
    first, second = (np.asarray(np.rint(np.clip(ramp + part, 0, 255)), np.uint8) for part in noise)
    before = styler.stylize_frame(first)
    cold = np.abs(styler.stylize_frame(second).astype(int) - before).mean()
    warm = np.abs(styler.stylize_frame(second, before).astype(int) - before).mean()
    assert warm < cold / 2


def test_warm_frame_without_confidence_equals_a_cold_one(styler: PaletteStyler | SuperpixelStyler) -> None:
    no_confidence = np.zeros((60, 80), np.float32)
    warm = styler.stylize_frame(scene(4, 2), styler.stylize_frame(scene(4, 1)), no_confidence)
    np.testing.assert_array_equal(warm, styler.stylize_frame(scene(4, 2)))


def test_warm_batches_use_the_previous_frame(styler: PaletteStyler | SuperpixelStyler) -> None:
    before = styler.stylize_frame(scene(6, 1))
    content = tensor(scene(6, 2))
    warm = FrameBatch("warm", content, None, (0,), tensor(before), torch.ones(1, 1, 60, 80))
    expected = styler.stylize_frame(scene(6, 2), before, np.ones((60, 80), np.float32))
    assert torch.equal(styler.stylize(warm).images, tensor(expected))


def test_static_scene_with_noise_is_steadier_than_its_content(styler: PaletteStyler | SuperpixelStyler) -> None:
    """Forty frames: the first ten may settle; later ones neither flicker nor drift."""
    contents = [scene(3, seed) for seed in range(40)]
    frames = [styler.stylize_frame(contents[0])]
    for content in contents[1:]:
        frames.append(styler.stylize_frame(content, frames[-1]))
    changes = [
        [np.abs(after.astype(int) - before).mean() for before, after in itertools.pairwise(clip[10:])]
        for clip in (contents, frames)
    ]
    assert np.mean(changes[1]) < 0.5 * np.mean(changes[0])
    assert abs(frames[-1].mean() - frames[10].mean()) < 1


def test_superpixels_follow_a_lasting_change_of_the_content() -> None:
    styler = SuperpixelStyler([style_image()], 60, 1)
    dark, light = scene() // 3, scene()
    frame = styler.stylize_frame(dark)
    for _ in range(3):
        frame = styler.stylize_frame(light, frame)
    wanted = styler.stylize_frame(light)
    assert (
        np.abs(frame.astype(int) - wanted).mean() < 0.3 * np.abs(styler.stylize_frame(dark).astype(int) - wanted).mean()
    )


def cut(rgb: NDArray[np.uint8], cells: int) -> tuple[NDArray[np.int32], CellGrid]:
    grid = CellGrid(oklab_from_srgb(smooth_regions(rgb)), cells, 0)
    return grid.cut()[0], grid


def test_cells_follow_edges_and_cover_the_frame() -> None:
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:, 33:] = 255  # not on the grid
    labels, grid = cut(rgb, 24)
    assert labels.shape == (40, 60)
    assert 16 <= grid.count <= 32
    assert not set(np.unique(labels[:, :33])) & set(np.unique(labels[:, 33:]))
    for label in np.unique(labels):
        ys, xs = np.nonzero(labels == label)
        assert np.ptp(ys) < 30
        assert np.ptp(xs) < 30


def test_cells_under_noise_keep_most_pixels() -> None:
    labels = [cut(scene(3, seed), 60)[0] for seed in (1, 2)]
    assert float((labels[0] == labels[1]).mean()) > 0.93


@pytest.mark.parametrize("border_width", [0.1, 0.0])
def test_cells_are_found_again_in_the_stylized_frame(border_width: float) -> None:
    labels, grid = cut(scene(), 60)
    frame = SuperpixelStyler([style_image()], 60, 0, border_width=border_width).stylize_frame(scene())
    found = previous_cells(frame, np.ones((60, 80), np.float32), grid.mesh_px, 2 if border_width else 0)
    pairs, sizes = np.unique(np.stack([found, labels])[:, found >= 0], axis=1, return_counts=True)
    same = sum(int(sizes[pairs[0] == label].max()) for label in np.unique(pairs[0]))
    # Without lines, neighbors of about one color are one cell.
    assert same > (0.85 if border_width else 0.75) * found.size


def moved(frame: NDArray[np.uint8], by_px: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The frame moved to the left, and where it is known."""
    confidence = np.ones(frame.shape[:2], np.float32)
    confidence[:, -by_px:] = 0
    return np.concatenate([frame[:, by_px:], np.repeat(frame[:, -1:], by_px, axis=1)], axis=1), confidence


@pytest.mark.parametrize("border_width", [0.1, 0.0])
def test_cells_move_with_what_they_show(border_width: float) -> None:
    """A camera that pans by 3 px a frame, over most of its view."""
    y, x = np.mgrid[:72, :220].astype(np.float64)
    view = np.dstack([120 + 50 * np.sin(x / 17), 120 + 40 * np.cos(y / 13 + x / 40), 90 + 0.5 * x]).astype(np.uint8)
    styler = SuperpixelStyler([style_image()], 40, 1, border_width=border_width)
    frame = styler.stylize_frame(np.ascontiguousarray(view[:, :112]))
    changes, again = [], []
    for start in range(3, 90, 3):
        content = np.ascontiguousarray(view[:, start : start + 112])
        carried, confidence = moved(frame, 3)
        after = styler.stylize_frame(content, carried, confidence)
        changes.append(np.abs(after[:, 20:-20].astype(int) - carried[:, 20:-20]).mean())
        again.append(np.abs(styler.stylize_frame(content)[:, 20:-20].astype(int) - carried[:, 20:-20]).mean())
        frame = after
    assert np.mean(changes[3:]) < 0.4 * np.mean(again[3:])


def test_cells_carried_by_a_known_shift_keep_their_pixels() -> None:
    lab = oklab_from_srgb(np.full((48, 64, 3), 128, np.uint8))
    grid = CellGrid(lab, 12, 0)
    labels, _ = grid.cut()
    kept = np.concatenate([labels[:, 5:], np.full((48, 5), -1, np.int32)], axis=1)
    carried, _, seeds = grid.carry(kept, np.ones((48, 64), np.float32))
    inside = np.s_[:, 16:48]
    assert float((carried[inside] == kept[inside]).mean()) > 0.97
    assert (seeds[: labels.max() + 1] == -1).all()


def test_cells_of_nothing_kept_are_those_of_a_cold_frame() -> None:
    labels, grid = cut(scene(), 60)
    carried, _, seeds = grid.carry(np.full((60, 80), -1, np.int32), np.zeros((60, 80), np.float32))
    np.testing.assert_array_equal(carried, labels)
    np.testing.assert_array_equal(seeds, np.arange(grid.count))


def test_lines_between_cells_are_dark_and_symmetric() -> None:
    labels = np.repeat(np.array([[0] * 9 + [1] * 9], np.int32), 12, axis=0)
    lines = lines_between(labels, 2)
    np.testing.assert_allclose(lines, lines[:, ::-1], atol=1e-6)
    assert lines[:, 8:10].min() > 0.6 and lines[:, :5].max() < 0.01


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 1)])
def test_tiny_frames_keep_their_shape(size: tuple[int, int]) -> None:
    image = RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)
    for styler in (PaletteStyler([style_image()], 12, 0), SuperpixelStyler([style_image()], 900, 0)):
        assert styler.stylize_frame(image).shape == image.shape
