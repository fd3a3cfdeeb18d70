"""Motion: known shifts, what must not be trusted, a warp that neither blurs nor rings, published pairs of frames."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.encoders.pretrained import torchvision_module
from pipeline.encoders.registry import FLOW_NETWORKS
from pipeline.errors import ConfigError, MissingPartError
from pipeline.motion.consistency import at_boundary, consistent, flow_confidence, inside
from pipeline.motion.estimate import Preset, estimate_motion
from pipeline.motion.raft import Raft, load_raft
from pipeline.motion.static import DRIFT_PX, is_static
from pipeline.motion.warp import warp
from pipeline.types import Motion

Array = NDArray[Any]
Data = Callable[[str], Path]

HEIGHT, WIDTH = 96, 128


def nothing_moves(motion: Motion) -> bool:
    """Whether nothing moves: 95 percent of the trusted pixels by less than a quarter of a pixel, and not all one way.

    False where less than half of the picture can be trusted: a cut is not a tripod shot.
    """
    trusted = motion.confidence > 0.5
    if trusted.mean() < 0.5:
        return False
    u, v = motion.backward_flow[trusted].T
    return bool(np.percentile(np.hypot(u, v), 95) < 0.25 and np.hypot(np.median(u), np.median(v)) < DRIFT_PX)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def texture(height: int, width: int, seed: int, blur_px: float = 1.5) -> NDArray[np.uint8]:
    """Blotches a few pixels wide, uint8 (H, W, 3)."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    blurred = cv2.GaussianBlur(noise, (0, 0), blur_px)
    return np.asarray((128 + 50 * blurred / blurred.std()).clip(0, 255), np.uint8)


def noisy(picture: Array, levels: float, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, levels, picture.shape)
    return np.asarray(np.rint(picture + noise).clip(0, 255), np.uint8)


def constant_flow(u: float, v: float, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    return np.broadcast_to(np.array([u, v], np.float32), (height, width, 2)).copy()


def motion_of(previous: Array, current: Array, **settings_: Any) -> Motion:
    return estimate_motion(previous, current, from_index=3, to_index=4, **settings_)


def read_flo(path: Path) -> NDArray[np.float32]:
    """A flow in the Middlebury format: the tag 202021.25, int32 width and height, float32 (H, W, 2)."""
    raw = path.read_bytes()
    assert np.frombuffer(raw, "<f4", 1)[0] == np.float32(202021.25)
    width, height = np.frombuffer(raw, "<i4", 2, offset=4)
    return np.frombuffer(raw, "<f4", 2 * width * height, offset=12).reshape(height, width, 2).astype(np.float32)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture[..., ::-1], np.uint8)


def end_point_error(flow: Array, truth: Array) -> NDArray[np.float64]:
    return np.asarray(np.hypot(flow[..., 0] - truth[..., 0], flow[..., 1] - truth[..., 1]), np.float64)


# --- estimating ---


def test_motion_has_the_shapes_and_types_of_its_contract() -> None:
    motion = motion_of(texture(HEIGHT, WIDTH, 1), texture(HEIGHT, WIDTH, 2))
    assert (motion.from_index, motion.to_index) == (3, 4)
    assert motion.backward_flow.shape == (HEIGHT, WIDTH, 2)
    assert motion.confidence.shape == (HEIGHT, WIDTH)
    assert motion.backward_flow.dtype == motion.confidence.dtype == np.float32
    assert motion.confidence.min() >= 0
    assert motion.confidence.max() <= 1


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_shift_of_the_whole_frame_is_found(preset: str) -> None:
    scene = texture(HEIGHT + 40, WIDTH + 40, 1)
    # The scene moves 5 px right and 3 px up, so a pixel's paint was 5 px further left and 3 px lower.
    previous, current = scene[20:-20, 20:-20], scene[23:-17, 15:-25]
    motion = motion_of(previous, current, preset=preset)
    error = end_point_error(motion.backward_flow, constant_flow(-5, 3))[16:-16, 16:-16]
    assert np.median(error) < (0.05 if preset == "medium" else 0.5)
    assert motion.confidence[16:-16, 16:-16].mean() > (0.95 if preset == "medium" else 0.7)
    # What came in over the left and lower edges was not there before.
    assert motion.confidence[:, :4].max() == 0
    assert motion.confidence[-2:].max() == 0


