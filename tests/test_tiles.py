"""The objective in tiles against the objective of the whole frame."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.config.losses import LossSettings
from pipeline.encoders.load import load_encoder
from pipeline.encoders.network import Encoder
from pipeline.optimize.objective import Objective, style_target
from pipeline.optimize.tiles import make_tiles


def smooth(height: int, width: int, seed: int) -> Tensor:
    """An image with detail of all sizes."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(1, 3, height, width)
    for side in (4, 16, 64):
        coarse = torch.rand((1, 3, max(2, height // side), max(2, width // side)), generator=generator)
        image += torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic") / 3
    return (image + 0.05 * torch.randn(image.shape, generator=generator)).clamp(0, 1)


@given(length=st.integers(1, 700), side=st.integers(16, 300), depth=st.integers(0, 4), reach=st.integers(0, 90))
def test_spans_cover_every_position_of_every_layer_once(length: int, side: int, depth: int, reach: int) -> None:
    deepest = 2**depth
    if length < deepest:
        return
    tiles = make_tiles(length, 64, side, stride=deepest, reach_px=reach)
    spans = list(dict.fromkeys(tile.rows for tile in tiles))
    for stride in (2**k for k in range(depth + 1)):
        positions = length // stride
        covered = [position for span in spans for position in range(positions)[span.own(stride)]]
        assert covered == list(range(positions))
    for span in spans:
        assert span.start % deepest == 0 and span.first % deepest == 0
        assert span.first == 0 or span.start - span.first >= reach
        assert span.last == length or (span.last - span.stop >= reach and span.last % deepest == 0)
        assert span.stop - span.start <= max(side, deepest) + 2 * deepest


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("compact")


@pytest.mark.parametrize("loss", ["wasserstein", "gram"])
@pytest.mark.parametrize(("size", "tile_px"), [((203, 331), 128), ((97, 150), 64), ((160, 64), 16)])
def test_tiles_give_the_losses_and_the_gradient_of_the_whole(
    encoder: Encoder, size: tuple[int, int], tile_px: int, loss: str
) -> None:
    settings = LossSettings.model_validate({"style": {"loss": loss}})
    content, images, style_image = smooth(*size, 0), smooth(*size, 1), smooth(*size, 2)
    found = []
    for side in (None, tile_px):
        style = style_target(encoder, settings, style_image, 100.0, side)
        found.append(Objective.of(encoder, settings, content, (style,), tile_px=side)(images))
    whole, tiled = found
    assert torch.allclose(tiled.terms, whole.terms, rtol=1e-5)
    assert (tiled.gradients - whole.gradients).norm() < 1e-5 * whole.gradients.norm()
    assert (tiled.gradients - whole.gradients).abs().max() < 1e-4 * whole.gradients.abs().max()


def test_tiles_of_a_batch_are_those_of_its_frames(encoder: Encoder) -> None:
    settings = LossSettings()
    style = style_target(encoder, settings, smooth(96, 96, 2), 100.0)
    content, images = (torch.cat([smooth(96, 128, seed), smooth(96, 128, seed + 1)]) for seed in (5, 7))
    together = Objective.of(encoder, settings, content, (style,), tile_px=48)(images)
    alone = Objective.of(encoder, settings, content[1:], (style,), tile_px=48)(images[1:])
    assert torch.allclose(together.losses[1:], alone.losses, rtol=1e-4)
    assert (together.gradients[1:] - alone.gradients).norm() < 1e-3 * alone.gradients.norm()
