"""A render of the first frames gets the others: it stores the bytes of one that had all of them from the start."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import RenderDirectoryError
from pipeline.media.image.png import encode_png
from pipeline.plan.edits import Edit
from pipeline.plan.extension import kept_until
from pipeline.store.directory import RenderDirectory
from pipeline.store.edits import add_edit, stored_edits, undo_edit
from pipeline.store.extension import extend
from pipeline.store.verification import verify_frames
from pipeline.types import RenderPlan, Shot
from tests.support.clips import moving_square, texture, truncate, write_photos, write_video
from tests.support.command_line import Result, Tempera, assert_refused
from tests.support.interruptions import SignalAtFrame
from tests.support.plans import CURVE, a_config, a_plan, a_source, a_style
from tests.support.torture import children
from tests.support.torture.fault_cases import snapshot
from tests.support.torture.faults import Case, try_every_fault

pytestmark = pytest.mark.usefixtures("no_real_flushes")

PALETTE = ["--set=styler=palette", "--set=output.preset=ultrafast"]
NEURAL = ["--encoder=tiny", "--set=optimize.cold.evaluations=2", "--set=optimize.warm.evaluations=2"]
NEURAL += ["--set=optimize.cold.min_scale_px=32", "--set=losses.style.layers={relu1_1: 64, relu2_1: 16}"]
NEURAL += ["--set=output.preset=ultrafast"]
COUNT = 8
COLD = [*PALETTE, "--set=motion.boil=1"]
"""Without motion, which would take most of the time."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Image.fromarray(texture((64, 48), 50)).save(tmp_path / "waves.png")
    write_photos(tmp_path / "photos", moving_square(COUNT))
    return tmp_path


@pytest.fixture
def render(home: Path, tempera: Tempera) -> Tempera:
    """Render an input of the folder into `<name>.mp4`."""

    def run(name: str, source: str, *words: str, settings: Sequence[str] = PALETTE) -> Result:
        output = ["-s", home / "waves.png", "-o", home / f"{name}.mp4", "--progress", "plain"]
        return tempera("render", home / source, *output, *settings, *words)

    return run


def frames_of(home: Path, name: str) -> dict[str, bytes]:
    root = home / f"{name}.render" / "frames"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob("*/*"))}


def stylized(home: Path, name: str) -> list[int]:
    """The frames in the order in which they were stylized, again and again."""
    return [line["frame"] for line in RenderDirectory.open(home / f"{name}.render").read_stats()]


def flickering(count: int) -> list[NDArray[np.uint8]]:
    """One texture, whose exposure changes from frame to frame."""
    still, gains = texture((48, 32), 3).astype(np.float64), np.random.default_rng(5).uniform(0.85, 1.15, count)
    return [np.clip(np.rint(still * gain), 0, 255).astype(np.uint8) for gain in gains]


# --- from a trial to the render -----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [PALETTE, NEURAL], ids=["palette", "neural"])
def test_trial_grows_to_the_bytes_of_the_whole(home: Path, render: Tempera, settings: list[str]) -> None:
    for words, says in ((["--frames=0:3"], ""), (["--frames=0:5"], "3 stored ones stay"), ([], "5 stored ones stay")):
        result = render("trial", "photos", *words, settings=settings)
        assert result.code == 0 and says in result.err and "anew" not in result.err
    assert render("whole", "photos", settings=settings).code == 0
    assert frames_of(home, "trial") == frames_of(home, "whole")
    assert stylized(home, "trial") == list(range(COUNT))
    assert (home / "trial.mp4").read_bytes() == (home / "whole.mp4").read_bytes()
    directory = RenderDirectory.open(home / "trial.render")
    assert not verify_frames(directory).findings
    assert directory.plan.digest == RenderDirectory.open(home / "whole.render").plan.digest
    kept = [
        json.loads(path.read_bytes())["source"]["pts"]
        for path in sorted((directory.path / "plans").glob("*/plan.json"))
    ]
    assert [len(pts) for pts in kept] == [3, 5]


def test_folder_that_gained_photos_continues(home: Path, render: Tempera) -> None:
    later = [path.rename(home / path.name) for path in sorted((home / "photos").iterdir())[5:]]
    assert render("film", "photos").code == 0
    for path in later:
        path.rename(home / "photos" / path.name)
    assert "5 stored ones stay" in render("film", "photos").err
    assert render("whole", "photos").code == 0
    assert frames_of(home, "film") == frames_of(home, "whole")
    assert stylized(home, "film") == list(range(COUNT))


