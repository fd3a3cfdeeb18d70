"""Stylizing single frames of a clip as a render would have them: each after a run-up from some frames before it.

The frames are stylized by the very code of a render, in a temporary render directory whose chains are the run-ups: a
chain begins cold some frames before the one that is wanted, but not before its shot, and goes on warm up to it. A frame
less than a run-up behind the start of its shot is exactly that of the render; farther back, the chain began later than
that of the render.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import IncompleteError
from pipeline.execute.session import Session
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import ForwardingReporter
from pipeline.store.directory import RenderDirectory
from pipeline.types import Chain
from pipeline.workflows.masks.regions import with_region_masks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.resources import Resources
    from pipeline.types import Phase, RenderPlan, Shot


def run_up_chains(config: Config, frames: Sequence[int], shots: Sequence[Shot], run_up: int) -> tuple[Chain, ...]:
    """Chains that end with the wanted `frames`, each beginning `run_up` frames before, or with its shot.

    Run-ups that meet are one chain, so that a frame may have a longer one. With `motion.hold` a chain begins where the
    render stylizes a frame. Where every frame is cold there is no run-up. Raises ValueError for a frame of no shot.
    """
    reach = 0 if config.motion.every_frame_cold else run_up
    chains: list[Chain] = []
    for index in sorted(set(frames)):
        shot = next((shot for shot in shots if shot.start <= index < shot.stop), None)
        if shot is None:
            raise ValueError(f"frame {index} is in no shot")
        start = max(shot.start, index - reach)
        start -= (start - shot.start) % config.motion.hold
        if chains and chains[-1].shot == shot.index and start <= chains[-1].stop:
            chains[-1] = replace(chains[-1], stop=index + 1)
        else:
            name = f"preview-{len(chains):03d}"
            chains.append(Chain(name, config.name, shot.index, start, index + 1, config.seed))
    return tuple(chains)


def frames_to_stylize(config: Config, chains: Sequence[Chain]) -> dict[Phase, int]:
    """How many cold and warm frames the chains have."""
    frames = sum(len(chain.frames) for chain in chains)
    cold = frames if config.motion.every_frame_cold else len(chains)
    return {"cold": cold, "warm": frames - cold}


def stylize_run_ups(
    plan: RenderPlan, config: Config, resources: Resources, frames: Sequence[int], reporter: Reporter
) -> dict[int, NDArray[np.uint8]]:
    """The wanted frames, uint8 (H, W, 3) sRGB, as they would be stored; the chains of `plan` are `run_up_chains`.

    The work is reported frame by frame, without a bar of its own. Raises the error of the first chain that fails.
    """
    with tempfile.TemporaryDirectory(prefix="tempera-") as folder:
        directory = RenderDirectory(Path(folder), plan)
        session = Session(directory, plan.source, {config.name: config}, {config.name: resources})
        with directory.lock():
            session = with_region_masks(session, reporter, Cancellation())
            starts = {chain.id: chain.start for chain in plan.chains}
            try:
                session.stylize(starts, _PartOfAll(reporter), Cancellation())
            except IncompleteError as error:
                raise error.__cause__ or error from None  # there is no render that could be gone on with
            return {
                index: directory.read_frame(chain.id, index)
                for chain in plan.chains
                for index in frames
                if index in chain.frames
            }


class _PartOfAll(ForwardingReporter):
    """Reports to a reporter that counts the frames of several sessions together."""

    @contextlib.contextmanager
    def stylizing(self, left: Mapping[Phase, int], done: int) -> Iterator[None]:  # noqa: ARG002 - the protocol's names
        """See `Reporter`: the whole work was announced before."""
        yield
