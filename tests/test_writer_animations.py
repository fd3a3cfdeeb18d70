"""Animated pictures and images out: colors, times and loops are read back by our own reader, and faults are refused."""

from __future__ import annotations

import io
import itertools
import struct
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.config.animation import AnimationSettings, ImageSettings
from pipeline.config.settings import InputSettings, OutputSettings
from pipeline.errors import ConfigError, MissingPartError, UsageError, WriteError
from pipeline.media.image.color_table import ColorCounts, Ditherer, table_of
from pipeline.media.image.depth import as_8_bit, as_16_bit
from pipeline.media.image.exr import encode_exr
from pipeline.media.image.load import load_rgb
from pipeline.media.image.png import encode_png
from pipeline.media.image.tiff import encode_tiff
from pipeline.media.image.transfer import linear_from_pixels, linear_from_srgb
from pipeline.media.reader.source import probe, read_frames
from pipeline.media.writer.changes import box, held_frames
from pipeline.media.writer.gif import write_gif
from pipeline.media.writer.output import write_video
from pipeline.media.writer.target import check_output
from tests.support.written import RGB, leftovers, ramps, source_of, times_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

GIF_MEAN = 4.0
"""Levels of 255 by which the mean of 5 by 5 pixels of a GIF may differ from colors as varied as those of `ramps`."""


def moving(count: int, side: int = 48) -> list[RGB]:
    """A red square that moves over a still gradient."""
    y, x = np.mgrid[:side, :side]
    still = np.dstack([x * 3, y * 3, np.full_like(x, 90)]).astype(np.uint8)
    frames = [still.copy() for _ in range(count)]
    for index, frame in enumerate(frames):
        frame[10:20, 4 + 5 * index : 14 + 5 * index] = (220, 30, 30)
    return frames


def animated(**changes: Any) -> OutputSettings:
    return OutputSettings(animation=AnimationSettings(**changes))


def shown(path: Path) -> list[RGB]:
    """The frames of an animation as our own reader has them."""
    settings = InputSettings()
    source = probe([str(path)], settings)
    frames = read_frames(source, width_px=source.width_px, height_px=source.height_px, settings=settings)
    return [as_8_bit(frame.rgb) for frame in frames]


def gif_bytes(frames: list[RGB], **changes: Any) -> bytes:
    options: dict[str, Any] = {"colors": 256, "dither": "blue_noise", "tolerance": 0.0, "plays": 0}
    file = io.BytesIO()
    write_gif(file, frames, [4] * len(frames), **options | changes, spool_folder=".")
    return file.getvalue()


def deep_ramp(height: int = 24, width: int = 40) -> NDArray[np.uint16]:
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 1601, y * 2700, (x + y) * 999]).astype(np.uint16)


# Round trips


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng", ".avif"])
def test_own_reader_has_the_same_pictures_and_times(tmp_path: Path, suffix: str) -> None:
    source = source_of((0, 2, 5, 6), time_base=Fraction(1, 20), last=3)
    frames = ramps(4)
    path = write_video(tmp_path / f"a{suffix}", frames, source=source, settings=OutputSettings())
    found = probe([str(path)], InputSettings())
    assert times_of(found) == times_of(source)
    assert found.duration_s == source.duration_s
    for got, wanted in zip(shown(path), frames, strict=True):
        difference = got.astype(np.float32) - wanted
        if suffix == ".gif":
            assert np.abs(cv2.blur(difference, (5, 5))).mean() < GIF_MEAN
        else:
            assert np.abs(difference).mean() < (2 if suffix != ".apng" else 1e-9)


@pytest.mark.parametrize(("rate", "delays"), [(24, [4, 4, 4, 5, 4, 4]), (30, [3, 4, 3, 3, 4, 3])])
def test_delays_of_a_gif_add_up(tmp_path: Path, rate: int, delays: list[int]) -> None:
    path = write_video(tmp_path / "a.gif", ramps(6), source=source_of(), settings=OutputSettings(), fps=Fraction(rate))
    found = probe([str(path)], InputSettings())
    ends = [*found.pts[1:], found.pts[-1] + found.duration_ticks]
    assert [end - start for start, end in zip(found.pts, ends, strict=True)] == [10 * delay for delay in delays]
    assert ends[-1] == 10 * sum(delays) == 10 * round(600 / rate)


