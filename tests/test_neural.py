"""The neural styler with the tiny encoder: scales, seeds, batches, warm frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.config.losses import LightLossSettings, TemporalLossSettings
from pipeline.config.reading import parse_config
from pipeline.config.settings import ColdSettings, MotionSettings
from pipeline.encoders.load import load_encoder
from pipeline.errors import StylizeError
from pipeline.media.image.arrays import to_tensor
from pipeline.stylers.frame_memory import FrameMemory
from pipeline.stylers.neural import NeuralStyler
from pipeline.stylers.scales import cold_scales, resample_curve, style_image_size
from pipeline.types import FrameBatch, StylizedBatch
from tests.support.clips import texture
from tests.support.neural import SIZE, cold, config, contents, style_images, styler


def test_scales_grow_by_the_step_and_end_at_full_size() -> None:
    scales = cold_scales((384, 512), ColdSettings())
    assert scales == [(96, 128), (136, 181), (192, 256), (272, 362), (384, 512)]
    assert cold_scales((50, 100), ColdSettings()) == [(50, 100)]
    for (_, smaller), (_, larger) in itertools.pairwise(cold_scales((333, 1001), ColdSettings())):
        assert 1.40 < larger / smaller < 1.43
    assert cold_scales((333, 1001), ColdSettings())[0][1] >= 128


def test_cold_frame_of_512_px_takes_at_most_160_evaluations() -> None:
    settings = ColdSettings()
    assert len(cold_scales((384, 512), settings)) * settings.evaluations <= 160


def test_curve_is_resampled_to_any_number_of_scales() -> None:
    assert resample_curve((0.2, 0.4, 0.7, 1.0), 4) == pytest.approx([0.2, 0.4, 0.7, 1.0])
    assert resample_curve((0.2, 1.0), 3) == pytest.approx([0.2, 0.6, 1.0])
    assert resample_curve((0.2, 0.4, 0.7, 1.0), 1) == [1.0]


def test_style_images_are_never_enlarged() -> None:
    assert style_image_size((900, 1200), (300, 400), 1.0) == (300, 400)
    assert style_image_size((900, 1200), (400, 300), 0.5) == (150, 200)
    assert style_image_size((100, 200), (300, 400), 1.0) == (100, 200)


def test_stylizing_lowers_the_loss_and_repeats_exactly() -> None:
    content = contents(1)
    few = styler(config(cold={"evaluations": 1, "min_scale_px": 33})).stylize(cold(content, (7,)))
    first, second = styler().stylize(cold(content, (7,))), styler().stylize(cold(content, (7,)))
    assert first.stats[0].loss < few.stats[0].loss
    assert torch.equal(first.images, second.images)
    assert first.images.shape == content.shape
    assert first.images.min() >= 0 and first.images.max() <= 1
    assert first.stats[0].evaluations == 12  # two scales


def test_another_seed_gives_another_image() -> None:
    content = contents(1)
    first, second = styler().stylize(cold(content, (7,))), styler().stylize(cold(content, (8,)))
    assert not torch.allclose(first.images, second.images, atol=0.02)


def together_and_alone(evaluations: int) -> Iterator[tuple[Tensor, Tensor, float, float]]:
    """Three cold frames: the image in a batch and alone, the loss in a batch and alone."""
    content, settings = contents(3), config(cold={"evaluations": evaluations, "min_scale_px": 33})
    together = styler(settings).stylize(cold(content, (1, 2, 3)))
    for sample in range(3):
        alone = styler(settings).stylize(cold(content[sample, None], (sample + 1,)))
        yield together.images[sample], alone.images[0], together.stats[sample].loss, alone.stats[0].loss


def test_batched_equals_one_by_one() -> None:
    """The convolutions of a batch add in another order than those of one frame, and L-BFGS multiplies that rounding
    difference with every evaluation; so pixels are compared closely before it has grown."""
    for images, alone, loss, loss_alone in together_and_alone(evaluations=3):
        assert torch.allclose(images, alone, atol=1e-4)
        assert loss == pytest.approx(loss_alone, rel=1e-4)


def test_batched_reaches_the_losses_of_one_by_one_after_many_evaluations() -> None:
    for _, _, loss, loss_alone in together_and_alone(evaluations=12):
        assert loss == pytest.approx(loss_alone, rel=0.05)


def test_observer_counts_evaluations_over_all_scales() -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []
    observed = NeuralStyler(
        config(),
        style_images(),
        load_encoder("tiny"),
        device=torch.device("cpu"),
        observer=lambda number, images, *_: seen.append((number, tuple(images.shape[-2:]))),
    )
    batch = cold(contents(1), (7,))
    assert torch.equal(observed.stylize(batch).images, styler().stylize(batch).images)
    assert [number for number, _ in seen] == list(range(1, 13))
    assert [size for _, size in seen] == [(28, 34)] * 6 + [SIZE] * 6


@pytest.mark.parametrize("minimizer", ["lbfgs", "adam"])
def test_warm_frame_does_not_depend_on_what_is_new_in_other_frames(minimizer: str) -> None:
    content, start = contents(2), contents(2).roll(5, dims=3)
    fractions: tuple[float, ...] = (0.0, 0.5)
    neural = styler(config(minimizer=minimizer, warm={"evaluations": 4, "min_evaluations": 4}))

    def warm(samples: slice, seeds: tuple[int, ...]) -> FrameBatch:
        moved, confidence = start[samples], torch.ones((2, 1, *SIZE))[samples]
        return FrameBatch("warm", content[samples], moved, seeds, moved, confidence, fractions[samples])

    together = neural.stylize(warm(slice(0, 2), (1, 2)))
    assert [stats.evaluations for stats in together.stats] == [4, 6]
    for sample in range(2):
        alone = neural.stylize(warm(slice(sample, sample + 1), (sample + 1,)))
        assert together.stats[sample].evaluations == alone.stats[0].evaluations
        assert torch.allclose(together.images[sample], alone.images[0], atol=2e-3)
        assert together.stats[sample].loss == pytest.approx(alone.stats[0].loss, rel=1e-3)


def test_warm_frame_does_not_depend_on_what_changed_in_other_frames() -> None:
    content, start = contents(2), contents(2).roll(5, dims=3)
    recent = torch.zeros((2, 1, *SIZE))
    recent[1, :, :, 24:] = 1
    neural = styler(config(warm={"evaluations": 4, "min_evaluations": 4}))

    def warm(samples: slice, changed: Tensor | None) -> FrameBatch:
        own, confidence = start[samples], torch.ones((2, 1, *SIZE))[samples]
        seeds: tuple[int, ...] = (1, 2)
        return FrameBatch("warm", content[samples], own, seeds[samples], own, confidence, recent_change=changed)

    together = neural.stylize(warm(slice(0, 2), recent))
    for sample in range(2):
        chosen = slice(sample, sample + 1)
        alone = neural.stylize(warm(chosen, recent[chosen]))
        assert torch.allclose(together.images[sample], alone.images[0], atol=2e-3)
    unchanged = neural.stylize(warm(slice(1, 2), None))
    assert (unchanged.images[0] - together.images[1]).abs().max() > 0.01


def test_light_of_a_warm_frame_follows_the_content() -> None:
    """The content's bright side changes from left to right: with the light term the stylized one does too."""
    shade = torch.linspace(0.2, 0.8, SIZE[1]).expand(1, 3, *SIZE)
    detail = 0.1 * (contents(1) - 0.5)
    before, after = (shade.flip(3) + detail).clamp(0, 1), (shade + detail).clamp(0, 1)

    def slope(weight: float) -> float:
        light = LightLossSettings(weight=weight)
        base = config(warm={"evaluations": 20, "min_evaluations": 20})
        neural = styler(base.model_copy(update={"losses": base.losses.model_copy(update={"light": light})}))
        start = neural.stylize(cold(before, (1,))).images
        batch = FrameBatch("warm", after, start, (2,), start, torch.zeros_like(after[:, :1]))
        found = neural.stylize(batch).images.mean(dim=(0, 1, 2))
        return float(found[24:].mean() - found[:24].mean())

    with_light, without = slope(1), slope(0)
    assert with_light > 0.1
    assert with_light > without + 0.1


