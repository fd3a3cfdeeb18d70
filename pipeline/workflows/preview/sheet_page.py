"""A sheet as one HTML page that needs nothing else: images, captions, commands, and a slider to compare two cells.

Everything from outside (names of styles, values, paths) is escaped, and the page's policy forbids it to load anything.
Without scripts it still shows all cells and commands.
"""

from __future__ import annotations

import base64
import io
import re
import shlex
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.workflows.preview.sheet import Block, Cell, Sheet

RECORD_ID: Final = "tempera-sheet"
"""Id of the script element with the record of the cells, and keyword of the same text in a PNG."""

_JPEG_QUALITY: Final = 92

_STYLE: Final = """
:root { color-scheme: light dark; --paper: #faf8f4; --text: #191919; --detail: #5f5c58; --line: #d8d4cc }
@media (prefers-color-scheme: dark) {
  :root { --paper: #191817; --text: #f0ede8; --detail: #a9a49c; --line: #3a3835 }
}
* { box-sizing: border-box }
body { margin: 0; padding: 1.25rem; background: var(--paper); color: var(--text);
  font: 15px/1.4 system-ui, sans-serif }
h1 { font-size: 1.2rem; margin: 0 0 .25rem }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .5rem }
p { margin: 0 0 1rem; color: var(--detail) }
.scroll { overflow-x: auto }
.row { display: grid; gap: .75rem; margin-bottom: 1.25rem;
  grid-template-columns: repeat(var(--columns), minmax(150px, var(--width))) }
.full .row { grid-template-columns: repeat(var(--columns), max-content) }
figure { margin: 0; min-width: 0 }
.full figure { width: var(--width) }
img { display: block; width: 100%; height: auto }
button, select { font: inherit; color: inherit; background: transparent; border: 1px solid var(--line);
  border-radius: 4px; padding: .15rem .6rem; cursor: pointer }
button.open { display: block; width: 100%; padding: 0; border: 0; border-radius: 0; cursor: zoom-in }
:focus-visible { outline: 3px solid #3b82f6; outline-offset: 2px }
figcaption { padding-top: .4rem }
figcaption div { overflow-wrap: anywhere; color: var(--detail) }
figcaption > div { font-size: 14px }
.command { display: flex; gap: .5rem; justify-content: space-between; align-items: flex-start; margin-top: .35rem }
summary { cursor: pointer; font-size: 13px }
code { font: 12px/1.45 ui-monospace, monospace; overflow-wrap: anywhere }
.copy { font-size: 12px }
dialog { width: min(96vw, 1400px); max-height: 96vh; padding: 1rem; border: 1px solid var(--line);
  border-radius: 8px; background: var(--paper); color: var(--text) }
dialog::backdrop { background: #000b }
.bar { display: flex; flex-wrap: wrap; gap: .5rem; justify-content: space-between; margin-bottom: .75rem }
.bar select { max-width: 100%; background: var(--paper) }
#view { margin: 0 auto; width: min(100%, 2 * var(--natural), calc(var(--ratio) * 74vh)) }
#stage { position: relative; touch-action: pan-y; cursor: ew-resize; user-select: none }
#right { position: absolute; inset: 0; height: 100%; clip-path: inset(0 0 0 var(--at)) }
#edge { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 3px #000; pointer-events: none }
#at { display: block; width: calc(100% + 16px); margin: .75rem -8px 0 }
"""

