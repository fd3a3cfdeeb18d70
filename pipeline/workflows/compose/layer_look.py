"""The looks of the shots in a layer of a composition: what its finish needs of other frames, as an export takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from threading import Lock
from typing import TYPE_CHECKING

from pipeline.postprocess.effect import ShotLook
from pipeline.workflows.output.finished import check_colors_known, finisher
from pipeline.workflows.output.style_frames import frames_ready, selected, stored_frames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.finish import FinishSettings
    from pipeline.config.settings import Config
    from pipeline.plan.curves import FrameValues
    from pipeline.types import Pixels, Shot
    from pipeline.workflows.opened import OpenedRender


def layer_looks(
    render: OpenedRender, config: Config, finish: FinishSettings, areas: FrameValues | None
) -> Callable[[int], ShotLook]:
    """The look of the shot of each frame, for a style of a render that is finished by `finish`.

    Taken when it is first asked for, from the frames that are stored; several threads may ask. Raises
    RenderDirectoryError if the finish needs colors of shots that the plan does not have.
    """
    from pipeline.analysis.shot_colors import decoded_colors
    from pipeline.media.reader.source import read_deep
    from pipeline.postprocess.shot_look import needs_look, sample_indices, shot_look

    if not needs_look(finish):
        return lambda _: ShotLook()
    plan, directory = render.plan, render.directory
    check_colors_known(plan, finish)
    source = selected(render.source, range(frames_ready(directory, config.name)))

    def images(index: int) -> tuple[NDArray[np.uint8], Pixels]:
        size_px = (plan.width_px, plan.height_px)
        with closing(read_deep(source, index, index + 1, size_px=size_px, settings=config.input)) as contents:
            return next(stored_frames(directory, config.name, range(index, index + 1))).read(), next(contents)

    def look(shot: Shot) -> ShotLook:
        frames = {index: images(index) for index in sample_indices(shot.start, min(shot.stop, source.frame_count))}

        def shown(changes: Mapping[str, float], _: ShotLook) -> list[Pixels]:
            output = config.output.model_copy(update={"finish": finish.model_copy(update=dict(changes))})
            finished = finisher(plan, config.model_copy(update={"output": output}), lambda _: frames, areas)
            return [finished(index, *pair) for index, pair in frames.items()]

        colors = decoded_colors(plan.shot_colors[shot.index]) if plan.shot_colors else None
        return shot_look([stylized for stylized, _ in frames.values()], colors, finish, config.seed, shown)

    looks: dict[int, ShotLook] = {}
    lock = Lock()

    def look_of(index: int) -> ShotLook:
        shot = next(shot for shot in plan.shots if shot.start <= index < shot.stop)
        with lock:
            if shot.index not in looks:
                looks[shot.index] = look(shot)
            return looks[shot.index]

    return look_of
