"""Aligning, steadying, leveling and fusing the frames of an input, before anything else looks at them.

What is measured becomes the source's `Alignment`, which stands in the plan; `read_frames` delivers the frames by it, so
that everything that reads content reads it aligned: the first pass, motion, masks, finish, previews and measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.types import IDENTITY_WARP, Alignment, FrameSlice, RenderPlan, Source
from pipeline.workflows.input.alignment_pass import AlignmentPass

if TYPE_CHECKING:
    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter


def aligned_input(
    given: Sequence[str | Path],
    settings: InputSettings,
    reporter: Reporter,
    cancellation: Cancellation,
    *,
    frames: FrameSlice | None = None,
    thumbnails: Thumbnails | None = None,
    existing: RenderPlan | None = None,
) -> Source:
    """An input as a render reads it: probed, without a digest, and aligned. Raises what `probe` and `aligned` raise."""
    from pipeline.media.reader.source import probe

    source = probe(given, settings, frames=frames, digest=False, thumbnails=thumbnails)
    return aligned(grouped(source, settings), settings, reporter, cancellation, existing)


def grouped(source: Source, settings: InputSettings) -> Source:
    """The source whose frames are those of its input, or several photos fused; nothing is measured yet.

    Of fused photos the last ones are left out where they are no whole group. Fused frames follow each other evenly:
    between brackets there are always longer pauses than inside them. Raises UsageError for a video and for a group that
    is larger than the input.
    """
    if settings.fuse == "none":
        return source
    if source.kind != "photos":
        raise UsageError(
            f"{source.path}: input.fuse makes one frame of several photos, and this is a {source.kind}",
            hint="leave out input.fuse, or give photos",
        )
    count = source.frame_count
    group = count if settings.fuse_group == "all" else settings.fuse_group
    frames = count // group
    if frames < 1:
        raise UsageError(
            f"input.fuse_group={group}: the input has {count} photos", hint="--set input.fuse_group=all fuses them all"
        )
    left = count % group
    notes: tuple[str, ...] = (
        (f"The last {left} of {count} photos are left out: they are no group of {group}.",) if left else ()
    )
    if settings.gaps != "keep":
        notes += (f"input.gaps={settings.gaps} does nothing where photos are fused.",)
    positions = source.decoded_indices[: frames * group]
    return replace(
        source,
        pts=tuple(range(frames)),
        gaps_to_fill=(),
        decoded_indices=positions[::group],
        notes=source.notes + notes,
        alignment=Alignment(
            source.width_px, source.height_px, (IDENTITY_WARP,) * len(positions), (), settings.fuse, group, positions
        ),
    )


def aligned(
    source: Source,
    settings: InputSettings,
    reporter: Reporter,
    cancellation: Cancellation,
    existing: RenderPlan | None = None,
) -> Source:
    """The source, as `grouped` gives it, with its frames aligned, steadied and leveled as `settings` ask.

    What the plan of an `existing` render of the same input knows is taken from it. Raises InputError for photos that
    are to be fused and cannot be aligned, and where most photos cannot be; UsageError for settings that contradict each
    other; Interrupted if an end was requested.
    """
    fuses, photos = settings.fuse != "none", source.kind == "photos"
    several = len(source.positions_read) > 1
    aligns = photos and several and settings.align != "none" and (fuses or settings.align != "auto")
    steadies = settings.stabilize > 0 and source.frame_count > 1
    levels = photos and several and settings.level != "none"
    if settings.level != "none" and not photos:
        reporter.note("input.level acts on photos; input.deflicker evens out the exposure of videos")
    if settings.align not in ("auto", "none") and not photos:
        reporter.note("input.align acts on photos; input.stabilize steadies videos")
    if settings.fuse_group != "all" and not fuses:
        reporter.note("input.fuse_group does nothing without input.fuse")
    if steadies and (aligns or fuses):
        raise UsageError(
            f"input.stabilize cannot be used with {'input.fuse' if fuses else 'input.align'}: both place the frames",
            hint="align or fuse photos of one scene; stabilize a camera that moves",
        )
    if levels and settings.fuse == "exposure":
        raise UsageError(
            f"input.level={settings.level} takes away the differences that input.fuse=exposure is made from",
            hint="leave out one of them",
        )
    if not (aligns or steadies or levels):
        return source
    if existing is not None and (known := _known(existing, source, settings)):
        return known
    work = AlignmentPass(source, settings, reporter, cancellation)
    if steadies:
        source = work.steadied()
    elif aligns:
        source = work.aligned()
    return work.leveled(source) if levels else source


def alignment_in_words(source: Source) -> str:
    """What alignment, steadying, leveling and fusing make of the input, for people; "" if nothing."""
    made = source.alignment
    if made is None:
        return ""
    words = [f"{len(made.warps)} photos become {source.frame_count} by {made.fuse}"] if made.fuse != "none" else []
    if any(warp != IDENTITY_WARP for warp in made.warps):
        words.append("placed onto each other")
        left = source.width_px * source.height_px / (made.width_px * made.height_px)
        words.append(
            f"{source.width_px}x{source.height_px} of {made.width_px}x{made.height_px} px stay ({left:.0%})"
            if left < 1
            else "edges mirrored"
        )
    if any(map(any, made.gains)):
        words.append("light leveled")
    return ", ".join(words)


def _known(existing: RenderPlan, source: Source, settings: InputSettings) -> Source | None:
    """The source with the alignment of an existing plan, if it was measured in the same input by the same settings."""
    from pipeline.config.align import AlignmentSettings
    from pipeline.media.reader.source import content_digest, uncropped

    planned = uncropped(existing.source)
    asked = {
        f"input.{key}": getattr(settings, key)
        for key in AlignmentSettings.model_fields
        if getattr(settings, key) != AlignmentSettings.model_fields[key].default
    }
    there = {f"input.{key}": existing.identity.get(f"input.{key}") for key in AlignmentSettings.model_fields}
    if planned.alignment is None or asked != {key: value for key, value in there.items() if value is not None}:
        return None
    same = planned.positions_read == source.positions_read and planned.digest == content_digest(source)
    if not same or any(
        existing.identity.get(f"input.{key}") != getattr(settings, key) for key in ("fit", "cuts", "cut_threshold")
    ):
        return None
    return replace(source, width_px=planned.width_px, height_px=planned.height_px, alignment=planned.alignment)
