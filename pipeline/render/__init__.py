"""A whole render: understand the input, plan, paint what is not stored yet, and write the videos."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pipeline
from pipeline.errors import IncompleteError, Interrupted, UsageError
from pipeline.plan import absolute_source, make_plan, output_paths, style_configs, weights_paths
from pipeline.render.deliver import export, write_style
from pipeline.render.prepare import (
    Prepared,
    RenderRequest,
    StopRequest,
    output_files,
    prepare,
    refuse_input,
    resolve_styles,
)
from pipeline.store import RenderDirectory, check_same, fresh
from pipeline.types import Chain, Phase

if TYPE_CHECKING:
    from pipeline.feed import Feed
    from pipeline.progress import Reporter

__all__ = ["Prepared", "RenderRequest", "StopRequest", "export", "prepare", "render", "resume", "resume_command"]

log = logging.getLogger(__name__)

GPU_BATCH = 8
"""Frames in a batch on an accelerator, unless `runtime.batch_size` is set; the CPU gains nothing from batches."""

_WRITTEN = "outputs.txt"
"""In the cache: videos that this render wrote under other names than the plan's, relative to its directory."""


def render(request: RenderRequest, reporter: Reporter, stop: StopRequest) -> list[Path]:
    """Render from the beginning or go on with what is stored; returns the written videos in the order of the styles.

    Raises RenderDirectoryError if the directory holds a render with other settings, Interrupted when `stop` said so,
    IncompleteError if some chains failed.
    """
    prepared = prepare(request, reporter, stop)
    if request.fresh and (moved := fresh(prepared.path)) is not None:
        reporter.note(f"the old render directory is kept as {moved}")
    for output in prepared.outputs.values():
        _keep_old_video(output, prepared, request, reporter)
    directory = RenderDirectory.create(prepared.path, prepared.plan)
    return _work(directory, prepared, reporter, stop)


def resume(path: Path, reporter: Reporter, stop: StopRequest) -> list[Path]:
    """Go on with the render in a directory, wherever it was moved, and write its videos.

    Raises RenderDirectoryError if there is none or if the input, the paintings or the weights have changed since.
    """
    from pipeline.reader import content_digest
    from pipeline.writer import check_output

    directory = RenderDirectory.open(path)
    plan = directory.plan
    configs = style_configs(plan, path)
    source = absolute_source(plan, path)
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
    today = replace(source, digest=content_digest(source))
    wanted = make_plan(today, plan.width_px, plan.height_px, plan.shots, resolved, outputs=outputs, render_dir=path)
    check_same(plan, wanted, where=str(path))
    return _work(directory, Prepared(plan, path, source, configs, resources, outputs), reporter, stop)


def resume_command(path: Path) -> str:
    """The command that goes on with the render in a directory, ready to be pasted into a shell."""
    text = str(path)
    return f"tempera resume {shlex.quote(f'./{text}' if text.startswith('-') else text)}"


def _work(directory: RenderDirectory, prepared: Prepared, reporter: Reporter, stop: StopRequest) -> list[Path]:
    with directory.lock(), _logging_to(directory.log_path):
        log.info("tempera %s works on %s, digest %s", pipeline.__version__, directory.path, directory.plan.digest)
        _paint(directory, prepared, reporter, stop)
        written = []
        for name, config in prepared.configs.items():
            written.append(
                write_style(
                    directory,
                    name,
                    config,
                    prepared.source,
                    output=prepared.outputs[name],
                    reporter=reporter,
                    before_frame=lambda: _heed(stop, directory),
                )
            )
            _remember_output(directory, written[-1])
            log.info("wrote %s", written[-1])
        return written


