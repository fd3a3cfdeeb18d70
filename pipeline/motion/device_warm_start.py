"""Warm starts on an accelerator: the steps and constants of `pipeline.motion.warm_start`, in torch.

What is small (the change of the light, colors, recent changes) comes from the same functions on the CPU and is enlarged
on the device. On the CPU itself OpenCV is several times faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.media.image.arrays import to_tensor
from pipeline.media.image.recolor import ColorMap
from pipeline.motion.device_warp import device_warp
from pipeline.motion.light_change import LIGHT_SIGMA, light_change, light_size
from pipeline.motion.new_areas import STROKES, colors_of, recoloring, region_recoloring, towards_middle
from pipeline.motion.region_change import Maps
from pipeline.motion.warm_start import (
    COLD_BELOW,
    MIN_ADDED_CONFIDENCE,
    RELEASE_EXPONENT,
    RENEWAL,
    RENEWAL_EXPONENT,
    NextKeyframe,
    Plane,
    WarmStarter,
    warm_start,
)
from pipeline.runtime.transfers import download, upload
from pipeline.types import StyleColors, WarmStart

if TYPE_CHECKING:
    from pipeline.motion.correspondence import Correspondence


def warm_starter(device: torch.device | None) -> WarmStarter:
    """What makes warm starts on a device (None: the CPU)."""
    return warm_start if device is None or device.type == "cpu" else partial(device_warm_start, device)


def device_warm_start(
    device: torch.device,
    content: NDArray[np.uint8],
    stylized: Mapping[int, NDArray[np.uint8]],
    correspondences: Mapping[int, Correspondence],
    next_keyframe: NextKeyframe | None = None,
    *,
    recent_change: Plane | None = None,
    style_colors: StyleColors | None = None,
    regions: Maps | None = None,
) -> WarmStart | None:
    """The `WarmStarter` in torch: equal to `warm_start` to 1e-4, with tensors on the device. Waits for it once."""
    if not correspondences:
        return None
    order = sorted(correspondences, reverse=True)
    sources = [(stylized[index], correspondences[index]) for index in order]
    if next_keyframe is not None:
        sources.append((next_keyframe.stylized, next_keyframe.correspondence))
    moved = _moved(sources, style_colors, regions, device)
    confidences = [upload(found.confidence[None], device) for _, found in sources]
    target, confidence = _combined(moved[: len(order)], confidences)
    init = _blended(moved[0], target, confidence)
    new = (1 - confidence) * upload(sources[0][1].change, device)
    mean, new_fraction = torch.stack([confidence.mean(), new.mean()]).tolist()
    if mean < COLD_BELOW:
        return None
    recent = released = None
    if recent_change is not None:
        small = upload(recent_change[None], device)
        powers = torch.cat([small, small**RENEWAL_EXPONENT, small**RELEASE_EXPONENT])
        recent, renewed, released = _enlarged(powers, *content.shape[:2])[:, None]
        new = torch.maximum(new, RENEWAL * renewed)
    init = _blended(init, _start_of_new_pixels(content, target, style_colors, regions), new)
    if next_keyframe is not None:
        weight = next_keyframe.fraction * confidences[-1]
        init, target = _blended(init, moved[-1], weight), _blended(target, moved[-1], weight)
        confidence = confidence + weight * (1 - confidence)
    confidence = confidence.clamp(max=1)
    if released is not None:
        confidence = confidence * (1 - released)
    return WarmStart(init.clamp(0, 1), target.clamp(0, 1), confidence, new_fraction, recent)


def _moved(
    sources: Sequence[tuple[NDArray[np.uint8], Correspondence]],
    style_colors: StyleColors | None,
    regions: Maps | None,
    device: torch.device,
) -> list[Tensor]:
    """Stored stylized frames moved to where their content is now, and taken to the light of now: each (3, H, W)."""
    frames = torch.stack([to_tensor(frame, device) for frame, _ in sources])
    flows = torch.stack([upload(found.motion.backward_flow, device) for _, found in sources])
    moved = device_warp(frames, flows)
    for position, (frame, found) in enumerate(sources):
        if style_colors is not None and found.light is not None:
            change = upload(light_change(found.light, style_colors, regions).transpose(2, 0, 1), device)
            moved[position] += _enlarged(change, *frame.shape[:2])
    return list(moved)


def _combined(moved: Sequence[Tensor], confidences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Target (3, H, W) and weight (1, H, W) of the temporal term, from the nearest frame on."""
    target, confidence = moved[0], confidences[0]
    for other, own in zip(moved[1:], confidences[1:], strict=False):
        added = (own - confidence).clamp(min=0)
        added *= added.amax() >= MIN_ADDED_CONFIDENCE
        target = _blended(target, other, added / (confidence + added).clamp(min=1e-6))
        confidence = confidence + added
    return target, confidence


