"""Bristle strokes with body: where paint goes, how thick it lies, and how light falls on it.

A `Canvas` carries color and paint height. `paint_layer` traces strokes along a direction field, takes their colors from
a composition, and lays them one over the other; `lit` turns the height into light and shadow at the very end, which
makes strokes look like paint instead of blurred color.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from style_art.fields import Field, blur, smoothstep

_TEXTURE_LENGTH, _TEXTURE_WIDTH = 1024, 512


@dataclass(frozen=True)
class Brush:
    """One kind of stroke. Lengths are in canvas pixels; the rest are fractions or amounts in sRGB units."""

    width: float
    length: float
    body: float = 1.0  # how much paint height the stroke leaves
    bristle: float = 0.10  # lightness contrast between bristles
    bristles_across: float = 12.0
    ridge: float = 0.4  # paint squeezed up along the stroke's sides
    dry: float = 0.25  # how much the paint runs out toward the end (0 never, 1 half of the stroke is broken)
    taper: float = 0.5  # 0 square ends (a knife), 1 pointed ends
    hue_jitter: float = 0.03
    light_jitter: float = 0.05
    opacity: float = 1.0
    bend: float = 1.0  # how strictly the stroke follows the field (0 straight)


@dataclass
class Canvas:
    """Paint so far: `color` float32 (H, W, 3) sRGB, `height` float32 (H, W) in pixels of relief."""

    color: Field
    height: Field


def bristle_texture(seed: int) -> Field:
    """Streaks along x, tileable, float32 (512, 1024) in [0, 1]: what a brush does across (y) and along (x) a stroke."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((_TEXTURE_WIDTH, _TEXTURE_LENGTH)).astype(np.float32)
    # Filtered in the frequency domain because that wraps around: the texture must tile.
    fy = np.fft.fftfreq(_TEXTURE_WIDTH)[:, None]
    fx = np.fft.rfftfreq(_TEXTURE_LENGTH)[None, :]
    spectrum = np.fft.rfft2(noise)
    streaks = np.zeros_like(noise)
    for sigma_x, sigma_y, weight in ((160.0, 6.0, 1.0), (70.0, 2.5, 0.8), (24.0, 1.4, 0.35)):
        kernel = np.exp(-2 * np.pi**2 * ((fx * sigma_x) ** 2 + (fy * sigma_y) ** 2))
        part = np.fft.irfft2(spectrum * kernel, s=noise.shape)
        streaks += np.asarray(weight * part / part.std(), np.float32)
    ranks = np.argsort(np.argsort(streaks, axis=None)).reshape(streaks.shape)
    return np.asarray(ranks / ranks.size, np.float32)


def trace(angle: Field, starts: NDArray[np.float64], length_px: float, points: int, bend: float) -> Field:
    """Paths (M, points, 2) as (x, y) centered on `starts` (M, 2), followed along `angle` (H, W; radians)."""
    height, width = angle.shape
    cos, sin = np.cos(angle), np.sin(angle)
    step = length_px / (points - 1)
    half = points // 2
    path = np.zeros((len(starts), points, 2), np.float64)
    path[:, half] = starts
    ix = np.clip(starts[:, 0].astype(int), 0, width - 1)
    iy = np.clip(starts[:, 1].astype(int), 0, height - 1)
    home = np.stack([cos[iy, ix], sin[iy, ix]], axis=1)
    for sign, indices in ((1, range(half + 1, points)), (-1, range(half - 1, -1, -1))):
        position, heading = starts.copy(), home.copy()
        for index in indices:
            ix = np.clip(position[:, 0].astype(int), 0, width - 1)
            iy = np.clip(position[:, 1].astype(int), 0, height - 1)
            here = np.stack([cos[iy, ix], sin[iy, ix]], axis=1)
            # A direction field has no arrow: keep going the way the stroke already goes.
            here *= np.where((here * heading).sum(1, keepdims=True) < 0, -1.0, 1.0)
            heading = (1 - bend) * heading + bend * here
            heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
            position = position + sign * step * heading
            path[:, index] = position
    return np.asarray(path, np.float32)


