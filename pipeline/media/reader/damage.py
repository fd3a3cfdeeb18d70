"""Frames of an input that cannot be decoded: what is shown instead of them, and what the user is told.

All of it is decided by `probe`, so that it is part of the plan and a resumed render reads the same frames as an
uninterrupted one. With `hold` the frame before a damaged one is shown again, with `skip` the damaged one is left out,
and with `stop` it is listed in `Source.damaged`, and reading ends there with an error.
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
    """Which frame to show for each of an input's own frames; `indices` has None for those that are damaged.

    `hold` repeats the index before (at the start: the first that is not None), `skip` and `stop` keep None. All stay
    None if all are damaged.
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
    """The first frame of [start, stop) that is damaged, where reading has to end; `stop` if there is none."""
    return min((index for index in source.damaged if start <= index < stop), default=stop)


def damaged_frame(source: Source, index: int) -> InputError:
    """The error for frame `index`, which is damaged."""
    number = source.decoded_indices[index]
    named = f"frame {index}" if number == index else f"frame {index}, which is number {number} of the input,"
    seconds = float(source.pts[index] * source.time_base)
    return InputError(
        f"{source.files[0]}: {named} at {seconds:.3f} s cannot be decoded: the file is damaged there",
        hint="restore the file; or --set input.on_damaged=hold shows the frame before it again, =skip leaves it out",
    )


def describe(name: str, damaged: Sequence[str], policy: Policy) -> str:
    """One sentence on the frames of the file `name` that cannot be decoded; `damaged` names each of them."""
    shown = ", ".join(damaged[:_SHOWN])
    rest = len(damaged) - _SHOWN
    if rest > 0:
        shown += f" and {rest} more"
    many = f"frame{'s' * (len(damaged) > 1)}"
    return f"{name}: {many} {shown} cannot be decoded: {_WHAT_HAPPENS[policy]}."
