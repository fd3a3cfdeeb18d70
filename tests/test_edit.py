"""Touched-up frames: what follows from them is stylized anew, and the same whatever interrupts it; undo is exact."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline import cli, load_style
from pipeline.errors import TemperaError
from pipeline.media.image.png import decode_png
from pipeline.plan.edits import Edit, Run, pins, runs, standing_on
from pipeline.runtime import atomic
from pipeline.store.directory import RenderDirectory
from pipeline.store.edits import add_edit, recover_edits, stored_edits, undo_edit
from pipeline.store.verification import verify_frames
from pipeline.types import Chain
from pipeline.workflows.chain_job import ChainJob, run_chain
from pipeline.workflows.clip import stylized_frames
from pipeline.workflows.request import RenderRequest
from tests.support.clips import moving_square, texture, write_video
from tests.support.command_line import QUICK, Result, Tempera, assert_refused
from tests.support.interruptions import SignalAtFrame
from tests.support.torture import children

FRAMES, CUT = 10, 8
KINDS: dict[str, list[str]] = {
    "plain": [],
    "segments": ["--set=motion.segment_frames=4", "--set=runtime.batch_size=1"],
    "hold": ["--set=motion.hold=2"],
}
CHAIN = "one-s000"


pytestmark = pytest.mark.usefixtures("no_real_flushes")


def make_render(folder: Path, *settings: str, styles: tuple[str, ...] = ("one",)) -> Path:
    write_video(folder / "clip.mp4", moving_square(FRAMES, cut_at=CUT), rate=10)
    words = ["render", str(folder / "clip.mp4"), "-o", str(folder / "v.mp4"), "--workdir", str(folder / "v.render")]
    for number, name in enumerate(styles):
        Image.fromarray(texture((64, 48), number + 50)).save(folder / f"{name}.png")
        words += ["-s", str(folder / f"{name}.png")]
    assert cli.run([*words, *QUICK, *settings]) == 0
    return folder


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished render of two shots, of one kind; copy it before changing it."""
    return make_render(tmp_path_factory.mktemp("kind"), *KINDS[request.param])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain kind in one style; copy it before changing it."""
    return make_render(tmp_path_factory.mktemp("plain"))


Copy = Callable[[Path], Path]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Copy a folder, inputs included; returns the render directory of the copy."""
    numbers = iter(range(100))
    return lambda folder: shutil.copytree(folder, tmp_path / f"copy-{next(numbers)}") / "v.render"


@pytest.fixture
def tempera(tempera: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tempera:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tempera


def frames_of(render: Path) -> dict[str, bytes]:
    root = render / "frames"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob("*/*"))}


def shown(render: Path) -> list[bytes]:
    """The stored frames of the video in order."""
    directory = RenderDirectory.open(render)
    chains = [chain for chain in directory.plan.chains if chain.in_output]
    return [directory.frame_path(chain.id, index).read_bytes() for chain in chains for index in chain.frames]


def changed(before: list[bytes], after: list[bytes]) -> list[int]:
    return [index for index, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]


def paint(render: Path, frame: int, tempera: Tempera, color: tuple[int, int, int] = (255, 0, 0)) -> Path:
    """Take a frame out, paint a square onto it, and return the picture."""
    picture = render.parent / f"painted-{frame}-{color[0]}.png"
    assert tempera("edit", render, "--export", frame, "-o", picture).code == 0
    rgb = np.asarray(Image.open(picture)).copy()
    rgb[8:16, 8:16] = color
    Image.fromarray(rgb).save(picture)
    return picture


def put_back(render: Path, frame: int, picture: Path, tempera: Tempera, *options: str | int) -> None:
    result = tempera("edit", render, "--frame", frame, "--with", picture, "--progress", "none", *options)
    assert result.code == 0, result.err
    assert f"tempera resume {render}" in result.out


def touch_up(render: Path, frame: int, tempera: Tempera, *options: str | int) -> None:
    put_back(render, frame, paint(render, frame, tempera), tempera, *options)


def undo(render: Path, tempera: Tempera) -> None:
    assert tempera("edit", render, "--undo", "--progress", "none").code == 0


