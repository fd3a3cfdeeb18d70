"""The plan: chains, seeds, the digest of every setting that changes pixels, and the validation of its file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.reading import config_schema, parse_config
from pipeline.config.settings import IDENTITY_SECTIONS, Config
from pipeline.errors import ConfigError, RenderDirectoryError, UsageError
from pipeline.plan.chains import StyleChains, frame_seed, make_chains
from pipeline.plan.identity import ResolvedStyle, check_same, identity_digest
from pipeline.plan.paths import absolute_source, output_paths, style_configs, weights_paths
from pipeline.plan.plan_file import plan_from_json, plan_to_json
from pipeline.plan.planning import make_plan
from pipeline.plan.segments import Segments
from pipeline.runtime.hashing import canonical_json
from pipeline.types import Chain, ColorTags, RenderPlan, Shot, Source

DIGEST = "0" * 64
CURVE = (10, -20, 30, 0, 0, 750, -5, 0, -750)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=20)


def a_config(**changes: Any) -> Config:
    data = {"schema": 1, "name": "swirl", "style": {"images": [{"path": "/art/a.png"}, {"path": "/art/b.png"}]}}
    return parse_config({**data, **changes}, where="test")


def a_style(name: str = "swirl", config: Config | None = None, **changes: Any) -> ResolvedStyle:
    config = config or a_config()
    known = {
        "image_digests": tuple(f"image {number}" for number in range(len(config.style.images))),
        "encoder": "compact",
        "encoder_digest": "weights",
        "precision": "float32",
        "init_digest": "start",
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


# --- chains and seeds ---------------------------------------------------------------------------------------------


@given(st.lists(NAMES, min_size=1, max_size=5), st.lists(st.integers(1, 200), min_size=1, max_size=12))
def test_chains_cover_every_frame_once_per_style_and_never_cross_a_cut(names: list[str], cuts: list[int]) -> None:
    shots = shots_of(cuts)
    chains = make_chains([StyleChains(name, seed) for seed, name in enumerate(names)], shots)
    assert len({chain.id.casefold() for chain in chains}) == len(chains)
    for chain in chains:
        shot = shots[chain.shot]
        assert shot.start <= chain.start < chain.stop <= shot.stop
        assert chain.id.isascii() and chain.id == chain.id.lower() and not set(chain.id) & set(' ./\\:*?"<>|')
    for seed, name in enumerate(names):
        mine = [chain for chain in chains if chain.seed == seed]
        assert {chain.style for chain in mine} == {name}
        frames = [frame for chain in mine for frame in range(chain.start, chain.stop)]
        assert frames == list(range(max(cuts)))


def test_chain_ids_differ_where_names_differ_only_by_case_or_accents() -> None:
    names = ["Swirl", "swirl", "été", "ete", "墨", "水", "a/b", "swirl-2", "con"]
    ids = [chain.id for chain in make_chains([StyleChains(name, 0) for name in names], [Shot(0, 0, 1)])]
    assert ids == [
        "swirl-s000",
        "swirl-2-s000",
        "ete-s000",
        "ete-2-s000",
        "style-s000",
        "style-2-s000",
        "a-b-s000",
        "swirl-2-2-s000",
        "con-s000",
    ]


def test_frame_seeds_are_known_and_distinct() -> None:
    expected = int.from_bytes(hashlib.sha256(b'[7,"swirl",3]').digest()[:8], "big") >> 1
    assert frame_seed(7, "swirl", 3) == expected
    seeds = {frame_seed(seed, style, index) for seed in range(5) for style in "ab" for index in range(100)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


# --- the digest ---------------------------------------------------------------------------------------------------


def leaves(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Path of every single setting in a config's data; lists of plain values are one setting."""
    if isinstance(data, dict) and data:
        return [leaf for key, value in data.items() for leaf in leaves(value, (*path, key))]
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return [leaf for key, value in enumerate(data) for leaf in leaves(value, (*path, key))]
    return [path]


def value_at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def words(schema: Any) -> list[Any]:
    """Every named choice of any setting, from the JSON Schema."""
    if isinstance(schema, dict):
        found = list(schema.get("enum", [])) + ([schema["const"]] if "const" in schema else [])
        return found + [word for value in schema.values() for word in words(value)]
    return [word for value in schema for word in words(value)] if isinstance(schema, list) else []


