"""What styles mean on this machine, and what styles that are rendered together must agree on."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import pipeline
from pipeline import cli
from pipeline.errors import ConfigError
from pipeline.workflows.resolve import check_same_runtime
from tests.support.clips import moving_square, texture, write_video


def write_style(path: Path, runtime: str) -> Path:
    """A style config with an image of its own."""
    Image.fromarray(texture((48, 40), len(path.stem))).save(path.with_suffix(".png"))
    path.write_text(f"style: {{images: [{{path: {path.stem}.png}}]}}\nruntime: {{{runtime}}}\n")
    return path


@pytest.mark.parametrize(
    ("one", "other"),
    [("threads: 1", "threads: 2"), ("device: cpu", "device: auto"), ("batch_size: 1", "batch_size: 4")],
)
def test_styles_with_different_runtime_settings_are_refused(tmp_path: Path, one: str, other: str) -> None:
    styles = [
        pipeline.load_style(write_style(tmp_path / f"{name}.yaml", runtime))
        for name, runtime in (("first", one), ("second", other))
    ]
    key = one.partition(":")[0]
    with pytest.raises(ConfigError) as caught:
        check_same_runtime(styles)
    assert f"runtime.{key}" in caught.value.message and f"--set runtime.{key}=" in caught.value.hint
    check_same_runtime(styles[:1])
    check_same_runtime([styles[0], styles[0].model_copy(update={"name": "third"})])


def test_the_command_line_settles_different_runtime_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", moving_square(2, size=(48, 32)))
    write_style(tmp_path / "first.yaml", "threads: 1")
    write_style(tmp_path / "second.yaml", "threads: 2")
    command = ["render", "clip.mp4", "-s", "first.yaml", "-s", "second.yaml", "-o", "out.mp4", "--dry-run"]
    assert cli.run(command) == 3
    assert "runtime.threads" in capsys.readouterr().err
    assert cli.run([*command, "--set", "runtime.threads=1"]) == 0
