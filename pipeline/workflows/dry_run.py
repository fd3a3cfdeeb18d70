"""`tempera render --dry-run`: what a render would do, how long it would take and what it would need."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.config.section import curve_lines
from pipeline.plan.comparison import check_same, extends
from pipeline.workflows.forecast.disk import in_words, needs
from pipeline.workflows.forecast.forecast import Forecast, forecast
from pipeline.workflows.input.alignment import alignment_in_words
from pipeline.workflows.missing_weights import missing_weights
from pipeline.workflows.output.replacing import keep_old_video
from pipeline.workflows.output.retime import plays_in_words
from pipeline.workflows.prepare import Prepared, existing_plan, prepare

if TYPE_CHECKING:
    from pipeline.config.settings import Config
    from pipeline.runtime.progress import Reporter
    from pipeline.workflows.request import RenderRequest


def dry_run(request: RenderRequest, reporter: Reporter) -> list[str]:
    """Prepare a render and forecast it, with the time that preparing takes; returns the lines that say so.

    It writes no output and downloads nothing: where weights are missing, the encoder that ships and dense inverse
    search stand in for the networks in the plan, and time and memory are unknown. Raises the errors of `prepare`, and
    those with which the render itself would refuse its directory and its outputs.
    """
    missing = tuple(dict.fromkeys(name for style in request.styles for name in missing_weights(style, request.weights)))
    began = time.perf_counter()
    prepared = prepare(replace(request, styles=tuple(_shipped(style, missing) for style in request.styles)), reporter)
    if not request.fresh:
        for style in prepared.outputs:
            keep_old_video(style, prepared, request, reporter)
        existing = None if missing else existing_plan(prepared.path)
        if existing is not None and not extends(existing, prepared.plan, where=str(prepared.path)):
            check_same(existing, prepared.plan, where=str(prepared.path))
    seconds = time.perf_counter() - began
    found = forecast(prepared, anew=request.fresh, missing=missing)
    if found.seconds is not None:
        found = replace(found, seconds=found.seconds + seconds)
    return _report(prepared, found, anew=request.fresh)


def _report(prepared: Prepared, found: Forecast, *, anew: bool) -> list[str]:
    plan, source = prepared.plan, prepared.source
    lines = [
        f"input      {source.path}: {source.frame_count} frames, {source.duration_s:.2f} s",
        f"size       {plan.width_px}x{plan.height_px} px",
        f"shots      {len(plan.shots)}, chains {len(plan.chains)}",
        f"directory  {prepared.path}",
    ]
    if words := alignment_in_words(source):
        lines.append(f"aligned    {words}")
    for name, path in prepared.outputs.items():
        lines.append(f"output     {path} ({name})")
        lines.append(f"plays      {plays_in_words(path, prepared.configs[name].output, plan, source)}")
    lines += [f"curve      {line}" for line in curve_lines(prepared.configs)]
    lines += [
        f"disk       about {in_words(need.expected)} in {need.path}, {in_words(need.free)} are free"
        for need in needs(plan, prepared.path, prepared.configs, prepared.outputs, anew=anew)
    ]
    lines.append(f"forecast   {found.in_words()}")
    return [*lines, *(f"warning    {sentence}" for sentence in found.warnings())]


def _shipped(style: Config, missing: tuple[str, ...]) -> Config:
    """The style with networks that ship in place of missing ones."""
    changed: dict[str, object] = {"encoder": "compact"} if style.encoder in missing else {}
    if style.motion.method in missing:
        changed["motion"] = style.motion.model_copy(update={"method": "dis"})
    return style.model_copy(update=changed)
