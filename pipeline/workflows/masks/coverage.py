"""Masks that cover nothing: a region or layer that would be nowhere is refused before the work."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError, InputError, TemperaError
from pipeline.runtime.cancellation import Cancellation
from pipeline.types import Masks
from pipeline.workflows.masks.preparation import MaskedFrames, prepare_masks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.masks import MaskSettings
    from pipeline.runtime.progress import Reporter

COVERED_FROM: Final = 1 / 255
"""A mask that is nowhere higher than this level covers nothing."""


def covering_masks(
    named: Sequence[tuple[str, MaskSettings]], frames: MaskedFrames, reporter: Reporter, cancellation: Cancellation
) -> Masks:
    """The masks of the frames of a render, see `prepare_masks`, each of which covers something in at least one frame.

    They are named by what they are of, such as "region sky". Contents are read until every mask has been seen, which
    usually is the first one. Raises ConfigError or InputError for a mask that covers nothing in any frame, and what
    `prepare_masks` raises.
    """
    masks = prepare_masks([settings for _, settings in named], frames, reporter, cancellation)
    checkpoint = cancellation.checkpoint("stopped before the first frame", hint="run it again")
    unseen = set(range(len(named)))
    for shot in frames.shots:
        with closing(frames.read(shot.start, shot.stop)) as contents:
            for frame in contents:
                found = masks(frame.index, frame.rgb)
                unseen = {number for number in unseen if covers_nothing(found[number])}
                if not unseen:
                    return masks
                if all(named[number][1].image is not None for number in unseen):
                    raise empty_mask(*named[min(unseen)])  # a picture is the same in every frame
                checkpoint()
    raise empty_mask(*named[min(unseen)])


def covers_nothing(mask: NDArray[np.float32]) -> bool:
    """Whether a mask, float32 (H, W) in [0, 1], is nowhere seen."""
    return bool(mask.max() < COVERED_FROM)


def empty_mask(owner: str, mask: MaskSettings) -> TemperaError:
    """The error for a mask that covers nothing in any frame; `owner` is what it is of."""
    if mask.sky or mask.luminance is not None or mask.hue is not None:
        found = "sky" if mask.sky else "luminance" if mask.luminance is not None else "hue"
        return InputError(
            f"{owner}: its mask, found by {found}, covers nothing in any frame of the input",
            hint=f"remove {owner} for this input, or give it another mask: "
            + ("" if mask.sky else f"a wider range of {found}, or ")
            + "a picture with image",
        )
    files = f"{mask.image or mask.frames} is" if mask.painted is None else "all painted masks are"
    return ConfigError(
        f"{owner}: its mask covers nothing in any frame: {files} {'white, and inverted' if mask.invert else 'black'}",
        hint=f"paint what is inside {'black' if mask.invert else 'white'}, exchange inside and outside with invert: "
        f"{'false' if mask.invert else 'true'}, or remove {owner}",
    )
