"""HDR and wide-gamut video as sRGB: the light that PQ and HLG stand for, tone mapping, and smaller primaries.

Light is relative to the reference white of HDR, 203 cd/m2 (ITU-R BT.2408), which is also the white of the SDR picture.
The curve depends on the peak of the clip alone, so that nothing flickers. It acts on the largest of the three channels
and scales all by the same factor: hue stays, gray stays gray.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from pipeline.media.image.transfer import STEPS, decoded, looked_up, srgb_from_linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.types import ColorTags

    Floats = NDArray[np.float64]

REFERENCE_NITS: Final = 203
"""Luminance of a white sheet in HDR, in cd/m2."""
PQ_LIMIT_NITS: Final = 10_000
USUAL_PEAK_NITS: Final = 1000
"""The peak of a clip that does not state it, and the display that HLG is shown on."""
HDR_NAMES: Final = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
WIDE_NAMES: Final = {"bt2020": "BT.2020", "smpte432": "Display P3"}

_M1, _M2, _C1, _C2, _C3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA: Final = 1.2
_HLG_LUMA: Final = (0.2627, 0.6780, 0.0593)
# From linear light of these primaries to that of BT.709; white D65 in all.
_TO_BT709: Final = {
    "bt2020": ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    "smpte432": ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
_KEPT: Final = 0.95
"""Saturation up to which colors stay as they are; 1 is the border of sRGB's gamut."""
_BLOCK_PX: Final = 1 << 16
"""Pixels that are mapped at a time, so that they stay in the cache."""
_TINY: Final = np.float32(1e-9)


def pq_to_nits(signal: Floats) -> Floats:
    """Luminance in cd/m2 of a PQ signal in [0, 1] (SMPTE ST 2084, equation 4.1)."""
    power = signal ** (1 / _M2)
    nits: Floats = PQ_LIMIT_NITS * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)
    return nits


def nits_to_pq(nits: Floats) -> Floats:
    """PQ signal of a luminance in cd/m2, the inverse of `pq_to_nits` (equation 5.1)."""
    power = (nits / PQ_LIMIT_NITS) ** _M1
    signal: Floats = ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
    return signal


def hlg_to_scene(signal: Floats) -> Floats:
    """Light of the scene in [0, 1] of an HLG signal in [0, 1]: the inverse OETF of ITU-R BT.2100, table 5."""
    scene: Floats = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)
    return scene


