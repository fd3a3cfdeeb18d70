"""From shots and styles to chains: their order, their names, and the seed of every frame."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.plan.segments import segment_length
from pipeline.runtime.hashing import canonical_json
from pipeline.types import Chain, Shot

if TYPE_CHECKING:
    from pipeline.types import Phase

_SLUG_LENGTH: Final = 40


@dataclass(frozen=True, slots=True)
class StyleChains:
    """The settings of a style that decide its chains.

    `segment_frames` is the length of segments that long shots are split into (0: never), `hold` how many frames a
    stylized one is shown.
    """

    name: str
    seed: int
    segment_frames: int = 0
    hold: int = 1


def frame_seed(render_seed: int, style: str, frame_index: int) -> int:
    """Seed of one frame, 0 <= seed < 2**63, independent of the machine, the order and what else is rendered."""
    data = canonical_json([render_seed, style, frame_index])
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> 1


def make_chains(styles: Sequence[StyleChains], shots: Sequence[Shot]) -> tuple[Chain, ...]:
    """The chains of every style and shot, style by style.

    One chain for a shot; or, where the style is split into segments and the shot is much longer than one, a chain of
    keyframes and one chain for each segment.

    Ids are safe folder names on every system and differ also where names differ only by case or by what is not ASCII:
    `swirl-s000`, and for a second style with the same slug `swirl-2-s000`; with segments `swirl-s000-keys`,
    `swirl-s000-p000`, `swirl-s000-p001`, ...
    """
    chains: list[Chain] = []
    slugs: set[str] = set()
    for style in styles:
        slug = _free_slug(style.name, slugs)
        slugs.add(slug)
        for shot in shots:
            name = f"{slug}-s{shot.index:03d}"
            length = segment_length(shot, style.segment_frames, style.hold)
            if length:
                chains += _segments(name, style, shot, length)
            else:
                chains.append(Chain(name, style.name, shot.index, shot.start, shot.stop, style.seed))
    return tuple(chains)


def phases_left(chain: Chain, left: int, *, every_frame_cold: bool) -> dict[Phase, int]:
    """How many of the last `left` frames of a chain are of each phase: it begins cold, unless with its keyframe."""
    begins_cold = left == len(chain.frames) and not chain.keyframe_chain
    cold = left if every_frame_cold else int(begins_cold)
    return {"cold": cold, "warm": left - cold}


def _segments(name: str, style: StyleChains, shot: Shot, length: int) -> list[Chain]:
    """The keyframes of a shot, and its segments of `length` frames."""
    keyframes = Chain(f"{name}-keys", style.name, shot.index, shot.start, shot.stop, style.seed, interval=length)
    segments = [
        Chain(
            f"{name}-p{part:03d}",
            style.name,
            shot.index,
            start,
            min(start + length, shot.stop),
            style.seed,
            keyframe_chain=keyframes.id,
        )
        for part, start in enumerate(keyframes.frames)
    ]
    return [keyframes, *segments]


def _free_slug(name: str, taken: set[str]) -> str:
    """The slug of a style's name, numbered from 2 where another style has the same."""
    slug = base = _slug(name)
    number = 2
    while slug in taken:
        slug = f"{base}-{number}"
        number += 1
    return slug


def _slug(name: str) -> str:
    """A style's name as lower-case ASCII letters, digits and hyphens; "style" if nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_SLUG_LENGTH].strip("-") or "style"
