"""Write docs/commands.md and the man page docs/tempera.1 from the help texts of the command line.

    python scripts/make_manual.py

The last lines are the paths of both.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from pipeline.cli import app
from pipeline.version import __version__

DOCS: Final = Path(__file__).parents[1] / "docs"
WIDTH: Final = 100

INTRODUCTION: Final = """\
# Commands

<!-- Written by scripts/make_manual.py from the help texts; change them in pipeline/cli instead. -->

Every command explains itself with `--help`. As a page of the manual all of this is `man tempera`, where the
installation puts it ([tempera.1](tempera.1)).

Results go to stdout and nothing else does: the path of a video, or JSON. Progress and notes go to stderr. On a terminal
progress is shown as bars, elsewhere as lines; `--quiet` leaves only errors, `--verbose` says what happens to every
frame, and with `NO_COLOR` set nothing is colored.

"""

EXIT_CODES: Final = {
    0: "done",
    1: "a bug in Tempera: please report it",
    2: "the command line is wrong",
    3: "a setting or a config file is wrong",
    4: "the input cannot be read",
    5: "the render directory is of another render, locked or damaged",
    6: "a part is missing: weights, or an optional library",
    7: "stylizing failed: numbers that are not finite, or too little memory",
    8: "writing failed: the disk is full, or the codec refuses",
    9: "incomplete: some chains failed; the same command continues",
    130: "interrupted by Ctrl-C (143: by a request to end); finished frames are stored",
}

EVENTS: Final = {
    "note": ("something to know", {"message": "text"}),
    "stage": ("a step that takes a while", {"stage": "its name", "done": "units", "total": "units, or null"}),
    "frame": (
        "a frame is stored",
        {
            "chain": "id",
            "frame": "index",
            "phase": "`cold` or `warm`",
            "evaluations": "number",
            "loss": "number",
            "seconds": "what it took",
            "done": "frames stored",
            "total": "frames of the render",
            "anew": "frames that started anew",
            "seconds_left": "the estimate, or null",
        },
    ),
    "anew": (
        "a frame begins cold because too little corresponds",
        {"chain": "id", "frame": "index", "anew": "how many so far"},
    ),
}

COMPLETION: Final = """\
## Completion in the shell

Commands, options, shipped styles and the keys and values behind `--set` are completed by the tab key:

| shell | line | file |
| --- | --- | --- |
| bash | `eval "$(tempera completion bash)"` | `~/.bashrc` |
| zsh | `eval "$(tempera completion zsh)"`, behind `compinit` | `~/.zshrc` |
| fish | `tempera completion fish \\| source` | `~/.config/fish/config.fish` |
"""


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Full name, command and context of every command, those of groups included."""
    group: Any = typer.main.get_command(app)
    yield from _below("tempera", group, None)


def _below(name: str, group: Any, parent: Any) -> Iterator[tuple[str, Any, Any]]:
    context = group.context_class(group, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    for short, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(short, command, context)
        else:
            own = command.context_class(
                command, info_name=short, parent=context, terminal_width=WIDTH, max_content_width=WIDTH
            )
            yield own.command_path, command, own


def page() -> str:
    """The text of docs/commands.md."""
    parts = [INTRODUCTION]
    parts += [f"## {name}\n\n```text\n{command.get_help(context)}\n```\n\n" for name, command, context in commands()]
    rows = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    parts.append(f"## Exit codes\n\n| code | meaning |\n| --- | --- |\n{rows}\n")
    parts.append(
        "An error is two lines on stderr: `error:` with what, where, expected and found; `hint:` with what to do.\n\n"
        "## JSON events\n\nWith `--progress json` every line on stderr is an object with `event` and these keys:\n\n"
        "| event | when | keys |\n| --- | --- | --- |\n"
    )
    for name, (when, keys) in EVENTS.items():
        fields = ", ".join(f"`{key}` ({meaning})" for key, meaning in keys.items())
        parts.append(f"| `{name}` | {when} | {fields} |\n")
    return "".join(parts) + "\n" + COMPLETION


def manual() -> str:
    """The text of the man page."""
    lines = [
        f'.TH TEMPERA 1 "" "tempera {__version__}"',
        ".SH NAME",
        "tempera \\- turn timelapses, bursts and videos into painted video",
        ".SH SYNOPSIS",
        ".B tempera",
        "COMMAND [ARGUMENTS]",
        ".SH DESCRIPTION",
        "Stylizes every frame of a clip in the style of an image, without flicker, and writes a video. A render that",
        "was stopped continues with the same command.",
        ".SH COMMANDS",
    ]
    for name, command, context in commands():
        summary = inspect.cleandoc(command.help or "").splitlines()
        lines += [f".SS {_escaped(name)}", *(_escaped(line) if line else ".PP" for line in summary)]
        for record in (param.get_help_record(context) for param in command.get_params(context)):
            if record is not None:
                lines += [".TP", f".B {_escaped(record[0])}", _escaped(record[1])]
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES.items():
        lines += [".TP", f".B {code}", _escaped(meaning)]
    lines += [".SH ENVIRONMENT", ".TP", ".B TEMPERA_CACHE", "Where downloaded weights and previews are kept."]
    lines += [".TP", ".B NO_COLOR", "Nothing is colored."]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text that roff prints as it is."""
    escaped = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def main() -> None:
    """Write both."""
    for name, text in (("commands.md", page()), ("tempera.1", manual())):
        (DOCS / name).write_text(text, encoding="utf-8")
        print(DOCS / name)


if __name__ == "__main__":
    main()
