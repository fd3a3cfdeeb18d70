"""Frames as numbered images or as one image: PNG, JPEG, TIFF, EXR, WebP or AVIF."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipeline.media.image.depth import as_8_bit
from pipeline.media.image.exr import encode_exr
from pipeline.media.image.png import add_text, encode_png, tagged_srgb
from pipeline.media.image.record import RECORD_KEY, xmp_packet
from pipeline.media.image.srgb_profile import srgb_profile
from pipeline.media.image.tiff import encode_tiff
from pipeline.media.writer.partial import filling, write_error
from pipeline.media.writer.target import STILLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.config.video import VideoSettings
    from pipeline.media.writer.target import Target
    from pipeline.types import Pixels

_PNG_LEVEL = 4


def write_numbered(
    path: Path,
    frames: Iterator[Pixels],
    *,
    target: Target,
    settings: VideoSettings,
    record: str = "",
    progress: Callable[[int], None] | None,
) -> None:
    """Write frame i to `path` with its number pattern filled in (from 0), all of them or none. Raises WriteError."""
    with filling(path) as folder:
        for index, rgb in enumerate(frames):
            write_still(path, folder / (path.name % index), rgb, target=target, settings=settings, record=record)
            if progress is not None:
                progress(index + 1)


def write_still(
    path: Path, file: Path, rgb: Pixels, *, target: Target, settings: VideoSettings, record: str = ""
) -> None:
    """Write one image, uint8 or uint16 (H, W, 3) sRGB, to `file`; errors speak of `path`. Raises WriteError.

    PNG and TIFF are lossless and have the bits of `rgb`; EXR is linear light in half floats; the others have 8 bits and
    the quality that `output.images` asks for. All but EXR say that they are sRGB. `record` is what the image
    says about its settings; empty: nothing.
    """
    try:
        file.write_bytes(_encoded(rgb, STILLS[target.suffix], settings, record))
    except (OSError, ValueError) as error:
        raise write_error(path, error) from error


def _encoded(rgb: Pixels, name: str, settings: VideoSettings, record: str) -> bytes:
    xmp = xmp_packet(record) if record else b""
    match name:
        case "PNG":
            png = tagged_srgb(encode_png(rgb, _PNG_LEVEL))
            return add_text(png, RECORD_KEY, record) if record else png
        case "TIFF":
            return encode_tiff(rgb, xmp)
        case "EXR":
            return encode_exr(rgb, {RECORD_KEY: record} if record else {})
    given = settings.images.quality
    quality = max(100 - settings.crf_or(16) // 2, 1) if given == "auto" else given
    chroma = ":".join(str(settings.images.chroma))
    options: dict[str, Any] = {"subsampling": chroma}
    if name == "WEBP":
        options = {"lossless": quality == 100, "method": 4}
    if xmp:
        options["xmp"] = xmp
    buffer = io.BytesIO()
    Image.fromarray(as_8_bit(rgb)).save(buffer, name, quality=quality, icc_profile=srgb_profile(), **options)
    return buffer.getvalue()
