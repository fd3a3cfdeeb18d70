"""Edits of stored frames: what they pin, in which runs a chain is stylized around them, and which may be undone.

An edit replaces one stored frame of a chain by a picture, and the frames behind it, up to its stop, are stylized anew
from there. So the picture is *pinned*: no frame of that index is stylized any more. Where an edit stops before the end
of its chain, the frame at the stop is pinned as well, and the last frames before it approach it as a segment approaches
its next keyframe. Between pinned frames lie the *runs* of the chain. An edit is an input: the plan does not know it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.types import Chain

EditState = Literal["applying", "applied", "undoing", "undone"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: frames [frame, stop) of a chain were replaced, the first one by a picture.

    `blend` is how many frames before `stop` approach the frame there. `digest` is the SHA-256 of the picture's file,
    `stop_digest` that of the frame at `stop`; empty: the edit reaches to the end of the chain. `replaced` are the
    frames that were stored, and moved aside. `made` is UTC, ISO 8601.
    """

    version: int
    chain: str
    frame: int
    stop: int
    blend: int
    digest: str
    stop_digest: str
    replaced: tuple[int, ...]
    made: str
    state: EditState = "applied"

    @property
    def active(self) -> bool:
        """Whether it was not undone."""
        return self.state in ("applying", "applied")

    @property
    def frames(self) -> range:
        """The frames that it replaces."""
        return range(self.frame, self.stop)


@dataclass(frozen=True, slots=True)
class Pin:
    """A frame that is given instead of stylized: by which edit, and whether by its picture or by the frame at its
    stop. `digest` is that of its file."""

    edit: Edit
    at_stop: bool

    @property
    def digest(self) -> str:
        """SHA-256 of the file of the frame."""
        return self.edit.stop_digest if self.at_stop else self.edit.digest


@dataclass(frozen=True, slots=True)
class Run:
    """Frames [start, stop) of a chain that are stylized in order, without a pinned one among them.

    `next_keyframe` is a pinned frame of the chain that they approach over `approach_frames`; None: there is none.
    """

    chain: Chain
    start: int
    stop: int
    next_keyframe: int | None = None
    approach_frames: int = 0

    @property
    def frames(self) -> range:
        """Indices of its frames, in order."""
        return range(self.start, self.stop, self.chain.interval)


def pins(edits: Iterable[Edit], chain: Chain) -> dict[int, Pin]:
    """The pinned frames of a chain by index; where there are several edits, the latest decides."""
    found: dict[int, Pin] = {}
    for edit in edits:
        if edit.active and edit.chain == chain.id:
            found[edit.frame] = Pin(edit, at_stop=False)
            if edit.stop_digest:
                found[edit.stop] = Pin(edit, at_stop=True)
    return found


def runs(edits: Sequence[Edit], chain: Chain) -> list[Run]:
    """The runs of a chain in order, none of them empty; without edits the whole chain."""
    pinned = sorted(pins(edits, chain))
    found = []
    for start, stop in zip([chain.start, *(index + 1 for index in pinned)], [*pinned, chain.stop], strict=True):
        around = [edit for edit in edits if edit.active and edit.chain == chain.id and edit.frame < start < edit.stop]
        latest = around[-1] if around else None
        if latest is not None and latest.stop_digest and latest.blend:
            found.append(Run(chain, start, stop, latest.stop, latest.blend))
        else:
            found.append(Run(chain, start, stop))
    return [run for run in found if run.start < run.stop]


def standing_on(edit: Edit, edits: Iterable[Edit]) -> list[Edit]:
    """Later edits that are not undone and whose frames, or the one they approach, came out of this edit."""
    return [
        other
        for other in edits
        if other.active
        and other.version > edit.version
        and other.chain == edit.chain
        and other.frame < edit.stop
        and edit.frame < other.stop + bool(other.stop_digest)
    ]
