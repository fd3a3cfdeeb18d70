"""Feature maps as pictures: what the feature network sees in a frame, layer by layer and channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.explain.clips import clip_suffix, write_clip
from pipeline.explain.page import Section
from pipeline.media.image.arrays import resize
from pipeline.media.image.contact_sheet import BACKGROUND, Captioned, contact_sheet
from pipeline.media.image.png import save_png

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    RGB = NDArray[np.uint8]

CHANNELS: Final = 24
"""Channels of a layer on its sheet, at most."""
CLIP_CHANNELS: Final = 6
"""Channels of a layer in the clip, at most."""
_PEAK, _CHANNELS_WITHIN = 99.5, 75.0
"""The peak of a channel is this percentile of its values in both frames, and the brightest value of a layer this
percentile of the peaks: one channel that is far above all others would leave them in the dark."""
_TEXT: Final = (
    "The network looks at a picture through hundreds of small filters. Each map shows where one filter found what it "
    "looks for, from black (nothing) to white: edges and plain colors in the first layers, textures and shapes deeper "
    "down, where the maps become smaller. On the left is your photo, on the right the stylized picture: where the maps "
    "agree, the content was kept; where they differ, the style has its say."
)
_COLUMNS: Final = 4
_SIDE_PX: Final = 132
_CLIP_SIDE_PX: Final = 400
_GAP_PX: Final = 8
_FIRST_TICKS, _STEP_TICKS, _LAST_TICKS = 24, 10, 30


@dataclass(frozen=True, slots=True)
class LayerMaps:
    """The maps of one layer for a content frame and the stylized one, float32 (N, h, w), 0 or more.

    `channels` are the numbers of the N channels among all `count`, those with the most energy (mean square) in the
    content first. `brightest` is the value that is shown as the brightest, the same for all of them.
    """

    layer: str
    channels: tuple[int, ...]
    count: int
    content: NDArray[np.float32]
    stylized: NDArray[np.float32]
    brightest: float


def layer_maps(layer: str, content: Tensor, stylized: Tensor) -> LayerMaps:
    """The most active channels of the features (1, C, h, w) of a content frame and of the stylized one."""
    maps = content[0].float().cpu().numpy(), stylized[0].float().cpu().numpy()
    energy = np.square(maps[0]).mean(axis=(1, 2))
    order = np.argsort(-energy, kind="stable")[:CHANNELS]
    shown = maps[0][order], maps[1][order]
    peaks = np.percentile(np.stack(shown, axis=1).reshape(len(order), -1), _PEAK, axis=1)
    brightest = float(np.percentile(peaks, _CHANNELS_WITHIN)) or float(peaks.max())
    return LayerMaps(layer, tuple(int(channel) for channel in order), len(energy), *shown, brightest)


def write_features(folder: Path, layers: Sequence[LayerMaps], content: RGB, stylized: RGB) -> Section:
    """Write a sheet for each layer, and the clip of all. Raises OSError, and WriteError for the clip."""
    for maps in layers:
        save_png(folder / f"features-{maps.layer}.png", feature_sheet(maps, content, stylized))
    clip = f"features{clip_suffix()}"
    write_clip(folder / clip, feature_clip(layers, content, stylized))
    return Section("What the network sees", _TEXT, (clip, *(f"features-{maps.layer}.png" for maps in layers)))


def feature_sheet(maps: LayerMaps, content: RGB, stylized: RGB) -> RGB:
    """Both frames, uint8 (H, W, 3), and under each its maps of one layer, the same channel at the same place."""
    height, width = content.shape[:2]
    cell = _scaled((width, height), _SIDE_PX)
    block = _COLUMNS * cell[0] + (_COLUMNS - 1) * _GAP_PX
    between = np.full((1, 2 * _GAP_PX, 3), BACKGROUND, np.uint8)
    large = block, round(block * height / width)
    rows: list[list[Captioned]] = [
        [("the photo", resize(content, *large)), ("", between), ("stylized", resize(stylized, *large))]
    ]
    for first in range(0, len(maps.channels), _COLUMNS):
        row = range(first, min(first + _COLUMNS, len(maps.channels)))
        missing: list[Captioned] = [("", np.full((1, cell[0], 3), BACKGROUND, np.uint8))] * (_COLUMNS - len(row))
        own, other = (
            [(f"channel {maps.channels[at]}", _picture(values[at], maps.brightest, cell)) for at in row]
            for values in (maps.content, maps.stylized)
        )
        rows.append([*own, *missing, ("", between), *other])
    return contact_sheet([_title(maps), *rows])


def feature_clip(layers: Sequence[LayerMaps], content: RGB, stylized: RGB) -> list[tuple[RGB, int]]:
    """Both frames, then layer by layer the maps of the most active channels, each with how long it stays."""
    size = _scaled((content.shape[1], content.shape[0]), _CLIP_SIDE_PX)
    pair = [("the photo", resize(content, *size)), ("stylized", resize(stylized, *size))]
    clip = [(contact_sheet(["what the feature network is given", pair]), _FIRST_TICKS)]
    for maps in layers:
        for at, channel in enumerate(maps.channels[:CLIP_CHANNELS]):
            height, width = maps.content.shape[1:]
            pair = [
                (f"channel {channel}, {width}x{height} px", _picture(values[at], maps.brightest, size))
                for values in (maps.content, maps.stylized)
            ]
            title = f"{maps.layer}, number {at + 1} of {maps.count} channels by energy"
            clip.append((contact_sheet([title, pair]), _STEP_TICKS))
    return [*clip[:-1], (clip[-1][0], _LAST_TICKS)]


def _title(maps: LayerMaps) -> str:
    height, width = maps.content.shape[1:]
    return (
        f"{maps.layer}: {len(maps.channels)} of {maps.count} channels, maps of {width}x{height} px, "
        "the channel with the most energy in the photo first\n"
        f"one scale for all: black is 0, white is {maps.brightest:.3g} or more, "
        "which a quarter of the channels reach"
    )


def _picture(values: NDArray[np.float32], brightest: float, size: tuple[int, int]) -> RGB:
    """A map (h, w) from black over violet and orange to white, at (width, height); where it grows, px are squares."""
    levels = np.rint(255 * np.clip(values / max(brightest, 1e-12), 0, 1)).astype(np.uint8)
    colored = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)
    grows = size[0] >= values.shape[1]
    how = cv2.INTER_NEAREST if grows else cv2.INTER_AREA
    return np.asarray(cv2.resize(np.ascontiguousarray(colored), size, interpolation=how), np.uint8)


def _scaled(size: tuple[int, int], side_px: int) -> tuple[int, int]:
    """(width, height) with the same aspect ratio and a longer side of `side_px`."""
    factor = side_px / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
