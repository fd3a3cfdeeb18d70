"""A mask by itself, as YAML text or in a file: how `tempera masks --mask` reads it."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.masks import MaskSettings
from pipeline.config.reading import parse_settings, parse_yaml, read_yaml
from pipeline.config.section import with_paths

EXAMPLE = "for example --mask 'sky: true' or --mask 'image: mask.png'"


def load_mask(text: str) -> MaskSettings:
    """The mask that YAML text such as "sky: true" describes, or the YAML file of that name; its paths are absolute.

    Paths are relative to the file, or to the current folder. Raises ConfigError for whatever is not a mask.
    """
    is_file = Path(text).suffix.lower() in (".yaml", ".yml") and "\n" not in text
    data = read_yaml(Path(text), hint=EXAMPLE) if is_file else parse_yaml(text, where="--mask", hint=EXAMPLE)
    settings = parse_settings(MaskSettings, data, where=f"--mask {text}", hint=EXAMPLE)
    folder = Path(text).parent if is_file else Path()
    return with_paths(settings, lambda path: (folder / path).absolute())
