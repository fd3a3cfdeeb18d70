"""Making a plan from a source, its shots and the styles, before the first frame is stylized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.plan.chains import StyleChains, make_chains
from pipeline.plan.checks import check_plan
from pipeline.plan.curves import FrameValues
from pipeline.plan.identity import ResolvedStyle, identity_digest, make_identity
from pipeline.plan.paths import relative_config, relative_path, relative_source
from pipeline.plan.region_colors import RegionColors
from pipeline.types import RenderPlan, Shot, Source, ToneCurve


def check_names(styles: Sequence[str]) -> None:
    """Raise UsageError if there is no style, or if two have the same name."""
    if not styles:
        raise UsageError("no style given", hint="add --style with a shipped style, a .yaml file or an image")
    twice = next((name for name in styles if styles.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two styles are named {twice!r}", hint="give one of them another name with the key `name` of its config"
        )


def make_plan(
    source: Source,
    width_px: int,
    height_px: int,
    shots: Sequence[Shot],
    styles: Sequence[ResolvedStyle],
    *,
    outputs: Mapping[str, str | Path],
    render_dir: Path,
    exposure: Sequence[ToneCurve] = (),
    levels: Sequence[int] = (),
    contrasts: Sequence[int] = (),
    shot_colors: Sequence[str] = (),
    photo_digests: Sequence[str] = (),
    values: Mapping[str, FrameValues] | None = None,
    region_colors: Mapping[str, RegionColors] | None = None,
) -> RenderPlan:
    """Decide everything before the first frame.

    `width_px` and `height_px` are the size of the stylized frames; `shots` cover all frames of the source without gap;
    `outputs` maps style names to videos; `exposure` has a tone curve for every frame or is empty, `levels` the mean
    and `contrasts` the standard deviation of luma of every frame in hundredths of a level of 255, or they are empty,
    `shot_colors` a sample of the colors of every shot (empty only if no style needs it), `photo_digests` the SHA-256 of
    the photo of every frame; `values` has by style the values of its curves at every frame, `region_colors` the colors
    of its regions in every shot.

    Paths are taken relative to the current folder and stored relative to `render_dir`. Raises UsageError if two styles
    have the same name, ConfigError if they want the input read differently, ValueError (a bug of the caller) if shots,
    curves, levels, contrasts or sizes make no sense.
    """
    check_names([style.name for style in styles])
    identity = make_identity(source, width_px, height_px, shots, styles, exposure, shot_colors, values, region_colors)
    chains = [
        StyleChains(style.name, style.config.seed, style.segment_frames, style.config.motion.hold) for style in styles
    ]
    plan = RenderPlan(
        digest=identity_digest(identity),
        identity=identity,
        source=relative_source(source, render_dir),
        width_px=width_px,
        height_px=height_px,
        shots=tuple(shots),
        chains=make_chains(chains, shots),
        styles={style.name: relative_config(style.config, render_dir) for style in styles},
        outputs={name: relative_path(path, render_dir) for name, path in outputs.items()},
        weights={style.name: relative_path(style.weights, render_dir) for style in styles if style.weights is not None},
        exposure=tuple(exposure),
        levels=tuple(levels),
        contrasts=tuple(contrasts),
        shot_colors=tuple(shot_colors),
        photo_digests=tuple(photo_digests),
    )
    check_plan(plan)
    return plan
