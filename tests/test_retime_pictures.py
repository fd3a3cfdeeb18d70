"""Pictures between frames, the virtual camera, and the order in which frames are read."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.config.settings import MotionSettings
from pipeline.motion import between as module
from pipeline.motion.acceleration import CELL_PX, acceleration_at
from pipeline.motion.between import FlowPair, between, faded, find_flows, splat
from pipeline.motion.camera import enlarged_part
from pipeline.motion.estimate import motion_between
from pipeline.postprocess.timeline import Shown, Timeline
from pipeline.types import Frame, Pixels
from pipeline.workflows.output import retime
from pipeline.workflows.output.retime import in_any_order, retimed
from tests.support.clips import texture
from tests.support.plans import a_source

RGB = NDArray[np.uint8]
SIZE = (128, 96)


def scene(shift_px: int) -> RGB:
    """A texture that has moved to the right over a static one: a square of 40 px from (30 + shift, 28) on."""
    image = texture(SIZE, 1).copy()
    square = 255 - texture((40, 40), 2) // 2
    image[28:68, 30 + shift_px : 70 + shift_px] = square
    return image


def moved(flow: tuple[float, float], height: int = 8, width: int = 10) -> NDArray[np.float32]:
    return np.broadcast_to(np.asarray(flow, np.float32), (height, width, 2)).copy()


def test_splatting_by_whole_pixels_moves_values_and_weights() -> None:
    values = np.random.default_rng(0).random((8, 10, 2)).astype(np.float32)
    weights = np.random.default_rng(1).random((8, 10)).astype(np.float32)
    sums, total = splat(values, moved((3, -2)), weights)
    assert np.allclose(total[:-2, 3:], weights[2:, :-3]) and not total[-2:].any() and not total[:, :3].any()
    assert np.allclose(sums[:-2, 3:], (values * weights[..., None])[2:, :-3])


def test_splatting_between_pixels_keeps_the_weight() -> None:
    one = np.zeros((8, 10), np.float32)
    one[4, 5] = 2
    _, total = splat(np.ones((8, 10, 1), np.float32), moved((0.25, 0.5)), one)
    assert total.sum() == pytest.approx(2)
    assert (total[4, 5], total[4, 6], total[5, 5]) == pytest.approx((0.75, 0.25, 0.75))


def test_holes_are_filled_from_around() -> None:
    weights = np.zeros((9, 13), np.float32)
    weights[:, :4] = 1
    filled = module._filled(np.full((9, 13, 2), 3, np.float32) * weights[..., None], weights)
    assert np.allclose(filled, 3)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_a_moving_square_is_where_it_should_be(t: float) -> None:
    first, second, truth = scene(0), scene(12), scene(round(12 * t))
    flows = find_flows(first, second, MotionSettings())
    error = np.abs(between(first, second, flows, t).astype(int) - truth)
    blend = np.abs((1 - t) * first + t * second - truth)
    around = np.s_[24:72, 24:90]
    assert error[around].mean() < 0.25 * blend[around].mean()
    assert error[32:64, 50:66].mean() < 2  # the inside of the square


def test_what_one_frame_alone_sees_is_not_doubled() -> None:
    """Behind the square the ground is seen by the second frame, in front of it by the first one."""
    first, second = scene(0), scene(12)
    middle = between(first, second, find_flows(first, second, MotionSettings()), 0.5)
    behind, ahead = np.s_[34:62, 31:34], np.s_[34:62, 78:81]
    for place, image, other in ((behind, second, first), (ahead, first, second)):
        own, ghost = (np.abs(middle[place].astype(int) - it[place]).mean() for it in (image, other))
        assert own < 0.3 * ghost


def accelerated(step: int) -> RGB:
    """The square at 0, 4, 12, 24 px: its motion grows by 4 px each step, and halfway from 4 to 12 it is at 7.5."""
    return scene(2 * step * (step + 1))


def bent(frames: Sequence[RGB]) -> FlowPair:
    """The flows between the second and third of four frames, with the accelerations at both."""
    before, flows, behind = (find_flows(a, b, MotionSettings()) for a, b in pairwise(frames))
    return replace(flows, bend_a=acceleration_at(before, flows), bend_b=acceleration_at(flows, behind))


def test_a_path_bends_with_the_motion() -> None:
    frames = [accelerated(step) for step in range(4)]
    curved, straight = bent(frames), find_flows(frames[1], frames[2], MotionSettings())
    inside = np.s_[34:62, 42:72]
    truth = (scene(7)[inside].astype(float) + scene(8)[inside]) / 2
    error, of_straight = (
        np.abs(between(frames[1], frames[2], it, 0.5)[inside] - truth).mean() for it in (curved, straight)
    )
    assert error < 0.4 * of_straight


def test_acceleration_is_that_of_each_pixel() -> None:
    """Of a square that moves over a ground that does not: (4, 0) px per step on the one, nothing on the other."""
    first, second, third = (accelerated(step) for step in (1, 2, 3))
    found = acceleration_at(find_flows(first, second, MotionSettings()), find_flows(second, third, MotionSettings()))
    assert found is not None and found.shape == (96 // CELL_PX, 128 // CELL_PX, 2)
    assert np.allclose(found[5:7, 7:9], (4, 0), atol=0.6)
    assert np.abs(found[:, :3]).max() < 0.2 and np.abs(found[11]).max() < 0.2


def even_flows(flow: tuple[float, float], back: tuple[float, float]) -> FlowPair:
    one = np.ones((20, 30), np.float32)
    return FlowPair(moved(flow, 20, 30), moved(back, 20, 30), one, one)


@pytest.mark.parametrize("wrong", [(12, 0), (0, 8)], ids=["across", "down"])
def test_a_single_vector_between_others_moves_nothing(wrong: tuple[float, float]) -> None:
    """Between two pictures that are the same noise any pixel that moves is another one."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    flows = even_flows((0, 0), (0, 0))
    assert flows.forward is not None
    flows.forward[8, 12] = wrong
    assert np.array_equal(between(noise, noise, flows, 0.5), noise)


