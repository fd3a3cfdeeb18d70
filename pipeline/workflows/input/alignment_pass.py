"""The pass over an input that measures how its frames are aligned, steadied and leveled."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import InputError
from pipeline.types import GAIN_UNIT, IDENTITY_WARP, Alignment, Gains, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.analysis.burst import Burst
    from pipeline.config.settings import InputSettings
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter

    Matrix = NDArray[np.float64]

_SHOWN_FILES: Final = 5


class AlignmentPass:
    """Measures one source; its frames are read as gray or small images, as often as is needed."""

    def __init__(self, source: Source, settings: InputSettings, reporter: Reporter, cancellation: Cancellation) -> None:
        from pipeline.media.reader.aligned import input_source

        self._source, self._settings, self._reporter = source, settings, reporter
        self._checkpoint = cancellation.checkpoint("stopped before the first frame", hint="run it again to begin")
        self._input = input_source(source)
        self._anchors = [(start + stop) // 2 for start, stop in self._groups()]

    def aligned(self) -> Source:
        """Every photo on the anchor of its group, or of all photos where they are not fused."""
        import numpy as np

        from pipeline.analysis.burst import MEASURED_SIDE_PX, align_burst
        from pipeline.analysis.registration import MODELS

        asked = self._settings.align
        model = next((model for model in MODELS if model == asked), None)
        size = self._size(MEASURED_SIDE_PX)
        matrices: list[Matrix] = []
        with self._reporter.stage("aligning photos", self._input.frame_count) as advance:
            for start, stop in self._groups():
                found = align_burst(stop - start, partial(self._grays, start, size), model)
                self._check(found, start)
                self._anchors[len(matrices) // (stop - start)] = start + found.anchor
                matrices += [np.eye(3) if matrix is None else matrix for matrix in found.matrices]
                advance(stop)
                fitted = f"by {found.model}" if stop - start == self._input.frame_count else "group by group"
        return self._placed(matrices, size, f"the photos are aligned {fitted}")

    def steadied(self) -> Source:
        """Every frame on the smooth path of the camera in its shot."""
        import cv2
        import numpy as np

        from pipeline.analysis.cuts import find_cuts, split_shots
        from pipeline.analysis.registration import Pyramid
        from pipeline.analysis.stabilization import (
            MEASURED_SIDE_PX,
            filter_frames,
            path_of,
            shake_px,
            steadied,
            step_between,
        )

        size = self._size(MEASURED_SIDE_PX)
        steps: list[Matrix] = []
        readable = min(self._source.damaged, default=self._source.frame_count)

        def measured(advance: Callable[[int], None]) -> Generator[NDArray[np.uint8]]:
            previous: tuple[NDArray[np.uint8], Pyramid] | None = None
            with closing(self._frames(self._input, range(readable), size)) as frames:
                for index, rgb in enumerate(frames):
                    gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
                    current = gray, Pyramid(gray)
                    if previous is not None:
                        steps.append(step_between(previous[0], gray, (previous[1], current[1])))
                    previous = current
                    yield rgb
                    advance(index + 1)

        with self._reporter.stage("measuring the camera's path", readable) as advance:
            cuts = find_cuts(measured(advance), threshold=self._settings.cut_threshold)
        shots = split_shots(readable, cuts if self._settings.cuts == "auto" else [])
        rate = readable / self._source.duration_s if self._source.duration_s else 24.0
        matrices: list[Matrix] = []
        shakes: list[float] = []
        for shot in shots:
            path = path_of(steps[shot.start : shot.stop - 1], size[::-1])
            matrices += steadied(path, filter_frames(self._settings.stabilize, rate), size[::-1])
            shakes.append(shake_px(path, rate) * self._input.width_px / size[0])
        matrices += (matrices[-1:] or [np.eye(3)]) * (self._source.frame_count - readable)
        return self._placed(matrices, size, f"shake of up to {max(shakes, default=0):.1f} px is taken out")

    def leveled(self, source: Source) -> Source:
        """The gains of every photo of an aligned source toward the anchor of its group."""
        from pipeline.analysis.gains import SIDE_PX, gains_to
        from pipeline.media.image.arrays import size_within

        warps = (IDENTITY_WARP,) * len(source.positions_read)
        made = source.alignment or Alignment(source.width_px, source.height_px, warps)
        each = replace(made, gains=(), fuse="none", group=1, positions=())
        photos = replace(self._input, width_px=source.width_px, height_px=source.height_px, alignment=each)
        size = size_within(source.width_px, source.height_px, SIDE_PX)
        gains: list[Gains] = []
        with self._reporter.stage("leveling photos", photos.frame_count) as advance:
            for (start, stop), at in zip(self._groups(), self._anchors, strict=True):
                (anchor,) = self._frames(photos, range(at, at + 1), size)
                for rgb in self._frames(photos, range(start, stop), size):
                    assert self._settings.level != "none"
                    gains.append(gains_to(anchor, rgb, self._settings.level))
                    advance(len(gains))
        most = max(max(map(abs, each)) for each in gains) / GAIN_UNIT
        self._reporter.note(f"the exposure of the photos is leveled, by up to {most:.2f} stops")
        return replace(source, alignment=replace(made, gains=tuple(gains)))

    def _check(self, found: Burst, start: int) -> None:
        """Say which photos of a group could not be aligned, or refuse it."""
        lost = [index for index, matrix in enumerate(found.matrices) if matrix is None]
        if not lost:
            return
        files = [self._input.files[self._input.decoded_indices[start + index]] for index in lost]
        names = ", ".join(Path(file).name for file in files[:_SHOWN_FILES])
        more = f" and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
        anchor = Path(self._input.files[self._input.decoded_indices[start + found.anchor]]).name
        sentence = f"{names}{more} cannot be aligned to {anchor}: too little in common"
        if self._settings.fuse != "none" or 2 * len(lost) > len(found.matrices) - 1:
            raise InputError(
                f"{self._source.path}: {sentence}",
                hint="a burst shows one scene from one place: leave other photos out; --set input.align=none takes all "
                "photos as they are",
            )
        self._reporter.note(f"input: {sentence}; they stay where they are.")

    def _placed(self, matrices: Sequence[Matrix], size: tuple[int, int], what: str) -> Source:
        """The source with warps from matrices in px of the frames that were measured, cropped as the settings say."""
        import numpy as np

        from pipeline.analysis.common_area import crop_box
        from pipeline.media.reader.aligned import as_warp, unit_matrix

        units = [unit_matrix(matrix, size, size) for matrix in matrices]
        wide, high = self._input.width_px, self._input.height_px
        x, y, width, height = (0, 0, wide, high) if self._settings.edges == "fill" else crop_box(units, wide, high)
        if not width:
            raise InputError(
                f"{self._source.path}: the aligned frames have no area in common",
                hint="leave out the photos that show something else, or --set input.edges=fill",
            )
        crop = np.array([[width / wide, 0, x / wide], [0, height / high, y / high], [0, 0, 1]])
        lost = 100 * (1 - width * height / (wide * high))
        edges = f"{lost:.1f} percent of the picture are cut off at the edges (--set input.edges=fill mirrors there)"
        self._reporter.note(f"{what}; {'edges are mirrored' if self._settings.edges == 'fill' else edges}")
        warps = tuple(as_warp(unit @ crop) for unit in units)
        made = self._source.alignment or Alignment(wide, high, ())
        return replace(self._source, width_px=width, height_px=height, alignment=replace(made, warps=warps))

    def _groups(self) -> list[tuple[int, int]]:
        """Photos that are aligned to one of them: those that become one frame, or all."""
        count = self._input.frame_count
        group = self._source.alignment.group if self._source.alignment else count
        return [(start, start + group) for start in range(0, count, group)]

    def _size(self, side_px: int) -> tuple[int, int]:
        from pipeline.media.image.arrays import size_within

        return size_within(self._input.width_px, self._input.height_px, side_px)

    def _frames(self, source: Source, indices: range, size: tuple[int, int]) -> Generator[NDArray[np.uint8]]:
        """Small frames, uint8 (H, W, 3)."""
        from pipeline.media.reader.source import read_frames

        width, height = size
        frames = read_frames(
            source,
            start=indices.start,
            stop=indices.stop,
            width_px=width,
            height_px=height,
            settings=self._settings,
        )
        with closing(frames):
            for frame in frames:
                self._checkpoint()
                yield frame.rgb

    def _grays(self, start: int, size: tuple[int, int], indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Luma of photos by their index in a group that begins at `start`."""
        from itertools import pairwise

        import cv2
        import numpy as np

        if not indices:
            return
        edges = [0, *(at for at, (a, b) in enumerate(pairwise(indices), 1) if b != a + 1), len(indices)]
        for first, last in pairwise(edges):
            run = range(start + indices[first], start + indices[last - 1] + 1)
            for rgb in self._frames(self._input, run, size):
                yield np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
