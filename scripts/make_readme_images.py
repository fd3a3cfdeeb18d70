"""Make the images of the README from our own sample timelapse: styles, mix, steady and timelapse.jpg in docs/.

    python scripts/make_readme_images.py [--demo DIR]

`--demo` is a finished `tempera demo` folder, for the strip of stylized frames. Everything else is stylized here.
The last line is the path and the size of the last image.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.config.catalog import load_style, shipped_styles
from pipeline.config.settings import Config
from pipeline.media.image.arrays import resize, to_tensor, to_uint8
from pipeline.media.image.load import load_rgb
from pipeline.motion.correspondence import find_correspondence
from pipeline.motion.estimate import motion_between
from pipeline.motion.warm_start import warm_start
from pipeline.sample.frame import sample_frame
from pipeline.store.directory import RenderDirectory
from pipeline.stylers.resources import find_resources
from pipeline.stylers.table import build_styler
from pipeline.types import FrameBatch
from pipeline.workflows.output.finished import finisher

WIDTH_PX, HEIGHT_PX = 400, 225
FRAME = 13
STEP_PX, MOVES = 5, 6
STRIP = (3, 14, 25, 36, 45)
DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="folder of a finished demo")
    options = parser.parse_args()
    DOCS.mkdir(exist_ok=True)
    content = resize(sample_frame(FRAME), WIDTH_PX, HEIGHT_PX)
    stylized = [content, *(stylize(load_style(name), content) for name in shipped_styles())]
    save("styles.jpg", grid(stylized, columns=4))
    first, second = load_style("swirl"), load_style("woodcut")
    save("mix.jpg", grid([stylize(mixed(first, second, weight), content) for weight in (0, 45, 100, 220)], columns=4))
    save("steady.jpg", grid(steady(load_style("swirl")), columns=3))
    if options.demo:
        directory = RenderDirectory.open(next(iter(sorted(options.demo.glob("*.render")))))
        chain = directory.plan.chains[0]
        photos = sorted((options.demo / "photos").glob("*.jpg"))
        images = [load_rgb(photos[index]) for index in STRIP]
        finished = finisher(directory.plan, load_style("swirl"), lambda _: {})
        images += [
            finished(index, directory.read_frame(chain.id, index), content)
            for index, content in zip(STRIP, images, strict=True)
        ]
        save("timelapse.jpg", grid([resize(image, 320, 180) for image in images], columns=len(STRIP)))


def stylize(config: Config, content: NDArray[Any]) -> NDArray[Any]:
    stylized = build_styler(config, find_resources(config)).stylize(
        FrameBatch("cold", to_tensor(content)[None], None, (1,))
    )
    return to_uint8(stylized.images[0])


def steady(config: Config) -> list[NDArray[Any]]:
    """What changes when the camera moves, beside the stylized frame: each alone, without motion, and ours.

    A window slides over the sample by STEP_PX per frame. A row: the first frame (in the first row, the last
    content frame), the last frame, and four times what differs from the previous frame once that is moved as the camera
    was.
    """
    scene = sample_frame(FRAME)
    contents = [scene[40 : 40 + HEIGHT_PX, 40 + STEP_PX * k : 40 + STEP_PX * k + WIDTH_PX] for k in range(MOVES)]
    contents = [np.ascontiguousarray(content) for content in contents]
    styler = build_styler(config, find_resources(config))
    images = []
    for way in ("alone", "without motion", "ours"):
        stylized: list[NDArray[np.uint8]] = []
        for index, content in enumerate(contents):
            batch = FrameBatch("cold", to_tensor(content)[None], None, (index,))
            if stylized and way == "without motion":
                batch = FrameBatch("warm", to_tensor(content)[None], to_tensor(stylized[-1])[None], (index,))
            elif stylized and way == "ours":
                motion = motion_between(
                    contents[index - 1], content, config.motion, from_index=index - 1, to_index=index
                )
                found = find_correspondence(contents[index - 1], content, motion)
                colors = styler.style_colors
                start = warm_start(content, {index - 1: stylized[-1]}, {index - 1: found}, style_colors=colors)
                assert start is not None
                tensors = (start.init[None], (index,), start.target[None], start.confidence[None])
                batch = FrameBatch("warm", to_tensor(content)[None], *tensors)
            stylized.append(to_uint8(styler.stylize(batch).images[0]))
        difference = np.zeros_like(stylized[-1])
        change = stylized[-1][:, :-STEP_PX].astype(int) - stylized[-2][:, STEP_PX:]
        difference[:, :-STEP_PX] = np.clip(4 * np.abs(change), 0, 255)
        images += [contents[-1] if way == "alone" else stylized[0], stylized[-1], difference]
    return images


def mixed(first: Config, second: Config, weight: float) -> Config:
    """The style image of the first with weight 100, and the second's with the given one."""
    other = second.style.images[0].model_copy(update={"weight": float(weight)})
    images = (*first.style.images, other)
    return first.model_copy(update={"style": first.style.model_copy(update={"images": images})})


def grid(images: list[NDArray[Any]], columns: int) -> NDArray[Any]:
    """Images of one size in rows, a thin white line between them."""
    height, width, _ = images[0].shape
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + 4) - 4, columns * (width + 4) - 4, 3), 255, np.uint8)
    for position, image in enumerate(images):
        top, left = position // columns * (height + 4), position % columns * (width + 4)
        sheet[top : top + height, left : left + width] = image
    return sheet


def save(name: str, image: NDArray[Any]) -> None:
    Image.fromarray(image).save(DOCS / name, quality=85, optimize=True)
    print(DOCS / name, f"{(DOCS / name).stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
