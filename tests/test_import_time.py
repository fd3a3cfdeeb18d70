"""Starting is quick: heavy libraries are imported by the commands that need them. Lists of modules, no clock."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HEAVY = {"torch", "torchvision", "cv2", "av", "numpy", "PIL", "safetensors", "scipy"}

MODULES = [
    "pipeline",
    "pipeline.__main__",
    "pipeline.cli",
    "pipeline.config",
    "pipeline.config.settings",
    "pipeline.plan.planning",
    "pipeline.store.directory",
]
COMMANDS = [
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
    "queue a.jpg -s swril -o gallery",
]

PROGRAM = """
import json, sys
loaded = {}
for statement in json.loads(sys.argv[1]):
    exec(statement)
    loaded[statement] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(loaded), file=sys.stderr)
"""


@cache
def loaded_after(*statements: str) -> dict[str, set[str]]:
    """Top-level modules that are loaded after each of these statements, run one after the other in a new interpreter.

    What a statement loads stays loaded, so where one loads a heavy library, those after it fail as well.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(statements)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return {statement: set(names) for statement, names in json.loads(done.stderr.splitlines()[-1]).items()}


def imported() -> dict[str, set[str]]:
    return loaded_after(*(f"import {module}" for module in MODULES))


@pytest.mark.parametrize("module", MODULES)
def test_importing_loads_no_heavy_library(module: str) -> None:
    loaded = imported()[f"import {module}"]
    assert "pipeline" in loaded and not loaded & HEAVY


def test_importing_the_package_loads_no_other_library() -> None:
    assert not imported()["import pipeline"] & (HEAVY | {"typer", "pydantic", "yaml", "rich", "typing"})


@pytest.mark.parametrize("arguments", COMMANDS)
def test_help_and_mistakes_are_answered_without_heavy_libraries(arguments: str) -> None:
    statements = {words: f"from pipeline.cli import run; run({words.split()!r})" for words in COMMANDS}
    loaded = loaded_after(*statements.values())[statements[arguments]]
    assert "typer" in loaded and not loaded & HEAVY
