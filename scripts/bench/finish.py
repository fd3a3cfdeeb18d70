"""What finishing and composing frames of 1280x720 costs: each effect and blend mode alone, then whole videos.

    python scripts/bench/finish.py --data DATA [--frames 48] [--threads 2] [--out finish.json]

`effects` and `blends`: processor time of one frame on one thread in ms, the median of five, from 8-bit frame to 8-bit
frame for effects and between float32 images for blend modes. The content is a photo, the stylized frame a painting.

`videos`: renders of a synthetic clip, whose stored frames compress as stylized ones do, are finished or composed on
`--threads` threads, once without an encoder and once as h264. Reading the stored PNGs and decoding the content are
part of both. `fps` is by the clock, which other programs on the machine slow down; `cpu_ms` is the processor time of
a frame over all threads, so `fps_alone` = 1000 threads / `cpu_ms` is what cores that do nothing else could reach.
With h264 the encoder and the check of the written file are part of it. The last line on stdout is JSON.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np
from arguments import media_parser
from machine import finish_report
from numpy.typing import NDArray
from resume_start import make_clip, synthetic_frame

from pipeline.config.catalog import load_style
from pipeline.config.composition import CompositionSettings
from pipeline.config.finish import FinishSettings
from pipeline.media.image.depth import as_float
from pipeline.media.image.png import encode_png, save_png
from pipeline.postprocess.blend import MODES, blend
from pipeline.postprocess.effect import Level
from pipeline.postprocess.finish import finish
from pipeline.postprocess.lut import Lut, load_lut
from pipeline.postprocess.shot_look import needs_look, shot_look
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.runtime.threads import share_heap
from pipeline.store.directory import RenderDirectory
from pipeline.workflows.compose.compose import compose
from pipeline.workflows.compose.composition import open_composition
from pipeline.workflows.export import export, finished_frames
from pipeline.workflows.opened import open_render
from pipeline.workflows.prepare import prepare
from pipeline.workflows.request import RenderRequest

RGB = NDArray[np.uint8]

WIDTH, HEIGHT = 1280, 720
CONTENT, STYLE = "photo/chelsea.png", "style/kandinsky_composition_vii_1913.jpg"
ALL_DETAIL = {"fine": 1.0, "medium": 0.7, "coarse": 0.4}
CURVE = [[0, 0.02], [0.25, 0.22], [0.75, 0.8], [1, 1]]
EFFECTS: dict[str, dict[str, Any]] = {
    "follow_level": {"follow_level": 1},
    "match_light": {"match_light": 0.7},
    "preserve_color": {"preserve_color": 0.8},
    "match_color, gaussian": {"match_color": 1},
    "match_color, histogram": {"match_color": 1, "color_method": "histogram"},
    "detail, fine": {"detail": {"fine": 1}},
    "detail, all": {"detail": ALL_DETAIL},
    "sharpen": {"sharpen": 0.5},
    "white balance": {"grade": {"temperature": 0.4}},
    "contrast": {"grade": {"contrast": 1.3}},
    "curve of luma": {"grade": {"curves": {"luma": CURVE}}},
    "curves of R, G, B": {"grade": {"curves": {"red": CURVE, "green": CURVE, "blue": CURVE}}},
    "saturation 0.7": {"grade": {"saturation": 0.7}},
    "saturation 1.6": {"grade": {"saturation": 1.6}},
    "LUT, 3D": {"grade": {"lut": "3d.cube"}},
    "LUT, 1D": {"grade": {"lut": "1d.cube"}},
    "vignette": {"grade": {"vignette": 0.4}},
    "palette of 8": {"palette": 8},
    "grain": {"grain": 0.03},
}
FINISHES: dict[str, dict[str, Any]] = {
    "finish: sharpen and grain": {"follow_level": 0, "sharpen": 0.4, "grain": 0.015},
    "finish: color of the content, detail, grade": {
        "follow_level": 0,
        "preserve_color": 0.5,
        "detail": {"fine": 1.0},
        "grade": {"temperature": 0.15, "contrast": 1.15, "curves": {"luma": CURVE}, "vignette": 0.25},
        "grain": 0.015,
    },
}
HALF = {"luminance": [0.5, 1.0], "softness": 0.2}
COMPOSITIONS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "fusion: two styles by a mask": ([{"render": "a"}, {"render": "b", "mask": HALF}], {}),
    "fusion: the same, the photo's light, grain": (
        [
            {"render": "a"},
            {"render": "b", "mask": HALF},
            {"render": "content", "blend": "luminosity", "opacity": 0.35},
        ],
        {"grain": 0.015},
    ),
    "fusion: the same, detail, and a full grade with a LUT": (
        [
            {"render": "a"},
            {"render": "b", "mask": HALF},
            {"render": "content", "blend": "luminosity", "opacity": 0.35},
        ],
        {
            "detail": ALL_DETAIL,
            "grade": {
                "temperature": 0.15,
                "contrast": 1.15,
                "curves": {"luma": CURVE},
                "saturation": 0.9,
                "lut": "3d.cube",
                "lut_amount": 0.7,
                "vignette": 0.25,
            },
            "grain": 0.015,
        },
    ),
}


def picture(path: Path) -> RGB:
    """A picture at the size of the frames."""
    rgb = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8)
    return np.asarray(cv2.resize(rgb, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def write_luts(folder: Path) -> None:
    """A LUT of 33 entries in each of three dimensions, and one of 1024 entries in one."""
    steps = np.linspace(0, 1, 33)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    cube = np.stack([red**0.9, green, blue**1.1], axis=-1).reshape(-1, 3)
    line = np.linspace(0, 1, 1024)[:, np.newaxis] ** [0.9, 1, 1.1]
    for name, colors in (("3d", cube), ("1d", line)):
        head = f"LUT_{name.upper()}_SIZE {33 if name == '3d' else 1024}\n"
        rows = "\n".join("{:.6f} {:.6f} {:.6f}".format(*color) for color in colors)
        (folder / f"{name}.cube").write_text(head + rows + "\n", encoding="ascii")


def milliseconds(work: Callable[[], object]) -> float:
    """Processor time of one call: the median of five, after one to warm up."""
    times = []
    for _ in range(6):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return round(1000 * statistics.median(times[1:]), 1)


def single(data: Path, folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Every effect, and every blend mode with a map of opacity."""
    content, stylized = picture(data / CONTENT), picture(data / STYLE)
    level = Level(own=0.2, reference=0.5, contrast=0.4)
    effects = {}
    for name, changes in EFFECTS.items():
        settings = located(FinishSettings(**{"follow_level": 0, **changes}), folder)
        lut: Lut | None = None if settings.grade.lut is None else load_lut(settings.grade.lut)
        look = None
        if needs_look(settings):
            look = shot_look([stylized], content.reshape(-1, 3), settings, 0, lambda _settings, _look: [stylized])
        effects[name] = milliseconds(
            lambda settings=settings, lut=lut, look=look: finish(  # type: ignore[misc]
                stylized, content, settings, index=0, seed=0, level=level, lut=lut, look=look
            )
        )
        print(f"{name:30s}{effects[name]:8.1f} ms", file=sys.stderr, flush=True)
    images = as_float(content), as_float(stylized)
    alpha = np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32)
    blends = {}
    for mode in MODES:
        blends[mode] = milliseconds(lambda mode=mode: blend(*images, mode, alpha))  # type: ignore[misc]
        print(f"{mode:30s}{blends[mode]:8.1f} ms", file=sys.stderr, flush=True)
    return effects, blends


