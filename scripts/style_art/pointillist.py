"""`pointillist`: a river bank with poplars and a sail on a summer afternoon, in small touches of divided color.

Every touch takes the color below it, then leans away from it: brighter and purer, or to the complement. The eye mixes
them again. Three sizes of touches on a warm ground; the ground shows between them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from style_art.fields import Field, blur, fbm, grid, mix, ramp, resize, rgb, smoothstep, to_uint8


def _composition(shape: tuple[int, int], seed: int) -> Field:
    """Colors (H, W, 3) of the landscape that the touches translate."""
    x, y = grid(shape)
    width = shape[1]
    cloud = fbm(shape, width * 0.22, seed, octaves=5, stretch=(2.0, 0.8))
    leaf = fbm(shape, width * 0.05, seed + 1, octaves=4)
    sky = ramp(y + 0.02 * leaf, [(0.0, "3f78c0"), (0.2, "78a9dc"), (0.38, "f4d9a8"), (0.46, "ffc98a")])
    sky = mix(sky, rgb("fff2d6"), 0.9 * smoothstep(0.2, 1.2, cloud) * smoothstep(0.45, 0.2, y))
    sky = mix(sky, rgb("8f7fb8"), 0.55 * smoothstep(0.4, 1.4, -cloud) * smoothstep(0.5, 0.1, y))
    far = 0.42 - 0.035 * np.sin(4.3 * x + 0.5) - 0.012 * np.sin(15 * x) - 0.004 * leaf
    hills = ramp(0.5 + 0.3 * leaf + 3 * (y - far), [(0.0, "5a5f9f"), (0.5, "6f8fae"), (1.0, "8fb08a")])
    image = mix(sky, hills, smoothstep(-0.003, 0.003, y - far))

    chop = fbm(shape, width * 0.035, seed + 2, octaves=3, stretch=(4.0, 0.5))
    near = np.clip((y - 0.5) / 0.3, 0, 1)
    river = ramp(near + 0.12 * chop, [(0.0, "ffd9a0"), (0.25, "9cc3d8"), (0.6, "3f7fc0"), (1.0, "23509a")])
    river = mix(river, rgb("fff0b0"), 0.9 * smoothstep(0.9, 1.5, chop))
    image = mix(image, river, smoothstep(-0.002, 0.002, y - 0.5))

    # Poplars on the far bank with their reflections.
    rng = np.random.default_rng(seed + 3)
    for cx in np.concatenate([rng.uniform(0.0, 0.33, 9), rng.uniform(0.80, 1.0, 6), rng.uniform(0.4, 0.75, 3)]):
        tall, wide = rng.uniform(0.07, 0.20), rng.uniform(0.012, 0.026)
        if 0.4 < cx < 0.75:
            tall *= 0.35
        light = ramp(
            0.5 - 0.5 * (x - cx) / wide + 0.3 * leaf, [(0, "173d3a"), (0.4, "2f6f3a"), (0.75, "8fae3a"), (1, "ecd25a")]
        )
        up = (0.505 - y) / tall
        body = np.abs(x - cx) / wide + 0.10 * leaf < np.sqrt(np.clip(up * (1.0 - up) * 4, 0, 1))
        body &= (up > 0) & (up < 1)
        image[body] = light[body]
        down = (y - 0.505) / tall
        twin = np.abs(x - cx + 0.004 * chop) / wide < np.sqrt(np.clip(down * (1.0 - down) * 4, 0, 1))
        twin &= (down > 0) & (down < 1) & (chop < 0.6)
        image[twin] = mix(light, rgb("1f4a8a"), 0.45 * np.ones(shape, np.float32))[twin]
    bank = smoothstep(0.008, 0.003, np.abs(y - 0.505 - 0.002 * leaf))
    image = mix(image, ramp(0.5 + 0.4 * leaf, [(0.0, "3f5f2f"), (1.0, "e0c860")]), bank)

    # A boat with a sail and its reflection.
    sail = (x > 0.565) & (x - 0.565 < (y - 0.36) * 0.42) & (y < 0.545)
    image[sail] = mix(rgb("fff6e6"), rgb("f2a07a"), np.clip((x - 0.565) / 0.07, 0, 1))[sail]
    jib = (x < 0.560) & (0.560 - x < (y - 0.39) * 0.30) & (y < 0.545)
    image[jib] = rgb("d9d2ee")
    hull = (np.abs(x - 0.575) < 0.075 - 1.4 * (y - 0.55)) & (y > 0.55) & (y < 0.572)
    image[hull] = rgb("a8322a")
    glow = (x > 0.55) & (x - 0.55 < (0.75 - y) * 0.42) & (y > 0.575) & (chop > -0.4) & (y < 0.74)
    image[glow] = mix(image, rgb("ffe9cf"), np.full(shape, 0.75, np.float32))[glow]

    # Near meadow in light and shadow, a large tree on the left, flowers.
    shore = 0.745 - 0.10 * smoothstep(0.75, 0.0, x) + 0.012 * np.sin(9 * x)
    shade = fbm(shape, width * 0.15, seed + 4, octaves=3, stretch=(2.0, 0.6))
    meadow = ramp(
        0.5 + 0.33 * shade + 0.10 * leaf,
        [(0.0, "1b3550"), (0.3, "2f6a55"), (0.5, "6f9a4f"), (0.72, "c9c46a"), (1.0, "f6e3a0")],
    )
    image = mix(image, meadow, smoothstep(-0.004, 0.004, y - shore))
    bloom = fbm(shape, width * 0.02, seed + 5, octaves=2) + 0.5 * shade
    petals = ramp(
        fbm(shape, width * 0.08, seed + 6), [(-0.6, "e23a4f"), (0.0, "ff9ac0"), (0.5, "ffffff"), (1.0, "8f5fd0")]
    )
    image = mix(image, petals, smoothstep(1.1, 1.35, bloom) * (y > shore + 0.02))
    trunk = np.abs(x - 0.13 - 0.035 * np.sin(7 * y) - 0.003 * leaf) < 0.020 + 1.2 * np.clip(y - 0.76, 0, 1) ** 1.6
    trunk &= (y > 0.2) & (y < 0.83)
    image[trunk] = ramp(0.5 + (x - 0.135) * 25, [(0.0, "8a5a3a"), (0.5, "5a2f4a"), (1.0, "26204a")])[trunk]
    crown = np.zeros(shape, np.float32)
    form = np.zeros(shape, np.float32)
    for _ in range(38):
        cx, cy = min(rng.normal(0.12, 0.10), 0.27), min(rng.normal(0.15, 0.09), 0.25)
        radius = rng.uniform(0.04, 0.085)
        blob = 1 - np.sqrt((x - cx) ** 2 + (y - cy) ** 2) / radius + 0.22 * leaf
        newer = blob > crown
        form = np.where(newer & (blob > 0), 0.5 + ((x - cx) - (y - cy)) / radius * 0.38, form)
        crown = np.maximum(crown, blob)
    leaves = ramp(
        form + 0.15 * leaf,
        [(0.0, "16284f"), (0.25, "23564f"), (0.5, "4f8748"), (0.75, "a9b352"), (1.0, "f2d475")],
    )
    return mix(image, leaves, smoothstep(0.03, 0.12, crown))


def _touches(
    shape: tuple[int, int], spacing: float, radius: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centers (M, 2) px of a shuffled jittered hexagonal grid, radii (M,) and turn angles (M,)."""
    rng = np.random.default_rng(seed)
    ys = np.arange(-spacing, shape[0] + spacing, spacing * 0.87)
    xs = np.arange(-spacing, shape[1] + spacing, spacing)
    gx, gy = np.meshgrid(xs, ys)
    gx = gx + (np.arange(len(ys)) % 2)[:, None] * spacing / 2
    centers = np.stack([gx.ravel(), gy.ravel()], axis=1) + rng.normal(0, 0.22 * spacing, (gx.size, 2))
    rng.shuffle(centers, axis=0)
    return centers, radius * rng.uniform(0.75, 1.2, len(centers)), rng.uniform(0, np.pi, len(centers))


