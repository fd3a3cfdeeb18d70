"""What the settings of quality and speed are called in each encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError
from pipeline.media.writer.codecs import CODECS
from pipeline.media.writer.pixels import PixelFormat

if TYPE_CHECKING:
    from pipeline.config.video import VideoSettings

PRESETS: Final = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
# The same names for the encoders that count their speeds (SVT-AV1: 0..13, libvpx "good": 0..5, larger is faster). Above
# 9 SVT-AV1 warns of artifacts: at 10 and 12 a frame of moving edges was off by 10 levels in the mean, at 7 by 1.
_SVT_SPEEDS: Final = dict(zip(PRESETS, ("9", "9", "9", "9", "8", "7", "5", "4", "3", "1"), strict=True))
_VPX_SPEEDS: Final = dict(zip(PRESETS, ("5", "5", "5", "5", "4", "3", "2", "1", "0", "0"), strict=True))
_NVENC_SPEEDS: Final = dict(zip(PRESETS, ("p1", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p7", "p7"), strict=True))
_QSV_SPEEDS: Final = dict(
    zip(PRESETS, (*("veryfast",) * 3, "faster", "fast", "medium", "slow", "slower", *("veryslow",) * 2), strict=True)
)
_PLAYABLE: Final = {"profile": "high", "refs": "4"}
"""Four reference frames at most keep the level as low as the size and the rate allow: 4.0 for 1920x1080 at 30."""


def encoder_options(encoder: str, codec: str, settings: VideoSettings, variant: str = "") -> dict[str, str]:
    """FFmpeg options that mean the quality, speed and variant of the settings for this encoder.

    `settings` are those with their profile; a bit rate is no option but set in the encoder's context. Raises
    ConfigError for a preset that the encoder does not know.
    """
    crf = {} if settings.bitrate else {"crf": str(settings.crf_or(CODECS[codec].crf))}
    if encoder in CODECS[codec].hardware:
        return _hardware_options(encoder, settings, next(iter(crf.values()), ""), CODECS[codec].crf_max)
    # A target rate of 0 is what makes libvpx treat crf as constant quality.
    constant_quality = crf | {"b": "0"} if crf else {}
    options = {
        "libx264": crf,
        "libx265": {**crf, "x265-params": "log-level=error"},
        "libvpx-vp9": {**constant_quality, "deadline": "good", "row-mt": "1"},
        "libsvtav1": crf,
        "libaom-av1": {**constant_quality, "row-mt": "1"},
        "prores_ks": {"profile": variant, "vendor": "apl0"},
        "dnxhd": {"profile": variant},
        "ffv1": {"level": "3", "slicecrc": "1"},
    }[encoder]
    preset = settings.preset
    if encoder in {"libx264", "libx265"}:
        if preset not in PRESETS:
            raise _wrong_preset(preset, ", ".join(PRESETS))
        options = {**options, "preset": preset}
    elif encoder in {"libsvtav1", "libvpx-vp9", "libaom-av1"}:
        svt = encoder == "libsvtav1"
        fastest = 13 if svt else 5
        speed = (_SVT_SPEEDS if svt else _VPX_SPEEDS).get(preset, preset)
        if not (speed.isdecimal() and int(speed) <= fastest):
            raise _wrong_preset(preset, f"{', '.join(PRESETS)}, or 0 to {fastest}")
        options = {**options, "preset" if svt else "cpu-used": speed}
    return options


def playable_options(encoder: str, settings: VideoSettings, pixels: PixelFormat) -> dict[str, str]:
    """Options that make a video of the profiles web and phone play on as many devices as possible."""
    small = settings.profile in {"web", "phone"} and pixels == PixelFormat(420, 8)
    return _PLAYABLE if small and encoder == "libx264" else {}


def _hardware_options(encoder: str, settings: VideoSettings, crf: str, crf_max: int) -> dict[str, str]:
    """The CRF is the constant quality of NVENC and the global quality of Quick Sync, on the same scales; VideoToolbox
    counts from 1 to 100, the best."""
    maker = encoder.rpartition("_")[2]
    if maker == "nvenc":
        quality = {"rc": "vbr", "cq": crf, "b": "0"} if crf else {}
        return {**quality, "preset": _NVENC_SPEEDS.get(settings.preset, "p5")}
    if maker == "qsv":
        return {**({"global_quality": crf} if crf else {}), "preset": _QSV_SPEEDS.get(settings.preset, "medium")}
    return {"flags": "+qscale", "global_quality": str(round(118 * (100 - 99 * int(crf) / crf_max)))} if crf else {}


def _wrong_preset(preset: str, known: str) -> ConfigError:
    return ConfigError(f"output.preset: {preset!r} is not known to the codec", hint=f"choose one of {known}")
