"""What a style needs of this machine: its device, precision and networks, and the digests of its images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import ConfigError, InputError
from pipeline.runtime.hashing import file_digest

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from pipeline.config.settings import Config
    from pipeline.encoders.network import Encoder
    from pipeline.motion.methods import FlowEstimator

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Resources:
    """Where stylers compute, in which precision, with which networks.

    `encoder` is the feature network (None: the styler has none); `flow` estimates the
    motion (None: there is never any).
    """

    device: torch.device
    precision: Precision
    encoder: Encoder | None
    flow: FlowEstimator | None = None


def find_resources(config: Config, *, weights: Path | None = None, encoder: Encoder | None = None) -> Resources:
    """Choose device and precision, and load the networks of a style, except an `encoder` that is loaded already.

    Raises MissingPartError if the device or the weights are missing.
    """
    from pipeline.motion.methods import load_estimator
    from pipeline.runtime.device import DTYPES, choose_device, choose_precision, prepare_device

    device = choose_device(config.runtime.device)
    prepare_device(device)
    flow = load_estimator(config.motion, device=device)
    if config.styler != "neural":
        return Resources(device, "float32", None, flow)
    from pipeline.encoders.load import load_encoder

    precision = choose_precision(config.optimize.precision, device)
    pooling = None if config.pooling == "native" else config.pooling
    if encoder is None:
        encoder = load_encoder(config.encoder, weights=weights, device=device, dtype=DTYPES[precision], pooling=pooling)
    return Resources(device, precision, encoder, flow)


def image_digest(path: Path, *, min_side_px: int = 1, is_start: bool = False) -> str:
    """SHA-256 of a style image, or of the image that cold frames start from with `is_start`.

    Raises ConfigError if it cannot be read, is no image, or is too small.
    """
    from pipeline.media.image.load import load_rgb

    what = "image of optimize.cold.init" if is_start else "style image"

    try:
        digest = file_digest(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: the {what} cannot be read ({getattr(error, 'strerror', None) or error})",
            hint="it is content, noise, or the path of an image, relative to the config file"
            if is_start
            else "check style.images in the config; paths are relative to the config file",
        ) from None
    try:
        height, width = load_rgb(path).shape[:2]
    except InputError as error:
        raise ConfigError(f"{what} {error.message}", hint=error.hint) from None
    if min(height, width) < min_side_px:
        raise ConfigError(
            f"{path}: the {what} has {width}x{height} px, the encoder needs {min_side_px} along each side",
            hint="choose a larger image",
        )
    return digest
