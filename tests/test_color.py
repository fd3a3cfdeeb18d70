"""Colors: transfer between distributions, over whole shots, before and after stylizing, and lightness alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pipeline.analysis.shot_colors import SHOT_SAMPLES, ColorMeasurement, decoded_colors
from pipeline.config.finish import FinishSettings
from pipeline.config.reading import parse_config
from pipeline.errors import InputError
from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.media.image.color_transfer import color_transfer, sample_colors, transfer_colors
from pipeline.media.image.oklab import oklab_from_srgb, srgb_from_oklab
from pipeline.media.image.png import save_png
from pipeline.postprocess.effect import ShotLook
from pipeline.postprocess.finish import finish
from pipeline.postprocess.shot_look import sample_indices, shot_look
from pipeline.stylers.palette import PaletteStyler
from pipeline.stylers.prepared import PreparedStyler, gray, gray_tensor
from pipeline.stylers.resources import Resources
from pipeline.stylers.shot_colors import ShotColors, ShotStylers, styler_of
from pipeline.stylers.table import build_stylers
from pipeline.types import FrameBatch, FrameStats, Shot, StylizedBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    RGB = NDArray[np.uint8]


def cloud(mean: tuple[float, float, float], spread: float, seed: int) -> RGB:
    """Colors (2000, 3) around an Oklab color, within sRGB."""
    lab = np.random.default_rng(seed).normal(mean, (2 * spread, spread, spread), (2000, 3)).astype(np.float32)
    return srgb_from_oklab(lab)


BLUE, ORANGE = cloud((0.5, -0.02, -0.06), 0.02, 1), cloud((0.65, 0.05, 0.06), 0.03, 2)
CPU = Resources(torch.device("cpu"), "float32", None)


def test_gaussian_transfer_gives_mean_and_covariance_of_the_target() -> None:
    mapped = color_transfer(BLUE, ORANGE)(BLUE)
    target = oklab_from_srgb(ORANGE)
    np.testing.assert_allclose(mapped.mean(axis=0), target.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(np.cov(mapped.T), np.cov(target.T), rtol=0.05, atol=2e-5)


def test_histogram_transfer_gives_the_distribution_of_the_target() -> None:
    two = np.concatenate([ORANGE[:1000], cloud((0.3, 0.0, 0.0), 0.01, 3)[:1000]])
    wanted = np.sort(oklab_from_srgb(two)[:, 0])
    errors = [
        np.abs(np.sort(color_transfer(BLUE, two, method)(BLUE)[:, 0]) - wanted).mean()
        for method in ("gaussian", "histogram")
    ]
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("method", ["gaussian", "histogram"])
def test_transfer_between_equal_distributions_changes_nothing(method: str) -> None:
    transfer = color_transfer(ORANGE, ORANGE, method)  # type: ignore[arg-type]
    np.testing.assert_allclose(transfer(ORANGE), oklab_from_srgb(ORANGE), atol=2e-4)


def test_histogram_transfer_has_no_steps() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    lightness = color_transfer(BLUE, ORANGE, "histogram")(ramp)[:, 0]
    steps = np.diff(lightness)[40:220]
    assert steps.min() > 0 and steps.max() < 6 * np.median(steps)


def test_weight_confines_a_transfer_to_a_region() -> None:
    image = BLUE.reshape(40, 50, 3)
    weight = np.zeros((40, 50), np.float32)
    weight[:, 25:] = 1
    transfer = color_transfer(BLUE, ORANGE)
    part, whole = transfer_colors(image, transfer, weight=weight), transfer_colors(image, transfer)
    np.testing.assert_array_equal(part[:, :25], image[:, :25])
    np.testing.assert_array_equal(part[:, 25:], whole[:, 25:])
    np.testing.assert_array_equal(transfer_colors(image, transfer, 0.0), image)


def measured(frames: list[RGB], cuts: list[int]) -> list[RGB]:
    measurement = ColorMeasurement()
    for frame in frames:
        measurement.add(frame)
    edges = [0, *cuts, len(frames)]
    shots = [Shot(index, *edges[index : index + 2]) for index in range(len(edges) - 1)]
    return [decoded_colors(colors) for colors in measurement.colors(shots)]


def test_colors_of_a_shot_are_those_of_its_own_frames_in_order_of_time() -> None:
    frames = [np.full((8, 9, 3), value, np.uint8) for value in (10, 15, 20, 25, 30, 200, 210)]
    first, second = measured(frames, [5])
    assert len(first) == SHOT_SAMPLES and set(first[:, 0]) == {10, 15, 20, 25, 30} and set(second[:, 0]) == {200, 210}
    assert (np.diff(first[:, 0].astype(int)) >= 0).all()
    counts = np.bincount(first[:, 0])[[10, 15, 20, 25, 30]]
    assert counts.max() - counts.min() <= 2


def test_long_shots_and_single_frames_have_colors_too() -> None:
    frames = [np.full((4, 4, 3), index % 256, np.uint8) for index in range(3000)]
    (colors,) = measured(frames, [])
    assert len(colors) == SHOT_SAMPLES and colors[0, 0] == 0 and colors[-1, 0] == 2999 % 256
    assert len(measured([frames[7]], [])[0]) == SHOT_SAMPLES


def config(tmp_path: Path, **changes: object) -> object:
    save_png(tmp_path / "style.png", ORANGE.reshape(40, 50, 3))
    data = {"styler": "palette", "style": {"images": [{"path": str(tmp_path / "style.png")}]}, **changes}
    return parse_config(data, where="test")


@pytest.mark.parametrize("changes", [{"color": {"match": "style_to_content"}}, {"palette": {"source": "content"}}])
def test_every_shot_has_one_styler_with_its_own_colors(tmp_path: Path, changes: dict[str, object]) -> None:
    shots = [ShotColors(BLUE, 0, 5), ShotColors(cloud((0.6, -0.08, 0.05), 0.02, 5), 5, 9)]
    stylers = build_stylers(config(tmp_path, **changes), CPU, shots=shots)  # type: ignore[arg-type]
    assert isinstance(stylers, ShotStylers) and styler_of(stylers, 0) is styler_of(stylers, 0)
    found = []
    for index, shot in enumerate(shots):
        styler = styler_of(stylers, index)
        assert isinstance(styler, PaletteStyler)
        found.append(styler.palette)
        assert np.abs(styler.palette.mean(axis=0) - oklab_from_srgb(shot.colors).mean(axis=0)).max() < 0.05
    assert np.abs(found[0].mean(axis=0) - found[1].mean(axis=0)).max() > 0.05


def test_colors_that_are_not_known_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="colors of whole shots"):
        build_stylers(config(tmp_path, color={"match": "content_to_style"}), CPU)  # type: ignore[arg-type]


def test_content_gets_the_colors_of_the_style(tmp_path: Path) -> None:
    shots = [ShotColors(BLUE)]
    found = build_stylers(config(tmp_path, color={"match": "content_to_style"}), CPU, shots=shots)  # type: ignore[arg-type]
    styler = styler_of(found, 0)
    assert isinstance(styler, PreparedStyler)
    seen = oklab_from_srgb(styler.prepared(BLUE.reshape(40, 50, 3))).reshape(-1, 3)
    np.testing.assert_allclose(seen.mean(axis=0), oklab_from_srgb(ORANGE).mean(axis=0), atol=0.01)


class Negative:
    """Inverts what it sees, and notes it."""

    style_colors = None

    def __init__(self) -> None:
        self.seen: list[FrameBatch] = []

    def stylize(self, batch: FrameBatch) -> StylizedBatch:
        self.seen.append(batch)
        return StylizedBatch(1 - batch.content, (FrameStats(1, 0.0),) * len(batch.content))


def test_luma_only_keeps_the_chroma_of_the_content() -> None:
    random = np.random.default_rng(4)
    content = srgb_from_oklab(random.uniform((0.4, -0.04, -0.04), (0.6, 0.04, 0.04), (12, 16, 3)).astype(np.float32))
    inner = Negative()
    batch = FrameBatch("warm", to_tensor(content)[None], to_tensor(content)[None], (0,), to_tensor(content)[None])
    stylized = to_uint8(PreparedStyler(inner, (), luma_only=True).stylize(batch).images[0])
    (seen,) = inner.seen
    assert seen.init is not None and seen.warped_previous is not None
    for images in (seen.content, seen.init, seen.warped_previous):
        assert float((images - images[:, :1]).abs().max()) == 0
    before, after = oklab_from_srgb(content), oklab_from_srgb(stylized)
    assert np.abs(after[..., 1:] - before[..., 1:]).max() < 0.006  # a level of sRGB
    wanted = oklab_from_srgb(255 - gray(content))[..., 0]
    assert np.abs(after[..., 0] - wanted).max() < 0.004


def test_gray_of_tensors_is_that_of_pixels() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exact = gray_tensor(to_tensor(rgb)[None])[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(exact - gray(rgb)).max() < 0.51


def test_matched_shot_has_the_colors_of_its_content_in_every_frame_by_one_map() -> None:
    frames = [ORANGE[:1000].reshape(20, 50, 3), ORANGE[1000:].reshape(20, 50, 3)]
    settings = FinishSettings(match_color=1)
    look = shot_look(frames, BLUE, settings, 0, lambda *_: frames)
    shown = [finish(frame, frame, settings, index=index, seed=0, look=look) for index, frame in enumerate(frames)]
    lab = oklab_from_srgb(np.concatenate(shown)).reshape(-1, 3)
    np.testing.assert_allclose(lab.mean(axis=0), oklab_from_srgb(BLUE).mean(axis=0), atol=0.006)
    again = finish(frames[0], frames[0], settings, index=7, seed=3, look=look)
    np.testing.assert_array_equal(again, shown[0])


def test_finish_without_a_look_leaves_the_frame() -> None:
    frame = ORANGE.reshape(40, 50, 3)
    settings = FinishSettings(match_color=1, palette=4)
    np.testing.assert_array_equal(finish(frame, frame, settings, index=0, seed=0, look=ShotLook()), frame)


def test_frames_that_are_looked_at_are_spread_over_the_shot() -> None:
    assert sample_indices(5, 8) == [5, 6, 7]
    found = sample_indices(10, 1010)
    assert len(found) == 12 and found[0] >= 10 and found[-1] < 1010 and np.ptp(np.diff(found)) <= 1


def test_sample_takes_equally_many_colors_of_each_image() -> None:
    images = [np.full((3, 3, 3), 1, np.uint8), np.full((50, 50, 3), 2, np.uint8)]
    assert np.bincount(sample_colors(images, 1000)[:, 0]).tolist() == [0, 500, 500]
