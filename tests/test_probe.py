"""The report of `tempera probe`: its table, its warnings, and the same as data."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from pipeline.config.settings import InputSettings
from pipeline.errors import InputError
from pipeline.media.reader.photo_facts import shutter_text
from pipeline.types import ColorTags, Frame
from pipeline.workflows.probe import _video, probe_report
from tests.support.bursts import moved, photo
from tests.support.clips import moving_square, texture, write_photos, write_video
from tests.support.photos import EXPOSURE_S, F_NUMBER, ISO, MAKE, MODEL, at, write_photo

Data = Callable[[str], Path]
SETTINGS = InputSettings()


def test_photos_are_reported_with_order_camera_times_and_exposure(tmp_path: Path) -> None:
    for number, second in enumerate((0, 10, 20, 60, 70.5)):
        exposure = {EXPOSURE_S: 1 / 250 if number < 4 else 1 / 30, F_NUMBER: 2.8, ISO: 100}
        camera = {MAKE: "Canon", MODEL: "EOS 7D" if number else "EOS 5D"}
        write_photo(tmp_path / f"p{number}.jpg", number, details=at(second) | exposure, main=camera)
    report = probe_report([tmp_path], SETTINGS)
    expected = {
        "kind": "photos, 5 frames",
        "order": "capture time (every photo has one)",
        "cameras": "Canon EOS 7D (4), Canon EOS 5D (1)",
        "taken": "2024-05-04 10:00:00 to 2024-05-04 10:01:10.500",
        "interval": "usually 10.25 s, 10 s to 40 s",
        "gaps": "1, 40 s in all",
        "exposure": "1/250 s to 1/30 s, f/2.8, ISO 100",
        "profile": "none, read as sRGB",
        "depth": "8 bits",
    }
    assert {label: report.rows[label] for label in expected} == expected
    assert [warning.split("(")[0] for warning in report.warnings] == [
        "Gap of 40 s after p2.jpg ",
        "Photos of several cameras: Canon EOS 7D ",
        "The exposure settings jump by +3.1 stops at p4.jpg.",
    ]
    assert report.notes == ("A burst of 5 photos, shown at 4 fps: --fps sets another rate.",)
    photos = report.data["photos"]
    assert photos["gaps"] == (
        {"frame": 2, "file": str(tmp_path / "p2.jpg"), "seconds": 40.0}
        | {"begins": "2024-05-04T10:00:20", "ends": "2024-05-04T10:01:00"},
    )
    assert (photos["iso"], photos["interval_s"], photos["with_time"]) == ((100, 100), 10.25, 5)
    assert report.data["warnings"] == list(report.warnings)
    part = probe_report([tmp_path], SETTINGS, frames=(1, 3))
    assert part.warnings == () and part.rows["gaps"] == "none"


def test_reason_of_the_order_is_reported(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, moving_square(3))
    assert probe_report([tmp_path], SETTINGS).rows["order"] == "name (none of 3 photos have a capture time)"
    assert probe_report(paths[:1], SETTINGS).rows["order"] == "a single photo"
    assert probe_report(paths[::-1], SETTINGS).rows["order"] == "as listed (the list is not alphabetical)"
    by_name = InputSettings(order="name")
    assert probe_report([tmp_path], by_name).rows["order"] == "name, as input.order=name asks"
    write_photo(tmp_path / "x.jpg", 9, details=at(5), size=(48, 32))
    assert probe_report([tmp_path], SETTINGS).rows["order"] == "name (1 of 4 photos have a capture time)"


def test_depth_and_profile_are_reported(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(texture((24, 16), 1)).save(tmp_path / "1.jpg", icc_profile=srgb)
    Image.fromarray(texture((24, 16), 2)).save(tmp_path / "2.jpg", icc_profile=b"no profile")
    Image.fromarray(texture((24, 16), 3)[..., 0].astype("uint16") * 257).save(tmp_path / "3.png")
    report = probe_report([tmp_path], SETTINGS)
    assert report.rows["depth"] == "8 bits, 16 bits"
    assert report.data["photos"]["depths"] == {8: 2, 16: 1}
    assert "sRGB built-in" in report.rows["profile"] and "damaged" in report.rows["profile"]


def test_videos_are_reported_without_rows_of_photos(tmp_path: Path) -> None:
    report = probe_report([write_video(tmp_path / "a.mp4", moving_square(6))], SETTINGS)
    assert report.rows["order"] == "stream" and report.rows["audio"] == "no"
    assert report.rows["video"] == "h264, yuv444p, 8 bits" and report.rows["stream"] == "0 of 1 (video)"
    assert report.data["shake_px"] < 0.5 and report.data["video"]["hdr"] is None
    assert not {"cameras", "exposure", "gaps"} & set(report.rows)
    assert report.data["frame_count"] == 6 and report.data["warnings"] == []


def test_audio_transparency_interlacing_and_hdr_of_videos_are_reported(tmp_path: Path) -> None:
    loud = probe_report([write_video(tmp_path / "a.mp4", moving_square(4), tone_s=0.2)], SETTINGS)
    assert loud.rows["audio"] == "yes, aac, 48000 Hz, mono" and loud.rows["stream"] == "0 of 2 (video, audio)"
    source = replace(loud.source, interlaced=True, peak_nits=600, color=ColorTags(transfer="smpte2084"))
    found = _video(source, SETTINGS)
    assert found.rows["video"] == "h264, yuv444p, 8 bits, interlaced, HDR (PQ, up to 600 cd/m2)"
    assert found.data["video"]["hdr"] == "PQ" and not found.data["video"]["transparent"]


def test_a_shaky_burst_is_told_how_to_be_aligned(tmp_path: Path) -> None:
    for number, shift in enumerate(((0, 0), (14, 3), (-9, 8), (11, -10), (-12, -4), (3, 12))):
        Image.fromarray(photo(moved(shift))).save(tmp_path / f"{number}.png")
    report = probe_report([tmp_path], SETTINGS)
    assert 5 < report.data["shake_px"] < 20 and "input.align=burst" in report.warnings[-1]
    still = probe_report([tmp_path], SETTINGS, frames=(0, 2))
    assert "shake" not in still.rows and not still.warnings


def test_shake_is_not_told_where_a_frame_turns_out_to_be_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object, **__: object) -> Generator[Frame]:
        raise InputError("damaged", hint="copy it again")

    path = write_video(tmp_path / "a.mp4", moving_square(4))
    monkeypatch.setattr("pipeline.workflows.probe.read_frames", damaged)
    assert "shake" not in probe_report([path], SETTINGS).rows


@pytest.mark.parametrize(
    ("seconds", "text"), [(1 / 250, "1/250 s"), (0.5, "0.5 s"), (30, "30 s"), (1e-6, "1/1000000 s")]
)
def test_shutter_is_written_as_photographers_do(seconds: float, text: str) -> None:
    assert shutter_text(seconds) == text


def test_real_videos_are_reported(data: Data) -> None:
    report = probe_report([data("video/transparent_vp9_alpha.webm")], SETTINGS)
    assert report.rows["video"].endswith(", transparent") and report.rows["audio"].startswith("yes, ")
    assert ", 10 bits" in probe_report([data("video/testsrc_hevc_10bit.mp4")], SETTINGS).rows["video"]
    raw = probe_report([data("burst/raw/Blackmagic.dng")], SETTINGS)
    assert (raw.rows["profile"], raw.rows["depth"]) == ("camera raw", "16 bits")


def test_real_photos_are_reported(data: Data) -> None:
    ice = probe_report([data("timelapse/icecube_s60")], SETTINGS)
    assert ice.rows["exposure"] == "1/60 s to 1/40 s, f/2.8, ISO 50"
    assert ice.rows["gaps"] == "2, 268 s in all" and len(ice.warnings) == 2 and ice.notes == ()
    phone = probe_report([data("burst/monstree_iphone")], SETTINGS)
    assert (phone.rows["size"], phone.rows["profile"]) == ("864x1152 px", "Display P3")
    sunset = probe_report([data("timelapse/sunset_rpi")], SETTINGS)
    assert sunset.rows["interval"] == "usually 12 s, 8 s to 16 s" and sunset.warnings == ()
