"""A mask by itself, as YAML text or in a file: how `tempera masks --mask` reads it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pipeline.config.masks import MaskSettings
from pipeline.config.reading import parse_yaml, read_yaml
from pipeline.errors import ConfigError

EXAMPLE = "for example --mask 'sky: true' or --mask 'image: mask.png'"


def load_mask(text: str) -> MaskSettings:
    """The mask that YAML text such as "sky: true" describes, or the YAML file of that name; its paths are absolute.

    Paths are relative to the file, or to the current folder. Raises ConfigError for whatever is not a mask.
    """
    is_file = Path(text).suffix.lower() in (".yaml", ".yml") and "\n" not in text
    data = read_yaml(Path(text)) if is_file else parse_yaml(text, where="--mask")
    if not isinstance(data, dict):
        raise ConfigError(f"--mask {text}: expected the settings of a mask", hint=EXAMPLE)
    try:
        settings = MaskSettings.model_validate(data)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc'])) or 'mask'}: {problem['msg']}" for problem in error.errors()[:8]
        ]
        raise ConfigError(f"--mask {text}: {'; '.join(problems)}", hint=EXAMPLE) from None
    return located_mask(settings, Path(text).parent if is_file else Path())


def located_mask(settings: MaskSettings, folder: Path) -> MaskSettings:
    """The mask with absolute paths; those in `settings` are relative to `folder`."""

    def located(path: Path) -> Path:
        return (folder / path).absolute()

    painted = settings.painted and {index: located(path) for index, path in settings.painted.items()}
    return settings.model_copy(
        update={
            "image": settings.image and located(settings.image),
            "frames": settings.frames and located(settings.frames),
            "painted": painted,
        }
    )
