"""LUTs: identity, known answers, and files that are wrong, each with the line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.postprocess.lut import MAX_BYTES, Lut, apply_lut, load_lut

RANDOM = np.random.default_rng(5)
IMAGE = RANDOM.random((25, 31, 3), np.float32)


def colors(size: int, change: object = None) -> str:
    """The lines of a 3D table, red fastest, of a function of a color (none: the identity)."""
    steps = np.linspace(0, 1, size)
    rows = [(r, g, b) for b in steps for g in steps for r in steps]
    changed = [change(row) if callable(change) else row for row in rows]
    return "\n".join(" ".join(f"{value:.9f}" for value in row) for row in changed)


def written(folder: Path, text: str) -> Path:
    path = folder / "film.cube"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("size", [2, 5, 17])
def test_identity_in_3d_is_exact(tmp_path: Path, size: int) -> None:
    lut = load_lut(written(tmp_path, f'# mine\nTITLE "none"\n\nLUT_3D_SIZE {size}\n{colors(size)}\n'))
    grays = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, -1, 1).repeat(3, 2)
    for image in (IMAGE, grays, np.asarray([[[0, 0, 0], [1, 1, 1], [1, 0, 1]]], np.float32)):
        np.testing.assert_allclose(apply_lut(image, lut), image, atol=1e-6)


def test_identity_in_1d_is_exact_and_a_channel_sees_its_own_column(tmp_path: Path) -> None:
    ramp = "\n".join(f"{v} {v * v} {1 - v}" for v in np.linspace(0, 1, 1025))
    lut = load_lut(written(tmp_path, f"LUT_1D_SIZE 1025\n{ramp}"))
    result = apply_lut(IMAGE, lut)
    np.testing.assert_allclose(result[..., 0], IMAGE[..., 0], atol=1e-6)
    np.testing.assert_allclose(result[..., 1], IMAGE[..., 1] ** 2, atol=1e-6)
    np.testing.assert_allclose(result[..., 2], 1 - IMAGE[..., 2], atol=1e-6)


def test_red_is_the_fastest_axis_and_entries_are_hit(tmp_path: Path) -> None:
    lut = load_lut(written(tmp_path, f"LUT_3D_SIZE 3\n{colors(3, lambda c: (c[0] ** 2, c[2], 1 - c[1]))}"))
    nodes = RANDOM.integers(0, 3, (4, 6, 3)) / 2
    wanted = np.stack([nodes[..., 0] ** 2, nodes[..., 2], 1 - nodes[..., 1]], axis=-1)
    np.testing.assert_allclose(apply_lut(nodes.astype(np.float32), lut), wanted, atol=1e-6)


def test_tetrahedra_keep_gray_where_trilinear_interpolation_does_not() -> None:
    """A cube whose corners beside the gray diagonal are wild: only black and white decide about gray."""
    table = RANDOM.random((2, 2, 2, 3), np.float32)
    table[0, 0, 0], table[1, 1, 1] = 0, 1
    lut = Lut(table, np.zeros(3, np.float32), np.ones(3, np.float32))
    gray = np.full((1, 1, 3), 0.3, np.float32)
    np.testing.assert_allclose(apply_lut(gray, lut), gray, atol=1e-6)
    # red > green > blue: black, red, yellow, white, weighted by differences.
    point = np.asarray([[[0.7, 0.5, 0.1]]], np.float32)
    wanted = 0.3 * table[0, 0, 0] + 0.2 * table[0, 0, 1] + 0.4 * table[0, 1, 1] + 0.1 * table[1, 1, 1]
    np.testing.assert_allclose(apply_lut(point, lut)[0, 0], wanted, atol=1e-6)
    # green = red > blue: on a face both tetrahedra agree.
    face = np.asarray([[[0.6, 0.6, 0.2]]], np.float32)
    wanted = 0.4 * table[0, 0, 0] + 0.4 * table[0, 1, 1] + 0.2 * table[1, 1, 1]
    np.testing.assert_allclose(apply_lut(face, lut)[0, 0], wanted, atol=1e-6)


def test_linear_tables_are_the_same_in_all_six_tetrahedra(tmp_path: Path) -> None:
    matrix = RANDOM.random((3, 3))
    lut = load_lut(written(tmp_path, f"LUT_3D_SIZE 4\n{colors(4, lambda c: matrix @ c)}"))
    np.testing.assert_allclose(apply_lut(IMAGE, lut), IMAGE @ matrix.T.astype(np.float32), atol=2e-6)


@pytest.mark.parametrize(
    "head", ["DOMAIN_MIN -1 -1 -1\nDOMAIN_MAX 3 3 3\nLUT_3D_SIZE 2\n", "LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE -1 3\n"]
)
def test_domain_is_where_the_table_begins_and_ends(tmp_path: Path, head: str) -> None:
    lut = load_lut(written(tmp_path, head + colors(2)))
    np.testing.assert_allclose(apply_lut(IMAGE, lut), (IMAGE + 1) / 4, atol=1e-6)
    outside = np.asarray([[[-9, 3, 99]]], np.float32)
    np.testing.assert_allclose(apply_lut(outside, lut), [[[0, 1, 1]]], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found neither"),
        ("0 0 0", "line 1: expected LUT_1D_SIZE"),
        ("LUT_3D_SIZE 2\n0 0", "line 2: expected 3 numbers, found '0 0'"),
        ("LUT_3D_SIZE 2\n\n# x\n0 nan 0", "line 4: expected 3 numbers"),
        ("LUT_3D_SIZE 2\n0 1e999 0", "line 2"),
        ("LUT_3D_SIZE 2\n0 0 0\nDOMAIN_MIN 0 0 0", "line 3: expected three numbers"),
        ("LUT_3D_SIZE 100000", "line 1: expected a size of 2 to 129"),
        ("LUT_3D_SIZE 1", "line 1: expected a size"),
        ("LUT_1D_SIZE -2", "line 1: expected a size"),
        ("LUT_1D_SIZE 99999999999999999999", "line 1: expected a size"),
        ("LUT_1D_SIZE 2\nLUT_3D_SIZE 2", "line 2: expected one table"),
        ("LUT_1D_SIZE 2\nHELLO 3", "line 2: expected a keyword"),
        ("LUT_3D_SIZE 2\n" + "0 0 0\n" * 7, "expected 8 colors, found 7"),
        ("LUT_1D_SIZE 2\n" + "0 0 0\n" * 3, "expected 2 colors, found 3"),
        ("DOMAIN_MAX 0 0 0\nLUT_1D_SIZE 2\n0 0 0\n1 1 1", "DOMAIN_MAX is not above"),
        ("\x89PNG\r\n\x1a\n\0\0", "line 1"),
    ],
)
def test_wrong_files_are_refused_with_the_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "film.cube"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"film\.cube") as caught:
        load_lut(path)
    assert words in caught.value.message and caught.value.hint


def test_files_that_are_missing_too_large_or_no_files_are_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.cube"
    with large.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for path in (tmp_path / "missing.cube", tmp_path, large, Path("a\0b.cube")):
        with pytest.raises(ConfigError) as caught:
            load_lut(path)
        assert caught.value.hint
