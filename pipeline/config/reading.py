"""From YAML and `--set` to a config, with an error for whatever does not fit; and the JSON Schema."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from pipeline.config.curves import Curve
from pipeline.config.names import nearest
from pipeline.config.problems import FORM_TYPES, Place, by_place, in_words, kind_of, shortened, yaml_problem
from pipeline.config.section import NO_CURVE, is_animated
from pipeline.config.settings import Config
from pipeline.errors import ConfigError
from pipeline.runtime.presence import in_home

MAX_CONFIG_BYTES = 1 << 17
STYLE_HINT = "`tempera styles swirl` shows a config that works, `tempera schema` lists every key with its range"
_LONGEST_NUMBER = 64
_NO_SECTION = ("model_type", "model_attributes_type", "dataclass_type")
# What PyYAML raises beside its own errors, for text such as `!!bool maybe`, `!!int ""` or `!!timestamp now`.
_YAML_ERRORS = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError)


M = TypeVar("M", bound=BaseModel)


def config_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every key of settings, dotted, in the order of the schema; keys of the entries of lists are left out."""
    keys: list[str] = []
    for name, info in model.model_fields.items():
        key = f"{prefix}{info.alias or name}"
        keys.append(key)
        section = _section(info.annotation)
        if section is not None and get_origin(info.annotation) is not tuple:
            keys.extend(config_keys(section, f"{key}."))
    return keys


def animated_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every key that can be a curve, dotted, with N for the number of an entry in a list."""
    keys: list[str] = []
    for name, info in model.model_fields.items():
        if is_animated(info):
            keys.append(f"{prefix}{name}")
        section = _section(info.annotation)
        if section is not None:
            entry = "N." if get_origin(info.annotation) is tuple else ""
            keys.extend(animated_keys(section, f"{prefix}{name}.{entry}"))
    return keys


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds: itself, optionally, or as the entries of a list."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _fields_beside(model: type[BaseModel], location: Place) -> dict[str, FieldInfo]:
    """The fields of the section, or entry of a list, that a location is in, by name."""
    section: type[BaseModel] | None = model
    for part in location[:-1]:
        if section is not None and isinstance(part, str):
            field = _fields(section).get(part)
            section = None if field is None else _section(field.annotation)
    return {} if section is None else _fields(section)


def _fields(section: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in section.model_fields.items()}


def parse_config(data: object, *, where: str) -> Config:
    """Validate the plain data of a style config; see `parse_settings`."""
    return parse_settings(Config, data, where=where, hint=STYLE_HINT)


def parse_settings(model: type[M], data: object, *, where: str, hint: str) -> M:
    """Validate plain data.

    Raises ConfigError that names every wrong key, what was expected and what was found, with this hint.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping of settings, found {kind_of(data)}", hint=hint)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = []
        found = by_place(error.errors(), data)
        for location, errors in list(found.items())[:8]:
            if any(len(other) > len(location) and other[: len(location)] == location for other in found):
                continue  # pydantic counts a list with a wrong item as too short
            key = ".".join(str(part) for part in location if part != "[key]")
            types = {problem["type"] for problem in errors}
            beside = _fields_beside(model, location)
            if "extra_forbidden" in types:
                prefix = "".join(f"{part}." for part in location[:-1])
                keys = [*config_keys(model), *(f"{prefix}{name}" for name in beside)]
                problems.append(f"{shortened(key)}: unknown key{nearest(key, keys)}")
            elif types & {*_NO_SECTION} and (inside := _settings_of(key, model)):
                given = shortened(repr(errors[0].get("input")))
                problems.append(f"{shortened(key)}: is a section, with settings such as {inside}, found {given}")
            else:
                problems.append(f"{shortened(key)}: {in_words(errors)}" if key else in_words(errors))
            if key and types & {*FORM_TYPES} and (field := beside.get(str(location[-1]))) and field.description:
                hint = f"{key}: {field.description}"
        if any(problem["type"] == NO_CURVE for errors in found.values() for problem in errors):
            hint = f"these can change during the clip: {', '.join(animated_keys(model))}"
        raise ConfigError(f"{where}: " + "; ".join(problems), hint=hint) from None


def _settings_of(key: str, model: type[BaseModel]) -> str:
    """The first settings of a section; "" if the key is none."""
    keys = config_keys(model)
    inside = [name for name in keys if name.startswith(f"{key}.") and not any(k.startswith(f"{name}.") for k in keys)]
    return ", ".join(inside[:2])


def check_key(key: str, option: str, model: type[BaseModel] = Config, *, hint: str = STYLE_HINT) -> None:
    """Raise ConfigError, naming the nearest valid key, for a key that an option of the command line cannot reach."""
    valid = config_keys(model)
    if key not in valid and not key.startswith(_open_keys(model)):
        raise ConfigError(f"{option} {shortened(key)}: unknown key{nearest(key, valid)}", hint=hint)


