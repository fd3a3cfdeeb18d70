"""The page that shows an explanation in a browser: one file, with the pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote

PAGE_NAME: Final = "index.html"
MARK: Final = '<meta name="generator" content="tempera explain">'
"""Stands in every page, so that a folder is known as one of ours."""

_INTRODUCTION: Final = (
    "No one tells Tempera where to put a stroke. It looks at your photo and at the style image through a network that "
    "has learned to see, and changes the pixels of the picture until both are satisfied. This page shows what goes on "
    "inside meanwhile."
)
_HEAD: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{mark}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 2.5rem auto; max-width: 72rem; padding: 0 1.25rem; background: #faf8f4; color: #282828;
  font: 1.05rem/1.6 Georgia, "Times New Roman", serif; }}
h1, h2 {{ font-weight: normal; line-height: 1.25; }}
h2 {{ margin-top: 3rem; }}
p {{ max-width: 44rem; }}
img, video {{ display: block; max-width: 100%; height: auto; margin: 1rem 0; border-radius: 3px; }}
small {{ color: #777; }}
</style>
</head>
<body>
<h1>{title}</h1>
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: its heading, what it shows, and the names of its files."""

    heading: str
    text: str
    files: tuple[str, ...]


def write_page(folder: Path, title: str, sections: Sequence[Section]) -> None:
    """Write the page into the folder that has the files of its sections. Raises OSError."""
    (folder / PAGE_NAME).write_text(explanation_page(title, _INTRODUCTION, sections), encoding="utf-8")


def explanation_page(title: str, introduction: str, sections: Sequence[Section]) -> str:
    """The page as HTML. It refers to nothing but the files of its sections, in its own folder; all text is escaped."""
    parts = [_HEAD.format(mark=MARK, title=escape(title)), f"<p>{escape(introduction)}</p>\n"]
    for section in sections:
        parts.append(f"<h2>{escape(section.heading)}</h2>\n<p>{escape(section.text)}</p>\n")
        parts += [_shown(name, section.heading) for name in section.files]
    return "".join([*parts, "</body>\n</html>\n"])


def _shown(name: str, heading: str) -> str:
    address, text = escape(quote(name)), escape(f"{heading}: {name}")
    suffix = Path(name).suffix
    if suffix == ".mp4":
        return f'<video src="{address}" controls loop muted playsinline></video>\n'
    if suffix in (".png", ".gif"):
        return f'<a href="{address}"><img src="{address}" alt="{text}" loading="lazy"></a>\n'
    return f'<p><small><a href="{address}">{escape(name)}</a></small></p>\n'
