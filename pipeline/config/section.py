"""What every section of a config is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Weight = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Settings(BaseModel):
    """Base of every section: immutable; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


S = TypeVar("S", bound=Settings)


def with_paths(settings: S, change: Callable[[Path], Path]) -> S:
    """A copy of settings in which every path, at any depth, is changed by `change`."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return settings.model_copy(update={name: _changed(value, change) for name, value in values.items()})


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
