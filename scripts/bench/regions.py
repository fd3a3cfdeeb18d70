"""What regions cost, and how well each has the palette of its own style and stays steady along its joins.

    python scripts/bench/regions.py --data DATA [--width 384] [--frames 8] [--only cost palette joins]

*Cost*: processor time of an evaluation with regions over that with one style on the whole frame, in one process, the
median of rounds in which both take turns; regions are those of DATA/masks/tubingen and its halves.

*Palette*: the Wasserstein-2 distance between the colors of a region and of its own style image (mean over directions of
that of projected colors, levels of 255), over that of the whole frame in this style alone; and over that of the same
pixels there.

*Joins*: temporal error of a clip within a band along the edge of a carried mask over that elsewhere, where the motion
is confident; the same places in one style, and in the clip itself, say what of it is the content's. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from machine import environment
from numpy.typing import NDArray
from PIL import Image

import pipeline
from pipeline.config.losses import LossSettings
from pipeline.config.masks import MaskSettings
from pipeline.encoders.load import load_encoder
from pipeline.evaluate.measures import measure_motion, temporal_error
from pipeline.masks.picture import feathered, read_mask
from pipeline.media.image.arrays import resize, size_within, to_tensor
from pipeline.media.image.load import load_rgb
from pipeline.media.reader.source import read_frames
from pipeline.motion.region_change import region_maps
from pipeline.optimize.objective import Objective, style_target
from pipeline.optimize.regions import KeptPixels, RegionTarget, RegionTerms
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.types import Frame, Motion
from pipeline.workflows.masks.preparation import MaskedFrames, prepare_mask
from pipeline.workflows.opened import OpenedRender, open_render

RGB = NDArray[np.uint8]
STYLES = ("vangogh_starry_night_1889.jpg", "hokusai_great_wave_c1831.jpg", "munch_the_scream_1893.jpg")
PHOTOS = {
    "tubingen": ("photo/tubingen.jpg", "masks/tubingen/tubingen1a.png"),
    "hoovertower": ("masks/hoovertower/hoovertowernight.jpg", "masks/hoovertower/hoovertowernight3a.png"),
}
CLIP, CLIP_MASK = "masks/apple_video/apple.mp4", "masks/apple_video/apple_mask.png"
SIZES_PX = ((384, 288), (768, 576), (1024, 768))
INSIDE = 0.95
"""Pixels of a region are those that its mask covers so far."""
DIRECTIONS, QUANTILES = 64, 512
BAND_PX = 6
"""Half the width of the band along a join."""


def main() -> None:
    """Measure everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=("cost", "palette", "joins"), default=("cost", "palette", "joins"))
    options = parser.parse_args()
    result: dict[str, Any] = {"environment": environment(), "width": options.width, "frames": options.frames}
    if "cost" in options.only:
        result["cost"] = {f"{w}x{h}": cost(options.data, (w, h), options.rounds) for w, h in SIZES_PX}
    with tempfile.TemporaryDirectory() as folder:
        if "palette" in options.only:
            result["palette"] = {
                name: palette(options.data, photo, options.width, Path(folder)) for name, photo in PHOTOS.items()
            }
        if "joins" in options.only:
            result["joins"] = joins(options.data, options.width, options.frames, Path(folder))
    print(json.dumps(result))


