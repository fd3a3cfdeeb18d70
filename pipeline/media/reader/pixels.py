"""From a decoded video frame to upright (H, W, 3) sRGB: matrix and range, HDR, display matrix, transparency."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from av.video.reformatter import Interpolation

from pipeline.media.image.arrays import resize
from pipeline.media.image.depth import as_float, rounded
from pipeline.media.image.limits import BACKGROUND
from pipeline.media.image.transfer import linear_from_pixels, srgb_from_linear
from pipeline.media.reader.hdr import sdr_mapping
from pipeline.types import ColorTags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av import VideoFrame
    from numpy.typing import NDArray

    from pipeline.config.settings import InputSettings
    from pipeline.types import Pixels

# Plain swscale cuts corners where chroma is subsampled: measured 1.5/255 too dark in the mean. With these it is within
# 0.5/255 of the formula everywhere (1.2 for full range with 10 bits), at 12 ms a megapixel.
_EXACT: Final = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_EXACT_AREAS: Final = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
# Packed 16 bits of 4:2:0 lose green with the flags above (FFmpeg 8), planar ones of RGB scale 10 bits wrongly.
_FORMATS: Final = {
    (False, False, True): "rgb24",
    (False, True, True): "rgba",
    (False, False, False): "rgb24",
    (False, True, False): "rgba",
    (True, False, True): "rgb48le",
    (True, True, True): "rgba64le",
    (True, False, False): "gbrp16le",
    (True, True, False): "gbrap16le",
}
"""By whether 16 bits are needed, whether there is an alpha channel, and whether the frame is RGB."""
_UNSPECIFIED: Final = 2
_FULL_RANGE: Final = 2
_LIMITED_WHITE: Final = 255 << 8
_BT709: Final = 1
_DEFINED_MATRICES: Final = frozenset((0, 1, 2, *range(4, 18)))
"""Code points of ITU-T H.273; 3 and all above 17 are reserved."""
_RANGES: Final = {1: False, 2: True}
# Code points of ITU-T H.273 by the names that FFmpeg gives them.
_PRIMARIES: Final = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020",
    11: "smpte431",
    12: "smpte432",
}
_TRANSFERS: Final = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    18: "arib-std-b67",
}
_MATRICES: Final = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020c",
}


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored pixels become upright: first swap rows and columns, then flip left-right, then flip top-bottom."""

    swap: bool = False
    left_right: bool = False
    top_bottom: bool = False

    @property
    def rotation_deg(self) -> int:
        """Counter-clockwise rotation in degrees; of a mirrored frame the rotation that goes with the mirroring."""
        if self.swap:
            return 270 if self.left_right else 90
        return 180 if self.left_right and self.top_bottom else 0


