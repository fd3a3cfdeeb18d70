"""Settings that are text of a form: what is said of other text, and which numbers are text."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from pipeline.config.framing import FramingSettings
from pipeline.config.grade import GradeSettings
from pipeline.config.masks import MaskSettings
from pipeline.config.queue import QueueInput, QueueStyle
from pipeline.config.reading import config_schema, parse_settings
from pipeline.config.section import Settings
from pipeline.config.settings import Config, InputSettings
from pipeline.config.text import Form
from pipeline.config.video import VideoSettings
from pipeline.errors import ConfigError


@pytest.mark.parametrize(
    ("model", "key", "value", "expected"),
    [
        (FramingSettings, "size", "1920x", "a size such as 1920x1080"),
        (FramingSettings, "size", True, "a size such as 1920x1080"),
        (FramingSettings, "crop", "16/9", "an aspect such as 9:16"),
        (FramingSettings, "pad", 0, "a color such as '#8a8f99'"),
        (FramingSettings, "pad", None, "a color such as '#8a8f99'"),
        (GradeSettings, "gray_point", "gray", "a color such as '#8a8f99'"),
        (MaskSettings, "color", "#ff000", "a color such as '#8a8f99'"),
        (InputSettings, "background", "#ffffff\n", "a color such as '#8a8f99'"),
        (VideoSettings, "bitrate", 20, "bits per second such as 20M"),
        (VideoSettings, "preset", "very slow", "a preset such as slow"),
        (Config, "name", "a/b", "a name of at most 64 characters without / and \\"),
        (QueueInput, "name", "a" * 65, "a name of at most 64 characters without / and \\"),
        (QueueInput, "path", "", "a path"),
        (QueueInput, "frames", "1-2", "a range of frames such as 100:400"),
        (QueueStyle, "style", "a" * 4097, "a path"),
    ],
)
def test_text_of_another_form_is_told_by_an_example(
    model: type[BaseModel], key: str, value: Any, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(model, {key: value}, where="test", hint="h")
    assert f"{key}: Input should be {expected}" in caught.value.message
    assert ", found " in caught.value.message and "^" not in caught.value.message


def test_no_setting_has_a_bare_pattern() -> None:
    sections = [Settings]
    for section in sections:
        sections += section.__subclasses__()
        for name, info in section.model_fields.items():
            bare = [item for item in info.metadata if getattr(item, "pattern", None) and not isinstance(item, Form)]
            assert not bare, f"{section.__name__}.{name}: its error would print a regular expression"


def test_the_schema_has_the_patterns() -> None:
    schema = config_schema()
    name, color = schema["properties"]["name"], schema["$defs"]["GradeSettings"]["properties"]["gray_point"]
    assert name["pattern"].startswith("^[^/") and name["maxLength"] == 64
    assert color["anyOf"][0]["pattern"] == "^#[0-9a-fA-F]{6}$"


def test_whole_numbers_are_text_where_yaml_reads_them() -> None:
    found = VideoSettings.model_validate({"size": 3840, "variant": 444, "preset": 6})
    assert (found.size, found.variant, found.preset) == ("3840", "444", "6")
    for key, value in (("preset", 1.5), ("size", False), ("variant", True)):
        with pytest.raises(ValidationError):
            VideoSettings.model_validate({key: value})
