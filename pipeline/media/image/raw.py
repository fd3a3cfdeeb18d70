"""Developing raw files of cameras with LibRaw (the optional package `rawpy`): upright uint16 (H, W, 3) sRGB.

What a developer usually decides from each photo, its white balance, black level, white level and brightness, is decided
here once, so that a sequence does not flicker; see `Development`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from pipeline.errors import DamagedInputError, MissingPartError
from pipeline.media.image.limits import DECODE_ERRORS, MAX_PX, check_size, damaged, no_memory
from pipeline.media.image.sniff import photo_format, read_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.raw import RawSettings

_SRGB_GAMMA: Final = (2.4, 12.92)
"""LibRaw's name for the transfer function of sRGB: its power, and its slope at black."""
_HIGHLIGHTS: Final = {"clip": 0, "blend": 2, "reconstruct": 5}
_EXIF_IFD: Final = 0x8769
_ORIGINAL_TIME: Final = 0x9003
_TIME_FORMAT: Final = "%Y:%m:%d %H:%M:%S"
_EPOCH_YEARS: Final = 1980
"""LibRaw gives a photo without a time one near 1970."""


@dataclass(frozen=True, slots=True)
class Development:
    """How photos are developed. `white_balance` are multipliers of the sensor's channels R, G, B, G; None: as shot.

    `black` are the levels of black of these channels and `white` is that of saturation, in units of the sensor.
    """

    white_balance: tuple[float, float, float, float] | None
    black: tuple[int, int, int, int]
    white: int
    exposure_ev: float
    highlights: str


def is_raw_file(path: str | Path) -> bool:
    """Whether a file is a raw file. Raises InputError for a file that cannot be read."""
    return photo_format(path, read_head(path)) == "RAW"


def raw_size(path: str | Path) -> tuple[int, int]:
    """Width and height in px of a raw file as developed and upright, from its header.

    Raises MissingPartError without rawpy; DamagedInputError for a file that LibRaw cannot read or that is too large.
    """
    with _opened(path) as raw:
        return _upright_size(raw, path, MAX_PX)


def raw_exif(path: str | Path) -> Image.Exif:
    """The EXIF of a raw file: from its TIFF header, its embedded JPEG, or what LibRaw finds; empty if there is none."""
    try:
        with Path(path).open("rb") as file:
            exif = Image.Exif()
            exif.load_from_fp(file)
            if exif.get_ifd(_EXIF_IFD):
                return exif
    except DECODE_ERRORS:
        pass  # not a TIFF header, as in RAF, CR3 and ORF
    rawpy = _rawpy(path)
    with _opened(path) as raw:
        with suppress(rawpy.LibRawError, *DECODE_ERRORS), Image.open(io.BytesIO(raw.extract_thumb().data)) as thumbnail:
            exif = thumbnail.getexif()
            if exif.get_ifd(_EXIF_IFD):
                return exif
        exif = Image.Exif()
        taken: datetime = raw.other.timestamp
        if taken.year >= _EPOCH_YEARS:
            exif.get_ifd(_EXIF_IFD)[_ORIGINAL_TIME] = taken.strftime(_TIME_FORMAT)
        return exif


def development(files: Sequence[str | Path], settings: RawSettings) -> Development:
    """The one development of all photos of a source: by the first of `files` that is a raw file and can be read.

    `files` are all of the source, so that it does not depend on which of them are rendered. White balance falls back to
    daylight where the camera has not recorded one. Raises what `raw_size` raises.
    """
    for file in files:
        try:
            if not is_raw_file(file):
                continue
            state = Path(file).stat()
            levels = _levels(str(file), state.st_mtime_ns, state.st_size)
        except (DamagedInputError, OSError):
            continue
        balance = settings.white_balance
        if balance == "camera":
            chosen = None
        else:
            chosen = levels.daylight if balance == "daylight" else levels.as_shot if balance == "first" else balance
        return Development(chosen, levels.black, levels.white, settings.exposure_ev, settings.highlights)
    raise DamagedInputError(f"{files[0]}: no raw file can be read", hint="copy the files from the camera again")


