"""Names in a config: which are known, and what a wrong one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pydantic_core import PydanticCustomError


def one_of(name: str, names: Sequence[str]) -> str:
    """`name` if it is one of the names. Raises the error that a `Literal` of them would raise."""
    if name not in names:
        *first, last = (repr(known) for known in names)
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": f"{', '.join(first)} or {last}"}
        )
    return name


def nearest(name: str, names: Sequence[str]) -> str:
    """`; did you mean 'x'?` for a name that is like one of some names, else nothing.

    Of dotted names those come first that end in the same word.
    """
    same = [known for known in names if known.rpartition(".")[2] == name.rpartition(".")[2]]
    close = difflib.get_close_matches(name, same, n=1, cutoff=0) or difflib.get_close_matches(
        name, names, n=1, cutoff=0.5
    )
    return f"; did you mean {close[0]!r}?" if close else ""
