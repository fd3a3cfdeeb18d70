"""The Python API: every kind of image, clips as iterators, renders with callbacks, and the documents' examples."""

from __future__ import annotations

import re
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import pipeline
from pipeline.errors import ConfigError, InputError, Interrupted, RenderDirectoryError, UsageError
from pipeline.media.image.arrays import to_tensor, to_uint8
from pipeline.media.reader.source import probe
from pipeline.store.directory import RenderDirectory
from tests.support.clips import moving_square, texture, write_video

ROOT = Path(__file__).parents[1]
RGB = NDArray[np.uint8]
FRAMES = 4
SETTINGS: dict[str, object] = {
    "optimize.cold.evaluations": 2,
    "optimize.cold.min_scale_px": 32,
    "optimize.precision": "float32",
    "losses.style.layers": {"relu1_1": 64, "relu2_1": 16},
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", moving_square(FRAMES, size=(48, 32)))


@pytest.fixture
def style(tmp_path: Path) -> pipeline.Config:
    Image.fromarray(texture((48, 40), 3)).save(tmp_path / "style.png")
    return pipeline.load_style(tmp_path / "style.png", SETTINGS)


def test_every_public_name_exists_and_others_raise() -> None:
    assert all(getattr(pipeline, name) is not None for name in pipeline.__all__)
    assert set(pipeline.__all__) <= set(dir(pipeline))
    with pytest.raises(AttributeError):
        pipeline.absent  # noqa: B018


def test_stylize_returns_the_kind_that_it_was_given(tmp_path: Path, style: pipeline.Config) -> None:
    rgb = texture((48, 32), 1)
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    array = pipeline.stylize(rgb, style)
    assert array.dtype == np.uint8 and array.shape == rgb.shape and not np.array_equal(array, rgb)
    for image in (str(tmp_path / "photo.png"), tmp_path / "photo.png", Image.fromarray(rgb)):
        stylized = pipeline.stylize(image, style)
        assert isinstance(stylized, Image.Image) and np.array_equal(np.asarray(stylized), array)
    tensor = pipeline.stylize(to_tensor(rgb), style)
    assert tensor.shape == (3, 32, 48) and tensor.dtype == torch.float32
    assert np.array_equal(to_uint8(tensor), array)
    half = pipeline.stylize(to_tensor(rgb).half(), style)
    assert half.dtype == torch.float16


@pytest.mark.parametrize("kind", ["transparent", "turned", "16 bits"])
def test_picture_in_memory_is_taken_as_its_file_is(tmp_path: Path, style: pipeline.Config, kind: str) -> None:
    rgb = texture((48, 32), 1)
    file, exif = tmp_path / "photo.png", Image.Exif()
    if kind == "transparent":
        picture = Image.fromarray(np.dstack([rgb, rgb[..., :1]]))
    elif kind == "turned":
        picture, exif[0x0112] = Image.fromarray(rgb), 6
    else:
        picture = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
    picture.save(file, exif=exif)
    with Image.open(file) as opened:
        found = pipeline.stylize(opened, style)
    assert np.array_equal(np.asarray(found), np.asarray(pipeline.stylize(file, style)))


def test_stylize_computes_with_the_threads_that_are_set(
    style: pipeline.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    for threads in (0, 3):
        pipeline.stylize(texture((48, 32), 1), style, settings={"runtime.threads": threads})
    assert chosen == [3]


def test_batch_of_tensors_is_stylized_image_by_image(style: pipeline.Config) -> None:
    batch = torch.stack([to_tensor(texture((48, 32), seed)) for seed in (1, 2)])
    stylized = pipeline.stylize(batch, style)
    assert stylized.shape == batch.shape
    assert torch.equal(stylized[0], pipeline.stylize(batch[0], style))


def test_stylize_gives_frame_0_of_a_render(clip: Path, style: pipeline.Config) -> None:
    frames = list(pipeline.stylize_clip(clip, style))
    from pipeline.media.reader.source import probe, read_frames

    source = probe([clip], style.input)
    first = next(read_frames(source, settings=style.input)).rgb
    assert np.array_equal(pipeline.stylize(first, style), frames[0])


def test_stylize_resizes_to_the_requested_width(style: pipeline.Config) -> None:
    assert pipeline.stylize(texture((96, 64), 1), style, width_px=48).shape == (32, 48, 3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((32, 48), np.uint8),
        np.zeros((32, 48, 3), np.float32),
        torch.zeros(3, 32, 48, dtype=torch.uint8),
        torch.zeros(1, 32, 48),
        torch.full((3, 32, 48), 255.0),
        torch.linspace(-1, 1, 3 * 32 * 48).reshape(3, 32, 48),
        torch.full((2, 3, 32, 48), torch.nan),
        5,
    ],
    ids=["gray array", "float array", "byte tensor", "one channel", "0 to 255", "-1 to 1", "no numbers", "a number"],
)
def test_value_that_is_no_image_is_refused(image: object, style: pipeline.Config) -> None:
    with pytest.raises(UsageError) as caught:
        pipeline.stylize(image, style)  # type: ignore[call-overload]
    assert caught.value.hint


def test_image_that_is_too_small_or_missing_is_refused(tmp_path: Path, style: pipeline.Config) -> None:
    with pytest.raises(InputError):
        pipeline.stylize(np.zeros((4, 4, 3), np.uint8), style)
    with pytest.raises(InputError):
        pipeline.stylize(tmp_path / "missing.png", style)


def test_place_of_a_video_that_is_not_written_does_not_matter(
    clip: Path, style: pipeline.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"clip-{style.name}.mp4").mkdir()
    assert len(list(pipeline.stylize_clip(clip, style))) == FRAMES


def test_settings_change_the_config_and_are_checked(style: pipeline.Config) -> None:
    assert pipeline.load_style(style, {"seed": 9}).seed == 9
    assert pipeline.load_style("swirl").name == "swirl"
    for wrong in ({"seeed": 1}, {"seed": "many"}):
        with pytest.raises(ConfigError):
            pipeline.load_style(style, wrong)


@pytest.mark.parametrize("values", [(0.0, 255.0), (-2.1, 2.6), (0.0, float("nan"))])
def test_tensor_that_is_no_image_in_0_to_1_is_refused(values: tuple[float, float], style: pipeline.Config) -> None:
    tensor = torch.full((3, 32, 48), values[0])
    tensor[0, 0, 0] = values[1]
    with pytest.raises(UsageError, match="expected 0 to 1"):
        pipeline.stylize(tensor, style)


def test_settings_may_hold_paths_and_numbers_of_numpy(style: pipeline.Config, tmp_path: Path) -> None:
    images = [{"path": Path("style.png"), "weight": np.float32(50)}]
    changed = pipeline.load_style(style, {"style.images": images, "seed": np.int64(7)})
    assert changed.style.images[0].path == tmp_path / "style.png"
    assert (changed.style.images[0].weight, changed.seed) == (50, 7)
    with pytest.raises(ConfigError, match=r"style\.scale: cannot stand in a config"):
        pipeline.load_style(style, {"style.scale": object()})


def test_rate_may_be_a_number(clip: Path, style: pipeline.Config) -> None:
    pipeline.render(clip, style, output="v.mp4", settings={"output.preset": "ultrafast"})
    (faster,) = pipeline.export("v.render", "w.mp4", fps=59.94)
    assert probe([faster], style.input).frame_rate == Fraction(60_000, 1001)
    for wrong in (0, -3, float("nan"), 2000):
        with pytest.raises(UsageError, match="1/3600 to 1000"):
            pipeline.export("v.render", "x.mp4", fps=wrong)


def test_frames_of_a_clip_are_those_that_a_render_stores(clip: Path, tmp_path: Path, style: pipeline.Config) -> None:
    frames = list(pipeline.stylize_clip(clip, style, workdir=tmp_path / "kept.render"))
    pipeline.render(clip, style, tmp_path / "out.mp4")
    for name in ("kept.render", "out.render"):
        directory = RenderDirectory.open(tmp_path / name)
        (chain,) = directory.plan.chains
        stored = [directory.read_frame(chain.id, index) for index in range(FRAMES)]
        assert all(np.array_equal(one, other) for one, other in zip(frames, stored, strict=True))
    assert all(
        np.array_equal(one, other)
        for one, other in zip(frames, pipeline.stylize_clip(clip, style, workdir="kept.render"), strict=True)
    )


def test_closed_iterator_ends_its_thread(clip: Path, style: pipeline.Config) -> None:
    before = threading.active_count()
    frames = pipeline.stylize_clip(clip, style)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_error_is_raised_to_the_caller_that_iterates(clip: Path, style: pipeline.Config) -> None:
    clip.write_bytes(clip.read_bytes()[:500])
    with pytest.raises(InputError):
        next(pipeline.stylize_clip(clip, style))


def test_render_calls_back_for_every_frame_and_continues_after_a_cancellation(
    clip: Path, tmp_path: Path, style: pipeline.Config
) -> None:
    cancellation, seen = pipeline.Cancellation(), list[pipeline.FrameProgress]()

    def stop_after_two(progress: pipeline.FrameProgress) -> None:
        seen.append(progress)
        if progress.done == 2:
            cancellation.request()

    with pytest.raises(Interrupted):
        pipeline.render(clip, style, tmp_path / "out.mp4", progress=stop_after_two, cancellation=cancellation)
    assert [(progress.frame, progress.done, progress.total) for progress in seen] == [(0, 1, FRAMES), (1, 2, FRAMES)]
    assert not (tmp_path / "out.mp4").exists()
    seen.clear()
    assert pipeline.resume(tmp_path / "out.render", progress=seen.append) == [(tmp_path / "out.mp4").resolve()]
    assert [(progress.frame, progress.phase, progress.done) for progress in seen] == [(2, "warm", 3), (3, "warm", 4)]
    assert (tmp_path / "out.mp4").exists()


def test_export_changes_the_output_and_nothing_else(clip: Path, tmp_path: Path, style: pipeline.Config) -> None:
    pipeline.render(clip, style, tmp_path / "out.mp4")
    target = tmp_path / "again.mkv"
    assert pipeline.export("out.render", target, settings={"output.codec": "ffv1"}) == [target]
    with pytest.raises(ConfigError):
        pipeline.export("out.render", target, settings={"seed": 2})
    with pytest.raises(RenderDirectoryError):
        pipeline.resume(tmp_path)


@pytest.mark.slow
def test_examples_of_the_documents_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 8
    Image.fromarray(texture((160, 120), 1)).save(tmp_path / "photo.jpg")
    write_video(tmp_path / "clip.mp4", moving_square(4, size=(96, 64)))
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert "4 of 4 frames" in capsys.readouterr().out
    for made in ("stylized.png", "another-seed.png", "frame-0002.png", "lake.mp4", "lake-grain.mp4"):
        assert (tmp_path / made).is_file()
