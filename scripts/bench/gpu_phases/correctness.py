"""The phase "correctness": the same losses, gradients and frames on every device, in every batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from gpu_phases import subjects
from gpu_phases.setting import Row, Setting, attempts
from gpu_phases.timing import Run
from pipeline.config.settings import ColdSettings, OptimizeSettings
from pipeline.optimize.lbfgs import lbfgs
from pipeline.optimize.minimum import Evaluation
from pipeline.types import FrameBatch, StylizedBatch

LIMITS = {"float32": (1e-3, 1e-2), "bfloat16": (2e-2, 1e-1)}
"""Largest relative errors of the terms of the losses and of the gradients."""
FRAMES = 8
"""Of the batch that does not fit into memory."""


def rows(setting: Setting) -> Iterator[Row]:
    """One row for each check: its errors, and whether it is `ok`."""
    yield from attempts(
        ({"check": "CPU against device", "dtype": "float32"}, partial(_devices, setting)),
        ({"check": "batched against single", "dtype": "float32"}, partial(_batches, setting, "float32")),
        ({"check": "batched against single", "dtype": "bfloat16"}, partial(_batches, setting, "bfloat16")),
        ({"check": "one NaN neighbor", "dtype": "float32"}, partial(_neighbor, setting)),
        ({"check": "tiled against whole", "dtype": "float32"}, partial(_tiles, setting)),
        ({"check": "halving when out of memory"}, partial(_halving, setting)),
    )


def _size(setting: Setting) -> tuple[int, int]:
    return (48, 64) if setting.small else (192, 256)


def _evaluate(device: str, dtype: str, content: Tensor, images: Tensor) -> Evaluation:
    encoder = subjects.encoder("compact", device, getattr(torch, dtype))
    return subjects.warm_objective(encoder, content.to(device))(images.to(device))


def _given(setting: Setting, batch: int) -> tuple[Tensor, Tensor]:
    """Contents and the images that are evaluated, on the CPU."""
    content = subjects.contents(batch, _size(setting), "cpu")
    noise = torch.randn(content.shape, generator=torch.Generator().manual_seed(1))
    return content, (content + 0.05 * noise).clamp(0, 1)


def _difference(found: Evaluation, expected: Evaluation, dtype: str) -> Row:
    """Largest relative error of a term, and relative error of the gradients, both against the limits."""
    terms, wanted = found.terms.cpu(), expected.terms.cpu()
    error = float(((terms - wanted).abs() / (wanted.abs() + 1e-4)).max())
    gradients, wanted = found.gradients.cpu(), expected.gradients.cpu()
    gradient_error = float((gradients - wanted).norm() / wanted.norm())
    limits = LIMITS[dtype]
    ok = error < limits[0] and gradient_error < limits[1]
    return {"terms_error": error, "gradient_error": gradient_error, "limits": limits, "ok": ok}


def _devices(setting: Setting) -> Row:
    content, images = _given(setting, 1)
    found = _evaluate(setting.device, "float32", content, images)
    return _difference(found, _evaluate("cpu", "float32", content, images), "float32")


def _batches(setting: Setting, dtype: str) -> Row:
    content, images = _given(setting, 3)
    together = _evaluate(setting.device, dtype, content, images)
    alone = [_evaluate(setting.device, dtype, content[k : k + 1], images[k : k + 1]) for k in range(3)]
    return _difference(together, _joined(alone), dtype)


def _joined(parts: list[Evaluation]) -> Evaluation:
    fields = ("losses", "gradients", "terms")
    return Evaluation(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))


def _neighbor(setting: Setting) -> Row:
    """A content frame of NaN changes neither the evaluation nor the minimum of the others in its batch."""
    content, images = _given(setting, 3)
    damaged = content.clone()
    damaged[1] = torch.nan
    encoder = subjects.encoder("compact", setting.device, torch.float32)
    objectives = [subjects.warm_objective(encoder, each.to(setting.device)) for each in (damaged, content)]
    start, others = images.to(setting.device), [0, 2]
    found, expected = (_of(objective(start), others) for objective in objectives)
    minima = [lbfgs(objective, start, evaluations=4) for objective in objectives]
    ends = [minimum.losses[others].cpu() for minimum in minima]
    end_error = float(((ends[0] - ends[1]).abs() / ends[1]).max())
    known = not math.isfinite(float(minima[0].losses[1])) and bool(minima[0].images[others].isfinite().all())
    row = _difference(found, expected, "float32")
    return {**row, "minimum_error": end_error, "ok": row["ok"] and known and end_error < 1e-2}


def _of(found: Evaluation, samples: list[int]) -> Evaluation:
    return Evaluation(found.losses[samples], found.gradients[samples], found.terms[samples])


def _tiles(setting: Setting) -> Row:
    """The terms and the gradient in tiles of a fourth of the frame."""
    content, images = _given(setting, 1)
    encoder = subjects.encoder("compact", setting.device, torch.float32)
    objective = subjects.warm_objective(encoder, content.to(setting.device))
    tiled = replace(objective, features=replace(objective.features, tile_px=content.shape[-1] // 2))
    start = images.to(setting.device)
    return _difference(tiled(start), objective(start), "float32")


def _halving(setting: Setting) -> Row:
    """Out of memory, half a batch fits right after the whole one did not, and its frames are those of single ones.

    On the CPU, whose memory is not limited, batches of more than three frames are refused by hand.
    """
    content = subjects.contents(FRAMES, (48, 64) if setting.small else (384, 512), "cpu")
    cold = ColdSettings(evaluations=2, min_scale_px=4096)  # one scale
    encoder = subjects.encoder("compact", setting.device, torch.float32)
    styler = subjects.styler(encoder, OptimizeSettings(cold=cold))

    def stylize(size: int) -> StylizedBatch:
        if setting.device == "cpu" and size > 3:
            raise torch.OutOfMemoryError
        return styler.stylize(FrameBatch("cold", content[:size], None, tuple(range(size))))

    (alone,) = stylize(1).stats
    if setting.device == "cuda":
        _limit_memory(lambda: stylize(2))
    size, refused = FRAMES, 0
    found: StylizedBatch | None = None
    while found is None and size:
        try:
            found = stylize(size)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            size, refused = size // 2, refused + 1
    if setting.device == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0)
    error = math.inf if found is None else abs(found.stats[0].loss / alone.loss - 1)
    return {"refused": refused, "fits": size, "loss_error": error, "ok": refused > 0 and error < 0.05}


def _limit_memory(run: Run) -> None:
    """Leave this process half as much device memory again as `run` needs."""
    torch.backends.cudnn.benchmark = False  # it takes what memory it gets
    run()
    torch.cuda.reset_peak_memory_stats()
    run()
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.5 * peak / total))
