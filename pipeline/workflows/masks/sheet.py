"""Looking at masks before a render: a sheet of frames with each mask laid over the content."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError, UsageError
from pipeline.runtime.cancellation import Cancellation
from pipeline.types import Frame, Shot
from pipeline.workflows.input.first_pass import first_pass
from pipeline.workflows.masks.preparation import MaskedFrames, prepare_mask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.config.masks import MaskSettings
    from pipeline.config.settings import Config
    from pipeline.media.image.contact_sheet import Captioned
    from pipeline.media.reader.thumbnails import Thumbnails
    from pipeline.runtime.progress import Reporter
    from pipeline.types import Source

OUTSIDE: Final = 0.3
"""Brightness of what is outside a mask."""
LINE: Final = (0, 220, 255)
UNCERTAIN: Final = (255, 140, 0)


def style_masks(config: Config) -> dict[str, MaskSettings]:
    """The masks of a style's regions, by their names, or by their numbers where a name does not tell them apart.

    Raises ConfigError if it has no regions.
    """
    if not config.regions:
        raise ConfigError(
            f"{config.name}: the style has no regions, so it has no masks", hint="or give a mask: --mask 'sky: true'"
        )
    names = [region.name for region in config.regions]
    found = {}
    for number, region in enumerate(config.regions, start=1):
        tells = region.name and names.count(region.name) == 1
        found[region.name if tells else f"region {number} {region.name}".strip()] = region.mask
    return found


def refuse_masks(output: Path, masks: Mapping[str, MaskSettings]) -> None:
    """Raise UsageError if a sheet would replace a picture that a mask is read from."""
    for mask in masks.values():
        for path in (mask.image, *(mask.painted or {}).values()):
            if path is not None and output.exists() and path.exists() and output.samefile(path):
                raise UsageError(f"{output}: is a picture of a mask", hint="choose another name with -o")


def mask_sheet(
    source: Source,
    config: Config,
    masks: Mapping[str, MaskSettings],
    frames: Sequence[int],
    *,
    size_px: tuple[int, int],
    reporter: Reporter,
    cancellation: Cancellation,
    thumbnails: Thumbnails,
) -> NDArray[np.uint8]:
    """A contact sheet, uint8 (H, W, 3) sRGB: a row per frame: the content, then each mask, and where it was carried
    how certain it is.

    The content is read and looked through as for a render by `config.input`, at `size_px` (width, height). Only what
    the wanted frames need is computed, into a temporary folder. `thumbnails` are those that `probe` has filled. Raises
    UsageError for a frame that the source does not have, and what `prepare_mask` raises.
    """
    from pipeline.analysis.content import content_frames
    from pipeline.media.image.contact_sheet import contact_sheet

    for index in frames:
        if not 0 <= index < source.frame_count:
            raise UsageError(
                f"--at {index}: the input has frames 0 to {source.frame_count - 1}", hint="choose one of these"
            )
    looked = first_pass(source, config, reporter, cancellation, thumbnails)

    def read(start: int, stop: int) -> Generator[Frame]:
        return content_frames(source, start, stop, size_px=size_px, settings=config.input, exposure=looked.exposure)

    rows: dict[int, list[Captioned]] = {}
    for index in frames:
        with closing(read(index, index + 1)) as found:
            rows[index] = [(f"frame {index}", next(found).rgb)]
    with tempfile.TemporaryDirectory(prefix="tempera-") as folder:
        for name, settings in masks.items():
            shots = needed_shots(looked.shots, frames, settings, source)
            prepared = prepare_mask(
                settings,
                MaskedFrames(source, size_px, read, shots, Path(folder), steady=bool(config.regions)),
                reporter,
                cancellation,
            )
            for index, row in rows.items():
                content = row[0][1]
                row.append((name, overlaid(content, prepared.mask(index, content))))
                if prepared.confidence is not None:
                    row.append((f"confidence of {name}", uncertain(content, prepared.confidence(index))))
    return contact_sheet(list(rows.values()))


def overlaid(content: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The content, uint8 (H, W, 3) sRGB: gray and dark outside the mask, and a line where the mask, float32 (H, W) in
    [0, 1], crosses one half."""
    import cv2
    import numpy as np

    gray = cv2.cvtColor(content, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32) * np.float32(OUTSIDE)
    inside = mask[..., None]
    shown: NDArray[np.uint8] = np.rint(inside * content + (1 - inside) * gray).astype(np.uint8)
    covered = (mask > 0.5).astype(np.uint8)
    shown[cv2.dilate(covered, np.ones((3, 3), np.uint8)) != covered] = LINE
    return shown


def uncertain(content: NDArray[np.uint8], confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The content in gray, uint8 (H, W, 3) sRGB, orange where the confidence, float32 (h, w) in [0, 1], is low."""
    import cv2
    import numpy as np

    height, width = content.shape[:2]
    certain = cv2.resize(confidence, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    gray = cv2.cvtColor(content, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    shown: NDArray[np.uint8] = np.rint(certain * gray + (1 - certain) * (gray + np.array(UNCERTAIN)) / 2).astype(
        np.uint8
    )
    return shown


def needed_shots(shots: Sequence[Shot], frames: Sequence[int], settings: MaskSettings, source: Source) -> list[Shot]:
    """The parts of the shots that the masks of `frames` depend on: up to the nearest painted frames, or neighbors."""
    from pipeline.masks.sky import LASTING, REACH

    parts: list[Shot] = []
    for shot in shots:
        inside = range(shot.start, shot.stop)
        wanted = sorted(index for index in frames if index in inside)
        keys = [index for index in inside if source.decoded_indices[index] in (settings.painted or {})]
        if wanted and settings.painted is not None and not keys:
            parts.append(shot)  # which `prepare_mask` reports
        elif wanted and keys:
            start = max((key for key in keys if key <= wanted[0]), default=wanted[0])
            stop = min((key for key in keys if key >= wanted[-1]), default=wanted[-1]) + 1
            parts.append(Shot(shot.index, start, stop))
        else:
            for index in wanted:
                reach = REACH + LASTING
                start, stop = max(shot.start, index - reach), min(shot.stop, index + reach + 1)
                if parts and parts[-1].index == shot.index and start < parts[-1].stop:
                    start = parts.pop().start
                parts.append(Shot(shot.index, start, stop))
    return parts
