"""The report of a queue: `report.json` and `report.html` in its folder, about every job.

They are written from the render directories and the results, and nothing is decided by them, but one thing: a folder
whose `report.json` is that of a queue is one where the sheets and the report may be replaced.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from pipeline.errors import TemperaError, UsageError
from pipeline.runtime import atomic
from pipeline.runtime.progress import describe_seconds
from pipeline.store.stats import read_lines
from pipeline.workflows.forecast.disk import in_words
from pipeline.workflows.queue.pictures import input_thumbnail, result_thumbnail

if TYPE_CHECKING:
    from pipeline.workflows.queue.jobs import Job, Queue

REPORT_NAME: Final = "report.json"
PAGE_NAME: Final = "report.html"
_VERSION_KEY: Final = "tempera_queue"
_VERSION: Final = 1
_LOSSES: Final = ("loss", "content_loss", "style_loss")
_STYLE: Final = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #282828; background: #faf8f4 }
table { border-collapse: collapse } td, th { padding: .3em .6em; text-align: left; vertical-align: top }
tbody tr:nth-child(even) { background: #f1eee7 } .grid td { padding: 4px; font-size: 12px }
img { max-width: 192px; max-height: 192px; display: block } .failed { color: #a02020 } .number { text-align: right }
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job stands: its result if it is done, its error if it failed in this session."""

    job: Job
    state: Literal["done", "failed", "left"]
    output: Path | None = None
    error: TemperaError | None = None


def check_folder(folder: Path) -> list[Path]:
    """The sheets that an earlier report of the queue in this folder names.

    Raises UsageError if it is a file, or has files with the names of a report that are not those of a queue.
    """
    if folder.is_file():
        raise UsageError(f"{folder}: is a file, expected a folder", hint="choose another name with -o")
    try:
        found = json.loads((folder / REPORT_NAME).read_bytes())
        if found[_VERSION_KEY] == _VERSION:
            return [folder / name for name in found["sheets"] if Path(name).name == name]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise _foreign(folder / REPORT_NAME) from None
    for name in (REPORT_NAME, PAGE_NAME, "contact-sheet.png"):
        if (folder / name).exists():
            raise _foreign(folder / name)
    return []


def write_report(queue: Queue, outcomes: Sequence[Outcome], sheets: Sequence[Path] = ()) -> None:
    """Write both forms of the report. Raises OSError."""
    rows = [_row(queue, outcome) for outcome in outcomes]
    report = {
        _VERSION_KEY: _VERSION,
        "inputs": [each.name for each in queue.inputs],
        "styles": [style.name for style in queue.styles],
        "states": {state: sum(row["state"] == state for row in rows) for state in ("done", "failed", "left")},
        "seconds": sum(row["seconds"] or 0 for row in rows),
        "bytes": sum(row["bytes"] or 0 for row in rows),
        "sheets": [sheet.name for sheet in sheets],
        "jobs": rows,
    }
    atomic.write_bytes(queue.folder / REPORT_NAME, json.dumps(report, indent=1).encode("ascii") + b"\n")
    atomic.write_bytes(queue.folder / PAGE_NAME, _page(queue, report).encode("utf-8", "replace"))


def _row(queue: Queue, outcome: Outcome) -> dict[str, Any]:
    """What the report says of a job; the figures are those of its stored frames, over all sessions."""
    job, output = outcome.job, outcome.output
    try:
        records = read_lines(queue.render_path(job) / "stats.jsonl")
    except TemperaError:
        records = []
    latest = list({(record.get("chain"), record.get("frame")): record for record in records}.values())
    return {
        "job": job.name,
        "input": job.input.name,
        "path": job.input.path,
        "style": job.style.name,
        "state": outcome.state,
        "output": None if output is None else output.relative_to(queue.folder).as_posix(),
        "bytes": None if output is None else _size(output),
        "frames": len(latest),
        "seconds": _total(records, "seconds"),
        "evaluations": _total(latest, "evaluations"),
        **{key: _mean(latest, key) for key in _LOSSES},
        "error": None if outcome.error is None else outcome.error.message,
        "hint": None if outcome.error is None else outcome.error.hint,
    }


