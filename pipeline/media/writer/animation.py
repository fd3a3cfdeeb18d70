"""Frames as an animated picture: GIF, WebP, APNG or AVIF."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipeline.media.image.depth import as_8_bit
from pipeline.media.image.record import xmp_packet
from pipeline.media.writer.apng import LARGEST, write_apng
from pipeline.media.writer.gif import LONGEST_DELAY, write_gif
from pipeline.media.writer.partial import write_error
from pipeline.media.writer.target import ANIMATIONS
from pipeline.media.writer.webp import keep_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.config.video import VideoSettings
    from pipeline.media.writer.target import Target
    from pipeline.media.writer.timing import Timing
    from pipeline.types import Pixels

_GIF_CLOCK_S = Fraction(1, 100)
_MILLISECOND = Fraction(1, 1000)
_GIF_SHORTEST = 2  # hundredths: browsers show anything shorter for a tenth of a second
_LONGEST_MS = (1 << 24) - 1  # 24 bits in WebP
_AVIF_SPEED = 6  # of 0 (slow) to 10
_TOLERANCE = 0.15
"""Levels of 255 that a pixel of a GIF may differ, for every step of quality below 100."""


class _Frames:
    """The frames to write, one after the other; what getting them raises is kept in `failure`.

    So it is not reported as an error of writing.
    """

    def __init__(self, frames: Iterator[Pixels]) -> None:
        self.failure: BaseException | None = None
        self._frames = frames

    def __iter__(self) -> Iterator[Pixels]:
        return self

    def __next__(self) -> Pixels:
        try:
            return next(self._frames)
        except StopIteration:
            raise
        except BaseException as error:
            self.failure = error
            raise


class _Animation(Image.Image):
    """A multi-frame image in Pillow's sense (`n_frames`, `seek`, `tell`) that takes its frames from an iterator.

    Pillow's writers go through it once and forward, so only one frame is in memory.
    """

    def __init__(self, frames: Iterator[Pixels], count: int) -> None:
        super().__init__()
        self.n_frames = count
        self.is_animated = count > 1
        self._frames = frames
        self._at = -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Go to a frame: this one or the next."""
        if frame >= self.n_frames:
            raise EOFError("no more frames")
        if frame <= self._at:
            return
        image = Image.fromarray(as_8_bit(next(self._frames)))
        self._mode, self._size = image.mode, image.size
        self.im = image.im
        self._at = frame

    def tell(self) -> int:
        """Index of the current frame."""
        return self._at


def write_animation(
    path: Path,
    partial: Path,
    frames: Iterator[Pixels],
    *,
    target: Target,
    settings: VideoSettings,
    timing: Timing,
    record: str = "",
    progress: Callable[[int], None] | None,
) -> None:
    """Write frames, uint8 or uint16 (H, W, 3) sRGB, as `settings.animation` asks. Raises WriteError.

    Times are exact in APNG, and rounded to 1/100 s (GIF) or 1/1000 s (WebP, AVIF) without adding up. A GIF cannot show
    more than 50 frames per second: frames that would be shorter than 1/50 s are left out. APNG is lossless and has the
    bits of the frames. AVIF is shown for ever, because Pillow's encoder knows nothing else. One frame alone is a still
    in WebP and AVIF, without duration. `record` is what the animation says about its settings; empty: nothing.
    """
    given = settings.animation.quality
    quality = 100 - settings.crf_or(16) if given == "auto" else given
    name = ANIMATIONS[target.suffix]
    clock_s = {"GIF": _GIF_CLOCK_S, "APNG": timing.tick_s}.get(name, _MILLISECOND)
    times = timing.boundaries(clock_s)
    kept = _long_enough(times, _GIF_SHORTEST if name == "GIF" else 1)
    shown = [
        after - times[index] for index, after in zip(kept, [*(times[i] for i in kept[1:]), times[-1]], strict=True)
    ]
    chosen = set(kept)

    def wanted() -> Iterator[Pixels]:
        for index, rgb in zip(range(len(timing.starts)), frames, strict=True):
            if progress is not None:
                progress(index + 1)
            if index in chosen:
                yield rgb

    source = _Frames(wanted())
    try:
        with partial.open("w+b") as file:
            if name == "GIF":
                write_gif(
                    file,
                    map(as_8_bit, source),
                    [min(delay, LONGEST_DELAY) for delay in shown],
                    colors=settings.animation.colors,
                    dither=settings.animation.dither,
                    tolerance=_TOLERANCE * (100 - quality),
                    plays=settings.animation.plays,
                    spool_folder=str(partial.parent),
                    record=record,
                )
            elif name == "APNG":
                write_apng(file, source, _apng_delays(shown, timing), plays=settings.animation.plays, record=record)
            else:
                options: dict[str, Any] = {
                    "WEBP": {"lossless": quality == 100, "method": 4, "loop": settings.animation.plays},
                    "AVIF": {"speed": _AVIF_SPEED},
                }[name]
                if record:
                    options["xmp"] = xmp_packet(record)
                delays = [min(delay, _LONGEST_MS) for delay in shown]
                animation = _Animation(source, len(kept))
                animation.save(file, name, save_all=True, duration=delays, quality=quality, **options)
                if name == "WEBP" and len(kept) > 1:
                    keep_duration(file, animation.size, min(sum(delays), _LONGEST_MS), plays=settings.animation.plays)
    except (OSError, ValueError) as error:
        if source.failure is not None:
            raise source.failure from None
        raise write_error(path, error) from error


def _long_enough(times: list[int], shortest: int) -> list[int]:
    """Indices of the frames to keep, so that each is shown for at least `shortest`."""
    kept = [0]
    for index in range(1, len(times) - 1):
        if times[index] - times[kept[-1]] >= shortest and times[-1] - times[index] >= shortest:
            kept.append(index)
    return kept


def _apng_delays(ticks: list[int], timing: Timing) -> list[Fraction]:
    """Seconds as fractions of two numbers of 16 bits: exact, or where they are too fine of milliseconds."""
    exact = [tick * timing.tick_s for tick in ticks]
    if all(max(delay.as_integer_ratio()) <= LARGEST for delay in exact):
        return exact
    times = timing.boundaries(_MILLISECOND)
    return [Fraction(min(after - before, LARGEST), 1000) for before, after in itertools.pairwise(times)]
