"""RAFT (Teed and Deng 2020, arXiv:2003.12039), torchvision's definition and weights, in place of the search.

torch and torchvision are imported only by this file, which is imported only where a render asks for RAFT.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.encoders.fetch import Progress, fetch
from pipeline.encoders.pretrained import read_state, torchvision_module
from pipeline.errors import ConfigError, MissingPartError
from pipeline.runtime.hashing import file_digest

Name = Literal["raft_small", "raft_large"]

MAX_SIDE_PX = 768
"""Frames longer than this are halved first: RAFT compares every place with every other, 0.2 GB at 768x432."""

STRIDE_PX = 8
SMALLEST_SIDE_PX = 128
"""The coarsest of its four correlation maps is an eighth of an eighth of the picture, and must be two places wide."""


class Raft:
    """A frozen RAFT on a device: called with two frames it returns the flows between them, both ways in one batch.

    May be called from several threads; one runs at a time, because the network keeps its correlations in itself.
    `name` and `digest` (SHA-256 of the weights file) belong to what a render is identified by.
    """

    max_side_px = MAX_SIDE_PX

    def __init__(self, name: str, digest: str, network: nn.Module, device: torch.device) -> None:
        self.name = name
        self.digest = digest
        self._network = network.eval().requires_grad_(False).to(device)
        self._device = device
        self._turn = threading.Lock()

    def __call__(
        self, previous: NDArray[np.uint8], current: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Backward flow (current to previous) and forward flow, each float32 (H, W, 2) in px.

        The frames are uint8 (H, W, 3) sRGB of one size; edges are repeated up to a size that the network takes.
        """
        height, width = current.shape[:2]
        missing = [max(SMALLEST_SIDE_PX, -(-side // STRIDE_PX) * STRIDE_PX) - side for side in (height, width)]
        padded = [
            cv2.copyMakeBorder(frame, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
            for frame in (previous, current)
        ]
        images = torch.from_numpy(np.stack(padded)).to(self._device).permute(0, 3, 1, 2)
        images = (images.float() / 127.5 - 1).contiguous()  # what torchvision's transforms make: [-1, 1]
        with self._turn, torch.inference_mode():
            flows = self._network(images.flip(0), images)[-1]
        found = flows[..., :height, :width].permute(0, 2, 3, 1).float().cpu().numpy()
        return np.ascontiguousarray(found[0]), np.ascontiguousarray(found[1])


def load_raft(
    name: Name = "raft_small",
    *,
    weights: Path | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Raft:
    """Load RAFT in float32; its weights are downloaded when they are not at hand, or taken from the file `weights`.

    Raises MissingPartError if they cannot be had, are damaged, or belong to another network; ConfigError for an
    unknown name.
    """
    if name not in get_args(Name):
        raise ConfigError(f"there is no RAFT {name!r}", hint=f"choose from {', '.join(get_args(Name))}")
    path = fetch(name, progress=progress) if weights is None else weights
    hint = f"`tempera weights fetch {name}` gets torchvision's file; --set motion.method=dis needs none"
    if not path.is_file():
        raise MissingPartError(f"the weights of {name} are not at {path}", hint=hint)
    state = read_state(name, path, hint)
    with torch.device("meta"):
        network: nn.Module = getattr(torchvision_module("models.optical_flow"), name)()
    expected = network.state_dict()
    strangers = sorted(expected.keys() ^ state.keys()) or [
        key for key, tensor in expected.items() if state[key].shape != tensor.shape
    ]
    if strangers:
        raise MissingPartError(f"{path} does not hold the weights of {name}: {strangers[0]} differs", hint=hint)
    network.load_state_dict(state, assign=True)
    return Raft(name, file_digest(path), network, torch.device(device))
