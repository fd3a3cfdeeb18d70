"""Detail of the content that is brought back: nothing where there is none, and edges without halos."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.config.finish import DetailSettings, FinishSettings
from pipeline.media.image import bands
from pipeline.media.image.depth import as_float
from pipeline.postprocess.detail import fuse_detail
from pipeline.postprocess.effect import FrameContext
from pipeline.postprocess.finish import finish
from tests.support.frames import RGB, blotches

ALL = {"fine": 1.0, "medium": 1.0, "coarse": 1.0}
EDGE_PX = 160


def fused(stylized: RGB, content: RGB, **amounts: float) -> RGB:
    settings = FinishSettings(follow_level=0, detail=DetailSettings(**amounts))
    return finish(stylized, content, settings, index=0, seed=0)


def step(dark: int, light: int) -> RGB:
    image = np.full((120, 320, 3), dark, np.uint8)
    image[:, EDGE_PX:] = light
    return image


def test_smooth_content_leaves_strokes_as_they_are() -> None:
    strokes = blotches(96, 128, 1)
    sky = np.full_like(strokes, 140)
    np.testing.assert_array_equal(fused(strokes, sky, **ALL), strokes)
    noise = np.random.default_rng(0).normal(140, 0.7, strokes.shape)
    noisy_sky = np.rint(noise).astype(np.uint8)
    assert np.abs(fused(strokes, noisy_sky, **ALL).astype(int) - strokes).mean() < 0.05 * strokes.std()


def test_image_that_is_its_content_is_unchanged() -> None:
    photo = blotches(96, 128, 2)
    assert int(np.abs(fused(photo, photo, **ALL).astype(int) - photo).max()) <= 1


def test_texture_of_the_content_appears_in_a_flat_image() -> None:
    texture = blotches(96, 128, 3, blur_px=1)
    result = fused(np.full_like(texture, 120), texture, fine=1, medium=1)
    luma = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float).ravel() for image in (result, texture)]
    assert np.corrcoef(luma)[0, 1] > 0.8
    np.testing.assert_array_equal(result[..., 0], result[..., 2])  # luma alone: the colors are the image's


def test_detail_in_bands_is_that_of_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    stylized, content = as_float(blotches(96, 512, 4)), blotches(96, 512, 5, blur_px=1)
    context, amount = FrameContext(content, 0, 0), DetailSettings(**ALL)
    found = []
    for size in (1, 1 << 20):
        monkeypatch.setattr(bands, "BAND_PX", size)
        found.append(fuse_detail(stylized, amount, context))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_size_of_the_detail_is_chosen() -> None:
    def grating(period_px: int) -> RGB:
        row = np.rint(120 + 30 * np.sin(2 * np.pi * np.arange(320) / period_px)).astype(np.uint8)
        return np.broadcast_to(row[np.newaxis, :, np.newaxis], (64, 320, 3)).copy()

    flat = np.full((64, 320, 3), 120, np.uint8)
    brought = {
        name: {period: float(fused(flat, grating(period), **{name: 1.0}).std()) for period in (3, 8, 40)}
        for name in ALL
    }
    for name, period in zip(ALL, (3, 8, 40), strict=True):
        others = [brought[name][other] for other in (3, 8, 40) if other != period]
        assert brought[name][period] > 1.5 * max(others), (name, brought)


@pytest.mark.parametrize("blur_px", [0, 2, 6])
def test_edge_becomes_as_sharp_as_that_of_the_content_without_a_halo(blur_px: float) -> None:
    content, stylized = step(60, 180), step(80, 160)
    if blur_px:
        stylized = np.asarray(cv2.GaussianBlur(stylized, (0, 0), blur_px), np.uint8)
    result = fused(stylized, content, **ALL)[60, :, 0].astype(int)
    height = 80
    assert result[EDGE_PX] - result[EDGE_PX - 1] >= stylized[60, EDGE_PX, 0] - int(stylized[60, EDGE_PX - 1, 0])
    assert result.min() >= 80 - 0.15 * height and result.max() <= 160 + 0.15 * height
    assert (result[:100] == 80).all() and (result[220:] == 160).all()
