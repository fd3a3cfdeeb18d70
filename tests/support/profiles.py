"""Color profiles (ICC) as bytes: of a matrix and a curve, for color or gray."""

from __future__ import annotations

import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
DISPLAY_P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D65 = np.array([0.95047, 1.0, 1.08883])


def curve(gamma: float) -> bytes:
    """A tag `curv` of one exponent."""
    return struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256)) + b"\0\0"


def sampled(gamma: float, count: int = 1024) -> bytes:
    """The same as a table of samples."""
    samples = np.rint(np.linspace(0, 1, count) ** gamma * 65535).astype(">u2")
    return struct.pack(">4sII", b"curv", 0, count) + samples.tobytes()


def srgb_curve() -> bytes:
    """The curve of sRGB as a tag `para` of type 3."""
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return struct.pack(">4sIHH5i", b"para", 0, 3, 0, *(round(number * 65536) for number in numbers))


def color_profile(primaries: tuple[tuple[float, float], ...], tone: bytes) -> bytes:
    """The profile of a color space with a white point of D65, by the chromaticities of red, green and blue."""
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    xyz = xyz * np.linalg.solve(xyz, _D65)
    scale = (_BRADFORD @ D50) / (_BRADFORD @ _D65)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD @ xyz
    tags = {f"{channel}XYZ": _xyz(adapted[:, at]) for at, channel in enumerate("rgb")}
    return _profile(b"RGB ", tags | {f"{channel}TRC": tone for channel in "rgb"})


def gray_profile(tone: bytes) -> bytes:
    """The profile of a gray scale."""
    return _profile(b"GRAY", {"kTRC": tone})


def _xyz(values: object) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *np.rint(np.asarray(values) * 65536).astype(int).tolist())


def _profile(space: bytes, tags: dict[str, bytes]) -> bytes:
    text = b"desc" + struct.pack(">II", 0, 5) + b"Test\0" + bytes(79)
    tags = {"desc": text, "wtpt": _xyz(D50), "cprt": b"text\0\0\0\0none\0\0\0\0"} | tags
    head = bytearray(128)
    head[8:12] = b"\x02\x40\0\0"
    head[12:24] = b"mntr" + space + b"XYZ "
    head[36:40] = b"acsp"
    head[68:80] = struct.pack(">3i", *(round(value * 65536) for value in D50))
    table, body = b"", b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name.encode(), 132 + 12 * len(tags) + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    data = head + struct.pack(">I", len(tags)) + table + body
    data[0:4] = struct.pack(">I", len(data))
    return bytes(data)
