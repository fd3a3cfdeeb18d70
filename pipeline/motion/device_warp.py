"""The warp of `pipeline.motion.warp` in torch, for accelerators: the same filters, borders and whole pixels.

Every coefficient is gathered by its index. `grid_sample` would lose more than 1e-4 px on large frames, because it takes
positions as fractions of the frame in float32.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.motion.warp import MARGIN, WHOLE_PX, phases, quintic_weights
from pipeline.runtime.transfers import upload


def device_warp(images: Tensor, backward_flows: Tensor) -> Tensor:
    """`pipeline.motion.warp.warp` of a batch, on the device of its tensors and without waiting for it.

    `images` is float32 (B, 3, H, W), `backward_flows` float32 (B, H, W, 2) in px, (x, y); the result is like `images`.
    For values of [0, 1] it equals the warp on the CPU to 1e-4, displacements by whole pixels exactly.
    """
    height, width = images.shape[-2:]
    rows, columns = (torch.arange(count, device=images.device, dtype=torch.float32) for count in (height, width))
    x = (backward_flows[..., 0] + columns).clamp_(0, width - 1)
    y = (backward_flows[..., 1] + rows[:, None]).clamp_(0, height - 1)
    smooth = _interpolated(_doubled(images), 2 * (x + MARGIN), 2 * (y + MARGIN))
    nearest = _gathered(images, y.round().long() * width + x.round().long())
    whole = ((x - x.round()).abs() < WHOLE_PX) & ((y - y.round()).abs() < WHOLE_PX)
    return torch.where(whole[:, None], nearest, smooth)


def _doubled(images: Tensor) -> Tensor:
    """Spline coefficients of the images at twice their size, with a margin: float32 (B, 3, 2(H+8), 2(W+8))."""
    batch, channels, height, width = images.shape
    taps = _taps(images.device)
    rows, columns = (_padded(count, taps.shape[1] // 2, images.device) for count in (height, width))
    padded = images.index_select(2, rows).index_select(3, columns)
    # Channel by channel, which cuDNN leaves to torch: it would try its algorithms in every thread that warps.
    across = F.conv2d(padded, taps.repeat(channels, 1)[:, None, None, :], groups=channels)
    both = F.conv2d(across, taps.repeat(2 * channels, 1)[:, None, :, None], groups=2 * channels)
    height, width = both.shape[-2:]
    # (B, 3, phase of the columns, phase of the rows, H + 8, W + 8): the phases are laid between each other.
    phased = both.view(batch, channels, 2, 2, height, width).permute(0, 1, 4, 3, 5, 2)
    return phased.reshape(batch, channels, 2 * height, 2 * width)


@cache
def _taps(device: torch.device) -> Tensor:
    """The filters of both phases, one in each row."""
    return upload(np.stack(phases()), device)


@cache
def _padded(count: int, reach: int, device: torch.device) -> Tensor:
    """Which of `count` pixels stand in a line with its margin and, on both sides, `reach` more for the filters.

    Mirrored about the outermost pixels, first of the image, then of the image with its margin, as on the CPU.
    """
    with_margin = count + 2 * MARGIN
    indices = _mirrored(_mirrored(np.arange(-reach, with_margin + reach), with_margin) - MARGIN, count)
    return upload(indices, device)


def _mirrored(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices of any size, mirrored into [0, count) about its first and last one."""
    period = max(1, 2 * (count - 1))
    return np.minimum(indices % period, -indices % period)


def _interpolated(coefficients: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The quintic spline with these coefficients (B, 3, h, w) at positions x, y (B, H, W) in px: (B, 3, H, W)."""
    width = coefficients.shape[-1]
    corner = (y.floor().long() - 2) * width + (x.floor().long() - 2)
    out = coefficients.new_zeros(*coefficients.shape[:2], *x.shape[1:])
    across = _weights(x)
    for row, row_weight in enumerate(_weights(y)):
        line = torch.zeros_like(out)
        for column, column_weight in enumerate(across):
            found = _gathered(coefficients, corner + (row * width + column))
            line.addcmul_(found, column_weight[:, None])
        out.addcmul_(line, row_weight[:, None])
    return out


def _weights(position: Tensor) -> list[Tensor]:
    """The weights of the six coefficients around positions (B, H, W), each (B, H, W).

    The CPU looks up two of them at once, at a position between them that is rounded to float32. On a wide frame that is
    more than the difference that is allowed, so it is rounded here too.
    """
    below = position.floor()
    six = quintic_weights(position - below)
    weights = []
    for first in (0, 2, 4):
        joint, pixel = six[first] + six[first + 1], below + (first - 2)
        fraction = six[first + 1].div_(joint).add_(pixel).sub_(pixel)
        weights += [joint - joint * fraction, joint * fraction]
    return weights


def _gathered(images: Tensor, indices: Tensor) -> Tensor:
    """The pixels of images (B, C, h, w) at indices (B, H, W) of their pixels, row by row: (B, C, H, W)."""
    batch, channels = images.shape[:2]
    found = images.flatten(2).gather(2, indices.flatten(1)[:, None].expand(-1, channels, -1))
    return found.view(batch, channels, *indices.shape[1:])