def moved_square() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """Two frames in which a square of 40 px moves 8 px right; where it is now, and what it has uncovered."""
    background, square = texture(HEIGHT, WIDTH, 3), texture(40, 40, 4)
    frames = []
    for left in (40, 48):
        frame = background.copy()
        frame[28:68, left : left + 40] = square
        frames.append(frame)
    covered, uncovered = np.zeros((2, HEIGHT, WIDTH), np.bool_)
    covered[28:68, 48:88] = True
    uncovered[28:68, 40:48] = True
    return frames[0], frames[1], covered, uncovered


def test_moving_square_takes_its_paint_along_and_what_it_uncovers_is_not_trusted() -> None:
    previous, current, covered, uncovered = moved_square()
    motion = motion_of(previous, current)
    middle = cv2.erode(covered.astype(np.uint8), np.ones((13, 13))) > 0
    error = end_point_error(motion.backward_flow, constant_flow(-8, 0))
    assert np.median(error[middle]) < 0.1
    assert np.percentile(error[middle], 95) < 0.5
    assert motion.confidence[middle].mean() > 0.95
    assert motion.confidence[uncovered].mean() < 0.1
    far = ~(cv2.dilate((covered | uncovered).astype(np.uint8), np.ones((25, 25))) > 0)
    assert np.abs(motion.backward_flow[far]).max() < 0.5
    assert motion.confidence[far].mean() > 0.98
    moved = warp(previous, motion.backward_flow)
    assert np.abs(moved[middle].astype(int) - current[middle]).mean() < 3


def test_uncovered_and_outside_are_exactly_zero_for_exact_flow() -> None:
    _, _, covered, uncovered = moved_square()
    backward, forward = constant_flow(0, 0), constant_flow(0, 0)
    backward[covered] = -8, 0
    forward[np.roll(covered, -8, axis=1)] = 8, 0
    trust = flow_confidence(backward, forward)
    assert trust[uncovered].max() == 0
    changed = (covered | uncovered).astype(np.uint8)
    edges = cv2.dilate(changed, np.ones((9, 9))) != cv2.erode(changed, np.ones((9, 9)))
    edges |= cv2.dilate(uncovered.astype(np.uint8), np.ones((9, 9))) > 0
    assert trust[~edges].min() == 1

    leaving = flow_confidence(constant_flow(-6.5, 0), constant_flow(6.5, 0))
    assert leaving[:, :7].max() == 0
    assert leaving[:, 12:].min() == 1


@pytest.mark.parametrize("size", [(192, 256), (191, 255), (193, 258)])
def test_flow_of_halved_frames_is_in_pixels_of_the_frame(size: tuple[int, int]) -> None:
    height, width = size
    scene = texture(height + 40, width + 40, 5, blur_px=3)
    previous, current = scene[20:-20, 20:-20], scene[12:-28, 26:-14]
    motion = motion_of(previous, current, max_side_px=200)
    assert motion.backward_flow.shape == (height, width, 2)
    inner = motion.backward_flow[20:-20, 20:-20]
    assert np.median(inner[..., 0]) == pytest.approx(6, abs=0.15)
    assert np.median(inner[..., 1]) == pytest.approx(-8, abs=0.15)


def test_motion_does_not_depend_on_the_number_of_threads() -> None:
    previous, current, _, _ = moved_square()
    alone = motion_of(previous, current)
    for threads in (2, 3, 8):
        cv2.setNumThreads(threads)
        crowd = motion_of(previous, current)
        np.testing.assert_array_equal(alone.backward_flow, crowd.backward_flow)
        np.testing.assert_array_equal(alone.confidence, crowd.confidence)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (11, 11), (3, 64), (64, 3)])
