"""The style config: its settings, and how they are read."""

from pipeline.config.reading import MAX_CONFIG_BYTES, config_keys, config_schema, parse_config, read_yaml, set_value
from pipeline.config.settings import (
    IDENTITY_SECTIONS,
    LAYERS,
    ColdSettings,
    Config,
    FinishSettings,
    InputSettings,
    LossSettings,
    MotionSettings,
    OutputSettings,
    PaintSettings,
    StyleImage,
    StyleSettings,
    TemporalLoss,
)

__all__ = [
    "IDENTITY_SECTIONS",
    "LAYERS",
    "MAX_CONFIG_BYTES",
    "ColdSettings",
    "Config",
    "FinishSettings",
    "InputSettings",
    "LossSettings",
    "MotionSettings",
    "OutputSettings",
    "PaintSettings",
    "StyleImage",
    "StyleSettings",
    "TemporalLoss",
    "config_keys",
    "config_schema",
    "parse_config",
    "read_yaml",
    "set_value",
]
