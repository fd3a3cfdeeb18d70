"""Consistency checks of a plan, run when it is made and again when it is read from a file."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Final

from pipeline.plan.identity import (
    ALIGNMENT_KEY,
    EXPOSURE_KEY,
    SHOT_COLORS_KEY,
    alignment_digest,
    exposure_digest,
    identity_digest,
    shot_colors_digest,
)
from pipeline.runtime.hashing import joined_digest
from pipeline.types import (
    GAIN_UNIT,
    IDENTITY_WARP,
    LEVEL_UNIT,
    MAX_TONE_SHIFT,
    TONE_NODES,
    WARP_UNIT,
    Chain,
    RenderPlan,
    Source,
)

MAX_SIDE_PX: Final = 65_535
MAX_CONTRAST: Final = 255 * LEVEL_UNIT // 2
"""Standard deviation of luma where half of a frame is black and half is white."""
MAX_WARP: Final = 100 * WARP_UNIT
MAX_GAIN: Final = 12 * GAIN_UNIT
"""The largest gain, up or down: more stops than a camera tells apart in 8 bits."""
_CHAIN_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_COLORS: Final = re.compile(r"(?:[0-9a-f]{6}){1,65536}")
_MAX_TERM: Final = 10**18
"""Upper limit for numerators and denominators of rates: arithmetic on much longer integers would not end."""


def check_plan(plan: RenderPlan) -> None:
    """Raise ValueError if a plan contradicts itself.

    Shots must cover the frames without gap or overlap, chains must cover every frame once per style inside its shot,
    names must be safe, the digest must be that of the identity.
    """
    count = plan.source.frame_count
    _expect(count > 0, "there are no frames")
    _expect(0 < plan.width_px <= MAX_SIDE_PX and 0 < plan.height_px <= MAX_SIDE_PX, "impossible size")
    _check_source(plan.source)
    _expect([shot.index for shot in plan.shots] == list(range(len(plan.shots))), "shots must be numbered from 0")
    _expect(_covers([(shot.start, shot.stop) for shot in plan.shots], count), "shots must cover every frame once")
    _check_chains(plan)
    _expect(set(plan.outputs) <= set(plan.styles), "an output belongs to no style")
    _expect(set(plan.weights) <= set(plan.styles), "weights belong to no style")
    _expect(len(plan.exposure) in (0, count), "as many tone curves as frames are needed")
    for curve in plan.exposure:
        _expect(len(curve) in (0, len(TONE_NODES) + 3), "a tone curve has the wrong length")
        _expect(all(abs(shift) <= MAX_TONE_SHIFT for shift in curve), "a tone curve is out of range")
    _expect(plan.identity.get(EXPOSURE_KEY) == exposure_digest(plan.exposure), "the tone curves are not the identity's")
    _check_alignment(plan)
    _expect(len(plan.levels) in (0, count), "as many levels as frames are needed")
    _expect(all(0 <= level <= 255 * LEVEL_UNIT for level in plan.levels), "a level is out of range")
    _expect(len(plan.contrasts) in (0, len(plan.levels)), "as many contrasts as levels are needed")
    _expect(all(0 <= contrast <= MAX_CONTRAST for contrast in plan.contrasts), "a contrast is out of range")
    _expect(len(plan.shot_colors) in (0, len(plan.shots)), "as many samples of colors as shots are needed")
    _expect(all(_COLORS.fullmatch(colors) for colors in plan.shot_colors), "a sample of colors is none")
    if plan.photo_digests:
        _expect(
            len(plan.photo_digests) == len(plan.source.positions_read),
            "as many digests of photos as are read are needed",
        )
        _expect(
            joined_digest(plan.photo_digests) == plan.source.digest, "the digests of the photos are not the input's"
        )
    wanted = plan.identity.get(SHOT_COLORS_KEY)
    _expect(wanted in (None, shot_colors_digest(plan.shot_colors)), "the colors of the shots are not the identity's")
    _expect(plan.digest == identity_digest(plan.identity), "the digest does not match the identity")


def _check_source(source: Source) -> None:
    count = source.frame_count
    _expect(len(source.decoded_indices) == count, "as many decoded indices as time stamps are needed")
    _expect(all(index >= 0 for index in source.decoded_indices), "decoded indices count from 0")
    _expect(all(0 <= index < count for index in source.damaged), "a damaged frame is outside the source")
    _expect(len(source.stream_pts) in (0, count), "as many stamps of the stream as frames are needed")
    _expect(all(0 <= index < count for index in source.gaps_to_fill), "a gap is outside the source")
    _expect(len(source.blended) in (0, count), "as many numbers of blended frames as frames are needed")
    _expect(all(number >= 1 for number in source.blended), "a frame is made of at least one")
    _expect(all(a < b for a, b in zip(source.pts, source.pts[1:], strict=False)), "pts must increase")
    for rate in (source.frame_rate, source.time_base):
        _expect(0 < rate.numerator <= _MAX_TERM and rate.denominator <= _MAX_TERM, "impossible rate or time base")


def _check_alignment(plan: RenderPlan) -> None:
    made = plan.source.alignment
    _expect(plan.identity.get(ALIGNMENT_KEY) == alignment_digest(made), "the alignment is not the identity's")
    if made is None:
        return
    read = plan.source.frame_count * made.group
    _expect(0 < made.width_px <= MAX_SIDE_PX and 0 < made.height_px <= MAX_SIDE_PX, "impossible size of the input")
    _expect(made.group >= 1 and len(made.warps) == read, "as many warps as frames that are read are needed")
    _expect(all(len(warp) == len(IDENTITY_WARP) for warp in made.warps), "a warp has the wrong length")
    _expect(all(abs(value) <= MAX_WARP for warp in made.warps for value in warp), "a warp is out of range")
    _expect(len(made.gains) in (0, read) and all(len(gains) == 3 for gains in made.gains), "wrong number of gains")
    _expect(all(abs(gain) <= MAX_GAIN for gains in made.gains for gain in gains), "a gain is out of range")
    _expect(made.fuse != "none" or made.group == 1, "several photos become one frame, but are not fused")
    _expect(len(made.positions) == (read if made.fuse != "none" else 0), "wrong number of positions of photos")
    _expect(all(at >= 0 for at in made.positions), "positions of photos count from 0")


def _check_chains(plan: RenderPlan) -> None:
    by_id = {chain.id: chain for chain in plan.chains}
    _expect(len(by_id) == len(plan.chains), "two chains have the same id")
    runs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for chain in plan.chains:
        _expect(_CHAIN_ID.fullmatch(chain.id) is not None, f"chain id {json.dumps(chain.id)[:80]} is not a safe name")
        _expect(chain.style in plan.styles, f"chain {chain.id} has an unknown style")
        _expect(0 <= chain.shot < len(plan.shots), f"chain {chain.id} has an unknown shot")
        shot = plan.shots[chain.shot]
        _expect(chain.seed >= 0, f"chain {chain.id} has a negative seed")
        _expect(shot.start <= chain.start and chain.stop <= shot.stop, f"chain {chain.id} crosses a cut")
        _expect(chain.interval >= 1 and chain.start < chain.stop, f"chain {chain.id} has no frames")
        if chain.keyframe_chain:
            _expect(
                _starts_from_keyframe(chain, by_id.get(chain.keyframe_chain)),
                f"chain {chain.id} starts from a keyframe that does not exist",
            )
        if chain.in_output:
            runs[chain.style].append((chain.start, chain.stop))
    for style in plan.styles:
        _expect(
            _covers(sorted(runs[style]), plan.source.frame_count),
            f"the chains of {style!r} must cover every frame once",
        )


def _starts_from_keyframe(chain: Chain, keyframes: Chain | None) -> bool:
    return keyframes is not None and keyframes.style == chain.style and chain.start in keyframes.frames


def _covers(runs: list[tuple[int, int]], count: int) -> bool:
    """Whether the runs, in order, are not empty and cover [0, count) without gap or overlap."""
    edges = [0, *(stop for _, stop in runs)]
    return (
        edges[-1] == count
        and all(start < stop for start, stop in runs)
        and all(start == edge for (start, _), edge in zip(runs, edges, strict=False))
    )


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
