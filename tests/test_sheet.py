"""Sheets of previews: sweeps, names and captions of cells, PNG and page, crops, and cells that become styles."""

from __future__ import annotations

import json
import shlex
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from pipeline.config.catalog import load_style, shipped_styles
from pipeline.config.writing import config_data, config_yaml, portable_path
from pipeline.errors import ConfigError, InputError, UsageError
from pipeline.media.image.contact_sheet import Captioned, contact_sheet, wrapped
from pipeline.media.image.png import add_text, encode_png, find_text
from pipeline.workflows.preview.cells import StylizedCells
from pipeline.workflows.preview.crop import parse_crop
from pipeline.workflows.preview.preview import Preview
from pipeline.workflows.preview.sheet import Sheet, arrange, cell_name
from pipeline.workflows.preview.sheet_file import promote, write_sheet
from pipeline.workflows.preview.sweep import parse_sweeps, variants
from tests.support.clips import texture

WEIGHTS = "losses.content.weight=0.5,1,2"
SCALES = "style.scale=1,2"


def a_sheet(styles: list[str], sweeps: list[str], frames: list[int], *, sets: list[str] | None = None) -> Sheet:
    """A sheet whose stylized images are of one color each."""
    parsed = parse_sweeps(sweeps)
    compared = variants(styles, parsed, sets or [])
    contents = {frame: texture((48, 32), frame) for frame in frames}
    finished = [dict.fromkeys(frames, np.full((32, 48, 3), 10 * number, np.uint8)) for number in range(len(compared))]
    return arrange(Preview(contents, finished), compared, frames, parsed, ["my clip.mp4"])


def names(sheet: Sheet) -> list[list[list[str]]]:
    return [[[cell.name if cell else "" for cell in row] for row in block.rows] for block in sheet.blocks]


# Sweeps


def test_values_of_a_sweep_are_split_outside_brackets_and_quotes() -> None:
    (sweep,) = parse_sweeps(["losses.style.layers={relu1_1: 1, relu2_1: [2, 3]}, 'a, b' ,(1,2),,4,4"])
    assert sweep.values == ("{relu1_1: 1, relu2_1: [2, 3]}", "'a, b'", "(1,2)", "4")


def test_variants_are_style_by_style_and_the_first_sweep_is_the_quickest() -> None:
    found = variants(["swirl", "ink"], parse_sweeps([WEIGHTS, SCALES]), ["seed=3"])
    assert [variant.title for variant in found] == ["swirl"] * 6 + ["ink"] * 6
    assert [(v.config.losses.content.weight, v.config.style.scale) for v in found[:4]] == [
        *((0.5, 1), (1, 1), (2, 1)),
        (0.5, 2),
    ]
    assert found[3].differing == ("losses.content.weight=0.5", "style.scale=2")
    assert {variant.config.seed for variant in found} == {3}


