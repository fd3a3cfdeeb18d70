"""The phases "evaluation", "graph" and "minimizer": one evaluation of the objective, and what the minimizer adds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from gpu_phases import subjects
from gpu_phases.convolutions import ceiling_ms, evaluation_flops, shapes_of
from gpu_phases.setting import Row, Setting, attempt
from gpu_phases.timing import activity, captured, measure, peak_mb
from pipeline.optimize.lbfgs import lbfgs
from pipeline.optimize.minimum import Evaluation

EVALUATIONS = 10
"""Of each minimization that is timed: those of a warm frame."""


def rows(setting: Setting) -> Iterator[Row]:
    """The objective of warm frames by encoder, precision and batch, beside the ceiling that phase "convolutions" found.

    `share_of_ceiling` is the time that the convolutions alone take at their measured rates over the time of the
    evaluation; `busy_share` the time in which at least one kernel runs over that of the evaluation.
    """
    measured = setting.earlier("convolutions")
    cases = [("compact", "bfloat16", batch, True) for batch in setting.batches]
    cases += [("compact", "float32", 1, True)]
    if setting.device == "cuda":
        cases += [("compact", "bfloat16", batch, False) for batch in (1, setting.batches[-1])]
    cases += [("vgg19", "bfloat16", batch, True) for batch in setting.batches]
    cases += [("vgg19", "float32", 1, True)]
    for name, dtype, batch, tuned in cases:
        facts = {"encoder": name, "dtype": dtype, "batch": batch, "cudnn_benchmark": tuned}
        torch.backends.cudnn.benchmark = tuned
        yield attempt(facts, partial(_evaluation, setting, name, dtype, batch, measured))


def _evaluation(setting: Setting, name: str, dtype: str, batch: int, measured: list[Row]) -> Row:
    device = setting.device
    images = subjects.contents(batch, setting.size, device)
    objective = subjects.warm_objective(subjects.encoder(name, device, getattr(torch, dtype)), images)
    timed = measure(lambda: objective(images), device, seconds=1)
    milliseconds = timed["ms"]
    count = len(shapes_of(name, device, batch, setting.size))
    ceiling = ceiling_ms(measured, name, count, batch) if dtype == "bfloat16" else None
    found = activity(lambda: objective(images), device)
    return {
        **timed,
        "ms_per_frame": round(milliseconds / batch, 3),
        "tflops": round(evaluation_flops(name, batch, setting.size) / milliseconds / 1e9, 3),
        "share_of_ceiling": None if ceiling is None else round(ceiling / milliseconds, 3),
        **found,
        "busy_share": round(found["busy_ms"] / milliseconds, 3) if "busy_ms" in found else None,
        "peak_mb": peak_mb(lambda: objective(images), device),
    }


def graph(setting: Setting) -> Iterator[Row]:
    """One evaluation as a CUDA graph against the same evaluation as it is: largest difference, and milliseconds.

    A process of its own, because a failed capture can leave CUDA unusable.
    """
    if setting.device != "cuda":
        yield {"encoder": "compact", "skipped": "graphs need CUDA"}
        return
    for batch in (1, setting.batches[-1]):
        for how, make in (("here", _captured), ("pipeline.optimize.graphs", _packaged)):
            yield attempt({"encoder": "compact", "batch": batch, "how": how}, partial(_graph, setting, batch, make))


Evaluate = Callable[[torch.Tensor], Evaluation]


def _graph(setting: Setting, batch: int, make: Callable[[Evaluate, torch.Tensor], Evaluate]) -> Row:
    images = subjects.contents(batch, setting.size, "cuda")
    objective = subjects.warm_objective(subjects.encoder("compact", "cuda", torch.bfloat16), images)
    replay = make(objective, images)
    if replay is objective:
        raise RuntimeError("it could not be recorded")
    others = images.flip(3)  # not those that were recorded
    expected, found = objective(others), replay(others)
    error = float((found.gradients - expected.gradients).norm() / expected.gradients.norm())
    eager, replayed = (measure(lambda run=run: run(images), "cuda", seconds=1) for run in (objective, replay))  # type: ignore[misc]
    return {"ok": error < 1e-2, "error": error, "eager_ms": eager["ms"], **replayed}


def _captured(objective: Evaluate, images: torch.Tensor) -> Evaluate:
    fixed = images.clone()
    kept: list[Evaluation] = []

    def run() -> None:
        kept[:] = [objective(fixed)]

    replay = captured(run)

    def evaluate(given: torch.Tensor) -> Evaluation:
        fixed.copy_(given)
        replay()
        return kept[0]

    return evaluate


def _packaged(objective: Evaluate, images: torch.Tensor) -> Evaluate:
    graphs: Any = importlib.import_module("pipeline.optimize.graphs").Graphs()  # not in every revision
    found: Evaluate = graphs.of(objective, images)
    return found


def minimizer(setting: Setting) -> Iterator[Row]:
    """Milliseconds of L-BFGS per evaluation: of an objective that costs nearly nothing, and of the encoder's."""
    for batch in setting.batches:
        for kind in ("quadratic", "compact"):
            yield attempt({"objective": kind, "batch": batch}, partial(_minimizer, setting, kind, batch))


def _minimizer(setting: Setting, kind: str, batch: int) -> Row:
    device = setting.device
    start = subjects.contents(batch, setting.size, device)
    if kind == "compact":
        encoder = subjects.encoder("compact", device, torch.bfloat16)
        objective = subjects.warm_objective(encoder, start)
        evaluate = objective.__call__
        start = (start + 0.05 * torch.randn_like(start)).clamp(0, 1)
    else:
        scales = torch.linspace(0.5, 2, start[0].numel(), device=device).reshape(start[0].shape)
        evaluate = partial(_quadratic, scales)

    def run() -> tuple[int, ...]:
        return lbfgs(evaluate, start, evaluations=EVALUATIONS).evaluations

    spent = max(run())
    alone = measure(lambda: evaluate(start), device)
    timed = measure(run, device, seconds=1, repeat=spent)
    counted = {name: round(count / spent, 1) for name, count in activity(run, device).items()}
    own = round(timed["ms"] - alone["ms"], 4)
    peak = peak_mb(run, device)
    return {"evaluations": spent, **timed, "evaluation_ms": alone["ms"], "own_ms": own, **counted, "peak_mb": peak}


def _quadratic(scales: torch.Tensor, images: torch.Tensor) -> Evaluation:
    """A separable quadratic form, whose minimum is a gray image; its gradient in closed form."""
    difference = scales * (images - 0.5)
    losses = 0.5 * (difference * (images - 0.5)).sum(dim=(1, 2, 3))
    return Evaluation(losses, difference, losses[:, None])
