"""`tempera compose`: layers of two small renders of one clip."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.config.composition import CompositionSettings, load_composition
from pipeline.config.reading import config_keys, read_yaml
from pipeline.errors import ConfigError
from pipeline.postprocess.blend import MODES
from pipeline.runtime.cancellation import Cancellation
from pipeline.runtime.progress import SilentReporter
from pipeline.workflows.compose.composition import open_composition
from tests.support.clips import moving_square, texture, write_photos
from tests.support.command_line import Tempera, assert_refused, everything, video_times
from tests.support.frames import RGB, read_rgb
from tests.support.sheets import places

COUNT = 4
QUIET = ("--progress", "none")


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, the renders `one` and `two` of them, `other` of other photos, and a mask."""
    folder = tmp_path_factory.mktemp("renders")
    write_photos(folder / "photos", moving_square(COUNT))
    write_photos(folder / "different", moving_square(COUNT, seed=9))
    Image.fromarray(texture((64, 48), 50)).save(folder / "waves.png")
    mask = np.zeros((32, 48, 3), np.uint8)
    mask[:, 24:] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    for name, photos, styler in (
        ("one", "photos", "palette"),
        ("two", "photos", "superpixel"),
        ("other", "different", "palette"),
    ):
        words = ["render", f"{folder}/{photos}", "-s", f"{folder}/waves.png", "-o", f"{folder}/{name}.mp4", *QUIET]
        assert cli.run([*words, f"--set=styler={styler}", "--set=superpixel.cells=12", "--set=input.deflicker=0"]) == 0
    return folder


@pytest.fixture
def home(renders: Path, tmp_path: Path, tempera: Tempera) -> Path:
    """A copy of the renders, in which the test stands."""
    shutil.copytree(renders, tmp_path, dirs_exist_ok=True)
    return tmp_path


def compose(tempera: Tempera, home: Path, layers: list[object], *words: str, **settings: object) -> list[RGB]:
    """The frames of a composition, written as stills and read again."""
    (home / "c.yaml").write_text(json.dumps({"layers": layers, **settings}), encoding="utf-8")
    result = tempera("compose", "c.yaml", "-o", "out/%d.png", *QUIET, *words)
    assert (result.code, result.out) == (0, "out/%d.png\n"), result.err
    return [read_rgb(path) for path in sorted((home / "out").glob("*.png"))]


def stored(home: Path, name: str) -> list[RGB]:
    return [read_rgb(path) for path in sorted((home / f"{name}.render/frames/waves-s000").glob("*.png"))]


RAW = {"follow_level": 0}
ONE, TWO = {"render": "one.render", "finish": RAW}, {"render": "two.render", "finish": RAW}
RIGHT = {"image": "mask.png", "feather": 0}


def test_layers_masks_and_opacity_are_exact(tempera: Tempera, home: Path) -> None:
    ones, twos = stored(home, "one"), stored(home, "two")
    contents = moving_square(COUNT)
    for index, frame in enumerate(compose(tempera, home, [ONE, {**TWO, "mask": RIGHT}])):
        np.testing.assert_array_equal(frame[:, :24], ones[index][:, :24])
        np.testing.assert_array_equal(frame[:, 24:], twos[index][:, 24:])
    hidden = compose(tempera, home, [ONE, {**TWO, "opacity": 0}])
    np.testing.assert_array_equal(hidden, ones)
    half = compose(tempera, home, [{**ONE, "opacity": 0.5}])
    wanted = (np.stack(contents).astype(float) + np.stack(ones)) / 2
    assert np.abs(np.stack(half) - wanted).max() <= 0.51
    photo = compose(tempera, home, [ONE, {"render": "content"}])
    np.testing.assert_array_equal(photo, contents)


