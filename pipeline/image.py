"""Still pictures: reading any of them as upright sRGB, exact PNG for stored frames, resizing, and the way to tensors.

Every array here is uint8 (H, W, 3) sRGB unless it says otherwise; tensors are float32 (3, H, W) sRGB in [0, 1].
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import cv2
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from pipeline.errors import InputError, UsageError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]

MAX_SIDE_PX: Final = 20_000
MAX_PX: Final = 200_000_000
BACKGROUND: Final = (255, 255, 255)
"""What transparent parts of a picture are laid over: white, as on paper and as most viewers show them."""

RAW_SUFFIXES: Final = frozenset(
    (".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw")
    + (".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f")
)
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (_PNG_SIGNATURE, "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    *((b"P%d%s" % (digit, space), "PPM") for digit in range(1, 7) for space in (b"\n", b" ", b"\r", b"\t")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"qoif", "QOI"),
    (b"8BPS", "PSD"),
)
_BMP_HEADER_SIZES: Final = tuple(struct.pack("<I", size) for size in (12, 40, 52, 56, 64, 108, 124))
_ORIENTATION_TAG: Final = 0x0112
_DNG_VERSION_TAG: Final = 0xC612
# What Pillow's plugins raise on damaged data, beside OSError: they parse in Python and let the parser's error through.
DECODE_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    OverflowError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_open_lock = threading.Lock()


def load_rgb(path: str | Path, *, max_px: int = MAX_PX) -> RGB:
    """Read a picture file as uint8 (H, W, 3) sRGB, upright.

    EXIF orientation is applied. 16-bit samples are scaled by 255/65535 and rounded. Gray, palette, CMYK, YCbCr and Lab
    become RGB; an embedded ICC profile is converted to sRGB (perceptual intent), and a profile that cannot be used is
    ignored as viewers do. Transparent parts are laid over white. Of an animation the first frame is read.

    Raises InputError if the file is missing, unreadable, empty, not a picture, damaged, larger than 20,000 px a side or
    than `max_px` pixels (known from the header, before anything is decoded), or of a kind that needs another package.
    """
    with open_image(path, max_px=max_px) as image:
        return render_frame(image, path)


def open_image(path: str | Path, *, max_px: int = MAX_PX) -> Image.Image:
    """Open a picture with Pillow, header only, with every check that can be made before decoding.

    The caller closes it. Raises InputError as `load_rgb` does.
    """
    path = Path(path)
    head = read_head(path)
    if path.suffix.lower() in RAW_SUFFIXES or _is_raw(head):
        # Many raw files are TIFF outside: Pillow would silently give us their thumbnail.
        raise InputError(
            f"{path}: is a raw camera file; expected a developed picture",
            hint="develop it to JPEG or 16-bit TIFF first, for example with darktable or the Python package rawpy",
        )
    kind = picture_format(head)
    if kind is None:
        raise InputError(
            f"{path}: expected a picture, found {describe_content(head)}",
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
            raise InputError(
                f"{path}: starts like a {kind} picture, but the rest of its header is damaged",
                hint="copy or export the file again, or leave it out",
            ) from None
        except DECODE_ERRORS as error:
            raise _damaged(path, error) from None
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    width_px, height_px = image.size
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > max_px:
        image.close()
        raise InputError(
            f"{path}: {width_px}x{height_px} px is too large; expected at most {MAX_SIDE_PX} px a side "
            f"and {max_px / 1e6:.0f} megapixels",
            hint="scale the picture down first",
        )
    if image.format == "TIFF" and _DNG_VERSION_TAG in getattr(image, "tag_v2", {}):
        image.close()
        raise InputError(
            f"{path}: is a DNG raw file; expected a developed picture",
            hint="develop it to JPEG or 16-bit TIFF first, for example with darktable or the Python package rawpy",
        )
    return image


def render_frame(image: Image.Image, path: str | Path) -> RGB:
    """Decode the current frame of an open picture to uint8 (H, W, 3) sRGB, upright; `path` is for messages.

    Raises InputError if the data are damaged or of a kind that has no defined way to RGB.
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
    """EXIF orientation, 1 to 8; 1 where there is none or the EXIF block cannot be read."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except DECODE_ERRORS:
        return 1  # good pixels with a broken EXIF block are shown as stored, as viewers do
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height in px of an open picture as it is shown, after EXIF orientation."""
    width_px, height_px = image.size
    return (height_px, width_px) if exif_orientation(image) >= 5 else (width_px, height_px)


def read_head(path: str | Path, size: int = 4096) -> bytes:
    """First bytes of a file.

    Raises InputError if it is missing, a folder, unreadable or empty.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(size)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", hint="check the path; quote names with spaces") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; expected a file", hint="name a file inside it") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error})", hint="check the file's permissions"
        ) from None
    except ValueError:
        raise InputError(f"{path!r}: is not a path", hint="a path has no null characters") from None
    if not head:
        raise InputError(f"{path}: is empty (0 bytes)", hint="copy or download the file again")
    return head


def picture_format(head: bytes) -> str | None:
    """The picture format that the first bytes of a file belong to, by its Pillow name; None if it is no picture."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or b"avif" in head[16:64]):
        return "AVIF"
    if is_heif(head):
        return "HEIF"
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADER_SIZES:
        return "BMP"
    return "RAW" if _is_raw(head) else None


