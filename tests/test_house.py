"""The layout of the package: imports go strictly downward, between rooms and between the files of a room."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.house import FLOORS, HOUSE, ROOMS_OF_LIBRARY

FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
MAX_LINES = 400

FILES = sorted(HOUSE.rglob("*.py"))


def module_name(path: Path) -> str:
    """Dotted name of a file, with `.__init__` for the package itself."""
    return ".".join(("pipeline", *path.relative_to(HOUSE).with_suffix("").parts))


MODULES = {module_name(path): path for path in FILES}


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).with_suffix("").parts[0]


@cache
def imported_names(path: Path) -> frozenset[str]:
    """Dotted names of everything that a file imports anywhere, also in functions and for type checking."""
    found: set[str] = set()
    package = ("pipeline", *path.relative_to(HOUSE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return frozenset(found)


@cache
def imported_modules(path: Path) -> frozenset[str]:
    """The files of the package that a file imports, as `module_name` names them; packages that hold them left out."""
    found: set[str] = set()
    for name in imported_names(path):
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            candidates = (".".join(parts[:length]), ".".join([*parts[:length], "__init__"]))
            module = next((candidate for candidate in candidates if candidate in MODULES), None)
            if module is not None:
                found.add(module)
                break
    return frozenset(found - {module_name(path)})


def test_every_room_has_a_floor() -> None:
    without = {room_of(path) for path in FILES} - {"__init__", *FLOORS}
    assert not without, "give it one in tests/support/house.py and in docs/architecture.md"


def test_imports_go_to_lower_rooms() -> None:
    for path in FILES:
        if path == HOUSE / "__init__.py":  # the API of the package has names of every room
            continue
        room = room_of(path)
        for module in imported_modules(path):
            other = room_of(MODULES[module])
            if other not in (room, "__init__"):
                assert FLOORS.index(other) < FLOORS.index(room), (
                    f"{module_name(path)} imports {module} of a higher room"
                )


def test_imports_between_files_have_no_cycle() -> None:
    api = "pipeline.__init__"
    above = {module: imported_modules(path) - {api} for module, path in MODULES.items() if module != api}
    try:
        order = list(TopologicalSorter(above).static_order())
    except CycleError as error:
        pytest.fail(f"imports in a cycle: {' -> '.join(error.args[1])}")
    assert len(order) == len(above)


@pytest.mark.parametrize("library", ROOMS_OF_LIBRARY)
def test_library_is_imported_only_in_its_rooms(library: str) -> None:
    users = {room_of(path) for path in FILES if any(name.split(".")[0] == library for name in imported_names(path))}
    assert users <= ROOMS_OF_LIBRARY[library]


def test_no_file_has_a_name_that_says_nothing() -> None:
    names = {part for path in FILES for part in path.relative_to(HOUSE).with_suffix("").parts}
    assert not names & FORBIDDEN_NAMES


def test_files_are_short_enough_to_be_read() -> None:
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {path: length for path, length in lengths.items() if length > MAX_LINES}