@pytest.mark.parametrize(
    ("mask", "code", "words"),
    [
        ({"image": "black.png"}, 3, ["black.png is black", "invert: true"]),
        ({"image": "white.png", "invert": True}, 3, ["white.png is white, and inverted"]),
        ({"frames": "blacks"}, 3, ["blacks is black"]),
        ({"luminance": [0.999, 1], "softness": 0}, 4, ["found by luminance", "a wider range"]),
    ],
)
def test_layer_whose_mask_covers_nothing_is_refused_before_the_work(
    tempera: Tempera, home: Path, mask: dict[str, object], code: int, words: list[str]
) -> None:
    for name, level in (("black", 0), ("white", 255)):
        Image.new("L", (48, 32), level).save(home / f"{name}.png")
    write_photos(home / "blacks", [np.zeros((32, 48, 3), np.uint8)] * COUNT)
    (home / "c.yaml").write_text(json.dumps({"layers": [ONE, {**TWO, "mask": mask}]}), encoding="utf-8")
    for target in (("-o", "v.mp4"), ("--sheet", "s.png")):
        refused = tempera("compose", "c.yaml", *target, *QUIET)
        assert_refused(refused, code, "layers.1: its mask", "covers nothing in any frame", "remove layers.1", *words)
    assert not (home / "v.mp4").exists() and not (home / "s.png").exists()


def test_mask_of_a_layer_may_be_black_in_some_frames(tempera: Tempera, home: Path) -> None:
    masks = [np.full((32, 48, 3), 255 * (index == 2), np.uint8) for index in range(COUNT)]
    write_photos(home / "masks", masks)
    layers: list[object] = [ONE, {**TWO, "mask": {"frames": "masks", "feather": 0}}]
    ones, twos = stored(home, "one"), stored(home, "two")
    np.testing.assert_array_equal(compose(tempera, home, layers), [*ones[:2], twos[2], ones[3]])
    np.testing.assert_array_equal(compose(tempera, home, layers, "--frames", "0:2")[:2], ones[:2])


def test_blend_modes_work_on_8_bit_frames(tempera: Tempera, home: Path) -> None:
    ones, twos = (np.stack(stored(home, name)).astype(float) / 255 for name in ("one", "two"))
    product = np.stack(compose(tempera, home, [ONE, {**TWO, "blend": "multiply"}]))
    assert np.abs(product - 255 * ones * twos).max() <= 0.51


def test_finish_of_a_layer_is_that_of_its_render_unless_it_is_given(tempera: Tempera, home: Path) -> None:
    assert tempera("export", "one.render", "-o", "plain/%d.png", *QUIET).code == 0
    exported = [read_rgb(path) for path in sorted((home / "plain").glob("*.png"))]
    np.testing.assert_array_equal(compose(tempera, home, [{"render": "one.render"}]), exported)
    gray = compose(tempera, home, [{**ONE, "finish": {"follow_level": 0, "grade": {"saturation": 0}}}])
    assert int(np.ptp(np.stack(gray).astype(int), axis=-1).max()) <= 1


@pytest.mark.parametrize("finish", [{"match_color": 1}, {"match_color": 0.5, "palette": 4}, {"preserve_color": 1}])
def test_colors_are_matched_in_the_part_of_a_layer_as_an_export_matches_them(
    tempera: Tempera, home: Path, finish: dict[str, object]
) -> None:
    settings = [f"--set=output.finish.{key}={value}" for key, value in {**RAW, **finish}.items()]
    assert tempera("export", "one.render", "-o", "plain/%d.png", *settings, *QUIET).code == 0
    exported = [read_rgb(path) for path in sorted((home / "plain").glob("*.png"))]
    layers: list[object] = [ONE, {**ONE, "finish": {**RAW, **finish}, "mask": RIGHT}]
    for frame, raw, matched in zip(compose(tempera, home, layers), stored(home, "one"), exported, strict=True):
        np.testing.assert_array_equal(frame[:, :24], raw[:, :24])
        np.testing.assert_array_equal(frame[:, 24:], matched[:, 24:])
        assert not np.array_equal(raw[:, 24:], matched[:, 24:])


def test_detail_grade_lut_and_grain_act_on_the_sum(tempera: Tempera, home: Path) -> None:
    cube = "LUT_3D_SIZE 2\n" + "\n".join(f"{1 - r} {1 - g} {1 - b}" for b in (0, 1) for g in (0, 1) for r in (0, 1))
    (home / "negative.cube").write_text(cube)
    negative = compose(tempera, home, [ONE], grade={"lut": "negative.cube"})
    assert np.abs(255.0 - np.stack(negative) - np.stack(stored(home, "one"))).max() <= 1
    assert tempera("export", "one.render", "-o", "n/%d.png", "--set=output.finish.follow_level=0",
                   "--set=output.finish.grade.lut=negative.cube", *QUIET).code == 0  # fmt: skip
    np.testing.assert_array_equal(read_rgb(home / "n/2.png"), negative[2])
    changed = compose(tempera, home, [ONE], detail={"coarse": 1}, grain=0.05)
    assert all(np.abs(a.astype(int) - b).mean() > 2 for a, b in zip(changed, stored(home, "one"), strict=True))