def is_heif(head: bytes) -> bool:
    """Whether these first bytes of a file are those of an HEIC or HEIF picture (not AVIF)."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avif" not in head[:64]


def describe_content(head: bytes) -> str:
    """What the first bytes of a file look like, in words for an error message."""
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page (a download that failed?)"
    if start.startswith((b"<?xml", b"<svg")):
        return "XML"
    if start.startswith(b"%pdf"):
        return "a PDF"
    if start.startswith((b"pk\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"rar!")):
        return "an archive"
    if head[4:8] == b"ftyp" or head.startswith((b"\x1a\x45\xdf\xa3", b"RIFF")):
        return "a video or sound file"
    try:
        text = head[:512].decode("utf-8", errors="ignore")
    except UnicodeDecodeError:
        return "unknown data"
    if len(text) > 0.9 * min(len(head), 512) and all(c.isprintable() or c.isspace() for c in text):
        return "text"
    return "unknown data"


def _damaged(path: str | Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: the picture is damaged or cut off ({' '.join(str(error).split()) or type(error).__name__})",
        hint="copy or export the file again, or leave it out",
    )


def _is_raw(head: bytes) -> bool:
    """Canon, Fuji and Panasonic raw files by their own signatures; the others are known by suffix or DNG tag."""
    return (
        (head[:4] in (b"II*\0", b"MM\0*") and head[8:10] == b"CR")
        or head.startswith((b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"MMOR"))
        or head[4:12] == b"ftypcrx "
    )


def _register_heif(path: Path) -> None:
    try:
        import pillow_heif  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise InputError(
            f"{path}: is an HEIC picture, which needs the optional package pillow-heif",
            hint="pip install pillow-heif, or convert the picture to JPEG",
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
    samples = pixels if pixels.ndim == 3 else pixels[..., None]
    color: NDArray[np.floating[Any]] = samples[..., :3][..., ::-1].astype(np.float32) / np.float32(65535)
    if samples.shape[2] == 1:
        color = np.repeat(color, 3, axis=2)
    elif samples.shape[2] == 4:
        alpha = samples[..., 3:].astype(np.float32) / 65535
        color = color * alpha + np.asarray(BACKGROUND, np.float32) / 255 * (1 - alpha)
    rgb = _quantize(color)
    profile = _foreign_profile(image, "RGB")
    return rgb if profile is None else np.asarray(_apply_profile(Image.fromarray(rgb), profile))


def _has_16_bits(image: Image.Image, head: bytes) -> bool:
    if image.format == "PNG":
        return len(head) > 24 and head[24] == 16
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    return bool(bits) and set(bits) == {16}


def _to_srgb(image: Image.Image) -> RGB:
    """Any mode that Pillow knows to uint8 (H, W, 3) sRGB."""
    mode = image.mode
    if mode.startswith("I;16") or mode == "I":
        counts = np.asarray(image).astype(np.int64)
        if counts.size and (counts.min() < 0 or counts.max() > 65535):
            raise ValueError("32-bit integer samples beyond 16 bits")
        return _quantize(np.repeat((counts / 65535)[..., None], 3, axis=2))
    if mode == "F":
        gray = np.asarray(image)
        if not np.isfinite(gray).all() or gray.min() < 0 or gray.max() > 1:
            raise ValueError("floating-point samples outside [0, 1]")
        return _quantize(np.repeat(gray[..., None], 3, axis=2))
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
        paper = Image.new("RGB", rgb.size, BACKGROUND)
        paper.paste(rgb, mask=alpha)
        rgb = paper
    return np.array(rgb, dtype=np.uint8)


def _foreign_profile(image: Image.Image, space: str) -> ImageCms.ImageCmsProfile | None:
    """The embedded ICC profile, if it fits the picture's channels and is not sRGB already."""
    data = image.info.get("icc_profile")
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None  # damaged profile: the pixels are taken for sRGB, as viewers do
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


