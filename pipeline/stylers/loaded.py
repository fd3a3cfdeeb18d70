"""What the renders of one process share: networks, stylers with their style statistics, digests of style images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final

from pipeline.stylers.resources import Resources, find_resources, image_digest

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config.settings import Config
    from pipeline.encoders.network import Encoder
    from pipeline.stylers.shot_colors import ShotStylers
    from pipeline.types import Styler

MOST_STYLERS: Final = 64
"""Stylers that are kept: each holds its style images, so that many more could fill the memory."""


class Loaded:
    """Keeps what was loaded, and loads what is equal only once. For one thread."""

    def __init__(self) -> None:
        self._resources: dict[Hashable, Resources] = {}
        self._encoders: dict[Hashable, Encoder | None] = {}
        self._stylers: OrderedDict[Hashable, Styler | ShotStylers] = OrderedDict()
        self._digests: dict[Hashable, str] = {}

    def resources(self, config: Config, weights: Path | None) -> Resources:
        """`find_resources`, once for all configs that want the same networks, precision and device."""
        features = (config.styler, config.encoder, config.pooling, config.optimize.precision, config.runtime.device)
        key = (*features, weights, config.motion.method, config.motion.preset)
        if key not in self._resources:
            known = self._encoders.get((*features, weights))
            self._resources[key] = find_resources(config, weights=weights, encoder=known)
            self._encoders[*features, weights] = self._resources[key].encoder
        return self._resources[key]

    def styler(self, key: Hashable, build: Callable[[], Styler | ShotStylers]) -> Styler | ShotStylers:
        """The styler with this key, or those of all shots, by `build` if there is none.

        The one asked for longest ago is given up for it.
        """
        if key not in self._stylers:
            self._stylers[key] = build()
        self._stylers.move_to_end(key)
        if len(self._stylers) > MOST_STYLERS:
            self._stylers.popitem(last=False)
        return self._stylers[key]

    def image_digest(self, path: Path, *, min_side_px: int = 1, is_start: bool = False) -> str:
        """`image_digest` of an image, once as long as size and time of the file stay as they are."""
        try:
            found = path.stat()
        except (OSError, ValueError):
            return image_digest(path, min_side_px=min_side_px, is_start=is_start)  # which says what is wrong
        key = path, found.st_size, found.st_mtime_ns, min_side_px
        if key not in self._digests:
            self._digests[key] = image_digest(path, min_side_px=min_side_px, is_start=is_start)
        return self._digests[key]
