"""Arrays to a device and back, whole batches of frames at a time."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.media.image.arrays import to_frames, to_tensor, to_uint8
from pipeline.runtime.transfers import download, take, upload

CPU = torch.device("cpu")
RGB = NDArray[np.uint8]


def frames(count: int, height: int = 4, width: int = 6) -> RGB:
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of CUDA may be called for the CPU."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("called for the CPU")

    monkeypatch.setattr(torch.Tensor, "pin_memory", refused)
    monkeypatch.setattr(torch.cuda, "current_stream", refused)


def test_arrays_of_any_layout_arrive_as_they_are() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    fixed = array.copy()
    fixed.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in (array, array.transpose(2, 0, 1), array[:, ::2], fixed):
            np.testing.assert_array_equal(upload(each, CPU).numpy(), each)


def test_entries_are_taken_in_the_order_of_their_positions() -> None:
    tensor = torch.arange(12).view(4, 3)
    for positions in ([2, 0], np.array([2, 0])):
        assert torch.equal(take(tensor, positions), tensor[[2, 0]])
    assert take(tensor, []).shape == (0, 3)


def test_tensors_return_together() -> None:
    images, flags = torch.rand(2, 3, requires_grad=True), torch.tensor([True, False])
    found = download(images, flags)
    np.testing.assert_array_equal(found[0], images.detach().numpy())
    np.testing.assert_array_equal(found[1], [True, False])


def test_batch_of_frames_is_its_frames_one_by_one() -> None:
    batch = frames(3)
    tensor = to_tensor(batch)
    assert tensor.shape == (3, 3, 4, 6)
    assert tensor.is_contiguous()
    for image, rgb in zip(tensor, batch, strict=True):
        assert torch.equal(image, to_tensor(rgb))
    for returned, rgb in zip(to_frames(tensor), batch, strict=True):
        assert returned is not None
        np.testing.assert_array_equal(returned, rgb)


def test_frame_that_is_not_finite_does_not_spoil_its_batch() -> None:
    images = to_tensor(frames(4))
    images[1, 0, 2, 3] = float("nan")
    images[3, 2, 0, 0] = float("inf")
    assert [frame is None for frame in to_frames(images)] == [False, True, False, True]
    with pytest.raises(ValueError, match="not finite"):
        to_uint8(images[1])
