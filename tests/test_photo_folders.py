"""Folders as photographers have them: several cameras, copies, folders in folders, other suffixes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipeline.config.settings import InputSettings
from pipeline.errors import InputError
from pipeline.media.reader.source import probe
from tests.support.clips import moving_square, write_photos
from tests.support.photos import DATE_TIME, MAKE, MODEL, SERIAL, at, names, write_photo

Data = Callable[[str], Path]
SETTINGS = InputSettings()
CANON = {MAKE: "Canon", MODEL: "Canon EOS 7D"}
PHONE = {MAKE: "Apple", MODEL: "iPhone 7"}


def two_cameras(folder: Path) -> Path:
    for number in range(6):
        write_photo(folder / f"IMG_{number}.JPG", number, details=at(10 * number), main=CANON)
    for number in range(3):
        write_photo(folder / f"phone{number}.jpg", 50 + number, details=at(10 * number + 4), main=PHONE)
    return folder


# Cameras


def test_photos_of_two_cameras_are_told_and_one_can_be_chosen(tmp_path: Path) -> None:
    folder = two_cameras(tmp_path / "mixed")
    note = next(note for note in probe([folder], SETTINGS).notes if "cameras" in note)
    assert note == (
        "Photos of several cameras: Canon EOS 7D (6), Apple iPhone 7 (3), mixed by capture time, though their clocks "
        "may differ. --set 'input.camera=Canon EOS 7D' takes one of them."
    )
    for text in ("Apple iPhone 7", "iphone"):
        source = probe([folder], InputSettings(camera=text))
        assert names(source) == ["phone0.jpg", "phone1.jpg", "phone2.jpg"]
        assert source.notes[0] == "Left out: 6 photos not taken with Apple iPhone 7."
    with pytest.raises(InputError, match=r"input\.camera=Nikon: no photo is by a camera of") as caught:
        probe([folder], InputSettings(camera="Nikon"))
    assert caught.value.hint == "there are: Canon EOS 7D (6), Apple iPhone 7 (3)"
    with pytest.raises(InputError, match="several cameras have that name"):
        probe([folder], InputSettings(camera="o"))


def test_two_bodies_of_one_model_are_told_apart_by_their_serial_numbers(tmp_path: Path) -> None:
    for number in range(4):
        body = {SERIAL: f"00{number // 2}"}
        write_photo(tmp_path / f"{number}.jpg", number, details=at(number) | body, main=CANON)
    source = probe([tmp_path], SETTINGS)
    assert source.notes[0].startswith("Photos of several cameras: Canon EOS 7D #000 (2), Canon EOS 7D #001 (2). --set")
    assert names(probe([tmp_path], InputSettings(camera="#001"))) == ["2.jpg", "3.jpg"]


def test_odd_size_of_another_camera_is_told_with_how_to_leave_it_out(tmp_path: Path) -> None:
    write_photo(tmp_path / "1.jpg", 1, main=CANON)
    write_photo(tmp_path / "2.jpg", 2, main=PHONE, size=(40, 16))
    with pytest.raises(InputError, match="is 40x16 px") as caught:
        probe([tmp_path], SETTINGS)
    assert "--set 'input.camera=Canon EOS 7D'" in caught.value.hint
    assert probe([tmp_path], InputSettings(camera="canon")).frame_count == 1


# Duplicates


@pytest.mark.parametrize("copy", ["IMG_1(1).JPG", "IMG_1 (copy).JPG", "IMG_1 - Copy.JPG", "Copy of IMG_1.JPG"])
@pytest.mark.parametrize("timed", [True, False])
def test_copies_are_left_out_and_told(tmp_path: Path, copy: str, timed: bool) -> None:
    for number in (1, 2, 3):
        write_photo(tmp_path / f"IMG_{number}.JPG", number, details=at(number) if timed else {})
    shutil.copy(tmp_path / "IMG_1.JPG", tmp_path / copy)
    source = probe([tmp_path], SETTINGS)
    assert names(source) == ["IMG_1.JPG", "IMG_2.JPG", "IMG_3.JPG"]
    assert source.notes[0] == (f"Left out, duplicates: {copy} of IMG_1.JPG. --set input.duplicates=keep keeps them.")
    assert probe([tmp_path], InputSettings(duplicates="keep")).frame_count == 4
    assert probe(sorted(tmp_path.iterdir()), SETTINGS).files == source.files  # as a shell expands *.JPG


def test_copy_with_other_metadata_is_one_and_another_photo_of_that_name_is_not(tmp_path: Path) -> None:
    first = write_photo(tmp_path / "IMG_1.JPG", 1, details=at(1))
    write_photo(tmp_path / "IMG_1(1).JPG", 1, details=at(1), main={DATE_TIME: "2025:01:01 00:00:00"})
    write_photo(tmp_path / "IMG_1(2).JPG", 2, details=at(1))
    write_photo(tmp_path / "frame_8 (copy).jpg", 3, details=at(2))  # its original is not here
    assert first.stat().st_size != (tmp_path / "IMG_1(1).JPG").stat().st_size
    assert names(probe([tmp_path], SETTINGS)) == ["IMG_1.JPG", "IMG_1(2).JPG", "frame_8 (copy).jpg"]


def test_equal_frames_of_a_sequence_are_no_duplicates(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, [moving_square(1)[0]] * 5)
    assert probe([tmp_path], SETTINGS).frame_count == 5
    assert probe([tmp_path], InputSettings(duplicates="drop")).frame_count == 1
    there_and_back = [paths[1], paths[2], paths[1]]
    assert len(names(probe(there_and_back, SETTINGS))) == 3


# Folders and suffixes


def test_folder_with_photos_only_in_its_folders_names_them(tmp_path: Path) -> None:
    for number, folder in enumerate(("100CANON", "101CANON")):
        for photo in range(2):
            write_photo(tmp_path / "DCIM" / folder / f"IMG_{number}{photo}.JPG", 2 * number + photo)
    (tmp_path / "DCIM/notes.txt").write_text("words")
    with pytest.raises(InputError, match="has no photos of its own") as caught:
        probe([tmp_path / "DCIM"], SETTINGS)
    assert "100CANON (2 photos)" in caught.value.message
    assert caught.value.hint.endswith(f"or take all as one: '{tmp_path}/DCIM/**/*.JPG'")
    together = caught.value.hint.split("'")[1]
    assert names(probe([together], SETTINGS)) == ["IMG_00.JPG", "IMG_01.JPG", "IMG_10.JPG", "IMG_11.JPG"]
    shutil.rmtree(tmp_path / "DCIM/100CANON")
    with pytest.raises(InputError, match=r"101CANON \(2 photos\)$"):
        probe([tmp_path / "DCIM"], SETTINGS)
    write_photo(tmp_path / "DCIM/photo", 9)  # has no suffix, but is one
    assert names(probe([tmp_path / "DCIM"], SETTINGS)) == ["photo"]
    (tmp_path / "empty/inside").mkdir(parents=True)
    with pytest.raises(InputError, match="empty: has only folders in it, and these no photos"):
        probe([tmp_path / "empty"], SETTINGS)
    with pytest.raises(InputError, match="inside: the folder is empty"):
        probe([tmp_path / "empty/inside"], SETTINGS)


def test_suffix_of_a_glob_is_taken_in_upper_and_lower_case(tmp_path: Path) -> None:
    for number, suffix in enumerate((".jpg", ".JPG", ".Jpg")):
        write_photo(tmp_path / f"IMG_{number}{suffix}", number)
    write_photos(tmp_path, moving_square(1))
    assert names(probe([tmp_path / "*.jpg"], SETTINGS)) == ["IMG_0.jpg", "IMG_1.JPG", "IMG_2.Jpg"]
    assert names(probe([tmp_path / "IMG_[01].JPG"], SETTINGS)) == ["IMG_0.jpg", "IMG_1.JPG"]


def test_sidecars_are_left_out(tmp_path: Path) -> None:
    write_photo(tmp_path / "IMG_1.JPG", 1)
    Image.open(tmp_path / "IMG_1.JPG").save(tmp_path / "IMG_1.THM", "JPEG")
    for name in ("IMG_1.xmp", "IMG_1.JPG.dop", "IMG_1.JPG.pp3", "IMG_1.AAE", "._IMG_1.JPG", "Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_bytes(b"<xml>words</xml>")
    source = probe([tmp_path], SETTINGS)
    assert names(source) == ["IMG_1.JPG"]
    assert source.notes == ("Left out, not images: IMG_1.AAE, IMG_1.JPG.dop, IMG_1.JPG.pp3 and 2 more.",)


def test_folder_that_was_never_tidied(data: Data) -> None:
    settings = InputSettings(on_damaged="skip", fit="cover")
    source = probe([data("broken/mixed_sequence")], settings)
    assert [name.split(".")[0] for name in names(source)] == [
        "frame_1", "frame_2", "frame_3", "frame_4", "frame_5", "frame_8 (copy)", "frame_9", "frame_10", "frame_11",
    ]  # fmt: skip
