"""What stylizing costs: the work of frames, and how fast this machine does it.

Work is counted in *pixel evaluations*: pixels times evaluations of the objective, over all scales of a cold frame, or
of a warm frame and what it costs beside them (motion, warm start, storing), where every image counts as some more
pixels than it has (`OVERHEAD_PX`). For stylers that do not optimize a frame is one evaluation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.stylers.resources import Resources
    from pipeline.types import FrameBatch

    Size = tuple[int, int]

OVERHEAD_PX: Final = 36_000
"""What an evaluation costs beside its pixels, in pixels: with `compact` on a CPU it took 14 ms and 0.39 us a pixel
(64x48 to 640x480 px, one thread)."""

BESIDE_EVALUATIONS: Final = 2.3
"""What a warm frame costs beside its evaluations, in evaluations, where it was not measured: with `compact` at 1280x720
on two cores 1.74 s for 7.4 evaluations of 180 ms."""

EXPECTED_FRACTION: Final = 0.75
"""Where between the least and the most evaluations a warm frame is expected: with 5 and 10, real clips took 7 to 10.7,
one that is still 5, and one that turns fast 14 (docs/benchmarks.md)."""

FIRST_SIDE_PX: Final = {"cpu": 320}
FIRST_SIDE_PX_OF_ACCELERATORS: Final = 1024
LONGEST_EVALUATION_S: Final = 0.35
"""An evaluation that is measured takes about so long at most: frames of which one takes longer are measured smaller."""
_EVALUATIONS: Final = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured: seconds for each pixel evaluation, seconds until the first one of a new size, and what a warm
    frame costs beside its evaluations, in evaluations."""

    rate: float
    setup_s: float = 0.0
    beside: float = BESIDE_EVALUATIONS


def cost_key(config: Config) -> Hashable:
    """Styles with the same key cost the same for each pixel evaluation."""
    optimize = config.optimize
    return (
        *(config.styler, config.encoder, config.pooling, optimize.precision, optimize.minimizer),
        *(config.runtime.device, config.losses.style.loss, len(config.regions)),
    )


def work_of(size: Size) -> float:
    """Pixel evaluations of one evaluation of a frame of (height, width) px."""
    return size[0] * size[1] + OVERHEAD_PX


def scales_of(config: Config, size: Size) -> list[Size]:
    """The sizes at which a cold frame is stylized, from the coarsest."""
    from pipeline.stylers.scales import cold_scales

    return cold_scales(size, config.optimize.cold) if config.styler == "neural" else [size]


def cold_work(config: Config, size: Size) -> float:
    """Pixel evaluations of a cold frame."""
    if config.styler != "neural":
        return work_of(size)
    return config.optimize.cold.evaluations * sum(map(work_of, scales_of(config, size)))


def warm_work(config: Config, size: Size, beside: float = BESIDE_EVALUATIONS) -> float:
    """Pixel evaluations of a warm frame, `beside` of them not of the objective.

    Its evaluations are expected at `EXPECTED_FRACTION` between the least and the most that the settings allow.
    """
    from pipeline.stylers.boil import boiling_frame

    if config.styler != "neural":
        return (1 + beside) * work_of(size)
    warm, boil = config.optimize.warm, config.motion.boil
    if boil > 0:
        scales = scales_of(config, size)
        boiling = boiling_frame(boil, config.optimize, len(scales))
        return boiling.evaluations * sum(map(work_of, scales[-boiling.levels :])) + beside * work_of(size)
    least = min(warm.min_evaluations, warm.evaluations)
    return (least + EXPECTED_FRACTION * (warm.evaluations - least) + beside) * work_of(size)


def expected_work(config: Config, size: Size, cold: float, warm: float, *, beside: float = BESIDE_EVALUATIONS) -> float:
    """Pixel evaluations of so many cold and warm frames of (height, width) px."""
    return cold * cold_work(config, size) + warm * warm_work(config, size, beside)


def seconds_of(work: Mapping[Hashable, float], rates: Mapping[Hashable, float]) -> float | None:
    """Seconds for the work of each cost key, by seconds for each unit; None if a rate is not known."""
    if any(amount and key not in rates for key, amount in work.items()):
        return None
    return sum(amount * rates[key] for key, amount in work.items() if amount)


