"""Opening an existing render: its plan, with paths that are valid where the directory and its input are now."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.settings import Config
from pipeline.errors import InputError
from pipeline.plan.paths import (
    absolute_path,
    absolute_source,
    input_place,
    moved_source,
    output_paths,
    paths_of,
    style_configs,
    weights_paths,
)
from pipeline.runtime.hashing import file_digest
from pipeline.runtime.presence import is_file, is_folder
from pipeline.store.directory import RenderDirectory, command_on
from pipeline.store.where import Places, known_places, remember_places
from pipeline.types import RenderPlan, Source


@dataclass(frozen=True, slots=True)
class OpenedRender:
    """An existing render. `source`, `configs`, `weights` and `outputs` have paths that work from the current folder.

    `configs` and `outputs` have an entry for every style, `weights` for those that were given a weights file.
    `looked_for` is empty, or says where the input was looked for in vain.
    """

    path: Path
    directory: RenderDirectory
    source: Source
    configs: dict[str, Config]
    weights: dict[str, Path]
    outputs: dict[str, Path]
    looked_for: tuple[Path, ...] = ()

    @property
    def plan(self) -> RenderPlan:
        """The plan as it was written before the first frame."""
        return self.directory.plan


def open_render(path: Path, moved_to: Path | None = None) -> OpenedRender:
    """Open the render in a directory; nothing is written, unless `moved_to` says where the input is now.

    The input is looked for by its path relative to the directory, where it was last, and beside the directory; other
    files too. `moved_to` is a folder of photos, or a video or its folder, and is remembered.

    Raises RenderDirectoryError if there is no render, if its plan is damaged, or if this version does not understand
    it; InputError if `moved_to` is not its input.
    """
    directory = RenderDirectory.open(path)
    plan, places = directory.plan, known_places(path)

    def find(file: str, render_dir: Path) -> Path:
        wanted = absolute_path(file, render_dir)
        known = [Path(places.files[file])] if file in places.files else []
        return next((found for found in (wanted, *known, _beside(render_dir, file)) if found.exists()), wanted)

    source, looked_for = _located(plan, path, places) if moved_to is None else (_at(plan, moved_to), ())
    opened = OpenedRender(
        path=path,
        directory=directory,
        source=source,
        configs=style_configs(plan, path, find),
        weights=weights_paths(plan, path, find),
        outputs=output_paths(plan, path),
        looked_for=looked_for,
    )
    if moved_to is not None:
        remember_where(directory, source, opened.configs, opened.weights)
    return opened


def check_input(opened: OpenedRender, command: str) -> None:
    """Raise InputError, saying where it was looked for, if the input is not there. `command` can be given --input."""
    if opened.looked_for:
        places = "".join(f"\n  {place}" for place in opened.looked_for)
        raise InputError(
            f"{opened.path}: the input of this render is not there; it was looked for at{places}",
            hint=f"put it back, or say where it is now: {command_on(opened.path, command)} --input PATH",
        )


def remember_where(
    directory: RenderDirectory, source: Source, configs: Mapping[str, Config], weights: Mapping[str, Path]
) -> None:
    """Keep a note of where the input and the files of the styles are, for when something is moved."""
    files: dict[str, str] = {}
    for name, planned in style_configs(directory.plan, directory.path, lambda path, _: Path(path)).items():
        paths, now = paths_of(planned), paths_of(configs[name])
        if len(paths) == len(now):  # else another finish was asked for than when the render began
            files |= {path.as_posix(): str(_real(there)) for path, there in zip(paths, now, strict=True)}
    files |= {path: str(_real(weights[name])) for name, path in directory.plan.weights.items() if name in weights}
    remember_places(directory.path, Places(str(_real(Path(input_place(source)))), files))


def _located(plan: RenderPlan, path: Path, places: Places) -> tuple[Source, tuple[Path, ...]]:
    """The source where its files are, and where they were looked for if they are nowhere.

    Where there are several places, or one that nobody named, the content decides.
    """
    planned = absolute_source(plan, path)
    place = input_place(plan.source)
    named = [absolute_path(place, path), *([Path(places.input)] if places.input else [])]
    guessed = (
        [_beside(path, place)] if plan.source.kind == "video" else [_beside(path, place), _beside(path, place).parent]
    )
    named = list(dict.fromkeys(named))
    guessed = [guess for guess in dict.fromkeys(guessed) if guess not in named]
    found = [source for source in (moved_source(planned, at) for at in named) if _is_there(source)]
    if len(found) == 1:
        return found[0], ()
    others = [] if found else [moved_source(planned, at) for at in guessed]
    right = next((source for source in (*found, *others) if _is_there(source) and _same(plan, source)), None)
    if right is not None or found:
        return right or found[0], ()
    return planned, (*named, *guessed)


def _at(plan: RenderPlan, place: Path) -> Source:
    """The source at a place that was named. Raises InputError if it is not there, or another one."""
    planned = plan.source
    if planned.kind == "video" and is_folder(place):
        place = place / Path(planned.files[0]).name
    source = moved_source(planned, place)
    hint = "name the folder that the photos are in now, or the video"
    if not _is_there(source):
        missing = next(file for file in _ends(source) if not is_file(Path(file)))
        raise InputError(f"{missing}: is not there, and the render reads it", hint=hint)
    if not _same(plan, source):
        raise InputError(f"{place}: is not the input of this render, its content is another one", hint=hint)
    return source


def _ends(source: Source) -> Sequence[str]:
    """The first and the last file that is read."""
    if source.kind == "video":
        return source.files[:1]
    return [source.files[source.positions_read[end]] for end in (0, -1)]


def _is_there(source: Source) -> bool:
    return all(is_file(Path(file)) for file in _ends(source))


def _same(plan: RenderPlan, source: Source) -> bool:
    """Whether a source has the content of the plan's; of photos the first and the last are compared."""
    if plan.photo_digests:
        wanted: Sequence[str] = (plan.photo_digests[0], plan.photo_digests[-1])
    elif source.kind == "video":
        wanted = (plan.source.digest,)
    else:
        return True  # an older plan has no digests of single photos
    try:
        return [file_digest(file) for file in _ends(source)] == list(wanted)
    except OSError:
        return False


def _beside(render_dir: Path, path: str) -> Path:
    return _real(render_dir).parent / Path(path).name


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
