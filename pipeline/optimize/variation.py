"""The total variation term: it removes speckle, and two kinds of fine detail that only the style loss asks for.

*Weave*: fine horizontal and vertical lines in flat areas. Style statistics ask for an amount of fine detail, hardly for
its direction, and the small filters of the feature networks answer most strongly to the finest lines along the axes, so
that the minimizer puts it there. *Rainbow grain*: color that changes within a few pixels in pale areas. Both are
compared with the style images and cost where a frame has more of them.

Shapes: images (B, 3, H, W) float32 sRGB in [0, 1]; everything else in squared pixel values.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.optimize.losses import total_variation

COLOR_FRACTION = 0.2
LINES_FRACTION = 0.1
"""What a frame may have of a style image's color variation and fine lines at no cost. In the style image they are where
its strokes are; in frames the same amount would be spread over flat areas too, where it is grain and weave."""
COLOR_SCALE = 25.0
"""Weight of the variation of color beyond its limit, relative to total variation: 10 leaves grain in warm frames."""
LINES_SCALE = 15.0
"""Weight of the energy of fine lines beyond its limit: 5 leaves some weave, 20 softens the finest strokes."""
DIRECTED = 2.0
"""A style image has directed lines, such as hatching, where one axis has more than so many times the other's energy."""
EPSILON = 1e-12


def variation_loss(images: Tensor, limits: Tensor) -> Tensor:
    """Total variation, with the excess of color variation and of fine lines over their `limits`: (B,).

    `limits` is (1, 3) from `variation_limits`, or several such averaged.
    """
    gray = images.mean(dim=1, keepdim=True)
    total = total_variation(images)
    color = (total - total_variation(gray)).clamp_min(0)
    beyond = excess(torch.cat((color[:, None], line_energies(gray)), dim=1), limits)
    return total + beyond @ beyond.new_tensor([COLOR_SCALE, LINES_SCALE, LINES_SCALE])


def variation_limits(style_image: Tensor) -> Tensor:
    """What frames in the style of an image (1, 3, H, W) may have: color variation, vertical and horizontal lines.

    Lines are allowed as far as one axis has more than `DIRECTED` times the energy of the other. Returns (1, 3).
    """
    gray = style_image.mean(dim=1, keepdim=True)
    color = (total_variation(style_image) - total_variation(gray)).clamp_min(0)
    lines = line_energies(gray)
    directed = lines - DIRECTED * lines.flip(1)
    return torch.cat((COLOR_FRACTION * color[:, None], torch.maximum(LINES_FRACTION * lines, directed)), dim=1)


def line_energies(gray: Tensor) -> Tensor:
    """Energy of vertical and of horizontal lines one or two pixels wide, in images (B, 1, H, W): (B, 2).

    The mean square of the second difference across the lines, [-1, 2, -1] / 4, after the binomial filter [1, 4, 6, 4,
    1] / 16 along them. Its response is 1 for the finest lines, 1/2 for a period of 4 px, 0.1 for one of 10 px, and near
    0 for lines that are not along the axis. Border pixels are repeated outside: where the filters ended before the
    border, lines would gather there.
    """
    energies = []
    for across, along in ((3, 2), (2, 3)):
        padded = F.pad(gray, (1, 1, 2, 2) if across == 3 else (2, 2, 1, 1), mode="replicate")
        size = gray.shape[across]
        lines = 2 * padded.narrow(across, 1, size) - padded.narrow(across, 0, size) - padded.narrow(across, 2, size)
        for _ in range(4):
            length = lines.shape[along] - 1
            lines = lines.narrow(along, 0, length) + lines.narrow(along, 1, length)
        energies.append(lines.square().mean(dim=(1, 2, 3)) / 64**2)
    return torch.stack(energies, dim=1)


def excess(energies: Tensor, limits: Tensor) -> Tensor:
    """Squared difference of the roots where an energy is above its limit, else 0.

    Far above the limit it is the energy itself; at the limit its gradient is 0, which a minimizer needs.
    """
    return ((energies + EPSILON).sqrt() - (limits + EPSILON).sqrt()).clamp_min(0).square()
