"""Frames for tests of motion: textures, noise, and scenes whose flow is known; and what reads published flows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.warp import warp

Array = NDArray[Any]
RGB = NDArray[np.uint8]

HEIGHT, WIDTH = 96, 128


def blotches(height: int, width: int, seed: int, blur_px: float = 1.5) -> RGB:
    """Blotches a few pixels wide, uint8 (H, W, 3)."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    blurred = cv2.GaussianBlur(noise, (0, 0), blur_px)
    return np.asarray((128 + 50 * blurred / blurred.std()).clip(0, 255), np.uint8)


def noisy(image: Array, levels: float, seed: int) -> RGB:
    """The image with Gaussian noise of this standard deviation, as a camera adds it."""
    noise = np.random.default_rng(seed).normal(0, levels, image.shape)
    return np.asarray(np.rint(image + noise).clip(0, 255), np.uint8)


def constant_flow(u: float, v: float, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    """The same displacement everywhere, float32 (H, W, 2)."""
    return np.broadcast_to(np.array([u, v], np.float32), (height, width, 2)).copy()


def moved_square() -> tuple[RGB, RGB, NDArray[np.bool_], NDArray[np.bool_]]:
    """Two frames in which a square of 40 px moves 8 px right; where it is now, and what it has uncovered."""
    background, square = blotches(HEIGHT, WIDTH, 3), blotches(40, 40, 4)
    frames = []
    for left in (40, 48):
        frame = background.copy()
        frame[28:68, left : left + 40] = square
        frames.append(frame)
    covered, uncovered = np.zeros((2, HEIGHT, WIDTH), np.bool_)
    covered[28:68, 48:88] = True
    uncovered[28:68, 40:48] = True
    return frames[0], frames[1], covered, uncovered


def half_textureless() -> RGB:
    """Textured ground under a textureless sky, where an estimator follows the noise."""
    image = blotches(240, 320, 8)
    image[:120] = 180
    return image


def panned(image: Array, x_px: float, y_px: float = 0) -> RGB:
    """The view of a camera that has moved right and down; 32 px less along both axes."""
    height, width = image.shape[:2]
    moved = warp(np.asarray(image, np.uint8), constant_flow(x_px, y_px, height, width))
    return moved[16:-16, 16:-16]


def read_rgb(path: Path) -> RGB:
    """An image file, uint8 (H, W, 3) RGB."""
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(image[..., ::-1], np.uint8)


def read_flo(path: Path) -> NDArray[np.float32]:
    """A flow in the Middlebury format: the tag 202021.25, int32 width and height, float32 (H, W, 2)."""
    raw = path.read_bytes()
    assert np.frombuffer(raw, "<f4", 1)[0] == np.float32(202021.25)
    width, height = np.frombuffer(raw, "<i4", 2, offset=4)
    return np.frombuffer(raw, "<f4", 2 * width * height, offset=12).reshape(height, width, 2).astype(np.float32)


def end_point_error(flow: Array, truth: Array) -> NDArray[np.float64]:
    """Distance in px between two flows, (H, W)."""
    return np.asarray(np.hypot(flow[..., 0] - truth[..., 0], flow[..., 1] - truth[..., 1]), np.float64)
