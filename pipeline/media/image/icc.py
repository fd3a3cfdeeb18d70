"""Embedded color profiles (ICC.1:2022) to sRGB: 8 bits by LittleCMS, which has no more through Pillow, 16 bits here."""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageCms

from pipeline.media.image.depth import as_float
from pipeline.media.image.transfer import LAST, STEPS, looked_up, srgb_from_linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[np.float32]

_STRIP_PX: Final = 1_000_000
_LINEAR_SRGB_FROM_XYZ: Final = np.linalg.inv(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
"""From XYZ of the profile connection space: D50, to which the primaries of sRGB are adapted by Bradford's method."""
_PARAMETRIC_COUNTS: Final = (1, 3, 4, 5, 7)


def foreign_profile(image: Image.Image, space: str) -> ImageCms.ImageCmsProfile | None:
    """The embedded ICC profile, if it fits the image's channels and is not sRGB already."""
    profile = _profile(image)
    if profile is None:
        return None
    info: Any = profile.profile
    if str(info.xcolor_space).strip() != space or "srgb" in str(info.profile_description or "").lower():
        return None
    return profile


def has_broken_profile(image: Image.Image) -> bool:
    """Whether an image has a color profile that cannot be read; its pixels are then taken as sRGB, as viewers do."""
    return bool(image.info.get("icc_profile")) and _profile(image) is None


def apply_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """An image of 8 bits after its profile, as sRGB (perceptual intent); itself if the profile is incomplete."""
    try:
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:
        return image
    return image if converted is None else converted


def apply_deep(pixels: NDArray[np.uint16], data: bytes) -> NDArray[np.uint16] | None:
    """uint16 (H, W, 3) after the profile with these bytes, as sRGB; colors beyond it are clipped.

    None for a profile that is not made of one curve for each channel and a matrix, or of a curve for gray.
    """
    found = _curves_and_matrix(data)
    if found is None:
        return None
    curves, matrix = found
    result = np.empty_like(pixels)
    rows = max(1, _STRIP_PX // max(1, pixels.shape[1]))
    for top in range(0, len(pixels), rows):
        linear = looked_up(curves, as_float(pixels[top : top + rows]))
        result[top : top + rows] = np.rint(srgb_from_linear(linear @ matrix.T) * LAST)
    return result


def _profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    data = image.info.get("icc_profile")
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(data)) if data else None
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None


@lru_cache(maxsize=4)
def _curves_and_matrix(data: bytes) -> tuple[Table, Table] | None:
    """Curves to linear light, (65536, 3), and the matrix from there to that of sRGB, (3, 3)."""
    try:
        tags = _tags(data)
        if "A2B0" in tags or data[20:24] != b"XYZ ":
            return None
        if data[16:20] == b"GRAY":
            return np.repeat(_curve(tags["kTRC"])[:, None], 3, axis=1), np.eye(3, dtype=np.float32)
        curves = np.stack([_curve(tags[f"{channel}TRC"]) for channel in "rgb"], axis=1)
        columns = [struct.unpack_from(">3i", tags[f"{channel}XYZ"], 8) for channel in "rgb"]
    except (struct.error, LookupError, ValueError, ZeroDivisionError):
        return None
    return curves, np.asarray(_LINEAR_SRGB_FROM_XYZ @ np.array(columns).T / 65536, np.float32)


def _tags(data: bytes) -> dict[str, bytes]:
    (count,) = struct.unpack_from(">I", data, 128)
    entries = [struct.unpack_from(">4s2I", data, 132 + 12 * index) for index in range(min(count, 200))]
    return {name.decode("latin-1"): data[offset : offset + size] for name, offset, size in entries}


def _curve(tag: bytes) -> Table:
    """A tag of type `curv` or `para` (10.6 and 10.18) as a table over [0, 1]."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return STEPS.astype(np.float32)
        samples = np.array(struct.unpack_from(f">{count}H", tag, 12), float)
        y = STEPS ** (samples[0] / 256) if count == 1 else np.interp(STEPS, np.linspace(0, 1, count), samples / LAST)
    elif tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        given = struct.unpack_from(f">{_PARAMETRIC_COUNTS[kind]}i", tag, 12)
        gamma, a, b, c, d, e, f = (np.array([*given, *(0,) * 7][:7]) / 65536).tolist()
        if kind == 0:
            a = 1.0
        elif kind < 3:
            c, d, e, f = 0.0, -b / a, c, c  # below d the constant c
        y = np.where(d <= STEPS, np.maximum(a * STEPS + b, 0) ** gamma + e, c * STEPS + f)
    else:
        raise ValueError("no curve")
    return np.asarray(y.clip(0, 1), np.float32)
