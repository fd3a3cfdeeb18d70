"""Understanding an input and reading its frames: videos, animations, and photos in a folder, glob, pattern or list.

`probe` inspects the whole input once and says which frames will be rendered; `read_frames` delivers them. The kind of a
file is decided by its content, never by its name. What cannot be read ends in an `InputError` that says what was found
and what to do.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import InputError, printable
from pipeline.media.image.arrays import fit_size
from pipeline.media.image.depth import as_8_bit
from pipeline.media.reader import aligned, animation, decode, inputs, photos, video
from pipeline.media.reader.damage import damaged_frame, first_damaged
from pipeline.runtime.hashing import file_digest, joined_digest
from pipeline.types import Frame

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from fractions import Fraction
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.types import FrameSlice, Pixels, Source

__all__ = ["content_digest", "content_digests", "probe", "read_deep", "read_frames", "uncropped"]


def probe(
    given: Sequence[str | Path],
    settings: InputSettings,
    *,
    frames: FrameSlice | None = None,
    fps: Fraction | None = None,
    digest: bool = True,
    thumbnails: Thumbnails | None = None,
) -> Source:
    """Find out what `given` (the INPUT arguments of a command) is, and choose the frames to render.

    `frames` is a half-open slice of the input's own frames; None on either side means up to the end. With a step,
    photos follow each other at their rate, and the frames of a video stay at their times, so that its duration and its
    sound do too. `fps` is applied after it: photos are shown at that rate (by default that of `photo_rate`); of a video
    the latest frame at every tick of that rate is taken, and a frame that would repeat just lasts longer; with
    `settings.rate` "blend" it is averaged with those that are left out after it.

    Videos and animations are decoded once, up to the end of the slice: the packets of a damaged file state time stamps
    of frames that it does not have, and do not show which frames a decoder drops. Small frames of that pass are kept in
    `thumbnails`; of photos only the headers are read. Without `digest` the content is not hashed, and `Source.digest`
    stays empty.

    Raises InputError for whatever cannot be rendered and UsageError for a slice that makes no sense; `fps` is one that
    `parse_fps` gives.
    """
    found = inputs.resolve(given, settings)
    if found.kind == "photos":
        source = photos.probe(found, settings, frames=frames, fps=fps)
    elif found.kind == "animation":
        source = animation.probe(found, frames=frames, fps=fps, thumbnails=thumbnails)
    else:
        source = video.probe(found, settings, frames=frames, fps=fps, thumbnails=thumbnails)
    source = replace(source, notes=tuple(printable(note) for note in source.notes))
    return replace(source, digest=content_digest(source)) if digest else source


def content_digest(source: Source) -> str:
    """The digest that `probe` would give the source's files as they are today, to be compared with `source.digest`.

    Raises InputError if a file cannot be read.
    """
    return joined_digest(content_digests(source))


def content_digests(source: Source) -> list[str]:
    """SHA-256 of every photo that is read in order, or of the file of a video; joined they are the `content_digest`.

    Raises InputError if a file cannot be read.
    """
    files = [source.files[index] for index in source.positions_read] if source.kind == "photos" else source.files
    try:
        return [file_digest(file) for file in files]
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror or error})", hint="check the file and its permissions"
        ) from None


def read_frames(
    source: Source,
    *,
    start: int = 0,
    stop: int | None = None,
    width_px: int | None = None,
    height_px: int | None = None,
    settings: InputSettings,
    thumbnails: Thumbnails | None = None,
) -> Generator[Frame]:
    """Deliver the frames [start, stop) of a source in order; `Frame.index` counts the source's chosen frames.

    `rgb` is uint8 (H, W, 3) sRGB, upright and with square pixels, in the source's size or resized to `width_px` by
    `height_px` (with only one of them the other follows from the aspect), made as `source.alignment` says, and cropped
    to the aspect of the source. Frames of that size that `probe` has kept in `thumbnails` are not decoded again, unless
    they are aligned or cropped. Samples of more than 8 bits are rounded; `read_deep` keeps them. A generator: closing
    it closes the file.

    Raises InputError, naming the frame, if the input has changed since `probe` or turns out to be damaged; ValueError
    for a range outside the source.
    """
    stop = source.frame_count if stop is None else stop
    if not 0 <= start <= stop <= source.frame_count:
        raise ValueError(f"frames {start}:{stop} are not inside 0:{source.frame_count}")
    if width_px is None or height_px is None:
        width_px, height_px = fit_size(source.width_px, source.height_px, width_px, height_px)
    return _numbered(source, start, _deliver(source, start, stop, (width_px, height_px), settings, thumbnails))


def read_deep(
    source: Source,
    start: int,
    stop: int,
    *,
    size_px: tuple[int, int],
    settings: InputSettings,
    thumbnails: Thumbnails | None = None,
) -> Generator[Pixels]:
    """The pixels alone of what `read_frames` delivers, in the size (width, height), with all their bits.

    uint16 (H, W, 3) sRGB where the input has more than 8 bits, else uint8.
    """
    return _deliver(source, start, stop, size_px, settings, thumbnails)


def read_frame(
    source: Source, index: int, *, width_px: int, height_px: int, settings: InputSettings
) -> NDArray[np.uint8]:
    """One frame of a source, uint8 (H, W, 3) sRGB at that size. Raises what `read_frames` raises."""
    frames = read_frames(source, start=index, stop=index + 1, width_px=width_px, height_px=height_px, settings=settings)
    with closing(frames):
        return next(frames).rgb


def _deliver(
    source: Source,
    start: int,
    stop: int,
    size: tuple[int, int],
    settings: InputSettings,
    thumbnails: Thumbnails | None,
) -> Generator[Pixels]:
    if source.uncropped_px is not None:
        yield from _cropped(source, start, stop, size, settings)
        return
    end = first_damaged(source, start, stop)
    images: Generator[Pixels]
    if start < end:
        positions = source.decoded_indices[start:end]
        if source.alignment is not None:
            images = aligned.read(
                source, start, end, size, lambda given, first, last, px: _decode(given, first, last, px, settings)
            )
        elif thumbnails is not None and not source.blended and thumbnails.holds(positions, size):
            images = (thumbnails.frame(position) for position in positions)
        else:
            images = _decode(source, start, end, size, settings)
        with closing(images):
            yield from images
    if end < stop:
        raise damaged_frame(source, end)


def uncropped(source: Source) -> Source:
    """The source with whole frames."""
    width_px, height_px = source.uncropped_px or (source.width_px, source.height_px)
    return replace(source, width_px=width_px, height_px=height_px, uncropped_px=None)


def _cropped(
    source: Source, start: int, stop: int, size: tuple[int, int], settings: InputSettings
) -> Generator[Pixels]:
    """The middle of whole frames, which are delivered so large that it has the size (width, height) in px."""
    whole = uncropped(source)
    width = max(size[0], round(size[0] * whole.width_px / source.width_px))
    height = max(size[1], round(size[1] * whole.height_px / source.height_px))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    with closing(_deliver(whole, start, stop, (width, height), settings, None)) as images:
        for image in images:
            yield np.ascontiguousarray(image[top : top + size[1], left : left + size[0]])


def _numbered(source: Source, start: int, images: Generator[Pixels]) -> Generator[Frame]:
    with closing(images):
        for index, pixels in enumerate(images, start):
            yield Frame(index, source.pts[index], as_8_bit(pixels))


def _decode(source: Source, start: int, stop: int, size: tuple[int, int], settings: InputSettings) -> Generator[Pixels]:
    if source.kind == "photos":
        return photos.read(source, start, stop, size, settings)
    if inputs.is_animation(source.files[0]):
        return animation.read(source, start, stop, size)
    return decode.read(source, start, stop, size, settings)
