"""Frames of an aligned source: read with one warp at any size, cropped, leveled, fused, stored in the plan."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline import cli
from pipeline.analysis.common_area import common_area, crop_box
from pipeline.analysis.gains import gains_to
from pipeline.config.settings import InputSettings
from pipeline.errors import InputError, RenderDirectoryError, TemperaError, UsageError
from pipeline.media.image.fuse import fused
from pipeline.media.reader.aligned import as_warp, leveled, pixel_matrix, unit_matrix, warped
from pipeline.media.reader.aligned import read as read_aligned
from pipeline.media.reader.source import content_digest, probe, read_frames
from pipeline.plan.plan_file import plan_from_json, plan_to_json
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.types import IDENTITY_WARP, Alignment, Source
from pipeline.workflows.input.alignment import aligned, alignment_in_words, grouped
from pipeline.workflows.output.style_frames import selected
from tests.support.bursts import SIZE, moved, photo
from tests.support.clips import texture, write_photos
from tests.support.command_line import QUICK
from tests.support.plans import a_config, a_plan, a_source, a_style

MOTIONS = [moved((shift, -shift), shift / 4) for shift in (0.0, 4.3, -3.6)]


class Told(SilentReporter):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """See `Reporter`."""
        self.notes.append(text)


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of a scene from a moving camera, exposed differently, and a style image beside them."""
    folder = tmp_path_factory.mktemp("burst")
    write_photos(
        folder / "photos", [photo(matrix, gain=gain) for matrix, gain in zip(MOTIONS, (1, 0.8, 0.9), strict=True)]
    )
    Image.fromarray(texture((64, 48), 50)).save(folder / "waves.png")
    return folder


def source_of(burst: Path, told: Told | None = None, **settings: Any) -> Source:
    read = InputSettings(**settings)
    source = grouped(probe([burst / "photos"], read), read)
    return aligned(source, read, told or Told(), Cancellation())


def difference(a: Any, b: Any) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def test_warps_survive_their_rounding_and_depend_on_no_size() -> None:
    matrix = moved((7.5, -3.25), 1.5, 1.02, (0.01, -0.02))
    warp = as_warp(unit_matrix(matrix, SIZE, SIZE))
    found = pixel_matrix(warp, SIZE, SIZE)
    assert np.allclose(found / found[2, 2], matrix / matrix[2, 2], atol=1e-5)
    corner = np.array([319.5, 239.5, 1])  # the lower right corner of the frame, half a pixel behind the last center
    small = pixel_matrix(warp, (160, 120), (160, 120)) @ [159.5, 119.5, 1]
    large = found @ corner
    assert np.allclose((small / small[2])[:2] + 0.5, ((large / large[2])[:2] + 0.5) / 2, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_shift_by_whole_pixels_copies_them_in_either_depth(dtype: type) -> None:
    rgb: NDArray[Any] = photo(np.eye(3)).astype(dtype) * (257 if dtype is np.uint16 else 1)
    found = warped(rgb, as_warp(unit_matrix(np.array([[1, 0, 5], [0, 1, 8], [0, 0, 1.0]]), (100, 80), SIZE)), (100, 80))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, rgb[8:88, 5:105])


def test_frames_lie_on_the_anchor_at_full_and_at_render_size(burst: Path) -> None:
    told = Told()
    source = source_of(burst, told, align="similarity", level="exposure")
    assert source.width_px < SIZE[0] and abs(source.width_px / source.height_px - 4 / 3) < 0.02
    assert any("percent of the picture are cut off" in note for note in told.notes)
    for width in (None, 100):
        frames = [frame.rgb for frame in read_frames(source, settings=InputSettings(), width_px=width)]
        if width is None:
            assert frames[0].shape == (source.height_px, source.width_px, 3)
        inner = [rgb[4:-4, 4:-4] for rgb in frames]
        assert max(difference(inner[0], other) for other in inner[1:]) < 3.0
    plain = [frame.rgb for frame in read_frames(probe([burst / "photos"], InputSettings()), settings=InputSettings())]
    assert difference(plain[0], plain[1]) > 15


