"""How two plans differ: the same render, the same one with more frames at its end, or another one.

More frames at the end of the input change what is measured over all of them (cuts, tone curves, colors of shots, values
of curves), so these may differ between a plan and one that extends it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.errors import OtherRenderError
from pipeline.plan.curves import stylizing_curves
from pipeline.plan.identity import EXPOSURE_KEY, SHOT_COLORS_KEY
from pipeline.plan.paths import style_configs
from pipeline.plan.region_colors import region_colors_key
from pipeline.runtime.hashing import canonical_json, joined_digest
from pipeline.types import RenderPlan

_SHOWN_LENGTH: Final = 80
_SHOWN_PHOTOS: Final = 5
_OF_FRAMES: Final = frozenset(
    ("source.digest", "source.frames", "source.damaged", "source.blended", "shots", EXPOSURE_KEY, SHOT_COLORS_KEY)
)
"""Keys of the identity that more frames change."""


def check_same(existing: RenderPlan, wanted: RenderPlan, *, where: str = "the render directory") -> None:
    """Raise OtherRenderError, naming every differing setting with both values, if two plans stylize differently.

    Photos that are gone, new or changed are named; what only follows from more frames at the end is not.
    """
    if existing.digest == wanted.digest:
        return
    if has_more_frames(wanted, existing) and not _settings(wanted, existing, where):
        there, now = existing.source.frame_count, wanted.source.frame_count
        raise OtherRenderError(
            f"{where}: holds a render of {there} frames, and only the first {now} of them are wanted now",
            hint=f"give no --frames, or those of the render, to continue it; another -o or --workdir renders {now} by "
            "themselves",
        )
    more = has_more_frames(existing, wanted)
    found = _settings(existing, wanted, where) if more else differences(existing, wanted)
    lines = [f"{key}: there {there}, now {now}" for key, there, now in found]
    lines += [] if more else _photos(existing, wanted)
    names = [Path(plan.source.path).name for plan in (existing, wanted)]
    if existing.source.digest != wanted.source.digest and names[0] != names[1]:
        lines.insert(0, f"the input: there {names[0]}, now {names[1]}")
    if any(key == "algorithm" for key, _, _ in found):
        continued = "continue it with the version of Tempera that began it"
    else:
        continued = "use the same settings to continue it"
    raise OtherRenderError(
        f"{where}: holds a render with other settings\n  " + "\n  ".join(lines),
        hint=f"{continued}; or begin a new render with --fresh (the old folder is moved aside, nothing is deleted) or "
        "with another --workdir",
    )


def extends(existing: RenderPlan, wanted: RenderPlan, *, where: str = "the render directory") -> bool:
    """Whether `wanted` is `existing` with more frames at its end, and the same settings."""
    return has_more_frames(existing, wanted) and not _settings(existing, wanted, where)


def has_more_frames(existing: RenderPlan, wanted: RenderPlan) -> bool:
    """Whether the frames of `wanted` begin with those of `existing`, with the same content, and go on."""
    before, now = existing.source, wanted.source
    count = before.frame_count
    facts = [
        (it.kind, it.width_px, it.height_px, it.interlaced, it.peak_nits, it.decoded_indices[:count])
        for it in (before, now)
    ]
    if count >= now.frame_count or facts[0] != facts[1]:
        return False
    if before.damaged != tuple(index for index in now.damaged if index < count):
        return False
    if now.kind == "video":
        return before.digest == now.digest
    return bool(wanted.photo_digests) and joined_digest(wanted.photo_digests[:count]) == before.digest


def differences(existing: RenderPlan, wanted: RenderPlan) -> list[tuple[str, str, str]]:
    """Identity keys in which two plans differ, each with both values as short text.

    If the plans have different styles, that is one entry; the settings of a style that only one plan has are left out.
    """
    found = []
    if set(existing.styles) != set(wanted.styles):
        found.append(("styles", ", ".join(sorted(existing.styles)), ", ".join(sorted(wanted.styles))))
    alone = tuple(f"styles.{name}." for name in set(existing.styles) ^ set(wanted.styles))
    for key in sorted({*existing.identity, *wanted.identity}):
        if alone and key.startswith(alone):
            continue
        there, now = _shown(existing.identity, key), _shown(wanted.identity, key)
        sides = [canonical_json(plan.identity[key]) for plan in (existing, wanted) if key in plan.identity]
        if len(sides) < 2 or sides[0] != sides[1]:
            found.append((key, there, now))
    return found


def _settings(existing: RenderPlan, wanted: RenderPlan, where: str) -> list[tuple[str, str, str]]:
    """The differences between a plan and one with more frames that do not follow from these."""
    found = [entry for entry in differences(existing, wanted) if entry[0] not in _OF_FRAMES]
    if not found:
        return []
    before, now = (style_configs(plan, Path(where)) for plan in (existing, wanted))
    chosen: set[str] = set()
    for name in before.keys() & now.keys():
        chosen.add(region_colors_key(name))
        if before[name].motion.segment_frames == now[name].motion.segment_frames == "auto":
            chosen.add(f"styles.{name}.motion.segment_frames")
        curves = stylizing_curves(before[name])
        if curves == stylizing_curves(now[name]):
            chosen.update(f"styles.{name}.curves.{key}" for key in curves)
    return [entry for entry in found if entry[0] not in chosen]


def _photos(existing: RenderPlan, wanted: RenderPlan) -> list[str]:
    """Which photos are gone, new or changed, one line for each; none where the input is the same or no photos."""
    before, now = existing.source, wanted.source
    if before.digest == now.digest or {before.kind, now.kind} != {"photos"}:
        return []
    old, new = ([Path(it.files[index]).name for index in it.positions_read] for it in (before, now))
    lines = [f"photo {name} is not among the frames any more" for name in old if name not in set(new)]
    last = max((place for place, name in enumerate(new) if name in set(old)), default=-1)
    lines += [f"photo {name} is new, and not at the end" for name in new[:last] if name not in set(old)]
    if existing.photo_digests and wanted.photo_digests:
        known = dict(zip(old, existing.photo_digests, strict=True))
        pairs = zip(new, wanted.photo_digests, strict=True)
        lines += [f"photo {name} has changed" for name, digest in pairs if known.get(name, digest) != digest]
    rest = len(lines) - _SHOWN_PHOTOS
    return lines if rest <= 0 else [*lines[:_SHOWN_PHOTOS], f"and {rest} more photos"]


def _shown(identity: Mapping[str, Any], key: str) -> str:
    """The value of a key as short text."""
    if key not in identity:
        return "not set"
    value = identity[key]
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 25]}...{text[-20:]}"
