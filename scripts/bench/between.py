"""In-betweens of photographs: every second frame of a clip is removed and made again, and compared with the truth.

    python scripts/bench/between.py [--data DIR] [--out between.json] [--clips sunset apple]

`--data` is the folder of real media (default: the environment variable TEMPERA_DATA). Frames are 480 px wide, at most
20 triples of each clip, spread over it. The in-betweens are made of the outer frames: by `flow`, with the accelerations
that one more frame on each side gives where the clip has it; by `two_frames`, without them; and by `blend`, their mean.

Two more are made with the removed frame known, to say what can be reached. `oracle` moves both outer frames to it along
the flow that is estimated from it to each of them, and mixes them by the confidence of that flow. What it leaves is no
motion: noise, compression, light and clouds that change, and what neither frame shows. `straight` is the same with the
path of each pixel made straight and even: about the best that two frames alone can do. Errors that do
not depend on each other add in squares, so `above_oracle` has the squared error of flow and blend less that of the
oracle, and what that of the flow is of that of the blend.

Errors are means over the moving areas: where Farneback's flow, which makes no picture, is longer than 1 px between the
outer frames. `absolute` is the mean absolute difference in levels, `squared` the mean of the squares. `still` is the
absolute difference of the blend where nothing moves (less than 0.2 px), that is what noise and compression leave.
Last line: JSON.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import cv2
import numpy as np
from arguments import media_parser
from machine import finish_report
from numpy.typing import NDArray

from pipeline.config.settings import MotionSettings
from pipeline.motion.acceleration import acceleration_at
from pipeline.motion.between import LEAST_CONFIDENCE, between, find_flows
from pipeline.motion.estimate import estimate_motion
from pipeline.motion.warp import warp

Array = NDArray[Any]

WIDTH_PX = 480
TRIPLES = 20
FRAMES = 90
CLIPS = {
    **{name: f"davis/{name}.mp4" for name in ("blackswan", "camel", "dance-twirl", "libby", "swing")},
    "apple": "masks/apple_video/apple.mp4",
    "sunset": "timelapse/sunset_rpi/*.jpg",
    "marple8": "flow/marple8/*.ppm",
}
MOVING_PX, STILL_PX = 1.0, 0.2


def small(image: Array) -> Array:
    """A picture as OpenCV reads it, at the width of the benchmark, RGB."""
    height = round(image.shape[0] * WIDTH_PX / image.shape[1])
    return np.ascontiguousarray(cv2.resize(image, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)[..., ::-1])


def frames_of(data: Path, name: str) -> list[Array]:
    """The first frames of a clip, uint8 (H, W, 3) RGB."""
    path = CLIPS[name]
    if "*" in path:
        folder, _, pattern = path.rpartition("/")
        found = [cv2.imread(str(file)) for file in sorted((data / folder).glob(pattern))[:FRAMES]]
    else:
        capture = cv2.VideoCapture(str(data / path))
        found = [capture.read()[1] for _ in range(FRAMES)]
    return [small(image) for image in found if image is not None]


def speed_px(first: Array, second: Array) -> Array:
    """Length of Farneback's flow, float32 (H, W)."""
    before, after = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second))
    empty: Any = None
    flow = np.asarray(cv2.calcOpticalFlowFarneback(before, after, empty, 0.5, 5, 21, 5, 7, 1.5, 0), np.float32)
    return np.asarray(np.hypot(flow[..., 0], flow[..., 1]))


def of_truth(first: Array, truth: Array, second: Array) -> tuple[Array, Array]:
    """What the outer frames make of the removed one if that is known, float32: along its own flow, and straightened."""
    motions = [estimate_motion(image, truth, from_index=0, to_index=1) for image in (first, second)]
    bend = (motions[0].backward_flow + motions[1].backward_flow) / 2
    trust = [motion.confidence[..., np.newaxis] + LEAST_CONFIDENCE for motion in motions]

    def mixed(away: Array | float) -> Array:
        moved = [
            warp(image.astype(np.float32), motion.backward_flow - away)
            for image, motion in zip((first, second), motions, strict=True)
        ]
        return np.asarray((trust[0] * moved[0] + trust[1] * moved[1]) / (trust[0] + trust[1]))

    return mixed(0.0), mixed(bend)


def figures(frames: list[Array]) -> dict[str, Any]:
    """The errors of a clip, and those of the flow as parts of those of the blend."""
    settings = MotionSettings()
    count = (len(frames) - 1) // 2
    errors: defaultdict[str, list[Array]] = defaultdict(list)
    still, moving_fraction = [], []
    for number in range(0, count, max(1, count // TRIPLES)):
        first, truth, second = frames[2 * number : 2 * number + 3]
        speed = speed_px(first, second)
        moving = speed > MOVING_PX
        moving_fraction.append(moving.mean())
        flows = find_flows(first, second, settings)
        before = find_flows(frames[max(0, 2 * number - 2)], first, settings)
        behind = find_flows(second, frames[min(2 * number + 4, 2 * count)], settings)
        bent = replace(flows, bend_a=acceleration_at(before, flows), bend_b=acceleration_at(flows, behind))
        blend = (first.astype(np.float32) + second) / 2
        still.append(np.abs(blend - truth)[speed < STILL_PX].ravel())
        oracle, straight = of_truth(first, truth, second)
        pictures = {
            "flow": between(first, second, bent, 0.5),
            "two_frames": between(first, second, flows, 0.5),
            "blend": blend,
            "oracle": oracle,
            "straight": straight,
        }
        for name, picture in pictures.items():
            errors[name].append((picture.astype(np.float32) - truth)[moving])
    found: dict[str, Any] = {"triples": len(still), "moving_fraction": round(float(np.mean(moving_fraction)), 3)}
    for name, parts in errors.items():
        difference = np.concatenate(parts)
        found[name] = {
            "absolute": round(float(np.abs(difference).mean()), 2),
            "squared": round(float(np.square(difference).mean()), 1),
        }
    found["flow_of_blend"] = {
        kind: round(found["flow"][kind] / found["blend"][kind], 2) for kind in ("absolute", "squared")
    }
    above = {name: found[name]["squared"] - found["oracle"]["squared"] for name in ("flow", "blend")}
    found["above_oracle"] = {
        **{name: round(value, 1) for name, value in above.items()},
        "flow_of_blend": round(above["flow"] / above["blend"], 2),
    }
    resting = np.concatenate(still)
    found["still"] = round(float(resting.mean()), 2) if resting.size else None
    return found


def main() -> None:
    """Run everything, print a line for each clip and the JSON line."""
    parser = media_parser(__doc__)
    parser.add_argument("--clips", nargs="+", default=list(CLIPS), choices=list(CLIPS))
    options = parser.parse_args()
    cv2.setNumThreads(2)
    clips = {}
    for name in options.clips:
        clips[name] = figures(frames_of(options.data, name))
        print(f"{name:12s}{clips[name]}", file=sys.stderr, flush=True)
    report = {
        "benchmark": "between",
        "width_px": WIDTH_PX,
        "clips": clips,
    }
    finish_report(report, options.out)


if __name__ == "__main__":
    main()