def test_the_mean_of_an_aligned_burst_is_sharp(burst: Path) -> None:
    sharpness = []
    for align in ("none", "similarity"):
        source = source_of(burst, align=align, fuse="mean")
        assert source.frame_count == 1
        (frame,) = read_frames(source, settings=InputSettings())
        sharpness.append(float(cv2.Laplacian(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()))
    assert sharpness[1] > 2.5 * sharpness[0]


def test_groups_of_photos_become_frames_and_the_rest_is_left_out(burst: Path) -> None:
    read = InputSettings(fuse="mean", fuse_group=2, align="none")
    source = grouped(probe([burst / "photos"], read), read)
    assert source.frame_count == 1 and source.positions_read == (0, 1)
    assert "left out" in source.notes[-1]
    gaps = InputSettings(fuse="mean", fuse_group=1, align="none", gaps="interpolate")
    spread = replace(probe([burst / "photos"], read), pts=(0, 30, 31), gaps_to_fill=(0,))
    assert (grouped(spread, gaps).pts, grouped(spread, gaps).gaps_to_fill) == ((0, 1, 2), ())
    photos = [frame.rgb for frame in read_frames(probe([burst / "photos"], read), settings=read)]
    (frame,) = read_frames(source, settings=read)
    assert np.abs(frame.rgb - (photos[0] / 2.0 + photos[1] / 2.0)).max() <= 0.51
    assert grouped(replace(spread, decoded_indices=(3, 5, 6)), gaps).decoded_indices == (3, 5, 6)
    assert grouped(a_source(kind="photos", files=("x",) * 6), read).decoded_indices == (0, 2, 4)
    with pytest.raises(UsageError, match="3 photos"):
        grouped(probe([burst / "photos"], read), InputSettings(fuse="mean", fuse_group=4))
    with pytest.raises(UsageError, match="this is a video"):
        grouped(a_source(), read)


def test_photos_that_show_something_else_are_refused_when_fused_and_named_otherwise(tmp_path: Path) -> None:
    others = [photo(matrix) for matrix in (*MOTIONS, np.eye(3))]
    others[3] = np.ascontiguousarray(others[3][::-1])
    write_photos(tmp_path / "photos", others)
    told = Told()
    source = source_of(tmp_path, told, align="similarity")
    assert any("cannot be aligned" in note and "stay where they are" in note for note in told.notes)
    assert source.alignment is not None and len(source.alignment.warps) == 4
    with pytest.raises(InputError, match="cannot be aligned"):
        source_of(tmp_path, align="similarity", fuse="mean")


def test_the_common_area_of_shifted_and_turned_frames_is_known() -> None:
    shifts = [np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]) for x, y in ((0.1, 0), (-0.05, 0.02))]
    left, top, size = common_area(shifts)
    assert size == pytest.approx(0.85, abs=1e-6) and left == pytest.approx(0.05, abs=1e-6)
    assert 0 <= top <= 0.15 - 0.02
    turn = np.deg2rad(10)
    center = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    wanted = 1 / (np.cos(turn) + np.sin(turn))
    assert common_area([np.linalg.inv(center) @ turned @ center])[2] == pytest.approx(wanted, abs=1e-5)
    assert crop_box([np.eye(3)], 320, 240) == (0, 0, 320, 240)
    assert crop_box([np.array([[1, 0, 0.02], [0, 1, 0], [0, 0, 1.0]])], 100, 75) == (0, 0, 98, 73)  # 73.5 is too high
    assert crop_box([shifts[0] @ shifts[0] * [[1, 1, 10], [1, 1, 1], [1, 1, 1]]], 320, 240)[2] == 0


