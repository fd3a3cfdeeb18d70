"""The benchmark of scaling, with a small size and a short clip: what it measures, keeps and draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scaling import draw, measure_size, put, render_clip, size_of


@pytest.mark.parametrize("megapixels", [0.1, 0.9, 24])
def test_sizes_have_the_megapixels_asked_for_and_even_sides(megapixels: float) -> None:
    height, width = size_of(megapixels)
    assert height % 2 == width % 2 == 0
    assert height * width / 1e6 == pytest.approx(megapixels, rel=0.02)
    assert width / height == pytest.approx(16 / 9, rel=0.02)


def test_a_size_is_measured_per_megapixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling.ROUNDS", 1)
    row = measure_size(0.01, "tiny", "cpu")
    width, height = row["size_px"]
    for name in ("evaluation_s", "warm_frame_s"):
        assert row[f"{name}_per_megapixel"] == pytest.approx(row[name] / (width * height / 1e6), rel=0.1)
    assert row["peak_mb"] >= row["before_mb"] > 0


@pytest.mark.slow
def test_a_clip_is_rendered_and_its_start_told_apart() -> None:
    row = render_clip(3, "tiny", "cpu")
    assert row["s_per_frame_with_start"] == pytest.approx(row["seconds"] / 3, rel=0.01)
    assert 0 < row["s_per_frame"] < row["start_s"] < row["seconds"]
    assert row["peak_mb"] > 0


def test_rows_are_in_order_and_replace_older_ones() -> None:
    rows = [{"frames": 10, "seconds": 1}, {"frames": 100, "seconds": 2}]
    for frames in (30, 100):
        put(rows, "frames", {"frames": frames, "seconds": 3})
    assert [(row["frames"], row["seconds"]) for row in rows] == [(10, 1), (30, 3), (100, 3)]


def test_the_plot_shows_every_row_that_did_not_fail(tmp_path: Path) -> None:
    result: dict[str, list[dict[str, Any]]] = {"sizes": [], "clips": []}
    for megapixels in (0.1, 2.5):
        times = {"evaluation_s_per_megapixel": 1.0, "warm_frame_s_per_megapixel": 3.5}
        result["sizes"].append({"megapixels": megapixels, "peak_mb": 400, **times})
    result["sizes"].append({"megapixels": 24.0, "failed": "exit code -9"})
    result["clips"].append({"frames": 30, "s_per_frame": 0.1, "s_per_frame_with_start": 0.5, "peak_mb": 300})
    plot = tmp_path / "scaling.svg"
    draw(result, plot)
    drawn = plot.read_text(encoding="utf-8")
    assert all(f">{text}<" in drawn for text in ("seconds per megapixel", "peak memory, MB", "0.1", "2.5", "30"))
    assert ">24<" not in drawn
    assert plot.stat().st_size < 60_000
