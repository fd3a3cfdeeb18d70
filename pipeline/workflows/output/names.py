"""The names of a render's videos and of its directory: given by the user, or made from the input's name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.settings import OutputSettings
from pipeline.errors import UsageError
from pipeline.types import Source

if TYPE_CHECKING:
    from pipeline.config.settings import Config
    from pipeline.workflows.request import RenderRequest


def named_outputs(output: Path, styles: Sequence[str]) -> dict[str, Path]:
    """One path per style: `output` itself for a single style, else with the style's name in it."""
    if output.name in ("", ".."):
        raise UsageError(f"-o {output}: is a folder", hint=f"name the file: for example -o {output / 'out.mp4'}")
    if len(styles) == 1:
        return {styles[0]: output}
    if _is_numbered(output):
        return {style: output.parent / style / output.name for style in styles}
    return {style: output.with_name(f"{output.stem}-{style}{output.suffix}") for style in styles}


def default_outputs(source: Source, request: RenderRequest) -> dict[str, Path]:
    """Where each style's video goes: what the request names, or the input's name with the style's."""
    styles = [style.name for style in request.styles]
    if request.output is not None:
        return named_outputs(request.output, styles)
    suffix = ".png" if source.frame_count == 1 else ".mp4"
    return {style: Path(f"{input_name(source)}-{style}{suffix}") for style in styles}


def output_files(output: Path, frame_count: int) -> list[Path]:
    """The files that writing `output` makes: one, or one per frame for a name with a number."""
    if not _is_numbered(output):
        return [output]
    return [output.with_name(output.name % index) for index in range(frame_count)]


def _is_numbered(output: Path) -> bool:
    """Whether a folder of images is meant, as in `out/%05d.png`, and not a video named `100%.mp4`."""
    return _kind(output) == "stills"


def _kind(output: Path) -> str:
    from pipeline.media.writer.target import resolve

    return resolve(output, OutputSettings()).kind


def input_name(source: Source) -> str:
    """A short name of the input: the file's stem, or the folder's name for several photos."""
    first = Path(source.files[0])
    return first.stem if source.kind == "video" or len(source.files) == 1 else first.resolve().parent.name


def default_workdir(outputs: dict[str, Path], request: RenderRequest) -> Path:
    """The render directory beside the output, named after it."""
    output = request.output or next(iter(outputs.values()))
    if _is_numbered(output):
        folder = output.parent
        return folder / "frames.render" if folder.name in ("", "..") else folder.with_name(f"{folder.name}.render")
    stem = output.stem
    if request.output is None and len(outputs) > 1:
        stem = f"{stem}+{len(outputs) - 1}"
    return output.with_name(f"{stem}.render")


def refuse_input(output: Path, source: Source) -> None:
    """Raise UsageError if writing `output` would replace a file of the input, or add an image to its folder."""
    inputs = {_file_id(Path(file)) for file in source.files} - {None}
    for file in output_files(output, source.frame_count):
        if _file_id(file) in inputs:
            raise UsageError(f"{file}: is the input itself", hint="choose another name with -o")
    folder = Path(source.path)
    if folder.is_dir() and _kind(output) != "video" and os.path.realpath(output.parent) == os.path.realpath(folder):
        raise UsageError(
            f"{output}: would be taken for a photo of the input the next time", hint="choose another folder with -o"
        )


def check_outputs(
    outputs: Mapping[str, Path], configs: Mapping[str, Config], source: Source, size_px: tuple[int, int]
) -> None:
    """Raise the errors of outputs that cannot be written, for stylized frames of a (width, height); both by style."""
    from pipeline.media.writer.target import check_output
    from pipeline.postprocess.framing import shown_size

    for name, output in outputs.items():
        refuse_input(output, source)
        settings = configs[name].output
        width_px, height_px = shown_size(settings, *size_px)
        check_output(output, settings, frame_count=source.frame_count, width_px=width_px, height_px=height_px)


def _file_id(path: Path) -> tuple[int, int] | None:
    """Device and inode, equal for two names of one file; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
