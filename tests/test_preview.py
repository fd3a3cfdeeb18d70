"""Previews: what a sheet shows of a frame is what the video has there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.config.settings import Config
from pipeline.errors import StylizeError
from pipeline.media.reader.source import probe
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.runtime.progress import CallbackReporter, FrameProgress
from pipeline.types import FrameBatch, FrameStats, Shot, StylizedBatch
from pipeline.workflows.preview import DEFAULT_RUN_UP, preview, variants
from pipeline.workflows.run_up import frames_to_stylize, run_up_chains
from tests.support.clips import moving_square, texture, write_photos
from tests.support.command_line import QUICK
from tests.support.frames import RGB, read_rgb
from tests.support.plans import a_config

SETTINGS = [argument.removeprefix("--set=") for argument in QUICK if argument.startswith("--set=")] + ["encoder=tiny"]
COUNT, CUT = 9, 5


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos that become dark before a cut, flicker slightly, and a style image."""
    folder = tmp_path_factory.mktemp("media")
    fading = [1, 1, 0.95, 0.85, 0.4, 1, 1, 0.95, 0.9]
    frames = [frame * factor for frame, factor in zip(moving_square(COUNT, cut_at=CUT), fading, strict=True)]
    write_photos(folder / "photos", [np.rint(frame).astype(np.uint8) for frame in frames])
    Image.fromarray(texture((64, 48), 50)).save(folder / "waves.png")
    return folder


@dataclass
class Sheet:
    """The cells of a preview by row, the captions of its columns, and the frames that were stylized for it."""

    cells: list[list[RGB]] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    stylized: list[FrameProgress] = field(default_factory=list)


def preview_of(
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: list[int],
    settings: Mapping[str, Any] | None = None,
    *,
    sweep: str | None = None,
    run_up: int = 8,
) -> Sheet:
    found = Sheet()

    def keep(rows: list[list[tuple[str, RGB]]]) -> RGB:
        found.cells = [[rgb for _, rgb in row] for row in rows]
        found.captions = [caption for caption, _ in rows[0]]
        return rows[0][0][1]

    monkeypatch.setattr("pipeline.media.image.contact_sheet.contact_sheet", keep)
    assignments = [*SETTINGS, *(f"{key}={value}" for key, value in (settings or {}).items())]
    columns = variants([str(clip / "waves.png")], sweep, assignments, run_up=run_up)
    with Thumbnails(160) as thumbnails:
        source = probe([clip / "photos"], columns[0].config.input, thumbnails=thumbnails)
        preview(
            source,
            columns,
            at,
            width_px=48,
            height_px=32,
            weights=None,
            reporter=CallbackReporter(found.stylized.append),
            thumbnails=thumbnails,
            run_up=run_up,
        )
    return found


def video_of(clip: Path, folder: Path, *settings: str) -> list[RGB]:
    """The frames of the video of a render with the same settings."""
    style, output = str(clip / "waves.png"), str(folder / "out" / "%02d.png")
    sets = [f"--set={setting}" for setting in settings]
    assert cli.run(["render", str(clip / "photos"), "-s", style, *QUICK, *sets, "--width", "48", "-o", output]) == 0
    return [read_rgb(path) for path in sorted((folder / "out").glob("*.png"))]


@pytest.mark.parametrize("hold", [1, 2])
def test_preview_shows_the_frames_of_the_video(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: int
) -> None:
    """With the finish, across a cut, in a clip that darkens; all frames are nearer to the cut than a run-up."""
    settings = {"motion.hold": hold, "output.finish.preserve_color": 0.3, "input.cut_threshold": 0.2}
    video = video_of(clip, tmp_path, *(f"{key}={value}" for key, value in settings.items()))
    at = [4, 1, 8]
    sheet = preview_of(clip, monkeypatch, at, settings)
    for index, (content, shown) in zip(at, sheet.cells, strict=True):
        np.testing.assert_array_equal(shown, video[index], err_msg=f"frame {index}")
        np.testing.assert_array_equal(content, read_rgb(clip / "photos" / f"shot_{index + 1:03d}.png"))
    assert sheet.cells[0][1].mean() < 0.7 * sheet.cells[1][1].mean()  # it darkens


