"""One frame of the sample timelapse: the light of the hour on the land, the lake, the lamps."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.sample.easel import Field, Layer, mix, rgb, smoothstep
from pipeline.sample.scene import SHORE, Scene, build_scene
from pipeline.sample.sky import Light, cloud_tiles, draw_sky, light_at, plane

_MOON_SIDE = np.array([-0.35, 0.65, 0.67], np.float32)


def sample_frame(index: int, count: int = 48, width_px: int = 640, height_px: int = 360) -> NDArray[np.uint8]:
    """Frame `index` of `count`: uint8 (H, W, 3) sRGB; a pure function of its arguments.

    Frame 0 is first dawn, frame `count - 1` is night. Everything moves a little and smoothly from frame to frame at the
    default count.
    """
    progress = index / max(count - 1, 1)
    light = light_at(progress)
    scene = build_scene(width_px, height_px)
    image = draw_sky(width_px, height_px, light, progress)
    image = _over(image, scene.far, light)
    lamps = _lamps(scene, light)
    image = _lit_windows(image, lamps)
    image = _lake(image, light, progress)
    image = _over(image, scene.near, light)
    # Vignetting of a lens: slightly darker toward the corners.
    x, v = np.meshgrid(np.linspace(-1, 1, width_px), np.linspace(-1, 1, height_px))
    image = image * (1 - 0.10 * (x * x + v * v) / 2)[..., None].astype(np.float32)
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)


def _over(behind: Field, layer: Layer, light: Light) -> Field:
    """A layer of land over what is `behind` it (H, W, 3), under sun, sky light and air."""
    facing = np.clip(layer.normal @ light.direction, 0, 1)
    moonlit = np.clip(layer.normal @ _MOON_SIDE, 0, 1) * light.night
    sky_side = 0.72 + 0.28 * layer.normal[..., 1]
    lit = layer.albedo * (_times(facing, light.sun_color) * 1.15 + _times(sky_side, light.ambient) * 0.85)
    air = np.clip(light.horizon * 0.72 + light.zenith * 0.28, 0, 1)
    lit = lit + layer.albedo * _times(moonlit, rgb("34446c"))
    lit = mix(lit, air, layer.haze * (1 - 0.25 * light.night))
    return mix(behind, lit, layer.alpha)


def _times(amount: Field, color: Field) -> Field:
    """A color (3,) times the amount (H, W) at every pixel."""
    return np.asarray(cv2.merge([amount * component for component in color]), np.float32)


def _lamps(scene: Scene, light: Light) -> Field:
    """How brightly every window pixel shines (H, W), 0..1; each lamp takes about a quarter of an hour to come up."""
    evening = np.clip((light.hour - scene.lit_from) / 0.5, 0, 1)
    morning = np.clip((scene.lit_until - light.hour) / 0.3, 0, 1)
    return np.asarray(scene.windows * np.maximum(evening, morning), np.float32)


def _lit_windows(image: Field, lamps: Field) -> Field:
    unit = image.shape[1] / 640
    image = mix(image, rgb("ffd27a"), lamps)
    near = cv2.GaussianBlur(lamps, (0, 0), 2.2 * unit)
    wide = cv2.GaussianBlur(lamps, (0, 0), 8.0 * unit)
    glow = (0.9 * near + 1.1 * wide)[..., None] * rgb("ff9f45")
    return np.asarray(1 - (1 - np.clip(image, 0, 1)) * (1 - np.clip(glow, 0, 1)), np.float32)


def _lake(image: Field, light: Light, progress: float) -> Field:
    """The image with the lake under the far shore: its reflection, distorted by ripples that grow toward the viewer."""
    height, width = image.shape[:2]
    shore = round(SHORE * height)
    rows = height - shore
    near = (np.arange(rows, dtype=np.float32) + 0.5) / rows
    depth = 1.0 / (near + 0.06)
    first, second, _, third = cloud_tiles()
    turn = 1.4 * progress
    shape = (rows, width)
    swell = np.cos(turn) * plane(shape, first, depth, 900.0, (60 * progress, 500 + 25 * progress)) + np.sin(
        turn
    ) * plane(shape, second, depth, 900.0, (200 + 60 * progress, 25 * progress))
    fine = plane(shape, third, depth * 3, 900.0, (-120 * progress, 30 * progress))
    ripple = swell * 0.6 + fine * 0.5
    unit = width / 640
    reach = (0.6 + 7.0 * near)[:, None] * unit
    x, row = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(rows, dtype=np.float32))
    source_row = np.clip(shore - 1 - row * 1.0 + ripple * reach, 0, shore - 1)
    source_x = x + swell * reach * 0.35
    mirror = cv2.remap(
        image,
        source_x.astype(np.float32),
        source_row.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    # Near the viewer the line of sight is steeper: less reflection, more of the depths.
    depths = np.clip(light.ambient * rgb("5f8f98") * 0.75 + light.sun_color * rgb("2a4a4c") * 0.5, 0, 1)
    depth_fraction = np.clip(0.14 + 0.34 * near[:, None] + 0.10 * ripple, 0, 0.8)
    water = mix(mirror, depths, depth_fraction)
    water = water * (1 + 0.07 * np.clip(ripple, -2, 2))[..., None]
    # The glitter of the sun or moon: ripples with the right slope reflect it.
    for position, color, power in (
        (light.sun, light.sun_color + np.float32(0.15), float(light.sun_color.max())),
        (light.moon, rgb("c8d4f0"), 0.5 * light.night),
    ):
        shown = float(smoothstep(0.55, 0.40, position[1])) * power
        if shown > 0.01:
            road = np.exp(-(((x / width - position[0]) / (0.030 + 0.09 * near[:, None])) ** 2))
            flash = road * smoothstep(0.35, 1.3, ripple) * min(shown, 1.0)
            water = mix(water, np.clip(color, 0, 1), 0.75 * flash)
    result = image.copy()
    result[shore:] = np.clip(water, 0, 1)
    edge = np.exp(-((near * rows / (1.6 * unit)) ** 2)).astype(np.float32)  # the dark line under the bank
    result[shore:] *= (1 - 0.35 * edge)[:, None, None]
    return result
