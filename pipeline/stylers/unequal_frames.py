"""Batches whose frames have unequal settings, because curves change them: equal ones are stylized together."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch

from pipeline.types import FrameBatch, StylizedBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.types import Styler


def stylize_apart(styler: Styler, batch: FrameBatch) -> StylizedBatch:
    """Stylize the frames of a batch in groups with equal `values`; the result is in the order of the batch."""
    groups: list[list[int]] = []
    for position, values in enumerate(batch.values):
        group = next((group for group in groups if batch.values[group[0]] == values), None)
        if group is None:
            groups.append([position])
        else:
            group.append(position)
    found = [styler.stylize(subset(batch, group)) for group in groups]
    order = [position for group in groups for position in group]
    images = torch.cat([part.images for part in found])
    stats = [own for part in found for own in part.stats]
    places = sorted(range(len(order)), key=lambda place: order[place])
    return StylizedBatch(images[places], tuple(stats[place] for place in places))


def subset(batch: FrameBatch, positions: Sequence[int]) -> FrameBatch:
    """Some frames of a batch."""

    def chosen(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value[list(positions)]
        return tuple(value[position] for position in positions) if isinstance(value, tuple) and value else value

    changes = {field.name: chosen(getattr(batch, field.name)) for field in fields(FrameBatch)}
    return replace(batch, **changes)
