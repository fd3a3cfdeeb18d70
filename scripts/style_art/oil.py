"""`oil`: sunset over a poppy field and the sea, laid on with a palette knife; orange, rose, violet, deep teal.

A knife leaves broad flat slabs with a hard raised edge, so the strokes are wide, hardly tapered, with few bristle marks
and thick paint.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from style_art.brush import Brush, Canvas, bristle_texture, lit, paint_layer
from style_art.fields import Field, blur, fbm, grid, mix, ramp, resize, rgb, smoothstep, to_uint8

_SUN = (0.62, 0.40)


def _composition(shape: tuple[int, int], seed: int) -> tuple[Field, Field, Field, Field]:
    """Colors (H, W, 3), stroke directions, detail mask and flower mask (H, W) of the landscape."""
    x, y = grid(shape)
    width = shape[1]
    cloud = fbm(shape, width * 0.16, seed, octaves=4, stretch=(2.2, 0.7))
    patch = fbm(shape, width * 0.06, seed + 1, octaves=3, stretch=(1.6, 0.8))
    horizon = 0.50
    up = (horizon - y) / horizon
    sky = ramp(
        up + 0.05 * patch,
        [(0.0, "ffab2e"), (0.15, "fb7a1e"), (0.32, "e2463f"), (0.52, "97327c"), (0.75, "3d3590"), (1.0, "14235c")],
    )
    lit_cloud = ramp(up, [(0.0, "ffe27a"), (0.3, "ff9a4b"), (0.6, "f8697a"), (1.0, "c07fc0")])
    dark_cloud = ramp(up, [(0.0, "a83a22"), (0.4, "5f2663"), (1.0, "191a4a")])
    sky = mix(sky, dark_cloud, 0.9 * smoothstep(-0.1, 0.7, -cloud + 0.35))
    sky = mix(sky, lit_cloud, smoothstep(0.35, 0.8, cloud))
    far = np.sqrt((x - _SUN[0]) ** 2 + (y - _SUN[1]) ** 2)
    sky = mix(sky, rgb("ffd25e"), 0.85 * np.exp(-((far / 0.17) ** 2)))
    sky = mix(sky, rgb("fff3c0"), smoothstep(0.068, 0.056, far))
    angle = 0.35 * np.sin(5 * x + 3 * cloud) + 0.25 * cloud
    around = np.arctan2(y - _SUN[1], x - _SUN[0]) + np.pi / 2
    angle = np.where(far < 0.15, around, angle)

    # The sea with the sun's road, two headlands.
    chop = fbm(shape, width * 0.03, seed + 2, octaves=3, stretch=(4.0, 0.6))
    near = np.clip((y - horizon) / 0.16, 0, 1)
    sea = ramp(near + 0.12 * chop, [(0.0, "d98a6a"), (0.3, "6f6f9f"), (0.65, "2c5f86"), (1.0, "123f5c")])
    road = np.exp(-(((x - _SUN[0]) / (0.04 + 0.10 * near)) ** 2)) * smoothstep(-0.9, 0.6, chop)
    sea = mix(sea, rgb("ffc65c"), 0.95 * road)
    image = mix(sky, sea, smoothstep(-0.002, 0.002, y - horizon))
    angle = np.where(y > horizon, 0.05 * chop, angle)
    for base, height, center, spread, dark, light in (
        (0.505, 0.13, 0.02, 0.23, "3a2f63", "8a4f86"),
        (0.512, 0.07, 1.02, 0.20, "4a3567", "b0607a"),
    ):
        crest = base - height * np.exp(-(((x - center) / spread) ** 2)) - 0.008 * np.sin(40 * x) - 0.003 * patch
        inside = (y > crest) & (y < base) & (base - crest > 0.006)
        image[inside] = ramp(0.5 + 0.4 * patch + 2 * (base - y), [(0.0, dark), (1.0, light)])[inside]
        angle = np.where(inside, 0.9 * np.sign(center - 0.5) + 0.5 * patch, angle)

    # The field: rows of color running toward the viewer, flowers in drifts.
    shore = 0.635 + 0.03 * np.sin(4.5 * x + 0.6)
    depth = np.clip((y - shore) / (1 - 0.635), 0, 1)
    drift = fbm(shape, width * 0.09, seed + 3, octaves=4, stretch=(2.0, 0.7))
    field = ramp(
        0.45 + 0.22 * drift + 0.15 * patch - 0.15 * depth,
        [(0.0, "14301f"), (0.3, "2f5a2c"), (0.5, "6f8a2f"), (0.7, "c2a53a"), (1.0, "f0cf6a")],
    )
    on_field = smoothstep(-0.003, 0.003, y - shore)
    image = mix(image, field, on_field)
    flowers = on_field * smoothstep(0.05, 0.6, fbm(shape, width * 0.07, seed + 4, octaves=4, stretch=(2.5, 0.6)))
    toward = np.arctan2(y - 0.35, x - 0.45) + 0.35 * drift
    angle = np.where(y > shore, np.where(depth > 0.12, toward, 0.3 * np.sin(9 * x)), angle)
    detail = np.maximum(smoothstep(0.11, 0.05, far), 0.7 * road * (y > horizon) * (y < shore))
    detail = np.maximum(detail, smoothstep(0.012, 0.004, np.abs(y - horizon)))
    return image, angle.astype(np.float32), np.asarray(detail, np.float32), np.asarray(flowers, np.float32)


def make_image(width_px: int, seed: int) -> NDArray[np.uint8]:
    """The style image (H, W, 3) uint8 sRGB, 4:3."""
    scale = 2  # supersampling
    shape = (width_px * 3 // 4, width_px)
    big = (shape[0] * scale, shape[1] * scale)
    unit = big[1] / 1792
    composition, angle, detail, flowers = _composition(shape, seed)
    direction = np.arctan2(resize(np.sin(angle), big), resize(np.cos(angle), big)).astype(np.float32)
    colors = np.clip(resize(composition, big), 0, 1)
    detail, flowers = np.clip(resize(detail, big), 0, 1), np.clip(resize(flowers, big), 0, 1)
    canvas = Canvas(np.asarray(blur(colors, 20 * unit) * 0.8, np.float32), np.zeros(big, np.float32))
    texture = bristle_texture(seed + 10)
    slab = Brush(
        100 * unit, 210 * unit, body=6, bristle=0.10, bristles_across=7, ridge=0.15, dry=0.2, taper=0.15,
        light_jitter=0.06, hue_jitter=0.05,
    )  # fmt: skip
    slab_small = Brush(
        58 * unit, 150 * unit, body=6, bristle=0.12, bristles_across=7, ridge=0.2, dry=0.3, taper=0.2,
        light_jitter=0.09, hue_jitter=0.05,
    )  # fmt: skip
    touch = Brush(30 * unit, 74 * unit, body=5, bristle=0.09, bristles_across=7, ridge=0.2, dry=0.15, taper=0.3)
    petal = Brush(28 * unit, 36 * unit, body=8, bristle=0.08, bristles_across=6, ridge=0.4, dry=0.05, taper=0.5)
    paint_layer(canvas, colors, direction, slab, seed + 11, coverage=2.6, texture=texture)
    paint_layer(canvas, colors, direction, slab_small, seed + 12, coverage=0.9, texture=texture)
    paint_layer(canvas, colors, direction, touch, seed + 13, coverage=2.0, mask=0.02 + 0.8 * detail, texture=texture)
    rows = np.linspace(0, 1, big[0], dtype=np.float32)[:, None]
    shade = fbm(big, 30 * unit, seed + 14, octaves=2)
    red = ramp(0.5 + 0.3 * shade, [(0.0, "7d1020"), (0.35, "c81d25"), (0.65, "f04a2a"), (1.0, "ff9a5a")])
    paint_layer(canvas, red, direction, petal, seed + 15, coverage=0.75, mask=flowers * (0.4 + rows), texture=texture)
    return to_uint8(resize(lit(canvas, strength=0.10, gloss=0.09, smooth_px=1.6 * unit), shape))
