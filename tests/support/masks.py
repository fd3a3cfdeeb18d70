"""Frames whose true masks are known: a square that moves, a landscape with a sky."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np

from pipeline.types import Source

SIZE = (160, 96)


def noise_texture(size: tuple[int, int], seed: int, color: tuple[int, int, int], contrast: float = 60) -> np.ndarray:
    """A random texture around a color, with structure of a few px."""
    width, height = size
    rough = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), 1.5)
    texture = smooth / smooth.std() * contrast / 3
    colored: np.ndarray = np.clip(np.array(color) + texture[..., None], 0, 255).astype(np.uint8)
    return colored


def square_clip(count: int, *, occluder: bool = False) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames in which a textured square moves 3 px to the right and 1 down per frame, and its true masks.

    An occluder is a static bar in front of it.
    """
    ground = noise_texture(SIZE, 1, (120, 130, 140))
    square = noise_texture((36, 36), 2, (170, 110, 80))
    bar = noise_texture((8, SIZE[1]), 3, (60, 120, 70))
    frames, masks = [], []
    for index in range(count):
        frame, mask = ground.copy(), np.zeros(SIZE[::-1], np.float32)
        top, left = 20 + index, 10 + 3 * index
        frame[top : top + 36, left : left + 36] = square
        mask[top : top + 36, left : left + 36] = 1
        if occluder:
            frame[:, 60:68], mask[:, 60:68] = bar, 0
        frames.append(frame)
        masks.append(mask)
    return frames, masks


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def landscape(sky: tuple[int, int, int], ground: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A smooth sky over rough ground with hills, and a tower; and where the sky is."""
    height, width = 120, 200
    fade = np.linspace(-15, 15, height)[:, None, None]
    frame = np.clip(np.array(sky) + fade + np.zeros((height, width, 1)), 0, 255).astype(np.uint8)
    horizon = 60 + 12 * np.sin(np.arange(width) / 20)
    below = np.arange(height)[:, None] > horizon
    below[25:, 140:152] = True
    frame[below] = noise_texture((width, height), 4, ground)[below]
    return frame, ~below


def source_of(decoded: Sequence[int] = range(8)) -> Source:
    """A source of which these frames of the input are rendered."""
    return Source(
        "clip", "video", ("clip",), *SIZE, Fraction(25), Fraction(1, 25), tuple(range(len(decoded))), 1, tuple(decoded)
    )