def test_long_shot_is_split_into_segments_that_start_from_keyframes() -> None:
    shots = (Shot(0, 0, 100), Shot(1, 100, 110))
    chains = make_chains([StyleChains("Swirl", 7, segment_frames=24, hold=2)], shots)
    keyframes, *segments, short = chains
    assert (keyframes.id, keyframes.interval, keyframes.in_output) == ("swirl-s000-keys", 26, False)
    assert list(keyframes.frames) == [segment.start for segment in segments] == [0, 26, 52, 78]
    last = segments[-1]
    assert (last.id, last.stop, last.keyframe_chain) == ("swirl-s000-p003", 100, keyframes.id)
    assert (short.id, short.start, short.stop, short.keyframe_chain) == ("swirl-s001", 100, 110, "")


def test_dependents_of_a_keyframe_are_the_segments_that_start_from_it_or_approach_it() -> None:
    keyframes, *segments = make_chains([StyleChains("a", 0, segment_frames=4)], [Shot(0, 0, 12)])
    dependencies = Segments([keyframes, *segments])
    first, second, third = segments
    assert [dependencies.next_keyframe(segment) for segment in segments] == [4, 8, None]
    assert all(dependencies.keyframes(segment) == keyframes for segment in segments)
    assert dependencies.keyframes(keyframes) is None
    everything = {keyframes.id: 0, first.id: 0, second.id: 4, third.id: 8}
    assert dependencies.dependents(keyframes, 0) == everything
    assert dependencies.dependents(keyframes, 4) == everything | {keyframes.id: 4}
    assert dependencies.dependents(keyframes, 8) == {keyframes.id: 8, second.id: 4, third.id: 8}
    assert dependencies.dependents(keyframes, keyframes.stop) == {}
    assert dependencies.dependents(second, 6) == {second.id: 6}


@given(st.integers(1, 300), st.integers(0, 60), st.integers(1, 5))
def test_segments_cover_every_frame_once(count: int, wanted: int, hold: int) -> None:
    chains = make_chains([StyleChains("a", 0, wanted, hold)], [Shot(0, 0, count)])
    covered = [index for chain in chains if chain.in_output for index in chain.frames]
    assert covered == list(range(count))
    for chain in chains:
        assert chain.interval % hold == 0 or chain.interval == 1
        if chain.keyframe_chain:
            (keys,) = (other for other in chains if other.id == chain.keyframe_chain)
            assert chain.start in keys.frames


def neighbor(config: Config, path: tuple[Any, ...]) -> Config | None:
    """The same config with one setting changed to some other valid value; None if there is no other value."""
    data = json.loads(config.model_dump_json(by_alias=True))
    old = value_at(data, path)
    numbers = [old + 1, old - 1, old * 2, old / 2] if type(old) in (int, float) else []
    others = [*numbers, 0.5, 0.1, 1, *sorted(set(words(config_schema())), key=str), "other", True, False]
    for new in [[*old[:-1], 0.9], [*old[:-1], 9], *others] if isinstance(old, list) else others:
        if new == old:
            continue
        value_at(data, path[:-1])[path[-1]] = new
        try:
            changed = parse_config(data, where="test")
        except ConfigError:
            continue
        if changed != config:
            return changed
    return None


EVERY_SETTING = leaves(json.loads(a_config().model_dump_json(by_alias=True)))
# Settings that the plan replaces: an image by the digest of its content, "auto" by what was chosen.
RESOLVED = {("encoder",), ("optimize", "precision"), ("motion", "segment_frames")} | {
    ("style", "images", index, "path") for index in (0, 1)
}
OUTSIDE = {"schema", "name", "description", "output", "runtime"}


def test_every_section_of_the_config_is_inside_or_outside_the_identity() -> None:
    top = {path[0] for path in EVERY_SETTING}
    assert top == {*IDENTITY_SECTIONS, "input"} | OUTSIDE
    assert not OUTSIDE & {*IDENTITY_SECTIONS, "input"}


