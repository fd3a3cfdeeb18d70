"""Photos: their order, sizes and names, and other files beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.config.settings import InputSettings
from pipeline.errors import InputError
from pipeline.media.reader.order import natural_key
from pipeline.media.reader.source import content_digest, probe, read_frames
from pipeline.types import Frame, Source
from tests.support.clips import moving_square, texture, write_photos, write_video

Data = Callable[[str], Path]
SETTINGS = InputSettings()
COUNT = 14
FRAMES = moving_square(COUNT)


def read(source: Source, **options: Any) -> list[Frame]:
    return list(read_frames(source, settings=SETTINGS, **options))


# Order


def photo(
    path: Path, *, original: str = "", subsec: str = "", ifd0: str = "", sub_datetime: str = "", seed: int = 0
) -> Path:
    exif = Image.Exif()
    if ifd0:
        exif[0x0132] = ifd0
    details = exif.get_ifd(0x8769)
    for tag, value in ((0x9003, original), (0x9291, subsec), (0x0132, sub_datetime)):
        if value:
            details[tag] = value
    Image.fromarray(texture((24, 16), seed)).save(path, exif=exif, quality=95)
    return path


def names(source: Source) -> list[str]:
    return [Path(source.files[index]).name for index in source.decoded_indices]


def test_numbers_in_names_are_ordered_by_value() -> None:
    given_names = ["b10.jpg", "b9.jpg", "B1.jpg", "a 2.jpg", "a 10.jpg", "c.jpg", "c1.jpg", "x/1.jpg", "1.jpg"]
    assert sorted(given_names, key=natural_key) == [
        "1.jpg", "a 2.jpg", "a 10.jpg", "B1.jpg", "b9.jpg", "b10.jpg", "c.jpg", "c1.jpg", "x/1.jpg",
    ]  # fmt: skip


@given(st.lists(st.text(alphabet="a1B20²٣ ._-é/", min_size=1, max_size=12), max_size=8))
def test_any_names_can_be_ordered(paths: list[str]) -> None:
    ordered = sorted(paths, key=natural_key)
    assert sorted(sorted(paths), key=natural_key) == ordered


def test_capture_time_with_sub_seconds_orders_photos_and_names_break_ties(tmp_path: Path) -> None:
    for name, second, subsec in [("a", 3, "5"), ("b", 3, "05"), ("d", 1, ""), ("c10", 2, "1"), ("c9", 2, "1")]:
        photo(
            tmp_path / f"{name}.jpg", original=f"2024:05:04 10:00:0{second}", subsec=subsec, ifd0="2025:01:01 00:00:00"
        )
    source = probe([tmp_path], SETTINGS)
    assert names(source) == ["d.jpg", "c9.jpg", "c10.jpg", "b.jpg", "a.jpg"]
    assert source.order == "capture time"
    assert any("differently from their names" in note for note in source.notes)
    by_name = probe([tmp_path], InputSettings(order="name"))
    assert names(by_name) == ["a.jpg", "b.jpg", "c9.jpg", "c10.jpg", "d.jpg"]
    assert by_name.order == "name"


def test_time_of_an_edit_is_not_a_capture_time(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", ifd0="2024:05:04 10:00:09")
    photo(tmp_path / "b.jpg", ifd0="2024:05:04 10:00:01")
    source = probe([tmp_path], SETTINGS)
    assert (names(source), source.order) == (["a.jpg", "b.jpg"], "name")
    # but in the sub-IFD it is what libcamera writes when it takes the image
    photo(tmp_path / "a.jpg", sub_datetime="2024:05:04 10:00:09")
    photo(tmp_path / "b.jpg", sub_datetime="2024:05:04 10:00:01")
    assert names(probe([tmp_path], SETTINGS)) == ["b.jpg", "a.jpg"]


def test_photos_are_ordered_by_name_if_one_has_no_time(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", original="2024:05:04 10:00:09")
    photo(tmp_path / "b.jpg", original="2024:05:04 10:00:01")
    photo(tmp_path / "c.jpg", original="0000:00:00 00:00:00")
    source = probe([tmp_path], SETTINGS)
    assert source.order == "name"
    assert any("2 of 3 photos" in note for note in source.notes)
    with pytest.raises(InputError, match=r"c\.jpg: has no capture time"):
        probe([tmp_path], InputSettings(order="time"))


def test_alphabetical_list_is_ordered_and_any_other_is_kept(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, FRAMES[:11], pattern="f{}.png")
    source = probe(sorted(paths), SETTINGS)  # as a shell expands *.png: f1 f10 f11 f2 ...
    assert names(source) == [f"f{number}.png" for number in range(1, 12)]
    backwards = probe(paths[::-1], SETTINGS)
    assert names(backwards) == [f"f{number}.png" for number in range(11, 0, -1)]
    assert backwards.order == "as listed"
    assert names(probe(sorted(paths), InputSettings(order="listed"))) == sorted(path.name for path in paths)
    assert probe(sorted(paths), SETTINGS).digest != backwards.digest


def test_gaps_in_time_are_noted(data: Data) -> None:
    source = probe([data("timelapse/icecube_s60")], SETTINGS)
    assert source.order == "capture time"
    assert source.frame_count == 70
    assert [note.split(" (")[0] for note in source.notes] == [
        "Gap of 148 s after S60_050504_183749.jpg",
        "Gap of 120 s after S60_050504_191217.jpg",
    ]


def test_real_series_are_in_the_order_they_were_taken(data: Data) -> None:
    sunset = probe([data("timelapse/sunset_rpi")], SETTINGS)
    assert sunset.order == "capture time"
    assert names(sunset) == [f"frame-{number:03d}.jpg" for number in range(70, 150)]
    tree = probe([data("burst/monstree_iphone")], SETTINGS)
    assert tree.order == "capture time"
    assert (tree.width_px, tree.height_px) == (864, 1152)
    mug = probe([data("burst/handheld_mug")], SETTINGS)
    assert (names(mug), mug.order) == ([f"{number}.jpg" for number in range(1, 9)], "name")


def test_pattern_takes_numbers_in_order_and_notes_missing_ones(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:12], pattern="a{}.png")
    (tmp_path / "a7.png").unlink()
    source = probe([tmp_path / "a%d.png"], SETTINGS)
    assert names(source) == [f"a{number}.png" for number in range(1, 13) if number != 7]
    assert source.notes[0] == "The numbering has gaps: 7 missing."
    assert names(probe([tmp_path / "a%02d.png"], SETTINGS)) == ["a10.png", "a11.png", "a12.png"]
    with pytest.raises(InputError, match="no file matches the pattern"):
        probe([tmp_path / "b%d.png"], SETTINGS)
    with pytest.raises(InputError, match="one number"):
        probe([tmp_path / "a%d_%d.png"], SETTINGS)


# Sizes, difficult names, other files beside them


def test_photos_of_another_size_are_refused_or_fitted(tmp_path: Path) -> None:
    paths = write_photos(
        tmp_path, [texture((24, 16), 1), texture((24, 16), 2), texture((40, 16), 3), texture((12, 8), 4)]
    )
    with pytest.raises(InputError, match=r"shot_003\.png: is 40x16 px; expected 24x16 px") as caught:
        probe(paths, SETTINGS)
    assert "--set input.fit=cover" in caught.value.hint
    for fit in ("cover", "contain"):
        settings = InputSettings(fit=fit)
        source = probe(paths, settings)
        assert "2 of 4 photos have another size" in source.notes[0]
        assert {frame.rgb.shape for frame in read_frames(source, settings=settings)} == {(16, 24, 3)}
    assert probe(paths, SETTINGS, frames=(0, 2)).frame_count == 2  # the odd one is not rendered


def test_photo_that_changes_after_the_probe_is_found(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, FRAMES[:3])
    source = probe(paths, SETTINGS)
    Image.fromarray(texture((24, 16), 1)).save(paths[1])
    assert content_digest(source) != source.digest
    with pytest.raises(InputError, match=r"shot_002\.png: is 24x16 px"):
        read(source)
    paths[1].write_bytes(b"")
    with pytest.raises(InputError, match=r"frame 1: .*is empty"):
        read(source)


def test_photos_with_difficult_names_are_read(data: Data, tmp_path: Path) -> None:
    folder = data("broken/names")
    source = probe([folder], SETTINGS)
    assert source.frame_count == 3
    for path in sorted(folder.iterdir()):
        assert probe([path], SETTINGS).frame_count == 1
    bracket = tmp_path / "take [1] %04d.png"
    Image.fromarray(FRAMES[0]).save(bracket)
    assert probe([bracket], SETTINGS).frame_count == 1  # a file of that very name comes before glob and pattern
    video = write_video(tmp_path / "-50% café #1?.mp4", FRAMES)
    assert probe([video], SETTINGS).frame_count == COUNT


def test_names_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "-a:b.mp4", FRAMES)
    assert len(read(probe(["-a:b.mp4"], SETTINGS))) == COUNT
    write_photos(tmp_path, FRAMES[:3])
    assert probe(["shot_%03d.png"], SETTINGS).frame_count == 3
    assert probe(["*.png"], SETTINGS).frame_count == 3


def test_other_files_beside_photos_are_left_out_and_noted(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:3])
    for name in ("Thumbs.db", "._shot_001.png", ".hidden.png", ".DS_Store"):
        (tmp_path / name).write_bytes(b"\0\1 no image")
    for name in ("notes.txt", "edit.xmp", "empty.aae"):
        (tmp_path / name).write_text("" if name.startswith("empty") else "some words")
    (tmp_path / "sub").mkdir()
    Image.fromarray(FRAMES[3]).save(tmp_path / "shot_000", "PNG")  # without suffix, but an image
    Image.fromarray(FRAMES[4]).save(tmp_path / "MVI_1.THM", "JPEG")  # what a camera puts beside a video
    source = probe([tmp_path], SETTINGS)
    assert names(source) == ["shot_000", "shot_001.png", "shot_002.png", "shot_003.png"]
    assert source.notes[0] == "Left out, not images: MVI_1.THM, edit.xmp, empty.aae and 1 more."
    assert probe([tmp_path / "*"], SETTINGS).decoded_indices == source.decoded_indices


def test_raw_files_beside_their_developed_photos_are_left_out(tmp_path: Path) -> None:
    write_photos(tmp_path, FRAMES[:2], pattern="IMG_{}.JPG")
    (tmp_path / "IMG_1.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    assert probe([tmp_path], SETTINGS).frame_count == 2


def test_a_photo_is_opened_once_for_what_kind_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first bytes tell a raw file and whatever else it is; Pillow opens it by itself."""
    source = probe(write_photos(tmp_path, FRAMES[:2], pattern="{}.jpg"), SETTINGS)
    opened: list[str] = []
    usual = Path.open

    def counted(path: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(path.name)
        return usual(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    assert len(read(source)) == 2
    assert opened == [Path(file).name for file in source.files]
