"""What is wrong with settings, and with YAML, in words for people instead of those of the libraries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]

FORM_TYPES: Final = ("text_form", "string_type")
"""Errors of a text of the wrong form: what it should look like is in the description of the key."""
_EXPECTED: Final = "Input should be "
_NAMES: Final = {type(None): "nothing", list: "a list", str: "text", int: "a number", float: "a number"}


def by_place(errors: Sequence[ErrorDetails], data: Any) -> dict[Place, list[ErrorDetails]]:
    """The errors of validating `data` by the place in it where each stands.

    A value that may be of several kinds has one error for each of them, at one place.
    """
    found: dict[Place, list[ErrorDetails]] = {}
    for error in errors:
        found.setdefault(_place(error["loc"], data), []).append(error)
    return found


def in_words(errors: Sequence[ErrorDetails]) -> str:
    """What was expected at one place, and what was found there."""
    said = list(dict.fromkeys(_message(error) for error in errors))
    expected = [text.removeprefix(_EXPECTED) for text in said if text.startswith(_EXPECTED)]
    others = [text for text in said if not text.startswith(_EXPECTED)]
    text = "; ".join([*([_EXPECTED + " or ".join(expected)] if expected else []), *others])
    value = errors[0].get("input")
    return text if isinstance(value, dict) else f"{text}, found {shortened(repr(value))}"


def kind_of(data: Any) -> str:
    """What the plain data of a document are."""
    return _NAMES.get(type(data), type(data).__name__)


def yaml_problem(error: Exception) -> str:
    """What is wrong with a text that is no YAML, and where, in one line."""
    text = str(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        text = ": ".join(part for part in (error.context, error.problem) if part)
        if mark := error.problem_mark or error.context_mark:
            text += f" (line {mark.line + 1}, column {mark.column + 1})"
    text = " ".join(text.replace('in "<unicode string>", position', "at position").split()) or type(error).__name__
    return text if len(text) <= 300 else text[:200] + "..." + text[-97:]


def shortened(text: str) -> str:
    """The beginning of a text, if it is long."""
    return text if len(text) <= 60 else text[:57] + "..."


def _place(location: Place, data: Any) -> Place:
    """The part of an error's location that is in the data; behind it stands which kind of value was tried."""
    for depth, part in enumerate(location):
        if isinstance(data, dict):
            if part not in data:
                return location[: depth + 1]
            data = data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return location[:depth]
    return location


def _message(error: ErrorDetails) -> str:
    match error["type"]:
        case "missing":
            return "is missing" if isinstance(error["input"], dict) else "needs more entries"
        case "too_short":
            return f"needs {error['ctx']['min_length']} or more entries"
        case "tuple_type":
            return _EXPECTED + "a list"
        case "path_type":
            return _EXPECTED + "a path"
    return error["msg"].removeprefix("Value error, ")
