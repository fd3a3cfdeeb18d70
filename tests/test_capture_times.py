"""When photos were taken: EXIF as cameras and programs write it, times in names, and the counters of cameras."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.config.settings import InputSettings
from pipeline.media.reader.exif import CaptureTime, read_exif
from pipeline.media.reader.name_times import time_in_name
from pipeline.media.reader.order import in_name_order, seconds_since_first
from pipeline.media.reader.source import probe
from tests.support.photos import (
    DATE_TIME,
    DIGITIZED,
    EXPOSURE_S,
    F_NUMBER,
    ISO,
    MAKE,
    MODEL,
    OFFSET_ORIGINAL,
    ORIGINAL,
    SERIAL,
    SUBSEC_DIGITIZED,
    SUBSEC_ORIGINAL,
    at,
    names,
    write_photo,
)

SETTINGS = InputSettings()
TIME = "2024:05:04 10:00:07"
MOMENT = datetime(2024, 5, 4, 10, 0, 7)


def taken(tmp_path: Path, details: dict[int, Any] | None = None, main: dict[int, Any] | None = None) -> Any:
    with Image.open(write_photo(tmp_path / "photo.jpg", details=details, main=main)) as image:
        return read_exif(image.getexif()).taken


@pytest.mark.parametrize(
    ("details", "main", "expected"),
    [
        ({ORIGINAL: TIME}, {}, MOMENT),
        ({ORIGINAL: TIME, SUBSEC_ORIGINAL: "25  "}, {}, MOMENT.replace(microsecond=250_000)),
        ({DIGITIZED: TIME, SUBSEC_DIGITIZED: "007"}, {}, MOMENT.replace(microsecond=7000)),
        ({}, {ORIGINAL: TIME}, MOMENT),  # TIFF/EP has it in IFD 0
        ({DATE_TIME: TIME}, {}, MOMENT),  # libcamera
        ({}, {DATE_TIME: TIME}, None),  # any program that edits
        ({}, {DATE_TIME: TIME, MAKE: "Cheap"}, MOMENT),  # a camera that knows no other tag
        ({ORIGINAL: TIME}, {DATE_TIME: "2025:01:01 00:00:00", MAKE: "Cheap"}, MOMENT),
        ({ORIGINAL: "2024-05-04T10:00:07.5"}, {}, MOMENT.replace(microsecond=500_000)),
        ({ORIGINAL: "2024/05/04 10:00:60"}, {}, MOMENT.replace(second=59)),  # a leap second
        ({ORIGINAL: "0000:00:00 00:00:00"}, {}, None),
        ({ORIGINAL: "9999:99:99 99:99:99"}, {}, None),
        ({ORIGINAL: "0001:01:01 00:00:00"}, {}, None),
        ({ORIGINAL: "x" * 60_000}, {}, None),
        ({ORIGINAL: "    :  :     :  :  ", DIGITIZED: TIME}, {}, MOMENT),
    ],
)
def test_capture_time_is_found_where_cameras_write_it(
    tmp_path: Path, details: dict[int, Any], main: dict[int, Any], expected: datetime | None
) -> None:
    found = taken(tmp_path, details, main)
    assert (found.local if found else None) == expected


@pytest.mark.parametrize(
    ("text", "offset", "hours"),
    [
        (TIME, "+02:00", 2),
        (TIME, "-03:30", -3.5),
        (TIME, "", None),
        (TIME, "+99:00", None),
        (TIME, "   :  ", None),
        (f"{TIME}+02:00", "", 2),
        ("2024-05-04T10:00:07Z", "", 0),
        (f"{TIME}-0800", "+01:00", 1),
    ],
)
def test_distance_from_utc_is_read_from_its_tag_or_the_text(
    tmp_path: Path, text: str, offset: str, hours: float | None
) -> None:
    found = taken(tmp_path, {ORIGINAL: text, OFFSET_ORIGINAL: offset})
    assert found == CaptureTime(MOMENT, None if hours is None else timedelta(hours=hours))


def test_times_of_several_zones_are_compared_in_utc_if_all_state_theirs() -> None:
    east, west = CaptureTime(MOMENT, timedelta(hours=2)), CaptureTime(MOMENT, timedelta(hours=-1))
    assert seconds_since_first([west, east]) == [3 * 3600, 0]
    assert seconds_since_first([west, CaptureTime(MOMENT)]) == [0, 0]


def test_camera_and_exposure_are_read_and_what_makes_no_sense_is_left_out(tmp_path: Path) -> None:
    def exif(details: dict[int, Any], main: dict[int, Any]) -> Any:
        with Image.open(write_photo(tmp_path / "photo.jpg", details=details, main=main)) as image:
            return read_exif(image.getexif())

    good = exif({SERIAL: "12", EXPOSURE_S: 1 / 4, F_NUMBER: 2.0, ISO: 400}, {MAKE: "Canon", MODEL: "Canon EOS 7D\0x"})
    assert (good.camera, good.serial, good.iso) == ("Canon EOS 7D", "12", 400)
    assert good.exposure_stops == pytest.approx(4.643856)  # log2(400 / 4 / 2^2)
    assert exif({}, {MAKE: "NIKON CORPORATION", MODEL: "NIKON D850"}).camera == "NIKON D850"
    assert exif({}, {MAKE: "Apple", MODEL: "iPhone 7"}).camera == "Apple iPhone 7"
    bad = exif({EXPOSURE_S: (0, 0), F_NUMBER: "wide", ISO: 65535}, {MAKE: "\x1b[2J" * 5000, MODEL: ""})
    assert (bad.exposure_s, bad.f_number, bad.iso, bad.exposure_stops) == (None, None, None, None)
    assert len(bad.camera) <= 64 and bad.camera.isprintable()
    assert exif({ISO: 65535, 0x8831: 102_400}, {}).iso == 102_400


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_20240622_181200.jpg", datetime(2024, 6, 22, 18, 12)),
        ("PXL_20240622_181200123.jpg", datetime(2024, 6, 22, 18, 12, 0, 123_000)),
        ("PXL_20240622_181200123.MP.jpg", datetime(2024, 6, 22, 18, 12, 0, 123_000)),
        ("2024-06-22 18.12.00.jpg", datetime(2024, 6, 22, 18, 12)),
        ("2024-06-22 18.12.00-1.jpg", datetime(2024, 6, 22, 18, 12)),
        ("20240622_181200(2).jpg", datetime(2024, 6, 22, 18, 12)),
        ("Screenshot 2024-06-22 at 18.12.00.png", datetime(2024, 6, 22, 18, 12)),
        ("cam1_2024-06-22T18-12-00Z.jpg", datetime(2024, 6, 22, 18, 12)),
        ("1585746033.jpg", datetime(2020, 4, 1, 13, 0, 33)),
        ("photo-1585746033250.jpg", datetime(2020, 4, 1, 13, 0, 33, 250_000)),
        ("0000000123.jpg", None),  # a counter
        ("20241322_181200.jpg", None),  # a month that there is not
        ("IMG-20240622-WA0001.jpg", None),  # no time of day
        ("DSC_0001.jpg", None),
    ],
)
def test_times_in_names_are_read(name: str, expected: datetime | None) -> None:
    found = time_in_name(f"20010101_000000/{name}")
    assert (found.local if found else None) == expected


def test_times_in_names_order_photos_without_capture_times(tmp_path: Path) -> None:
    for seed, name in enumerate(("PXL_20240622_181201500.jpg", "IMG_20240622_181202.jpg", "2024-06-22 18.11.59.jpg")):
        write_photo(tmp_path / name, seed)
    source = probe([tmp_path], SETTINGS)
    assert names(source) == ["2024-06-22 18.11.59.jpg", "PXL_20240622_181201500.jpg", "IMG_20240622_181202.jpg"]
    assert source.order == "time in the names"
    assert source.notes[0] == "None of 3 photos have a capture time: the times in their names order them."
    assert probe([tmp_path], InputSettings(order="time")).files == source.files
    write_photo(tmp_path / "a.jpg", 4)
    assert probe([tmp_path], SETTINGS).order == "name"


def test_burst_of_one_second_keeps_the_order_of_the_counter(tmp_path: Path) -> None:
    numbers = [9995, 9996, 9997, 9998, 9999, 1, 2, 3, 4, 5, 6, 7]
    for seed, number in enumerate(numbers):
        write_photo(tmp_path / f"DSC_{number:04d}.JPG", seed, details=at(5))
    source = probe([tmp_path], SETTINGS)
    assert names(source) == [f"DSC_{number:04d}.JPG" for number in numbers]
    assert source.notes[0].startswith("The counter in the names starts again: DSC_0001.JPG follows DSC_9999.JPG.")
    assert names(probe([tmp_path], InputSettings(order="listed")))[0] == "DSC_0001.JPG"
    write_photo(tmp_path / "DSC_0001.JPG", 5, details=at(6))  # now the times say more than the names, and agree
    for number in range(2, 8):
        write_photo(tmp_path / f"DSC_{number:04d}.JPG", number + 20, details=at(6))
    source = probe([tmp_path], SETTINGS)
    assert (names(source), source.order) == ([f"DSC_{number:04d}.JPG" for number in numbers], "capture time")
    assert not any("names" in note for note in source.notes)


def in_order(listed: str) -> None:
    ordered = tuple(listed.split())
    assert in_name_order(sorted(ordered)) == ordered


def test_counters_run_over_in_every_style_of_name() -> None:
    in_order("_MG_9998.CR2 _MG_9999.JPG _MG_0001.JPG")
    in_order("DSC09999.ARW DSC00001.ARW DSC00002.ARW")
    in_order("100CANON/IMG_9998.JPG 100CANON/IMG_9999.JPG 101CANON/IMG_0001.JPG")
    in_order("99/IMG_9999.JPG 99/IMG_0000.JPG 100/IMG_0001.JPG")
    in_order("P1009999.JPG P1010001.JPG")
    in_order("Straße9998.JPG Straße9999.JPG Straße0001.JPG")
    in_order("DSC_9000.JPG DSC_9990.JPG DSC_0010.JPG DSC_4000.JPG")  # half of a card, with some photos deleted


def test_counters_that_do_not_run_over_are_ordered_by_value() -> None:
    in_order("IMG_0001.JPG IMG_0500.JPG IMG_9000.JPG")
    in_order("IMG_0001.JPG IMG_2000.JPG IMG_9000.JPG")
    in_order("1585740005.jpg 1585749990.jpg")  # Unix times
    in_order("a/IMG_9999.JPG b/IMG_0001.JPG")
    in_order("a_0001.JPG a_0002.JPG b_9998.JPG b_9999.JPG")


@given(st.sets(st.integers(0, 9999), min_size=1, max_size=12))
def test_order_of_counters_is_that_of_a_circle(numbers: set[int]) -> None:
    found = [int(name[4:8]) for name in in_name_order([f"IMG_{number:04d}.JPG" for number in numbers])]
    start = found.index(min(found))
    assert found[start:] + found[:start] == sorted(numbers)
