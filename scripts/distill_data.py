"""Training images for scripts/train_encoder.py: crops of files, generated images, and half-stylized ones.

The optimizer does not show a feature network photographs, but images between a photo (plus noise) and its stylized
version. `Iterates` therefore stylizes crops at growing scales with the current student and keeps some of the images
that the minimizer evaluates. A module of train_encoder.py; it is not run by itself.

All images are uint8 or float32 RGB, sRGB; every random number comes from one CPU generator.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipeline.config.settings import StylizeSettings
from pipeline.config.style import StyleImage, StyleSettings
from pipeline.encoders.network import Encoder
from pipeline.optimize.lbfgs import lbfgs
from pipeline.optimize.minimum import Evaluation
from pipeline.optimize.objective import Objective, style_target

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class TrainingImage:
    """A training image: its name, uint8 (3, H, W) sRGB, and whether it is a style image (else content)."""

    name: str
    rgb: Tensor
    is_style: bool


def uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def choice(generator: torch.Generator, count: int) -> int:
    return int(torch.randint(count, (), generator=generator))


def read_images(
    folders: Sequence[Path], excluded: Sequence[str], longest_px: int, is_style: bool
) -> list[TrainingImage]:
    """Every image below the folders, by name, except names that match a pattern; shrunk to `longest_px`."""
    images = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            skip = any(fnmatch.fnmatch(path.name, pattern) for pattern in excluded)
            if path.suffix.lower() not in SUFFIXES or skip:
                continue
            with Image.open(path) as file:
                image = file.convert("RGB")
            image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
            rgb = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
            images.append(TrainingImage(path.name, rgb, is_style))
    return images


def smooth_noise(generator: torch.Generator, side: int) -> Tensor:
    """Noise (3, side, side) of unit deviation and a random grain size, from single pixels to broad patches."""
    cells = max(2, round(side * 2.0 ** -uniform(generator, 0, 5)))
    noise = torch.randn((1, 3, cells, cells), generator=generator)
    if cells != side:
        noise = F.interpolate(noise, size=(side, side), mode="bicubic", align_corners=False)
    return noise[0]


def generated(generator: torch.Generator, side: int) -> Tensor:
    """A synthetic image (3, side, side) in [0, 1]: soft patches of color under hard stripes, disks or corners."""
    image = 0.5 + uniform(generator, 0.05, 0.3) * smooth_noise(generator, side)
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    for _ in range(1 + choice(generator, 6)):
        angle = uniform(generator, 0, 2 * np.pi)
        u = x * np.cos(angle) + y * np.sin(angle) + uniform(generator, -0.7, 0.7)
        v = -x * np.sin(angle) + y * np.cos(angle) + uniform(generator, -0.7, 0.7)
        kind = choice(generator, 3)
        if kind == 0:
            distance = u.square() + v.square() * uniform(generator, 0.3, 3) - uniform(generator, 0.01, 0.4)
        elif kind == 1:
            distance = u.abs() - uniform(generator, 0.02, 0.3)
        else:
            distance = torch.sin(u * uniform(generator, 5, 40)) - uniform(generator, -0.5, 0.9)
        sharpness = side * uniform(generator, 0.03, 1.0)
        mask = torch.sigmoid(-distance * sharpness)
        color = torch.rand((3, 1, 1), generator=generator)
        image = image + mask * (color - image) * uniform(generator, 0.4, 1)
    return image.clamp(0, 1)


def crop(generator: torch.Generator, rgb: Tensor, side: int) -> Tensor:
    """A random square (3, side, side) in [0, 1] of a uint8 image: at full size or shrunk, mirrored or not."""
    height, width = rgb.shape[-2:]
    source = min(round(side * 2.0 ** uniform(generator, -0.3, 1.2)), height, width)
    top, left = choice(generator, height - source + 1), choice(generator, width - source + 1)
    square = rgb[None, :, top : top + source, left : left + source].float() / 255
    if source != side:
        square = F.interpolate(square, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
    if uniform(generator) < 0.5:
        square = square.flip(-1)
    return square[0].clamp(0, 1)


def recolored(generator: torch.Generator, image: Tensor) -> Tensor:
    """Contrast, brightness, saturation and gamma changed, sometimes with noise; (3, H, W) in [0, 1]."""
    mean, gray = image.mean(dim=(1, 2), keepdim=True), image.mean(dim=0, keepdim=True)
    image = gray + (image - gray) * uniform(generator, 0.3, 1.7)
    image = (
        mean + (image - mean) * uniform(generator, 0.5, 1.6) + 0.3 * (torch.rand((3, 1, 1), generator=generator) - 0.5)
    )
    image = image.clamp(0, 1) ** uniform(generator, 0.6, 1.6)
    if uniform(generator) < 0.4:
        image = image + uniform(generator, 0, 0.15) * torch.randn(image.shape, generator=generator)
    return image.clamp(0, 1)


class Iterates:
    """Half-stylized images (3, side, side), uint8, refreshed by running stylizations with the current student."""

    def __init__(self, images: Sequence[TrainingImage], side: int, capacity: int) -> None:
        self.contents = [image for image in images if not image.is_style]
        self.styles = [image for image in images if image.is_style]
        self.side = side
        self.capacity = capacity
        self.pool: list[Tensor] = []

    def refresh(self, encoder: Encoder, generator: torch.Generator) -> None:
        """Stylize one content crop with one style crop, and keep some of the images that are evaluated."""
        content = crop(generator, self.contents[choice(generator, len(self.contents))].rgb, self.side)[None]
        style_image = crop(generator, self.styles[choice(generator, len(self.styles))].rgb, self.side)[None]
        if uniform(generator) < 0.3:
            content = recolored(generator, content[0])[None]
        settings = StylizeSettings(style=StyleSettings(images=(StyleImage(path=Path("style image")),))).losses
        image = content
        for factor, scale in ((0.2, 0.5), (0.4, 0.71), (1.0, 1.0)):
            size = (max(32, round(self.side * scale)),) * 2
            target, style = (F.interpolate(t, size=size, mode="area") for t in (content, style_image))
            start = F.interpolate(image, size=size, mode="bicubic", align_corners=False)
            start = start + uniform(generator, 0.05, 0.25) * torch.randn(start.shape, generator=generator)
            targets = (style_target(encoder, settings, style.to(encoder.device), 100.0),)
            objective = Objective.of(encoder, settings, target.to(encoder.device), targets, content_factor=factor)
            seen: list[Tensor] = []
            evaluations = 6 + choice(generator, 18)
            found = lbfgs(_recording(objective, seen), start.to(encoder.device), evaluations=evaluations)
            image = found.images.cpu()
            kept = [seen[choice(generator, len(seen))], image] if scale == 1 else [seen[0], image]
            for iterate in kept:
                full = F.interpolate(iterate.cpu(), size=(self.side,) * 2, mode="bicubic", align_corners=False)
                self._keep((full[0].clamp(0, 1) * 255).round().to(torch.uint8), generator)

    def _keep(self, rgb: Tensor, generator: torch.Generator) -> None:
        if len(self.pool) < self.capacity:
            self.pool.append(rgb)
        else:
            self.pool[choice(generator, self.capacity)] = rgb


def _recording(objective: Objective, seen: list[Tensor]) -> Callable[[Tensor], Evaluation]:
    """The objective, recording every image that it evaluates."""

    def evaluate(images: Tensor) -> Evaluation:
        seen.append(images.detach().clone())
        return objective(images)

    return evaluate


@dataclass
class Source:
    """Draws training batches: files, generated images and iterates, half of a batch a small step from the other."""

    images: Sequence[TrainingImage]
    iterates: Iterates
    iterate_fraction: float

    def batch(self, generator: torch.Generator, size: int, side: int) -> Tensor:
        """(2 * size, 3, side, side) float32 in [0, 1]; sample size + i is sample i moved by a small step."""
        images = torch.stack([self._one(generator, side) for _ in range(size)])
        steps = torch.stack([uniform(generator, 0.02, 0.1) * smooth_noise(generator, side) for _ in range(size)])
        return torch.cat((images, (images + steps).clamp(0, 1)))

    def _one(self, generator: torch.Generator, side: int) -> Tensor:
        kind = uniform(generator)
        pool = self.iterates.pool
        if pool and kind < self.iterate_fraction:
            rgb = pool[choice(generator, len(pool))]
            height, width = rgb.shape[-2:]
            top, left = choice(generator, height - side + 1), choice(generator, width - side + 1)
            return rgb[:, top : top + side, left : left + side].float() / 255
        if kind > 0.92 or not self.images:
            return generated(generator, side)
        image = crop(generator, self.images[choice(generator, len(self.images))].rgb, side)
        return recolored(generator, image) if uniform(generator) < 0.6 else image
