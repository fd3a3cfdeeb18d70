"""`tempera clean` removes only what can be made again or is complete in a video, and then nothing is rendered again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipeline import cli
from pipeline.media.image.png import decode_png, encode_png
from pipeline.runtime import atomic
from pipeline.store.directory import RenderDirectory
from pipeline.store.status import read_status
from pipeline.store.verification import verify_frames
from tests.support.clips import moving_square, texture, write_video
from tests.support.command_line import BRIEF, Tempera, tree

FRAMES = 4
QUICK = [*BRIEF, "--progress", "none"]


pytestmark = pytest.mark.usefixtures("no_real_flushes")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a render of two styles, finished; copy it before changing it."""
    folder = tmp_path_factory.mktemp("finished")
    write_video(folder / "clip.mp4", moving_square(FRAMES), rate=10)
    for number, name in enumerate(("one", "two")):
        Image.fromarray(texture((64, 48), number + 50)).save(folder / f"{name}.png")
    assert cli.run(render_of(folder)) == 0
    return folder


def render_of(folder: Path, output: str = "v.mp4") -> list[str]:
    words = ["render", str(folder / "clip.mp4"), "-s", str(folder / "one.png"), "-s", str(folder / "two.png")]
    return [*words, "-o", str(folder / output), "--workdir", str(folder / "v.render"), *QUICK]


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "home")


def frames_of(home: Path) -> list[Path]:
    return sorted((home / "v.render/frames").glob("*/*.png"))


def test_clean_removes_caches_and_leftovers_and_nothing_else(home: Path, tempera: Tempera) -> None:
    render = home / "v.render"
    note = render / "cache/input.json"
    note.unlink()
    before = tree(home)
    note.write_bytes(bytes(1000))
    (render / "cache/deep").mkdir()
    (home / "elsewhere").mkdir()
    (home / "elsewhere/kept").touch()
    (render / "cache/link").symlink_to(home / "elsewhere")
    (render / "cache/deep/flow.bin").write_bytes(bytes(5000))
    (render / "frames/one-s000/.00000001.png.0123456789abcdef.tmp").write_bytes(bytes(3000))
    (render / "frames/one-s000/notes.txt").write_text("mine")
    result = tempera("clean", render)
    assert result.code == 0 and result.err == ""
    assert result.out.splitlines()[0] == "leftovers of crashes: 1 files, 3.0 kB"
    assert "freed 9.0 kB" in result.out
    assert (home / "elsewhere/kept").exists()
    shutil.rmtree(home / "elsewhere")
    (render / "frames/one-s000/notes.txt").unlink()
    assert tree(home) == before
    assert tempera("clean", render).out == "freed 0 bytes\n"
    assert tempera(*render_of(home)).code == 0  # the videos are still known to be its own
    kept = {note.relative_to(home).as_posix(), "v.render/cache/checked.json"}
    assert tree(home).keys() == before.keys() | kept


def test_incomplete_video_is_removed_unless_it_is_being_written(home: Path, tempera: Tempera) -> None:
    from pipeline.media.writer.partial import replacing

    with pytest.raises(KeyboardInterrupt), replacing(home / "v-one.mp4") as partial:
        partial.write_bytes(bytes(100))
        copy = partial.with_name(partial.name.replace(partial.name.split(".")[-3], "01234567"))
        shutil.copy(partial, copy)
        assert "incomplete videos: 1 files, 100 bytes" in tempera("clean", home / "v.render").out
        assert partial.exists() and not copy.exists()
        raise KeyboardInterrupt


def test_removed_frames_are_not_stylized_again(home: Path, tempera: Tempera) -> None:
    render, count = home / "v.render", len(frames_of(home))
    assert tempera("clean", render).code == 0 and len(frames_of(home)) == count
    result = tempera("clean", render, "--frames", "--json", "--progress", "none")
    assert result.code == 0, result.err
    freed = json.loads(result.out)["freed"]
    assert sorted(entry["what"] for entry in freed) == ["frames of one", "frames of two"]
    assert sum(entry["files"] for entry in freed) == count
    assert frames_of(home) == []
    videos = {name: (home / name).stat().st_mtime_ns for name in ("v-one.mp4", "v-two.mp4")}

    for command in (render_of(home), ["resume", str(render), "--progress", "plain"]):
        again = tempera(*command)
        assert again.code == 0
        assert again.out == f"{home / 'v-one.mp4'}\n{home / 'v-two.mp4'}\n"
    assert again.err.count("its frames were removed") == 2
    assert frames_of(home) == []
    assert {name: (home / name).stat().st_mtime_ns for name in videos} == videos

    status = tempera("status", render)
    assert status.out.startswith("finished: 8 of 8 frames are done") and "one: its frames were removed" in status.out
    assert tempera("verify", render, "--progress", "none").code == 0
    refused = tempera("export", render, "-o", home / "x.mov", "--progress", "none")
    assert refused.code == 5 and "--fresh" in refused.err
    refused = tempera("evaluate", render, "--progress", "none")
    assert refused.code == 5 and "were removed" in refused.err and "tempera resume" not in refused.err
    refused = tempera(*render_of(home, "other.mp4"))
    assert refused.code == 5 and "copy that video" in refused.err
    assert "frames of" not in tempera("clean", render, "--frames", "--progress", "none").out
    assert tempera(*render_of(home), "--fresh").code == 0
    assert len(frames_of(home)) == count