def test_curves_act_on_layers_and_on_the_sum(tempera: Tempera, home: Path) -> None:
    fade = [{"at": 0, "value": 1}, {"at": COUNT - 1, "value": 0}]

    def composed(value: object) -> list[RGB]:
        layer = {**ONE, "finish": {**RAW, "preserve_color": value}}
        return compose(tempera, home, [layer], grade={"saturation": value})

    full, gray, fading = composed(1), composed(0), composed(fade)
    np.testing.assert_array_equal(fading[0], full[0])
    np.testing.assert_array_equal(fading[-1], gray[-1])
    assert not np.array_equal(fading[1], full[1]) and not np.array_equal(fading[1], gray[1])


def test_frames_settings_and_video(tempera: Tempera, home: Path) -> None:
    part = compose(tempera, home, [ONE, TWO], "--frames", "1:3", "--set", "layers.1.opacity=0")
    np.testing.assert_array_equal(part, stored(home, "one")[1:3])
    result = tempera("compose", "c.yaml", "-o", "v.mkv", "--set=output.codec=ffv1", *QUIET)
    assert (result.code, result.out) == (0, "v.mkv\n")
    assert len(video_times(home / "v.mkv")) == COUNT
    for outside in ("9:12", "2:5"):
        refused = tempera("compose", "c.yaml", "-o", "w.mp4", "--frames", outside, *QUIET)
        assert_refused(refused, 2, "outside the 4 frames", "inside 0:4")


def test_frames_that_are_composed_together_are_those_that_are_composed_alone(home: Path) -> None:
    layers = [ONE, {**TWO, "blend": "soft_light", "opacity": 0.7}, {"render": "content", "blend": "luminosity"}]
    (home / "c.yaml").write_text(json.dumps({"layers": layers, "detail": {"fine": 1}, "grain": 0.05}))
    composition = open_composition(load_composition(home / "c.yaml"), SilentReporter(), Cancellation())
    alone = [next(composition.frames(range(index, index + 1))).image for index in range(COUNT)]
    np.testing.assert_array_equal(list(composition.images(range(COUNT))), alone)
    deep = np.array(list(composition.images(range(COUNT), deep=True)))
    assert deep.dtype == np.uint16 and np.abs(deep / 257 - np.array(alone)).max() <= 0.501


def test_sheet_shows_content_layers_and_sum(tempera: Tempera, home: Path) -> None:
    (home / "c.yaml").write_text(json.dumps({"layers": [ONE, {**TWO, "mask": RIGHT}]}))
    result = tempera("compose", "c.yaml", "--sheet", "s.png", "--at", "0", "--at", "3", *QUIET)
    assert (result.code, result.out) == (0, "s.png\n")
    sheet = read_rgb(home / "s.png")
    assert sheet.shape[1] == 4 * (48 + 8) + 8 and len(places(sheet, moving_square(4)[3])) == 1
    cells = [sheet[8:40, 8 + 56 * column : 56 + 56 * column] for column in range(4)]
    np.testing.assert_array_equal(cells[0], moving_square(1)[0])
    np.testing.assert_array_equal(cells[1], stored(home, "one")[0])
    assert int(np.ptp(cells[2][:, :24].astype(int), axis=2).max()) == 0  # gray squares where the mask is black
    np.testing.assert_array_equal(cells[2][:, 24:], cells[3][:, 24:])
    assert_refused(tempera("compose", "c.yaml", "--sheet", "s.png", "--at", "4", *QUIET), 2, "frames 0 to 3")
    assert_refused(tempera("compose", "c.yaml", *QUIET), 2, "--sheet")
    assert_refused(tempera("compose", "c.yaml", "--sheet", "s.jpg", *QUIET), 2, ".png")


