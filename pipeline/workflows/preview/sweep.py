"""What a preview compares: styles, each with every value of one or two swept settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config.catalog import load_style
from pipeline.config.reading import check_key
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config.settings import Config

DEFAULT_RUN_UP: Final = 8
"""Frames before each frame of a preview that are stylized too."""

_FINISH: Final = "output.finish"
_NOT_SHOWN: Final = {
    "output": "`tempera export DIR --set ...` tries what concerns the video, without stylizing again; of "
    "output a sheet shows output.finish alone",
    "runtime": "it changes how the work is done and never the result",
    "motion.segment_frames": "it decides what is stylized side by side; a render shows it",
    **{
        f"input.{key}": "it holds for the whole sheet: give it with --set"
        for key in ("fit", "order", "camera", "duplicates", "gaps", "on_damaged")
    },
}
"""Settings and sections whose values cannot be compared on a sheet, and what to do instead."""
_ONLY_WARM: Final = ("motion", "losses.temporal", "optimize.warm")
"""Sections that show in warm frames only."""
_CLOSING: Final = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True, slots=True)
class Sweep:
    """One setting and the values that are tried, each as it is written in YAML."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """What a cell shows of a frame: a style with assignments, `key=value`, of which the last `swept` are a sweep's."""

    style: str
    assignments: tuple[str, ...]
    config: Config
    swept: int = 0

    @property
    def title(self) -> str:
        """The style's name as it is asked for."""
        return Path(self.style).stem

    @property
    def differing(self) -> tuple[str, ...]:
        """The assignments of the sweeps."""
        return self.assignments[len(self.assignments) - self.swept :]


def parse_sweeps(texts: Sequence[str], *, run_up: int = DEFAULT_RUN_UP) -> tuple[Sweep, ...]:
    """`key=v1,v2,...` of up to two settings; values are YAML, and commas inside brackets and quotes are theirs.

    Raises UsageError for more sweeps, for a sweep without values, of a setting that another one sweeps or that a
    preview with this run-up does not show, and ConfigError for an unknown key.
    """
    if len(texts) > 2:
        raise UsageError(
            f"--sweep is given {len(texts)} times: expected one setting, or two for a grid",
            hint="fix the others with --set, or give several --style",
        )
    sweeps = tuple(_parse_sweep(text, run_up) for text in texts)
    if len(sweeps) == 2:
        first, second = sweeps[0].key, sweeps[1].key
        if f"{first}.".startswith(f"{second}.") or f"{second}.".startswith(f"{first}."):
            raise UsageError(
                f"--sweep {second}: {first} is swept already",
                hint="give all values of one setting in one --sweep, and another setting in the second",
            )
    return sweeps


def _parse_sweep(text: str, run_up: int) -> Sweep:
    key, _, listed = text.partition("=")
    key = key.strip()
    values = tuple(dict.fromkeys(value.strip() for value in _split(listed) if value.strip()))
    if not key or not values:
        raise UsageError(
            f"--sweep {text}: expected key=v1,v2,...", hint="for example --sweep losses.content.weight=0.5,1,2"
        )
    check_key(key, "--sweep")
    hidden = next((hint for section, hint in _NOT_SHOWN.items() if _within(key, section)), None)
    if hidden is not None and not _within(key, _FINISH):
        raise UsageError(f"--sweep {text}: a preview does not show {key}", hint=hidden)
    if not run_up and any(_within(key, section) for section in _ONLY_WARM):
        raise UsageError(
            f"--sweep {text}: {key} does not change how a frame is stylized that starts cold",
            hint=f"leave out --run-up 0: by default the {DEFAULT_RUN_UP} frames before it are stylized too",
        )
    return Sweep(key, values)


def variants(styles: Sequence[str], sweeps: Sequence[Sweep], assignments: Sequence[str]) -> list[Variant]:
    """Every style with every value: style by style, for each value of the second sweep all those of the first.

    Raises ConfigError for a style or value that is wrong.
    """
    chosen: list[tuple[str, ...]] = [()]
    for sweep in sweeps:
        # The last sweep is the slowest: its values are the rows of a grid.
        chosen = [(*others, f"{sweep.key}={value}") for value in sweep.values for others in chosen]
    return [
        Variant(style, (*assignments, *swept), load_style(style, [*assignments, *swept]), len(swept))
        for style in styles
        for swept in chosen
    ]


def _within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _split(text: str) -> list[str]:
    """The parts between the commas of a text that stand outside brackets and quotes."""
    parts, start, closing, quote = [], 0, "", ""
    for position, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in _CLOSING:
            closing += _CLOSING[sign]
        elif closing and sign == closing[-1]:
            closing = closing[:-1]
        elif sign == "," and not closing:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]
