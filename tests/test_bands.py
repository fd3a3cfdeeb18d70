"""Finishing band by band and on several threads: neither changes the result."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.config.finish import FinishSettings
from pipeline.execute.in_order import map_in_order
from pipeline.media.image import bands
from pipeline.media.image.color_transfer import color_transfer
from pipeline.media.image.depth import as_float, to_8_bit
from pipeline.media.image.oklab import image_from_oklab, oklab_from_image, oklab_from_srgb, srgb_from_oklab
from pipeline.media.image.palette import color_distances, nearest_colors
from pipeline.postprocess.blend import MODES, blend
from pipeline.postprocess.effect import Level
from pipeline.postprocess.finish import finish
from pipeline.postprocess.lut import Lut
from pipeline.postprocess.palette import SOFTNESS
from pipeline.postprocess.shot_look import shot_look

if TYPE_CHECKING:
    from pipeline.types import Pixels
    from tests.support.frames import RGB

RANDOM = np.random.default_rng(11)
CONTENT, *STYLIZED = RANDOM.integers(0, 256, (5, 46, 61, 3), dtype=np.uint8)
LUT = Lut(RANDOM.random((5, 5, 5, 3), np.float32), np.zeros(3, np.float32), np.ones(3, np.float32))
COLORS = RANDOM.integers(60, 180, (500, 3), dtype=np.uint8)
DEEP_NOISE = 64  # of 65535: a quarter of a level of 8 bits
LEVEL = Level(own=0.2, reference=0.5, contrast=0.4)
GRADE = {
    "temperature": 0.3,
    "contrast": 1.3,
    "curves": {"luma": [[0, 0.02], [0.5, 0.4], [1, 1]], "red": [[0, 0], [0.5, 0.6], [1, 1]]},
    "saturation": 1.4,
    "lut": "look.cube",
    "lut_amount": 0.6,
    "vignette": 0.4,
}
ALL: dict[str, Any] = {
    "follow_level": 0.8,
    "match_light": 0.5,
    "match_color": 0.7,
    "color_method": "histogram",
    "preserve_color": 0.4,
    "detail": {"fine": 0.7, "medium": 0.4},
    "sharpen": 0.3,
    "grade": GRADE,
    "grain": 0.02,
}


def finished(index: int, changes: dict[str, Any], lut: Lut | None = LUT, *, deep: bool = False) -> Pixels:
    settings = FinishSettings.model_validate({"follow_level": 0, **changes})
    look = shot_look(STYLIZED, COLORS, settings, 0, lambda *_: STYLIZED)
    return finish(STYLIZED[index], CONTENT, settings, index=index, seed=3, level=LEVEL, lut=lut, look=look, deep=deep)


@pytest.mark.parametrize("changes", [ALL, {"palette": 5}, {"match_color": 1}, {"grade": {"vignette": 0.5}}])
def test_effects_in_bands_are_those_of_the_whole_image(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """But for the last bits, in which OpenCV rounds the end of a row of pixels differently."""
    found = []
    for size in (1, 300, 1 << 20):
        monkeypatch.setattr(bands, "BAND_PX", size)
        found.append(finished(0, changes, deep=True).astype(int))
    for cut in found[:2]:
        assert (np.abs(cut - found[2]) <= DEEP_NOISE).mean() > 0.999


@pytest.mark.parametrize("mode", MODES)
def test_layers_in_bands_are_those_of_the_whole_image(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    backdrop, mask = as_float(CONTENT), RANDOM.random(CONTENT.shape[:2], np.float32)
    whole = [blend(backdrop, STYLIZED[0], mode, alpha) for alpha in (0.3, mask)]
    monkeypatch.setattr(bands, "BAND_PX", 100)
    for alpha, image in zip((0.3, mask), whole, strict=True):
        np.testing.assert_array_equal(
            blend(backdrop, as_float(STYLIZED[0]), mode, alpha), blend(backdrop, STYLIZED[0], mode, alpha)
        )
        np.testing.assert_allclose(blend(backdrop, STYLIZED[0], mode, alpha), image, atol=DEEP_NOISE / 65535)


def test_frames_are_the_same_on_any_number_of_threads() -> None:
    def frames(threads: int) -> list[Pixels]:
        lut = Lut(LUT.table, LUT.low, LUT.high)  # what is prepared at its first use is prepared by one of the threads

        def items() -> Generator[int]:
            yield from range(4)

        return list(map_in_order(lambda index: finished(index, ALL, lut), items(), threads))

    one = frames(1)
    for threads in (2, 5):
        np.testing.assert_array_equal(one, frames(threads))


@pytest.mark.parametrize("method", ["gaussian", "histogram"])
def test_transfer_of_an_image_is_that_of_its_pixels(method: Any) -> None:
    transfer = color_transfer(STYLIZED[0], COLORS, method)
    image = as_float(STYLIZED[1])
    moved = transfer.of_image(image, oklab_from_image(image))
    np.testing.assert_allclose(moved, transfer(STYLIZED[1]), atol=2e-4)
    white = np.ones((1, 1, 3), np.float32)
    np.testing.assert_array_equal(transfer.of_image(white * 3, white), transfer.of_image(white, white))


def test_palette_of_a_frame_is_that_of_its_pixels() -> None:
    settings = FinishSettings(follow_level=0, palette=5)
    palette = shot_look(STYLIZED, None, settings, 0, lambda *_: STYLIZED).palette
    assert palette is not None
    distances = color_distances(oklab_from_srgb(STYLIZED[0]).reshape(-1, 3), palette)
    wanted = srgb_from_oklab(nearest_colors(distances, palette, SOFTNESS)).reshape(STYLIZED[0].shape)
    assert np.abs(finished(0, {"palette": 5}).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("chroma", [0.5, 1.6, 4.0])
def test_colors_outside_the_gamut_are_those_of_8_bit_frames(chroma: float) -> None:
    lab = oklab_from_srgb(STYLIZED[0]) * np.array([1, chroma, chroma], np.float32)
    off = np.abs(to_8_bit(image_from_oklab(lab)).astype(int) - srgb_from_oklab(lab))
    assert (off <= 1).mean() > 0.9995


def test_oklab_of_pixels_is_that_of_the_same_image() -> None:
    deep: RGB | Pixels = RANDOM.integers(0, 1 << 16, (9, 8, 3), dtype=np.uint16)
    for pixels in (CONTENT, deep):
        np.testing.assert_allclose(oklab_from_image(pixels), oklab_from_image(as_float(pixels)), atol=1e-5)


def test_lut_of_one_dimension_with_as_many_entries_as_can_be() -> None:
    table = np.linspace(0, 1, 1 << 16, dtype=np.float32)[:, np.newaxis] * np.array([1, 0.5, -1], np.float32)
    lut = Lut(table, np.zeros(3, np.float32), np.ones(3, np.float32))
    settings = FinishSettings.model_validate({"follow_level": 0, "grade": {"lut": str(Path("line.cube"))}})
    result = finish(CONTENT, CONTENT, settings, index=0, seed=0, lut=lut)
    np.testing.assert_array_equal(result[..., 0], CONTENT[..., 0])
    assert not result[..., 2].any()
