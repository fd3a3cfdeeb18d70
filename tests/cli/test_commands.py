"""The other commands: probe, preview, styles, schema, doctor, weights, demo and help."""

from __future__ import annotations

import importlib.metadata
import json
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from PIL import Image

from pipeline.config.catalog import load_style
from pipeline.config.settings import Config
from tests.support.command_line import (
    FRAMES,
    QUICK,
    Tempera,
    assert_refused,
    everything,
)


def test_probe_prints_size_rate_and_duration(tempera: Tempera) -> None:
    result = tempera("probe", "{media}/clip.mp4")
    assert result.code == 0
    for word in (f"video, {FRAMES} frames", "48x32 px", "10.000 fps, constant", "0.500 s", "audio     yes"):
        assert word in result.out
    assert "variable" in tempera("probe", "{media}/uneven.mp4").out
    for asked, found in (("23.976", "24000/1001"), ("29.97", "30000/1001"), ("1/3", "1/3"), ("12.5", "25/2")):
        facts = json.loads(tempera("probe", "{media}/photos", "--json", "--fps", asked).out)
        assert facts["frame_rate"] == found
    facts = json.loads(tempera("probe", "{media}/photos", "--json", "--fps", "12").out)
    assert (facts["kind"], facts["frame_count"], facts["width_px"], facts["height_px"]) == ("photos", 3, 48, 32)
    assert Fraction(facts["frame_rate"]) == 12 and facts["duration_s"] == pytest.approx(0.25)
    assert_refused(tempera("probe", "gone.mp4"), 4, "gone.mp4")


