"""Reading any still image as upright (H, W, 3) sRGB: uint16 where the file has more than 8 bits, else uint8."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from pipeline.config.raw import RawSettings
from pipeline.errors import DamagedInputError, InputError
from pipeline.media.image import heif, raw
from pipeline.media.image.depth import as_8_bit, as_16_bit, as_float
from pipeline.media.image.icc import apply_deep, apply_profile, foreign_profile
from pipeline.media.image.limits import BACKGROUND, DECODE_ERRORS, MAX_PX, check_size, damaged, no_memory
from pipeline.media.image.sniff import HEIF_SEQUENCES, describe_content, photo_format, read_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.types import Pixels

    RGB = NDArray[np.uint8]
    Deep = NDArray[np.uint16]

_STRIP_PX: Final = 1_000_000
_ORIENTATION_TAG: Final = 0x0112
_DNG_VERSION_TAG: Final = 0xC612
_open_lock = threading.Lock()


def load_rgb(path: str | Path, *, max_px: int = MAX_PX) -> RGB:
    """Read an image file as uint8 (H, W, 3) sRGB, upright.

    EXIF orientation is applied. Samples of more than 8 bits are scaled and rounded. Gray, palette, CMYK, YCbCr and Lab
    become RGB; an embedded ICC profile is converted to sRGB (perceptual intent), and a profile that cannot be used is
    ignored as viewers do. Transparent parts are laid over white. Of an animation the first frame is read, of several
    pages the first. A raw file is developed with the white balance of its camera.

    Raises InputError if the file is missing, unreadable, empty, not an image, damaged, or larger than 20,000 px a side
    or than `max_px` pixels (known from the header, before anything is decoded); MissingPartError if it is of a kind
    that needs another package.
    """
    if raw.is_raw_file(path):
        return as_8_bit(raw.develop(path, raw.development((path,), RawSettings()), max_px=max_px))
    with open_image(path, max_px=max_px) as image:
        return as_8_bit(render_frame(image, path))


def load_opacity(path: str | Path) -> NDArray[np.float32] | None:
    """The opacity of an image that `load_rgb` reads: float32 (H, W) in [0, 1], upright; None if it is 1 everywhere.

    Raises as `load_rgb` does.
    """
    if raw.is_raw_file(path):
        return None
    with open_image(path) as image:
        if "A" not in image.getbands() and "transparency" not in image.info:
            return None
        try:
            alpha = np.asarray(image.convert("RGBA").getchannel("A"), np.uint8)
        except DECODE_ERRORS as error:
            raise damaged(path, error) from None
        return None if alpha.min() == 255 else as_float(upright(alpha, exif_orientation(image)))


def open_image(path: str | Path, *, max_px: int = MAX_PX, head: bytes | None = None) -> Image.Image:
    """Open an image with Pillow, header only, with every check that can be made before decoding.

    `head` is what `read_head` gives, where that is known. The caller closes the image. Raises InputError as `load_rgb`
    does.
    """
    path = Path(path)
    head = head or read_head(path)
    kind = photo_format(path, head)
    if kind == "RAW":  # of those that are TIFF files Pillow would read the thumbnail
        raise InputError(
            f"{path}: is a raw camera file; expected a developed image",
            hint="develop it to JPEG or 16-bit TIFF first",
        )
    if kind is None:
        raise DamagedInputError(
            f"{path}: expected an image, found {describe_content(head)}",
            hint="JPEG, PNG, TIFF, WebP, AVIF, HEIC, GIF, BMP and raw files can be read",
        )
    if kind == "HEIF":
        heif.register(path)
    if kind in ("HEIF", "AVIF"):
        heif.check_boxes(path)
    # Pillow's own limit (179 MP) is a process-wide setting and lower than ours, which follows right below.
    with _open_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path)
        except UnidentifiedImageError:
            if head[8:12] in HEIF_SEQUENCES:
                raise InputError(
                    f"{path}: is an HEIC sequence; expected a photo", hint="export it as a video, or as JPEGs"
                ) from None
            raise DamagedInputError(
                f"{path}: starts like a {kind} image, but the rest of its header is damaged or of a kind that is not "
                "read",
                hint="copy or export the file again, as RGB with 8 or 16 bits, or leave it out",
            ) from None
        except DECODE_ERRORS as error:
            raise damaged(path, error) from None
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    try:
        check_size(path, *image.size, max_px)
        if kind == "HEIF":
            heif.check_range(image, path)
    except InputError:
        image.close()
        raise
    if image.format == "TIFF" and _DNG_VERSION_TAG in getattr(image, "tag_v2", {}):
        image.close()
        raise InputError(
            f"{path}: is a DNG raw file by another name",
            hint="rename it to .dng, so that it is developed",
        )
    return image


def render_frame(image: Image.Image, path: str | Path) -> Pixels:
    """Decode the current frame of an open image to (H, W, 3) sRGB, upright; `path` is for messages.

    uint16 where the file has more than 8 bits: PNG, TIFF and HEIF. Raises InputError if the data are damaged or of a
    kind without a defined conversion to RGB.
    """
    try:
        image.load()
        deep = _deep(image)
        pixels: Pixels = _to_srgb(image) if deep is None else deep
    except InputError:
        raise
    except MemoryError:
        raise no_memory(path, *image.size) from None
    except DECODE_ERRORS as error:
        raise damaged(path, error) from None
    return upright(pixels, exif_orientation(image))


def exif_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or the EXIF block cannot be read.

    Raises InputError for a PNG whose pixels are damaged: Pillow decodes it to find EXIF after them, and raises only the
    first time.
    """
    if image.format == "PNG":
        try:
            image.load()
        except DECODE_ERRORS as error:
            raise damaged(getattr(image, "filename", ""), error) from None
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except DECODE_ERRORS:
        return 1  # good pixels with a broken EXIF block are shown as stored, as viewers do
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def count_frames(image: Image.Image) -> int:
    """How many frames an open image has; of a damaged animation those before the damage."""
    try:
        return int(getattr(image, "n_frames", 1))
    except DECODE_ERRORS:
        count = 1
        try:
            while True:
                image.seek(count)
                count += 1
        except DECODE_ERRORS:
            image.seek(0)
            return count


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Stored pixels (H, W) or (H, W, C) as they are shown, by an EXIF orientation of 1 to 8."""
    if orientation in (2, 7):
        pixels = pixels[:, ::-1]
    elif orientation in (4, 5):
        pixels = pixels[::-1]
    quarter_turns = {3: 2, 5: 3, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns))


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height in px of an open image as it is shown, after EXIF orientation. Raises as that does."""
    width_px, height_px = image.size
    return (height_px, width_px) if exif_orientation(image) >= 5 else (width_px, height_px)