def develop(
    path: str | Path, how: Development, *, size: tuple[int, int] | None = None, max_px: int = MAX_PX
) -> NDArray[np.uint16]:
    """A raw file as upright uint16 (H, W, 3) sRGB of `raw_size`, or half of it where twice `size` is not larger.

    At half size each 2x2 pixels of the sensor make one pixel, and none is interpolated, which is several times as fast.
    Raises what `raw_size` raises.
    """
    with _opened(path) as raw:
        width, height = _upright_size(raw, path, max_px)
        half = size is not None and 2 * size[0] <= width and 2 * size[1] <= height
        flip, window, rows = raw.sizes.flip, _window(raw.sizes), raw.sizes.height
        raw.unpack()
        balance = how.white_balance or _multipliers(raw.camera_whitebalance) or _daylight(raw)
        pixels = raw.postprocess(
            half_size=half,
            user_wb=list(balance),
            user_black=min(how.black),
            user_cblack=[level - min(how.black) for level in how.black],
            user_sat=how.white - min(how.black),  # of what remains above black
            adjust_maximum_thr=0,  # else the level of white follows the brightest pixel of each photo
            no_auto_bright=True,
            bright=2.0**how.exposure_ev,
            highlight_mode=_HIGHLIGHTS[how.highlights],
            gamma=_SRGB_GAMMA,
            output_bps=16,
            user_flip=0,
        )
    scale = 2 if len(pixels) < rows else 1  # files without a mosaic have no half size
    left, top, width, height = (side // scale for side in window)
    upright = _upright(pixels[top : top + height, left : left + width], flip)
    if upright.shape[2] == 1:
        upright = np.repeat(upright, 3, axis=2)
    return np.ascontiguousarray(upright, np.uint16)


@dataclass(frozen=True, slots=True)
class _Levels:
    as_shot: tuple[float, float, float, float]
    daylight: tuple[float, float, float, float]
    black: tuple[int, int, int, int]
    white: int


@lru_cache(maxsize=64)
def _levels(path: str, modified_ns: int, size: int) -> _Levels:  # noqa: ARG001 - a file that changed is read again
    with _opened(path) as raw:
        check_size(path, raw.sizes.width, raw.sizes.height)
        raw.unpack()
        red, green, blue, green2 = raw.black_level_per_channel
        daylight = _daylight(raw)
        as_shot = _multipliers(raw.camera_whitebalance) or daylight
        return _Levels(as_shot, daylight, (red, green, blue, green2), int(raw.white_level))


def _multipliers(values: Sequence[float]) -> tuple[float, float, float, float] | None:
    """R, G, B, G of LibRaw's multipliers, in which a second green of 0 is the first; None if they are not recorded."""
    red, green, blue, green2 = (float(value) for value in values)
    found = (red, green, blue, green2 or green)
    return found if all(np.isfinite(found)) and min(found) > 0 else None


def _daylight(raw: Any) -> tuple[float, float, float, float]:
    return _multipliers(raw.daylight_whitebalance) or (1.0, 1.0, 1.0, 1.0)


def _upright_size(raw: Any, path: str | Path, max_px: int) -> tuple[int, int]:
    sizes = raw.sizes
    check_size(path, max(sizes.raw_width, sizes.width), max(sizes.raw_height, sizes.height), max_px)
    _, _, width, height = _window(sizes)
    return (height, width) if sizes.flip & 4 else (width, height)


def _upright(pixels: NDArray[np.uint16], flip: int) -> NDArray[np.uint16]:
    """Pixels after LibRaw's `flip`: 1 mirrors, 2 turns upside down, and 4 then exchanges rows and columns."""
    pixels = pixels[:: -1 if flip & 2 else 1, :: -1 if flip & 1 else 1]
    return pixels.swapaxes(0, 1) if flip & 4 else pixels


def _window(sizes: Any) -> tuple[int, int, int, int]:
    """Left, top, width and height of the picture inside what LibRaw develops: the crop that the camera recorded.

    A crop that is not inside, or is less than half as wide or high, is not one of the margin and is left out.
    """
    left, top = sizes.crop_left_margin - sizes.left_margin, sizes.crop_top_margin - sizes.top_margin
    width, height = sizes.crop_width, sizes.crop_height
    inside = 0 <= left <= sizes.width - width and 0 <= top <= sizes.height - height
    if inside and 2 * width >= sizes.width and 2 * height >= sizes.height and sizes.pixel_aspect == 1:
        return left, top, width, height
    # Sensors with pixels that are not square: LibRaw stretches the shorter side.
    aspect = sizes.pixel_aspect
    if 0 < aspect < 1:
        return 0, 0, sizes.width, int(sizes.height / aspect + 0.5)
    return 0, 0, int(sizes.width * aspect + 0.5) if aspect > 1 else sizes.width, sizes.height


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """LibRaw with the header of a file read; its errors become ours."""
    rawpy = _rawpy(path)
    raw = rawpy.RawPy()
    width = height = 0
    try:
        try:
            raw.open_file(str(path))
        except UnicodeEncodeError:  # a name of other bytes than UTF-8
            with Path(path).open("rb") as file:
                raw.open_buffer(file)
        width, height = raw.sizes.width, raw.sizes.height
        yield raw
    except (rawpy.LibRawUnsufficientMemoryError, rawpy.LibRawTooBigError, MemoryError):
        raise no_memory(path, width, height) from None
    except rawpy.LibRawFileUnsupportedError:
        raise DamagedInputError(
            f"{path}: is not a raw file that LibRaw {'.'.join(map(str, rawpy.libraw_version))} can read",
            hint="copy it from the camera again; for a newer camera update rawpy, or convert the files to DNG",
        ) from None
    except (rawpy.LibRawError, OSError) as error:
        raise damaged(path, error) from None
    finally:
        raw.close()


def _rawpy(path: str | Path) -> Any:
    try:
        import rawpy
    except ImportError:
        raise MissingPartError(
            f"{path}: is a raw camera file, which needs the optional package rawpy",
            hint="pip install 'tempera[raw]'; or name the JPEGs beside the raw files, or develop them first",
        ) from None
    return rawpy