@pytest.mark.parametrize("path", EVERY_SETTING, ids=lambda path: ".".join(map(str, path)))
def test_digest_has_every_setting_that_changes_pixels_and_no_other(path: tuple[Any, ...]) -> None:
    changed = neighbor(a_config(), path)
    if changed is None:
        assert path == ("schema",)
        return
    before, after = a_plan(a_style()), a_plan(a_style(config=changed))
    if path[0] in OUTSIDE or path in RESOLVED:
        assert after.digest == before.digest
        assert after.styles != before.styles
    else:
        assert after.digest != before.digest
        with pytest.raises(RenderDirectoryError, match=str(path[-1])):
            check_same(before, after)


@pytest.mark.parametrize(
    "changed",
    [
        a_plan(a_style(encoder="vgg19")),
        a_plan(a_style(encoder_digest="other")),
        a_plan(a_style(precision="bfloat16")),
        a_plan(a_style(image_digests=("image 0", "other"))),
        a_plan(a_style(image_digests=("image 1", "image 0"))),
        a_plan(a_style("other name")),
        a_plan(a_style(), a_style("second")),
        a_plan(width_px=66),
        a_plan(height_px=50),
        a_plan(shots=(Shot(0, 0, 3), Shot(1, 3, 6))),
        a_plan(source=a_source(digest="1" * 64)),
        a_plan(source=a_source(decoded_indices=(0, 1, 2, 3, 4, 6))),
        a_plan(source=a_source(frames=5)),
        a_plan(exposure=(CURVE, (), (), (), (), ())),
    ],
    ids=str,
)
def test_digest_has_encoder_images_geometry_shots_and_source(changed: RenderPlan) -> None:
    assert changed.digest != a_plan().digest


@pytest.mark.parametrize(
    "changed",
    [
        a_plan(outputs={"swirl": "elsewhere.mkv"}),
        a_plan(render_dir=Path("/elsewhere/y.render")),
        a_plan(a_style(weights=Path("/weights/v.pth"))),
        a_plan(source=a_source(path="/moved/in.mp4", notes=("a gap",), has_audio=True)),
        a_plan(source=a_source(pts=(0, 1, 2, 5, 8, 9), frame_rate=Fraction(24))),
    ],
    ids=str,
)
def test_paths_and_timing_are_not_in_the_digest(changed: RenderPlan) -> None:
    assert changed.digest == a_plan().digest


def test_order_of_styles_is_not_in_the_digest() -> None:
    assert a_plan(a_style("a"), a_style("b")).digest == a_plan(a_style("b"), a_style("a")).digest


def test_start_image_is_identified_by_its_content() -> None:
    at = a_config(optimize={"cold": {"init": "/art/start.png"}})
    moved = a_config(optimize={"cold": {"init": "/moved/start.png"}})
    assert a_plan(a_style(config=at, init_digest="x")).digest == a_plan(a_style(config=moved, init_digest="x")).digest
    assert a_plan(a_style(config=at, init_digest="x")).digest != a_plan(a_style(config=at, init_digest="y")).digest
    with pytest.raises(ValueError, match="digest"):
        a_plan(a_style(config=at, init_digest=""))


def test_digest_is_stable() -> None:
    """Older renders must remain resumable: where this fails, `ALGORITHM` or the canonical form has changed."""
    assert (
        identity_digest({"b": 0.1, "a": [1, None, "é"]})
        == hashlib.sha256(b'{"a":[1,null,"\\u00e9"],"b":0.1}').hexdigest()
    )
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": float("nan")})


@given(st.lists(st.integers(0, 60), min_size=1, max_size=20), st.lists(st.integers(0, 60), min_size=1, max_size=20))
def test_different_frame_choices_have_different_identities(one: list[int], two: list[int]) -> None:
    plans = [
        a_plan(source=a_source(frames=len(decoded_indices), decoded_indices=tuple(decoded_indices)))
        for decoded_indices in (one, two)
    ]
    assert (plans[0].identity["source.frames"] == plans[1].identity["source.frames"]) == (one == two)


def test_frame_choices_are_written_as_ranges() -> None:
    def shown(*decoded_indices: int) -> Any:
        return a_plan(source=a_source(frames=len(decoded_indices), decoded_indices=decoded_indices)).identity[
            "source.frames"
        ]

    assert shown(*range(10, 20)) == "10:20"
    assert shown(0, 2, 4, 6) == "0:7:2"
    assert shown(3) == "3:4"


# --- refusing other settings --------------------------------------------------------------------------------------