def compressed(nits: Floats, peak_nits: float) -> Floats:
    """The EETF of ITU-R BT.2390 (section 5.4.1), in cd/m2: darker light stays, the peak becomes `REFERENCE_NITS`.

    Black is 0 on both sides. Above the peak it is `REFERENCE_NITS`.
    """
    if peak_nits <= REFERENCE_NITS:
        return np.minimum(nits, REFERENCE_NITS)
    top, limit = nits_to_pq(np.array([peak_nits, REFERENCE_NITS]))
    limit /= top
    knee = 1.5 * limit - 0.5
    signal = np.minimum(nits_to_pq(nits) / top, 1)
    t = np.maximum(signal - knee, 0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * limit
    return np.where(signal < knee, nits, pq_to_nits(spline * top))


@dataclass(frozen=True, slots=True)
class SdrMapping:
    """The way from the values of a video to sRGB.

    `light` is the light of each of 65,536 codes; of HLG that of the scene, before its OOTF. `curve` is the light shown
    for the fourth root of a light from 0 to `top`.
    """

    light: NDArray[np.float32]
    is_hlg: bool
    to_bt709: NDArray[np.float32] | None
    reach: float
    """The largest distance from gray that the primaries allow, as in `soft_gamut`."""
    curve: NDArray[np.float32]
    top: float

    def __call__(self, codes: NDArray[np.uint16]) -> NDArray[np.float32]:
        """uint16 (H, W, 3) R'G'B', 0 to 65535, to float32 (H, W, 3) sRGB in [0, 1]."""
        mapped = np.empty(codes.shape, np.float32)
        rows = max(1, _BLOCK_PX // codes.shape[1])
        for first in range(0, len(codes), rows):
            mapped[first : first + rows] = self._block(codes[first : first + rows])
        return mapped

    def _block(self, codes: NDArray[np.uint16]) -> NDArray[np.float32]:
        light = self.light[codes]
        if self.is_hlg:  # the OOTF, with the gamma of a display of 1000 cd/m2
            luma = light @ np.asarray(_HLG_LUMA, np.float32)
            light *= luma[..., None] ** np.float32(_HLG_GAMMA - 1) * np.float32(USUAL_PEAK_NITS / REFERENCE_NITS)
        if self.to_bt709 is not None:
            light = soft_gamut(np.asarray(cv2.transform(light, self.to_bt709), np.float32), self.reach)
        strongest = _strongest(light)
        shown = looked_up(self.curve, np.sqrt(np.sqrt(np.maximum(strongest, 0) / np.float32(self.top))))
        light *= (shown / np.maximum(strongest, _TINY))[..., None]
        return srgb_from_linear(light)


def soft_gamut(light: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """Linear float32 (H, W, 3) with channels below 0 brought to 0 or more, in the manner of the ACES gamut compressor.

    The distance of a channel from the largest one, as a part of it, is kept up to 0.95; from there to `reach` it is
    compressed to 0.95 to 1. `reach` is above 1. The largest channel stays as it is.
    """
    strongest = np.maximum(_strongest(light), 0)[..., None]
    distance = 1 - light / np.maximum(strongest, _TINY)
    beyond = np.maximum(distance - np.float32(_KEPT), 0)
    scale = np.float32((1 - _KEPT) * (reach - _KEPT) / (reach - 1))
    distance = np.minimum(distance, np.float32(_KEPT)) + beyond * scale / (beyond + scale)
    inside: NDArray[np.float32] = np.maximum(strongest * (1 - distance), 0)
    return inside


def _strongest(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest channel of (H, W, 3), as (H, W); NumPy's maximum over an axis of three takes ten times as long."""
    largest: NDArray[np.float32] = np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])
    return largest


def sdr_mapping(color: ColorTags, peak_nits: int) -> SdrMapping | None:
    """The way to sRGB of a video with these tags; None where its values are taken for sRGB as they are.

    `peak_nits` is that of a PQ video, 0 if it states none. HLG and PQ without stated primaries have those of BT.2020.
    The values of SDR video are taken for sRGB's before their primaries are changed.
    """
    transfer = color.transfer if color.transfer in HDR_NAMES else None
    primaries = color.primaries or ("bt2020" if transfer else None)
    if transfer is None and primaries not in _TO_BT709:
        return None
    peak = peak_nits if transfer == "smpte2084" and peak_nits else USUAL_PEAK_NITS
    return _mapping(
        transfer, primaries if primaries in _TO_BT709 else None, min(max(peak, REFERENCE_NITS), PQ_LIMIT_NITS)
    )


@cache
def _mapping(transfer: str | None, primaries: str | None, peak_nits: int) -> SdrMapping:
    if transfer == "smpte2084":
        light = pq_to_nits(STEPS) / REFERENCE_NITS
    elif transfer == "arib-std-b67":
        light = hlg_to_scene(STEPS)
    else:
        light = decoded(STEPS)
    top = peak_nits / REFERENCE_NITS if transfer else 1.0
    shown = STEPS**4 * top
    if transfer:
        shown = compressed(shown * REFERENCE_NITS, peak_nits) / REFERENCE_NITS
    to_bt709 = None if primaries is None else np.asarray(_TO_BT709[primaries], np.float32)
    return SdrMapping(
        light.astype(np.float32),
        transfer == "arib-std-b67",
        to_bt709,
        1.0 if to_bt709 is None else _reach(to_bt709),
        shown.astype(np.float32),
        top,
    )


def _reach(to_bt709: NDArray[np.float32]) -> float:
    """The largest distance of a channel from the largest one, as a part of it, of all colors of the primaries.

    It is that of a primary or of the sum of two.
    """
    corners = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1)]) @ to_bt709.T
    return float((1 - corners.min(axis=1) / corners.max(axis=1)).max())
