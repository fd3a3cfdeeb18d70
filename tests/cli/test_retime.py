"""Retiming by the command line: the output is written anew, and nothing is stylized again."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from pipeline.postprocess import timeline
from pipeline.postprocess.timeline import Timeline
from tests.support.bursts import moved, photo
from tests.support.clips import moving_square, texture, write_photos
from tests.support.command_line import FRAMES, Tempera, assert_refused, export, pictures, video_times
from tests.support.photos import at

FLAT = ["--set=styler=palette", "--progress=plain"]


def has_audio(path: Path) -> bool:
    with av.open(str(path)) as container:
        return bool(container.streams.audio)


def test_more_frames_per_second_keep_the_frames_and_the_audio(tempera: Tempera, copy: Path) -> None:
    plain, _ = export(tempera, copy, "plain.mkv")
    path, said = export(tempera, copy, "smooth.mkv", "time.fps=30")
    assert video_times(path) == pytest.approx([Fraction(number, 30) for number in range(15)], abs=0.001)
    assert f"15 pictures of {FRAMES} frames, 0.50 s" in said and has_audio(path)
    found, frames = pictures(path), pictures(plain)
    assert all(np.array_equal(found[3 * index], frame) for index, frame in enumerate(frames))
    assert not np.array_equal(found[1], found[0]) and not np.array_equal(found[1], found[3])


def test_another_pace_has_no_audio_also_with_in_betweens(tempera: Tempera, copy: Path) -> None:
    result = tempera("export", copy, "-o", "fast.mkv", "--fps", "20", "--set=output.time.fps=40", "--progress", "plain")
    assert result.code == 0 and result.err.count("has no audio") == 1
    assert len(video_times(Path("fast.mkv"))) == 2 * FRAMES and not has_audio(Path("fast.mkv"))


def test_audio_is_stretched_with_the_pictures(tempera: Tempera, copy: Path) -> None:
    path, _ = export(tempera, copy, "slow.mkv", "time.speed=0.5")
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert video_times(path)[-1] == Fraction(4, 5)
    assert samples / rate == pytest.approx(1.0, abs=0.06)


def test_a_held_first_frame_begins_in_silence(tempera: Tempera, copy: Path) -> None:
    path, _ = export(tempera, copy, "held.mkv", "time.hold_first_s=0.5")
    with av.open(str(path)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        rate = container.streams.audio[0].rate
    assert not samples[: int(0.45 * rate)].any() and samples[int(0.55 * rate) :].any()


def test_a_boomerang_goes_forth_and_back_without_audio(tempera: Tempera, copy: Path) -> None:
    frames = pictures(export(tempera, copy, "plain.mkv")[0])
    path, said = export(tempera, copy, "back.mkv", "time.loop=boomerang", "time.repeat=2")
    wanted = [frames[index] for index in (0, 1, 2, 3, 4, 3, 2, 1) * 2]
    assert all(np.array_equal(*both) for both in zip(pictures(path), wanted, strict=True))
    assert "has no audio" in said and not has_audio(path)


def test_reversed_and_eased_the_same_bytes_come_out_twice(tempera: Tempera, copy: Path) -> None:
    settings = ("time.reverse=true", "time.fps=24", "time.ease_in_s=0.2", "finish.grain=0.05", "finish.match_light=0.5")
    one, _ = export(tempera, copy, "one.mkv", *settings)
    two, _ = export(tempera, copy, "two.mkv", *settings)
    first, second = pictures(one), pictures(two)
    assert len(first) > 10 and all(np.array_equal(*both) for both in zip(first, second, strict=True))


def test_a_speed_ramp_is_a_curve(tempera: Tempera, copy: Path) -> None:
    path, _ = export(tempera, copy, "ramp.mkv", "time.speed=[{at: 0, value: 1}, {at: 2, value: 0.5, ease: hold}]")
    assert [round(float(time), 3) for time in video_times(path)] == [0, 0.1, 0.2, 0.4, 0.6]


def test_images_of_a_longer_output_behind_a_shorter_one_are_noted(tempera: Tempera, copy: Path) -> None:
    images = ("export", copy, "-o", "out/%02d.png", "--progress", "plain")
    longer = tempera(*images, "--set", "output.time.fps=20")
    assert longer.code == 0 and "earlier output" not in longer.err
    shorter = tempera(*images)
    assert shorter.code == 0 and f"{FRAMES:02d}.png to {2 * FRAMES - 1:02d}.png are still those" in shorter.err
    assert len(list(Path("out").glob("*.png"))) == 2 * FRAMES


def test_a_retimed_video_does_not_replace_the_frames(tempera: Tempera, copy: Path) -> None:
    """It may replace the render's own video, but not stand for the stored frames."""
    export(tempera, copy, "v.mp4", "codec=h264", "time.loop=boomerang")
    assert len(video_times(Path("v.mp4"))) == 2 * FRAMES - 2
    assert_refused(tempera("clean", copy, "--frames", "--progress", "none"), 5, "no complete video")
    export(tempera, copy, "v.mp4", "codec=h264")
    assert len(video_times(Path("v.mp4"))) == FRAMES


