"""One style of a render, frame by frame beside its baselines."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from pipeline.analysis.content import content_frames
from pipeline.evaluate.baselines import BaselineStyler, features_of, frame_regions, losses_of
from pipeline.evaluate.changes import LAG_FRAMES, LAYER, changed_area, color_difference, feature_error
from pipeline.evaluate.figures import ROWS, FrameFigures, RowName, StyleEvaluation, make_row
from pipeline.evaluate.following import Follower
from pipeline.evaluate.light import colors_of_style
from pipeline.evaluate.measures import LONG_FRAMES, axis_ratio, mean_luma, measure_motion, sharpness, temporal_error
from pipeline.media.image.load import load_rgb
from pipeline.media.image.png import encode_png
from pipeline.plan.curves import finish_settings, planned_values, values_at
from pipeline.postprocess.finish import finish
from pipeline.postprocess.level import frame_levels
from pipeline.runtime import atomic
from pipeline.stylers.shot_colors import ShotStylers, styler_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.plan.curves import FrameValues
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Advance, Reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain, Masks, Phase, Source, StyleColors, Styler

    RGB = NDArray[np.uint8]
    Images = dict[RowName, RGB]

Figures = dict[RowName, list[FrameFigures]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The stored frames of one style, and the styler of its baselines.

    `stored` maps the indices of the stored frames to the chains that contain them. Independent frames are kept as PNG
    in `independent_folder`, if there is one, and read again from there.
    """

    directory: RenderDirectory
    source: Source
    config: Config
    stored: Mapping[int, Chain]
    styler: Styler | ShotStylers
    reporter: Reporter
    cancellation: Cancellation
    independent_folder: Path | None = None
    areas: FrameValues = field(default_factory=dict)
    """Those that curves of the finish follow, by region, see `finish_settings`."""
    masks: Masks | None = None
    """Those of the regions of the style."""

    def longest_run(self) -> list[int]:
        """The longest run of neighboring stored frames of one shot."""
        runs: list[list[int]] = []
        for index in sorted(self.stored):
            if runs and index == runs[-1][-1] + 1 and self._shot(index) == self._shot(index - 1):
                runs[-1].append(index)
            else:
                runs.append([index])
        return max(runs, key=len)

    def measure(
        self,
        window: Sequence[int],
        *,
        run: Sequence[int],
        baselines: Collection[RowName],
        cold_frames: Collection[int] | None,
    ) -> StyleEvaluation:
        """Figures of the frames `window`; luma, sharpness and light of render and input for the others of `run` too.

        Both are increasing indices of stored frames, those of `window` are in `run`. `baselines` are the rows beside
        render and input. `cold_frames` restricts the independent frames to these.
        """
        cold = set(window if cold_frames is None else cold_frames) & set(window)
        cold = cold if "independent" in baselines else set()
        followers = [Follower(self._style_colors())]
        figures, confidences = self._compare(window, cold, followers[0], without_flow="warm without flow" in baselines)
        if len(run) > len(window):
            followers.append(Follower(self._style_colors()))
            figures |= self._follow(run, figures, followers[-1])
        first = min(index for index in self.stored if self._shot(index) == self._shot(window[0]))
        unit = sharpness(self._stylized(first))
        input_luma = {each.frame: each.luma for each in figures["input"]}
        rows = tuple(
            make_row(
                name,
                figures[name],
                window,
                sharpness_unit=unit,
                input_luma=input_luma,
                extreme_luma=(
                    self._finished_luma(name, "darkest", followers),
                    self._finished_luma(name, "brightest", followers),
                ),
            )
            for name in ROWS
            if figures[name]
        )
        return StyleEvaluation(
            self.config.name,
            start=window[0],
            stop=window[-1] + 1,
            first_cold_frame=first,
            mean_confidence=statistics.fmean(confidences) if confidences else None,
            followed_start=run[0],
            followed_stop=run[-1] + 1,
            darkest_frame=followers[-1].extremes["darkest"].frame,
            brightest_frame=followers[-1].extremes["brightest"].frame,
            rows=rows,
        )

    def _compare(
        self, window: Sequence[int], cold: Collection[int], follower: Follower, *, without_flow: bool
    ) -> tuple[Figures, list[float]]:
        """Figures of every row, and the mean confidence of the motion of every pair of neighbors.

        Only the latest images are kept, so memory does not grow with the window.
        """
        figures: Figures = {name: [] for name in ROWS}
        confidences: list[float] = []
        past: deque[tuple[int, Images]] = deque(maxlen=LONG_FRAMES)
        known = set(window)
        lagged = {index - LAG_FRAMES for index in cold if index - LAG_FRAMES >= self._shot_start(index)}
        earlier: dict[int, RGB] = {}
        done = 0
        with (
            self._progress(window, cold, without_flow=without_flow) as advance,
            closing(self._contents(sorted(known | lagged))) as contents,
        ):
            for index, content in contents:
                if index in lagged:
                    earlier[index] = content
                if index not in known:
                    continue
                previous = {at: images for at, images in past if self._shot(at) == self._shot(index)}
                images: Images = {"render": self._stylized(index), "input": content}
                if index in cold:
                    images["independent"] = self._independent(index, content)
                if without_flow:
                    images["warm without flow"] = self._without_flow(index, images, previous.get(index - 1))
                short, confidence = _errors(index, images, previous, 1)
                long, _ = _errors(index, images, previous, LONG_FRAMES)
                changed = self._changed(index, images, earlier.pop(index - LAG_FRAMES, None))
                followed = follower.add(index, content, images, shot=self._shot(index))
                regions = frame_regions(self.masks, index, content)
                losses = losses_of(self._styler(index), content, list(images.values()), regions)
                for position, (name, image) in enumerate(images.items()):
                    terms = (None, None, None) if losses is None else losses[position]
                    found = FrameFigures(
                        index, sharpness(image), mean_luma(image), short.get(name), long.get(name), *terms
                    )
                    own = followed[name]._asdict() | changed.get(name, {})
                    figures[name].append(replace(found, axis_ratio=axis_ratio(image), **own))
                confidences += [] if confidence is None else [confidence]
                past.append((index, images))
                done += 1
                advance(done)
        return figures, confidences

    def _follow(self, run: Sequence[int], compared: Figures, follower: Follower) -> Figures:
        """Figures of render and input for all frames of `run`; those of compared frames get the light of the run."""
        figures: Figures = {"render": [], "input": []}
        known = {name: {each.frame: each for each in compared[name]} for name in figures}
        with self.reporter.stage("measuring", len(run)) as advance, closing(self._contents(run)) as contents:
            for number, (index, content) in enumerate(contents, 1):
                images: Images = {"render": self._stylized(index), "input": content}
                followed = follower.add(index, content, images, shot=self._shot(index))
                for name, image in images.items():
                    found = known[name].get(index) or FrameFigures(index, sharpness(image), mean_luma(image))
                    figures[name].append(replace(found, **followed[name]._asdict()))
                advance(number)
        return figures

    def _independent(self, index: int, content: RGB) -> RGB:
        """The frame stylized independently, or read where it is kept."""
        path = None if self.independent_folder is None else self.independent_folder / f"{index:08d}.png"
        if path is not None and path.exists():
            return load_rgb(path)
        found = BaselineStyler(self._styler(index), self.reporter, self.masks).independent(
            self.stored[index], index, content
        )
        if path is not None:
            atomic.make_folders(path.parent)
            atomic.write_bytes(path, encode_png(found))
        return found

    def _without_flow(self, index: int, images: Images, previous: Images | None) -> RGB:
        """The frame started from the previous one without motion; the first is the frame of the render."""
        if previous is None:
            return images["render"]
        baseline = BaselineStyler(self._styler(index), self.reporter, self.masks)
        return baseline.without_flow(self.stored[index], index, images["input"], previous["warm without flow"])

    def _changed(self, index: int, images: Images, earlier: RGB | None) -> dict[RowName, dict[str, float | None]]:
        """Figures of the areas whose content differs from the earlier one, of stylized frames beside the independent.

        Empty if the earlier content is not known or hardly anything has changed.
        """
        area = None if earlier is None else changed_area(images["input"], earlier)
        if area is None:
            return {}
        errors: dict[RowName, float | None] = {}
        features = features_of(self._styler(index), list(images.values()), LAYER)
        if features is not None:
            by_name = dict(zip(images, features, strict=True))
            errors = {name: feature_error(found, by_name["input"], area) for name, found in by_name.items()}
        unit = errors.get("independent")
        found: dict[RowName, dict[str, float | None]] = {}
        for name in images.keys() - {"input", "independent"}:
            error = errors.get(name)
            color = color_difference(images[name], images["independent"], area)
            found[name] = {
                "changed_content": error / unit if error is not None and unit else None,
                "changed_color": color.inside,
                "unchanged_color": color.outside,
            }
        return found

    def _finished_luma(
        self, name: RowName, which: Literal["darkest", "brightest"], followers: Sequence[Follower]
    ) -> float | None:
        """Mean luma of a finished image at an extreme frame of the last follower; None if no follower has it."""
        frame = followers[-1].extremes[which].frame
        for extreme in (follower.extremes[which] for follower in followers):
            if extreme.frame == frame and name in extreme.images:
                image = extreme.images[name]
                if name != "input":
                    plan = self.directory.plan
                    levels = frame_levels(plan.levels, plan.contrasts, plan.shots, self.config.styler)
                    level = levels[frame] if levels else None
                    settings = finish_settings(plan, self.config.output.finish, self.config.name, self.areas)(frame)
                    image = finish(image, extreme.content, settings, index=frame, seed=self.config.seed, level=level)
                return mean_luma(image)
        return None

    def _style_colors(self) -> StyleColors:
        images = self.config.style.images
        return colors_of_style([load_rgb(image.path) for image in images], [image.weight for image in images])

    @contextmanager
    def _progress(self, window: Sequence[int], cold: Collection[int], *, without_flow: bool) -> Iterator[Advance]:
        """Progress of stylized frames if there are baselines, else of measured ones, which take seconds."""
        if not cold and not without_flow:
            with self.reporter.stage("measuring", len(window)) as advance:
                yield advance
            return
        known = set(window)
        warm = sum(index - 1 in known and self._shot(index - 1) == self._shot(index) for index in window)
        left: dict[Phase, int] = {"cold": len(cold), "warm": warm if without_flow else 0}
        with self.reporter.stylizing(left, 0):
            yield lambda _done: None

    def _contents(self, frames: Sequence[int]) -> Generator[tuple[int, RGB]]:
        """Content frames as they are stylized, and their indices."""
        plan, wanted = self.directory.plan, set(frames)
        found = content_frames(
            self.source,
            frames[0],
            frames[-1] + 1,
            size_px=(plan.width_px, plan.height_px),
            settings=self.config.input,
            exposure=plan.exposure,
        )
        with closing(found):
            for frame in found:
                self.cancellation.raise_if_requested(
                    "stopped before all frames were measured", hint="run the same command to start over"
                )
                if frame.index in wanted:
                    yield frame.index, frame.rgb

    def _stylized(self, index: int) -> RGB:
        return self.directory.read_frame(self.stored[index].id, index)

    def _shot(self, index: int) -> int:
        return self.stored[index].shot

    def _styler(self, index: int) -> Styler:
        """The styler of a frame, with the settings that curves give there."""
        from pipeline.stylers.neural import NeuralStyler
        from pipeline.stylers.prepared import PreparedStyler

        styler = styler_of(self.styler, self._shot(index))
        values = values_at(planned_values(self.directory.plan, self.config.name, self.config), index)
        return styler.with_values(values) if isinstance(styler, NeuralStyler | PreparedStyler) else styler

    def _shot_start(self, index: int) -> int:
        return self.directory.plan.shots[self._shot(index)].start


def _errors(
    index: int, images: Images, previous: Mapping[int, Images], distance: int
) -> tuple[dict[RowName, float | None], float | None]:
    """Temporal error of every row against the frame `distance` before it, and the mean confidence of the motion.

    Empty and None if that frame is not known.
    """
    before = previous.get(index - distance)
    if before is None:
        return {}, None
    motion = measure_motion(before["input"], images["input"], from_index=index - distance, to_index=index)
    errors = {name: temporal_error(before[name], image, motion) for name, image in images.items() if name in before}
    return errors, float(motion.confidence.mean())