def test_loss_is_the_weighted_sum_of_its_terms() -> None:
    from pipeline.optimize.objective import CONTENT_SCALE, LIGHT_SCALE, STYLE_SCALE, TV_SCALE

    stats = styler().stylize(cold(contents(1), (1,))).stats[0]
    expected = (
        CONTENT_SCALE * stats.content_loss
        + STYLE_SCALE * 145 * stats.style_loss
        + TV_SCALE * 0.5 * stats.tv_loss
        + LIGHT_SCALE * stats.light_loss
    )
    assert stats.light_loss > 0
    assert stats.loss == pytest.approx(expected, rel=1e-4)


def test_result_lies_between_two_style_images_according_to_their_weights() -> None:
    """With all weight on one image the other one has no effect, and 100 : 45 lies between the two."""
    content = contents(1)

    def stylized(first: float, second: float) -> Tensor:
        settings = parse_config(
            {
                "style": {"images": [{"path": "a", "weight": first}, {"path": "b", "weight": second}]},
                "optimize": {"cold": {"evaluations": 20, "min_scale_px": 64, "noise": 0}},
                "losses": {"content": {"weight": 0}},
            },
            where="test",
        )
        dark = [np.full((50, 60, 3), 40, np.uint8), np.full((50, 60, 3), 220, np.uint8)]
        one = NeuralStyler(settings, dark, load_encoder("tiny"), device=torch.device("cpu"))
        return one.stylize(cold(content, (1,))).images.mean()

    assert stylized(100, 0) < stylized(100, 45) < stylized(0, 100)


