"""`--frames A:B:STEP`: every STEP-th frame of photos, videos and animations, and when these appear."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.config.catalog import load_style
from pipeline.config.settings import InputSettings
from pipeline.errors import UsageError
from pipeline.media.reader.photo_facts import photo_facts
from pipeline.media.reader.source import probe
from pipeline.media.reader.thumbnails import Thumbnails
from pipeline.media.reader.timing import check_slice_end, parse_slice
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.prepare import _wider
from pipeline.workflows.request import RenderRequest
from tests.support.clips import moving_square, texture, truncate, write_animation, write_photos, write_video
from tests.support.photos import at, names, write_photo
from tests.support.reading import pixels, read

SETTINGS = InputSettings()


@pytest.mark.parametrize(
    ("text", "frames"),
    [("2:9", range(2, 9)), ("::10", range(0, 25, 10)), ("1:9:3", range(1, 9, 3)), ("5::", range(5, 25)), (":4:9", [0])],
)
def test_a_slice_means_what_it_means_in_python(text: str, frames: range | list[int]) -> None:
    assert list(check_slice_end(parse_slice(text), 25)) == list(frames)


@pytest.mark.parametrize("text", ["4", "1:2:3:4", "0:8:-1", "a:b", "-1:4", "::2.5", "٣:٤"])
def test_what_is_no_slice_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_slice(text)
    assert "A:B:STEP" in caught.value.message and "::10" in caught.value.hint


def test_a_step_of_zero_and_one_of_a_render_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="STEP from 1"):
        check_slice_end(parse_slice("0:8:0"), 25)
    assert cli.run(["evaluate", str(tmp_path), "--frames", "0:8:2"]) == 2
    assert "leave out the step" in capsys.readouterr().err


def test_photos_of_a_step_follow_each_other_at_the_rate_of_all(tmp_path: Path) -> None:
    write_photos(tmp_path, moving_square(25))
    source = probe([tmp_path], SETTINGS, frames=(1, 25, 10))
    assert names(source) == ["shot_002.png", "shot_012.png", "shot_022.png"]
    assert source.decoded_indices == (1, 11, 21)
    assert (source.pts, source.frame_rate, source.duration_s) == ((0, 1, 2), Fraction(24), 3 / 24)


def test_frames_of_a_video_keep_their_times_and_its_duration(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", moving_square(9), rate=10)
    whole, stepped = probe([clip], SETTINGS), probe([clip], SETTINGS, frames=(0, None, 4))
    assert stepped.decoded_indices == (0, 4, 8)
    assert stepped.pts == tuple(whole.pts[index] for index in (0, 4, 8))
    assert stepped.duration_s == whole.duration_s
    assert stepped.frame_rate == Fraction(10, 4)
    assert all(np.array_equal(a, b) for a, b in zip(pixels(stepped), pixels(whole)[::4], strict=True))
    timed = probe([clip], SETTINGS, frames=(0, 8, 2), fps=Fraction(5, 2))  # every second one of these
    assert timed.decoded_indices == (0, 4)


def test_frames_of_an_animation_keep_their_times(tmp_path: Path) -> None:
    file = write_animation(tmp_path / "a.webp", moving_square(5), [100, 200, 100, 300, 100], lossless=True)
    whole, stepped = probe([file], SETTINGS), probe([file], SETTINGS, frames=(1, None, 2))
    assert (stepped.decoded_indices, stepped.pts, stepped.duration_ticks) == ((1, 3), (100, 400), 400)
    assert np.array_equal(read(stepped)[1].rgb, read(whole)[3].rgb)


def test_gaps_of_photos_last_in_steps(tmp_path: Path) -> None:
    """Of the photos 0, 1, ... 7 five are missing after the fourth: in steps of two that is two and a half of them."""
    for number, second in enumerate((0, 10, 20, 30, 90, 100, 110, 120)):
        write_photo(tmp_path / f"p{number}.jpg", number, details=at(second))
    source = probe([tmp_path], InputSettings(gaps="hold"), frames=(None, None, 2))
    assert source.decoded_indices == (0, 2, 4, 6)
    assert source.pts == (0, 1, 4, 5)
    assert [gap.frame for gap in photo_facts(source, SETTINGS).gaps] == [1]
    assert not [note for note in probe([tmp_path], SETTINGS, frames=(4, None, 2)).notes if "Gap" in note]


def test_damaged_photos_outside_the_step_do_not_matter_and_inside_one_the_frame_before_is_held(tmp_path: Path) -> None:
    for file in write_photos(tmp_path, moving_square(8), pattern="p{}.png"):
        if file.stem in ("p2", "p5"):
            truncate(file, 0.5)
    hold = InputSettings(on_damaged="hold")
    assert probe([tmp_path], SETTINGS, frames=(0, 4, 2)).decoded_indices == (0, 2)
    held = probe([tmp_path], hold, frames=(0, None, 2))
    assert held.decoded_indices == (0, 2, 2, 6)
    assert any("frame 4 (p5.png, 0.500 s)" in note for note in held.notes)  # 4 photos a second, as a burst
    assert probe([tmp_path], hold, frames=(4, None, 2)).decoded_indices == (3, 6)


def test_a_render_of_a_step_grows_with_the_photos_and_no_other_step_continues_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, more = moving_square(9), tmp_path / "photos"
    write_photos(more, photos[:5])
    Image.fromarray(texture((64, 48), 50)).save(tmp_path / "waves.png")
    command = ["render", str(more), "-s", str(tmp_path / "waves.png"), "-o", str(tmp_path / "v.mp4"), "--progress=none"]
    command += ["--set=styler=palette", "--set=motion.boil=1", "--set=output.preset=ultrafast"]

    def stylized() -> list[int]:
        return [line["frame"] for line in RenderDirectory.open(tmp_path / "v.render").read_stats()]

    assert cli.run([*command, "--frames", "::2"]) == 0
    assert stylized() == [0, 1, 2]
    write_photos(more, photos)
    assert cli.run([*command, "--frames", "::2"]) == 0
    assert stylized() == [0, 1, 2, 3, 4]
    assert cli.run([*command, "--frames", "::4"]) == 5
    assert "source.frames" in capsys.readouterr().err


def test_frames_behind_a_part_are_looked_at_in_its_step(tmp_path: Path) -> None:
    """Cuts and flicker of a trial are found in the frames that the whole render has."""
    write_photos(tmp_path, moving_square(9))
    source = probe([tmp_path], SETTINGS, frames=(0, 4, 2), digest=False)
    config = load_style("swirl")
    request = RenderRequest(inputs=(str(tmp_path),), styles=(config,), frames=(0, 4, 2))
    with Thumbnails(32) as thumbnails:
        wider = _wider(source, request, thumbnails)
    assert wider is not None and wider.decoded_indices == (0, 2, 4, 6, 8)
