"""Rendering: understand the input, plan, stylize what is not stored yet, and write the videos."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, InputError, RenderDirectoryError, StylizeError, WriteError
from pipeline.runtime.cancellation import Cancellation
from pipeline.store.directory import RenderDirectory, fresh
from pipeline.store.extension import Extended, extend
from pipeline.store.superseded import PLAN_NAME
from pipeline.workflows.complete import check_disk_space, complete
from pipeline.workflows.forecast.forecast import tell_forecast
from pipeline.workflows.output.replacing import keep_old_video
from pipeline.workflows.prepare import prepare

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.loaded import Loaded
    from pipeline.workflows.request import RenderRequest


def render(
    request: RenderRequest,
    reporter: Reporter,
    cancellation: Cancellation | None = None,
    *,
    loaded: Loaded | None = None,
    with_forecast: bool = False,
) -> list[Path]:
    """Render from the beginning, or go on with what is stored; returns the written videos in the order of the styles.

    A render of the first of these frames gets the others too. Where input or settings are refused before a first frame
    is stored, no plan is left, so that the same command with other settings begins anew.

    `loaded` keeps networks and stylers for the next render of this process. `with_forecast` notes how long it will take
    before it begins, which may take a measurement of two seconds.

    Raises RenderDirectoryError if the directory holds a render with other settings, Interrupted if an end was
    requested, IncompleteError if some chains failed, and the errors of whatever does not fit: input, styles, weights.
    """
    cancellation = cancellation or Cancellation()
    prepared = prepare(request, reporter, cancellation, loaded=loaded)
    check_disk_space(prepared, reporter, anew=request.fresh)
    if request.fresh and (moved := fresh(prepared.path)) is not None:
        reporter.note(f"the old render directory is kept as {moved}")
    for style in prepared.outputs:
        keep_old_video(style, prepared, request, reporter)
    begun = (prepared.path / PLAN_NAME).exists()
    if begun:
        extended = extend(prepared.path, prepared.plan, prepared.configs)
        if extended is not None:
            reporter.note(_in_words(extended))
    directory = RenderDirectory.create(prepared.path, prepared.plan)
    if with_forecast:
        tell_forecast(prepared, reporter)
    try:
        return complete(directory, prepared, reporter, cancellation, loaded=loaded)
    except (ConfigError, InputError, StylizeError):
        if not begun:  # so that the settings that mend this are not other ones than those of a render that is there
            with suppress(RenderDirectoryError, WriteError):
                directory.withdraw()
        raise


def _in_words(extended: Extended) -> str:
    """What became of the frames that a render had, in one sentence without a period."""
    frames = f"{extended.before} frame{'s' * (extended.before != 1)}"
    kept = f"{extended.kept} stored {'one stays' if extended.kept == 1 else 'ones stay'}"
    text = f"the render of {frames} goes on to {extended.now}: {kept}"
    if extended.stale:
        are = "is" if extended.stale == 1 else "are"
        text += f", {extended.stale} {are} stylized anew (the old ones are kept in its folder `plans`)"
    return text