@pytest.mark.parametrize(
    ("words", "trial"), [([], ["--frames=0:6"]), (["--fps=5"], ["--frames=0:5", "--fps=5"])], ids=["as it is", "fps"]
)
def test_video_with_a_cut_grows(home: Path, render: Tempera, words: list[str], trial: list[str]) -> None:
    """The trial ends one frame behind the cut, which is found only because the frames behind it are looked at."""
    write_video(home / "clip.mp4", moving_square(12, cut_at=5), rate=10, tone_s=0.5)
    assert render("trial", "clip.mp4", *trial).code == 0
    assert "anew" not in render("trial", "clip.mp4", *words).err
    assert render("whole", "clip.mp4", *words).code == 0
    assert frames_of(home, "trial") == frames_of(home, "whole")
    assert len({name.partition("/")[0] for name in frames_of(home, "whole")}) == 2


def test_trial_of_an_input_that_flickers_has_the_tone_curves_of_the_whole(home: Path, render: Tempera) -> None:
    write_photos(home / "flicker", flickering(40))
    assert render("trial", "flicker", "--frames=0:4", settings=COLD).code == 0
    assert any(RenderDirectory.open(home / "trial.render").plan.exposure)
    assert "4 stored ones stay" in render("trial", "flicker", settings=COLD).err
    assert stylized(home, "trial") == list(range(40))
    assert render("whole", "flicker", settings=COLD).code == 0
    assert frames_of(home, "trial") == frames_of(home, "whole")


def test_frames_whose_tone_curves_change_are_stylized_anew_and_kept_aside(home: Path, render: Tempera) -> None:
    """What was not there when the render began could not be looked at: new photos change the curves at the old end."""
    paths = write_photos(home / "flicker", flickering(48))
    for path in paths[40:]:
        path.rename(home / path.name)
    assert render("film", "flicker", settings=COLD).code == 0
    before = frames_of(home, "film")
    for path in paths[40:]:
        (home / path.name).rename(path)
    result = render("film", "flicker", settings=COLD)
    assert result.code == 0 and "are stylized anew" in result.err
    assert render("whole", "flicker", settings=COLD).code == 0
    assert frames_of(home, "film") == frames_of(home, "whole")
    again = [index for index in range(40) if stylized(home, "film").count(index) == 2]
    assert again and again == list(range(again[0], 40)) and again[0] > 0
    aside = home / "film.render/plans/0001/frames"
    assert {path.relative_to(aside).as_posix(): path.read_bytes() for path in aside.glob("*/*")} == {
        name: data for name, data in before.items() if int(name[-12:-4]) >= again[0]
    }


def test_damage_behind_a_trial_does_not_matter_to_it(home: Path, render: Tempera) -> None:
    truncate(home / "photos/shot_006.png", 0.5)
    assert render("trial", "photos", "--frames=0:3").code == 0
    assert render("trial", "photos", "--frames=0:5").code == 0
    assert_refused(render("trial", "photos"), 4, "shot_006.png")


def test_colors_of_the_content_depend_on_the_whole_shot(home: Path, render: Tempera) -> None:
    settings = [*PALETTE, "--set=palette.source=content"]
    assert render("trial", "photos", "--frames=0:3", settings=settings).code == 0
    assert "0 stored ones stay, 3 are stylized anew" in render("trial", "photos", settings=settings).err
    assert render("whole", "photos", settings=settings).code == 0
    assert frames_of(home, "trial") == frames_of(home, "whole")


def test_curve_by_part_of_the_clip_is_another_one_in_a_longer_clip(home: Path, render: Tempera) -> None:
    for curve, stays in (
        ("{at: 0%, value: 1}, {at: 100%, value: 3}", 1),
        ("{at: 0, value: 1}, {at: 2, value: 3}", 3),
    ):
        key = f"--set=losses.tv.weight=[{curve}]"
        name = f"trial{stays}"
        assert render(name, "photos", "--frames=0:3", key, settings=NEURAL).code == 0
        assert (
            f"{stays} stored {'one stays' if stays == 1 else 'ones stay'}"
            in render(name, "photos", key, settings=NEURAL).err
        )
        assert render(f"whole{stays}", "photos", key, settings=NEURAL).code == 0
        assert frames_of(home, name) == frames_of(home, f"whole{stays}")


