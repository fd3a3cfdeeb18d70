"""What styles mean on this machine, and what styles that are rendered together must agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import pipeline
from pipeline import cli
from pipeline.config.settings import Config
from pipeline.errors import ConfigError
from pipeline.plan.segments import automatic_length
from pipeline.runtime.progress import Reporter, SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.stylers.loaded import Loaded
from pipeline.stylers.resources import Resources
from pipeline.workflows import resolve
from pipeline.workflows.prepare import prepare
from pipeline.workflows.request import RenderRequest
from pipeline.workflows.resolve import check_same_runtime, resolve_styles
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


@pytest.fixture
def style(tmp_path: Path) -> Config:
    Image.fromarray(texture((48, 40), 3)).save(tmp_path / "style.png")
    settings = {"optimize.cold.evaluations": 2, "optimize.cold.min_scale_px": 32, "optimize.precision": "float32"}
    return pipeline.load_style(tmp_path / "style.png", {**settings, "encoder": "tiny", "optimize.warm.evaluations": 2})


def resolve_for_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on styles are resolved as for CUDA; nothing can be computed there."""
    load = resolve.load_resources

    def elsewhere(
        configs: Sequence[Config], weights: Path | None, reporter: Reporter, loaded: Loaded | None
    ) -> list[Resources]:
        return [replace(found, device=torch.device("cuda")) for found in load(configs, weights, reporter, loaded)]

    monkeypatch.setattr(resolve, "load_resources", elsewhere)


def segment_frames(*styles: Config, frame_count: int) -> list[int]:
    return [
        found.segment_frames for found in resolve_styles(styles, None, SilentReporter(), frame_count=frame_count)[0]
    ]


def test_long_shots_stay_whole_on_the_cpu(style: Config) -> None:
    assert segment_frames(style, frame_count=5000) == [0]


def test_segments_for_an_accelerator_follow_from_frames_and_styles(
    style: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_for_an_accelerator(monkeypatch)
    second = style.model_copy(update={"name": "second"})
    for frames in (10, 500, 5000):
        assert segment_frames(style, frame_count=frames) == [automatic_length(frames, 1)]
        assert segment_frames(style, second, frame_count=frames) == [automatic_length(frames, 2)] * 2
    motion = style.motion
    for changed, length in (({"segment_frames": 7}, 7), ({"segment_frames": 0}, 0), ({"boil": 1.0}, 0)):
        config = style.model_copy(update={"motion": motion.model_copy(update=changed)})
        assert segment_frames(config, frame_count=500) == [length]
    assert segment_frames(style.model_copy(update={"styler": "palette"}), frame_count=500) == [0]


@pytest.mark.parametrize("how", ["resume", "the same command"])
def test_render_that_continues_on_another_device_keeps_its_segments(
    style: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Begun where shots are split, it goes on where they are not."""
    clip = write_video(tmp_path / "clip.mp4", moving_square(6, size=(48, 32)))
    with monkeypatch.context() as patched:
        resolve_for_an_accelerator(patched)
        patched.setattr(resolve, "automatic_length", lambda frames, styles: frames // 2)
        prepared = prepare(RenderRequest((str(clip),), (style,), output=tmp_path / "out.mp4"), SilentReporter())
        RenderDirectory.create(prepared.path, prepared.plan)
    if how == "resume":
        pipeline.resume(prepared.path)
    else:
        pipeline.render(clip, style, tmp_path / "out.mp4")
    directory = RenderDirectory.open(prepared.path)
    assert [chain.interval for chain in directory.plan.chains] == [3, 1, 1]
    assert all(directory.stored(chain) == set(chain.frames) for chain in directory.plan.chains)
