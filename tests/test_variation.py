"""The total variation term: what it takes for weave and for rainbow grain, and what it lets pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.optimize import variation
from pipeline.optimize.variation import (
    COLOR_FRACTION,
    COLOR_SCALE,
    LINES_FRACTION,
    excess,
    line_energies,
    total_variation,
    variation_limits,
    variation_loss,
)

NOTHING = torch.zeros(1, 3)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gratings(angle: float, period_px: float, amplitude: float = 0.1, size: int = 96) -> Tensor:
    """Gray lines (1, 3, size, size) across the direction `angle` (degrees; 0 gives vertical lines)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    turn = torch.deg2rad(torch.tensor(angle))
    phase = 2 * torch.pi / period_px * (x * torch.cos(turn) + y * torch.sin(turn))
    return (0.5 + amplitude * torch.sin(phase + 0.5)).expand(1, 3, -1, -1)


def isotropic(seed: int) -> Tensor:
    """A gray texture without direction whose energy falls with the frequency, as that of a painting does."""
    noise = torch.randn((256, 256), generator=torch.Generator().manual_seed(seed))
    frequency = torch.hypot(torch.fft.fftfreq(256)[:, None], torch.fft.rfftfreq(256)[None])
    texture = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency.clamp_min(1 / 32))
    image: Tensor = 0.5 + 0.1 * texture / texture.std()
    return image.expand(1, 3, -1, -1)


def beyond(image: Tensor, limits: Tensor) -> float:
    """What an image costs more than its total variation."""
    return float((variation_loss(image, limits) - total_variation(image)).item())


def test_finest_lines_along_an_axis_have_all_their_energy() -> None:
    stripes = (torch.arange(402) % 2).float().expand(1, 1, 10, -1)
    assert line_energies(stripes)[0].tolist() == pytest.approx([0.25, 0.0], rel=0.01)
    assert line_energies(stripes.mT)[0].tolist() == pytest.approx([0.0, 0.25], rel=0.01)
    # A period of 4 px: [0, 0, 1, 1] has second differences of -1, -1, 1, 1 over 4.
    broad = (torch.arange(402) // 2 % 2).float().expand(1, 1, 10, -1)
    assert line_energies(broad)[0].tolist() == pytest.approx([1 / 16, 0.0], rel=0.01)


def test_lines_at_the_border_cost_as_much_as_elsewhere() -> None:
    images = torch.zeros(3, 1, 30, 30)
    for image, rows in zip(images, (slice(0, 8), slice(11, 19), slice(22, 30)), strict=True):
        image[0, rows] = torch.arange(30) % 2
    top, middle, bottom = line_energies(images)[:, 0].tolist()
    assert top == pytest.approx(bottom)
    assert top >= middle


def test_flat_images_ramps_and_broad_strokes_have_no_lines() -> None:
    ramp = torch.linspace(0, 1, 400).expand(1, 1, 30, -1)
    assert float(line_energies(torch.full((1, 1, 20, 30), 0.7)).max()) == pytest.approx(0, abs=1e-9)
    assert float(line_energies(ramp).max()) < 1e-8  # the ends of the ramp
    fine, broad = (line_energies(gratings(0, period)[:, :1])[0, 0] for period in (2.5, 12))
    assert broad < 0.01 * fine


@pytest.mark.parametrize("angle", [30, 45, 60])
def test_fine_lines_that_are_not_along_an_axis_cost_little_more_than_their_variation(angle: float) -> None:
    along, turned = gratings(0, 2.5), gratings(angle, 2.5)
    cost = [beyond(image, NOTHING) for image in (along, turned)]
    assert cost[0] > 2 * total_variation(along).item()
    assert cost[1] < 0.2 * cost[0]


def test_styles_without_direction_allow_few_lines_and_hatched_ones_theirs() -> None:
    for seed in range(3):
        style_image = isotropic(seed)
        lines = line_energies(style_image[:, :1])[0]
        assert variation_limits(style_image)[0, 1:].tolist() == pytest.approx((LINES_FRACTION * lines).tolist())
    hatched = isotropic(0) + gratings(90, 3, amplitude=0.2, size=256) - 0.5
    limits = variation_limits(hatched)
    assert limits[0, 2] > 0.9 * line_energies(hatched[:, :1])[0, 1]
    assert limits[0, 1] < 0.2 * line_energies(hatched[:, :1])[0, 0]
    assert beyond(gratings(90, 3, size=256), limits) < 1e-4
    assert beyond(gratings(0, 3, size=256), limits) > 0.01


def test_color_variation_costs_only_beyond_a_fraction_of_that_of_the_style_image() -> None:
    gray = random(1, 1, 40, 40).float().expand(-1, 3, -1, -1) * 0.2 + 0.4
    color = 0.1 * (random(1, 3, 40, 40, seed=1).float() - 0.5)
    grain = gray + color - color.mean(dim=1, keepdim=True)  # of the same gray
    assert variation_limits(gray)[0, 0].item() == pytest.approx(0, abs=1e-7)
    limit = variation_limits(grain)[0, 0].item()
    of_gray, of_colors = (torch.tensor([[value, 0.0, 0.0]]) for value in (0.0, limit))
    assert beyond(grain, of_colors / COLOR_FRACTION) == pytest.approx(beyond(gray, of_gray), rel=1e-3)
    assert beyond(grain, of_colors) > 1.1 * beyond(gray, of_gray)
    assert beyond(grain, of_gray) == pytest.approx(
        beyond(gray, of_gray) + COLOR_SCALE * limit / COLOR_FRACTION, rel=1e-3
    )


def test_excess_is_the_energy_far_above_the_limit_and_smooth_at_it() -> None:
    energies = torch.tensor([[1.0, 0.25, 0.1]], dtype=torch.float64, requires_grad=True)
    values, slopes = excess(energies, torch.tensor([[0.0, 0.25, 1.0]], dtype=torch.float64))
    assert values[0].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-5)
    (gradient,) = torch.autograd.grad(values.sum(), energies)
    assert gradient[0].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-5)
    assert torch.allclose(slopes, gradient)


