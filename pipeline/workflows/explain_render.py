"""Explaining a render: the growth of its cold frames, from the pictures that `runtime.save_every` has kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import InputError, RenderDirectoryError
from pipeline.explain.folder import filled
from pipeline.explain.growth import GrowthPicture, write_growth
from pipeline.explain.page import PAGE_NAME, write_page
from pipeline.media.image.load import load_rgb
from pipeline.runtime.presence import is_file
from pipeline.store.directory import RenderDirectory
from pipeline.store.growth import stored_growth

if TYPE_CHECKING:
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter


def is_render(path: Path) -> bool:
    """Whether there is a render directory at this path."""
    return is_file(path / "plan.json")


def explain_render(
    path: Path, folder: Path, *, at: int | None = None, reporter: Reporter, cancellation: Cancellation
) -> Path:
    """Show how frame `at` of a render grew in every style, by default the first that is kept; returns the page.

    Raises RenderDirectoryError if the render has no such pictures, UsageError for a folder with other files,
    WriteError, and Interrupted if an end was requested; then nothing is written.
    """
    checkpoint = cancellation.checkpoint("nothing was written", hint="the same command begins again")
    directory = RenderDirectory.open(path)
    kept = stored_growth(directory)
    chosen: dict[str, tuple[str, int]] = {}
    for chain_id, index in kept:
        if at in (None, index):
            chosen.setdefault(directory.chain(chain_id).style, (chain_id, index))
    if not chosen:
        known = ", ".join(str(index) for index in sorted({index for _, index in kept})[:10])
        raise RenderDirectoryError(
            f"{path}: no pictures of the growth of {'a frame' if at is None else f'frame {at}'} are kept",
            hint=f"they are of frames {known}: choose one with --at"
            if known
            else "render with --save-every 4, and --fresh if the render is finished",
        )
    if at is None and len(kept) > len(chosen):
        reporter.note(f"the render has the growth of {len(kept)} frames: choose another one with --at")
    title = f"{path.name}, frame {', '.join(sorted({str(index) for _, index in chosen.values()}))}"
    with filled(folder) as partial, reporter.stage("drawing the growth", len(chosen)) as advance:
        sections = []
        for number, (style, (chain_id, index)) in enumerate(chosen.items(), start=1):
            checkpoint()
            stem = "growth" if len(chosen) == 1 else f"growth-{number}"
            pictures = _pictures(directory, chain_id, index, kept[chain_id, index])
            sections.append(write_growth(partial, pictures, f"{path.name}, frame {index}, in the style {style}", stem))
            advance(number)
        write_page(partial, title, sections)
        checkpoint()
    return folder / PAGE_NAME


def _pictures(directory: RenderDirectory, chain_id: str, index: int, kept: dict[int, Path]) -> list[GrowthPicture]:
    """The pictures of one frame that are kept, and at the end the stored frame, if it is there already."""
    pictures = []
    for evaluation, path in kept.items():
        try:
            pictures.append(GrowthPicture(evaluation, load_rgb(path)))
        except InputError as error:
            raise RenderDirectoryError(error.message, hint=f"delete {path}, which is part of the cache") from None
    if index in directory.stored(directory.chain(chain_id)):
        rgb = directory.read_frame(chain_id, index)
        lines = directory.read_stats()
        spent = [line["evaluations"] for line in lines if (line["chain"], line["frame"]) == (chain_id, index)]
        last = pictures[-1].evaluation
        if pictures[-1].rgb.shape != rgb.shape or (pictures[-1].rgb != rgb).any():
            pictures.append(GrowthPicture(max([last + 1, *spent]), rgb))
    return pictures
