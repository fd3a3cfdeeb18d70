"""Encoders on graphics processors: used where they open, with software as the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import av
import av.error

from pipeline.media.writer.codecs import CODECS
from pipeline.media.writer.target import Target, open_encoder


def with_hardware(target: Target, note: Callable[[str], None], width_px: int, height_px: int) -> Target:
    """The target with the first hardware encoder that opens for this size, if `output.hardware` asks for it.

    Otherwise the target as it is, and `note` is told why. Only opening tells: an encoder is built in
    without the device and its driver.
    """
    if not target.settings.hardware:
        return target
    reasons = []
    for encoder in CODECS[target.codec].hardware:
        if encoder not in av.codecs_available:
            continue
        found = replace(target, encoder=encoder)
        try:
            open_encoder(found, width_px, height_px)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            reasons.append(f"{encoder} does not open ({getattr(error, 'strerror', None) or error})")
        else:
            return found
    why = ", ".join(reasons) or f"there is no hardware encoder for {target.codec} in this installation"
    note(f"{target.codec} is encoded in software by {target.encoder}: {why}")
    return target
