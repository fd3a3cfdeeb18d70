"""Starting is quick: what is heavy is imported by the command that needs it. Lists of modules, no clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "torchvision", "cv2", "av", "numpy", "PIL", "safetensors", "scipy"}
SHOW = "; print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"


def modules(code: str) -> set[str]:
    """Top-level modules that are loaded behind this code, in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}{SHOW}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("module", ["pipeline", "pipeline.__main__", "pipeline.cli", "pipeline.config"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    loaded = modules(f"import {module}")
    assert "pipeline" in loaded and not loaded & HEAVY


def test_bare_package_loads_nothing_at_all_of_others() -> None:
    assert not modules("import pipeline") & (HEAVY | {"typer", "pydantic", "yaml", "rich"})


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "render --help",
        "--version",
        "styles",
        "schema",
        "render",
        "render clip.mp4 -s swril",
        "render clip.mp4 -s swirl --set losses.content.wieght=1",
        "render clip.mp4 -s swirl --fps x",
        "status gone.render",
    ],
)
def test_help_and_mistakes_answer_without_loading_torch(arguments: str) -> None:
    loaded = modules(f"from pipeline.cli import run; run({arguments.split()!r})")
    assert "typer" in loaded and not loaded & (HEAVY)
