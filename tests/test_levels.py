"""Levels: measured in the first pass, kept in the plan, and followed by the finish."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.analysis.levels import LevelMeasurement
from pipeline.analysis.tone_curve import apply_tone_curve
from pipeline.config.settings import FinishSettings
from pipeline.postprocess.effect import Level
from pipeline.postprocess.finish import finish
from pipeline.postprocess.level import LEVEL_STYLERS, frame_levels
from pipeline.store.directory import RenderDirectory
from pipeline.stylers.palette import PaletteStyler
from pipeline.stylers.superpixel import SuperpixelStyler
from pipeline.stylers.table import STYLERS
from pipeline.types import Shot
from tests.support.clips import texture, write_photos
from tests.support.command_line import QUICK
from tests.support.frames import blotches, read_rgb
from tests.support.plans import CURVE

STYLIZED = blotches(40, 60, 3)
"""A frame as the style makes it, at any hour; its mean luma is near 128."""
ONLY_LEVEL = FinishSettings()


def luma(rgb: np.ndarray) -> float:
    return float((rgb.astype(float) @ [0.2126, 0.7152, 0.0722]).mean())


def followed(levels: list[float], *, styler: str = "neural", cuts: tuple[int, ...] = ()) -> list[float]:
    """Mean luma of the finished frames of a clip whose content has these levels."""
    edges = [0, *cuts, len(levels)]
    shots = [Shot(number, a, b) for number, (a, b) in enumerate(pairwise(edges))]
    found = frame_levels([round(100 * level) for level in levels], shots, styler)
    return [
        luma(finish(STYLIZED, STYLIZED, ONLY_LEVEL, index=index, seed=0, level=level))
        for index, level in enumerate(found)
    ]


def test_level_is_the_mean_luma_after_the_tone_curve() -> None:
    frames = [np.full((8, 12, 3), value, np.uint8) for value in ((200, 100, 50), (0, 0, 0), (255, 255, 255))]
    frames.append(texture((12, 8), 3))
    measurement = LevelMeasurement()
    for frame in frames:
        measurement.add(frame)
    assert measurement.levels() == tuple(round(100 * luma(frame)) for frame in frames)
    curves = (CURVE, (), CURVE, CURVE)
    corrected = [apply_tone_curve(frame, curve) for frame, curve in zip(frames, curves, strict=True)]
    assert measurement.levels(curves) == tuple(round(100 * luma(frame)) for frame in corrected)
    with pytest.raises(ValueError, match="1 tone curves for 4 frames"):
        measurement.levels([()])


@pytest.mark.parametrize("end", [0.0, 255.0])
def test_fade_ends_in_black_or_white(end: float) -> None:
    levels = [*[120.0] * 10, *np.linspace(120, end, 12), end, end]
    finished = followed(levels)
    assert finished[:10] == pytest.approx([luma(STYLIZED)] * 10, abs=1)
    assert finished[-1] == pytest.approx(end, abs=1)
    steps = np.diff(finished[9:])
    assert (steps <= 0).all() if end == 0 else (steps >= 0).all()


@pytest.mark.parametrize("noise", [1.0, 2.0, 3.0])
def test_fade_that_ends_in_noisy_black_ends_within_6_levels_of_it(noise: float) -> None:
    assert followed([*[180.0] * 10, *np.linspace(180, noise, 12), noise])[-1] == pytest.approx(noise, abs=6)


def test_night_is_darker_than_noon_and_not_black() -> None:
    day = [*np.linspace(25, 140, 30), *[140.0] * 20, *np.linspace(140, 25, 30), *[25.0] * 30]
    finished = followed(day)
    assert 0.25 * max(finished) < min(finished) < 0.6 * max(finished)
    assert max(finished) == pytest.approx(luma(STYLIZED), abs=1)


def test_flash_of_one_frame_is_a_flash() -> None:
    finished = followed([*[40.0] * 8, 235.0, *[40.0] * 8])
    assert finished[8] > 200
    assert finished[:8] + finished[9:] == pytest.approx([luma(STYLIZED)] * 16, abs=1)


@pytest.mark.parametrize("level", [0, 3, 40, 128, 250, 255])
def test_clip_of_constant_level_stays_as_it_is(level: int) -> None:
    assert followed([level] * 7) == pytest.approx([luma(STYLIZED)] * 7, abs=1e-9)


@pytest.mark.parametrize("level", [30, 120, 220])
def test_flicker_that_is_left_is_not_transferred(level: int) -> None:
    flicker = np.random.default_rng(1).normal(0, 1, 60)
    finished = followed((level + flicker).tolist())
    assert max(finished) - min(finished) < 2
    assert np.abs(np.diff(finished)).mean() < 0.2


def test_shots_are_compared_with_themselves() -> None:
    """A dark shot beside a bright one is not a night."""
    assert followed([30.0] * 6 + [200.0] * 6, cuts=(6,)) == pytest.approx([luma(STYLIZED)] * 12, abs=1e-9)


def test_frames_of_unknown_level_stay_as_they_are() -> None:
    assert frame_levels((), [Shot(0, 0, 5)], "neural") == []
    np.testing.assert_array_equal(finish(STYLIZED, STYLIZED, ONLY_LEVEL, index=0, seed=0, level=None), STYLIZED)
    dark = Level(0.1, 0.5)
    off = FinishSettings(follow_level=0)
    np.testing.assert_array_equal(finish(STYLIZED, STYLIZED, off, index=0, seed=0, level=dark), STYLIZED)
    half, whole = (
        luma(finish(STYLIZED, STYLIZED, FinishSettings(follow_level=amount), index=0, seed=0, level=dark))
        for amount in (0.5, 1)
    )
    assert whole < half < luma(STYLIZED)


def test_stylers_that_keep_the_lightness_of_the_content_are_known() -> None:
    images = [texture((64, 48), 50)]
    assert set(STYLERS) - LEVEL_STYLERS == {"neural"}
    for styler in (PaletteStyler(images, 12, 0), SuperpixelStyler(images, 30, 0)):
        dark, bright = (luma(styler.stylize_frame(np.full((32, 48, 3), value, np.uint8))) for value in (40, 200))
        assert bright > dark + 20


def test_level_is_not_applied_twice() -> None:
    """A styler that follows by itself gets only the ends; light that is matched is that of the content, not darker."""
    night = [*[140.0] * 10, *np.linspace(140, 40, 20), *[40.0] * 10]
    assert followed(night, styler="palette")[-1] > 0.9 * luma(STYLIZED)
    assert followed([*night, 0.0, 0.0, 0.0], styler="palette")[-1] < 2
    content, matched = np.full_like(STYLIZED, 40), FinishSettings(match_light=1)
    with_level, without = (
        luma(finish(STYLIZED, content, matched, index=0, seed=0, level=level))
        for level in (Level(40 / 255, 0.55), None)
    )
    assert with_level == pytest.approx(without, abs=6)


def test_video_of_a_fade_ends_in_black(tmp_path: Path) -> None:
    scene = texture((48, 32), 5).astype(float)
    fade = [np.rint(scene * factor).astype(np.uint8) for factor in (1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0)]
    write_photos(tmp_path / "fade", fade)
    Image.fromarray(texture((64, 48), 50)).save(tmp_path / "waves.png")
    render = ["render", str(tmp_path / "fade"), "-s", str(tmp_path / "waves.png"), *QUICK]
    options = ["--workdir", str(tmp_path / "x.render"), "--set=input.deflicker=0", "--set=input.cuts=none"]
    assert cli.run([*render, *options, "-o", str(tmp_path / "out" / "%02d.png")]) == 0
    directory = RenderDirectory.open(tmp_path / "x.render")
    assert directory.plan.levels == tuple(round(100 * luma(frame)) for frame in fade)
    stored = [luma(directory.read_frame("waves-s000", index)) for index in range(len(fade))]
    shown = [luma(read_rgb(path)) for path in sorted((tmp_path / "out").glob("*.png"))]
    assert shown[:4] == pytest.approx(stored[:4], abs=1)
    assert min(stored) > 10 and shown[-2:] == pytest.approx([0, 0], abs=2)
