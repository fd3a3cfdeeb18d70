"""What a session makes of the device: batches, groups of chains, and where frames are sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import pipeline
from pipeline.execute.batch_size import MAX_BATCH
from pipeline.execute.session import ACCELERATOR_GROUPS, Session
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.stylers.resources import Resources
from tests.support.clips import texture
from tests.support.scheduling import a_plan


def options_on(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict[str, Any]:
    """What `run_chains` is called with on a device that is not there."""
    Image.fromarray(texture((48, 40), 3)).save(tmp_path / "a.png")
    config = pipeline.load_style(tmp_path / "a.png", {"styler": "palette", **settings})
    directory = RenderDirectory(tmp_path, a_plan(cuts=(4, 8)))
    given: dict[str, Any] = {}
    monkeypatch.setattr("pipeline.execute.session.run_chains", lambda *_, **options: given.update(options) or {})
    monkeypatch.setattr("pipeline.runtime.memory.free_bytes", lambda device: 1 << 40)
    session = Session(
        directory, directory.plan.source, {"a": config}, {"a": Resources(torch.device(device), "float32", None)}
    )
    session.stylize({"a-s000": 0, "a-s001": 4}, SilentReporter(), Cancellation())
    return {name: given[name] for name in ("batch_size", "groups", "device")}


def test_cpu_has_one_chain_in_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert options_on("cpu", tmp_path, monkeypatch) == {"batch_size": 1, "groups": 1, "device": None}


@pytest.mark.parametrize(("device", "sent_to"), [("cuda", torch.device("cuda")), ("mps", None)])
def test_accelerator_has_two_groups_of_chains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, sent_to: object
) -> None:
    expected = {"batch_size": MAX_BATCH, "groups": ACCELERATOR_GROUPS, "device": sent_to}
    assert options_on(device, tmp_path, monkeypatch) == expected


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batch_size_of_the_settings_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    assert options_on(device, tmp_path, monkeypatch, **{"runtime.batch_size": 3})["batch_size"] == 3