@pytest.mark.parametrize(
    ("sweeps", "words"),
    [
        ([WEIGHTS, SCALES, "seed=1,2"], ["--sweep is given 3 times"]),
        ([WEIGHTS, WEIGHTS], ["losses.content.weight is swept already"]),
        (["output.finish.grain=0,0.1", "output.finish={sharpen: 1}"], ["output.finish.grain is swept already"]),
        (["output.crf=1,2"], ["does not show output.crf"]),
        (["style.scale="], ["expected key=v1"]),
    ],
)
def test_wrong_sweeps_are_usage_errors(sweeps: list[str], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_sweeps(sweeps)
    assert all(word in caught.value.message for word in words)


def test_unknown_setting_of_the_finish_is_named_as_what_it_is() -> None:
    """Not as a setting that a preview does not show, and by the option that was given."""
    with pytest.raises(ConfigError, match=r"^--sweep output\.fnish\.grain: unknown key; did you mean 'output\.finish"):
        parse_sweeps(["output.fnish.grain=0,0.1"])
    (sweep,) = parse_sweeps(["output.finish={grain: 0.1},{}"])
    grains = [variant.config.output.finish.grain for variant in variants(["ink"], [sweep], [])]
    assert grains[0] == 0.1 and grains[1] < 0.1


# Layout


def test_cells_are_named_as_in_a_spreadsheet() -> None:
    assert [cell_name(*place) for place in ((0, 0), (1, 1), (25, 9), (26, 0), (701, 0), (702, 2))] == [
        *("A1", "B2", "Z10", "AA1", "ZZ1"),
        "AAA3",
    ]


def test_one_sweep_has_a_row_for_each_frame() -> None:
    sheet = a_sheet(["swirl", "ink"], [SCALES], [0, 4])
    assert names(sheet) == [[["A1", "B1", "C1", "D1", "E1"], ["A2", "B2", "C2", "D2", "E2"]]]
    assert [cell.caption for cell in sheet.cells[:2]] == ["A1  content, frame 0", "B1  swirl\nstyle.scale=1"]
    assert [cell.frame for cell in sheet.cells if cell.variant] == [0] * 4 + [4] * 4


def test_two_sweeps_have_a_grid_for_each_frame_and_style() -> None:
    sheet = a_sheet(["swirl", "ink"], [WEIGHTS, SCALES], [4])
    assert [block.heading for block in sheet.blocks] == ["frame 4, swirl", "frame 4, ink"]
    assert names(sheet)[0] == [["A1", "B1", "C1", "D1"], ["", "B2", "C2", "D2"]]
    assert names(sheet)[1] == [["A3", "B3", "C3", "D3"], ["", "B4", "C4", "D4"]]
    found = {cell.name: cell for cell in sheet.cells}
    assert len(found) == 14 and found["A3"].variant is None
    assert found["C4"].caption == "C4  ink\nlosses.content.weight=1\nstyle.scale=2"
    assert found["C4"].rgb[0, 0, 0] == 10 * 10
    assert shlex.split(found["C4"].command) == [
        *("tempera", "render", "my clip.mp4", "--style", "ink"),
        *("--set", "losses.content.weight=1", "--set", "style.scale=2"),
    ]


# Captions


def test_wrapped_text_is_whole_and_fits() -> None:
    text = "B2  swirl\nlosses.content.weight=0.25 a_word_longer_than_any_line_of_it and more"
    for width in (5, 9, 14, 30):
        lines = wrapped(text, width, len)
        assert "".join("".join(lines).split()) == "".join(text.split())
        assert all(len(line) <= width for line in lines)
    assert wrapped(text, 14, len)[:4] == ["B2 swirl", "losses.", "content.", "weight=0.25"]
    assert wrapped("size=0.25", 7, len) == ["size=0.", "25"]  # too narrow for the number itself
    assert wrapped("a.size=0.25", 10, len) == ["a.", "size=0.25"]
    assert wrapped("", 5, len) == [""] and wrapped("ab", 0, len) == ["a", "b"]


def test_every_line_of_a_caption_is_drawn_below_its_image() -> None:
    """The sheet of a caption is that of its lines: nothing is cut, and a longer text needs a higher sheet."""
    image = np.full((32, 120, 3), 255, np.uint8)
    long = "losses.content.weight=1 and something that is much longer than one line of the image"
    lines = wrapped(long, 120, ImageFont.load_default(15).getlength)
    assert len(lines) > 3
    whole, apart = contact_sheet([[(long, image)]]), contact_sheet([[("\n".join(lines), image)]])
    np.testing.assert_array_equal(whole, apart)
    short = contact_sheet([[(lines[0], image)]])
    assert whole.shape[0] - short.shape[0] == 20 * (len(lines) - 1)
    rows = whole[8 + 32 :, 8:128].min(axis=(1, 2)) < 160
    runs = np.count_nonzero(np.diff(rows.astype(int)) == 1)
    assert runs >= len(lines)
    right = whole[8 + 32 :, 128:]
    assert (right == right[0, 0]).all()


def test_headings_and_empty_places_keep_the_columns() -> None:
    image = np.zeros((10, 40, 3), np.uint8)
    rows: list[list[Captioned | None]] = [[("a", image), ("b", image)], [None, ("c", image)]]
    plain, headed = contact_sheet(rows), contact_sheet(["frame 0", *rows])
    assert headed.shape[0] > plain.shape[0] and headed.shape[1] == plain.shape[1] == 3 * 8 + 2 * 40
    black = (plain == 0).all(axis=2)
    assert black[8:18, 8:48].all() and black[8:18, 56:96].all() and not black[40:, 8:48].any()


# Crops


def test_crop_is_centered_or_at_a_place() -> None:
    assert parse_crop("20x10").box(60, 40) == (slice(15, 25), slice(20, 40))
    assert parse_crop("20x10+3+4").box(60, 40) == (slice(4, 14), slice(3, 23))
    assert parse_crop("20x10+100%+0%").box(60, 40) == (slice(0, 10), slice(40, 60))


@pytest.mark.parametrize("text", ["20", "20x", "20x0", "axb", "20x10+3", "20x10+-3+4", "20x10+3+4+5", "20x10+101%+0%"])
def test_wrong_crop_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--crop"):
        parse_crop(text)


@pytest.mark.parametrize("text", ["61x10", "20x10+41+0", "20x10+0+31", "61x10+100%+0%"])
def test_crop_outside_the_frames_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="60x40 px"):
        parse_crop(text).box(60, 40)


# Kept cells


