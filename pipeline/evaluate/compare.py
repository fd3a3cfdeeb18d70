"""One style of a render, frame by frame beside its baselines."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.evaluate.baselines import BaselineStyler, losses_of
from pipeline.evaluate.figures import ROWS, FrameFigures, RowName, StyleEvaluation, make_row
from pipeline.evaluate.measures import LONG_FRAMES, mean_luma, measure_motion, sharpness, temporal_error
from pipeline.media.reader.source import read_frames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Advance, Reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.types import Chain, Phase, Source, Styler

    RGB = NDArray[np.uint8]
    Images = dict[RowName, RGB]

Figures = dict[RowName, list[FrameFigures]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The stored frames of one style, and the styler of its baselines.

    `stored` maps the indices of the stored frames to the chains that contain them.
    """

    directory: RenderDirectory
    source: Source
    config: Config
    stored: Mapping[int, Chain]
    styler: Styler
    reporter: Reporter
    cancellation: Cancellation

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
        self, window: Sequence[int], *, run: Sequence[int], baselines: bool, cold_frames: Collection[int] | None
    ) -> StyleEvaluation:
        """Figures of the frames `window`; luma and sharpness of render and input also of the others of `run`.

        Both are increasing indices of stored frames. `cold_frames` restricts the independent ones to these.
        """
        cold = set(window if cold_frames is None else cold_frames) & set(window) if baselines else set()
        figures, confidences = self._compare(window, cold, baselines=baselines)
        others = self._follow(sorted(set(run) - set(window)))
        first = min(index for index in self.stored if self._shot(index) == self._shot(window[0]))
        unit = sharpness(self._stylized(first))
        input_luma = {each.frame: each.luma for each in (*figures["input"], *others["input"])}
        rows = tuple(
            make_row(name, figures[name] + others[name], window, sharpness_unit=unit, input_luma=input_luma)
            for name in ROWS
            if figures[name]
        )
        confidence = statistics.fmean(confidences) if confidences else None
        return StyleEvaluation(self.config.name, window[0], window[-1] + 1, first, confidence, rows)

    def _compare(self, window: Sequence[int], cold: Collection[int], *, baselines: bool) -> tuple[Figures, list[float]]:
        """Figures of every row, and the mean confidence of the motion of every pair of neighbors.

        Only the latest images are kept, so memory does not grow with the window.
        """
        figures: Figures = {name: [] for name in ROWS}
        confidences: list[float] = []
        past: deque[tuple[int, Images]] = deque(maxlen=LONG_FRAMES)
        with self._progress(window, cold, baselines=baselines) as advance, closing(self._contents(window)) as contents:
            for number, (index, content) in enumerate(contents, 1):
                previous = {at: known for at, known in past if self._shot(at) == self._shot(index)}
                images: Images = {"render": self._stylized(index), "input": content}
                if baselines:
                    images |= self._baselines(
                        index, content, images, previous.get(index - 1), independent=index in cold
                    )
                short, confidence = _errors(index, images, previous, 1)
                long, _ = _errors(index, images, previous, LONG_FRAMES)
                losses = losses_of(self.styler, content, list(images.values()))
                for position, (name, image) in enumerate(images.items()):
                    known = (None, None, None) if losses is None else losses[position]
                    figures[name].append(
                        FrameFigures(index, sharpness(image), mean_luma(image), short.get(name), long.get(name), *known)
                    )
                confidences += [] if confidence is None else [confidence]
                past.append((index, images))
                advance(number)
        return figures, confidences

    def _baselines(
        self, index: int, content: RGB, images: Images, previous: Images | None, *, independent: bool
    ) -> Images:
        """The baselines of a frame; the one without flow begins with the frame of the render if `previous` is None."""
        baseline, chain = BaselineStyler(self.styler, self.reporter), self.stored[index]
        found: Images = {}
        if independent:
            found["independent"] = baseline.independent(chain, index, content)
        found["warm without flow"] = (
            images["render"]
            if previous is None
            else baseline.without_flow(chain, index, content, previous["warm without flow"])
        )
        return found

    def _follow(self, frames: Sequence[int]) -> Figures:
        """Luma and sharpness of render and input, for frames that are not compared."""
        figures: Figures = {name: [] for name in ROWS}
        if not frames:
            return figures
        with self.reporter.stage("measuring", len(frames)) as advance, closing(self._contents(frames)) as contents:
            for number, (index, content) in enumerate(contents, 1):
                stylized = self._stylized(index)
                figures["render"].append(FrameFigures(index, sharpness(stylized), mean_luma(stylized)))
                figures["input"].append(FrameFigures(index, sharpness(content), mean_luma(content)))
                advance(number)
        return figures

    @contextmanager
    def _progress(self, window: Sequence[int], cold: Collection[int], *, baselines: bool) -> Iterator[Advance]:
        """Progress of stylized frames if there are baselines, else of measured ones, which take seconds."""
        if not baselines:
            with self.reporter.stage("measuring", len(window)) as advance:
                yield advance
            return
        known = set(window)
        warm = sum(index - 1 in known and self._shot(index - 1) == self._shot(index) for index in window)
        left: dict[Phase, int] = {"cold": len(cold), "warm": warm}
        with self.reporter.stylizing(left, 0):
            yield lambda _done: None

    def _contents(self, frames: Sequence[int]) -> Generator[tuple[int, RGB]]:
        """Content frames as the render uses them, with flicker evened out, and their indices."""
        from pipeline.analysis.tone_curve import apply_tone_curve

        plan, wanted = self.directory.plan, set(frames)
        found = read_frames(
            self.source,
            start=frames[0],
            stop=frames[-1] + 1,
            width_px=plan.width_px,
            height_px=plan.height_px,
            settings=self.config.input,
        )
        with closing(found):
            for frame in found:
                self.cancellation.raise_if_requested(
                    "stopped before all frames were measured", hint="run the same command to start over"
                )
                if frame.index in wanted:
                    yield (
                        frame.index,
                        apply_tone_curve(frame.rgb, plan.exposure[frame.index]) if plan.exposure else frame.rgb,
                    )

    def _stylized(self, index: int) -> RGB:
        return self.directory.read_frame(self.stored[index].id, index)

    def _shot(self, index: int) -> int:
        return self.stored[index].shot


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
