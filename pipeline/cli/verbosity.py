"""`--quiet` and `--verbose`, of every command that shows progress."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from pipeline.errors import UsageError
from pipeline.runtime.logs import logging_with

_OPTIONS = {
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")],
    "verbose": Annotated[
        bool, typer.Option("--verbose", "-v", help="A line for every frame, and what goes to log.txt.")
    ],
}


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """The command with both options, if it has `progress`; without a choice of its own that is `none` or `lines`.

    It raises UsageError where both are given.
    """
    signature = inspect.signature(command, eval_str=True)
    if "progress" not in signature.parameters:
        return command

    @functools.wraps(command)
    def chosen(*, progress: str, quiet: bool, verbose: bool, **others: Any) -> None:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose exclude each other", hint="leave one of them out")
        if progress == "auto" and (quiet or verbose):
            progress = "none" if quiet else "lines"
        with _logging_to_stderr(verbose):
            command(progress=progress, **others)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
        for name, option in _OPTIONS.items()
    ]
    chosen.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined] # typer reads it
    chosen.__annotations__ = {name: found.annotation for name, found in chosen.__signature__.parameters.items()}  # type: ignore[attr-defined]
    return chosen


@contextmanager
def _logging_to_stderr(wanted: bool) -> Iterator[None]:
    """Inside the block, what the package logs is written to stderr, if that is wanted."""
    if not wanted:
        yield
        return
    with logging_with(logging.StreamHandler(sys.stderr), "%(name)s: %(message)s"):
        yield
