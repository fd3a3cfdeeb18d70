"""What is known of a photo before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

from pipeline.errors import DamagedInputError
from pipeline.media.image.photo import open_photo
from pipeline.media.reader.exif import PhotoExif, read_exif


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
        photo = open_photo(file)
    except DamagedInputError as error:
        return PhotoHeader(file, None, error=error)
    return PhotoHeader(file, photo.size, read_exif(photo.exif), remarks=photo.remarks)