def test_an_export_makes_its_timeline_once(tempera: Tempera, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def counted(*arguments: Any) -> Timeline | None:
        made.append(arguments)
        return usual(*arguments)

    usual = timeline.make_timeline
    monkeypatch.setattr(timeline, "make_timeline", counted)
    export(tempera, copy, "out/%03d.png", "codec=auto", "time.fps=20")
    assert len(made) == 1 and len(list(Path("out").iterdir())) == 2 * FRAMES


def test_a_folder_of_stills_can_be_written_again(tempera: Tempera, copy: Path) -> None:
    for _ in range(2):
        export(tempera, copy, "out/%03d.png", "codec=auto", "time.loop=boomerang")
    assert len(list(Path("out").iterdir())) == 2 * FRAMES - 2


def test_a_burst_becomes_a_looping_gif(tempera: Tempera, tmp_path: Path) -> None:
    write_photos(tmp_path / "burst", moving_square(4, size=(96, 64)))
    Image.fromarray(texture((64, 48), 50)).save(tmp_path / "style.png")
    result = tempera("render", "burst", "-s", "style.png", "-o", "burst.gif", *FLAT)
    assert result.code == 0 and "become a loop" in result.err
    with Image.open("burst.gif") as animation:
        assert animation.info["loop"] == 0 and len(list(ImageSequence.Iterator(animation))) >= 6
    off = tempera("export", "burst.render", "-o", "off.gif", "--set=output.time.loop=none", "--progress=plain")
    assert off.code == 0 and "become a loop" not in off.err
    with Image.open("off.gif") as animation:
        assert len(list(ImageSequence.Iterator(animation))) == 4


def test_gaps_are_filled_and_keep_their_length_at_another_rate(tempera: Tempera, tmp_path: Path) -> None:
    for number, (second, image) in enumerate(zip((0, 10, 20, 50, 60), moving_square(5, size=(96, 64)), strict=True)):
        exif = Image.Exif()
        exif.get_ifd(0x8769).update(at(second))
        (tmp_path / "gap").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / f"gap/{number}.jpg", exif=exif)
    style = ["-s", "{media}/waves.png", *FLAT, "--set=output.codec=ffv1", "-o", "gap.mkv"]
    assert tempera("render", "gap", *style, "--set=input.gaps=interpolate").code == 0
    path, said = export(tempera, tmp_path / "gap.render", "slow.mkv", "time.loop=none")
    found = pictures(path)
    assert video_times(path) == [Fraction(number, 4) for number in range(7)]
    assert all(not np.array_equal(*both) for both in pairwise(found)) and "7 pictures of 5 frames, 1.75 s" in said
    again = tempera("export", "gap.render", "-o", "fast.mkv", "--fps=8", "--set=output.codec=ffv1", "--progress=none")
    assert again.code == 0 and video_times(Path("fast.mkv")) == pytest.approx([i / 8 for i in range(7)], abs=0.001)
    held = tempera("render", "gap", *style, "--set=input.gaps=hold")
    assert "stylized" not in held.err and video_times(Path("gap.mkv")) == [0, 0.25, 0.5, 1.25, 1.5]


