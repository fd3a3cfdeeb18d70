"""Stills before a render: some frames of the input in some styles, and with several values of one setting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.catalog import load_style
from pipeline.errors import UsageError
from pipeline.plan.chains import frame_seed
from pipeline.types import Chain, FrameBatch
from pipeline.workflows.resolve import load_resources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Source


NOT_ON_A_STILL = ("output.", "motion.", "runtime.", "losses.temporal.", "optimize.warm.")
"""Settings that a preview does not show: its frames are cold."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One column of a preview: a caption and the config behind it."""

    caption: str
    config: Config


def variants(styles: Sequence[str], sweep: str | None, assignments: Sequence[str]) -> list[Variant]:
    """Every style with every value of the sweep `key=v1,v2,...`.

    Values of several words or with commas are not supported: a sweep is for numbers and names. Raises UsageError for a
    sweep without values or of a setting that a still does not show, ConfigError for unknown keys.
    """
    if sweep is None:
        return [Variant(Path(style).stem, load_style(style, assignments)) for style in styles]
    key, _, values = sweep.partition("=")
    chosen = [value.strip() for value in values.split(",") if value.strip()]
    if not key.strip() or not chosen:
        raise UsageError(
            f"--sweep {sweep}: expected key=v1,v2,...", hint="for example --sweep losses.content.weight=0.5,1,2"
        )
    if key.strip().startswith(NOT_ON_A_STILL):
        raise UsageError(
            f"--sweep {sweep}: {key.strip()} does not change how a single frame is stylized",
            hint="`tempera export DIR --set ...` tries what concerns the video, without stylizing again; "
            "a short `tempera render --frames 0:24` tries what concerns motion",
        )
    # The value comes first: a long caption is cut.
    return [
        Variant(
            f"{key.rpartition('.')[2]}={value}, {Path(style).stem}", load_style(style, [*assignments, f"{key}={value}"])
        )
        for style in styles
        for value in chosen
    ]


def preview(
    source: Source,
    columns: Sequence[Variant],
    frames: Sequence[int],
    *,
    width_px: int,
    height_px: int,
    weights: Path | None,
    reporter: Reporter,
) -> NDArray[np.uint8]:
    """A contact sheet, uint8 (H, W, 3) sRGB: a row per frame, the content first, then every variant as a cold frame.

    Raises UsageError for a frame that the source does not have.
    """
    from pipeline.media.image.arrays import to_tensor, to_uint8
    from pipeline.media.image.contact_sheet import Captioned, contact_sheet
    from pipeline.stylers.table import build_styler

    for index in frames:
        if not 0 <= index < source.frame_count:
            raise UsageError(
                f"--at {index}: the input has frames 0 to {source.frame_count - 1}", hint="choose one of these"
            )
    contents = {index: _frame(source, index, (width_px, height_px), columns[0].config) for index in frames}
    rows: dict[int, list[Captioned]] = {index: [(f"frame {index}", rgb)] for index, rgb in contents.items()}
    resources = load_resources([column.config for column in columns], weights)
    with reporter.stylizing({"cold": len(columns) * len(frames), "warm": 0}, 0):
        for column, found in zip(columns, resources, strict=True):
            config = column.config
            styler = build_styler(config, found)
            for index in frames:
                began = time.perf_counter()
                seed = frame_seed(config.seed, config.name, index)
                stylized = styler.stylize(FrameBatch("cold", to_tensor(contents[index])[None], None, (seed,)))
                rows[index].append((column.caption, to_uint8(stylized.images[0])))
                chain = Chain("preview", config.name, 0, index, index + 1, config.seed)
                reporter.frame_stored(chain, index, "cold", stylized.stats[0], time.perf_counter() - began)
    return contact_sheet(list(rows.values()))


def _frame(source: Source, index: int, size: tuple[int, int], config: Config) -> NDArray[np.uint8]:
    """One frame of the source, uint8 (H, W, 3) sRGB at (width, height)."""
    from pipeline.media.reader.source import read_frames

    frames = read_frames(
        source, start=index, stop=index + 1, width_px=size[0], height_px=size[1], settings=config.input
    )
    with closing(frames):
        return next(frames).rgb
