"""The colors of the regions of a style in every shot, as the plan holds them: resume and segments need no more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pipeline.config.settings import Config
from pipeline.errors import RenderDirectoryError
from pipeline.types import RenderPlan

RegionColors = Sequence[Sequence[str]]
"""For every shot a sample of the colors of what is in no region, then of each region, as
`pipeline.analysis.shot_colors.region_colors` writes them."""
_COLORS: Final = re.compile(r"(?:[0-9a-f]{6}){0,65536}")


def region_colors_key(name: str) -> str:
    """Key of the identity that holds the colors of the regions of a style."""
    return f"styles.{name}.region_colors"


def region_colors_identity(name: str, colors: RegionColors) -> dict[str, list[list[str]]]:
    """What the identity of a render holds of the colors of the regions of a style: nothing if there are none."""
    return {region_colors_key(name): [list(shot) for shot in colors]} if colors else {}


def planned_region_colors(plan: RenderPlan, config: Config) -> RegionColors:
    """The colors of the regions of a style as a plan holds them.

    They are empty if the style uses none, or the plan knows no colors of shots (see `RenderPlan`).

    Raises RenderDirectoryError if the plan does not hold them.
    """
    if not config.uses_region_colors or not plan.shot_colors:
        return ()
    found = plan.identity.get(region_colors_key(config.name))
    if not isinstance(found, list) or len(found) != len(plan.shots) or not all(_is_whole(it, config) for it in found):
        raise RenderDirectoryError(
            f"the plan has no colors of the regions of {config.name!r} in every shot",
            hint="begin anew with --fresh (the old folder is moved aside) or another --workdir",
        )
    return found


def _is_whole(shot: Any, config: Config) -> bool:
    """Whether there are colors of what is in no region and of each region."""
    if not isinstance(shot, list) or len(shot) != len(config.regions) + 1:
        return False
    return all(isinstance(colors, str) and _COLORS.fullmatch(colors) is not None for colors in shot)
