"""From a style's name to the one who paints it: the table of stylers, and what a style resolves to on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.errors import ConfigError, InputError
from pipeline.runtime.hashing import file_digest

if TYPE_CHECKING:
    import torch

    from pipeline.config.settings import Config
    from pipeline.encoders.network import Encoder
    from pipeline.motion.methods import FlowEstimator
    from pipeline.types import Styler

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What stylers need from the machine: where to compute, in which precision, with which networks.

    `encoder` is the feature network; `flow` estimates the motion (None: by the default of the settings).
    """

    device: torch.device
    precision: Precision
    encoder: Encoder | None
    flow: FlowEstimator | None = None


def find_resources(config: Config, *, weights: Path | None = None) -> Resources:
    """Choose device and precision and load the encoder that a style wants.

    Raises MissingPartError if the device or the weights are not there.
    """
    from pipeline.runtime.device import DTYPES, choose_device, choose_precision, keep_freed_memory

    device = choose_device(config.runtime.device)
    if device.type == "cpu":
        keep_freed_memory()
    precision = choose_precision(config.optimize.precision, device)
    if config.styler != "neural":
        return Resources(device, "float32", None)
    from pipeline.encoders.load import load_encoder

    pooling = None if config.pooling == "native" else config.pooling
    encoder = load_encoder(config.encoder, weights=weights, device=device, dtype=DTYPES[precision], pooling=pooling)
    from pipeline.motion.methods import load_estimator

    return Resources(device, precision, encoder, load_estimator(config.motion, device=device))


def build_styler(config: Config, resources: Resources) -> Styler:
    """The styler of a config, with its paintings loaded.

    Raises ConfigError if a painting cannot be read.
    """
    return STYLERS[config.styler](config, resources)


def picture_digest(path: Path, *, min_side_px: int = 1) -> str:
    """SHA-256 of a picture's bytes. Raises ConfigError if it cannot be read, is no picture, or is too small."""
    from pipeline.media.image.load import load_rgb

    try:
        digest = file_digest(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: the style picture cannot be read ({getattr(error, 'strerror', None) or error})",
            hint="check style.images in the config; paths are relative to the config file",
        ) from None
    try:
        height, width = load_rgb(path).shape[:2]
    except InputError as error:
        raise ConfigError(f"style picture {error.message}", hint=error.hint) from None
    if min(height, width) < min_side_px:
        raise ConfigError(
            f"{path}: the style picture has {width}x{height} px, the encoder needs {min_side_px} along each side",
            hint="choose a larger picture",
        )
    return digest


def _neural(config: Config, resources: Resources) -> Styler:
    from pipeline.media.image.load import load_rgb
    from pipeline.stylers.neural import NeuralStyler

    assert resources.encoder is not None
    init = config.optimize.cold.init
    return NeuralStyler(
        config,
        [load_rgb(image.path) for image in config.style.images],
        resources.encoder,
        device=resources.device,
        init_picture=load_rgb(init) if isinstance(init, Path) else None,
    )


def _palette(config: Config, resources: Resources) -> Styler:  # noqa: ARG001 - all stylers are made alike
    from pipeline.media.image.load import load_rgb
    from pipeline.stylers.palette import PaletteStyler

    return PaletteStyler([load_rgb(image.path) for image in config.style.images], config.palette_colors, config.seed)


def _superpixel(config: Config, resources: Resources) -> Styler:  # noqa: ARG001 - all stylers are made alike
    from pipeline.media.image.load import load_rgb
    from pipeline.stylers.superpixel import SuperpixelStyler

    paintings = [load_rgb(image.path) for image in config.style.images]
    return SuperpixelStyler(paintings, config.superpixel_count, config.seed)


STYLERS: dict[str, Callable[[Config, Resources], Styler]] = {
    "neural": _neural,
    "palette": _palette,
    "superpixel": _superpixel,
}
