"""Fixtures of all tests: the folder of real media, which may be absent."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.command_line import Tempera

# Before torch is loaded, and inherited by subprocesses: the images of the tests are tiny, so threads only wait for
# each other, and with one thread every sum is the same everywhere.
os.environ["OMP_NUM_THREADS"] = "1"

# A shell that starts the tests in the background lets them ignore Ctrl-C, and all that they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(os.environ.get("TEMPERA_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
"""Real media for tests: the environment variable TEMPERA_DATA, by default `shared/data` beside the checkout."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first, so that at the end no worker waits for one that another has just begun."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """`data("video/clip.mp4")` is the path of that file or folder of real media; skips the test where it is absent."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"real media are not here: {path}")
        return path

    return find


@pytest.fixture(scope="session", autouse=True)
def _cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered of renders lies in folders of the tests, also that of renders in fixtures of a module."""
    cells, figures = tmp_path_factory.mktemp("cells"), tmp_path_factory.mktemp("figures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.workflows.preview.cells.cells_folder", lambda: cells)
        patch.setattr("pipeline.workflows.forecast.remembered.figures_path", lambda: figures / "speed.json")
        yield


@pytest.fixture(autouse=True)
def _figures_of_tests(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What renders of a test took is remembered for that test only."""
    folder = tmp_path_factory.getbasetemp() / f"figures-{uuid.uuid4()}"
    monkeypatch.setattr("pipeline.workflows.forecast.remembered.figures_path", lambda: folder / "speed.json")


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of pytest-xdist are told the width of the terminal, to which lists are wrapped."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="module")
def no_real_flushes() -> Iterator[None]:
    """`Faults` checks whether and when files are flushed; thousands of real flushes would only wear a disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def restored_threads() -> Iterator[None]:
    """A test may change the number of OpenCV's threads."""
    import cv2

    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.fixture
def tempera(capsys: pytest.CaptureFixture[str]) -> Tempera:
    """Run a command: its exit code, and what it says."""
    from pipeline import cli
    from tests.support.command_line import Result

    def run(*arguments: str | Path | int) -> Result:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
