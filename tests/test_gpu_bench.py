"""The benchmark of GPUs, in miniature sizes on the CPU: its phases, their deadlines, and what it counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gpu_phases.convolutions import ConvShape, ceiling_ms, evaluation_flops, shapes_of
from gpu_phases.miniature import extrapolated
from gpu_phases.setting import append, attempt, read_rows
from gpu_phases.timing import counted, covered
from torch.profiler import DeviceType

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench" / "gpu.py"
MORE_THAN_TORCH = "pydantic,pydantic_core,safetensors,cv2,av,PIL,yaml,rich,torchvision,typer"


def run(out: Path, *arguments: str) -> list[dict[str, Any]]:
    """The rows that the command writes; they are also in the JSON of its last line."""
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--out", str(out), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = read_rows(out)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last == {"benchmark": "gpu", "device": "cpu", "small": True, "rows": rows}
    return rows


@pytest.mark.slow
def test_phases_run_with_torch_and_numpy_alone_and_survive_a_hang_and_a_crash(tmp_path: Path) -> None:
    out = tmp_path / "gpu.jsonl"
    append(out, {"phase": "flow", "threads": 1})
    rows = run(out, "--phases", "hang,crash,correctness,warp", "--without", MORE_THAN_TORCH)
    assert rows[0] == {"phase": "flow", "threads": 1}  # rows of phases that are not run stay
    outcomes = {row["phase"]: row for row in rows if "outcome" in row}
    assert {name: row["outcome"] for name, row in outcomes.items()} == {
        "hang": "stopped",
        "crash": "failed",
        "correctness": "done",
        "warp": "done",
    }
    assert outcomes["hang"]["reason"] == "not done after 4 s"
    assert outcomes["crash"]["exit_code"] == 7
    assert all({"phase": name, "what": "before"} in rows for name in ("hang", "crash"))
    (environment,) = (row for row in rows if row["phase"] == "environment")
    assert environment["stand_ins"] == ["pydantic", "safetensors", "cv2", "PIL"]
    checks = {(row["check"], row.get("dtype")): row for row in rows if "check" in row}
    assert len(checks) == 6 and all(row["ok"] for row in checks.values())
    warps = [row for row in rows if row["phase"] == "warp" and "what" in row]
    assert warps[0]["skipped"] == "cv2 is not installed"
    measured = [row for row in warps if row["what"] == "grid_sample, bicubic"]
    assert len(measured) == 2
    assert all(0 < row["ms_range"][0] <= row["ms"] <= row["ms_range"][1] for row in measured)


def test_phases_for_which_no_time_is_left_are_skipped(tmp_path: Path) -> None:
    (row,) = run(tmp_path / "gpu.jsonl", "--phases", "warp", "--deadline", "0")
    assert row == {"phase": "warp", "outcome": "skipped", "reason": "no time is left"}


def test_operations_of_a_convolution_are_those_counted_by_hand() -> None:
    # 2 images of 10 x 8 px, 3x3 without padding: 8 x 6 positions, each 4 times 3 * 9 multiplications and additions.
    assert ConvShape(2, 3, 4, 10, 8, kernel=3, padding=0).flops == 2 * (8 * 6) * 4 * (3 * 9) * 2
    assert ConvShape(1, 1, 1, 5, 5, kernel=3, padding=1).flops == 25 * 9 * 2


def test_operations_of_an_evaluation_are_those_of_its_convolutions_forward_and_backward() -> None:
    # VGG-19 up to relu5_1 at 16x16 px: products of channels, times positions, by block.
    multiplications = 9 * (
        (3 * 64 + 64 * 64) * 16**2
        + (64 * 128 + 128 * 128) * 8**2
        + (128 * 256 + 3 * 256 * 256) * 4**2
        + (256 * 512 + 3 * 512 * 512) * 2**2
        + 512 * 512
    )
    assert evaluation_flops("vgg19", 2, (16, 16)) == 2 * 2 * 2 * multiplications


def test_convolutions_of_compact_include_the_margins_that_it_pads() -> None:
    first, second, third, *_ = shapes_of("compact", "cpu", 1, (32, 48))
    assert first == ConvShape(1, 3, 16, 36, 52, kernel=3, padding=0)
    assert second == ConvShape(1, 16, 16, 34, 50, kernel=3, padding=0)
    assert third == ConvShape(1, 16, 27, 20, 28, kernel=3, padding=0)


def test_ceiling_of_an_evaluation_is_the_time_of_its_convolutions_at_the_nearest_batch_measured() -> None:
    rows = [
        {"encoder": "compact", "batch": batch, "forward_ms": batch, "gradient_ms": 4 * batch, "library_gradient_ms": 3}
        for batch in (1, 8)
        for _ in range(5)
    ]
    assert ceiling_ms(rows, "compact", 5, batch=4) == 4 * 5 * (1 + 3)
    assert ceiling_ms(rows, "compact", 5, batch=16) == 2 * 5 * (8 + 3)
    assert ceiling_ms(rows[:-1], "compact", 5, batch=8) is None
    assert ceiling_ms([], "compact", 5, batch=1) is None


def test_busy_time_counts_kernels_that_overlap_once() -> None:
    assert covered([(0, 4), (6, 7), (1, 2), (3, 5)]) == 6
    assert covered([]) == 0


def test_kernels_and_waits_are_counted_from_events() -> None:
    def event(name: str, device: DeviceType, start: float = 0, end: float = 0) -> SimpleNamespace:
        return SimpleNamespace(name=name, device_type=device, time_range=SimpleNamespace(start=start, end=end))

    found = counted(
        [
            event("aten::mm", DeviceType.CPU),
            event("aten::_local_scalar_dense", DeviceType.CPU),
            event("cudaLaunchKernel", DeviceType.CPU),
            event("cudaStreamSynchronize", DeviceType.CPU),
            event("gemm", DeviceType.CUDA, 1000, 3000),
            event("relu", DeviceType.CUDA, 2000, 3500),
            event("Memcpy DtoH (Device -> Pageable)", DeviceType.CUDA, 4000, 9000),
        ]
    )
    assert found == {"operators": 2, "values_read": 1, "kernels": 2, "synchronizations": 1, "busy_ms": 2.5}


def test_extrapolation_adds_the_parts_of_its_formula() -> None:
    parts = {"start_s": 5.0, "cold_s": 3.0, "keyframe_s": 0.5, "warm_s": 0.1, "write_s": 0.01}
    found = extrapolated(parts)
    assert (found["frames"], found["keyframes"]) == (900, 19)
    assert found["seconds"] == pytest.approx(5 + 3 + 18 * 0.5 + 881 * 0.1 + 9, abs=0.05)


def test_failures_become_rows_and_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    def broken() -> dict[str, Any]:
        raise ValueError("first line\nsecond line")

    assert attempt({"batch": 2}, broken) == {"batch": 2, "failed": "ValueError: first line"}
    append(tmp_path / "rows", {"phase": "a", "error": float("nan"), "ms": 1.5})
    assert read_rows(tmp_path / "rows") == [{"phase": "a", "error": None, "ms": 1.5}]
