"""Curves: easing, time and what else points stand at, what can be a curve, and what the plan holds of them."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import yaml
from pydantic import field_validator

from pipeline.analysis.driving import SMOOTH_FRAMES, covered_fractions, measured_light, smoothed
from pipeline.config.catalog import configs_path
from pipeline.config.curves import EASES, MAX_POINTS, Curve
from pipeline.config.finish import FinishSettings
from pipeline.config.reading import animated_keys, config_schema, parse_config, set_value
from pipeline.config.section import ANIMATED, Settings, curves_of, with_values
from pipeline.config.settings import Config
from pipeline.errors import ConfigError, RenderDirectoryError
from pipeline.plan.comparison import check_same
from pipeline.plan.curves import (
    RECENT_FRAMES,
    Clock,
    Drivers,
    finish_settings,
    planned_values,
    recent_changes,
    stylizing_values,
)
from pipeline.plan.plan_file import plan_from_json, plan_to_json
from pipeline.types import Frame, Shot
from tests.support.plans import a_config, a_plan, a_source, a_style

EVEN = Clock([0.0, 0.5, 1.0, 1.5, 2.0], 0.5)
UNEVEN = Clock([0.0, 0.1, 0.2, 1.0, 2.0], 0.5)
KEY = "losses.tv.weight"
PAGE = Path(__file__).parents[1] / "docs" / "time.md"


def with_curve(curve: Any, key: str = KEY) -> Config:
    data: dict[str, Any] = {
        "style": {"images": [{"path": "a"}, {"path": "b"}]},
        "regions": [{"name": "sky", "mask": {"sky": True}, "style": {"images": [{"path": "c"}, {"path": "d"}]}}],
    }
    set_value(data, f"{key}={curve}")
    return parse_config(data, where="test")


def values(curve: Any, clock: Clock = EVEN, drivers: Drivers | None = None, key: str = KEY) -> list[float]:
    return list(stylizing_values(with_curve(curve, key), clock, drivers or Drivers())[key])


def refused(curve: Any, key: str = KEY) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        with_curve(curve, key)
    assert key in caught.value.message and len(caught.value.message) < 400
    return caught.value


@pytest.mark.parametrize(
    ("ease", "quarter", "half", "three_quarters"),
    [
        ("linear", 0.25, 0.5, 0.75),
        ("smooth", 0.15625, 0.5, 0.84375),
        ("in", 0.0625, 0.25, 0.5625),
        ("out", 0.4375, 0.75, 0.9375),
        ("hold", 0, 0, 0),
    ],
)
def test_easing_has_its_closed_form(ease: str, quarter: float, half: float, three_quarters: float) -> None:
    found = values(f"[{{at: 0, value: 10}}, {{at: 4, value: 30, ease: {ease}}}]")
    assert found == pytest.approx([10, 10 + 20 * quarter, 10 + 20 * half, 10 + 20 * three_quarters, 30])


def test_every_ease_of_the_schema_has_a_function() -> None:
    assert set(EASES) == set(config_schema()["$defs"]["Point"]["properties"]["ease"]["enum"])


@pytest.mark.parametrize("at", ["3", "1.0s", "1 s", "50%"])
def test_frames_seconds_and_parts_are_one_time_where_frame_rates_vary(at: str) -> None:
    """Frame 3 stands at 1 s of 2 s: half of the time, but not of the frames. Between points it is time that counts."""
    assert values(f"[{{at: 0, value: 0}}, {{at: {at}, value: 1}}]", UNEVEN) == pytest.approx([0, 0.1, 0.2, 1, 1])


def test_points_behind_the_clip_are_on_the_way() -> None:
    assert values("[{at: 0, value: 0}, {at: 4 s, value: 8}]") == pytest.approx([0, 1, 2, 3, 4])
    assert values("[{at: 0, value: 0}, {at: 8, value: 8}]") == pytest.approx([0, 1, 2, 3, 4])


def test_units_may_be_mixed_and_are_checked_in_the_clip() -> None:
    assert values("[{at: 1, value: 0}, {at: 100%, value: 3}]") == pytest.approx([0, 0, 1, 2, 3])
    config = with_curve("[{at: 3, value: 0}, {at: 50%, value: 1}]")
    with pytest.raises(ConfigError, match=r"50% is not later than 3 .*1\.000 s and 1\.500 s") as caught:
        stylizing_values(config, EVEN, Drivers())
    assert caught.value.hint


def test_seconds_count_from_the_first_rendered_frame() -> None:
    source = a_source(5, pts=(900, 1000, 1100, 1200, 1300), time_base=Fraction(1, 100), duration_ticks=100)
    assert values("[{at: 1s, value: 0}, {at: 3s, value: 2}]", Clock.of(source)) == [0, 0, 1, 2, 2]


def test_a_single_frame_has_the_first_value_of_a_curve_by_parts() -> None:
    assert values("[{at: 0%, value: 1}, {at: 100%, value: 9}]", Clock()) == [1]


def test_light_and_regions_drive_curves() -> None:
    light = Drivers((0.0, 0.2, 0.4, 0.5, 1.0), {"sky": (0.0, 0.5, 1.0, 1.0, 0.0)})
    assert values("{follow: light, points: [{at: 0.2, value: 0}, {at: 0.6, value: 4}]}", drivers=light) == [
        0,
        0,
        2,
        3,
        4,
    ]
    mask = "{follow: mask, region: sky, points: [{at: 0, value: 1}, {at: 1, value: 2}]}"
    assert values(mask, drivers=light) == [1, 1.5, 2, 2, 1]
    with pytest.raises(ConfigError, match="'sky'; known here: ground"):
        finish_settings(a_plan(), finish_with(mask), "layers.0", {"ground": ()})


def test_integers_are_rounded_and_values_have_six_digits() -> None:
    found = values("[{at: 0, value: 4}, {at: 4, value: 5}]", key="optimize.warm.evaluations")
    assert found == [4, 4, 4, 5, 5] and all(type(value) is int for value in found)
    assert values("[{at: 0, value: 0}, {at: 3, value: 1}]") == [0, 0.333333, 0.666667, 1, 1]


def test_the_number_in_the_config_is_the_largest_value() -> None:
    config = with_curve("[{at: 0, value: 1}, {at: 4, value: 7}, {at: 5, value: 3}]")
    assert config.losses.tv.weight == 7
    boiling = with_curve("[{at: 0, value: 0}, {at: 4, value: 1}]", "motion.boil")
    assert boiling.motion.boil == 1 and not boiling.motion.every_frame_cold


def test_a_config_with_curves_is_read_back_equal() -> None:
    config = with_curve("{follow: mask, region: sky, points: [{at: 0.5, value: 1, ease: hold}]}")
    for data in (config.model_dump(), config.model_dump(mode="json", by_alias=True)):
        assert parse_config(data, where="test") == config
    assert config != parse_config(config.model_dump() | {"losses": {"tv": {"weight": 1}}}, where="test")


def test_values_replace_numbers_at_any_depth() -> None:
    config = with_values(
        with_curve("[{at: 0, value: 1}]"), {"style.images.1.weight": 5.0, KEY: 2.5, "motion.boil": 0.5}
    )
    assert [image.weight for image in config.style.images] == [100, 5]
    assert (config.losses.tv.weight, config.motion.boil, config.losses.content.weight) == (2.5, 0.5, 1)


def test_every_number_of_frames_can_be_a_curve_and_the_schema_says_so() -> None:
    keys = animated_keys()
    assert {"style.images.N.weight", "losses.light.scale", "optimize.cold.noise", "output.finish.grain"} <= set(keys)
    for key in (key.replace("N", "0") for key in keys):
        least = "1" if key in ("optimize.warm.evaluations", "output.view.zoom") else "0.1"
        assert set(curves_of(with_curve(f"[{{at: 0, value: {least}}}]", key))) == {key}
    definitions = config_schema()["$defs"]
    assert {"$ref": "#/$defs/Curve"} in definitions["TotalVariationSettings"]["properties"]["weight"]["anyOf"]
    assert "anyOf" not in definitions["OptimizeSettings"]["properties"]["history"]


@pytest.mark.parametrize("key", ["optimize.history", "seed", "output.crf", "motion.segment_frames", "style.scale"])
def test_what_is_decided_once_is_no_curve(key: str) -> None:
    error = refused("[{at: 0, value: 1}]", key)
    assert f"{key}: it has one value for the whole clip" in error.message
    assert "losses.content.weight" in error.hint


def test_weights_of_layers_are_no_curve() -> None:
    assert "losses.style.layers" in refused("[{at: 0, value: 1}]", "losses.style.layers").message


@pytest.mark.parametrize(
    "curve",
    [
        "[]",
        "[{at: 0}]",
        "[{value: 1}]",
        "[{at: 0, value: -1}]",
        "[{at: 0, value: 1}, {at: 0, value: 2}]",
        "[{at: 9, value: 1}, {at: 3, value: 2}]",
        "[{at: 3s, value: 1}, {at: 2s, value: 2}]",
        "[{at: -1, value: 1}]",
        "[{at: 1.5, value: 1}]",
        "[{at: true, value: 1}]",
        "[{at: 0, value: true}]",
        "[{at: 0, value: .nan}]",
        "[{at: 0, value: .inf}]",
        "[{at: 0, value: 1e300}]",
        "[{at: 0, value: '1'}]",
        "[{at: 3 h, value: 1}]",
        "[{at: ٣s, value: 1}]",
        f"[{{at: {'9' * 30}, value: 1}}]",
        f"[{{at: {'9' * 30}s, value: 1}}]",
        "[{at: 0, value: 1, ease: bounce}]",
        "[{at: 0, value: 1, eas: in}]",
        "[1, 2]",
        "{}",
        "{at: 0, value: 1}",
        "{follow: wind, points: [{at: 0, value: 1}]}",
        "{follow: light, points: []}",
        "{follow: light, points: [{at: 2s, value: 1}]}",
        "{follow: light, points: [{at: 1.1, value: 1}]}",
        "{follow: light, points: [{at: .nan, value: 1}]}",
        "{follow: mask, points: [{at: 0, value: 1}]}",
        "{follow: light, region: sky, points: [{at: 0, value: 1}]}",
        "[" + ", ".join(f"{{at: {at}, value: 1}}" for at in range(MAX_POINTS + 1)) + "]",
    ],
)
def test_curves_that_make_no_sense_are_refused(curve: str) -> None:
    assert refused(curve).hint


def test_of_the_values_that_do_not_fit_the_smallest_is_named() -> None:
    for key, inputs, named in (
        ("optimize.warm.evaluations", (3, 5.5, 4.5, 6), "4.5"),
        ("losses.light.scale", (0.1, 0.8, 0.7, 0.2), "0.7"),
        ("output.view.zoom", (2, 0.5, 0.6), "0.5"),
    ):
        points = ", ".join(f"{{at: {at}, value: {value}}}" for at, value in enumerate(inputs))
        assert refused(f"[{points}]", key).message.endswith(f", found {named}")


def test_sections_below_one_with_curves_are_read_once() -> None:
    read: list[float] = []

    class Inner(Settings):
        weight: Annotated[float, ANIMATED] = 0.0

        @field_validator("weight")
        @classmethod
        def _noted(cls, weight: float) -> float:
            read.append(weight)
            return weight

    class Outer(Settings):
        weight: Annotated[float, ANIMATED] = 0.0
        inner: Inner

    curve = [{"at": at, "value": at} for at in range(10)]
    outer = Outer.model_validate({"weight": curve, "inner": {"weight": curve}})
    assert (outer.weight, outer.inner.weight) == (9, 9)
    assert curves_of(outer).keys() == {"weight", "inner.weight"}
    assert read == [9]


def test_a_frame_without_a_style_image_is_refused() -> None:
    data = {"style": {"images": [{"path": "a", "weight": [{"at": 0, "value": 1}, {"at": 2, "value": 0}]}]}}
    with pytest.raises(ConfigError, match=r"frame 2 every image of style\.images has weight 0"):
        stylizing_values(parse_config(data, where="test"), EVEN, Drivers())


def test_curves_are_described_in_a_line() -> None:
    curve = Curve.model_validate([{"at": 0, "value": 100}, {"at": "3s", "value": 0.5, "ease": "smooth"}])
    assert str(curve) == "100 at frame 0, 0.5 at 3 s (smooth)"
    assert str(Curve.model_validate({"follow": "light", "points": [{"at": 0.1, "value": 2}]})) == "2 at light 0.1"


def test_the_plan_holds_the_values_and_its_identity_names_what_differs() -> None:
    def plan(curve: Any) -> Any:
        config = a_config(losses={"tv": {"weight": curve}}, output={"finish": {"grain": [{"at": 0, "value": 0.1}]}})
        found = stylizing_values(config, Clock.of(a_source()), Drivers())
        return a_plan(a_style(config=config), values={"swirl": found})

    made = plan([{"at": 0, "value": 0}, {"at": 5, "value": 5}])
    assert plan_from_json(plan_to_json(made)) == made
    curves = {key: value for key, value in made.identity.items() if "tv" in key or "curves" in key or "grain" in key}
    assert curves == {f"styles.swirl.curves.{KEY}": [0, 1, 2, 3, 4, 5]}
    config = parse_config(made.styles["swirl"], where="plan")
    assert planned_values(made, "swirl", config) == {KEY: [0, 1, 2, 3, 4, 5]}
    same = plan([{"at": 0, "value": 0}, {"at": 2, "value": 2}, {"at": 5, "value": 5}])
    check_same(made, same)
    with pytest.raises(RenderDirectoryError, match=rf"curves\.{KEY}: there \[0.*now \[0"):
        check_same(made, plan([{"at": 0, "value": 0}, {"at": 5, "value": 4}]))
    with pytest.raises(RenderDirectoryError, match="curves"):
        check_same(made, plan(0.5))
    for values in (None, [], [0] * 5, [0] * 5 + [6], [0] * 5 + ["1"], [0] * 5 + [True], "012345", [float("nan")] * 6):
        with pytest.raises(RenderDirectoryError, match="no value"):
            planned_values(replace(made, identity={f"styles.swirl.curves.{KEY}": values}), "swirl", config)


def test_a_plan_without_curves_and_blends_has_the_keys_it_had() -> None:
    assert not [key for key in a_plan().identity if "curve" in key or "blend" in key]
    blended = a_plan(a_style(config=a_config(style={"images": [{"path": "/a"}], "blend": "statistics"})))
    assert "styles.swirl.style.blend" in blended.identity


def test_output_curves_are_resolved_without_the_plan() -> None:
    config = with_curve("[{at: 0, value: 0}, {at: 4, value: 2}]", "output.finish.sharpen")
    assert stylizing_values(config, EVEN, Drivers()) == {}
    settings = finish_settings(a_plan(source=a_source(5)), config.output.finish, "a")
    assert [settings(index).sharpen for index in range(5)] == [0, 0.5, 1, 1.5, 2]
    assert settings(0) == FinishSettings()  # no effect is applied where the curve is at what changes nothing
    dark = finish_with("{follow: light, points: [{at: 0, value: 0.1}, {at: 1, value: 0}]}", "grain")
    assert finish_settings(a_plan(source=a_source(2), levels=(0, 25500)), dark, "a")(0).grain == 0.1
    with pytest.raises(ConfigError, match="not measured"):
        finish_settings(a_plan(), dark, "a")


def finish_with(text: str, key: str = "sharpen") -> FinishSettings:
    return FinishSettings.model_validate({key: yaml.safe_load(text)})


def test_changes_of_weights_fade_after_a_jump() -> None:
    clock = Clock([0.1 * index for index in range(30)], 0.1)
    jump = [{"at": 0, "value": 3}, {"at": 9, "value": 1, "ease": "hold"}]
    images: list[dict[str, Any]] = [{"path": "a", "weight": jump}, {"path": "b", "weight": 1}]
    config = parse_config({"style": {"images": images}}, where="test")
    found = recent_changes(config, stylizing_values(config, clock, Drivers()))
    assert found[:9] == [0] * 9
    assert found[9] == 0.5  # three quarters against a quarter become halves, and the sum of weights halves
    assert found[9:22] == pytest.approx([0.5 * (1 - index / RECENT_FRAMES) for index in range(13)])
    every_fourth = recent_changes(config, stylizing_values(config, clock, Drivers()), 4)
    assert every_fourth[:9] == [0] * 9 and every_fourth[9:13] == [0.5] * 4 > every_fourth[13:17]
    assert recent_changes(config, {}) == []
    boil = with_curve("[{at: 0, value: 0}, {at: 9, value: 1}]", "motion.boil")
    assert recent_changes(boil, stylizing_values(boil, clock, Drivers())) == [0] * 30


def test_light_is_smooth_within_shots_and_keeps_slow_changes() -> None:
    ramp = [index / 100 for index in range(60)]
    shots = (Shot(0, 0, 60), Shot(1, 60, 120))
    found = smoothed([*ramp, *[0.9] * 60], shots)
    assert found == pytest.approx([*ramp, *[0.9] * 60], abs=1e-5)
    cloud = [0.5] * 40 + [0.9] * 2 + [0.5] * 40
    assert max(smoothed(cloud, (Shot(0, 0, 82),))) == pytest.approx(0.5 + 0.8 / (SMOOTH_FRAMES * 2.5066), abs=1e-3)
    assert measured_light((25500, 0), (Shot(0, 0, 1), Shot(1, 1, 2))) == (1, 0)


def test_covered_fractions_are_means_of_masks() -> None:
    def masks(index: int, rgb: np.ndarray) -> np.ndarray:
        left = np.zeros((2, *rgb.shape[:2]), np.float32)
        left[0, :, :3] = 0.5
        left[1] = index
        return left

    frames = [Frame(index, index, np.zeros((4, 6, 3), np.uint8)) for index in range(2)]
    found = covered_fractions(masks, frames, (Shot(0, 0, 1), Shot(1, 1, 2)))
    assert found == [(0.25, 0.25), (0, 1)]


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
def test_configs_of_the_page_work(text: str) -> None:
    config = parse_config(yaml.safe_load(text), where=PAGE.name)
    drivers = Drivers((0.2, 0.3, 0.5), {"sky": (0.1, 0.5, 0.9)})
    clock = Clock((0.0, 2.0, 4.0), 1.0)
    found = stylizing_values(config, clock, drivers)
    assert found and all(len(set(own)) == 3 for own in found.values())
    assert all(
        image.path.name in {path.name for path in configs_path().glob("images/*")} for image in config.style.images
    )
