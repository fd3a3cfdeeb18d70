"""`woodcut`: a cape in the morning, cut in wood: black key block over flat vermilion, indigo and ochre on paper.

Every surface has a *phase*, a field whose level lines run along its form (down the slope, along the crest, around the
sun). A line is inked where the phase is near an integer, and its width carries the tone: that is what a gouge does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from style_art.fields import Field, blur, fbm, grid, mix, ramp, resize, rgb, smoothstep, to_uint8, warp

_SUN = (0.30, 0.235, 0.085)
_PEAK = (0.585, 0.165)


def _lines(phase: Field, tone: Field, wobble: Field) -> Field:
    """Ink coverage (H, W) in [0, 1] of lines at integer `phase`; `tone` 0 is black, 1 is bare paper.

    The edge is about two supersampled pixels wide, whatever the local line spacing.
    """
    distance = np.abs(phase - np.round(phase)) * 2
    dark = 1 - tone + 0.10 * wobble
    gy, gx = np.gradient(phase)
    slope = np.clip(np.hypot(gx, gy) * 2, 1e-3, 0.6)
    inked = np.clip((dark - distance) / (2 * slope) + 0.5, 0, 1)
    # A gouge that gets too thin is not cut at all, and too thin a ridge breaks off.
    inked = np.where(dark < 0.10, 0.0, np.where(dark > 0.93, 1.0, inked))
    return np.asarray(inked, np.float32)


class _Print:
    """The key block (ink, 1 is black) and the color blocks, built back to front."""

    def __init__(self, shape: tuple[int, int], seed: int) -> None:
        self.x, self.y = grid(shape)
        self.shape, self.width = shape, shape[1]
        self.wobble = fbm(shape, self.width * 0.012, seed, octaves=3)
        self.broad = fbm(shape, self.width * 0.10, seed + 1, octaves=4)
        self.ink = np.zeros(shape, np.float32)
        self.color = np.broadcast_to(rgb("efe3c8"), (*shape, 3)).astype(np.float32).copy()

    def surface(self, inside: Field, color: Field, phase: Field, tone: Field) -> None:
        """Puts a surface over everything so far: its flat `color`, then its lines."""
        self.color = mix(self.color, color, inside)
        lines = _lines(phase, np.clip(tone, 0, 1), self.wobble)
        self.ink = np.asarray(self.ink * (1 - inside) + lines * inside, np.float32)

    def contour(self, distance: Field, width: float, where: Field | float = 1.0) -> None:
        """An outline where `distance` (image widths) is near zero; its width swells along the way."""
        thick = width * (1.0 + 0.45 * self.broad + 0.15 * self.wobble)
        edge = 1.2 / self.width
        self.ink = np.maximum(self.ink, smoothstep(thick + edge, thick - edge, np.abs(distance)) * where)


def _sky_and_mountain(p: _Print) -> None:
    x, y, one = p.x, p.y, np.ones(p.shape, np.float32)
    far = np.hypot(x - _SUN[0], y - _SUN[1])
    sky = ramp(y, [(0.0, "23477f"), (0.10, "3f6f9f"), (0.24, "d9cfae"), (0.36, "f0c88a"), (0.47, "e8875a")])
    # Straight strokes that bend around the sun.
    lift = 0.030 * np.exp(-((far / 0.17) ** 2)) * np.sign(y - _SUN[1])
    phase = (y - lift + 0.005 * np.sin(9 * x) + 0.0018 * p.broad) / 0.0105
    tone = 0.30 + 1.9 * y + 0.10 * p.broad + 0.5 * smoothstep(0.20, 0.10, far)
    p.surface(one, sky, phase, tone)
    rays = np.arctan2(y - _SUN[1], x - _SUN[0]) * 52 / (2 * np.pi)
    ring = smoothstep(0.094, 0.096, far) * smoothstep(0.150 + 0.03 * np.sin(rays * np.pi), 0.148, far)
    p.surface(ring, sky, rays, 0.62 + 2.8 * (far - 0.095))
    p.surface(smoothstep(_SUN[2] + 0.001, _SUN[2] - 0.001, far), rgb("d8412b") * one[..., None], phase, one)
    p.contour(far - _SUN[2], 0.0016)

    # Banks of cloud: paper white, scalloped, with echo lines inside the edge.
    for cx, cy, wide in ((0.09, 0.135, 0.15), (0.90, 0.10, 0.17), (0.36, 0.355, 0.17), (0.93, 0.36, 0.15)):
        depth = np.full(p.shape, -1.0, np.float32)
        rng = np.random.default_rng(int(cx * 100))
        for k in range(9):
            bx = cx + wide * (k / 8 - 0.5) * 1.9
            radius = wide * (0.10 + 0.17 * (1 - abs(k - 4) / 5)) * rng.uniform(0.8, 1.2)
            depth = np.maximum(depth, radius - np.hypot(x - bx, (y - cy) * 1.15 + 0.012 * (k % 2)))
        depth = np.minimum(depth, cy + 0.012 + 0.006 * np.sin(40 * x) - y)
        inside = smoothstep(-0.001, 0.001, depth)
        cloud = ramp(depth / 0.035, [(0.0, "f3ead6"), (1.0, "e9d6b4")])
        p.surface(inside, cloud, depth / 0.0085 + 0.5, 0.66 + 10 * depth + 0.2 * p.wobble * 0.3)
        p.contour(depth, 0.0017)

    # The peak: gouges run down its flanks; the morning side stays paper.
    down = np.clip(y - _PEAK[1], 0.0, 1)
    spread = np.abs(x - _PEAK[0]) - 0.010 - 0.62 * down**0.80 * (1 + 0.02 * p.broad) + 0.004 * np.sin(70 * y)
    inside = smoothstep(0.001, -0.001, spread) * (y > _PEAK[1]) * (y < 0.52)
    across = (x - _PEAK[0]) / (0.06 + down)
    phase = across * 46 + 1.2 * np.sin(30 * down + 9 * across) * down + 0.25 * p.broad
    ridge = np.sin(across * 21 + 2.0 * np.sin(13 * down)) + 0.4 * p.broad
    snow = smoothstep(0.012, -0.012, down - 0.105 - 0.030 * np.sin(across * 26) - 0.012 * p.broad)
    tone = 0.52 - 0.55 * np.tanh(across * 2.6) + 0.30 * ridge + 0.50 * snow
    rock = mix(rgb("5f7f9a"), rgb("c98a5f"), smoothstep(0.25, -0.35, across + 0.1 * ridge))
    p.surface(inside, mix(rock, rgb("f5eddc"), snow), phase, tone)
    p.contour(spread, 0.0021, np.asarray((y > _PEAK[1] + 0.002) & (y < 0.5), np.float32))


def _hills_and_sea(p: _Print) -> None:
    x, y = p.x, p.y
    for base, amp, freq, shift, dark, light, tone_shift in (
        (0.405, 0.026, 7.0, 0.3, "5f8a86", "9fb58f", 0.10),
        (0.455, 0.036, 5.2, 2.2, "3f6f6f", "c2a85a", -0.02),
    ):
        crest = base - amp * np.sin(freq * x + shift) - 0.35 * amp * np.sin(2.7 * freq * x + 1)
        crest = crest + 0.0025 * np.sin(160 * x) + 0.001 * p.broad
        depth = y - crest
        lean = np.cos(freq * x + shift + 0.6)
        tone = 0.50 + 0.34 * lean + 3.0 * depth + 0.12 * p.broad + tone_shift
        color = mix(rgb(dark), rgb(light), smoothstep(-0.4, 0.5, lean + 0.3 * p.broad))
        phase = (depth * (1 + 0.25 * lean) + 0.004 * np.sin(freq * 6 * x)) / 0.0085
        p.surface(smoothstep(-0.001, 0.001, depth), color, phase, tone)
        p.contour(depth, 0.0021)
    shore = 0.50
    depth = np.clip((y - shore) / 0.25, 0, 1)
    # Waves grow toward the viewer: the phase is even in perspective depth, not in y.
    flow = np.log(0.06 + depth) * 7.5
    swell = np.sin(x * (34 - 20 * depth) + 3 * flow + 1.5 * p.broad) * (0.25 + 0.35 * depth)
    phase = flow * 2.6 + swell
    sun_road = np.exp(-(((x - _SUN[0]) / (0.05 + 0.07 * depth)) ** 2))
    tone = 0.60 - 0.28 * depth + 0.30 * np.sin(x * 9 + flow * 2.1) + 0.55 * sun_road + 0.12 * p.broad
    sea = ramp(depth, [(0.0, "e6b98a"), (0.2, "8fb0b0"), (0.6, "3f6f9a"), (1.0, "23477f")])
    sea = mix(sea, rgb("e8875a"), 0.8 * sun_road)
    p.surface(smoothstep(-0.001, 0.001, y - shore), sea, phase, tone)
    p.contour(y - shore, 0.0016)


def _foreground(p: _Print, seed: int) -> None:
    x, y = p.x, p.y
    rng = np.random.default_rng(seed + 5)
    # Three breakers, back to front: echo lines along the crest, foam left as paper.
    for base, amp, freq, shift, dark in ((0.605, 0.022, 15.0, 0.0, "2f5f8f"), (0.660, 0.032, 10.5, 2.0, "23477f")):
        roll = freq * x + shift
        crest = base - amp * (np.abs(np.sin(roll)) ** 0.7 * 1.6 - 0.8) + 0.0035 * np.abs(np.sin(roll * 7))
        depth = y - crest
        foam = smoothstep(0.020, 0.012, depth + 0.009 * np.abs(np.sin(roll * 5 + 1)))
        tone = 0.36 + 3.5 * depth + 0.22 * np.cos(2 * roll) + 0.10 * p.broad + 0.55 * foam
        color = mix(rgb(dark), rgb("f3ead6"), foam)
        p.surface(smoothstep(-0.001, 0.001, depth), color, depth * (1 + 0.1 * p.broad) / 0.0092, tone)
        p.contour(depth, 0.0023)
    # The cape on the right with rock strokes, grass tufts and a pine.
    crest = 0.64 - 0.17 * smoothstep(0.60, 1.0, x) - 0.02 * np.sin(23 * x) * smoothstep(0.6, 0.8, x)
    crest = crest + 0.20 * smoothstep(0.64, 0.52, x) + 0.003 * p.broad
    depth = y - crest
    facet = np.sin(41 * x - 19 * y + 2.2 * p.broad) + 0.5 * np.sin(67 * x + 30 * y)
    phase = (x * 0.9 + 0.35 * y + 0.006 * facet) / 0.0088
    tone = 0.33 + 0.34 * facet + 0.9 * smoothstep(0.03, 0.0, depth)
    stone = mix(rgb("8a5a3f"), rgb("cfa15a"), smoothstep(-0.4, 0.8, facet))
    stone = mix(stone, rgb("5f7f3f"), smoothstep(0.045, 0.015, depth + 0.008 * p.wobble))
    p.surface(smoothstep(-0.001, 0.001, depth), stone, phase, tone)
    p.contour(depth, 0.0026)
    blades = np.sin(x * 420 + 40 * depth + 2 * p.broad) * 0.5 + 0.5
    tuft = smoothstep(-1e-4 - 0.022 * blades * (0.6 + 0.4 * np.sin(50 * x)), 0.0, depth) * smoothstep(0.004, 0.0, depth)
    p.ink = np.maximum(p.ink, tuft * (x > 0.60))

    trunk = 0.800 + 0.055 * np.sin(6.2 * (y - 0.20)) - 0.05 * (y - 0.2)
    girth = 0.007 + 0.028 * np.clip(y - 0.12, 0, 1)
    bark_in = smoothstep(girth + 0.001, girth - 0.001, np.abs(x - trunk)) * (y > 0.15) * (y < 0.56)
    bark_phase = (y + 0.25 * (x - trunk) + 0.004 * p.wobble) / 0.0095
    round_tone = 0.30 - 0.42 * (x - trunk) / girth
    p.surface(bark_in, np.broadcast_to(rgb("9a5a3a"), (*p.shape, 3)), bark_phase, round_tone)
    p.contour(np.abs(x - trunk) - girth, 0.0018, np.asarray((y > 0.15) & (y < 0.56), np.float32))
    pads = [(0.80, 0.12, 0.085), (0.69, 0.19, 0.082), (0.885, 0.185, 0.078), (0.75, 0.275, 0.075), (0.945, 0.27, 0.085)]
    for cx, cy, wide in [*pads, (0.645, 0.305, 0.062), (0.86, 0.335, 0.07)]:
        run = np.clip((x - 0.81) / (cx - 0.81 + 1e-3), 0, 1)
        limb = np.abs(y - (cy + 0.055 * (1 - run) + 0.008)) - 0.004 * (1.3 - run)
        between = (x > min(cx, 0.81)) & (x < max(cx, 0.81))
        p.ink = np.maximum(p.ink, smoothstep(0.001, -0.001, limb) * between)
        for k in range(7):
            fx = cx + wide * (k / 6 - 0.5) * 1.7
            fy = cy + 0.010 * np.sin(k * 2.1) + 0.012 * abs(k - 3) / 3
            size = wide * rng.uniform(0.42, 0.62)
            dx, dy = x - fx, (y - fy) * 1.35
            radius = np.hypot(dx, dy)
            theta = np.arctan2(dy, dx)
            jag = size * (0.80 + 0.20 * np.abs(np.sin(theta * 13)))
            fan = smoothstep(0.001, -0.001, radius - jag) * (dy < size * 0.28)
            needle = theta * 46 / (2 * np.pi) + 0.12 * p.wobble
            tone = 0.16 + 0.6 * smoothstep(0.3, 1.0, radius / size) * smoothstep(0.3, -0.8, dy / size)
            green = np.broadcast_to(rgb("6f9a55"), (*p.shape, 3))
            p.surface(fan, green, needle, tone)


def make_image(width_px: int, seed: int) -> NDArray[np.uint8]:
    """The finished print (H, W, 3) uint8 sRGB, 4:3, with a paper margin."""
    scale = 2  # supersampling; the line edges are soft by themselves
    shape = (width_px * 3 // 4, width_px)
    big = (shape[0] * scale, shape[1] * scale)
    p = _Print(big, seed)
    _sky_and_mountain(p)
    _hills_and_sea(p)
    _foreground(p, seed)
    unit = big[1] / 2688  # widths below were chosen at three times 896
    grain = fbm(big, 40 * unit, seed + 7, octaves=4, stretch=(14.0, 0.35))
    speck = fbm(big, 7 * unit, seed + 8, octaves=2)
    paper = mix(rgb("efe3c8"), rgb("ddc9a0"), 0.35 * smoothstep(-2, 2, fbm(big, 160 * unit, seed + 9)))
    # The color blocks are never in perfect register, and their ink takes the wood's grain.
    flat = warp(p.color, 3.0 * unit, -2.5 * unit)
    worn = np.clip(0.88 + 0.07 * grain - 0.25 * smoothstep(1.6, 2.6, speck), 0, 1)
    image = mix(paper, flat, worn)
    key = blur(p.ink, 0.8 * unit) * np.clip(0.96 + 0.03 * grain - 0.5 * smoothstep(2.0, 2.8, speck), 0, 1)
    image = mix(image, rgb("1a1714"), key)
    return to_uint8(resize(image, shape))
