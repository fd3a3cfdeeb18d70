"""Frames as animated GIF or WebP, as numbered images, or as one image; all through Pillow."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

from pipeline.media.writer.partial import filling, write_error
from pipeline.media.writer.target import ANIMATIONS, STILLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.config.settings import OutputSettings
    from pipeline.media.writer.target import Target
    from pipeline.media.writer.timing import Timing

_GIF_CLOCK_S = Fraction(1, 100)
_WEBP_CLOCK_S = Fraction(1, 1000)
_GIF_SHORTEST = 2  # hundredths: browsers show anything shorter for a tenth of a second
_MAX_DURATION_MS = 65_535 * 10


class _Animation(Image.Image):
    """A multi-frame image in Pillow's sense (`n_frames`, `seek`, `tell`) that takes its frames from an iterator.

    Pillow's writers go through it once and forward, so only one frame is in memory. What the iterator raises is kept in
    `failure`, so that it is not reported as an error of writing.
    """

    def __init__(self, images: Iterator[Image.Image], count: int, progress: Callable[[int], None] | None) -> None:
        super().__init__()
        self.n_frames = count
        self.is_animated = count > 1
        self.failure: BaseException | None = None
        self._images = images
        self._progress = progress
        self._at = -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Go to a frame: this one or the next."""
        if frame >= self.n_frames:
            raise EOFError("no more frames")
        if frame <= self._at:
            return
        try:
            image = next(self._images)
        except BaseException as error:
            self.failure = error
            raise
        self._mode, self._size, self.palette = image.mode, image.size, image.palette
        self.im = image.im
        self._at = frame
        if self._progress is not None:
            self._progress(frame + 1)

    def tell(self) -> int:
        """Index of the current frame."""
        return self._at


def _gif_image(rgb: NDArray[np.uint8]) -> Image.Image:
    """256 colors chosen for the frame, with error diffusion, without which skies show bands.

    The octree's palette with diffusion is as close to a blurred image as median cut's, in a fiftieth of the time,
    and hardly changes from frame to frame.
    """
    image = Image.fromarray(rgb)
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def write_animation(
    path: Path,
    partial: Path,
    frames: Iterator[NDArray[np.uint8]],
    *,
    target: Target,
    settings: OutputSettings,
    timing: Timing,
    progress: Callable[[int], None] | None,
) -> None:
    """Write an endless animation. Times are rounded to 1/100 s (GIF) or 1/1000 s (WebP) without adding up.

    A GIF cannot show more than 50 frames per second: frames that would be shorter than 1/50 s are left out.
    WebP quality is 100 - output.crf; crf 0 is lossless. Raises WriteError.
    """
    count = len(timing.starts)
    gif = target.suffix == ".gif"
    clock = _GIF_CLOCK_S if gif else _WEBP_CLOCK_S
    times = timing.boundaries(clock)
    kept = _long_enough(times, _GIF_SHORTEST if gif else 1)
    durations = [
        min(round((after - before) * clock * 1000), _MAX_DURATION_MS)
        for before, after in zip((times[i] for i in kept), (*(times[i] for i in kept[1:]), times[-1]), strict=True)
    ]
    chosen = set(kept)

    def images() -> Iterator[Image.Image]:
        for index, rgb in zip(range(count), frames, strict=True):
            if index in chosen:
                yield _gif_image(rgb) if gif else Image.fromarray(rgb)

    options: dict[str, Any] = {"duration": durations if len(kept) > 1 else durations[0], "loop": 0}
    if not gif:
        options |= {"quality": max(100 - settings.crf_or(16), 1), "lossless": settings.crf == 0, "method": 4}
    animation = _Animation(images(), len(kept), progress)
    try:
        animation.save(partial, format=ANIMATIONS[target.suffix], save_all=True, **options)
    except (OSError, ValueError) as error:
        if animation.failure is not None:
            raise animation.failure from None
        raise write_error(path, error) from error


def _long_enough(times: list[int], shortest: int) -> list[int]:
    """Indices of the frames to keep, so that each is shown for at least `shortest`."""
    kept = [0]
    for index in range(1, len(times) - 1):
        if times[index] - times[kept[-1]] >= shortest and times[-1] - times[index] >= shortest:
            kept.append(index)
    return kept


def write_numbered(
    path: Path,
    frames: Iterator[NDArray[np.uint8]],
    *,
    target: Target,
    settings: OutputSettings,
    progress: Callable[[int], None] | None,
) -> None:
    """Write frame i to `path` with its number pattern filled in (from 0), all of them or none. Raises WriteError."""
    with filling(path) as folder:
        for index, rgb in enumerate(frames):
            write_still(path, folder / (path.name % index), rgb, target=target, settings=settings)
            if progress is not None:
                progress(index + 1)


def write_still(path: Path, file: Path, rgb: NDArray[np.uint8], *, target: Target, settings: OutputSettings) -> None:
    """Write one image, uint8 (H, W, 3) sRGB, to `file`; errors speak of `path`.

    PNG is lossless and says that it is sRGB; JPEG has full color resolution and quality 100 - crf / 2 (92 by default).
    """
    options: dict[str, Any] = {"quality": max(100 - settings.crf_or(16) // 2, 1), "subsampling": 0}
    if STILLS[target.suffix] == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add(b"sRGB", b"\x00")  # perceptual intent
        options = {"compress_level": 4, "pnginfo": info}
    try:
        Image.fromarray(rgb).save(file, format=STILLS[target.suffix], **options)
    except OSError as error:
        raise write_error(path, error) from error