def _deep(image: Image.Image) -> Deep | None:
    """An image of more than 8 bits, which Pillow would cut to their high byte, as sRGB; None for all others."""
    mode, space = image.mode, "RGB"
    if mode.startswith("I;16") or mode == "I":
        counts = np.asarray(image)
        if counts.size and (counts.min() < 0 or counts.max() > 65535):
            raise ValueError("32-bit integer samples beyond 16 bits")
        pixels, space = np.repeat(counts.astype(np.uint16)[..., None], 3, axis=2), "GRAY"
    elif mode == "F":
        gray = np.asarray(image)
        if not np.isfinite(gray).all() or gray.min() < 0 or gray.max() > 1:
            raise ValueError("floating-point samples outside [0, 1]")
        pixels = _by_strips(gray, lambda strip: np.repeat(strip[..., None], 3, axis=2))
        space = "GRAY"
    else:
        samples = heif.deep_samples(image) if image.format == "HEIF" else _deep_color(image)
        if samples is None:
            return None
        if samples.ndim == 2 or samples.shape[2] != 3:
            samples = samples if samples.ndim == 3 else samples[..., None]
            samples = _by_strips(samples, _opaque)
        pixels = samples
    if foreign_profile(image, space) is None:
        return pixels
    converted = apply_deep(pixels, image.info["icc_profile"])
    if converted is not None:
        return converted
    profile = foreign_profile(image, "RGB")  # of another kind, for which there are only 8 bits
    if profile is None:
        return pixels
    shown = np.asarray(apply_profile(Image.fromarray(as_8_bit(pixels)), profile))
    return as_16_bit(shown)