def test_frames_that_led_back_to_the_first_one_do_not_in_a_longer_loop(home: Path, render: Tempera) -> None:
    settings = [*NEURAL, "--set=motion.loop=true"]
    assert render("trial", "photos", "--frames=0:4", settings=settings).code == 0
    assert "2 stored ones stay, 2 are stylized anew" in render("trial", "photos", settings=settings).err
    assert render("whole", "photos", settings=settings).code == 0
    assert frames_of(home, "trial") == frames_of(home, "whole")


# --- what is refused ----------------------------------------------------------------------------------------------


def test_photo_that_is_gone_changed_or_new_in_between_is_named(home: Path, render: Tempera) -> None:
    assert render("film", "photos", "--frames=0:5").code == 0
    before = snapshot(home / "film.render")
    third = home / "photos/shot_002.png"
    good = third.read_bytes()
    third.write_bytes(encode_png(255 - np.asarray(Image.open(third))))
    assert_refused(render("film", "photos"), 5, "photo shot_002.png has changed", "--fresh", "--workdir")
    third.rename(home / "aside.png")
    assert_refused(render("film", "photos"), 5, "photo shot_002.png is not among the frames any more")
    third.write_bytes(good)
    (home / "aside.png").rename(home / "photos/shot_001b.png")
    assert_refused(render("film", "photos"), 5, "photo shot_001b.png is new, and not at the end")
    after = snapshot(home / "film.render")
    assert {name: after[name] for name in before if not name.startswith(("cache", "log"))} == {
        name: data for name, data in before.items() if not name.startswith(("cache", "log"))
    }


def test_another_start_fewer_frames_and_other_settings_are_refused(home: Path, render: Tempera) -> None:
    assert render("film", "photos", "--frames=2:5").code == 0
    assert_refused(render("film", "photos", "--frames=0:5"), 5, "source.frames")
    assert_refused(
        render("film", "photos", "--frames=2:4"), 5, "holds a render of 3 frames, and only the first 2", "--frames"
    )
    result = render("film", "photos", "--frames=2:8", "--seed=7")
    assert_refused(result, 5, "seed: there 0, now 7")
    assert "source." not in result.err and "shots" not in result.err


def test_other_curve_is_no_matter_of_more_frames(home: Path, render: Tempera) -> None:
    curve = "--set=losses.tv.weight=[{at: 0, value: 1}, {at: 2, value: %d}]"
    assert render("film", "photos", "--frames=0:3", curve % 2, settings=NEURAL).code == 0
    assert_refused(render("film", "photos", curve % 3, settings=NEURAL), 5, "curves.losses.tv.weight")


def test_render_whose_frames_were_removed_does_not_grow(home: Path, render: Tempera, tempera: Tempera) -> None:
    assert render("film", "photos", "--frames=0:3").code == 0
    assert tempera("clean", home / "film.render", "--frames", "--progress", "none").code == 0
    assert_refused(render("film", "photos"), 5, "were removed", "--workdir")
    assert render("film", "photos", "--frames=0:3").code == 0


# --- edits and cleaning -------------------------------------------------------------------------------------------


def edited(home: Path, tempera: Tempera, name: str, frame: int, *words: str) -> None:
    picture = home / "picture.png"
    assert tempera("edit", home / f"{name}.render", "--export", frame, "-o", picture).code == 0
    rgb = np.array(Image.open(picture))
    rgb[:8, :8] = 255
    Image.fromarray(rgb).save(picture)
    assert tempera("edit", home / f"{name}.render", "--frame", frame, "--with", picture, *words).code == 0