def stroke(
    canvas: Canvas,
    path: Field,
    brush: Brush,
    colors: tuple[Field, Field],
    texture: Field,
    rng: np.random.Generator,
    load: float = 1.0,
) -> None:
    """Lays one stroke on `canvas` in place. `path` (K, 2) px; colors at its start and end; `load` scales its width."""
    half = 0.5 * brush.width * load
    rows, cols = canvas.height.shape
    reach = half + 3
    x0, y0 = np.floor(path.min(0) - reach).astype(int)
    x1, y1 = np.ceil(path.max(0) + reach).astype(int) + 1
    x0, y0, x1, y1 = max(int(x0), 0), max(int(y0), 0), min(int(x1), cols), min(int(y1), rows)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    px = np.arange(x0, x1, dtype=np.float32)[None, :] + 0.5
    py = np.arange(y0, y1, dtype=np.float32)[:, None] + 0.5

    # Stroke coordinates of every pixel in the box: `along` (px of arc length) and `across` (signed px).
    best = np.full((y1 - y0, x1 - x0), np.inf, np.float32)
    along, across = np.zeros_like(best), np.zeros_like(best)
    walked = 0.0
    last = len(path) - 2
    for k in range(len(path) - 1):
        (ax, ay), (bx, by) = path[k].tolist(), path[k + 1].tolist()
        dx, dy = bx - ax, by - ay
        span = max(float(np.hypot(dx, dy)), 1e-6)
        dx, dy = dx / span, dy / span
        t = (px - ax) * dx + (py - ay) * dy
        side = (py - ay) * dx - (px - ax) * dy
        # Past the path's ends the coordinate goes on, so that the ends are cut by the profile and not rounded.
        inner = np.clip(t, -np.inf if k == 0 else 0.0, np.inf if k == last else span)
        distance = np.abs(side) + np.abs(t - inner) * 1.5
        nearer = distance < best
        best = np.where(nearer, distance, best)
        along = np.where(nearer, walked + inner, along)
        across = np.where(nearer, side, across)
        walked += span
    length = max(walked, 1e-3)
    s, t = along / length, across / half

    # The stroke's own strip of the bristle texture.
    scale = _TEXTURE_WIDTH / 40.0 * brush.bristles_across / 12.0
    off_u, off_v = rng.random(2) * (_TEXTURE_LENGTH, _TEXTURE_WIDTH)
    u = np.mod(along * np.float32(160.0 / max(length, 60.0)) + off_u, _TEXTURE_LENGTH).astype(np.float32)
    v = np.mod(t * scale * 3 + off_v, _TEXTURE_WIDTH).astype(np.float32)
    bristle = cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)

    # Outline: bristles start and stop unevenly, sides waver a little.
    ragged = (bristle - 0.5) * brush.width * 0.7
    round_in = np.sqrt(np.clip(1 - t * t, 0, 1)) * half * (0.35 + 0.65 * brush.taper)
    start = smoothstep(-1.2, 1.2, along + round_in * 0.9 - half * 0.5 + ragged * 0.5)
    end = smoothstep(-1.2, 1.2, length - along + round_in * 0.9 - half * 0.5 + ragged)
    narrow = 1 - brush.taper * 0.75 * smoothstep(0.45, 1.05, s) - brush.taper * 0.4 * smoothstep(0.25, -0.05, s)
    side_px = half * narrow * (0.94 + 0.12 * bristle) - np.abs(across)
    alpha = start * end * smoothstep(-1.0, 1.0, side_px)
    if brush.dry > 0:
        gone = brush.dry * (0.15 + 0.85 * smoothstep(0.3, 1.0, s))
        alpha = alpha * smoothstep(gone - 0.12, gone + 0.12, bristle + 0.12)
    alpha = np.asarray(alpha * brush.opacity, np.float32)

    tone = (bristle - 0.5)[..., None] * (2 * brush.bristle)
    run = smoothstep(0.0, 1.0, s + (bristle - 0.5) * 0.8)[..., None]
    paint = colors[0] * (1 - run) + colors[1] * run + tone
    edge = np.clip(1 - side_px / (0.3 * half + 1), 0, 1)
    relief = brush.body * (0.55 + 0.8 * (bristle - 0.5) + brush.ridge * edge + 0.35 * smoothstep(0.7, 1.0, s))

    box = (slice(y0, y1), slice(x0, x1))
    canvas.color[box] += (paint - canvas.color[box]) * alpha[..., None]
    canvas.height[box] += (canvas.height[box] * -0.55 + relief) * alpha