def frame_orientation(frame: VideoFrame) -> Orientation:
    """The orientation that a frame's display matrix asks for, to the nearest quarter turn, flips included.

    The matrix maps a stored point (x, y) to (a x + c y, b x + d y).
    """
    try:
        side_data: Any = frame.side_data  # PyAV's stubs name only some of its keys
        matrix = side_data["DISPLAYMATRIX"]
    except KeyError:
        return Orientation()
    except ValueError:  # PyAV fails at kinds of side data that it does not know, such as EXIF; `rotation` needs none
        turns = round(frame.rotation / 90) % 4
        return Orientation(swap=turns in (1, 3), left_right=turns in (2, 3), top_bottom=turns in (1, 2))
    a, b, _, c, d = (int(value) for value in np.frombuffer(memoryview(matrix), dtype=np.int32)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(swap=True, left_right=c < 0, top_bottom=b < 0)
    return Orientation(left_right=a < 0, top_bottom=d < 0)


class _OrientationCache:
    """The orientations of the frames of one stream, asked one after the other.

    PyAV's side data and their frame refer to each other: once they are read, only the garbage collector frees the
    frame, and it does not know how large the frame is. So they are read for the first frame, and again only where
    `VideoFrame.rotation` changes.
    """

    def __init__(self) -> None:
        self._rotation: int | None = None
        self._orientation = Orientation()

    def __call__(self, frame: VideoFrame) -> Orientation:
        """See `frame_orientation`."""
        if frame.rotation != self._rotation:
            self._rotation, self._orientation = frame.rotation, frame_orientation(frame)
        return self._orientation


@dataclass(frozen=True, slots=True)
class Conversion:
    """What the way to sRGB depends on beside the frame itself.

    `background` is the sRGB color behind transparent parts, `peak_nits` the peak of an HDR clip (0: not stated). With
    `deep` frames of more than 8 bits become uint16, 0 to 65535, instead of uint8.
    """

    background: tuple[int, int, int] = BACKGROUND
    peak_nits: int = 0
    deep: bool = True


def conversion(settings: InputSettings, peak_nits: int) -> Conversion:
    """The conversion that the settings ask for."""
    red, green, blue = bytes.fromhex(settings.background[1:])
    return Conversion((red, green, blue), peak_nits)


class FrameConverter:
    """Conversion of the frames of one stream, given in order, to upright (H, W, 3) sRGB in one size."""

    def __init__(self, size: tuple[int, int], how: Conversion) -> None:
        self._size = size
        self._how = how
        self._orientation_of = _OrientationCache()

    def __call__(self, frame: VideoFrame) -> Pixels:
        """The frame in the converter's size (width, height) in px. Raises as `to_rgb` does."""
        return resize(to_rgb(frame, self._size, self._orientation_of(frame), self._how), *self._size)


def display_size(size: tuple[int, int], sample_aspect: Fraction | None, orientation: Orientation) -> tuple[int, int]:
    """Width and height in px of a stored (width, height), upright and with square pixels.

    The side that is sampled more coarsely grows, so that no detail is lost.
    """
    width_px, height_px = size
    if sample_aspect and Fraction(1, 8) <= sample_aspect <= 8:  # beyond that it is a damaged header
        if sample_aspect > 1:
            width_px = round(width_px * sample_aspect)
        else:
            height_px = round(height_px / sample_aspect)
    return (height_px, width_px) if orientation.swap else (width_px, height_px)


def color_tags(frame: VideoFrame) -> ColorTags:
    """What the frame states about its colors."""
    return ColorTags(
        primaries=_PRIMARIES.get(int(frame.color_primaries)),
        transfer=_TRANSFERS.get(int(frame.color_trc)),
        matrix=_MATRICES.get(int(frame.colorspace)),
        full_range=_RANGES.get(int(frame.color_range)),
    )


def peak_nits(frame: VideoFrame) -> int:
    """The peak that a frame states for its clip in cd/m2, 0 if none: MaxCLL, else that of the mastering display."""
    try:
        side_data: Any = frame.side_data  # PyAV's stubs name only some of its keys
    except ValueError:  # see `frame_orientation`
        return 0
    if "CONTENT_LIGHT_LEVEL" in side_data:
        (brightest,) = np.frombuffer(memoryview(side_data["CONTENT_LIGHT_LEVEL"]), np.uint32, 1)
        if brightest:
            return int(brightest)
    if "MASTERING_DISPLAY_METADATA" in side_data:
        # Eight fractions of primaries and white, then those of the least and of the largest luminance.
        above, below = np.frombuffer(memoryview(side_data["MASTERING_DISPLAY_METADATA"]), np.int32, 2, 8 * 9)
        return max(0, int(above / below)) if below else 0
    return 0


def is_transparent(frame: VideoFrame) -> bool:
    """Whether the frame's format has a channel for transparency."""
    return any(component.is_alpha for component in frame.format.components)


def to_rgb(frame: VideoFrame, wanted_px: tuple[int, int], orientation: Orientation, how: Conversion) -> Pixels:
    """A decoded frame as (H, W, 3) sRGB, made upright by `orientation`, to be resized to `wanted_px`.

    It is uint8, or uint16 if `how.deep` and the frame has more than 8 bits. `wanted_px` is (width, height). The result
    has the stored size, with pixels not yet square.

    Where `wanted_px` is less than a quarter of the stored size on both sides, the result is averaged over areas to
    twice `wanted_px` instead: finding cuts in HD is then four times as fast, and the mean differs by at most 0.2/255.

    Matrix and range are those of the frame; where no matrix or an undefined one is stated, BT.709 for HD and BT.601
    below, as players do. Values are taken for sRGB as they are: the difference between the curves of BT.709 and sRGB is
    ignored, as in players and editors; but HDR is tone-mapped, and primaries of BT.2020 and Display P3 are converted
    (`hdr.sdr_mapping`). Transparent parts are laid over the background.

    Raises av.FFmpegError for a matrix that FFmpeg cannot convert, such as YCgCo or ICtCp.
    """
    if not frame.format.is_rgb:
        _repair_tags(frame)
    mapping = sdr_mapping(color_tags(frame), how.peak_nits)
    deep = how.deep and max((component.bits for component in frame.format.components), default=8) > 8
    transparent = is_transparent(frame)
    width, height = wanted_px[::-1] if orientation.swap else wanted_px
    reduced = (2 * width, 2 * height) if 4 * width < frame.width and 4 * height < frame.height else None
    pixels: NDArray[Any] = frame.reformat(
        width=reduced[0] if reduced else None,
        height=reduced[1] if reduced else None,
        format=_FORMATS[deep or mapping is not None, transparent, frame.format.is_rgb],
        interpolation=_EXACT_AREAS if reduced else _EXACT,
    ).to_ndarray()
    if pixels.dtype == np.uint16 and not frame.format.is_rgb:
        pixels = _to_whole_range(pixels, frame)
    if mapping is not None or transparent:
        limit = np.float32(np.iinfo(pixels.dtype).max)
        samples = pixels[..., :3].astype(np.float32) if mapping is None else mapping(pixels[..., :3]) * limit
        if transparent:
            alpha = as_float(pixels[..., 3:])
            samples = samples * alpha + np.asarray(how.background, np.float32) * (limit / 255) * (1 - alpha)
        pixels = np.rint(samples if deep else samples * (255 / limit)).astype(np.uint16 if deep else np.uint8)
    if orientation.swap:
        pixels = pixels.transpose(1, 0, 2)
    if orientation.left_right:
        pixels = pixels[:, ::-1]
    if orientation.top_bottom:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _to_whole_range(pixels: NDArray[np.uint16], frame: VideoFrame) -> NDArray[np.uint16]:
    """16 bits as FFmpeg converts YUV, (H, W, 3 or 4), such that white is 65535.

    FFmpeg shifts samples to 16 bits and takes 219 of 256 for 255 of 256 in limited range: white is then 65280, or the
    largest sample shifted; alpha has the whole range.
    """
    bits = max(component.bits for component in frame.format.components)
    largest = ((1 << bits) - 1) << (16 - bits)
    whites = np.full(pixels.shape[2], largest if frame.color_range == _FULL_RANGE else _LIMITED_WHITE, np.float32)
    whites[3:] = largest
    return np.rint(np.minimum(pixels * (np.float32(65535) / whites), 65535)).astype(np.uint16)


def blend(images: Iterator[Pixels]) -> Pixels:
    """The mean of one or more images of one size in linear light, as a longer exposure."""
    first = next(images)
    light, count = linear_from_pixels(first), 1
    for count, image in enumerate(images, 2):  # noqa: B007 - the number of images
        light += linear_from_pixels(image)
    return rounded(srgb_from_linear(light / np.float32(count)) * np.float32(np.iinfo(first.dtype).max), first.dtype)


def _repair_tags(frame: VideoFrame) -> None:
    """Replace tags that FFmpeg refuses because no standard defines them, and an unstated matrix in HD."""
    if int(frame.colorspace) not in _DEFINED_MATRICES:
        frame.colorspace = _UNSPECIFIED
    if int(frame.colorspace) == _UNSPECIFIED and _is_hd(frame):
        frame.colorspace = _BT709
    if int(frame.color_range) not in (0, *_RANGES):
        frame.color_range = 0


def _is_hd(frame: VideoFrame) -> bool:
    return max(frame.width, frame.height) >= 1280 or min(frame.width, frame.height) > 576
