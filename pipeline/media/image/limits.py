"""How large an image may be, what is behind transparent ones, and the errors that every reader of images raises."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

from PIL import Image

from pipeline.errors import DamagedInputError, InputError

MAX_SIDE_PX: Final = 20_000
MAX_PX: Final = 200_000_000
BACKGROUND: Final = (255, 255, 255)
"""What transparent parts of an image are laid over: white, as on paper and as most viewers show them."""

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
"""What Pillow's plugins raise on damaged data: beside OSError, whatever their parsers in Python raise."""


def check_size(path: str | Path, width_px: int, height_px: int, max_px: int = MAX_PX) -> None:
    """Raise DamagedInputError if an image, by its header, has a larger side or more pixels than can be read."""
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > max_px:
        raise DamagedInputError(
            f"{path}: {width_px}x{height_px} px is too large; expected at most {MAX_SIDE_PX} px a side "
            f"and {max_px / 1e6:.0f} megapixels",
            hint="scale the image down first",
        )


def damaged(path: str | Path, error: Exception) -> DamagedInputError:
    """The error for a file whose decoder failed with `error`."""
    text = error.args[0].decode("utf-8", "replace") if error.args and isinstance(error.args[0], bytes) else str(error)
    return DamagedInputError(
        f"{path}: the image is damaged or cut off ({' '.join(text.split()) or type(error).__name__})",
        hint="copy or export the file again, or leave it out",
    )


def no_memory(path: str | Path, width_px: int, height_px: int) -> InputError:
    """The error for an image that does not fit into memory."""
    return InputError(
        f"{path}: not enough memory to decode {width_px}x{height_px} px", hint="scale it down first, or free memory"
    )