def test_what_is_too_large_for_an_acceleration_is_none() -> None:
    """A flow that turns round is rather an error of the flow, and frames without flow say nothing."""
    slower = acceleration_at(even_flows((4, 0), (-4, 0)), even_flows((3, 1), (-3, -1)))
    assert slower is not None and slower.shape == (3, 4, 2) and np.allclose(slower, np.array((-1, 1)) / 1.05)
    turned = acceleration_at(even_flows((4, 0), (-4, 0)), even_flows((-3, 0), (3, 0)))
    assert turned is not None and not turned.any()
    assert acceleration_at(FlowPair(), even_flows((1, 0), (-1, 0))) is None


def test_a_bend_moves_the_picture_off_the_straight_path() -> None:
    """By a t (t - 1) / 2, where both frames know the acceleration a; by half of it where one does."""
    ramp = np.broadcast_to(4 * np.arange(30, dtype=np.uint8)[None, :, None], (20, 30, 3)).copy()
    flows, bend = even_flows((0, 0), (0, 0)), moved((-8, 0), 3, 4)
    middle = np.s_[5:-5, 5:-5]
    both, one = (between(ramp, ramp, replace(flows, bend_a=bend, bend_b=it), 0.5)[middle] for it in (bend, None))
    assert np.abs(both - (ramp[middle] - 4.0)).max() <= 0.5 and np.abs(one - (ramp[middle] - 2.0)).max() <= 0.5


def test_frames_of_two_exposures_are_mixed_along_the_motion() -> None:
    """What is a stop darker in the one frame still moves, and is between both in brightness."""
    first, second = scene(0), scene(12)
    darker: RGB = np.rint(0.6 * first).astype(np.uint8)
    middle = between(darker, second, find_flows(darker, second, MotionSettings()), 0.5)
    inside = np.s_[32:64, 40:72]
    assert np.abs(middle[inside] - 0.8 * scene(6)[inside]).mean() < 2


def test_frames_that_do_not_correspond_are_crossfaded() -> None:
    first, second = texture(SIZE, 3), np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    flows = find_flows(first, second, MotionSettings())
    assert flows == FlowPair() and flows.nbytes == 0
    assert np.abs(between(first, second, flows, 0.25) - (0.75 * first + 0.25 * second)).max() <= 0.5


