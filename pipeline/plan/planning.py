"""From a source, its shots and the wanted styles to a plan: the chains, and the identity of the render.

The identity is everything that changes pixels, flat, as `"section.key": value`; its SHA-256 is the digest that a render
directory is compared by. Where a setting points to something (a picture, weights), the identity has the digest of the
content instead of the path, and where a setting says "auto" it has what was chosen. Batch size, device, workers, codec
and finishing are not in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from pipeline.config.catalog import shipped_picture
from pipeline.config.reading import parse_config
from pipeline.config.settings import IDENTITY_SECTIONS, Config
from pipeline.errors import ConfigError, RenderDirectoryError, UsageError
from pipeline.plan.plan_file import (
    EXPOSURE_KEY,
    canonical_json,
    check_plan,
    check_same,
    exposure_digest,
    identity_digest,
    plan_from_json,
    plan_to_json,
)
from pipeline.types import Chain, RenderPlan, Shot, Source, ToneCurve

__all__ = [
    "ALGORITHM",
    "ResolvedStyle",
    "absolute_source",
    "check_names",
    "check_same",
    "frame_seed",
    "make_chains",
    "make_identity",
    "make_plan",
    "output_paths",
    "plan_from_json",
    "plan_to_json",
    "relative_path",
    "style_configs",
    "weights_paths",
]

ALGORITHM: Final = 2
"""Raised with every change of the code that changes pixels, so that no render is continued by other arithmetic."""

_SLUG_LENGTH: Final = 40


@dataclass(frozen=True, slots=True)
class ResolvedStyle:
    """A style with everything that its config leaves open found out.

    `image_digests` are the SHA-256 of the bytes of each of `config.style.images`; `init_digest` that of the picture
    named by `optimize.cold.init` ("" if it names none), `segment_frames` what `motion.segment_frames` came down to,
    `flow_digest` that of the weights of the flow network.
    `encoder` and `encoder_digest` name the feature network that
    was chosen and its weights ("" for a styler without one); `weights` is the weights file, if the user gave one. Paths
    in `config` are absolute or relative to the current folder. `name` must be unique among the styles of a render: it
    enters the seeds.
    """

    name: str
    config: Config
    image_digests: tuple[str, ...]
    encoder: str
    encoder_digest: str
    precision: Literal["float32", "bfloat16"]
    init_digest: str = ""
    weights: Path | None = None
    segment_frames: int = 0
    flow_digest: str = ""


def frame_seed(render_seed: int, style: str, frame_index: int) -> int:
    """Seed of one frame, 0 <= seed < 2**63: the same whatever else is rendered, in which order and where."""
    data = canonical_json([render_seed, style, frame_index])
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> 1


def make_chains(
    styles: Sequence[str],
    shots: Sequence[Shot],
    seeds: Sequence[int],
    segment_frames: Sequence[int] = (),
    holds: Sequence[int] = (),
) -> tuple[Chain, ...]:
    """The chains of every style and shot, style by style; `seeds` holds one seed per style.

    One chain for a shot; or, where the style's `segment_frames` is above 0 and the shot is much longer than that, a
    chain of keyframes and one chain for each segment. Segments begin at multiples of the style's hold.

    Ids are safe folder names on every system and differ also where names differ only by case or by what is not ASCII:
    `swirl-s000`, and for a second style that comes down to `swirl`: `swirl-2-s000`; with segments `swirl-s000-keys`,
    `swirl-s000-p000`, `swirl-s000-p001`, ...
    """
    chains: list[Chain] = []
    taken: set[str] = set()
    for place, (style, seed) in enumerate(zip(styles, seeds, strict=True)):
        slug = base = _slug(style)
        number = 2
        while slug in taken:
            slug = f"{base}-{number}"
            number += 1
        taken.add(slug)
        for shot in shots:
            name = f"{slug}-s{shot.index:03d}"
            length = _segment_length(shot, segment_frames[place] if segment_frames else 0, holds[place] if holds else 1)
            if length == 0:
                chains.append(Chain(name, style, shot.index, shot.start, shot.stop, lead_in=0, seed=seed))
                continue
            keys = Chain(f"{name}-keys", style, shot.index, shot.start, shot.stop, lead_in=0, seed=seed, step=length)
            chains.append(keys)
            for part, start in enumerate(keys.frames):
                stop = min(start + length, shot.stop)
                chains.append(Chain(f"{name}-p{part:03d}", style, shot.index, start, stop, 0, seed, keys=keys.id))
    return tuple(chains)


def _segment_length(shot: Shot, wanted: int, hold: int) -> int:
    """Length of the segments that a shot is split into, all about equal; 0 if it stays whole."""
    count = shot.stop - shot.start
    parts = round(count / wanted) if wanted else 1
    if parts < 2:
        return 0
    length = max(2, -(-count // parts))
    length = -(-length // hold) * hold
    return length if length < count else 0


def make_identity(
    source: Source,
    width_px: int,
    height_px: int,
    shots: Sequence[Shot],
    styles: Sequence[ResolvedStyle],
    exposure: Sequence[ToneCurve] = (),
) -> dict[str, Any]:
    """Everything that changes pixels, flat. Raises ConfigError if two styles want the input read differently."""
    identity: dict[str, Any] = {
        "algorithm": ALGORITHM,
        "source.digest": source.digest,
        "source.frames": _runs(source.picks),
        "geometry.width_px": width_px,
        "geometry.height_px": height_px,
        "shots": [[shot.start, shot.stop] for shot in shots],
    }
    if exposure:
        identity[EXPOSURE_KEY] = exposure_digest(exposure)
    first = styles[0]
    identity.update(_flat("input", _plain(first.config.input.model_dump())))
    for style in styles[1:]:
        for key, value in _flat("input", _plain(style.config.input.model_dump())).items():
            if identity[key] != value:
                raise ConfigError(
                    f"styles {first.name!r} and {style.name!r} read the input differently: "
                    f"{key} is {identity[key]!r} and {value!r}",
                    hint=f"say which one holds for both, as --set {key}={identity[key]}",
                )
    for style in styles:
        identity.update(_flat(f"styles.{style.name}", _style_identity(style)))
    return identity


def check_names(styles: Sequence[str]) -> None:
    """Raise UsageError if there is no style, or if two have the same name."""
    if not styles:
        raise UsageError("no style given", hint="add --style with a shipped style, a .yaml file or a painting")
    twice = next((name for name in styles if styles.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two styles are named {twice!r}", hint="give one of them another name with the key `name` of its config"
        )


def make_plan(
    source: Source,
    width_px: int,
    height_px: int,
    shots: Sequence[Shot],
    styles: Sequence[ResolvedStyle],
    *,
    outputs: Mapping[str, str | Path],
    render_dir: Path,
    exposure: Sequence[ToneCurve] = (),
) -> RenderPlan:
    """Decide everything before the first frame.

    `width_px` and `height_px` are the size of the painted frames; `shots` cover all frames of the source without gap;
    `outputs` maps style names to videos; `exposure` has a tone curve for every frame or is empty. Paths are taken
    relative to the current folder and stored relative to `render_dir`. Raises UsageError if two styles have the same
    name, ConfigError if they want the input read differently, ValueError (a bug of the caller) if shots, curves or
    sizes make no sense.
    """
    names = [style.name for style in styles]
    check_names(names)
    identity = make_identity(source, width_px, height_px, shots, styles, exposure)
    plan = RenderPlan(
        digest=identity_digest(identity),
        identity=identity,
        source=_with_paths(source, lambda path: relative_path(path, render_dir)),
        width_px=width_px,
        height_px=height_px,
        shots=tuple(shots),
        chains=make_chains(
            names,
            shots,
            [style.config.seed for style in styles],
            [style.segment_frames for style in styles],
            [style.config.motion.hold for style in styles],
        ),
        styles={style.name: _relative_config(style.config, render_dir) for style in styles},
        outputs={name: relative_path(path, render_dir) for name, path in outputs.items()},
        weights={style.name: relative_path(style.weights, render_dir) for style in styles if style.weights is not None},
        exposure=tuple(exposure),
    )
    check_plan(plan)
    return plan


def absolute_source(plan: RenderPlan, render_dir: Path) -> Source:
    """The plan's source with paths that work from the current folder, wherever the render directory is now."""
    return _with_paths(plan.source, lambda path: str(_absolute(path, render_dir)))


