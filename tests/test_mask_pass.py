"""Preparing masks for a render: passes that are stored, continued and restored, cuts, masks frame by frame."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config.masks import MaskSettings
from pipeline.errors import ConfigError, InputError, Interrupted
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.types import Frame, Shot, Source
from pipeline.workflows.masks.preparation import MaskedFrames, PreparedMask, mask_digests, prepare_mask, prepare_masks
from tests.support.clips import write_photos, write_video
from tests.support.masks import SIZE, iou, landscape, source_of, square_clip

COUNT = 8
CLIP, TRUTH = square_clip(COUNT)


class Reading:
    """Content frames, and which of them were read."""

    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        self.frames, self.read_from = frames, list[int]()

    def __call__(self, start: int, stop: int) -> Generator[Frame]:
        self.read_from.append(start)
        for index in range(start, stop):
            yield Frame(index, index, self.frames[index])


class StopsAfter(Cancellation):
    """An end that is requested at the nth check."""

    def __init__(self, checks: int) -> None:
        super().__init__()
        self._left = checks

    def raise_if_requested(self, message: str, *, hint: str) -> None:
        self._left -= 1
        if self._left < 0:
            self.request()
        super().raise_if_requested(message, hint=hint)


def save(path: Path, mask: np.ndarray) -> Path:
    Image.fromarray((mask * 255).astype(np.uint8)).save(path)
    return path


def prepared(
    settings: MaskSettings,
    cache: Path,
    *,
    read: Reading | None = None,
    source: Source | None = None,
    shots: Sequence[Shot] = (Shot(0, 0, COUNT),),
    cancellation: Cancellation | None = None,
) -> PreparedMask:
    return prepare_mask(
        settings,
        MaskedFrames(source or source_of(), SIZE, read or Reading(CLIP), shots, cache),
        SilentReporter(),
        cancellation or Cancellation(),
    )


def stored(cache: Path) -> dict[str, bytes]:
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.rglob("*.png"))}


@pytest.fixture
def painted(tmp_path: Path) -> MaskSettings:
    """Painted masks of the first and the last frame."""
    last = COUNT - 1
    files = {index: save(tmp_path / f"{index}.png", TRUTH[index]) for index in (0, last)}
    return MaskSettings(painted=files, feather=0)


@pytest.fixture
def sky() -> MaskSettings:
    return MaskSettings(sky=True, feather=0)


def test_painted_masks_are_carried_to_all_frames(painted: MaskSettings, tmp_path: Path) -> None:
    found = prepared(painted, tmp_path / "cache")
    for index, (content, truth) in enumerate(zip(CLIP, TRUTH, strict=True)):
        mask = found.mask(index, content)
        assert mask.shape == truth.shape and mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
        assert iou(mask > 0.5, truth > 0.5) > 0.97
    assert found.confidence is not None
    assert found.confidence(0).min() == 1 and found.confidence(3).min() < 1


def test_steady_masks_are_others_and_are_stored_apart(painted: MaskSettings, sky: MaskSettings, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = prepared(painted, cache)
    before = stored(cache)
    frames = MaskedFrames(source_of(), SIZE, Reading(CLIP), (Shot(0, 0, COUNT),), cache, steady=True)
    steady = prepare_mask(painted, frames, SilentReporter(), Cancellation())
    assert before.items() < stored(cache).items()
    middle = COUNT // 2
    assert not np.array_equal(steady.mask(middle, CLIP[middle]), first.mask(middle, CLIP[middle]))
    assert iou(steady.mask(middle, CLIP[middle]) > 0.5, TRUTH[middle] > 0.5) > 0.97
    prepared(sky, cache)
    known = stored(cache)
    prepare_mask(sky, frames, SilentReporter(), Cancellation())
    assert stored(cache) == known  # nothing is carried for the sky


def test_painted_frames_are_exactly_what_was_painted(painted: MaskSettings, tmp_path: Path) -> None:
    found = prepared(painted, tmp_path / "cache")
    assert np.array_equal(found.mask(0, CLIP[0]), TRUTH[0])
    inverted = prepared(painted.model_copy(update={"invert": True}), tmp_path / "cache")
    assert np.array_equal(inverted.mask(0, CLIP[0]), 1 - TRUTH[0])


def test_feather_and_invert_need_no_new_pass(painted: MaskSettings, tmp_path: Path) -> None:
    prepared(painted, tmp_path / "cache")
    before = stored(tmp_path / "cache")
    read = Reading(CLIP)
    prepared(painted.model_copy(update={"invert": True, "feather": 0.1}), tmp_path / "cache", read=read)
    assert stored(tmp_path / "cache") == before and not read.read_from


@pytest.mark.parametrize("kind", ["painted", "sky"])
def test_deleted_cache_gives_the_same_bytes(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Before the next start, and while frames are being stylized by several threads."""
    settings, cache = request.getfixturevalue(kind), tmp_path / "cache"
    found = prepared(settings, cache)
    before = stored(cache)
    masks = [found.mask(index, content) for index, content in enumerate(CLIP)]
    assert before
    shutil.rmtree(cache)
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(lambda index: found.mask(index, CLIP[index]), reversed(range(COUNT))))[::-1]
    assert all(np.array_equal(one, other) for one, other in zip(masks, again, strict=True))
    assert stored(cache) == before
    shutil.rmtree(cache)
    prepared(settings, cache)
    assert stored(cache) == before


