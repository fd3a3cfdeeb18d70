"""Tempera as a library: stylize one image, iterate over a stylized clip, render, resume and export.

`import pipeline` gives all of these names; nothing heavy is loaded before one is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pipeline.config.catalog import load_style as load_config
from pipeline.config.reading import parse_config, set_value
from pipeline.config.settings import Config
from pipeline.errors import ConfigError, UsageError
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import CallbackReporter, FrameProgress, Reporter, SilentReporter
from pipeline.types import FrameSlice
from pipeline.workflows.request import RenderRequest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL.Image import Image

Style = str | Path | Config
"""The name of a style that ships, a .yaml file, an image, or a config from `load_style`."""
OnProgress = Callable[[FrameProgress], None]
"""Called in the rendering thread whenever a frame is stored."""

_Array = TypeVar("_Array", "NDArray[np.uint8]", "torch.Tensor")


def load_style(style: Style, settings: Mapping[str, Any] | None = None) -> Config:
    """The config of a style: the name of one that ships, a .yaml file, or an image with the default settings.

    `settings` changes keys of it, as `--set` does: `{"losses.content.weight": 2, "seed": 7}`. Raises ConfigError if
    there is no such style, or if a key or a value is wrong.
    """
    config = style if isinstance(style, Config) else load_config(str(style))
    if not settings:
        return config
    data: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    for key, value in settings.items():
        set_value(data, f"{key}={_yaml(key, value)}")
    return parse_config(data, where=config.name or "style")


@overload
def stylize(
    image: str | Path | Image,
    style: Style,
    *,
    settings: Mapping[str, Any] | None = ...,
    width_px: int | None = ...,
    height_px: int | None = ...,
    weights: Path | None = ...,
) -> Image: ...
@overload
def stylize(
    image: _Array,
    style: Style,
    *,
    settings: Mapping[str, Any] | None = ...,
    width_px: int | None = ...,
    height_px: int | None = ...,
    weights: Path | None = ...,
) -> _Array: ...
def stylize(
    image: str | Path | Image | NDArray[np.uint8] | torch.Tensor,
    style: Style,
    *,
    settings: Mapping[str, Any] | None = None,
    width_px: int | None = None,
    height_px: int | None = None,
    weights: Path | None = None,
) -> Any:
    """Stylize one image and return the same type.

    `image`: a path or a PIL image (a PIL image in RGB is returned), a NumPy array (H, W, 3) uint8 sRGB, or a tensor
    (3, H, W) or (B, 3, H, W), floating point sRGB in [0, 1] (the same shape, type and device are returned). `style` and
    `settings` as in `load_style`. With `width_px` or `height_px` the image is resized first (and rounded to 8 bits) and
    keeps its aspect; with both it fits into them. `weights` is a local weights file of the encoder. The result equals
    frame 0 of a render with the same settings.

    Raises the errors of `load_style`, InputError for an image that cannot be read or is too small, UsageError for an
    array of another shape or type, MissingPartError for a device or weights that are not there, and StylizeError.
    """
    from pipeline.workflows.still import stylize_images

    config = load_style(style, settings)
    return stylize_images(image, config, width_px=width_px, height_px=height_px, weights=weights)


def stylize_clip(
    inputs: str | Path | Sequence[str | Path],
    style: Style,
    *,
    settings: Mapping[str, Any] | None = None,
    width_px: int | None = None,
    height_px: int | None = None,
    frames: FrameSlice | None = None,
    fps: Fraction | float | None = None,
    weights: Path | None = None,
    workdir: str | Path | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """The stylized frames of a clip in order, each uint8 (H, W, 3) sRGB, as soon as they are done.

    `inputs`: a video, a folder of photos, a glob, a `%04d` pattern, or a list of photos. `frames` is a half-open slice
    of them, `(start, stop)` or `(start, stop, step)`. The frames are those that `render` stores, before the finish and
    without a video. They are kept in `workdir`, a render directory that can be continued, or in a temporary one that is
    removed in the end. Closing the iterator stops the work after the frames in flight.

    Raises what `render` raises, but for the writing of videos.
    """
    from pipeline.workflows.clip import stylized_frames

    return stylized_frames(
        RenderRequest(
            inputs=_paths(inputs),
            styles=(load_style(style, settings),),
            width_px=width_px,
            height_px=height_px,
            frames=frames,
            fps=_rate(fps),
            weights=weights,
            workdir=None if workdir is None else Path(workdir),
        )
    )


def render(
    inputs: str | Path | Sequence[str | Path],
    style: Style | Sequence[Style],
    output: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    width_px: int | None = None,
    height_px: int | None = None,
    frames: FrameSlice | None = None,
    fps: Fraction | float | None = None,
    weights: Path | None = None,
    workdir: str | Path | None = None,
    fresh: bool = False,
    progress: OnProgress | None = None,
    cancellation: Cancellation | None = None,
) -> list[Path]:
    """Render a clip in one or several styles and write the videos, as `tempera render` does; returns their paths.

    Calling it again with the same arguments continues. `progress` is called whenever a frame is stored;
    `cancellation.request()`, from another thread or from `progress`, finishes the frames in flight and raises
    Interrupted. Raises the errors of `pipeline.errors`, each with a message and a hint.
    """
    from pipeline.workflows.render import render as run_render

    styles = [style] if isinstance(style, str | Path | Config) else list(style)
    request = RenderRequest(
        inputs=_paths(inputs),
        styles=tuple(load_style(one, settings) for one in styles),
        output=None if output is None else Path(output),
        width_px=width_px,
        height_px=height_px,
        frames=frames,
        fps=_rate(fps),
        weights=weights,
        workdir=None if workdir is None else Path(workdir),
        fresh=fresh,
    )
    return run_render(request, _reporter(progress), cancellation)


def resume(
    directory: str | Path,
    *,
    progress: OnProgress | None = None,
    cancellation: Cancellation | None = None,
    moved_to: str | Path | None = None,
) -> list[Path]:
    """Continue the render in a directory and write its videos, as `tempera resume` does; returns their paths.

    `moved_to` is where the input is now, if it was moved and is not found; it is remembered.

    Raises RenderDirectoryError if there is none, or if the input, the style images or the weights have changed since.
    """
    from pipeline.workflows.resume import resume as run_resume

    place = None if moved_to is None else Path(moved_to)
    return run_resume(Path(directory), _reporter(progress), cancellation, moved_to=place)


def export(
    directory: str | Path,
    output: str | Path | None = None,
    *,
    fps: Fraction | float | None = None,
    settings: Mapping[str, Any] | None = None,
    cancellation: Cancellation | None = None,
) -> list[Path]:
    """Write the videos of a render again from its stored frames, as `tempera export` does; returns their paths.

    `settings` changes keys of `output`: `{"output.crf": 12, "output.finish.grain": 0.02}`. Raises RenderDirectoryError
    if no frame is stored yet, ConfigError for a key that is not of the output.
    """
    from pipeline.workflows.export import export as run_export

    for key in settings or {}:
        if not key.startswith("output."):
            raise ConfigError(f"{key}: export changes only keys of `output`", hint="other settings need a new render")
    target = None if output is None else Path(output)
    return run_export(
        Path(directory),
        target,
        SilentReporter(),
        cancellation,
        fps=_rate(fps),
        settings=lambda config: config.model_copy(update={"output": load_style(config, settings).output}),
    )


def _reporter(progress: OnProgress | None) -> Reporter:
    return SilentReporter() if progress is None else CallbackReporter(progress)


def _paths(inputs: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    if not given:
        raise UsageError("no input given", hint="name a video, a folder of photos, or photos")
    return tuple(str(path) for path in given)


def _rate(fps: Fraction | float | None) -> Fraction | None:
    """Frames per second as `--fps` takes them: 23.976 means 24000/1001. Raises UsageError as `parse_fps` does."""
    from pipeline.media.reader.timing import parse_fps

    return None if fps is None else parse_fps(str(fps), "fps")


def _yaml(key: str, value: Any) -> str:
    """A value as YAML on one line; JSON is YAML. Raises ConfigError for one that cannot stand in a config."""

    def plain(inside: Any) -> Any:
        if isinstance(inside, Path):
            return str(inside)
        if hasattr(inside, "item"):  # a number of NumPy or torch
            return inside.item()
        raise TypeError(type(inside).__name__)

    try:
        return json.dumps(value, default=plain)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{key}: cannot stand in a config ({error})", hint="give numbers, text, paths, lists and dictionaries"
        ) from None