def test_gradients_are_exact_and_those_of_a_black_frame_finite() -> None:
    limits = torch.tensor([[1e-3, 0.0, 1e-3]], dtype=torch.float64)
    for size in ((6, 7), (1, 5), (12, 9)):
        images, ours = random(2, 3, *size).requires_grad_(), torch.zeros(2, 3, *size, dtype=torch.float64)
        (expected,) = torch.autograd.grad(variation_loss(images, limits).sum(), images)
        variation_loss(images.detach(), limits, weight=1.5, gradients=ours)
        assert torch.allclose(ours, 1.5 * expected, atol=1e-12)
    assert torch.autograd.gradcheck(total_variation, random(2, 3, 5, 6).requires_grad_())
    assert torch.autograd.gradcheck(lambda images: variation_loss(images, limits), random(2, 3, 6, 7).requires_grad_())
    gradient = torch.zeros(1, 3, 8, 9)
    variation_loss(torch.zeros_like(gradient), NOTHING, gradients=gradient)
    assert bool(torch.isfinite(gradient).all())


def test_bands_of_rows_give_the_loss_and_the_gradient_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    images = random(2, 3, 50, 21)
    found = []
    for pixels in (1 << 22, 17 * 21, 3 * 21):
        monkeypatch.setattr(variation, "BAND_PIXELS", pixels)
        gradient = torch.zeros_like(images)
        found.append((variation_loss(images, NOTHING.double(), gradients=gradient), gradient))
    for loss, gradient in found[1:]:
        assert torch.allclose(loss, found[0][0])
        assert torch.allclose(gradient, found[0][1], atol=1e-14)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (4, 6), (7, 5), (33, 20)])
def test_every_sample_is_alone_and_every_size_is_possible(size: tuple[int, int]) -> None:
    images = random(3, 3, *size).float()
    together = variation_loss(images, NOTHING)
    alone = torch.cat([variation_loss(image[None], NOTHING) for image in images])
    assert torch.isfinite(together).all()
    assert torch.allclose(together, alone)
