"""The central types: source, shot, chain, frame, motion, plan. Plain data that every room may read.

Ranges are half-open and indices start at 0. A *frame index* counts the frames of a `Source` after `--frames` and
`--fps` have chosen which of them are rendered; it is also the number in the name of a stored frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Phase = Literal["cold", "warm"]

Pixels: TypeAlias = "NDArray[np.unsignedinteger[Any]]"
"""The pixels of an image, (H, W, 3) sRGB: uint8, or uint16 where there are more than 8 bits."""

FrameSlice: TypeAlias = tuple[int | None, int | None] | tuple[int | None, int | None, int]
"""Start, stop and step (1 if left out) of the frames that are taken of an input, as in a slice; steps are positive."""

Masks = Callable[[int, "NDArray[np.uint8]"], "NDArray[np.float32]"]
"""The masks of a frame: float32 (M, H, W) in [0, 1], from its index and its content, uint8 (H, W, 3) sRGB."""

ToneCurve = tuple[int, ...]
"""How the exposure of one frame is corrected, in thousandths of a logit: the shift at each of `TONE_NODES`, then those
of R, G and B. Empty: not at all. See `pipeline.analysis.tone_curve`."""
TONE_NODES: Final = (16, 48, 96, 144, 192, 232)
"""Levels at which a tone curve is given; between them it is linear in logits, outside constant."""
TONE_UNIT: Final = 1000
MAX_TONE_SHIFT: Final = 750
"""Largest shift of a tone curve, up or down, in thousandths of a logit."""
LEVEL_UNIT: Final = 100
"""Levels and contrasts of frames are stored in hundredths of a level of 255."""

Warp = tuple[int, ...]
"""Where the points of a frame are in the frame that it is made of: a homography, by rows, in billionths of its last
element, which is left out. Both frames reach from (0, 0), their upper left corner, to (1, 1)."""
WARP_UNIT: Final = 10**9
IDENTITY_WARP: Final[Warp] = (WARP_UNIT, 0, 0, 0, WARP_UNIT, 0, 0, 0)
Gains = tuple[int, ...]
"""What R, G and B are multiplied by in linear light, in thousandths of a stop: 1000 doubles, 0 leaves as it is."""
GAIN_UNIT: Final = 1000
Fuse = Literal["none", "mean", "exposure", "focus"]
"""How several photos become one frame."""


@dataclass(frozen=True, slots=True)
class ColorTags:
    """Color description of a video stream by the names of ITU-T H.273 (None: not stated)."""

    primaries: str | None = None
    transfer: str | None = None
    matrix: str | None = None
    full_range: bool | None = None


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the frames of a source are made of those of its input, which are `width_px` by `height_px`.

    `warps` and `gains` (empty: none) have one entry for each frame of the input that is read, in the order of reading.
    With `fuse` so many of them as `group` become one frame, and `positions` says where they are among the decoded ones.
    """

    width_px: int
    height_px: int
    warps: tuple[Warp, ...]
    gains: tuple[Gains, ...] = ()
    fuse: Fuse = "none"
    group: int = 1
    positions: tuple[int, ...] = ()

    def part(self, start: int, stop: int) -> Alignment:
        """What makes the frames [start, stop)."""
        read = slice(start * self.group, stop * self.group)
        return replace(self, warps=self.warps[read], gains=self.gains[read], positions=self.positions[read])