def cost(data: Path, size_px: tuple[int, int], rounds: int) -> dict[str, float]:
    """Processor seconds of an evaluation in one style, and by kind of regions how many times as much they take."""
    encoder, settings = load_encoder("compact"), LossSettings()
    content = to_tensor(np.ascontiguousarray(resize(load_rgb(data / PHOTOS["tubingen"][0]), *size_px)))[None]
    mask = feathered(read_mask(data / PHOTOS["tubingen"][1], None, size_px), MaskSettings(sky=True).feather)
    half = np.zeros_like(mask)
    half[:, : size_px[0] // 2] = 1
    images = [to_tensor(resize(load_rgb(data / "style" / name), *size_px))[None] for name in STYLES]
    styles = [style_target(encoder, settings, image, 100.0) for image in images]

    def objective(masks: list[NDArray[np.float32]], targets: list[RegionTarget], keeps: bool = False) -> Objective:
        maps = torch.from_numpy(region_maps(np.stack(masks)))[None]
        regions = RegionTerms.of(encoder, settings, content, maps, targets)
        kept = KeptPixels(content, maps[:, 1:]) if keeps else None
        return Objective.of(encoder, settings, content, styles[:1], regions=regions, kept=kept)

    first, second, third = (RegionTarget((style,)) for style in styles)
    feathered_half = feathered(half, MaskSettings(sky=True).feather)
    functions = {
        "one": Objective.of(encoder, settings, content, styles[:1]),
        "two styles": objective([mask], [first, second]),
        "three styles": objective([mask, mask * feathered_half], [first, second, third]),
        "two styles, a content weight": objective([mask], [first, RegionTarget((styles[1],), 2.0)]),
        "one style, a kept region": objective([mask], [first, RegionTarget(())], keeps=True),
    }
    images_now = content + 0.05 * torch.randn(content.shape, generator=torch.Generator().manual_seed(1))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.process_time()
            function(images_now)
            seconds[name].append(time.process_time() - began)
    ones = seconds.pop("one")
    found = {"one_s": round(statistics.median(ones), 4)}
    for name, own in seconds.items():
        found[name] = round(statistics.median(a / b for a, b in zip(own, ones, strict=True)), 3)
    print(size_px, found, flush=True)
    return found


def palette(data: Path, photo: tuple[str, str], width: int, folder: Path) -> dict[str, dict[str, float]]:
    """For both styles of a photo: distances of colors in the region and in the whole frame, and their ratios."""
    images = [data / "style" / name for name in STYLES[:2]]
    mixed = config(folder, [images[0]], {"image": str(data / photo[1])}, images[1])
    together = stylized(data / photo[0], mixed, width)
    mask = read_mask(data / photo[1], None, (together.shape[1], together.shape[0]))
    found = {}
    for image, inside in zip(images, (mask < 1 - INSIDE, mask > INSIDE), strict=True):
        alone = stylized(data / photo[0], config(folder, [image]), width)
        wanted = load_rgb(image).reshape(-1, 3)
        own, whole, same = (
            color_distance(pixels, wanted) for pixels in (together[inside], alone.reshape(-1, 3), alone[inside])
        )
        row = {"region": own, "whole": whole, "ratio": own / whole, "same_pixels": same, "same_ratio": own / same}
        found[image.stem] = {key: round(value, 3) for key, value in row.items()}
        print(photo[0], image.stem, found[image.stem], flush=True)
    return found


def color_distance(pixels: NDArray[np.uint8], others: NDArray[np.uint8]) -> float:
    """The sliced Wasserstein-2 distance of two sets of colors (N, 3), in levels of 255."""
    directions = np.random.default_rng(0).normal(size=(3, DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES
    one, other = (np.quantile(colors.astype(np.float64) @ directions, places, axis=0) for colors in (pixels, others))
    return float(np.sqrt(np.square(one - other).mean()))


def joins(data: Path, width: int, frames: int, folder: Path) -> dict[str, dict[str, float]]:
    """Temporal errors along the edges of two carried masks and elsewhere: with two styles, and with each alone.

    The masks are that of an object, and a half of the frame, whose edge is none of the content.
    """
    outside, inside = (data / "style" / name for name in STYLES[:2])
    half = np.zeros_like(load_rgb(data / CLIP_MASK))
    half[:, : half.shape[1] // 2] = 255
    Image.fromarray(half).save(folder / "half.png")
    masks = {"object": {0: str(data / CLIP_MASK)}, "half": {0: str(folder / "half.png")}}
    alone = {
        "outside alone": shown(data / CLIP, config(folder, [outside]), width, frames, folder / "outside.mkv")[1],
        "inside alone": shown(data / CLIP, config(folder, [inside]), width, frames, folder / "inside.mkv")[1],
    }
    found = {}
    for name, painted in masks.items():
        style = config(folder, [outside], {"painted": painted}, inside)
        opened, images = shown(data / CLIP, style, width, frames, folder / f"{name}.mkv")
        size = opened.directory.plan.width_px, opened.directory.plan.height_px
        reading: dict[str, Any] = {"width_px": size[0], "height_px": size[1], "settings": style.input}
        contents = list(read_frames(opened.source, start=0, stop=frames, **reading))

        def read(start: int, stop: int, frames: list[Frame] = contents) -> Generator[Frame]:
            yield from frames[start:stop]

        mask = prepare_mask(
            style.regions[0].mask,
            MaskedFrames(
                opened.source, size, read, opened.directory.plan.shots, opened.directory.cache_path, steady=True
            ),
            SilentReporter(),
            Cancellation(),
        ).mask
        motions = [
            (measure_motion(a.rgb, b.rgb, from_index=a.index, to_index=b.index), band(mask(b.index, b.rgb)))
            for a, b in itertools.pairwise(contents)
        ]
        row = {}
        clips = {"regions": images, **alone, "content": [frame.rgb for frame in contents]}
        for kind, clip in clips.items():
            for place, near in (("join", True), ("elsewhere", False)):
                errors = [
                    temporal_error(*pair, within(motion, where == near))
                    for pair, (motion, where) in zip(itertools.pairwise(clip), motions, strict=True)
                ]
                row[f"{kind}, {place}"] = statistics.mean(error for error in errors if error is not None)
            row[f"{kind}, ratio"] = row[f"{kind}, join"] / row[f"{kind}, elsewhere"]
        found[name] = {key: float(f"{value:.4g}") for key, value in row.items()}
        print(name, found[name], flush=True)
    return found


def shown(clip: Path, style: pipeline.Config, width: int, frames: int, output: Path) -> tuple[OpenedRender, list[RGB]]:
    """A render of a clip, and its stylized frames."""
    pipeline.render(clip, style, output=output, width_px=width, frames=(0, frames))
    opened = open_render(output.with_suffix(".render"))
    directory = opened.directory
    return opened, [
        directory.read_frame(chain.id, index)
        for index in range(frames)
        for chain in directory.plan.chains
        if chain.in_output and index in chain.frames
    ]


def band(mask: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The pixels (H, W) near the edge of a mask."""
    inside = (mask > 0.5).astype(np.uint8)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND_PX + 1, 2 * BAND_PX + 1))
    return np.asarray(cv2.dilate(inside, disk) != cv2.erode(inside, disk))


def within(motion: Motion, where: NDArray[np.bool_]) -> Motion:
    """The motion, confident in a part of the frame alone, with the mean confidence of that part."""
    confidence = (motion.confidence * where / max(float(where.mean()), 1e-9)).astype(np.float32)
    return Motion(motion.from_index, motion.to_index, motion.backward_flow, confidence)


def config(
    folder: Path, images: list[Path], mask: Mapping[str, Any] | None = None, region: Path | None = None
) -> pipeline.Config:
    """A style, with one region where a mask is given."""
    data: dict[str, Any] = {"style": {"images": [{"path": str(image)} for image in images]}, "encoder": "compact"}
    if region is not None:
        data["regions"] = [{"mask": mask, "style": {"images": [{"path": str(region)}]}}]
    path = folder / "bench.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")
    return pipeline.load_style(path)


def stylized(photo: Path, style: pipeline.Config, width: int) -> RGB:
    """A stylized still, uint8 (H, W, 3)."""
    rgb = load_rgb(photo)
    return np.asarray(pipeline.stylize(resize(rgb, *size_within(rgb.shape[1], rgb.shape[0], width)), style))


if __name__ == "__main__":
    main()
