"""Every codec in every container with all the pixels that it keeps: colors, tags, times, audio, bits, profiles."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.config.reading import parse_config
from pipeline.config.settings import InputSettings, OutputSettings
from pipeline.errors import ConfigError, WriteError
from pipeline.media.reader.source import probe, read_frames
from pipeline.media.writer.codecs import CODECS, CONTAINERS, available_layouts
from pipeline.media.writer.output import write_video
from pipeline.media.writer.pixels import PixelFormat, to_video_frame
from pipeline.media.writer.target import check_output, describe_codecs, resolve, written_size
from pipeline.media.writer.unused import note_unused
from pipeline.types import Source
from tests.support.clicks import clip_with_clicks, listen
from tests.support.full_disk import largest_file
from tests.support.written import FAST, ramps, read_back, source_of

SIZE = (272, 160)
CASES = [
    (suffix, codec, variant, pixels)
    for suffix, container in CONTAINERS.items()
    for codec in container.codecs
    for variant in CODECS[codec].variants or ("auto",)
    for pixels in ([CODECS[codec].variants[variant].pixels] if variant != "auto" else available_layouts(codec))
]


def settings_of(**values: Any) -> OutputSettings:
    return OutputSettings.model_validate(values)


@pytest.fixture(scope="module")
def with_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_with_clicks(tmp_path_factory.mktemp("clip") / "clicks.mkv", "pcm_s16le")


@pytest.mark.parametrize(
    ("suffix", "codec", "variant", "pixels"),
    CASES,
    ids=[f"{suffix[1:]}-{codec}-{variant}-{its.format}" for suffix, codec, variant, its in CASES],
)
def test_own_reader_sees_what_was_written(
    tmp_path: Path, with_audio: Path, suffix: str, codec: str, variant: str, pixels: PixelFormat
) -> None:
    """Pixels within 2 levels in the mean, the same stamps, the tags of the container, and the clicks in their place."""
    # Few frames where the container has their rate; the clicks come once a second
    time_base, count = (Fraction(1, 24), 27) if CONTAINERS[suffix].rates else (Fraction(1, 10), 12)
    frames = [ramps(6, *SIZE)[index % 6] for index in range(count)]
    settings = settings_of(
        codec=codec, variant=variant, depth=pixels.depth, chroma=pixels.chroma, preset="ultrafast", audio="encode"
    )
    source = source_of(tuple(range(count)), time_base=time_base, audio=with_audio, size=SIZE)
    path = write_video(tmp_path / f"a{suffix}", frames, source=source, settings=settings)
    found = probe([path], InputSettings())
    assert [tick * found.time_base for tick in found.pts] == [index * time_base for index in range(count)]
    shown = [frame.rgb for frame in read_frames(found, settings=InputSettings())]
    assert np.abs(np.array(shown, np.float32) - np.array(frames)).mean() < 2
    rgb = pixels.rgb
    assert (found.color.primaries, found.color.matrix) == ("bt709", "gbr" if rgb else "bt709")
    assert found.color.transfer == ("iec61966-2-1" if rgb else "bt709")
    assert found.color.full_range in {rgb, None}  # FFmpeg's MXF does not say it for DNxHR 444
    with av.open(str(path)) as container:
        wanted = "yuv444p12le" if codec == "prores" and pixels.chroma == 444 else pixels.format  # as its decoder has it
        assert container.streams.video[0].codec_context.pix_fmt == wanted
    clicks, begin, _, _ = listen(path)
    assert clicks == pytest.approx([1], abs=0.003)
    assert begin == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "h264"), (".mp4", "av1"), (".mov", "prores"), (".mov", "dnxhr")]
)
def test_container_has_the_color_atom(tmp_path: Path, suffix: str, codec: str) -> None:
    """`colr` of type nclx (nclc in mov) with primaries, transfer and matrix 1, and limited range."""
    path = write_video(
        tmp_path / f"a{suffix}", ramps(2, *SIZE), source=source_of((0, 1)), settings=settings_of(codec=codec)
    )
    data = path.read_bytes()
    at = data.index(b"colr")
    kind = b"nclc" if suffix == ".mov" else b"nclx"
    assert data[at + 4 : at + 14] == kind + bytes((0, 1, 0, 1, 0, 1))
    assert suffix == ".mov" or data[at + 14] & 0x80 == 0


# Pixels


@pytest.mark.parametrize("depth", [8, 10, 12])
@pytest.mark.parametrize("chroma", [420, 422, 444])
def test_yuv_is_bt709_of_limited_range(chroma: int, depth: int) -> None:
    """Black, white, red, green and blue at 8 bits: Rec. ITU-R BT.709, rounded; more bits are exact multiples."""
    step = 2 ** (depth - 8)
    expected = {
        (0, 0, 0): (16, 128, 128),
        (255, 255, 255): (235, 128, 128),
        (255, 0, 0): (16 + 219 * 0.2126, 128 - 224 * 0.2126 / 1.8556, 240),
        (0, 255, 0): (16 + 219 * 0.7152, 128 - 224 * 0.7152 / 1.8556, 128 - 224 * 0.7152 / 1.5748),
        (0, 0, 255): (16 + 219 * 0.0722, 240, 128 - 224 * 0.0722 / 1.5748),
    }
    for color, values in expected.items():
        frame = to_video_frame(np.full((4, 4, 3), color, np.uint8), 4, 4, PixelFormat(chroma, depth))
        for plane, value in zip(frame.planes, values, strict=True):
            first = np.frombuffer(memoryview(plane), np.uint8 if depth == 8 else np.uint16)[0]
            assert int(first) == round(value * step)


def test_deep_pixels_are_kept_by_rgb_of_16_bits(tmp_path: Path) -> None:
    frames = [np.random.default_rng(i).integers(0, 65536, (18, 20, 3)).astype(np.uint16) for i in range(2)]
    path = write_video(
        tmp_path / "a.mkv", frames, source=source_of((0, 1)), settings=settings_of(codec="ffv1", depth=16)
    )
    with av.open(str(path)) as container:
        shown = [frame.to_ndarray(format="gbrp16le") for frame in container.decode(video=0)]
    for got, wanted in zip(shown, frames, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_ramp_of_16_bits_keeps_its_mean_in_10_and_8_bits() -> None:
    """Between two levels the dither gives as much of each as the mean needs; whole levels stay flat."""
    for depth in (8, 10):
        step = 2.0 ** (depth - 8)
        for value in (1000, 20000, 40123):
            frame = to_video_frame(np.full((64, 64, 3), value, np.uint16), 64, 64, PixelFormat(420, depth))
            plane: Any = frame.planes[0]
            luma = np.frombuffer(plane, np.uint8 if depth == 8 else np.uint16)
            assert luma.mean() == pytest.approx((16 + 219 * value / 65535) * step, abs=0.01)
            assert np.ptp(luma) <= 1


def test_8_bits_given_as_16_are_the_same_rgb(tmp_path: Path) -> None:
    frame = ramps(1)[0]
    for depth in (8, 12, 16):
        pixels = PixelFormat(444, depth, rgb=True)
        both = [to_video_frame(its, 96, 64, pixels) for its in (frame, frame.astype(np.uint16) * 257)]
        for first, second in zip(both[0].planes, both[1].planes, strict=True):
            assert bytes(first) == bytes(second)


# What is asked for


@pytest.mark.parametrize(
    ("name", "options", "codec", "pixel_format", "variant"),
    [
        ("a.mp4", {}, "h264", "yuv420p", ""),
        ("a.mp4", {"codec": "hevc", "depth": 10}, "hevc", "yuv420p10le", ""),
        ("a.mp4", {"codec": "hevc", "depth": 12, "chroma": 444}, "hevc", "yuv444p12le", ""),
        ("a.mkv", {"codec": "ffv1", "depth": 16}, "ffv1", "gbrp16le", ""),
        ("a.mov", {"codec": "prores"}, "prores", "yuv422p10le", "hq"),
        ("a.mov", {"codec": "prores", "variant": "proxy"}, "prores", "yuv422p10le", "proxy"),
        ("a.mov", {"codec": "prores", "chroma": 444}, "prores", "yuv444p10le", "4444"),
        ("a.mov", {"codec": "dnxhr", "depth": 10}, "dnxhr", "yuv422p10le", "dnxhr_hqx"),
        ("a.mxf", {}, "dnxhr", "yuv422p", "dnxhr_hq"),
        ("a.mp4", {"profile": "web"}, "h264", "yuv420p", ""),
        ("a.webm", {"profile": "web"}, "vp9", "yuv420p", ""),
        ("a.mp4", {"profile": "phone", "codec": "hevc"}, "hevc", "yuv420p", ""),
        ("a.mov", {"profile": "master"}, "prores", "yuv422p10le", "hq"),
        ("a.mov", {"profile": "master", "variant": "4444"}, "prores", "yuv444p10le", "4444"),
        ("a.mov", {"profile": "master", "codec": "dnxhr"}, "dnxhr", "yuv422p10le", "dnxhr_hqx"),
        ("a.mov", {"profile": "master", "codec": "dnxhr", "depth": 8}, "dnxhr", "yuv422p", "dnxhr_hq"),
        ("a.mxf", {"profile": "master"}, "dnxhr", "yuv422p10le", "dnxhr_hqx"),
        ("a.mkv", {"profile": "master"}, "ffv1", "gbrp16le", ""),
    ],
)
def test_settings_choose_codec_pixels_and_variant(
    name: str, options: dict[str, Any], codec: str, pixel_format: str, variant: str
) -> None:
    target = resolve(Path(name), settings_of(**options))
    assert (target.codec, target.pixels.format, target.variant) == (codec, pixel_format, variant)
    assert target.deep is (target.pixels.depth > 8)


@pytest.mark.parametrize(
    ("name", "options", "message", "hint"),
    [
        ("a.webm", {"profile": "master"}, "not for .webm", ".mov"),
        ("a.mp4", {"profile": "web", "codec": "hevc"}, "does not use hevc", "h264"),
        ("a.mp4", {"depth": 12}, "depth 12", "4:2:0 with 10 bits"),
        ("a.mp4", {"codec": "av1", "chroma": 444}, "chroma 444", "4:2:0 with 8 bits"),
        ("a.mov", {"codec": "prores", "depth": 8}, "depth 8", "4:2:2 with 10 bits"),
        ("a.mov", {"codec": "dnxhr", "variant": "hqx", "depth": 8}, "dnxhr hqx", "4:2:2 with 10 bits"),
        ("a.mov", {"codec": "prores", "variant": "hqx"}, "no variant hqx", "proxy"),
        ("a.mp4", {"variant": "hq"}, "no variant hq", "prores"),
        ("a.mov", {"codec": "prores", "bitrate": "20M"}, "no bit rate", "variant"),
        ("a.mkv", {"codec": "ffv1", "chroma": 420}, "chroma 420", "RGB with 8 bits"),
    ],
)
def test_what_no_file_can_hold_is_a_config_error(
    tmp_path: Path, name: str, options: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_output(tmp_path / name, settings_of(**options), frame_count=2)
    assert hint in caught.value.hint


def test_bit_rate_and_crf_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        parse_config({"style": {"images": [{"path": "a.png"}]}, "output": {"crf": 12, "bitrate": "2M"}}, where="here")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("a.gif", {"codec": "hevc", "depth": 10, "crf": 30},
         "a.gif (animated .gif): output.codec, output.depth do nothing"),
        ("a.webp", {"audio": "encode"}, "a.webp (animated .webp): output.audio does nothing"),
        ("a.gif", {"audio": "none", "depth": 8, "time": {"fps": 9}}, ""),
        ("a.gif", {"crf": 30, "animation": {"quality": 70}}, "a.gif (animated .gif): output.crf does nothing"),
        ("a.apng", {"depth": 16, "crf": 1}, "a.apng (animated .apng): output.crf does nothing"),
        ("%d.png", {"depth": 16, "preset": "slow"}, "%d.png (numbered .png images): output.preset does nothing"),
        ("%d.jpg", {"depth": 16, "crf": 9}, "%d.jpg (numbered .jpg images): output.depth does nothing"),
        ("a.png", {"profile": "web", "view": {"zoom": 2}},
         "a.png (one .png image): output.profile, output.view do nothing"),
        ("a.mov", {"codec": "prores", "crf": 10}, "a.mov (prores in .mov): output.crf does nothing"),
        ("a.mp4", {"profile": "web", "images": {"quality": 5}}, ""),
    ],
)  # fmt: skip
def test_settings_that_do_nothing_for_an_output_are_told(
    tmp_path: Path, name: str, options: dict[str, Any], said: str
) -> None:
    notes: list[str] = []
    note_unused(tmp_path / name, settings_of(**options), notes.append)
    assert notes == [said] * bool(said)


def test_bit_rate_decides_the_size(tmp_path: Path) -> None:
    noise = [np.random.default_rng(i).integers(0, 256, (96, 128, 3), dtype=np.uint8) for i in range(25)]
    sizes = []
    for rate in ("200k", "2M"):
        settings = settings_of(bitrate=rate, preset="ultrafast")
        path = write_video(tmp_path / "a.mp4", noise, source=source_of(tuple(range(25))), settings=settings)
        sizes.append(path.stat().st_size * 8)
    assert sizes[0] < 600_000 < sizes[1] < 4_000_000


def test_names_of_variants_may_be_numbers() -> None:
    assert settings_of(variant=4444).variant == "4444"


# Profiles


def test_web_video_plays_before_it_is_loaded_and_at_a_low_level(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    settings = settings_of(profile="web", preset="veryslow")
    write_video(path, ramps(3, 640, 368), source=source_of((0, 1, 2)), settings=settings)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert context.profile == "High"
        assert data[data.index(b"avcC") + 7] <= 30  # level 3.0; with the 16 reference frames of the preset it is 4.0


def test_hevc_for_phones_has_the_tag_of_apple(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4", ramps(2), source=source_of((0, 1)), settings=settings_of(profile="phone", codec="hevc")
    )
    assert b"hvc1" in path.read_bytes()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_hevc_is_written_and_always_the_same(tmp_path: Path, count: int) -> None:
    """Of clips no longer than what x265 holds back for B-frames it took decoding times from memory as it found it."""
    source, settings = source_of(tuple(range(count))), settings_of(codec="hevc")
    files = [write_video(tmp_path / f"{n}.mp4", ramps(count), source=source, settings=settings) for n in range(8)]
    assert len({file.read_bytes() for file in files}) == 1
    _, times, _ = read_back(files[0])
    assert times == [Fraction(index, 25) for index in range(count)]


def test_profile_refuses_what_its_devices_cannot_show(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="4096 px") as caught:
        check_output(tmp_path / "a.mp4", settings_of(profile="phone"), frame_count=2, width_px=5000, height_px=64)
    assert "--width" in caught.value.hint


@pytest.mark.parametrize(
    ("suffix", "profile", "expected"),
    [
        (".mov", "master", "pcm_s24le"),
        (".mkv", "master", "flac"),
        (".mxf", "master", "pcm_s24le"),
        (".mp4", "web", "aac"),
    ],
)
def test_profiles_have_their_own_audio(tmp_path: Path, suffix: str, profile: str, expected: str) -> None:
    clip = clip_with_clicks(tmp_path / "clip.mp4", "libmp3lame" if profile == "master" else "aac")
    source = source_of(tuple(range(75)), audio=clip, size=SIZE)
    frames = [ramps(1, *SIZE)[0]] * 75
    settings = settings_of(profile=profile, preset="ultrafast")
    path = write_video(tmp_path / f"a{suffix}", frames, source=source, settings=settings)
    clicks, _, end, name = listen(path)
    assert name == expected
    assert clicks == pytest.approx([1, 2], abs=0.003)
    assert end == pytest.approx(3, abs=0.02)


# Containers and hardware


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mxf", {"profile": "master"}), ("a.mov", {"profile": "master"}), ("a.mkv", {"profile": "master"})],
)
@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_full_disk_keeps_the_old_master(tmp_path: Path, name: str, options: dict[str, Any], fraction: float) -> None:
    path, source = tmp_path / name, source_of(tuple(range(4)), size=SIZE)
    noise = [np.random.default_rng(i).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8) for i in range(4)]
    before = write_video(path, noise, source=source, settings=settings_of(**options)).read_bytes()
    with largest_file(max(int(len(before) * fraction) - 1, 0)), pytest.raises(WriteError, match="File too large"):
        write_video(path, noise, source=source, settings=settings_of(**options))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (source_of((0, 1, 3)), "unequally long"),
        (source_of((0, 1, 2), time_base=Fraction(1, 12)), "12 frames per second"),
    ],
)
def test_mxf_refuses_times_that_it_does_not_have(tmp_path: Path, source: Source, found: str) -> None:
    with pytest.raises(WriteError, match=found) as caught:
        write_video(tmp_path / "a.mxf", ramps(3, *SIZE), source=source, settings=settings_of(profile="master"))
    assert "--fps" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_editing_codecs_grow_odd_sides(tmp_path: Path) -> None:
    for name, options in (
        ("a.mov", {"codec": "prores", "variant": "4444"}),
        ("a.mxf", {"variant": "444", "codec": "dnxhr"}),
    ):
        settings = settings_of(**options)
        path = write_video(tmp_path / name, ramps(2, 273, 161), source=source_of((0, 1)), settings=settings)
        found = probe([path], InputSettings())
        assert (found.width_px, found.height_px) == written_size(path, settings, 273, 161) == (274, 162)


def test_hardware_that_does_not_open_gives_the_same_video_in_software(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here without a driver, or, on a machine that has one, with encoders that are told to use a device that is not."""
    real = av.CodecContext.create

    def no_device(name: str, *rest: Any) -> Any:
        if name.endswith(("_nvenc", "_qsv", "_videotoolbox")):
            raise ValueError("no device")
        return real(name, *rest)

    plain = write_video(tmp_path / "a.mp4", ramps(2), source=source_of((0, 1)), settings=FAST).read_bytes()
    hardware = FAST.model_copy(update={"hardware": True})
    monkeypatch.setattr("av.CodecContext.create", no_device)
    assert write_video(tmp_path / "b.mp4", ramps(2), source=source_of((0, 1)), settings=hardware).read_bytes() == plain
    assert "encoded in software by libx264" in caplog.text


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a device")
@pytest.mark.skipif(not describe_codecs()["codecs"]["h264"]["hardware"], reason="no hardware encoder is built in")
def test_driver_that_is_not_there_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hardware = FAST.model_copy(update={"hardware": True})
    write_video(tmp_path / "a.mp4", ramps(2), source=source_of((0, 1)), settings=hardware)
    assert "does not open (" in caplog.text


def test_codec_without_hardware_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_of(codec="prores", hardware=True)
    write_video(tmp_path / "a.mov", ramps(1), source=source_of((0,)), settings=settings)
    assert "no hardware encoder for prores" in caplog.text
