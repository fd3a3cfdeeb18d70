"""Write docs/configuration.md, the reference of the style config, from the JSON Schema of the settings.

    python scripts/make_configuration.py

The last line is the path of the document.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.config.reading import config_schema

TARGET = Path(__file__).parents[1] / "docs" / "configuration.md"

CURVE = {"$ref": "#/$defs/Curve"}
INTRODUCTION = """\
# Configuration

<!-- Written by scripts/make_configuration.py from the JSON Schema; change the models in pipeline/config instead. -->

A style is a YAML file. The shortest one names one style image; every other key has a default:

```yaml
style:
  images: [{path: images/swirl.jpg}]
```

A longer one, with two style images and a steadier result:

```yaml
schema: 1
name: mine
style:
  images:
    - {path: images/swirl.jpg, weight: 100}
    - {path: images/oil.jpg, weight: 45}
  scale: 1.4
losses:
  content: {weight: 1.5}
  temporal: {weight: 6}
output: {crf: 14}
```

Render with it by `--style mine.yaml`. Paths are relative to the file. `tempera styles template` prints a file with
every key, `tempera styles swirl` a style that ships, and `tempera schema` the JSON Schema behind this page.

Every key can also be given on the command line, by its section and a dot, as often as needed:

```sh
tempera render clip.mp4 --style swirl --set losses.content.weight=2 --set motion.hold=2
```

The value is read as YAML, and paths in it are relative to the current folder. Style images are numbered from 0
(`--set style.images.0.weight=45`), and a layer is given by its name (`--set losses.style.layers.relu3_1=32`). An
unknown key is an error that names the nearest valid one.

A number whose type says "or a curve" can change during the clip: `[{at: 0, value: 100}, {at: 3s, value: 0}]`.

Keys under `output` and `runtime` can be changed at any time. All others change pixels: a render that was started with
other values of them is not continued. (`name` and `description` change nothing.)
"""


def reference() -> str:
    """The whole page."""
    schema = config_schema()
    parts = [INTRODUCTION]
    _add_sections(parts, schema, schema["$defs"], "")
    return "\n".join(parts)


def _add_sections(parts: list[str], node: dict[str, Any], definitions: dict[str, Any], prefix: str) -> None:
    """Append the table of a section's own keys, then those of its sections."""
    sections: dict[str, dict[str, Any]] = {}
    rows = []
    for name, value in node["properties"].items():
        item = _resolved(value, definitions)
        choices = [_resolved(choice, definitions) for choice in value.get("anyOf", ()) if choice != CURVE]
        item = next((choice for choice in choices if "properties" in choice), item)
        if "properties" in item:
            sections[f"{prefix}{name}"] = item
            continue
        rows.append(_row(f"{prefix}{name}", value, definitions, name in node.get("required", [])))
        element = _resolved(value.get("items", {}), definitions)
        if "properties" in element:
            sections[f"{prefix}{name}.N"] = element
    if rows:
        if prefix:
            parts.append(f"## {prefix.removesuffix('.')}\n\n{node['description']}\n")
        else:
            parts.append("## Top level\n")
        parts.append(
            "| Key | Type and range | Default | Meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
        )
    for name, item in sections.items():
        _add_sections(parts, item, definitions, f"{name}.")


def _row(key: str, value: dict[str, Any], definitions: dict[str, Any], required: bool) -> str:
    default = "required" if required else f"`{json.dumps(value['default'])}`"
    cells = (f"`{key}`", _type(value, definitions), default, value.get("description", ""))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The type of a value with its range, in words."""
    value = _resolved(value, definitions)
    if "anyOf" in value:
        if CURVE in value["anyOf"]:
            return f"{_type(value['anyOf'][0], definitions)}; or a curve"
        return "; or ".join(_type(choice, definitions) for choice in value["anyOf"])
    if "enum" in value or "const" in value:
        return ", ".join(f"`{choice}`" for choice in value.get("enum", [value.get("const")]))
    kind = value.get("type", "")
    if kind == "array" and "prefixItems" in value:
        count = len(value["prefixItems"])
        return ("pairs of " if count == 2 else f"{count} times ") + " and ".join(
            dict.fromkeys(_type(item, definitions) for item in value["prefixItems"])
        )
    if kind == "array":
        return f"list of {_type(value['items'], definitions)}"
    if kind == "object" and "additionalProperties" in value and "properties" not in value:
        return f"mapping to: {_type(value['additionalProperties'], definitions)}"
    if kind == "object":
        return "mapping"
    name = {"string": "path" if value.get("format") == "path" else "text", "null": "null"}.get(kind, kind)
    return f"{name}{_range(value)}"


def _range(value: dict[str, Any]) -> str:
    low, above = value.get("minimum"), value.get("exclusiveMinimum")
    high = value.get("maximum")
    words = []
    if above is not None:
        words.append(f"above {above:g}")
    if low is not None and high is not None:
        return f", {low:.12g} to {high:.12g}"
    if low is not None:
        words.append(f"from {low:.12g}")
    if high is not None:
        words.append(f"up to {high:.12g}")
    return f", {', '.join(words)}" if words else ""


def _resolved(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in value:
        resolved: dict[str, Any] = definitions[value["$ref"].rsplit("/", 1)[1]]
        return resolved
    return value


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    print(TARGET)
