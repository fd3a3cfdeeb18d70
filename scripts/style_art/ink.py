"""`ink`: bamboo, mountains in mist and a moon in black ink on rice paper, with one red seal.

Washes give the distance, loaded and half-dry brushes the near things. Five grays, as the old books ask: burnt, dense,
heavy, light, clear; and as much bare paper as ink.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from style_art.brush import Brush, Canvas, bristle_texture, stroke
from style_art.fields import Field, blur, fbm, grid, mix, resize, rgb, smoothstep, to_uint8
from style_art.washes import Sheet, inside_px

_MOON = (0.70, 0.20, 0.085)


def _bezier(points: list[tuple[float, float]], count: int, width: int) -> Field:
    """Quadratic or cubic Bezier curve through control `points` (image widths) as (count, 2) pixels."""
    p = np.array(points, np.float64)
    t = np.linspace(0, 1, count)[:, None]
    while len(p) > 1 and p.ndim == 2:
        p = np.repeat(p[None], count, axis=0)
    while p.shape[1] > 1:
        p = p[:, :-1] * (1 - t[..., None]) + p[:, 1:] * t[..., None]
    return np.asarray(p[:, 0] * width, np.float32)


def _gray(level: float) -> Field:
    """Density (3,) of an ink: 0 is water, 1 is black."""
    return np.full(3, level, np.float32)


def _mountains(sheet: Sheet, x: Field, y: Field, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drift = fbm(sheet.shape, width * 0.17, seed + 1, octaves=5, stretch=(2.0, 0.7))
    far = np.hypot(x - _MOON[0], y - _MOON[1])
    around = smoothstep(-1.0, 1.5, drift) * smoothstep(0.42, 0.06, far) * smoothstep(0.0, 0.01, far - _MOON[2])
    sheet.wash(np.asarray((far - _MOON[2]) * width, np.float32), "8f98a0", 0.62 * around, ragged_px=1.5, rim=0.25)
    for base, amp, color, force, center in (
        (0.46, 0.20, "b4bcc0", 0.75, 0.52),
        (0.52, 0.24, "8a9296", 0.9, 0.88),
        (0.56, 0.14, "6f767a", 0.95, 0.36),
        (0.600, 0.04, "7a8084", 0.8, 0.80),
    ):
        bumps = np.zeros_like(x[0])
        for _ in range(7):
            cx, wide = center + rng.normal(0, 0.20), rng.uniform(0.03, 0.10)
            bumps = np.maximum(bumps, rng.uniform(0.4, 1.0) * np.exp(-(np.abs((x[0] - cx) / wide) ** 1.5)))
        crest = base - amp * bumps[None, :]
        depth = y - crest
        # Dense at the crest, dissolving into mist below: one loaded side of the brush.
        fade = smoothstep(0.6 * amp + 0.045, 0.0, depth + 0.015 * drift) ** 1.6
        sheet.wash(np.asarray(depth * width, np.float32), color, force * fade, ragged_px=5, rim=0.7, flow=0.45)
        # Texture strokes down the slopes ("hemp fiber").
        fibers = fbm(sheet.shape, width * 0.012, seed + int(base * 900), octaves=3, stretch=(0.5, 3.5))
        cut = np.minimum(depth - 0.006, (fibers - 0.75) * 0.004) * width
        sheet.wash(np.asarray(cut, np.float32), color, 0.9 * force * fade, ragged_px=2.0, rim=0.5)
    water = fbm(sheet.shape, width * 0.02, seed + 3, octaves=3, stretch=(9.0, 0.5))
    low = smoothstep(0.63, 0.66, y) * smoothstep(0.75, 0.70, y)
    sheet.wash(np.asarray((water - 0.9) * 6, np.float32), "8a9296", 0.55 * low, ragged_px=1.5)


def _boat(sheet: Sheet, x: Field, y: Field, width: int) -> None:
    cx, cy = 0.555, 0.690
    dx = (x - cx) / 0.050
    deck = cy - 0.010 * dx * dx
    hull = np.minimum(y - deck, cy + 0.0095 - 0.004 * dx * dx - y) * width
    sheet.wash(np.asarray(np.where(np.abs(dx) < 1, hull, -99), np.float32), "33383b", 1.3, ragged_px=0.8, rim=0.3)
    man = np.hypot((x - cx + 0.006) / 0.75, (y - cy + 0.013)) < 0.008
    hat = (np.abs(x - cx + 0.006) < (y - cy + 0.032) * 1.5) & (y > cy - 0.031) & (y < cy - 0.022)
    pole = np.abs((x - cx - 0.012) - 0.35 * (cy - y)) * width < 1.1 * sheet.unit
    pole &= (y > cy - 0.055) & (y < cy + 0.004)
    sheet.wash(inside_px(man | hat | pole), "2a2e31", 1.2, ragged_px=0.5, rim=0.3)
    sheet.wash(
        np.asarray(np.where(np.abs(dx) < 0.9, (0.008 - np.abs(y - cy - 0.022)) * width, -99), np.float32), "9aa0a3", 0.7
    )


def _bamboo(canvas: Canvas, width: int, seed: int) -> None:
    """Stems, joints, twigs and leaves into `canvas.color`, which holds ink density (H, W, 3), 0..1."""
    rng = np.random.default_rng(seed + 10)
    unit = width / 1792
    texture = bristle_texture(seed + 11)
    leaf = Brush(27 * unit, 150 * unit, body=0, bristle=0.05, dry=0.12, taper=0.95, bristles_across=9)
    twig = Brush(5 * unit, 90 * unit, body=0, bristle=0.05, dry=0.2, taper=0.7)
    clusters: list[tuple[float, float, float, float]] = []
    stems = (
        (0.255, 0.300, 26.0, 0.34, 0.10),
        (0.045, 0.095, 46.0, 0.85, 0.0),
        (0.150, 0.165, 38.0, 0.62, 0.0),
        (0.965, 0.925, 34.0, 0.75, 0.22),
    )
    for foot, head, wide, ink, top in stems:
        joints = int(rng.integers(6, 8))
        ys = np.linspace(0.78, top - 0.03, joints + 1)
        for k in range(joints):
            xa, xb = (foot + (head - foot) * (0.75 - yy) / 0.75 for yy in (ys[k], ys[k + 1]))
            ya, yb = float(ys[k]), float(ys[k + 1])
            path = _bezier([(xa, ya - 0.004), ((xa + xb) / 2 + 0.002, (ya + yb) / 2), (xb, yb + 0.004)], 8, width)
            pale = ink * rng.uniform(0.75, 1.1)
            brush = Brush(wide * unit, 1, body=0, bristle=0.22 * ink, dry=0.55, taper=0.04, bristles_across=14)
            stroke(canvas, path, brush, (_gray(pale), _gray(pale * 0.8)), texture, rng)
            # The joint: a short dark hook across the stem.
            half = wide * unit / width * 0.62
            hook = _bezier([(xb - half, yb + 0.006), (xb, yb - 0.003), (xb + half, yb + 0.006)], 6, width)
            dark = Brush(8 * unit, 1, body=0, bristle=0.08, dry=0.1, taper=0.6)
            stroke(canvas, hook, dark, (_gray(min(ink * 1.25, 0.97)), _gray(min(ink * 1.1, 0.95))), texture, rng)
            if k >= 2 and rng.random() < 0.85:
                side = -1.0 if foot > 0.9 or (rng.random() < 0.4 and foot > 0.1) else 1.0
                tip = (xb + side * rng.uniform(0.07, 0.15), yb - rng.uniform(-0.01, 0.06))
                bough = _bezier([(xb, yb), ((xb + tip[0]) / 2, yb - 0.035), tip], 8, width)
                stroke(canvas, bough, twig, (_gray(ink), _gray(ink * 0.8)), texture, rng)
                clusters.append((tip[0], tip[1], side, ink))
                clusters.append(((xb + tip[0]) / 2, yb - 0.02, side, ink))
    for cx, cy, side, ink in clusters:
        for _ in range(int(rng.integers(5, 9))):
            turn = np.pi / 2 - side * rng.uniform(-0.25, 1.25)
            long = rng.uniform(0.055, 0.105)
            x0, y0 = cx + rng.normal(0, 0.012), cy + rng.normal(0, 0.010)
            x1, y1 = x0 + np.cos(turn) * long, y0 + np.sin(turn) * long
            sag = rng.normal(0, 0.008)
            path = _bezier([(x0, y0), ((x0 + x1) / 2 + sag, (y0 + y1) / 2 - 0.006), (x1, y1)], 8, width)
            tone = float(np.clip(ink * rng.uniform(0.65, 1.3), 0.18, 0.98))
            stroke(
                canvas, path, leaf, (_gray(tone), _gray(tone * 0.85)), texture, rng, load=float(rng.uniform(0.6, 1.15))
            )


def _ground(canvas: Canvas, width: int, seed: int) -> None:
    """Rocks and grass at the bottom, in dry side strokes."""
    rng = np.random.default_rng(seed + 20)
    unit = width / 1792
    texture = bristle_texture(seed + 21)
    for cx, cy, size in ((0.09, 0.735, 0.11), (0.26, 0.748, 0.06), (0.93, 0.728, 0.10), (0.80, 0.747, 0.045)):
        for _ in range(9):
            t = rng.uniform(-1, 1)
            x0, y0 = cx + t * size - size * 0.35, cy - (1 - t * t) * size * 0.28 + rng.uniform(0, 0.03)
            path = _bezier(
                [(x0, y0 + 0.012), (x0 + size * 0.3, y0 - rng.uniform(0.01, 0.03)), (x0 + size * 0.75, y0 + 0.022)],
                8,
                width,
            )
            tone = rng.uniform(0.25, 0.85)
            brush = Brush(rng.uniform(18, 52) * unit, 1, body=0, bristle=0.25, dry=0.85, taper=0.3, bristles_across=20)
            stroke(canvas, path, brush, (_gray(tone), _gray(tone * 0.7)), texture, rng)
    blade = Brush(6 * unit, 1, body=0, bristle=0.05, dry=0.15, taper=0.9)
    for cx in np.concatenate([rng.normal(0.20, 0.07, 34), rng.normal(0.86, 0.05, 26)]):
        lean, tall = rng.normal(0, 0.03), rng.uniform(0.02, 0.075)
        path = _bezier([(cx, 0.752), (cx + lean * 0.2, 0.752 - tall * 0.7), (cx + lean, 0.752 - tall)], 7, width)
        tone = rng.uniform(0.35, 0.95)
        stroke(canvas, path, blade, (_gray(tone), _gray(tone)), texture, rng)


def _seal(image: Field, x: Field, y: Field, unit: float, seed: int) -> Field:
    """A red seal with carved strokes of no language."""
    cx, cy, half = 0.755, 0.705, 0.019
    u, v = (x - cx) / half, (y - cy) / half
    chip = 0.06 * fbm(x.shape, 9 * unit, seed + 30, octaves=3)
    body = (np.maximum(np.abs(u), np.abs(v)) ** 6 + 0.0) ** (1 / 6) + chip
    cut = np.minimum.reduce(
        [
            np.abs(v + 0.45) + 9 * np.clip(np.abs(u) - 0.6, 0, 1),
            np.abs(u + 0.05) + 9 * np.clip(np.abs(v) - 0.7, 0, 1),
            np.abs(v - 0.05) + 9 * np.clip(np.abs(u + 0.1) - 0.5, 0, 1),
            np.abs(v - 0.6) + 9 * np.clip(np.abs(u) - 0.55, 0, 1),
            np.abs(u - 0.55) + 9 * np.clip(np.abs(v - 0.3) - 0.35, 0, 1),
        ]
    )
    ink = smoothstep(1.0, 0.94, body) * smoothstep(0.07, 0.12, cut + 0.4 * chip)
    return mix(image, rgb("b8281f"), 0.9 * ink)


def make_image(width_px: int, seed: int) -> NDArray[np.uint8]:
    """The finished sheet (H, W, 3) uint8 sRGB, 4:3."""
    scale = 2  # supersampling
    shape = (width_px * 3 // 4, width_px)
    big = (shape[0] * scale, shape[1] * scale)
    unit = big[1] / 1792
    x, y = grid(big)
    sheet = Sheet(big, seed, unit)
    _mountains(sheet, x, y, big[1], seed)
    _boat(sheet, x, y, big[1])
    canvas = Canvas(np.zeros((*big, 3), np.float32), np.zeros(big, np.float32))
    _ground(canvas, big[1], seed)
    _bamboo(canvas, big[1], seed)
    density = np.clip(canvas.color[..., 0], 0, 1)
    # Wet ink creeps along the paper's fibers around dense strokes.
    fiber = fbm(big, 14 * unit, seed + 40, octaves=3, stretch=(3.0, 0.6)) + fbm(
        big, 14 * unit, seed + 41, octaves=3, stretch=(0.6, 3.0)
    )
    creep = blur(density, 4.0 * unit) * np.clip(0.30 + 0.16 * fiber, 0, 1)
    density = np.maximum(density, creep) * (1 + 0.06 * sheet.tooth)
    warm_gray = np.array([3.0, 2.95, 2.8], np.float32)  # the ink is a warm black: optical density per channel
    sheet.light *= np.exp(-(np.clip(density, 0, 1)[..., None] ** 1.15) * warm_gray)
    image = sheet.finished("f1e8d3", relief=0.01)
    image = image * (1 + 0.006 * np.clip(fiber, -2, 2))[..., None]
    image = _seal(np.asarray(image, np.float32), x, y, unit, seed)
    return to_uint8(resize(np.asarray(np.clip(image, 0, 1), np.float32), shape))
