"""Cold frames beside the reference images: the content, the reference, ours, with evaluations and seconds.

    python scripts/bench/stills.py --data DATA -o sheet.png [--encoder compact] [--set KEY=VALUE ...]

DATA holds `photo/`, `style/` and `reference/<content>__<style>.png`. `--pairs` takes other pairs, for which there is
no reference. The last line is JSON: losses, evaluations and seconds of every image.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from pipeline.config.catalog import load_style
from pipeline.media.image.arrays import fit_size, resize, to_tensor, to_uint8
from pipeline.media.image.contact_sheet import contact_sheet
from pipeline.media.image.load import load_rgb
from pipeline.media.image.png import save_png
from pipeline.stylers.resources import find_resources
from pipeline.stylers.table import build_styler
from pipeline.types import FrameBatch

HARD_PAIRS = (
    "tubingen__kandinsky_composition_vii_1913",
    "chelsea__munch_the_scream_1893",
    "coffee__vangogh_bedroom_in_arles_1888",
    "rocket__vangogh_starry_night_1889",
    "kodim03__hokusai_great_wave_c1831",
    "denali__monet_impression_sunrise_1872",
    "silver_fir__gauguin_te_fare_1892",
    "el_torcal_rocks__turner_shipwreck_of_the_minotaur_c1810",
    "frozen_shore__monet_san_giorgio_maggiore_1908",
    "chelsea__leonardo_mona_lisa_c1503",
    "coffee__degas_dance_foyer_1872",
    "tubingen__picabia_udnie_1913",
)
"""Twelve more pairs of different character, to find where the defaults fail."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True, help="contact sheet, a .png")
    parser.add_argument("--encoder", default="compact")
    parser.add_argument("--size", type=int, default=512, help="longer side in px")
    parser.add_argument("--set", action="append", default=[], help="a setting, key=value", dest="sets")
    parser.add_argument("--pairs", nargs="*", help="content__style; 'hard' for a dozen difficult ones")
    options = parser.parse_args()
    references = sorted((options.data / "reference").glob("*__*.png"))
    pairs = options.pairs or [path.stem for path in references]
    if pairs == ["hard"]:
        pairs = list(HARD_PAIRS)
    rows, figures = [], []
    for pair in pairs:
        content_name, style_name = pair.split("__")
        content = shown(find(options.data / "photo", content_name), options.size)
        image, figure = stylize(find(options.data / "style", style_name), content, options)
        caption = f"{figure['evaluations']} evaluations, {figure['seconds']:.0f} s, loss {figure['loss']:.3f}"
        row = [(content_name, content), (f"ours: {caption}", image)]
        reference = options.data / "reference" / f"{pair}.png"
        if reference.is_file():
            row.insert(1, (f"reference: 1500 evaluations, {style_name}", load_rgb(reference)))
        else:
            row.insert(1, (style_name, shown(find(options.data / "style", style_name), options.size)))
        rows.append(row)
        figures.append({"pair": pair, **figure})
        sys.stderr.write(f"{pair}: {caption}\n")
        save_png(options.output, contact_sheet(rows))
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    sys.stdout.write(
        json.dumps({"machine": machine, "encoder": options.encoder, "sets": options.sets, "pairs": figures}) + "\n"
    )


def stylize(
    style_image: Path, content: NDArray[Any], options: argparse.Namespace
) -> tuple[NDArray[Any], dict[str, Any]]:
    config = load_style(str(style_image), [f"encoder={options.encoder}", *options.sets])
    styler = build_styler(config, find_resources(config))
    began = time.perf_counter()
    stylized = styler.stylize(FrameBatch("cold", to_tensor(content)[None], None, (0,)))
    seconds = time.perf_counter() - began
    stats = stylized.stats[0]
    figure = {
        "evaluations": stats.evaluations,
        "seconds": round(seconds, 2),
        "loss": round(stats.loss, 4),
        "content_loss": round(stats.content_loss, 4),
        "style_loss": round(stats.style_loss, 6),
        "tv_loss": round(stats.tv_loss, 5),
    }
    return to_uint8(stylized.images[0]), figure


def find(folder: Path, stem: str) -> Path:
    return next(path for path in sorted(folder.iterdir()) if path.stem == stem)


def shown(path: Path, size: int) -> NDArray[Any]:
    rgb = load_rgb(path)
    height, width = rgb.shape[:2]
    landscape = width >= height
    return resize(rgb, *fit_size(width, height, size if landscape else None, None if landscape else size))


if __name__ == "__main__":
    main()