@pytest.mark.parametrize("plays", [0, 1, 3])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_animation_is_shown_so_often(tmp_path: Path, suffix: str, plays: int) -> None:
    path = write_video(tmp_path / f"a{suffix}", ramps(2), source=source_of((0, 1)), settings=animated(plays=plays))
    with Image.open(path) as image:
        if suffix == ".gif":  # whose count is of repetitions, and missing for none
            assert image.info.get("loop") == {0: 0, 1: None, 3: 2}[plays]
        else:
            assert image.info["loop"] == plays


@pytest.mark.parametrize("quality", [90, 100])
@pytest.mark.parametrize("record", ["", "settings"])
def test_webp_of_equal_frames_keeps_its_duration(tmp_path: Path, quality: int, record: str) -> None:
    frames, settings = ramps(1, 95, 63) * 5, animated(quality=quality, plays=3)
    source = source_of(tuple(range(5)), size=(95, 63))
    path = write_video(tmp_path / "a.webp", frames, source=source, settings=settings, record=record)
    with Image.open(path) as image:
        found = np.asarray(image.convert("RGB"), np.float32)
        assert (image.info["duration"], image.info["loop"], "xmp" in image.info) == (200, 3, bool(record))
    assert np.abs(found - frames[0]).mean() < (2 if quality < 100 else 1e-9)


def test_apng_keeps_exact_delays_and_16_bits(tmp_path: Path) -> None:
    first = deep_ramp()
    second = first.copy()
    second[3:9, 5:20] += 1
    source = source_of((0, 1, 2), time_base=Fraction(1001, 30000))
    path = write_video(tmp_path / "a.apng", [first, second, second], source=source, settings=OutputSettings())
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb48le") for frame in container.decode(video=0)]
    np.testing.assert_array_equal(frames[0], first)
    np.testing.assert_array_equal(frames[1], second)
    np.testing.assert_array_equal(frames[2], second)
    data = path.read_bytes()
    controls = [data[at + 4 :][:26] for at in range(len(data)) if data[at : at + 4] == b"fcTL"]
    assert [struct.unpack(">2H", control[20:24]) for control in controls] == [(1001, 30000)] * 3
    assert [struct.unpack(">4I", control[4:20]) for control in controls] == [
        (40, 24, 0, 0),
        (15, 6, 5, 3),
        (1, 1, 0, 0),
    ]


def test_apng_rounds_delays_that_are_too_fine_without_adding_up(tmp_path: Path) -> None:
    source = source_of((0, 33_333_333, 66_666_667), time_base=Fraction(1, 10**9), last=33_333_333)
    path = write_video(tmp_path / "a.apng", ramps(3), source=source, settings=OutputSettings())
    assert probe([str(path)], InputSettings()).pts == (0, 33, 67)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_quality_changes_size_and_100_is_lossless_webp(tmp_path: Path, suffix: str) -> None:
    noise = [np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8) for i in range(2)]
    sizes = []
    for quality in (30, 90):
        path = tmp_path / f"{quality}{suffix}"
        write_video(path, noise, source=source_of((0, 1)), settings=animated(quality=quality))
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1]
    path = write_video(tmp_path / "a.webp", noise, source=source_of((0, 1)), settings=animated(quality=100))
    np.testing.assert_array_equal(shown(path), noise)


# GIF


def test_few_colors_are_exact(tmp_path: Path) -> None:
    frames = [np.full((20, 30, 3), (200, 13, 77), np.uint8) for _ in range(3)]
    for index, frame in enumerate(frames):
        frame[5:9, index * 3 : index * 3 + 5] = (255, 255, 255)
    path = write_video(tmp_path / "a.gif", frames, source=source_of((0, 1, 2)), settings=animated(quality=100))
    np.testing.assert_array_equal(shown(path), frames)


