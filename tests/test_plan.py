"""The plan: the digest of every setting that changes pixels, refusals, and paths."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.reading import config_schema, parse_config
from pipeline.config.settings import IDENTITY_SECTIONS, Config
from pipeline.errors import ConfigError, RenderDirectoryError, UsageError
from pipeline.plan.comparison import check_same, differences
from pipeline.plan.identity import ALGORITHM, identity_digest
from pipeline.plan.paths import absolute_source, output_paths, style_configs, weights_paths
from pipeline.plan.plan_file import plan_from_json, plan_to_json
from pipeline.runtime.hashing import canonical_json
from pipeline.types import RenderPlan, Shot
from tests.support.plans import CURVE, a_config, a_plan, a_source, a_style, value_at

# The digest


def leaves(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Path of every single setting in a config's data; lists of plain values are one setting."""
    if isinstance(data, dict) and data:
        return [leaf for key, value in data.items() for leaf in leaves(value, (*path, key))]
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return [leaf for key, value in enumerate(data) for leaf in leaves(value, (*path, key))]
    return [path]


def words(schema: Any) -> list[Any]:
    """Every named choice of any setting, from the JSON Schema."""
    if isinstance(schema, dict):
        found = list(schema.get("enum", [])) + ([schema["const"]] if "const" in schema else [])
        return found + [word for value in schema.values() for word in words(value)]
    return [word for value in schema for word in words(value)] if isinstance(schema, list) else []


CHOICES = sorted(set(words(config_schema())), key=str)


def neighbor(config: Config, path: tuple[Any, ...]) -> Config | None:
    """The same config with one setting changed to some other valid value; None if there is no other value."""
    data = json.loads(config.model_dump_json(by_alias=True))
    old = value_at(data, path)
    numbers = [old + 1, old - 1, old * 2, old / 2] if type(old) in (int, float) else []
    others = [*numbers, 0.5, 0.1, 1, *CHOICES, "other", True, False]
    others += ["#8a8f99", "9:16", [[0, 0.1], [1, 1]]]
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
RESOLVED |= {("input", key) for key in ("camera", "duplicates", "gaps")}  # the source has what they choose
OUTSIDE = {"schema", "name", "description", "output", "runtime"}


def test_every_section_of_the_config_is_inside_or_outside_the_identity() -> None:
    top = {path[0] for path in EVERY_SETTING}
    assert top == {*IDENTITY_SECTIONS, "input"} | OUTSIDE
    assert not OUTSIDE & {*IDENTITY_SECTIONS, "input"}


@pytest.mark.parametrize("path", EVERY_SETTING, ids=lambda path: ".".join(map(str, path)))
def test_digest_has_every_setting_that_changes_pixels_and_no_other(path: tuple[Any, ...]) -> None:
    changed = neighbor(a_config(), path)
    if changed is None:
        # A region is no plain value, and colors are matched by region only where there are some; see below.
        assert path in {("schema",), ("regions",), ("color", "by_region"), ("output", "bitrate")}
        return
    before, after = a_plan(a_style()), a_plan(a_style(config=changed))
    if path[0] in OUTSIDE or path in RESOLVED:
        assert after.digest == before.digest
        assert after.styles != before.styles
    else:
        assert after.digest != before.digest
        with pytest.raises(RenderDirectoryError, match=str(path[-1])):
            check_same(before, after)


REGION = {"mask": {"image": "/art/m.png"}, "style": {"images": [{"path": "/art/c.png"}]}}


def a_plan_with_regions(*regions: dict[str, Any], **digests: Any) -> RenderPlan:
    style = a_style(config=a_config(regions=list(regions)))
    changed = tuple(dataclasses.replace(region, **digests) for region in style.regions)
    return a_plan(dataclasses.replace(style, regions=changed))


