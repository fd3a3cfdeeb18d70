"""Completing a render: stylize what is not stored yet, then write the videos. Used by `render` and `resume`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime.cancellation import Cancellation
from pipeline.store.directory import RenderDirectory, resume_command
from pipeline.store.edits import describe_edit, restore_pinned
from pipeline.store.videos import exported as exported_videos
from pipeline.version import __version__
from pipeline.workflows.export import write_style
from pipeline.workflows.forecast.disk import check_space, needs
from pipeline.workflows.forecast.seen import Seen
from pipeline.workflows.input.digest import remember_input
from pipeline.workflows.log_file import logging_to
from pipeline.workflows.opened import remember_where
from pipeline.workflows.output.replacing import check_exported
from pipeline.workflows.output.retime import output_timeline
from pipeline.workflows.prepare import Prepared

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.loaded import Loaded

log = logging.getLogger(__name__)


def complete(
    directory: RenderDirectory,
    prepared: Prepared,
    reporter: Reporter,
    cancellation: Cancellation,
    *,
    loaded: Loaded | None = None,
) -> list[Path]:
    """Stylize every frame that is not stored yet and write the videos, in the order of the styles.

    Raises Interrupted if an end was requested, IncompleteError if some chains failed, and the errors of the store, the
    stylers and the writer.
    """
    from pipeline.execute.background_check import stylize_checked
    from pipeline.execute.session import Session
    from pipeline.workflows.masks.regions import with_region_masks

    checkpoint = cancellation.checkpoint(
        "every finished frame is stored", hint=f"go on with: {resume_command(directory.path)}"
    )
    with directory.lock(), logging_to(directory.log_path):
        log.info("tempera %s works on %s, digest %s", __version__, directory.path, directory.plan.digest)
        remember_input(directory, prepared.hashed)
        remember_where(directory, prepared.source, prepared.configs, prepared.weights)
        exported = check_exported(directory, prepared.outputs)
        for name, output in exported.items():
            reporter.note(
                f"{name}: {output} is written and verified, and its frames were removed; nothing is left to do"
            )
        session = Session(directory, prepared.source, prepared.configs, prepared.resources, loaded=loaded)
        session = with_region_masks(session, reporter, cancellation)
        edits = restore_pinned(directory)
        for edit in edits:
            reporter.note(describe_edit(directory, edit))
        seen = Seen(reporter, prepared)
        try:
            stylize_checked(session, seen, cancellation, checkpoint=checkpoint, exported=exported, edits=edits)
            return [
                exported[name]
                if name in exported
                else _write(directory, prepared, name, seen, cancellation, checkpoint)
                for name in prepared.configs
            ]
        finally:
            seen.remember()


def check_disk_space(prepared: Prepared, reporter: Reporter, *, anew: bool = False) -> None:
    """Raise WriteError for what cannot fit on the disk, and note where it is tight.

    With `anew` stored frames are ignored.
    """
    done = () if anew else exported_videos(RenderDirectory(prepared.path, prepared.plan))
    configs = {name: config for name, config in prepared.configs.items() if name not in done}
    for sentence in check_space(needs(prepared.plan, prepared.path, configs, prepared.outputs, anew=anew)):
        reporter.note(sentence)


def _write(
    directory: RenderDirectory,
    prepared: Prepared,
    style: str,
    seen: Seen,
    cancellation: Cancellation,
    checkpoint: Callable[[], None],
) -> Path:
    config, output = prepared.configs[style], prepared.outputs[style]
    with seen.writing(style):
        write_style(
            directory,
            style,
            config,
            prepared.source,
            output_timeline(config.output, prepared.plan, prepared.source, output),
            output=output,
            reporter=seen,
            cancellation=cancellation,
            checkpoint=checkpoint,
        )
    log.info("wrote %s", output)
    return output
