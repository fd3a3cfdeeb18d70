"""What an exported file says about how it was made; see `pipeline.config.record`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.record import (
    Files,
    Record,
    RecordedEncoder,
    RecordedSource,
    RecordedStyle,
    plain_name,
    recorded_settings,
)
from pipeline.config.settings import Config
from pipeline.config.writing import plain_settings
from pipeline.plan.identity import index_ranges
from pipeline.runtime.hashing import file_digest, joined_digest
from pipeline.types import RenderPlan, Source
from pipeline.version import __version__

if TYPE_CHECKING:
    from pipeline.runtime.progress import Reporter
    from pipeline.workflows.compose.composition import Composition


def render_record(
    plan: RenderPlan, style: str, config: Config, source: Source, fps: Fraction | None, reporter: Reporter
) -> str:
    """The record of the output of a style as text; empty if it is not wanted, or with a note if it is too long.

    `source` is what the output shows, as `write_style` has it.
    """
    if config.output.metadata == "none":
        return ""
    known = _style_digests(plan, style, config)
    files = Files(lambda path: known.get(path) or content_digest(path))
    recorded = _recorded_style(plan, style, config, files)
    return _text(plan, source, fps, [recorded], files, reporter)


def composition_record(composition: Composition, source: Source, reporter: Reporter) -> str:
    """The record of a composition that shows the frames of `source`; likewise."""
    if composition.settings.output.metadata == "none":
        return ""
    renders = [(layer.render, layer.name, layer.config) for layer in composition.layers]
    known: dict[Path, str] = {}
    for render, name, config in renders:
        if render is not None and config is not None:
            known |= {render.path: render.plan.digest} | _style_digests(render.plan, name, config)
    files = Files(lambda path: known.get(path) or content_digest(path))
    styles = [
        _recorded_style(render.plan, name, config, files)
        for render, name, config in renders
        if render is not None and config is not None
    ]
    data = plain_settings(composition.settings, files.name)
    return _text(composition.plan, source, None, styles, files, reporter, {"schema": 1, **data})


def content_digest(path: Path) -> str:
    """SHA-256 of a file, or of the files of a folder by name; empty if it cannot be read."""
    try:
        if path.is_dir():
            return joined_digest([file_digest(file) for file in sorted(path.iterdir()) if file.is_file()])
        return file_digest(path) if path.is_file() else ""
    except (OSError, ValueError, IndexError):
        return ""


def _recorded_style(plan: RenderPlan, style: str, config: Config, files: Files) -> RecordedStyle:
    encoder = RecordedEncoder(
        name=str(plan.identity.get(f"styles.{style}.encoder.name", "none")),
        digest=str(plan.identity.get(f"styles.{style}.encoder.digest", "")),
        weights=plain_name(Path(plan.weights[style])) if style in plan.weights else "",
    )
    return RecordedStyle(settings=recorded_settings(config, files), seed=config.seed, encoder=encoder)


def _style_digests(plan: RenderPlan, style: str, config: Config) -> dict[Path, str]:
    """The digests of the images of a style as they were when it was planned."""
    sections = {"style": config.style} | {
        f"regions.{number}.style": region.style
        for number, region in enumerate(config.regions)
        if region.style is not None
    }
    found = {
        image.path: plan.identity.get(f"styles.{style}.{section}.images.{number}.digest")
        for section, settings in sections.items()
        for number, image in enumerate(settings.images)
    }
    init = config.optimize.cold.init
    if isinstance(init, Path):
        found[init] = plan.identity.get(f"styles.{style}.optimize.cold.init")
    return {path: digest for path, digest in found.items() if isinstance(digest, str)}


def _text(
    plan: RenderPlan,
    source: Source,
    fps: Fraction | None,
    styles: list[RecordedStyle],
    files: Files,
    reporter: Reporter,
    composition: dict[str, Any] | None = None,
) -> str:
    from pipeline.media.image.record import MAX_RECORD_BYTES

    record = Record(
        version=__version__,
        algorithm=plan.identity["algorithm"],
        source=RecordedSource(
            name=plain_name(Path(source.path)),
            digest=source.digest,
            frames=index_ranges(source.decoded_indices),
            width_px=source.width_px,
            height_px=source.height_px,
        ),
        width_px=plan.width_px,
        height_px=plan.height_px,
        fps=str(fps or source.frame_rate),
        styles=tuple(styles),
        composition=composition,
        files=files.digests,
    )
    text = record.text()
    if len(text) <= MAX_RECORD_BYTES:
        return text
    reporter.note(f"the settings are {len(text)} bytes long, more than a file carries: they are left out of it")
    return ""