def test_without_motion_frames_are_crossfaded() -> None:
    assert find_flows(scene(0), scene(12), MotionSettings(method="none")) == FlowPair()
    assert find_flows(scene(0), scene(0), MotionSettings()) == FlowPair()


def test_flow_is_found_across_a_change_of_exposure() -> None:
    darker = np.rint(scene(12) * 0.6).astype(np.uint8)
    flows = find_flows(scene(0), darker, MotionSettings())
    assert flows.forward is not None and flows.weight_a is not None
    inside = np.s_[34:62, 36:64]
    assert np.abs(flows.forward[inside] - [12, 0]).mean() < 0.3 and flows.weight_a[inside].mean() > 0.5


def test_a_picture_fades_into_another_one_that_moves_with_it() -> None:
    """What the first frame shows is moved to where it is in the last ones, where that is known."""
    motion = motion_between(scene(0), scene(8), MotionSettings(), from_index=0, to_index=1)
    inside = np.s_[34:62, 44:72]
    black = np.zeros_like(scene(0))
    whole = faded(black, scene(0), motion, 1.0)[inside].astype(int)
    assert np.abs(whole - scene(8)[inside]).mean() < 1 < 10 < np.abs(whole - scene(0)[inside]).mean()
    assert np.abs(faded(black, scene(0), motion, 0.25)[inside] - 0.25 * scene(8)[inside]).mean() < 1
    unknown = replace(motion, confidence=np.zeros_like(motion.confidence))
    assert np.array_equal(faded(black, scene(0), unknown, 1.0), scene(0))


def test_the_end_of_a_loop_is_faded_by_the_timeline() -> None:
    shown = tuple(Shown(Fraction(index), index, index) for index in range(3))
    timeline = Timeline(shown, Fraction(3), fading={2: Fraction(1, 4)})
    finished = (np.full((96, 128, 3), 80 * index, np.uint8) for index in timeline.frames)
    contents = (Frame(index, index, scene(0)) for index in timeline.frames)
    images = list(retimed(timeline, finished, contents, MotionSettings(), 2))
    assert [int(image.min()) for image in images] == [int(image.max()) for image in images] == [0, 80, 120]


def test_retimed_pictures_begin_where_the_audio_of_the_source_does() -> None:
    source = a_source(3, time_base=Fraction(1, 10), pts=(5, 6, 9))
    timeline = Timeline((Shown(Fraction(0), 0, 0), Shown(Fraction(1, 3), 2, 2)), Fraction(1))
    found = retime._shown_source(source, timeline)
    assert [pts * found.time_base for pts in found.pts] == [Fraction(1, 2), Fraction(5, 6)]
    assert found.duration_ticks * found.time_base == Fraction(2, 3) and found.decoded_indices == (0, 2)


def test_deep_pictures_stay_deep() -> None:
    first, second = scene(0), scene(12)
    flows = find_flows(first, second, MotionSettings())
    deep = between(first.astype(np.uint16) * 257, second.astype(np.uint16) * 257, flows, 0.5)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - between(first, second, flows, 0.5)).max() <= 0.51


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        between(scene(0), scene(0)[:-1], FlowPair(), 0.5)


def test_the_camera_enlarges_a_part() -> None:
    """A ramp of values stays one: at half its slope, and to a fraction of a pixel."""
    ramp = np.broadcast_to(np.arange(0, 200, 2, dtype=np.uint16)[None, :, None] * 256, (60, 100, 3)).copy()
    part = (0.25, 0.25, 0.5, 0.5)
    wanted = (25 + (np.arange(100) + 0.5) / 2 - 0.5) * 512
    assert np.abs(enlarged_part(ramp, part)[30, 5:-5, 0] - wanted[5:-5]).max() < 1
    nudged = enlarged_part(ramp, (0.2501, 0.25, 0.5, 0.5))[30, 5:-5, 0]
    assert np.abs(nudged - wanted[5:-5] - 0.01 * 512).max() < 1.5
    assert enlarged_part(ramp, (0.0, 0.0, 1.0, 1.0)) is ramp