def resume(render: Path, tempera: Tempera) -> None:
    result = tempera("resume", render, "--progress", "none")
    assert result.code == 0, result.err
    assert tempera("verify", render, "--progress", "none").code == 0


def test_frames_up_to_the_cut_follow_from_an_edit_and_undo_is_exact(kind: Path, copy: Copy, tempera: Tempera) -> None:
    render = copy(kind)
    before, plan = frames_of(render), (render / "plan.json").read_bytes()
    shown_before = shown(render)
    picture = paint(render, 2, tempera)
    put_back(render, 2, picture, tempera)
    stop = next(c.stop for c in RenderDirectory.open(render).plan.chains if c.in_output and 2 in c.frames)
    assert "edit 1: frame 2 of one" in tempera("status", render).out
    resume(render, tempera)
    assert changed(shown_before, shown(render)) == list(range(2, stop))  # neither the cut nor the segment is crossed
    assert np.array_equal(decode_png(shown(render)[2]), np.asarray(Image.open(picture)))
    assert (render / "plan.json").read_bytes() == plan
    assert tempera("clean", render, "--progress", "none").code == 0
    undo(render, tempera)
    assert frames_of(render) == before
    assert tempera("verify", render, "--progress", "none").code == 0
    assert "undone" in tempera("edit", render, "--list").out