def test_composition_of_one_photo_is_one_image(tempera: Tempera, home: Path) -> None:
    photo, style = home / "photos/shot_001.png", home / "waves.png"
    assert tempera("render", photo, "-s", style, "-o", "a.png", "--set=styler=palette", *QUIET).code == 0
    (home / "c.yaml").write_text("layers: [{render: a.render, opacity: 0}]")
    assert tempera("compose", "c.yaml", "-o", "sum.png", *QUIET).out == "sum.png\n"
    np.testing.assert_array_equal(read_rgb(home / "sum.png"), read_rgb(photo))


def test_only_files_of_a_composition_are_replaced(tempera: Tempera, home: Path) -> None:
    compose(tempera, home, [ONE])
    assert tempera("clean", "one.render", *QUIET).code == 0
    compose(tempera, home, [TWO, ONE], "--frames", "0:2")
    before = (home / "one.mp4").read_bytes()
    for name in ("one.mp4", "mask.png"):
        words = ("-o", name) if name.endswith("mp4") else ("--sheet", name)
        assert_refused(tempera("compose", "c.yaml", *words, *QUIET), 2, "exists", name)
    assert (home / "one.mp4").read_bytes() == before
    refused = tempera("compose", "c.yaml", "-o", "photos/shot_%03d.png", *QUIET)
    assert_refused(refused, 2, "shot_001.png")
    assert everything(home / "photos") == {f"shot_{number:03d}.png" for number in range(1, COUNT + 1)}


def test_renders_of_different_inputs_are_refused_with_both_names(tempera: Tempera, home: Path) -> None:
    (home / "c.yaml").write_text("layers: [{render: one.render}, {render: other.render}]")
    assert_refused(tempera("compose", "c.yaml", "-o", "v.mp4", *QUIET), 5, "one.render", "other.render", "content")
    words = ("render", "photos", "-s", "waves.png", "--set=styler=palette", *QUIET)
    assert tempera(*words, "--width", "32", "-o", "small.mp4").code == 0
    assert tempera(*words, "--frames", "0:3", "-o", "short.mp4").code == 0
    for name, what in (("small", "32x"), ("short", "differs")):
        (home / "c.yaml").write_text(f"layers: [{{render: one.render}}, {{render: {name}.render}}]")
        assert_refused(tempera("compose", "c.yaml", "-o", "v.mp4", *QUIET), 5, f"{name}.render", what)
    assert not (home / "v.mp4").exists()


def test_incomplete_renders_are_composed_as_far_as_all_are_stored(tempera: Tempera, home: Path) -> None:
    (home / "two.render/frames/waves-s000/00000002.png").unlink()
    (home / "c.yaml").write_text("layers: [{render: one.render}, {render: two.render}]")
    result = tempera("compose", "c.yaml", "-o", "v.mp4", "--progress", "plain")
    assert result.code == 0 and f"2 of {COUNT} frames" in result.err
    assert len(video_times(home / "v.mp4")) == 2
    (home / "one.json").write_text("layers: [{render: one.render}]")
    assert tempera("compose", "one.json", "-o", "v.mp4", *QUIET).code == 0
    assert_refused(tempera("compose", "c.yaml", "-o", "v.mp4", *QUIET), 2, f"shows {COUNT} frames")
    assert tempera("compose", "c.yaml", "-o", "v.mp4", "--frames", ":1", *QUIET).code == 0
    assert_refused(tempera("compose", "c.yaml", "-o", "v.mp4", "--frames", "2:4", *QUIET), 2, "2 frames")
    shutil.rmtree(home / "two.render/frames")
    assert_refused(tempera("compose", "c.yaml", "-o", "v.mp4", *QUIET), 5, "no frame")