def set_value(
    data: dict[str, Any], assignment: str, model: type[BaseModel] = Config, *, hint: str = STYLE_HINT
) -> None:
    """Apply one `section.key=value` of `--set` to the plain data of settings; the value is read as YAML, but a color
    such as `#ff8000`, which would be a comment there, as it is.

    Paths in the value are relative to the current folder, whatever file it is set for. Raises ConfigError for an
    unknown key, naming the nearest valid one.
    """
    key, sign, text = assignment.partition("=")
    key = key.strip()
    if not sign or not key:
        raise ConfigError(
            f"--set {shortened(assignment)}: expected section.key=value",
            hint="for example --set optimize.warm.evaluations=8",
        )
    check_key(key, "--set", model, hint=hint)
    try:
        value = text.strip() if text.lstrip().startswith("#") else _load(text)
    except _YAML_ERRORS as error:
        raise ConfigError(
            f"--set {shortened(assignment)}: the value is not YAML ({yaml_problem(error)})", hint="quote it"
        ) from None
    value = _from_here(model, key.split("."), value)
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
            f"--set {shortened(key)}: no such entry in the list",
            hint="entries are numbered from 0, as in style.images.0.weight=45",
        ) from None


def _from_here(annotation: Any, key: Sequence[str], value: Any) -> Any:
    """The plain value of a key below a field of this type, with its paths absolute, from the current folder."""
    kinds = [annotation]
    for kind in kinds:  # grows: unions and annotated types are taken apart
        if get_origin(kind) in (Union, UnionType, Annotated):
            kinds.extend(get_args(kind))
    if not key and isinstance(value, str):
        words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
        return str(in_home(value).absolute()) if Path in kinds and value not in words else value
    below = next((found for kind in kinds for found in (_types_below(kind),) if found is not None), None)
    if below is None:
        return value
    if key:
        return _from_here(below(key[0]), key[1:], value)
    if isinstance(value, dict):
        return {name: _from_here(below(str(name)), (), item) for name, item in value.items()}
    return [_from_here(below("0"), (), item) for item in value] if isinstance(value, list) else value


def _types_below(kind: Any) -> Callable[[str], Any] | None:
    """The type of what a section, list or table holds at a name; None for what holds nothing."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {info.alias or name: info.annotation for name, info in kind.model_fields.items()}
        return fields.get
    arguments = get_args(kind)
    return (
        (lambda _: arguments[1 if get_origin(kind) is dict else 0]) if get_origin(kind) in (dict, tuple, list) else None
    )


def settings_without_style(assignments: Sequence[str]) -> Config:
    """The default settings with `--set` assignments applied, for commands that stylize nothing; the style is empty.

    Raises ConfigError as `set_value` and `parse_config` do.
    """
    data: dict[str, Any] = {"style": {"images": [{"path": "unused"}]}}
    for assignment in assignments:
        set_value(data, assignment)
    return parse_config(data, where="--set")


def _open_keys(model: type[BaseModel], prefix: str = "") -> tuple[str, ...]:
    """The beginnings of keys that are not fixed: of tables, and of the entries of lists of sections."""
    found: list[str] = []
    for name, info in model.model_fields.items():
        key, section, kind = f"{prefix}{info.alias or name}.", _section(info.annotation), get_origin(info.annotation)
        if kind is dict or (kind is tuple and section is not None):
            found.append(key)
        elif section is not None:
            found.extend(_open_keys(section, key))
    return tuple(found)


def read_yaml(path: Path, *, hint: str = STYLE_HINT) -> Any:
    """Plain data of a YAML file, by the safe loader.

    Raises ConfigError if the file is missing, too large, not text or not YAML.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise ConfigError(f"{path}: is not a file", hint="a config is a page of YAML in a file")
        size = found.st_size
        if size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: {size} bytes is too large for a config", hint="a config is a page of YAML")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})", hint="check the path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text", hint="a config is UTF-8 YAML") from None
    return parse_yaml(text, where=str(path), hint=hint)


def parse_yaml(text: str, *, where: str, hint: str = STYLE_HINT) -> Any:
    """Plain data of YAML text, by the safe loader. Raises ConfigError, which begins with `where`, if it is not YAML."""
    try:
        return _load(text)
    except _YAML_ERRORS as error:
        raise ConfigError(f"{where}: is not valid YAML: {yaml_problem(error)}", hint=hint) from None


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases, which let a small file grow without limit, without repeated keys, without
    numbers so long that reading or printing them takes minutes, and without those to the base of 60: `9:16` is text."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        number = tag.endswith((":int", ":float")) and value is not None and ":" in value
        return "tag:yaml.org,2002:str" if number else tag

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
    """JSON Schema of a style config. A number that is marked as `animated` can be a curve, or a list of its points."""
    schema = Config.model_json_schema(by_alias=True)
    curve = Curve.model_json_schema(ref_template="#/$defs/{model}")
    curves = [{"type": "array", "items": {"$ref": "#/$defs/Point"}, "minItems": 1}, {"$ref": "#/$defs/Curve"}]
    for section in (schema, *schema["$defs"].values()):
        for value in section.get("properties", {}).values():
            if "animated" in value:
                kept = {key: value.pop(key) for key in list(value) if key not in ("default", "description", "title")}
                del kept["animated"]
                value["anyOf"] = [kept, *curves]
    schema["$defs"] |= {**curve.pop("$defs"), "Curve": curve}
    return schema
