"""What every section of a config is made of, and how a number of it can be a curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, PydanticKnownError, core_schema

from pipeline.config.curves import Curve, is_curve

Weight = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]

ANIMATED: Final = Field(json_schema_extra={"animated": True})
"""Marks a number that acts on single frames, so that it can be a curve: `Annotated[float, ANIMATED]`."""
NO_CURVE: Final = "no_curve"
"""Type of the error where a curve stands at a number that has one value for the whole clip."""
_PARTS: Final = ("schema", "fields", "choices", "items_schema", "keys_schema", "values_schema")
"""Keys under which the schemas of pydantic hold others."""


def _whole(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticKnownError("int_type")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    return value


def _without_booleans(schema: Any, section: type[BaseModel]) -> Any:
    """The schema of a section in which no number takes a boolean; those of other sections in it have been changed."""
    match schema:
        case {"type": "int"}:
            return core_schema.no_info_before_validator_function(_whole, schema)
        case {"type": "float"}:
            return core_schema.no_info_before_validator_function(_number, schema)
        case {"type": "model", "cls": other} if other is not section:
            return schema
        case {"function": {"function": function}} if function in (_whole, _number):
            return schema
        case {"type": str()}:
            return {key: _without_booleans(part, section) if key in _PARTS else part for key, part in schema.items()}
        case dict():  # the fields by name
            return {name: _without_booleans(part, section) for name, part in schema.items()}
        case list() | tuple():
            return type(schema)(_without_booleans(part, section) for part in schema)
    return schema


class Settings(BaseModel):
    """Base of every section: immutable; an unknown key is an error.

    Where a config has a curve at a number that is `ANIMATED`, the section holds the curve, and the field the largest of
    its values: all are validated as values of that field. Written as data, the curve stands where it stood.
    Numbers take no booleans, as which YAML reads `yes` and `on`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    _curves: dict[str, Curve] = PrivateAttr(default_factory=dict)

    @property
    def own_curves(self) -> Mapping[str, Curve]:
        """The curves of this section's own numbers, by field."""
        return self._curves

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: CoreSchema = _without_booleans(handler(source), cls)
        return schema

    @model_validator(mode="wrap")
    @classmethod
    def _take_curves(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping):
            return handler(data)
        curves: dict[str, Curve] = {}
        for name, info in cls.model_fields.items():
            value = data.get(name)
            if is_animated(info) and isinstance(value, list | tuple | Mapping):
                curves[name] = _curve(cls, name, value)
            elif is_curve(value):
                said = "it has one value for the whole clip and cannot be a curve"
                raise _errors(cls, [_detail(NO_CURVE, (name,), said, value)])
        if not curves:
            return handler(data)
        found = handler(dict(data) | {name: _most(cls, name, curve) for name, curve in curves.items()})
        found._curves = curves
        return found

    @model_serializer(mode="wrap")
    def _put_curves(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return data | {name: curve.plain() for name, curve in self._curves.items() if name in data}


Section = TypeVar("Section", bound=Settings)


def is_animated(info: FieldInfo) -> bool:
    """Whether a field can be a curve."""
    return isinstance(info.json_schema_extra, dict) and "animated" in info.json_schema_extra


def curves_of(section: Settings) -> dict[str, Curve]:
    """Every curve in a section and those below it, by dotted key, such as `style.images.0.weight`."""
    found = dict(section.own_curves)
    for name in type(section).model_fields:
        for part, child in _children(getattr(section, name)):
            found |= {".".join((name, *part, key)): curve for key, curve in curves_of(child).items()}
    return found


def curve_lines(configs: Mapping[str, Settings]) -> list[str]:
    """A line for every curve of some styles, as `losses.tv.weight: 1 at 0 s, 0 at 3 s`; of several, with the name."""
    return [
        f"{key}: {curve}" if len(configs) == 1 else f"{name}: {key}: {curve}"
        for name, config in configs.items()
        for key, curve in curves_of(config).items()
    ]


def with_values(section: Section, values: Mapping[str, float]) -> Section:
    """The section with other numbers at dotted keys, as `curves_of` names them."""
    return _replaced(section, values) if values else section


def with_paths(settings: Section, change: Callable[[Path], Path]) -> Section:
    """A copy of settings in which every path, at any depth, is changed by `change`."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return settings.model_copy(update={name: _changed(value, change) for name, value in values.items()})


def _children(value: Any) -> Iterator[tuple[tuple[str, ...], Settings]]:
    """The sections that a field holds: itself one, or a list or a mapping of them."""
    if isinstance(value, Settings):
        yield (), value
    elif isinstance(value, tuple | Mapping):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        yield from (((str(key),), item) for key, item in items if isinstance(item, Settings))


def _replaced(value: Any, values: Mapping[str, float]) -> Any:
    if "" in values:
        return values[""]
    own: dict[str, dict[str, float]] = {}
    for key, number in values.items():
        head, _, rest = key.partition(".")
        own.setdefault(head, {})[rest] = number
    if isinstance(value, Settings):
        found = value.model_copy(update={name: _replaced(getattr(value, name), rest) for name, rest in own.items()})
        found._curves = {name: curve for name, curve in value.own_curves.items() if name not in own}
        return found
    if isinstance(value, Mapping):
        return {key: _replaced(item, own[key]) if key in own else item for key, item in value.items()}
    return tuple(_replaced(item, own[str(at)]) if str(at) in own else item for at, item in enumerate(value))


def _most(section: type[Settings], name: str, curve: Curve) -> float:
    """The largest value of a curve; if the field does not take all of them, the smallest that it refuses.

    The values are tried at the field alone: the section may hold other sections, with curves of a thousand points.
    """
    field = _field(section, name)
    for value in sorted({point.value for point in curve.points}):
        try:
            field.validate_python(value)
        except ValidationError:
            return value
    return curve.most


@cache
def _field(section: type[Settings], name: str) -> TypeAdapter[Any]:
    info = section.model_fields[name]
    form: Any = Annotated[info.annotation, info]
    return TypeAdapter(form)


def _curve(section: type[Settings], name: str, value: Any) -> Curve:
    """The curve at a field of a section. Raises ValidationError, with the field in its place."""
    try:
        return Curve.model_validate(value)
    except ValidationError as error:
        skipped = 1 if isinstance(value, list | tuple) else 0  # the name of the list that the points become
        details = [
            _detail(found["type"], (name, *found["loc"][skipped:]), found["msg"], found["input"], found.get("ctx", {}))
            for found in error.errors()
        ]
        raise _errors(section, details) from None


def _detail(
    kind: str, place: tuple[str | int, ...], message: str, value: Any, context: Mapping[str, Any] = MappingProxyType({})
) -> InitErrorDetails:
    problem = PydanticCustomError(kind, "{message}", {**context, "message": message})
    return InitErrorDetails(type=problem, loc=place, input=value)


def _errors(section: type[Settings], details: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data(section.__name__, details)


def _changed(value: Any, change: Callable[[Path], Path]) -> Any:
    if isinstance(value, Path):
        return change(value)
    if isinstance(value, Settings):
        return with_paths(value, change)
    if isinstance(value, tuple):
        return tuple(_changed(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _changed(item, change) for key, item in value.items()}
    return value