def test_warm_frame_stays_close_to_the_previous_one() -> None:
    content = contents(1)
    neural = styler(config(warm={"evaluations": 4}))
    first = neural.stylize(cold(content, (1,)))
    previous = (first.images * 255).round() / 255
    second = neural.stylize(FrameBatch("warm", content, previous, (2,)))
    assert second.stats[0].evaluations == 4
    assert second.stats[0].loss <= first.stats[0].loss * 1.01
    assert (second.images - previous).abs().mean() < 0.1


def warm(content: Tensor, previous: Tensor, seeds: tuple[int, ...] = (2,)) -> FrameBatch:
    confidence = torch.ones_like(content[:, :1])
    return FrameBatch("warm", content, previous, seeds, warped_previous=previous, confidence=confidence)


@pytest.mark.parametrize("seed", [1, 2])
def test_static_clip_stays_static_over_a_hundred_frames(seed: int) -> None:
    """Every frame starts from the previous one, rounded: brightness and strokes do not drift.

    The cold frame has as many evaluations as by default. After few, the warm frames go on with what it left undone, and
    rounding makes that come in leaps, after a number of frames that depends on the seed.
    """
    finished = {"evaluations": ColdSettings().evaluations, "min_scale_px": 33}
    neural, content = styler(config(cold=finished, warm={"evaluations": 3})), contents(1)
    image = (neural.stylize(cold(content, (seed,))).images * 255).round() / 255
    seen = [image]
    for _ in range(100):
        image = (neural.stylize(warm(content, image)).images * 255).round() / 255
        seen.append(image)
    lumas = torch.stack([frame.mean() for frame in seen]) * 255
    assert (lumas - lumas[10]).abs()[10:].max() < 0.5
    assert (seen[-1] - seen[50]).abs().mean() * 255 < 2
    steps = [(current - previous).square().mean().item() for previous, current in itertools.pairwise(seen[10:])]
    assert max(steps) < (1 / 255) ** 2


def test_temporal_term_has_an_effect_only_where_confidence_is_high() -> None:
    content = contents(2)[:1]
    previous = contents(2)[1:]
    confidence = torch.zeros_like(content[:, :1])
    confidence[..., 24:] = 1
    settings = config(warm={"evaluations": 12})

    def change(weight: float) -> Tensor:
        # Without the light term, which is broad: held fast on the right, it would also change the left.
        terms = {"temporal": TemporalLossSettings(weight=weight), "light": LightLossSettings(weight=0)}
        losses = settings.losses.model_copy(update=terms)
        neural = styler(settings.model_copy(update={"losses": losses}))
        batch = FrameBatch("warm", content, previous, (1,), warped_previous=previous, confidence=confidence)
        return (neural.stylize(batch).images - previous).abs().mean(dim=(0, 1, 2))

    without, strong = change(0), change(1000)
    assert strong[28:].mean() < 0.3 * without[28:].mean()
    assert strong[:16].mean() > 0.7 * without[:16].mean()


def test_frame_with_much_new_content_may_take_more_evaluations() -> None:
    settings = config(warm={"evaluations": 3, "min_evaluations": 1, "tolerance": 0})
    batch = warm(contents(3), contents(3).flip(0), (1, 2, 3))
    found = styler(settings).stylize(replace(batch, new_fractions=(0.0, 0.08, 1.0))).stats
    none, some, all_new = (stats.evaluations for stats in found)
    assert none == 3 and all_new == settings.optimize.cold.evaluations == 6
    assert none < some < all_new


def test_boil_interpolates_between_the_warm_and_the_cold_frame() -> None:
    content = contents(1)
    independent = styler().stylize(cold(content, (7,))).images
    previous = styler().stylize(cold(content, (1,))).images
    changes = []
    for boil in (0.0, 0.3, 0.6, 1.0):
        settings = config().model_copy(update={"motion": MotionSettings(boil=boil)})
        result = styler(settings).stylize(warm(content, previous, (7,))).images
        changes.append((result - previous).square().mean().item())
    assert changes == sorted(changes) and changes[0] < 0.2 * changes[-1]
    assert torch.equal(result, independent)


