"""Regions in the objective and in the neural styler: guided moments, gradients, tiles, batches, and kept pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.config.losses import LossSettings
from pipeline.config.reading import parse_config
from pipeline.config.settings import Config
from pipeline.encoders.load import load_encoder
from pipeline.encoders.network import Encoder
from pipeline.encoders.passes import Cotangent
from pipeline.encoders.patches import Patch, RegionMaps
from pipeline.media.image.arrays import to_tensor
from pipeline.motion.region_change import region_maps
from pipeline.optimize.guided_moments import GuidedMoments, GuidedSums
from pipeline.optimize.moments import moments
from pipeline.optimize.objective import Objective, style_target
from pipeline.optimize.regions import KeptPixels, RegionTarget, RegionTerms, layer_maps
from pipeline.optimize.style_terms import active_layers
from pipeline.stylers.neural import NeuralStyler
from pipeline.stylers.region_styles import JOIN_HOLD, JOIN_REACH_PX, join_hold, recolored, resize_maps
from pipeline.types import FrameBatch, StylizedBatch
from tests.support.clips import texture

SIZE = (64, 96)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("compact")


def images(seed: int, batch: int = 1, size: tuple[int, int] = SIZE) -> Tensor:
    found = [to_tensor(np.ascontiguousarray(texture((size[1], size[0]), seed + k))) for k in range(batch)]
    return torch.stack(found)


def halves(batch: int = 1, size: tuple[int, int] = SIZE, feather: bool = True) -> Tensor:
    """The maps (B, 2, H, W) of a left and a right half, different in every sample."""
    columns = torch.arange(size[1])
    found = []
    for sample in range(batch):
        edge = size[1] // 2 + 16 * sample
        right = ((columns - edge) / 6 + 0.5).clamp(0, 1) if feather else (columns >= edge).float()
        right = right.expand(size)
        found.append(torch.stack([1 - right, right]))
    return torch.stack(found)


def objective(
    encoder: Encoder, content: Tensor, maps: Tensor | None, settings: LossSettings | None = None, **options: Any
) -> Objective:
    """Two styles, left and right; without maps the left one everywhere."""
    settings = settings or LossSettings()
    left, right = (style_target(encoder, settings, images(seed), 100.0) for seed in (50, 60))
    targets = [RegionTarget((left,)), RegionTarget((right,), 0.5)]
    regions = None
    if maps is not None:
        regions = RegionTerms.of(encoder, settings, content, maps, targets[: maps.shape[1]])
    return Objective.of(encoder, settings, content, (left,), regions=regions, **options)


def test_guided_moments_of_a_hard_map_are_those_of_the_part_alone() -> None:
    features = torch.rand(2, 5, 12, 20)
    maps = torch.zeros(2, 2, 12, 20)
    maps[:, 0, :, :8], maps[:, 1, :, 8:] = 1, 0.25
    sums = GuidedSums()
    sums.add(features[:, :, :7], RegionMaps.of(maps[:, :, :7]))
    sums.add(features[:, :, 7:], RegionMaps.of(maps[:, :, 7:]))
    found = sums.moments()
    for region, part in enumerate((features[:, :, :, :8], features[:, :, :, 8:])):
        alone = moments(part)
        assert torch.allclose(found.mean[:, region], alone.mean, atol=1e-6)
        assert torch.allclose(found.second[:, region], alone.second, atol=1e-6)
    assert torch.allclose(found.fractions, torch.tensor([[0.4, 0.15]] * 2))


def test_guided_moments_of_an_empty_region_count_for_nothing_and_are_finite() -> None:
    sums = GuidedSums()
    sums.add(torch.rand(1, 3, 4, 4), RegionMaps.of(torch.zeros(1, 1, 4, 4)))
    found: GuidedMoments = sums.moments()
    assert found.fractions.item() == 0
    assert torch.equal(found.second[0, 0], torch.eye(3)) and not found.mean.any()


def patchwork(size: tuple[int, int] = (57, 83)) -> Tensor:
    """Maps (2, 3, H, W) of a disk, of half of what is around it, and of a faint corner; a part is in none of them."""
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float32) for side in size), indexing="ij")
    disk = (((size[0] / 2 - y).square() + (size[1] / 3 - x).square()).sqrt() / 4 - 4).neg().clamp(0, 1)
    left = ((size[1] / 2 - x) / 3).clamp(0, 1) * (1 - disk)
    corner = 0.3 * ((x > 60) & (y > 30))
    maps = torch.stack([disk, left, corner])
    return torch.stack([maps, maps.flip(2)])


def test_patches_hold_all_that_regions_cover_once_and_know_what_is_in_them() -> None:
    maps = patchwork()
    found = RegionMaps.of(maps)
    seen = torch.zeros_like(maps)
    for patch in found.patches:
        part = maps[patch.samples, :, patch.rows, patch.columns]
        regions = list(patch.regions)
        seen[patch.samples, regions, patch.rows, patch.columns] += 1
        assert [bool(own.any()) for own in part[0]] == [region in regions for region in range(3)]
        assert patch.whole == (len(regions) == 1 and bool((part[0, regions] == 1).all()))
    assert seen.max() == 1 and bool((seen[maps > 0] == 1).all())
    assert len(found.patches) < 48 and any(patch.whole for patch in found.patches)


def test_guided_moments_are_those_of_the_formula() -> None:
    maps, features = patchwork(), torch.rand(2, 6, 57, 83)
    sums = GuidedSums()
    sums.add(features.contiguous(memory_format=torch.channels_last), RegionMaps.of(maps))
    found = sums.moments()
    exact, weights = features.double(), maps.double() / maps.double().sum(dim=(2, 3), keepdim=True)
    assert torch.allclose(found.mean.double(), torch.einsum("bshw,bchw->bsc", weights, exact), atol=1e-6)
    second = torch.einsum("bshw,bchw,bdhw->bscd", weights, exact, exact)
    assert torch.allclose(found.second.double(), second, atol=1e-6)


def test_one_patch_of_a_whole_batch_as_on_an_accelerator_gives_the_same() -> None:
    maps = patchwork()
    everything = Patch(slice(None), slice(None), slice(None), (0, 1, 2), whole=False)
    features = torch.rand(2, 4, 57, 83).contiguous(memory_format=torch.channels_last)
    mixing, shift = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4)
    found = []
    for own in (RegionMaps(maps, (everything,)), RegionMaps.of(maps)):
        sums, gradient = GuidedSums(), torch.zeros_like(features)
        sums.add(features, own)
        Cotangent(mixing=mixing, shift=shift, maps=own).add_to(gradient, features)
        found.append((gradient, sums.moments().mean, sums.moments().second))
    for whole, parts in zip(*found, strict=True):
        assert torch.allclose(whole, parts, atol=1e-5)


def test_guided_cotangent_is_the_gradient_of_autograd() -> None:
    maps = patchwork().double()
    features = torch.rand(2, 4, 57, 83, dtype=torch.float64).requires_grad_(True)
    mixing, shift = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    products = torch.einsum("bshw,bchw,bscd,bdhw->", maps, features, mixing, features)
    (expected,) = torch.autograd.grad(products + torch.einsum("bshw,bchw,bsc->", maps, features, shift), features)
    own = features.detach().contiguous(memory_format=torch.channels_last)
    found = torch.zeros_like(own)
    Cotangent(mixing=mixing + mixing.mT, shift=shift, maps=RegionMaps.of(maps)).add_to(found, own)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", ["wasserstein", "gram"])
def test_gradient_is_that_of_finite_differences(encoder: Encoder, loss: str) -> None:
    settings = LossSettings.model_validate({"style": {"loss": loss}})
    content, image = images(1), images(2)
    kept = KeptPixels(content, torch.rand(1, 1, *SIZE) * 0.9)
    function = objective(encoder, content, halves(), settings, kept=kept)
    found = function(image)
    direction = found.gradients / found.gradients.norm()
    ends = [function(image + step * direction).losses.double() for step in (0.02, -0.02)]
    slope = (ends[0] - ends[1]) / 0.04
    assert slope.item() == pytest.approx((found.gradients * direction).sum().item(), rel=0.02)


def test_style_term_and_its_gradient_are_those_of_autograd(encoder: Encoder) -> None:
    settings = LossSettings.model_validate({"style": {"loss": "gram"}, "content": {"weight": 0}, "tv": {"weight": 0}})
    content, maps, fractions = images(1), halves(), active_layers(settings.style.layers)
    function = objective(encoder, content, maps, settings)
    assert function.features.regions is not None
    styles = [targets[0] for targets in function.features.regions.styles]
    image = images(2).requires_grad_(True)
    expected = torch.zeros(())
    for name, features in encoder(image, tuple(fractions)).items():
        for region, style in enumerate(styles):
            own = layer_maps(maps, name, encoder)[0, region]
            second = torch.einsum("hw,chw,dhw->cd", own, features[0], features[0]) / own.sum()
            target: Tensor = style.statistics[name].gram[0]
            distance = (second - target).square().sum() / target.square().sum()
            expected = expected + own.mean() * fractions[name] * distance
    found = function(image.detach())
    assert found.terms[0, 1].item() == pytest.approx(expected.item(), rel=1e-4)
    (gradient,) = torch.autograd.grad(100 * expected, image)
    assert (found.gradients - gradient).norm() < 1e-3 * gradient.norm()


def test_one_region_that_is_everywhere_gives_the_plain_objective(encoder: Encoder) -> None:
    content, image = images(1), images(2)
    plain = objective(encoder, content, None)(image)
    whole = objective(encoder, content, torch.ones(1, 1, *SIZE))(image)
    assert torch.allclose(whole.terms, plain.terms, rtol=1e-5, atol=1e-7)
    assert (whole.gradients - plain.gradients).norm() < 1e-4 * plain.gradients.norm()


def test_region_that_is_nowhere_changes_nothing(encoder: Encoder) -> None:
    content, image = images(1), images(2)
    maps = torch.cat([torch.ones(1, 1, *SIZE), torch.zeros(1, 1, *SIZE)], dim=1)
    plain, found = (objective(encoder, content, it)(image) for it in (None, maps))
    assert torch.allclose(found.terms, plain.terms, rtol=1e-5, atol=1e-7)
    assert (found.gradients - plain.gradients).norm() < 1e-4 * plain.gradients.norm()


def test_tiles_give_the_whole(encoder: Encoder) -> None:
    size = (97, 150)
    content, image, maps = images(1, size=size), images(2, size=size), halves(size=size)
    whole, tiled = (objective(encoder, content, maps, tile_px=side)(image) for side in (None, 64))
    assert torch.allclose(tiled.terms, whole.terms, rtol=1e-5)
    assert (tiled.gradients - whole.gradients).norm() < 1e-5 * whole.gradients.norm()


def test_batch_gives_each_frame_what_it_has_alone(encoder: Encoder) -> None:
    content, image, maps = images(1, 3), images(5, 3), halves(3)
    together = objective(encoder, content, maps)
    chosen = together.subset([2])(image[2:])
    alone = objective(encoder, content[2:], maps[2:])(image[2:])
    for found in (together(image).gradients[2:], chosen.gradients):
        assert (found - alone.gradients).norm() < 1e-4 * alone.gradients.norm()
    assert torch.allclose(together(image).losses[2:], alone.losses, rtol=1e-5)


def test_maps_at_a_layer_count_less_where_features_see_two_regions(encoder: Encoder) -> None:
    found = layer_maps(halves(feather=False), "relu3_1", encoder)[0, :, 8]
    inside, edge = found[0, 2], found[0, 11]
    assert inside == 1 and 0 < edge < 0.7
    assert torch.equal(found[0] * found[1], torch.zeros(24))
    assert torch.allclose(found[0], found[1].flip(0))


def test_feathered_maps_at_a_layer_are_exactly_0_and_1_away_from_the_edge(encoder: Encoder) -> None:
    steep = torch.linspace(-60, 60, SIZE[1]).sigmoid().expand(SIZE)
    found = layer_maps(torch.stack([1 - steep, steep])[None] * (1 - 1e-6), "relu1_1", encoder)
    assert bool((found[0, 0, :, :32] == 1).all()) and not found[0, 1, :, :32].any()


def test_later_regions_lie_over_earlier_ones() -> None:
    masks = np.array([[[1.0, 0.5]], [[0.25, 1.0]]], np.float32)
    assert np.array_equal(region_maps(masks), np.array([[[0, 0]], [[0.75, 0]], [[0.25, 1]]]))


def test_kept_pixels_show_what_is_hidden() -> None:
    content, kept = images(1), torch.tensor([0.0, 0.5, 0.9, 1.0]).repeat_interleave(24).expand(1, 1, *SIZE)
    pixels = KeptPixels(content, kept)
    wanted = torch.lerp(images(2), content, kept)
    assert torch.allclose(pixels.shown(pixels.hidden(wanted)), wanted, atol=1e-5)
    assert torch.equal(pixels.shown(images(3))[..., 72:], content[..., 72:])
    assert torch.equal(pixels.shown(images(3))[..., :24], images(3)[..., :24])


def test_resized_maps_add_up_to_one() -> None:
    for size in ((23, 31), (130, 190)):
        assert torch.allclose(resize_maps(halves(), size).sum(dim=1), torch.ones(1, *size), atol=1e-5)


def test_pixels_are_held_faster_along_joins_alone() -> None:
    maps = torch.zeros(1, 2, 40, 64)
    maps[:, 0, :, :32], maps[:, 1, :, 32:] = 1, 1
    found = join_hold(maps)[0, 0]
    away = torch.arange(64).sub(31.5).abs() > JOIN_REACH_PX + 1
    assert (found[:, away] == 1).all()
    share = (JOIN_REACH_PX + 1) / (2 * JOIN_REACH_PX + 1)  # of the window around the pixel beside the join
    assert torch.allclose(found[:, 31:33], torch.tensor(1 + 4 * JOIN_HOLD * share * (1 - share)))
    assert torch.allclose(
        join_hold(maps.repeat_interleave(8, 2).repeat_interleave(8, 3)).amax(), found.amax(), atol=0.1
    )
    assert (join_hold(torch.ones(2, 1, 40, 64)) == 1).all()


def a_config(*regions: dict[str, Any]) -> Config:
    each = [{"mask": {"image": "mask.png"}, **region} for region in regions]
    optimize = {"cold": {"min_scale_px": 48, "evaluations": 4}, "warm": {"evaluations": 4, "min_evaluations": 2}}
    data = {"style": {"images": [{"path": "a.png"}]}, "regions": each, "optimize": optimize, "encoder": "compact"}
    return parse_config(data, where="test")


def one_color(*rgb: int) -> NDArray[np.uint8]:
    """A style image around one color."""
    noise = np.random.default_rng(0).normal(0, 12, (64, 64, 1))
    return np.asarray((np.array(rgb) + noise).clip(0, 255), np.uint8)


RED, BLUE = one_color(200, 60, 40), one_color(40, 70, 190)


def styler(encoder: Encoder, config: Config) -> NeuralStyler:
    own = [[] if region.style is None else [BLUE] for region in config.regions]
    return NeuralStyler(config, [RED], encoder, device=torch.device("cpu"), region_images=own)


def cold(content: Tensor, maps: Tensor) -> FrameBatch:
    return FrameBatch("cold", content, None, tuple(range(len(content))), regions=maps)


BLUE_STYLE = {"style": {"images": [{"path": "b.png"}]}}


def test_region_without_style_keeps_the_content_to_the_byte_and_the_rest_is_stylized(encoder: Encoder) -> None:
    content, maps = images(1), halves()
    keeping = styler(encoder, a_config({}))
    stylized: StylizedBatch = keeping.stylize(cold(content, maps))
    kept = (maps[:, 1:] == 1).expand_as(content)
    assert torch.equal(stylized.images[kept], content[kept])
    assert (stylized.images - content)[..., :32].abs().mean() > 0.05
    warm = FrameBatch(
        "warm", content, stylized.images, (0,), stylized.images, torch.ones(1, 1, *SIZE), (0.0,), regions=maps
    )
    assert torch.equal(keeping.stylize(warm).images[kept], content[kept])


def test_each_region_has_the_colors_of_its_own_style(encoder: Encoder) -> None:
    stylized = styler(encoder, a_config(BLUE_STYLE)).stylize(cold(images(1), halves())).images[0]
    left, right = stylized[:, :, :40].mean(dim=(1, 2)), stylized[:, :, 56:].mean(dim=(1, 2))
    assert left[0] > left[2] + 0.3 and right[2] > right[0] + 0.3


def test_recolored_light_has_the_colors_of_each_region(encoder: Encoder) -> None:
    colors = styler(encoder, a_config(BLUE_STYLE, {})).style_colors
    content, maps = images(1), torch.zeros(1, 3, *SIZE)
    maps[:, 0, :, :32], maps[:, 1, :, 32:64], maps[:, 2, :, 64:] = 1, 1, 1
    light = recolored(content, maps, colors)
    assert torch.allclose(light[..., :32].mean(dim=(2, 3)), torch.tensor([[200, 60, 40]]) / 255, atol=0.01)
    assert torch.allclose(light[..., 32:64].mean(dim=(2, 3)), torch.tensor([[40, 70, 190]]) / 255, atol=0.01)
    assert torch.allclose(light[..., 64:], content[..., 64:], atol=1e-6)


def test_styler_with_regions_refuses_a_batch_without_maps(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="regions"):
        styler(encoder, a_config({})).stylize(FrameBatch("cold", images(1), None, (0,)))


def test_temporal_term_is_stronger_on_joins_and_as_ever_without_regions(encoder: Encoder) -> None:
    content, maps = images(1), halves()
    confidence = torch.rand(1, 1, *content.shape[-2:], generator=torch.Generator().manual_seed(3))
    for config, own, factor in ((a_config(BLUE_STYLE), maps, join_hold(maps)), (a_config(), None, 1)):
        batch = FrameBatch("warm", content, content, (0,), content, confidence, regions=own)
        under = styler(encoder, config)
        found = under._objective(under._contents(content, own), 1.0, batch).temporal
        assert found is not None and torch.equal(found.confidence, confidence * factor)


def test_batch_of_stylized_frames_is_that_of_single_ones(encoder: Encoder) -> None:
    content, maps = images(1, 2), halves(2)
    both = styler(encoder, a_config(BLUE_STYLE)).stylize(cold(content, maps)).images
    alone = FrameBatch("cold", content[1:], None, (1,), regions=maps[1:])
    assert (styler(encoder, a_config(BLUE_STYLE)).stylize(alone).images - both[1:]).abs().mean() < 1e-3
