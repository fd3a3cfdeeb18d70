"""Flicker of exposure: it is evened out, while light that really changes and frames that only move stay unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.analysis.cuts import find_cuts, split_shots
from pipeline.analysis.flicker import Flicker, FlickerMeasurement
from pipeline.analysis.tone_curve import tone_correction
from pipeline.config.catalog import load_style
from pipeline.config.settings import InputSettings
from pipeline.media.reader.source import probe, read_frames
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.runtime.reporters import make_reporter
from pipeline.store.directory import RenderDirectory
from pipeline.types import TONE_NODES, Shot
from pipeline.workflows.prepare import prepare
from pipeline.workflows.request import RenderRequest
from tests.support.clips import texture, write_video

RGB = NDArray[np.uint8]
SIZE = (96, 64)
COUNT = 40
LENGTH = len(TONE_NODES) + 3


def scene(seed: int = 3, size: tuple[int, int] = SIZE) -> NDArray[np.float64]:
    """Patches of many levels over a texture: linear light (H, W, 3) in [0, 1]."""
    rng = np.random.default_rng(seed)
    levels = texture(size, seed).astype(float)
    for _ in range(60):
        x, y = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
        width, height = rng.integers(6, 24, 2)
        levels[y : y + height, x : x + width] = rng.uniform(10, 200) + rng.uniform(-10, 10, 3)
    return (levels / 255) ** 2.2


def exposed(light: NDArray[np.float64], stops: float | NDArray[Any], rng: np.random.Generator) -> RGB:
    """A frame of linear light by a camera: exposure in stops (or one for each channel), gamma, noise, clipping."""
    levels = 255 * (light * 2.0 ** np.asarray(stops, float)) ** (1 / 2.2) + rng.normal(0, 1.0, light.shape)
    return np.asarray(np.rint(levels.clip(0, 255)), np.uint8)


def clip(stops: NDArray[Any], seed: int = 0) -> list[RGB]:
    """A static scene at the given exposures, (frames,) or (frames, 3) in stops."""
    rng, light = np.random.default_rng(seed), scene()
    return [exposed(light, stop, rng) for stop in stops]


def measured(frames: list[RGB], strength: float = 1.0, shots: tuple[Shot, ...] | None = None) -> Flicker:
    measurement = FlickerMeasurement()
    for frame in frames:
        measurement.add(frame)
    return measurement.flicker(shots or (Shot(0, 0, len(frames)),), strength)


def evened(frames: list[RGB]) -> list[RGB]:
    even = tone_correction(measured(frames).curves)
    return frames if even is None else [even(index, frame) for index, frame in enumerate(frames)]


def means(frames: list[RGB]) -> NDArray[np.float64]:
    """Mean level of each channel of each frame, (frames, 3)."""
    return np.array([frame.mean(axis=(0, 1)) for frame in frames])


def flicker_of(frames: list[RGB]) -> float:
    """Mean absolute second difference of the channels' means, in levels."""
    return float(np.abs(np.diff(means(frames), 2, axis=0)).mean())


FLICKER: dict[str, NDArray[Any]] = {
    "noise": np.random.default_rng(5).normal(0, 0.12, COUNT),
    "every other frame": 0.12 * (-1.0) ** np.arange(COUNT),
    "a wave of 5 frames": 0.15 * np.sin(np.arange(COUNT) * 2 * np.pi / 5),
    "white balance": np.random.default_rng(6).normal(0, 0.1, (COUNT, 3)),
}


@pytest.mark.parametrize("stops", FLICKER.values(), ids=FLICKER)
def test_flicker_is_removed_to_a_few_tenths_of_a_level(stops: NDArray[Any]) -> None:
    frames = clip(stops)
    inside = slice(2, -2)
    assert flicker_of(frames) > 4
    assert flicker_of(evened(frames)[inside]) < (0.5 if stops.ndim == 1 else 1)
    before, after = (means(each) - means(clip(0 * stops)) for each in (frames, evened(frames)))
    assert np.abs(after).mean() < np.abs(before).mean() / 2
    assert np.abs((after - before).mean(axis=0)).max() < 0.5


def test_sunrise_under_flicker_keeps_its_trend() -> None:
    ramp = 2 / (1 + np.exp(-np.linspace(-4, 4, COUNT))) - 1.5
    frames = evened(clip(ramp + FLICKER["noise"] / 2))
    assert flicker_of(frames) < 1
    assert np.abs(means(frames) - means(clip(ramp))).max() < 3


