"""`tempera compose` and the time of its output: what an export shows, a composition of that render shows."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config.settings import OutputSettings
from pipeline.config.video import VideoSettings
from pipeline.types import Shot
from pipeline.workflows.output.retime import output_timeline
from tests.support.command_line import FRAMES, Tempera, assert_refused, audio_seconds, export, pictures, video_times
from tests.support.plans import a_plan, a_source

QUIET = ("--progress", "none")


def compose(tempera: Tempera, render: Path, name: str, *settings: str, layers: int = 1) -> tuple[Path, str]:
    """As `export`, by a composition of `layers` layers that are all this render."""
    Path("c.yaml").write_text(json.dumps({"layers": [{"render": str(render)}] * layers}), encoding="utf-8")
    assignments = [f"--set=output.{setting}" for setting in ("codec=ffv1", *settings)]
    result = tempera("compose", "c.yaml", "-o", name, "--progress", "plain", *assignments)
    assert result.code == 0, result.err
    return Path(result.out.strip()), result.err


@pytest.mark.parametrize(
    "settings",
    [
        ["time.fps=20"],
        ["time.loop=boomerang", "time.fps=15", "time.between=blend"],
        ["time.loop=seamless", "view.zoom=[{at: 0, value: 1}, {at: 100%, value: 1.5}]"],
        ["time.reverse=true", "time.hold_last_s=0.2"],
    ],
    ids=["in-betweens", "boomerang", "seamless and zoom", "reversed"],
)
def test_one_layer_is_shown_as_its_export(tempera: Tempera, copy: Path, settings: list[str]) -> None:
    exported, _ = export(tempera, copy, "exported.mkv", *settings)
    composed, _ = compose(tempera, copy, "composed.mkv", *settings)
    assert video_times(composed) == video_times(exported)
    np.testing.assert_array_equal(pictures(composed), pictures(exported))


def test_audio_is_stretched_with_the_pictures(tempera: Tempera, copy: Path) -> None:
    slow, said = compose(tempera, copy, "slow.mkv", "time.speed=0.5")
    assert video_times(slow)[-1] == Fraction(4, 5) and audio_seconds(slow) == pytest.approx(1.0, abs=0.06)
    assert f"{FRAMES} pictures of {FRAMES} frames, 1.00 s" in said
    assert "has no audio" in compose(tempera, copy, "back.mkv", "time.loop=boomerang")[1]


def test_layers_that_hold_their_strokes_are_crossfaded(tempera: Tempera) -> None:
    """What one layer shows again does not move along the content, also where another one goes on."""
    words = ("{media}/photos", "-s", "{media}/waves.png", "--set=styler=palette", *QUIET)
    assert tempera("render", *words, "-o", "one.mp4").code == 0
    assert tempera("render", *words, "-o", "two.mp4", "--set=motion.hold=3").code == 0
    layers = [{"render": "one.render"}, {"render": "two.render", "opacity": 0.5}]
    Path("c.yaml").write_text(json.dumps({"layers": layers}), encoding="utf-8")
    rate = ("--set=output.time.fps=8", *QUIET)
    for name, between in (("flow", "flow"), ("blend", "blend")):
        assert (
            tempera("compose", "c.yaml", "-o", f"{name}/%d.png", f"--set=output.time.between={between}", *rate).code
            == 0
        )
    for number in range(4):
        with Image.open(f"flow/{number}.png") as flow, Image.open(f"blend/{number}.png") as blend:
            np.testing.assert_array_equal(np.asarray(flow), np.asarray(blend))


def test_part_of_a_clip_keeps_its_cuts() -> None:
    """Cuts are frames of the plan: those of a part that begins later are counted from its first frame."""
    source = a_source(6)
    plan = a_plan(source=source, shots=(Shot(0, 0, 3), Shot(1, 3, 6)))
    settings = VideoSettings.model_validate({"time": {"fps": 59.94}})
    part = a_source(4)
    whole = output_timeline(settings, plan, source, Path("a.mp4"))
    later = output_timeline(settings, plan, part, Path("a.mp4"), first=2)
    assert whole is not None and later is not None
    assert all(shown.pair != (2, 3) for shown in whole.shown) and any(shown.pair == (2, 3) for shown in later.shown)
    assert all(shown.pair != (0, 1) for shown in later.shown)


def test_numbered_images_of_a_loop_are_those_of_the_composition_alone(tempera: Tempera, copy: Path) -> None:
    loop = ("codec=auto", "time.loop=boomerang")
    for _ in range(2):
        compose(tempera, copy, "out/%d.png", *loop)
    assert len(list(Path("out").iterdir())) == 2 * FRAMES - 2
    Path("more").mkdir()
    (Path("more") / f"{2 * FRAMES - 3}.png").write_bytes(b"mine")
    words = ("compose", "c.yaml", "-o", "more/%d.png", "--set=output.time.loop=boomerang", *QUIET)
    assert_refused(tempera(*words), 2, f"{2 * FRAMES - 3}.png: exists")


def test_the_finish_of_a_composition_stands_outside_of_its_output(tempera: Tempera, copy: Path) -> None:
    Path("c.yaml").write_text(json.dumps({"layers": [{"render": str(copy)}]}), encoding="utf-8")
    refused = tempera("compose", "c.yaml", "-o", "v.mp4", "--set=output.finish.grain=0.1", *QUIET)
    assert_refused(refused, 3, "output.finish.grain")
    assert {*OutputSettings.model_fields} - {*VideoSettings.model_fields} == {"finish"}
