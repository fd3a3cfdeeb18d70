"""A composition that was opened: the renders behind its layers, checked to be of one input, and its frames."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.composition import CONTENT, CompositionSettings, LayerSettings
from pipeline.config.finish import FinishSettings
from pipeline.config.settings import Config
from pipeline.errors import ConfigError, RenderDirectoryError
from pipeline.execute.in_order import map_in_order, thread_count
from pipeline.plan.curves import finish_settings
from pipeline.plan.identity import alignment_digest
from pipeline.postprocess.effect import FrameContext, Level, ShotLook
from pipeline.postprocess.finish import NEUTRAL
from pipeline.types import Frame, Masks, Pixels, RenderPlan, Source
from pipeline.workflows.compose.layer_look import layer_looks
from pipeline.workflows.input.driving import finish_areas
from pipeline.workflows.masks.coverage import covering_masks
from pipeline.workflows.masks.preparation import MaskedFrames
from pipeline.workflows.opened import OpenedRender, check_input, open_render
from pipeline.workflows.output.finished import grade_lut
from pipeline.workflows.output.retime import in_any_order, repeated
from pipeline.workflows.output.style_frames import StoredFrame, frames_ready, stored_frames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.postprocess.lut import Lut
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with what stands behind it: its finish and the look of the shot by frame.

    `render` and `config` are None for the content.
    """

    settings: LayerSettings
    name: str
    finish: Callable[[int], FinishSettings]
    lut: Lut | None
    levels: list[Level]
    render: OpenedRender | None = None
    config: Config | None = None
    look: Callable[[int], ShotLook] = lambda _: ShotLook()


@dataclass(frozen=True, slots=True)
class ComposedLayer:
    """A layer of one frame: its image (H, W, 3), uint8, or float32 if it has a finish, and its opacity in [0, 1].

    The opacity is a map (H, W) or one number.
    """

    image: Pixels | NDArray[np.float32]
    alpha: NDArray[np.float32] | float


@dataclass(frozen=True, slots=True)
class ComposedFrame:
    """A frame of a composition: its content and the sum, (H, W, 3) sRGB, and the layers from bottom to top.

    Both are uint8; the sum is uint16 where it was asked for with 16 bits.
    """

    index: int
    content: NDArray[np.uint8]
    layers: tuple[ComposedLayer, ...]
    image: Pixels


@dataclass(frozen=True, slots=True)
class Composition:
    """What is composed, opened. The first render tells the input, its tone curves, and when each frame is shown.

    `ready` is the number of frames that are stored of every layer, without a gap from the first one.
    """

    settings: CompositionSettings
    layers: tuple[Layer, ...]
    first: OpenedRender
    first_config: Config
    ready: int
    masks: Masks | None
    finish: Callable[[int], FinishSettings]
    lut: Lut | None

    @property
    def source(self) -> Source:
        """The input of all renders, with paths that work from the current folder."""
        return self.first.source

    @property
    def plan(self) -> RenderPlan:
        """The plan of the first render."""
        return self.first.plan

    @property
    def repeats(self) -> set[int]:
        """The frames in which the stylized frame before them is shown again in some layer, so that not all moves on."""
        return {
            index
            for layer in self.layers
            if layer.render is not None and layer.config is not None
            for index in repeated(layer.render.plan.shots, layer.config.motion.hold)
        }

    def frames(self, frames: range, checkpoint: Callable[[], None] = lambda: None) -> Generator[ComposedFrame]:
        """These frames, composed; all of them are ready."""
        with closing(self._frames(frames, checkpoint)) as found:
            for content, stored in found:
                yield self._composed(content, stored)

    def contents(self, frames: range) -> Generator[Frame]:
        """The contents of these frames as the renders saw them."""
        return _contents(self.first, self.first_config, frames)

    def images(
        self, frames: Sequence[int], checkpoint: Callable[[], None] = lambda: None, *, deep: bool = False
    ) -> Generator[Pixels]:
        """The `image` of each of these frames, in their order, if `deep` in 16 bits; several are composed at a time."""
        threads = thread_count((self.plan.width_px, self.plan.height_px), self.first_config.runtime.threads)

        def composed(found: tuple[Frame, list[StoredFrame]]) -> Pixels:
            return self._composed(*found, deep=deep).image

        found = in_any_order(frames, lambda stretch: self._frames(stretch, checkpoint))
        return map_in_order(composed, found, threads)

    def _frames(self, frames: range, checkpoint: Callable[[], None]) -> Generator[tuple[Frame, list[StoredFrame]]]:
        """The content of each frame, and its stored frame in every layer that is a render."""
        with ExitStack() as stack:
            contents = stack.enter_context(closing(self.contents(frames)))
            stored = [
                stack.enter_context(closing(stored_frames(layer.render.directory, layer.name, frames, checkpoint)))
                for layer in self.layers
                if layer.render is not None
            ]
            for content, *layers in zip(contents, *stored, strict=True):
                checkpoint()
                yield content, layers

    def _composed(self, frame: Frame, layers_stored: Iterable[StoredFrame], *, deep: bool = False) -> ComposedFrame:
        from pipeline.media.image.bands import in_bands
        from pipeline.media.image.depth import as_float, to_8_bit, to_16_bit
        from pipeline.postprocess.blend import blend
        from pipeline.postprocess.finish import apply_effects

        index, content, stored = frame.index, frame.rgb, iter(layers_stored)
        masks = iter(() if self.masks is None else self.masks(index, content))
        image: Pixels | NDArray[np.float32] = content
        layers = []
        for layer in self.layers:
            own = content if layer.render is None else next(stored).read()
            level = layer.levels[index] if layer.levels else None
            seed = 0 if layer.config is None else layer.config.seed
            context = FrameContext(content, index, seed, level, layer.lut, layer.look(index))
            shown: Pixels | NDArray[np.float32] = own
            if (settings := layer.finish(index)) != NEUTRAL:
                shown = apply_effects(as_float(own), settings, context).clip(0, 1)
            opacity = layer.settings.opacity
            alpha = opacity if layer.settings.mask is None else next(masks) * opacity
            hides = layer.settings.blend == "normal" and layer.settings.mask is None and opacity == 1
            image = shown if hides else blend(image, shown, layer.settings.blend, alpha)
            layers.append(ComposedLayer(shown, alpha))
        context = FrameContext(content, index, self.first_config.seed, None, self.lut)
        image = apply_effects(as_float(image), self.finish(index), context)
        return ComposedFrame(index, content, tuple(layers), in_bands(to_16_bit if deep else to_8_bit, image))