def test_edit_up_to_the_end_goes_on_in_the_new_frames_and_is_undone_in_them(
    home: Path, render: Tempera, tempera: Tempera
) -> None:
    assert render("film", "photos", "--frames=0:4", settings=NEURAL).code == 0
    edited(home, tempera, "film", 2)
    assert render("film", "photos", settings=NEURAL).code == 0
    assert render("whole", "photos", settings=NEURAL).code == 0
    untouched = frames_of(home, "whole")
    edited(home, tempera, "whole", 2)
    assert render("whole", "photos", settings=NEURAL).code == 0
    assert frames_of(home, "film") == frames_of(home, "whole") != untouched
    assert tempera("edit", home / "film.render", "--undo", "1").code == 0
    assert not RenderDirectory.open(home / "film.render").stored(
        RenderDirectory.open(home / "film.render").plan.chains[0]
    ) & {4, 7}
    assert render("film", "photos", settings=NEURAL).code == 0
    assert frames_of(home, "film") == untouched


def test_edit_of_a_frame_that_is_stylized_anew_is_refused(home: Path, render: Tempera, tempera: Tempera) -> None:
    settings = [*PALETTE, "--set=palette.source=content"]
    assert render("film", "photos", "--frames=0:4", settings=settings).code == 0
    edited(home, tempera, "film", 2)
    assert render("film", "photos", "--frames=0:4", settings=settings).code == 0
    assert_refused(render("film", "photos", settings=settings), 5, "edit 1", "--undo 1")
    assert tempera("edit", home / "film.render", "--undo", "1").code == 0
    assert render("film", "photos", settings=settings).code == 0
    assert render("whole", "photos", settings=settings).code == 0
    assert frames_of(home, "film") == frames_of(home, "whole")
    assert tempera("clean", home / "film.render", "--progress", "none").code == 0
    assert not (home / "film.render/plans/0001/frames").exists()


def test_undone_edit_whose_frames_are_in_two_shots_now_is_left_out(tmp_path: Path) -> None:
    shots = [(Shot(0, 0, 4),), (Shot(0, 0, 3), Shot(1, 3, 6))]
    short, long = long_and_short((4, 6), shots=shots)
    directory = RenderDirectory.create(tmp_path / "film.render", short)
    pixels = np.zeros((48, 64, 3), np.uint8)
    picture = encode_png(pixels)
    edit = Edit(1, "swirl-s000", 2, 4, 0, hashlib.sha256(picture).hexdigest(), "", (2, 3), "2026-01-01T00:00:00Z")
    with directory.lock():
        for index in range(4):
            directory.write_frame(edit.chain, index, pixels)
        add_edit(directory, edit, picture)
        undo_edit(directory, edit)
    assert [kept.state for kept in stored_edits(directory)] == ["undone"]
    assert extend(directory.path, long, {"swirl": a_config()}) is not None
    assert stored_edits(RenderDirectory.open(directory.path)) == ()


def test_frame_that_an_edit_blends_into_must_stay(tmp_path: Path) -> None:
    short, long = long_and_short((6, 9), exposure=[(CURVE,) * 6, (CURVE,) * 4 + ((),) * 5])
    directory = RenderDirectory.create(tmp_path / "film.render", short)
    pixels = np.zeros((48, 64, 3), np.uint8)
    picture = encode_png(pixels)
    digest = hashlib.sha256(picture).hexdigest()
    edit = Edit(1, "swirl-s000", 2, 4, 1, digest, digest, (2, 3), "2026-01-01T00:00:00Z")
    with directory.lock():
        for index in range(6):
            directory.write_frame(edit.chain, index, pixels)
        add_edit(directory, edit, picture)
    with pytest.raises(RenderDirectoryError, match="in edit 1 is stylized anew"):
        extend(directory.path, long, {"swirl": a_config()})


# --- the plan -----------------------------------------------------------------------------------------------------


def long_and_short(frames: tuple[int, int] = (6, 9), **changes: Sequence[object]) -> tuple[RenderPlan, RenderPlan]:
    """Two plans of a video; `changes` have what differs, for each of them."""
    short, long = (
        a_plan(source=a_source(count), **{key: value[place] for key, value in changes.items()})
        for place, count in enumerate(frames)
    )
    return short, long