def test_refusal_names_each_difference_and_both_options() -> None:
    wanted = a_plan(
        a_style(config=a_config(losses={"tv": {"weight": 3}, "style": {"layers": {"relu1_1": 1}}})), width_px=32
    )
    with pytest.raises(RenderDirectoryError) as caught:
        check_same(a_plan(), wanted, where="x.render")
    message = caught.value.message
    assert message.splitlines()[0] == "x.render: holds a render with other settings"
    assert "  geometry.width_px: there 64, now 32" in message
    assert "  styles.swirl.losses.tv.weight: there 0.5, now 3.0" in message
    assert "  styles.swirl.losses.style.layers.relu2_1: there 64.0, now not set" in message
    assert len(message.splitlines()) == 8
    assert "--fresh" in caught.value.hint and "--workdir" in caught.value.hint and "same settings" in caught.value.hint


def test_difference_of_styles_is_reported_in_one_line() -> None:
    with pytest.raises(RenderDirectoryError) as caught:
        check_same(a_plan(), a_plan(a_style("ink")))
    assert caught.value.message.splitlines()[1:] == ["  styles: there swirl, now ink"]


def test_equal_plans_are_accepted() -> None:
    check_same(a_plan(), a_plan())


# --- making a plan ------------------------------------------------------------------------------------------------


def test_styles_with_equal_names_are_refused() -> None:
    with pytest.raises(UsageError, match="'swirl'"):
        a_plan(a_style(), a_style())


def test_styles_must_agree_on_how_the_input_is_read() -> None:
    other = a_style("ink", a_config(input={"cuts": "none"}))
    with pytest.raises(ConfigError, match=r"input\.cuts") as caught:
        a_plan(a_style(), other)
    assert "--set input.cuts=auto" in caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"shots": ()},
        {"shots": (Shot(0, 0, 5),)},
        {"shots": (Shot(0, 0, 3), Shot(1, 4, 6))},
        {"shots": (Shot(0, 0, 4), Shot(1, 3, 6))},
        {"shots": (Shot(1, 0, 6),)},
        {"width_px": 0},
        {"outputs": {"unknown": "x.mp4"}},
        {"source": a_source(decoded_indices=(0,))},
        {"source": a_source(pts=(0, 1, 2, 2, 3, 4))},
        {"source": a_source(frames=0), "shots": ()},
    ],
    ids=str,
)
def test_impossible_arguments_are_a_value_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        a_plan(**wrong)


def test_paths_are_relative_and_remain_valid_after_a_move(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "out").mkdir(parents=True)
    config = a_config(
        style={"images": [{"path": str(home / "art" / "a.png")}]}, optimize={"cold": {"init": str(home / "s.png")}}
    )
    source = a_source(
        kind="photos", path=str(home / "in"), files=(str(home / "in" / "1.jpg"), str(home / "in" / "2 ü.jpg"))
    )
    style = a_style(config=config, init_digest="x", weights=home / "w.pth")
    plan = a_plan(style, source=source, outputs={"swirl": home / "x.mp4"}, render_dir=home / "out" / "x.render")
    assert str(tmp_path) not in plan_to_json(plan)
    moved = tmp_path / "moved"
    home.rename(moved)
    render_dir = moved / "out" / "x.render"
    assert absolute_source(plan, render_dir).files == (str(moved / "in" / "1.jpg"), str(moved / "in" / "2 ü.jpg"))
    assert absolute_source(plan, render_dir).path == str(moved / "in")
    assert output_paths(plan, render_dir) == {"swirl": moved / "x.mp4"}
    assert weights_paths(plan, render_dir) == {"swirl": moved / "w.pth"}
    back = style_configs(plan, render_dir)["swirl"]
    assert back.style.images[0].path == moved / "art" / "a.png"
    assert back.optimize.cold.init == moved / "s.png"


