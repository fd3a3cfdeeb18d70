"""Photos of every kind, raw files too: what is known from the header, and the pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PIL import Image

from pipeline.media.image import raw
from pipeline.media.image.icc import has_broken_profile
from pipeline.media.image.limits import DECODE_ERRORS
from pipeline.media.image.load import count_frames, open_image, render_frame, upright_size
from pipeline.media.image.sniff import photo_format, read_head

if TYPE_CHECKING:
    from pipeline.types import Pixels

_EXIF_IFD: Final = 0x8769
_PAGED: Final = ("TIFF", "HEIF")


@dataclass(frozen=True, slots=True)
class Photo:
    """Upright size, width and height in px, and EXIF of a photo, empty where it has none that can be read.

    `remarks` are what a user should know of photos like it, each said of "photos".
    """

    size: tuple[int, int]
    exif: Image.Exif
    remarks: tuple[str, ...] = ()


def open_photo(file: str) -> Photo:
    """What is known of a photo before it is decoded. Raises what `open_image` and `raw_size` raise."""
    head = read_head(file)
    if photo_format(file, head) == "RAW":
        return Photo(raw.raw_size(file), raw.raw_exif(file))
    with open_image(file, head=head) as image:
        size = upright_size(image)
        try:
            exif = image.getexif()
            exif.get_ifd(_EXIF_IFD)  # read before the file is closed
        except DECODE_ERRORS:
            exif = Image.Exif()
        remarks = ["have a color profile that cannot be read, and are taken as sRGB"] * has_broken_profile(image)
        if image.format in _PAGED and count_frames(image) > 1:
            remarks.append("have several pages, of which the first is used")
        return Photo(size, exif, tuple(remarks))


def decode_photo(
    file: str, size: tuple[int, int], development: Callable[[], raw.Development]
) -> tuple[Pixels, tuple[int, int]]:
    """A photo, upright uint8 or uint16 (H, W, 3) sRGB, and its full size, (width, height) in px.

    The pixels have that size, or a smaller one that is at least `size`: the JPEG decoder itself scales down, by 2, 4 or
    8, as long as twice the wanted size remains on both sides, so a photo of 24 megapixels is read several times as
    fast. `development` is asked how raw files are developed. Raises InputError if the photo is damaged.
    """
    head = read_head(file)
    if photo_format(file, head) == "RAW":
        full = raw.raw_size(file)
        return raw.develop(file, development(), size=size), full
    with open_image(file, head=head) as image:
        full = upright_size(image)
        longer = 2 * max(size)
        image.draft(None, (longer, longer))
        return render_frame(image, file), full
