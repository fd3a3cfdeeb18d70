"""What single layers hold: styles in which one layer does all the work, and reconstructions from noise.

The reconstructions are those of Gatys, Ecker and Bethge 2015 (arXiv:1508.06576, figure 1): of the content from each
layer alone, and of the style from the layers up to each one. We depart from the paper by going from coarse to fine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.explain.page import Section
from pipeline.media.image.arrays import fit_size, resize, size_within
from pipeline.media.image.contact_sheet import contact_sheet
from pipeline.media.image.png import save_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.settings import Config

    RGB = NDArray[np.uint8]

LayerPictures = Mapping[tuple[str, str], "RGB"]
"""Pictures of single layers by kind, "style", "style up to" or "content", and layer; shallow layers first."""

ALONE_EVALUATIONS: Final = 16
"""At every scale of a picture with one style layer, at most: it starts from the content."""
RECONSTRUCTION_EVALUATIONS: Final = 24
"""At every scale of a reconstruction, at most."""
_SIDE_PX: Final = 320
_COLUMNS: Final = 4
_STYLE_TITLE: Final = (
    "above: the photo, stylized with the style of one layer only\n"
    "below: nothing but the style, made from noise with more and more layers"
)
_STYLE_TEXT: Final = (
    "Above, one style layer at a time does all the work: the first ones bring color and grain, the middle ones "
    "strokes, the deepest ones large swirls and shapes. Below, there is no photo at all: this is what the layers know "
    "of the style image, made from pure noise with more and more of them. A larger weight for a layer gives more of "
    "its kind."
)
_CONTENT_TITLE: Final = "the photo, made again from noise, by what one layer knows of it"
_CONTENT_TEXT: Final = (
    "The network's memory of your photo, made again from pure noise. The first layers remember every pixel. Deeper "
    "ones forget colors and fine detail and keep what things are and where: that is why a deep layer is used for the "
    "content, and why there is room for strokes."
)
_NO_STYLE: Final = 1e-9
"""Weight of the style in a reconstruction of the content: a config needs one above 0."""
_SMOOTHNESS: Final = 0.002
"""Weight of total variation in a reconstruction of the content: deep layers leave single pixels open."""


def style_layer_alone(config: Config, layer: str) -> Config:
    """The style with one of its layers doing all the work."""
    return _changed(config, ALONE_EVALUATIONS, losses={"style": {"layers": {layer: 1.0}}})


def style_reconstruction(config: Config, layers: Mapping[str, float]) -> Config:
    """Nothing but the style, from noise and without regions: with these layers and weights."""
    losses: dict[str, dict[str, Any]]
    losses = {"style": {"layers": dict(layers)}, "content": {"weight": 0.0}, "light": {"weight": 0.0}}
    changed = _changed(config, RECONSTRUCTION_EVALUATIONS, losses=losses, cold={"init": "noise"})
    return changed.model_copy(update={"regions": ()})


def content_reconstruction(config: Config, layer: str, shallowest: str) -> Config:
    """Nothing but the content as one layer holds it, from noise and without regions. `shallowest` is the encoder's
    first layer."""
    losses: dict[str, dict[str, Any]] = {
        "content": {"weight": 1.0, "layers": {layer: 1.0}, "scale_weights": (1.0,)},
        "style": {"layers": {shallowest: 1.0}},  # the cheapest one
        "tv": {"weight": _SMOOTHNESS},
        "light": {"weight": 0.0},
    }
    changed = _changed(config, RECONSTRUCTION_EVALUATIONS, losses=losses, cold={"init": "noise", "noise": 0.0})
    images = tuple(image.model_copy(update={"weight": _NO_STYLE}) for image in config.style.images)
    return changed.model_copy(update={"style": config.style.model_copy(update={"images": images}), "regions": ()})


def layers_up_to(layers: Mapping[str, float], order: Sequence[str]) -> list[dict[str, float]]:
    """The shallowest of some layers with their weights, the two shallowest, and so on; `order` is shallow to deep."""
    known = [name for name in order if name in layers]
    return [{name: layers[name] for name in known[: count + 1]} for count in range(len(known))]


def write_layers(folder: Path, pictures: LayerPictures, content: RGB, stylized: RGB, style_image: RGB) -> list[Section]:
    """Write the sheets of the style layers and of the content layers. Raises OSError."""
    height, width = content.shape[:2]
    size = size_within(width, height, _SIDE_PX)

    def row(kind: str, caption: str) -> list[tuple[str, RGB]]:
        return [(caption.format(layer), resize(rgb, *size)) for (its, layer), rgb in pictures.items() if its == kind]

    style = resize(style_image, *fit_size(style_image.shape[1], style_image.shape[0], *size))
    alone = [*row("style", "only {}"), ("all layers together", resize(stylized, *size))]
    reconstructed = [*row("style up to", "from noise, layers up to {}"), ("the style image", style)]
    contents = [("the photo", resize(content, *size)), *row("content", "from noise, by {}")]
    lines = [contents[first : first + _COLUMNS] for first in range(0, len(contents), _COLUMNS)]
    save_png(folder / "style-layers.png", contact_sheet([_STYLE_TITLE, alone, reconstructed]))
    save_png(folder / "content-layers.png", contact_sheet([_CONTENT_TITLE, *lines]))
    return [
        Section("What each style layer gives", _STYLE_TEXT, ("style-layers.png",)),
        Section("What each layer knows of the photo", _CONTENT_TEXT, ("content-layers.png",)),
    ]


def _changed(
    config: Config, evaluations: int, *, losses: Mapping[str, dict[str, Any]], cold: Mapping[str, Any] | None = None
) -> Config:
    """A config with other losses and another cold start, and at most so many evaluations at every scale."""
    sections = {name: getattr(config.losses, name).model_copy(update=changes) for name, changes in losses.items()}
    fewer = {"evaluations": min(evaluations, config.optimize.cold.evaluations), **(cold or {})}
    optimize = config.optimize.model_copy(update={"cold": config.optimize.cold.model_copy(update=fewer)})
    return config.model_copy(update={"losses": config.losses.model_copy(update=sections), "optimize": optimize})
