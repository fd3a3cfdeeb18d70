"""Registration of frames that have nothing to hold on to."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.analysis.registration import Pyramid, register


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(120, 160), (5, 60)])
def test_black_and_tiny_frames_lie_on_nothing_and_warn_of_nothing(shape: tuple[int, int]) -> None:
    some = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for first, other in ((some, np.zeros_like(some)), (np.zeros_like(some), some)):
        assert register(Pyramid(first), Pyramid(other), "similarity").correlation == -1