def paint_layer(
    canvas: Canvas,
    composition: Field,
    angle: Field,
    brush: Brush,
    seed: int,
    *,
    coverage: float = 1.6,
    mask: Field | None = None,
    texture: Field | None = None,
) -> None:
    """Covers `canvas` (in place) with strokes of one kind, in random order.

    `composition` (H, W, 3) gives colors and `angle` (H, W) directions; `mask` (H, W) in [0, 1] is the probability that
    a stroke is laid at all, so that small brushes go only where small things are. `coverage` 1 means that the strokes'
    areas add up to the canvas.
    """
    rng = np.random.default_rng(seed)
    rows, cols = canvas.height.shape
    count = int(coverage * rows * cols / (brush.width * brush.length * 0.8))
    # One start per cell of a jittered grid: even coverage without a visible lattice.
    cell = np.sqrt(rows * cols / max(count, 1))
    gx, gy = np.meshgrid(np.arange(-cell / 2, cols + cell, cell), np.arange(-cell / 2, rows + cell, cell))
    starts = np.stack([gx.ravel(), gy.ravel()], axis=1)
    starts += rng.uniform(-0.7, 0.7, starts.shape) * cell
    rng.shuffle(starts, axis=0)
    if mask is not None:
        ix = np.clip(starts[:, 0].astype(int), 0, cols - 1)
        iy = np.clip(starts[:, 1].astype(int), 0, rows - 1)
        starts = starts[rng.random(len(starts)) < mask[iy, ix]]
    if not len(starts):
        return
    points = int(np.clip(brush.length / max(brush.width * 0.6, 4), 4, 14))
    jittered = starts + rng.normal(0, 0.12 * brush.width, starts.shape)
    paths = trace(angle, jittered, brush.length, points, brush.bend)
    if texture is None:
        texture = bristle_texture(seed + 1)
    for path, start in zip(paths, starts, strict=True):
        trimmed = path[: max(3, round(points * rng.uniform(0.65, 1.0)))]
        if rng.random() < 0.5:
            trimmed = trimmed[::-1]
        jitter = rng.normal(0, brush.hue_jitter, 3) + rng.normal(0, brush.light_jitter)
        ends = []
        for x, y in ((start + trimmed[0]) / 2, (start + trimmed[-1]) / 2):
            ix, iy = int(np.clip(x, 0, cols - 1)), int(np.clip(y, 0, rows - 1))
            ends.append(np.asarray(composition[iy, ix] + jitter, np.float32))
        stroke(canvas, trimmed, brush, (ends[0], ends[1]), texture, rng, load=float(rng.uniform(0.75, 1.2)))


def lit(canvas: Canvas, *, strength: float = 0.12, gloss: float = 0.15, smooth_px: float = 0.7) -> Field:
    """The canvas under a lamp from the upper left: float32 (H, W, 3) in [0, 1].

    `strength` scales the shading of the paint relief, `gloss` the highlights on ridges that face the lamp.
    """
    relief = blur(canvas.height, smooth_px)
    gx = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) / 8
    gy = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3) / 8
    slope = -(0.62 * gx + 0.78 * gy)
    # A soft knee: the step between two thick strokes must not turn black or burn out.
    shade = np.tanh(-slope * 6.0 * strength / 0.12) * strength * 1.6
    shine = gloss * np.clip(np.tanh(-slope * 5.0) - 0.45, 0, 1)
    image = canvas.color * (1 + shade[..., None]) + shine[..., None]
    return np.asarray(np.clip(image, 0, 1), np.float32)
