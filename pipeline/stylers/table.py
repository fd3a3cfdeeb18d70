"""The table of stylers: from the settings of a style to the object that stylizes frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import InputError
from pipeline.stylers.shot_colors import ShotColors, ShotStylers

Note = Callable[[str], None]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.config.style import StyleSettings
    from pipeline.stylers.palette import PaletteStyler
    from pipeline.stylers.prepared import Maps, Step
    from pipeline.stylers.resources import Resources
    from pipeline.types import Styler

    RGB = NDArray[np.uint8]


class StyleImages(NamedTuple):
    """The style images of a style and of each of its regions, uint8 (H, W, 3) sRGB."""

    own: Sequence[RGB]
    regions: Sequence[Sequence[RGB]]


def build_stylers(
    config: Config, resources: Resources, note: Note | None = None, shots: Sequence[ShotColors] = ()
) -> Styler | ShotStylers:
    """The styler of a config, or one for each shot if it uses the colors of whole shots, which are `shots`.

    `note` is told what a user should know while it works. Raises InputError if an image cannot be read, or if colors
    are needed that are not known.
    """
    if not config.uses_shot_colors:
        return build_styler(config, resources, note)
    if not shots:
        raise InputError(
            f"style {config.name!r} uses the colors of whole shots, which are not known: a frame of the input is "
            "damaged, or the render was begun by an older version",
            hint="choose with input.on_damaged what happens to such frames, or set color.match=none and "
            "palette.source=style",
        )
    return ShotStylers(lambda shot: build_styler(config, resources, note, shots[shot]))


def build_styler(
    config: Config, resources: Resources, note: Note | None = None, shot: ShotColors | None = None
) -> Styler:
    """The styler of a config for a shot, with its style images loaded, and with what changes colors before it.

    `shot` may be None if the config uses no colors of shots. Raises InputError if an image cannot be read.
    """
    from pipeline.media.image.color_transfer import color_transfer, sample_colors, transfer_colors
    from pipeline.media.image.load import load_rgb
    from pipeline.stylers.prepared import PreparedStyler, gray
    from pipeline.stylers.superpixel import SuperpixelStyler

    color, steps = config.color, list["Step"]()
    luma_parts = [part for part, region in enumerate(config.regions, start=1) if region.luma_only]
    if config.uses_shot_colors and shot is None:
        raise ValueError("a style that uses the colors of a shot needs them")

    def loaded(style: StyleSettings | None, part: int) -> list[RGB]:
        images = [load_rgb(image.path) for image in style.images] if style else []
        if color.match == "style_to_content" and shot is not None:
            colors = shot.parts[part] if config.uses_region_colors else shot.colors
            images = [
                transfer_colors(image, color_transfer(sample_colors([image]), colors, color.method)) for image in images
            ]
        return [gray(image) for image in images] if color.luma_only or part in luma_parts else images

    own = loaded(config.style, 0)
    images = StyleImages(own, [loaded(region.style, part) for part, region in enumerate(config.regions, start=1)])
    if color.match == "content_to_style" and shot is not None:
        steps.append(_recoloring(config, shot, images))
    if config.pre == "palette":
        palette = _palette_styler(config, images.own, shot, drift=False)
        steps.append(lambda rgb, _: palette.stylize_frame(rgb))
    elif config.pre == "superpixel":
        cells = SuperpixelStyler((), config.superpixel.cells, config.seed, border_width=0)
        steps.append(lambda rgb, _: cells.stylize_frame(rgb))
    styler = STYLERS[config.styler](config, resources, note, images, shot)
    if not steps and not color.luma_only and not luma_parts:
        return styler
    return PreparedStyler(styler, steps, luma_only=color.luma_only, luma_parts=luma_parts)


def _recoloring(config: Config, shot: ShotColors, images: StyleImages) -> Step:
    """What gives the content of a shot the colors of the style images; by region, if the style says so."""
    from pipeline.media.image.color_transfer import color_transfer, transfer_colors, transfer_regions

    method = config.color.method
    if not config.uses_region_colors:
        whole = color_transfer(shot.colors, _style_sample(config.style, images.own), method)
        return lambda rgb, _: transfer_colors(rgb, whole)
    styles = (config.style, *(region.style for region in config.regions))
    transfers = [
        color_transfer(colors, _style_sample(style, own), method) if style else None
        for colors, style, own in zip(shot.parts, styles, (images.own, *images.regions), strict=True)
    ]

    def recolor(rgb: RGB, maps: Maps | None) -> RGB:
        if maps is None:
            raise ValueError("the colors of regions are matched, and the frame has no maps of them")
        return transfer_regions(rgb, transfers, maps)

    return recolor


def _style_sample(style: StyleSettings, images: Sequence[RGB]) -> RGB:
    """Colors (n, 3) of the style images, of each as many as its weight says."""
    import numpy as np

    from pipeline.media.image.color_transfer import SAMPLES, sample_colors

    total = sum(image.weight for image in style.images)
    parts = [
        sample_colors([image], max(1, round(SAMPLES * settings.weight / total)))
        for settings, image in zip(style.images, images, strict=True)
        if settings.weight > 0
    ]
    return np.concatenate(parts)


def _neural(
    config: Config,
    resources: Resources,
    note: Note | None,
    images: StyleImages,
    shot: ShotColors | None,  # noqa: ARG001 - all stylers are made alike
) -> Styler:
    from pipeline.media.image.load import load_rgb
    from pipeline.stylers.neural import NeuralStyler

    assert resources.encoder is not None
    init = config.optimize.cold.init
    return NeuralStyler(
        config,
        images.own,
        resources.encoder,
        device=resources.device,
        init_image=load_rgb(init) if isinstance(init, Path) else None,
        region_images=images.regions,
        note=note,
    )


def _palette(
    config: Config,
    resources: Resources,  # noqa: ARG001 - all stylers are made alike
    note: Note | None,  # noqa: ARG001
    images: StyleImages,
    shot: ShotColors | None,
) -> Styler:
    return _palette_styler(config, images.own, shot, drift=config.palette.drift)


def _palette_styler(config: Config, images: Sequence[RGB], shot: ShotColors | None, *, drift: bool) -> PaletteStyler:
    from pipeline.stylers.palette import PaletteStyler

    settings = config.palette
    return PaletteStyler(
        images,
        settings.colors,
        config.seed,
        shot=shot if settings.source == "content" else None,
        drift=drift,
        dither=settings.dither,
    )


def _superpixel(
    config: Config,
    resources: Resources,  # noqa: ARG001 - all stylers are made alike
    note: Note | None,  # noqa: ARG001
    images: StyleImages,
    shot: ShotColors | None,  # noqa: ARG001
) -> Styler:
    from pipeline.stylers.superpixel import SuperpixelStyler

    settings = config.superpixel
    border_width = settings.border_width if settings.borders == "lines" else 0
    style_images = images.own if settings.color == "style" else ()
    return SuperpixelStyler(style_images, settings.cells, config.seed, border_width=border_width)


STYLERS: dict[str, Callable[[Config, Resources, Note | None, StyleImages, ShotColors | None], Styler]] = {
    "neural": _neural,
    "palette": _palette,
    "superpixel": _superpixel,
}
"""How each styler of the setting `styler` is made."""