def located(settings: FinishSettings, folder: Path) -> FinishSettings:
    """The settings with the path of a LUT in a folder."""
    if settings.grade.lut is None:
        return settings
    grade = settings.grade.model_copy(update={"lut": folder / settings.grade.lut})
    return settings.model_copy(update={"grade": grade})


def make_render(clip: Path, name: str, seed: int, threads: int) -> Path:
    """A complete render of the clip with synthetic frames, which pan."""
    save_png(clip.parent / f"{name}.png", synthetic_frame(seed, 480, 360))
    settings = ["encoder=compact", "input.cuts=none", "input.deflicker=0", f"runtime.threads={threads}"]
    config = load_style(str(clip.parent / f"{name}.png"), [*settings, "output.finish.follow_level=0"])
    request = RenderRequest(inputs=(str(clip),), styles=(config,), output=clip.parent / f"{name}.mp4")
    prepared = prepare(request, SilentReporter())
    directory = RenderDirectory.create(prepared.path, prepared.plan)
    wide = synthetic_frame(seed, WIDTH + 2 * prepared.plan.source.frame_count, HEIGHT)
    for chain in directory.plan.chains:
        folder = directory.frames_path / chain.id
        folder.mkdir(parents=True)
        for index in chain.frames:
            (folder / f"{index:08d}.png").write_bytes(encode_png(wide[:, 2 * index : 2 * index + WIDTH]))
    return prepared.path


