"""The house: imports go strictly downward, every third-party library has one room, and starting is quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "pipeline"

LAYERS = (
    {"config", "types", "errors", "openmp"},
    {"encoders", "losses", "minimize", "flow", "shots", "reader", "writer", "finish", "image", "progress"}
    | {"catalog", "device", "exposure", "objective", "sample", "sheet"},
    {"neural", "palette", "superpixel"},
    {"feed", "store", "styler", "warmstart"},
    {"schedule", "plan"},
    {"distribute"},
    {"render", "preview", "evaluate"},
    {"__init__", "__main__", "cli"},
)
LAYER = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}

ROOMS_OF = {
    "av": {"reader", "writer"},
    "rich": {"cli", "progress"},
    "typer": {"cli", "__main__"},
    "click": {"cli", "__main__"},
    "torchvision": {"encoders", "flow"},  # RAFT is the flow's optional part
    "ray": {"distribute"},
    "yaml": {"config"},
    "safetensors": {"encoders"},
    "matplotlib": {"evaluate"},
}
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
HEAVY = ("torch", "torchvision", "cv2", "av", "numpy", "PIL", "scipy", "safetensors")

FILES = sorted(HOUSE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def imports_of(path: Path) -> set[str]:
    """Dotted names of every module that a file imports anywhere, also in functions and for type checking."""
    found: set[str] = set()
    package = ("pipeline", *path.relative_to(HOUSE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            # `from pipeline import store` names a room; `from pipeline.store import RenderDirectory` is in one already
            found.update(f"pipeline.{alias.name}" for alias in node.names) if module == "pipeline" else found.add(
                module
            )
    return found


def rooms_used_by(path: Path) -> set[str]:
    """Other rooms that a file imports from."""
    parts = [name.split(".") for name in imports_of(path)]
    rooms = {part[1] for part in parts if part[0] == "pipeline" and len(part) > 1}
    # `from pipeline import __version__` is the package itself: its `__init__` imports nothing
    return {room for room in rooms if room in LAYER} - {room_of(path)}


def test_the_package_itself_imports_nothing() -> None:
    assert imports_of(HOUSE / "__init__.py") <= {"__future__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_go_downward_or_sideways(path: Path) -> None:
    room = room_of(path)
    assert room in LAYER, f"{room} has no place in the house: give it one in DESIGN section 2 and here"
    for other in rooms_used_by(path):
        assert LAYER[other] <= LAYER[room], f"{room} (layer {LAYER[room]}) imports {other} (layer {LAYER[other]})"


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    above: dict[str, set[str]] = {}
    for path in FILES:
        above.setdefault(room_of(path), set()).update(rooms_used_by(path))
    while above:
        free = [room for room, used in above.items() if not used & above.keys()]
        assert free, f"a circle of imports among {sorted(above)}"
        for room in free:
            del above[room]


@pytest.mark.parametrize("library", ROOMS_OF)
def test_every_library_has_one_room(library: str) -> None:
    users = {room_of(path) for path in FILES if any(name.split(".")[0] == library for name in imports_of(path))}
    assert users <= ROOMS_OF[library]


def test_no_room_for_odds_and_ends() -> None:
    names = {part for path in FILES for part in path.relative_to(HOUSE).with_suffix("").parts}
    assert not names & FORBIDDEN_NAMES


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HOUSE.parent, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("module", ["pipeline", "pipeline.config", "pipeline.plan", "pipeline.store", "pipeline.cli"])
def test_importing_is_quick(module: str) -> None:
    if not any((HOUSE.parent / module.replace(".", "/")).with_suffix(suffix).exists() for suffix in (".py", "")):
        pytest.skip(f"{module} is not built yet")
    assert not loaded_by(module) & set(HEAVY)