def output_paths(plan: RenderPlan, render_dir: Path) -> dict[str, Path]:
    """Where each style's video belongs, absolute."""
    return {name: _absolute(path, render_dir) for name, path in plan.outputs.items()}


def weights_paths(plan: RenderPlan, render_dir: Path) -> dict[str, Path]:
    """The weights file of each style that was given one, absolute."""
    return {name: _absolute(path, render_dir) for name, path in plan.weights.items()}


def style_configs(plan: RenderPlan, render_dir: Path) -> dict[str, Config]:
    """The resolved config of each style, with absolute paths.

    Raises RenderDirectoryError if this version of Tempera does not understand one.
    """
    configs = {}
    for name, settings in plan.styles.items():
        try:
            configs[name] = parse_config(
                _map_paths(settings, lambda path: shipped_picture(_absolute(str(path), render_dir))),
                where=f"style {name!r} of the plan",
            )
        except (ConfigError, TypeError, LookupError) as error:
            raise RenderDirectoryError(
                f"{render_dir}: {error}",
                hint="this render was begun by another version of Tempera: continue it with that one, or begin anew "
                "with --fresh (the old folder is moved aside) or another --workdir",
            ) from None
    return configs


def _style_identity(style: ResolvedStyle) -> dict[str, Any]:
    """The settings of a style that change pixels, with digests for paths and choices for "auto"."""
    settings: dict[str, Any] = _plain(style.config.model_dump(include=set(IDENTITY_SECTIONS)))
    images = settings["style"]["images"]
    for image, digest in zip(images, style.image_digests, strict=True):
        del image["path"]
        image["digest"] = digest
    cold = settings["optimize"]["cold"]
    if isinstance(style.config.optimize.cold.init, Path):
        if not style.init_digest:
            raise ValueError(f"style {style.name!r} starts from a picture whose digest is not given")
        cold["init"] = style.init_digest
    settings["encoder"] = {"name": style.encoder, "digest": style.encoder_digest}
    settings["optimize"]["precision"] = style.precision
    settings["motion"]["segment_frames"] = style.segment_frames
    if style.flow_digest:
        settings["motion"]["method"] = {"name": style.config.motion.method, "digest": style.flow_digest}
    return settings


