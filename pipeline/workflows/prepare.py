"""Before the first frame: understand the input, resolve the styles, name the outputs, and plan."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.settings import Config, InputSettings, OutputSettings
from pipeline.errors import InputError, Interrupted, TemperaError, UsageError
from pipeline.plan.identity import ResolvedStyle
from pipeline.plan.planning import check_names, make_plan
from pipeline.store.directory import RenderDirectory
from pipeline.types import RenderPlan, Shot, Source, ToneCurve
from pipeline.workflows.input_digest import HashedInput, hash_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.resources import Resources

_Look = tuple[tuple[Shot, ...], tuple[ToneCurve, ...]]
StopRequest = Callable[[], int]
"""Returns the number of the signal that asked for an end, or 0."""

DEFAULT_MAX_SIDE_PX = 1920
"""Inputs larger than this are painted at this size unless --width or --height asks for another."""


ACCELERATOR_SEGMENT_FRAMES = 48
"""Shots are split for accelerators, which paint several segments in the time of one; the CPU gains nothing."""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """What the user asked for. `styles` are complete configs with names and absolute paths."""

    inputs: tuple[str, ...]
    styles: tuple[Config, ...]
    output: Path | None = None
    width_px: int | None = None
    height_px: int | None = None
    frames: tuple[int | None, int | None] | None = None
    fps: Fraction | None = None
    weights: Path | None = None
    workdir: Path | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and everything that is needed to work on it."""

    plan: RenderPlan
    path: Path
    source: Source
    configs: dict[str, Config]
    resources: dict[str, Resources]
    outputs: dict[str, Path]
    hashed: HashedInput


def prepare(request: RenderRequest, reporter: Reporter, stop: StopRequest = lambda: 0) -> Prepared:
    """Understand the input and decide everything; nothing is written.

    Raises the errors of whatever does not fit: input, styles, weights, outputs; Interrupted when `stop` said so.
    """
    from pipeline.media.reader.source import probe
    from pipeline.media.writer.target import check_output

    check_names([style.name for style in request.styles])
    read = request.styles[0].input
    with reporter.stage("reading the input", None):
        source = probe(request.inputs, read, frames=request.frames, fps=request.fps, digest=False)
    for sentence in source.notes:
        reporter.note(f"input: {sentence}")
    if (
        request.fps is not None
        and source.kind == "video"
        and source.frame_count < 0.9 * request.fps * source.duration_s
    ):
        reporter.note(f"--fps {request.fps}: the input has fewer frames per second; none is painted or shown twice")
    width_px, height_px = _size(source, request, reporter)
    outputs = _outputs(source, request)
    for style in request.styles:
        output = outputs[style.name]
        refuse_input(output, source)
        check_output(output, style.output, frame_count=source.frame_count, width_px=width_px, height_px=height_px)
    path = request.workdir or _default_workdir(outputs, request)
    with reporter.stage("checking the input", None):
        hashed = hash_input(source, path, believe=not request.fresh)
    source = replace(source, digest=hashed.digest)
    resolved, resources = resolve_styles(request.styles, request.weights)
    least_px = max(found.encoder.min_side_px if found.encoder else 1 for found in resources.values())
    if min(width_px, height_px) < least_px:
        raise InputError(
            f"{source.path}: {width_px}x{height_px} px is too small to paint, the encoder needs {least_px} px "
            "along each side",
            hint="ask for a larger --width or --height",
        )
    known = _known(path, source, read) if not request.fresh else None
    shots, exposure = known or _look_through(source, request.styles[0], reporter, stop)
    plan = make_plan(source, width_px, height_px, shots, resolved, outputs=outputs, render_dir=path, exposure=exposure)
    configs = {style.name: style for style in request.styles}
    return Prepared(plan, path, source, configs, resources, outputs, hashed)


