"""Frames of an input that cannot be decoded: what stands in their place, and what the user is told.

All of it is decided by `probe`, so that the plan says it and a resumed render sees what an uninterrupted one sees: with
`hold` the frame before a damaged one is decoded again in its place, with `skip` it is left out, and with `stop` it is
listed in `Source.damaged`, and reading ends there with an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.types import Source

Policy = Literal["stop", "hold", "skip"]

_SHOWN: Final = 3
_WHAT_HAPPENS: Final[dict[Policy, str]] = {
    "stop": "the render stops there; --set input.on_damaged=hold or =skip goes on past it",
    "hold": "the frame before it is shown again",
    "skip": "left out",
}


def fill(indices: Sequence[int | None], policy: Policy) -> list[int | None]:
    """What to show for each of an input's own frames; `indices` holds None for those that are damaged.

    `hold` repeats the index before (at the start: the first good one), `skip` and `stop` keep None. Frames stay None
    where not one is good.
    """
    if policy != "hold":
        return list(indices)
    shown = next((index for index in indices if index is not None), None)
    filled = []
    for index in indices:
        shown = shown if index is None else index
        filled.append(shown)
    return filled


def first_damaged(source: Source, start: int, stop: int) -> int:
    """The first of [start, stop) at which reading has to end; `stop` if there is none."""
    return min((index for index in source.damaged if start <= index < stop), default=stop)


def damaged_frame(source: Source, index: int) -> InputError:
    """The error of coming to frame `index`, which is damaged."""
    number = source.decoded_indices[index]
    named = f"frame {index}" if number == index else f"frame {index}, which is number {number} of the input,"
    seconds = float(source.pts[index] * source.time_base)
    return InputError(
        f"{source.files[0]}: {named} at {seconds:.3f} s cannot be decoded: the file is damaged there",
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
