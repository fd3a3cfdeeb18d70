"""The style config: help for every key, `--set`, hostile YAML, the schema, the styles that ship, and the reference."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import make_configuration
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pipeline.config.catalog import TEMPLATE, configs_path, load_style, shipped_styles
from pipeline.config.losses import CURVATURE_PAIRS, LAYERS, STYLE_LOSSES
from pipeline.config.reading import (
    MAX_CONFIG_BYTES,
    config_keys,
    config_schema,
    parse_config,
    parse_yaml,
    read_yaml,
    set_value,
)
from pipeline.config.section import Settings
from pipeline.config.settings import Config
from pipeline.config.style import StyleImage
from pipeline.errors import ConfigError

MINIMAL: dict[str, Any] = {"style": {"images": [{"path": "a.png"}]}}


def sections(model: type[BaseModel] = Settings) -> list[type[BaseModel]]:
    return [model, *(below for child in model.__subclasses__() for below in sections(child))]


MODELS = [model for model in sections() if model.model_fields]


def minimal() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(MINIMAL))
    return data


def refused(data: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(data, where="test")
    assert caught.value.hint and caught.value.exit_code == 3
    return caught.value.message


def leaves(data: Any, prefix: str = "") -> dict[str, Any]:
    """Every key of plain config data that holds a value, dotted; layer tables count as one."""
    if not isinstance(data, dict) or prefix.endswith("layers."):
        return {prefix.removesuffix("."): data}
    return {key: value for name, child in data.items() for key, value in leaves(child, f"{prefix}{name}.").items()}


DEFAULTS = parse_config(minimal(), where="test").model_dump(mode="json", by_alias=True)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_has_a_sentence_of_help(model: type[BaseModel]) -> None:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            assert info.annotation.__doc__, name
        else:
            assert info.description, f"{model.__name__}.{name} has no description"
            assert info.description.endswith("."), name


def test_defaults_are_the_documented_values() -> None:
    config = parse_config(minimal(), where="test")
    assert config.losses.content.weight == 1 and config.style.images[0].weight == 100
    assert config.losses.style.loss == "wasserstein"
    assert config.losses.style.layers == {"relu1_1": 256, "relu2_1": 64, "relu3_1": 16, "relu4_1": 4, "relu5_1": 1}


def test_defaults_pass_their_own_validation() -> None:
    assert parse_config(DEFAULTS, where="test") == parse_config(minimal(), where="test")


@pytest.mark.parametrize("key", [key for key in leaves(DEFAULTS) if key != "style.images"])
def test_set_reaches_every_value(key: str) -> None:
    data = minimal()
    set_value(data, f"{key}={yaml.safe_dump(leaves(DEFAULTS)[key], default_flow_style=True).removesuffix('...')}")
    assert leaves(data)[key] == leaves(DEFAULTS)[key]
    parse_config(data, where="test")


def test_config_keys_are_every_key_of_the_defaults() -> None:
    sections = {key.rsplit(".", depth)[0] for key in leaves(DEFAULTS) for depth in range(key.count(".") + 1)}
    assert set(config_keys()) == set(leaves(DEFAULTS)) | sections


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("losses.content.weight=2.5", "losses.content.weight", 2.5),
        ("losses.style.layers.relu3_1=7", "losses.style.layers.relu3_1", 7),
        ("losses.content.layers={relu3_2: 1, relu4_2: 2}", "losses.content.layers", {"relu3_2": 1, "relu4_2": 2}),
        ("style.images.0.weight=45", "style.images.0.weight", 45),
        ("optimize.cold.init=noise", "optimize.cold.init", "noise"),
        ("name= two words ", "name", "two words"),
        ("description=a=b", "description", "a=b"),
    ],
)
def test_set_changes_what_it_names(assignment: str, key: str, value: Any) -> None:
    data = minimal()
    set_value(data, assignment)
    found: Any = data
    for part in key.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    assert found == value
    parse_config(data, where="test")


@pytest.mark.parametrize(
    ("assignment", "nearest"),
    [
        ("losses.content.wieght=1", "losses.content.weight"),
        ("optimise.warm.evaluations=4", "optimize.warm.evaluations"),
        ("encodr=compact", "encoder"),
        ("output.cfr=3", "output.crf"),
        ("output.finish.lut=film.cube", "output.finish.grade.lut"),
    ],
)
def test_misspelt_key_names_the_nearest(assignment: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(nearest)):
        set_value(minimal(), assignment)


@pytest.mark.parametrize(
    "assignment",
    [
        "",
        "=1",
        "seed",
        "nothing.like.it=1",
        "style.images.7.weight=1",
        "style.images.x.weight=1",
        "name=[",
        "name=*a",
        "name=&a [*a]",
        "name=2020-13-45",
        "name=!!python/name:os.system x",
        f"seed={'9' * 5000}",
        f"name={'[' * 5000}",
    ],
)
def test_malformed_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        set_value(minimal(), assignment)
    assert caught.value.hint and len(caught.value.message) < 1000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"losses": {"content": {"wieght": 1}}}, ["losses.content.wieght", "did you mean 'losses.content.weight'"]),
        ({"style": {"images": [{"path": "a", "wieght": 1}]}}, ["did you mean 'style.images.0.weight'"]),
        ({"sed": 3, "encoder": "vgg99"}, ["sed", "encoder", "vgg99"]),
        ({"losses": {"style": {"layers": {"relu9_9": 1}}}}, ["relu9_9"]),
        ({"losses": {"style": {"layers": {"relu4_1": 0}}}}, ["above 0"]),
        ({"losses": {"content": {"layers": {}}}}, ["above 0"]),
        ({"losses": {"content": {"scale_weights": []}}}, ["losses.content.scale_weights"]),
        ({"losses": {"content": {"scale_weights": [0.2, -1]}}}, ["losses.content.scale_weights.1"]),
        ({"style": {"images": []}}, ["style.images: needs 1 or more entries, found []"]),
        ({"style": {"images": [{"path": "a", "weight": 0}]}}, ["test: style.images: at least one", "weight above 0"]),
        ({"schema": 2}, ["schema"]),
        ({"name": "a/b"}, ["name: Input should be a name", "found 'a/b'"]),
        (
            {"regions": [{"mask": {"image": "a", "color": "red"}}]},
            ["color: Input should be a color such as '#", "found 'red'"],
        ),
        ({"regions": [{"mask": {"painted": {-3: "a"}}}]}, ["regions.0.mask.painted.-3: Input", "found -3"]),
        ({"regions": [{"mask": {"sky": True}, "content_weight": 3}]}, ["regions.0: content_weight", "without"]),
        ({"optimize": {"cold": {"scale_step": 1.0000001}}}, ["optimize.cold.scale_step"]),
        ({"optimize": {"warm": {"evaluations": 0}}}, ["optimize.warm.evaluations"]),
        ({"optimize": None}, ["optimize"]),
        ({"seed": -1}, ["seed"]),
        ({"regions": [{"name": "sky"}]}, ["regions.0.mask: is missing"]),
        (
            {"losses": {"tv": {"weight": [{"at": 1, "value": 2}, 3]}}},
            ["losses.tv.weight.1: Input should be", "found 3"],
        ),
        ({"seed": 2**32}, ["seed"]),
        ({"output": {"preset": "--help"}}, ["output.preset"]),
    ],
)
def test_wrong_values_are_named(data: dict[str, Any], words: list[str]) -> None:
    message = refused(minimal() | data)
    assert "Value error" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"output": {"crf": 1000}}, "output.crf: Input should be 'auto' or less than or equal to 63, found 1000"),
        (
            {"input": {"raw": {"white_balance": [1, 2]}}},
            "input.raw.white_balance: Input should be 'first', 'camera' or 'daylight'; "
            "needs more entries, found [1, 2]",
        ),
        (
            {"losses": {"tv": {"weight": [{"at": 0, "value": math.nan}]}}},
            "losses.tv.weight.0.value: Input should be a valid integer or a finite number, found nan",
        ),
        ({"losses": {"tv": {"weight": []}}}, "losses.tv.weight: needs 1 or more entries, found []"),
        ({"style": {"images": []}}, "style.images: needs 1 or more entries, found []"),
        ({"style": {"images": "a.jpg"}}, "style.images: Input should be a list, found 'a.jpg'"),
        ({"style": {"images": [{"path": None}]}}, "style.images.0.path: Input should be a path, found None"),
        ({"losses": {"tv": {"weight": True}}}, "losses.tv.weight: Input should be a valid number, found True"),
        ({"output": {"crf": False}}, "output.crf: Input should be 'auto' or a valid integer, found False"),
        (
            {"losses": {"style": {"layers": {"relu4_1": True}}}},
            "losses.style.layers.relu4_1: Input should be a valid number, found True",
        ),
        (
            {"style": {"images": [{"path": "a", "weight": True}]}},
            "style.images.0.weight: Input should be a valid number, found True",
        ),
        ({"losses": {"content": {"layers": {}}}}, "losses.content: at least one layer needs a weight above 0"),
    ],
)
def test_wrong_values_are_told_in_words(data: dict[str, Any], said: str) -> None:
    assert refused(minimal() | data) == f"test: {said}"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [("output.size", "101x", "3840x2160"), ("output.bitrate", 5, "20M"), ("output.pad", "red", "'#202020'")],
)
def test_the_form_of_a_text_is_in_the_hint(key: str, value: object, shown: str) -> None:
    section, name = key.split(".")
    with pytest.raises(ConfigError) as caught:
        parse_config(minimal() | {section: {name: value}}, where="config")
    assert caught.value.hint.startswith(f"{key}: ") and shown in caught.value.hint
    assert key in caught.value.message and repr(value) in caught.value.message


def test_a_color_on_the_command_line_is_no_comment() -> None:
    data = minimal()
    set_value(data, "output.pad=#ff8000")
    assert data["output"]["pad"] == "#ff8000"


def test_yaml_errors_say_where() -> None:
    with pytest.raises(ConfigError, match=r"key 'seed' is there twice \(line 2, column 1\)$"):
        parse_yaml("seed: 1\nseed: 2", where="mine.yaml")
    with pytest.raises(ConfigError, match=r"expected ',' or '\]', but got '<stream end>' \(line 1, column 3\)"):
        parse_yaml("[1", where="mine.yaml")


@pytest.mark.parametrize("key", [key for key, value in leaves(DEFAULTS).items() if isinstance(value, float)])
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "-5.1", "1e300"])
def test_numbers_out_of_range_are_refused(key: str, value: str) -> None:
    data = minimal()
    set_value(data, f"{key}={value}")
    assert key in refused(data)


NUMBERS = [
    key
    for key, value in leaves(DEFAULTS).items()
    if isinstance(value, int | float) and not isinstance(value, bool) and key != "schema"
]


@pytest.mark.parametrize("key", NUMBERS)
def test_a_boolean_is_no_number(key: str) -> None:
    data = minimal()
    set_value(data, f"{key}=yes")
    assert f"{key}: Input should be " in refused(data)


def test_a_boolean_is_no_number_in_lists_and_as_a_key() -> None:
    """Also of sections that stand in lists, and of a frame for which a mask is painted."""
    for mask, key in (({"hue": [True, 30]}, "hue.0"), ({"painted": {True: "a.png"}}, "painted.1")):
        said = refused(minimal() | {"regions": [{"mask": mask}]})
        assert f"regions.0.mask.{key}: Input should be a valid" in said
    assert parse_config(minimal() | {"motion": {"loop": True}}, where="test").motion.loop


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_config_that_is_no_mapping_is_refused(data: Any) -> None:
    found = {"NoneType": "nothing", "list": "a list", "str": "text", "int": "a number"}[type(data).__name__]
    assert refused(data) == f"test: expected a mapping of settings, found {found}"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "style: !!python/object/apply:os.system ['true']",
        "name: !!binary x\nstyle: !unknown {}",
        "[" * 5000,
        "name: 2020-13-45",
        f"seed: {'9' * 5000}",
        "a: b: c",
        "name: \x07",
        "one: 1\n---\ntwo: 2",
        "style: {images: [{path: a}]}\nseed: 1\nseed: 2",
        "<<: {a: 1}\n? [a, b]\n: c",
    ],
    ids=[
        "bomb",
        "python",
        "tag",
        "deep",
        "date",
        "huge number",
        "syntax",
        "control",
        "two documents",
        "twice",
        "merge",
    ],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "style.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"style\.yaml") as caught:
        parse_config(read_yaml(path), where=str(path))
    assert caught.value.hint


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"#" * (MAX_CONFIG_BYTES + 1)], ids=["not text", "larger than a config"]
)
def test_file_that_is_not_text_or_too_large_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "style.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        read_yaml(path)


@pytest.mark.parametrize("name", ["missing.yaml", ".", "~unknown-user", "x" * 5000, "a\0b", "swril"])
def test_missing_style_is_refused_with_a_hint(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_style(name)
    assert caught.value.hint
    assert name != "swril" or "'swirl'" in caught.value.hint


def test_path_that_begins_with_a_tilde_and_no_user_is_one_of_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_style("swirl", ["optimize.cold.init=~unknown-user.png"])
    assert config.optimize.cold.init == tmp_path / "~unknown-user.png"


weights = st.floats(0, 1e9)
positive = st.floats(0.01, 8)
layers = st.dictionaries(st.sampled_from(LAYERS), st.floats(0.001, 1e9), min_size=1, max_size=4)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), max_size=30)
configs = st.fixed_dictionaries(
    {
        "style": st.fixed_dictionaries(
            {
                "images": st.lists(
                    st.fixed_dictionaries(
                        {"path": texts.filter(bool), "weight": st.floats(0.001, 1e9)}, optional={"scale": positive}
                    ),
                    min_size=1,
                    max_size=3,
                )
            },
            optional={"scale": positive},
        )
    },
    optional={
        "schema": st.just(1),
        "name": texts,
        "description": texts,
        "styler": st.sampled_from(["neural", "palette", "superpixel"]),
        "encoder": st.sampled_from(["auto", "compact", "vgg19", "vgg16"]),
        "seed": st.integers(0, 2**32 - 1),
        "losses": st.fixed_dictionaries(
            {},
            optional={
                "content": st.fixed_dictionaries(
                    {},
                    optional={
                        "weight": weights,
                        "layers": layers,
                        "scale_weights": st.lists(weights, min_size=1, max_size=5),
                    },
                ),
                "style": st.fixed_dictionaries({}, optional={"loss": st.just("gram"), "layers": layers}),
                "tv": st.fixed_dictionaries({"weight": weights}),
            },
        ),
        "optimize": st.fixed_dictionaries(
            {},
            optional={
                "cold": st.fixed_dictionaries(
                    {},
                    optional={
                        "scale_step": st.floats(1.05, 4),
                        "init": st.sampled_from(["content", "noise"]) | texts.filter(bool),
                    },
                ),
                "learning_rate": st.floats(0.001, 1),
            },
        ),
        "output": st.fixed_dictionaries({"crf": st.integers(0, 63), "preset": st.just("slow")}),
    },
)


@settings(max_examples=40, deadline=None)
@given(configs)
def test_config_written_as_yaml_is_read_back_equal(data: dict[str, Any]) -> None:
    config = parse_config(data, where="test")
    text = yaml.safe_dump(config.model_dump(mode="json", by_alias=True), allow_unicode=True)
    assert parse_config(yaml.safe_load(text), where="test") == config


def test_schema_describes_every_key() -> None:
    schema = config_schema()
    json.dumps(schema)
    assert schema["additionalProperties"] is False and schema["required"] == ["style"]

    def keys(node: dict[str, Any], prefix: str = "") -> set[str]:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        found = set()
        for name, child in node.get("properties", {}).items():
            found |= {f"{prefix}{name}"} | keys(child, f"{prefix}{name}.")
        return found

    assert keys(schema) == set(config_keys())


def test_as_many_curvature_pairs_are_kept_as_the_style_loss_needs_unless_their_number_is_set() -> None:
    def pairs(**settings: Any) -> int:
        return parse_config(minimal() | settings, where="test").curvature_pairs

    assert CURVATURE_PAIRS.keys() == STYLE_LOSSES.keys()
    assert pairs() == CURVATURE_PAIRS["wasserstein"] < pairs(losses={"style": {"loss": "gram"}})
    assert pairs(optimize={"history": 3}) == 3


def test_schema_has_ranges_choices_and_defaults() -> None:
    definitions = config_schema()["$defs"]
    history = definitions["OptimizeSettings"]["properties"]["history"]
    assert (history["minimum"], history["maximum"], history["default"]) == (0, 100, 0)
    assert definitions["StyleLossSettings"]["properties"]["loss"]["enum"] == ["wasserstein", "gram"]


def test_schema_lists_the_encoders_of_the_registry_without_those_of_tests() -> None:
    encoder = config_schema()["properties"]["encoder"]
    assert encoder["enum"] == ["auto", "compact", "vgg19", "vgg16"]
    assert encoder["default"] == "auto" and encoder["description"]
    message = refused(minimal() | {"encoder": "vgg99"})
    assert all(repr(name) in message for name in encoder["enum"]) and "tiny" not in message
    assert parse_config(minimal() | {"encoder": "tiny"}, where="test").encoder == "tiny"


@pytest.mark.parametrize("name", sorted(shipped_styles()))
def test_shipped_style_loads_and_has_its_images(name: str) -> None:
    config = load_style(name)
    assert config.name == name
    assert re.fullmatch(r"[A-Z].*\.", config.description)
    for image in config.style.images:
        assert image.path.is_file() and image.path.is_relative_to(configs_path())


def test_at_least_six_styles_ship_and_the_template_is_not_one() -> None:
    assert len(shipped_styles()) >= 6 and TEMPLATE not in shipped_styles()


TEMPLATE_PATH = configs_path() / f"{TEMPLATE}.yaml"


def test_template_shows_every_key_with_its_default() -> None:
    shown = leaves(read_yaml(TEMPLATE_PATH))
    (image,) = shown.pop("style.images")
    assert set(image) == set(StyleImage.model_fields)
    wanted = {key: value for key, value in leaves(DEFAULTS).items() if key != "style.images"}
    assert shown == wanted
    assert image == StyleImage(path=Path(image["path"])).model_dump(mode="json")


def test_template_explains_every_value_and_works() -> None:
    config = load_style(str(TEMPLATE_PATH))
    assert all(image.path.is_file() for image in config.style.images)
    for line in TEMPLATE_PATH.read_text(encoding="utf-8").splitlines():
        assert not line.strip() or line.startswith("#") or re.search(r"\S  # \S.{8,}", line), line


def test_style_file_finds_its_images_relative_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "styles"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "style: {images: [{path: a.png}, {path: /b.png}]}\noptimize: {cold: {init: start.png}}", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    config = load_style("styles/mine.yaml", ["seed=7"])
    assert [image.path for image in config.style.images] == [folder / "a.png", Path("/b.png")]
    assert config.optimize.cold.init == folder / "start.png"
    assert (config.name, config.seed) == ("mine", 7)


def test_image_alone_is_a_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Starry Night.png").write_bytes(b"not decoded here")
    monkeypatch.chdir(tmp_path)
    config = load_style("Starry Night.png")
    assert config.name == "Starry Night" and config.style.images[0].path == tmp_path / "Starry Night.png"
    assert config == Config(**config.model_dump(by_alias=True))


def test_every_styler_of_the_setting_is_in_the_table() -> None:
    from pipeline.stylers.table import STYLERS

    assert set(STYLERS) == set(config_schema()["properties"]["styler"]["enum"])


def test_committed_reference_is_current() -> None:
    path = Path(__file__).parents[1] / "docs" / "configuration.md"
    assert path.read_text(encoding="utf-8") == make_configuration.reference(), (
        "run python scripts/make_configuration.py"
    )


@pytest.mark.parametrize(
    ("assignment", "keys"),
    [
        ("output.finish.grade.lut={}", ["output", "finish", "grade", "lut"]),
        ("optimize.cold.init={}", ["optimize", "cold", "init"]),
        ("style.images.0.path={}", ["style", "images", 0, "path"]),
        ("style.images=[{{path: {}, weight: 3}}]", ["style", "images", 0, "path"]),
        ("regions=[{{mask: {{image: {}}}}}]", ["regions", 0, "mask", "image"]),
        ("regions=[{{mask: {{painted: {{4: {}}}}}}}]", ["regions", 0, "mask", "painted", 4]),
    ],
)
def test_paths_of_set_are_from_the_current_folder(
    assignment: str, keys: list[str | int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text, expected in (("film.cube", str(tmp_path / "film.cube")), ("/film.cube", "/film.cube")):
        found: Any = minimal()
        set_value(found, assignment.format(text))
        for key in keys:
            found = found[key]
        assert found == expected


def test_words_of_a_setting_that_can_be_a_path_are_no_paths() -> None:
    data = minimal()
    set_value(data, "optimize.cold.init=noise")
    assert data["optimize"]["cold"]["init"] == "noise"


def test_paths_of_a_file_are_beside_it_and_those_of_set_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("styles", "here"):
        (tmp_path / folder).mkdir()
    style = tmp_path / "styles" / "mine.yaml"
    style.write_text("style: {images: [{path: beside.png}]}")
    monkeypatch.chdir(tmp_path / "here")
    config = load_style(str(style), ["output.finish.grade.lut=film.cube"])
    assert config.style.images[0].path == tmp_path / "styles" / "beside.png"
    assert config.output.finish.grade.lut == tmp_path / "here" / "film.cube"
