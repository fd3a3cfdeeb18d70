"""Levels and contrasts: measured in the first pass, kept in the plan, and followed by the finish."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.analysis.levels import LevelMeasurement
from pipeline.analysis.tone_curve import apply_tone_curve
from pipeline.config.finish import FinishSettings
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


def spread(rgb: np.ndarray) -> float:
    """Standard deviation of luma."""
    return float((rgb.astype(float) @ [0.2126, 0.7152, 0.0722]).std())


def frame_levels_of(
    levels: Iterable[float], contrasts: Iterable[float] = (), *, styler: str = "neural", cuts: tuple[int, ...] = ()
) -> list[Level]:
    """Those of a clip whose content has these mean lumas and these standard deviations of luma."""
    means, deviations = ([round(100 * value) for value in values] for values in (levels, contrasts))
    shots = [Shot(number, a, b) for number, (a, b) in enumerate(pairwise([0, *cuts, len(means)]))]
    return frame_levels(means, deviations, shots, styler)


def finished(found: Sequence[Level], amount: float = 1) -> list[np.ndarray]:
    settings = FinishSettings(follow_level=amount)
    return [finish(STYLIZED, STYLIZED, settings, index=index, seed=0, level=level) for index, level in enumerate(found)]


def followed(levels: list[float], *, styler: str = "neural", cuts: tuple[int, ...] = ()) -> list[float]:
    """Mean luma of the finished frames of a clip whose content has these levels."""
    return [luma(frame) for frame in finished(frame_levels_of(levels, styler=styler, cuts=cuts))]


def calmed(
    levels: Iterable[float],
    contrasts: Iterable[float],
    *,
    styler: str = "neural",
    cuts: tuple[int, ...] = (),
    amount: float = 1,
) -> list[float]:
    """Contrast of the finished frames over that of the same frames in a clear view of the same level."""
    found = frame_levels_of(levels, contrasts, styler=styler, cuts=cuts)
    clear = [replace(level, contrast=1) for level in found]
    both = zip(finished(found, amount), finished(clear, amount), strict=True)
    return [spread(frame) / spread(other) for frame, other in both]


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


def test_contrast_is_the_standard_deviation_of_luma_after_the_tone_curve() -> None:
    halves = np.zeros((8, 12, 3), np.uint8)
    halves[4:] = 255
    frames = [halves, np.full_like(halves, 90), texture((60, 40), 3), STYLIZED]
    measurement = LevelMeasurement()
    for frame in frames:
        measurement.add(frame)
    assert measurement.contrasts()[:2] == (12750, 0)
    assert measurement.contrasts() == pytest.approx([100 * spread(frame) for frame in frames], abs=5)
    gray_curve = (*CURVE[:-3], 0, 0, 0)
    for curve in (gray_curve, CURVE):
        corrected = [spread(apply_tone_curve(frame, curve)) for frame in frames]
        assert measurement.contrasts([curve] * 4) == pytest.approx([100 * value for value in corrected], abs=300)
    with pytest.raises(ValueError, match="1 tone curves for 4 frames"):
        measurement.contrasts([()])


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
    assert frame_levels((), (), [Shot(0, 0, 5)], "neural") == []
    np.testing.assert_array_equal(finish(STYLIZED, STYLIZED, ONLY_LEVEL, index=0, seed=0, level=None), STYLIZED)
    dark = Level(0.1, 0.5)
    off = FinishSettings(follow_level=0)
    np.testing.assert_array_equal(finish(STYLIZED, STYLIZED, off, index=0, seed=0, level=dark), STYLIZED)
    half, whole = (
        luma(finish(STYLIZED, STYLIZED, FinishSettings(follow_level=amount), index=0, seed=0, level=dark))
        for amount in (0.5, 1)
    )
    assert whole < half < luma(STYLIZED)


def test_fog_is_calm_and_keeps_faint_strokes() -> None:
    density = np.array([*[0.0] * 8, *np.linspace(0, 1, 10), *[1.0] * 4, *np.linspace(1, 0, 10), *[0.0] * 8])
    left = calmed(110 + 95 * density, 45 * (1 - density))
    assert left[:8] + left[-8:] == pytest.approx([1] * 16, abs=0.01)
    assert max(left[18:22]) < 0.25 and min(left) > 0.1
    assert (np.diff(left[8:19]) < 0.02).all() and (np.diff(left[21:32]) > -0.02).all()
    frames = finished(frame_levels_of(110 + 95 * density, 45 * (1 - density)))
    assert luma(frames[0]) == pytest.approx(luma(STYLIZED), abs=1) and luma(frames[20]) > luma(frames[0]) + 40


def test_long_fog_is_no_full_light() -> None:
    """The view keeps its light, even if it clears only at the end."""
    frames = finished(frame_levels_of([110.0] * 6 + [205.0] * 40, [45.0] * 6 + [0.5] * 40))
    assert luma(frames[0]) == pytest.approx(luma(STYLIZED), abs=1)
    assert luma(frames[-1]) > luma(STYLIZED) + 40 and spread(frames[-1]) < 0.2 * spread(STYLIZED)


def test_contrast_that_changes_little_is_not_followed() -> None:
    """What moves through the view changes its contrast; the stylized frames must not pump with it."""
    assert min(calmed([110.0] * 20, [*[45.0] * 10, *[34.0] * 10])) > 0.93
    noise = np.random.default_rng(2).normal(0, 1, 40)
    left = calmed([110.0] * 40, 30 + noise)
    assert min(left) > 0.98 and np.abs(np.diff(left)).max() < 0.01
    plain = calmed([110.0] * 40, 1.5 + noise / 2)
    assert min(plain) > 0.85 and np.abs(np.diff(plain)).mean() < 0.02


@pytest.mark.parametrize("contrast", [0.0, 2.0, 45.0, 127.5])
def test_clip_of_constant_contrast_stays_as_it_is(contrast: float) -> None:
    for frame in finished(frame_levels_of([110.0] * 7, [contrast] * 7)):
        np.testing.assert_array_equal(frame, STYLIZED)


def test_light_alone_leaves_the_contrast() -> None:
    """Neither a night or a fade, nor a day after a long night with lamps, is a fog."""
    levels = np.array([*[140.0] * 10, *np.linspace(140, 14, 20), *[14.0] * 10])
    assert min(calmed(levels, 0.4 * levels)) > 0.98
    lamps = [*[12.0] * 30, *[110.0] * 5], [*[25.0] * 30, *[45.0] * 5]
    assert min(calmed(*lamps)) > 0.97
    assert min(calmed([40.0] * 8 + [90.0] * 8, [15.0] * 8 + [20.0] * 8)) > 0.97
    black = finished(
        frame_levels_of([*[120.0] * 10, *np.linspace(120, 0, 8), 0.0], [*[50.0] * 10, *np.linspace(50, 0, 8), 0.0])
    )
    assert luma(black[-1]) < 1


def test_contrast_is_followed_as_far_as_the_setting_says() -> None:
    fog = [110.0] * 10 + [200.0] * 5, [45.0] * 10 + [0.0] * 5
    whole, half, none = (calmed(*fog, amount=amount)[-1] for amount in (1, 0.5, 0))
    assert whole < half < none == 1
    assert calmed(*fog, styler="palette") == [1] * 15
    assert calmed(*fog, cuts=(10,)) == [1] * 15


def test_stylers_that_keep_the_lightness_of_the_content_are_known() -> None:
    images = [texture((64, 48), 50)]
    assert set(STYLERS) - LEVEL_STYLERS == {"neural"}
    for styler in (PaletteStyler(images, 12, 0), SuperpixelStyler(images, 30, 0)):
        dark, bright = (luma(styler.stylize_frame(np.full((32, 48, 3), value, np.uint8))) for value in (40, 200))
        assert bright > dark + 20
        halves = np.full((96, 144, 3), 205, np.uint8)
        halves[:48] = 60
        clear, fog = (styler.stylize_frame(rgb) for rgb in (halves, np.full_like(halves, 205)))
        assert abs(luma(fog[:48]) - luma(fog[48:])) < 0.2 * abs(luma(clear[:48]) - luma(clear[48:]))


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
    assert directory.plan.contrasts == pytest.approx([100 * spread(frame) for frame in fade], abs=5)
    stored = [luma(directory.read_frame("waves-s000", index)) for index in range(len(fade))]
    shown = [luma(read_rgb(path)) for path in sorted((tmp_path / "out").glob("*.png"))]
    assert shown[:4] == pytest.approx(stored[:4], abs=1)
    assert min(stored) > 10 and shown[-2:] == pytest.approx([0, 0], abs=2)
