"""The light term: an exact blur, a loss that sees only broad color, and where it counts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.optimize.light import gaussian_blur, light_loss, light_target

SIZE = (60, 90)


def images(seed: int = 0, count: int = 1) -> Tensor:
    return torch.rand((count, 3, *SIZE), generator=torch.Generator().manual_seed(seed))


def broad(seed: int = 0) -> Tensor:
    """A smooth image with light and shade."""
    coarse = torch.rand((1, 3, 3, 4), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="bicubic").clamp(0, 1)


def test_blur_is_the_gaussian_blur_of_the_mirrored_image() -> None:
    image = images()
    blur = gaussian_blur(*SIZE, 0.06, image)
    found = blur(image)[0].permute(1, 2, 0).numpy()
    whole = cv2.GaussianBlur(image[0].permute(1, 2, 0).numpy(), (0, 0), 0.06 * 90, borderType=cv2.BORDER_REFLECT)
    height, width = found.shape[:2]
    down, right = ((np.arange(n) + 0.5) * (full / n) - 0.5 for n, full in ((height, 60), (width, 90)))
    x, y = (np.asarray(each, np.float32) for each in np.meshgrid(right, down))
    expected = cv2.remap(whole, x, y, cv2.INTER_LINEAR)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (37, 3), (64, 64)])
def test_blur_of_a_constant_image_is_constant(size: tuple[int, int]) -> None:
    image = torch.full((2, 3, *size), 0.7)
    blurred = gaussian_blur(*size, 0.06, image)(image)
    assert blurred.flatten(2).amin().item() == pytest.approx(0.7, abs=1e-5)
    assert blurred.flatten(2).amax().item() == pytest.approx(0.7, abs=1e-5)


def test_loss_is_zero_at_the_target_and_about_one_without_light_and_shade() -> None:
    content = broad()
    target = light_target(content, 0.06)
    assert light_loss(content, target).item() == pytest.approx(0, abs=1e-6)
    plain = content.mean(dim=(2, 3), keepdim=True).expand_as(content)
    assert light_loss(plain, target).item() == pytest.approx(1, abs=0.15)


def test_strokes_that_leave_the_light_alone_cost_nothing() -> None:
    content = broad()
    rows, columns = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    strokes = 0.2 * (((rows + columns) % 2) * 2 - 1)
    assert light_loss(content + strokes, light_target(content, 0.06)).item() < 1e-4


def test_weight_restricts_where_the_light_counts() -> None:
    content = broad()
    right = torch.zeros((1, 1, *SIZE))
    right[..., 45:] = 1
    target = light_target(content, 0.02, right)
    left_differs, right_differs = content.clone(), content.clone()
    left_differs[..., :30] += 0.3
    right_differs[..., 60:] += 0.3
    assert light_loss(left_differs, target).item() < 1e-3
    assert light_loss(right_differs, target).item() > 0.1


def test_gradient_matches_finite_differences() -> None:
    target = light_target(broad(), 0.06)
    image = images(3).double().requires_grad_(True)
    exact = light_target(broad(), 0.06)
    double = type(exact)(
        type(exact.blur)(exact.blur.rows.double(), exact.blur.columns.double()),
        target.light.double(),
        target.variance.double(),
    )
    (gradient,) = torch.autograd.grad(light_loss(image, double).sum(), image)
    ours = torch.zeros_like(image)
    light_loss(image.detach(), double, weight=2.0, gradients=ours)
    assert torch.allclose(ours, 2 * gradient)
    step = torch.zeros_like(image)
    step[0, 1, 20, 33] = 1e-4
    change = (light_loss(image + step, double) - light_loss(image - step, double)) / 2e-4
    assert change.item() == pytest.approx(gradient[0, 1, 20, 33].item(), rel=1e-5)


def test_batched_equals_one_by_one() -> None:
    contents, others = images(1, 3), images(2, 3)
    changed = torch.rand((3, 1, *SIZE), generator=torch.Generator().manual_seed(5))
    together = light_target(contents, 0.04, changed)
    found = light_loss(others, together)
    for sample in range(3):
        single = light_target(contents[[sample]], 0.04, changed[[sample]])
        assert light_loss(others[[sample]], single).item() == pytest.approx(found[sample].item(), rel=1e-5)
        assert light_loss(others[[sample]], together.subset([sample])).item() == pytest.approx(
            found[sample].item(), rel=1e-5
        )
