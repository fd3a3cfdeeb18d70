"""The choice of device and precision, and how threads wait."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pipeline.errors import MissingPartError
from pipeline.runtime.device import choose_device, choose_precision, prepare_device
from pipeline.runtime.threads import BRIEF, HUGE_PAGES, keep_freed_memory, limit_spinning, share_heap, use_huge_pages

CPU = torch.device("cpu")


def test_missing_device_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(MissingPartError, match="cuda") as caught:
        choose_device("cuda")
    assert "--device cpu" in caught.value.hint


def test_auto_takes_the_fastest_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
        ({"avx2": True, "avx512_f": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_half_precision_is_chosen_only_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision("auto", CPU) == expected
    assert choose_precision("float32", CPU) == "float32"
    assert choose_precision("bfloat16", CPU) == "bfloat16"


def test_half_precision_is_chosen_only_on_gpus_without_emulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert choose_precision("auto", torch.device("cuda")) == "float32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert choose_precision("auto", torch.device("cuda")) == "bfloat16"
    assert choose_precision("auto", torch.device("mps")) == "float32"


def test_freed_memory_is_kept_only_where_the_c_library_supports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, parameter: int, value: int) -> int:
            calls.append((parameter, value))
            return 1

    monkeypatch.setattr("pipeline.runtime.c_library.ctypes.CDLL", lambda _name: Library())
    monkeypatch.setattr("pipeline.runtime.c_library.sys.platform", "linux")
    assert keep_freed_memory()
    assert [parameter for parameter, _ in calls] == [-3, -1]
    assert share_heap()
    assert calls[2:] == [(-8, 1)]
    monkeypatch.setattr("pipeline.runtime.c_library.ctypes.CDLL", lambda _name: object())  # musl has no mallopt
    assert not keep_freed_memory()
    assert not share_heap()
    monkeypatch.setattr("pipeline.runtime.c_library.sys.platform", "darwin")
    assert not keep_freed_memory()


@pytest.fixture
def _flags_of_torch() -> Iterator[None]:
    """As torch sets them, and after the test as they were."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = True, True, False
    yield
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


@pytest.mark.usefixtures("_flags_of_torch")
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_float32_is_never_rounded_and_only_cuda_is_tuned(device: str) -> None:
    environment: dict[str, str] = {}
    prepare_device(torch.device(device), environment)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.benchmark == (device == "cuda")
    expected = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"} if device == "cuda" else {}
    assert environment == (expected if sys.platform.startswith("linux") else {})


@pytest.mark.usefixtures("_flags_of_torch")
@pytest.mark.parametrize("name", ["PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"])
def test_allocator_settings_of_the_environment_are_kept(name: str) -> None:
    environment = {name: "max_split_size_mb:64"}
    prepare_device(torch.device("cuda"), environment)
    assert environment == {name: "max_split_size_mb:64"}


@pytest.mark.parametrize("chosen", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_wait_policy_of_the_environment_is_kept(chosen: dict[str, str]) -> None:
    environment = dict(chosen)
    limit_spinning(environment)
    assert environment == chosen


def test_huge_pages_are_asked_for_unless_the_environment_says_otherwise() -> None:
    for chosen, expected in (({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0")):
        environment = {"A": "b", **chosen}
        use_huge_pages(environment)
        assert environment == {"A": "b", "THP_MEM_ALLOC_ENABLE": expected}


def test_command_line_sets_the_environment_before_torch_loads() -> None:
    """Set later it would have no effect."""
    program = (
        "import os, sys; from pipeline import cli; assert 'torch' not in sys.modules; cli.run(['--version']);"
        "print(os.environ['OMP_WAIT_POLICY'], int(os.environ['GOMP_SPINCOUNT']) > 0,"
        "os.environ['THP_MEM_ALLOC_ENABLE'], 'torch' in sys.modules)"
    )
    unset = {name: value for name, value in os.environ.items() if name not in BRIEF | HUGE_PAGES}
    done = subprocess.run([sys.executable, "-c", program], env=unset, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "PASSIVE True 1 False"