def _relative_config(config: Config, render_dir: Path) -> dict[str, Any]:
    settings = config.model_dump(by_alias=True)
    mapped: dict[str, Any] = _plain(_map_paths(settings, lambda path: relative_path(path, render_dir)))
    return mapped


def _map_paths(settings: Mapping[str, Any], change: Callable[[str | Path], str | Path]) -> dict[str, Any]:
    """A copy of a config's data in which every path is changed by `change`."""
    result = dict(settings)
    style = result["style"] = dict(result["style"])
    style["images"] = [{**image, "path": change(image["path"])} for image in style["images"]]
    optimize = result["optimize"] = dict(result["optimize"])
    cold = optimize["cold"] = dict(optimize["cold"])
    if cold["init"] not in ("content", "noise"):
        cold["init"] = change(cold["init"])
    return result


def _with_paths(source: Source, change: Callable[[str], str]) -> Source:
    return replace(source, path=change(source.path), files=tuple(change(file) for file in source.files))


def relative_path(path: str | Path, render_dir: Path) -> str:
    """A path as seen from the render directory, with forward slashes; absolute if it is on another drive.

    Folders are resolved first: going up from a folder that was reached through a link leads elsewhere.
    """
    resolved = Path(os.path.realpath(Path(path).parent), Path(path).name)
    try:
        return Path(os.path.relpath(resolved, os.path.realpath(render_dir))).as_posix()
    except ValueError:
        return resolved.as_posix()


def _absolute(path: str, render_dir: Path) -> Path:
    return Path(os.path.normpath(Path(os.path.realpath(render_dir)) / path))


def _runs(picks: Sequence[int]) -> str:
    """Which decoded frames are rendered, short: `0:48`, `0:96:2`, `0:10,20:30`. Different picks never read the same."""
    parts = []
    place = 0
    while place < len(picks):
        step = picks[place + 1] - picks[place] if place + 1 < len(picks) else 1
        stop = place + 1
        while stop < len(picks) and picks[stop] - picks[stop - 1] == step:
            stop += 1
        if step < 1:
            step, stop = 1, place + 1
        end = picks[stop - 1] + 1
        parts.append(f"{picks[place]}:{end}" if step == 1 else f"{picks[place]}:{end}:{step}")
        place = stop
    return ",".join(parts)


def _plain(value: Any) -> Any:
    """Plain JSON data: tuples become lists, paths become text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"prefix.a.b": 1}`; entries of a list of mappings are numbered, other lists stay whole."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(number): item for number, item in enumerate(value)}
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat.update(_flat(f"{prefix}.{key}", item))
    return flat


def _slug(name: str) -> str:
    """A style's name as lower-case ASCII letters, digits and hyphens; "style" if nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_SLUG_LENGTH].strip("-") or "style"
