"""The recipes of docs/recipes.md from camera to file: their own commands, on small inputs, with a quick style."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from pipeline import cli
from tests.support.bursts import moved, photo
from tests.support.clips import moving_square, write_photos, write_video
from tests.support.command_line import QUICK, audio_seconds, video_times
from tests.support.dng import write_dng
from tests.support.photos import at

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
LINES = re.compile(r"^## (.*?)\n|^(tempera .*)$", re.MULTILINE)
RECIPES: dict[str, list[list[str]]] = {}
for title, line in LINES.findall(PAGE.read_text(encoding="utf-8")):
    if title:
        RECIPES[title] = []
    else:
        next(reversed(RECIPES.values())).append(shlex.split(line)[1:])
SMALL = [*QUICK, "--width=64"]
SIZE = (64, 48)

Pictures = list[NDArray[np.uint8]]
Cook = Callable[[str], list[str]]


@pytest.fixture
def cook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cook:
    """Run the commands of the recipe whose title has this word, in an empty folder; returns what they said."""
    monkeypatch.chdir(tmp_path)

    def run(word: str) -> list[str]:
        (commands,) = [commands for title, commands in RECIPES.items() if word in title]
        said = []
        for words in commands:
            quick = {"render": SMALL, "export": ["--progress=none"], "probe": []}[words[0]]
            assert cli.run([*words, *quick]) == 0, capsys.readouterr().err
            captured = capsys.readouterr()
            said.append(captured.out + captured.err)
        return said

    return run


def video(path: Path | str) -> tuple[Any, Pictures]:
    """The codec context of the first video stream and its pictures."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context, [np.asarray(it.to_ndarray(format="rgb24")) for it in container.decode(stream)]


def steps(pictures: Sequence[NDArray[np.uint8]]) -> list[float]:
    """How much neighboring pictures differ, in levels."""
    return [float(np.abs(a.astype(int) - b).mean()) for a, b in pairwise(pictures)]


def test_every_recipe_is_cooked_here() -> None:
    assert len(RECIPES) == 6 and all(RECIPES.values())
    tests = Path(__file__).read_text(encoding="utf-8")
    assert all(any(f'cook("{word}")' in tests for word in re.findall(r"\w+", title)) for title in RECIPES)


def test_a_handheld_burst_becomes_a_loop_without_a_jump(cook: Cook, tmp_path: Path) -> None:
    shifts = ((0, 0), (5, 2), (-4, 3), (4, -4))
    size = (160, 120)
    write_photos(
        tmp_path / "burst",
        [
            photo(moved((x, y), size=size), gain=1 + x / 300, size=size, object_at=(40 + x + 5 * number, 40 + y))
            for number, (x, y) in enumerate(shifts)  # something walks through the scene
        ],
    )
    probed, _, _ = cook("burst")
    assert "input.align=burst" in probed
    with Image.open("mug.gif") as animation, Image.open("mug.webp") as other:
        assert animation.info["loop"] == 0 and other.info["loop"] == 0
        images = list(ImageSequence.Iterator(animation))
        shown_ms = sum(image.info["duration"] for image in images)
        pictures = [np.asarray(image.convert("RGB"), np.uint8) for image in images]
    assert shown_ms == 40 * round(1.5 * 25)  # four photos at 4 per second, forth and back, in pictures of 40 ms
    assert {image.shape[1] for image in pictures} == {64} and 44 <= pictures[0].shape[0] <= 49
    changes = steps([*pictures, pictures[0]])
    assert changes[-1] <= max(changes[:-1])  # the seam is a step like any other
    assert max(changes) < 12  # nothing jumps as the camera did


def test_a_bracket_becomes_one_still(cook: Cook, tmp_path: Path) -> None:
    shots = zip(((0, 0), (4, 2), (-3, 3)), (0.4, 1.0, 1.8), strict=True)
    exposures = [photo(moved(shift, size=(160, 120)), gain=gain, size=(160, 120)) for shift, gain in shots]
    write_photos(tmp_path / "bracket", exposures)
    cook("bracket")
    with Image.open("window.png") as still:
        assert still.width == 64 and 46 <= still.height <= 49
        found = np.asarray(still, float)
    assert len(list(Path("window.render/frames").rglob("*.png"))) == 1
    assert exposures[0].mean() + 20 < found.mean() < exposures[2].mean() - 20