def test_frames_up_to_the_first_difference_of_a_chain_are_kept() -> None:
    config = {"swirl": a_config()}
    assert kept_until(*long_and_short(), config) == {"swirl-s000": 6}
    curves = [(CURVE,) * 6, (CURVE,) * 4 + ((),) * 5]
    assert kept_until(*long_and_short(exposure=curves), config) == {"swirl-s000": 4}
    assert kept_until(*long_and_short(exposure=[(), ((),) * 7 + (CURVE,) * 2]), config) == {"swirl-s000": 6}
    shots = [(Shot(0, 0, 3), Shot(1, 3, 6)), (Shot(0, 0, 3), Shot(1, 3, 5), Shot(2, 5, 9))]
    assert kept_until(*long_and_short(shots=shots), config) == {"swirl-s000": 3, "swirl-s001": 5, "swirl-s002": 5}
    assert kept_until(*long_and_short(shots=shots, exposure=curves), config) == {
        "swirl-s000": 3,
        "swirl-s001": 4,
        "swirl-s002": 5,
    }


def test_frames_blended_of_other_numbers_are_not_kept() -> None:
    short, long = (a_plan(source=a_source(count, blended=(2,) * 4 + (count,) * (count - 4))) for count in (6, 9))
    assert kept_until(short, long, {"swirl": a_config()}) == {"swirl-s000": 4}


@pytest.mark.parametrize(
    "depends",
    [
        {"styler": "palette", "palette": {"source": "content"}},
        {"color": {"match": "content_to_style"}},
        {"regions": [{"mask": {"sky": True}}]},
        {"regions": [{"mask": {"painted": {0: "mask.png"}}}]},
    ],
    ids=["palette", "color", "sky", "painted"],
)
def test_frames_that_depend_on_their_whole_shot_are_kept_if_that_is_the_same(depends: dict[str, object]) -> None:
    style = a_style(config=a_config(**depends))
    two, one = (Shot(0, 0, 3), Shot(1, 3, 6)), (Shot(0, 0, 3), Shot(1, 3, 9))
    short, long = (a_plan(style, source=a_source(shots[-1].stop), shots=shots) for shots in (two, one))
    configs = {"swirl": style.config}
    assert kept_until(short, long, configs) == {"swirl-s000": 3, "swirl-s001": 3}
    curves = ((), CURVE, *((),) * 7)
    assert kept_until(short, replace(long, exposure=curves), configs) == {"swirl-s000": 0, "swirl-s001": 3}
    colors = (replace(short, shot_colors=("a", "b")), replace(long, shot_colors=("c", "b")))
    assert kept_until(*colors, configs) == {"swirl-s000": 0, "swirl-s001": 3}


def test_frames_of_a_loop_are_kept_up_to_those_that_lead_back() -> None:
    loop = {"swirl": a_config(motion={"loop": True})}
    style = a_style(config=loop["swirl"])

    def kept(*counts: int, length: int = 0) -> dict[str, int]:
        short, long = (a_plan(replace(style, segment_frames=length), source=a_source(count)) for count in counts)
        return kept_until(short, long, loop)

    assert kept(12, 30) == {"swirl-s000": 6}
    assert kept(12, 14) == {"swirl-s000": 6}  # 7 of 14 lead back, those from 7 on
    assert kept(40, 42) == {"swirl-s000": 24}  # 16 at most
    assert kept(12, 16, length=4)["swirl-s000-p001"] == 8


def test_segments_are_kept_where_the_keyframes_around_them_are() -> None:
    config = {"swirl": a_config()}
    short, long = (a_plan(a_style(segment_frames=4), source=a_source(count)) for count in (12, 16))
    assert [chain.stop for chain in short.chains] == [12, 4, 8, 12]
    found = kept_until(short, long, config)
    assert found == {
        "swirl-s000-keys": 12,
        "swirl-s000-p000": 4,
        "swirl-s000-p001": 8,
        "swirl-s000-p002": 8,  # now it approaches a keyframe
        "swirl-s000-p003": 12,
    }
    exposure = (*((),) * 5, CURVE, *((),) * 10)  # up to frame 5, and so up to the keyframe before it, all is as before
    assert kept_until(short, replace(long, exposure=exposure), config) == {
        "swirl-s000-keys": 5,
        "swirl-s000-p000": 4,
        "swirl-s000-p001": 4,
        "swirl-s000-p002": 8,
        "swirl-s000-p003": 12,
    }
    longer = a_plan(a_style(segment_frames=4), source=a_source(18))  # other lengths
    assert kept_until(short, longer, config) == {chain.id: chain.start for chain in longer.chains}


