"""`watercolor`: a mountain lake in the evening in transparent washes; cobalt, rose, gamboge, sap green, white paper."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from style_art.fields import Field, fbm, grid, resize, smoothstep, to_uint8
from style_art.washes import Sheet, inside_px


def _ridge(x: Field, base: float, amp: float, seed: int) -> Field:
    """A jagged crest line (1, W): its y in image widths."""
    rng = np.random.default_rng(seed)
    line = np.zeros_like(x[0])
    for octave in range(6):
        knots = rng.uniform(-1, 1, 3 * 2**octave + 2)
        t = np.linspace(0, 1, len(knots))
        line += (np.interp(x[0], t, knots) * 0.55**octave).astype(np.float32)
    return np.asarray((base - amp * line)[None, :], np.float32)


def _fir(mask: NDArray[np.uint8], foot: tuple[float, float], tall: float, rng: np.random.Generator) -> None:
    """Draws one fir into `mask` (H, W, 0 or 255) in place; `foot` and `tall` in pixels."""
    cx, base = foot
    tiers = int(np.clip(tall / 9, 6, 26))
    shift = 4  # cv2's fixed-point fraction bits
    for tier in range(tiers):
        t = (tier + 0.6) / tiers
        y = base - tall * (1 - t)
        reach = tall * 0.19 * t**0.85 * rng.uniform(0.65, 1.25)
        drop = tall / tiers * 1.5
        for side in (-1, 1):
            span = reach * rng.uniform(0.7, 1.2)
            points = [(cx, y - drop * 0.7), (cx + side * span, y + drop * rng.uniform(0.1, 0.7)), (cx, y + drop * 0.5)]
            polygon = np.rint(np.array(points) * 2**shift).astype(np.int32)
            cv2.fillPoly(mask, [polygon], 255, cv2.LINE_AA, shift)


def _skies(sheet: Sheet, x: Field, y: Field, width: int, seed: int) -> None:
    everywhere = np.full(sheet.shape, 999.0, np.float32)
    drift = fbm(sheet.shape, width * 0.20, seed + 1, octaves=5, stretch=(2.2, 0.8))
    blue = smoothstep(0.42, 0.0, y + 0.07 * drift)
    sheet.wash(everywhere, "3f74c4", 0.95 * blue * smoothstep(1.0, -0.5, drift), rim=0, flow=0.35, granulation=0.12)
    sheet.wash(
        everywhere, "6a5fb0", 0.75 * smoothstep(0.3, 1.5, -drift) * smoothstep(0.45, 0.1, y), rim=0, granulation=0.1
    )
    rose = np.exp(-(((y - 0.27 + 0.04 * drift) / 0.085) ** 2))
    sheet.wash(everywhere, "ee7f8c", 0.75 * rose * smoothstep(1.6, -0.2, drift), rim=0, flow=0.4)
    gold = np.exp(-(((y - 0.345 + 0.03 * drift) / 0.07) ** 2)) * smoothstep(0.47, 0.36, y)
    sheet.wash(everywhere, "f9bc4c", 0.8 * gold, rim=0, flow=0.3)
    sun = (0.052 - np.hypot(x - 0.69, y - 0.215)) * width
    sheet.lift(np.asarray(0.9 * smoothstep(-14, 6, sun), np.float32))
    sheet.wash(sun, "fbb33a", 0.75, ragged_px=2.5, rim=0.5)
    # A few hard-edged cloud glazes on the dry sky.
    bank = fbm(sheet.shape, width * 0.13, seed + 2, octaves=4, stretch=(2.4, 0.7)) - 0.9 - 9 * np.abs(y - 0.13)
    sheet.wash(np.asarray(bank * 60 * sheet.unit, np.float32), "8f86c4", 0.42 * smoothstep(0.35, 0.05, y), rim=0.9)


def _land(sheet: Sheet, x: Field, y: Field, width: int, seed: int) -> None:
    shore = 0.505
    for base, amp, color, second, force in (
        (0.34, 0.085, "9fb3e0", "e6a8b8", 0.7),
        (0.405, 0.065, "6f92cc", "c89ac0", 0.85),
        (0.462, 0.042, "5f8fb0", "8fb07a", 0.95),
    ):
        crest = _ridge(x, base, amp, seed + int(base * 1000))
        depth = y - crest
        mist = smoothstep(shore + 0.005, base + 0.02, y) * 0.85 + 0.15
        inside = np.asarray(np.minimum(depth, shore - y) * width, np.float32)
        sheet.wash(inside, color, force * mist, ragged_px=3.0, rim=0.75, granulation=0.14)
        # Facets: a second pigment dropped in on the side away from the sun.
        side = fbm(sheet.shape, width * 0.06, seed + int(base * 999), octaves=4, stretch=(0.6, 1.6)) - 0.25
        facet = np.minimum(inside, side * 22 * sheet.unit)
        sheet.wash(np.asarray(facet, np.float32), second, 0.75 * mist, ragged_px=2.5, rim=0.9)


def _lake(sheet: Sheet, x: Field, y: Field, width: int, seed: int) -> None:
    shore = 0.505
    chop = fbm(sheet.shape, width * 0.045, seed + 3, octaves=3, stretch=(5.0, 0.45))
    depth = np.clip((y - shore) / 0.25, 0, 1)
    inside = np.asarray((y - shore) * width, np.float32)
    sparkle = smoothstep(1.3, 0.7, chop) * 0.9 + 0.1
    sheet.wash(inside, "f6b860", 0.75 * smoothstep(0.35, 0.0, depth) * sparkle, rim=0.2)
    sheet.wash(inside, "e88a98", 0.45 * np.exp(-(((depth - 0.3) / 0.25) ** 2)) * sparkle, rim=0.1)
    sheet.wash(inside, "3f7fb8", (0.25 + 0.95 * depth) * sparkle, rim=0.4, granulation=0.14)
    for k, (low, color) in enumerate(((0.05, "6f96c0"), (0.30, "4f86b8"), (0.6, "3f6faa"))):
        ripple = (chop + 0.3 * np.sin(9 * x + k) - 0.55 + 0.6 * (depth - low)) * 16 * sheet.unit
        sheet.wash(np.asarray(np.minimum(ripple, inside), np.float32), color, 0.5, ragged_px=1.5, rim=0.8)
    glint = fbm(sheet.shape, width * 0.016, seed + 9, octaves=2, stretch=(3.5, 0.45))
    road = np.exp(-(((x - 0.69) / (0.02 + 0.05 * depth)) ** 2)) * smoothstep(0.1, 0.3, glint) * (y > shore + 0.01)
    sheet.lift(np.asarray(0.75 * road, np.float32))


def _firs(sheet: Sheet, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed + 4)
    unit = sheet.unit
    groups = (
        (np.concatenate([rng.uniform(0.0, 0.36, 16), rng.uniform(0.82, 1.0, 9)]), 0.512, (0.05, 0.11), "6fa08f", 0.8),
        (np.concatenate([rng.uniform(-0.02, 0.20, 8), rng.uniform(0.90, 1.02, 4)]), 0.560, (0.14, 0.27), "3f7f62", 1.0),
    )
    for positions, foot, (low, high), color, force in groups:
        mask = np.zeros(sheet.shape, np.uint8)
        for cx in positions:
            _fir(mask, (cx * width, (foot + rng.uniform(-0.004, 0.008)) * width), rng.uniform(low, high) * width, rng)
        inside = inside_px(mask > 127)
        sheet.wash(inside, color, force, ragged_px=1.6, rim=0.6, granulation=0.14, flow=0.35)
        warm = fbm(sheet.shape, 60 * unit, seed + 5, octaves=3)
        sheet.wash(inside, "d0a040", 0.8 * smoothstep(0.2, 1.2, warm), ragged_px=1.6, rim=0.2)
        sheet.wash(inside, "3f5f9f", 0.8 * smoothstep(0.2, 1.2, -warm), ragged_px=1.6, rim=0.2)
        # Their reflections, wet in wet.
        foot_row = int(foot * width)
        mirrored = np.zeros_like(mask)
        rows = min(foot_row, mask.shape[0] - foot_row)
        mirrored[foot_row : foot_row + rows] = mask[foot_row - rows : foot_row][::-1]
        sheet.wash(inside_px(mirrored > 127), color, 0.45, wet_px=7, ragged_px=8, rim=0.1)


def _meadow(sheet: Sheet, x: Field, y: Field, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed + 6)
    unit = sheet.unit
    bank = 0.665 - 0.085 * smoothstep(0.62, 0.0, x) - 0.05 * smoothstep(0.75, 1.0, x) + 0.006 * np.sin(31 * x)
    inside = np.asarray((y - bank) * width, np.float32)
    patch = fbm(sheet.shape, width * 0.09, seed + 7, octaves=4, stretch=(1.8, 0.8))
    # The lake's blue must not shine through the yellow greens: lift most of it first.
    sheet.lift(np.asarray(0.9 * smoothstep(-2, 4, inside), np.float32))
    sheet.wash(inside, "d9cc4f", 0.95, ragged_px=4, flow=0.4)
    sheet.wash(
        np.asarray(np.minimum(inside, (patch + 0.5) * 40 * unit), np.float32), "7fa83f", 0.9, ragged_px=5, flow=0.4
    )
    sheet.wash(np.asarray(np.minimum(inside, (patch - 0.5) * 40 * unit), np.float32), "4f8f5f", 0.85, ragged_px=5)
    blades = np.zeros(sheet.shape, np.uint8)
    for _ in range(520):
        cx = rng.uniform(0, 1)
        row = 0.665 - 0.085 * float(smoothstep(0.62, 0.0, cx)) + rng.uniform(-0.005, 0.12)
        tall, lean = rng.uniform(0.02, 0.07) * (0.5 + (row - 0.55) * 5), rng.normal(0, 0.014)
        half = rng.uniform(1.0, 2.6) * unit / width
        points = [(cx - half, row), (cx + lean * 0.35, row - tall * 0.6), (cx + lean, row - tall), (cx + half, row)]
        polygon = np.rint(np.array(points) * width * 16).astype(np.int32)
        cv2.fillPoly(blades, [polygon], 255, cv2.LINE_AA, 4)
    sheet.wash(inside_px(blades > 127), "4f8a3f", 0.85, ragged_px=0.4, rim=0.4, wet_px=0.9)
    for color, count in (("d8334f", 60), ("e8679a", 45), ("7a4fb8", 40), ("f09a1f", 30)):
        mask = np.zeros(sheet.shape, np.uint8)
        for _ in range(count):
            cx = rng.uniform(0, 1) if color != "7a4fb8" else rng.uniform(0.55, 1.0)
            row = 0.665 - 0.075 * float(smoothstep(0.62, 0.0, cx)) + rng.beta(1.1, 2.0) * 0.11 - 0.025
            size = rng.uniform(4, 13) * unit * (0.6 + (row - 0.56) * 4)
            for _ in range(5):
                px, py = cx * width + rng.normal(0, 0.55) * size, row * width + rng.normal(0, 0.45) * size
                axes = (
                    max(int(size * rng.uniform(0.4, 0.8) * 16), 16),
                    max(int(size * rng.uniform(0.3, 0.6) * 16), 16),
                )
                turn = float(rng.uniform(0, 180))
                cv2.ellipse(mask, (int(px * 16), int(py * 16)), axes, turn, 0, 360, 255, -1, cv2.LINE_AA, 4)
        flower = inside_px(mask > 127)
        sheet.lift(np.asarray(0.85 * smoothstep(-1.5, 1.5, flower), np.float32))
        sheet.wash(flower, color, 0.9, ragged_px=1.2, rim=0.9, flow=0.5)
    drops = np.zeros(sheet.shape, np.uint8)
    for _ in range(90):
        px, py = rng.uniform(0, 1) * width, rng.uniform(0.30, 0.74) * width
        cv2.circle(
            drops, (int(px * 16), int(py * 16)), int(rng.gamma(1.6, 1.7) * unit * 16) + 12, 255, -1, cv2.LINE_AA, 4
        )
    sheet.wash(inside_px(drops > 127), "3f7f9a", 0.5, ragged_px=0.6, rim=1.0)


def make_image(width_px: int, seed: int) -> NDArray[np.uint8]:
    """The finished sheet (H, W, 3) uint8 sRGB, 4:3, with a bare paper edge."""
    scale = 2  # supersampling
    shape = (width_px * 3 // 4, width_px)
    big = (shape[0] * scale, shape[1] * scale)
    sheet = Sheet(big, seed, big[1] / 1792)
    x, y = grid(big)
    _skies(sheet, x, y, big[1], seed)
    _land(sheet, x, y, big[1], seed)
    _lake(sheet, x, y, big[1], seed)
    _firs(sheet, big[1], seed)
    _meadow(sheet, x, y, big[1], seed)
    # Bare paper around a brushed border.
    border = np.minimum(np.minimum(x, 1 - x), np.minimum(y, big[0] / big[1] - y)) - 0.016
    border = border + 0.0035 * fbm(big, 70 * sheet.unit, seed + 8, octaves=5, gain=0.6)
    sheet.lift(np.asarray(smoothstep(0.0012, -0.0012, border), np.float32))
    return to_uint8(resize(sheet.finished(), shape))