def speed(work: Callable[[], object], frames: int, threads: int) -> dict[str, float]:
    """Frames per second by the clock and by processor time."""
    clock, used = time.perf_counter(), time.process_time()
    work()
    clock, used = time.perf_counter() - clock, time.process_time() - used
    cpu_ms = 1000 * used / frames
    return {"fps": round(frames / clock, 1), "cpu_ms": round(cpu_ms, 1), "fps_alone": round(1000 * threads / cpu_ms, 1)}


def taken(frames: Iterable[RGB]) -> None:
    """Take all frames, and do nothing with them."""
    for _ in frames:
        pass


def videos(folder: Path, frames: int, threads: int) -> dict[str, dict[str, dict[str, float]]]:
    """Every finish and composition, without an encoder and as h264."""
    clip = folder / "clip.mp4"
    make_clip(clip, frames, WIDTH, HEIGHT)
    renders = {name: make_render(clip, name, 10 * number, threads) for number, name in enumerate("ab")}
    reporter, cancellation = SilentReporter(), Cancellation()
    found = {}

    def measure(name: str, composed: Callable[[], object], written: Callable[[], object]) -> None:
        found[name] = {"frames": speed(composed, frames, threads), "h264": speed(written, frames, threads)}
        print(f"{name}: {found[name]}", file=sys.stderr, flush=True)

    for name, changes in FINISHES.items():
        opened = open_render(renders["a"])
        style, config = next(iter(opened.configs.items()))
        output = config.output.model_copy(update={"finish": FinishSettings(**changes)})
        changed = config.model_copy(update={"output": output})

        def finished(opened: Any = opened, style: str = style, changed: Any = changed) -> None:
            with closing(finished_frames(opened.directory, style, changed, opened.source)) as images:
                taken(images)

        video = folder / f"f{len(found)}.mp4"
        measure(
            name,
            finished,
            lambda video=video, changed=changed: export(  # type: ignore[misc]
                renders["a"], video, reporter, settings=lambda _: changed
            ),
        )
    for name, (layers, changes) in COMPOSITIONS.items():
        paths = [{**layer, "render": str(renders.get(layer["render"], "content"))} for layer in layers]
        settings = CompositionSettings(layers=paths, **changes)
        if settings.grade.lut is not None:
            settings = settings.model_copy(update={"grade": located(settings.finish, folder).grade})
        composition = open_composition(settings, reporter, cancellation)
        video = folder / f"c{len(found)}.mp4"
        measure(
            name,
            lambda composition=composition: taken(composition.images(range(frames))),  # type: ignore[misc]
            lambda composition=composition, video=video: compose(composition, video, reporter),  # type: ignore[misc]
        )
    return found


def main() -> None:
    """Run everything, print a table and the JSON line."""
    parser = media_parser(__doc__)
    parser.add_argument("--frames", type=int, default=48, help="frames of the videos")
    parser.add_argument("--threads", type=int, default=2, help="threads of the videos")
    options = parser.parse_args()
    share_heap()  # as the command does
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        write_luts(folder)
        effects, blends = single(options.data, folder)
        found = videos(folder, options.frames, options.threads)
    report = {
        "benchmark": "finish",
        "size": [WIDTH, HEIGHT],
        "threads": options.threads,
        "effects_ms": effects,
        "blends_ms": blends,
        "videos": found,
        "load": round(os.getloadavg()[1], 1),  # of five minutes; above the number of cores, other programs ran too
    }
    finish_report(report, options.out)


if __name__ == "__main__":
    main()
