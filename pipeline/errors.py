"""The one family of errors that users see, and the exit code that belongs to each.

An error says what failed, where, what was expected and what was found; its hint says what to do next. Errors are raised
low, where the facts are known, and caught once, in the command line, which prints `error:` and `hint:` and exits.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

_UNPRINTABLE: Final = re.compile(r"\n(?!  )|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class TemperaError(Exception):
    """Something the user can act on: a message, a mandatory hint and the exit code of the command."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(TemperaError):
    """The command line does not make sense (exit code 2)."""

    exit_code = 2


class ConfigError(TemperaError):
    """A style config or a `--set` value is wrong (exit code 3)."""

    exit_code = 3


class InputError(TemperaError):
    """The input is missing, unreadable, damaged or of a kind that is not supported (exit code 4)."""

    exit_code = 4


class DamagedInputError(InputError):
    """A file of a supported kind whose data are damaged or incomplete: `input.on_damaged` can skip it."""


class RenderDirectoryError(TemperaError):
    """The render directory belongs to other settings, is locked or is damaged (exit code 5)."""

    exit_code = 5


class OtherRenderError(RenderDirectoryError):
    """The render directory holds another render: other settings, another input, or more frames than are wanted."""


class MissingPartError(TemperaError):
    """An optional dependency or the weights of a network are not here (exit code 6)."""

    exit_code = 6


class StylizeError(TemperaError):
    """Stylizing failed: a loss that is not finite, or no memory left at batch size 1 (exit code 7)."""

    exit_code = 7


class WriteError(TemperaError):
    """The result could not be written: the disk is full, a codec refuses (exit code 8)."""

    exit_code = 8


class IncompleteError(TemperaError):
    """Some chains failed and others finished; running again continues (exit code 9)."""

    exit_code = 9


class Interrupted(TemperaError):  # noqa: N818 - the user asked for it, so it is not called an error
    """The user stopped the render (exit code 130 for SIGINT, 143 for SIGTERM)."""

    def __init__(self, message: str, *, hint: str, signal_number: int) -> None:
        super().__init__(message, hint=hint)
        self.signal_number = signal_number


def printable(text: str) -> str:
    """A message with control characters and invalid Unicode escaped, so that file names cannot control the terminal.

    Line breaks before two spaces stay: messages use them for lists.
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
