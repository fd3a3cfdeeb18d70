"""Motion in whole renders: on twos, boiling, split into segments and continued, with the tiny encoder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import cli
from pipeline.store.directory import RenderDirectory
from pipeline.stylers.palette import PaletteStyler
from pipeline.types import FrameBatch, StylizedBatch
from tests.support.clips import moving_square, texture, write_video

FRAMES = 12
SETTINGS = (
    "encoder=tiny",
    "optimize.cold.evaluations=3",
    "optimize.warm.evaluations=2",
    "optimize.cold.min_scale_px=32",
    "runtime.threads=1",
    "output.preset=ultrafast",
    "losses.style.layers={relu1_1: 64, relu2_1: 16}",
)


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    write_video(folder / "clip.mp4", moving_square(FRAMES), rate=10)
    Image.fromarray(texture((64, 48), 50)).save(folder / "style.png")
    return folder


def render(clip: Path, folder: Path, *settings: str) -> RenderDirectory:
    sets = [f"--set={setting}" for setting in (*SETTINGS, *settings)]
    inputs = [str(clip / "clip.mp4"), "-s", str(clip / "style.png"), "-o", str(folder / "out.mp4")]
    assert cli.run(["render", *inputs, "--progress", "none", *sets]) == 0
    return RenderDirectory.open(folder / "out.render")


def output_frames(directory: RenderDirectory) -> dict[int, np.ndarray]:
    return {
        index: directory.read_frame(chain.id, index)
        for chain in directory.plan.chains
        if chain.in_output
        for index in chain.frames
    }


def files(directory: RenderDirectory) -> dict[str, bytes]:
    return {
        path.relative_to(directory.path).as_posix(): path.read_bytes() for path in directory.path.glob("frames/*/*")
    }


def test_on_twos_every_second_frame_repeats_the_previous_one(clip: Path, tmp_path: Path) -> None:
    directory = render(clip, tmp_path, "motion.hold=2")
    frames = output_frames(directory)
    for index in range(0, FRAMES, 2):
        assert np.array_equal(frames[index], frames[index + 1])
    for index in range(2, FRAMES, 2):
        assert not np.array_equal(frames[index], frames[index - 1])
    evaluations = {line["frame"]: line["evaluations"] for line in directory.read_stats()}
    assert all(evaluations[index] == 0 for index in range(1, FRAMES, 2))
    assert all(evaluations[index] > 0 for index in range(0, FRAMES, 2))


def test_full_boil_stylizes_every_frame_independently(clip: Path, tmp_path: Path) -> None:
    frames = output_frames(render(clip, tmp_path, "motion.boil=1"))
    (tmp_path / "one").mkdir()
    sets = [f"--set={setting}" for setting in (*SETTINGS, "motion.boil=1")]
    inputs = [str(clip / "clip.mp4"), "-s", str(clip / "style.png"), "-o", str(tmp_path / "one/out.mp4")]
    assert cli.run(["render", *inputs, "--frames", "0:1", "--progress", "none", *sets]) == 0
    (alone,) = output_frames(RenderDirectory.open(tmp_path / "one/out.render")).values()
    assert np.array_equal(frames[0], alone)


@pytest.mark.parametrize("settings", [("motion.segment_frames=4",), ("motion.hold=3",), ("motion.boil=0.4",)], ids=str)
def test_deleted_frame_is_stylized_again_to_the_byte(clip: Path, tmp_path: Path, settings: tuple[str, ...]) -> None:
    """For every second frame: what it was started from is found again in the stored frames."""
    whole = render(clip, tmp_path / "whole", *settings)
    wanted = files(whole)
    for name in sorted(wanted)[::2]:
        folder = tmp_path / "again"
        shutil.copytree(tmp_path / "whole", folder)
        (folder / "out.mp4").unlink()
        (folder / "out.render" / name).unlink()
        assert files(render(clip, folder, *settings)) == wanted, name
        shutil.rmtree(folder)


def test_segments_do_not_depend_on_the_batch_size(clip: Path, tmp_path: Path) -> None:
    one = output_frames(render(clip, tmp_path / "one", "motion.segment_frames=4"))
    many = output_frames(render(clip, tmp_path / "many", "motion.segment_frames=4", "runtime.batch_size=8"))
    assert one.keys() == many.keys() == set(range(FRAMES))
    for index, frame in one.items():
        assert np.abs(frame.astype(int) - many[index]).max() <= 2  # rounding of sums, a few frames long


def test_render_with_another_motion_method_is_refused(clip: Path, tmp_path: Path) -> None:
    render(clip, tmp_path)
    sets = [f"--set={setting}" for setting in (*SETTINGS, "motion.method=none")]
    inputs = [str(clip / "clip.mp4"), "-s", str(clip / "style.png"), "-o", str(tmp_path / "out.mp4")]
    assert cli.run(["render", *inputs, "--progress", "none", *sets]) == 5


def test_styler_is_given_content_without_flicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = texture((96, 64), 7).astype(float)
    (tmp_path / "in").mkdir()
    for index in range(14):
        gain = 1.04 if index % 2 else 0.97
        Image.fromarray((scene * gain).clip(0, 255).astype(np.uint8)).save(tmp_path / f"in/{index:02d}.png")
    Image.fromarray(texture((64, 48), 50)).save(tmp_path / "style.png")
    stylize = PaletteStyler.stylize

    def flicker_of_content(deflicker: int) -> float:
        """Mean absolute second difference of the mean levels of the content that the styler is given."""
        means: list[float] = []

        def recorded(self: PaletteStyler, batch: FrameBatch) -> StylizedBatch:
            means.append(255 * float(batch.content.mean()))
            return stylize(self, batch)

        with monkeypatch.context() as patched:
            patched.setattr(PaletteStyler, "stylize", recorded)
            sets = ["--set=styler=palette", f"--set=input.deflicker={deflicker}", "--set=output.preset=ultrafast"]
            inputs = [str(tmp_path / "in"), "-s", str(tmp_path / "style.png"), "-o", str(tmp_path / f"{deflicker}.mp4")]
            assert cli.run(["render", *inputs, "--progress", "none", *sets]) == 0
        assert len(means) == 14
        return float(np.abs(np.diff(means, 2)).mean())

    assert flicker_of_content(0) > 15
    assert flicker_of_content(1) < 2
