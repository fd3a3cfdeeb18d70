"""`swirl`: a windy night over a harbor in long flowing strokes; ultramarine, turquoise, gold.

The wind is a sum of vortices; a line integral convolution of noise along it gives the bands of color, and four layers
of bristle strokes along the same wind give the paint.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from style_art.brush import Brush, Canvas, bristle_texture, lit, paint_layer
from style_art.fields import Field, blur, fbm, grid, mix, ramp, resize, rgb, smoothstep, to_uint8

# (x, y, radius, turn) in image widths: three lights that the wind turns around, and eddies between them.
_LIGHTS = ((0.76, 0.20, 0.17, 1.0), (0.24, 0.24, 0.12, -1.0), (0.50, 0.46, 0.10, 1.0))
_EDDIES = ((0.50, 0.14, 0.10, -1.0), (0.05, 0.47, 0.11, 1.0), (0.93, 0.50, 0.10, -1.0), (0.28, 0.53, 0.07, -1.0))


def lic(angle: Field, noise: Field, length_px: float) -> Field:
    """Line integral convolution: `noise` (H, W) averaged `length_px` each way along `angle`; unit deviation."""
    height, width = angle.shape
    cos, sin = np.cos(angle), np.sin(angle)
    x0, y0 = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    total = noise.copy()
    steps = max(int(length_px / 2), 1)
    for sign in (1.0, -1.0):
        x, y = x0.copy(), y0.copy()
        for _ in range(steps):
            vx = cv2.remap(cos, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            vy = cv2.remap(sin, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            x, y = x + np.float32(sign * 2) * vx, y + np.float32(sign * 2) * vy
            total += cv2.remap(noise, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    total -= total.mean()
    return np.asarray(total / max(float(total.std()), 1e-6), np.float32)


def _wind(x: Field, y: Field) -> Field:
    """Direction of the air, radians (H, W): a westerly with vortices."""
    vx = 0.55 + 0.0 * x
    vy = 0.30 * np.sin(7.0 * x + 2.0) * np.cos(4.0 * y)
    for cx, cy, radius, turn in _LIGHTS + _EDDIES:
        dx, dy = x - cx, y - cy
        pull = 2.6 * np.exp(-(dx * dx + dy * dy) / (2 * (radius * 0.75) ** 2))
        distance = np.sqrt(dx * dx + dy * dy) + 1e-4
        # Slightly inward: a spiral rather than closed rings.
        vx = vx + pull * (-turn * dy - 0.22 * dx) / distance
        vy = vy + pull * (turn * dx - 0.22 * dy) / distance
    return np.asarray(np.arctan2(vy, vx), np.float32)


def _composition(shape: tuple[int, int], seed: int) -> tuple[Field, Field, Field, Field]:
    """Colors (H, W, 3), stroke directions (H, W), a detail mask and a house mask (H, W) of the harbor at night."""
    x, y = grid(shape)
    width = shape[1]
    angle = _wind(x, y)
    bands = lic(angle, fbm(shape, width * 0.05, seed, octaves=4), width * 0.10)
    fine = lic(angle, fbm(shape, width * 0.016, seed + 1, octaves=2), width * 0.06)
    value = 0.34 + 0.15 * bands + 0.09 * fine + 0.16 * smoothstep(0.1, 0.62, y)
    sky = ramp(
        value,
        [(0.0, "0b1546"), (0.2, "16308a"), (0.38, "2458b4"), (0.55, "3f8cc8"), (0.7, "7fc0cf"), (0.85, "d3e0b4")],
    )
    detail = np.zeros(shape, np.float32)
    for cx, cy, radius, _ in _LIGHTS:
        distance = np.sqrt((x - cx) ** 2 + (y - cy) ** 2) / radius + 0.05 * bands + 0.03 * fine
        halo = ramp(
            distance + 0.07 * np.sin(distance * 19.0),
            [(0.0, "fffbe0"), (0.22, "ffe25e"), (0.42, "f6b02c"), (0.58, "d8c45e"), (0.78, "86b9a6"), (1.0, "3f8cc8")],
        )
        sky = mix(sky, halo, smoothstep(1.12, 0.55, distance + 0.06 * fine))
        detail = np.maximum(detail, smoothstep(1.15, 0.5, distance))

    for cx, cy, radius, _ in _EDDIES:
        detail = np.maximum(detail, smoothstep(0.6, 0.3, np.sqrt((x - cx) ** 2 + (y - cy) ** 2) / radius))

    # Hills, then a harbor with houses, then dark water with the lights' reflections.
    far = 0.585 + 0.035 * np.sin(5.2 * x + 0.4) + 0.018 * np.sin(13.0 * x + 1.0)
    near = 0.655 + 0.030 * np.sin(4.1 * x + 2.6) + 0.012 * np.sin(17.0 * x)
    slope = np.arctan2(np.gradient(far[0]) * width, 1.0)[None, :].astype(np.float32) + 0.0 * x
    hill = ramp(0.5 + 0.25 * bands + 0.6 * (y - far) * 4, [(0.0, "1b2b63"), (0.5, "2b5a86"), (1.0, "3f8a7c")])
    wood = ramp(0.5 + 0.22 * fine + 3 * (y - near), [(0.0, "0d1a30"), (0.5, "173f4a"), (1.0, "2f6a4a")])
    on_hill, on_near = smoothstep(-0.003, 0.003, y - far), smoothstep(-0.003, 0.003, y - near)
    image = mix(mix(sky, hill, on_hill), wood, on_near)
    angle = np.where(y > far - 0.004, slope * 0.8 + 0.35 * np.sin(9 * x + 20 * y), angle).astype(np.float32)

    shore = 0.765 + 0.012 * np.sin(6.0 * x + 1.0)
    ripple = fbm(shape, width * 0.03, seed + 2, octaves=3, stretch=(3.0, 0.5))
    depth = (y - shore) / (1.0 - 0.765)
    water = ramp(
        0.62 - 0.5 * depth + 0.16 * ripple, [(0.0, "0a1440"), (0.35, "173a8c"), (0.7, "2f7cb0"), (1.0, "79b7b4")]
    )
    for cx, _, radius, _ in _LIGHTS:
        gleam = np.exp(-(((x - cx - 0.02 * ripple) / (radius * (0.3 + 0.35 * depth))) ** 2)) * smoothstep(
            1.0, 0.0, depth
        )
        water = mix(water, rgb("f5b93a"), 0.95 * gleam * smoothstep(-0.5, 0.7, ripple))
    on_water = smoothstep(-0.003, 0.003, y - shore)
    image = mix(image, water, on_water)
    angle = np.where(on_water > 0.5, 0.16 * np.sin(14 * x + 9 * y) + 0.06 * ripple, angle).astype(np.float32)

    rng = np.random.default_rng(seed + 3)
    houses = np.zeros(shape, np.float32)
    for cx in rng.uniform(0.03, 0.97, 15):
        size = rng.uniform(0.035, 0.06)
        base = 0.762 + 0.012 * np.sin(6.0 * cx + 1.0) - rng.uniform(0.0, 0.03)
        wall = (np.abs(x - cx) < size * 0.55) & (y < base) & (y > base - size * 0.75)
        roof_y = base - size * 0.75
        roof = (y <= roof_y) & (y > roof_y - size * 0.6 + np.abs(x - cx) * 1.0)
        image[wall] = mix(rgb("27407a"), rgb("c58a4a"), rng.random())
        image[roof] = mix(rgb("7d2f2c"), rgb("1e2450"), rng.random())
        lamp = (np.abs(x - cx - size * 0.1) < size * 0.16) & (np.abs(y - base + size * 0.35) < size * 0.17)
        image[lamp] = rgb("ffd860")
        house = wall | roof
        angle[house] = np.where(roof, np.sign(x - cx) * 0.8, np.pi / 2)[house]
        houses[house] = 1.0
    detail = np.maximum(detail, 0.5 * smoothstep(0.02, 0.0, np.abs(y - far)))
    return image, angle, detail, houses


def make_image(width_px: int, seed: int) -> NDArray[np.uint8]:
    """The style image (H, W, 3) uint8 sRGB, square."""
    scale = 2  # supersampling
    side = width_px * scale
    half = (width_px, width_px)
    composition, angle, detail, houses = _composition(half, seed)
    # Angles cannot be interpolated (they wrap): enlarge their cosine and sine.
    big = (side, side)
    direction = np.arctan2(resize(np.sin(angle), big), resize(np.cos(angle), big)).astype(np.float32)
    colors, mask = np.clip(resize(composition, big), 0, 1), np.clip(resize(detail, big), 0, 1)
    houses_mask = np.clip(resize(houses, big), 0, 1)
    # The underpainting shows between strokes and in the eye of an eddy: darker and softer than the composition.
    ground = np.asarray(blur(colors, 12 * side / 1536) * 0.8, np.float32)
    canvas = Canvas(ground, np.zeros(big, np.float32))
    unit = side / 1536
    texture = bristle_texture(seed + 10)
    broad = Brush(52 * unit, 200 * unit, body=3, bristle=0.07, dry=0.1, taper=0.5)
    middle = Brush(30 * unit, 150 * unit, body=4, bristle=0.09, dry=0.15, taper=0.6, light_jitter=0.07)
    fine = Brush(17 * unit, 70 * unit, body=4, bristle=0.07, dry=0.1, taper=0.7, light_jitter=0.05)
    tiny = Brush(9 * unit, 26 * unit, body=3, bristle=0.05, dry=0.0, taper=0.4, light_jitter=0.03, bend=0.4)
    paint_layer(canvas, colors, direction, broad, seed + 11, coverage=2.2, texture=texture)
    paint_layer(canvas, colors, direction, middle, seed + 12, coverage=1.6, texture=texture)
    paint_layer(canvas, colors, direction, fine, seed + 13, coverage=1.8, mask=0.12 + 0.7 * mask, texture=texture)
    paint_layer(canvas, colors, direction, tiny, seed + 14, coverage=3.0, mask=houses_mask, texture=texture)
    return to_uint8(resize(lit(canvas, strength=0.13, gloss=0.15, smooth_px=1.1 * unit), half))
