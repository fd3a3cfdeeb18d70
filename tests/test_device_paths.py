"""The ways of an accelerator, on one that is only pretended: as on the CPU, for a whole batch, without waiting."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import pipeline
from pipeline.config.reading import parse_config
from pipeline.encoders.load import frozen, load_encoder
from pipeline.encoders.network import Encoder
from pipeline.encoders.patches import RegionMaps
from pipeline.encoders.vgg import VggNetwork
from pipeline.execute.batches import BatchTooLargeError, make_sample, stylize_samples
from pipeline.media.image.arrays import to_frames
from pipeline.media.image.recolor import color_gaussian
from pipeline.motion.correspondence import find_correspondence
from pipeline.motion.device_warm_start import warm_starter
from pipeline.motion.raft import Raft
from pipeline.motion.warm_start import NextKeyframe, warm_start
from pipeline.optimize.adam import adam
from pipeline.optimize.graphs import WARM_UPS, Graphs
from pipeline.optimize.guided_moments import GuidedSums
from pipeline.optimize.lbfgs import lbfgs
from pipeline.optimize.minimum import Evaluation
from pipeline.optimize.objective import Objective
from pipeline.runtime.device import constants
from pipeline.runtime.transfers import download, upload
from pipeline.store.directory import RenderDirectory
from pipeline.stylers.neural import NeuralStyler
from pipeline.types import Chain, FrameBatch, FrameTask, Motion, StyleColors, StylizedBatch
from tests.support.clips import moving_square, texture, write_video
from tests.support.frames import blotches, constant_flow
from tests.support.neural import SIZE, cold, contents, style_images
from tests.support.pretended_cuda import CUDA, OnDevice, Pinned, PretendedCuda, pretended_cuda

CPU = torch.device("cpu")
TENSORS = ("content", "init", "warped_previous", "confidence", "recent_change", "regions")
REGIONS = [
    {"mask": {"image": "m"}, "style": {"images": [{"path": "c"}]}, "content_weight": 2},
    {"mask": {"image": "k"}},
]
"""One with a style of its own, and one that keeps the pixels of the content."""
FEW = {"relu1_1": 64, "relu3_1": 16}
"""Style layers where the number of matrices does not matter."""
KINDS: dict[str, dict[str, Any]] = {
    "wasserstein": {},
    "gram": {"losses": {"style": {"loss": "gram"}}},
    "regions": {"regions": REGIONS, "losses": {"style": {"layers": FEW}}},
    "regions, gram": {"regions": REGIONS, "losses": {"style": {"loss": "gram", "layers": FEW}}},
    "adam": {"optimize": {"minimizer": "adam"}, "losses": {"style": {"layers": FEW}}},
}


@pytest.fixture
def cuda() -> Iterator[PretendedCuda]:
    with pretended_cuda() as device:
        yield device


def encoder(name: str, device: torch.device, dtype: torch.dtype) -> Encoder:
    """The encoder that ships, or a VGG-19 of few channels with random weights."""
    if name == "compact":
        return load_encoder("compact", device=device, dtype=dtype)
    torch.manual_seed(0)
    modules: list[nn.Module] = []
    channels = 3
    for block, (width, count) in enumerate(((8, 2), (12, 2), (16, 4), (24, 4), (24, 1))):
        modules += [nn.MaxPool2d(2)] if block else []
        for _ in range(count):
            modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return frozen(name, "", VggNetwork(nn.Sequential(*modules)), device, dtype)


def styler(
    device: torch.device, kind: str = "wasserstein", name: str = "compact", dtype: torch.dtype = torch.float32
) -> NeuralStyler:
    few = {"cold": {"evaluations": 1, "min_scale_px": 33}, "warm": {"evaluations": 3, "min_evaluations": 2}}
    settings = {**KINDS[kind], "optimize": {**few, **KINDS[kind].get("optimize", {})}}
    config = parse_config({"style": {"images": [{"path": "a"}, {"path": "b", "weight": 45}]}, **settings}, where="test")
    images = style_images()
    of_regions = [[images[1]] if region.style else [] for region in config.regions]
    return NeuralStyler(config, images, encoder(name, device, dtype), device=device, region_images=of_regions)


def region_maps(count: int) -> Tensor:
    """Three regions with soft edges, (B, 3, H, W)."""
    columns = torch.linspace(0, 3, SIZE[1]).expand(count, 1, *SIZE)
    edges = (1 - (columns - 1) * 8).clamp(0, 1), ((columns - 2) * 8).clamp(0, 1)
    return torch.cat((edges[0], 1 - edges[0] - edges[1], edges[1]), dim=1)


def warm(count: int, kind: str = "wasserstein") -> FrameBatch:
    content, generator = contents(count), torch.Generator().manual_seed(3)
    previous = content.lerp(content.flip(3), 0.3)
    confidence, change = (torch.rand((count, 1, *SIZE), generator=generator) for _ in range(2))
    seeds = tuple(range(count))
    regions = region_maps(count) if "regions" in kind else None
    return FrameBatch("warm", content, previous, seeds, previous, confidence, recent_change=change, regions=regions)


def there(batch: FrameBatch) -> FrameBatch:
    """The batch on the device."""
    return replace(batch, **{name: it.to(CUDA) for name in TENSORS if (it := getattr(batch, name)) is not None})


def objective_of(own: NeuralStyler, batch: FrameBatch, tile_px: int | None = None) -> tuple[Objective, Tensor]:
    """The objective of a warm batch on the device of the styler, and images to evaluate."""
    batch = batch if own.device == CPU else there(batch)
    found = own._objective(own._contents(batch.content, batch.regions), 1.0, batch)
    assert batch.init is not None
    return replace(found, features=replace(found.features, tile_px=tile_px)), batch.init


@pytest.mark.parametrize(("name", "kind", "dtype", "tile_px"), [
    ("compact", "wasserstein", torch.float32, None),
    ("compact", "gram", torch.bfloat16, None),
    ("compact", "regions", torch.bfloat16, 32),
    ("compact", "regions, gram", torch.float32, None),
    ("vgg19", "wasserstein", torch.bfloat16, None),
    ("vgg19", "regions", torch.float32, 32),
])  # fmt: skip
def test_evaluation_is_that_of_the_cpu_and_leaves_the_host_alone(
    cuda: PretendedCuda, name: str, kind: str, dtype: torch.dtype, tile_px: int | None
) -> None:
    """And a larger batch has no more operators. A single frame has some fewer: it needs no copies for a batch."""
    here, own = (styler(device, kind, name, dtype) for device in (CPU, CUDA))
    objective, images = objective_of(here, warm(2, kind), tile_px)
    expected = objective(images)
    kernels = []
    for count in (2, 1, 8):
        objective, images = objective_of(own, warm(count, kind), tile_px)
        if count == 2:
            terms, gradients = download(*(getattr(objective(images), name) for name in ("terms", "gradients")))
            tolerance = 1e-4 if dtype == torch.float32 else 2e-2
            np.testing.assert_allclose(terms, expected.terms, rtol=tolerance, atol=1e-5)
            difference = torch.from_numpy(gradients) - expected.gradients
            assert difference.norm() < tolerance * expected.gradients.norm()
        with cuda.counting() as traffic:
            objective(images)
        assert not traffic.waits and not traffic.copies
        kernels.append(sum(traffic.kernels.values()))
    two, one, eight = kernels
    assert two == eight and one <= two < 1.03 * one


def test_moments_of_regions_are_not_rounded_to_half_precision(cuda: PretendedCuda) -> None:
    """The covariance of features far from 0 is a small difference of large numbers."""
    generator = torch.Generator().manual_seed(0)
    features = (1.7 + 0.1 * torch.randn(2, 8, 40, 48, generator=generator)).to(torch.bfloat16)
    maps = torch.rand(2, 1, 40, 48, generator=generator)

    def covariance(features: Tensor, maps: Tensor) -> Tensor:
        sums = GuidedSums()
        sums.add(features.contiguous(memory_format=torch.channels_last), RegionMaps.of(maps))
        found = sums.moments()
        return (found.second - found.mean[..., None] * found.mean[..., None, :]).cpu()

    found, expected = covariance(features.to(CUDA), maps.to(CUDA)), covariance(features.float(), maps)
    assert (found - expected).abs().max() < 0.1 * expected.diagonal(dim1=2, dim2=3).mean()


def bowl(images: Tensor) -> Evaluation:
    """An objective of few operators."""
    steepness = torch.linspace(1, 3, images[0].numel(), device=images.device).view_as(images[0])
    losses = (steepness * images.square()).sum(dim=(1, 2, 3))
    return Evaluation(losses, 2 * steepness * images, losses[:, None])


class Rough:
    """The bowl with losses that rise from time to time, every time those of another of the samples."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Tensor) -> Evaluation:
        self.calls += 1
        found = bowl(images)
        risen = torch.arange(len(images), device=images.device) == self.calls // 3
        return replace(found, losses=found.losses * (1 + risen * float(self.calls % 3 == 2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("narrowed", [False, True])
def test_lbfgs_waits_once_per_evaluation(cuda: PretendedCuda, narrowed: bool, dtype: torch.dtype) -> None:
    """Also where some of the samples are rejected, and where others are done and the batch is narrowed."""
    start = contents(4).to(CUDA)
    options: Any = {"evaluations": [14, 5, 14, 9], "history": 4, "history_dtype": dtype}
    function = Rough()
    with cuda.counting() as traffic:
        found = lbfgs(function, start, **options, subset=(lambda _: function) if narrowed else None)
    assert traffic.waits == {"copy to the host": 14} and function.calls == 14
    assert traffic.copies.keys() == {"up, pinned", "down, pageable"}
    assert isinstance(found.images, OnDevice) and not isinstance(found.losses, OnDevice)


def test_operators_of_lbfgs_do_not_depend_on_the_batch(cuda: PretendedCuda) -> None:
    kernels = []
    for count in (1, 8):
        start = contents(count).to(CUDA)
        with cuda.counting() as traffic:
            lbfgs(bowl, start, evaluations=6)
        kernels.append(traffic.kernels)
    assert kernels[0] == kernels[1]


def test_curvature_may_be_kept_on_the_host(cuda: PretendedCuda) -> None:
    start = contents(2).to(CUDA)
    there, here = (lbfgs(bowl, start, evaluations=5, history_device=device) for device in (None, CPU))
    assert torch.allclose(here.losses, there.losses)
    assert torch.allclose(here.images.cpu(), there.images.cpu(), atol=1e-6)


def test_objective_of_some_of_the_frames_is_made_without_waiting(cuda: PretendedCuda) -> None:
    objective, images = objective_of(styler(CUDA, "regions"), warm(3, "regions"))
    with cuda.counting() as traffic:
        some = objective.subset([0, 2])
    assert not traffic.waits and "up, pageable" not in traffic.copies
    found, expected = (it.losses.cpu() for it in (some(images[::2]), objective(images)))
    assert torch.allclose(found, expected[::2], rtol=1e-5)


def test_adam_waits_at_its_end_only(cuda: PretendedCuda) -> None:
    start = contents(2).to(CUDA)
    with cuda.counting() as traffic:
        adam(bowl, start, evaluations=5)
    assert traffic.waits == {"copy to the device": 1, "copy to the host": 2}  # of its decay, losses, and terms


@pytest.mark.parametrize("kind", KINDS)
def test_styler_gives_the_frames_of_the_cpu(cuda: PretendedCuda, kind: str) -> None:
    """Cold and warm; in a warm batch the host waits for evaluations, for colors, and for whether there are changes."""
    here, own = styler(CPU, kind), styler(CUDA, kind)
    for batch in (replace(cold(contents(2), (1, 2)), regions=warm(2, kind).regions), warm(2, kind)):
        expected, given = here.stylize(batch), there(batch)
        if batch.phase == "warm":
            own.stylize(given)  # makes what is kept
        with cuda.counting() as traffic:
            found = own.stylize(given)
        if batch.phase == "warm" and kind != "adam":
            assert "up, pageable" not in traffic.copies
            assert sum(traffic.waits.values()) == found.stats[0].evaluations + 2
        assert isinstance(found.images, OnDevice)
        assert [it.evaluations for it in found.stats] == [it.evaluations for it in expected.stats]
        assert [it.loss for it in found.stats] == pytest.approx([it.loss for it in expected.stats], rel=1e-3)
        assert (found.images.cpu() - expected.images).abs().mean() < 1e-4
        for frame, other in zip(to_frames(found.images), to_frames(expected.images), strict=True):
            assert frame is not None and other is not None and np.abs(frame.astype(int) - other).mean() < 0.1


def test_warm_start_is_that_of_the_cpu_and_waits_once(cuda: PretendedCuda) -> None:
    content = np.asarray(90 + blotches(48, 64, 1, 6) // 5, np.uint8)
    other = np.asarray(content * 0.95, np.uint8)
    other[10:20, 20:40] = 250
    random = np.random.default_rng(2)

    def motion(px: float) -> Motion:
        return Motion(0, 1, constant_flow(px, -px, 48, 64), random.random((48, 64)).astype(np.float32))

    stylized = {index: blotches(48, 64, index) for index in (7, 3)}
    correspondences = {index: find_correspondence(other, content, motion(index / 3)) for index in stylized}
    keyframe = NextKeyframe(blotches(48, 64, 8), find_correspondence(content, content, motion(0.4)), 0.3)
    change = random.random((6, 8)).astype(np.float32)
    maps = np.stack([np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(48, 0)] * 2)
    maps[1] = 1 - maps[0]
    one = StyleColors((color_gaussian(blotches(40, 40, 9)),), (1.0,))
    for colors, regions in ((one, None), (None, None), (replace(one, regions=(one,)), maps)):
        given: Any = {"recent_change": change, "style_colors": colors, "regions": regions}
        expected = warm_start(content, stylized, correspondences, keyframe, **given)
        warm_starter(CUDA)(content, stylized, correspondences, keyframe, **given)  # makes what is kept
        with cuda.counting() as traffic:
            found = warm_starter(CUDA)(content, stylized, correspondences, keyframe, **given)
        assert sum(traffic.waits.values()) == (1 if colors else 2)  # without colors it asks for those of the frame
        assert "up, pageable" not in traffic.copies
        assert found is not None and expected is not None
        for name in ("init", "target", "confidence", "recent_change"):
            assert isinstance(getattr(found, name), OnDevice)
            torch.testing.assert_close(getattr(found, name).cpu(), getattr(expected, name), rtol=0, atol=1e-4)


class Still(nn.Module):
    """Instead of RAFT: no motion; notes the threads that call it."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def forward(self, starts: Tensor, targets: Tensor) -> list[Tensor]:
        self.threads.add(threading.get_ident())
        return [(starts - targets)[:, :2] * 0]


@pytest.mark.usefixtures("cuda")
def test_network_of_the_flow_is_used_by_one_thread() -> None:
    """cuDNN looks for its algorithms anew in every thread."""
    network = Still()
    raft = Raft("raft", "", network, CUDA, max_pairs=2)
    frame = blotches(40, 48, 1)
    with ThreadPoolExecutor(3) as pool:
        for backward, forward in pool.map(raft, [frame] * 6, [frame] * 6):
            assert backward.shape == forward.shape == (40, 48, 2) and not backward.any()
    assert len(network.threads) == 1


def test_arrays_pass_through_pinned_memory(cuda: PretendedCuda) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with cuda.counting() as traffic:
        sent = upload(array.transpose(2, 0, 1), CUDA)
        expected = array.transpose(2, 0, 1).copy()
        array[:] = 0  # at once
        (found,) = download(sent)
    np.testing.assert_array_equal(found, expected)
    assert traffic.copies == {"up, pinned": 1, "down, pinned": 1} and traffic.waits == {"synchronize": 1}


def test_what_the_pretended_device_refuses(cuda: PretendedCuda) -> None:
    """Without this the other tests would show nothing."""
    here, own = torch.ones(3), torch.ones(3, device=CUDA)
    with pytest.raises(RuntimeError, match="same device"):
        own + here
    with pytest.raises(TypeError, match="numpy"):
        own.numpy()
    pinned = torch.ones(3).pin_memory()
    assert isinstance(pinned, Pinned)
    pinned.to(CUDA, non_blocking=True)
    pinned.add_(1)
    with pytest.raises(AssertionError, match="overwritten"):
        torch.cuda.current_stream().synchronize()
    target = torch.empty(3, pin_memory=True)
    target.copy_(own, non_blocking=True)
    assert not torch.equal(target.detach().clone(), here)
    torch.cuda.current_stream().synchronize()
    assert torch.equal(target.detach().clone(), here)


def test_pretended_device_leaves_nothing_behind() -> None:
    with pretended_cuda():
        assert isinstance(constants((1.0, 2.0), torch.device("cuda")), OnDevice)
        assert torch.cuda.is_available()
    assert constants.cache_info().currsize == 0
    assert not isinstance(torch.ones(2).to(CPU), OnDevice)


@pytest.mark.parametrize("kind", ["wasserstein", "regions"])
def test_objective_can_be_replayed_as_a_graph(cuda: PretendedCuda, kind: str) -> None:
    objective, images = objective_of(styler(CUDA, kind, dtype=torch.bfloat16), warm(2, kind))
    replayed = Graphs().of(objective, images)
    assert replayed is not objective
    for others in (images.flip(3), images * 0.5):
        with cuda.counting() as traffic:
            expected = objective(others)
        with cuda.counting() as replaying:
            found = replayed(others)
        assert torch.equal(found.gradients.cpu(), expected.gradients.cpu())
        assert torch.equal(found.terms.cpu(), expected.terms.cpu())
        assert sum(replaying.kernels.values()) == 1 < sum(traffic.kernels.values())  # the copy of the images


def test_waiting_objective_is_not_replayed(cuda: PretendedCuda) -> None:
    calls: list[Tensor] = []

    def waiting(images: Tensor) -> Evaluation:
        calls.append(images.cpu())
        return Evaluation(images.sum(dim=(1, 2, 3)), images, images[:, :1, 0, 0])

    assert Graphs().of(waiting, contents(1).to(CUDA)) is waiting and len(calls) == WARM_UPS


def test_nothing_is_left_of_a_batch_that_did_not_fit(cuda: PretendedCuda) -> None:
    """Before anything looks for cycles: half of the batch is stylized next."""
    own, random = styler(CUDA), np.random.default_rng(0)
    chain = Chain("a", "a", 0, 0, 9, seed=5)
    tasks = [FrameTask(chain, index, random.integers(0, 256, (*SIZE, 3), np.uint8)) for index in range(4)]
    samples = [make_sample(task, CUDA) for task in tasks]

    def stylized(count: int) -> StylizedBatch | None:
        try:
            return stylize_samples(own, samples[:count])
        except BatchTooLargeError:
            return None

    assert stylized(2) is not None
    gc.collect()
    gc.disable()
    try:
        cuda.largest = 3 * 2 * 5 * 128**2  # the matrices of three frames, two style images and five layers
        before = cuda.living_bytes()
        assert stylized(4) is None
        assert cuda.living_bytes() == before
        assert stylized(2) is not None
    finally:
        gc.enable()


def test_render_has_the_frames_of_the_cpu(cuda: PretendedCuda, tmp_path: Path) -> None:
    """From the clip to the video, with threads that make frames ready on the device."""
    Image.fromarray(texture((80, 60), 3)).save(tmp_path / "style.png")
    clip = write_video(tmp_path / "clip.mp4", moving_square(5, size=(48, 32)))
    settings = {
        "encoder": "tiny",
        "optimize.precision": "float32",
        "optimize.cold.evaluations": 1,
        "optimize.warm.evaluations": 2,
        "optimize.cold.min_scale_px": 32,
        "motion.segment_frames": 2,
    }

    def rendered(device: str, batch: int) -> dict[Any, Any]:
        style = pipeline.load_style(
            tmp_path / "style.png", {**settings, "runtime.device": device, "runtime.batch_size": batch}
        )
        pipeline.render(clip, style, tmp_path / f"{device}.mp4")
        directory = RenderDirectory.open(tmp_path / f"{device}.render")
        chains = directory.plan.chains
        return {(it.id, index): directory.read_frame(it.id, index) for it in chains for index in it.frames}

    expected = rendered("cpu", 1)
    found = rendered("cuda", 4)
    assert found.keys() == expected.keys()
    for key, frame in expected.items():
        assert np.abs(frame.astype(int) - found[key]).mean() < 1, key