def test_bfloat16_agrees_with_float32() -> None:
    content = contents(1)
    full, half = styler().stylize(cold(content, (1,))), styler(dtype=torch.bfloat16).stylize(cold(content, (1,)))
    assert half.stats[0].loss == pytest.approx(full.stats[0].loss, rel=0.05)


@pytest.mark.parametrize("init", ["content", "noise"])
@pytest.mark.parametrize("minimizer", ["lbfgs", "adam"])
def test_every_start_and_minimizer_takes_its_evaluations(init: str, minimizer: str) -> None:
    settings = config(minimizer=minimizer, cold={"evaluations": 6, "min_scale_px": 64, "init": init})
    stats = styler(settings).stylize(cold(contents(1), (1,))).stats[0]
    assert stats.evaluations == 6
    assert np.isfinite(stats.loss)


def test_cold_frame_starts_from_a_given_image() -> None:
    settings = config(cold={"evaluations": 1, "min_scale_px": 64, "noise": 0})
    start = np.full((20, 24, 3), 51, np.uint8)
    neural = NeuralStyler(settings, style_images(), load_encoder("tiny"), device=torch.device("cpu"), init_image=start)
    image = neural.stylize(cold(contents(1), (1,))).images
    assert torch.allclose(image, torch.full_like(image, 0.2), atol=1e-3)


def test_sample_that_is_not_finite_does_not_change_the_others() -> None:
    from pipeline.optimize.objective import Objective, style_target

    content = contents(2)
    content[1, 0, 0, 0] = float("nan")
    encoder, settings = load_encoder("tiny"), config().losses
    style = style_target(encoder, settings, 1 - contents(2)[1:].flip(2), 100.0)

    def evaluated(images: Tensor) -> Any:
        return Objective.of(encoder, settings, images, (style,))(images)

    together, alone = evaluated(content), evaluated(content[:1])
    assert together.losses[0].item() == pytest.approx(alone.losses[0].item(), rel=1e-5)
    difference = (together.gradients[0] - alone.gradients[0]).norm() / alone.gradients[0].norm()
    assert difference.item() < 1e-3
    assert not torch.isfinite(together.losses[1])


def test_loss_that_is_not_finite_is_an_error_with_a_hint() -> None:
    content = contents(1)
    content[0, 0, 0, 0] = float("nan")
    with pytest.raises(StylizeError, match="expected a finite number") as caught:
        styler().stylize(cold(content, (1,)))
    assert "float32" in caught.value.hint


def test_frame_in_tiles_with_half_the_precision_of_curvature_looks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(cold={"evaluations": 8, "min_scale_px": 64})
    content = torch.stack([to_tensor(texture((112, 80), 5))])
    notes: list[str] = []

    def stylized() -> StylizedBatch:
        encoder = load_encoder("compact")
        neural = NeuralStyler(settings, style_images(), encoder, device=torch.device("cpu"), note=notes.append)
        return neural.stylize(cold(content, (1,)))

    whole = stylized()
    assert not notes
    monkeypatch.setattr("pipeline.optimize.memory.TILE_SIDES_PX", (48,))
    monkeypatch.setattr("pipeline.stylers.frame_memory.free_bytes", lambda device: 1)
    tiled = stylized()
    assert "112x80 px" in notes[-1] and "tiles of 48 px" in notes[-1] and "half precision" in notes[-1]
    assert tiled.stats[0].loss == pytest.approx(whole.stats[0].loss, rel=0.03)
    assert (tiled.images - whole.images).abs().mean() < 0.03


def test_large_frames_are_taken_in_tiles_on_the_cpu_with_all_the_curvature() -> None:
    notes: list[str] = []
    memory = FrameMemory(config(), load_encoder("compact"), torch.device("cpu"), notes.append)
    memory._available = 1 << 50
    assert memory((2160, 3840), 1).tile_px is None and memory((3024, 4032), 1).tile_px is None
    large = memory((4000, 6000), 1)
    assert (large.tile_px, large.pairs, large.pairs_dtype) == (1024, config().curvature_pairs, torch.float32)


def test_styler_finds_smaller_ways_until_none_is_left() -> None:
    neural = styler()
    assert neural.save_memory() is None
    neural.stylize(cold(contents(1), (1,)))
    ways: list[str] = []
    while (way := neural.save_memory()) is not None:
        ways.append(way)
    assert f"tiles of 1024 px, with {neural.settings.curvature_pairs} curvature pairs" in ways[0]
    assert "tiles of 512 px, with 3 curvature pairs in half precision" in ways[-1]
    assert neural.stylize(cold(contents(1), (1,))).stats[0].loss > 0
