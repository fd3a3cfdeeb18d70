"""`stainedglass`: sun, mountains, a winding river and irises in glowing glass and dark lead.

The image is cut into regions; each region is cut into cells around seeds that follow its form. Borders become lead
with a rounded profile, cells become glass: a gradient, streaks, bubbles, light bleeding over the lead.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from style_art.fields import Field, blur, fbm, grid, mix, ramp, resize, rgb, smoothstep, to_uint8

_SUN = (0.64, 0.27)
_RINGS = (0.075, 0.115, 0.20, 0.31)


def _regions(x: Field, y: Field) -> NDArray[np.int32]:
    """Region number of every pixel (H, W), from back to front."""
    far = np.hypot(x - _SUN[0], y - _SUN[1])
    region = np.zeros(x.shape, np.int32)
    for number, radius in enumerate(reversed(_RINGS), start=1):
        region[far < radius] = number  # 1 outer halo ... 4 the disc
    for number, (base, amp, freq, shift) in enumerate(
        ((0.44, 0.105, 5.5, 0.2), (0.50, 0.075, 6.5, 2.4), (0.565, 0.045, 5.0, 4.4)), start=5
    ):
        peaks = np.abs(np.mod(freq * x / np.pi + shift, 2) - 1) * 2 - 1  # a triangle wave: mountains
        soft = np.sin(freq * x + shift * 2)
        crest = base - amp * (peaks if number < 7 else soft)
        region[y > crest] = number  # 5 far range, 6 near range, 7 green hills
    depth = np.clip((y - 0.57) / 0.43, 0, 1)
    middle = 0.52 + 0.17 * np.sin(9.0 * depth**0.75 + 0.6) * (0.25 + depth)
    wide = 0.012 + 0.16 * depth**1.2
    river = (np.abs(x - middle) < wide) & (y > 0.575)
    region[river & (x < middle)] = 8
    region[river & (x >= middle)] = 9
    # A round tree on the left bank.
    region[
        (np.abs(x - 0.175 - 0.02 * np.sin(9 * y)) < 0.014 + 0.05 * np.clip(y - 0.66, 0, 1)) & (y > 0.4) & (y < 0.80)
    ] = 10
    crown = np.hypot(x - 0.17, (y - 0.37) * 1.02) - 0.150 - 0.012 * np.sin(9 * np.arctan2(y - 0.37, x - 0.17))
    region[crown < 0] = 11
    region[crown < -0.075] = 12
    # Irises in the corners of the foreground.
    for number, (cx, cy, size) in enumerate(
        ((0.10, 0.86, 0.085), (0.90, 0.80, 0.095), (0.745, 0.915, 0.07), (0.27, 0.945, 0.055)), start=13
    ):
        stem = (np.abs(x - cx - 0.06 * (y - cy)) < 0.012) & (y > cy)
        region[stem] = 30
        leaf_x = 0.012 + (y - cy) * 0.5
        for side in (-1, 1):
            blade = np.abs(x - cx - side * leaf_x) < 0.020 * smoothstep(0.0, 0.06, y - cy - size * 0.6)
            region[blade & (y > cy + size * 0.7)] = 31
        theta, radius = np.arctan2(y - cy, x - cx), np.hypot(x - cx, y - cy)
        petal = radius / size < 0.42 + 0.58 * np.abs(np.cos(2.5 * (theta + np.pi / 2))) ** 0.8
        lobe = np.floor((theta + np.pi / 2 + np.pi / 5) / (2 * np.pi / 5)).astype(np.int32) % 5
        region[petal] = (40 + 8 * (number - 13) + lobe)[petal]
        region[radius < 0.24 * size] = 32 + number - 13
    return region


def _seeds(shape: tuple[int, int], region: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Cell number of every pixel (H, W), unique over the image; cells never cross a region border."""
    height, width = shape
    cells = np.zeros(shape, np.int32)
    x, y = grid(shape)
    step = {
        0: 0.066,
        5: 0.055,
        6: 0.055,
        7: 0.052,
        8: 0.06,
        9: 0.06,
        10: 0.05,
        11: 0.040,
        12: 0.044,
        30: 0.09,
        31: 0.09,
    }
    offset = 1
    for number in np.unique(region):
        inside = region == number
        points = []
        if 1 <= number <= 3:  # rings around the sun: wedges
            low, high = _RINGS[3 - number], _RINGS[4 - number]
            wedges = {1: 22, 2: 16, 3: 12}[int(number)]
            # An exact polar cut, alternate rays staggered.
            turn = np.arctan2(y - _SUN[1], x - _SUN[0]) / (2 * np.pi) + 0.5 + 0.11 * number
            label = np.floor(turn * wedges + 0.12 * np.sin(40 * np.hypot(x - _SUN[0], y - _SUN[1]))).astype(np.int32)
            label = np.mod(label, wedges)
            split = (np.hypot(x - _SUN[0], y - _SUN[1]) > (low + high) / 2) & (label % 2 == 0) & (number < 3)
            cells[inside] = (offset + label + wedges * split)[inside]
            offset += 2 * wedges
            continue
        if number == 4 or number >= 32:
            cells[inside] = offset
            offset += 1
            continue
        gap = step.get(int(number), 0.06)
        squash = {0: 0.62, 7: 0.6, 8: 0.42, 9: 0.42, 30: 2.0, 31: 2.0}.get(int(number), 1.0)
        rows = np.arange(gap / 2, height / width + gap, gap * squash)
        for row, py in enumerate(rows):
            for px in np.arange(gap / 2 * (row % 2), 1 + gap, gap):
                points.append((px + rng.normal(0, 0.22 * gap), py + rng.normal(0, 0.22 * gap * squash)))
        sites = np.array(points)
        sites = sites[(sites > -0.05).all(1) & (sites < 1.05).all(1)]
        best = np.full(shape, np.inf, np.float32)
        label = np.zeros(shape, np.int32)
        # Nearest seed, in a space stretched so that cells lie along the form; boxes keep it fast.
        reach = gap * 2.2
        for index, (px, py) in enumerate(sites.tolist()):
            x0, x1 = max(int((px - reach) * width), 0), min(int((px + reach) * width), width)
            y0, y1 = max(int((py - reach) * width), 0), min(int((py + reach) * width), height)
            if x1 <= x0 or y1 <= y0 or not inside[y0:y1, x0:x1].any():
                continue
            box = (slice(y0, y1), slice(x0, x1))
            distance = (x[box] - px) ** 2 + ((y[box] - py) / squash) ** 2
            nearer = distance < best[box]
            best[box] = np.where(nearer, distance, best[box])
            label[box] = np.where(nearer, index, label[box])
        cells[inside] = (offset + label)[inside]
        offset += len(sites)
    return cells