def test_progress_counts_the_run_up(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = preview_of(clip, monkeypatch, [3], {"input.cuts": "none"}, run_up=2).stylized
    assert [(frame.frame, frame.phase, frame.done, frame.total) for frame in told] == [
        (1, "cold", 1, 3),
        (2, "warm", 2, 3),
        (3, "warm", 3, 3),
    ]
    told = preview_of(clip, monkeypatch, [3], {"input.cuts": "none"}, run_up=0).stylized
    assert [(frame.frame, frame.phase, frame.total) for frame in told] == [(3, "cold", 1)]


def test_settings_of_warm_frames_show(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = preview_of(clip, monkeypatch, [2], sweep="optimize.warm.evaluations=1,4", run_up=2)
    assert sheet.captions == ["frame 2", "evaluations=1, waves", "evaluations=4, waves"]
    assert (sheet.cells[0][1] != sheet.cells[0][2]).any()


def test_values_of_the_finish_share_the_stylized_frames(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_shot = {"input.cuts": "none"}
    sheet = preview_of(clip, monkeypatch, [4], one_shot, sweep="output.finish.follow_level=0,1", run_up=1)
    assert [frame.total for frame in sheet.stylized] == [2, 2]
    plain, darker = sheet.cells[0][1:]
    assert darker.mean() < 0.9 * plain.mean()


def test_failed_frame_is_told_without_a_render_to_go_on_with(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two run-ups, one of which fails: the error is its own."""

    class SecondFails:
        uses_previous_frames = True
        style_colors = None
        stylized = 0

        def stylize(self, batch: FrameBatch) -> StylizedBatch:
            if self.stylized:
                raise StylizeError("the loss is nan", hint="smaller weights")
            self.stylized = 1
            return StylizedBatch(batch.content, (FrameStats(1, 0.0),))

    monkeypatch.setattr("pipeline.execute.session.build_stylers", lambda config, resources, note, shots: SecondFails())
    with pytest.raises(StylizeError) as caught:
        preview_of(clip, monkeypatch, [0, 4], {"input.cuts": "none"}, run_up=0)
    assert (caught.value.message, caught.value.hint) == (
        "chain preview-001, frame 4: the loss is nan",
        "smaller weights",
    )


SHOTS = (Shot(0, 0, 20), Shot(1, 20, 50))


def spans(frames: list[int], run_up: int, config: Config) -> list[tuple[int, int, int]]:
    return [(chain.shot, chain.start, chain.stop) for chain in run_up_chains(config, frames, SHOTS, run_up)]


def test_run_up_stays_in_its_shot_and_joins_the_one_before() -> None:
    config = a_config()
    assert spans([3], 8, config) == [(0, 0, 4)]
    assert spans([30, 22, 10], 8, config) == [(0, 2, 11), (1, 20, 31)]
    assert spans([40, 30], 8, config) == [(1, 22, 31), (1, 32, 41)]
    assert spans([39, 30], 8, config) == [(1, 22, 40)]
    assert spans([30, 30], 0, config) == [(1, 30, 31)]
    with pytest.raises(ValueError, match="frame 50"):
        spans([50], 8, config)


def test_run_up_begins_where_the_render_stylizes_a_frame() -> None:
    assert spans([33], 8, a_config(motion={"hold": 3})) == [(1, 23, 34)]  # the render stylizes 20, 23, 26, ...


def test_there_is_no_run_up_where_every_frame_is_cold() -> None:
    config = a_config(motion={"boil": 1})
    assert spans([30, 31], 8, config) == [(1, 30, 32)]
    assert frames_to_stylize(config, run_up_chains(config, [30, 31], SHOTS, 8)) == {"cold": 2, "warm": 0}
    warm = a_config()
    assert frames_to_stylize(warm, run_up_chains(warm, [30], SHOTS, 8)) == {"cold": 1, "warm": 8}


def test_default_run_up_is_that_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.run(["preview", "--help"]) == 0
    assert f"default: {DEFAULT_RUN_UP};" in " ".join(capsys.readouterr().out.split())
