"""What is known of a photo before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

from pipeline.errors import DamagedInputError
from pipeline.media.image.load import open_image, upright_size
from pipeline.media.reader.exif import PhotoExif, read_exif


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """Upright size in px, width and height, and EXIF of a photo; an error instead if its header is damaged."""

    file: str
    size: tuple[int, int] | None
    exif: PhotoExif = field(default_factory=PhotoExif)
    error: DamagedInputError | None = None

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return PurePath(self.file).name


def read_header(file: str) -> PhotoHeader:
    """Open a photo without decoding it. Raises InputError for what is no image or needs another package."""
    try:
        with open_image(file) as image:
            return PhotoHeader(file, upright_size(image), read_exif(image))
    except DamagedInputError as error:
        return PhotoHeader(file, None, error=error)
