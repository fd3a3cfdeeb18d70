"""Weights that a style needs and that are not on this machine: which ones, and getting them with progress."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.encoders.registry import AUTO, ENCODERS, FLOW_NETWORKS

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config.settings import Config
    from pipeline.runtime.progress import Reporter


def missing_weights(config: Config, weights: Path | None) -> list[str]:
    """Names of the networks of a style that would have to be downloaded; `weights` is a file that is given for one."""
    from pipeline.encoders.fetch import weights_path

    found: list[str] = [config.motion.method] if config.motion.method in FLOW_NETWORKS else []
    if config.styler == "neural" and weights is None and config.encoder != AUTO:
        entry = ENCODERS[config.encoder].weights
        found += [config.encoder] if entry is not None and entry.torchvision else []
    return [name for name in found if not weights_path(name).is_file()]


def fetch_missing(configs: Iterable[Config], weights: Path | None, reporter: Reporter) -> None:
    """Download what is missing, said before and while it happens: VGG-19 is 548 MB.

    Raises MissingPartError if it cannot be downloaded.
    """
    for name in dict.fromkeys(name for config in configs for name in missing_weights(config, weights)):
        _fetch(name, reporter)


def _fetch(name: str, reporter: Reporter) -> None:
    from pipeline.encoders.fetch import fetch, weights_path

    reporter.note(f"the weights of {name} are not here yet: downloading them to {weights_path(name)}, once")
    with reporter.stage(f"downloading {name}", None) as advance:
        fetch(name, progress=lambda done, _total: advance(done))