@pytest.mark.parametrize("how", ["delete", "change"])
def test_missing_or_changed_video_of_removed_frames_is_an_error(home: Path, tempera: Tempera, how: str) -> None:
    render = home / "v.render"
    assert tempera("clean", render, "--frames", "--progress", "none").code == 0
    if how == "delete":
        (home / "v-two.mp4").unlink()
    else:
        shutil.copy(home / "v-one.mp4", home / "v-two.mp4")
    for command in (render_of(home), ["resume", str(render), "--progress", "none"]):
        result = tempera(*command)
        assert result.code == 5 and "v-two.mp4" in result.err and "--fresh" in result.err
    assert frames_of(home) == []
    verified = tempera("verify", render, "--progress", "none")
    assert verified.code == 5 and "v-two.mp4" in verified.out


def test_commands_say_what_became_of_removed_frames_and_of_their_video(home: Path, tempera: Tempera) -> None:
    render = home / "v.render"
    assert tempera("clean", render, "--frames", "--progress", "none").code == 0
    (home / "v-two.mp4").rename(home / "renamed.mp4")
    one, two = (
        f"one: its frames were removed, {home}/v-one.mp4 replaces them\n",
        f"two: its frames were removed after {home}/v-two.mp4 was written, and that video is missing\n",
    )
    status = tempera("status", render)
    assert status.code == 0 and one in status.out and two in status.out
    verified = tempera("verify", render, "--progress", "none")
    assert verified.code == 5 and one in verified.out
    assert "error: " + str(render) + ": 1 videos whose frames were removed are damaged or missing" in verified.err
    assert "put a video back" in verified.err and "tempera resume" not in verified.err
    edit = ["edit", render, "--export", "1", "-o", home / "x.png", "--progress", "none"]
    gone, there = tempera(*edit, "-s", "two"), tempera(*edit, "-s", "one")
    assert gone.code == 5 and "was written, and that video is missing\nhint: render again with --fresh" in gone.err
    assert there.code == 5 and "v-one.mp4 was written\n" in there.err and ", or render again" in there.err
    exported = tempera("export", render, "-o", home / "w.mp4", "--progress", "none")
    assert exported.code == 5 and "copy that video" in exported.err
    (home / "renamed.mp4").rename(home / "v-two.mp4")
    assert tempera("verify", render, "--progress", "none").code == 0


def test_status_says_when_frames_were_checked_and_what_was_found(home: Path, tempera: Tempera) -> None:
    render = home / "v.render"
    assert "checked" not in tempera("status", render).out
    assert tempera("verify", render, "--progress", "none").code == 0
    assert ": 8 frames, all good\n" in tempera("status", render).out
    frame = render / "frames/two-s000/00000001.png"
    data = bytearray(frame.read_bytes())
    data[len(data) // 2] ^= 1
    frame.write_bytes(data)
    assert tempera("verify", render, "--progress", "none").code == 5
    assert ": 8 frames, 1 damaged or missing\n" in tempera("status", render).out
    assert tempera("resume", render, "--progress", "none").code == 0
    checked = json.loads(tempera("status", render, "--json").out)["checked"]
    assert checked["bad"] == 1 and checked["repaired"] and checked["when"].endswith("+00:00")
    assert ", stylized again\n" in tempera("status", render).out
    tempera("clean", render)
    assert "stylized again" in tempera("status", render).out  # it cannot be made again
    for note in (b"", b"[]", b'{"tempera_checked": 1, "when": "noon", "frames": 1, "bad": 0, "repaired": false}'):
        (render / "cache/checked.json").write_bytes(note)
        status = tempera("status", render)
        assert status.code == 0 and "checked" not in status.out


def truncated(home: Path) -> None:
    data = (home / "v-two.mp4").read_bytes()
    (home / "v-two.mp4").write_bytes(data[:-100])


def other_frames(home: Path) -> None:
    path = home / "v.render/frames/two-s000/00000002.png"
    path.write_bytes(encode_png(255 - decode_png(path.read_bytes())))


def damaged_frame(home: Path) -> None:
    path = home / "v.render/frames/two-s000/00000001.png"
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    "damage",
    [
        lambda home: (home / "v-two.mp4").unlink(),
        truncated,
        other_frames,
        damaged_frame,
        lambda home: (home / "v.render/cache/videos.jsonl").unlink(),
        lambda home: (home / "v.render/frames/two-s000/00000003.png").unlink(),
    ],
    ids=["no video", "truncated video", "other frames", "damaged frame", "no record", "missing frame"],
)
def test_unverified_video_keeps_all_frames(home: Path, tempera: Tempera, damage: Callable[[Path], None]) -> None:
    """Frames of all styles are kept: this is decided before the first one is removed."""
    damage(home)
    before = frames_of(home)
    result = tempera("clean", home / "v.render", "--frames", "--progress", "none")
    assert result.code == 5 and "hint: " in result.err and "Traceback" not in result.err
    assert frames_of(home) == before