def test_render_directory_behind_a_link_finds_its_source(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    plan = a_plan(source=a_source(path=str(tmp_path / "in.mp4")), render_dir=tmp_path / "link" / "x.render")
    for folder in (tmp_path / "link", tmp_path / "deep" / "er"):
        assert absolute_source(plan, folder / "x.render").path == str(tmp_path / "in.mp4")


def test_paths_are_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = a_plan(source=a_source(path="in.mp4"), outputs={"swirl": "out/x.mp4"}, render_dir=Path("out/x.render"))
    assert plan.source.path == "../../in.mp4"
    assert plan.outputs == {"swirl": "../x.mp4"}
    monkeypatch.chdir("/")
    assert output_paths(plan, tmp_path / "out" / "x.render") == {
        "swirl": Path(os.path.realpath(tmp_path)) / "out/x.mp4"
    }


def test_resolved_config_is_restored_from_the_file() -> None:
    config = a_config(losses={"tv": {"weight": 0.1}}, runtime={"batch_size": 3}, output={"crf": 20}, seed=9)
    plan = plan_from_json(plan_to_json(a_plan(a_style(config=config))))
    assert style_configs(plan, Path("/out/x.render"))["swirl"] == config


def test_config_of_another_version_is_refused_with_a_hint() -> None:
    plan = a_plan()
    plan = dataclasses.replace(plan, styles={"swirl": {**plan.styles["swirl"], "future": 1}})
    with pytest.raises(RenderDirectoryError, match="future"):
        style_configs(plan, Path("/out/x.render"))


# --- the file -----------------------------------------------------------------------------------------------------

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
NOT_UTF8 = st.sampled_from([chr(code) for code in range(0xDC80, 0xDD00)])  # as Python reads such bytes
FILE_NAMES = st.text(CHARACTERS | NOT_UTF8, min_size=1, max_size=12)


@st.composite
def plans(draw: st.DrawFn) -> RenderPlan:
    shots = shots_of(draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)))
    count = shots[-1].stop
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    ticks = draw(st.lists(st.integers(-(10**12), 10**12), min_size=count, max_size=count, unique=True).map(sorted))
    tag = st.none() | st.text(max_size=5)
    source = Source(
        path=draw(FILE_NAMES),
        kind=draw(st.sampled_from(["video", "photos"])),
        files=tuple(draw(st.lists(FILE_NAMES, max_size=3))),
        width_px=draw(st.integers(1, 9999)),
        height_px=draw(st.integers(1, 9999)),
        frame_rate=draw(st.fractions("1/1000", 1000, max_denominator=1001)),
        time_base=draw(st.fractions("1/1000000", 1, max_denominator=10**6)),
        pts=tuple(ticks),
        duration_ticks=draw(st.integers(0, 10**9)),
        decoded_indices=tuple(draw(st.lists(st.integers(0, 10**6), min_size=count, max_size=count))),
        rotation_deg=draw(st.sampled_from([0, 90, 180, 270])),
        color=ColorTags(draw(tag), draw(tag), draw(tag), draw(st.none() | st.booleans())),
        has_audio=draw(st.booleans()),
        digest=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
        order=draw(st.text(max_size=8)),
        notes=tuple(draw(st.lists(st.text(max_size=30), max_size=2))),
        stream_index=draw(st.integers(0, 9)),
        stream_pts=draw(st.just(()) | st.just(tuple(7 * tick for tick in ticks))),
    )
    weight = st.floats(0, 1e9, allow_nan=False)
    styles = [
        a_style(name, a_config(losses={"tv": {"weight": draw(weight)}}, seed=draw(st.integers(0, 2**32 - 1))))
        for name in names
    ]
    outputs = {name: f"{name}.mp4" for name in names}
    curve = st.tuples(*[st.integers(-750, 750)] * len(CURVE)) | st.just(())
    exposure = draw(st.just([]) | st.lists(curve, min_size=count, max_size=count))
    return make_plan(
        source, 64, 48, shots, styles, outputs=outputs, render_dir=Path("/out/x.render"), exposure=exposure
    )


def test_file_has_every_field_of_source_and_chain() -> None:
    """`resume` knows only what the file has; without it a wrong stream could be read."""
    written = json.loads(plan_to_json(a_plan()))
    for kind, document in ((Source, written["source"]), (Chain, written["chains"][0])):
        assert set(document) == {field.name for field in dataclasses.fields(kind)}


@settings(deadline=None, max_examples=60)
@given(plans())
def test_plan_is_restored_exactly_from_its_file(plan: RenderPlan) -> None:
    text = plan_to_json(plan)
    back = plan_from_json(text)
    assert back == plan
    assert plan_to_json(back) == text
    assert text.isascii()