def _divide(colors: Field, rng: np.random.Generator) -> Field:
    """Colors (M, 3) pushed apart the way a divisionist would: purer, shifted in hue, sometimes the complement."""
    hsv = cv2.cvtColor(np.clip(colors, 0, 1)[None], cv2.COLOR_RGB2HSV)[0]
    count = len(hsv)
    hue, saturation, value = hsv[:, 0], hsv[:, 1], hsv[:, 2]
    hue = hue + rng.normal(0, 15, count)
    complement = rng.random(count) < 0.13
    hue = np.where(complement, hue + 180 + rng.normal(0, 12, count), hue)
    saturation = np.clip(saturation * np.where(complement, 0.7, 1.08) + rng.normal(0.04, 0.08, count), 0, 1)
    value = np.clip(value * np.where(complement, 0.95, 1.0) + rng.normal(0.03, 0.07, count), 0.08, 1)
    divided = np.stack([np.mod(hue, 360), saturation, value], axis=1).astype(np.float32)
    return np.asarray(cv2.cvtColor(divided[None], cv2.COLOR_HSV2RGB)[0], np.float32)


def make_image(width_px: int, seed: int) -> NDArray[np.uint8]:
    """The style image (H, W, 3) uint8 sRGB, square."""
    scale = 3  # supersampling
    shape = (width_px, width_px)
    big = (width_px * scale, width_px * scale)
    unit = width_px * scale / 2304
    composition = _composition(shape, seed)
    # Ground: a warm primed canvas with a thin scumble of the local color.
    canvas = np.asarray(mix(rgb("ead9b4"), resize(blur(composition, 3), big), np.full(big, 0.45)), np.float32)
    height = np.zeros(big, np.float32)
    rng = np.random.default_rng(seed + 20)
    contrast = blur(np.abs(composition - blur(composition, 4)).mean(-1), 2)
    for layer, (spacing, radius, only_detail) in enumerate(((22.0, 14.5, 0), (19.0, 11.0, 0), (14.0, 7.6, 1))):
        centers, radii, turns = _touches(big, spacing * unit, radius * unit, seed + 21 + layer)
        ix = np.clip(centers[:, 0] / scale, 0, width_px - 1).astype(int)
        iy = np.clip(centers[:, 1] / scale, 0, width_px - 1).astype(int)
        colors = _divide(composition[iy, ix], rng)
        keep = np.ones(len(centers), bool)
        if only_detail:
            keep = rng.random(len(centers)) < 0.25 + smoothstep(0.01, 0.05, contrast[iy, ix])
        for index in np.flatnonzero(keep):
            _touch(canvas, height, centers[index], radii[index], turns[index], colors[index])
    relief = blur(height, 1.5 * unit)
    slope = 0.6 * cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) + 0.8 * cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3)
    lit = canvas * (1 + 0.10 * np.tanh(slope * 1.2))[..., None]
    return to_uint8(resize(np.asarray(lit, np.float32), shape))


def _touch(canvas: Field, height: Field, center: NDArray[np.float64], radius: float, turn: float, color: Field) -> None:
    """One oval dab with a soft rim, in place on `canvas` (H, W, 3) and `height` (H, W)."""
    reach = int(radius * 1.3) + 2
    x0, y0 = max(int(center[0]) - reach, 0), max(int(center[1]) - reach, 0)
    x1, y1 = min(int(center[0]) + reach + 1, canvas.shape[1]), min(int(center[1]) + reach + 1, canvas.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    dx = np.arange(x0, x1, dtype=np.float32)[None, :] + np.float32(0.5 - center[0])
    dy = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5 - center[1])
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    far = np.sqrt(((dx * cos + dy * sin) / 1.18) ** 2 + ((dy * cos - dx * sin) * 1.12) ** 2)
    alpha = np.clip((np.float32(radius) - far) / 2.0 + 0.5, 0, 1) * np.float32(0.94)
    box = (slice(y0, y1), slice(x0, x1))
    canvas[box] += (color - canvas[box]) * alpha[..., None]
    dome = np.sqrt(np.clip(1.05 - (far / np.float32(radius)) ** 2, 0, 1)) * 2.0
    height[box] += (dome - 0.6 * height[box]) * alpha