@pytest.mark.parametrize("kind", ["painted", "sky"])
@pytest.mark.parametrize("checks", [1, 5])
def test_interrupted_pass_continues(kind: str, checks: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = request.getfixturevalue(kind)
    prepared(settings, tmp_path / "whole")
    cache = tmp_path / "cache"
    with pytest.raises(Interrupted):
        prepared(settings, cache, cancellation=StopsAfter(checks))
    begun = stored(cache)
    assert len(begun) < len(stored(tmp_path / "whole"))
    prepared(settings, cache)
    assert stored(cache) == stored(tmp_path / "whole")
    assert begun.items() <= stored(cache).items()


@pytest.mark.parametrize("lasting", [0, 1, 3])
def test_interrupted_sky_continues_with_the_detail_that_lasts(
    lasting: int, sky: MaskSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the detail does not last for the whole shot, so that a later start reads fewer frames."""
    monkeypatch.setattr("pipeline.workflows.masks.sky.LASTING", lasting)
    prepared(sky, tmp_path / "whole")
    with pytest.raises(Interrupted):
        prepared(sky, tmp_path / "cache", cancellation=StopsAfter(COUNT - 1))
    begun = len(stored(tmp_path / "cache"))
    prepared(sky, tmp_path / "cache")
    assert 0 < begun < len(stored(tmp_path / "cache"))
    assert stored(tmp_path / "cache") == stored(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["painted", "sky"])
def test_damaged_file_is_restored(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    cache = tmp_path / "cache"
    found = prepared(request.getfixturevalue(kind), cache)
    before = stored(cache)
    name = sorted(before)[2]
    index = int(Path(name).stem)
    mask = found.mask(index, CLIP[index])
    (cache / name).write_bytes(before[name][:-20])
    assert np.array_equal(found.mask(index, CLIP[index]), mask)
    assert stored(cache) == before


def test_mask_is_not_carried_across_a_cut(tmp_path: Path) -> None:
    """After the cut there is a square as well, but not the one that was painted."""
    files = {0: save(tmp_path / "a.png", TRUTH[0]), 5: save(tmp_path / "b.png", np.zeros_like(TRUTH[0]))}
    shots = (Shot(0, 0, 4), Shot(1, 4, COUNT))
    found = prepared(MaskSettings(painted=files, feather=0), tmp_path / "cache", shots=shots)
    assert iou(found.mask(3, CLIP[3]) > 0.5, TRUTH[3] > 0.5) > 0.97
    assert found.mask(4, CLIP[4]).max() == 0


def test_shot_without_a_painted_mask_is_named(tmp_path: Path) -> None:
    settings = MaskSettings(painted={102: save(tmp_path / "a.png", TRUTH[0])})
    shots = (Shot(0, 0, 4), Shot(1, 4, COUNT))
    with pytest.raises(ConfigError, match="frames 104 to 107"):
        prepared(settings, tmp_path / "cache", shots=shots, source=source_of(range(100, 108)))


def test_painted_frames_count_the_frames_of_the_input(tmp_path: Path) -> None:
    """With --frames 100:108 the mask of frame 103 belongs to the fourth frame that is rendered."""
    settings = MaskSettings(painted={103: save(tmp_path / "a.png", TRUTH[3])}, feather=0)
    found = prepared(settings, tmp_path / "cache", source=source_of(range(100, 108)))
    assert np.array_equal(found.mask(3, CLIP[3]), TRUTH[3])
    assert iou(found.mask(0, CLIP[0]) > 0.5, TRUTH[0] > 0.5) > 0.95
    with pytest.raises(ConfigError, match="frame 103 of the input, and only frames 0 to 7"):
        prepared(settings, tmp_path / "cache")


def test_mask_frames_belong_to_the_frames_of_the_input(tmp_path: Path) -> None:
    levels = [np.full((48, 80, 3), 20 * index, np.uint8) for index in range(12)]
    write_photos(tmp_path / "masks", levels, pattern="m{}.png")
    settings = MaskSettings(frames=tmp_path / "masks", feather=0)
    found = prepared(settings, tmp_path / "cache", source=source_of(range(4, 12)))
    for index in (7, 0, 3, 3, 2):
        assert found.mask(index, CLIP[index]).mean() == pytest.approx(20 * (index + 4) / 255, abs=1e-3)


def test_mask_video_is_read_in_any_order_by_several_chains(tmp_path: Path) -> None:
    video = tmp_path / "masks.mkv"
    write_video(video, [np.full((96, 160, 3), 16 + 20 * index, np.uint8) for index in range(COUNT)], codec="ffv1")
    found = prepared(MaskSettings(frames=video, feather=0), tmp_path / "cache")
    order = [0, 4, 1, 5, 2, 6, 3, 7, 7, 0]
    with ThreadPoolExecutor(3) as pool:
        means = list(pool.map(lambda index: found.mask(index, CLIP[index]).mean(), order))
    np.testing.assert_allclose(means, [(16 + 20 * index) / 255 for index in order], atol=0.01)


def test_too_few_mask_frames_name_the_numbers(tmp_path: Path) -> None:
    write_photos(tmp_path / "masks", [np.zeros((96, 160, 3), np.uint8)], pattern="m{}.png")
    with pytest.raises(ConfigError, match=r"1 mask, but frames up to 7 .* needs 8"):
        prepared(MaskSettings(frames=tmp_path / "masks"), tmp_path / "cache")


def test_region_color_may_be_absent_in_some_mask_frames(tmp_path: Path) -> None:
    frames = [np.zeros((96, 160, 3), np.uint8) for _ in range(COUNT)]
    frames[-1][:, 80:] = (255, 0, 0)
    write_photos(tmp_path / "masks", frames, pattern="m{}.png")
    settings = MaskSettings(frames=tmp_path / "masks", color="#ff0000", feather=0)
    found = prepared(settings, tmp_path / "cache")
    assert found.mask(0, CLIP[0]).max() == 0 and found.mask(COUNT - 1, CLIP[-1])[:, 90:].min() == 1
    with pytest.raises(ConfigError, match="#000000"):
        prepared(settings.model_copy(update={"color": "#00ff00"}), tmp_path / "cache")


def test_sky_is_steady_and_follows_the_horizon(sky: MaskSettings, tmp_path: Path) -> None:
    frame, truth = landscape((110, 160, 230), (70, 90, 50))
    noise = np.random.default_rng(0)
    frames = [np.clip(frame + noise.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    source = replace(source_of(range(6)), width_px=200, height_px=120)
    found = prepare_masks(
        [sky, sky.model_copy(update={"invert": True})],
        MaskedFrames(source, (200, 120), Reading(frames), [Shot(0, 0, 6)], tmp_path / "cache"),
        SilentReporter(),
        Cancellation(),
    )
    masks = np.stack([found(index, content) for index, content in enumerate(frames)])
    assert masks.shape == (6, 2, 120, 200) and masks.dtype == np.float32
    np.testing.assert_allclose(masks.sum(axis=1), 1, atol=1e-5)
    assert all(iou(mask > 0.5, truth) > 0.95 for mask in masks[:, 0])
    assert np.abs(np.diff(masks[:, 0], axis=0)).mean() < 0.01


def test_no_masks_are_an_empty_array(tmp_path: Path) -> None:
    masked = MaskedFrames(source_of(), SIZE, Reading(CLIP), (), tmp_path / "cache")
    found = prepare_masks([], masked, SilentReporter(), Cancellation())
    assert found(0, CLIP[0]).shape == (0, *SIZE[::-1])


def test_digests_notice_edits_and_not_places(tmp_path: Path, painted: MaskSettings) -> None:
    before = mask_digests(painted)
    assert str(tmp_path) not in str(before)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    copies = {index: Path(shutil.copy(path, moved)) for index, path in (painted.painted or {}).items()}
    assert mask_digests(painted.model_copy(update={"painted": copies})) == before
    save(copies[0], 1 - TRUTH[0])
    assert mask_digests(painted.model_copy(update={"painted": copies})) != before
    assert mask_digests(painted.model_copy(update={"feather": 0.3})) != before


def test_digest_of_a_folder_covers_every_picture(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    write_photos(folder, [np.zeros((8, 8, 3), np.uint8)] * 3, pattern="m{}.png")
    before = mask_digests(MaskSettings(frames=folder))
    save(folder / "m2.png", np.ones((8, 8, 3)))
    assert mask_digests(MaskSettings(frames=folder)) != before


def test_missing_files_are_input_errors(tmp_path: Path) -> None:
    gone = tmp_path / "gone.png"
    for settings in (MaskSettings(image=gone), MaskSettings(frames=gone), MaskSettings(painted={0: gone})):
        with pytest.raises(InputError, match=r"gone\.png"):
            mask_digests(settings)
        with pytest.raises(InputError, match=r"gone\.png"):
            prepared(settings, tmp_path / "cache")
