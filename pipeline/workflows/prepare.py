"""Before the first frame: understand the input, resolve the styles, name the outputs, and plan."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config.settings import Config
from pipeline.errors import InputError, TemperaError, UsageError
from pipeline.media.reader.timing import check_slice
from pipeline.plan.planning import check_names, make_plan
from pipeline.runtime.cancellation import Cancellation
from pipeline.store.directory import RenderDirectory
from pipeline.types import RenderPlan, Source
from pipeline.workflows.input.alignment import aligned, grouped
from pipeline.workflows.input.digest import HashedInput, hash_input
from pipeline.workflows.input.driving import curve_values
from pipeline.workflows.input.first_pass import FirstPass, first_pass, known_first_pass
from pipeline.workflows.input.framing import cropped, same_aspect, with_bars
from pipeline.workflows.masks.region_colors import measured_region_colors
from pipeline.workflows.masks.regions import check_region_masks
from pipeline.workflows.output.finished import grade_lut
from pipeline.workflows.output.framed import output_framing, shown_times
from pipeline.workflows.output.names import check_outputs, default_outputs, default_workdir
from pipeline.workflows.output.retime import check_times, output_timeline
from pipeline.workflows.resolve import check_same_runtime, resolve_styles

if TYPE_CHECKING:
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.loaded import Loaded
    from pipeline.stylers.resources import Resources
    from pipeline.workflows.request import RenderRequest

DEFAULT_MAX_SIDE_PX: Final = 1920
"""Larger inputs of several frames are stylized at this size unless --width or --height asks for another."""

LOOK_AHEAD: Final = 120
"""So many frames behind a part of the input are looked through with it. Cuts and tone curves depend on at most about 90
(a block of the flicker, half of one at the end of a shot), so those of the part are the same in a longer render."""

THUMBNAIL_SIDE_PX: Final = 160
"""Longer side of the frames in which cuts, exposure flicker and levels are found."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and everything that is needed to work on it; `source` and all paths work from the current folder.

    `weights` has by style the weights file, where one was given.
    """

    plan: RenderPlan
    path: Path
    source: Source
    configs: dict[str, Config]
    resources: dict[str, Resources]
    outputs: dict[str, Path]
    hashed: HashedInput
    weights: dict[str, Path]


def prepare(
    request: RenderRequest,
    reporter: Reporter,
    cancellation: Cancellation | None = None,
    *,
    loaded: Loaded | None = None,
) -> Prepared:
    """Understand the input and decide everything; nothing is written. `loaded` has what other renders loaded.

    Raises the errors of whatever does not fit: input, styles, weights, outputs; Interrupted if an end was requested.
    """
    from pipeline.media.reader.thumbnails import Thumbnails

    with Thumbnails(THUMBNAIL_SIDE_PX) as thumbnails:
        return _prepare(request, reporter, cancellation or Cancellation(), thumbnails, loaded)


def _prepare(
    request: RenderRequest,
    reporter: Reporter,
    cancellation: Cancellation,
    thumbnails: Thumbnails,
    loaded: Loaded | None,
) -> Prepared:
    """`prepare`, with the small frames that are kept when the input is decoded."""
    from pipeline.media.writer.unused import note_unused

    check_names([style.name for style in request.styles])
    check_same_runtime(request.styles)
    read = request.styles[0].input
    source = _read_input(request, reporter, thumbnails)
    outputs = default_outputs(source, request)
    path = request.workdir or default_workdir(outputs, request)
    existing = None if request.fresh else existing_plan(path)
    source = aligned(source, read, reporter, cancellation, existing)
    source = cropped(source, request.width_px, request.height_px, read)
    if source.uncropped_px is not None:
        reporter.note(f"input: {source.notes[-1]}")
    width_px, height_px = render_size(source, request.width_px, request.height_px, reporter)
    request = replace(request, styles=with_bars(request.styles, source, request.width_px, request.height_px))
    configs = {style.name: style for style in request.styles}
    check_outputs(outputs, configs, source, (width_px, height_px))
    for name, style in configs.items():
        note_unused(outputs[name], style.output, reporter.note)
        grade_lut(style.output.finish)
    with reporter.stage("checking the input", None):
        hashed = hash_input(source, path, use_note=not request.fresh)
    source = replace(source, digest=hashed.digest)
    resolved, resources = resolve_styles(
        request.styles, request.weights, reporter, frame_count=source.frame_count, plan=existing, loaded=loaded
    )
    _check_least_size(source, (width_px, height_px), resources)
    known = None if existing is None else known_first_pass(existing, source, read)
    looked = known or _look_through(source, request, reporter, cancellation, thumbnails)
    for style in request.styles:
        check_region_masks(style, source, (width_px, height_px), looked.shots)
    plan = make_plan(
        source,
        width_px,
        height_px,
        looked.shots,
        resolved,
        outputs=outputs,
        render_dir=path,
        exposure=looked.exposure,
        levels=looked.levels,
        contrasts=looked.contrasts,
        shot_colors=looked.shot_colors,
        photo_digests=hashed.photos,
        values={
            style.name: curve_values(style, source, looked, thumbnails, reporter, cancellation)
            for style in request.styles
        },
        region_colors={
            style.name: measured_region_colors(style, source, looked, thumbnails, reporter, cancellation)
            for style in request.styles
        },
    )
    _check_clip(plan, source, configs, outputs, reporter)
    weights = {style.name: style.weights for style in resolved if style.weights is not None}
    return Prepared(plan, path, source, configs, resources, outputs, hashed, weights)


def _read_input(request: RenderRequest, reporter: Reporter, thumbnails: Thumbnails) -> Source:
    """The source of a request, its photos grouped where they are fused; what is odd about it is noted."""
    from pipeline.media.reader.source import probe

    read = request.styles[0].input
    with reporter.stage("reading the input", None):
        kept = None if _is_part(request) else thumbnails  # those of a part are read with the frames behind it
        source = probe(request.inputs, read, frames=request.frames, fps=request.fps, digest=False, thumbnails=kept)
    if (
        request.fps is not None
        and source.kind == "video"
        and source.frame_count < 0.9 * request.fps * source.duration_s
    ):
        reporter.note(f"--fps {request.fps}: the input has fewer frames per second; none is stylized or shown twice")
    source = grouped(source, read)
    for sentence in source.notes:
        reporter.note(f"input: {sentence}")
    return source


def _check_least_size(source: Source, size_px: tuple[int, int], resources: dict[str, Resources]) -> None:
    """Raise InputError for frames of `size_px`, (width, height), that are too small for an encoder."""
    least_px = max(found.encoder.min_side_px if found.encoder else 1 for found in resources.values())
    if min(size_px) < least_px:
        raise InputError(
            f"{source.path}: {size_px[0]}x{size_px[1]} px is too small, the encoder needs {least_px} px along each "
            "side",
            hint="ask for a larger --width or --height",
        )


def _check_clip(
    plan: RenderPlan, source: Source, configs: dict[str, Config], outputs: dict[str, Path], reporter: Reporter
) -> None:
    """Raise the errors of settings of the output that do not fit the clip."""
    for name, style in configs.items():
        timeline = output_timeline(style.output, plan, source, outputs[name])
        output_framing(style.output, (plan.width_px, plan.height_px), shown_times(source, timeline))
        check_times(outputs[name], style.output, source, timeline)
        if style.motion.loop and len(plan.shots) > 1:
            reporter.note(f"{name}: motion.loop does nothing here: the clip has cuts, and only one shot can be a loop")


def _is_part(request: RenderRequest) -> bool:
    return request.frames is not None and request.frames[1] is not None


def _look_through(
    source: Source, request: RenderRequest, reporter: Reporter, cancellation: Cancellation, thumbnails: Thumbnails
) -> FirstPass:
    """The first pass; of a part of the input with the frames behind it, if they can be read."""
    config = request.styles[0]
    wider = _wider(source, request, thumbnails)
    if wider is not None:
        with suppress(InputError):  # a photo behind the part is damaged
            return first_pass(wider, config, reporter, cancellation, thumbnails, source.frame_count)
    return first_pass(source, config, reporter, cancellation, thumbnails)


def _wider(source: Source, request: RenderRequest, thumbnails: Thumbnails) -> Source | None:
    """The frames of a part of the input and `LOOK_AHEAD` more, or up to its end; None if they are not to be read."""
    from pipeline.media.reader.source import probe

    start, stop, step = check_slice(request.frames)
    if stop is None or source.frame_count < 2 or source.damaged or source.alignment is not None:
        return None
    for end in (stop + LOOK_AHEAD * step, None):
        try:
            wider = probe(
                request.inputs,
                request.styles[0].input,
                frames=(start, end, step),
                fps=request.fps,
                digest=False,
                thumbnails=thumbnails,
            )
        except UsageError:
            continue  # the input ends before
        except InputError:
            return None
        same = wider.decoded_indices[: source.frame_count] == source.decoded_indices
        if not same or wider.damaged:
            return None
        return replace(wider, width_px=source.width_px, height_px=source.height_px, uncropped_px=source.uncropped_px)
    return None


def existing_plan(path: Path) -> RenderPlan | None:
    """The plan of the render in a directory, None if there is none that can be read."""
    try:
        return RenderDirectory.open(path).plan
    except TemperaError:
        return None  # the error is reported when the directory is opened for work


def render_size(source: Source, width: int | None, height: int | None, reporter: Reporter) -> tuple[int, int]:
    """Width and height in px at which a render stylizes the frames, given those that were asked for.

    With both, those where the source is cropped to them or has their aspect, else the largest size inside that box.
    """
    from pipeline.media.image.arrays import fit_size

    if width is not None and height is not None and (source.uncropped_px or same_aspect(source, width, height)):
        return width, height
    large = source.frame_count > 1 and max(source.width_px, source.height_px) > DEFAULT_MAX_SIDE_PX
    if large and width is None and height is None:
        if source.width_px >= source.height_px:
            width = DEFAULT_MAX_SIDE_PX
        else:
            height = DEFAULT_MAX_SIDE_PX
        size = fit_size(source.width_px, source.height_px, width, height)
        reporter.note(
            f"stylizing at {size[0]}x{size[1]} px: the input has {source.width_px}x{source.height_px}, "
            "and --width or --height ask for another size"
        )
        return size
    return fit_size(source.width_px, source.height_px, width, height)
