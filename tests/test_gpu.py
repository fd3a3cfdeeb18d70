"""On an accelerator: the same features, losses, gradients and frames as on the CPU, within the tolerance of floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import pipeline
from pipeline.config.settings import Config
from pipeline.encoders import load_encoder
from pipeline.media.image.arrays import to_tensor
from pipeline.plan.chains import frame_seed
from pipeline.runtime.device import prepare_device
from pipeline.store.directory import RenderDirectory
from pipeline.stylers.neural import NeuralStyler
from pipeline.types import FrameBatch
from tests.support.clips import moving_square, texture, write_video

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
SETTINGS = {"optimize.cold.evaluations": 3, "optimize.cold.min_scale_px": 64, "optimize.precision": "float32"}


@pytest.fixture(autouse=True)
def _prepared() -> None:
    """As the program does: torch lets convolutions round their factors to ten bits, which features would show."""
    prepare_device(torch.device("cuda"))


@pytest.fixture
def style(tmp_path: Path) -> Config:
    Image.fromarray(texture((160, 120), 3)).save(tmp_path / "style.png")
    return pipeline.load_style(tmp_path / "style.png", SETTINGS)


def a_styler(style: Config, device: str) -> NeuralStyler:
    encoder = load_encoder("compact", device=device, dtype=torch.float32)
    images: list[NDArray[np.uint8]] = [np.asarray(Image.open(style.style.images[0].path))]
    return NeuralStyler(style, images, encoder, device=torch.device(device))


def a_batch(seeds: tuple[int, ...]) -> FrameBatch:
    content = torch.stack([to_tensor(texture((128, 96), seed)) for seed in seeds])
    return FrameBatch("cold", content, None, tuple(frame_seed(0, "style", seed) for seed in seeds))


def test_features_agree_with_the_cpu() -> None:
    images = to_tensor(texture((160, 96), 1))[None]
    here = load_encoder("compact")(images, LAYERS)
    there = load_encoder("compact", device="cuda")(images.cuda(), LAYERS)
    for layer in LAYERS:
        scale = here[layer].abs().mean()
        assert (there[layer].cpu() - here[layer]).abs().max() < 1e-3 * scale, layer


def test_losses_and_gradients_agree_with_the_cpu(style: Config) -> None:
    images = to_tensor(texture((128, 96), 2))[None]
    content = to_tensor(texture((128, 96), 1))[None]
    here = a_styler(style, "cpu").objective(content)(images)
    there = a_styler(style, "cuda").objective(content)(images.cuda())
    assert torch.allclose(there.terms.cpu(), here.terms, rtol=1e-3)
    difference = (there.gradients.cpu() - here.gradients).norm() / here.gradients.norm()
    assert difference < 1e-2


def test_a_batch_gives_the_frames_of_single_ones(style: Config) -> None:
    styler = a_styler(style, "cuda")
    together = styler.stylize(a_batch((1, 2, 3)))
    for position, seed in enumerate((1, 2, 3)):
        alone = styler.stylize(a_batch((seed,)))
        assert together.stats[position].loss == pytest.approx(alone.stats[0].loss, rel=0.05)
        assert (together.images[position] - alone.images[0]).abs().mean() < 0.01


def test_a_render_in_segments_stores_every_frame(style: Config, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", moving_square(12, size=(128, 96)))
    settings = {"runtime.device": "cuda", "motion.segment_frames": 4}
    pipeline.render(clip, pipeline.load_style(style, settings), tmp_path / "out.mp4")
    directory = RenderDirectory.open(tmp_path / "out.render")
    assert all(directory.stored(chain) == set(chain.frames) for chain in directory.plan.chains)
