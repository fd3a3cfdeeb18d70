"""Running one chain in another process: the job that is sent there, and the function that runs it.

A chain is the unit of order, resume and distribution. The process that holds the lock of a render may let other
processes stylize chains of it: each gets a `ChainJob`, opens the render itself, and writes under the holder's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RenderDirectoryError
from pipeline.plan.edits import runs
from pipeline.plan.identity import make_identity
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.edits import stored_edits
from pipeline.workflows.opened import OpenedRender, open_render
from pipeline.workflows.resolve import resolve_styles

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter
    from pipeline.store.lock import LockToken
    from pipeline.stylers.resources import Resources


@dataclass(frozen=True, slots=True)
class ChainJob:
    """One chain of the render in `path`, to be continued from frame `start`; can be pickled.

    `token` is the right to write, given by the holder of the render's lock. The keyframes that the chain starts from
    must be stored, and no other process may work on the same chain.
    """

    path: Path
    chain_id: str
    start: int
    token: LockToken


def run_chain(job: ChainJob, reporter: Reporter | None = None, cancellation: Cancellation | None = None) -> None:
    """Stylize and store what is left of a chain, in this process; up to the next frame that an edit gives.

    Raises RenderDirectoryError if the render or the right to write is gone, or if the style's images or networks on
    this machine are not those of the render, and what `Session.stylize` raises.
    """
    from pipeline.execute.session import Session
    from pipeline.workflows.masks.regions import with_region_masks

    reporter, cancellation = reporter or SilentReporter(), cancellation or Cancellation()
    opened = open_render(job.path)
    chain = opened.directory.chain(job.chain_id)
    session = Session(
        opened.directory,
        opened.source,
        {chain.style: opened.configs[chain.style]},
        {chain.style: _resources(opened, chain.style, reporter)},
    )
    run = next((run for run in runs(stored_edits(opened.directory), chain) if job.start in run.frames), None)
    current = {} if run is None else {chain.id: run}
    with opened.directory.join(job.token):
        session = with_region_masks(session, reporter, cancellation)
        session.stylize({chain.id: job.start}, reporter, cancellation, current)


def _resources(opened: OpenedRender, style: str, reporter: Reporter) -> Resources:
    """The networks of a style on this machine. Raises RenderDirectoryError if they are not those of the plan."""
    plan = opened.plan
    resolved, resources = resolve_styles((opened.configs[style],), opened.weights.get(style), reporter, plan=plan)
    here = make_identity(opened.source, plan.width_px, plan.height_px, plan.shots, resolved)
    prefix = f"styles.{style}."
    for key, value in here.items():
        if key.startswith(prefix) and plan.identity.get(key) != value:
            raise RenderDirectoryError(
                f"{opened.path}: {key} was {plan.identity.get(key)!r} when the render began, and is {value!r} here",
                hint="give this machine the same style images and weights",
            )
    return resources[style]