def test_style_of_a_render_of_several_is_named(tempera: Tempera, home: Path) -> None:
    shutil.copy(home / "waves.png", home / "more.png")
    words = ("render", "photos/shot_001.png", "-s", "waves.png", "-s", "more.png", "--set=styler=palette")
    assert tempera(*words, "-o", "p.png", "--workdir", "p.render", *QUIET).code == 0
    (home / "c.yaml").write_text("layers: [{render: p.render}]")
    assert_refused(tempera("compose", "c.yaml", "-o", "v.png", *QUIET), 3, "waves", "more", "found none")
    assert tempera("compose", "c.yaml", "-o", "v.png", "--set=layers.0.style=more", *QUIET).code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", ["mapping"]),
        ("layers: []", ["layers"]),
        ("layers: [{render: content}]", ["at least one layer names a render"]),
        ("layers: [{render: a, opactiy: 1}]", ["layers.0.opactiy", "did you mean 'layers.0.opacity'"]),
        ("layers: [{render: a, mask: {imag: b}}]", ["did you mean 'layers.0.mask.image'"]),
        ("layers: [{render: a, blend: dodge}]", ["layers.0.blend", "dodge"]),
        ("layers: [{render: a, mask: {}}]", ["layers.0.mask", "exactly one"]),
        ("layers: [{render: a}]\ngrade: {contrst: 1}", ["did you mean 'grade.contrast'"]),
        ("layers: [{render: a}]\ngrade: {curves: {luma: [[1, 0], [0, 1]]}}", ["grade.curves.luma"]),
        ("layers: [{render: a}]\nlayers: []", ["twice"]),
        ("layers: [&a {render: a}, *a]", ["aliases"]),
        (f"layers: [{','.join(['{render: a}'] * 33)}]", ["layers"]),
        ("layers: [{render: content, style: a}, {render: a}]", ["layers.0.style"]),
        ('layers: [{render: "a\\0b"}]', ["no path"]),
    ],
)
def test_wrong_compositions_are_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml") as caught:
        load_composition(path)
    assert "fusion.md" in caught.value.hint
    for word in words:
        assert word in caught.value.message


def test_paths_are_relative_to_the_file_and_values_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "layers: [{render: a.render, mask: {painted: {3: m.png}}}, {render: content}]\ngrade: {lut: f.cube}"
    )
    settings = load_composition(path, ["layers.0.opacity=0.25", "grade.curves.red=[[0, 0], [1, 0.5]]"])
    first = settings.layers[0]
    assert [layer.render for layer in settings.layers] == [tmp_path / "a.render", "content"]
    assert first.mask is not None and first.mask.painted == {3: tmp_path / "m.png"}
    assert settings.grade.lut == tmp_path / "f.cube"
    assert first.opacity == 0.25 and settings.grade.curves.red == ((0.0, 0.0), (1.0, 0.5))
    for wrong in ("grade.contrst=2", "sharpn=1"):
        with pytest.raises(ConfigError, match="did you mean"):
            load_composition(path, [wrong])


def test_every_blend_mode_of_the_setting_is_in_the_table_and_every_key_has_help() -> None:
    schema = CompositionSettings.model_json_schema()
    assert set(schema["$defs"]["LayerSettings"]["properties"]["blend"]["enum"]) == set(MODES)
    for definition in (schema, *schema["$defs"].values()):
        assert definition["description"]
        for name, field in definition["properties"].items():
            assert field.get("description") or "$ref" in field, name
    assert "output.finish" not in config_keys(CompositionSettings)


def test_render_with_a_grade_finds_its_lut_again(tempera: Tempera, home: Path) -> None:
    """In a style's file a LUT is relative to that file, in the plan to the render directory."""
    (home / "look").mkdir()
    (home / "look/x.cube").write_text("LUT_1D_SIZE 2\n1 1 1\n0 0 0")
    (home / "look/mine.yaml").write_text(
        "styler: palette\nstyle: {images: [{path: ../waves.png}]}\n"
        "output: {finish: {follow_level: 0, grade: {lut: x.cube}}}"
    )
    render = ("render", "photos/shot_001.png", "-s", "look/mine.yaml", "-o", "g.png", *QUIET)
    assert tempera(*render).code == 0
    frame = read_rgb(home / "g.render/frames/mine-s000/00000000.png")
    np.testing.assert_array_equal(read_rgb(home / "g.png"), 255 - frame)
    plan = json.loads((home / "g.render/plan.json").read_text())
    assert plan["styles"]["mine"]["output"]["finish"]["grade"]["lut"] == "../look/x.cube"
    (home / "look/x.cube").unlink()
    assert_refused(tempera(*render, "--fresh"), 3, "x.cube")
    assert read_yaml(home / "look/mine.yaml")["styler"] == "palette"
