"""Stills before a render: some frames of the input in some styles, and with several values of one setting.

What is shown of a frame is what the video will have there: the input is looked through as for a render (cuts, flicker,
levels), the frame is stylized after a run-up (see `run_up`), and it is finished as the video is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config.catalog import load_style
from pipeline.config.settings import InputSettings
from pipeline.errors import UsageError
from pipeline.runtime.cancellation import Cancellation
from pipeline.types import RenderPlan
from pipeline.workflows.finished import finisher
from pipeline.workflows.first_pass import FirstPass, first_pass
from pipeline.workflows.resolve import load_resources
from pipeline.workflows.run_up import frames_to_stylize, run_up_chains, stylize_run_ups

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.settings import Config
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Phase, Source

DEFAULT_RUN_UP: Final = 8
"""Frames before each frame of a preview that are stylized too."""

_FINISH: Final = "output.finish."
_NOT_SHOWN: Final = {
    "output.": "`tempera export DIR --set ...` tries what concerns the video, without stylizing again",
    "runtime.": "it changes how the work is done and never the result",
    "motion.segment_frames": "it decides what is stylized side by side; a render shows it",
    "input.fit": "it holds for the whole sheet: give it with --set",
    "input.order": "it holds for the whole sheet: give it with --set",
    "input.on_damaged": "it holds for the whole sheet: give it with --set",
}
"""Settings whose values cannot be compared on a sheet, by the beginning of their keys, and what to do instead."""
_ONLY_WARM: Final = ("motion.", "losses.temporal.", "optimize.warm.")
"""Settings that show in warm frames only."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One column of a preview: a caption and the config behind it."""

    caption: str
    config: Config


def variants(
    styles: Sequence[str], sweep: str | None, assignments: Sequence[str], *, run_up: int = DEFAULT_RUN_UP
) -> list[Variant]:
    """Every style with every value of the sweep `key=v1,v2,...`.

    Values of several words or with commas are not supported: a sweep is for numbers and names. Raises UsageError for a
    sweep without values or of a setting that a preview with this run-up does not show, ConfigError for unknown keys.
    """
    if sweep is None:
        return [Variant(Path(style).stem, load_style(style, assignments)) for style in styles]
    key, _, values = sweep.partition("=")
    key = key.strip()
    chosen = [value.strip() for value in values.split(",") if value.strip()]
    if not key or not chosen:
        raise UsageError(
            f"--sweep {sweep}: expected key=v1,v2,...", hint="for example --sweep losses.content.weight=0.5,1,2"
        )
    hidden = next((hint for start, hint in _NOT_SHOWN.items() if key.startswith(start)), None)
    if hidden is not None and not key.startswith(_FINISH):
        raise UsageError(f"--sweep {sweep}: a preview does not show {key}", hint=hidden)
    if not run_up and key.startswith(_ONLY_WARM):
        raise UsageError(
            f"--sweep {sweep}: {key} does not change how a frame is stylized that starts cold",
            hint=f"leave out --run-up 0: by default the {DEFAULT_RUN_UP} frames before it are stylized too",
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
    thumbnails: Thumbnails,
    run_up: int = DEFAULT_RUN_UP,
) -> NDArray[np.uint8]:
    """A contact sheet, uint8 (H, W, 3) sRGB: a row per frame: the content, then what each variant's video has.

    A frame is stylized after a run-up of `run_up` frames (fewer at the start of its shot; 0: cold). `thumbnails` are
    those that `probe` has filled. Raises UsageError for a frame that the source does not have, and what the first pass
    and stylizing raise.
    """
    from pipeline.media.image.contact_sheet import Captioned, contact_sheet
    from pipeline.media.reader.source import read_frame

    for index in frames:
        if not 0 <= index < source.frame_count:
            raise UsageError(
                f"--at {index}: the input has frames 0 to {source.frame_count - 1}", hint="choose one of these"
            )
    configs = [column.config for column in columns]
    resources = load_resources(configs, weights)
    known: dict[InputSettings, FirstPass] = {}
    for config in configs:
        if config.input not in known:
            known[config.input] = first_pass(source, config, reporter, Cancellation(), thumbnails)
    plans = [_plan(source, config, frames, run_up, known[config.input], (width_px, height_px)) for config in configs]
    # Columns that differ in their finish alone show the same stylized frames.
    distinct = {_stylizing(config): position for position, config in reversed(list(enumerate(configs)))}
    left: dict[Phase, int] = {"cold": 0, "warm": 0}
    for position in distinct.values():
        for phase, count in frames_to_stylize(configs[position], plans[position].chains).items():
            left[phase] += count
    with reporter.stylizing(left, 0):
        stylized = {
            key: stylize_run_ups(plans[position], configs[position], resources[position], frames, reporter)
            for key, position in sorted(distinct.items(), key=lambda item: item[1])
        }
    rows: list[list[Captioned]] = []
    for index in frames:
        content = read_frame(source, index, width_px=width_px, height_px=height_px, settings=configs[0].input)
        row: list[Captioned] = [(f"frame {index}", content)]
        for column, plan in zip(columns, plans, strict=True):
            finished = finisher(plan, column.config)
            row.append((column.caption, finished(index, stylized[_stylizing(column.config)][index], content)))
        rows.append(row)
    return contact_sheet(rows)


def _plan(
    source: Source, config: Config, frames: Sequence[int], run_up: int, found: FirstPass, size_px: tuple[int, int]
) -> RenderPlan:
    """The plan of a column, for frames of (width, height); it is not written, so it needs no identity."""
    return RenderPlan(
        digest="",
        identity={},
        source=source,
        width_px=size_px[0],
        height_px=size_px[1],
        shots=found.shots,
        chains=run_up_chains(config, frames, found.shots, run_up),
        styles={config.name: {}},
        outputs={},
        exposure=found.exposure,
        levels=found.levels,
        contrasts=found.contrasts,
    )


def _stylizing(config: Config) -> str:
    """Everything of a config that changes stylized frames, as a key."""
    return config.model_dump_json(exclude={"output", "description"})
