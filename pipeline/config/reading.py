"""From YAML and `--set` to a config, with an error for whatever does not fit; and the JSON Schema."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.names import nearest
from pipeline.config.regions import RegionSettings
from pipeline.config.settings import Config
from pipeline.config.style import StyleImage
from pipeline.errors import ConfigError

MAX_CONFIG_BYTES = 1 << 17
_LONGEST_NUMBER = 64
_LISTED = (StyleImage, RegionSettings)
"""What stands in lists: its keys are behind a number."""
# What PyYAML raises beside its own errors, for text such as `!!bool maybe`, `!!int ""` or `!!timestamp now`.
_YAML_ERRORS = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError)


def config_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every key that `--set` can reach, dotted, in the order of the schema."""
    keys: list[str] = []
    for name, info in model.model_fields.items():
        key = f"{prefix}{info.alias or name}"
        keys.append(key)
        for kind in (info.annotation, *get_args(info.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in _LISTED:
                keys.extend(config_keys(kind, f"{key}."))
    return keys


def parse_config(data: object, *, where: str) -> Config:
    """Validate the plain data of a config.

    Raises ConfigError that names every wrong key, what was expected and what was found.
    """
    if not isinstance(data, dict):
        raise ConfigError(
            f"{where}: expected a mapping of settings, found {type(data).__name__}",
            hint="see `tempera styles swirl` for a config that works",
        )
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        problems = []
        found = error.errors()
        locations = [problem["loc"] for problem in found]
        for problem in found[:8]:
            location = problem["loc"]
            if any(len(other) > len(location) and other[: len(location)] == location for other in locations):
                continue  # pydantic counts a list with a wrong item as too short
            key = ".".join(str(part) for part in location) or "config"
            if problem["type"] == "extra_forbidden":
                entry = ".".join(str(part) for part in location[:3])
                keys = [*config_keys(), *(f"{entry}.{name}" for name in StyleImage.model_fields if "images" in entry)]
                problems.append(f"{_shortened(key)}: unknown key{nearest(key, keys)}")
            else:
                problems.append(f"{_shortened(key)}: {problem['msg']}, found {_shortened(repr(problem.get('input')))}")
        raise ConfigError(
            f"{where}: " + "; ".join(problems), hint="`tempera schema` lists every key with its range"
        ) from None


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:200] + "..." + text[-97:]


def check_key(key: str, option: str) -> None:
    """Raise ConfigError, naming the nearest valid key, for a key that an option of the command line cannot reach."""
    free = ("losses.content.layers.", "losses.style.layers.", "style.images.", "regions.")
    valid = config_keys()
    if key not in valid and not key.startswith(free):
        raise ConfigError(
            f"{option} {_shortened(key)}: unknown key{nearest(key, valid)}", hint="`tempera schema` lists every key"
        )


def set_value(data: dict[str, Any], assignment: str) -> None:
    """Apply one `section.key=value` of `--set` to plain config data; the value is read as YAML.

    Raises ConfigError for an unknown key, naming the nearest valid one.
    """
    key, sign, text = assignment.partition("=")
    key = key.strip()
    if not sign or not key:
        raise ConfigError(
            f"--set {_shortened(assignment)}: expected section.key=value",
            hint="for example --set optimize.warm.evaluations=8",
        )
    check_key(key, "--set")
    try:
        value = _load(text)
    except _YAML_ERRORS as error:
        raise ConfigError(
            f"--set {_shortened(assignment)}: the value is not YAML ({_one_line(error)})", hint="quote it"
        ) from None
    node: Any = data
    *parents, last = key.split(".")
    try:
        for part in parents:
            if isinstance(node, list):
                node = node[int(part)]
            else:
                child = node.setdefault(part, {})
                if not isinstance(child, dict | list):
                    child = node[part] = {}
                node = child
        if isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value
    except (ValueError, IndexError):
        raise ConfigError(
            f"--set {_shortened(key)}: no such entry in the list",
            hint="entries are numbered from 0, as in style.images.0.weight=45",
        ) from None


def settings_without_style(assignments: Sequence[str]) -> Config:
    """The default settings with `--set` assignments applied, for commands that stylize nothing; the style is empty.

    Raises ConfigError as `set_value` and `parse_config` do.
    """
    data: dict[str, Any] = {"style": {"images": [{"path": "unused"}]}}
    for assignment in assignments:
        set_value(data, assignment)
    return parse_config(data, where="--set")


def read_yaml(path: Path) -> Any:
    """Plain data of a YAML file, by the safe loader.

    Raises ConfigError if the file is missing, too large, not text or not YAML.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise ConfigError(f"{path}: is not a file", hint="a style config is a page of YAML in a file")
        size = found.st_size
        if size > MAX_CONFIG_BYTES:
            raise ConfigError(
                f"{path}: {size} bytes is too large for a style config", hint="a config is a page of YAML"
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})", hint="check the path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text", hint="a style config is UTF-8 YAML") from None
    return parse_yaml(text, where=str(path))


def parse_yaml(text: str, *, where: str) -> Any:
    """Plain data of YAML text, by the safe loader. Raises ConfigError, which begins with `where`, if it is not YAML."""
    try:
        return _load(text)
    except _YAML_ERRORS as error:
        raise ConfigError(
            f"{where}: is not valid YAML: {_one_line(error)}", hint="`tempera styles swirl` shows the form"
        ) from None


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases, which let a small file grow without limit, without repeated keys, and without
    numbers so long that reading or printing them takes minutes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases are not allowed: write the value out where it is used",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        if node.tag.endswith((":int", ":float")) and len(node.value) > _LONGEST_NUMBER:
            raise yaml.MarkedYAMLError(
                problem=f"a number of {len(node.value)} characters is too long", problem_mark=node.start_mark
            )
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _load(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a SafeLoader


def config_schema() -> dict[str, Any]:
    """JSON Schema of a style config."""
    return Config.model_json_schema(by_alias=True)
