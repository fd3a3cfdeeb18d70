"""Explaining how one frame is stylized: feature maps, what single layers give, the growth of the picture, its losses.

Everything is made in a partial folder and moved to its place at the end: an explanation is complete, or not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError, UsageError
from pipeline.explain.feature_maps import layer_maps, write_features
from pipeline.explain.folder import filled
from pipeline.explain.growth import write_growth
from pipeline.explain.layers_alone import (
    content_reconstruction,
    layers_up_to,
    style_layer_alone,
    style_reconstruction,
    write_layers,
)
from pipeline.explain.losses import write_losses
from pipeline.explain.page import PAGE_NAME, Section, write_page
from pipeline.explain.watched import Watched
from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.media.image.load import load_rgb
from pipeline.optimize.feature_terms import needed_layers
from pipeline.optimize.style_terms import active_layers
from pipeline.plan.chains import frame_seed
from pipeline.runtime.device import use_threads
from pipeline.stylers.shot_colors import styler_of
from pipeline.stylers.table import build_stylers
from pipeline.types import Chain, FrameBatch, Observable
from pipeline.workflows.input.cold_frame import ColdFrame, cold_frame
from pipeline.workflows.resolve import load_resources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.encoders.network import Encoder
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.stylers.resources import Resources
    from pipeline.types import Source

    RGB = NDArray[np.uint8]

PARTS: Final = ("features", "layers", "growth", "losses")
"""What an explanation consists of."""


def explain(
    source: Source,
    config: Config,
    index: int,
    folder: Path,
    *,
    width_px: int,
    height_px: int,
    layers: Sequence[str] = (),
    only: Collection[str] = PARTS,
    weights: Path | None = None,
    reporter: Reporter,
    cancellation: Cancellation,
) -> Path:
    """Explain how frame `index` of a source is stylized when it starts cold; returns the page in `folder`.

    `layers` are those of the feature maps and of the single layers; by default those of the style's losses. `only` are
    some of `PARTS`. Raises ConfigError for a styler without layers and for a layer that the encoder does not have,
    UsageError for a frame that the source does not have and for a folder with other files, InputError for a frame that
    is too small, Interrupted if an end was requested, and what stylizing and writing raise; then nothing is written.
    """
    if config.styler != "neural":
        raise ConfigError(
            f"style {config.name!r}: the {config.styler} styler has no layers, evaluations or losses to show",
            hint="explain a style of the neural styler, such as swirl, or an image: --style painting.jpg",
        )
    if not 0 <= index < source.frame_count:
        raise UsageError(
            f"--at {index}: the input has frames 0 to {source.frame_count - 1}", hint="choose one of these"
        )
    (resources,) = load_resources([config], weights, reporter)
    encoder = resources.encoder
    assert encoder is not None
    use_threads(config.runtime.threads)
    frame = cold_frame(
        source, config, index, size_px=(width_px, height_px), reporter=reporter, cancellation=cancellation
    )
    content = frame.content
    shown = layers or needed_layers(config.losses)
    seen = encoder(to_tensor(content, resources.device)[None], shown)  # which checks the layers and the size
    shown = [name for name in encoder.layers if name in seen]
    own = active_layers(config.losses.style.layers)
    style_layers = {name: own.get(name, min(own.values())) for name in shown if name in own or layers}
    variants = _variants(config, shown, style_layers, encoder) if "layers" in only else {}
    title = f"{Path(source.path).name}, frame {index}, in the style {config.name}"
    with filled(folder) as partial, reporter.stylizing({"cold": 1 + len(variants)}, 0):
        studio = _Studio(
            resources,
            frame,
            reporter,
            cancellation.checkpoint("nothing was written", hint="the same command begins again"),
        )
        watched = Watched(config.optimize.cold.evaluations, studio.checkpoint)
        stylized = studio.stylize("picture", config, watched)
        sections: list[Section] = []
        if "growth" in only:
            sections.append(write_growth(partial, watched.pictures, title))
        if "features" in only:
            found = encoder(to_tensor(stylized, resources.device)[None], shown)
            maps = [layer_maps(name, seen[name], found[name]) for name in shown]
            sections.append(write_features(partial, maps, content, stylized))
        if variants:
            pictures = {name: studio.stylize(" ".join(name), variant) for name, variant in variants.items()}
            style_image = load_rgb(max(config.style.images, key=lambda image: image.weight).path)
            sections += write_layers(partial, pictures, content, stylized, style_image)
        if "losses" in only:
            sections.append(write_losses(partial, watched.steps, reporter.note))
        write_page(partial, title, sections)
        studio.checkpoint()
    return folder / PAGE_NAME


def _variants(
    config: Config, layers: Sequence[str], style_layers: dict[str, float], encoder: Encoder
) -> dict[tuple[str, str], Config]:
    """The configs of the pictures of single layers, by kind and layer (see `LayerPictures`)."""
    variants = {("style", name): style_layer_alone(config, name) for name in style_layers}
    for some in layers_up_to(style_layers, encoder.layers):
        variants["style up to", list(some)[-1]] = style_reconstruction(config, some)
    for name in layers:
        variants["content", name] = content_reconstruction(config, name, encoder.layers[0])
    return variants


class _Studio:
    """Stylizes one frame, cold, in different ways, and reports each as a frame."""

    def __init__(
        self, resources: Resources, frame: ColdFrame, reporter: Reporter, checkpoint: Callable[[], None]
    ) -> None:
        self.checkpoint = checkpoint
        self._resources = resources
        self._frame = frame
        self._reporter = reporter

    def stylize(self, name: str, config: Config, watched: Watched | None = None) -> RGB:
        """The frame, uint8 (H, W, 3) sRGB, in the style of a config."""
        import torch

        began = time.perf_counter()
        frame, index = self._frame, self._frame.index
        styler = styler_of(build_stylers(config, self._resources, self._reporter.note, frame.shots), frame.shot)
        assert isinstance(styler, Observable)
        styler.observer = watched or (lambda *_: self.checkpoint())
        seed = frame_seed(config.seed, config.name, index)
        regions = None if frame.regions is None or not config.regions else torch.from_numpy(frame.regions)[None]
        content = to_tensor(frame.content)[None]
        found = styler.stylize(FrameBatch("cold", content, None, (seed,), regions=regions, indices=(index,)))
        chain = Chain(name, config.name, 0, index, index + 1, config.seed)
        seconds = time.perf_counter() - began
        self._reporter.frame_stored(chain, index, "cold", found.stats[0], seconds)
        return to_uint8(found.images[0])