def resolve_styles(styles: Sequence[Config], weights: Path | None) -> tuple[list[ResolvedStyle], dict[str, Resources]]:
    """Find out what each style means on this machine; equal encoders are loaded once."""
    from pipeline.stylers.resources import find_resources, image_digest

    resolved: list[ResolvedStyle] = []
    resources: dict[str, Resources] = {}
    loaded: dict[tuple[object, ...], Resources] = {}
    for config in styles:
        key = (
            *(config.styler, config.encoder, config.pooling, config.optimize.precision, config.runtime.device),
            config.motion.method,
        )
        if key not in loaded:
            loaded[key] = find_resources(config, weights=weights)
        found = resources[config.name] = loaded[key]
        least_px = found.encoder.min_side_px if found.encoder else 1
        init = config.optimize.cold.init
        resolved.append(
            ResolvedStyle(
                name=config.name,
                config=config,
                image_digests=tuple(image_digest(image.path, min_side_px=least_px) for image in config.style.images),
                encoder=found.encoder.name if found.encoder else "none",
                encoder_digest=found.encoder.digest if found.encoder else "",
                precision=found.precision,
                init_digest=image_digest(init) if isinstance(init, Path) else "",
                weights=weights,
                segment_frames=_segment_frames(config, found),
                flow_digest=found.flow.digest if found.flow else "",
            )
        )
    return resolved, resources


def _segment_frames(config: Config, resources: Resources) -> int:
    """Length of the segments that long shots are split into; 0: they stay whole."""
    if config.styler != "neural" or config.motion.boil == 1:
        return 0
    chosen = config.motion.segment_frames
    if chosen == "auto":
        return 0 if resources.device.type == "cpu" else ACCELERATOR_SEGMENT_FRAMES
    return chosen


def _size(source: Source, request: RenderRequest, reporter: Reporter) -> tuple[int, int]:
    from pipeline.media.image.arrays import fit_size

    width, height = request.width_px, request.height_px
    if width is None and height is None and max(source.width_px, source.height_px) > DEFAULT_MAX_SIDE_PX:
        if source.width_px >= source.height_px:
            width = DEFAULT_MAX_SIDE_PX
        else:
            height = DEFAULT_MAX_SIDE_PX
        size = fit_size(source.width_px, source.height_px, width, height)
        reporter.note(
            f"painting at {size[0]}x{size[1]} px: the input has {source.width_px}x{source.height_px}, "
            "and --width or --height ask for another size"
        )
        return size
    return fit_size(source.width_px, source.height_px, width, height)


def named_outputs(output: Path, styles: Sequence[str]) -> dict[str, Path]:
    """One path per style: `output` itself for a single style, else with the style's name in it."""
    if output.name in ("", ".."):
        raise UsageError(f"-o {output}: is a folder", hint=f"name the file: for example -o {output / 'out.mp4'}")
    if len(styles) == 1:
        return {styles[0]: output}
    if _is_numbered(output):
        return {style: output.parent / style / output.name for style in styles}
    return {style: output.with_name(f"{output.stem}-{style}{output.suffix}") for style in styles}


def _outputs(source: Source, request: RenderRequest) -> dict[str, Path]:
    styles = [style.name for style in request.styles]
    if request.output is not None:
        return named_outputs(request.output, styles)
    suffix = ".png" if source.frame_count == 1 else ".mp4"
    return {style: Path(f"{_input_name(source)}-{style}{suffix}") for style in styles}


def output_files(output: Path, frame_count: int) -> list[Path]:
    """The files that writing `output` makes: one, or one per frame for a name with a number."""
    if not _is_numbered(output):
        return [output]
    return [output.with_name(output.name % index) for index in range(frame_count)]


def _is_numbered(output: Path) -> bool:
    """Whether a folder of pictures is meant, as in `out/%05d.png`, and not a video named `100%.mp4`."""
    return _kind(output) == "stills"


def _kind(output: Path) -> str:
    from pipeline.media.writer.target import resolve

    return resolve(output, OutputSettings()).kind


def _input_name(source: Source) -> str:
    """A short name of the input: the file's stem, or the folder's name for several photos."""
    first = Path(source.files[0])
    return first.stem if source.kind == "video" or len(source.files) == 1 else first.resolve().parent.name


