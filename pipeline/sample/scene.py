"""The land of the sample timelapse: everything that does not move, built once per image size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from pipeline.sample.easel import SEED, Easel, Field, Layer, mix, ramp, rgb, smoothstep

SHORE = 0.600  # row of the far shore, as a fraction of the height


@dataclass(frozen=True)
class Scene:
    """Everything that does not move.

    `windows` (H, W) is the fraction of a pixel that is window; `lit_from` and `lit_until` (H, W) are the hours from
    which and until which its lamp burns.
    """

    far: Layer
    near: Layer
    windows: Field
    lit_from: Field
    lit_until: Field


def _mountains(e: Easel) -> None:
    rock_noise, strata = e.noise(34, 1, octaves=6, gain=0.6), e.noise(22, 2, octaves=5, stretch=3.0)
    ridged = -np.abs(e.noise(52, 3, octaves=6, gain=0.55))
    for base, amp, seed, knots, haze, snow_line in (
        (0.40, 0.135, 11, 4, 0.52, 0.385),
        (0.475, 0.075, 12, 5, 0.34, 0.0),
    ):
        crest = base - amp * e.profile(seed, knots, 7, 0.52)[None, :]
        depth = e.v - crest
        stone = ramp(0.5 + 0.16 * strata + 0.14 * rock_noise, "3f3d42", "6a6460", "8f8375", "b0a590")
        if snow_line:
            snow = smoothstep(0.035, -0.035, e.v - snow_line + 0.030 * rock_noise - 0.02 * ridged)
            stone = mix(stone, rgb("eef2f8"), snow)
        else:
            woods = smoothstep(-0.5, 0.5, (depth - 0.035) * 30 + 0.8 * rock_noise)
            stone = mix(stone, ramp(0.5 + 0.25 * e.noise(5, 14, octaves=3, stretch=0.5), "1d3324", "3d5a36"), woods)
        e.put(depth > 0, stone, ridged * 9 + rock_noise * 3, 0.55, tilt=(0.0, 0.45), haze=haze)


def _forest(e: Easel) -> None:
    rng = np.random.default_rng(SEED + 20)
    leaves, clumps = e.noise(4.5, 21, octaves=3, stretch=0.55), e.noise(30, 22, octaves=4)
    for base, amp, seed, haze, tall, colors in (
        (0.540, 0.040, 23, 0.20, 9.0, ("1c3420", "31522c", "4f6d35")),
        (0.578, 0.022, 24, 0.09, 12.0, ("16301a", "2c5324", "6a7f35")),
    ):
        ground = base - amp * e.profile(seed, 4, 4, 0.45)
        # Fir tops: many narrow triangles over the ground line, drawn once into a mask.
        mask = np.zeros(e.shape, np.uint8)
        for cx in rng.uniform(0, 1, 330):
            column = min(int(cx * e.shape[1]), e.shape[1] - 1)
            foot = ground[column] * e.shape[0] + rng.uniform(0, 5) * e.unit
            high, half = tall * e.unit * rng.uniform(0.55, 1.25), tall * e.unit * rng.uniform(0.13, 0.24)
            left = column - half
            corners = [(left, foot + 3 * e.unit), (column, foot - high), (column + half, foot + 3 * e.unit)]
            cv2.fillPoly(mask, [np.rint(np.array(corners)).astype(np.int32)], 255)
        where = (mask > 0) | (e.v > ground[None, :])
        green = ramp(0.5 + 0.20 * leaves + 0.16 * clumps, *colors)
        meadow = smoothstep(0.9, 1.3, clumps) * (e.v > ground[None, :] + 0.008)
        green = mix(green, ramp(0.5 + 0.2 * leaves, "6f8a3c", "a3ac58"), meadow)
        e.put(where & (e.v < SHORE), green, leaves * 2.2 + clumps * 4, 0.5, tilt=(0.0, 0.35), haze=haze)


def _village(e: Easel) -> tuple[Field, Field, Field]:
    """Draw houses and a church on the far shore; returns the window cover, and the hours when each lamp is switched."""
    rng = np.random.default_rng(SEED + 30)
    windows = np.zeros(e.shape, np.float32)
    lit_from, lit_until = np.full(e.shape, 30, np.float32), np.zeros(e.shape, np.float32)
    grain = e.noise(3, 31, octaves=2)
    positions = [(cx, rng.uniform(0.010, 0.028)) for cx in np.sort(rng.uniform(0.565, 0.885, 15))]
    positions += [(0.155, 0.012), (0.192, 0.006)]
    for cx, up in sorted(positions, key=lambda position: -position[1]):
        wide, high = rng.uniform(13, 20) * e.unit, rng.uniform(7, 10) * e.unit
        left, floor = cx * e.shape[1] - wide / 2, (SHORE - up) * e.shape[0]
        box = e.box(left - 0.2 * wide, floor - high - 8 * e.unit, left + 1.2 * wide, floor)
        here, rough = e.part(box), grain[box]
        plaster = np.broadcast_to(
            rgb(rng.choice(["e8dcc4", "d9c09a", "f0e8da", "c9a184", "b8a894"])), here.albedo.shape
        )
        roof = np.broadcast_to(rgb(rng.choice(["8a4a38", "74402f", "5f5450", "94583e"])), here.albedo.shape)
        column, row = here.x * e.shape[1], here.v * e.shape[0]
        wall = (column > left) & (column < left + wide) & (row < floor) & (row > floor - high)
        tilt = rng.uniform(-0.4, 0.4), 0.0
        here.put(wall, plaster * (1 + 0.05 * rough[..., None]), rough, 0.1, tilt=tilt, haze=0.08)
        rise = (row - (floor - high - 6.5 * e.unit)) / (6.5 * e.unit)
        slope = (rise > 0) & (rise < 1.08) & (np.abs(column - left - wide / 2) < wide * (0.28 + 0.30 * rise))
        tiles = roof * (1 + 0.10 * rough + 0.10 * np.sin(row * 3.0 / e.unit))[..., None]
        here.put(slope, np.asarray(tiles, np.float32), rough, 0.2, tilt=(0.0, 0.8), haze=0.08)
        for k in range(3):
            wx, wy = left + wide * (0.22 + 0.28 * k), floor - high * 0.52
            pane = (np.abs(column - wx) < 1.15 * e.unit) & (np.abs(row - wy) < 1.6 * e.unit)
            here.albedo[pane] = rgb("38424c")
            windows[box][pane] = 1
            lit_from[box][pane] = rng.uniform(18.9, 20.9) if rng.random() < 0.75 else 30
            lit_until[box][pane] = rng.uniform(5.3, 6.9) if rng.random() < 0.35 else 0
    cx, floor = 0.735 * e.shape[1], (SHORE - 0.03) * e.shape[0]
    column, row = e.x * e.shape[1], e.v * e.shape[0]
    tower = (np.abs(column - cx) < 4 * e.unit) & (row < floor) & (row > floor - 24 * e.unit)
    e.put(tower, np.broadcast_to(rgb("e6dccb"), e.albedo.shape), grain, 0.2, tilt=(-0.2, 0.0), haze=0.08)
    spire = np.abs(column - cx) < 4.8 * e.unit * (row - floor + 42 * e.unit) / (18 * e.unit)
    spire &= row < floor - 23 * e.unit
    e.put(spire, np.broadcast_to(rgb("4f6660"), e.albedo.shape), grain, 0.2, tilt=(-0.1, 0.4), haze=0.08)
    bell = (np.abs(column - cx) < 1.3 * e.unit) & (np.abs(row - floor + 19 * e.unit) < 2.2 * e.unit)
    windows[bell], lit_from[bell] = 1, 19.3
    e.albedo[bell] = rgb("38424c")
    # Gardens between the houses and the water.
    bush = e.v > SHORE - 0.010 - 0.008 * np.clip(e.noise(9, 33, octaves=3), -1, 2)
    green = ramp(0.5 + 0.2 * e.noise(4, 34, octaves=3), "1f3a1c", "47682c", "8a9448")
    e.put(bush & (e.v < SHORE), green, e.noise(5, 35, octaves=3) * 3, 0.4, tilt=(0.0, 0.4), haze=0.06)
    hidden = bush & (e.v < SHORE)
    windows[hidden] = 0
    return windows, lit_from, lit_until


def _meadow(e: Easel) -> None:
    rng = np.random.default_rng(SEED + 40)
    bank = 0.885 - 0.115 * smoothstep(0.55, 0.0, e.x[0]) - 0.045 * smoothstep(0.72, 1.0, e.x[0])
    bank = bank + 0.006 * e.profile(41, 12, 4, 0.5)
    tufts, patch = e.noise(5, 42, octaves=4, stretch=0.35), e.noise(60, 43, octaves=4, stretch=2.0)
    soil = ramp(0.5 + 0.2 * patch + 0.14 * tufts, "2a3a18", "4a6324", "7f8a36", "b0a050")
    e.put(e.v > bank[None, :], soil, tufts * 3, 0.35, tilt=(0.0, 0.75), haze=0.0)
    # Stones along the water, then grass over their feet.
    stone = ramp(0.5 + 0.18 * tufts + 0.10 * patch, "55524f", "847f78", "b5aea2")
    for _ in range(46):
        cx = rng.uniform(0, 1)
        foot = bank[min(int(cx * e.shape[1]), e.shape[1] - 1)] + rng.uniform(-0.006, 0.035)
        wide = (rng.gamma(3.0, 2.3) + 2) * e.unit
        high = wide * rng.uniform(0.5, 0.75)
        column, row = cx * e.shape[1], foot * e.shape[0]
        box = e.box(column - 1.1 * wide, row - 2 * high, column + 1.1 * wide, row + 0.45 * high)
        here = e.part(box)
        u, w = (here.x - cx) * (e.shape[1] / wide), (here.v - foot) * (e.shape[0] / high)
        bulge = 1 - u * u - w * w + 0.10 * tufts[box] + 0.06 * patch[box]
        dome = np.sqrt(np.clip(bulge, 0, 1)) * (wide * 1.2 / e.unit) + tufts[box] * 0.6
        here.put(
            (bulge > 0) & (w < 0.45) & (np.abs(u) < 1.1),
            stone[box],
            np.asarray(dome, np.float32),
            1.0,
            tilt=(0.0, 0.4),
            haze=0.0,
        )
    greens = ramp(np.linspace(0, 1, 256, dtype=np.float32), "22381a", "46682a", "7d963c", "c2b866")
    order = np.sort(rng.uniform(0, 1, 5200) ** 0.8)
    for depth in order:
        cx = rng.uniform(-0.01, 1.01)
        top = bank[int(np.clip(cx, 0, 0.999) * e.shape[1])]
        foot = (top + (1.03 - top) * depth) * e.shape[0]
        size = (2.5 + 13 * depth) * e.unit * rng.uniform(0.5, 1.3)
        lean = rng.normal(0.12, 0.35) * size
        half = max(0.45 * e.unit * (0.5 + depth), 0.8)
        x0 = cx * e.shape[1]
        corners = [
            (x0 - half, foot),
            (x0 + lean * 0.4, foot - size * 0.65),
            (x0 + lean, foot - size),
            (x0 + half, foot),
        ]
        ground = patch[int(min(foot, e.shape[0] - 1)), int(x0) % e.shape[1]]
        tone = np.clip(0.5 + 0.22 * rng.standard_normal() + 0.12 * ground, 0, 1)
        color = greens[int(tone * 255)]
        e.fill(corners, color, (np.clip(lean / size, -0.5, 0.5), 0.6, 0.6))
    for _ in range(420):
        cx, depth = rng.uniform(0, 1), rng.uniform(0.02, 0.95)
        top = bank[int(cx * e.shape[1])]
        row = (top + (1.0 - top) * depth) * e.shape[0] - (2 + 9 * depth) * e.unit
        size = (0.6 + 1.5 * depth) * e.unit
        color = rgb(rng.choice(["f2e9e4", "e8c840", "d85a4a", "b06ac0", "f0a8c0"]))
        for turn in np.arange(5) * 2 * np.pi / 5 + rng.uniform(0, 1):
            px, py = cx * e.shape[1] + np.cos(turn) * size * 0.8, row + np.sin(turn) * size * 0.55
            ring = [(px + np.cos(a) * size * 0.6, py + np.sin(a) * size * 0.5) for a in np.arange(8) * np.pi / 4]
            e.fill(ring, color * rng.uniform(0.85, 1.05), (0.0, 0.6, 0.7))


def _tree(e: Easel) -> None:
    """An old broad-leaved tree on the left bank: limbs, then leaf by leaf."""
    rng = np.random.default_rng(SEED + 50)
    bark = e.noise(5, 51, octaves=4, stretch=0.25)
    brown = ramp(0.5 + 0.2 * bark, "2b211b", "55443a", "8a7562")
    root, fork = np.array([0.115, 0.90]), np.array([0.128, 0.50])
    limbs = [(root, fork, 15.0, 9.0)]
    tips = []
    for tip_x, tip_v in ((0.03, 0.30), (0.09, 0.20), (0.16, 0.16), (0.225, 0.24), (0.265, 0.38), (0.0, 0.44)):
        start = fork + (root - fork) * rng.uniform(0.0, 0.22)
        limbs.append((start, np.array([tip_x, tip_v]), 6.5, 1.4))
        tips.append((tip_x, tip_v))
    for start, stop, thick, thin in limbs:
        (ax, ay), (bx, by) = start * (e.shape[1], e.shape[0]), stop * (e.shape[1], e.shape[0])
        reach = 24 * e.unit
        box = e.box(min(ax, bx) - reach, min(ay, by) - reach, max(ax, bx) + reach, max(ay, by) + reach)
        here, rough = e.part(box), bark[box]
        column, row = here.x * e.shape[1], here.v * e.shape[0]
        dx, dy = bx - ax, by - ay
        t = np.clip(((column - ax) * dx + (row - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        bow = np.sin(t * np.pi) * 5 * e.unit * np.sign(bx - ax + 1e-3)
        off = ((column - ax) * dy - (row - ay) * dx) / np.hypot(dx, dy) + bow * 0.4
        past = np.hypot(column - ax - t * dx, row - ay - t * dy)
        half = (thick + (thin - thick) * t + 5 * np.clip(0.12 - t, 0, 1) * thick / 2) * e.unit / 2 * (1 + 0.06 * rough)
        inside = (np.abs(off) < half) & (past < half + 8 * e.unit) & (t < 1) & (t > 0)
        round_ = np.sqrt(np.clip(1 - (off / half) ** 2, 0, 1)) * half * (2 / e.unit) + rough * 0.8
        here.put(inside, brown[box], np.asarray(round_, np.float32), 0.9, tilt=(0.0, 0.0), haze=0.0)
    clusters = [
        (x + rng.normal(0, 0.018), v + rng.normal(0, 0.03), rng.uniform(17, 29)) for x, v in tips for _ in range(4)
    ]
    clusters += [(rng.uniform(0.02, 0.23), rng.uniform(0.18, 0.40), rng.uniform(16, 26)) for _ in range(17)]
    leaves = []
    for cx, cv, radius in clusters:
        for _ in range(int(radius * 11)):
            turn, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * rng.uniform(0.75, 1.12)
            nx, ny = np.cos(turn) * far, np.sin(turn) * far * 0.8
            front = rng.random() * np.sqrt(max(1.2 - far * far, 0.0))
            leaves.append((front + rng.normal(0, 0.1) + 0.25 * (0.3 - cv), cx, cv, radius * e.unit, nx, ny, front))
    greens = ramp(np.linspace(0, 1, 256, dtype=np.float32), "14260f", "2f4d1a", "587a28", "93a63c")
    for _, cx, cv, radius, nx, ny, front in sorted(leaves, key=lambda leaf: leaf[0]):
        px, py = cx * e.shape[1] + nx * radius, cv * e.shape[0] + ny * radius
        size, turn = rng.uniform(1.3, 2.7) * e.unit, rng.uniform(0, np.pi)
        shape = [(size, 0.0), (0.2 * size, 0.5 * size), (-size, 0.0), (0.2 * size, -0.5 * size)]
        cos, sin = np.cos(turn), np.sin(turn)
        corners = [(px + u * cos - w * sin, py + u * sin + w * cos) for u, w in shape]
        tone = np.clip(0.25 + 0.38 * front + 0.13 * rng.standard_normal(), 0, 1)
        color = greens[int(tone * 255)]
        e.fill(corners, color, (nx, -ny + 0.25, 0.25 + 0.7 * front))


def _far(width: int, height: int) -> tuple[Layer, Field, Field, Field]:
    """The far shore, its windows, and the hours from which and until which their lamps burn."""
    e = Easel(width, height)
    _mountains(e)
    _forest(e)
    windows, lit_from, lit_until = _village(e)
    # Hours must not be averaged over the parts of a pixel, so the nearest is taken.
    nearest = [np.asarray(cv2.dilate(m, np.ones((3, 3))), np.float32) for m in (-lit_from, lit_until)]
    later, until = (
        np.asarray(cv2.resize(m, (width, height), interpolation=cv2.INTER_NEAREST), np.float32) for m in nearest
    )
    return e.layer(), e.reduced(windows), -later, until


def _near(width: int, height: int) -> Layer:
    """The bank at the viewer's feet."""
    e = Easel(width, height)
    _meadow(e)
    _tree(e)
    return e.layer()


@lru_cache(maxsize=2)
def build_scene(width: int, height: int) -> Scene:
    """The land for images of `width` x `height` px. The first call takes a second or two, the next ones are cached."""
    with ThreadPoolExecutor(2, thread_name_prefix="scene") as pool:
        far, near = pool.submit(_far, width, height), pool.submit(_near, width, height)
        layer, windows, lit_from, lit_until = far.result()
        return Scene(layer, near.result(), windows, lit_from, lit_until)