def test_only_changes_are_written() -> None:
    """A still pixel keeps its exact color, and frames without change take a few bytes."""
    frames = moving(6)
    with Image.open(io.BytesIO(gif_bytes(frames))) as image:
        pictures = []
        for index in range(6):
            image.seek(index)
            pictures.append(np.asarray(image.convert("RGB")))
    for (a, b), (shown_a, shown_b) in zip(itertools.pairwise(frames), itertools.pairwise(pictures), strict=True):
        still = (a == b).all(axis=2)
        np.testing.assert_array_equal(shown_a[still], shown_b[still])
    one, many = len(gif_bytes(frames[:1] * 2)), len(gif_bytes(frames[:1] * 12))
    assert many - one < 10 * 40


def test_tolerance_leaves_noise_out_and_follows_real_changes() -> None:
    random = np.random.default_rng(0)
    base = ramps(1)[0].astype(int)
    noisy = [np.clip(base + random.integers(-1, 2, base.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    changes = [changed.mean() for _, changed in held_frames(noisy, 3.0)]
    assert changes[0] == 1
    assert max(changes[1:]) < 0.02
    brighter = [np.asarray(base + 2 * index, np.uint8) for index in range(12)]
    for (held, _), frame in zip(held_frames(brighter, 3.0), brighter, strict=True):
        assert np.abs(held.astype(int) - frame).max() <= 3


def test_no_tolerance_changes_nothing() -> None:
    frames = moving(5)
    for (held, _), frame in zip(held_frames(frames, 0.0), frames, strict=True):
        np.testing.assert_array_equal(held, frame)


@pytest.mark.parametrize("dither", ["none", "ordered", "blue_noise", "error"])
def test_dither_keeps_the_mean_color_and_none_makes_bands(dither: Any) -> None:
    gray = np.repeat(np.linspace(90, 140, 128).astype(np.uint8)[np.newaxis, :, np.newaxis], 64, axis=0).repeat(
        3, axis=2
    )
    counts = ColorCounts()
    counts.add(gray)
    ditherer = Ditherer(table_of(counts, 5), dither)
    picture = ditherer.table[ditherer.entries(gray)]
    mean_error = np.abs(cv2.blur(linear_from_pixels(picture) - linear_from_pixels(gray), (9, 9)))[8:-8, 8:-8].max()
    assert mean_error > 0.015 if dither == "none" else mean_error < 0.01


@pytest.mark.parametrize("dither", ["none", "ordered", "blue_noise"])
def test_pattern_stands_still_when_a_part_is_dithered(dither: Any) -> None:
    image = ramps(1)[0]
    counts = ColorCounts()
    counts.add(image)
    ditherer = Ditherer(table_of(counts, 16), dither)
    whole = ditherer.entries(image)
    np.testing.assert_array_equal(ditherer.entries(image[13:40, 7:70], 13, 7), whole[13:40, 7:70])


def test_table_has_rare_vivid_colors_and_black_and_white() -> None:
    random = np.random.default_rng(1)
    image = np.repeat(random.integers(100, 140, (64, 64, 1), dtype=np.uint8), 3, axis=2)
    image += random.integers(0, 9, image.shape, dtype=np.uint8)
    image[:2, :2], image[2:4, :2], image[4:6, :2] = (255, 0, 0), 0, 255
    counts = ColorCounts()
    counts.add(image)
    table = table_of(counts, 32).astype(int)
    assert len(table) <= 32
    for color in ((255, 0, 0), (0, 0, 0), (255, 255, 255)):
        assert np.abs(table - color).max(axis=1).min() <= 6


def test_another_shot_gets_its_own_colors(tmp_path: Path) -> None:
    y, x = np.mgrid[:48, :48]
    red = np.dstack([150 + x * 2, y, x]).astype(np.uint8)
    blue = np.dstack([x, y, 150 + x * 2]).astype(np.uint8)
    frames = [red, red, blue, blue]
    data = gif_bytes(frames, colors=16)
    with Image.open(io.BytesIO(data)) as image:
        for index, frame in enumerate(frames):
            image.seek(index)
            picture = np.asarray(image.convert("RGB"), np.float32)
            assert np.abs(cv2.blur(picture - frame, (7, 7))).mean() < 4
    alone = len(gif_bytes(frames[:1], colors=16))
    assert len(data) < 3 * alone


def test_memory_does_not_grow_with_the_clip() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        file = io.BytesIO()
        rising = (np.full((64, 64, 3), index % 200, np.uint8) for index in range(count))
        write_gif(file, rising, [4] * count, colors=64, dither="none", tolerance=0.0, plays=0, spool_folder=".")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(4)
    assert peak(60) < peak(12) + 40 * 64 * 64 * 3


def test_box_is_the_smallest_rectangle_or_one_pixel() -> None:
    wanted = np.zeros((9, 7), bool)
    assert box(wanted) == (0, 1, 0, 1)
    wanted[2, 5] = wanted[4, 1] = True
    assert box(wanted) == (2, 5, 1, 6)


# Images


@pytest.mark.parametrize("name", ["%03d.tif", "%03d.tiff", "%03d.png", "%03d.webp", "%03d.avif", "%03d.jpg"])
def test_folder_of_images_is_read_back(tmp_path: Path, name: str) -> None:
    frames = ramps(2, 45, 31)
    settings = OutputSettings(images=ImageSettings(quality=100))
    write_video(tmp_path / "out" / name, frames, source=source_of((0, 1)), settings=settings)
    lossless = not name.endswith((".avif", ".jpg"))
    for index, frame in enumerate(frames):
        difference = load_rgb(tmp_path / "out" / (name % index)).astype(int) - frame
        assert np.abs(difference).max() == 0 if lossless else np.abs(difference).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_exact(tmp_path: Path, suffix: str) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (37, 53, 3), dtype=np.uint16)
    path = write_video(tmp_path / f"a{suffix}", [deep], source=source_of((0,)), settings=OutputSettings())
    read = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert read is not None
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read[..., ::-1], deep)


@pytest.mark.parametrize("suffix", [".jpg", ".gif", ".webp", ".avif"])
def test_formats_of_8_bits_take_16(tmp_path: Path, suffix: str) -> None:
    frames = ramps(1)
    source = source_of((0,))
    for folder, pixels in (("a", frames), ("b", [as_16_bit(frame) for frame in frames])):
        write_video(tmp_path / folder / f"a{suffix}", pixels, source=source, settings=OutputSettings())
    assert (tmp_path / "a" / f"a{suffix}").read_bytes() == (tmp_path / "b" / f"a{suffix}").read_bytes()


@pytest.mark.parametrize("size", [(1, 1), (17, 40), (33, 21)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exr_is_linear_light_in_half_floats(tmp_path: Path, size: tuple[int, int], dtype: Any) -> None:
    peak = np.iinfo(dtype).max
    rgb = np.random.default_rng(0).integers(0, peak + 1, (*size, 3), dtype=dtype)
    path = write_video(tmp_path / "a.exr", [rgb], source=source_of((0,)), settings=OutputSettings())
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "gbrpf16le"
    assert frame.color_trc == 8  # linear
    green, blue, red = (
        np.frombuffer(plane, np.float16).reshape(-1, plane.line_size // 2)[: size[0], : size[1]]  # type: ignore[call-overload]
        for plane in frame.planes
    )
    expected = linear_from_srgb(rgb.astype(np.float32) / np.float32(peak))
    np.testing.assert_allclose(np.dstack([red, green, blue]), expected, rtol=6e-4, atol=3e-5)


def test_exr_states_primaries_and_compresses() -> None:
    data = encode_exr(np.full((64, 64, 3), 128, np.uint8))
    at = data.index(b"chromaticities\0chromaticities\0") + 34
    assert struct.unpack_from("<8f", data, at) == pytest.approx((0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329))
    assert len(data) < 64 * 64 * 6 / 10


def test_images_say_that_they_are_srgb() -> None:
    rgb = ramps(1)[0]
    with Image.open(io.BytesIO(encode_tiff(rgb))) as image:
        np.testing.assert_array_equal(np.asarray(image), rgb)
        profile = image.info["icc_profile"]
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    assert profile[24:36] == bytes(12)  # no date: the same bytes every time


def test_chroma_and_quality_of_jpg(tmp_path: Path) -> None:
    frame = ramps(1)
    sizes = {}
    for chroma, quality in ((444, 90), (420, 90), (444, 40)):
        images = ImageSettings.model_validate({"chroma": chroma, "quality": quality})
        path = write_video(
            tmp_path / f"{chroma}-{quality}.jpg", frame, source=source_of((0,)), settings=OutputSettings(images=images)
        )
        sizes[chroma, quality] = path.stat().st_size
        with Image.open(path) as image:
            assert image.info["icc_profile"]
            assert image.layer[0][1] == (2 if chroma == 420 else 1)  # type: ignore[attr-defined]
    assert sizes[444, 40] < sizes[444, 90] > sizes[420, 90]


def test_16_bits_of_8_are_exact_both_ways() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, -1)
    np.testing.assert_array_equal(as_8_bit(as_16_bit(every)), every)
    deep = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(as_8_bit(deep), np.rint(deep / 257).astype(np.uint8))


# Refusals and faults


def test_wrong_outputs_are_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = OutputSettings()
    for name, width_px in (("a.gif", 65_536), ("a.webp", 16_384), ("a.avif", 32_769)):
        with pytest.raises(WriteError, match="holds images of up to"):
            check_output(tmp_path / name, settings, frame_count=4, width_px=width_px)
    with pytest.raises(ConfigError, match="plays"):
        check_output(tmp_path / "a.avif", animated(plays=2), frame_count=4)
    for name in ("a.tif", "a.exr"):
        with pytest.raises(UsageError, match="cannot hold 4 frames") as caught:
            check_output(tmp_path / name, settings, frame_count=4)
        assert "%05d" in caught.value.hint

    def missing(*_: object, **__: object) -> None:
        raise KeyError("AVIF")

    monkeypatch.setattr("PIL.Image.Image.save", missing)
    with pytest.raises(MissingPartError, match="cannot write") as found:
        check_output(tmp_path / "a.avif", settings, frame_count=4)
    assert found.value.exit_code == 6
    assert ".gif" in found.value.hint


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.apng", "animated .apng"),
        ("out/%05d.exr", "numbered .exr images"),
        ("out/%05d.avif", "numbered .avif images"),
    ],
)
def test_what_will_be_written_is_said(tmp_path: Path, name: str, kind: str) -> None:
    assert check_output(tmp_path / name, OutputSettings(), frame_count=4) == kind


@pytest.mark.parametrize("name", ["a.gif", "a.apng", "a.avif", "a.webp", "out/%05d.tif", "out/%05d.exr"])
def test_error_of_the_frames_leaves_nothing(tmp_path: Path, name: str) -> None:
    error = OSError("of the frames")

    def failing() -> Iterator[RGB]:
        yield from ramps(4)
        raise error

    with pytest.raises(OSError, match="of the frames") as caught:
        write_video(tmp_path / name, failing(), source=source_of(), settings=OutputSettings())
    assert caught.value is error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not leftovers(tmp_path)


def test_full_disk_under_the_kept_frames_of_a_gif_is_an_error_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(WriteError, match="No space left") as caught:
        write_video(tmp_path / "a.gif", ramps(6), source=source_of(), settings=OutputSettings())
    assert caught.value.exit_code == 8
    assert not list(tmp_path.iterdir())


def test_frames_of_different_depth_are_refused(tmp_path: Path) -> None:
    frames: list[Any] = [*ramps(1), as_16_bit(ramps(1)[0])]
    with pytest.raises(ValueError, match="frame 1: expected uint8"):
        write_video(tmp_path / "%d.tif", frames, source=source_of((0, 1)), settings=OutputSettings())


def test_png_of_floats_is_refused() -> None:
    with pytest.raises(ValueError, match="expected uint8 or uint16"):
        encode_png(np.zeros((2, 2, 3), np.float32))