@pytest.mark.parametrize(
    ("media_name", "output", "settings", "plays"),
    [
        ("photos", "b.gif", [], "25 pictures of 3 frames, 1.00 s, 25 per second, forth and back, in-betweens along the "
         "motion, repeated for ever"),
        ("clip.mp4", "b.mp4", [], "5 frames, 0.50 s, 10 per second, with audio"),
        ("clip.mp4", "b.mp4", ["output.time.reverse=true"], "5 pictures of 5 frames, 0.50 s, 10 per second, "
         "without audio"),
        ("uneven.mp4", "b.gif", ["output.animation.plays=2"], "4 frames, 0.24 s, at their times, repeated 2 times"),
        ("photos/shot_001.png", "b.png", [], "one image"),
    ],
)  # fmt: skip
def test_a_dry_run_tells_how_the_output_plays(
    tempera: Tempera, media_name: str, output: str, settings: list[str], plays: str
) -> None:
    sets = [f"--set={setting}" for setting in settings]
    result = tempera(
        "render", f"{{media}}/{media_name}", "-s", "{media}/waves.png", *FLAT, *sets, "-o", output, "--dry-run"
    )
    assert f"plays      {plays}\n" in result.out, result.out + result.err


def test_a_dry_run_tells_what_alignment_leaves(tempera: Tempera, tmp_path: Path) -> None:
    (tmp_path / "burst").mkdir()
    for number, shift in enumerate(((0, 0), (14, 3), (-9, 8))):
        Image.fromarray(photo(moved(shift))).save(tmp_path / f"burst/{number}.png")
    render = ("render", "burst", "-s", "{media}/waves.png", *FLAT, "--dry-run", "-o")
    result = tempera(*render, "b.png", "--set=input.fuse=mean")
    found = re.search(r"aligned    3 photos become 1 by mean, placed .*, (\d+)x(\d+) of 320x240 px stay", result.out)
    assert found is not None and 290 <= int(found[1]) <= 298 and 219 <= int(found[2]) <= 230, result.out
    assert "aligned" not in tempera(*render, "b.gif").out


def test_a_photo_becomes_a_clip_with_a_slow_zoom(tempera: Tempera, tmp_path: Path) -> None:
    write_photos(tmp_path / "one", moving_square(1, size=(96, 64)))
    zoom = "output.view.zoom=[{at: 0, value: 1}, {at: 100%, value: 1.5}]"
    style = ["-s", "{media}/waves.png", *FLAT, f"--set={zoom}", "--set=output.time.duration_s=0.5"]
    result = tempera("render", "one/shot_001.png", *style, "--set=output.codec=ffv1", "-o", "zoom.mkv")
    assert result.code == 0, result.err
    found = pictures(Path("zoom.mkv"))
    assert len(found) == 12
    changes = [np.abs(before.astype(int) - after).mean() for before, after in pairwise(found)]
    assert min(changes) > 0.1


def test_a_curve_that_does_not_fit_is_refused_before_the_work(tempera: Tempera, copy: Path) -> None:
    setting = "--set=output.time.speed=[{at: 3, value: 1}, {at: 10%, value: 2}]"
    result = tempera("render", "{media}/clip.mp4", "-s", "{media}/waves.png", setting, "-o", "y.mp4", "--progress=none")
    assert_refused(result, 3, "output.time.speed")
    assert not Path("y.render").exists()
    result = tempera("export", copy, "-o", "x.mp4", setting, "--progress", "none")
    assert_refused(result, 3, "output.time.speed")
