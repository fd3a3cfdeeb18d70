"""`plan.json`: writing a plan, and reading it back with everything checked.

The file holds the fields of `RenderPlan` as its dataclasses declare them, beside a version and two hashes: `digest` is
the identity of the render, `checksum` covers the whole document, so that every edit or damage is noticed.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pipeline.errors import RenderDirectoryError
from pipeline.plan.checks import check_plan
from pipeline.runtime.hashing import canonical_json, json_digest
from pipeline.types import RenderPlan

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

PLAN_VERSION: Final = 3
_OLDER_VERSION: Final = 2
"""Still read: it has no levels, and the finish does without them."""
_FIELDS_ADDED: Final = {
    _OLDER_VERSION: ("levels", "contrasts", "shot_colors", "photo_digests"),
    PLAN_VERSION: ("contrasts", "shot_colors", "photo_digests"),
}
"""Fields that plans of a version may lack; they are empty then."""
_SOURCE_FIELDS_ADDED: Final = ("gaps_to_fill", "interlaced", "peak_nits", "blended", "alignment", "uncropped_px")
"""Fields that the source of any plan may lack; they have their default then."""
_VERSION_KEY: Final = "tempera_plan"
_CHECKSUM_KEY: Final = "checksum"


def plan_to_json(plan: RenderPlan) -> str:
    """The text of `plan.json`; `plan_from_json` gives an equal plan back."""
    document = {_VERSION_KEY: PLAN_VERSION, **_adapter().dump_python(plan, mode="json")}
    document[_CHECKSUM_KEY] = json_digest(document)
    return _pretty(document)


def plan_from_json(text: str | bytes, *, where: str = "plan.json") -> RenderPlan:
    """Read a plan: version, checksum, digest, every type and every range are checked.

    A plan of version 2 is read as one without levels; contrasts, colors of shots, digests of photos, and what a source
    has had since may be missing. `where` names the file in messages.
    Raises RenderDirectoryError for everything else that `plan_to_json` did not write.
    """
    from pydantic import ValidationError

    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _damaged(where, "is not JSON") from None
    if not isinstance(document, dict) or _VERSION_KEY not in document:
        raise _damaged(where, f"is not a render plan (no {_VERSION_KEY!r})")
    version = document.pop(_VERSION_KEY)
    if type(version) is not int or version not in (_OLDER_VERSION, PLAN_VERSION):
        raise RenderDirectoryError(
            f"{where}: plan version {json.dumps(version)[:80]}, expected {PLAN_VERSION}",
            hint="this render was begun by another version of Tempera: continue it with that one, or begin a new one "
            "with --fresh (the old folder is moved aside) or another --workdir",
        )
    checksum = document.pop(_CHECKSUM_KEY, None)
    try:
        if checksum != json_digest({_VERSION_KEY: version, **document}):
            raise _damaged(where, "was edited or damaged (its checksum does not match)")
        plan = _adapter().validate_python(document)
        written = _adapter().dump_python(plan, mode="json")
        for name in _FIELDS_ADDED[version]:
            if name not in document or version == _OLDER_VERSION:
                del written[name]
        for name in {*_SOURCE_FIELDS_ADDED} - {*document["source"]}:
            del written["source"][name]
        if canonical_json(written) != canonical_json(document):
            raise _damaged(where, "has values that this version would not write")  # 1.0 for 1, unknown keys, gaps
        check_plan(plan)
    except ValidationError as error:
        raise _damaged(where, _first_problem(error)) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(where, str(error)) from None
    return plan


@cache
def _adapter() -> TypeAdapter[RenderPlan]:
    from pydantic import TypeAdapter

    return TypeAdapter(RenderPlan)


def _first_problem(error: ValidationError) -> str:
    """The first of pydantic's findings: where, and what is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _damaged(where: str, what: str) -> RenderDirectoryError:
    return RenderDirectoryError(
        f"{where}: {what}",
        hint="restore plan.json from a copy if you have one; else begin anew with --fresh (the old folder is moved "
        "aside, nothing is deleted) or another --workdir",
    )


def _pretty(document: dict[str, Any]) -> str:
    """JSON with one line per entry of the upper two levels: readable, and ten thousand ticks are one line."""
    lines = []
    for key, value in document.items():
        if isinstance(value, dict) and value:
            inner = ",\n".join(f"    {json.dumps(name)}: {_compact(item)}" for name, item in value.items())
            lines.append(f"  {json.dumps(key)}: {{\n{inner}\n  }}")
        else:
            lines.append(f"  {json.dumps(key)}: {_compact(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
