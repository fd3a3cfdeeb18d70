"""On an accelerator: transfers lose nothing, and warps and warm starts are those of the CPU."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.media.image.arrays import to_frames, to_tensor
from pipeline.media.image.recolor import color_gaussian
from pipeline.motion.correspondence import find_correspondence
from pipeline.motion.device_warm_start import warm_starter
from pipeline.motion.device_warp import device_warp
from pipeline.motion.warm_start import NextKeyframe, warm_start
from pipeline.motion.warp import warp
from pipeline.runtime.device import ALLOCATOR_SETTINGS, prepare_device
from pipeline.runtime.transfers import download, upload
from pipeline.types import Motion, StyleColors
from tests.support.frames import RGB, blotches

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

CUDA = torch.device("cuda")
HEIGHT, WIDTH = 360, 640


@pytest.fixture(autouse=True)
def _prepared() -> None:
    prepare_device(CUDA)


def a_flow(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.float32]:
    """A slow zoom, out of the frame along its edges, with an area that moves by whole pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    flow = np.stack([0.02 * (x - width / 2) + 0.3, 0.03 * (y - height / 2) - 0.7], axis=2)
    flow[height // 3 : height // 2] = (-3, 2)
    return np.asarray(flow, np.float32)


def test_arrays_return_as_they_were_though_they_are_changed_at_once() -> None:
    arrays = [np.full((64, 1024, 1024), value, np.uint8) for value in (1, 2, 3)]
    tensors = []
    for array in arrays:
        tensors.append(upload(array, CUDA))
        array[:] = 0
    for value, found in enumerate(download(*tensors), start=1):
        assert (found == value).all()


def test_frames_return_as_they_were() -> None:
    frames = np.stack([blotches(HEIGHT, WIDTH, seed) for seed in (1, 2, 3)])
    images = to_tensor(frames, CUDA)
    assert images.device.type == "cuda"
    assert (images.cpu() - to_tensor(frames)).abs().max() < 1e-6
    images[1, 0, 5, 7] = float("nan")
    first, broken, third = to_frames(images)
    assert first is not None and broken is None and third is not None
    np.testing.assert_array_equal(first, frames[0])
    np.testing.assert_array_equal(third, frames[2])


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (16, 7680), (3, 2)])
def test_warp_is_that_of_the_cpu(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).random((*size, 3)).astype(np.float32)
    flow = a_flow(size[1], size[0])
    moved = device_warp(upload(image.transpose(2, 0, 1)[None], CUDA), upload(flow[None], CUDA))
    found, expected = download(moved[0].permute(1, 2, 0))[0], warp(image, flow)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    whole = (flow == np.rint(flow)).all(axis=2)
    np.testing.assert_array_equal(found[whole], expected[whole])


@pytest.mark.parametrize("style_colors", [StyleColors((color_gaussian(blotches(40, 40, 9)),), (1.0,)), None])
def test_warm_start_is_that_of_the_cpu(style_colors: StyleColors | None) -> None:
    content = np.asarray(90 + blotches(HEIGHT, WIDTH, 1, 6) // 5, np.uint8)
    other = np.asarray(content * 0.95, np.uint8)
    other[100:140, 200:300] = 250
    random = np.random.default_rng(2)

    def motion() -> Motion:
        return Motion(0, 1, a_flow(), random.random((HEIGHT, WIDTH)).astype(np.float32))

    stylized: dict[int, RGB] = {index: blotches(HEIGHT, WIDTH, index) for index in (7, 3)}
    correspondences = {index: find_correspondence(other, content, motion()) for index in stylized}
    next_keyframe = NextKeyframe(blotches(HEIGHT, WIDTH, 8), find_correspondence(content, content, motion()), 0.3)
    recent_change = random.random((9, 16)).astype(np.float32)
    here, there = (
        start(
            content,
            stylized,
            correspondences,
            next_keyframe,
            recent_change=recent_change,
            style_colors=style_colors,
        )
        for start in (warm_start, warm_starter(CUDA))
    )
    assert here is not None and there is not None
    for name in ("init", "target", "confidence", "recent_change"):
        found = getattr(there, name)
        assert found.device.type == "cuda", name
        torch.testing.assert_close(found.cpu(), getattr(here, name), rtol=0, atol=1e-4)
    assert there.new_fraction == pytest.approx(here.new_fraction, abs=1e-4)


def test_segments_of_memory_can_grow() -> None:
    """The allocator reads its settings although torch is loaded when they are made."""
    program = (
        "import torch; from pipeline.runtime.device import prepare_device; prepare_device(torch.device('cuda'));"
        "torch.zeros(1, device='cuda'); settings = torch.cuda.memory._snapshot()['allocator_settings'];"
        "print(settings['expandable_segments'])"
    )
    unset = {name: value for name, value in os.environ.items() if name not in ALLOCATOR_SETTINGS}
    done = subprocess.run([sys.executable, "-c", program], env=unset, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]
