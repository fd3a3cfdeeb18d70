"""One session of work on a render: builds the stylers and runs the chains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pipeline.errors import IncompleteError
from pipeline.execute.batch_size import automatic_batch_size, frame_bytes
from pipeline.execute.chain_frames import ChainFrame, ChainSettings, chain_frames
from pipeline.execute.growth import GrowthKeeper
from pipeline.execute.prefetch import Prefetcher
from pipeline.execute.scheduler import run_chains
from pipeline.plan.chains import phases_left
from pipeline.plan.curves import planned_values, recent_changes, values_at
from pipeline.plan.segments import APPROACH_FRAMES, Segments
from pipeline.runtime.hashing import canonical_json
from pipeline.store.directory import resume_command
from pipeline.stylers.shot_colors import ShotStylers, planned_colors
from pipeline.stylers.table import build_stylers
from pipeline.types import Observable

if TYPE_CHECKING:
    from pipeline.config.settings import Config
    from pipeline.plan.curves import FrameValues
    from pipeline.plan.edits import Run
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.stylers.loaded import Loaded
    from pipeline.stylers.resources import Resources
    from pipeline.types import Chain, Frame, Masks, Phase, Source, Styler

ACCELERATOR_GROUPS: Final = 2
"""Groups of chains on an accelerator: one is prepared on the CPU while the other is stylized. On the CPU there is one,
because preparing takes the cores from stylizing."""


@dataclass(frozen=True, slots=True)
class Session:
    """What working on a render needs: `configs` and `resources` by style name, all with the same runtime settings.

    `masks` by style name are those of the regions of styles that have some, in order.
    `loaded` keeps the stylers for other renders with the same styles.
    """

    directory: RenderDirectory
    source: Source
    configs: Mapping[str, Config]
    resources: Mapping[str, Resources]
    masks: Mapping[str, Masks] = field(default_factory=dict)
    loaded: Loaded | None = None

    def stylize(
        self,
        starts: Mapping[str, int],
        reporter: Reporter,
        cancellation: Cancellation,
        runs: Mapping[str, Run] | None = None,
    ) -> None:
        """Stylize the chains that `starts` names, each from the frame it gives, until all are done or have failed.

        `runs` by id: chains of which only this run is stylized now; `starts` lies in it.
        Ends early, without an error, when a part of the work is cancelled. Raises Interrupted if the user asked for an
        end, the error of the first chain if all failed, IncompleteError with that error as its cause if some failed,
        and what `run_chains` raises.
        """
        runs = runs or {}
        stops = {id_: run.stop for id_, run in runs.items()}
        planned = [replace(chain, stop=stops.get(chain.id, chain.stop)) for chain in self.directory.plan.chains]
        chains = [chain for chain in planned if starts.get(chain.id, chain.stop) < chain.stop]
        if not chains:
            return
        from pipeline.runtime.device import use_threads

        runtime = next(iter(self.configs.values())).runtime
        use_threads(runtime.threads)
        styles = {chain.style for chain in chains}
        stylers = {name: self._stylers(name, reporter) for name in styles}
        growth = GrowthKeeper(self.directory, runtime.save_every, reporter.note) if runtime.save_every else None
        for styler in stylers.values():
            if isinstance(styler, Observable):
                styler.observer = growth
        device = next(iter(self.resources.values())).device
        size = self.directory.plan.height_px, self.directory.plan.width_px
        largest = max(frame_bytes(self.configs[name], self.resources[name], size) for name in styles)
        left: Counter[Phase] = Counter()
        for chain in chains:
            missing = chain.remaining(starts[chain.id])
            left.update(phases_left(chain, missing, every_frame_cold=self.configs[chain.style].motion.every_frame_cold))
        total = sum(len(chain.frames) for chain in self.directory.plan.chains)
        with reporter.stylizing(left, total - sum(left.values())):
            failed = run_chains(
                self.directory,
                stylers,
                lambda chain, start: self._open_frames(chain, start, runs.get(chain.id)),
                starts=starts,
                stops=stops,
                batch_size=runtime.batch_size or automatic_batch_size(device, largest),
                groups=1 if device.type == "cpu" else ACCELERATOR_GROUPS,
                device=device if device.type == "cuda" else None,  # others may not take copies from several threads
                begin_batch=None if growth is None else growth.begin,
                reporter=reporter,
                cancellation=cancellation,
            )
        hint = f"go on with: {resume_command(self.directory.path)}"
        cancellation.raise_if_requested("every finished frame is stored", hint=hint)
        if len(failed) == len(starts):
            raise next(iter(failed.values()))
        if failed:
            first = next(iter(failed.values()))
            raise IncompleteError(
                f"{len(failed)} of {len(starts)} chains failed: {first.message}", hint=f"{first.hint}; then {hint}"
            ) from first

    def _stylers(self, style: str, reporter: Reporter) -> Styler | ShotStylers:
        """The stylers of a style; of shared ones the notes go to the reporter that they were built with."""
        plan, config, resources = self.directory.plan, self.configs[style], self.resources[style]

        def build() -> Styler | ShotStylers:
            return build_stylers(config, resources, reporter.note, planned_colors(plan, config))

        if self.loaded is None:
            return build()
        # The identity of a style is everything that changes its pixels.
        prefix = f"styles.{style}."
        settings = {key: value for key, value in plan.identity.items() if key.startswith(prefix)}
        shots = plan.shot_colors if config.uses_shot_colors else ()
        return self.loaded.styler((canonical_json(settings), tuple(shots), str(resources.device)), build)

    def _open_frames(self, chain: Chain, start: int, run: Run | None) -> Prefetcher[ChainFrame]:
        """The frames of a chain from `start` on, prepared ahead on a thread."""
        plan, config = self.directory.plan, self.configs[chain.style]
        segments = Segments(plan.chains)
        following, position, over = segments.next_keyframe(chain), None, APPROACH_FRAMES
        if run is not None and run.next_keyframe is not None:
            following, over = run.next_keyframe, run.approach_frames
        elif config.motion.loop and (first := segments.loop_start(chain)) is not None:
            following, position, over = first, chain.stop, segments.loop_frames(chain)
        settings = ChainSettings(
            config.motion,
            long_term=config.losses.temporal.long_term,
            hold_origin=plan.shots[chain.shot].start,
            next_keyframe=following,
            approach_frames=over,
            keyframe_position=position,
            estimator=self.resources[chain.style].flow,
            masks=self.masks.get(chain.style),
        )

        def read(first: int, stop: int) -> Generator[Frame]:
            return self.read_content(config, first, stop)

        frames = chain_frames(chain, start, read, settings)
        values = planned_values(plan, chain.style, config)
        if values:
            interval = chain.interval if chain.interval > 1 else config.motion.hold
            frames = _with_values(frames, values, recent_changes(config, values, interval))
        return Prefetcher(frames, ahead=config.runtime.prefetch)

    def read_content(self, config: Config, start: int, stop: int) -> Generator[Frame]:
        """Content frames [start, stop) as they are stylized: in the plan's size, and with even exposure."""
        from pipeline.analysis.content import content_frames

        plan = self.directory.plan
        size_px = (plan.width_px, plan.height_px)
        return content_frames(self.source, start, stop, size_px=size_px, settings=config.input, exposure=plan.exposure)


def _with_values(frames: Generator[ChainFrame], values: FrameValues, changes: Sequence[float]) -> Generator[ChainFrame]:
    """The frames with the settings that curves change, at each, and how much these changed lately."""
    with closing(frames):
        for frame in frames:
            change = changes[frame.index]
            yield replace(frame, values=values_at(values, frame.index), settings_change=change)
