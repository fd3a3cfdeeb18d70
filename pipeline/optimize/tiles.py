"""Tiles of an image: parts whose features can be computed one after the other, and are exactly those of the whole."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """A tile along one axis of an image, px: [start, stop) is its own, [first, last) what it is computed from.

    `start` and `first` are multiples of the network's stride, so that its pooling divides a tile as it divides the
    whole. Only at the borders of the image do the two ranges end together.
    """

    start: int
    stop: int
    first: int
    last: int

    def own(self, stride: int) -> slice:
        """Its positions in a feature map of the whole image with this stride."""
        return slice(self.start // stride, self.stop // stride)

    def inside(self, stride: int) -> slice:
        """The same positions in the feature map of the tile."""
        return slice((self.start - self.first) // stride, self.stop // stride - self.first // stride)


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of an image."""

    rows: Span
    columns: Span

    def of(self, images: Tensor) -> Tensor:
        """What the tile is computed from, as a view of images (B, 3, H, W)."""
        return images[:, :, self.rows.first : self.rows.last, self.columns.first : self.columns.last]

    def own(self, stride: int) -> tuple[slice, slice]:
        """Its own rows and columns in a feature map of the whole image with this stride."""
        return self.rows.own(stride), self.columns.own(stride)

    def inside(self, stride: int) -> tuple[slice, slice]:
        """The same rows and columns in the feature map of the tile."""
        return self.rows.inside(stride), self.columns.inside(stride)


def make_tiles(height: int, width: int, side_px: int, *, stride: int, reach_px: int) -> list[Tile]:
    """Tiles of at most about `side_px` px a side that cover an image, for a network with this stride and reach.

    Each is computed from `reach_px` more on every side that is no border of the image.
    """
    rows, columns = (make_spans(length, side_px, stride=stride, reach_px=reach_px) for length in (height, width))
    return [Tile(row, column) for row in rows for column in columns]


def make_spans(length: int, side_px: int, *, stride: int, reach_px: int) -> list[Span]:
    """Tiles along an axis that is `length` px long; see `make_tiles`."""
    count = max(1, -(-length // side_px))
    side = max(stride, -(-length // (count * stride)) * stride)
    halo = -(-reach_px // stride) * stride
    # A rest that has no position in the deepest map belongs to the last tile.
    starts = [start for start in range(0, length, side) if length - start >= stride or start == 0]
    stops = [*starts[1:], length]
    return [
        Span(start, stop, max(0, start - halo), min(length, stop + halo))
        for start, stop in zip(starts, stops, strict=True)
    ]
