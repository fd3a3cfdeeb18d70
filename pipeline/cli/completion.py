"""Completion in the shell: `tempera completion`, and what is proposed for the values of options.

Where a function proposes nothing the shell completes names of files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined] # not in an __all__

VARIABLE: Final = "_TEMPERA_COMPLETE"
"""Set by the scripts of the shells when they ask for proposals."""

# Typer's scripts put a blank behind `--set key=`, where the value comes; that of bash takes `=` for the end of a word.
_BASH: Final = r"""
_tempera_completion() {
    local IFS=$'\n' line="${COMP_LINE:0:$COMP_POINT}"
    local -a typed
    IFS=' ' read -ra typed <<< "$line"
    local last=$(( ${#typed[@]} - 1 )) word="${line##* }"
    [[ $line == *' ' ]] && last=$(( last + 1 ))
    COMPREPLY=( $( env COMP_WORDS="$line" COMP_CWORD=$last _TEMPERA_COMPLETE=complete_bash "$1" ) )
    [[ "${COMPREPLY[0]}" == *[=.] ]] && compopt -o nospace
    [[ $word == *=* ]] && COMPREPLY=( "${COMPREPLY[@]#"${word%%=*}="}" )
    return 0
}

complete -o default -F _tempera_completion tempera
"""
_ZSH: Final = r"""
#compdef tempera

_tempera_completion() {
    if [[ $words[CURRENT-1] == --set ]]; then
        local -a found=( ${(f)"$(env COMP_WORDS="${words[1,$CURRENT]}" COMP_CWORD=$(( CURRENT - 1 )) \
            _TEMPERA_COMPLETE=complete_bash tempera)"} )
        compadd -S '' -a found
    else
        eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _TEMPERA_COMPLETE=complete_zsh tempera)
    fi
}

compdef _tempera_completion tempera
"""


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], typer.Argument(help="Your shell.")],
) -> None:
    """Print the script that completes commands, options, styles and settings.

    bash: eval "$(tempera completion bash)" in ~/.bashrc; zsh: the same with zsh in ~/.zshrc, behind compinit;
    fish: tempera completion fish | source in ~/.config/fish/config.fish.
    """
    script = {"bash": _BASH, "zsh": _ZSH}.get(shell)
    if script is None:
        script = get_completion_script(prog_name="tempera", complete_var=VARIABLE, shell=shell)
    sys.stdout.write(script.strip() + "\n")


def answer(app: typer.Typer) -> int:
    """Write the proposals that the script of a shell asks for by `VARIABLE`; returns the exit code."""
    completion_init()
    try:
        typer.main.get_command(app).main(args=[], prog_name="tempera", complete_var=VARIABLE)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def propose_styles(incomplete: str) -> list[str]:
    """The shipped styles that begin so."""
    from pipeline.config.catalog import shipped_styles

    return [name for name in shipped_styles() if name.startswith(incomplete)]


def propose_settings(incomplete: str) -> list[str]:
    """What `--set` takes: the keys that begin so, section by section, and behind `=` the choices of a key."""
    key, equals, begun = incomplete.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in _choices(key) if choice.startswith(begun)]
    return sorted({_next_part(key, incomplete) for key in _settable() if key.startswith(incomplete)})


def _next_part(key: str, incomplete: str) -> str:
    """A key as far as the next dot behind what is typed; whole ones end with `=`."""
    dot = key.find(".", len(incomplete))
    return f"{key}=" if dot < 0 else key[: dot + 1]


def _settable() -> Iterator[str]:
    """Every key with a value of its own: sections are left out."""
    from pipeline.config.reading import config_keys

    keys = config_keys()
    return (key for key, following in zip(keys, [*keys[1:], ""], strict=True) if not following.startswith(f"{key}."))


def _choices(key: str) -> list[str]:
    """The values of a setting that has a few of them."""
    from pydantic import BaseModel

    from pipeline.config.settings import Config

    annotation: Any = Config
    for part in key.split("."):
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        fields = {info.alias or name: info.annotation for name, info in annotation.model_fields.items()}
        annotation = fields.get(part)
    return list(_literals(annotation))


def _literals(annotation: Any) -> Iterator[str]:
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from (str(value) for value in get_args(annotation))
    else:
        for part in get_args(annotation):
            yield from _literals(part)