def test_gains_are_found_under_moving_things_and_clipping_and_applied() -> None:
    anchor = photo(np.eye(3)).astype(np.uint16) * 257
    wanted = (-800, -500, -650)
    darker = leveled(anchor, wanted)
    small, small_darker = ((rgb // 257).astype(np.uint8) for rgb in (anchor, darker))
    small_darker[:, :100] = 60
    found = gains_to(small, small_darker, "full")
    assert np.allclose(found, [-gain for gain in wanted], atol=25)
    assert len(set(gains_to(small, small_darker, "exposure"))) == 1
    restored = leveled(darker, found)
    middle = (anchor > 40 * 257) & (anchor < 215 * 257)
    assert np.abs(restored[middle] / 257.0 - anchor[middle] / 257.0).mean() < 2
    ramp = np.repeat(np.arange(0, 65536, 17, dtype=np.uint16)[None, :, None], 3, axis=2)
    for gains in ((1500, 0, -3000), (-1000, 200, 900)):
        moved_ramp = leveled(ramp, gains)[0].astype(int)
        assert (np.diff(moved_ramp, axis=0) >= 0).all() and (moved_ramp[0] == 0).all()
        assert (moved_ramp[-1] == 65535).all()
    assert gains_to(np.full((20, 20, 3), 255, np.uint8), small[:20, :20], "full") == (0, 0, 0)
    assert gains_to(small[:12, :12], small_darker[:12, :12], "full") == (0, 0, 0)  # too few pixels


def test_gains_leave_out_the_mixtures_beside_what_is_clipped() -> None:
    """Columns of white, a mixture, gray, a mixture: gray has the gain, and is a third of what is not clipped."""
    anchor, photo = (
        np.broadcast_to(np.tile(np.array(levels, np.uint8), 25)[None, :, None], (100, 100, 3))
        for levels in ((255, 160, 60, 160), (255, 210, 120, 210))
    )
    alone = gains_to(np.full((20, 20, 3), 60, np.uint8), np.full((20, 20, 3), 120, np.uint8), "full")
    assert gains_to(anchor, photo, "full") == alone != (0, 0, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_fusion_takes_the_well_exposed_and_the_sharp(dtype: type) -> None:
    factor = 257 if dtype is np.uint16 else 1
    scene = photo(np.eye(3)).astype(float)
    dark: NDArray[Any] = (scene * 0.25).clip(0, 255).astype(dtype) * factor
    bright: NDArray[Any] = (scene * 2.6).clip(0, 255).astype(dtype) * factor
    result = fused([dark, bright], "exposure")
    assert result.dtype == dtype
    top = 255 * factor
    assert (result >= top - 1).mean() < 0.2 * (bright == bright.max()).mean()
    assert dark.mean() < result.mean() < bright.mean()
    sharp: NDArray[Any] = photo(np.eye(3)).astype(dtype) * factor
    soft = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 3))
    left, right = sharp.copy(), sharp.copy()
    left[:, 160:], right[:, :160] = soft[:, 160:], soft[:, :160]
    stacked = fused([left, right], "focus")
    assert difference(stacked, sharp) < 0.25 * difference(left, sharp)


def test_fusion_invents_no_lights_and_shadows() -> None:
    """Where blended pyramids overshoot, beside edges, values stay within those of the photos around."""
    noise = np.random.default_rng(0).choice(np.array([60, 190], np.uint8), (64, 64, 1)).repeat(3, axis=2)
    soft = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3))
    left, right = noise.copy(), noise.copy()
    left[:, 32:], right[:, :32] = soft[:, 32:], soft[:, :32]
    result = fused([left, right], "focus")
    assert (result.min(), result.max()) == (60, 190)


def test_plans_keep_the_alignment_and_older_plans_have_none() -> None:
    made = Alignment(
        64, 48, (IDENTITY_WARP,) * 5 + ((*IDENTITY_WARP[:2], 12345, *IDENTITY_WARP[3:]),), ((0, 10, -3),) * 6
    )
    plan, plain = a_plan(source=a_source(alignment=made)), a_plan()
    assert plan_from_json(plan_to_json(plan)) == plan
    assert plan.digest != plain.digest and "alignment" not in plain.identity
    moved_more = replace(made, warps=made.warps[::-1])
    assert a_plan(source=a_source(alignment=moved_more)).digest != plan.digest
    for wrong in (
        replace(made, warps=made.warps[1:]),
        replace(made, gains=made.gains[1:]),
        replace(made, gains=((99999, 0, 0),) * 6),
        replace(made, warps=((1, 2, 3),) * 6),
        replace(made, group=2),
    ):
        with pytest.raises(ValueError):
            a_plan(source=a_source(alignment=wrong))
    assert selected(a_source(alignment=made), range(4, 6)).alignment == made.part(4, 6)
    assert made.part(4, 6).warps == made.warps[4:]


