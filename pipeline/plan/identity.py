"""The identity of a render: everything that changes pixels.

It is flat, `"section.key": value`; its SHA-256 is the digest that a render directory is compared by. Where a setting
points to something (an image, weights), the identity has the digest of the content instead of the path, and where a
setting says "auto" it has what was chosen. Batch size, device, workers, codec and finishing are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pipeline.config.section import curves_of
from pipeline.config.settings import IDENTITY_SECTIONS, Config, InputSettings, StylizeSettings
from pipeline.config.style import StyleImage, StyleSettings
from pipeline.errors import ConfigError
from pipeline.plan.curves import FrameValues, curve_identity
from pipeline.plan.paths import plain_data
from pipeline.plan.region_colors import RegionColors, region_colors_identity
from pipeline.runtime.hashing import json_digest
from pipeline.types import Alignment, RenderPlan, Shot, Source, ToneCurve

ALGORITHM: Final = 8
"""Raised with every change of the code that changes pixels: no render is continued with different numerics."""

EXPOSURE_KEY: Final = "exposure"
"""Key of the identity that holds the digest of the tone curves; plans without curves lack it."""

ALIGNMENT_KEY: Final = "alignment"
"""Key of the identity that holds the digest of how frames are aligned and fused; plans without it lack it."""

SHOT_COLORS_KEY: Final = "shot_colors"
"""Key of the identity that holds the digest of the colors of the shots, if a style uses them."""

_LATER_KEYS: Final = (
    "color",
    "color.by_region",
    "pre",
    "motion.loop",
    "palette.source",
    "palette.drift",
    "palette.dither",
    "superpixel.borders",
    "superpixel.border_width",
    "superpixel.color",
)
"""Settings that are left out where they have their default: renders begun before they existed are continued."""

_FIRST_INPUTS: Final = frozenset(
    f"input.{name}" for name in ("fit", "order", "cuts", "cut_threshold", "deflicker", "on_damaged")
)
"""Settings of the input for which that does not hold."""

_IN_SOURCE: Final = frozenset({"input.camera", "input.duplicates", "input.gaps"})
"""Settings of the input that choose photos, which the source's digest covers, or when they are shown, as `--fps`."""

_DEFAULTS: Final[dict[str, Any]] = plain_data(
    StylizeSettings(style=StyleSettings(images=(StyleImage(path=Path()),))).model_dump(exclude={"style"})
)


@dataclass(frozen=True, slots=True)
class RegionDigests:
    """The SHA-256 of the style images of one region in order (none: it has no style), and what its mask depends on.

    `mask` is plain data, in which digests stand in the place of paths.
    """

    images: tuple[str, ...]
    mask: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResolvedStyle:
    """A style with its resolved settings: digests of its files, and what was chosen for every "auto".

    `image_digests` are the SHA-256 of the bytes of each of `config.style.images`, `init_digest` that of the image named
    by `optimize.cold.init` ("" if it names none), `flow_digest` that of the weights of the flow network; `regions` are
    those of the files of `config.regions`. `segment_frames` is the value that was chosen for `motion.segment_frames`
    when the render began. `encoder` and `encoder_digest` name the feature network that was chosen and its weights (""
    for a styler without one); `weights` is the weights file, if the user gave one. Paths in `config` are absolute or
    relative to the current folder. `name` must be unique among the styles of a render: it enters the seeds.
    """

    name: str
    config: Config
    image_digests: tuple[str, ...]
    encoder: str
    encoder_digest: str
    precision: Literal["float32", "bfloat16"]
    init_digest: str = ""
    weights: Path | None = None
    segment_frames: int = 0
    flow_digest: str = ""
    regions: tuple[RegionDigests, ...] = ()


def make_identity(
    source: Source,
    width_px: int,
    height_px: int,
    shots: Sequence[Shot],
    styles: Sequence[ResolvedStyle],
    exposure: Sequence[ToneCurve] = (),
    shot_colors: Sequence[str] = (),
    values: Mapping[str, FrameValues] | None = None,
    region_colors: Mapping[str, RegionColors] | None = None,
) -> dict[str, Any]:
    """Everything that changes pixels, flat; by the names of styles, `values` has those of their curves and
    `region_colors` the colors of their regions.

    Raises ConfigError if two styles want the input read differently.
    """
    identity: dict[str, Any] = {
        "algorithm": ALGORITHM,
        "source.digest": source.digest,
        "source.frames": index_ranges(source.decoded_indices),
        "geometry.width_px": width_px,
        "geometry.height_px": height_px,
        "shots": [[shot.start, shot.stop] for shot in shots],
    }
    if source.damaged:
        identity["source.damaged"] = list(source.damaged)
    if source.alignment:
        identity[ALIGNMENT_KEY] = alignment_digest(source.alignment)
    if exposure:
        identity[EXPOSURE_KEY] = exposure_digest(exposure)
    if shot_colors and any(style.config.uses_shot_colors for style in styles):
        identity[SHOT_COLORS_KEY] = shot_colors_digest(shot_colors)
    first = styles[0]
    inputs = [_flat("input", plain_data(style.config.input.model_dump())) for style in styles]
    for style, other in zip(styles[1:], inputs[1:], strict=True):
        for key, value in other.items():
            if inputs[0][key] != value:
                raise ConfigError(
                    f"styles {first.name!r} and {style.name!r} read the input differently: "
                    f"{key} is {inputs[0][key]!r} and {value!r}",
                    hint=f"say which one holds for both, as --set '{key}={json.dumps(inputs[0][key])}'",
                )
    defaults = _flat("input", plain_data(InputSettings().model_dump()))
    kept = {key: value for key, value in inputs[0].items() if key in _FIRST_INPUTS or value != defaults[key]}
    identity.update({key: value for key, value in kept.items() if key not in _IN_SOURCE})
    if source.blended:
        identity["source.blended"] = list(source.blended)
    for style in styles:
        identity.update(_without_curves(style, _flat(f"styles.{style.name}", _style_identity(style))))
        identity.update(curve_identity(style.name, (values or {}).get(style.name, {})))
        identity.update(region_colors_identity(style.name, (region_colors or {}).get(style.name, ())))
    return identity


