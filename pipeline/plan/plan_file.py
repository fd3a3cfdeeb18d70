"""`plan.json`: writing a plan, reading it back without trusting it, and comparing two.

The file carries two hashes. `digest` is the identity of the render; `checksum` covers the whole
document, so that an edited or damaged plan is noticed wherever it was touched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, NoReturn

from pipeline.errors import RenderDirectoryError
from pipeline.types import MAX_TONE_SHIFT, TONE_NODES, Chain, ColorTags, RenderPlan, Shot, Source, ToneCurve

PLAN_VERSION: Final = 1
MAX_SIDE_PX: Final = 65_535
_VERSION_KEY: Final = "tempera_plan"
_CHAIN_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN: Final = 80
EXPOSURE_KEY: Final = "exposure"
"""Key of the identity that holds the digest of the tone curves; plans without curves lack it."""


def canonical_json(value: Any) -> bytes:
    """The one way to write plain data: keys sorted, no spaces, ASCII, floats by repr, NaN and infinity refused."""
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def identity_digest(identity: Mapping[str, Any]) -> str:
    """SHA-256 of the identity's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(dict(identity))).hexdigest()


def exposure_digest(curves: Sequence[ToneCurve]) -> str | None:
    """SHA-256 of the curves that even out the exposure, in hex; None where there are none."""
    return hashlib.sha256(canonical_json([list(curve) for curve in curves])).hexdigest() if curves else None


def plan_to_json(plan: RenderPlan) -> str:
    """The text of `plan.json`; `plan_from_json` gives an equal plan back."""
    source = plan.source
    document: dict[str, Any] = {
        _VERSION_KEY: PLAN_VERSION,
        "digest": plan.digest,
        "identity": dict(plan.identity),
        "source": {
            "path": source.path,
            "kind": source.kind,
            "files": list(source.files),
            "width_px": source.width_px,
            "height_px": source.height_px,
            "frame_rate": str(source.frame_rate),
            "time_base": str(source.time_base),
            "pts": list(source.pts),
            "duration_ticks": source.duration_ticks,
            "picks": list(source.picks),
            "rotation_deg": source.rotation_deg,
            "color": {name: getattr(source.color, name) for name in ("primaries", "transfer", "matrix", "full_range")},
            "has_audio": source.has_audio,
            "digest": source.digest,
            "order": source.order,
            "notes": list(source.notes),
            "stream_index": source.stream_index,
            "stream_pts": list(source.stream_pts),
        },
        "width_px": plan.width_px,
        "height_px": plan.height_px,
        "shots": [[shot.index, shot.start, shot.stop] for shot in plan.shots],
        "chains": [
            {
                name: getattr(chain, name)
                for name in ("id", "style", "shot", "start", "stop", "lead_in", "seed", "step", "keys")
            }
            for chain in plan.chains
        ],
        "styles": {name: dict(settings) for name, settings in plan.styles.items()},
        "outputs": dict(plan.outputs),
        "weights": dict(plan.weights),
    }
    if plan.exposure:
        document["exposure"] = [list(curve) for curve in plan.exposure]
    document["checksum"] = hashlib.sha256(canonical_json(document)).hexdigest()
    return _pretty(document)