def test_tiny_frames_are_no_special_case(size: tuple[int, int]) -> None:
    picture = texture(*size, 6)
    motion = motion_of(picture, picture)
    assert motion.confidence.shape == size
    np.testing.assert_array_equal(warp(picture, motion.backward_flow), picture)


def test_frames_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        motion_of(texture(20, 20, 1), texture(20, 21, 1))
    with pytest.raises(ValueError, match="preset"):
        motion_of(texture(20, 20, 1), texture(20, 20, 1), preset="slow")
    with pytest.raises(ValueError, match="belong together"):
        warp(texture(20, 20, 1), constant_flow(0, 0))
    with pytest.raises(ValueError, match="two flows"):
        flow_confidence(constant_flow(0, 0), constant_flow(0, 0, 20, 20))


# --- tripod shots ---


def test_same_frame_twice_does_not_move_and_is_trusted_everywhere() -> None:
    picture = texture(HEIGHT, WIDTH, 7)
    motion = motion_of(picture, picture)
    assert not motion.backward_flow.any()
    assert motion.confidence.min() == 1
    assert nothing_moves(motion)
    np.testing.assert_array_equal(warp(picture, motion.backward_flow), picture)


def half_flat() -> NDArray[np.uint8]:
    """A textured ground under a flat sky, where an estimator follows the noise."""
    picture = texture(240, 320, 8)
    picture[:120] = 180
    return picture


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_camera_noise_is_not_motion(levels: float) -> None:
    motion = motion_of(noisy(half_flat(), levels, 1), noisy(half_flat(), levels, 2))
    assert nothing_moves(motion)
    assert (motion.backward_flow == 0).all(axis=2).mean() > 0.95


def test_clouds_move_over_a_resting_ground() -> None:
    """Faint ones: a pixel changes by one level per frame."""
    blotches = cv2.GaussianBlur(np.random.default_rng(1).normal(size=(80, 360)), (0, 0), 8)
    frames = []
    for step in (0, 1):
        frame = texture(240, 320, 8).astype(np.float64)
        frame[:80] = (180 + 8 * blotches / blotches.std())[:, 20 - step : 340 - step, None]
        frames.append(noisy(frame, 1, step))
    motion = motion_of(*frames)
    assert not nothing_moves(motion)
    sky = motion.backward_flow[10:70, 10:-10]
    assert (sky != 0).any(axis=2).mean() > 0.9
    assert np.median(sky[..., 0]) == pytest.approx(-1, abs=0.15)
    assert not motion.backward_flow[130:].any()


def test_slow_pan_is_motion() -> None:
    picture = half_flat()
    shifted = warp(picture, constant_flow(-0.2, 0, 240, 320))
    motion = motion_of(noisy(picture, 1, 1), noisy(shifted, 1, 2))
    assert not nothing_moves(motion)
    assert np.median(motion.backward_flow[130:-10, 10:-10, 0]) == pytest.approx(-0.2, abs=0.08)


def test_object_moving_before_a_resting_camera_is_not_static() -> None:
    previous, current, covered, _ = moved_square()
    motion = motion_of(noisy(previous, 1, 1), noisy(current, 1, 2))
    assert not nothing_moves(motion)
    assert np.median(motion.backward_flow[covered][:, 0]) == pytest.approx(-8, abs=0.2)
    assert (motion.backward_flow[:16] == 0).mean() > 0.8


def test_cut_is_not_static() -> None:
    assert not nothing_moves(motion_of(texture(HEIGHT, WIDTH, 9), texture(HEIGHT, WIDTH, 10)))


# --- a network in place of the search ---


