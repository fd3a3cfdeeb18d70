"""The documents: commands, settings, paths, links, names and messages in them must be real."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import make_gallery
import pytest
import typer
from make_before_after import MAX_BYTES, evenly, wiped
from PIL import Image
from pydantic import BaseModel

import pipeline
from pipeline import cli, errors
from pipeline.config.composition import CompositionSettings
from pipeline.config.losses import LAYERS
from pipeline.config.reading import parse_settings, set_value
from pipeline.config.settings import Config
from tests.support.clips import moving_square, texture, write_photos, write_video
from tests.support.house import FLOORS, HOUSE, ROOMS_OF_LIBRARY
from tests.support.photos import MODEL, write_photo

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
QUICK = ["--encoder=tiny", "--progress=none", "--set=optimize.cold.evaluations=1", "--set=optimize.warm.evaluations=1"]
QUICK += ["--set=optimize.cold.min_scale_px=32"]
REGIONS = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/regions.md").read_text(encoding="utf-8"), re.M | re.S)[0]
NOT_RUN = ("weights", "demo")
"""Commands that need a network or minutes: only their arguments are parsed."""


@dataclass(frozen=True)
class Document:
    """A document taken apart: its text without code, the lines of its code blocks, and what stands in backticks."""

    text: str
    lines: tuple[str, ...]
    inline: tuple[str, ...]
    python: tuple[str, ...]


@cache
def taken_apart(path: Path) -> Document:
    text = path.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"(?:^\n|\A)((?:^ {4,}\S.*\n?|^\n(?= {4}))+)", prose, re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines += [line.strip() for language, block in fenced if language != "python" for line in block.splitlines()]
    for block in blocks:
        prose = prose.replace(block, "")
    return Document(
        re.sub(r"`[^`]*`", "", prose),
        tuple(line for line in lines if line),
        tuple(" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)),
        tuple(block for language, block in fenced if language == "python"),
    )


def commands_of(path: Path) -> list[str]:
    return [line for line in taken_apart(path).lines if line.startswith("tempera ")]


def every(pattern: str) -> list[tuple[str, str]]:
    """(document, match) of a pattern in all code of all documents."""
    found = {
        (path.name, match)
        for path in DOCUMENTS
        for code in (*taken_apart(path).lines, *taken_apart(path).inline)
        for match in re.findall(pattern, code)
    }
    return sorted(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small files of the names that the documents use, and finished renders."""
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "clip.mp4", moving_square(5), tone_s=0.2)
    write_photos(folder / "photos", moving_square(12), pattern="photo_{:03d}.jpg")
    (folder / "archive").mkdir()
    shutil.copy(folder / "clip.mp4", folder / "archive")
    for number, name in enumerate(("burst", "bracket", "raw", "webcam", "card", "DCIM/100CANON", "DCIM/101CANON")):
        write_photo(folder / name / "IMG_0001.JPG", number, main={MODEL: "EOS 7D"}, size=(64, 48))
    (folder / "queue.yaml").write_text("inputs: [photos/*.jpg, clip.mp4]\nstyles: [swirl, {style: painting.jpg}]\n")
    for name in ("photo", "painting", "dawn", "dusk"):
        Image.fromarray(texture((72, 48), 50)).save(folder / f"{name}.jpg")
    Image.fromarray(moving_square(1)[0][..., 0]).save(folder / "mask.png")
    for name in ("houses", "person"):
        Image.fromarray(texture((48, 32), 51)).convert("L").save(folder / f"{name}.png")
    (folder / "parts.yaml").write_text(REGIONS, encoding="utf-8")
    clip, style_image, output = (str(folder / name) for name in ("clip.mp4", "painting.jpg", "lake.mp4"))
    assert cli.run(["render", clip, "--style", style_image, "-o", output, *QUICK, "--save-every=1"]) == 0
    for name in ("oil", "swirl", "mug", "stars", "steps", "street"):
        shutil.copytree(folder / "lake.render", folder / f"{name}.render")
    (folder / "film.cube").write_text("LUT_1D_SIZE 2\n0 0 0\n1 1 0.9\n")
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "fusion.md").read_text(encoding="utf-8"), re.DOTALL)
    (folder / "fusion.yaml").write_text(blocks[0], encoding="utf-8")
    colors = (ROOT / "docs" / "color.md").read_text(encoding="utf-8")
    (folder / "parts-color.yaml").write_text(re.findall(r"```yaml\n(.*?)```", colors, re.DOTALL)[0], encoding="utf-8")
    for part in make_gallery.PARTS.finditer(make_gallery.PAGE.read_text(encoding="utf-8")):
        if part["file"]:
            (folder / part["file"]).write_text(part["text"], encoding="utf-8")
    photo, base = str(folder / "photo.jpg"), str(folder / "base.png")
    assert cli.run(["render", photo, "--style", style_image, "-o", base, *QUICK]) == 0
    shutil.copytree(folder / "base.render", folder / "top.render")
    assert cli.run(["render", clip, "--style", style_image, "-o", output, *QUICK]) == 0
    grid = ["--sweep=seed=1,2", "--sweep=style.scale=1,2", "-o", str(folder / "grid.html")]
    assert cli.run(["preview", clip, "--style", style_image, *grid, *QUICK, "--width=48"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _figures_of_tests(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured for the forecast of one command holds for the others: most are of one style and size."""
    figures = tmp_path_factory.getbasetemp() / "figures-of-documents.json"
    monkeypatch.setattr("pipeline.workflows.forecast.remembered.figures_path", lambda: figures)


def test_documents_have_commands() -> None:
    assert len(commands_of(ROOT / "README.md")) >= 12
    assert every(r"scripts/test") and every(r"--set")


@pytest.mark.parametrize(
    "command", sorted({command for path in DOCUMENTS for command in commands_of(path)}), ids=lambda text: text[8:60]
)
def test_commands_of_the_documents_work(
    command: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On small files of the same names; renders are dry, previews and explanations use the test encoder.

    Of an explanation there is only the growth, unless the command says which parts.
    """
    monkeypatch.chdir(folder)
    arguments = shlex.split(command, comments=True)[1:]
    arguments = ["clip.mp4" if argument == "INPUT" else argument for argument in arguments]
    if arguments[0] in NOT_RUN:
        arguments.append("--help")
    elif arguments[0] == "edit":
        monkeypatch.chdir(edited_copy(folder, tmp_path, undo="--undo" in arguments))
    elif arguments[0] in ("render", "queue"):
        # The folder has renders with other settings under some of these names.
        arguments += ["--dry-run", *(["--fresh"] if arguments[0] == "render" else [])]
        # Its forecast measures an evaluation at this size.
        wide = [at for at, word in enumerate(arguments[:-1]) if word == "--width" and int(arguments[at + 1]) > 640]
        for at in wide:
            arguments[at + 1] = "64"
    elif arguments[0] == "preview":
        arguments = [re.sub(r"^\d+x\d+", "16x16", argument) for argument in arguments]
        arguments += [*QUICK, "--width=48"]
    elif arguments[0] == "explain" and not arguments[1].endswith(".render"):
        arguments += [*QUICK, "--width=48", *([] if "--only" in arguments else ["--only=growth"])]
    assert cli.run(arguments) == 0


def edited_copy(folder: Path, target: Path, *, undo: bool) -> Path:
    """A folder with a render and a picture to put into it; where that is to be undone, it was put into it already."""
    render = shutil.copytree(folder / "lake.render", target / "lake.render")
    Image.fromarray(texture((48, 32), 51)).save(target / "painted.png")
    if undo:
        assert cli.run(["edit", str(render), "--frame=1", "--with", str(target / "painted.png")]) == 0
    return target


@cache
def commands() -> dict[str, set[str]]:
    """Names of all commands and their options."""
    group: Any = typer.main.get_command(cli.app)
    found: dict[str, set[str]] = {"": {option for parameter in group.params for option in parameter.opts} | {"--help"}}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", {}).values()
        parameters = [parameter for each in (command, *inner) for parameter in each.params]
        options = {option for each in parameters for option in (*each.opts, *each.secondary_opts)}
        found[name] = options | {"--help", *getattr(command, "commands", {})}
    return found


def test_commands_and_options_exist() -> None:
    known = commands()
    for document, code in every(r"^tempera .*"):
        first, *rest = code.split("#", maxsplit=1)[0].split()[1:]
        name = "" if first.startswith("-") else first
        assert name in known, f"{document}: {code}"
        for word in (first, *rest):
            if word.startswith("-"):
                assert word.partition("=")[0] in known[name], f"{document}: {code}"


def test_options_in_prose_exist() -> None:
    known = set().union(*commands().values())
    used = {option for _, option in every(r"^(--[a-z][\w-]+)")}
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "scripts").rglob("*.py"))
    assert not {option for option in used - known if f'"{option}"' not in scripts}


def settings_named() -> list[tuple[str, str]]:
    """(document, key) of every setting: those that are set in commands, and dotted names that begin with a section."""
    named = every(r"^([a-z]+(?:\.[a-z_]+)+)(?:=|$)")
    sections = [(path, key) for path, key in named if key.partition(".")[0] in Config.model_fields]
    sections = [(path, key) for path, key in sections if not key.endswith((".py", ".json", ".csv", ".png"))]
    return sorted({*sections, *every(r"--s(?:et|weep)[ =]'?([\w.]+)=")})


def _model(key: str) -> type[BaseModel]:
    """The style config, or for a key that only a composition has, the composition."""
    return Config if re.split("[.=]", key)[0] in Config.model_fields else CompositionSettings


def is_setting(key: str) -> bool:
    model: Any = _model(key)
    for part in key.split("."):
        if get_origin(model) is dict:  # weights of layers, by layer
            return part in LAYERS
        model = next((each for each in get_args(model) if inspect.isclass(each)), model)  # images are a tuple of models
        if part.isdecimal():
            continue
        if not (inspect.isclass(model) and issubclass(model, BaseModel) and part in model.model_fields):
            return False
        model = model.model_fields[part].annotation
    return True


def test_settings_exist() -> None:
    named = settings_named()
    assert len(named) > 300
    assert not [(document, key) for document, key in named if not is_setting(key)]
    assert not is_setting("losses.tv.wieght") and not is_setting("losses.style.layers.relu9_1")


def test_values_of_settings_are_valid() -> None:
    for document, assignment in every(r"--set ([\w.]+=[\w.:]+)"):
        if assignment.endswith("=N"):  # any number
            continue
        model = _model(assignment)
        layers = [{"render": "any.render"} for _ in range(3)]
        style: dict[str, Any] = {"style": {"images": [{"path": "any.jpg"}]}}
        if assignment.startswith(("regions.", "color.by_region=")):
            style["regions"] = [{"mask": {"sky": True}, **style}]
        data: dict[str, Any] = style if model is Config else {"layers": layers}
        set_value(data, assignment, model)
        parse_settings(model, data, where=document, hint=assignment)


def test_paths_exist() -> None:
    named = every(r"(?<![\w/.])(?:\./)?((?:scripts|pipeline|tests|configs|\.ci)/[\w./-]*\w)")
    assert not [(document, name) for document, name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", taken_apart(path).text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            anchors |= {text.lower() for text in re.findall(r"^\[(\w+)\]:", file.read_text(encoding="utf-8"), re.M)}
            assert anchor in anchors, f"{path.name} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_use_the_api_as_it_is(path: Path) -> None:
    """Blocks compile, and calls of `pipeline.name(...)` fit the signatures; those of docs/python.md run in test_api."""
    for block in taken_apart(path).python:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pipeline":
                assert hasattr(pipeline, node.attr), f"{path.name}: pipeline.{node.attr}"
            if isinstance(node, ast.Call) and re.fullmatch(r"pipeline\.\w+", ast.unparse(node.func)):
                function = getattr(pipeline, ast.unparse(node.func).removeprefix("pipeline."))
                names = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
                inspect.signature(function).bind(*node.args, **dict.fromkeys(names))


def table(path: Path, first_column: str) -> list[list[str]]:
    """The rows of the table whose first column has this title."""
    text = path.read_text(encoding="utf-8")
    lines = text[text.index(f"| {first_column} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_rooms_are_those_of_the_package() -> None:
    rows = table(ROOT / "docs" / "architecture.md", "room")
    assert [row[0].strip("`") for row in rows] == list(FLOORS)
    for library, rooms in ROOMS_OF_LIBRARY.items():
        named = {row[0].strip("`") for row in rows if re.search(rf"\b{library}\b", row[2])}
        there = {room for room in rooms if room in FLOORS} - {"__main__"}
        assert library == "click" or named == there, library


def test_names_in_the_architecture_exist() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in HOUSE.rglob("*.py"))
    names = {
        name for code in taken_apart(ROOT / "docs" / "architecture.md").inline for name in re.findall(r"(\w+)\(", code)
    }
    assert len(names) > 15
    assert not {name for name in names if not re.search(rf"^ *def {name}\(", sources, re.MULTILINE)}
    inline = {name: set(taken_apart(ROOT / name).inline) for name in ("docs/architecture.md", "CONTRIBUTING.md")}
    named = set().union(*inline.values()) - {"TEMPERA_DATA"}
    constants = {code for code in named if re.fullmatch(r"[A-Z][A-Z_]{4,}", code)}
    assert not {name for name in constants if not re.search(rf"^{name}\b", sources, re.MULTILINE)}
    classes = {code for code in named if re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*", code)}
    assert not {name for name in classes if not re.search(rf"^class {name}\b", sources, re.MULTILINE)}


def test_every_benchmark_and_result_is_described() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    bench = ROOT / "scripts" / "bench"
    names = {path.name for path in bench.glob("*.py")} - {"arguments.py", "machine.py"}  # which measure nothing
    names |= {path.name for path in (bench / "results").glob("*.json")}
    assert not {name for name in names if name not in text}


def test_figures_of_steadiness_are_those_of_the_results() -> None:
    results = ROOT / "scripts" / "bench" / "results" / "motion.json"
    clips = json.loads(results.read_text(encoding="utf-8"))["clips"]
    rows = {re.findall(r"`(\w+)`", row[0])[0]: row[1:] for row in table(ROOT / "docs" / "benchmarks.md", "clip")}
    assert set(rows) == set(clips)
    for name, clip in clips.items():
        cells = [float(number) for cell in rows[name] for number in re.findall(r"\d+(?:\.\d+)?", cell)]
        keys = ["frames", "evaluations_median", "evaluations_p90", "loss_ratio", "loss_ratio_end", "sharpness_end"]
        keys += ["independent_over_ours", "without_flow_over_ours"]
        for key, cell in zip(keys, cells, strict=True):
            rounding = 0.0051 if key.startswith(("loss", "sharpness")) else 0.51
            assert cell == pytest.approx(clip[key], abs=rounding), f"{name}: {key}"


def test_exit_codes_are_those_of_the_errors() -> None:
    rows = table(ROOT / "docs" / "troubleshooting.md", "code")
    stated = {row[2].strip("`"): row[0] for row in rows if row[2].startswith("`")}
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.TemperaError)]
    codes = {kind.__name__: str(kind.exit_code) for kind in kinds if "exit_code" in vars(kind)}
    assert codes.pop("TemperaError") == "1"
    assert stated == {**codes, "Interrupted": "130, 143"}


def test_messages_of_the_troubleshooting_are_those_of_the_program() -> None:
    """What stands in double quotes, with `...` for what differs, is part of a message of the package."""
    templates = []
    for path in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                templates.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                templates.append(node.value)
    quoted = re.findall(r'"([^"]+)"', taken_apart(ROOT / "docs" / "troubleshooting.md").text)
    assert len(quoted) > 20
    for quote in quoted:
        pieces = [re.escape(piece.strip()) for piece in " ".join(quote.split()).split("...") if piece.strip()]
        expression = re.compile(r".*".join(pieces), re.DOTALL)
        assert any(expression.search(template) for template in templates), quote


def test_documents_use_the_words_of_the_glossary() -> None:
    for path in DOCUMENTS:
        prose = re.sub(r'"[^"]*"', "", taken_apart(path).text)
        found = re.findall(r"\b(?:paint(?:s|ing|ings)?|trust(?:s|ed|worthy)?|torn|mend(?:s|ed)?)\b", prose)
        assert not found, path.name


def test_animation_of_the_readme_moves_and_is_small() -> None:
    path = ROOT / "docs" / "before-after.webp"
    assert path.stat().st_size <= MAX_BYTES
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) >= 24
        assert image.width == 480


def test_pictures_of_the_gallery_are_those_that_its_script_makes() -> None:
    """All are made by commands of the page, and small."""
    parts = list(make_gallery.PARTS.finditer(make_gallery.PAGE.read_text(encoding="utf-8")))
    names = [part["picture"] for part in parts if part["picture"]]
    images = {path.name: path.stat().st_size for path in make_gallery.PICTURES.iterdir()}
    assert sorted(images) == sorted(f"{name}.jpg" for name in names)
    assert max(images.values()) <= make_gallery.MAX_BYTES and sum(images.values()) <= 2_500_000
    commands = [part["command"] for part in parts if (part["command"] or "").startswith("tempera ")]
    assert commands == commands_of(make_gallery.PAGE)


def test_before_and_after_show_content_left_and_stylized_right() -> None:
    assert evenly(48, 24) == list(range(0, 48, 2)) and evenly(3, 24) == [0, 1, 2]
    frames = wiped([Image.new("RGB", (64, 36), "black")] * 4, [Image.new("RGB", (64, 36), "red")] * 4, 32)
    assert {frame.size for frame in frames} == {(32, 18)}
    assert all(frame.getpixel((0, 9)) == (0, 0, 0) and frame.getpixel((31, 9)) == (255, 0, 0) for frame in frames)
