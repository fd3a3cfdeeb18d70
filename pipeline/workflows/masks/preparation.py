"""Preparing the masks of a render: what needs more than one frame is computed before the stylizing begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import InputError
from pipeline.runtime.hashing import file_digest, files_digest, json_digest
from pipeline.types import Masks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.masks import MaskSettings
    from pipeline.execute.chain_frames import ReadContent
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Shot, Source

MASK_VERSION: Final = 2
"""Number of the arithmetic of stored masks: part of their folder's name, and of the identity of a render."""


@dataclass(frozen=True, slots=True)
class PreparedMask:
    """One mask of every frame.

    `mask` gives it by the index of a frame and its content, uint8 (H, W, 3) sRGB: float32 (H, W) in [0, 1].
    `confidence` says by the index how certain a carried mask is, float32 (h, w) in [0, 1]; None: nothing is carried.
    """

    mask: Callable[[int, NDArray[np.uint8]], NDArray[np.float32]]
    confidence: Callable[[int], NDArray[np.float32]] | None = None


@dataclass(frozen=True, slots=True)
class MaskedFrames:
    """The frames that masks are made for.

    `source` is all that is rendered, also where only a part of it is exported, `size_px` the (width, height) of its
    frames, and `read` gives them as they are stylized. What is computed is stored under `cache`, the cache of the one
    render that these frames belong to, and is there already where that was done before. `steady`: carried masks follow
    the flow as strokes do, see `carry`; those of regions are, which have strokes along their edges.
    """

    source: Source
    size_px: tuple[int, int]
    read: ReadContent
    shots: Sequence[Shot]
    cache: Path
    steady: bool = False


def prepare_masks(
    settings: Sequence[MaskSettings],
    frames: MaskedFrames,
    reporter: Reporter,
    cancellation: Cancellation,
) -> Masks:
    """The masks of the frames of a render, in the order of `settings`; see `prepare_mask`.

    The result may be called from several threads and for frames in any order. Its array is the caller's own.
    """
    import numpy as np

    masks = [prepare_mask(one, frames, reporter, cancellation).mask for one in settings]

    def all_masks(index: int, content: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not masks:
            return np.zeros((0, *content.shape[:2]), np.float32)
        return np.stack([mask(index, content) for mask in masks])

    return all_masks


def prepare_mask(
    settings: MaskSettings,
    frames: MaskedFrames,
    reporter: Reporter,
    cancellation: Cancellation,
) -> PreparedMask:
    """Read the files of a mask, and compute what needs more than one frame: painted masks and the sky.

    Raises InputError for a file that cannot be read, ConfigError for one that does not fit the frames, Interrupted if
    an end was requested (the stored masks stay), WriteError if the cache cannot be written.
    """
    found = _unfinished(settings, frames, reporter, cancellation)
    return PreparedMask(
        lambda index, content: _finished(settings, found.mask(index, content)),
        found.confidence,
    )


def check_mask(
    settings: MaskSettings, source: Source, size_px: tuple[int, int], shots: Sequence[Shot]
) -> NDArray[np.float32] | None:
    """Read the files of a mask as `prepare_mask` does, and raise its errors; nothing is computed or stored.

    Returns the mask if it is the same in every frame, float32 (H, W) in [0, 1], else None.
    """
    from pipeline.masks.frames import MaskFrames
    from pipeline.masks.picture import read_mask
    from pipeline.runtime.progress import SilentReporter
    from pipeline.workflows.masks.carried import painted_masks, runs

    if settings.image is not None:
        return _finished(settings, read_mask(settings.image, settings.color, size_px))
    if settings.frames is not None:
        MaskFrames(settings.frames, settings.color, size_px, source.decoded_indices)
    elif settings.painted is not None:
        runs(list(painted_masks(settings, source, size_px, SilentReporter())), shots, source)
    return None


def mask_digests(settings: MaskSettings) -> dict[str, Any]:
    """What a mask depends on, as plain data for the identity of a render: its settings, with the SHA-256 of the content
    of each file in the place of its path, and the number of the arithmetic.

    Raises InputError if a file is missing or cannot be read.
    """
    digests = settings.model_dump(mode="json", exclude_none=True)
    try:
        if settings.image is not None:
            digests["image"] = file_digest(settings.image)
        if settings.frames is not None:
            digests["frames"] = _input_digest(settings.frames)
        if settings.painted is not None:
            digests["painted"] = {str(key): file_digest(path) for key, path in sorted(settings.painted.items())}
    except OSError as error:
        raise InputError(
            f"{error.filename}: the mask cannot be read ({error.strerror or error})",
            hint="check the path; in a style config it is relative to the file",
        ) from None
    return {"version": MASK_VERSION, **digests}


def _finished(settings: MaskSettings, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mask, feathered and inverted as the settings say."""
    from pipeline.masks.picture import feathered

    mask = feathered(mask, settings.feather)
    return 1 - mask if settings.invert else mask


def _input_digest(path: Path) -> str:
    """SHA-256 of the content of a video, or of all pictures of a folder in order."""
    from pipeline.masks.frames import READ_AS
    from pipeline.media.reader.inputs import resolve

    return files_digest(resolve([path], READ_AS).files)


def _folder(settings: MaskSettings, frames: MaskedFrames) -> Path:
    """Where the computed masks are stored: by all that they depend on, which feather and invert are not part of."""
    mask = {key: value for key, value in mask_digests(settings).items() if key not in ("feather", "invert")}
    source = frames.source
    facts = {"source": source.digest, "frames": source.decoded_indices, "size": frames.size_px}
    cuts = [[shot.start, shot.stop] for shot in frames.shots]
    carried = {"steady": True} if frames.steady and settings.painted is not None else {}
    return frames.cache / "masks" / json_digest({"mask": mask, **facts, "shots": cuts, **carried})[:32]


def _unfinished(
    settings: MaskSettings,
    frames: MaskedFrames,
    reporter: Reporter,
    cancellation: Cancellation,
) -> PreparedMask:
    """The mask before it is feathered and inverted."""
    from pipeline.masks.frames import MaskFrames
    from pipeline.masks.picture import read_mask
    from pipeline.masks.ranges import hue_mask, luminance_mask
    from pipeline.workflows.masks.carried import CarriedMasks
    from pipeline.workflows.masks.sky import SkyMasks

    if settings.image is not None:
        picture = read_mask(settings.image, settings.color, frames.size_px)
        return PreparedMask(lambda _index, _content: picture)
    decoded = frames.source.decoded_indices
    if settings.frames is not None:
        with reporter.stage("reading the masks", None):
            files = MaskFrames(settings.frames, settings.color, frames.size_px, decoded)
        return PreparedMask(lambda index, _content: files.read(decoded[index]))
    if settings.luminance is not None:
        lightness = settings.luminance
        return PreparedMask(lambda _index, content: luminance_mask(content, lightness, settings.softness))
    if settings.hue is not None:
        hues = settings.hue
        return PreparedMask(lambda _index, content: hue_mask(content, hues, settings.softness))
    folder = _folder(settings, frames)
    if settings.painted is not None:
        carried = CarriedMasks(
            settings,
            frames.source,
            frames.size_px,
            frames.read,
            frames.shots,
            folder,
            reporter,
            steady=frames.steady,
        )
        carried.compute(reporter, cancellation)
        return PreparedMask(carried.mask, carried.confidence)
    sky = SkyMasks(frames.size_px, frames.read, frames.shots, folder)
    sky.compute(reporter, cancellation)
    return PreparedMask(sky.mask)