def open_composition(settings: CompositionSettings, reporter: Reporter, cancellation: Cancellation) -> Composition:
    """Open the renders of a composition, check that they are of one input, and prepare its masks.

    Raises RenderDirectoryError for renders that cannot be opened or do not fit together, ConfigError for a style that a
    render does not have and for what is wrong with LUTs and masks, and what `covering_masks` raises.
    """
    renders = {layer.render: open_render(Path(layer.render)) for layer in settings.layers if layer.render != CONTENT}
    first = next(iter(renders.values()))
    for other in renders.values():
        _check_same_input(first, other)
    layers = tuple(
        _opened(number, layer, renders, first, reporter, cancellation) for number, layer in enumerate(settings.layers)
    )
    used = [(layer.render, layer.config) for layer in layers if layer.render is not None and layer.config is not None]
    ready = min(frames_ready(render.directory, config.name) for render, config in used)
    first_config = used[0][1]

    def read(start: int, stop: int) -> Generator[Frame]:
        return _contents(first, first_config, range(start, stop))

    masked = [
        (f"layers.{number}", layer.mask) for number, layer in enumerate(settings.layers) if layer.mask is not None
    ]
    plan = first.plan
    size_px = (plan.width_px, plan.height_px)
    cache = first.directory.cache_path
    masks = None
    if masked:
        frames = MaskedFrames(first.source, size_px, read, plan.shots, cache)
        masks = covering_masks(masked, frames, reporter, cancellation)
    finish = finish_settings(plan, settings.finish, "composition")
    return Composition(settings, layers, first, first_config, ready, masks, finish, grade_lut(settings.finish))


def _opened(
    number: int,
    layer: LayerSettings,
    renders: dict[Any, OpenedRender],
    first: OpenedRender,
    reporter: Reporter,
    cancellation: Cancellation,
) -> Layer:
    from pipeline.postprocess.level import frame_levels

    if layer.render == CONTENT:
        finish = layer.finish or NEUTRAL
        finish_at = finish_settings(first.plan, finish, f"layers.{number}")
        return Layer(layer, CONTENT, finish_at, grade_lut(finish), [])
    render = renders[layer.render]
    name = layer.style or next(iter(render.configs))
    if name not in render.configs or (layer.style is None and len(render.configs) > 1):
        found = f"{layer.style!r}" if layer.style else "none"
        raise ConfigError(
            f"layers.{number}.style: expected one of {', '.join(render.configs)}, the styles of {render.path}, "
            f"found {found}",
            hint=f"write for example style: {next(iter(render.configs))}",
        )
    config, plan = render.configs[name], render.plan
    finish = layer.finish or config.output.finish
    levels = frame_levels(plan.levels, plan.contrasts, plan.shots, config.styler)
    areas = None if layer.finish else finish_areas(config, plan, render.source, reporter, cancellation)
    finish_at = finish_settings(plan, finish, f"layers.{number}", areas)
    looks = layer_looks(render, config, finish, areas)
    return Layer(layer, name, finish_at, grade_lut(finish), levels, render, config, looks)


def _check_same_input(first: OpenedRender, other: OpenedRender) -> None:
    """Raise RenderDirectoryError, naming both, if two renders are not of the same frames at the same size."""
    facts = [
        {
            "the content of the input": plan.source.digest,
            "the size": f"{plan.width_px}x{plan.height_px}",
            "the number of frames": plan.source.frame_count,
            "the choice of frames": plan.source.decoded_indices,
            "the alignment": alignment_digest(plan.source.alignment),
            "input.fit": plan.identity.get("input.fit"),
        }
        for plan in (first.plan, other.plan)
    ]
    for name, there in facts[0].items():
        if there != facts[1][name]:
            values = "" if isinstance(there, tuple) or len(str(there)) > 32 else f" ({there} and {facts[1][name]})"
            raise RenderDirectoryError(
                f"{first.path} and {other.path}: {name} differs{values}; layers are of one input at one size",
                hint="render one of them again with the same input, --frames, --width and settings of `input`, "
                "or leave its layer out",
            )


def _contents(render: OpenedRender, config: Config, frames: range) -> Generator[Frame]:
    """The contents of frames as the render saw them."""
    from pipeline.analysis.content import content_frames

    check_input(render, "resume")
    plan = render.plan
    return content_frames(
        render.source,
        frames.start,
        frames.stop,
        size_px=(plan.width_px, plan.height_px),
        settings=config.input,
        exposure=plan.exposure,
    )
