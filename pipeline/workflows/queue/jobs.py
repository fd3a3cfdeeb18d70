"""From a queue file to jobs: inputs are found and named, styles are loaded, and every pair is a job."""

from __future__ import annotations

import glob as globbing
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config.catalog import load_style, shipped_styles
from pipeline.config.names import nearest
from pipeline.config.queue import as_assignments
from pipeline.errors import ConfigError, InputError, UsageError
from pipeline.media.reader.timing import parse_slice
from pipeline.plan.planning import check_names
from pipeline.runtime import presence
from pipeline.types import FrameSlice
from pipeline.workflows.request import RenderRequest

if TYPE_CHECKING:
    from pipeline.config.queue import QueueFile, QueueInput, QueueStyle
    from pipeline.config.settings import Config

RENDERS_NAME: Final = "renders"
"""Folder of the render directories inside that of the queue."""

_VIDEO_SUFFIXES: Final = frozenset((".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".mpg", ".mpeg"))
_LONGEST_NAME: Final = 120
_NUMBER: Final = re.compile(r"%0?\d*d")


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a queue: its unique name, the INPUT argument of its renders, and what is rendered of it."""

    name: str
    path: str
    frames: FrameSlice | None = None
    width_px: int | None = None
    height_px: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One input in one style. `name` is where its result belongs in the folder of the queue, without suffix."""

    name: str
    input: Input
    style: Config


@dataclass(frozen=True, slots=True)
class Queue:
    """Inputs, styles and the jobs of the pairs that are not skipped, in the order in which they are worked on.

    `still` and `video` are the suffixes of single pictures and of clips, with the dot.
    """

    folder: Path
    inputs: tuple[Input, ...]
    styles: tuple[Config, ...]
    jobs: tuple[Job, ...]
    still: str = ".png"
    video: str = ".mp4"
    weights: Path | None = None

    def output(self, job: Job, frame_count: int) -> Path:
        """Where the result of a job belongs, for an input of so many frames."""
        return self.folder / f"{job.name}{self.still if frame_count == 1 else self.video}"

    def render_path(self, job: Job) -> Path:
        """The render directory of a job."""
        return self.folder / RENDERS_NAME / f"{job.name}.render"

    def request(self, job: Job, frame_count: int) -> RenderRequest:
        """What the render of a job is asked for."""
        return RenderRequest(
            inputs=(job.input.path,),
            styles=(job.style,),
            output=self.output(job, frame_count),
            width_px=job.input.width_px,
            height_px=job.input.height_px,
            frames=job.input.frames,
            weights=self.weights,
            workdir=self.render_path(job),
        )


def make_queue(
    file: QueueFile,
    home: Path,
    folder: Path,
    *,
    assignments: Sequence[str] = (),
    weights: Path | None = None,
) -> Queue:
    """Find the inputs and styles of a queue; its paths are relative to `home`, its results belong into `folder`.

    `assignments` are `--set` for all styles, after those of the file. Inputs that are not there are jobs too, which
    fail. Raises UsageError for an empty queue or an input inside `folder`, InputError if there are only globs
    that match nothing, ConfigError for styles and names that do not fit.
    """
    styles = tuple(_load(style, home, [*as_assignments(file.assignments), *assignments]) for style in file.styles)
    inputs = _unique(list(_found(file, home, folder)))
    if not inputs or not styles:
        raise UsageError("the queue is empty", hint="it needs at least one of `inputs` and one of `styles`")
    if all(_matches_nothing(each.path) for each in inputs):
        raise InputError(
            f"{inputs[0].path}: no file matches", hint="check the pattern, and the folder that it starts from"
        )
    check_names([style.name for style in styles])
    skipped = _skipped(file, [each.name for each in inputs], [style.name for style in styles])
    template = file.output.name
    jobs = [
        Job(_safe(template.format(input=each.name, style=style.name)), each, style)
        for each in inputs
        for style in styles
        if (each.name, style.name) not in skipped
    ]
    if not jobs:
        raise UsageError("the queue is empty: all of it is skipped", hint="take something out of `skip`")
    twice = [name for name, count in Counter(job.name.casefold() for job in jobs).items() if count > 1]
    if twice:
        raise ConfigError(
            f"output.name: two results would be named {twice[0]!r}",
            hint="separate {input} and {style} by another character, or give inputs and styles names of their own",
        )
    if file.order == "styles":
        position = {style.name: index for index, style in enumerate(styles)}
        jobs.sort(key=lambda job: position[job.style.name])
    output = file.output
    return Queue(folder, tuple(inputs), styles, tuple(jobs), f".{output.still}", f".{output.video}", weights)


def _load(style: QueueStyle, home: Path, assignments: Sequence[str]) -> Config:
    """The config of a style; a path is relative to the queue file, settings of the style come last."""
    local = home / presence.in_home(style.style)
    given = str(local) if style.style not in shipped_styles() and os.path.lexists(local) else style.style
    config = load_style(given, [*assignments, *as_assignments(style.assignments)])
    return config.model_copy(update={"name": style.name}) if style.name else config


def _found(file: QueueFile, home: Path, folder: Path) -> Iterator[Input]:
    """The inputs of a queue in order, not yet with unique names; what was found before is left out."""
    seen = set()
    for entry in file.inputs:
        for path, name in _expanded(entry, home, folder):
            found = Input(
                entry.name if entry.name and not entry.each else name,
                str(path),
                parse_slice(entry.frames) if entry.frames else None,
                entry.width or file.width if entry.width or not entry.height else None,
                entry.height or file.height if entry.height or not entry.width else None,
            )
            key = replace(found, name=entry.name, path=os.path.realpath(path))
            if key not in seen:
                seen.add(key)
                yield found


def _expanded(entry: QueueInput, home: Path, folder: Path) -> list[tuple[Path, str]]:
    """The inputs that an entry stands for, each with the name of its file or folder.

    Files in the folder of the results are left out of folders and globs. Raises UsageError for an entry that is such a
    file, or that has no other.
    """
    path = home / presence.in_home(entry.path)
    inside = UsageError(
        f"{entry.path}: is in the folder of the results, {folder}", hint="choose another folder with -o"
    )
    alone, is_folder = os.path.lexists(path), presence.is_folder(path)
    is_glob = not alone and globbing.has_magic(str(path))
    if not (is_glob and entry.each is not False) and not (is_folder and entry.each):
        if _is_inside(path, folder) or (is_folder and os.path.realpath(path) == os.path.realpath(folder)):
            raise inside
        numbered = is_glob or (not alone and _NUMBER.search(path.name))
        name = path.resolve().name if is_folder else path.parent.resolve().name if numbered else path.stem
        return [(path, name)]
    listed = path.iterdir() if is_folder else map(Path, globbing.glob(str(path), recursive=True))  # noqa: PTH207 - absolute ones too
    found = [each for each in listed if _is_medium(each)]
    kept = [each for each in found if not _is_inside(each, folder)]
    if found and not kept:
        raise inside
    return [(each, each.stem) for each in _in_natural_order(kept)] or [(path, path.name)]  # whose job says it is empty


def _matches_nothing(path: str) -> bool:
    """Whether a path is a glob that no file matches."""
    if os.path.lexists(path) or not globbing.has_magic(path):
        return False
    return not any(globbing.iglob(path, recursive=True))  # noqa: PTH207 - absolute ones too


def _is_medium(path: Path) -> bool:
    from pipeline.media.image.sniff import RAW_SUFFIXES
    from pipeline.media.reader.inputs import IMAGE_SUFFIXES

    known = path.suffix.lower() in {*IMAGE_SUFFIXES, *RAW_SUFFIXES, *_VIDEO_SUFFIXES}
    return known and not path.name.startswith(".") and not presence.is_folder(path)


def _in_natural_order(paths: list[Path]) -> list[Path]:
    from pipeline.media.reader.order import natural_key

    return sorted(paths, key=lambda path: natural_key(str(path)))


def _is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def _unique(inputs: list[Input]) -> list[Input]:
    """The inputs with names that differ also where case does not count: by their folder, and then by a number."""

    def counts(names: list[str]) -> Counter[str]:
        return Counter(name.casefold() for name in names)

    names = [_safe(each.name) for each in inputs]
    same = counts(names)
    folders = [Path(each.path).absolute().parent.name for each in inputs]
    names = [
        _safe(f"{folder}-{name}") if same[name.casefold()] > 1 else name
        for folder, name in zip(folders, names, strict=True)
    ]
    same, taken = counts(names), set[str]()
    unique = []
    for each, name in zip(inputs, names, strict=True):
        chosen, number = name, 1
        while chosen.casefold() in taken or (number > 1 and chosen.casefold() in same):
            number += 1
            chosen = f"{name}-{number}"
        taken.add(chosen.casefold())
        unique.append(replace(each, name=chosen))
    return unique


def _safe(name: str) -> str:
    """A name as a file may have it: `%` would stand for a number, and control characters for anything."""
    pieces = [
        "".join(char if char.isprintable() and char not in "%\\" else "_" for char in part) for part in name.split("/")
    ]
    pieces = [piece[:_LONGEST_NAME].strip() for piece in pieces]
    return "/".join(piece if piece.strip(".") else "_" for piece in pieces)


def _skipped(file: QueueFile, inputs: Sequence[str], styles: Sequence[str]) -> set[tuple[str, str]]:
    """The pairs of names that are skipped. Raises ConfigError for a name that the queue does not have."""
    for skip in file.skip:
        for kind, name, names in (("input", skip.input, inputs), ("style", skip.style, styles)):
            if name not in names:
                raise ConfigError(
                    f"skip: the queue has no {kind} {name!r}{nearest(name, names)}",
                    hint=f"its {kind}s are {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}",
                )
    return {(skip.input, skip.style) for skip in file.skip}
