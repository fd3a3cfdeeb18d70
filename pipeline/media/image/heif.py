"""HEIC and HEIF photos by the optional package `pillow-heif`: whole pictures, and 10 and 12 bits as uint16."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.errors import InputError, MissingPartError
from pipeline.media.image.limits import damaged

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_HDR_TRANSFERS: Final = {16: "PQ", 18: "HLG"}
"""Transfer functions of ITU-T H.273 whose white is not that of a screen."""


def register(path: str | Path) -> None:
    """Let Pillow open HEIF files. Raises MissingPartError, naming the file at `path`, if pillow-heif is absent."""
    try:
        import pillow_heif
    except ImportError:
        raise MissingPartError(
            f"{path}: is an HEIC image, which needs the optional package pillow-heif",
            hint="pip install 'tempera[heif]', or convert the image to JPEG",
        ) from None
    pillow_heif.register_heif_opener()


def check_boxes(path: str | Path) -> None:
    """Raise DamagedInputError if a HEIF or AVIF file ends inside one of its boxes (ISO 14496-12, 4.2).

    libheif decodes what is there and leaves the rest gray.
    """
    with Path(path).open("rb") as file:
        end = file.seek(0, io.SEEK_END)
        at = 0
        while at < end:
            file.seek(at)
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[8:], "big") if size == 1 else size or end - at
            at += max(size, 8)
    if at > end:
        raise damaged(path, ValueError(f"it ends after {end} bytes"))


def check_range(image: Image.Image, path: str | Path) -> None:
    """Raise InputError for an HDR photo, which would look flat and gray as sRGB."""
    profile: Any = image.info.get("nclx_profile") or {}
    transfer = _HDR_TRANSFERS.get(int(profile.get("transfer_characteristics", 0)))
    if transfer is not None:
        raise InputError(
            f"{path}: is an HDR photo ({transfer}); expected one for screens of normal range",
            hint="export it as 16-bit TIFF or JPEG first, or develop the raw file beside it",
        )


def deep_samples(image: Image.Image) -> NDArray[np.uint16] | None:
    """An open HEIF of more than 8 bits as uint16 RGB (H, W, 3 or 4), upright; None for one of 8 bits."""
    import pillow_heif

    bits = int(image.info.get("bit_depth", 8))
    if bits <= 8:
        return None
    opened = pillow_heif.open_heif(image.filename, convert_hdr_to_8bit=False)  # type: ignore[attr-defined]
    samples = np.asarray(opened)
    if samples.dtype != np.uint16:
        return None
    largest = (1 << bits) - 1  # the samples stand in the upper bits
    return np.asarray(np.rint((samples >> (16 - bits)) * (65535 / largest)), np.uint16)
