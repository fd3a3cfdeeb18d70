"""Frames as numbered images or as one image: PNG, JPEG, TIFF, EXR, WebP or AVIF."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipeline.media.image.depth import as_8_bit
from pipeline.media.image.exr import encode_exr
from pipeline.media.image.png import encode_png, tagged_srgb
from pipeline.media.image.srgb_profile import srgb_profile
from pipeline.media.image.tiff import encode_tiff
from pipeline.media.writer.partial import filling, write_error
from pipeline.media.writer.target import STILLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.config.settings import OutputSettings
    from pipeline.media.writer.target import Target
    from pipeline.types import Pixels

_PNG_LEVEL = 4


def write_numbered(
    path: Path,
    frames: Iterator[Pixels],
    *,
    target: Target,
    settings: OutputSettings,
    progress: Callable[[int], None] | None,
) -> None:
    """Write frame i to `path` with its number pattern filled in (from 0), all of them or none. Raises WriteError."""
    with filling(path) as folder:
        for index, rgb in enumerate(frames):
            write_still(path, folder / (path.name % index), rgb, target=target, settings=settings)
            if progress is not None:
                progress(index + 1)


def write_still(path: Path, file: Path, rgb: Pixels, *, target: Target, settings: OutputSettings) -> None:
    """Write one image, uint8 or uint16 (H, W, 3) sRGB, to `file`; errors speak of `path`. Raises WriteError.

    PNG and TIFF are lossless and have the bits of `rgb`; EXR is linear light in half floats; the others have 8 bits and
    the quality that `output.images` asks for. All but EXR say that they are sRGB.
    """
    try:
        file.write_bytes(_encoded(rgb, STILLS[target.suffix], settings))
    except (OSError, ValueError) as error:
        raise write_error(path, error) from error


def _encoded(rgb: Pixels, name: str, settings: OutputSettings) -> bytes:
    match name:
        case "PNG":
            return tagged_srgb(encode_png(rgb, _PNG_LEVEL))
        case "TIFF":
            return encode_tiff(rgb)
        case "EXR":
            return encode_exr(rgb)
    given = settings.images.quality
    quality = max(100 - settings.crf_or(16) // 2, 1) if given == "auto" else given
    chroma = ":".join(str(settings.images.chroma))
    options: dict[str, Any] = {"subsampling": chroma}
    if name == "WEBP":
        options = {"lossless": quality == 100, "method": 4}
    buffer = io.BytesIO()
    Image.fromarray(as_8_bit(rgb)).save(buffer, name, quality=quality, icc_profile=srgb_profile(), **options)
    return buffer.getvalue()