def measure(
    config: Config, size: Size, resources: Resources, *, largest: bool = False, motion: bool = False
) -> Measured:
    """Measure a few evaluations of a style for frames of (height, width) px.

    First with a small frame; with `largest` then as near to the size itself as `LONGEST_EVALUATION_S` allows, about two
    seconds in all. With `motion` also what a warm frame costs beside its evaluations: processor time over the threads
    that share it, because the evaluations go on meanwhile.
    """
    from pipeline.runtime.device import use_threads

    short = _short(config)
    use_threads(config.runtime.threads)
    side = FIRST_SIDE_PX.get(resources.device.type, FIRST_SIDE_PX_OF_ACCELERATORS)
    first = within = _fitted(size, side, resources)
    found = _measured(short, first, resources)
    if largest and first != size:
        fraction = min(1.0, LONGEST_EVALUATION_S / (found.rate * work_of(size)))
        within = _fitted(size, round(max(size) * math.sqrt(fraction)), resources)
        if within[0] * within[1] > first[0] * first[1]:
            found = _measured(short, within, resources)
    if not motion or resources.device.type != "cpu":
        return found
    return replace(found, beside=_beside_s(config, within, resources) / (found.rate * work_of(within)))


def _short(config: Config) -> Config:
    """The config with few evaluations at one scale of its cold frames, and without what a noise image does not have."""
    update = {"evaluations": _EVALUATIONS, "min_scale_px": 4096, "scale_step": 4.0, "init": "content"}
    cold = config.optimize.cold.model_copy(update=update)
    changed = {
        "optimize": config.optimize.model_copy(update={"cold": cold}),
        "regions": (),
        "color": type(config.color)(),
        "palette": config.palette.model_copy(update={"source": "style"}),
    }
    return config.model_copy(update=changed)


def _fitted(size: Size, side_px: int, resources: Resources) -> Size:
    """The size within a longer side, and large enough for the encoder."""
    from pipeline.media.image.arrays import size_within

    width, height = size_within(size[1], size[0], side_px)
    least_px = resources.encoder.min_side_px if resources.encoder else 1
    return max(height, least_px), max(width, least_px)


def _measured(short: Config, size: Size, resources: Resources) -> Measured:
    from pipeline.stylers.table import build_styler

    styler = build_styler(short, resources)
    batch = _batch(size)
    began = time.perf_counter()
    styler.stylize(batch)  # also the statistics of the style images, and what is set up on the first call
    between = time.perf_counter()
    styler.stylize(batch)
    seconds = time.perf_counter() - between
    evaluations = _EVALUATIONS if short.styler == "neural" else 1
    return Measured(seconds / (evaluations * work_of(size)), max(0.0, between - began - seconds))


def _batch(size: Size) -> FrameBatch:
    """A frame of noise."""
    import torch

    from pipeline.types import FrameBatch

    content = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(0))
    return FrameBatch("cold", content, None, (0,))


def _beside_s(config: Config, size: Size, resources: Resources) -> float:
    """Seconds of motion, warm start and storing of a frame of smooth texture that moves, beside the evaluations."""
    import numpy as np
    import torch

    _warm_frame(np.zeros((64, 64, 3), np.uint8), config, resources)  # imports, and buffers that are made once
    coarse = np.random.default_rng(0).integers(0, 256, (size[0] // 8 + 2, size[1] // 8 + 2, 3), np.uint8)
    image = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[: size[0], : size[1]]
    began = time.process_time()
    _warm_frame(image, config, resources)
    return (time.process_time() - began) / torch.get_num_threads()


def _warm_frame(image: NDArray[np.uint8], config: Config, resources: Resources) -> None:
    """Everything that is done for a warm frame beside its evaluations; what it shows has moved by 2 px."""
    import numpy as np

    from pipeline.media.image.png import encode_png
    from pipeline.motion.correspondence import find_correspondence
    from pipeline.motion.estimate import motion_between
    from pipeline.motion.warm_start import warm_start

    moved = np.roll(image, 2, axis=1)
    motion = motion_between(image, moved, config.motion, from_index=0, to_index=1, estimator=resources.flow)
    warm_start(moved, {0: image}, {0: find_correspondence(image, moved, motion)})
    encode_png(image)