def test_video_that_cannot_be_decoded_does_not_replace_frames(
    home: Path, tempera: Tempera, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "v-two.mp4"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 60] = bytes(60)
    path.write_bytes(data)
    records = home / "v.render/cache/videos.jsonl"
    import hashlib

    lines = [json.loads(line) for line in records.read_text().splitlines()]
    for line in lines:
        if line["style"] == "two":
            line["sha256"] = hashlib.sha256(bytes(data)).hexdigest()
    records.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = tempera("clean", home / "v.render", "--frames", "--progress", "none")
    assert result.code == 5 and "v-two.mp4" in result.err
    assert len(frames_of(home)) == 2 * FRAMES


def test_unfinished_render_is_refused_until_it_is_resumed(home: Path, tempera: Tempera) -> None:
    render = home / "v.render"
    shutil.rmtree(render / "cache")
    sorted(render.glob("frames/one-*/*.png"))[-1].unlink()
    refused = tempera("clean", render, "--frames")
    assert refused.code == 5 and "tempera resume" in refused.err
    assert tempera("resume", render, "--progress", "none").code == 0
    assert tempera("clean", render, "--frames", "--progress", "none").code == 0


def test_own_video_replaces_frames_rather_than_a_later_export(home: Path, tempera: Tempera) -> None:
    trial = ("export", home / "v.render", "-o", home / "trial.mp4", "--set", "output.crf=45", "--progress", "none")
    assert tempera(*trial).code == 0
    result = tempera("clean", home / "v.render", "--frames", "--progress", "plain")
    assert result.code == 0 and f"one: {home / 'v-one.mp4'} replaces its stored frames" in result.err
    (home / "trial-one.mp4").unlink()
    (home / "trial-two.mp4").unlink()
    assert tempera(*render_of(home)).code == 0


@pytest.mark.parametrize("name", ["x.gif", "x.webp"])
def test_animation_does_not_replace_frames(home: Path, tempera: Tempera, name: str) -> None:
    for video in ("v-one.mp4", "v-two.mp4"):
        (home / video).unlink()
    assert tempera("export", home / "v.render", "-o", home / name, "--progress", "none").code == 0
    assert tempera("clean", home / "v.render", "--frames", "--progress", "none").code == 5
    assert len(frames_of(home)) == 2 * FRAMES


def test_stills_replace_frames(home: Path, tempera: Tempera) -> None:
    for video in ("v-one.mp4", "v-two.mp4"):
        (home / video).unlink()
    assert tempera("export", home / "v.render", "-o", home / "p/%03d.png", "--progress", "none").code == 0
    assert tempera("clean", home / "v.render", "--frames", "--progress", "none").code == 0
    assert frames_of(home) == []
    assert tempera("verify", home / "v.render", "--progress", "none").code == 0
    (home / "p/two/002.png").unlink()
    assert tempera("verify", home / "v.render", "--progress", "none").code == 5


def test_interrupted_removal_of_frames_continues(home: Path, tempera: Tempera, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note that the video replaces the frames is written before the first one is removed."""
    remove, removed = atomic.remove, 0

    def failing(path: Path) -> None:
        nonlocal removed
        if removed == 3:
            raise OSError(5, "Input/output error")
        removed += 1
        remove(path)

    monkeypatch.setattr(atomic, "remove", failing)
    assert tempera("clean", home / "v.render", "--frames", "--progress", "none").code == 8
    monkeypatch.undo()
    assert len(frames_of(home)) == 2 * FRAMES - 3
    assert read_status(RenderDirectory.open(home / "v.render")).exported == ("one",)
    found = verify_frames(RenderDirectory.open(home / "v.render"))
    assert found.ok and {finding.kind for finding in found.findings} == {"leftover"}
    assert tempera(*render_of(home)).code == 0  # stylizes nothing
    assert len(frames_of(home)) == 2 * FRAMES - 3
    assert tempera("clean", home / "v.render", "--frames", "--progress", "none").code == 0
    assert frames_of(home) == []


def test_damaged_note_about_removed_frames_is_an_error(home: Path, tempera: Tempera) -> None:
    assert tempera("clean", home / "v.render", "--frames", "--progress", "none").code == 0
    note = home / "v.render/frames/exported.json"
    for data in (b"", b"{}", b"[1]", b"\xff", note.read_bytes().replace(b'"frames": 4', b'"frames": "4"')):
        note.write_bytes(data)
        for command in (render_of(home), ["status", str(home / "v.render")]):
            result = tempera(*command)
            assert result.code == 5 and "exported.json" in result.err
    assert frames_of(home) == []


def test_cleaning_a_running_render_is_refused(home: Path, tempera: Tempera) -> None:
    (home / "v.render/cache/flow.bin").touch()
    with RenderDirectory.open(home / "v.render").lock():
        assert tempera("clean", home / "v.render", "--frames", "--progress", "none").code == 5
    assert (home / "v.render/cache/flow.bin").exists()
