"""Previews: what a sheet shows of a frame is what the video has there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.config.settings import Config
from pipeline.encoders import load as encoders_load
from pipeline.encoders.network import Encoder
from pipeline.errors import StylizeError
from pipeline.media.reader.source import probe
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.runtime.progress import CallbackReporter, FrameProgress
from pipeline.types import FrameBatch, FrameStats, Shot, StylizedBatch
from pipeline.workflows.preview.cells import StylizedCells
from pipeline.workflows.preview.crop import parse_crop
from pipeline.workflows.preview.preview import preview
from pipeline.workflows.preview.run_up import frames_to_stylize, run_up_chains
from pipeline.workflows.preview.sweep import DEFAULT_RUN_UP, parse_sweeps, variants
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
class Shown:
    """Of every frame the content and what the variants show of it, and the frames that were stylized for that."""

    cells: list[list[RGB]]
    stylized: list[FrameProgress]
    notes: list[str]


class Told(CallbackReporter):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.stylized: list[FrameProgress] = []
        self.notes: list[str] = []
        super().__init__(self.stylized.append)

    def note(self, message: str) -> None:
        self.notes.append(message)


def preview_of(
    clip: Path,
    at: list[int],
    settings: Mapping[str, Any] | None = None,
    *,
    sweep: str | None = None,
    run_up: int = 8,
    crop: str | None = None,
    cells: Path | None = None,
    fresh: bool = False,
) -> Shown:
    assignments = [*SETTINGS, *(f"{key}={value}" for key, value in (settings or {}).items())]
    sweeps = parse_sweeps([sweep] if sweep else [], run_up=run_up)
    configs = [variant.config for variant in variants([str(clip / "waves.png")], sweeps, assignments)]
    told = Told()
    with Thumbnails(160) as thumbnails:
        source = probe([clip / "photos"], configs[0].input, digest=False, thumbnails=thumbnails)
        images = preview(
            source,
            configs,
            at,
            width_px=48,
            height_px=32,
            weights=None,
            reporter=told,
            thumbnails=thumbnails,
            run_up=run_up,
            crop=None if crop is None else parse_crop(crop),
            cells=None if cells is None else StylizedCells(cells),
            fresh=fresh,
        )
    rows = [[images.contents[index], *(finished[index] for finished in images.finished)] for index in at]
    return Shown(rows, told.stylized, told.notes)


def video_of(clip: Path, folder: Path, *settings: str) -> list[RGB]:
    """The frames of the video of a render with the same settings."""
    style, output = str(clip / "waves.png"), str(folder / "out" / "%02d.png")
    sets = [f"--set={setting}" for setting in settings]
    assert cli.run(["render", str(clip / "photos"), "-s", style, *QUICK, *sets, "--width", "48", "-o", output]) == 0
    return [read_rgb(path) for path in sorted((folder / "out").glob("*.png"))]


@pytest.mark.parametrize("hold", [1, 2])
def test_preview_shows_the_frames_of_the_video(clip: Path, tmp_path: Path, hold: int) -> None:
    """With the finish, across a cut, in a clip that darkens; all frames are nearer to the cut than a run-up."""
    settings = {"motion.hold": hold, "output.finish.preserve_color": 0.3, "input.cut_threshold": 0.2}
    video = video_of(clip, tmp_path, *(f"{key}={value}" for key, value in settings.items()))
    at = [4, 1, 8]
    sheet = preview_of(clip, at, settings)
    for index, (content, shown) in zip(at, sheet.cells, strict=True):
        np.testing.assert_array_equal(shown, video[index], err_msg=f"frame {index}")
        np.testing.assert_array_equal(content, read_rgb(clip / "photos" / f"shot_{index + 1:03d}.png"))
    assert sheet.cells[0][1].mean() < 0.7 * sheet.cells[1][1].mean()  # it darkens


def test_progress_counts_the_run_up(clip: Path) -> None:
    told = preview_of(clip, [3], {"input.cuts": "none"}, run_up=2).stylized
    assert [(frame.frame, frame.phase, frame.done, frame.total) for frame in told] == [
        (1, "cold", 1, 3),
        (2, "warm", 2, 3),
        (3, "warm", 3, 3),
    ]
    told = preview_of(clip, [3], {"input.cuts": "none"}, run_up=0).stylized
    assert [(frame.frame, frame.phase, frame.total) for frame in told] == [(3, "cold", 1)]


def test_settings_of_warm_frames_show(clip: Path) -> None:
    sheet = preview_of(clip, [2], sweep="optimize.warm.evaluations=1,4", run_up=2)
    assert (sheet.cells[0][1] != sheet.cells[0][2]).any()


def test_values_of_the_finish_share_the_stylized_frames(clip: Path) -> None:
    one_shot = {"input.cuts": "none"}
    sheet = preview_of(clip, [4], one_shot, sweep="output.finish.follow_level=0,1", run_up=1)
    assert [frame.total for frame in sheet.stylized] == [2, 2]
    plain, darker = sheet.cells[0][1:]
    assert darker.mean() < 0.9 * plain.mean()


def test_failed_frame_is_told_without_a_render_to_go_on_with(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two run-ups, one of which fails: the error is its own."""

    class SecondFails:
        style_colors = None
        stylized = 0

        def stylize(self, batch: FrameBatch) -> StylizedBatch:
            if self.stylized:
                raise StylizeError("the loss is nan", hint="smaller weights")
            self.stylized = 1
            return StylizedBatch(batch.content, (FrameStats(1, 0.0),))

    monkeypatch.setattr("pipeline.execute.session.build_stylers", lambda config, resources, note, shots: SecondFails())
    with pytest.raises(StylizeError) as caught:
        preview_of(clip, [0, 4], {"input.cuts": "none"}, run_up=0)
    assert (caught.value.message, caught.value.hint) == (
        "chain preview-001, frame 4: the loss is nan",
        "smaller weights",
    )


