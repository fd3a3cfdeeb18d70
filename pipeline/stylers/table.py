"""The table of stylers: from the settings of a style to the object that stylizes frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

Note = Callable[[str], None]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.config.style import StyleSettings
    from pipeline.stylers.resources import Resources
    from pipeline.types import Styler


def build_styler(config: Config, resources: Resources, note: Note | None = None) -> Styler:
    """The styler of a config, with its style images loaded; `note` is told what a user should know while it works.

    Raises InputError if an image cannot be read.
    """
    return STYLERS[config.styler](config, resources, note)


def _neural(config: Config, resources: Resources, note: Note | None) -> Styler:
    from pipeline.media.image.load import load_rgb
    from pipeline.stylers.neural import NeuralStyler

    assert resources.encoder is not None
    init = config.optimize.cold.init
    return NeuralStyler(
        config,
        _style_images(config),
        resources.encoder,
        device=resources.device,
        init_image=load_rgb(init) if isinstance(init, Path) else None,
        region_images=[[] if region.style is None else _images(region.style) for region in config.regions],
        note=note,
    )


def _palette(config: Config, resources: Resources, note: Note | None) -> Styler:  # noqa: ARG001 - all stylers are made alike
    from pipeline.stylers.palette import PaletteStyler

    return PaletteStyler(_style_images(config), config.palette.colors, config.seed)


def _superpixel(config: Config, resources: Resources, note: Note | None) -> Styler:  # noqa: ARG001 - all stylers are made alike
    from pipeline.stylers.superpixel import SuperpixelStyler

    return SuperpixelStyler(_style_images(config), config.superpixel.cells, config.seed)


def _style_images(config: Config) -> list[NDArray[np.uint8]]:
    return _images(config.style)


def _images(style: StyleSettings) -> list[NDArray[np.uint8]]:
    from pipeline.media.image.load import load_rgb

    return [load_rgb(image.path) for image in style.images]


STYLERS: dict[str, Callable[[Config, Resources, Note | None], Styler]] = {
    "neural": _neural,
    "palette": _palette,
    "superpixel": _superpixel,
}
"""How each styler of the setting `styler` is made."""