def plan_from_json(text: str | bytes, *, where: str = "plan.json") -> RenderPlan:
    """Read a plan, believing nothing: version, checksum, digest, every type and every range are checked.

    `where` names the file in messages. Raises RenderDirectoryError for anything but what `plan_to_json` wrote.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _damaged(where, "is not JSON") from None
    if not isinstance(document, dict) or _VERSION_KEY not in document:
        raise _damaged(where, f"is not a render plan (no {_VERSION_KEY!r})")
    version = document[_VERSION_KEY]
    if type(version) is not int or version != PLAN_VERSION:
        raise RenderDirectoryError(
            f"{where}: plan version {_shown(version)}, expected {PLAN_VERSION}",
            hint="this render was begun by another version of Tempera: continue it with that one, or begin a new one "
            "with --fresh (the old folder is moved aside) or another --workdir",
        )
    checksum = document.pop("checksum", None)
    try:
        actual = hashlib.sha256(canonical_json(document)).hexdigest()
        if checksum != actual:
            raise _damaged(where, "was edited or damaged (its checksum does not match)")
        return _plan(document)
    except KeyError as error:
        raise _damaged(where, f"lacks {error.args[0]!r}") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(where, str(error)) from None


def check_plan(plan: RenderPlan) -> None:
    """Raise ValueError if a plan contradicts itself.

    Shots must cover the frames without gap or overlap, chains must cover every frame once per style inside its shot,
    names must be safe, the digest must be that of the identity.
    """
    count = plan.source.frame_count
    _expect(count > 0, "there are no frames")
    _expect(0 < plan.width_px <= MAX_SIDE_PX and 0 < plan.height_px <= MAX_SIDE_PX, "impossible size")
    _expect(len(plan.source.picks) == count, "as many picks as time stamps are needed")
    _expect(len(plan.source.stream_pts) in (0, count), "as many stamps of the stream as frames are needed")
    _expect(all(a < b for a, b in zip(plan.source.pts, plan.source.pts[1:], strict=False)), "pts must increase")
    _expect(plan.source.frame_rate > 0 and plan.source.time_base > 0, "frame rate and time base must be above 0")
    _expect([shot.index for shot in plan.shots] == list(range(len(plan.shots))), "shots must be numbered from 0")
    _expect(_tiles([(shot.start, shot.stop) for shot in plan.shots], count), "shots must cover every frame once")
    ids = [chain.id for chain in plan.chains]
    _expect(len(set(ids)) == len(ids), "two chains have the same id")
    runs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    by_id = {chain.id: chain for chain in plan.chains}
    for chain in plan.chains:
        _expect(_CHAIN_ID.fullmatch(chain.id) is not None, f"chain id {_shown(chain.id)} is not a safe name")
        _expect(chain.style in plan.styles, f"chain {chain.id} has an unknown style")
        _expect(0 <= chain.shot < len(plan.shots), f"chain {chain.id} has an unknown shot")
        shot = plan.shots[chain.shot]
        _expect(chain.lead_in >= 0 and chain.seed >= 0, f"chain {chain.id} has a negative lead-in or seed")
        _expect(
            shot.start <= chain.start - chain.lead_in and chain.stop <= shot.stop, f"chain {chain.id} crosses a cut"
        )
        _expect(chain.step >= 1 and chain.start < chain.stop, f"chain {chain.id} has no frames")
        if chain.keys:
            keys = by_id.get(chain.keys)
            _expect(
                keys is not None and keys.style == chain.style and chain.start in keys.frames and not chain.lead_in,
                f"chain {chain.id} starts from a keyframe that there is not",
            )
        if chain.delivered:
            runs[chain.style].append((chain.start, chain.stop))
    for style in plan.styles:
        _expect(_tiles(sorted(runs[style]), count), f"the chains of {style!r} must cover every frame once")
    _expect(set(plan.outputs) <= set(plan.styles), "an output belongs to no style")
    _expect(set(plan.weights) <= set(plan.styles), "weights belong to no style")
    _expect(len(plan.exposure) in (0, count), "as many tone curves as frames are needed")
    for curve in plan.exposure:
        _expect(len(curve) in (0, len(TONE_NODES) + 3), "a tone curve has the wrong length")
        _expect(all(abs(shift) <= MAX_TONE_SHIFT for shift in curve), "a tone curve is out of range")
    _expect(plan.identity.get(EXPOSURE_KEY) == exposure_digest(plan.exposure), "the tone curves are not the identity's")
    _expect(plan.digest == identity_digest(plan.identity), "the digest does not match the identity")


def check_same(existing: RenderPlan, wanted: RenderPlan, *, where: str = "the render directory") -> None:
    """Raise RenderDirectoryError naming every differing setting with both values if two plans paint differently."""
    if existing.digest == wanted.digest:
        return
    lines = [f"{key}: there {there}, now {now}" for key, there, now in differences(existing, wanted)]
    raise RenderDirectoryError(
        f"{where}: holds a render with other settings\n  " + "\n  ".join(lines),
        hint="use the same settings to continue it; or begin a new render with --fresh (the old folder is moved aside, "
        "nothing is deleted) or with another --workdir",
    )


def differences(existing: RenderPlan, wanted: RenderPlan) -> list[tuple[str, str, str]]:
    """Identity keys in which two plans differ, each with both values as short text.

    If the styles themselves differ, that is one line: the settings of a style that only one plan has say nothing more.
    """
    found = []
    if set(existing.styles) != set(wanted.styles):
        found.append(("styles", ", ".join(sorted(existing.styles)), ", ".join(sorted(wanted.styles))))
    alone = tuple(f"styles.{name}." for name in set(existing.styles) ^ set(wanted.styles))
    unset = object()
    for key in sorted({*existing.identity, *wanted.identity}):
        if alone and key.startswith(alone):
            continue
        there, now = existing.identity.get(key, unset), wanted.identity.get(key, unset)
        if (there is unset) != (now is unset) or canonical_json(there) != canonical_json(now):
            found.append((key, _shown(there, unset), _shown(now, unset)))
    return found


def _plan(document: dict[str, Any]) -> RenderPlan:
    """Turn checked JSON into a plan. Raises KeyError, TypeError or ValueError where it is not of the right form."""
    known = {_VERSION_KEY, "digest", "identity", "source", "width_px", "height_px", "shots", "chains", "styles"}
    _expect(set(document) <= known | {"outputs", "weights", "exposure"}, "has keys that do not belong in a plan")
    source = _mapping(document["source"])
    color = _mapping(source["color"])
    full_range = color["full_range"]
    _expect(full_range is None or isinstance(full_range, bool), "full_range must be true, false or null")
    _expect(source["kind"] in ("video", "photos"), "unknown kind of source")
    plan = RenderPlan(
        digest=_text(document["digest"]),
        identity=_mapping(document["identity"]),
        source=Source(
            path=_text(source["path"]),
            kind=source["kind"],
            files=tuple(_text(file) for file in _list(source["files"])),
            width_px=_whole(source["width_px"]),
            height_px=_whole(source["height_px"]),
            frame_rate=_fraction(source["frame_rate"]),
            time_base=_fraction(source["time_base"]),
            pts=tuple(_whole(tick) for tick in _list(source["pts"])),
            duration_ticks=_whole(source["duration_ticks"]),
            picks=tuple(_whole(pick) for pick in _list(source["picks"])),
            rotation_deg=_whole(source["rotation_deg"]),
            color=ColorTags(
                primaries=_tag(color["primaries"]),
                transfer=_tag(color["transfer"]),
                matrix=_tag(color["matrix"]),
                full_range=full_range,
            ),
            has_audio=_flag(source["has_audio"]),
            digest=_text(source["digest"]),
            order=_text(source["order"]),
            notes=tuple(_text(note) for note in _list(source["notes"])),
            stream_index=_whole(source["stream_index"]),
            stream_pts=tuple(_whole(ticks) for ticks in _list(source["stream_pts"])),
        ),
        width_px=_whole(document["width_px"]),
        height_px=_whole(document["height_px"]),
        shots=tuple(Shot(*(_whole(number) for number in _list(shot))) for shot in _list(document["shots"])),
        chains=tuple(
            Chain(
                id=_text(chain["id"]),
                style=_text(chain["style"]),
                shot=_whole(chain["shot"]),
                start=_whole(chain["start"]),
                stop=_whole(chain["stop"]),
                lead_in=_whole(chain["lead_in"]),
                seed=_whole(chain["seed"]),
                step=_whole(chain["step"]),
                keys=_text(chain["keys"]),
            )
            for chain in map(_mapping, _list(document["chains"]))
        ),
        styles={name: _mapping(settings) for name, settings in _mapping(document["styles"]).items()},
        outputs={name: _text(path) for name, path in _mapping(document["outputs"]).items()},
        weights={name: _text(path) for name, path in _mapping(document["weights"]).items()},
        exposure=tuple(tuple(map(_whole, _list(curve))) for curve in _list(document.get("exposure", []))),
    )
    _expect(_SHA256.fullmatch(plan.digest) is not None, "the digest is not a SHA-256")
    check_plan(plan)
    return plan


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


def _shown(value: Any, unset: object = None) -> str:
    if unset is not None and value is unset:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 25]}...{text[-20:]}"


def _tiles(runs: list[tuple[int, int]], count: int) -> bool:
    """Whether the runs, in order, are not empty and cover [0, count) without gap or overlap."""
    edges = [0, *(stop for _, stop in runs)]
    return (
        edges[-1] == count
        and all(start < stop for start, stop in runs)
        and all(start == edge for (start, _), edge in zip(runs, edges, strict=False))
    )


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected a mapping, found {_shown(value)}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {_shown(value)}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {_shown(value)}")
    return value


def _tag(value: Any) -> str | None:
    return None if value is None else _text(value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"expected a whole number, found {_shown(value)}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, found {_shown(value)}")
    return value


def _fraction(value: Any) -> Fraction:
    text = _text(value)
    if not re.fullmatch(r"\d{1,18}(/[1-9]\d{0,17})?", text):
        raise ValueError(f"expected a fraction, found {_shown(text)}")
    return Fraction(text)
