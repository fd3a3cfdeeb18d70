"""The command line: reads arguments, calls one function, prints its result, picks the exit code.

Results go to stdout, everything else to stderr. Heavy libraries are imported inside the commands, so that `--help` and
mistakes answer at once.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer

from pipeline.cli import (
    clean,
    completion,
    compose,
    demo,
    doctor,
    edit,
    evaluate,
    explain,
    export,
    masks,
    palette,
    preview,
    probe,
    queue,
    render,
    show,
    status,
    styles,
    weights,
)
from pipeline.cli.signals import ImmediateStop
from pipeline.cli.verbosity import with_verbosity
from pipeline.errors import Interrupted, TemperaError, printable
from pipeline.runtime.threads import limit_spinning, share_heap, use_huge_pages
from pipeline.version import __version__

# typer carries its own copy of click and names its errors only through its subclasses.
_CommandLineError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

_CTRL_C = 128 + signal.SIGINT

app = typer.Typer(
    name="tempera",
    help="Turn timelapses, bursts and videos into painted video, in the style of an image and without flicker. "
    "Begin with: tempera demo. Then: tempera render clip.mp4 --style swirl",
    invoke_without_command=True,
    add_completion=False,  # `tempera completion` prints the scripts, and changes no file
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        sys.stdout.write(f"tempera {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


for _command in (
    render.render,
    render.resume,
    status.status,
    status.verify,
    clean.clean,
    evaluate.evaluate,
    explain.explain,
    export.export,
    edit.edit,
    compose.compose,
    probe.probe,
    palette.palette,
    preview.preview,
    masks.masks,
    queue.queue,
    show.show,
    styles.styles,
    styles.schema,
):
    app.command()(with_verbosity(_command))
app.add_typer(weights.weights)
app.command()(doctor.doctor)
app.command()(with_verbosity(demo.demo))
app.command()(completion.completion)


@cache
def _all_commands() -> Any:
    """The tree of all commands, kept for other calls of `run` in this process: to make it takes 8 ms."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; a traceback is printed only for a bug."""
    limit_spinning()
    use_huge_pages()
    share_heap()
    if completion.VARIABLE in os.environ:
        return completion.answer(app)
    # Pillow warns of every EXIF tag that makes no sense
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        return _invoke(arguments)
    except TemperaError as error:
        _say(error.message, error.hint, kind="interrupted" if isinstance(error, Interrupted) else "error")
        return 128 + error.signal_number if isinstance(error, Interrupted) else error.exit_code
    except (typer.Abort, KeyboardInterrupt, ImmediateStop) as stop:
        _say(
            "stopped at once",
            "the same command begins again; a render goes on from there, every finished frame is stored",
            kind="interrupted",
        )
        return 128 + stop.number if isinstance(stop, ImmediateStop) else _CTRL_C
    except (BrokenPipeError, SystemExit):
        # The reader of stdout has closed it (typer exits then). Python would raise again when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 1
    except Exception as error:
        if isinstance(error, _CommandLineError):
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "tempera"
            message = getattr(error, "format_message", error.__str__)()
            # typer lists choices in lines, pydantic begins so
            message = " ".join(message.split()).replace(": Value error, ", ": ")
            _say(message, f"{command} --help", kind="error")
            return 2
        traceback.print_exc()
        _say(
            "this is a bug in Tempera, not in what you did",
            "please report it with the lines above, and log.txt of the render directory if there is one",
            kind="error",
        )
        return 1


def _invoke(arguments: Sequence[str]) -> int:
    result = _all_commands().main(args=list(arguments), prog_name="tempera", standalone_mode=False)
    if result == _CTRL_C:
        raise KeyboardInterrupt  # typer turns it into an exit code
    return result if isinstance(result, int) else 0


def _say(message: str, hint: str, *, kind: str) -> None:
    sys.stderr.write(f"{kind}: {printable(message)}\nhint: {printable(hint)}\n")