def test_digest_has_regions_and_their_files_and_a_style_without_regions_is_as_before() -> None:
    found = a_plan_with_regions(REGION)
    others = [
        a_plan(),
        a_plan_with_regions(REGION, REGION),
        a_plan_with_regions(REGION, images=("another image",)),
        a_plan_with_regions(REGION, mask={"image": "another mask"}),
        a_plan_with_regions({**REGION, "content_weight": 2}),
        a_plan_with_regions({**REGION, "luma_only": True}),
        a_plan_with_regions({"mask": REGION["mask"]}),
    ]
    assert len({plan.digest for plan in (found, *others)}) == len(others) + 1
    assert a_plan_with_regions({**REGION, "name": "sky"}).digest == found.digest
    assert not any("/art" in str(value) for value in found.identity.values())
    assert not any(".regions" in key for key in a_plan().identity)


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
        a_plan(source=a_source(blended=(1, 1, 1, 1, 1, 2))),
        a_plan(a_style(config=a_config(input={"rate": "blend"}))),
        a_plan(a_style(config=a_config(input={"background": "#000000"}))),
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


# Refusing other settings


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


def test_a_render_of_another_version_is_to_be_continued_with_that_version(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = a_plan()
    monkeypatch.setattr("pipeline.plan.identity.ALGORITHM", ALGORITHM - 1)
    with pytest.raises(RenderDirectoryError) as caught:
        check_same(a_plan(), wanted)
    assert caught.value.message.splitlines()[1:] == [f"  algorithm: there {ALGORITHM - 1}, now {ALGORITHM}"]
    assert "the version of Tempera that began it" in caught.value.hint and "same settings" not in caught.value.hint


def test_another_input_is_named_first() -> None:
    with pytest.raises(RenderDirectoryError) as caught:
        check_same(a_plan(), a_plan(source=a_source(path="/media/other.mp4", digest="1" * 64)))
    lines = caught.value.message.splitlines()
    assert lines[1] == "  the input: there in.mp4, now other.mp4" and "source.digest" in lines[2]


def test_difference_of_styles_is_reported_in_one_line() -> None:
    with pytest.raises(RenderDirectoryError) as caught:
        check_same(a_plan(), a_plan(a_style("ink")))
    assert caught.value.message.splitlines()[1:] == ["  styles: there swirl, now ink"]


def test_equal_plans_are_accepted() -> None:
    check_same(a_plan(), a_plan())


# Making a plan


def test_styles_with_equal_names_are_refused() -> None:
    with pytest.raises(UsageError, match="'swirl'"):
        a_plan(a_style(), a_style())


def test_later_settings_of_the_input_count_only_where_they_are_set() -> None:
    identity = a_plan().identity
    assert "input.cuts" in identity
    assert not {"input.stream", "input.deinterlace", "input.background", "input.rate"} & identity.keys()
    chosen = a_plan(a_style(config=a_config(input={"stream": 0}))).identity
    assert {**identity, "input.stream": 0} == chosen


def test_styles_must_agree_on_how_the_input_is_read() -> None:
    other = a_style("ink", a_config(input={"cuts": "none"}))
    with pytest.raises(ConfigError, match=r"input\.cuts") as caught:
        a_plan(a_style(), other)
    assert "--set 'input.cuts=\"auto\"'" in caught.value.hint


def test_raw_development_is_in_the_digest_where_it_is_not_the_default() -> None:
    plain, brighter = a_plan(a_style()), a_plan(a_style(config=a_config(input={"raw": {"exposure_ev": 1.0}})))
    assert not [key for key in plain.identity if key.startswith("input.raw")]
    assert differences(plain, brighter) == [("input.raw.exposure_ev", "not set", "1.0")]
    other = a_style("ink", a_config(input={"raw": {"white_balance": "daylight"}}))
    with pytest.raises(ConfigError, match=r"input\.raw\.white_balance"):
        a_plan(a_style(), other)


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
        {"source": a_source(blended=(1,))},
        {"source": a_source(blended=(0,) * 6)},
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
