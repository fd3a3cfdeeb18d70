"""Still pictures: reading any of them as upright sRGB, exact PNG for stored frames, resizing, and the way to tensors.

Every array here is uint8 (H, W, 3) sRGB unless it says otherwise; tensors are float32 (3, H, W) sRGB in [0, 1].
"""

from pipeline.image.arrays import fit, fit_size, resize, to_tensor, to_uint8
from pipeline.image.load import (
    BACKGROUND,
    DECODE_ERRORS,
    MAX_PX,
    MAX_SIDE_PX,
    count_frames,
    exif_orientation,
    load_rgb,
    open_image,
    render_frame,
    upright_size,
)
from pipeline.image.png import check_png, decode_png, encode_png, save_png
from pipeline.image.sniff import RAW_SUFFIXES, describe_content, picture_format, read_head

__all__ = [
    "BACKGROUND",
    "DECODE_ERRORS",
    "MAX_PX",
    "MAX_SIDE_PX",
    "RAW_SUFFIXES",
    "check_png",
    "count_frames",
    "decode_png",
    "describe_content",
    "encode_png",
    "exif_orientation",
    "fit",
    "fit_size",
    "load_rgb",
    "open_image",
    "picture_format",
    "read_head",
    "render_frame",
    "resize",
    "save_png",
    "to_tensor",
    "to_uint8",
    "upright_size",
]