def test_frames_in_any_order_are_read_forward() -> None:
    ranges: list[range] = []

    def read(frames: range) -> Generator[int]:
        ranges.append(frames)
        yield from frames

    order = [*range(30), *range(28, 0, -1), 5, 5, 9]
    assert list(in_any_order(order, read)) == order
    assert ranges[0] == range(30) and max(len(it) for it in ranges[1:]) == retime.BLOCK


@pytest.mark.parametrize("room", [0, 1 << 28])
def test_flow_is_estimated_once_for_each_pair(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """On the way back it is what was kept; where there is no room for it, it is the same again."""
    found: list[int] = []

    def counted(first: RGB, second: RGB, settings: MotionSettings, estimator: object) -> FlowPair:
        found.append(int(first[28, 0, 0]))
        return find_flows(first, second, settings)

    monkeypatch.setattr(module, "find_flows", counted)
    monkeypatch.setattr(retime, "KEPT_BYTES", room)
    half = Fraction(1, 2)
    pairs = [(0, 1), (1, 2), (2, 2), (1, 2), (0, 1)]
    shown = tuple(Shown(Fraction(at), *pair, half if pair != (2, 2) else Fraction(0)) for at, pair in enumerate(pairs))
    timeline = Timeline(shown, Fraction(5), flow=True)

    def frames() -> Generator[RGB]:
        yield from (scene(8 * index) for index in timeline.frames)

    def contents() -> Generator[Frame]:
        yield from (Frame(index, index, scene(8 * index)) for index in timeline.frames)

    images = list(retimed(timeline, frames(), contents(), MotionSettings(), 2))
    assert len(found) == (2 if room else 3)  # the last pair always stays
    assert len(images) == 5 and np.array_equal(images[0], images[4]) and np.array_equal(images[1], images[3])
    assert np.array_equal(images[2], scene(16))


@pytest.mark.parametrize("room", [0, 1 << 28])
def test_paths_bend_by_the_frames_around_the_pair(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Forth and back, whether flows are kept or estimated again; next to the ends only one frame knows how."""
    monkeypatch.setattr(retime, "KEPT_BYTES", room)
    half, pairs = Fraction(1, 2), [(0, 1), (1, 1), (1, 2), (2, 3), (1, 2), (0, 1)]
    shown = tuple(Shown(Fraction(at), *it, half * (it[0] != it[1])) for at, it in enumerate(pairs))
    timeline = Timeline(shown, Fraction(6), flow=True, inner=frozenset((1, 2)))
    frames = [accelerated(step) for step in range(4)]

    def made(repeats: tuple[int, ...]) -> list[Pixels]:
        contents = (Frame(index, index, frames[index]) for index in timeline.contents)
        return list(retimed(timeline, (frames[it] for it in timeline.frames), contents, MotionSettings(), 2, repeats))

    images = made(())
    assert np.array_equal(images[2], between(frames[1], frames[2], bent(frames), 0.5))
    assert np.array_equal(images[2], images[4]) and np.array_equal(images[0], images[5])
    at_end = replace(bent([*frames[1:], frames[3]]), bend_b=None)
    assert np.array_equal(images[3], between(frames[2], frames[3], at_end, 0.5))
    straight = between(frames[1], frames[2], find_flows(frames[1], frames[2], MotionSettings()), 0.5)
    assert np.array_equal(made((0,))[2], straight)


def test_a_stylized_frame_that_is_shown_again_does_not_move() -> None:
    """With `motion.hold` the content moves on; strokes that stand still are not moved to and fro along it."""
    timeline = Timeline(
        (Shown(Fraction(0), 0, 1, Fraction(1, 2)), Shown(Fraction(1), 1, 2, Fraction(1, 2))), Fraction(2), flow=True
    )
    stored = [scene(0), scene(0), scene(16)]

    def made(repeats: tuple[int, ...]) -> list[Pixels]:
        frames = (image for image in stored)
        contents = (Frame(index, index, scene(8 * index)) for index in range(3))
        return list(retimed(timeline, frames, contents, MotionSettings(hold=2), 2, repeats))

    held, moved_on = made((1,))
    assert np.array_equal(held, scene(0)) and not np.array_equal(held, made(())[0])
    assert not np.array_equal(moved_on, scene(0)) and not np.array_equal(moved_on, scene(16))