def _paint(directory: RenderDirectory, prepared: Prepared, reporter: Reporter, stop: StopRequest) -> None:
    """Paint every frame that is not stored yet."""
    from pipeline.feed import Feed
    from pipeline.schedule import run_chains
    from pipeline.styler import build_styler

    plan = directory.plan
    left: dict[Phase, int] = {"cold": 0, "warm": 0}
    styles = set()
    # Thorough: every stored frame is read once, so that a flipped bit anywhere is healed by painting on from there.
    starts = {chain.id: directory.done(chain, thorough=True) for chain in plan.chains}
    for chain in plan.chains:
        missing = chain.left(starts[chain.id])
        if missing:
            styles.add(chain.style)
            cold = missing == len(chain.frames) and not chain.keys
            left["cold"] += cold
            left["warm"] += missing - cold
    if not styles:
        return
    runtime = next(iter(prepared.configs.values())).runtime
    if runtime.threads:
        import torch

        torch.set_num_threads(runtime.threads)
    stylers = {name: build_styler(prepared.configs[name], prepared.resources[name]) for name in styles}
    device = next(iter(prepared.resources.values())).device
    batch_size = runtime.batch_size or (1 if device.type == "cpu" else GPU_BATCH)

    def open_feed(chain: Chain, start: int) -> Feed:
        return Feed(
            prepared.source,
            start=start,
            stop=chain.stop,
            width_px=plan.width_px,
            height_px=plan.height_px,
            settings=prepared.configs[chain.style].input,
            ahead=runtime.prefetch,
        )

    total = sum(len(chain.frames) for chain in plan.chains)
    with reporter.painting(left, total - sum(left.values())):
        outcome = run_chains(
            directory,
            stylers,
            open_feed,
            starts=starts,
            batch_size=batch_size,
            watcher=reporter,
            should_stop=lambda: bool(stop()),
        )
    _heed(stop, directory)
    if outcome.failed:
        again = resume_command(directory.path)
        errors = list(outcome.failed.values())
        if len(outcome.failed) == len(plan.chains):
            raise errors[0]
        raise IncompleteError(
            f"{len(outcome.failed)} of {len(plan.chains)} chains failed: {errors[0].message}",
            hint=f"{errors[0].hint}; then go on with: {again}",
        )


def _heed(stop: StopRequest, directory: RenderDirectory) -> None:
    """Raise Interrupted if the user asked for an end."""
    if number := stop():
        raise Interrupted(
            "every finished frame is stored",
            hint=f"go on with: {resume_command(directory.path)}",
            signal_number=number,
        )


def _keep_old_video(output: Path, prepared: Prepared, request: RenderRequest, reporter: Reporter) -> None:
    """Before the work begins, make sure that its video will not replace one that is not its own."""
    existing = [file for file in output_files(output, prepared.source.frame_count) if file.exists()]
    if not existing or os.path.realpath(output) in _own_outputs(prepared.path):
        return
    if not request.fresh:
        raise UsageError(
            f"{existing[0]}: exists, and is not of this render",
            hint="choose another name with -o, or move the old file away",
        )
    for file in existing:
        number = 1
        while (aside := file.with_name(f"{file.stem}.old-{number}{file.suffix}")).exists():
            number += 1
        file.rename(aside)
    reporter.note(f"the old video is kept as {aside}")


def _own_outputs(path: Path) -> set[str]:
    """Where the render in a directory writes, and has written: videos that it may replace."""
    if not (path / "plan.json").exists():
        return set()
    directory = RenderDirectory.open(path)
    record = directory.cache_path / _WRITTEN
    lines = record.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if record.is_file() else []
    written = (os.path.realpath(path / line) for line in lines)
    return {*map(os.path.realpath, output_paths(directory.plan, path).values()), *written}


def _remember_output(directory: RenderDirectory, output: Path) -> None:
    """Note that a video of another name than the plan's is ours too."""
    if os.path.realpath(output) in _own_outputs(directory.path):
        return
    directory.cache_path.mkdir(exist_ok=True)
    with (directory.cache_path / _WRITTEN).open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(os.path.relpath(os.path.realpath(output), os.path.realpath(directory.path)) + "\n")


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send the package's log to a file of the render directory."""
    logger = logging.getLogger("pipeline")
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
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