@dataclass(frozen=True, slots=True)
class Source:
    """An input as it was read: the frames that will be rendered, their order, and when each is shown.

    `width_px` and `height_px` are those of the image as a viewer sees it: after rotation, EXIF orientation and with
    square pixels. `pts[i]` is the time at which frame i appears, in ticks of `time_base` seconds, strictly increasing;
    `duration_ticks` is how long the last one stays. `decoded_indices[i]` is the position of frame i among the decoded
    frames (or the photos) of the input. `damaged` lists the frames that cannot be decoded, at which reading stops.
    `digest` is a SHA-256 over the content of the input.
    """

    path: str
    kind: Literal["video", "photos"]
    files: tuple[str, ...]
    width_px: int
    height_px: int
    frame_rate: Fraction
    time_base: Fraction
    pts: tuple[int, ...]
    duration_ticks: int
    decoded_indices: tuple[int, ...]
    damaged: tuple[int, ...] = ()
    rotation_deg: int = 0
    color: ColorTags = field(default_factory=ColorTags)
    has_audio: bool = False
    digest: str = ""
    order: str = "stream"
    """Why the frames stand in this order: "stream", "capture time", "time in the names", "name" or "as listed"."""
    notes: tuple[str, ...] = ()
    """What a user should know: gaps, odd sizes, a missing duration. One sentence each."""
    stream_index: int = 0
    """Which stream of a video file the frames come from."""
    stream_pts: tuple[int, ...] = ()
    """Time stamp of each frame in the stream itself, for seeking; empty where the file's stamps are unusable."""
    gaps_to_fill: tuple[int, ...] = ()
    """Frames behind which photos are missing, and which in-betweens continue until the next one appears
    (`input.gaps=interpolate`)."""
    interlaced: bool = False
    """Whether the video marks frames as interlaced."""
    peak_nits: int = 0
    """Peak luminance of an HDR video in cd/m2, as it states it; 0 if it does not."""
    blended: tuple[int, ...] = ()
    """How many decoded frames, from that of `decoded_indices` on, are averaged to each frame; empty: one each."""
    alignment: Alignment | None = None
    """How the frames are made of those of the input; None: they are those of the input."""
    uncropped_px: tuple[int, int] | None = None
    """Width and height of the frames before they are cropped, evenly on both sides, to `width_px` by `height_px`; None:
    they are not."""

    @property
    def positions_read(self) -> tuple[int, ...]:
        """Where all frames of the input that are read are among the decoded ones: one or several for each frame."""
        return (self.alignment and self.alignment.positions) or self.decoded_indices

    @property
    def frame_count(self) -> int:
        """Number of frames that will be rendered."""
        return len(self.pts)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame's appearance to the end of the last one."""
        if not self.pts:
            return 0.0
        return float((self.pts[-1] - self.pts[0] + self.duration_ticks) * self.time_base)


