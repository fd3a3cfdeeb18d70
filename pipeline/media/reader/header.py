"""What is known of a photo before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from pipeline.errors import DamagedInputError
from pipeline.media.image import raw
from pipeline.media.image.icc import has_broken_profile
from pipeline.media.image.load import count_frames, open_image, upright_size
from pipeline.media.reader.exif import PhotoExif, read_exif

_PAGED: Final = ("TIFF", "HEIF")


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """Upright size in px, width and height, and EXIF of a photo; an error instead if its header is damaged.

    `remarks` say what is unusual, as the end of a sentence about some photos.
    """

    file: str
    size: tuple[int, int] | None
    exif: PhotoExif = field(default_factory=PhotoExif)
    error: DamagedInputError | None = None
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return PurePath(self.file).name


def read_header(file: str) -> PhotoHeader:
    """Open a photo without decoding it. Raises InputError for what is no image or needs another package."""
    try:
        if raw.is_raw_file(file):
            return PhotoHeader(file, raw.raw_size(file), read_exif(lambda: raw.raw_exif(file)))
        with open_image(file) as image:
            remarks = ["have a color profile that cannot be read, and are taken as sRGB"] * has_broken_profile(image)
            if image.format in _PAGED and count_frames(image) > 1:
                remarks.append("have several pages, of which the first is used")
            return PhotoHeader(file, upright_size(image), read_exif(image.getexif), remarks=tuple(remarks))
    except DamagedInputError as error:
        return PhotoHeader(file, None, error=error)
