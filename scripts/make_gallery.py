"""Make the pictures of docs/gallery.md again: run its commands, and lay their results side by side in docs/images/.

    python scripts/make_gallery.py [--work DIR] [--only NAME ...]

Commands, and the files that the page shows, are taken from the page as they stand. A picture shows what the commands
since the previous picture have written: sheets as they are, single images with the photo first, three frames of a
video. A picture `images/FOLDER-NAME.jpg` is the file `NAME.png` of a folder that a command has written. `--work` keeps
the results, and what is in that folder already is not made again. `--only` makes the pictures of these names.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
from PIL import Image

from pipeline.sample.photos import write_sample

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "images"
PARTS = re.compile(
    r"`(?P<file>[\w.-]+)`:\n\n```\w+\n(?P<text>.*?)^```$"
    r"|^ {4}(?P<command>(?:tempera|cp) .*?)$"
    r"|^!\[.*?\]\(images/(?P<picture>[\w-]+)\.jpg\)$",
    re.MULTILINE | re.DOTALL,
)
"""What the page has, in its order: files, commands and pictures."""
OUTPUT = re.compile(r" (?:-o|--sheet) (\S+)")
WIDTH_PX, GAP_PX = 900, 4
MAX_BYTES = 140_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for what the commands write; by default a temporary one")
    parser.add_argument("--only", nargs="+", default=[], help="names of pictures, as `color`; by default all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        make(options.work or Path(temporary), options.only)


def make(work: Path, only: Sequence[str]) -> None:
    """Run the commands of the page in a folder, and write the pictures: all, or those with these names."""
    # The photos of the demo are all that the page uses of it: its render is left out.
    write_sample(work / "tempera-demo" / "photos")
    commands: list[str] = []
    shown: list[str] = []
    for part in PARTS.finditer(PAGE.read_text(encoding="utf-8")):
        if part["file"]:
            (work / part["file"]).write_text(part["text"], encoding="utf-8")
        elif part["command"] and OUTPUT.search(part["command"]):
            commands.append(part["command"])
        elif part["command"]:
            if part["command"] != "tempera demo" and not (work / part["command"].split()[-1]).exists():
                run(part["command"], work)
        else:
            shown, commands = commands or shown, []
            if not only or part["picture"] in only:
                for command in shown:
                    if not written(command, work).exists():
                        run(command, work)
                save(part["picture"], picture(part["picture"], shown, work))


def written(command: str, folder: Path) -> Path:
    """The file or folder that a command writes."""
    found = OUTPUT.search(command)
    assert found is not None
    return folder / found[1]


def run(command: str, folder: Path) -> None:
    """Run a command of the page in a folder, with the program of this checkout; stops the script if it fails."""
    words = shlex.split(command)
    if words[0] == "tempera":
        words = [sys.executable, "-m", "pipeline", *words[1:]]
    print(command, flush=True)
    subprocess.run(words, cwd=folder, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def picture(name: str, commands: Sequence[str], work: Path) -> Image.Image:
    """What commands have written, as one picture, at most WIDTH_PX wide."""
    outputs = [written(command, work) for command in commands]
    if outputs[0].is_dir():
        return narrowed(Image.open(outputs[0] / f"{name.removeprefix(outputs[0].name)[1:]}.png"))
    if not commands[0].startswith("tempera render"):
        return rows([[narrowed(Image.open(output))] for output in outputs])
    if outputs[0].suffix == ".mp4":
        return rows([three_frames(output) for output in outputs])
    size = Image.open(outputs[-1]).size
    images = [
        Image.open(path).convert("RGB").resize(size, Image.Resampling.LANCZOS)
        for path in (work / "photo.jpg", *outputs)
    ]
    return narrowed(rows([images[start : start + 2] for start in range(0, len(images), 2)]))


def three_frames(video: Path) -> list[Image.Image]:
    """The first frame of a video, the middle one and the last one."""
    with av.open(str(video)) as container:
        frames = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    width = (WIDTH_PX - 2 * GAP_PX) // 3
    height = round(width * frames[0].height / frames[0].width)
    return [frames[k].resize((width, height), Image.Resampling.LANCZOS) for k in (0, len(frames) // 2, -1)]


def narrowed(image: Image.Image) -> Image.Image:
    """An image as RGB, at most WIDTH_PX wide."""
    width = min(image.width, WIDTH_PX)
    return image.convert("RGB").resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)


def rows(images: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Rows of images with a thin white line between them."""
    width = max(sum(image.width + GAP_PX for image in row) - GAP_PX for row in images)
    sheet = Image.new("RGB", (width, sum(row[0].height + GAP_PX for row in images) - GAP_PX), "white")
    top = 0
    for row in images:
        left = 0
        for image in row:
            sheet.paste(image, (left, top))
            left += image.width + GAP_PX
        top += row[0].height + GAP_PX
    return sheet


def save(name: str, image: Image.Image) -> None:
    """Write a picture as a JPEG of at most MAX_BYTES, its colors as sharp as its light: of less quality, or smaller."""
    for quality in (85, 80, 75, 70):
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality, subsampling=0, optimize=True, progressive=True)
        if data.tell() <= MAX_BYTES:
            break
    else:
        save(name, image.resize((image.width * 9 // 10, image.height * 9 // 10), Image.Resampling.LANCZOS))
        return
    path = PICTURES / f"{name}.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.getvalue())
    print(path, f"{image.width}x{image.height} px, {len(data.getvalue()) // 1000} kB, quality {quality}", flush=True)


if __name__ == "__main__":
    main()
