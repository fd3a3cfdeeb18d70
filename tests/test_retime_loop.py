"""A loop in the paint: the last frames approach the first one, so that the seam is like any other step."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline import cli
from pipeline.config.settings import MotionSettings
from pipeline.motion.estimate import motion_between
from pipeline.motion.warp import warp
from pipeline.plan.segments import Segments
from pipeline.store.directory import RenderDirectory
from pipeline.types import Chain
from pipeline.workflows.output.style_frames import stored_frames
from tests.support.clips import texture, write_photos
from tests.support.command_line import pictures

RGB = NDArray[np.uint8]
COUNT, SWAY_PX = 12, 6
SETTINGS = (
    "encoder=tiny",
    "input.cuts=none",
    "losses.style.layers={relu1_1: 64, relu2_1: 16}",
    "losses.temporal.long_term=[]",
    "optimize.cold.evaluations=8",
    "optimize.cold.min_scale_px=32",
    "optimize.cold.noise=0.05",
    "optimize.warm.evaluations=4",
    "optimize.warm.min_evaluations=2",
    "output.preset=ultrafast",
)


@pytest.fixture(scope="module")
def turning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of a texture that sways to both sides, once."""
    folder = tmp_path_factory.mktemp("turning")
    fine = np.random.default_rng(5).integers(0, 256, (16, 24, 3), np.uint8)
    scene = np.asarray(Image.fromarray(fine).resize((96 + 2 * SWAY_PX, 64), Image.Resampling.BICUBIC))
    shifts = [SWAY_PX + round(SWAY_PX * math.sin(2 * math.pi * index / COUNT)) for index in range(COUNT)]
    frames = [scene[:, shift : shift + 96] for shift in shifts]
    write_photos(folder / "in", frames)
    Image.fromarray(texture((64, 48), 50)).save(folder / "style.png")
    return folder


def rendered(clip: Path, folder: Path, *settings: str) -> RenderDirectory:
    folder.mkdir()
    sets = [f"--set={setting}" for setting in (*SETTINGS, *settings)]
    words = ["render", str(clip / "in"), "-s", str(clip / "style.png"), "-o", str(folder / "out.mkv")]
    assert cli.run([*words, "--fps", "24", "--progress", "none", *sets]) == 0
    return RenderDirectory.open(folder / "out.render")


@pytest.fixture(scope="module")
def loop(turning: Path, tmp_path_factory: pytest.TempPathFactory) -> RenderDirectory:
    """A finished render of it as a loop in one piece; copy it before changing it."""
    return rendered(turning, tmp_path_factory.mktemp("loop") / "loop", "motion.loop=true")


def seam_and_steps(clip: Path, images: list[RGB]) -> tuple[float, list[float]]:
    """Mean change along the flow of the content, in levels: from the last frame to the first, and between neighbors."""
    contents = [np.asarray(Image.open(path)) for path in sorted((clip / "in").iterdir())]

    def change(before: int, after: int) -> float:
        motion = motion_between(contents[before], contents[after], MotionSettings(), from_index=0, to_index=1)
        difference = np.abs(warp(images[before], motion.backward_flow).astype(int) - images[after])
        return float(difference[motion.confidence > 0.9].mean())

    return change(COUNT - 1, 0), [change(*pair) for pair in pairwise(range(COUNT))]


def stored(directory: RenderDirectory) -> list[RGB]:
    return [frame.read() for frame in stored_frames(directory, "style", range(COUNT))]


@pytest.mark.parametrize("segments", [0, 6])
def test_the_paint_leads_back_to_the_first_frame(
    turning: Path, loop: RenderDirectory, tmp_path: Path, segments: int
) -> None:
    split = f"motion.segment_frames={segments}"
    closed = rendered(turning, tmp_path / "loop", "motion.loop=true", split) if segments else loop
    seam, _ = seam_and_steps(turning, stored(closed))
    open_seam, steps = seam_and_steps(turning, stored(rendered(turning, tmp_path / "open", split)))
    assert open_seam > 2.5 * np.median(steps) and seam < 0.6 * open_seam


def test_the_seam_of_the_output_is_like_any_other_step(turning: Path, loop: RenderDirectory, tmp_path: Path) -> None:
    settings = ("time.loop=seamless", "codec=ffv1", "time.fps=24")
    words = ["export", str(loop.path), "-o", str(tmp_path / "out.mkv"), "--fps", "24", "--progress", "none"]
    assert cli.run([*words, *(f"--set=output.{setting}" for setting in settings)]) == 0
    seam, steps = seam_and_steps(turning, pictures(tmp_path / "out.mkv"))
    assert len(pictures(tmp_path / "out.mkv")) == COUNT
    assert seam < 1.2 * np.median(steps)


def test_a_loop_is_continued_to_the_byte(loop: RenderDirectory, tmp_path: Path) -> None:
    shutil.copytree(loop.path.parent, tmp_path / "loop")
    frames = tmp_path / "loop/out.render/frames"
    wanted = {path: path.read_bytes() for path in frames.glob("*/*.png")}
    for path in sorted(wanted)[-3:]:
        path.unlink()
    (tmp_path / "loop/out.mkv").unlink()
    assert cli.run(["resume", str(tmp_path / "loop/out.render"), "--progress", "none"]) == 0
    assert {path: path.read_bytes() for path in frames.glob("*/*.png")} == wanted


def test_only_the_last_chain_of_a_single_shot_leads_back() -> None:
    keys = Chain("keys", "a", 0, 0, 12, 0, interval=6)
    parts = [Chain(f"p{start}", "a", 0, start, start + 6, 0, keyframe_chain="keys") for start in (0, 6)]
    whole = Chain("whole", "b", 0, 0, 12, 0)
    segments = Segments([keys, *parts, whole])
    assert [segments.loop_start(chain) for chain in (keys, *parts, whole)] == [None, None, 0, 0]
    two = [Chain("one", "a", 0, 0, 6, 0), Chain("two", "a", 1, 6, 12, 0)]
    assert [Segments(two).loop_start(chain) for chain in two] == [None, None]
