"""Audio at another speed and the same pitch, along a time map.

Waveform similarity overlap-add (Verhelst and Roelands 1993): windows of the input are laid over one another at equal
distances, each taken from near the moment that the map asks for, where its waveform continues the previous window.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.media.writer.time_map import TimeMap

HOP_S: Final = 0.02
"""Distance of two windows, half the length of one."""
SEARCH_S: Final = 0.01
"""How far from its moment a window may be taken."""
SLOWEST, FASTEST = 1 / 8, 8.0
"""Speeds of the input beyond which nothing can be recognized: silence."""


def stretched(
    blocks: Iterator[NDArray[np.float32]], time_map: TimeMap, *, rate: int, length: int, channels: int
) -> Iterator[NDArray[np.float32]]:
    """Audio of the output, float32 (channels, n) blocks, `length` samples in all.

    Windows lie within 10 ms of the map; a single click may be heard up to 30 ms off, as the window around it is longer.
    `blocks` is that of the input without gaps, float32 (channels, n), from the moment `time_map.input_at(0)` on; where
    it ends there is silence. Where the speed is 1 the samples are those of the input.
    """
    hop, search = round(HOP_S * rate), round(SEARCH_S * rate)
    window = (0.5 - 0.5 * np.cos(np.pi * np.arange(2 * hop) / hop)).astype(np.float32)
    source = _Samples(blocks, channels)
    origin = time_map.input_at(0)
    taken = 0
    tail = np.zeros((channels, hop), np.float32)
    for count in range(math.ceil(length / hop) + 1):
        time_s = count * hop / rate
        wanted = round((time_map.input_at(time_s) - origin) * rate)
        following = taken + hop
        if count and abs(following - wanted) > search:
            around = source.read(wanted - search - hop, wanted + search + hop)
            taken = wanted - search + _best_match(around, source.read(following - hop, following + hop))
        else:
            taken = following if count else wanted
        heard = SLOWEST <= time_map.speed_at(time_s) <= FASTEST
        piece = source.read(taken - hop, taken + hop) * (window if heard else np.float32(0))
        if count:
            start = (count - 1) * hop
            yield (tail + piece[:, :hop])[:, : length - start]
        tail = piece[:, hop:]
        source.forget(min(taken, wanted) - 2 * hop - search)


def _best_match(around: NDArray[np.float32], pattern: NDArray[np.float32]) -> int:
    """Where in `around` (C, n) the `pattern` (C, m) fits best, by normalized correlation of the mean channel."""
    scores = cv2.matchTemplate(around.mean(axis=0)[None], pattern.mean(axis=0)[None], cv2.TM_CCORR_NORMED)[0]
    if float(pattern.min()) == float(pattern.max()) or not np.isfinite(scores).all():
        return len(scores) // 2
    return int(scores.argmax())


class _Samples:
    """Samples by position, from blocks that come one after the other; silence before the first and behind the last."""

    def __init__(self, blocks: Iterator[NDArray[np.float32]], channels: int) -> None:
        self._blocks = blocks
        self._kept = np.zeros((channels, 0), np.float32)
        self._start = 0

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Samples [start, stop), (channels, stop - start); nothing before what `forget` has dropped."""
        while self._start + self._kept.shape[1] < stop:
            block = next(self._blocks, None)
            if block is None:
                break
            self._kept = np.concatenate([self._kept, block], axis=1)
        end = self._start + self._kept.shape[1]
        inside = self._kept[:, max(start - self._start, 0) : max(min(stop, end) - self._start, 0)]
        before = min(max(self._start - start, 0), stop - start)
        return np.pad(inside, ((0, 0), (before, stop - start - before - inside.shape[1])))

    def forget(self, start: int) -> None:
        """Drop what lies before a position."""
        while start > self._start + self._kept.shape[1]:
            block = next(self._blocks, None)
            if block is None:
                return
            self._start += self._kept.shape[1]
            self._kept = block
        dropped = max(start - self._start, 0)
        self._kept, self._start = self._kept[:, dropped:], self._start + dropped