def test_kept_cells_are_exact_and_the_oldest_go_first(tmp_path: Path) -> None:
    frames = [texture((48, 32), seed) for seed in range(4)]
    size = len(encode_png(frames[0]))
    cells = StylizedCells(tmp_path / "cells", max_bytes=round(3.5 * size))
    for number, rgb in enumerate(frames[:3]):
        cells.keep(f"key{number}", rgb)
    np.testing.assert_array_equal(cells.read("key0"), frames[0])  # used last
    cells.keep("key3", frames[3])
    assert [cells.read(f"key{number}") is not None for number in range(4)] == [True, False, True, True]
    (tmp_path / "cells" / "key2.png").write_bytes(b"damaged")
    assert cells.read("key2") is None


def test_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cells = StylizedCells(tmp_path / "file" / "cells")
    cells.keep("key", texture((48, 32), 0))
    assert cells.read("key") is None


# The files


def test_text_in_a_png_is_found_and_changes_no_pixel() -> None:
    rgb = texture((48, 32), 1)
    png = add_text(encode_png(rgb), "some-key", 'Kölsch "<" 字\n')
    assert find_text(png, "some-key") == 'Kölsch "<" 字\n' and find_text(png, "other-key") is None
    assert find_text(encode_png(rgb), "some-key") is None
    for damaged in (png[:-5], png[:60] + b"?" + png[61:], b"no PNG"):
        with pytest.raises(ValueError, match="PNG"):
            find_text(damaged, "some-key")


def test_png_shows_the_sheet_and_other_programs_read_its_text(tmp_path: Path) -> None:
    sheet = a_sheet(["swirl"], [WEIGHTS, SCALES], [0])
    write_sheet(tmp_path / "new" / "sheet.png", sheet)
    with Image.open(tmp_path / "new" / "sheet.png") as image:
        record = json.loads(image.text["tempera-sheet"])  # type: ignore[attr-defined]
        pixels = np.asarray(image)
    assert record["cells"]["C2"]["command"].endswith("--set losses.content.weight=1 --set style.scale=2")
    assert set(record["cells"]["A1"]) == {"frame"}
    for number in range(1, 6):
        assert (pixels == 10 * number).all(axis=2).sum() >= 48 * 32