class StubNetwork(torch.nn.Module):
    """Knows that the scene moves by (6, -2) px from the frame `later` comes after; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, start: torch.Tensor, goal: torch.Tensor) -> list[torch.Tensor]:
        self.asked.append((start, goal))
        flow = torch.tensor([[-6.0, 2.0], [6.0, -2.0]])[:, :, None, None]
        return [torch.zeros(1), flow.expand(2, 2, *start.shape[2:])]


def stubbed(network: StubNetwork) -> Raft:
    return Raft("raft_small", "0" * 64, network, torch.device("cpu"))


@pytest.mark.parametrize("size", [(130, 200), (5, 7), (144, 160)])
def test_network_gets_padded_normalized_frames_in_the_right_order(size: tuple[int, int]) -> None:
    height, width = size
    previous, current = texture(height, width, 1), texture(height, width, 2)
    network = StubNetwork()
    backward, forward = stubbed(network)(previous, current)
    ((start, goal),) = network.asked
    assert start.shape == goal.shape
    assert start.dtype == torch.float32
    assert all(side % 8 == 0 and side >= 128 for side in start.shape[2:])
    # The first of the batch leads from the current frame back to the previous one.
    for images, frames in ((start, (current, previous)), (goal, (previous, current))):
        for image, frame in zip(images, frames, strict=True):
            seen = image.permute(1, 2, 0)[:height, :width].numpy()
            np.testing.assert_allclose(seen, frame / 127.5 - 1, atol=1e-6)
            assert torch.equal(image[:, -1, -1], image[:, height - 1, width - 1])
    assert backward.dtype == forward.dtype == np.float32
    np.testing.assert_array_equal(backward, constant_flow(-6, 2, height, width))
    np.testing.assert_array_equal(forward, -backward)


def test_flow_of_a_network_is_judged_like_any_other() -> None:
    motion = motion_of(texture(130, 200, 1), texture(130, 200, 2), network=stubbed(StubNetwork()))
    np.testing.assert_array_equal(motion.backward_flow, constant_flow(-6, 2, 130, 200))
    assert motion.confidence[4:-8, 12:-4].min() == 1
    assert motion.confidence[:, :6].max() == 0


def test_network_sees_large_frames_at_half_size() -> None:
    network = StubNetwork()
    motion = motion_of(texture(300, 800, 1), texture(300, 800, 2), network=stubbed(network))
    assert network.asked[0][0].shape == (2, 3, 152, 400)
    np.testing.assert_array_equal(motion.backward_flow, constant_flow(-12, 4, 300, 800))


@pytest.fixture(scope="module", params=["raft_small", "raft_large"])
def raft_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the name that torchvision's have."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / FLOW_NETWORKS[request.param].file_name
    torch.save(getattr(torchvision_module("models.optical_flow"), request.param)().state_dict(), path)
    return path


def test_raft_from_the_cache(raft_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(raft_file.parent))
    name: Any = raft_file.name[:10]
    raft = load_raft(name)
    assert (raft.name, raft.digest) == (name, hashlib.sha256(raft_file.read_bytes()).hexdigest())
    previous, current = texture(61, 139, 1), texture(61, 139, 2)
    motion = motion_of(previous, current, network=raft)
    assert motion.backward_flow.shape == (61, 139, 2)
    assert np.isfinite(motion.backward_flow).all()
    np.testing.assert_array_equal(motion.backward_flow, motion_of(previous, current, network=raft).backward_flow)
    # Both ways are one network's: swapped frames swap the flows.
    backward, forward = raft(previous, current)
    swapped = raft(current, previous)
    np.testing.assert_allclose(backward, swapped[1], atol=1e-3)
    np.testing.assert_allclose(forward, swapped[0], atol=1e-3)
    other: Any = {"raft_small": "raft_large", "raft_large": "raft_small"}[name]
    with pytest.raises(MissingPartError, match=f"does not hold the weights of {other}") as caught:
        load_raft(other, weights=raft_file)
    assert "motion.method=dis" in caught.value.hint


def test_raft_without_weights_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(tmp_path))
    monkeypatch.setattr("pipeline.encoders.pretrained.weights_url", lambda name: f"http://127.0.0.1:9/{name}.pth")
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"<html>")
    for weights in (None, tmp_path / "absent.pth", damaged):
        with pytest.raises(MissingPartError) as caught:
            load_raft("raft_small", weights=weights)
        assert caught.value.exit_code == 6
        assert "tempera weights fetch raft_small" in caught.value.hint
        assert "--set motion.method=dis" in caught.value.hint
    with pytest.raises(ConfigError, match="raft_huge"):
        load_raft("raft_huge")  # type: ignore[arg-type]


# --- the quick look ---


def scene(data: Data, name: str = "photo/tubingen.jpg") -> NDArray[np.uint8]:
    """A photograph at 1280x720, and 16 px more on every side."""
    return np.asarray(cv2.resize(read_rgb(data(name)), (1312, 752), interpolation=cv2.INTER_AREA), np.uint8)


def panned(picture: Array, x_px: float, y_px: float = 0) -> NDArray[np.uint8]:
    """What a camera sees that has moved right and down; 32 px less on both axes."""
    height, width = picture.shape[:2]
    moved = warp(np.asarray(picture, np.uint8), constant_flow(x_px, y_px, height, width))
    return moved[16:-16, 16:-16]


@pytest.mark.parametrize("levels", [0, 1, 4, 8])
def test_tripod_rests_under_noise_and_changing_light(levels: float) -> None:
    picture = half_flat()
    assert is_static(noisy(picture, levels, 1), noisy(picture, levels, 2))
    assert is_static(noisy(picture, levels, 1), noisy(0.8 * picture + 5.0, levels, 2))
    shade = np.linspace(0.96, 1, 320)[None, :, None]
    assert is_static(noisy(picture, levels, 1), noisy(shade * picture, levels, 2))


def test_flat_and_tiny_pictures_rest() -> None:
    for size in ((1, 1), (5, 7), (64, 3), (90, 120)):
        picture = texture(*size, 6)
        assert is_static(picture, picture)
        assert is_static(np.zeros_like(picture), np.full_like(picture, 30))


@pytest.mark.parametrize("name", ["photo/tubingen.jpg", "photo/rocket.jpg", "timelapse/sunset_rpi/frame-100.jpg"])
def test_slowest_pan_at_720p_is_not_rest(data: Data, name: str) -> None:
    picture = scene(data, name)
    here = noisy(panned(picture, 0), 1, 1)
    assert is_static(here, noisy(panned(picture, 0), 1, 2))
    for x_px, y_px in ((0.5, 0), (0, -0.5), (0.25, 0), (3, 1), (12, 5)):
        assert not is_static(here, noisy(panned(picture, x_px, y_px), 1, 2))


@pytest.mark.parametrize(("share", "step_px"), [(0.006, 4), (0.006, 15), (0.02, 1), (0.02, 40)])
def test_object_over_a_resting_ground_is_not_rest(data: Data, share: float, step_px: int) -> None:
    ground = panned(scene(data), 0)
    side = round((share * 1280 * 720) ** 0.5)
    frames = []
    for step in (0, 1):
        frame = ground.copy()
        left = 400 + step * step_px
        frame[300 : 300 + side, left : left + side] = texture(side, side, 4, blur_px=2)
        frames.append(noisy(frame, 1, step))
    assert not is_static(*frames)


def test_cut_is_not_rest(data: Data) -> None:
    assert not is_static(panned(scene(data), 0), panned(scene(data, "photo/kodim03.png"), 0))
    assert not is_static(texture(HEIGHT, WIDTH, 9), texture(HEIGHT, WIDTH, 10))


def test_quick_look_depends_on_nothing_but_the_pictures() -> None:
    previous, current, _, _ = moved_square()
    kept = previous.copy(), current.copy()
    for threads in (1, 2, 8):
        cv2.setNumThreads(threads)
        assert not is_static(previous, current)
        assert is_static(noisy(half_flat(), 2, 1), noisy(half_flat(), 2, 2))
    np.testing.assert_array_equal((previous, current), kept)
    with pytest.raises(ValueError, match="one size"):
        is_static(previous, current[:-1])


def share_at_rest(paths: list[Path]) -> float:
    frames = [read_rgb(path) for path in paths]
    return float(np.mean([is_static(*pair) for pair in pairwise(frames)]))


def test_real_clips_rest_exactly_when_nothing_moves(data: Data) -> None:
    ice = sorted(data("timelapse/icecube_s60").glob("*.jpg"))
    # The cube melts, slides and loses water for fifty minutes; then only the light flickers.
    assert share_at_rest(ice[:55]) == 0
    assert share_at_rest(ice[-9:]) >= 0.5
    # Clouds that drift by 4 to 9 px per frame.
    assert share_at_rest(sorted(data("timelapse/sunset_rpi").glob("*.jpg"))[::8]) == 0
    assert share_at_rest(sorted(data("flow/marple8").glob("*.ppm"))) == 0
    mug = sorted(data("burst/handheld_mug").glob("*.jpg"))
    # The hand kept still for the first four, to a tenth of a pixel.
    assert share_at_rest(mug[3:]) == 0
    assert share_at_rest(mug[:4]) == 1


# --- warping ---


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    dtype=st.sampled_from([np.uint8, np.float32]),
    seed=st.integers(0, 99),
)
def test_whole_pixels_are_moved_exactly_and_edges_repeat(size: tuple[int, int], dtype: type, seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = size
    image: Array = random.integers(0, 256, (height, width, 3)).astype(dtype)
    flow = random.integers(-9, 10, (height, width, 2)).astype(np.float32)
    y, x = np.indices(size)
    expected = image[
        (y + flow[..., 1].astype(int)).clip(0, height - 1), (x + flow[..., 0].astype(int)).clip(0, width - 1)
    ]
    moved = warp(image, flow)
    assert moved.dtype == dtype
    np.testing.assert_array_equal(moved, expected)
    # also next to pixels that move by a fraction
    flow[::2] += 0.4
    np.testing.assert_array_equal(warp(image, flow)[1::2], expected[1::2])


def test_warp_leaves_its_input_alone_and_returns_new_memory() -> None:
    image = texture(HEIGHT, WIDTH, 11)
    kept = image.copy()
    for flow in (constant_flow(0, 0), constant_flow(1, 0), constant_flow(0.3, 0.2)):
        moved = warp(image, flow)
        assert not np.shares_memory(moved, image)
        np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("cycles", [0.1, 0.25, 0.35, 0.4])
def test_waves_keep_their_height_and_move_by_the_flow(fraction: float, cycles: float) -> None:
    """Up to 0.8 of the Nyquist frequency nothing is lost, and nothing ever grows: growth rings after 200 frames."""
    x = np.arange(160, dtype=np.float64)
    for transposed in (False, True):
        wave = np.broadcast_to(np.cos(2 * np.pi * cycles * x)[:, None], (160, 40))
        image = np.repeat(wave[..., None], 3, axis=2).astype(np.float32)
        flow = np.zeros((160, 40, 2), np.float32)
        flow[..., 1] = fraction
        if transposed:
            image, flow = image.swapaxes(0, 1).copy(), flow.swapaxes(0, 1)[..., ::-1].copy()
        moved = warp(image, flow)
        line = (moved[20, 40:120, 1] if transposed else moved[40:120, 20, 1]).astype(np.float64)
        expected = np.cos(2 * np.pi * cycles * (x[40:120] + fraction))
        gain = float(line @ expected / (expected @ expected))
        assert 0.985 < gain < 1.0005
        assert np.abs(line - gain * expected).max() < 0.01


def test_flat_picture_stays_flat_and_the_mean_does_not_drift() -> None:
    noise = np.random.default_rng(1).normal(size=(HEIGHT, WIDTH, 2)) * 150
    flow = np.asarray(cv2.GaussianBlur(noise, (0, 0), 5), np.float32)
    gray = np.full((HEIGHT, WIDTH, 3), 0.6, np.float32)
    np.testing.assert_allclose(warp(gray, flow), 0.6, atol=1e-6)
    image = texture(HEIGHT, WIDTH, 12)
    for index in range(30):
        image = warp(image, constant_flow(0.37 * (-1) ** index, 0.21 * (-1) ** index))
    assert image.mean() == pytest.approx(texture(HEIGHT, WIDTH, 12).mean(), abs=0.1)


def test_fifty_steps_leave_a_painting_sharp() -> None:
    """A pan of (0.27, 0.13) px per frame, stored as 8 bits, against the scene at its final place."""
    scene = texture(HEIGHT, WIDTH, 13, blur_px=0.8)
    image, lanczos = scene, scene.astype(np.float32)
    flow = constant_flow(-0.27, -0.13)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for _ in range(50):
        image = warp(image, flow)
        moved = cv2.remap(
            lanczos, x - np.float32(0.27), y - np.float32(0.13), cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101
        )
        lanczos = np.rint(moved).clip(0, 255)
    truth = warp(scene.astype(np.float32), 50 * flow)

    def error(picture: Array) -> float:
        return float(np.square(picture.astype(np.float64) - truth)[30:-30, 30:-30].mean())

    def sharpness(picture: Array) -> float:
        return float(np.square(cv2.Laplacian(picture.astype(np.float32), cv2.CV_32F)[30:-30, 30:-30]).mean())

    assert sharpness(image) / sharpness(truth) == pytest.approx(0.95, abs=0.08)
    assert error(image) < error(lanczos) / 4


# --- published pairs of frames ---


@pytest.mark.parametrize("pair", ["1_2", "2_1", "2_3", "3_2"])
def test_reliability_agrees_with_the_reference_maps(data: Data, pair: str) -> None:
    """Ruder's own maps for Ruder's own flow."""
    folder = data("flow/marple8")
    backwards = pair[0] > pair[2]
    there, back = (
        read_flo(folder / f"{'backward' if way else 'forward'}_{name}.flo")
        for way, name in ((backwards, pair), (not backwards, pair[::-1]))
    )
    reference = cv2.imread(str(folder / f"reliable_{pair}.pgm"), cv2.IMREAD_UNCHANGED)
    assert reference is not None
    theirs = reference > 127
    ours = flow_confidence(there, back) > 0.5
    assert (ours == theirs).mean() > 0.97  # measured 0.974 to 0.980
    assert (ours & ~theirs).mean() < 0.001
    # What differs is the pixel that we take away around every place without trust.
    uneroded = inside(there) & consistent(there, back) & ~at_boundary(there)
    assert (uneroded == theirs).mean() > 0.999  # measured 0.9991 to 0.9993


def test_flying_chairs_ground_truth(data: Data) -> None:
    folder = data("flow/flyingchairs")
    first, second = (read_rgb(folder / f"0000003-img{i}.ppm") for i in (0, 1))
    truth = read_flo(folder / "0000003-gt.flo")
    # The truth leads from img0 to img1: as backward flow, img1 is the previous frame.
    motion = motion_of(second, first)
    error = end_point_error(motion.backward_flow, truth)
    trusted = motion.confidence > 0.5
    assert error.mean() < 1.6
    assert np.median(error) < 0.15
    assert trusted.mean() > 0.6
    assert error[trusted].mean() < 0.5


def test_motorcycle_stereo_ground_truth(data: Data) -> None:
    folder = data("flow/motorcycle_stereo")
    left, right = (read_rgb(folder / f"motorcycle_{side}.png") for side in ("left", "right"))
    disparity = np.load(folder / "motorcycle_disp.npz")["arr_0"]
    known = np.isfinite(disparity)
    truth = np.stack([np.where(known, -disparity, 0), np.zeros_like(disparity)], axis=2)
    motion = motion_of(right, left)
    error = end_point_error(motion.backward_flow, truth)[known]
    trusted = motion.confidence[known] > 0.5
    assert error.mean() < 3.2
    assert np.median(error) < 0.6
    assert error[trusted].mean() < 2
    assert trusted.mean() > 0.8


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("size", [(16, 640), (31, 160), (160, 31), (5, 300)])
def test_strips_do_not_crash_the_search(preset: Preset, size: tuple[int, int]) -> None:
    picture = texture(*size, 3)
    motion = estimate_motion(picture, np.roll(picture, 1, axis=1), from_index=0, to_index=1, preset=preset)
    assert np.isfinite(motion.backward_flow).all() and motion.backward_flow.shape == (*size, 2)
