"""What earlier renders on this machine took, kept in one small file of the cache folder.

By machine, style and size class, for each of a few quantities the latest values; their median holds. The file is
advisory: one that is damaged, foreign or not writable counts as empty, and what is old is dropped.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from pipeline.runtime import atomic
from pipeline.runtime.hashing import json_digest

if TYPE_CHECKING:
    import torch

    from pipeline.config.settings import Config
    from pipeline.stylers.resources import Resources

KEPT_VALUES: Final = 9
KEPT_ENTRIES: Final = 200
OLDEST_DAYS: Final = 180
_VERSION: Final = 1
_MOST_BYTES: Final = 1 << 20
_LARGEST: Final = 1e12
_SECONDS_OF_DAY: Final = 86400


def figures_path() -> Path:
    """The file, which need not exist."""
    from pipeline.encoders.fetch import cache_folder

    return cache_folder() / "speed.json"


def recall(keys: Sequence[str]) -> dict[str, float]:
    """The median of each quantity, from the first of the keys that has it."""
    entries = _read()
    found: dict[str, float] = {}
    for key in reversed(keys):
        found |= {name: median(values) for name, values in entries.get(key, {}).items() if name != "day"}
    return found


def remember(seen: Mapping[str, Mapping[str, float]]) -> None:
    """Add what was seen, by key and quantity. Values that are not finite are left out, and errors of the disk too."""
    usable = {
        key: {name: value for name, value in quantities.items() if math.isfinite(value)}
        for key, quantities in seen.items()
    }
    usable = {key: quantities for key, quantities in usable.items() if quantities}
    if not usable:
        return
    entries = _read()
    for key, quantities in usable.items():
        entry = entries.pop(key, {})
        for name, value in quantities.items():
            entry[name] = [*entry.get(name, ()), value][-KEPT_VALUES:]
        entries[key] = {**entry, "day": [_today()]}
    latest = dict(list(entries.items())[-KEPT_ENTRIES:])
    path = figures_path()
    with suppress(OSError):
        atomic.make_folders(path.parent)
        atomic.write_bytes(path, json.dumps({"version": _VERSION, "figures": latest}, indent=1).encode())


def style_keys(config: Config, resources: Resources, size: tuple[int, int]) -> list[str]:
    """Keys of a style for frames of (height, width) px: that of its size class, and of those next to it.

    A size class is a factor of two in pixels.
    """
    optimize, motion = config.optimize, config.motion
    style = {
        "styler": [config.styler, config.pre, config.pooling, len(config.regions)],
        "encoder": [resources.encoder and resources.encoder.name, resources.precision],
        "losses": config.losses.model_dump(mode="json", include={"style", "temporal"}),
        "optimize": optimize.model_dump(mode="json", include={"minimizer", "history", "warm"}),
        "motion": [motion.method, motion.preset, motion.boil],
    }
    nearest = round(math.log2(size[0] * size[1]))
    machine = machine_of(config, resources.device)
    return [json_digest(["style", machine, style, nearest + step]) for step in (0, -1, 1)]


def output_key(config: Config, resources: Resources, suffix: str) -> str:
    """Key of the writing of a result of this kind."""
    machine = machine_of(config, resources.device)
    return json_digest(["output", machine, config.output.model_dump(mode="json"), suffix])


def machine_of(config: Config, device: torch.device) -> list[str | int]:
    """Processor, threads and device: on which machine, and with how much of it, a style is computed."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return [_processor(), _cores(), config.runtime.threads or torch.get_num_threads(), name]


@cache
def _processor() -> str:
    """Name of the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _today() -> int:
    return int(time.time() // _SECONDS_OF_DAY)


def _read() -> dict[str, dict[str, list[float]]]:
    """The entries that are young and whole, by key, the latest last."""
    path = figures_path()
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        data = json.loads(path.read_bytes())
        if data["version"] != _VERSION:
            return {}
        items = list(data["figures"].items())
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return {}
    return {key: entry for key, entry in items if _is_good(entry)}


def _is_good(entry: Any) -> bool:
    """Whether every quantity is a list of numbers, and the day is not long ago, nor far ahead."""
    if not isinstance(entry, dict) or not all(isinstance(values, list) and values for values in entry.values()):
        return False
    numbers = [value for values in entry.values() for value in values]
    good = all(type(value) in (int, float) and 0 <= value < _LARGEST for value in numbers)
    return good and "day" in entry and abs(_today() - entry["day"][-1]) <= OLDEST_DAYS
