"""Hard cuts: found where the scene changes for good, and not for flashes, pans, flicker, fades or motion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.analysis.cuts import find_cuts, split_shots
from pipeline.config.settings import InputSettings
from pipeline.media.reader.source import probe, read_frames
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.types import Shot
from tests.support.clips import moving_square, texture

RGB = NDArray[np.uint8]
THRESHOLD = InputSettings().cut_threshold
SIZE = (128, 72)


def world(seed: int, size: tuple[int, int] = (512, 256)) -> RGB:
    """A scene with large and small structure, like a photograph: uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    scene = texture(size, seed).astype(float) * 0.6
    for _ in range(60):
        x, y = rng.integers(0, size[0] - 40), rng.integers(0, size[1] - 40)
        width, height = rng.integers(8, 40, 2)
        scene[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    return scene.astype(np.uint8)


def view(scene: RGB, x: int = 0, y: int = 0) -> RGB:
    return scene[y : y + SIZE[1], x : x + SIZE[0]]


def still(seed: int, count: int, noise: float = 3.0) -> list[RGB]:
    rng = np.random.default_rng(seed)
    frame = view(world(seed)).astype(float)
    return [np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def cuts(frames: list[RGB], threshold: float = THRESHOLD) -> list[int]:
    return find_cuts(iter(frames), threshold=threshold)


def test_cuts_between_scenes_are_found() -> None:
    assert cuts(still(1, 12) + still(2, 9) + still(3, 15)) == [12, 21]


def test_cuts_of_the_sample_clip_at_any_size() -> None:
    assert cuts(moving_square(20, cut_at=11)) == [11]
    assert cuts(moving_square(20, size=(320, 200), cut_at=5)) == [5]
    assert cuts(moving_square(20, size=(31, 47), step_px=3)) == []


def test_cuts_at_the_first_and_last_frame_are_found() -> None:
    assert cuts(still(1, 1) + still(2, 8)) == [1]
    assert cuts(still(1, 8) + still(2, 1)) == [8]
    assert cuts(still(1, 1) + still(2, 1)) == [1]
    assert cuts(still(1, 1)) == []
    assert cuts([]) == []


def test_cuts_between_short_shots_are_found() -> None:
    frames = [frame for seed in range(1, 7) for frame in still(seed, 5)]
    assert cuts(frames) == [5, 10, 15, 20, 25]


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("level", [0, 255])
def test_flash_or_dark_blink_is_no_cut(length: int, level: int) -> None:
    frames = still(1, 20)
    for index in range(10, 10 + length):
        frames[index] = np.full_like(frames[index], level)
    assert cuts(frames) == []


def test_other_scene_for_one_frame_is_no_cut_and_a_flash_at_a_cut_hides_none() -> None:
    frames = still(1, 20)
    frames[8] = still(5, 1)[0]
    assert cuts(frames) == []
    frames = still(1, 10) + still(2, 10)
    frames[10] = np.full_like(frames[10], 255)
    assert len(cuts(frames)) >= 1
    assert set(cuts(frames)) <= {10, 11}


@pytest.mark.parametrize("step", [2, 10, 25])
def test_pan_is_no_cut(step: int) -> None:
    scene = world(3, size=(1024, 256))
    assert cuts([view(scene, x=min(step * index, 890)) for index in range(30)]) == []


def test_whip_pan_is_no_cut() -> None:
    """A third of the frame from one frame to the next, blurred, from standstill to standstill."""
    scene = world(4, size=(1024, 128)).astype(float)
    offsets = [0] * 6 + [10, 40, 90, 140, 190, 240, 290, 330, 350, 355] + [355] * 6
    frames = []
    for before, after in zip([0, *offsets], offsets, strict=False):
        steps = np.linspace(before, after, 9).astype(int)
        blurred = np.mean([scene[: SIZE[1], x : x + SIZE[0]] for x in steps], axis=0)
        frames.append(blurred.astype(np.uint8))
    assert cuts(frames) == []


def test_shake_and_zoom_are_no_cut() -> None:
    import cv2

    scene = world(5)
    rng = np.random.default_rng(0)
    assert cuts([view(scene, *rng.integers(0, 12, 2)) for _ in range(20)]) == []
    zoom = []
    for index in range(20):
        width, height = int(400 / 1.04**index), int(225 / 1.04**index)
        zoom.append(np.asarray(cv2.resize(scene[:height, :width], SIZE, interpolation=cv2.INTER_AREA), np.uint8))
    assert cuts(zoom) == []


def test_exposure_and_white_balance_of_a_timelapse_are_no_cut() -> None:
    rng = np.random.default_rng(1)
    frame = view(world(6)).astype(float)
    gains = rng.uniform(0.7, 1.3, (40, 1)) * rng.uniform(0.92, 1.08, (40, 3))
    assert cuts([np.clip(frame * gain, 0, 255).astype(np.uint8) for gain in gains]) == []
    steps = [1.0] * 10 + [0.6] * 10 + [1.1] * 10  # the camera changes its exposure for good
    assert cuts([np.clip(frame * gain, 0, 255).astype(np.uint8) for gain in steps]) == []


def test_fades_and_dissolves_are_not_found() -> None:
    a, b = view(world(7)).astype(float), view(world(8)).astype(float)
    black = np.zeros_like(a)
    for first, last in ((black, a), (a, black), (a, b)):
        blend = [first + (last - first) * weight for weight in np.linspace(0, 1, 25)]
        assert cuts([np.rint(frame).astype(np.uint8) for frame in blend]) == []


def test_noise_in_the_dark_is_no_cut() -> None:
    rng = np.random.default_rng(2)
    assert cuts([rng.integers(0, 12, (72, 128, 3), dtype=np.uint8) for _ in range(30)]) == []


def test_cut_from_black_is_found() -> None:
    assert cuts([np.zeros((72, 128, 3), np.uint8)] * 8 + still(1, 8)) == [8]


def test_cuts_below_the_threshold_are_not_found() -> None:
    frames = still(1, 8) + still(2, 8)
    assert cuts(frames, threshold=0.1) == [8]
    assert cuts(frames, threshold=1.0) == []


def test_frames_are_read_once_and_not_kept() -> None:
    alive = 0

    class Tracked(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def frames() -> Iterator[RGB]:
        nonlocal alive
        for index in range(40):
            alive += 1
            yield np.array(still(index // 10, 1)[0]).view(Tracked)
            assert alive <= 2

    assert find_cuts(frames(), threshold=THRESHOLD) == [10, 20, 30]


# Shots


def test_shots_cover_every_frame_once() -> None:
    assert split_shots(10, []) == (Shot(0, 0, 10),)
    assert split_shots(10, [3, 7]) == (Shot(0, 0, 3), Shot(1, 3, 7), Shot(2, 7, 10))
    assert split_shots(0, []) == ()
    assert split_shots(1, []) == (Shot(0, 0, 1),)


@given(st.integers(1, 200), st.sets(st.integers(1, 199)))
def test_any_cuts_make_shots_without_gap(count: int, indices: set[int]) -> None:
    inside = sorted(index for index in indices if index < count)
    shots = split_shots(count, inside)
    assert [frame for shot in shots for frame in range(shot.start, shot.stop)] == list(range(count))
    assert [shot.index for shot in shots] == list(range(len(shots)))
    assert [shot.start for shot in shots[1:]] == inside


@pytest.mark.parametrize("wrong", [[0], [10], [11], [-1], [5, 3], [4, 4]])
def test_cuts_outside_or_out_of_order_are_refused(wrong: list[int]) -> None:
    with pytest.raises(ValueError, match="do not ascend"):
        split_shots(10, wrong)


# Real media


@pytest.mark.parametrize(
    ("name", "truth", "part"),
    [
        ("video/nasa_13013_multistream_cuts.mp4", [202], None),
        ("video/bbb_vp8_cuts_fadein.webm", [], (0, 60)),
        ("video/bbb_vp8_cuts_fadein.webm", [13, 106], (270, 390)),
        ("video/bbb_vp8_cuts_fadein.webm", [61], (490, 560)),
        ("timelapse/icecube_s60", [], None),
        ("timelapse/sunset_rpi", [], None),
        ("timelapse/drawing_portrait.mp4", [], None),
        ("burst/handheld_mug", [], None),
        ("burst/monstree_iphone", [], None),
        ("video/chaplin_bw_audio.mp4", [], None),
        ("video/webcam_vfr.webm", [], None),
        ("video/pigs_odd_314x273.gif", [], None),
    ],
)
def test_cuts_of_real_media(
    data: Callable[[str], Path], name: str, truth: list[int], part: tuple[int, int] | None
) -> None:
    settings = InputSettings()
    with Thumbnails(64) as thumbnails:
        source = probe([data(name)], settings, frames=part, thumbnails=thumbnails)
        frames = read_frames(source, width_px=64, settings=settings, thumbnails=thumbnails)
        assert find_cuts((frame.rgb for frame in frames), threshold=settings.cut_threshold) == truth
