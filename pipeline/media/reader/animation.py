"""Animated GIF, WebP, PNG and AVIF as short videos, by Pillow: PyAV reads only some, and without disposal."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from pipeline.errors import InputError
from pipeline.media.image.arrays import resize
from pipeline.media.image.depth import as_8_bit
from pipeline.media.image.limits import DECODE_ERRORS
from pipeline.media.image.load import count_frames, open_image, render_frame, upright_size
from pipeline.media.reader.timing import check_slice, check_slice_end, choose
from pipeline.types import FrameSlice, Source

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from pipeline.media.reader.inputs import InputFiles
    from pipeline.media.reader.thumbnails import Thumbnails

_TIME_BASE: Final = Fraction(1, 1000)
_DEFAULT_DELAY_MS: Final = 100
"""How long a frame stays whose delay is 0 or 10 ms: old files state such delays to mean "as fast as possible";
browsers show 100 ms."""


def probe(
    found: InputFiles,
    *,
    frames: FrameSlice | None,
    fps: Fraction | None,
    thumbnails: Thumbnails | None = None,
) -> Source:
    """Decode an animation once for the delays of its frames, and keep small ones in `thumbnails`.

    Raises InputError if not even one frame can be decoded; UsageError for a bad slice.
    """
    check_slice(frames)
    file = found.files[0]
    pts: list[int] = []
    notes: list[str] = []
    clock = 0.0
    with open_image(file) as image:
        count = _frame_count(image)
        width_px, height_px = upright_size(image)
        if thumbnails is not None:
            thumbnails.start(width_px, height_px)
        try:
            for position in range(count):
                _seek(image, position)
                _load(image)
                pts.append(round(clock))
                # In some formats the delay is known only once the frame is decoded.
                delay_ms = float(image.info.get("duration") or 0)
                clock += delay_ms if delay_ms > 10 else _DEFAULT_DELAY_MS
                if thumbnails is not None:
                    _keep(thumbnails, position, image, file)
        except DECODE_ERRORS as error:
            if not pts:
                raise InputError(
                    f"{file}: the animation is damaged ({error})", hint="copy or export the file again"
                ) from None
            notes.append(f"The file breaks off: {len(pts)} of {count} frames can be read, up to {clock / 1000:.3f} s.")
    wanted = check_slice_end(frames, len(pts))
    ends = [*pts[1:], max(round(clock), pts[-1] + 1)]
    timeline = choose([pts[index] for index in wanted], wanted, ends[wanted.stop - 1], _TIME_BASE, fps)
    return Source(
        path=found.path,
        kind="video",
        files=(file,),
        width_px=width_px,
        height_px=height_px,
        frame_rate=fps or Fraction(len(pts) * 1000, (ends[-1] - pts[0]) * wanted.step).limit_denominator(1001),
        time_base=timeline.time_base,
        pts=timeline.pts,
        duration_ticks=timeline.duration_ticks,
        decoded_indices=timeline.numbers,
        notes=(*found.notes, *notes),
    )


def read(source: Source, start: int, stop: int, size: tuple[int, int]) -> Generator[NDArray[np.uint8]]:
    """Decode frames [start, stop) in the size (width, height) in px; transparent parts are laid over white.

    Raises InputError, naming the frame, if the file is damaged there.
    """
    file = source.files[0]
    with open_image(file) as image:
        for index in range(start, stop):
            try:
                _seek(image, source.decoded_indices[index])
                _load(image)
                rgb = render_frame(image, file)
            except InputError as error:
                raise InputError(f"frame {index}: {error.message}", hint=error.hint) from None
            except DECODE_ERRORS as error:
                raise InputError(
                    f"{file}: the animation is damaged at frame {index} ({error})", hint="copy or export it again"
                ) from None
            yield resize(as_8_bit(rgb), *size)


def _keep(thumbnails: Thumbnails, position: int, image: Image.Image, file: str) -> None:
    try:
        rgb = render_frame(image, file)
    except InputError:
        thumbnails.discard()  # reading the frame raises the error, with its number
    else:
        thumbnails.add(position, resize(as_8_bit(rgb), *thumbnails.size))


def _frame_count(image: Image.Image) -> int:
    return count_frames(image) - _hidden(image)


def _seek(image: Image.Image, position: int) -> None:
    image.seek(position + _hidden(image))


def _load(image: Image.Image) -> None:
    """Decode the current frame.

    Pillow 13 draws a frame of an animated PNG into the very picture that its disposal goes back to: a copy is kept.
    """
    before = getattr(image, "_prev_im", None)
    kept = None if before is None else before.copy()
    image.load()
    if kept is not None:
        image._prev_im = kept  # type: ignore[attr-defined]


def _hidden(image: Image.Image) -> int:
    """1 if the file starts with a still for programs that know no animated PNG, else 0."""
    return int(bool(image.info.get("default_image") or getattr(image, "default_image", False)))
