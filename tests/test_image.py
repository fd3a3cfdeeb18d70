"""Images: every kind of file is read as upright sRGB, stored frames are exact, sizes and samples are right."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms, TiffImagePlugin

from pipeline.errors import InputError, UsageError
from pipeline.media.image.arrays import fit, fit_size, resize, to_tensor, to_uint8
from pipeline.media.image.load import load_rgb
from pipeline.media.image.png import decode_png, encode_png, save_png
from tests.support.clips import texture

Data = Callable[[str], Path]
IMAGE = texture((24, 16), seed=1)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


# Reading


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "gif", "webp"])
def test_lossless_formats_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(IMAGE // 64 * 64)  # few colors: a GIF holds them all
    options = {"lossless": True} if suffix == "webp" else {}
    rgb = load_rgb(saved(tmp_path / f"image.{suffix}", image, **options))
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert rgb.flags.writeable
    np.testing.assert_array_equal(rgb, IMAGE // 64 * 64)


def test_kind_is_known_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "movie.mp4"
    Image.fromarray(IMAGE).save(path, format="PNG")
    np.testing.assert_array_equal(load_rgb(path), IMAGE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    # What is stored, so that a viewer who follows the orientation sees IMAGE (EXIF 2.32, 4.6.4.A).
    stored = {
        1: IMAGE,
        2: IMAGE[:, ::-1],
        3: IMAGE[::-1, ::-1],
        4: IMAGE[::-1],
        5: IMAGE.transpose(1, 0, 2),
        6: np.rot90(IMAGE, 1),
        7: IMAGE[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(IMAGE, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "turned.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(load_rgb(path), IMAGE)


def test_all_orientations_of_real_photos_are_upright(data: Data) -> None:
    folder = data("broken/exif_orientation")
    photos = [load_rgb(folder / f"Landscape_{number}.jpg").astype(int) for number in range(1, 9)]
    assert {photo.shape for photo in photos} == {(400, 600, 3)}
    for photo in photos[1:]:
        # a number from 1 to 8 is written on each; all else is the same landscape
        assert np.abs(photo - photos[0]).mean() < 4


def test_16_bit_gray_is_scaled_and_rounded(tmp_path: Path) -> None:
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.rint(samples / 65535 * 255).astype(np.uint8)
    for suffix in ("png", "tiff"):
        rgb = load_rgb(saved(tmp_path / f"deep.{suffix}", Image.fromarray(samples)))
        np.testing.assert_array_equal(rgb, np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_color_is_scaled_and_rounded(tmp_path: Path, suffix: str) -> None:
    import cv2

    rng = np.random.default_rng(0)
    samples = rng.integers(0, 65536, (32, 24, 3), dtype=np.uint16)
    path = tmp_path / f"deep.{suffix}"
    assert cv2.imwrite(str(path), samples[..., ::-1])
    np.testing.assert_array_equal(load_rgb(path), np.rint(samples / 65535 * 255).astype(np.uint8))


def test_16_bit_color_with_alpha_is_laid_over_white(tmp_path: Path) -> None:
    import cv2

    samples = np.zeros((2, 2, 4), np.uint16)
    samples[0, 0] = (0, 0, 65535, 65535)  # blue-green-red-alpha: opaque red
    samples[1, 1] = (0, 0, 65535, 32768)  # half of it
    assert cv2.imwrite(str(tmp_path / "deep.png"), samples)
    rgb = load_rgb(tmp_path / "deep.png")
    assert rgb[0, 0].tolist() == [255, 0, 0]
    assert rgb[0, 1].tolist() == [255, 255, 255]
    assert rgb[1, 1].tolist() == [255, 127, 127]


def test_gray_palette_and_bilevel_become_rgb(tmp_path: Path) -> None:
    gray = Image.fromarray(IMAGE[..., 0])
    np.testing.assert_array_equal(load_rgb(saved(tmp_path / "gray.png", gray)), np.repeat(IMAGE[..., :1], 3, axis=2))
    palette = Image.fromarray(IMAGE).quantize(16)
    np.testing.assert_array_equal(
        load_rgb(saved(tmp_path / "palette.png", palette)), np.asarray(palette.convert("RGB"))
    )
    bilevel = Image.fromarray(IMAGE[..., 0]).convert("1")
    assert set(np.unique(load_rgb(saved(tmp_path / "bilevel.png", bilevel)))) == {0, 255}


def test_transparent_parts_are_laid_over_white(tmp_path: Path) -> None:
    rgba = np.dstack([IMAGE, np.zeros(IMAGE.shape[:2], np.uint8)])
    rgba[:, :12, 3] = 255
    rgb = load_rgb(saved(tmp_path / "half.png", Image.fromarray(rgba)))
    np.testing.assert_array_equal(rgb[:, :12], IMAGE[:, :12])
    assert (rgb[:, 12:] == 255).all()
    gray = np.dstack([IMAGE[..., 0], rgba[..., 3]])
    rgb = load_rgb(saved(tmp_path / "gray.png", Image.fromarray(gray, mode="LA")))
    np.testing.assert_array_equal(rgb[:, :12, 1], IMAGE[:, :12, 0])
    assert (rgb[:, 12:] == 255).all()
    palette = Image.fromarray(IMAGE).quantize(16)
    clear = int(np.asarray(palette)[0, 0])
    rgb = load_rgb(saved(tmp_path / "palette.gif", palette, transparency=clear))
    assert (rgb[np.asarray(palette) == clear] == 255).all()


def test_cmyk_keeps_its_colors(tmp_path: Path) -> None:
    uniform = np.full((16, 16, 3), [200, 100, 50], np.uint8)
    path = saved(tmp_path / "print.jpg", Image.fromarray(uniform).convert("CMYK"), quality=100)
    assert np.abs(load_rgb(path).astype(int) - uniform).max() <= 2


def test_icc_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    # The samples of a Lab profile are far from sRGB: taken for RGB they would be nonsense.
    lab = ImageCms.applyTransform(
        Image.fromarray(IMAGE),
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"),
    )
    assert lab is not None
    path = saved(tmp_path / "lab.tiff", lab)
    assert np.abs(load_rgb(path).astype(int) - IMAGE).mean() < 3


def test_wide_gamut_photo_is_converted_to_srgb(data: Data) -> None:
    path = sorted(data("burst/monstree_iphone").glob("*.JPG"))[0]
    with Image.open(path) as image:
        plain = np.rot90(np.asarray(image), -1).astype(int)
    rgb = load_rgb(path)
    assert rgb.shape == (1152, 864, 3)
    difference = np.abs(rgb - plain).mean()
    assert 0.5 < difference < 12  # Display P3: converted, and still the same photo


def test_broken_profile_or_exif_block_is_ignored(tmp_path: Path, data: Data) -> None:
    path = saved(tmp_path / "profile.png", Image.fromarray(IMAGE), icc_profile=b"not a profile")
    np.testing.assert_array_equal(load_rgb(path), IMAGE)
    assert load_rgb(data("broken/found_invalid_exif.jpg")).shape == (200, 200, 3)


def test_floating_point_in_range_is_read_and_beyond_is_refused(tmp_path: Path) -> None:
    samples = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    rgb = load_rgb(saved(tmp_path / "float.tiff", Image.fromarray(samples)))
    np.testing.assert_array_equal(rgb[..., 0].ravel(), np.arange(256))
    with pytest.raises(InputError, match="floating-point samples outside"):
        load_rgb(saved(tmp_path / "hdr.tiff", Image.fromarray(samples * 3)))


# Refusing


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("found_zero_byte.webm", "is empty"),
        ("made_text_named.mp4", "found text"),
        ("made_html_error_page_named.jpg", "HTML page"),
        ("made_huge_header_100000x100000.png", "100000x100000 px is too large"),
        ("found_decompression_bomb.gif", "too large"),
        ("found_truncated.jpg", "damaged or cut off"),
        ("found_truncated.png", "damaged or cut off"),
        ("made_jpeg_cut_at_40pct.jpg", "damaged or cut off"),
        ("made_mp4_cut_at_60pct.mp4", "found a video"),
    ],
)
def test_damaged_image_is_refused_with_a_hint(data: Data, name: str, message: str) -> None:
    path = data(f"broken/{name}")
    with pytest.raises(InputError, match=message) as caught:
        load_rgb(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_missing_folder_pipe_and_strange_paths_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, message in [
        (tmp_path / "none.png", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is a pipe"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path / "a\0b", "is not a path"),
        (tmp_path / ("n" * 300), "cannot be read"),
    ]:
        with pytest.raises(InputError, match=message):
            load_rgb(path)


def test_size_limit_of_the_caller_is_applied(tmp_path: Path) -> None:
    path = saved(tmp_path / "image.png", Image.fromarray(IMAGE))
    assert load_rgb(path, max_px=24 * 16).shape == (16, 24, 3)
    with pytest.raises(InputError, match="24x16 px is too large"):
        load_rgb(path, max_px=24 * 16 - 1)


def test_raw_file_named_tiff_is_not_read_as_its_thumbnail(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0xC612] = b"\x01\x04\x00\x00"  # DNGVersion
    tags.tagtype[0xC612] = 1
    path = saved(tmp_path / "photo.tiff", Image.fromarray(IMAGE), tiffinfo=tags)
    with pytest.raises(InputError, match="DNG raw file"):
        load_rgb(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow on metadata that it skips
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_anywhere_is_an_input_error_or_an_image(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "AVIF"]))
    buffer = io.BytesIO()
    Image.fromarray(IMAGE).save(buffer, format=kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        rgb = load_rgb(path)
    except InputError as error:
        assert error.hint
    else:
        assert rgb.dtype == np.uint8


# Stored frames


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))), st.integers(0, 9))
def test_png_is_exact(rgb: np.ndarray, level: int) -> None:
    decoded = decode_png(encode_png(rgb, level))
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, rgb)


def test_png_of_a_view_and_on_disk(tmp_path: Path) -> None:
    np.testing.assert_array_equal(decode_png(encode_png(IMAGE[::-1, ::2])), IMAGE[::-1, ::2])
    save_png(tmp_path / "image.png", IMAGE)
    np.testing.assert_array_equal(load_rgb(tmp_path / "image.png"), IMAGE)


def test_equal_frames_have_equal_bytes() -> None:
    assert encode_png(IMAGE) == encode_png(IMAGE.copy())


def test_every_flipped_or_missing_byte_of_a_png_is_found() -> None:
    good = encode_png(IMAGE)
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x10
        with pytest.raises(ValueError, match=r"PNG"):
            decode_png(bytes(bad))
    for length in range(len(good)):
        with pytest.raises(ValueError, match=r"PNG|empty"):
            decode_png(good[:length])
    with pytest.raises(ValueError, match="behind the end"):
        decode_png(good + b"\0")


def test_only_complete_8_bit_rgb_is_a_stored_frame() -> None:
    buffer = io.BytesIO()
    Image.fromarray(IMAGE[..., 0]).save(buffer, format="PNG")
    with pytest.raises(ValueError, match="not an 8-bit RGB PNG"):
        decode_png(buffer.getvalue())
    wrongs: list[Any] = [IMAGE[..., 0], IMAGE.astype(np.float32), IMAGE[:0]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="expected uint8"):
            encode_png(wrong)


# Sizes and samples


def test_resize_to_the_same_size_is_the_same_array() -> None:
    assert resize(IMAGE, 24, 16) is IMAGE


def test_shrinking_averages_and_keeps_the_mean() -> None:
    np.testing.assert_array_equal(
        resize(IMAGE, 12, 8), np.rint(IMAGE.reshape(8, 2, 12, 2, 3).mean(axis=(1, 3)) + 1e-6).astype(np.uint8)
    )
    checkers = np.repeat(((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert np.abs(resize(checkers, 23, 17).astype(int) - 127).max() < 40  # no aliasing to black and white


@pytest.mark.parametrize("size", [(48, 32), (24, 40), (50, 8), (7, 33), (1, 1)])
def test_resize_gives_exactly_the_size_and_keeps_a_uniform_color(size: tuple[int, int]) -> None:
    width, height = size
    assert resize(IMAGE, width, height).shape == (height, width, 3)
    uniform = np.full((16, 24, 3), [12, 130, 250], np.uint8)
    assert (resize(uniform, width, height) == [12, 130, 250]).all()


def test_cover_crops_and_contain_letterboxes() -> None:
    wide = texture((40, 10), seed=2)
    np.testing.assert_array_equal(fit(wide, 10, 10, "cover"), wide[:, 15:25])
    framed = fit(wide, 40, 20, "contain")
    np.testing.assert_array_equal(framed[5:15], wide)
    assert not framed[:5].any()
    assert not framed[15:].any()
    assert fit(wide, 40, 10, "cover") is wide


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=80, deadline=None)
def test_fit_gives_exactly_the_size(width: int, height: int, to_width: int, to_height: int) -> None:
    rgb = np.full((height, width, 3), 9, np.uint8)
    assert (fit(rgb, to_width, to_height, "cover") == 9).all()
    for how in ("cover", "contain"):
        assert fit(rgb, to_width, to_height, how).shape == (to_height, to_width, 3)


def test_fit_size_keeps_the_aspect() -> None:
    assert fit_size(1920, 1080) == (1920, 1080)
    assert fit_size(1920, 1080, width=640) == (640, 360)
    assert fit_size(1920, 1080, height=360) == (640, 360)
    assert fit_size(1920, 1080, width=640, height=640) == (640, 360)
    assert fit_size(1080, 1920, width=640, height=640) == (360, 640)
    assert fit_size(451, 300, width=100) == (100, 67)
    assert fit_size(5000, 10, width=100) == (100, 2)
    for wrong in ({"width": 1}, {"height": -3}, {"width": 0}, {"height": 100_000}):
        with pytest.raises(UsageError):
            fit_size(640, 360, **wrong)


def test_tensor_and_back_is_exact() -> None:
    import torch

    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor(every)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, 16, 16)
    assert tensor.is_contiguous()
    assert float(tensor.min()) == 0.0
    assert float(tensor.max()) == 1.0
    np.testing.assert_array_equal(to_uint8(tensor), every)


def test_to_uint8_rounds_to_nearest_and_clamps() -> None:
    import torch

    values = torch.tensor([-0.5, 0.49 / 255, 0.51 / 255, 254.4 / 255, 254.6 / 255, 1.7]).reshape(1, 1, 6)
    assert to_uint8(values.expand(3, 1, 6))[0, :, 0].tolist() == [0, 0, 1, 254, 255, 255]
    assert to_uint8(torch.full((3, 2, 2), 0.5, dtype=torch.bfloat16)).dtype == np.uint8
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not finite"):
            to_uint8(torch.full((3, 2, 2), bad))


def test_images_of_few_colors_are_compressed_by_their_patterns() -> None:
    """Dithered ones are patterns of a few colors, in which no byte is repeated."""
    rows, columns = np.indices((64, 512))
    dithered = np.stack([200 * ((rows * 3 + columns * 5) % 8 > 3)] * 3, axis=-1).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, dithered.shape, np.uint8)
    assert len(encode_png(dithered)) < dithered.size / 50
    assert len(encode_png(noise)) > noise.size
    for image in (dithered, noise, noise[:1, :1], dithered[:, :3]):
        assert np.array_equal(decode_png(encode_png(image)), image)