def _page(queue: Queue, report: Mapping[str, Any]) -> str:
    """The report as a page that needs nothing but the files in the folder."""
    rows: list[dict[str, Any]] = report["jobs"]
    states = report["states"]
    title = html.escape(queue.folder.resolve().name)
    summary = (
        f"{len(rows):,} jobs: {states['done']:,} done, {states['failed']:,} failed, {states['left']:,} left; "
        f"{in_words(report['bytes'])}, {describe_seconds(report['seconds'])} of stylizing"
    )
    sheets = " ".join(f'<a href="{quote(name)}">{html.escape(name)}</a>' for name in report["sheets"])
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>',
        f"<h1>{title}</h1><p>{summary}</p><p>{sheets}</p>",
    ]
    failed = [row for row in rows if row["state"] == "failed"]
    if failed:
        parts.append('<h2>Failed</h2><ul class="failed">')
        parts += [f"<li>{_text(row, 'job')}: {_text(row, 'error')}<br>{_text(row, 'hint')}</li>" for row in failed]
        parts.append("</ul>")
    parts.append(_grid(queue, rows))
    heads = "".join(f"<th>{key.replace('_', ' ')}</th>" for key in ("job", "state", "size", "seconds", "evaluations"))
    heads += "".join(f"<th>{key.replace('_', ' ')}</th>" for key in _LOSSES)
    parts.append(f"<h2>Jobs</h2><table><thead><tr>{heads}</tr></thead><tbody>")
    parts += [_table_row(row) for row in rows]
    parts.append("</tbody></table></html>\n")
    return "\n".join(parts)


def _grid(queue: Queue, rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of thumbnails: a row for each input, a column for each style."""
    links = {
        (row["input"], row["style"]): (result_thumbnail(queue, job), row["output"])
        for row, job in zip(rows, queue.jobs, strict=True)
        if row["output"] is not None
    }
    lines = []
    for each in queue.inputs:
        name = html.escape(each.name)
        cells = [f"<td>{_image(queue, input_thumbnail(queue, each), name)}{name}</td>"]
        for style in queue.styles:
            found = links.get((each.name, style.name))
            shown = html.escape(style.name)
            image = f'<a href="{quote(found[1])}">{_image(queue, found[0], shown)}</a>' if found else ""
            cells.append(f"<td>{image}{shown}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="grid">{"".join(lines)}</table>'


def _image(queue: Queue, thumbnail: Path, text: str) -> str:
    address = quote(thumbnail.relative_to(queue.folder).as_posix())
    return f'<img src="{address}" alt="{text}" loading="lazy">' if thumbnail.exists() else ""


def _table_row(row: Mapping[str, Any]) -> str:
    job = _text(row, "job") if row["output"] is None else f'<a href="{quote(row["output"])}">{_text(row, "job")}</a>'
    figures = [
        "" if row["bytes"] is None else in_words(row["bytes"]),
        "" if row["seconds"] is None else f"{row['seconds']:.1f}",
        "" if row["evaluations"] is None else f"{row['evaluations']:,}",
        *("" if row[key] is None else f"{row[key]:.4g}" for key in _LOSSES),
    ]
    numbers = "".join(f'<td class="number">{figure}</td>' for figure in figures)
    return f'<tr class="{row["state"]}"><td>{job}</td><td>{row["state"]}</td>{numbers}</tr>'


def _text(row: Mapping[str, Any], key: str) -> str:
    return html.escape(str(row[key]))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _numbers(records: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [record[key] for record in records if type(record.get(key)) in (int, float)]


def _total(records: Sequence[Mapping[str, Any]], key: str) -> float | None:
    numbers = _numbers(records, key)
    return sum(numbers) if numbers else None


def _mean(records: Sequence[Mapping[str, Any]], key: str) -> float | None:
    numbers = _numbers(records, key)
    return sum(numbers) / len(numbers) if numbers else None


def _foreign(path: Path) -> UsageError:
    return UsageError(
        f"{path}: exists, and is not of a queue", hint="choose another folder with -o, or move the file away"
    )