_SCRIPT: Final = """
const find = id => document.getElementById(id);
const cells = [...document.querySelectorAll("figure")];
const dialog = find("compare"), view = find("view"), stage = find("stage"), at = find("at");
const sides = [[find("left-cell"), find("left")], [find("right-cell"), find("right")]];
for (const [select] of sides) {
  for (const cell of cells) select.add(new Option(cell.dataset.label, cell.id));
}
function show() {
  for (const [select, image] of sides) {
    const shown = find(select.value).querySelector("img");
    image.src = shown.src;
    image.alt = shown.alt;
    view.style.setProperty("--ratio", shown.naturalWidth / shown.naturalHeight);
    view.style.setProperty("--natural", shown.naturalWidth + "px");
  }
}
function move(percent) {
  at.value = percent;
  stage.style.setProperty("--at", at.value + "%");
}
function open(cell) {
  const content = cell.dataset.content === cell.id ? cells.find(other => other !== cell).id : cell.dataset.content;
  sides[0][0].value = content;
  sides[1][0].value = cell.id;
  show();
  move(50);
  dialog.showModal();
  at.focus();
}
function follow(event) {
  const box = stage.getBoundingClientRect();
  move(100 * (event.clientX - box.left) / box.width);
}
async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "copy" }, 1500);
}
for (const cell of cells) {
  cell.querySelector(".open").addEventListener("click", () => open(cell));
  const button = cell.querySelector(".copy");
  if (button) button.addEventListener("click", () => copy(button));
}
for (const [select] of sides) select.addEventListener("change", show);
at.addEventListener("input", () => move(at.value));
stage.addEventListener("pointerdown", event => { stage.setPointerCapture(event.pointerId); follow(event) });
stage.addEventListener("pointermove", event => { if (event.buttons) follow(event) });
"""

_COMPARE: Final = """
<dialog id="compare" aria-label="Compare two cells">
<div class="bar">
<label>left <select id="left-cell"></select></label>
<label>right <select id="right-cell"></select></label>
<form method="dialog"><button>close</button></form>
</div>
<div id="view">
<div id="stage"><img id="left" alt="" draggable="false"><img id="right" alt="" draggable="false">
<div id="edge"></div></div>
<input id="at" type="range" min="0" max="100" step="0.5" value="50" aria-label="How much of the left cell is shown">
</div>
</dialog>
"""


def sheet_page(sheet: Sheet, name: str, record: str) -> str:
    """The HTML page of a sheet that is called `name`; `record` is the JSON of its cells."""
    body = "".join(_block(block) for block in sheet.blocks)
    width_px = sheet.cells[0].rgb.shape[1]
    example = next(cell.name for cell in sheet.cells if cell.variant)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{escape(name)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(name)}</h1>
<p>Click an image to compare it with another one. Keep a cell as a style of your own:
<code>tempera preview {escape(shlex.quote(name))} --promote {example} mine.yaml</code></p>
<main class="{"full" if sheet.full_size else "fitted"}" style="--width: {width_px}px">{body}</main>
{_COMPARE}
<script type="application/json" id="{RECORD_ID}">{record.replace("<", chr(92) + "u003c")}</script>
<script type="module">{_SCRIPT}</script>
</body>
</html>
"""


def _block(block: Block) -> str:
    columns = max(map(len, block.rows))
    heading = f"<h2>{escape(block.heading)}</h2>" if block.heading else ""
    rows, content = [], ""
    for row in block.rows:
        content = row[0].name if row[0] else content  # of the frame that the rest of the row shows
        rows.append(
            f'<div class="row" style="--columns: {columns}">'
            + "".join("<span></span>" if cell is None else _figure(cell, content) for cell in row)
            + "</div>"
        )
    return f'<section>{heading}<div class="scroll">{"".join(rows)}</div></section>'


def _figure(cell: Cell, content: str) -> str:
    first, *others = cell.caption.split("\n")
    label = escape(", ".join([first, *others]))
    command = (
        f'<div class="command"><details><summary>command</summary><code>{escape(cell.command)}</code></details>'
        f'<button type="button" class="copy" aria-label="copy the command of {cell.name}">copy</button></div>'
        if cell.command
        else ""
    )
    return (
        f'<figure id="{cell.name}" data-content="{content}" data-label="{label}">'
        f'<button type="button" class="open" aria-label="compare {label}">'
        f'<img src="{_data_url(cell.rgb)}" width="{cell.rgb.shape[1]}" height="{cell.rgb.shape[0]}" alt="{label}">'
        f"</button><figcaption><b>{escape(first)}</b>"
        + "".join(f"<div>{_breakable(line)}</div>" for line in others)
        + f"{command}</figcaption></figure>"
    )


def _breakable(assignment: str) -> str:
    """`section.key=value` as HTML that breaks between the parts of the key rather than elsewhere."""
    return re.sub(r"\.(?=[^\W\d])", ".<wbr>", escape(assignment))


def _data_url(rgb: NDArray[np.uint8]) -> str:
    """An image as a JPEG inside the page, with color at full resolution."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
