"""The checksums of FFV1: FFmpeg checks them, but covers a wrong slice with the previous frame's and reports nothing."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FFV1: Final = "ffv1"
"""FFmpeg's name of the codec."""
_FOOTER_BYTES: Final = 8
"""Behind each slice: its size (24 bits, big-endian, without the footer), a status byte, and CRC-32 (RFC 9043, 4.8)."""
_MIRRORED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def slices_intact(packet: bytes) -> bool | None:
    """Whether the checksums of all slices of an FFV1 packet are right; None if it is no chain of slices with checksums.

    FFV1's CRC-32 takes the bits of a byte from the highest on, starts with 0 and comes out as 0 over a slice with its
    checksum. zlib takes them from the lowest on and inverts before and after: bytes are mirrored, and both values are
    inverted 0.
    """
    end, intact = len(packet), True
    while end > 0:
        if end < _FOOTER_BYTES:
            return None
        size_at = end - _FOOTER_BYTES
        start = size_at - int.from_bytes(packet[size_at : size_at + 3], "big")
        if start < 0:
            return None
        intact &= zlib.crc32(packet[start:end].translate(_MIRRORED), 0xFFFFFFFF) == 0xFFFFFFFF
        end = start
    return intact


def damaged_packets(intact: Sequence[bool | None], keys: Sequence[bool]) -> set[int]:
    """Indices of the packets that are damaged or need one that is, given `slices_intact` and whether each is a key.

    Empty if no packet is intact: the file was then written without checksums.
    """
    if True not in intact:
        return set()
    damaged: set[int] = set()
    for index, (good, key) in enumerate(zip(intact, keys, strict=True)):
        # A frame that is no key frame goes on with the coder's state after the frame before it.
        if not good or (not key and index - 1 in damaged):
            damaged.add(index)
    return damaged