def encode_png(rgb: RGB, level: int = 1) -> bytes:
    """uint8 (H, W, 3) as the bytes of a PNG, exact. `level` is zlib's 0 (none) to 9 (smallest).

    Painted frames hardly compress (1.8 bytes a px at any level), so the default is the fast one: level 1 with the
    average filter takes 39 ms a megapixel on one core; Pillow at level 1 takes 75 ms and at its default 220 ms
    for files only 7 percent smaller.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"expected uint8 (H, W, 3), found {rgb.dtype} {rgb.shape}")
    options = [cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]
    done, data = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]), options)
    if not done:
        raise ValueError(f"PNG encoder refused an array of {rgb.shape}")
    return data.tobytes()


def decode_png(data: bytes) -> RGB:
    """The uint8 (H, W, 3) array that `encode_png` was given.

    Raises ValueError, naming what is wrong, for anything but a whole 8-bit RGB PNG: every chunk's checksum is compared
    first, so that a flipped or missing byte anywhere is found.
    """
    _check_png(data)
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("the PNG's pixel data are damaged")
    return np.ascontiguousarray(pixels[..., ::-1])


def _check_png(data: bytes) -> None:
    """Walk the chunks of a PNG: signature, 8-bit RGB header, checksums, end. libpng lets some damage through."""
    if not data.startswith(_PNG_SIGNATURE):
        raise ValueError("not a PNG (empty file or damaged signature)" if data else "empty file")
    view, place, name = memoryview(data), len(_PNG_SIGNATURE), b""
    while name != b"IEND":
        if place + 12 > len(data):
            raise ValueError(f"the PNG is cut off after {len(data)} bytes")
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 12 + length
        if end > len(data):
            raise ValueError(f"the PNG is cut off after {len(data)} bytes")
        name = bytes(view[place + 4 : place + 8])
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[place + 4 : end - 4]) != checksum:
            raise ValueError(f"wrong checksum in the PNG at byte {place}")
        if place == len(_PNG_SIGNATURE) and (
            name != b"IHDR" or length != 13 or data[place + 16 : place + 18] != b"\x08\x02"
        ):
            raise ValueError("not an 8-bit RGB PNG")
        place = end
    if place != len(data):
        raise ValueError(f"{len(data) - place} bytes behind the end of the PNG")


def save_png(path: str | Path, rgb: RGB, *, level: int = 6) -> None:
    """Write uint8 (H, W, 3) sRGB as a PNG. Not atomic: stored frames go through the store. OSError if it cannot."""
    Path(path).write_bytes(encode_png(rgb, level))


def resize(rgb: RGB, width_px: int, height_px: int) -> RGB:
    """Resize uint8 (H, W, 3) to exactly `height_px` by `width_px`; the very array if it has that size already.

    Averages over areas along an axis that shrinks (no aliasing) and uses Lanczos along one that grows, in gamma-encoded
    sRGB.
    """
    height, width = rgb.shape[:2]
    if width_px < 1 or height_px < 1:
        raise ValueError(f"expected a size of at least 1x1 px, found {width_px}x{height_px}")
    small = (min(width, width_px), min(height, height_px))
    if small != (width, height):
        rgb = np.asarray(cv2.resize(rgb, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if small != (width_px, height_px):
        rgb = np.asarray(cv2.resize(rgb, (width_px, height_px), interpolation=cv2.INTER_LANCZOS4), dtype=np.uint8)
    return rgb


def fit(rgb: RGB, width_px: int, height_px: int, how: Literal["cover", "contain"]) -> RGB:
    """Bring uint8 (H, W, 3) of any shape to exactly `height_px` by `width_px` without distortion.

    `"cover"` fills the frame and crops what stands out, evenly; `"contain"` shows all of it, centered on black.
    """
    height, width = rgb.shape[:2]
    if (width, height) == (width_px, height_px):
        return rgb
    ratios = (width_px / width, height_px / height)
    ratio = max(ratios) if how == "cover" else min(ratios)
    inner_w, inner_h = max(1, round(width * ratio)), max(1, round(height * ratio))
    scaled = resize(rgb, inner_w, inner_h)
    left, top = abs(inner_w - width_px) // 2, abs(inner_h - height_px) // 2
    if how == "cover":
        return np.ascontiguousarray(scaled[top : top + height_px, left : left + width_px])
    framed = np.zeros((height_px, width_px, 3), np.uint8)
    framed[top : top + inner_h, left : left + inner_w] = scaled
    return framed


def fit_size(width_px: int, height_px: int, width: int | None = None, height: int | None = None) -> tuple[int, int]:
    """Size in px for `--width` or `--height`: the aspect is kept, each side is rounded to nearest and at least 2.

    With both, the largest size inside that box; with neither, the size as it is. Raises UsageError for a side below 2.
    """
    for name, value in (("--width", width), ("--height", height)):
        if value is not None and not 2 <= value <= MAX_SIDE_PX:
            raise UsageError(f"{name} {value}: expected 2 to {MAX_SIDE_PX} px", hint=f"for example {name} 640")
    if width is None and height is None:
        return width_px, height_px
    if height is None or (width is not None and width * height_px <= height * width_px):
        assert width is not None
        return width, max(2, round(height_px * width / width_px))
    return max(2, round(width_px * height / height_px)), height


def to_tensor(rgb: RGB) -> torch.Tensor:
    """uint8 (H, W, 3) to float32 (3, H, W) in [0, 1], contiguous, on the CPU."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1))).to(torch.float32).div_(255)


def to_uint8(image: torch.Tensor) -> RGB:
    """Float (3, H, W) in [0, 1], on any device, to uint8 (H, W, 3): clamped and rounded to nearest, never truncated.

    Raises ValueError if a value is not finite. `to_uint8(to_tensor(rgb))` is exactly `rgb`.
    """
    import torch

    values = image.detach().to(device="cpu", dtype=torch.float32)
    if not torch.isfinite(values).all():
        raise ValueError("the picture has values that are not finite")
    rounded = values.mul(255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).numpy())