@pytest.mark.parametrize("bounded", [False, True])
def test_interrupted_work_after_an_edit_stores_the_same_bytes(
    kind: Path, copy: Copy, tempera: Tempera, bounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = copy(kind), copy(kind)
    picture = paint(whole, 0, tempera)
    until = "5" if (whole / "frames" / CHAIN).is_dir() else "2"  # segments are shorter
    for render in (whole, killed):
        put_back(render, 0, picture, tempera, *(["--until", until, "--blend", "2"] if bounded else []))
    resume(whole, tempera)
    store, left = RenderDirectory.write_frame, 0

    def dying(directory: RenderDirectory, *arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        store(directory, *arguments)

    choice = random.Random(3)
    with monkeypatch.context() as patch:
        patch.setattr(RenderDirectory, "write_frame", dying)
        for _ in range(3):
            left = choice.randrange(2)
            assert tempera("resume", killed, "--progress", "none").code == 130
    resume(killed, tempera)
    assert frames_of(killed) == frames_of(whole)


@pytest.mark.parametrize("moment", ["during", "after"])
def test_killed_process_is_continued_to_the_same_bytes(plain: Path, copy: Copy, tempera: Tempera, moment: str) -> None:
    whole, killed = copy(plain), copy(plain)
    picture = paint(whole, 1, tempera)
    for render in (whole, killed):
        put_back(render, 1, picture, tempera, "--until", 6)
    resume(whole, tempera)
    hook = SignalAtFrame(moment, f"{CHAIN}/00000004.png", signal.SIGKILL)
    process = children.start(["resume", str(killed), "--progress", "none"], hook=hook)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL and f"{CHAIN}/00000005.png" not in frames_of(killed)
    assert f"{CHAIN}/00000007.png" in frames_of(killed)  # behind --until: it waits where it is
    resume(killed, tempera)
    assert frames_of(killed) == frames_of(whole)


def test_edit_ends_before_a_frame_that_began_anew(plain: Path, copy: Copy, tempera: Tempera) -> None:
    render = copy(plain)
    before = shown(render)
    directory = RenderDirectory.open(render)
    with directory.lock():
        directory.append_stats({"chain": CHAIN, "frame": 5, "phase": "cold", "anew": True})
    touch_up(render, 2, tempera)
    resume(render, tempera)
    assert changed(before, shown(render)) == [2, 3, 4]
    assert (stored_edits(directory)[0].stop, stored_edits(directory)[0].blend) == (5, 0)


def test_nothing_follows_where_every_frame_is_stylized_alone(tmp_path: Path, tempera: Tempera) -> None:
    (tmp_path / "boil").mkdir()
    render = make_render(tmp_path / "boil", "--set=motion.boil=1") / "v.render"
    before = shown(render)
    touch_up(render, 2, tempera)
    assert f"finished: {FRAMES}" in tempera("status", render).out
    resume(render, tempera)
    assert changed(before, shown(render)) == [2]


def test_job_of_one_chain_ends_where_the_edit_does(plain: Path, copy: Copy, tempera: Tempera) -> None:
    whole, other = copy(plain), copy(plain)
    picture = paint(whole, 1, tempera)
    for render in (whole, other):
        put_back(render, 1, picture, tempera, "--until", 4)
    resume(whole, tempera)
    directory = RenderDirectory.open(other)
    with directory.lock() as lock:
        run_chain(ChainJob(other, CHAIN, 2, lock.token))
    assert frames_of(other) == frames_of(whole)


def test_frames_of_a_clip_are_those_after_the_edit(tmp_path: Path, tempera: Tempera) -> None:
    write_video(tmp_path / "clip.mp4", moving_square(5), rate=10)
    Image.fromarray(texture((64, 48), 50)).save(tmp_path / "one.png")
    settings = {"optimize.cold.evaluations": 2, "optimize.warm.evaluations": 1, "optimize.cold.min_scale_px": 32}
    style = load_style(tmp_path / "one.png", {"encoder": "tiny", **settings})
    clip, output = tmp_path / "clip.mp4", tmp_path / "v.mp4"
    request = RenderRequest((str(clip),), (style,), output=output, workdir=tmp_path / "v.render")
    assert len(list(stylized_frames(request))) == 5
    touch_up(tmp_path / "v.render", 1, tempera, "--until", 2)
    with pytest.raises(TemperaError, match="follow from an edit"):
        next(stylized_frames(request))
    resume(tmp_path / "v.render", tempera)
    assert np.array_equal(list(stylized_frames(request))[1], np.asarray(Image.open(tmp_path / "painted-1-255.png")))


def test_until_keeps_what_is_behind_it_and_blends_into_it(plain: Path, copy: Copy, tempera: Tempera) -> None:
    distances = {}
    for blend in (0, 4):
        render = copy(plain)
        before = shown(render)
        picture = paint(render, 1, tempera, (255, 255, 255))
        put_back(render, 1, picture, tempera, "--until", 5, "--blend", blend)
        assert "6 of 10 frames" in tempera("status", render).out  # four of them are left, whatever lies behind
        resume(render, tempera)
        after = shown(render)
        assert changed(before, after) == [1, 2, 3, 4, 5]
        area = np.s_[6:18, 6:18]
        distances[blend] = np.abs(decode_png(after[5])[area].astype(int) - decode_png(before[6])[area]).mean()
    assert distances[4] < distances[0]


def test_frame_that_is_damaged_between_two_edits_becomes_what_it_was(plain: Path, copy: Copy, tempera: Tempera) -> None:
    render = copy(plain)
    touch_up(render, 1, tempera, "--until", 3)
    resume(render, tempera)
    touch_up(render, 6, tempera)
    resume(render, tempera)
    wanted = frames_of(render)
    for index in (1, 2, 4, 5, 6):  # pinned ones, one that blends, the stop, and one that no edit made
        (render / f"frames/{CHAIN}/{index:08d}.png").write_bytes(wanted[f"{CHAIN}/{index:08d}.png"][:-9])
    assert tempera("verify", render, "--progress", "none").code == 5
    resume(render, tempera)
    assert frames_of(render) == wanted


def test_damage_before_an_edit_leaves_the_edit_as_it_is(kind: Path, copy: Copy, tempera: Tempera) -> None:
    render = copy(kind)
    touch_up(render, 2, tempera)
    resume(render, tempera)
    wanted = frames_of(render)
    first = min(wanted)  # with segments a keyframe, after which all of them are stylized again
    (render / "frames" / first).write_bytes(wanted[first][:-9])
    resume(render, tempera)
    assert frames_of(render) == wanted


def test_edits_stand_on_each_other(plain: Path, copy: Copy, tempera: Tempera) -> None:
    render = copy(plain)
    before = frames_of(render)
    touch_up(render, 1, tempera)
    resume(render, tempera)
    first = frames_of(render)
    touch_up(render, 4, tempera)
    resume(render, tempera)
    assert_refused(tempera("edit", render, "--undo", 1, "--progress", "none"), 5, "edit 2", "--undo 2")
    refused = tempera("edit", render, "--frame", 1, "--with", paint(render, 1, tempera, (0, 255, 0)), "--until", 6)
    assert_refused(refused, 5, "edit 2", "frame 4")
    put_back(render, 2, paint(render, 2, tempera, (0, 9, 0)), tempera)  # ends before the frame of edit 2
    resume(render, tempera)
    assert "frame 3 follows from it and blends into frame 4" in tempera("edit", render, "--list").out
    assert_refused(tempera("edit", render, "--undo", 2, "--progress", "none"), 5, "edit 3")
    undo(render, tempera)
    undo(render, tempera)
    assert frames_of(render) == first
    undo(render, tempera)
    assert frames_of(render) == before
    assert_refused(tempera("edit", render, "--undo", "--progress", "none"), 2, "no edit")


def test_same_frame_is_painted_again_before_what_follows_is_stylized(plain: Path, copy: Copy, tempera: Tempera) -> None:
    once, twice = copy(plain), copy(plain)
    touch_up(twice, 3, tempera)
    picture = paint(twice, 3, tempera, (0, 0, 255))
    assert_refused(tempera("edit", twice, "--export", 5), 5, "not stored yet", "tempera resume")
    for render in (once, twice):
        put_back(render, 3, picture, tempera)
        resume(render, tempera)
    assert frames_of(once) == frames_of(twice)


def test_changed_picture_is_found_and_either_way_out_works(plain: Path, copy: Copy, tempera: Tempera) -> None:
    render = copy(plain)
    before = frames_of(render)
    touch_up(render, 2, tempera)
    resume(render, tempera)
    picture = render / "edits/0001/frame.png"
    good = picture.read_bytes()
    picture.write_bytes(good[:-1])
    result = tempera("verify", render, "--progress", "none")
    assert result.code == 5 and "damaged: edits/0001/frame.png" in result.out
    assert_refused(tempera("resume", render, "--progress", "none"), 5, "frame.png", "put the file back", "--undo 1")
    picture.write_bytes(good)
    resume(render, tempera)
    picture.unlink()
    assert_refused(tempera("resume", render, "--progress", "none"), 5, "missing")
    assert tempera("edit", render, "--undo", 1, "--progress", "none").code == 0
    assert frames_of(render) == before


def test_replaced_frames_that_are_gone_are_stylized_anew(plain: Path, copy: Copy, tempera: Tempera) -> None:
    render = copy(plain)
    before = frames_of(render)
    touch_up(render, 2, tempera)
    resume(render, tempera)
    shutil.rmtree(render / "edits/0001/replaced")
    undo(render, tempera)
    resume(render, tempera)
    assert frames_of(render) == before


def test_what_does_not_fit_is_refused(plain: Path, copy: Copy, tempera: Tempera, tmp_path: Path) -> None:
    render = copy(plain)
    before = frames_of(render)
    small, same = tmp_path / "small.png", tmp_path / "same.png"
    Image.new("RGB", (20, 10)).save(small)
    assert tempera("edit", render, "--export", 3, "-o", same).out == f"{same}\n"
    (tmp_path / "text.png").write_text("no image")
    assert_refused(tempera("edit", render, "--export", 3, "-o", tmp_path / "3.jpg"), 2, "expected a .png", "frame.png")

    def edit(*arguments: str | Path | int) -> Result:
        return tempera("edit", render, *arguments)

    assert_refused(edit("--frame", 3, "--with", small), 4, "20x10", "48x32")
    assert_refused(edit("--frame", 3, "--with", same), 4, "as it is")
    assert_refused(edit("--frame", 3, "--with", tmp_path / "text.png"), 4, "text.png")
    assert_refused(edit("--frame", 10, "--with", same), 2, "no frame 10", "0 to 9")
    assert_refused(edit("--export", 3, "--style", "two"), 2, "'two'", "one")
    assert_refused(edit("--frame", 3), 2, "expected one thing")
    assert_refused(edit("--export", 3, "--until", 5), 2, "--until")
    assert_refused(edit("--undo", 4), 2, "no edit 4")
    other = paint(render, 3, tempera)
    assert_refused(edit("--frame", 3, "--with", other, "--until", 8), 2, "frame 7")
    with RenderDirectory.open(render).lock():
        assert_refused(edit("--frame", 3, "--with", other), 5, "working here")
    assert frames_of(render) == before and not list((render / "edits").glob("*"))
    assert tempera("clean", render, "--frames", "--progress", "none").code == 0
    assert_refused(edit("--frame", 3, "--with", other), 5, "removed")


def test_layer_with_strokes_alone_is_laid_over_the_stored_frame(plain: Path, copy: Copy, tempera: Tempera) -> None:
    render, layer = copy(plain), plain.parent / "layer.png"
    before = RenderDirectory.open(render).read_frame(CHAIN, 3)
    pixels = np.zeros((32, 48, 4), np.uint8)
    pixels[8:16, 8:16] = 200, 30, 40, 255
    pixels[20:24, 8:16] = 200, 30, 40, 51
    Image.fromarray(pixels).save(layer)
    put_back(render, 3, layer, tempera)
    found = RenderDirectory.open(render).read_frame(CHAIN, 3).astype(float)
    assert (found[8:16, 8:16] == (200, 30, 40)).all()
    mixed = 0.8 * before[20:24, 8:16] + 0.2 * np.array([200, 30, 40])
    assert np.abs(found[20:24, 8:16] - mixed).max() <= 1
    found[8:24, 8:16] = before[8:24, 8:16]
    assert (found == before).all()


def test_painted_picture_of_the_default_name_is_not_replaced(
    plain: Path, copy: Copy, tempera: Tempera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = copy(plain)
    monkeypatch.chdir(tmp_path)
    name = tempera("edit", render, "--export", 3).out.strip()
    assert tempera("edit", render, "--export", 3).out.strip() == name  # the same again is no harm
    Image.new("RGB", (48, 32), (255, 0, 0)).save(name)
    painted = Path(name).read_bytes()
    assert_refused(tempera("edit", render, "--export", 3), 2, name, "painted")
    assert Path(name).read_bytes() == painted
    assert tempera("edit", render, "--export", 3, "-o", name).code == 0


def test_style_must_be_named_where_there_are_several(copy: Copy, tempera: Tempera, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    render = make_render(tmp_path / "two", styles=("one", "two")) / "v.render"
    before = frames_of(render)
    assert_refused(tempera("edit", render, "--export", 3), 2, "one, two", "--style one")
    assert tempera("edit", render, "--export", 3, "-s", "two").out == "two-s000-00000003.png\n"
    picture = render.parent / "black.png"
    Image.new("RGB", (48, 32)).save(picture)
    put_back(render, 3, picture, tempera, "--style", "two")
    resume(render, tempera)
    assert all(name.startswith("two-s000") for name, data in frames_of(render).items() if data != before[name])


# An interruption of the command itself


class CrashError(BaseException):
    """The process ends here."""


def crash_after(operations: int, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do some work on the disk, of which only so many operations are done; returns whether that was all of it."""
    left = operations

    def crashing(real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise CrashError
            return real(*arguments)

        return operation

    with monkeypatch.context() as patch:
        for name in atomic.OPERATIONS:
            patch.setattr(atomic, name, crashing(getattr(atomic, name)))
        try:
            work()
        except CrashError:
            return False
    return True


@pytest.mark.parametrize("undone", [False, True])
def test_crash_at_any_operation_leaves_all_of_an_edit_or_nothing(
    plain: Path, copy: Copy, tempera: Tempera, undone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = copy(plain)
    before = frames_of(edited)
    touch_up(edited, 2, tempera, "--until", 5)
    applied = frames_of(edited)
    (edit,) = stored_edits(RenderDirectory.open(edited))
    picture = (edited / "edits/0001/frame.png").read_bytes()
    seen: list[dict[str, bytes]] = []
    complete = False
    while not complete:
        folder = edited.parent.with_name(f"crash-{len(seen)}")
        directory = RenderDirectory.open(shutil.copytree(edited if undone else plain / "v.render", folder))

        def work(directory: RenderDirectory = directory) -> None:
            if undone:
                undo_edit(directory, edit)
            else:
                add_edit(directory, edit, picture)

        with directory.lock():
            complete = crash_after(len(seen), work, monkeypatch)
        with directory.lock():  # the next command that writes
            recover_edits(directory)
        found = frames_of(folder)
        assert found in (before, applied) and verify_frames(directory).ok
        assert not [finding for finding in verify_frames(directory).findings if finding.kind == "leftover"]
        seen.append(found)
    first, last = (applied, before) if undone else (before, applied)
    committed = seen.index(last)
    assert 3 < committed < len(seen) - 3 and seen[:committed] == [first] * committed
    assert seen[committed:] == [last] * (len(seen) - committed)


# The runs of a chain between pinned frames


def an_edit(version: int, frame: int, stop: int, **changes: Any) -> Edit:
    known: dict[str, Any] = {
        "chain": "c",
        "blend": 2,
        "digest": "d",
        "stop_digest": "" if stop == 20 else "s",
        "replaced": (),
    }
    return Edit(version, frame=frame, stop=stop, made="", **(known | changes))


def test_runs_lie_between_pinned_frames_and_approach_the_stop() -> None:
    chain = Chain("c", "a", 0, 0, 20, 1)
    assert runs([], chain) == [Run(chain, 0, 20)]
    keyframes = Chain("c", "a", 0, 0, 20, 1, interval=8)
    assert runs([], keyframes)[0].frames == range(0, 20, 8)
    edits = [an_edit(1, 3, 10), an_edit(2, 15, 20), an_edit(3, 5, 10, blend=4), an_edit(4, 0, 3, state="undone")]
    assert runs(edits, chain) == [
        Run(chain, 0, 3),
        Run(chain, 4, 5, 10, 2),
        Run(chain, 6, 10, 10, 4),
        Run(chain, 11, 15),
        Run(chain, 16, 20),
    ]
    found = pins(edits, chain)
    assert {index: (pin.edit.version, pin.at_stop) for index, pin in found.items()} == {
        3: (1, False),
        5: (3, False),
        10: (3, True),
        15: (2, False),
    }
    assert standing_on(edits[0], edits) == [edits[2]] and standing_on(edits[2], edits) == []
    assert standing_on(an_edit(0, 10, 12), edits) == [edits[0], edits[2]]  # they approach frame 10


def test_damaged_record_is_an_error_and_not_a_render_without_edits(plain: Path, copy: Copy, tempera: Tempera) -> None:
    render = copy(plain)
    touch_up(render, 2, tempera)
    record = render / "edits/0001/edit.json"
    facts = json.loads(record.read_text())
    records: list[Any] = [{**facts, "frame": 99}, {**facts, "chain": "x"}, {**facts, "tempera_edit": 2}, [], {}, "x"]
    for wrong in records:
        record.write_text(json.dumps(wrong))
        with pytest.raises(TemperaError, match=r"edit\.json"):
            stored_edits(RenderDirectory.open(render))
    record.write_text(json.dumps(facts))
    (render / "edits/0001/state.json").unlink()  # the frames that it replaced must not be taken for a leftover
    assert_refused(tempera("clean", render, "--progress", "none"), 5, "state.json")
    assert len(list((render / "edits/0001/replaced").glob("*.png"))) == CUT - 2


@given(st.data(), st.integers(1, 12))
def test_runs_and_pinned_frames_make_up_the_chain(data: st.DataObject, length: int) -> None:
    chain = Chain("c", "a", 0, 3, 3 + length, 1)
    edits: list[Edit] = []
    for version in range(data.draw(st.integers(0, 4))):
        frame = data.draw(st.integers(chain.start, chain.stop - 1))
        last = min([chain.stop, *(index for index in pins(edits, chain) if index > frame)])
        stop = data.draw(st.integers(frame + 1, last))
        edits.append(an_edit(version, frame, stop, stop_digest="" if stop == chain.stop else "s"))
    found = runs(edits, chain)
    made = [index for run in found for index in run.frames]
    assert sorted([*made, *pins(edits, chain)]) == list(chain.frames)
    for run in found:
        if run.next_keyframe is not None:
            assert run.next_keyframe in pins(edits, chain) and run.next_keyframe >= run.stop