def _glass_color(number: int, y: float, rng: np.random.Generator) -> Field:
    """The glass (3,) that the maker picks for one cell of region `number` at height `y`."""
    pick = float(rng.random())
    if number == 0:
        low = ramp(y + 0.10 * (pick - 0.5), [(0.0, "142a8c"), (0.2, "2a5fd0"), (0.38, "5f9fe8"), (0.5, "f0a0b8")])
        return low if pick < 0.8 else ramp(pick, [(0.8, "6f5fd8"), (1.0, "9fe0f0")])
    palettes: dict[int, list[tuple[float, str]]] = {
        1: [(0.0, "d02a5a"), (0.5, "f0682a"), (1.0, "a838b8")],
        2: [(0.0, "ff8a2a"), (0.5, "ffb040"), (1.0, "f0603a")],
        3: [(0.0, "ffd040"), (1.0, "ffb020")],
        4: [(0.0, "fff0b0"), (1.0, "fff0b0")],
        5: [(0.0, "4a4fb0"), (0.5, "7f6fd0"), (1.0, "a8b8f0")],
        6: [(0.0, "2a2f7f"), (0.5, "5a3f9a"), (1.0, "8f4fa0")],
        7: [(0.0, "1f6a3a"), (0.4, "3fa04a"), (0.75, "a0c840"), (1.0, "e8d850")],
        8: [(0.0, "1f6fb8"), (0.5, "3fa8d8"), (1.0, "8fe0e8")],
        9: [(0.0, "16408f"), (0.5, "2a7fc8"), (0.85, "5fc0d8"), (1.0, "f0b8a0")],
        10: [(0.0, "6a3018"), (1.0, "a8602a")],
        11: [(0.0, "0f5a40"), (0.5, "2f8f3a"), (1.0, "c8b830")],
        12: [(0.0, "4fa838"), (0.5, "b8d040"), (1.0, "f0a030")],
        30: [(0.0, "2a8f3a"), (1.0, "4fb04a")],
        31: [(0.0, "1f7f4a"), (1.0, "7fc850")],
        32: [(0.0, "ffd030"), (1.0, "ffb020")],
    }
    flowers = ("b02ac0", "d82a4a", "5f3ad8", "e8508f")
    if number >= 40:
        base = rgb(flowers[((number - 40) // 8) % 4])
        return np.asarray(np.clip(base * (0.8 + 0.45 * pick), 0, 1), np.float32)
    return ramp(pick, palettes[min(number, 32)])


def make_image(width_px: int, seed: int) -> NDArray[np.uint8]:
    """The finished window (H, W, 3) uint8 sRGB, square."""
    scale = 2  # supersampling
    shape = (width_px, width_px)
    big = (width_px * scale, width_px * scale)
    unit = big[1] / 1536
    rng = np.random.default_rng(seed)
    x, y = grid(big)
    # Hand-cut edges are never straight.
    sway = 0.0035
    xw = x + sway * fbm(big, 90 * unit, seed + 1, octaves=2)
    yw = y + sway * fbm(big, 90 * unit, seed + 2, octaves=2)
    region = _regions(np.asarray(xw, np.float32), np.asarray(yw, np.float32))
    cells = _seeds(big, region, rng)

    _, compact = np.unique(cells.ravel(), return_inverse=True)
    compact = compact.reshape(big).astype(np.int32)
    count = int(compact.max()) + 1
    area = np.maximum(np.bincount(compact.ravel(), minlength=count), 1)
    center_x = np.bincount(compact.ravel(), x.ravel(), count) / area
    center_y = np.bincount(compact.ravel(), y.ravel(), count) / area
    first = np.zeros(count, np.int64)
    first[compact.ravel()[::-1]] = np.arange(compact.size)[::-1]
    colors = np.stack([_glass_color(int(region.flat[first[k]]), float(center_y[k]), rng) for k in range(count)]).astype(
        np.float32
    )

    edge = np.ones(big, np.uint8)
    edge[:, 1:][compact[:, 1:] != compact[:, :-1]] = 0
    edge[1:][compact[1:] != compact[:-1]] = 0
    border = np.ones(big, np.uint8)
    border[:, 1:][region[:, 1:] != region[:, :-1]] = 0
    border[1:][region[1:] != region[:-1]] = 0
    to_edge = np.asarray(cv2.distanceTransform(edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32) / unit
    to_border = np.asarray(cv2.distanceTransform(border, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32) / unit

    # Glass: a gradient across each cell, brighter where it is thin, with streaks and seeds (bubbles).
    turn = rng.uniform(0, 2 * np.pi, count)
    size = np.sqrt(area) / big[1]
    lean = ((x - center_x[compact]) * np.cos(turn)[compact] + (y - center_y[compact]) * np.sin(turn)[compact]) / size[
        compact
    ]
    streak = fbm(big, 46 * unit, seed + 3, octaves=4, stretch=(0.5, 2.2))
    cloudy = fbm(big, 120 * unit, seed + 4, octaves=4)
    glass = colors[compact]
    body = smoothstep(2.0, 34.0, to_edge)
    sunlit = np.exp(-np.hypot(x - _SUN[0], y - _SUN[1]) / 0.30)
    density = rng.normal(0, 0.14, count).astype(np.float32)[compact]  # no two panes are equally thick
    light = 0.70 + 0.22 * body + 0.24 * lean + 0.06 * streak + 0.07 * cloudy + 0.30 * sunlit + density
    glow = 0.02 + 0.20 * body + 0.34 * np.clip(lean, 0, 1) + 0.05 * streak + 0.22 * sunlit + 0.8 * density
    glass = mix(glass * light[..., None], np.ones(3, np.float32), np.clip(glow * 0.62, 0, 0.55))
    pits = fbm(big, 11 * unit, seed + 5, octaves=1)
    bubble = smoothstep(2.5, 3.0, pits)
    rim = smoothstep(2.2, 2.45, pits) * (1 - bubble)
    glass = glass * (1 + 0.18 * bubble - 0.16 * rim)[..., None]

    # Lead: thicker between regions, rounded, lit from the upper left.
    wide = 4.2 + 0.5 * cloudy
    lead = np.maximum(smoothstep(wide + 1.2, wide - 1.2, to_edge), smoothstep(8.2, 5.8, to_border))
    profile = np.maximum(
        np.sqrt(np.clip(1 - (to_edge / wide) ** 2, 0, 1)) * 5, np.sqrt(np.clip(1 - (to_border / 7.0) ** 2, 0, 1)) * 7
    )
    profile = blur(np.asarray(profile, np.float32), 1.2 * unit)
    slope = (
        0.6 * cv2.Sobel(profile, cv2.CV_32F, 1, 0, ksize=3) + 0.8 * cv2.Sobel(profile, cv2.CV_32F, 0, 1, ksize=3)
    ) / 8
    metal = np.clip(0.5 + 0.9 * slope + 0.08 * fbm(big, 5 * unit, seed + 6, octaves=2), 0, 1.4)
    solid = ramp(metal, [(0.0, "0a0a10"), (0.5, "1c1d26"), (0.9, "4a4d58"), (1.3, "9a9ca2")])
    # Light creeps around the lead (halation), and lead shades the rim of the glass.
    glass = glass * (0.62 + 0.38 * smoothstep(0.0, 11.0, to_edge - wide))[..., None]
    image = mix(glass, solid, lead)
    bright = np.clip(image - 0.45, 0, 1)
    halo = np.stack([blur(np.ascontiguousarray(bright[..., k]), 11 * unit) for k in range(3)], axis=-1)
    image = image + 0.30 * halo
    return to_uint8(resize(np.asarray(np.clip(image, 0, 1), np.float32), shape))
