"""sRGB images as frames of an encoder's pixel format: BT.709, limited range, chroma sited left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from pipeline.media.image.dither import thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import Pixels

_RED, _GREEN, _BLUE = 0.2126, 0.7152, 0.0722
_FROM_RGB: Final = np.array(
    [
        [_RED, _GREEN, _BLUE],
        [-_RED / 2 / (1 - _BLUE), -_GREEN / 2 / (1 - _BLUE), 0.5],
        [0.5, -_GREEN / 2 / (1 - _RED), -_BLUE / 2 / (1 - _RED)],
    ]
)
"""R, G, B in [0, 1] to luma in [0, 1] and both chromas in [-1/2, 1/2]: ITU-R BT.709, section 3."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """What is kept of each pixel: the resolution of color (420, 422 or 444), bits of each value, YUV or RGB."""

    chroma: int
    depth: int
    rgb: bool = False

    @property
    def format(self) -> str:
        """FFmpeg's name of the planar format."""
        bits = "" if self.depth == 8 else f"{self.depth}le"
        if self.rgb:
            return f"gbrp{bits}" if bits else "bgr0"
        return f"yuv{self.chroma}p{bits}"

    @property
    def color(self) -> str:
        """The resolution of color as it is usually written, such as 4:2:0; RGB."""
        return "RGB" if self.rgb else ":".join(str(self.chroma))

    def __str__(self) -> str:
        return f"{self.color} with {self.depth} bits"


def to_video_frame(rgb: Pixels, width_px: int, height_px: int, pixels: PixelFormat) -> av.VideoFrame:
    """An sRGB image (H, W, 3), uint8 or uint16, as a frame of `pixels.format`.

    An image smaller than width_px x height_px (which must be even where chroma is halved) is grown by repeating its
    last column and row. Values are rounded once; the luma of a uint16 image is dithered in a fixed pattern where it
    has to become coarser. swscale is not used: it halves chroma as if it were sited between two columns, whereas
    players assume the left one, a shift of half a pixel that shows as colored seams.
    """
    height, width = rgb.shape[:2]
    grown: NDArray[Any] = rgb
    if (height, width) != (height_px, width_px):
        grown = np.pad(rgb, ((0, height_px - height), (0, width_px - width), (0, 0)), mode="edge")
    return _rgb_frame(grown, pixels) if pixels.rgb else _yuv_frame(grown, pixels)


def _rgb_frame(rgb: NDArray[Any], pixels: PixelFormat) -> av.VideoFrame:
    peak, wanted = np.iinfo(rgb.dtype).max, 2**pixels.depth - 1
    values = rgb if peak == wanted else np.rint(rgb * np.float64(wanted / peak))
    if pixels.depth == 8:
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(values, np.uint8), format="rgb24").reformat(
            format=pixels.format
        )
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], pixels.format)
    for plane, channel in enumerate((1, 2, 0)):
        _samples(frame, plane, pixels)[:] = values[..., channel]
    return frame


def _yuv_frame(rgb: NDArray[Any], pixels: PixelFormat) -> av.VideoFrame:
    height, width = rgb.shape[:2]
    step = 2.0 ** (pixels.depth - 8)
    scale = np.array([[219], [224], [224]]) * step / np.iinfo(rgb.dtype).max
    matrix = np.hstack([_FROM_RGB * scale, np.array([[16], [128], [128]]) * step])
    values = rgb.astype(np.float32)
    luma, *chromas = (cv2.transform(values, row[np.newaxis]) for row in matrix.astype(np.float32))
    if rgb.dtype == np.uint16 and pixels.depth < 16:
        tile = thresholds("ordered") - np.float32(0.5)
        luma += np.tile(tile, (-(-height // len(tile)), -(-width // len(tile))))[:height, :width]
    frame = av.VideoFrame(width, height, pixels.format)
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
    frame.color_primaries, frame.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    for plane, image in enumerate((luma, *(_subsampled(chroma, pixels.chroma) for chroma in chromas))):
        np.rint(image, out=_samples(frame, plane, pixels), casting="unsafe")
    return frame


def _subsampled(values: NDArray[Any], chroma: int) -> NDArray[np.float32]:
    """Chroma (h, w), halved as 420 and 422 ask. The triangle is centered on the left one of two columns."""
    if chroma == 444:
        return values
    kernel = np.array([0.25, 0.5, 0.25])
    halved = cv2.sepFilter2D(values, cv2.CV_32F, kernel, np.array([1.0]), borderType=cv2.BORDER_REPLICATE)[:, ::2]
    return np.asarray((halved[::2] + halved[1::2]) / 2 if chroma == 420 else halved, np.float32)


def _samples(frame: av.VideoFrame, index: int, pixels: PixelFormat) -> NDArray[Any]:
    """A writable view (h, w) of one plane without its padding."""
    plane: Any = frame.planes[index]
    dtype = np.dtype(np.uint8 if pixels.depth == 8 else np.uint16)
    return np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)[: plane.height, : plane.width]