class Page(HTMLParser):
    """Everything of a page: elements with their attributes, text by element, and whether all are closed."""

    VOID = ("meta", "img", "input", "br", "wbr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append((self.open[-1] if self.open else "", data))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A style whose file name would be markup and script."""
    path = tmp_path / "<script>alert('x')<&\">.png"
    Image.fromarray(texture((48, 32), 3)).save(path)
    return path


def test_page_parses_and_needs_nothing_else(tmp_path: Path, hostile: Path) -> None:
    sheet = a_sheet([str(hostile)], [WEIGHTS, SCALES], [0])
    write_sheet(tmp_path / "sheet.html", sheet)
    page = Page((tmp_path / "sheet.html").read_text(encoding="utf-8"))
    assert not page.open
    tags = [tag for tag, _ in page.elements]
    assert tags.count("figure") == 7 and tags.count("img") == 7 + 2 and tags.count("script") == 2
    assert not {"link", "iframe", "object", "base", "audio", "video", "source"} & set(tags)
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action", "data", "srcset"):
            assert (attributes.get(name) or "data:image/jpeg;").startswith("data:image/jpeg;"), (tag, attributes)
    style, script = (next(text for tag, text in page.text if tag == kind) for kind in ("style", "script"))
    assert "url(" not in style and "@import" not in style and "://" not in script
    policy = next(each["content"] for tag, each in page.elements if each.get("http-equiv"))
    assert policy is not None and "default-src 'none'" in policy


def test_text_of_a_page_is_whole_and_harmless(tmp_path: Path, hostile: Path) -> None:
    sheet = a_sheet([str(hostile)], [WEIGHTS, SCALES], [0])
    write_sheet(tmp_path / "<b>.html", sheet)
    text = (tmp_path / "<b>.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text and "<b>.html" not in text
    page = Page(text)
    shown = "".join(data for tag, data in page.text if tag not in ("script", "style"))
    commands = [data for tag, data in page.text if tag == "code" and data.startswith("tempera render")]
    assert commands == [cell.command for cell in sheet.cells if cell.variant]
    labels = {each["id"]: each["data-label"] for tag, each in page.elements if tag == "figure"}
    for cell in sheet.cells:
        assert all(line in shown for line in cell.caption.split("\n"))
        assert labels[cell.name] == ", ".join(cell.caption.split("\n"))


# Promoting


@pytest.mark.parametrize("name", ["sheet.png", "sheet.html"])
def test_promoted_cell_is_a_style_that_equals_it(tmp_path: Path, hostile: Path, name: str) -> None:
    """Also from another folder, and with paths and sections of every kind."""
    styles = ["swirl", str(hostile)]
    sets = ["encoder=tiny", f"optimize.cold.init={tmp_path / 'start.png'}", "losses.style.layers={relu2_1: 1}"]
    sheet = a_sheet(styles, ["output.finish.grain=0,0.1"], [0], sets=sets)
    path = tmp_path / "sheets" / name
    write_sheet(path, sheet)
    for number, cell in enumerate(cell for cell in sheet.cells if cell.variant):
        for folder in (tmp_path, tmp_path / "elsewhere"):
            config_path = folder / f"mine {number}.yaml"
            promote(path, cell.name.lower(), config_path)
            assert cell.variant is not None
            assert load_style(str(config_path)) == cell.variant.config
            text = config_path.read_text(encoding="utf-8")
            assert text.startswith(f"# Cell {cell.name} of {name}: ") and "runtime" not in text
            assert "part of the seed" in text.partition("\nschema:")[0]


def test_promoted_cell_keeps_its_regions(tmp_path: Path) -> None:
    own_style = "style: {images: [{path: c.png}]}"
    regions = f"[{{name: sky, mask: {{sky: true}}}}, {{mask: {{painted: {{0: sky.png, 12: /b.png}}}}, {own_style}}}]"
    (tmp_path / "own.yaml").write_text(f"style: {{images: [{{path: a.png}}]}}\nregions: {regions}\n")
    sheet = a_sheet([str(tmp_path / "own.yaml")], [SCALES], [0])
    for name in ("sheet.png", "sheet.html"):
        write_sheet(tmp_path / name, sheet)
        promote(tmp_path / name, "C1", tmp_path / f"{name}.yaml")
        variant = sheet.cells[2].variant
        assert variant is not None and len(variant.config.regions) == 2
        assert load_style(str(tmp_path / f"{name}.yaml")) == variant.config


def test_only_a_stylized_cell_of_a_sheet_can_be_promoted_to_a_new_file(tmp_path: Path) -> None:
    sheet, mine = tmp_path / "sheet.png", tmp_path / "mine.yaml"
    write_sheet(sheet, a_sheet(["swirl"], [SCALES], [0]))
    for cell, word in (("A1", "shows the content"), ("D1", "is not on it"), ("", "is not on it")):
        with pytest.raises(UsageError, match=word) as caught:
            promote(sheet, cell, mine)
        assert "B1, C1" in caught.value.hint
    with pytest.raises(UsageError, match=r"expected a \.yaml"):
        promote(sheet, "B1", tmp_path / "mine.txt")
    mine.write_text("my own")
    with pytest.raises(UsageError, match="is there already"):
        promote(sheet, "B1", mine)
    assert mine.read_text() == "my own"


def test_what_is_no_sheet_is_an_input_error(tmp_path: Path) -> None:
    files = {
        "plain.png": encode_png(texture((48, 32), 1)),
        "short.png": encode_png(texture((48, 32), 1))[:40],
        "list.png": add_text(encode_png(texture((48, 32), 1)), "tempera-sheet", "[]"),
        "later.png": add_text(encode_png(texture((48, 32), 1)), "tempera-sheet", '{"tempera_sheet": 2}'),
        "page.html": b"<html></html>",
        "bytes.html": b"\xff\xfe",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match="sheet"):
            promote(tmp_path / name, "B1", tmp_path / "mine.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        promote(tmp_path / "gone.png", "B1", tmp_path / "mine.yaml")
    assert not (tmp_path / "mine.yaml").exists()


@pytest.mark.parametrize("name", sorted(shipped_styles()))
def test_config_as_yaml_is_the_same_config(name: str, tmp_path: Path) -> None:
    config = load_style(name, ["losses.content.weight=1e-05", "motion.hold=3", "description='a: #b'"])
    (tmp_path / "mine.yaml").write_text(config_yaml(config, tmp_path, "one\ntwo\x07"), encoding="utf-8")
    assert load_style(str(tmp_path / "mine.yaml")) == config
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8").startswith("# one\n# two\\x07\nschema: 1\n")


def test_config_data_have_only_what_differs(tmp_path: Path) -> None:
    config = load_style("swirl", ["optimize.warm.evaluations=7", "losses.temporal.weight=5"])
    data = config_data(config, tmp_path)
    assert data["optimize"] == {"warm": {"evaluations": 7}} and data["losses"]["temporal"] == {"weight": 5}
    assert "motion" not in data and "output" not in data
    assert data["style"]["images"] == [{"path": "images/swirl.jpg"}]


def test_paths_are_relative_below_the_folder_and_absolute_elsewhere(tmp_path: Path) -> None:
    shipped = load_style("swirl").style.images[0].path
    assert portable_path(tmp_path / "art" / "a.png", tmp_path) == "art/a.png"
    assert portable_path(tmp_path / "a.png", tmp_path / "styles") == (tmp_path / "a.png").as_posix()
    assert portable_path(shipped, tmp_path) == "images/swirl.jpg"
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "swirl.jpg").touch()  # an image of the user's own
    assert portable_path(shipped, tmp_path) == shipped.as_posix()
