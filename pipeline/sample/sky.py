"""The air of the sample timelapse: the light of the hour, sun, clouds, moon, stars. Colors are float32 sRGB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.sample.easel import Field, mix, rgb, smoothstep
from pipeline.sample.scene import SHORE

_TILE = 1024  # px of the cloud texture, which repeats

# hour: zenith, horizon, sunlight, ambient, strength of sun, strength of ambient
_DAY: tuple[tuple[float, str, str, str, str, float, float], ...] = (
    (4.8, "1b2650", "7a5a72", "ff9a6a", "7484b4", 0.00, 0.42),
    (5.6, "30427a", "e08a6c", "ff9a6a", "8e96bc", 0.10, 0.48),
    (6.4, "44649f", "f6b47e", "ffb27a", "a4aac8", 0.50, 0.52),
    (7.6, "4f83c4", "eed9b8", "ffd9a4", "b4c2dc", 0.85, 0.56),
    (10.0, "4285d2", "c9e0f0", "fff0d6", "bccbe2", 1.00, 0.60),
    (14.0, "3d7fce", "c2dcf0", "fff4e0", "bccbe2", 1.02, 0.60),
    (16.8, "4a80c2", "ecdcb8", "ffdca6", "b8c0d4", 0.92, 0.57),
    (18.2, "4a62a4", "fcb468", "ffac62", "aea8c0", 0.70, 0.53),
    (19.0, "44488c", "fb8a4a", "ff8348", "9a8eb8", 0.32, 0.48),
    (19.8, "2c3670", "d06a66", "ff7a50", "7a80b4", 0.04, 0.42),
    (20.8, "172250", "4f4a7c", "8098d0", "6c7cba", 0.00, 0.36),
    (22.5, "101a42", "2c3868", "8098d0", "647abe", 0.00, 0.34),
)


@dataclass(frozen=True)
class Light:
    """The light of one moment. Positions are (x, v): fractions of width and height, v down; `direction` as normals."""

    hour: float
    zenith: Field
    horizon: Field
    sun_color: Field
    ambient: Field
    sun: tuple[float, float]
    moon: tuple[float, float]
    direction: Field
    night: float


def light_at(progress: float) -> Light:
    """The light at `progress` in [0, 1] from first dawn to night; dawn and dusk get more of the time than noon."""
    hour = float(np.interp(progress, (0.0, 0.22, 0.62, 1.0), (5.15, 7.6, 17.0, 21.9)))
    hours = [stop[0] for stop in _DAY]

    def color(column: int) -> Field:
        stops = np.stack([rgb(str(stop[column])) for stop in _DAY])
        return np.array([np.interp(hour, hours, stops[:, k]) for k in range(3)], np.float32)

    sun_strength = float(np.interp(hour, hours, [stop[5] for stop in _DAY]))
    ambient_strength = float(np.interp(hour, hours, [stop[6] for stop in _DAY]))
    turn = (hour - 5.7) / (19.4 - 5.7)  # 0 at sunrise, 1 at sunset
    # Below the horizon the path goes on straight.
    rise = np.sin(np.pi * turn) if 0 <= turn <= 1 else -np.pi * (abs(turn - 0.5) - 0.5)
    sun = (0.30 + 0.42 * turn, 0.50 - 0.37 * float(rise))
    direction = np.array([1.6 * (turn - 0.5), 0.25 + 0.75 * max(float(rise), 0.0), 0.55], np.float32)
    night = float(smoothstep(19.6, 21.2, hour) + smoothstep(5.6, 4.8, hour))
    return Light(
        hour=hour,
        zenith=color(1),
        horizon=color(2),
        sun_color=color(3) * np.float32(sun_strength),
        ambient=color(4) * np.float32(ambient_strength),
        sun=sun,
        moon=(0.40 + 0.022 * (hour - 19.0), 0.42 - 0.070 * (hour - 19.0)),
        direction=np.asarray(direction / np.linalg.norm(direction), np.float32),
        night=night,
    )


@lru_cache(maxsize=1)
def cloud_tiles() -> tuple[Field, ...]:
    """Four tileable fractal fields (1024, 1024), mean 0 and deviation 1: made in the frequency domain, so they wrap."""
    rng = np.random.default_rng(77)
    fy = np.fft.fftfreq(_TILE)[:, None] * _TILE
    fx = np.fft.rfftfreq(_TILE)[None, :] * _TILE
    tiles = []
    for stretch in (1.0, 1.0, 3.0, 1.0):
        radius = np.sqrt((fx * stretch) ** 2 + fy**2)
        amplitude = np.where(radius < 5, 0, np.maximum(radius, 1.0) ** -1.75)
        spectrum = np.fft.rfft2(rng.standard_normal((_TILE, _TILE))) * amplitude
        field = np.fft.irfft2(spectrum, s=(_TILE, _TILE))
        tiles.append(np.asarray(field / field.std(), np.float32))
    return tuple(tiles)


def plane(shape: tuple[int, int], tile: Field, depth: Field, zoom: float, drift: tuple[float, float]) -> Field:
    """`tile` (1024, 1024, repeating) seen as a level plane: `depth` (H,) is the distance of each row."""
    width = shape[1]
    across = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :] * depth[:, None]
    u = _within_tile(across * zoom + drift[0])
    w = np.repeat(_within_tile(depth[:, None] * (zoom * 0.8) + drift[1]), width, axis=1)
    return np.asarray(cv2.remap(tile, u, w, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def _within_tile(position: NDArray[np.floating]) -> Field:
    """Positions modulo the tile: exact, because its size is a power of two, and several times as fast as `np.mod`."""
    return np.asarray(position - np.floor(position / _TILE) * _TILE, np.float32)


def draw_sky(width: int, height: int, light: Light, progress: float) -> Field:
    """The sky over the whole frame (H, W, 3): gradient, glow, stars, moon, sun and two layers of clouds."""
    shape = (height, width)
    aspect = height / width
    xs, vs = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    x, v = np.asarray(xs, np.float32), np.asarray(vs, np.float32)
    up = np.asarray(np.clip((SHORE - v) / SHORE, 0, 1), np.float32)
    sky = mix(light.horizon, light.zenith, up**0.62)
    far_sun = np.hypot(x - light.sun[0], (v - light.sun[1]) * aspect)
    glow = 0.50 * np.exp(-far_sun / 0.16) + 0.45 * np.exp(-far_sun / 0.035)
    warm = np.clip(light.sun_color * 1.1 + light.horizon * 0.25, 0, 1)
    shown = float(smoothstep(0.60, 0.46, light.sun[1]))
    # Twilight: the glow stays along the horizon after the sun has gone.
    arch = np.exp(-(((x - light.sun[0]) / 0.45) ** 2)) * smoothstep(0.75, 0.0, up) * 0.55 * (1 - light.night)
    sky = mix(sky, warm, np.clip(glow * shown, 0, 1))
    sky = mix(sky, light.horizon * np.float32(1.12), arch)

    stars = _stars(shape, progress) * light.night
    far_moon = np.hypot(x - light.moon[0], (v - light.moon[1]) * aspect) * 640
    moonlit = light.night * float(smoothstep(0.5, 0.42, light.moon[1]))
    tiles = cloud_tiles()
    maria = cv2.resize(tiles[3][:256, :256], (width, height), interpolation=cv2.INTER_LINEAR)
    moon = smoothstep(9.2, 8.0, far_moon) * moonlit
    sky = sky + (stars * (1 - moon))[..., None]
    sky = sky + (0.16 * np.exp(-far_moon / 26) + 0.05 * np.exp(-far_moon / 90))[..., None] * moonlit * rgb("c8d4f0")
    sky = mix(sky, rgb("f2eedd") * np.float32(0.97), moon * (0.93 + 0.05 * np.clip(maria, -2, 1)))
    disc = smoothstep(10.5, 8.5, far_sun * 640)
    # On the horizon the disc is dimmed and red, high up it burns out.
    sky = mix(sky, np.clip(light.sun_color * 0.7 + np.float32(0.62), 0, 1), disc)
    sky = _clouds(np.asarray(np.clip(sky, 0, 1), np.float32), x, up, light, progress)
    return mix(sky, rgb("f2eedd"), 0.6 * moon)  # thin clouds do not hide a full moon


def _clouds(sky: Field, x: Field, up: Field, light: Light, progress: float) -> Field:
    """Two layers of clouds over `sky` (H, W, 3): `x` and `up` (H, W) are the positions across and above the shore."""
    height, width = up.shape
    aspect = height / width
    depth = (1.0 / (up[:, 0] + 0.16)).astype(np.float32)
    first, second, cirrus, _ = cloud_tiles()
    turn = 0.9 * progress
    zoom = 330.0

    def cumulus(shift_x: float, shift_w: float) -> Field:
        # A crossfade of two fields: clouds grow and dissolve while they drift.
        a = plane((height, width), first, depth, zoom, (100 - 58 * progress + shift_x, shift_w))
        b = plane((height, width), second, depth, zoom, (400 - 64 * progress + shift_x, 300 + shift_w))
        return np.asarray(np.cos(turn) * a + np.sin(turn) * b, np.float32)

    body = cumulus(0, 0)
    side = light.sun[0] - 0.5
    toward = cumulus(28 * side, 9.0)
    cover = smoothstep(0.10, 1.15, body) * smoothstep(0.0, 0.10, up)
    thick = smoothstep(0.5, 2.2, body)
    lit = np.clip(0.55 + 0.9 * (body - toward), 0, 1)
    near_sun = np.exp(-np.hypot(x - light.sun[0], (up_to_v(up) - light.sun[1]) * aspect) / 0.22)
    power = float(light.sun_color.max())
    bright = np.clip(light.sun_color * 0.62 + light.ambient * 0.62 + light.horizon * 0.10, 0, 1)
    shade = np.clip(light.ambient * 0.72 + light.zenith * 0.22 + light.horizon * 0.06, 0, 1)
    color = mix(shade, bright, np.clip(lit * (1 - 0.55 * thick) + 0.15, 0, 1))
    # Forward scattering: thin edges near the sun outshine everything.
    color = mix(color, np.clip(light.sun_color + 0.25, 0, 1), near_sun * (1 - thick) * 0.75 * min(power * 1.5, 1))
    veil = plane((height, width), cirrus, depth, 210.0, (500 - 34 * progress, 40))
    thin = 0.42 * smoothstep(0.2, 2.0, veil) * smoothstep(0.05, 0.3, up)
    high = np.clip(light.sun_color * 0.75 + light.ambient * 0.45 + light.horizon * 0.12, 0, 1)
    sky = mix(sky, high, thin)
    return mix(sky, color, cover * (0.96 - 0.25 * light.night))


def up_to_v(up: Field) -> Field:
    """Height above the shore, as a fraction, back to the row fraction v."""
    return np.asarray(SHORE * (1 - up), np.float32)


def _stars(shape: tuple[int, int], progress: float) -> Field:
    """Brightness (H, W) of a star field that turns slowly about a pole above the mountains."""
    rng = np.random.default_rng(99)
    height, width = shape
    count = 650
    far, turn = np.sqrt(rng.random(count)) * 0.85, rng.uniform(0, 2 * np.pi, count) + 0.16 * progress
    px = (0.55 + far * np.cos(turn)) * width
    py = (0.20 + far * np.sin(turn) * width / height * 0.9) * height
    power = np.clip(rng.pareto(1.7, count) * 0.22 + 0.10, 0, 1.0)
    field = np.zeros(shape, np.float32)
    spread = 0.60 * max(width / 640, 1.0)
    for x0, y0, strength in zip(px, py, power, strict=True):
        ix, iy = int(x0), int(y0)
        if not (2 <= ix < width - 2 and 2 <= iy < height - 2):
            continue
        gx = np.exp(-((np.arange(ix - 2, ix + 3) + 0.5 - x0) ** 2) / (2 * spread**2))
        gy = np.exp(-((np.arange(iy - 2, iy + 3) + 0.5 - y0) ** 2) / (2 * spread**2))
        field[iy - 2 : iy + 3, ix - 2 : ix + 3] += (strength * gy[:, None] * gx[None, :]).astype(np.float32)
    return field
