"""RAFT (Teed and Deng 2020, arXiv:2003.12039), torchvision's definition and weights: a `FlowEstimator`.

No other file of motion imports torchvision, and this one is imported only if a render asks for RAFT.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.encoders.fetch import fetch
from pipeline.encoders.pretrained import read_state, torchvision_module
from pipeline.errors import ConfigError, MissingPartError
from pipeline.runtime.hashing import file_digest
from pipeline.runtime.transfers import download, upload

Name = Literal["raft_small", "raft_large"]

MAX_SIDE_PX = 768
"""Frames longer than this are halved first: RAFT compares every position with every other, 0.2 GB at 768x432."""

STRIDE_PX = 8
MIN_SIDE_PX = 128
"""The coarsest of its four correlation maps is an eighth of an eighth of the frame, and must be two pixels wide."""


ACCELERATOR_PAIRS: Final = 4
"""Pairs of frames in a batch on an accelerator; on the CPU, which gains nothing from batches, there is one."""


@dataclass(eq=False, slots=True)
class _Request:
    """A pair of frames, uint8 (2, H, W, 3), and its flows, float32 (2, H, W, 2), as soon as they are there."""

    frames: NDArray[np.uint8]
    flows: NDArray[np.float32] | None = None


class Raft:
    """A frozen RAFT on a device: called with two frames it returns the flows between them, both ways in one batch.

    May be called from several threads. One at a time uses the network, because that stores its correlations in itself;
    pairs of the same size that wait meanwhile are the next batch, of `max_pairs` at most. `name` and `digest` (SHA-256
    of the weights file) belong to the identity of a render.
    """

    max_side_px = MAX_SIDE_PX

    def __init__(self, name: str, digest: str, network: nn.Module, device: torch.device, *, max_pairs: int = 1) -> None:
        self.name = name
        self.digest = digest
        self._network = network.eval().requires_grad_(False).to(device)
        self._device = device
        self._max_pairs = max_pairs
        # One thread for the network: cuDNN looks for its algorithms anew in every thread, for seconds in all.
        self._worker = None if device.type == "cpu" else ThreadPoolExecutor(1, thread_name_prefix="raft")
        self._network_lock = threading.Lock()
        self._waiting: list[_Request] = []
        self._waiting_lock = threading.Lock()

    def __call__(
        self, previous: NDArray[np.uint8], current: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Backward flow (current to previous) and forward flow, each float32 (H, W, 2) in px.

        The frames are uint8 (H, W, 3) sRGB of one size; edges are repeated up to a size that the network accepts.
        """
        height, width = current.shape[:2]
        missing = [max(MIN_SIDE_PX, -(-side // STRIDE_PX) * STRIDE_PX) - side for side in (height, width)]
        padded = [
            cv2.copyMakeBorder(frame, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
            for frame in (previous, current)
        ]
        backward, forward = self._flows_of(_Request(np.stack(padded)))
        return np.ascontiguousarray(backward[:height, :width]), np.ascontiguousarray(forward[:height, :width])

    def _flows_of(self, request: _Request) -> NDArray[np.float32]:
        """The flows of a request, computed by this thread or, while it waited, by another one."""
        with self._waiting_lock:
            self._waiting.append(request)
        try:
            with self._network_lock:
                if request.flows is None:
                    self._estimate(request)
        finally:
            with self._waiting_lock:
                self._waiting.remove(request)
        assert request.flows is not None
        return request.flows

    def _estimate(self, request: _Request) -> None:
        """Compute a request together with others that wait; with fewer of them if they do not fit into memory."""
        with self._waiting_lock:
            others = [
                other
                for other in self._waiting
                if other is not request and other.flows is None and other.frames.shape == request.frames.shape
            ]
        batch = [request, *others[: self._max_pairs - 1]]
        try:
            frames = [pair.frames for pair in batch]
            found = self._flows(frames) if self._worker is None else self._worker.submit(self._flows, frames).result()
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            self._max_pairs = len(batch) // 2
        else:
            for pair, flows in zip(batch, found, strict=True):
                pair.flows = flows
            return
        self._estimate(request)  # after the exception, which holds the memory of the batch, is gone

    def _flows(self, pairs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Flows (N, 2, H, W, 2) of N pairs of frames, each (2, H, W, 3)."""
        targets = upload(np.concatenate(pairs), self._device).permute(0, 3, 1, 2)
        targets = (targets.float() / 127.5 - 1).contiguous()  # [-1, 1], like torchvision's transforms
        starts = targets.view(len(pairs), 2, *targets.shape[1:]).flip(1).flatten(0, 1)
        with torch.inference_mode():
            flows = self._network(starts, targets)[-1]
        (found,) = download(flows.float().permute(0, 2, 3, 1).contiguous())
        return found.reshape(len(pairs), 2, *found.shape[1:])


def load_raft(
    name: Name = "raft_small",
    *,
    weights: Path | None = None,
    device: torch.device | str = "cpu",
) -> Raft:
    """Load RAFT in float32; its weights come from the file `weights`, else from the cache, else by download.

    Raises MissingPartError if they cannot be downloaded, are damaged, or belong to another network; ConfigError for
    an unknown name.
    """
    if name not in get_args(Name):
        raise ConfigError(f"there is no RAFT {name!r}", hint=f"choose from {', '.join(get_args(Name))}")
    path = fetch(name) if weights is None else weights
    hint = f"`tempera weights fetch {name}` gets torchvision's file; --set motion.method=dis needs none"
    if not path.is_file():
        raise MissingPartError(f"the weights of {name} are not at {path}", hint=hint)
    state = read_state(name, path, hint)
    with torch.device("meta"):
        network: nn.Module = getattr(torchvision_module("models.optical_flow"), name)()
    expected = network.state_dict()
    mismatched = sorted(expected.keys() ^ state.keys()) or [
        key for key, tensor in expected.items() if state[key].shape != tensor.shape
    ]
    if mismatched:
        raise MissingPartError(f"{path} does not hold the weights of {name}: {mismatched[0]} differs", hint=hint)
    network.load_state_dict(state, assign=True)
    device = torch.device(device)
    max_pairs = 1 if device.type == "cpu" else ACCELERATOR_PAIRS
    return Raft(name, file_digest(path), network, device, max_pairs=max_pairs)
