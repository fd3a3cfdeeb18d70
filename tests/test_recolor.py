"""Recoloring: the linear map between the colors of images, and of several style images."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.media.image.recolor import color_gaussian, linear_map, style_map
from pipeline.types import ColorGaussian, StyleColors

Image = NDArray[np.float32]


def colors(seed: int, spread: tuple[float, float, float] = (0.1, 0.1, 0.1), mean: float = 0.5) -> Image:
    """Correlated colors (40, 50, 3) around a gray."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(40, 50, 3)) @ (np.eye(3) + 0.3 * random.normal(size=(3, 3)))
    return np.asarray(mean + mixed * spread, np.float32)


def test_mapped_colors_have_the_mean_and_covariance_of_the_target() -> None:
    source, target = colors(1), colors(2, (0.05, 0.2, 0.1), 0.3)
    found = color_gaussian(linear_map(color_gaussian(source), color_gaussian(target))(source))
    np.testing.assert_allclose(found.mean, target.mean(axis=(0, 1)), atol=1e-4)
    np.testing.assert_allclose(found.covariance, np.cov(target.reshape(-1, 3), rowvar=False), atol=5e-4)


def test_colors_that_are_alike_already_are_not_moved() -> None:
    source = color_gaussian(colors(1))
    found = linear_map(source, source)
    np.testing.assert_allclose(found.matrix, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(found.offset, 0, atol=1e-9)


def test_map_is_symmetric_so_that_light_stays_light() -> None:
    matrix = linear_map(color_gaussian(colors(1)), color_gaussian(colors(2))).matrix
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_content_of_one_color_is_mapped_to_the_mean_of_the_style() -> None:
    gray = np.full((8, 8, 3), 77, np.uint8)
    target = color_gaussian(colors(2, mean=0.3))
    mapped = linear_map(color_gaussian(gray), target)(np.asarray(gray / np.float32(255), np.float32))
    np.testing.assert_allclose(mapped[0, 0], target.mean, atol=1e-5)


def test_several_style_images_count_by_their_weights() -> None:
    content = color_gaussian(colors(3))
    dark, light = ColorGaussian(np.full(3, 0.2), np.eye(3) * 0.01), ColorGaussian(np.full(3, 0.8), np.eye(3) * 0.04)
    source = colors(3)
    mixed = style_map(content, StyleColors((dark, light), (75.0, 25.0)))(source)
    assert mixed.mean() == pytest.approx(0.75 * 0.2 + 0.25 * 0.8, abs=1e-3)
    alone = style_map(content, StyleColors((dark, light), (0.0, 3.0)))(source)
    np.testing.assert_allclose(alone, linear_map(content, light)(source), atol=1e-6)