@dataclass(frozen=True, slots=True)
class Shot:
    """A run of frames [start, stop) without a cut."""

    index: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Chain:
    """One style over one run of frames [start, stop) inside one shot: the unit of order, seeding and resume.

    A frame may read previous stored frames of its own chain, and of one other chain only: where a long shot is split
    into segments, a chain of keyframes (`interval` above 1: every so many frames) is stylized first, and each segment
    names it in `keyframe_chain`, starts from its own keyframe and approaches the next one. `style` is the name of
    the style, `seed` the render's seed for it.
    """

    id: str
    style: str
    shot: int
    start: int
    stop: int
    seed: int
    interval: int = 1
    keyframe_chain: str = ""

    @property
    def frames(self) -> range:
        """Indices of the frames of the chain, in order."""
        return range(self.start, self.stop, self.interval)

    @property
    def in_output(self) -> bool:
        """Whether the chain's frames belong in the video: keyframes are there again in their segments."""
        return self.interval == 1

    def remaining(self, start: int) -> int:
        """How many frames of the chain are left from `start` on."""
        return len(range(start, self.stop, self.interval))


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: `rgb` is uint8 (H, W, 3) sRGB, `pts` in ticks of its source's time base."""

    index: int
    pts: int
    rgb: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ColorGaussian:
    """The Gaussian of the colors of an image, sRGB in [0, 1]: mean (3,) and covariance (3, 3), float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StyleColors:
    """The colors of the style images of a style: a Gaussian for each, and their weights (any scale).

    `regions` are those of the style's regions in order; None: the region keeps the content's colors.
    """

    gaussians: tuple[ColorGaussian, ...]
    weights: tuple[float, ...]
    regions: tuple[StyleColors | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Motion:
    """How the content moved: for every pixel of the current frame, where it was in the previous one.

    `backward_flow` is float32 (H, W, 2) in px, (x, y), from the current frame to the previous one; `confidence` is
    float32 (H, W) in [0, 1]: 1 where the flow is consistent, 0 where it is unknown.
    """

    from_index: int
    to_index: int
    backward_flow: NDArray[np.float32]
    confidence: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WarmStart:
    """Where a warm frame starts (`init`), and the target of its temporal loss, weighted by `confidence`.

    float32 (3, H, W) sRGB in [0, 1]; `confidence` float32 (1, H, W) in [0, 1]. `new_fraction` is how much of the frame
    shows what was not there before, in [0, 1]. `recent_change` is float32 (1, H, W) in [0, 1]: 1 where the content
    changed in this frame, less where it changed a few frames ago; None: nowhere. The tensors are on the device on which
    the start was computed.
    """

    init: torch.Tensor
    target: torch.Tensor
    confidence: torch.Tensor
    new_fraction: float = 0.0
    recent_change: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class FrameTask:
    """One frame to be stylized: its content, and its warm start (None: cold).

    `starts_anew`: it is cold although there is a previous frame, because too little of it corresponds. `regions` are
    the maps of its regions, float32 (R + 1, H, W) in [0, 1] that add up to 1: first that of what is in no region.
    `values` are the settings that curves change, at this frame, by dotted key; `settings_change` in [0, 1] is how much
    they changed lately.
    """

    chain: Chain
    index: int
    content: NDArray[np.uint8]
    warm: WarmStart | None = None
    starts_anew: bool = False
    regions: NDArray[np.float32] | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    settings_change: float = 0.0

    @property
    def phase(self) -> Phase:
        """`"warm"` when there is a previous stylized frame to start from."""
        return "cold" if self.warm is None else "warm"


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """What a styler sees: B frames of one style, one size and one phase.

    All tensors are float32 (B, 3, H, W) sRGB in [0, 1]. `init` is what each frame starts from; `warped_previous` and
    `confidence` (B, 1, H, W) are None unless the batch is warm. `seeds` has one seed per frame, made from the render's
    seed, the style and the frame index; `new_fractions` how much of each warm frame is new (empty: none),
    `recent_change` (B, 1, H, W) where their content changed (None: nowhere), `regions` (B, R + 1, H, W) the maps of
    their regions (None: the style has none). `values` has for each frame the settings that curves change, by dotted key
    (empty: none), `settings_changes` how much they changed lately.
    """

    phase: Phase
    content: torch.Tensor
    init: torch.Tensor | None
    seeds: tuple[int, ...]
    warped_previous: torch.Tensor | None = None
    confidence: torch.Tensor | None = None
    new_fractions: tuple[float, ...] = ()
    recent_change: torch.Tensor | None = None
    regions: torch.Tensor | None = None
    indices: tuple[int, ...] = ()
    values: tuple[Mapping[str, float], ...] = ()
    settings_changes: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameStats:
    """Cost and result of stylizing one frame. Losses are dimensionless; only `loss`, the sum, is weighted."""

    evaluations: int
    loss: float
    content_loss: float = 0.0
    style_loss: float = 0.0
    tv_loss: float = 0.0
    temporal_loss: float = 0.0
    light_loss: float = 0.0


@dataclass(frozen=True, slots=True)
class StylizedBatch:
    """Stylized frames, float32 (B, 3, H, W) sRGB in [0, 1], and one `FrameStats` for each."""

    images: torch.Tensor
    stats: tuple[FrameStats, ...]


class Styler(Protocol):
    """Anything that stylizes a batch. The only state carried between frames is the previous stylized frames.

    `style_colors` are the colors that the content is recolored with where a frame starts; None: those of the previous
    stylized frame.
    """

    @property
    def style_colors(self) -> StyleColors | None:
        """See above."""
        ...

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        """Stylize every frame of the batch; the result of a frame does not depend on the others in the batch."""
        ...


@runtime_checkable
class SavesMemory(Protocol):
    """A styler that can do with less memory, at the cost of time."""

    def save_memory(self) -> str | None:
        """After a single frame did not fit: choose a smaller way, and return what it is; None: there is none."""
        ...


@runtime_checkable
class Observable(Protocol):
    """A styler that can be watched: `observer` (None: nobody) is called after every evaluation of a batch.

    It is given the number of the evaluation, from 1 and counted on over all scales of the frames, the images
    (B, 3, h, w) at the size of the scale, losses (B,) and terms (B, K). It must not modify them.
    """

    observer: Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], None] | None


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """Everything that is decided before the first frame is stylized; written once and never edited.

    More frames at the end of the input make another plan, which replaces it (see `pipeline.plan.extension`).

    `identity` holds, flat (`"section.key": value`), everything that changes pixels; `digest` is the SHA-256 of its
    canonical JSON. `styles` maps a style's name to its resolved config, `outputs` to the video's path, `weights` to the
    encoder's weights file where one was given. Paths are relative to the render directory. `exposure` has a tone curve
    for every frame of the source, or is empty: the content is corrected by it before it is stylized, and before the
    finish uses it. `levels` has the mean luma of every frame of the content, after its tone curve, in hundredths of a
    level of 255, or is empty (one frame, and plans of version 2); only the finish uses it, so it is not in the digest.
    `contrasts` likewise has the standard deviation of luma of every frame. `shot_colors` has a sample of the colors of
    every shot (see `pipeline.analysis.shot_colors`), or is empty in older plans and where the input is damaged; it is
    in the digest if the settings of a style use it. `photo_digests` has the SHA-256 of the photo of every frame, or is
    empty in older plans and for a video.
    """

    digest: str
    identity: Mapping[str, Any]
    source: Source
    width_px: int
    height_px: int
    shots: tuple[Shot, ...]
    chains: tuple[Chain, ...]
    styles: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, str]
    weights: Mapping[str, str] = field(default_factory=dict)
    exposure: tuple[ToneCurve, ...] = ()
    levels: tuple[int, ...] = ()
    contrasts: tuple[int, ...] = ()
    shot_colors: tuple[str, ...] = ()
    photo_digests: tuple[str, ...] = ()