def test_preview_has_a_row_per_frame_and_a_column_per_variant(tempera: Tempera, tmp_path: Path) -> None:
    common = ("preview", "{media}/clip.mp4", "-s", "{media}/waves.png", *QUICK, "--width", "48")
    assert tempera(*common, "-o", "new/sheet.png").out == "new/sheet.png\n"
    small = Image.open(tmp_path / "new/sheet.png").size
    sweep = ("--sweep", "losses.content.weight=0.5,2", "--at", "0", "--at", "4", "-s", "{media}/other.png")
    assert tempera(*common, *sweep, "-o", "sheet.png").code == 0
    large = Image.open(tmp_path / "sheet.png").size
    assert large[0] - 8 == (small[0] - 8) // 2 * 5  # the content, and two styles with two values
    assert large[1] - 8 > (small[1] - 8) * 2  # two frames, with longer captions
    assert everything(tmp_path) == {"new", "new/sheet.png", "sheet.png"}


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["-o", "x.jpg"], 2, ".png"),
        (["-o", "."], 2, ".png"),
        (["-o", "x.png", "--at", "99"], 2, "99"),
        (["-o", "x.png", "--sweep", "losses.content.weight"], 2, "--sweep"),
        (["-o", "x.png", "--sweep", "output.crf=10,20"], 2, "tempera export"),
        (["-o", "x.png", "--sweep", "output={crf: 10},{crf: 20}"], 2, "a sheet shows output.finish alone"),
        (["-o", "x.png", "--sweep", "output.finish=1,2"], 3, "is a section, with settings such as output.finish."),
        (["-o", "x.png", "--sweep", "output.finish.sharpn=1,2"], 3, "did you mean 'output.finish.sharpen'"),
        (["-o", "x.png", "--sweep", "runtime.threads=1,2"], 2, "runtime.threads"),
        (["-o", "x.png", "--sweep", "input.order=name,time"], 2, "--set"),
        (["-o", "x.png", "--sweep", "motion.boil=0,0.5", "--run-up", "0"], 2, "--run-up 0"),
        (["-o", "x.png", "--run-up", "-1"], 2, "--run-up"),
        (["-o", "x.png", *("--sweep", "seed=1,2") * 2], 2, "swept already"),
        (["-o", "x.png", *("--sweep", "seed=1,2") * 3], 2, "--sweep is given 3 times"),
        (["-o", "x.png", "--crop", "49x20"], 2, "48x32"),
        (["-o", "x.png", "--crop", "half"], 2, "--crop half"),
        (["-o", "x.png", "--promote", "B1", "mine.yaml"], 2, "--promote"),
        ([], 2, "-o is missing"),
        (["-o", "x.png", "--sweep", "losses.content.wieght=1,2"], 3, "losses.content.weight"),
        (["-o", "x.png", "--frames", "9:9"], 2, ""),
        (["-o", "file/x.png"], 8, "file"),
        (["-o", "{media}/photos/shot_002.png"], 2, "input itself"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_preview_with_invalid_arguments_is_refused(
    tempera: Tempera, tmp_path: Path, arguments: list[str], code: int, word: str
) -> None:
    (tmp_path / "file").touch()
    result = tempera("preview", "{media}/photos", "-s", "{media}/waves.png", *QUICK, *arguments)
    assert_refused(result, code, word)


def test_grid_becomes_a_page_and_a_cell_of_it_a_style(tempera: Tempera, tmp_path: Path) -> None:
    sweeps = ("--sweep", "losses.content.weight=0.5,2", "--sweep", "losses.tv.weight=0,1,2")
    common = ("preview", "{media}/photos", "-s", "{media}/waves.png", *QUICK, *sweeps, "--crop", "40x20", "--at", "1")
    assert tempera(*common, "-o", "sheet.html").out == "sheet.html\n"
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert page.count('width="40" height="20"') == 1 + 6 and "losses.content.weight=2 --set losses.tv.weight=1" in page
    assert "of 6 cells" not in tempera(*common, "-o", "sheet.html", "--fresh", "--progress", "plain").err
    again = tempera(*common[:-2], "--at", "1", "-o", "sheet.png", "--progress", "plain")
    assert "6 of 6 cells are from an earlier sheet" in again.err
    assert tempera("preview", "sheet.html", "--promote", "C2", "mine.yaml").out == "mine.yaml\n"
    style = load_style(str(tmp_path / "mine.yaml"))
    assert (style.name, style.losses.content.weight, style.losses.tv.weight) == ("waves", 2, 1)
    assert_refused(tempera("preview", "sheet.png", "--promote", "C2", "mine.yaml"), 2, "mine.yaml")
    assert_refused(tempera("preview", "sheet.png", "--promote", "E2", "other.yaml"), 2, "E2")
    assert_refused(tempera("preview", "{media}/waves.png", "--promote", "B1", "other.yaml"), 4, "not a sheet")
    assert_refused(tempera("preview", "{media}/photos", "-o", "sheet.png"), 2, "--style")
    assert everything(tmp_path) == {"sheet.html", "sheet.png", "mine.yaml"}


def test_styles_lists_and_prints_the_shipped_configs(tempera: Tempera) -> None:
    listing = tempera("styles").out.splitlines()
    names = [line.split()[0] for line in listing]
    assert "swirl" in names and len(names) >= 6 and all(len(line.split()) > 3 for line in listing)
    assert yaml.safe_load(tempera("styles", "swirl").out)["name"] == "swirl"
    assert yaml.safe_load(tempera("styles", "template").out).keys() == {
        field.alias or name for name, field in Config.model_fields.items()
    }
    assert_refused(tempera("styles", "swril"), 3, "swirl")


def test_schema_is_that_of_the_config(tempera: Tempera) -> None:
    schema = json.loads(tempera("schema").out)
    assert schema["type"] == "object" and "losses" in schema["properties"]


def test_doctor_reports_devices_codecs_and_encoders(tempera: Tempera) -> None:
    result = tempera("doctor", "--json")
    facts = json.loads(result.out)
    assert {"torch", "device", "codecs", "encoder compact", "encoder vgg19", "styles"} <= facts.keys()
    assert result.code == (0 if facts["encoder compact"].startswith("works") else 6)
    text = tempera("doctor")
    assert text.code == result.code and "torch" in text.out and "Traceback" not in text.err
    line = next(line for line in text.out.splitlines() if line.startswith("codec prores"))
    assert ".mov .mkv .mxf" in line and "10 bits: 4:2:2 4:4:4" in line and "proxy" in line


def test_doctor_names_the_one_command_that_installs_what_is_missing(
    tempera: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        if package == "rawpy":
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    facts = json.loads(tempera("doctor", "--json").out)
    missing = facts["missing"]
    assert missing["raw photos"] == "pip install 'tempera[raw]'"
    assert missing["encoder vgg19"] == "tempera weights fetch vgg19"
    assert missing["motion raft_large"] == "tempera weights fetch raft_large"
    assert facts["plots"] == "works, matplotlib 1.0" and "plots" not in missing
    lines = tempera("doctor").out.splitlines()
    assert "raw photos        missing; pip install 'tempera[raw]'" in lines
    assert all(line[17] == " " and line[18] != " " for line in lines)  # one line each, aligned
    monkeypatch.setenv("COLUMNS", "50")
    narrow = tempera("doctor").out.splitlines()
    assert max(map(len, narrow)) <= 50
    assert " ".join(" ".join(narrow).split()) == " ".join(" ".join(lines).split())  # and nothing is lost


def test_weights_path_names_the_file_of_an_encoder(
    tempera: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert tempera("weights", "path", "compact").out.strip().endswith("compact.safetensors")
    assert tempera("weights", "path", "vgg19").code == 0
    assert_refused(tempera("weights", "path", "resnet"), 2, "resnet")


def test_demo_writes_a_video_and_a_sheet(
    tempera: Tempera, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.workflows.demo.FRAMES", 2)
    monkeypatch.setattr("pipeline.workflows.demo.SHEET_FRAMES", (0, 1))
    (tmp_path / "plain.yaml").write_text(f"styler: palette\nstyle: {{images: [{{path: {media / 'waves.png'}}}]}}")
    result = tempera("demo", "-o", "here", "-s", "plain.yaml", "--progress", "none")
    assert (result.code, result.out) == (0, "here/sample-plain.mp4\nhere/sample-plain.png\n")
    assert len(list((tmp_path / "here/sample-plain.render/frames/plain-s000").glob("*.png"))) == 2
    assert Image.open(tmp_path / "here/sample-plain.png").size[0] > 2 * 640


OPTIONS = {
    "render": "--style --output -o --width --height --frames --fps --encoder --weights --device --seed --set "
    "--workdir --fresh --dry-run --progress",
    "resume": "",
    "status": "--json",
    "verify": "",
    "export": "--output -o --fps --set",
    "compose": "--output -o --frames --sheet --at --set",
    "probe": "--json --frames --fps",
    "preview": "--style --sweep --at --run-up --crop --fresh --promote --output -o",
    "styles": "",
    "schema": "",
    "weights": "fetch verify path",
    "weights fetch": "",
    "weights verify": "",
    "weights path": "",
    "doctor": "--json",
    "demo": "--output -o",
}
"""Options of every command that scripts may rely on."""


@pytest.mark.parametrize("command", OPTIONS)
def test_help_names_every_option(tempera: Tempera, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = tempera(*command.split(), "--help")
    assert result.code == 0 and result.out.startswith("Usage: tempera") and result.err == ""
    words = result.out.replace(",", " ").split()
    for option in OPTIONS[command].split():
        assert option in words, option


def test_help_lists_every_command(tempera: Tempera) -> None:
    for arguments in ([], ["--help"]):
        result = tempera(*arguments)
        assert result.code == 0
        assert {command.split()[0] for command in OPTIONS} <= set(result.out.split())
    assert tempera("--version").out.startswith("tempera ")
    assert_refused(tempera("rendr"), 2, "rendr")
