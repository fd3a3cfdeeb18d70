"""The ICC profile of sRGB, to embed in images: without one some programs take the screen's colors for those meant."""

from __future__ import annotations

from functools import cache

from PIL import ImageCms

_CREATED = slice(24, 36)


@cache
def srgb_profile() -> bytes:
    """The bytes of the profile, without the date of making it, so that they are always the same."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[_CREATED] = bytes(12)
    return bytes(data)