def _deep_color(image: Image.Image) -> Deep | None:
    """Color PNG and TIFF with 16 bits a sample, by OpenCV: uint16 (H, W) or RGB (H, W, 3 or 4); None for all others."""
    if image.format not in ("PNG", "TIFF") or image.mode not in ("RGB", "RGBA", "LA"):
        return None
    file = getattr(image, "filename", "")
    several = image.tell() > 0 or (image.format == "PNG" and getattr(image, "n_frames", 1) > 1)
    if not file or several or not _has_16_bits(image, read_head(file)):
        return None
    pixels: NDArray[Any] | None = cv2.imdecode(np.fromfile(file, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[:2] != image.size[::-1]:
        return None  # a layout that OpenCV does not read: Pillow's 8 bits are then the best there is
    if pixels.ndim == 3:
        pixels[..., :3] = pixels[..., 2::-1].copy()
    return pixels


def _opaque(samples: NDArray[Any]) -> NDArray[np.float32]:
    """uint16 (H, W, 1 or 4) as float32 (H, W, 3) in [0, 1], over the background."""
    color = as_float(samples[..., :3])
    if samples.shape[2] == 1:
        return np.repeat(color, 3, axis=2)
    alpha = as_float(samples[..., 3:])
    return np.asarray(color * alpha + np.asarray(BACKGROUND, np.float32) / 255 * (1 - alpha), np.float32)


def _by_strips(samples: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[np.floating[Any]]]) -> Deep:
    """Samples (H, W, ...) as RGB by `convert`, a few rows at a time: in floating point a large image is ten times as
    large."""
    rgb = np.empty((*samples.shape[:2], 3), np.uint16)
    rows = max(1, _STRIP_PX // max(1, samples.shape[1]))
    for top in range(0, len(samples), rows):
        rgb[top : top + rows] = np.clip(np.rint(convert(samples[top : top + rows]) * 65535), 0, 65535)
    return rgb


def _has_16_bits(image: Image.Image, head: bytes) -> bool:
    if image.format == "PNG":
        return len(head) > 24 and head[24] == 16
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    return bool(bits) and set(bits) == {16}


def _to_srgb(image: Image.Image) -> RGB:
    """Any mode of Pillow with 8 bits to uint8 (H, W, 3) sRGB."""
    mode = image.mode
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if mode == "PA" or "transparency" in image.info else "RGB")
    elif mode in ("LA", "La", "RGBa"):
        image = image.convert("RGBA")
    elif mode in ("1", "RGBX", "YCbCr", "HSV"):
        image = image.convert("RGB")
    elif "transparency" in image.info:  # a single color that counts as transparent
        image = image.convert("RGBA")
    profile = foreign_profile(image, {"L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}.get(image.mode, "RGB"))
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    color: Image.Image = image if alpha is None else image.convert("RGB")
    if profile is not None:
        color = apply_profile(color, profile)
    elif color.mode == "LAB":
        color = apply_profile(color, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    rgb = color if color.mode == "RGB" else color.convert("RGB")
    if alpha is not None:
        background = Image.new("RGB", rgb.size, BACKGROUND)
        background.paste(rgb, mask=alpha)
        rgb = background
    return np.array(rgb, dtype=np.uint8)
