"""Curves in renders: constant ones change nothing; resume, segments and batches hold; what follows them does."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import pipeline
from pipeline.config.section import curve_lines
from pipeline.errors import RenderDirectoryError
from pipeline.execute.batches import join
from pipeline.plan.curves import planned_values
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.opened import open_render
from pipeline.workflows.output.finished import finisher
from tests.support.clips import texture, write_photos
from tests.support.neural import SETTINGS, cold, config, contents, styler

COUNT = 6
CROSSING = [{"at": 0, "value": 100}, {"at": COUNT - 1, "value": 5, "ease": "smooth"}]
BY_LIGHT = {"follow": "light", "points": [{"at": 0.1, "value": 1}, {"at": 0.5, "value": 200}]}


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dawn: the same view, brighter in every frame; beside it the style image. Videos are written there."""
    monkeypatch.chdir(tmp_path)
    view = texture((48, 40), 3).astype(np.float64)
    write_photos(tmp_path / "in", [np.asarray(view * (index + 1) / COUNT, np.uint8) for index in range(COUNT)])
    Image.fromarray(texture((48, 40), 5)).save(tmp_path / "a.png")
    return tmp_path


def frames(clip: Path, workdir: str | None = None, **settings: Any) -> list[NDArray[np.uint8]]:
    changed = SETTINGS | {key.replace("__", "."): value for key, value in settings.items()}
    work = None if workdir is None else clip / workdir
    return list(pipeline.stylize_clip(clip / "in", clip / "a.png", settings=changed, workdir=work))


def same(one: list[NDArray[np.uint8]], other: list[NDArray[np.uint8]]) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_a_constant_curve_is_the_number_and_a_crossing_one_is_not(clip: Path) -> None:
    plain = frames(clip, losses__tv__weight=0.7)
    assert all(same(plain, frames(clip, losses__tv__weight=[{"at": 0, "value": 0.7}, {"at": "9s", "value": 0.7}])))
    crossing = frames(
        clip, losses__tv__weight=[{"at": 0, "value": 0.7}, {"at": 2, "value": 0.7}, {"at": 3, "value": 90}]
    )
    assert same(plain, crossing) == [True] * 3 + [False] * 3


def test_a_render_stopped_in_the_middle_of_a_curve_continues_to_the_same_bytes(clip: Path) -> None:
    whole = frames(clip, style__images__0__weight=CROSSING)
    settings = SETTINGS | {"style.images.0.weight": CROSSING}
    begun = pipeline.stylize_clip(clip / "in", clip / "a.png", settings=settings, workdir=clip / "work")
    list(itertools.islice(begun, 3))
    begun.close()  # type: ignore[attr-defined]
    directory = RenderDirectory.open(clip / "work")
    assert 3 <= directory.done(directory.plan.chains[0]) < COUNT
    assert all(same(whole, frames(clip, "work", style__images__0__weight=CROSSING)))
    pipeline.resume(clip / "work")
    with pytest.raises(RenderDirectoryError, match=r"curves\.style\.images\.0\.weight: there \[100"):
        frames(clip, "work", style__images__0__weight=[{"at": 0, "value": 90}])


def test_segments_and_batches_give_the_frames_of_one_at_a_time(clip: Path) -> None:
    settings: dict[str, Any] = {"style__images__0__weight": CROSSING, "motion__segment_frames": 2}
    one_by_one = frames(clip, "work", **settings)
    assert len(RenderDirectory.open(clip / "work").plan.chains) == 4
    assert all(same(one_by_one, frames(clip, **settings, runtime__batch_size=3)))


def test_a_style_follows_the_light_of_a_dawn(clip: Path) -> None:
    frames(clip, "work", style__images__0__weight=BY_LIGHT)
    opened = open_render(clip / "work")
    (values,) = planned_values(opened.plan, "a", opened.configs["a"]).values()
    assert list(values) == sorted(values) and values[0] < 40 < 100 < values[-1]
    light = [level / 25500 for level in opened.plan.levels]
    assert values[-1] == pytest.approx(1 + 199 * (light[-1] - 0.1) / 0.4, rel=0.02)
    assert curve_lines(opened.configs) == ["style.images.0.weight: 1 at light 0.1, 200 at light 0.5"]


def test_an_image_is_the_first_frame_also_with_curves(clip: Path) -> None:
    photo = sorted((clip / "in").iterdir())[0]
    for curve in (CROSSING, BY_LIGHT):
        settings = SETTINGS | {"style.images.0.weight": curve}
        image = np.asarray(pipeline.stylize(photo, clip / "a.png", settings=settings))
        (frame,) = pipeline.stylize_clip(photo, clip / "a.png", settings=settings)
        assert np.array_equal(image, frame)


@pytest.mark.parametrize("key", ["sharpen", "match_color", "detail.fine", "grade.vignette"])
def test_the_finish_has_the_values_of_each_frame(clip: Path, key: str) -> None:
    stored = frames(clip, "work")
    opened = open_render(clip / "work")
    content = texture((48, 40), 8)
    settings = {"output.finish.follow_level": 0}

    def finished(value: Any, index: int) -> NDArray[np.uint8]:
        config = pipeline.load_style(opened.configs["a"], settings | {f"output.finish.{key}": value})
        every = dict.fromkeys((0, 2, 5), (stored[index], content))
        return finisher(opened.plan, config, lambda _: every)(index, stored[index], content)

    for index, amount in ((0, 0), (2, 0.4), (5, 1)):
        curve = [{"at": 0, "value": 0}, {"at": 5, "value": 1}]
        assert np.array_equal(finished(curve, index), finished(amount, index))
        assert np.array_equal(finished(curve, index), stored[index]) == (amount == 0)


def test_a_batch_of_unequal_settings_is_its_frames_one_by_one() -> None:
    images, values = contents(3), ({"losses.tv.weight": 0.5}, {"losses.tv.weight": 40.0}, {"losses.tv.weight": 0.5})
    painter = styler()
    single = [
        painter.with_values(own).stylize(cold(images[index : index + 1], (index,))) for index, own in enumerate(values)
    ]
    parts = [
        replace(cold(images[index : index + 1], (index,)), values=(own,), settings_changes=(0.0,))
        for index, own in enumerate(values)
    ]
    found = painter.stylize(join(parts))
    assert torch.allclose(found.images, torch.cat([one.images for one in single]), atol=1e-4)
    assert torch.equal(found.images[1], single[1].images[0])
    assert [stats.evaluations for stats in found.stats] == [one.stats[0].evaluations for one in single]
    assert painter.settings == config()


def test_a_frame_whose_weights_changed_lately_is_not_done_early() -> None:
    painter = styler(config(warm={"evaluations": 6, "min_evaluations": 1, "tolerance": 1.0}))
    start = painter.stylize(cold(contents(1), (0,))).images
    ones = torch.ones(1, 1, *start.shape[-2:])
    warm = replace(cold(contents(1), (0,)), phase="warm", init=start, warped_previous=start, confidence=ones)
    spent = {change: painter.stylize(replace(warm, settings_changes=(change,))).stats[0] for change in (0.0, 0.02, 0.5)}
    least, settling, most = (stats.evaluations for stats in spent.values())
    assert least < 6 <= settling <= most
