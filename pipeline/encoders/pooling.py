"""Pooling of 2 x 2 px behind ReLU, and its gradient.

ReLU leaves values that are not negative, whose order is that of their bits as integers. Maxima and selections of
integers are several times as fast on the CPU as those of half-precision numbers.

Shapes: feature maps (B, C, h, w) in channels-last memory order. An odd last row or column is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers by the bytes of a floating-point number."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a maximum pooling gave, and which of four values it took.

    All bits of the integers `lower` (B, C, h // 2, w // 2 * 2) are set where the lower one of two rows is larger, those
    of `right` (B, C, h // 2, w // 2) where the right one of two columns of the larger values is. `shape` is that of the
    source.
    """

    pooled: Tensor
    lower: Tensor
    right: Tensor
    shape: torch.Size


def integers(x: Tensor) -> Tensor:
    """The bits of floating-point numbers as integers."""
    return x.view(INTEGERS[x.element_size()])


def max_pool(x: Tensor) -> Tensor:
    """The largest of four values, none of which is below 0: (B, C, h // 2, w // 2)."""
    left, right = _columns(torch.maximum(*_rows(integers(x))))
    return torch.maximum(left, right).view(x.dtype)


def max_pool_choices(x: Tensor) -> Choices:
    """What `max_pool` gives, and where the values that it took stand: one of them where several are equal."""
    top, bottom = _rows(integers(x)[:, :, :, : x.shape[3] // 2 * 2])
    higher = torch.maximum(top, bottom)
    left, right = _columns(higher)
    return Choices(torch.maximum(left, right).view(x.dtype), _larger(bottom, top), _larger(right, left), x.shape)


def _larger(one: Tensor, other: Tensor) -> Tensor:
    """Integers all of whose bits are set where the one is larger than the other, else none; neither is below 0."""
    return torch.sub(other, one).bitwise_right_shift_(8 * one.element_size() - 1)


def max_pool_gradient(gradient: Tensor, choices: Choices, border: int) -> Tensor:
    """The gradient of ReLU and maximum pooling, (B, C, h + 2 border, w + 2 border), with a border of zeros.

    It goes to the largest of four values, and to one of them where several are equal.
    """
    found = bordered(choices.shape, gradient, border)
    inside = integers(found[:, :, border : border + choices.shape[2], border : border + choices.shape[3]])
    height, width = (side // 2 * 2 for side in choices.shape[2:])
    inside[:, :, height:].zero_()
    inside[:, :, :, width:].zero_()
    given = integers(torch.ops.aten.threshold_backward(gradient, choices.pooled, 0))
    columns = torch.empty_like(choices.lower)
    to_left, to_right = _columns(columns)
    # `and` selects where all bits are set, and `xor` leaves the rest.
    torch.bitwise_and(given, choices.right, out=to_right)
    torch.bitwise_xor(given, to_right, out=to_left)
    to_top, to_bottom = _rows(inside[:, :, :, :width])
    torch.bitwise_and(columns, choices.lower, out=to_bottom)
    torch.bitwise_xor(columns, to_bottom, out=to_top)
    return found


def average_pool_gradient(gradient: Tensor, shape: torch.Size) -> Tensor:
    """The gradient of average pooling of a map of this shape: a quarter to each of four values."""
    found = torch.zeros(shape, dtype=gradient.dtype, device=gradient.device)
    found = found.contiguous(memory_format=torch.channels_last)
    quarter = gradient / 4
    for rows in _rows(found):
        for part in _columns(rows):
            part.copy_(quarter)
    return found


def bordered(shape: torch.Size, like: Tensor, border: int) -> Tensor:
    """A map of the dtype and device of `like`, with `border` px of zeros around a shape; what is inside is not set."""
    batch, channels, height, width = shape
    size = (batch, channels, height + 2 * border, width + 2 * border)
    found = torch.empty(size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
    for axis in (2, 3):
        found.narrow(axis, 0, border).zero_()
        found.narrow(axis, found.shape[axis] - border, border).zero_()
    return found


def _rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """The even and the odd rows; an odd last one is dropped."""
    height = x.shape[2] // 2 * 2
    return x[:, :, 0:height:2], x[:, :, 1:height:2]


def _columns(x: Tensor) -> tuple[Tensor, Tensor]:
    """The even and the odd columns; an odd last one is dropped."""
    width = x.shape[3] // 2 * 2
    return x[:, :, :, 0:width:2], x[:, :, :, 1:width:2]
