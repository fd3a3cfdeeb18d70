"""The losses of the objective that compare with one frame: content, total variation and temporal.

Shapes: images (B, 3, H, W) float32 sRGB in [0, 1]; features (B, C, h, w) in the encoder's precision; results (B,)
float32. Nothing here reduces over the batch, so the gradient of a frame never depends on the other frames.

Every term is made dimensionless by its own target: 0 is a perfect match, and about 1 is the value of a gray image, for
every encoder, layer and size.
"""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-16
"""Keeps a division by the energy of an all-zero target finite."""


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared feature difference over the mean square of the target (Gatys et al. 2015, eq. 1).

    We depart from the paper by the division, which makes the term dimensionless. `target` broadcasts over the batch.
    """
    difference = features.float() - target.float()
    energy = target.float().square().mean(dim=(1, 2, 3))
    return difference.square().mean(dim=(1, 2, 3)) / (energy + EPSILON)


def total_variation(images: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels, horizontal plus vertical, in squared pixel values.

    The quadratic form (Mahendran and Vedaldi 2015, eq. 3 with beta = 2): it removes speckle and leaves broad edges.
    """
    horizontal = (images[..., :, 1:] - images[..., :, :-1]).square().mean(dim=(1, 2, 3))
    vertical = (images[..., 1:, :] - images[..., :-1, :]).square().mean(dim=(1, 2, 3))
    return horizontal + vertical


def temporal_loss(images: Tensor, warped_previous: Tensor, confidence: Tensor) -> Tensor:
    """Confidence-weighted squared difference to the warped previous frame (Ruder et al. 2016, eq. 7).

    `confidence` is (B, 1, H, W) in [0, 1]; where it is 0 the value and the gradient are 0. We depart from the paper by
    dividing by the variance of the warped frame, which makes the term dimensionless.
    """
    variance = warped_previous.var(dim=(2, 3), correction=0).mean(dim=1)
    difference = (images - warped_previous).square() * confidence
    return difference.mean(dim=(1, 2, 3)) / (variance + 1e-3)
