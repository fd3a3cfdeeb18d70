"""A whole render: understand the input, plan, paint what is not stored yet, and write the videos."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pipeline
from pipeline.config.settings import Config, MotionSettings
from pipeline.errors import IncompleteError, InputError, Interrupted
from pipeline.execute.background_check import stylize_checked
from pipeline.plan.identity import check_same
from pipeline.plan.paths import absolute_source, output_paths, style_configs, weights_paths
from pipeline.plan.planning import make_plan
from pipeline.store.directory import RenderDirectory, fresh
from pipeline.store.videos import delivered
from pipeline.types import Chain, Frame, Phase, Styler
from pipeline.workflows.export import export, write_style
from pipeline.workflows.input_digest import hash_input, remember_input
from pipeline.workflows.outputs import check_delivered, keep_old_video
from pipeline.workflows.prepare import Prepared, RenderRequest, StopRequest, prepare, refuse_input, resolve_styles
from pipeline.workflows.space import check_space, needs

if TYPE_CHECKING:
    from pipeline.execute.prefetch import Feed
    from pipeline.runtime.progress import Reporter

__all__ = ["Prepared", "RenderRequest", "StopRequest", "export", "prepare", "render", "resume", "resume_command"]

log = logging.getLogger(__name__)

GPU_BATCH = 8
"""Frames in a batch on an accelerator, unless `runtime.batch_size` is set; the CPU gains nothing from batches."""


def render(request: RenderRequest, reporter: Reporter, stop: StopRequest) -> list[Path]:
    """Render from the beginning or go on with what is stored; returns the written videos in the order of the styles.

    Raises RenderDirectoryError if the directory holds a render with other settings, Interrupted when `stop` said so,
    IncompleteError if some chains failed.
    """
    prepared = prepare(request, reporter, stop)
    _look_for_space(prepared, reporter, anew=request.fresh)
    if request.fresh and (moved := fresh(prepared.path)) is not None:
        reporter.note(f"the old render directory is kept as {moved}")
    for output in prepared.outputs.values():
        keep_old_video(output, prepared, request, reporter)
    directory = RenderDirectory.create(prepared.path, prepared.plan)
    return _work(directory, prepared, reporter, stop)


def resume(path: Path, reporter: Reporter, stop: StopRequest) -> list[Path]:
    """Go on with the render in a directory, wherever it was moved, and write its videos.

    Raises RenderDirectoryError if there is none or if the input, the paintings or the weights have changed since.
    """
    from pipeline.media.writer.target import check_output

    directory = RenderDirectory.open(path)
    plan = directory.plan
    configs = style_configs(plan, path)
    source = absolute_source(plan, path)
    if not Path(source.files[0]).exists():
        raise InputError(
            f"{source.files[0]}: the input of this render is not there",
            hint="put it back, or give the command that began the render again, with where the input is now and "
            f"--workdir {shlex.quote(str(path))}",
        )
    weights = weights_paths(plan, path)
    resolved, resources = [], {}
    for name, config in configs.items():
        (style,), own = resolve_styles((config,), weights.get(name))
        resolved.append(style)
        resources.update(own)
    outputs = output_paths(plan, path)
    for name, output in outputs.items():
        refuse_input(output, source)
        check_output(
            output,
            configs[name].output,
            frame_count=source.frame_count,
            width_px=plan.width_px,
            height_px=plan.height_px,
        )
    with reporter.stage("checking the input", None):
        hashed = hash_input(source, path)
    wanted = make_plan(
        replace(source, digest=hashed.digest),
        plan.width_px,
        plan.height_px,
        plan.shots,
        resolved,
        outputs=outputs,
        render_dir=path,
        exposure=plan.exposure,
    )
    check_same(plan, wanted, where=str(path))
    prepared = Prepared(plan, path, source, configs, resources, outputs, hashed)
    _look_for_space(prepared, reporter)
    return _work(directory, prepared, reporter, stop)


def resume_command(path: Path) -> str:
    """The command that goes on with the render in a directory, ready to be pasted into a shell."""
    text = str(path)
    return f"tempera resume {shlex.quote(f'./{text}' if text.startswith('-') else text)}"


def _work(directory: RenderDirectory, prepared: Prepared, reporter: Reporter, stop: StopRequest) -> list[Path]:
    with directory.lock(), _logging_to(directory.log_path):
        log.info("tempera %s works on %s, digest %s", pipeline.__version__, directory.path, directory.plan.digest)
        remember_input(directory, prepared.hashed)
        done = check_delivered(directory, prepared.outputs)
        for name, output in done.items():
            reporter.note(
                f"{name}: {output} is written and verified, and its frames were removed; nothing is left to do"
            )
        stylize_checked(
            directory,
            reporter,
            lambda starts, watcher, halted: _paint(directory, prepared, watcher, stop, starts, halted),
            finished=done,
            before_look=lambda: _raise_if_cancelled(stop, directory),
        )
        written = []
        for name, config in prepared.configs.items():
            if name in done:
                written.append(prepared.outputs[name])
                continue
            written.append(
                write_style(
                    directory,
                    name,
                    config,
                    prepared.source,
                    output=prepared.outputs[name],
                    reporter=reporter,
                    before_frame=lambda: _raise_if_cancelled(stop, directory),
                )
            )
            log.info("wrote %s", written[-1])
        return written


def _look_for_space(prepared: Prepared, reporter: Reporter, *, anew: bool = False) -> None:
    """Refuse what cannot fit on the disk, and say so where it is tight."""
    done = () if anew else delivered(RenderDirectory(prepared.path, prepared.plan))
    configs = {name: config for name, config in prepared.configs.items() if name not in done}
    for sentence in check_space(needs(prepared.plan, prepared.path, configs, prepared.outputs, anew=anew)):
        reporter.note(sentence)


def _paint(
    directory: RenderDirectory,
    prepared: Prepared,
    reporter: Reporter,
    stop: StopRequest,
    starts: Mapping[str, int],
    halted: Callable[[], bool],
) -> None:
    """Paint every chain from where `starts` says, until it is done or `halted` says that there is news."""
    from pipeline.analysis.exposure import correction
    from pipeline.execute.prefetch import Feed, PrefetchOptions, prefetched_frames
    from pipeline.execute.scheduler import run_chains
    from pipeline.media.reader.source import read_frames
    from pipeline.stylers.table import build_styler

    plan = directory.plan
    styles = {chain.style for chain in plan.chains if chain.remaining(starts[chain.id])}
    if not styles:
        return
    runtime = next(iter(prepared.configs.values())).runtime
    if runtime.threads:
        import torch

        torch.set_num_threads(runtime.threads)
    stylers = {name: build_styler(prepared.configs[name], prepared.resources[name]) for name in styles}
    anew = {name: _every_frame_anew(styler, prepared.configs[name]) for name, styler in stylers.items()}
    left: dict[Phase, int] = {"cold": 0, "warm": 0}
    for chain in plan.chains:
        missing = chain.remaining(starts[chain.id])
        if missing:
            cold = int(missing == len(chain.frames) and not chain.keyframe_chain)
            if anew[chain.style]:
                cold = missing
            left["cold"] += cold
            left["warm"] += missing - cold
    device = next(iter(prepared.resources.values())).device
    batch_size = runtime.batch_size or (1 if device.type == "cpu" else GPU_BATCH)

    corrected = correction(plan.exposure)

    def open_feed(chain: Chain, start: int) -> Feed:
        config, shot = prepared.configs[chain.style], plan.shots[chain.shot]

        def read(first: int, stop: int) -> Generator[Frame]:
            frames = read_frames(
                prepared.source,
                start=first,
                stop=stop,
                width_px=plan.width_px,
                height_px=plan.height_px,
                settings=config.input,
            )
            with closing(frames):
                for frame in frames:
                    yield frame if corrected is None else replace(frame, rgb=corrected(frame.index, frame.rgb))

        settings = MotionSettings(boil=1, hold=config.motion.hold) if anew[chain.style] else config.motion
        look = PrefetchOptions(
            settings,
            earlier=config.losses.temporal.long_term,
            origin=shot.start,
            goal=chain.stop if chain.keyframe_chain and chain.stop < shot.stop else -1,
            network=prepared.resources[chain.style].flow,
        )
        return Feed(prefetched_frames(chain, start, read, look), ahead=runtime.prefetch)

    total = sum(len(chain.frames) for chain in plan.chains)
    with reporter.stylizing(left, total - sum(left.values())):
        outcome = run_chains(
            directory,
            stylers,
            open_feed,
            starts=starts,
            batch_size=batch_size,
            watcher=reporter,
            should_stop=lambda: bool(stop()) or halted(),
        )
    _raise_if_cancelled(stop, directory)
    if outcome.failed:
        again = resume_command(directory.path)
        errors = list(outcome.failed.values())
        if len(outcome.failed) == len(plan.chains):
            raise errors[0]
        raise IncompleteError(
            f"{len(outcome.failed)} of {len(plan.chains)} chains failed: {errors[0].message}",
            hint=f"{errors[0].hint}; then go on with: {again}",
        )


def _every_frame_anew(styler: Styler, config: Config) -> bool:
    """Whether no frame starts from previous ones: the styler does not use them, or boil is 1."""
    return not styler.uses_previous_frames or config.motion.boil == 1


def _raise_if_cancelled(stop: StopRequest, directory: RenderDirectory) -> None:
    """Raise Interrupted if the user asked for an end."""
    if number := stop():
        raise Interrupted(
            "every finished frame is stored",
            hint=f"go on with: {resume_command(directory.path)}",
            signal_number=number,
        )


class _LogFile(logging.FileHandler):
    """A log that is silent on a full disk, where what matters is said by others."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.FileHandler`."""
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """See `logging.Handler`."""

    def close(self) -> None:
        """See `logging.FileHandler`."""
        with suppress(OSError):
            super().close()


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send the package's log to a file of the render directory."""
    logger = logging.getLogger("pipeline")
    handler = _LogFile(path, encoding="utf-8", errors="backslashreplace", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
