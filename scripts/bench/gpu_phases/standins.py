"""Stand-ins for libraries that a machine with a GPU may lack, so that the numerics run with torch and NumPy alone.

With the stand-in of pydantic, settings have their defaults and are not checked; that of safetensors reads weights; what
is asked of OpenCV or Pillow raises ModuleNotFoundError when it is called, not when it is imported.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import inspect
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

LIBRARIES = ("pydantic", "safetensors", "cv2", "PIL")
"""What has a stand-in."""


def install(without: Sequence[str] = ()) -> list[str]:
    """Enter a stand-in for every library that is missing, and return their names.

    Libraries named in `without` are treated as missing even if they are installed.
    """
    if without:
        sys.meta_path.insert(0, _Blocked(without))
    missing = [name for name in LIBRARIES if not _found(name)]
    for name in missing:
        sys.modules.update(_MAKERS.get(name, _refusing)(name))
    return missing


def need(*names: str) -> None:
    """Raise ModuleNotFoundError if one of the libraries is missing, or has only a stand-in."""
    missing = [name for name in names if isinstance(sys.modules.get(name), _Refusing) or not _found(name)]
    if missing:
        raise ModuleNotFoundError(f"needs {', '.join(missing)}, which is not installed", name=missing[0])


class _Blocked(importlib.abc.MetaPathFinder):
    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:  # noqa: ARG002 - the protocol's
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{fullname} is left out by --without", name=fullname)


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


class _Refusing(ModuleType):
    """A module of which everything exists, and says when it is called that the library is missing."""

    def __getattr__(self, name: str) -> _Member:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Member(self.__name__)


class _Member:
    def __init__(self, library: str) -> None:
        self._library = library

    def __getattr__(self, name: str) -> _Member:
        return self

    def __call__(self, *_arguments: Any, **_named: Any) -> Any:
        raise ModuleNotFoundError(f"{self._library} is not installed", name=self._library)


def _refusing(name: str) -> dict[str, ModuleType]:
    return {name: _Refusing(name)}


def _module(name: str, **members: Any) -> dict[str, ModuleType]:
    module = _Refusing(name)
    vars(module).update(members)
    return {name: module}


class _Field:
    """The default of a field."""

    def __init__(self, default: Any = ..., *, default_factory: Callable[[], Any] | None = None, **_facts: Any) -> None:
        self.default = default
        self.make = default_factory or (lambda: self.default)


class _BaseModel:
    """Fields with defaults, set by name."""

    model_fields: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: vars(cls).get(name, _Field()) for name in inspect.get_annotations(cls) if name[0] != "_"}
        cls.model_fields = {**cls.model_fields, **own}

    def __init__(self, **values: Any) -> None:
        for name, field in self.model_fields.items():
            value = values[name] if name in values else field.make() if isinstance(field, _Field) else field
            if value is ...:
                raise TypeError(f"{type(self).__name__} needs {name}")
            setattr(self, name, value)


def _unchanged(*_arguments: Any, **_named: Any) -> Callable[[Any], Any]:
    """A decorator that does nothing."""
    return lambda function: function


def _pydantic(_name: str) -> dict[str, ModuleType]:
    decorators = dict.fromkeys(("field_validator", "model_serializer", "model_validator"), _unchanged)
    core = _module("pydantic_core", PydanticCustomError=ValueError)
    names = ("AfterValidator", "BeforeValidator", "ConfigDict", "WithJsonSchema")
    noted = dict.fromkeys(names, lambda *_arguments, **_named: None)
    made = {"BaseModel": _BaseModel, "Field": _Field, "PrivateAttr": lambda default_factory: default_factory()}
    fields = _module("pydantic.fields", FieldInfo=_Field)
    return {**core, **fields, **_module("pydantic", **made, **decorators, **noted)}


class _SafeOpen:
    """Reads a safetensors file: the length of a JSON header as 8 bytes, the header, and the bytes of the tensors."""

    def __init__(self, path: str | Path, framework: str = "pt") -> None:  # noqa: ARG002 - the library's signature
        data = Path(path).read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        self._header: dict[str, Any] = json.loads(data[8:start])
        self._notes: dict[str, str] | None = self._header.pop("__metadata__", None)
        self._body = bytearray(data[start:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._body = bytearray()

    def metadata(self) -> dict[str, str] | None:
        return self._notes

    def keys(self) -> list[str]:
        return list(self._header)

    def get_tensor(self, name: str) -> Any:
        import torch

        entry = self._header[name]
        dtype = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}[entry["dtype"]]
        count, offset = math.prod(entry["shape"]), entry["data_offsets"][0]
        return torch.frombuffer(self._body, dtype=dtype, count=count, offset=offset).reshape(entry["shape"]).clone()


def _safetensors(_name: str) -> dict[str, ModuleType]:
    return {**_module("safetensors", safe_open=_SafeOpen, SafetensorError=ValueError), **_refusing("safetensors.torch")}


_MAKERS: dict[str, Callable[[str], dict[str, ModuleType]]] = {"pydantic": _pydantic, "safetensors": _safetensors}