def _blended(image: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """`image` (3, H, W) where `weight` (1, H, W) is 0, `other` where it is 1."""
    return image + weight * (other - image)


def _enlarged(image: Tensor, height: int, width: int) -> Tensor:
    """An image (C, h, w) of a small size at that of the frame."""
    return F.interpolate(image[None], (height, width), mode="bilinear", align_corners=False)[0]


def _start_of_new_pixels(
    content: NDArray[np.uint8], stylized: Tensor, style_colors: StyleColors | None, regions: Maps | None
) -> Tensor:
    """`start_of_new_pixels` for a stylized frame (3, H, W) on a device: (3, H, W)."""
    height, width = content.shape[:2]
    device = stylized.device
    small_width, small_height = light_size(height, width)
    sigma = LIGHT_SIGMA * max(small_width, small_height)
    small = _reducing(height, small_height, device) @ stylized @ _reducing(width, small_width, device).T
    if style_colors is None:
        regions = None
        style_colors = colors_of(download(small)[0].transpose(1, 2, 0))
    blurred = _blurring(small_height, sigma, device) @ small @ _blurring(small_width, sigma, device).T
    strokes = STROKES * (stylized - _enlarged(blurred, height, width))
    whole = to_tensor(content, device)
    maps = None if regions is None else upload(regions, device)
    if regions is None or maps is None:
        start = _mapped(whole, recoloring(content, style_colors))
    else:
        start = torch.zeros_like(whole)
        for own, color_map in zip(maps, region_recoloring(content, style_colors, regions), strict=True):
            start += own * _mapped(whole, color_map)
    for rows, from_rows in towards_middle(height):
        for columns, from_columns in towards_middle(width):
            moved = strokes[:, from_rows, from_columns]
            if maps is not None:
                moved = moved * (maps[:, rows, columns] * maps[:, from_rows, from_columns]).sum(dim=0)
            start[:, rows, columns] += moved
    return start


def _mapped(image: Tensor, color_map: ColorMap) -> Tensor:
    """An image (3, H, W) with its colors mapped."""
    matrix, offset = (upload(part.astype(np.float32), image.device) for part in (color_map.matrix, color_map.offset))
    return torch.einsum("cd,dhw->chw", matrix, image) + offset[:, None, None]


@cache
def _reducing(count: int, small: int, device: torch.device) -> Tensor:
    """What `cv2.resize` over areas does to a line of `count` pixels, as a matrix (small, count)."""
    line = np.eye(count, dtype=np.float32)
    return upload(cv2.resize(line, (count, small), interpolation=cv2.INTER_AREA), device)


@cache
def _blurring(count: int, sigma: float, device: torch.device) -> Tensor:
    """What `cv2.GaussianBlur` does to a line of `count` pixels, as a matrix (count, count)."""
    line = np.eye(count, dtype=np.float32)
    return upload(cv2.GaussianBlur(line, (1, 0), sigma, sigmaY=sigma), device)
