"""Plans for tests: a config, a resolved style, a source and the plan made of them, each with changes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pipeline.config.reading import parse_config
from pipeline.config.settings import Config
from pipeline.plan.identity import RegionDigests, ResolvedStyle
from pipeline.plan.planning import make_plan
from pipeline.types import RenderPlan, Shot, Source

DIGEST = "0" * 64
CURVE = (10, -20, 30, 0, 0, 750, -5, 0, -750)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=20)


def a_config(**changes: Any) -> Config:
    data = {"schema": 1, "name": "swirl", "style": {"images": [{"path": "/art/a.png"}, {"path": "/art/b.png"}]}}
    return parse_config({**data, **changes}, where="test")


def a_style(name: str = "swirl", config: Config | None = None, **changes: Any) -> ResolvedStyle:
    config = config or a_config()
    known: dict[str, Any] = {
        "image_digests": tuple(f"image {number}" for number in range(len(config.style.images))),
        "encoder": "compact",
        "encoder_digest": "weights",
        "precision": "float32",
        "init_digest": "start",
        "regions": tuple(RegionDigests(("image",) if it.style else (), {"image": "mask"}) for it in config.regions),
    }
    return ResolvedStyle(name=name, config=config, **{**known, **changes})


def a_source(frames: int = 6, **changes: Any) -> Source:
    known = {
        "path": "/media/in.mp4",
        "kind": "video",
        "files": (),
        "width_px": 64,
        "height_px": 48,
        "frame_rate": Fraction(30000, 1001),
        "time_base": Fraction(1, 90000),
        "pts": tuple(range(0, frames * 3003, 3003)),
        "duration_ticks": 3003,
        "decoded_indices": tuple(range(frames)),
        "digest": DIGEST,
    }
    return Source(**{**known, **changes})


def a_plan(*styles: ResolvedStyle, source: Source | None = None, **changes: Any) -> RenderPlan:
    source = source or a_source()
    known: dict[str, Any] = {"width_px": 64, "height_px": 48, "shots": (Shot(0, 0, source.frame_count),)}
    known |= {"outputs": {}, "render_dir": Path("/out/x.render")}
    return make_plan(source, styles=styles or (a_style(),), **{**known, **changes})


def shots_of(cuts: list[int]) -> tuple[Shot, ...]:
    edges = sorted(set(cuts))
    return tuple(Shot(index, a, b) for index, (a, b) in enumerate(zip([0, *edges], edges, strict=False)))


def value_at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data