SLOW: dict[str, NDArray[Any]] = {
    "sunrise": np.linspace(-2, 0.3, COUNT),
    "passing cloud": -0.5 * np.exp(-np.square((np.arange(COUNT) - 20) / 6)),
    "lamp": np.repeat([-0.7, 0.2], COUNT // 2),
    "lamp off and on": np.repeat([0.2, -0.6, 0.2, 0.2], COUNT // 4),
    "fade to black": np.concatenate([np.zeros(COUNT // 2), -np.linspace(0, 8, COUNT // 2)]),
    "nothing": np.zeros(COUNT),
}


@pytest.mark.parametrize("stops", SLOW.values(), ids=SLOW)
def test_light_that_really_changes_has_no_curves(stops: NDArray[Any]) -> None:
    assert measured(clip(stops)) == Flicker((), 0.0)


@pytest.mark.parametrize("after", [0.6, -0.6])
def test_lasting_step_under_flicker_stays_a_step(after: float) -> None:
    step = np.where(np.arange(COUNT) < 20, 0.0, after)
    frames = evened(clip(step + FLICKER["noise"] / 3))
    truth, found = means(clip(step)), means(frames)
    assert np.abs(found - truth)[2:-2].max() < 2
    assert np.abs(np.diff(found, axis=0)[18:21]).max() > 0.9 * np.abs(np.diff(truth, axis=0)).max()


@pytest.mark.parametrize("stops", [0.5, -0.4])
def test_single_frame_that_is_off_in_flickering_light_is_corrected(stops: float) -> None:
    once = np.where(np.arange(COUNT) == 17, stops, 0)
    frames = evened(clip(FLICKER["every other frame"] / 2 + once))
    assert np.abs(means(frames) - means(clip(np.zeros(COUNT))))[3:-3].max() < 2


@pytest.mark.parametrize("level", [0, 128, 255])
def test_lightning_is_unchanged_and_does_not_affect_its_neighbors(level: int) -> None:
    frames = clip(FLICKER["every other frame"] / 2)
    frames[17] = np.full_like(frames[17], level)
    result = evened(frames)
    assert np.array_equal(result[17], frames[17])
    others = [frame for index, frame in enumerate(result) if index != 17]
    assert np.abs(np.diff(means(others), axis=0))[2:-2].max() < 1.5


@pytest.mark.parametrize("step_px", [(1, 0), (3, 1), (7, 0)])
def test_pan_over_texture_has_no_curves(step_px: tuple[int, int]) -> None:
    wide, rng = scene(8, size=(512, 160)), np.random.default_rng(1)
    corners = [(step_px[0] * index, step_px[1] * index) for index in range(COUNT)]
    frames = [exposed(wide[y : y + SIZE[1], x : x + SIZE[0]], 0, rng) for x, y in corners]
    assert measured(frames).curves == ()


def test_shaking_camera_has_no_curves_unless_it_flickers() -> None:
    wide, rng = scene(9, size=(160, 120)), np.random.default_rng(1)
    corners = rng.integers(0, 8, (COUNT, 2))
    views = [wide[y : y + SIZE[1], x : x + SIZE[0]] for x, y in corners]
    assert measured([exposed(view, 0, rng) for view in views]).curves == ()
    steady, shaken = [exposed(view, 0, rng) for view in views], zip(views, FLICKER["noise"], strict=True)
    result = evened([exposed(view, stops, rng) for view, stops in shaken])
    assert np.abs(np.diff(means(result) - means(steady), axis=0))[2:-2].mean() < 1.2


def test_objects_that_appear_and_disappear_are_no_flicker() -> None:
    """A third of the frame is something else in every frame, as in a timelapse of traffic."""
    light, rng = scene(), np.random.default_rng(2)
    frames = []
    for index in range(COUNT):
        frame = exposed(light, 0, rng)
        x = int(rng.integers(0, SIZE[0] * 2 // 3))
        frame[:, x : x + SIZE[0] // 3] = (20, 240)[index % 2]
        frames.append(frame)
    assert measured(frames).curves == ()


def test_each_shot_is_measured_by_itself() -> None:
    frames = clip(FLICKER["noise"]) + [255 - frame for frame in clip(np.zeros(COUNT))]
    curves = measured(frames, shots=(Shot(0, 0, COUNT), Shot(1, COUNT, 2 * COUNT))).curves
    assert any(curves[:COUNT]) and not any(curves[COUNT:])
    assert curves[:COUNT] == measured(frames[:COUNT]).curves


def test_frames_without_flicker_in_a_long_shot_have_no_curves() -> None:
    stops = np.concatenate([np.zeros(120), np.tile(FLICKER["noise"], 2)])
    curves = measured(clip(stops)).curves
    assert not any(curves[:100])
    assert all(len(curve) == LENGTH for curve in curves[125:])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_fewer_frames_than_a_trend_needs_have_no_curves(count: int) -> None:
    assert measured(clip(FLICKER["noise"][:count])).curves == ()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (400, 9), (9, 400), (5, 5)])
def test_frames_of_any_size_are_measured(size: tuple[int, int]) -> None:
    frames = [np.full((size[1], size[0], 3), 100 + 20 * (index % 2), np.uint8) for index in range(8)]
    assert len(measured(frames).curves) in (0, 8)


def test_strength_scales_the_correction() -> None:
    frames = clip(FLICKER["noise"])
    whole, half = (np.array(measured(frames, strength).curves) for strength in (1.0, 0.5))
    assert np.abs(whole - 2 * half).max() <= 1
    assert measured(frames, 0.0).curves == ()


def test_same_frames_give_the_same_curves() -> None:
    frames = clip(FLICKER["white balance"])
    first = measured(frames)
    assert first == measured([frame.copy() for frame in frames])
    assert all(type(shift) is int for curve in first.curves for shift in curve)
    assert first.levels > 2


def test_shots_that_do_not_cover_the_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="do not cover"):
        measured(clip(np.zeros(6)), shots=(Shot(0, 0, 5),))


# In a render


def a_request(source: Path, out: Path, **changes: object) -> RenderRequest:
    style_image = out / "style.png"
    if not style_image.exists():
        from PIL import Image

        Image.fromarray(texture((40, 40), 1)).save(style_image)
    style = load_style(str(style_image), ["styler=palette", *(f"{key}={value}" for key, value in changes.items())])
    return RenderRequest(inputs=(str(source),), styles=(style,), output=out / "out.mp4")


def test_plan_has_the_curves_and_a_continued_render_does_not_measure_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "in.mp4", clip(FLICKER["noise"][:12]))
    request = a_request(tmp_path / "in.mp4", tmp_path)
    prepared = prepare(request, make_reporter("plain"))
    assert "flicker of" in capsys.readouterr().err
    assert len(prepared.plan.exposure) == 12 and len(prepared.plan.identity["exposure"]) == 64
    RenderDirectory.create(prepared.path, prepared.plan)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("pipeline.analysis.flicker.FlickerMeasurement.add", refuse)
    assert prepare(request, make_reporter("none")).plan == prepared.plan
    off = prepare(a_request(tmp_path / "in.mp4", tmp_path, **{"input.deflicker": 0}), make_reporter("none")).plan
    assert off.exposure == () and "exposure" not in off.identity


def test_flicker_is_measured_without_searching_for_cuts(tmp_path: Path) -> None:
    write_video(tmp_path / "in.mp4", clip(FLICKER["noise"][:12]))
    plan = prepare(a_request(tmp_path / "in.mp4", tmp_path, **{"input.cuts": "none"}), make_reporter("none")).plan
    assert len(plan.exposure) == 12 and len(plan.shots) == 1


# Real media


def real(path: Path) -> list[RGB]:
    """The first 160 frames, 160 px wide, as they are kept while the input is probed."""
    with Thumbnails(160) as thumbnails:
        source = probe([path], InputSettings(), thumbnails=thumbnails)
        frames = read_frames(
            source,
            stop=min(160, source.frame_count),
            width_px=160,
            settings=InputSettings(),
            thumbnails=thumbnails,
        )
        return [frame.rgb for frame in frames]


@pytest.mark.parametrize(("name", "fraction"), [("timelapse/icecube_s60", 0.15), ("timelapse/sunset_rpi", 0.25)])
def test_flicker_of_real_timelapses_is_reduced_and_their_trend_kept(
    data: Callable[[str], Path], name: str, fraction: float
) -> None:
    frames = real(data(name))
    result = evened(frames)
    assert flicker_of(result) < fraction * flicker_of(frames)
    window = np.ones(15) / 15
    trends = [
        np.array([np.convolve(channel, window, "valid") for channel in means(each).T]) for each in (frames, result)
    ]
    assert np.abs(trends[0] - trends[1]).max() < 2


@pytest.mark.parametrize(
    "name",
    [
        "timelapse/drawing_portrait.mp4",
        "video/bbb_vp8_cuts_fadein.webm",
        "video/chaplin_bw_audio.mp4",
        "video/cockatoo_yuv444_audio.mp4",
        "video/webcam_vfr.webm",
        "masks/apple_video/apple.mp4",
    ],
)
def test_real_videos_have_no_curves(data: Callable[[str], Path], name: str) -> None:
    frames = real(data(name))
    cuts = find_cuts(iter(frames), threshold=InputSettings().cut_threshold)
    assert measured(frames, shots=split_shots(len(frames), cuts)).curves == ()
