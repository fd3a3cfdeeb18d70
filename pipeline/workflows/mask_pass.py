"""The masks of frames. Here only those of one picture (`image`) that holds for every frame."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from pipeline.config.masks import MaskSettings
from pipeline.errors import ConfigError, InputError
from pipeline.runtime.hashing import file_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Frame, Masks, Shot, Source


def mask_digests(settings: MaskSettings) -> dict[str, Any]:
    """The settings of a mask with the SHA-256 of its file for its path. Raises ConfigError if it cannot be read."""
    path = _picture(settings)
    try:
        return settings.model_dump(mode="json", exclude_none=True) | {"image": file_digest(path)}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the mask cannot be read ({error})", hint="check `mask` in the config") from None


def prepare_masks(
    settings: Sequence[MaskSettings],
    source: Source,  # noqa: ARG001 - masks of other kinds need these
    size_px: tuple[int, int],
    read: Callable[[int, int], Generator[Frame]],  # noqa: ARG001
    shots: Sequence[Shot],  # noqa: ARG001
    cache: Path,  # noqa: ARG001
    reporter: Reporter,  # noqa: ARG001
    cancellation: Cancellation,  # noqa: ARG001
) -> Masks:
    """The masks of frames of (width, height) px. Raises ConfigError for a picture that cannot be read."""
    planes = np.stack([_plane(mask, size_px) for mask in settings])
    return lambda index, content: planes  # noqa: ARG005


def _plane(settings: MaskSettings, size_px: tuple[int, int]) -> NDArray[np.float32]:
    from pipeline.media.image.load import load_rgb

    path = _picture(settings)
    try:
        picture = load_rgb(path).mean(axis=2) / 255
    except InputError as error:
        raise ConfigError(f"mask {error.message}", hint=error.hint) from None
    plane = cv2.resize(picture.astype(np.float32), size_px, interpolation=cv2.INTER_AREA)
    plane = 1 - plane if settings.invert else plane
    if settings.feather:
        plane = cv2.GaussianBlur(plane, (0, 0), settings.feather * max(size_px))
    return np.asarray(plane, np.float32).clip(0, 1)


def _picture(settings: MaskSettings) -> Path:
    if settings.image is None:
        raise ConfigError("only masks of the kind `image` are known here", hint="give `mask: {image: ...}`")
    return settings.image