def test_a_raw_timelapse_becomes_prores_and_a_copy_for_the_phone(cook: Cook, tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    (tmp_path / "raw").mkdir()
    for number, image in enumerate(moving_square(4, size=SIZE)):
        write_dng(tmp_path / f"raw/s{number}.dng", (image / 255.0) ** 2.2)
    cook("raw")
    master, pictures = video("stars.mov")
    assert (master.name, master.pix_fmt, len(pictures)) == ("prores", "yuv422p10le", 4)
    assert (master.color_primaries, master.color_trc, master.colorspace, master.color_range) == (1, 1, 1, 1)
    assert video_times(Path("stars.mov")) == [Fraction(number, 25) for number in range(4)]
    phone, copies = video("stars.mp4")
    assert (phone.name, phone.pix_fmt, len(copies)) == ("h264", "yuv420p", 4)
    assert video_times(Path("stars.mp4")) == video_times(Path("stars.mov"))
    assert all(np.abs(a.mean((0, 1)) - b.mean((0, 1))).max() < 4 for a, b in zip(pictures, copies, strict=True))


def test_a_clip_from_a_phone_is_upright_and_keeps_its_times_and_sound(cook: Cook, tmp_path: Path) -> None:
    frames = moving_square(5, size=SIZE)
    frames = [np.vstack([np.full((8, 64, 3), 250, np.uint8), frame[8:]]) for frame in frames]  # a bright sky above
    turned = [np.ascontiguousarray(frame[::-1, ::-1]) for frame in frames]
    times = [0, 90, 210, 300, 420]
    write_video(tmp_path / "clip.mp4", turned, time_base=Fraction(1, 1000), pts=times, rotation_deg=180, tone_s=0.5)
    cook("phone")
    for name in ("street.mp4", "story.mp4"):
        assert video_times(Path(name)) == pytest.approx([Fraction(ms, 1000) for ms in times], abs=0.001)
        assert audio_seconds(Path(name)) == pytest.approx(0.5, abs=0.06)
        with av.open(name) as container:
            assert container.streams.audio[0].start_time in (0, None)
    whole, pictures = video("street.mp4")
    part, shown = video("story.mp4")
    assert (whole.width, part.pix_fmt) == (64, "yuv420p") and len(pictures) == len(shown) == 5
    assert pictures[2][:4].mean() > pictures[2][-4:].mean() + 20
    assert abs(part.width - part.height * 9 / 16) <= 1


def test_twelve_photos_become_a_boomerang_at_24_per_second(cook: Cook, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", moving_square(12, size=SIZE))
    cook("boomerang")
    cycle = round(Fraction(2 * 11, 4) * 24)  # at 4 photos per second, forth and back
    times = video_times(Path("steps.mp4"))
    assert times == [Fraction(number, 24) for number in range(3 * cycle)]
    _, pictures = video("steps.mp4")
    assert len(list(Path("steps.render/frames").rglob("*.png"))) == 12
    first, second = pictures[:cycle], pictures[cycle : 2 * cycle]
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(first, second, strict=True)) < 4
    assert max(np.abs(first[k].astype(int) - first[-k]).mean() for k in range(1, cycle // 2)) < 4
    assert max(steps(pictures)) < 0.6 * np.abs(first[0].astype(int) - first[6]).mean()  # no step is a photo's
    assert len(video("slow.mp4")[1]) == 2 * cycle


def test_gaps_of_a_webcam_are_bridged(cook: Cook, tmp_path: Path) -> None:
    frames = moving_square(9, size=SIZE, step_px=3)
    (tmp_path / "webcam").mkdir()
    there = (0, 1, 2, 6, 7, 8)
    for number in there:
        exif = Image.Exif()
        exif.get_ifd(0x8769).update(at(10 * number))
        Image.fromarray(frames[number]).save(tmp_path / f"webcam/c{number}.jpg", exif=exif, quality=95)
    probed, _ = cook("webcam")
    assert "Gap of 40 s after c2.jpg" in probed
    assert video_times(Path("harbor.mp4")) == [Fraction(number, 12) for number in range(9)]
    bridged = steps(video("harbor.mp4")[1])
    assert cli.run(["export", "harbor.render", "-o", "jump.mp4", "--set=output.time.between=none"]) == 0
    jump = steps(video("jump.mp4")[1])
    assert max(bridged[2:6]) < 0.75 * max(jump[2:6]) and min(bridged[2:6]) > 0