def _default_workdir(outputs: dict[str, Path], request: RenderRequest) -> Path:
    output = request.output or next(iter(outputs.values()))
    if _is_numbered(output):
        folder = output.parent
        return folder / "frames.render" if folder.name in ("", "..") else folder.with_name(f"{folder.name}.render")
    stem = output.stem
    if request.output is None and len(outputs) > 1:
        stem = f"{stem}+{len(outputs) - 1}"
    return output.with_name(f"{stem}.render")


def refuse_input(output: Path, source: Source) -> None:
    """Raise UsageError if writing `output` would replace a file of the input, or add a picture to its folder."""
    inputs = {_file_id(Path(file)) for file in source.files} - {None}
    for file in output_files(output, source.frame_count):
        if _file_id(file) in inputs:
            raise UsageError(f"{file}: is the input itself", hint="choose another name with -o")
    folder = Path(source.path)
    if folder.is_dir() and _kind(output) != "video" and os.path.realpath(output.parent) == os.path.realpath(folder):
        raise UsageError(
            f"{output}: would be taken for a photo of the input the next time", hint="choose another folder with -o"
        )


def _file_id(path: Path) -> tuple[int, int] | None:
    """What two names of one file have in common; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _known(path: Path, source: Source, settings: InputSettings) -> _Look | None:
    """The shots and tone curves of an existing plan for the same frames, so that going on does not look again."""
    try:
        plan = RenderDirectory.open(path).plan
    except TemperaError:
        return None  # opening it to work on it will say what is wrong
    same = plan.source.digest == source.digest and plan.source.decoded_indices == source.decoded_indices
    wanted = {f"input.{key}": getattr(settings, key) for key in ("cuts", "cut_threshold", "deflicker")}
    if not same or any(plan.identity.get(key) != value for key, value in wanted.items()):
        return None
    return tuple(plan.shots), tuple(plan.exposure)


def _look_through(source: Source, config: Config, reporter: Reporter, stop: StopRequest) -> _Look:
    """Decode every frame once, small, for what must be known before the first is painted: cuts and flicker."""
    from pipeline.analysis.cuts import find_cuts, split_shots
    from pipeline.analysis.exposure import MIN_FRAMES, FlickerMeter
    from pipeline.media.reader.source import read_frames

    settings = config.input
    meter = FlickerMeter() if settings.deflicker and source.frame_count >= MIN_FRAMES else None
    seek_cuts = settings.cuts == "auto" and source.frame_count >= 3
    if not seek_cuts and meter is None:
        return split_shots(source.frame_count, []), ()
    goals = " and ".join(["cuts"] * seek_cuts + ["flicker"] * (meter is not None))
    with reporter.stage(f"looking for {goals}", source.frame_count) as advance:
        small = min(1.0, 160 / max(source.width_px, source.height_px))
        width, height = max(1, round(source.width_px * small)), max(1, round(source.height_px * small))
        frames = read_frames(source, width_px=width, height_px=height, settings=settings)

        def pictures() -> Iterator[NDArray[np.uint8]]:
            with closing(frames):
                for frame in frames:
                    if number := stop():
                        raise Interrupted(
                            "stopped before the first frame", hint="run it again to begin", signal_number=number
                        )
                    if meter:
                        meter.add(frame.rgb)
                    yield frame.rgb
                    advance(frame.index + 1)

        cuts: list[int] = []
        if seek_cuts:
            cuts = find_cuts(pictures(), threshold=settings.cut_threshold)
        else:
            deque(pictures(), maxlen=0)
    shots = split_shots(source.frame_count, cuts)
    if meter is None:
        return shots, ()
    flicker = meter.flicker(shots, settings.deflicker)
    if flicker.curves:
        reporter.note(
            f"exposure flicker of {flicker.levels:.1f} levels is evened out (--set input.deflicker=0 leaves it)"
        )
    return shots, flicker.curves
