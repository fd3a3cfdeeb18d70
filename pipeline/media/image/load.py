"""Reading any still image as upright uint8 (H, W, 3) sRGB."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from pipeline.errors import DamagedInputError, InputError
from pipeline.media.image.sniff import RAW_SUFFIXES, describe_content, image_format, is_raw, read_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]

MAX_SIDE_PX: Final = 20_000
MAX_PX: Final = 200_000_000
BACKGROUND: Final = (255, 255, 255)
"""What transparent parts of an image are laid over: white, as on paper and as most viewers show them."""

_STRIP_PX: Final = 1_000_000
_ORIENTATION_TAG: Final = 0x0112
_DNG_VERSION_TAG: Final = 0xC612
# What Pillow's plugins raise on damaged data: beside OSError, whatever their parsers in Python raise.
DECODE_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    OverflowError,
    TypeError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_open_lock = threading.Lock()


def load_rgb(path: str | Path, *, max_px: int = MAX_PX) -> RGB:
    """Read an image file as uint8 (H, W, 3) sRGB, upright.

    EXIF orientation is applied. 16-bit samples are scaled by 255/65535 and rounded. Gray, palette, CMYK, YCbCr and Lab
    become RGB; an embedded ICC profile is converted to sRGB (perceptual intent), and a profile that cannot be used is
    ignored as viewers do. Transparent parts are laid over white. Of an animation the first frame is read.

    Raises InputError if the file is missing, unreadable, empty, not an image, damaged, larger than 20,000 px a side or
    than `max_px` pixels (known from the header, before anything is decoded), or of a kind that needs another package.
    """
    with open_image(path, max_px=max_px) as image:
        return render_frame(image, path)


def open_image(path: str | Path, *, max_px: int = MAX_PX) -> Image.Image:
    """Open an image with Pillow, header only, with every check that can be made before decoding.

    The caller closes it. Raises InputError as `load_rgb` does.
    """
    path = Path(path)
    head = read_head(path)
    if path.suffix.lower() in RAW_SUFFIXES or is_raw(head):
        # Many raw files are TIFF files, of which Pillow would read the thumbnail.
        raise InputError(
            f"{path}: is a raw camera file; expected a developed image",
            hint="develop it to JPEG or 16-bit TIFF first, for example with darktable or the Python package rawpy; "
            "where the camera has stored JPEGs beside it, name those: 'folder/*.jpg'",
        )
    kind = image_format(head)
    if kind is None:
        raise DamagedInputError(
            f"{path}: expected an image, found {describe_content(head)}",
            hint="JPEG, PNG, TIFF, WebP, AVIF, GIF and BMP can be read",
        )
    if kind == "HEIF":
        _register_heif(path)
    # Pillow's own limit (179 MP) is a process-wide setting and lower than ours, which follows right below.
    with _open_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path)
        except UnidentifiedImageError:
            raise DamagedInputError(
                f"{path}: starts like a {kind} image, but the rest of its header is damaged",
                hint="copy or export the file again, or leave it out",
            ) from None
        except DECODE_ERRORS as error:
            raise _damaged(path, error) from None
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    width_px, height_px = image.size
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > max_px:
        image.close()
        raise DamagedInputError(
            f"{path}: {width_px}x{height_px} px is too large; expected at most {MAX_SIDE_PX} px a side "
            f"and {max_px / 1e6:.0f} megapixels",
            hint="scale the image down first",
        )
    if image.format == "TIFF" and _DNG_VERSION_TAG in getattr(image, "tag_v2", {}):
        image.close()
        raise InputError(
            f"{path}: is a DNG raw file; expected a developed image",
            hint="develop it to JPEG or 16-bit TIFF first, for example with darktable or the Python package rawpy",
        )
    return image


def render_frame(image: Image.Image, path: str | Path) -> RGB:
    """Decode the current frame of an open image to uint8 (H, W, 3) sRGB, upright; `path` is for messages.

    Raises InputError if the data are damaged or of a kind without a defined conversion to RGB.
    """
    try:
        image.load()
        deep = _decode_16bit_color(image)
        rgb = _to_srgb(image) if deep is None else deep
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{path}: not enough memory to decode {image.size}", hint="scale it down first") from None
    except DECODE_ERRORS as error:
        raise _damaged(path, error) from None
    return _upright(rgb, exif_orientation(image))


def exif_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or the EXIF block cannot be read.

    Raises InputError for a PNG whose pixels are damaged: Pillow decodes it to find EXIF after them, and raises only the
    first time.
    """
    if image.format == "PNG":
        try:
            image.load()
        except DECODE_ERRORS as error:
            raise _damaged(getattr(image, "filename", ""), error) from None
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


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height in px of an open image as it is shown, after EXIF orientation. Raises as that does."""
    width_px, height_px = image.size
    return (height_px, width_px) if exif_orientation(image) >= 5 else (width_px, height_px)


def _damaged(path: str | Path, error: Exception) -> DamagedInputError:
    return DamagedInputError(
        f"{path}: the image is damaged or cut off ({' '.join(str(error).split()) or type(error).__name__})",
        hint="copy or export the file again, or leave it out",
    )


def _register_heif(path: Path) -> None:
    try:
        import pillow_heif  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise InputError(
            f"{path}: is an HEIC image, which needs the optional package pillow-heif",
            hint="pip install pillow-heif, or convert the image to JPEG",
        ) from None
    pillow_heif.register_heif_opener()


def _decode_16bit_color(image: Image.Image) -> RGB | None:
    """Color PNG and TIFF with 16 bits a sample, which Pillow would cut to their high byte; None for all others."""
    if (
        image.format not in ("PNG", "TIFF")
        or image.mode not in ("RGB", "RGBA", "LA")
        or getattr(image, "n_frames", 1) > 1
    ):
        return None
    file = getattr(image, "filename", "")
    if not file or not _has_16_bits(image, read_head(file)):
        return None
    pixels: NDArray[Any] | None = cv2.imdecode(np.fromfile(file, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        return None  # a layout that OpenCV does not read: Pillow's 8 bits are then the best there is
    rgb = _by_strips(pixels if pixels.ndim == 3 else pixels[..., None], _from_16bit_bgr)
    profile = _foreign_profile(image, "RGB")
    return rgb if profile is None else np.asarray(_apply_profile(Image.fromarray(rgb), profile))


def _from_16bit_bgr(samples: NDArray[Any]) -> NDArray[np.float32]:
    """uint16 (H, W, 1, 3 or 4) of OpenCV as float32 (H, W, 3) RGB in [0, 1], over white."""
    color: NDArray[np.float32] = samples[..., :3][..., ::-1].astype(np.float32) / np.float32(65535)
    if samples.shape[2] == 1:
        return np.repeat(color, 3, axis=2)
    if samples.shape[2] == 4:
        alpha = samples[..., 3:].astype(np.float32) / np.float32(65535)
        color = color * alpha + np.asarray(BACKGROUND, np.float32) / 255 * (1 - alpha)
    return color


def _by_strips(samples: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[np.floating[Any]]]) -> RGB:
    """Samples (H, W, ...) as RGB by `convert`, a few rows at a time: in floating point a large image is ten times as
    large."""
    rgb = np.empty((*samples.shape[:2], 3), np.uint8)
    rows = max(1, _STRIP_PX // max(1, samples.shape[1]))
    for top in range(0, len(samples), rows):
        rgb[top : top + rows] = _quantize(convert(samples[top : top + rows]))
    return rgb


def _has_16_bits(image: Image.Image, head: bytes) -> bool:
    if image.format == "PNG":
        return len(head) > 24 and head[24] == 16
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    return bool(bits) and set(bits) == {16}


def _to_srgb(image: Image.Image) -> RGB:
    """Any mode of Pillow to uint8 (H, W, 3) sRGB."""
    mode = image.mode
    if mode.startswith("I;16") or mode == "I":
        counts = np.asarray(image)
        if counts.size and (counts.min() < 0 or counts.max() > 65535):
            raise ValueError("32-bit integer samples beyond 16 bits")
        return _by_strips(counts, lambda strip: np.repeat((strip / 65535)[..., None], 3, axis=2))
    if mode == "F":
        gray = np.asarray(image)
        if not np.isfinite(gray).all() or gray.min() < 0 or gray.max() > 1:
            raise ValueError("floating-point samples outside [0, 1]")
        return _by_strips(gray, lambda strip: np.repeat(strip[..., None], 3, axis=2))
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if mode == "PA" or "transparency" in image.info else "RGB")
    elif mode in ("LA", "La", "RGBa"):
        image = image.convert("RGBA")
    elif mode in ("1", "RGBX", "YCbCr", "HSV"):
        image = image.convert("RGB")
    elif "transparency" in image.info:  # a single color that counts as transparent
        image = image.convert("RGBA")
    profile = _foreign_profile(image, {"L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}.get(image.mode, "RGB"))
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    color: Image.Image = image if alpha is None else image.convert("RGB")
    if profile is not None:
        color = _apply_profile(color, profile)
    elif color.mode == "LAB":
        color = _apply_profile(color, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    rgb = color if color.mode == "RGB" else color.convert("RGB")
    if alpha is not None:
        background = Image.new("RGB", rgb.size, BACKGROUND)
        background.paste(rgb, mask=alpha)
        rgb = background
    return np.array(rgb, dtype=np.uint8)


def _foreign_profile(image: Image.Image, space: str) -> ImageCms.ImageCmsProfile | None:
    """The embedded ICC profile, if it fits the image's channels and is not sRGB already."""
    data = image.info.get("icc_profile")
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None  # damaged profile: the pixels are read as sRGB, as in viewers
    info: Any = profile.profile
    if str(info.xcolor_space).strip() != space or "srgb" in str(info.profile_description or "").lower():
        return None
    return profile


def _apply_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    try:
        converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    except ImageCms.PyCMSError:
        return image  # a profile without the tables that a conversion needs
    return image if converted is None else converted


def _upright(rgb: RGB, orientation: int) -> RGB:
    """Apply an EXIF orientation of 1 to 8 to stored pixels."""
    if orientation in (2, 7):
        rgb = rgb[:, ::-1]
    elif orientation in (4, 5):
        rgb = rgb[::-1]
    quarter_turns = {3: 2, 5: 3, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns))


def _quantize(color: NDArray[np.floating[Any]]) -> RGB:
    """Values in [0, 1] to uint8, rounded to nearest and clamped."""
    rounded: RGB = np.clip(np.rint(color * 255), 0, 255).astype(np.uint8)
    return rounded
