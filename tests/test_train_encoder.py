"""The trainer of the bundled encoder, with small made teachers and a few tiny images."""

from __future__ import annotations

import json
from pathlib import Path

import distill_data
import distill_teacher
import numpy as np
import pytest
import torch
import train_encoder
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from pipeline.encoders.compact import PUBLIC_LAYERS, CompactNetwork, load_compact
from pipeline.encoders.load import load_encoder

COMPRESSED_WIDTHS = (4, 4, 6, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8)
VGG_WIDTHS = (8, 8, 8, 8, 12, 12, 12, 12, 12, 12, 12, 12, 12)


def made_teacher(path: Path, kind: str) -> Path:
    """A network with the names of the compressed VGG-19 or of torchvision's, few channels and random weights."""
    generator = torch.Generator().manual_seed(5)
    state: dict[str, Tensor] = {}
    channels = 3
    for position, (stage, index) in enumerate(distill_teacher.CONVOLUTIONS):
        width = (COMPRESSED_WIDTHS if kind == "compressed" else VGG_WIDTHS)[position]
        layer = distill_teacher.TORCHVISION_INDICES[position]
        name = f"conv{stage + 1}{index + 1}" if kind == "compressed" else f"features.{layer}"
        state[f"{name}.weight"] = torch.randn((width, channels, 3, 3), generator=generator) * (2 / channels / 9) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(width, generator=generator)
        channels = width
    # One channel of relu2_1 never fires.
    state["conv21.bias" if kind == "compressed" else "features.5.bias"][2] = -1e4
    if kind == "compressed":
        state["conv0.weight"] = 255 * torch.eye(3).flip(0)[:, :, None, None] / 64
        state["conv0.bias"] = torch.tensor([-104.0, -117.0, -123.0]) / 64
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two photos and two paintings, all of noise, and both teachers."""
    root = tmp_path_factory.mktemp("distill")
    generator = np.random.default_rng(0)
    for kind in ("photos", "paintings"):
        (root / kind).mkdir()
        for number in range(2):
            rgb = generator.integers(0, 256, (40, 56, 3), dtype=np.uint8)
            Image.fromarray(rgb).resize((112, 80)).save(root / kind / f"{kind}{number}.png")
    made_teacher(root / "compressed.safetensors", "compressed")
    made_teacher(root / "vgg19.pth", "torchvision")
    return root


def arguments(folder: Path, out: Path, *more: str, teacher: str = "compressed.safetensors") -> list[str]:
    text = (
        f"--teacher {folder / teacher} --photos {folder / 'photos'} --styles {folder / 'paintings'} --out {out} "
        "--steps 4 --batch 1 --crop 48 --iterate-side 48 --iterate-every 2 --statistics-batches 2 --evaluate-every 2 "
        "--checkpoint-every 1"
    )
    return [*text.split(), *more]


def test_pruned_student_equals_its_teacher_away_from_borders(folder: Path) -> None:
    teacher = distill_teacher.load_teacher(folder / "compressed.safetensors")
    images = torch.rand((1, 3, 256, 256), generator=torch.Generator().manual_seed(1))
    statistics = distill_teacher.measure(teacher, [images])
    kept = distill_teacher.choose_channels(statistics, {"relu4_2": 5})
    assert len(kept["relu2_1"]) == 5
    assert 2 not in kept["relu2_1"].tolist()
    assert len(kept["relu4_2"]) == 5
    kept = distill_teacher.choose_channels(statistics, {})
    student = CompactNetwork(distill_teacher.architecture_for(kept, ["max"] * 4)).eval()
    distill_teacher.inherit(student, teacher, kept)
    expected = teacher(images, PUBLIC_LAYERS)
    with torch.no_grad():
        found = student(images, PUBLIC_LAYERS)
    for layer in PUBLIC_LAYERS:
        margin = 7 if layer == "relu5_1" else 10
        middle = (..., slice(margin, -margin), slice(margin, -margin))
        reference = torch.relu(expected[layer])[:, kept[layer]][middle]
        assert torch.allclose(found[layer][middle], reference, rtol=1e-3, atol=1e-3), layer


def test_resumed_training_equals_an_uninterrupted_one(folder: Path, tmp_path: Path) -> None:
    whole = train_encoder.train(train_encoder.parse_arguments(arguments(folder, tmp_path / "whole")))
    broken = arguments(folder, tmp_path / "broken")
    train_encoder.train(train_encoder.parse_arguments([*broken, "--stop-at", "3"]))
    resumed = train_encoder.train(train_encoder.parse_arguments(broken))
    assert resumed.read_bytes() == whole.read_bytes()
    logged = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [2, 4]
    assert set(logged[-1]["errors"]) == set(PUBLIC_LAYERS)


def test_other_settings_on_the_same_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    run = arguments(folder, tmp_path, "--stop-at", "1", "--iterate-fraction", "0")
    train_encoder.train(train_encoder.parse_arguments(run))
    with pytest.raises(SystemExit, match="other settings"):
        train_encoder.train(train_encoder.parse_arguments([*run, "--seed", "1"]))


def test_result_loads_as_an_encoder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smooth = ("--reductions", "average,average,average,max", "--init", "random")
    train_encoder.main(arguments(folder, tmp_path, "--steps", "1", *smooth))
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    encoder = load_encoder("compact", weights=line["weights"])
    assert encoder.layers == PUBLIC_LAYERS
    assert encoder.digest == line["sha256"]
    features = encoder(torch.rand(1, 3, 33, 47), PUBLIC_LAYERS)
    assert features["relu1_2"].shape[2:] == (33, 47)
    assert features["relu5_1"].shape[2:] == (2, 2)


def test_unknown_reductions_are_refused(folder: Path, tmp_path: Path) -> None:
    for wrong in ("max,max", "max,max,max,nearest"):
        with pytest.raises(SystemExit, match="--reductions"):
            train_encoder.main(arguments(folder, tmp_path, "--steps", "1", "--reductions", wrong))


def test_torchvision_teacher_is_normalized_and_pruned(folder: Path, tmp_path: Path) -> None:
    teacher = distill_teacher.load_teacher(folder / "vgg19.pth")
    state = torch.load(folder / "vgg19.pth", weights_only=True)
    images = torch.rand((1, 3, 20, 20), generator=torch.Generator().manual_seed(1))
    mean, deviation = (torch.tensor(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    expected = torch.conv2d(
        (images - mean) / deviation, state["features.0.weight"], state["features.0.bias"], padding=1
    )
    assert torch.allclose(teacher(images, ["relu1_1"])["relu1_1"], expected, atol=1e-4)
    more = ("--steps", "1", "--width", "relu3_1=7", "--precision", "float32")
    options = train_encoder.parse_arguments(arguments(folder, tmp_path, *more, teacher="vgg19.pth"))
    student = load_compact(train_encoder.train(options))
    assert student.architecture.widths[2][0] == 7


def test_unknown_teacher_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="neither"):
        distill_teacher.load_teacher(tmp_path / "other.safetensors")


def test_perfect_student_has_no_error() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((4, 3, 8, 8), generator=generator)
    statistics = distill_teacher.Statistics(features.mean((0, 2, 3)), features.std((0, 2, 3)), torch.full((3,), 0.5))
    assert all(float(error) == 0 for error in train_encoder.layer_errors(features, features, statistics).values())
    worse = train_encoder.layer_errors(features + 0.1, features, statistics)
    assert float(worse["before"]) > 0
    assert float(worse["step"]) == pytest.approx(0, abs=1e-9)


def test_batches_are_in_range_and_depend_only_on_the_seed(folder: Path) -> None:
    images = distill_data.read_images([folder / "photos"], ["*1.png"], 64, is_style=False)
    assert [image.name for image in images] == ["photos0.png"]
    assert max(images[0].rgb.shape) == 64
    source = distill_data.Source(images, distill_data.Iterates(images, 48, 4), 0.5)
    first, second = (source.batch(torch.Generator().manual_seed(3), 6, 32) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (12, 3, 32, 32)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