def test_second_preview_stylizes_only_what_is_new(clip: Path, tmp_path: Path) -> None:
    one_shot = {"input.cuts": "none"}
    first = preview_of(clip, [1], one_shot, sweep="losses.content.weight=1,2", run_up=1, cells=tmp_path)
    assert len(first.stylized) == 4 and not first.notes
    second = preview_of(clip, [1], one_shot, sweep="losses.content.weight=1,2,4", run_up=1, cells=tmp_path)
    assert [frame.total for frame in second.stylized] == [2, 2]
    assert second.notes == ["2 of 3 cells are from an earlier sheet; --fresh stylizes them again"]
    np.testing.assert_array_equal(second.cells[0][:3], first.cells[0])
    again = preview_of(clip, [1], one_shot, sweep="losses.content.weight=4,1", run_up=1, cells=tmp_path)
    assert not again.stylized and "2 of 2" in again.notes[0]
    np.testing.assert_array_equal(again.cells[0], [second.cells[0][index] for index in (0, 3, 1)])
    finish = {**one_shot, "losses.content.weight": 2, "output.finish.grain": 0.1}
    grainy = preview_of(clip, [1], finish, run_up=1, cells=tmp_path)
    assert not grainy.stylized and (grainy.cells[0][1] != first.cells[0][2]).any()  # the finish is applied anew
    fresh = preview_of(clip, [1], one_shot, sweep="losses.content.weight=1,2", run_up=1, cells=tmp_path, fresh=True)
    assert len(fresh.stylized) == 4 and not fresh.notes
    np.testing.assert_array_equal(fresh.cells[0], first.cells[0])


def test_cells_of_other_photos_run_ups_and_seeds_are_not_reused(clip: Path, tmp_path: Path) -> None:
    shutil.copytree(clip, tmp_path / "clip")
    clip, cells, one_shot = tmp_path / "clip", tmp_path / "cells", {"input.cuts": "none", "input.deflicker": 0}
    preview_of(clip, [4], one_shot, run_up=1, cells=cells)
    assert len(preview_of(clip, [4], one_shot, run_up=2, cells=cells).stylized) == 3
    assert len(preview_of(clip, [4], {**one_shot, "seed": 1}, run_up=1, cells=cells).stylized) == 2
    Image.fromarray(texture((48, 32), 7)).save(clip / "photos" / "shot_008.png")  # neither frame 4 nor its run-up
    assert not preview_of(clip, [4], one_shot, run_up=1, cells=cells).stylized
    Image.fromarray(texture((48, 32), 8)).save(clip / "photos" / "shot_004.png")  # its run-up
    assert len(preview_of(clip, [4], one_shot, run_up=1, cells=cells).stylized) == 2
    Image.fromarray(texture((64, 48), 51)).save(clip / "waves.png")
    assert len(preview_of(clip, [4], one_shot, run_up=1, cells=cells).stylized) == 2


def test_every_photo_has_a_say_in_cells_with_regions(clip: Path, tmp_path: Path) -> None:
    """A mask may be carried from a frame far away."""
    shutil.copytree(clip, tmp_path / "clip")
    clip, cells = tmp_path / "clip", tmp_path / "cells"
    settings = {"input.cuts": "none", "input.deflicker": 0, "regions": "[{mask: {luminance: [0, 0.6]}}]"}
    assert preview_of(clip, [4], settings, run_up=0, cells=cells).stylized
    assert not preview_of(clip, [4], settings, run_up=0, cells=cells).stylized
    Image.fromarray(texture((48, 32), 7)).save(clip / "photos" / "shot_008.png")
    assert preview_of(clip, [4], settings, run_up=0, cells=cells).stylized


def test_crop_is_that_of_the_whole_cell(clip: Path) -> None:
    settings = {"input.cuts": "none", "output.finish.grain": 0.1}
    whole, part = (preview_of(clip, [2], settings, run_up=0, crop=crop) for crop in (None, "20x10+7+30%"))
    for all_of_it, shown in zip(whole.cells[0], part.cells[0], strict=True):
        np.testing.assert_array_equal(shown, all_of_it[7:17, 7:27])  # 30 percent of the 22 rows that are left


def test_encoder_is_loaded_once_for_a_sheet(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = encoders_load.load_encoder

    def counted(name: str, **how: Any) -> Encoder:
        loaded.append(name)
        return load(name, **how)

    monkeypatch.setattr(encoders_load, "load_encoder", counted)
    preview_of(clip, [0], sweep="motion.method=dis,none", run_up=1)
    assert loaded == ["tiny"]


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
