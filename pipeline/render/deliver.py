"""After painting: finish the stored frames and write the videos, as often as wanted and as far as they are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Config, FinishSettings
from pipeline.errors import Interrupted, RenderDirectoryError
from pipeline.plan import absolute_source, output_paths, style_configs
from pipeline.render.prepare import StopRequest, named_outputs, refuse_input
from pipeline.store import RenderDirectory
from pipeline.types import Chain, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.progress import Reporter


def export(
    path: Path,
    output: Path | None,
    reporter: Reporter,
    stop: StopRequest = lambda: 0,
    *,
    fps: Fraction | None = None,
    settings: Callable[[Config], Config] = lambda config: config,
) -> list[Path]:
    """Write the videos of a render again, from the stored frames; also while it is running, as far as it is.

    `output` None writes where the render itself would. `settings` changes the config: what concerns the output.
    Raises RenderDirectoryError if no frame is stored yet, Interrupted when `stop` said so; then no video is changed.
    """

    def heed() -> None:
        if number := stop():
            raise Interrupted("the video is not written", hint="the same command begins it again", signal_number=number)

    directory = RenderDirectory.open(path)
    source = absolute_source(directory.plan, path)
    configs = {name: settings(config) for name, config in style_configs(directory.plan, path).items()}
    outputs = output_paths(directory.plan, path)
    if output is not None:
        outputs = named_outputs(output, list(outputs))
    for target in outputs.values():
        refuse_input(target, source)
    written = []
    for name, config in configs.items():
        ready = _ready(directory, name)
        if ready == 0:
            raise RenderDirectoryError(
                f"{path}: no frame of style {name!r} is stored yet", hint=f"`tempera resume {path}` paints them"
            )
        if ready < source.frame_count:
            reporter.note(f"{name}: {ready} of {source.frame_count} frames are painted; the video ends there")
        part = _shortened(source, ready)
        written.append(
            write_style(
                directory,
                name,
                config,
                part,
                output=outputs[name],
                reporter=reporter,
                fps=fps,
                before_frame=heed,
            )
        )
    return written


def write_style(
    directory: RenderDirectory,
    style: str,
    config: Config,
    source: Source,
    *,
    output: Path,
    reporter: Reporter,
    fps: Fraction | None = None,
    before_frame: Callable[[], None] = lambda: None,
) -> Path:
    """Finish the stored frames of a style and write its video; what `before_frame` raises ends it without a trace."""
    from pipeline.writer import write_video

    with ExitStack() as stack:
        advance = stack.enter_context(reporter.stage(f"writing {output.name}", source.frame_count))
        frames = stack.enter_context(closing(_finished_frames(directory, style, config, source, before_frame)))
        return write_video(output, frames, source=source, settings=config.output, fps=fps, progress=advance)


def _finished_frames(
    directory: RenderDirectory, style: str, config: Config, source: Source, before_frame: Callable[[], None]
) -> Generator[NDArray[np.uint8]]:
    """The delivered frames of a style in order, finished."""
    from pipeline.exposure import correct
    from pipeline.finish import finish
    from pipeline.reader import read_frames

    settings = config.output.finish
    chains = _delivered(directory, style)
    indices = ((chain, index) for chain in chains for index in range(chain.start, chain.stop))
    plan = directory.plan
    if settings == FinishSettings():
        for chain, index in indices:
            before_frame()
            if index < source.frame_count:
                yield directory.read_frame(chain.id, index)
        return
    contents = read_frames(source, width_px=plan.width_px, height_px=plan.height_px, settings=config.input)
    with closing(contents):
        for (chain, index), content in zip(indices, contents, strict=False):
            before_frame()
            styled = directory.read_frame(chain.id, index)
            evened = correct(content.rgb, plan.exposure[index]) if plan.exposure else content.rgb
            yield finish(styled, evened, settings, index=index, seed=config.seed)


def _delivered(directory: RenderDirectory, style: str) -> list[Chain]:
    """The chains whose frames make the video of a style, in order."""
    chains = (chain for chain in directory.plan.chains if chain.style == style and chain.delivered)
    return sorted(chains, key=lambda chain: chain.start)


def _ready(directory: RenderDirectory, style: str) -> int:
    """How many frames of a style are stored without a gap from the first one."""
    ready = 0
    for chain in _delivered(directory, style):
        ready = max(chain.start, min(chain.stop, directory.done(chain)))
        if ready < chain.stop:
            break
    return ready


def _shortened(source: Source, count: int) -> Source:
    """The first `count` frames of a source."""
    if count == source.frame_count:
        return source
    return replace(
        source,
        pts=source.pts[:count],
        picks=source.picks[:count],
        stream_pts=source.stream_pts[:count],
        duration_ticks=source.pts[count] - source.pts[count - 1],
    )