def test_any_changed_byte_is_detected() -> None:
    good = plan_to_json(a_plan()).encode()
    for at in range(0, len(good), 7):
        for bad in (good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], good[:at]):
            try:
                assert plan_from_json(bad) == a_plan()  # white space may change
            except RenderDirectoryError as error:
                assert "--fresh" in error.hint


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "1" * 10000,
        "[" * 100_000,
        '{"tempera_plan": 1}',
        '{"tempera_plan": NaN}',
        "\ufeff{}",
        '{"tempera_plan": 2}',
        '{"tempera_plan": true}',
        '{"tempera_plan": {"a": 1e999}}',
        '{"tempera_plan":1,"checksum":1}',
    ],
    ids=lambda text: text[:30],
)
def test_hostile_files_are_refused(hostile: str) -> None:
    with pytest.raises(RenderDirectoryError) as caught:
        plan_from_json(hostile, where="here/plan.json")
    assert caught.value.message.startswith("here/plan.json: ")
    assert caught.value.hint


def sealed(document: dict[str, Any]) -> str:
    """A document with a right digest and a right checksum, as an attacker would write it."""
    document = {key: value for key, value in document.items() if key != "checksum"}
    if isinstance(document.get("identity"), dict):
        document["digest"] = identity_digest(document["identity"])
    return json.dumps({**document, "checksum": hashlib.sha256(canonical_json(document)).hexdigest()})


DOCUMENT = json.loads(plan_to_json(a_plan(outputs={"swirl": "x.mp4"}, exposure=(CURVE, (), (), (), (), CURVE))))
JUNK: list[Any] = [None, True, -1, 0, 1.5, 10**30, "", "../../x", "\ud800", [], {}, [[]], {"a": 1}, [1, 2], ["x"]]


def inner_paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for key, value in items for found in [(*path, key), *inner_paths(value, (*path, key))]]


@pytest.mark.parametrize("junk", [*JUNK, "remove"], ids=repr)
def test_unexpected_value_with_a_valid_checksum_is_refused_or_harmless(junk: Any) -> None:
    refused = 0
    for path in inner_paths(DOCUMENT):
        if path[0] in ("styles", "identity") and len(path) > 2:
            continue  # opaque here; configs are validated when they are used
        document = json.loads(json.dumps(DOCUMENT))
        if junk == "remove":
            del value_at(document, path[:-1])[path[-1]]
        else:
            value_at(document, path[:-1])[path[-1]] = junk
        try:
            plan = plan_from_json(sealed(document))
        except RenderDirectoryError:
            refused += 1
            continue
        assert plan_to_json(plan)
        assert all(set(chain.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for chain in plan.chains)
    assert refused > 20


def test_digest_of_other_settings_is_refused() -> None:
    with pytest.raises(RenderDirectoryError, match="digest does not match"):
        plan_from_json(plan_to_json(dataclasses.replace(a_plan(), digest="1" * 64)))


@pytest.mark.parametrize("chain_id", ["../x", "a/b", "", "A", "a b", "a" * 100, "-a", "a.b", "a\n"])
def test_chain_id_that_is_no_safe_name_is_refused(chain_id: str) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    document["chains"][0]["id"] = chain_id
    with pytest.raises(RenderDirectoryError, match="safe name"):
        plan_from_json(sealed(document))


@pytest.mark.parametrize("changes", [{"start": 1}, {"stop": 5}, {"shot": 1}, {"style": "x"}, {"seed": -1}])
def test_chain_outside_its_shot_is_refused(changes: dict[str, Any]) -> None:
    plan = a_plan()
    chain: Chain = dataclasses.replace(plan.chains[0], **changes)
    with pytest.raises(RenderDirectoryError):
        plan_from_json(plan_to_json(dataclasses.replace(plan, chains=(chain,))))


@pytest.mark.parametrize(
    "curves", [(CURVE,), (CURVE,) * 7, ((0,) * 8,) * 6, ((0,) * 10,) * 6, ((751,) + (0,) * 8,) * 6], ids=len
)
def test_impossible_tone_curves_are_refused(curves: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="tone curve"):
        a_plan(exposure=curves)


def test_tone_curves_that_differ_from_the_identity_are_refused() -> None:
    plan = a_plan(exposure=(CURVE,) * 6)
    for other in ((), ((),) * 6):
        with pytest.raises(RenderDirectoryError, match="tone curves"):
            plan_from_json(plan_to_json(dataclasses.replace(plan, exposure=other)))