def planned_segment_frames(plan: RenderPlan, style: str) -> int | None:
    """The length of segments that was chosen for a style when a plan was made; None if the plan has no such style."""
    chosen = plan.identity.get(f"styles.{style}.motion.segment_frames")
    return chosen if isinstance(chosen, int) else None


def identity_digest(identity: Mapping[str, Any]) -> str:
    """SHA-256 of an identity, in hex."""
    return json_digest(dict(identity))


def alignment_digest(alignment: Alignment | None) -> str | None:
    """SHA-256 of how frames are aligned and fused, in hex; None where they are not."""
    return json_digest(asdict(alignment)) if alignment else None


def exposure_digest(curves: Sequence[ToneCurve]) -> str | None:
    """SHA-256 of the curves that even out the exposure, in hex; None where there are none."""
    return json_digest([list(curve) for curve in curves]) if curves else None


def shot_colors_digest(colors: Sequence[str]) -> str | None:
    """SHA-256 of the colors of the shots, in hex; None where there are none."""
    return json_digest(list(colors)) if colors else None


def _style_identity(style: ResolvedStyle) -> dict[str, Any]:
    """The settings of a style that change pixels, with digests for paths and choices for "auto"."""
    settings: dict[str, Any] = plain_data(style.config.model_dump(include=set(IDENTITY_SECTIONS)))
    _digests_for_paths(settings["style"], style.image_digests)
    for region, digests in zip(settings["regions"], style.regions, strict=True):
        del region["name"]
        if region["style"] is not None:
            _digests_for_paths(region["style"], digests.images)
        region["mask"] = plain_data(digests.mask)
        if not region["luma_only"]:
            del region["luma_only"]  # renders begun before it existed are continued
    if not settings["regions"]:
        del settings["regions"]
    cold = settings["optimize"]["cold"]
    if isinstance(style.config.optimize.cold.init, Path):
        if not style.init_digest:
            raise ValueError(f"style {style.name!r} starts from an image whose digest is not given")
        cold["init"] = style.init_digest
    settings["encoder"] = {"name": style.encoder, "digest": style.encoder_digest}
    settings["optimize"]["precision"] = style.precision
    settings["motion"]["segment_frames"] = style.segment_frames
    for key in _LATER_KEYS:
        section, _, name = key.rpartition(".")
        kept, default = (settings.get(section, {}), _DEFAULTS[section]) if section else (settings, _DEFAULTS)
        if name in kept and kept[name] == default[name]:
            del kept[name]
    if style.flow_digest:
        settings["motion"]["method"] = {"name": style.config.motion.method, "digest": style.flow_digest}
    return settings


def _without_curves(style: ResolvedStyle, flat: Mapping[str, Any]) -> dict[str, Any]:
    """What is not a curve: of curves the values of the frames count, not how they are written."""
    keys = [f"styles.{style.name}.{key}" for key in curves_of(style.config)]
    return {key: value for key, value in flat.items() if not any(f"{key}.".startswith(f"{own}.") for own in keys)}


def _digests_for_paths(style: dict[str, Any], digests: Sequence[str]) -> None:
    """Digests for the paths of the images of a section `style`; `blend` is left out where it has its default."""
    if style["blend"] == "losses":
        del style["blend"]  # renders begun before it existed are continued
    for image, digest in zip(style["images"], digests, strict=True):
        del image["path"]
        image["digest"] = digest


def index_ranges(indices: Sequence[int]) -> str:
    """Which decoded frames are rendered, short: `0:48`, `0:96:2`, `0:10,20:30`. Injective."""
    parts = []
    position = 0
    while position < len(indices):
        step = indices[position + 1] - indices[position] if position + 1 < len(indices) else 1
        stop = position + 1
        while stop < len(indices) and indices[stop] - indices[stop - 1] == step:
            stop += 1
        if step < 1:
            step, stop = 1, position + 1
        end = indices[stop - 1] + 1
        parts.append(f"{indices[position]}:{end}" if step == 1 else f"{indices[position]}:{end}:{step}")
        position = stop
    return ",".join(parts)


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"prefix.a.b": 1}`; entries of a list of mappings are numbered, other lists stay whole."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(number): item for number, item in enumerate(value)}
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat.update(_flat(f"{prefix}.{key}", item))
    return flat