def test_alignment_of_a_render_is_taken_from_its_plan_if_input_and_settings_are_the_same(
    burst: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = InputSettings(align="similarity")
    plain = probe([burst / "photos"], read)
    made = replace(source_of(burst, align="similarity"), digest=content_digest(plain))
    plan = a_plan(a_style(config=a_config(input={"align": "similarity"})), source=made)
    measured: list[Source] = []

    class Pass:
        def __init__(self, source: Source, *_: Any) -> None:
            measured.append(source)

        def aligned(self) -> Source:
            return plain

        def leveled(self, source: Source) -> Source:
            return source

    monkeypatch.setattr("pipeline.workflows.input.alignment.AlignmentPass", Pass)

    def found(source: Source = plain, **settings: Any) -> Source:
        asked = InputSettings(**({"align": "similarity"} | settings))
        return aligned(source, asked, Told(), Cancellation(), plan)

    assert found().alignment == made.alignment and (found().width_px, measured) == (made.width_px, [])
    elsewhere = shutil.copytree(burst / "photos", tmp_path / "elsewhere")
    shutil.copy(elsewhere / "shot_001.png", elsewhere / "shot_003.png")
    others = [
        found(probe([elsewhere], read)),
        found(replace(plain, decoded_indices=(0, 2), pts=(0, 1))),
        found(align="translation"),
        found(level="exposure"),
        found(cuts="none"),
    ]
    assert others == [plain] * 5 and len(measured) == 5


def test_alignment_is_said_in_words() -> None:
    moved_a_little = (*IDENTITY_WARP[:2], 12345, *IDENTITY_WARP[3:])
    whole = Alignment(64, 48, (IDENTITY_WARP, moved_a_little) * 3, ())
    assert alignment_in_words(a_source()) == ""
    assert alignment_in_words(a_source(alignment=whole)) == "placed onto each other, edges mirrored"
    cropped = replace(whole, width_px=128, height_px=96, gains=((0, 0, 0),) * 5 + ((0, 10, 0),))
    assert alignment_in_words(a_source(alignment=cropped)) == (
        "placed onto each other, 64x48 of 128x96 px stay (25%), light leveled"
    )


def test_inputs_are_never_decoded_larger_and_fused_with_more_bits() -> None:
    made = Alignment(64, 48, (IDENTITY_WARP,) * 6, (), "mean", 2, tuple(range(6)))
    source = a_source(3, kind="photos", files=("x",) * 6, alignment=made)
    sizes: list[tuple[int, int]] = []

    def decode(given: Source, start: int, stop: int, size: tuple[int, int]) -> Generator[NDArray[np.uint8]]:
        sizes.append(size)
        assert (given.frame_count, start, stop) == (6, 2, 6)
        yield from (np.full((size[1], size[0], 3), index, np.uint8) for index in range(start, stop))

    for size in ((64, 48), (48, 36), (16, 12)):
        frames = list(read_aligned(source, 1, 3, size, decode))
        assert [frame.dtype for frame in frames] == [np.uint16] * 2
        assert [frame.shape for frame in frames] == [(size[1], size[0], 3)] * 2
        assert [int(frame.min()) for frame in frames] == [round(2.5 * 257), round(4.5 * 257)]
    assert sizes == [(64, 48), (64, 48), (32, 24)]


def test_defaults_are_left_out_of_the_identity() -> None:
    assert not [key for key in a_plan().identity if key in ("input.align", "input.fuse", "input.stabilize")]


def test_a_burst_is_rendered_as_one_picture_continued_and_refused_with_another_alignment(
    burst: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["render", str(burst / "photos"), "-s", str(burst / "waves.png"), *QUICK, "-o", str(tmp_path / "out.png")]
    fuse = ["--set=input.fuse=mean", "--set=input.align=similarity"]
    assert cli.run([*command, *fuse]) == 0
    plan = RenderDirectory.open(tmp_path / "out.render").plan
    assert plan.source.frame_count == 1 and plan.source.alignment is not None
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (plan.width_px, plan.height_px) != SIZE
    assert cli.run(["resume", str(tmp_path / "out.render"), "--progress", "none"]) == 0
    elsewhere = shutil.copytree(burst / "photos", tmp_path / "elsewhere")
    again = ["resume", str(tmp_path / "out.render"), "--progress", "none", "--input"]
    assert cli.run([*again, str(elsewhere)]) == 0
    shutil.copy(elsewhere / "shot_001.png", elsewhere / "shot_003.png")
    assert cli.run([*again, str(elsewhere)]) == InputError("", hint="").exit_code
    capsys.readouterr()
    assert cli.run([*command, fuse[0], "--set=input.align=translation"]) == RenderDirectoryError("", hint="").exit_code
    assert "input.align: there similarity, now translation" in capsys.readouterr().err


def test_settings_that_contradict_each_other_are_refused(burst: Path) -> None:
    for settings in (
        {"align": "burst", "stabilize": 0.5},
        {"fuse": "mean", "fuse_group": 1, "stabilize": 0.5},
        {"fuse": "exposure", "level": "full"},
    ):
        with pytest.raises(TemperaError):
            source_of(burst, **settings)
