"""Frames of an input that cannot be decoded: what stands in their place, and what the user is told.

All of it is decided by `probe`, so that the plan says it and a resumed render sees what an uninterrupted one sees: with
`hold` the picks of a source repeat the frame before the damaged one, with `skip` they leave it out, and with `stop` it
has a negative pick, at which reading ends with an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

Policy = Literal["stop", "hold", "skip"]

_SHOWN: Final = 3
_WHAT_HAPPENS: Final[dict[Policy, str]] = {
    "stop": "painting stops there; --set input.on_damaged=hold or =skip goes on past it",
    "hold": "the frame before it is shown again",
    "skip": "left out",
}


def fill(picks: Sequence[int | None], policy: Policy) -> list[int | None]:
    """What to show for each of an input's own frames; `picks` holds None for those that are damaged.

    `hold` repeats the pick before (at the start: the first good one), `stop` puts `~number` of the damaged frame, which
    is negative, and `skip` keeps None. Frames stay None where not one is good.
    """
    if policy == "skip":
        return list(picks)
    if policy == "stop":
        return [~number if pick is None else pick for number, pick in enumerate(picks)]
    held = next((pick for pick in picks if pick is not None), None)
    filled = []
    for pick in picks:
        held = held if pick is None else pick
        filled.append(held)
    return filled


def first_damaged(picks: Sequence[int], start: int, stop: int) -> int:
    """The first of [start, stop) at which reading has to end; `stop` if there is none."""
    return next((index for index in range(start, stop) if picks[index] < 0), stop)


def damaged_frame(file: str, index: int, pick: int, seconds: Fraction) -> InputError:
    """The error of coming to frame `index`, whose negative pick says which of the input's own frames is damaged."""
    number = f"frame {index}" if ~pick == index else f"frame {index}, which is number {~pick} of the input,"
    return InputError(
        f"{file}: {number} at {float(seconds):.3f} s cannot be decoded: the file is damaged there",
        hint="restore the file; or --set input.on_damaged=hold shows the frame before it again, =skip leaves it out",
    )


def describe(name: str, damaged: Sequence[str], policy: Policy) -> str:
    """One sentence about the frames of the file `name` that cannot be decoded; `damaged` says of each which it is."""
    shown = ", ".join(damaged[:_SHOWN])
    rest = len(damaged) - _SHOWN
    if rest > 0:
        shown += f" and {rest} more"
    many = f"frame{'s' * (len(damaged) > 1)}"
    return f"{name}: {many} {shown} cannot be decoded: {_WHAT_HAPPENS[policy]}."
