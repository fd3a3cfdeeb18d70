"""The demo: a whole render of the sample timelapse, with a sheet of content and stylized frames side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config.catalog import load_style
from pipeline.errors import WriteError
from pipeline.runtime.cancellation import Cancellation
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.output.finished import finisher
from pipeline.workflows.render import render
from pipeline.workflows.request import RenderRequest

if TYPE_CHECKING:
    from pipeline.config.settings import Config
    from pipeline.runtime.progress import Reporter

FRAMES: Final = 48
SHEET_FRAMES: Final = (0, 12, 24, 36, 47)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo leaves: the video, the sheet, and the folder of the stored frames."""

    video: Path
    sheet: Path
    frames: Path


def demo(folder: Path, style: str, reporter: Reporter, cancellation: Cancellation | None = None) -> DemoResult:
    """Make the sample timelapse in a folder (unless it is there), render it in a style, and lay frames side by side.

    Raises WriteError if the folder cannot be written, and what `render` raises.
    """
    from pipeline.sample.photos import write_sample

    photos = folder / "photos"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"{folder}: cannot be made ({error.strerror})", hint="choose another folder with -o"
        ) from error
    if len(list(photos.glob("*.jpg"))) < FRAMES:
        with reporter.stage("making the sample timelapse", None):
            write_sample(photos, FRAMES)
    config = load_style(style)
    video = folder / f"sample-{config.name}.mp4"
    render(RenderRequest(inputs=(str(photos),), styles=(config,), output=video), reporter, cancellation)
    directory = RenderDirectory.open(video.with_suffix(".render"))
    sheet = folder / f"sample-{config.name}.png"
    _write_sheet(sheet, sorted(photos.glob("*.jpg")), directory, config)
    return DemoResult(video, sheet, directory.frames_path)


def _write_sheet(path: Path, photos: list[Path], directory: RenderDirectory, config: Config) -> None:
    """Some content frames above the same frames as the video shows them."""
    from pipeline.media.image.contact_sheet import contact_sheet
    from pipeline.media.image.load import load_rgb
    from pipeline.media.image.png import save_png

    (chain,) = directory.plan.chains
    shown = {index: (directory.read_frame(chain.id, index), load_rgb(photos[index])) for index in SHEET_FRAMES}
    finished = finisher(directory.plan, config, lambda _: shown)
    before, after = [], []
    for index, (stylized, content) in shown.items():
        before.append((f"content {index}", content))
        after.append((f"stylized {index}", finished(index, stylized, content)))
    save_png(path, contact_sheet([before, after]))
