"""The neural styler with the tiny encoder: scales, seeds, batches, warm frames."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.config.reading import parse_config
from pipeline.config.settings import ColdSettings, Config, MotionSettings, TemporalLoss
from pipeline.encoders.load import load_encoder
from pipeline.errors import StylizeError
from pipeline.stylers.neural import NeuralStyler, cold_scales, painting_size, stretched
from pipeline.types import FrameBatch

SIZE = (40, 48)


def config(**optimize: Any) -> Config:
    return parse_config(
        {
            "style": {"images": [{"path": "a"}, {"path": "b", "weight": 45}]},
            "optimize": {"cold": {"evaluations": 6, "min_scale_px": 33}, "warm": {"evaluations": 4}, **optimize},
        },
        where="test",
    )


def paintings() -> list[Any]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (50, 60, 3), dtype=np.uint8) for _ in range(2)]


def styler(settings: Config | None = None, dtype: torch.dtype = torch.float32) -> NeuralStyler:
    encoder = load_encoder("tiny", dtype=dtype)
    return NeuralStyler(settings or config(), paintings(), encoder, device=torch.device("cpu"))


def photos(count: int) -> Tensor:
    """Smooth pictures, so that the content has structure."""
    coarse = torch.rand((count, 3, 5, 6), generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="bicubic").clamp(0, 1)


def cold(content: Tensor, seeds: tuple[int, ...]) -> FrameBatch:
    return FrameBatch("cold", content, None, seeds)


def test_scales_grow_by_the_step_and_end_at_full_size() -> None:
    scales = cold_scales(512, 384, ColdSettings())
    assert scales == [(128, 96), (181, 136), (256, 192), (362, 272), (512, 384)]
    assert cold_scales(100, 50, ColdSettings()) == [(100, 50)]
    for (earlier, _), (later, _) in itertools.pairwise(cold_scales(1001, 333, ColdSettings())):
        assert 1.40 < later / earlier < 1.43
    assert cold_scales(1001, 333, ColdSettings())[0][0] >= 128


def test_a_512_px_cold_frame_costs_at_most_160_evaluations() -> None:
    settings = ColdSettings()
    assert len(cold_scales(512, 384, settings)) * settings.evaluations <= 160


def test_curves_stretch_over_the_scales() -> None:
    assert stretched((0.2, 0.4, 0.7, 1.0), 4) == pytest.approx([0.2, 0.4, 0.7, 1.0])
    assert stretched((0.2, 1.0), 3) == pytest.approx([0.2, 0.6, 1.0])
    assert stretched((0.2, 0.4, 0.7, 1.0), 1) == [1.0]


def test_paintings_are_never_enlarged() -> None:
    assert painting_size((1200, 900), (400, 300), 1.0) == (400, 300)
    assert painting_size((1200, 900), (300, 400), 0.5) == (200, 150)
    assert painting_size((200, 100), (400, 300), 1.0) == (200, 100)


def test_painting_lowers_the_loss_and_repeats_exactly() -> None:
    content = photos(1)
    few = styler(config(cold={"evaluations": 1, "min_scale_px": 33})).stylize(cold(content, (7,)))
    first, second = styler().stylize(cold(content, (7,))), styler().stylize(cold(content, (7,)))
    assert first.stats[0].loss < few.stats[0].loss
    assert torch.equal(first.images, second.images)
    assert first.images.shape == content.shape
    assert first.images.min() >= 0 and first.images.max() <= 1
    assert first.stats[0].evaluations == 12  # two scales


def test_another_seed_paints_other_strokes() -> None:
    content = photos(1)
    first, second = styler().stylize(cold(content, (7,))), styler().stylize(cold(content, (8,)))
    assert not torch.allclose(first.images, second.images, atol=0.02)


def test_batched_equals_one_by_one() -> None:
    content = photos(3)
    together = styler().stylize(cold(content, (1, 2, 3)))
    for sample in range(3):
        alone = styler().stylize(cold(content[sample, None], (sample + 1,)))
        assert torch.allclose(together.images[sample], alone.images[0], atol=2e-3)
        assert together.stats[sample].loss == pytest.approx(alone.stats[0].loss, rel=1e-3)


@pytest.mark.parametrize("minimizer", ["lbfgs", "adam"])
def test_warm_frames_are_painted_as_alone_whatever_is_new_in_their_neighbors(minimizer: str) -> None:
    content, start = photos(2), photos(2).roll(5, dims=3)
    shares: tuple[float, ...] = (0.0, 0.5)
    painter = styler(config(minimizer=minimizer, warm={"evaluations": 4, "min_evaluations": 4}))

    def warm(samples: slice, seeds: tuple[int, ...]) -> FrameBatch:
        moved, trust = start[samples], torch.ones((2, 1, *SIZE))[samples]
        return FrameBatch("warm", content[samples], moved, seeds, moved, trust, shares[samples])

    together = painter.stylize(warm(slice(0, 2), (1, 2)))
    assert [stats.evaluations for stats in together.stats] == [4, 6]
    for sample in range(2):
        alone = painter.stylize(warm(slice(sample, sample + 1), (sample + 1,)))
        assert together.stats[sample].evaluations == alone.stats[0].evaluations
        assert torch.allclose(together.images[sample], alone.images[0], atol=2e-3)
        assert together.stats[sample].loss == pytest.approx(alone.stats[0].loss, rel=1e-3)


def test_loss_is_the_weighted_sum_of_its_terms() -> None:
    from pipeline.optimize.objective import CONTENT_SCALE, STYLE_SCALE, TV_SCALE

    stats = styler().stylize(cold(photos(1), (1,))).stats[0]
    expected = (
        CONTENT_SCALE * stats.content_loss + STYLE_SCALE * 145 * stats.style_loss + TV_SCALE * 0.5 * stats.tv_loss
    )
    assert stats.loss == pytest.approx(expected, rel=1e-4)


def test_weights_of_two_paintings_decide() -> None:
    """With all weight on one painting the other one must not matter, and 100 : 45 lies between the two."""
    content = photos(1)

    def painted(first: float, second: float) -> Tensor:
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

    assert painted(100, 0) < painted(100, 45) < painted(0, 100)


def test_a_warm_frame_continues_from_the_previous_one() -> None:
    content = photos(1)
    painter = styler(config(warm={"evaluations": 4}))
    first = painter.stylize(cold(content, (1,)))
    previous = (first.images * 255).round() / 255
    second = painter.stylize(FrameBatch("warm", content, previous, (2,)))
    assert second.stats[0].evaluations == 4
    assert second.stats[0].loss <= first.stats[0].loss * 1.01
    assert (second.images - previous).abs().mean() < 0.1


def warm(content: Tensor, previous: Tensor, seeds: tuple[int, ...] = (2,)) -> FrameBatch:
    confidence = torch.ones_like(content[:, :1])
    return FrameBatch("warm", content, previous, seeds, warped_previous=previous, confidence=confidence)


def test_a_static_clip_stays_static_for_a_hundred_frames() -> None:
    """Every frame from the rounded one before: no creep of light, no crawling strokes."""
    painter, content = styler(config(warm={"evaluations": 3})), photos(1)
    picture = (painter.stylize(cold(content, (1,))).images * 255).round() / 255
    seen = [picture]
    for _ in range(100):
        picture = (painter.stylize(warm(content, picture)).images * 255).round() / 255
        seen.append(picture)
    lumas = torch.stack([frame.mean() for frame in seen]) * 255
    assert (lumas - lumas[10]).abs()[10:].max() < 0.5
    assert (seen[-1] - seen[50]).abs().mean() * 255 < 2
    steps = [(later - earlier).square().mean().item() for earlier, later in itertools.pairwise(seen[10:])]
    assert max(steps) < (1 / 255) ** 2


def test_the_temporal_term_holds_only_where_the_motion_is_reliable() -> None:
    content = photos(2)[:1]
    previous = photos(2)[1:]
    confidence = torch.zeros_like(content[:, :1])
    confidence[..., 24:] = 1
    settings = config(warm={"evaluations": 12})

    def moved(weight: float) -> Tensor:
        losses = settings.losses.model_copy(update={"temporal": TemporalLoss(weight=weight)})
        painter = styler(settings.model_copy(update={"losses": losses}))
        batch = FrameBatch("warm", content, previous, (1,), warped_previous=previous, confidence=confidence)
        return (painter.stylize(batch).images - previous).abs().mean(dim=(0, 1, 2))

    free, held = moved(0), moved(1000)
    assert held[28:].mean() < 0.3 * free[28:].mean()
    assert held[:16].mean() > 0.7 * free[:16].mean()


def test_a_frame_of_which_much_is_new_may_take_more_evaluations() -> None:
    settings = config(warm={"evaluations": 3, "min_evaluations": 1, "tolerance": 0})
    batch = warm(photos(3), photos(3).flip(0), (1, 2, 3))
    found = styler(settings).stylize(replace(batch, new_fractions=(0.0, 0.08, 1.0))).stats
    calm, some, most = (stats.evaluations for stats in found)
    assert calm == 3 and most == settings.optimize.cold.evaluations == 6
    assert calm < some < most


def test_boil_leads_from_the_warm_frame_to_the_cold_one() -> None:
    content = photos(1)
    independent = styler().stylize(cold(content, (7,))).images
    previous = styler().stylize(cold(content, (1,))).images
    changes = []
    for boil in (0.0, 0.3, 0.6, 1.0):
        settings = config().model_copy(update={"motion": MotionSettings(boil=boil)})
        painted = styler(settings).stylize(warm(content, previous, (7,))).images
        changes.append((painted - previous).square().mean().item())
    assert changes == sorted(changes) and changes[0] < 0.2 * changes[-1]
    assert torch.equal(painted, independent)


def test_bfloat16_agrees_with_float32() -> None:
    content = photos(1)
    full, half = styler().stylize(cold(content, (1,))), styler(dtype=torch.bfloat16).stylize(cold(content, (1,)))
    assert half.stats[0].loss == pytest.approx(full.stats[0].loss, rel=0.05)


@pytest.mark.parametrize("init", ["content", "noise"])
@pytest.mark.parametrize("minimizer", ["lbfgs", "adam"])
def test_every_start_and_minimizer_paints(init: str, minimizer: str) -> None:
    settings = config(minimizer=minimizer, cold={"evaluations": 6, "min_scale_px": 64, "init": init})
    stats = styler(settings).stylize(cold(photos(1), (1,))).stats[0]
    assert stats.evaluations == 6
    assert np.isfinite(stats.loss)


def test_a_given_picture_is_where_the_cold_frame_starts() -> None:
    settings = config(cold={"evaluations": 1, "min_scale_px": 64, "noise": 0})
    start = np.full((20, 24, 3), 51, np.uint8)
    painter = NeuralStyler(settings, paintings(), load_encoder("tiny"), device=torch.device("cpu"), init_picture=start)
    image = painter.stylize(cold(photos(1), (1,))).images
    assert torch.allclose(image, torch.full_like(image, 0.2), atol=1e-3)


def test_a_neighbor_that_is_not_finite_changes_nothing() -> None:
    from pipeline.optimize.objective import Objective, content_targets, style_target

    content = photos(2)
    content[1, 0, 0, 0] = float("nan")
    encoder, settings = load_encoder("tiny"), config().losses
    style = style_target(encoder, settings, 1 - photos(2)[1:].flip(2), 100.0)

    def evaluated(images: Tensor) -> Any:
        return Objective(encoder, settings, content_targets(encoder, settings, images), (style,))(images)

    together, alone = evaluated(content), evaluated(content[:1])
    assert together.losses[0].item() == pytest.approx(alone.losses[0].item(), rel=1e-5)
    difference = (together.gradients[0] - alone.gradients[0]).norm() / alone.gradients[0].norm()
    assert difference.item() < 1e-3
    assert not torch.isfinite(together.losses[1])


def test_a_loss_that_is_not_finite_is_an_error_with_a_hint() -> None:
    content = photos(1)
    content[0, 0, 0, 0] = float("nan")
    with pytest.raises(StylizeError, match="expected a finite number") as caught:
        styler().stylize(cold(content, (1,)))
    assert "float32" in caught.value.hint
