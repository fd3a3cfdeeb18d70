"""A chain in another process gives the frames of a render in this one, under the lock of its holder."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipeline
from pipeline.errors import RenderDirectoryError
from pipeline.runtime.progress import SilentReporter
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.chain_job import ChainJob, run_chain
from pipeline.workflows.prepare import prepare
from pipeline.workflows.request import RenderRequest
from tests.support.clips import moving_square, texture, write_video
from tests.support.torture import children

FRAMES = 6
SETTINGS = {
    "optimize.cold.evaluations": 2,
    "optimize.cold.min_scale_px": 32,
    "optimize.precision": "float32",
    "motion.segment_frames": 3,
}


@pytest.fixture
def planned(tmp_path: Path) -> RenderDirectory:
    """A render of a clip in two segments, of which nothing is stored yet."""
    clip = write_video(tmp_path / "clip.mp4", moving_square(FRAMES, size=(48, 32)))
    Image.fromarray(texture((48, 40), 3)).save(tmp_path / "style.png")
    style = pipeline.load_style(tmp_path / "style.png", SETTINGS)
    request = RenderRequest((str(clip),), (style,), output=tmp_path / "out.mp4")
    prepared = prepare(request, SilentReporter())
    return RenderDirectory.create(prepared.path, prepared.plan)


def run_pickled(data: bytes) -> None:
    """In the worker process."""
    run_chain(pickle.loads(data))


@pytest.mark.slow
def test_chains_in_other_processes_give_the_frames_of_a_render(planned: RenderDirectory, tmp_path: Path) -> None:
    keyframes, *segments = planned.plan.chains
    with planned.lock() as lock, children.context().Pool(1) as pool:
        for chain in (keyframes, *segments):
            pool.map(run_pickled, [pickle.dumps(ChainJob(planned.path, chain.id, chain.start, lock.token))])
    stored = {(c.id, i): planned.read_frame(c.id, i) for c in planned.plan.chains for i in c.frames}
    planned.path.rename(tmp_path / "by-workers.render")
    style = pipeline.load_style(tmp_path / "style.png", SETTINGS)
    pipeline.render(tmp_path / "clip.mp4", style, tmp_path / "out.mp4")
    whole = RenderDirectory.open(tmp_path / "out.render")
    assert all(np.array_equal(whole.read_frame(*key), rgb) for key, rgb in stored.items())


def test_chain_without_the_right_to_write_is_refused(planned: RenderDirectory) -> None:
    with planned.lock() as lock:
        token = lock.token
    chain = planned.plan.chains[0]
    with pytest.raises(RenderDirectoryError):
        run_chain(ChainJob(planned.path, chain.id, chain.start, token))
    assert not planned.stored(chain)


def test_another_style_image_on_the_worker_is_refused(planned: RenderDirectory, tmp_path: Path) -> None:
    Image.fromarray(texture((48, 40), 4)).save(tmp_path / "style.png")
    chain = planned.plan.chains[0]
    with planned.lock() as lock, pytest.raises(RenderDirectoryError, match="digest"):
        run_chain(ChainJob(planned.path, chain.id, chain.start, lock.token))
