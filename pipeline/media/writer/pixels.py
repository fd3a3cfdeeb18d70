"""sRGB images as frames of an encoder's pixel format: BT.709, limited range, chroma sited left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND  # without the latter swscale truncates
# Pixel format -> (the same without chroma subsampling, type of its samples, whether chroma is halved vertically too).
_SUBSAMPLED: dict[str, tuple[str, type[np.uint8 | np.uint16], bool]] = {
    "yuv420p": ("yuv444p", np.uint8, True),
    "yuv422p10le": ("yuv444p10le", np.uint16, False),
}


def to_video_frame(
    rgb: NDArray[np.uint8], width_px: int, height_px: int, pixel_format: str, reformatter: VideoReformatter
) -> av.VideoFrame:
    """An sRGB image (H, W, 3) as a frame of `pixel_format`: yuv420p, yuv422p10le or an RGB format.

    An image smaller than width_px x height_px (which must be even for the YUV formats) is grown by repeating its last
    column and row. swscale converts the colors, but it halves chroma as if it were sited between two columns, whereas
    players assume the left one: a shift of half a pixel that shows as colored seams. So chroma is halved here.
    """
    height, width = rgb.shape[:2]
    if (height, width) != (height_px, width_px):
        rgb = np.pad(rgb, ((0, height_px - height), (0, width_px - width), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    if pixel_format not in _SUBSAMPLED:
        return reformatter.reformat(frame, format=pixel_format)
    full_format, dtype, halve_rows = _SUBSAMPLED[pixel_format]
    full = reformatter.reformat(
        frame,
        format=full_format,
        # All of them are stated because swscale falls back to BT.601 for whatever is left out.
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_color_primaries=ColorPrimaries.BT709,
        dst_color_trc=ColorTrc.BT709,
        interpolation=_EXACT,
    )
    result = av.VideoFrame(width_px, height_px, pixel_format)
    result.colorspace, result.color_range = full.colorspace, full.color_range
    result.color_primaries, result.color_trc = full.color_primaries, full.color_trc
    _samples(result, 0, dtype)[:] = _samples(full, 0, dtype)
    for plane in (1, 2):
        chroma = _samples(full, plane, dtype)
        # Rounded once, after both directions. The triangle is centered on the left one of two columns.
        halved = cv2.sepFilter2D(
            chroma, cv2.CV_32F, np.array([0.25, 0.5, 0.25]), np.array([1.0]), borderType=cv2.BORDER_REPLICATE
        )[:, ::2]
        if halve_rows:
            halved = (halved[::2] + halved[1::2]) / 2
        _samples(result, plane, dtype)[:] = np.rint(halved)
    return result


def _samples(frame: av.VideoFrame, index: int, dtype: type[np.uint8 | np.uint16]) -> NDArray[Any]:
    """A writable view (h, w) of one plane without its padding."""
    plane: Any = frame.planes[index]
    return np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)[
        : plane.height, : plane.width
    ]