def test_plan_that_another_process_changed_meanwhile_is_not_worked_on(tmp_path: Path) -> None:
    short, long = long_and_short((3, 4))
    directory = RenderDirectory.create(tmp_path / "film.render", short)
    assert extend(directory.path, long, {"swirl": a_config()}) is not None
    with pytest.raises(RenderDirectoryError, match="changed its plan"), directory.lock():
        pytest.fail("the frames of the old plan are not those of the new one")
    with RenderDirectory.open(directory.path).lock():
        assert not directory.stored(short.chains[0])


def _growth() -> Case:
    """Whatever fails while a plan is superseded: the old plan with its frames is there, or the new one with its own."""
    short, long = long_and_short((3, 4), exposure=[(CURVE,) * 3, (CURVE,) * 2 + ((),) * 2])
    pixels = [np.full((48, 64, 3), index, np.uint8) for index in range(3)]
    config = {"swirl": a_config()}

    def prepare(folder: Path) -> None:
        directory = RenderDirectory.create(folder, short)
        with directory.lock():
            for index, rgb in enumerate(pixels):
                directory.write_frame("swirl-s000", index, rgb)

    def work(folder: Path) -> None:
        extend(folder, long, config)

    def check(folder: Path, fault: str) -> str:
        directory = RenderDirectory.open(folder)
        chain = directory.plan.chains[0]
        new = directory.plan == long
        assert new or directory.plan == short, fault
        assert directory.stored(chain) <= ({0, 1} if new else {0, 1, 2}), fault
        with directory.lock():
            assert directory.done(chain) == (2 if new else 3), fault
        for index in range(directory.done(chain)):
            assert np.array_equal(directory.read_frame(chain.id, index), pixels[index]), fault
        if not new:
            work(folder)
        directory = RenderDirectory.open(folder)
        assert directory.plan == long and directory.done(directory.plan.chains[0]) == 2, fault
        aside = folder / "plans/0001/frames/swirl-s000"
        assert sorted(path.name for path in aside.iterdir()) == ["00000002.png"], fault
        assert [path.name for path in (folder / "plans").iterdir()] == ["0001"], fault
        assert not verify_frames(directory).findings, fault
        return "new" if new else "old"

    return Case("a longer plan", prepare, work, check)


def test_after_any_fault_the_old_or_the_new_plan_has_its_frames() -> None:
    assert set(try_every_fault(_growth())) == {"old", "new"}


@pytest.mark.parametrize("resumed", [True, False], ids=["the old one is resumed", "the longer one at once"])
def test_process_killed_while_its_plan_is_superseded(
    home: Path, render: Tempera, tempera: Tempera, resumed: bool
) -> None:
    settings = [*PALETTE, "--set=palette.source=content"]  # so that every frame is stylized anew
    assert render("whole", "photos", settings=settings).code == 0
    assert render("film", "photos", "--frames=0:3", settings=settings).code == 0
    before = frames_of(home, "film")
    words = ["render", str(home / "photos"), "-s", str(home / "waves.png"), "-o", str(home / "film.mp4"), *settings]
    for moment in ("plans/0001/plan.json", "plans/0001/frames/waves-s000/00000001.png", "film.render/plan.json"):
        process = children.start(words, hook=SignalAtFrame("during", moment, signal.SIGKILL))
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert RenderDirectory.open(home / "film.render").plan.source.frame_count == 3
        if resumed:
            assert tempera("resume", home / "film.render", "--progress", "none").code == 0
            assert frames_of(home, "film") == before
            assert stylized(home, "film") == [0, 1, 2]
    assert render("film", "photos", settings=settings).code == 0
    assert frames_of(home, "film") == frames_of(home, "whole")


def test_images_of_others_behind_those_of_a_trial_are_not_replaced(home: Path, render: Tempera) -> None:
    images = ("-o", home / "out" / "%02d.png")
    assert render("trial", "photos", "--frames=0:3", *images, settings=COLD).code == 0
    other = home / "out" / "04.png"
    other.write_bytes(b"somebody else's")
    result = render("trial", "photos", *images, settings=COLD)
    assert result.code == 2 and "04.png: exists, and is not of this render" in result.err
    assert other.read_bytes() == b"somebody else's"
    other.unlink()
    assert render("trial", "photos", *images, settings=COLD).code == 0
    assert len(list((home / "out").glob("*.png"))) == COUNT
