"""The settings of a video file: what it shows when, its codec, its quality, and what it carries beside the frames."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.animation import AnimationSettings, ImageSettings
from pipeline.config.framing import FramingSettings
from pipeline.config.retime import TimeSettings, ViewSettings
from pipeline.config.text import NUMBER_AS_TEXT, Form

Variant = Annotated[Literal["auto", "proxy", "lt", "standard", "hq", "4444", "lb", "sq", "hqx", "444"], NUMBER_AS_TEXT]
BitRate = Annotated[str, Form(r"^\d{1,6}(\.\d{1,3})?[kM]$", "bits per second such as 20M or 800k")]
Preset = Annotated[str, Form(r"^[a-z0-9]+$", "a preset such as slow, or a number that the codec knows"), NUMBER_AS_TEXT]


class VideoSettings(FramingSettings):
    """Which part of the frames a video shows, when and at which size, and how it is encoded."""

    profile: Literal["none", "web", "phone", "master"] = Field(
        "none",
        description="Defaults for a purpose, which the other settings override. web: plays in browsers; phone: plays "
        "on phones; master: for editing, ProRes 422 HQ in mov, DNxHR HQX in mxf, FFV1 of 16 bits in mkv.",
    )
    codec: Literal["auto", "h264", "hevc", "vp9", "av1", "prores", "dnxhr", "ffv1"] = Field(
        "auto", description="auto: that of the profile, else h264 in mp4, mkv and mov, vp9 in webm, dnxhr in mxf."
    )
    variant: Variant = Field(
        "auto",
        description="Of prores: proxy, lt, standard, hq (auto) or 4444; of dnxhr: lb, sq, hq (auto), hqx or 444. auto "
        "is another one where depth or chroma ask for it.",
    )
    depth: Literal["auto", 8, 10, 12, 16] = Field(
        "auto",
        description="Bits of each value. auto: that of the profile, else 10 for prores, 8 for all others. Stored "
        "frames have 8 bits: more bits carry what the finish makes of them.",
    )
    chroma: Literal["auto", 420, 422, 444] = Field(
        "auto",
        description="Resolution of color: halved both ways (420), halved across (422), or full (444). auto: what plays "
        "everywhere, 420 where the codec has it.",
    )
    crf: Literal["auto"] | Annotated[int, Field(ge=0, le=63)] = Field(
        "auto",
        description="Quality on the codec's own scale; smaller is better. auto: about the quality of h264 at 16 in "
        "every codec. prores, dnxhr and ffv1 have none.",
    )
    bitrate: BitRate | None = Field(None, description="Bits per second, such as 20M or 800k, instead of crf.")
    preset: Preset = Field("medium", description="Speed preset of the codec.")
    hardware: bool = Field(
        False,
        description="Encode on the graphics processor where its encoder opens (h264, hevc, av1); else in software, "
        "with a note. The files are larger for the same quality.",
    )
    audio: Literal["auto", "copy", "encode", "none"] = Field(
        "auto",
        description="auto: copy the audio of the input where the container takes it, else encode it again; copy: copy "
        "it or fail; encode: always encode it; none: leave it out.",
    )
    location: bool = Field(False, description="Carry the place of the recording over, if the input states it.")
    metadata: Literal["settings", "none"] = Field(
        "settings",
        description="What the file says about how it was made: its settings without any folder names, for `tempera "
        "show` and `--like`, or nothing.",
    )
    animation: AnimationSettings = Field(default_factory=AnimationSettings)
    images: ImageSettings = Field(default_factory=ImageSettings)
    time: TimeSettings = Field(default_factory=TimeSettings)
    view: ViewSettings = Field(default_factory=ViewSettings)

    @model_validator(mode="after")
    def _one_quality(self) -> VideoSettings:
        if self.bitrate is not None and self.crf != "auto":
            raise ValueError("bitrate and crf: give one of them")
        return self

    def crf_or(self, default: int) -> int:
        """The CRF, or a default where it is "auto"."""
        return default if self.crf == "auto" else self.crf

    @property
    def bits_per_second(self) -> int | None:
        """The bit rate as a number; None where quality is set by CRF."""
        if self.bitrate is None:
            return None
        return round(float(self.bitrate[:-1]) * {"k": 1000, "M": 1_000_000}[self.bitrate[-1]])
