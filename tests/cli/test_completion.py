"""Completion in the shell, in the real shells where they are installed, and the reference of the commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import make_manual
import pytest

from pipeline.cli import completion
from pipeline.runtime.reporters import JsonReporter
from pipeline.types import Chain, FrameStats
from tests.support.command_line import Tempera, assert_refused


def test_settings_are_proposed_section_by_section() -> None:
    assert "losses." in completion.propose_settings("")
    assert completion.propose_settings("losses.con") == ["losses.content."]
    assert "losses.content.weight=" in completion.propose_settings("losses.content.")
    assert completion.propose_settings("nothing") == []


def test_choices_are_proposed_behind_a_key() -> None:
    assert completion.propose_settings("runtime.device=c") == ["runtime.device=cpu", "runtime.device=cuda"]
    assert completion.propose_settings("seed=") == []
    assert completion.propose_settings("nothing.at.all=") == []


def test_shipped_styles_are_proposed() -> None:
    assert completion.propose_styles("sw") == ["swirl"]
    assert completion.propose_styles("./") == []


def test_an_unknown_shell_is_refused_in_plain_words(tempera: Tempera) -> None:
    assert_refused(tempera("completion", "bash2"), 2, "error: Invalid value for 'shell': 'bash2' is not one of 'bash'")


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `tempera` on the PATH that runs this package."""
    command = tmp_path / "tempera"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pipeline "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def _in_bash(line: str) -> list[str]:
    script = f"""
        eval "$(tempera completion bash)"
        COMP_LINE='{line}'
        COMP_POINT=${{#COMP_LINE}}
        _tempera_completion tempera 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tempera prob", ["probe"]),
        ("tempera render x --style wo", ["woodcut"]),
        ("tempera export d --set runtime.device=cu", ["cuda"]),
    ],
)
def test_bash_completes(line: str, expected: list[str]) -> None:
    assert _in_bash(line) == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.usefixtures("on_path")
def test_fish_completes() -> None:
    script = "tempera completion fish | source; complete -C 'tempera render x --set losses.con'"
    found = subprocess.run(["fish", "--no-config", "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["losses.content."]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_valid(shell: str, tempera: Tempera) -> None:
    script = tempera("completion", shell).out
    assert "_TEMPERA_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, check=True, text=True)


def test_quiet_and_verbose_exclude_each_other(tmp_path: Path, tempera: Tempera) -> None:
    assert_refused(tempera("verify", str(tmp_path), "--quiet", "--verbose"), 2, "exclude each other")


def test_the_reference_of_the_commands_is_current() -> None:
    for name, text in (("commands.md", make_manual.page()), ("tempera.1", make_manual.manual())):
        assert (make_manual.DOCS / name).read_text(encoding="utf-8") == text, "run python scripts/make_manual.py"


def test_json_events_are_those_of_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = JsonReporter()
    chain = Chain("a-s000", "a", 0, 0, 2, 0)
    reporter.note("a note")
    reporter._say_stage("reading", 1, 2)
    with reporter.stylizing({"cold": 1, "warm": 1}, 0):
        reporter.frame_stored(chain, 0, "cold", FrameStats(1, 0.5, 0.1, 0.2, 0.0), 1.0)
        reporter.started_anew(chain, 1)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {event["event"]: set(event) - {"event"} for event in events} == {
        name: set(keys) for name, (_, keys) in make_manual.EVENTS.items()
    }
