"""The queue file and what it means: inputs are found and named, styles loaded, and what is wrong is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import cli
from pipeline.config.queue import as_assignments, parse_queue
from pipeline.errors import ConfigError, InputError, UsageError
from pipeline.workflows.queue.jobs import Queue, make_queue

DOCUMENT = Path(__file__).parents[1] / "docs" / "queue.md"


def queue_of(home: Path, folder: str = "out", **data: Any) -> Queue:
    file = parse_queue({"styles": ["swirl"], **data}, where="test")
    return make_queue(file, home, home / folder)


def touch(home: Path, *names: str) -> None:
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()


def names(queue: Queue) -> list[str]:
    return [each.name for each in queue.inputs]


def test_every_input_meets_every_style_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    data: dict[str, Any] = {"inputs": ["b.jpg", "a.mp4"], "styles": ["swirl", {"style": "ink", "name": "pen"}]}
    by_inputs = ["b-swirl", "b-pen", "a-swirl", "a-pen"]
    assert [job.name for job in queue_of(tmp_path, **data).jobs] == by_inputs
    by_styles = ["b-swirl", "a-swirl", "b-pen", "a-pen"]
    assert [job.name for job in queue_of(tmp_path, **data, order="styles").jobs] == by_styles
    skipped = queue_of(tmp_path, **data, skip=[{"input": "a", "style": "pen"}])
    assert [job.name for job in skipped.jobs] == by_inputs[:3]
    named = queue_of(tmp_path, **data, output={"name": "{style}/{input}", "still": "jpg"})
    assert named.output(named.jobs[1], 1) == tmp_path / "out/pen/b.jpg"
    assert named.output(named.jobs[1], 2) == tmp_path / "out/pen/b.mp4"
    assert named.render_path(named.jobs[1]) == tmp_path / "out/renders/pen/b.render"


def test_glob_and_folder_of_single_photos_are_found_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "in/p10.jpg", "in/p9.jpg", "in/.p1.jpg", "in/notes.txt", "in/Thumbs.db", "in/c.MP4", "in/sub/x.jpg")
    assert names(queue_of(tmp_path, inputs=["in/*"])) == ["c", "p9", "p10"]
    assert names(queue_of(tmp_path, inputs=[{"path": "in", "each": True}])) == ["c", "p9", "p10"]
    assert names(queue_of(tmp_path, inputs=["in/**/*.jpg"])) == ["p9", "p10", "x"]
    assert names(queue_of(tmp_path, inputs=["in/*.jpg", "in/p9.jpg"])) == ["p9", "p10"]  # the same photo once


def test_folder_pattern_and_glob_can_be_one_clip(tmp_path: Path) -> None:
    touch(tmp_path, "lake/p1.jpg", "lake/p2.jpg")
    clips = queue_of(tmp_path, inputs=["lake", "lake/p%01d.jpg", {"path": "lake/*.jpg", "each": False, "frames": ":9"}])
    assert names(clips) == [f"{tmp_path.name}-lake", "lake-lake", "lake-lake-2"]
    assert [each.frames for each in clips.inputs] == [None, None, (None, 9)]


def test_inputs_of_one_name_get_that_of_their_folder_and_then_a_number(tmp_path: Path) -> None:
    inputs = [
        "rome/a.jpg",
        "paris/A.jpg",
        "paris/a.png",
        "b.jpg",
        {"path": "c.jpg", "name": "b-2"},
        {"path": "d.jpg", "name": "b"},
    ]
    found = names(queue_of(tmp_path, inputs=inputs))
    home = tmp_path.name
    assert found == ["rome-a", "paris-A", "paris-a-2", f"{home}-b", "b-2", f"{home}-b-2"]
    assert len({name.casefold() for name in found}) == len(found)


@pytest.mark.parametrize(("stem", "safe"), [("50%d", "50_d"), ("a\\b", "a_b"), ("a\nb", "a_b"), ("é 冰", "é 冰")])
def test_names_of_results_are_those_of_single_files(tmp_path: Path, stem: str, safe: str) -> None:
    touch(tmp_path, f"{stem}.jpg")
    queue = queue_of(tmp_path, inputs=[f"{stem}.jpg"])
    assert queue.output(queue.jobs[0], 1).name == f"{safe}-swirl.png"


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    data: dict[str, Any] = {"inputs": [{"path": "a.jpg", "name": ".."}], "output": {"name": "{input}/{style}"}}
    queue = queue_of(tmp_path, **data)
    assert queue.output(queue.jobs[0], 1) == tmp_path / "out/_/swirl.png"


def test_results_are_never_inputs(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg", "photos/out/a-swirl.png")
    assert names(queue_of(tmp_path, "photos/out", inputs=["photos/**/*"])) == ["a"]
    for inputs in (["photos/*.jpg"], ["photos/a.jpg"], [{"path": "photos", "each": True}], ["photos"]):
        with pytest.raises(UsageError, match="folder of the results"):
            queue_of(tmp_path, "photos", inputs=inputs)


def test_globs_that_match_nothing_are_an_error_of_the_input_unless_there_is_another(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\*.jpg: no file matches"):
        queue_of(tmp_path, inputs=["gone*.jpg", {"path": "ab?.png", "each": False}])
    touch(tmp_path, "a[1].jpg")
    assert len(queue_of(tmp_path, inputs=["gone*.jpg", "a[1].jpg"]).jobs) == 2  # the job of the first one says so


def test_sizes_of_an_input_replace_those_of_the_queue(tmp_path: Path) -> None:
    queue = queue_of(tmp_path, width=100, height=90, inputs=["a.jpg", {"path": "b.jpg", "width": 50}])
    assert [(each.width_px, each.height_px) for each in queue.inputs] == [(100, 90), (50, None)]


def test_settings_of_the_queue_come_before_those_of_a_style(tmp_path: Path) -> None:
    style = {"style": "swirl", "name": "loud", "set": {"seed": 3, "losses.style.layers": {"relu1_1": 1}}}
    queue = queue_of(tmp_path, inputs=["a.jpg"], styles=["swirl", style], set={"seed": 2, "output.crf": 30})
    assert [config.seed for config in queue.styles] == [2, 3]
    assert [config.output.crf for config in queue.styles] == [30, 30]
    assert queue.styles[1].losses.style.layers == {"relu1_1": 1}
    assert as_assignments({"seed": 3}) == ["seed=3"]


def test_style_beside_the_queue_file_is_found(tmp_path: Path) -> None:
    touch(tmp_path, "mine.jpg")
    (style,) = queue_of(tmp_path, inputs=["a.jpg"], styles=["mine.jpg"]).styles
    assert style.style.images[0].path == tmp_path / "mine.jpg" and style.name == "mine"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "expected a mapping"),
        ({"inputs": "a", "styles": ["swirl"]}, "inputs: Input should be a list"),
        ({"inputs": ["a"]}, "styles: is missing"),
        ({"inputs": ["a"], "styles": ["swirl"], "ouput": {}}, "did you mean 'output'?"),
        ({"inputs": [{"path": "a", "frmaes": ":3"}], "styles": ["swirl"]}, "did you mean 'inputs.0.frames'?"),
        ({"inputs": ["a"], "styles": [{"style": "swirl", "sets": {}}]}, "did you mean 'styles.0.set'?"),
        ({"inputs": ["a\0b"], "styles": ["swirl"]}, "inputs.0: Input should be a path, or a name"),
        ({"inputs": [""], "styles": ["swirl"]}, "inputs.0: Input should be a path, or a name"),
        ({"inputs": [{"path": "a", "frames": "1-3"}], "styles": ["swirl"]}, "frames"),
        ({"inputs": [{"path": "a", "width": 1e9}], "styles": ["swirl"]}, "width"),
        ({"inputs": [{"path": "a", "name": "x/y"}], "styles": ["swirl"]}, "inputs.0.name"),
        ({"inputs": ["a"], "styles": ["swirl"], "output": {"name": "{input}"}}, "needs {input} and {style}"),
        ({"inputs": ["a"], "styles": ["swirl"], "output": {"name": "{input.x}{style}"}}, "needs {input} and {style}"),
        ({"inputs": ["a"], "styles": ["swirl"], "output": {"name": "../{input}{style}"}}, "inside the folder"),
        ({"inputs": ["a"], "styles": ["swirl"], "output": {"name": "/{input}{style}"}}, "inside the folder"),
        ({"inputs": ["a"], "styles": ["swirl"], "output": {"name": "{input"}}, "no template"),
        ({"inputs": ["a"], "styles": ["swirl"], "output": {"still": "bmp"}}, "output.still"),
        ({"inputs": ["a"], "styles": ["swirl"], "schema": 2}, "schema"),
    ],
)
def test_wrong_queue_is_refused_and_the_place_named(data: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_queue(data, where="q.yaml")
    assert words in caught.value.message and caught.value.message.startswith("q.yaml: ")


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        ({"inputs": []}, UsageError, "empty"),
        ({"inputs": ["a.jpg"], "styles": []}, UsageError, "empty"),
        ({"inputs": ["a.jpg"], "skip": [{"input": "a", "style": "swirl"}]}, UsageError, "all of it is skipped"),
        ({"inputs": ["a.jpg"], "styles": ["swirl", "swirl"]}, UsageError, "two styles are named 'swirl'"),
        ({"inputs": ["a.jpg"], "skip": [{"input": "b", "style": "swirl"}]}, ConfigError, "no input 'b'"),
        ({"inputs": ["a.jpg"], "styles": ["swril"]}, ConfigError, "no shipped style"),
        ({"inputs": ["a.jpg"], "set": {"losses.content.wieght": 1}}, ConfigError, "did you mean"),
        (
            {
                "inputs": ["a.jpg", "a-b.jpg"],
                "styles": [{"style": "ink", "name": "c"}, {"style": "ink", "name": "b-c"}],
            },
            ConfigError,
            "two results would be named 'a-b-c'",
        ),
    ],
)
def test_queue_that_makes_no_sense_is_refused(tmp_path: Path, data: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=re.escape(words)):
        queue_of(tmp_path, **data)


@pytest.mark.parametrize(
    "text",
    [
        "inputs: &a [*a]",
        "inputs: [a]\ninputs: [b]",
        "!!python/object/apply:os.system [id]",
        "inputs: [a]\nstyles: [!!timestamp 2020-01-01]",
        "inputs: [a]\nstyles: [{style: swirl, set: {seed: 2020-01-01}}]",
        "{" * 3000,
        "\0",
        "- 1",
        "",
    ],
)
def test_hostile_file_ends_in_an_error_and_writes_nothing(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("q.yaml").write_text(text)
    assert cli.run(["queue", "q.yaml"]) == 3
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "hint: " in error and "Traceback" not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.yaml"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["a.jpg", "-s", "swirl"], 2),
        (["q.yaml", "b.jpg"], 2),
        (["q.yaml", "-s", "swirl"], 2),
        (["q.yaml", "--each"], 2),
        (["a.jpg", "-o", "out"], 2),
        (["a.jpg", "-s", "swril", "-o", "out"], 3),
        (["gone.yaml"], 3),
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("q.yaml").write_text("inputs: [a.jpg]\nstyles: [swirl]\n")
    assert cli.run(["queue", *arguments]) == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.yaml"]


def test_queue_file_of_the_document_is_valid() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        parse_queue(yaml.safe_load(block), where=str(DOCUMENT))
