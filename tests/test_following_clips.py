"""The clips whose content changes under a static camera have the properties that measures rely on."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluate.measures import mean_luma
from tests.support.clips import texture
from tests.support.following import (
    CLIPS,
    FOG_COLOR,
    cut_out,
    fade_from_black,
    fade_to_black,
    passing_day,
    rolling_fog,
    something_enters,
)

PHOTO = texture((64, 40), 1)
OTHER = 255 - texture((60, 50), 7) // 2


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("count", [16, 31])
def test_every_clip_has_frames_of_the_photographs_size_and_is_the_same_every_time(name: str, count: int) -> None:
    frames = CLIPS[name](PHOTO, count)
    assert len(frames) == count
    assert {(frame.shape, frame.dtype) for frame in frames} == {(PHOTO.shape, np.dtype(np.uint8))}
    assert all(np.array_equal(one, other) for one, other in zip(frames, CLIPS[name](PHOTO, count), strict=True))
    assert len({frame.tobytes() for frame in frames}) > count // 2


def test_fog_drifts_thickens_until_nothing_is_seen_and_clears() -> None:
    frames = rolling_fog(PHOTO, 33)
    assert np.array_equal(frames[0], PHOTO)
    assert np.array_equal(frames[-1], PHOTO)
    assert (frames[16] == FOG_COLOR).all()
    seen = [float(np.abs(frame.astype(float) - FOG_COLOR).mean()) for frame in frames]
    assert seen[4] > seen[8] > seen[12] > seen[16] == 0 < seen[20] < seen[24] < seen[28]
    banks = np.abs(frames[9].astype(float) - PHOTO).mean(axis=2)
    assert banks.min() < 10 < 40 < banks.max()


def test_seeds_give_different_fog() -> None:
    one, other = (rolling_fog(PHOTO, 17, seed=seed)[5] for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_a_day_goes_from_blue_night_by_warm_dawn_and_noon_to_golden_light_and_night() -> None:
    frames = passing_day(PHOTO, 51)
    assert np.array_equal(frames[0], frames[-1])
    assert np.array_equal(frames[25], PHOTO)
    night, dawn, golden = frames[0].astype(float), frames[13].astype(float), frames[38].astype(float)
    assert mean_luma(frames[0]) < 0.25 * mean_luma(PHOTO)
    assert night[..., 2].mean() > 1.5 * night[..., 0].mean()
    for warm in (dawn, golden):
        ratio = warm.mean(axis=(0, 1)) / PHOTO.mean(axis=(0, 1))
        assert ratio[0] > 1.4 * ratio[2]
    assert (night.std(axis=(0, 1)) < 0.25 * PHOTO.std(axis=(0, 1))).all()
    assert (dawn[:, :20].mean() / PHOTO[:, :20].mean()) > 1.3 * (dawn[:, -20:].mean() / PHOTO[:, -20:].mean())
    assert (golden[:, -20:].mean() / PHOTO[:, -20:].mean()) > 1.3 * (golden[:, :20].mean() / PHOTO[:, :20].mean())


def test_a_fade_ends_in_black_and_never_gets_brighter() -> None:
    frames = fade_to_black(PHOTO, 24)
    luma = [mean_luma(frame) for frame in frames]
    assert np.array_equal(frames[0], PHOTO)
    assert luma[-1] < 3
    assert luma == sorted(luma, reverse=True)
    backward = fade_from_black(PHOTO, 24)
    assert all(np.array_equal(one, other) for one, other in zip(frames, backward[::-1], strict=True))


def test_what_enters_crosses_and_leaves_the_background_exactly_as_it_was() -> None:
    thing = cut_out(OTHER, (0.5, 0.5), 16, aspect=1.2, seed=3)
    frames = something_enters(PHOTO, thing, 41)
    assert all(np.array_equal(frames[index], PHOTO) for index in (0, 3, -4, -1))
    changed = [np.abs(frame.astype(int) - PHOTO).max(axis=2) > 8 for frame in frames]
    columns = [float(np.nonzero(each)[1].mean()) for each in changed if each.any()]
    assert columns == sorted(columns)
    assert columns[0] < 0.2 * PHOTO.shape[1] < 0.8 * PHOTO.shape[1] < columns[-1]
    assert 0.04 < changed[20].mean() < 0.2
    ever = np.any(changed, axis=0)
    assert not ever[:5].any()


def test_a_cutout_is_solid_inside_empty_at_its_corners_and_soft_between() -> None:
    thing = cut_out(OTHER, (0.4, 0.5), 24)
    assert thing.rgb.shape == (24, 24, 3)
    assert thing.mask[12, 12] == 1
    assert thing.mask[[0, 0, -1, -1], [0, -1, 0, -1]].max() == 0
    assert ((thing.mask > 0) & (thing.mask < 1)).mean() > 0.05
