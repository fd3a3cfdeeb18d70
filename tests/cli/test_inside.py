"""The settings inside exported files: in every container, what is in them, and files that are not to be trusted."""

from __future__ import annotations

import getpass
import json
import shutil
import socket
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.config.record import Files, parse_record, plain_name
from pipeline.errors import ConfigError, InputError
from pipeline.media.image.png import SIGNATURE, add_text, encode_png, png_chunk
from pipeline.media.image.record import MAX_RECORD_BYTES, record_in_xmp, xmp_box, xmp_packet
from pipeline.media.reader.record import read_record
from pipeline.media.writer.output import write_video
from pipeline.workflows.output.inside import like
from tests.support.clips import moving_square, texture, write_photos
from tests.support.command_line import Tempera, assert_refused, tree
from tests.support.written import FAST, ramps, read_back, source_of

COUNT = 3
QUIET = ("--progress", "none")
FILES = ("v.mp4", "v.mov", "v.mkv", "v.webm", "v.gif", "v.webp", "v.apng", "v.avif")
STILLS = tuple(f"{suffix}/%d.{suffix}" for suffix in ("png", "jpg", "tif", "exr", "webp", "avif"))
TEXT = json.dumps({"a": '<&> "quoted" \u00e4'}) + "x" * 700


def shown(path: str) -> str:
    """The first file of an output."""
    return path.replace("%d", "0")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, a style image, their render in flat colors, and its outputs of every kind."""
    folder = tmp_path_factory.mktemp("exports")
    write_photos(folder / "photos", moving_square(COUNT))
    Image.fromarray(texture((64, 48), 50)).save(folder / "waves.png")
    words = ["render", f"{folder}/photos", "-s", f"{folder}/waves.png", "-o", f"{folder}/v.mp4", *QUIET]
    assert cli.run([*words, "--set=styler=palette", "--seed=3", "--set=palette.colors=5"]) == 0
    for name in (*FILES[1:], *STILLS):
        assert cli.run(["export", f"{folder}/v.render", "-o", f"{folder}/{name}", *QUIET]) == 0
    return folder


@pytest.fixture
def home(exports: Path, tmp_path: Path, tempera: Tempera) -> Path:
    """A copy of the exports, in which the test stands."""
    shutil.copytree(exports, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("name", [*FILES, *STILLS])
def test_every_container_carries_the_settings_and_nothing_private(
    exports: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exports / shown(name)
    assert cli.run(["show", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"] == {**found["source"], "name": "photos", "frames": "0:3", "width_px": 48, "height_px": 32}
    (style,) = found["styles"]
    assert (style["seed"], style["settings"]["palette"]) == (3, {"colors": 5})
    assert style["settings"]["style"] == {"images": [{"path": "waves.png"}]}
    data = path.read_bytes() + (read_record(path) or "").encode()
    for private in (str(exports), exports.name, str(Path.home()), socket.gethostname(), getpass.getuser()):
        if len(private) > 4:
            assert private.encode() not in data, private


def test_every_image_of_a_folder_carries_them(exports: Path) -> None:
    records = {read_record(path) for path in (exports / "png").iterdir()}
    assert len(records) == 1 and None not in records


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.gif", "v.webp", "v.apng", "tif/%d.tif", "exr/%d.exr"])
def test_the_same_export_gives_the_same_bytes(tempera: Tempera, home: Path, name: str) -> None:
    again = home / "again" / name
    assert tempera("export", "v.render", "-o", again, *QUIET).code == 0
    assert Path(shown(str(again))).read_bytes() == (home / shown(name)).read_bytes()


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.gif", "v.avif", "png/%d.png", "jpg/%d.jpg", "exr/%d.exr"])
def test_like_renders_the_same_frames(tempera: Tempera, home: Path, name: str) -> None:
    assert tempera("render", "photos", "--like", shown(name), "-o", "w.mp4", *QUIET).code == 0
    assert tree(home / "w.render/frames") == tree(home / "v.render/frames")
    assert (home / "w.mp4").read_bytes() == (home / "v.mp4").read_bytes()


def test_shown_settings_are_a_style(tempera: Tempera, home: Path) -> None:
    (home / "mine.yaml").write_text(tempera("show", "v.gif").out, encoding="utf-8")
    assert tempera("render", "photos", "-s", "mine.yaml", "-o", "w.mp4", *QUIET).code == 0
    assert tree(home / "w.render/frames") == tree(home / "v.render/frames")


def test_none_leaves_them_out(tempera: Tempera, home: Path) -> None:
    for name in (*FILES, *STILLS):
        out = f"bare/{name}"
        assert tempera("export", "v.render", "-o", out, "--set=output.metadata=none", *QUIET).code == 0
        data = (home / shown(out)).read_bytes()
        assert read_record(home / shown(out)) is None and b"palette" not in data and b"waves" not in data
    assert_refused(tempera("show", "bare/v.mp4"), 4, "no settings inside")


def test_options_override_what_is_in_the_file(tempera: Tempera, home: Path) -> None:
    Image.fromarray(texture((64, 48), 7)).save(home / "other.png")
    words = ("--seed", "9", "--set=style.images.0.path=other.png", "--width", "24")
    assert tempera("render", "photos", "--like", "v.mp4", "-o", "w.mp4", *words, *QUIET).code == 0
    found = json.loads(tempera("show", "w.mp4", "--json").out)
    assert (found["width_px"], found["styles"][0]["seed"], [*found["files"]]) == (24, 9, ["other.png"])
    assert found["styles"][0]["settings"]["palette"] == {"colors": 5}
    assert tempera("render", "photos", "--like", "w.mp4", "-o", "x.mp4", *QUIET).code == 0
    assert json.loads(tempera("show", "x.mp4", "--json").out)["width_px"] == 24


def test_style_image_is_found_by_its_content(tempera: Tempera, home: Path) -> None:
    (home / "waves.png").rename(home / "renamed.png")
    assert like(Path("v.mp4")).style.style.images[0].path == home / "renamed.png"
    (home / "far").mkdir()
    (home / "renamed.png").rename(home / "far/waves.png")
    Image.fromarray(texture((64, 48), 7)).save(home / "waves.png")
    digest = json.loads(tempera("show", "v.mp4", "--json").out)["files"]["waves.png"]
    render = ("render", "photos", "--like", "v.mp4", "-o", "w.mp4", *QUIET)
    assert_refused(tempera(*render), 3, "waves.png", digest)
    assert_refused(tempera(*render, "-s", "waves.png"), 2, "none of the images")
    assert tempera(*render, "-s", "far/waves.png").code == 0
    assert tree(home / "w.render/frames") == tree(home / "v.render/frames")


def test_record_says_the_style_image_that_was_rendered_and_the_rate_that_was_asked_for(
    tempera: Tempera, home: Path
) -> None:
    found = json.loads(tempera("show", "v.mp4", "--json").out)
    Image.fromarray(texture((64, 48), 7)).save(home / "waves.png")
    assert tempera("export", "v.render", "-o", "w.mp4", "--fps", "12", *QUIET).code == 0
    assert json.loads(tempera("show", "w.mp4", "--json").out) == found | {"fps": "12"}
    assert found["fps"] != "12"


def test_shipped_style_needs_no_image_beside_the_file(tempera: Tempera, home: Path) -> None:
    words = ("--set=styler=palette", "-o", "s.gif", *QUIET)
    assert tempera("render", "photos", "-s", "swirl", *words).code == 0
    assert "images/swirl.jpg" in tempera("show", "s.gif").out
    assert like(Path("s.gif")).style.style.images[0].path.name == "swirl.jpg"


def test_composition_is_shown_and_is_no_style(tempera: Tempera, home: Path) -> None:
    layers = {"layers": [{"render": "v.render", "opacity": 0.5}]}
    (home / "c.yaml").write_text(json.dumps(layers), encoding="utf-8")
    assert tempera("compose", "c.yaml", "-o", "c.mkv", *QUIET).code == 0
    found = json.loads(tempera("show", "c.mkv", "--json").out)
    assert found["composition"]["layers"] == [{"opacity": 0.5, "render": "v.render"}]
    assert found["files"]["v.render"] and found["styles"][0]["settings"]["styler"] == "palette"
    assert "opacity: 0.5" in tempera("show", "c.mkv").out
    assert str(home).encode() not in (home / "c.mkv").read_bytes()
    assert_refused(tempera("render", "photos", "--like", "c.mkv", *QUIET), 2, "composition")


def test_retimed_output_carries_them(tempera: Tempera, home: Path) -> None:
    assert tempera("export", "v.render", "-o", "r.mp4", "--set=output.time.speed=0.5", *QUIET).code == 0
    assert json.loads(tempera("show", "r.mp4", "--json").out)["styles"][0]["settings"]["output"] == {
        "time": {"speed": 0.5}
    }


def test_neither_style_nor_like_is_refused(tempera: Tempera, home: Path) -> None:
    assert_refused(tempera("render", "photos", *QUIET), 2, "no style")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".mxf"])
def test_any_record_changes_no_frame_of_a_video(tmp_path: Path, suffix: str) -> None:
    source = source_of((0, 1, 2), size=(256, 128))
    frames = ramps(3, 256, 128)
    plain = write_video(tmp_path / f"a{suffix}", frames, source=source, settings=FAST)
    carrying = write_video(tmp_path / f"b{suffix}", frames, source=source, settings=FAST, record=TEXT)
    assert read_record(carrying) == (None if suffix == ".mxf" else TEXT)
    for one, other in zip(read_back(plain)[0], read_back(carrying)[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_xmp_is_read_as_other_programs_write_it_again() -> None:
    assert record_in_xmp(xmp_packet(TEXT)) == TEXT
    assert record_in_xmp(b'<rdf:Description tempera:Settings="{&quot;a&quot;: 1}"/>') == '{"a": 1}'
    assert record_in_xmp(b"<rdf:Description/>") is None


def test_files_of_one_name_are_told_apart() -> None:
    files = Files(str)
    assert [files.name(Path(path)) for path in ("/a/x.png", "/b/x.png", "/a/x.png")] == ["x.png", "x-2.png", "x.png"]
    assert files.digests == {"x.png": "/a/x.png", "x-2.png": "/b/x.png"}
    assert plain_name(Path("/a/b\udcff\n.png")) == "b?_.png"


def a_record(**changes: Any) -> dict[str, Any]:
    source = {"name": "clip.mp4", "digest": "0" * 64, "frames": "0:3", "width_px": 8, "height_px": 8}
    settings = {"style": {"images": [{"path": "x.png"}]}}
    style = {"settings": settings, "seed": 0, "encoder": {"name": "none", "digest": ""}}
    record = {"schema": 1, "version": "1", "algorithm": 7, "source": source, "width_px": 8, "height_px": 8}
    return record | {"fps": "24", "styles": [style], "files": {"x.png": "0" * 64}} | changes


def with_path(path: str) -> dict[str, Any]:
    style = a_record()["styles"][0] | {"settings": {"style": {"images": [{"path": path}]}}}
    return a_record(styles=[style], files={path: "0" * 64})


def carrying(path: Path, text: str) -> Path:
    """An image with a record."""
    path.write_bytes(add_text(encode_png(np.zeros((4, 4, 3), np.uint8)), "tempera", text))
    return path


def with_encoder(name: str, digest: str, **changes: Any) -> str:
    """A record of a style that left the choice of its encoder to Tempera, which took this one."""
    encoder = {"name": name, "digest": digest} | changes
    return json.dumps(a_record(styles=[a_record()["styles"][0] | {"encoder": encoder}]))


def test_like_takes_the_encoder_and_the_weights_of_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "pipeline.workflows.output.inside.content_digest", lambda path: "0" * 64 if path.exists() else ""
    )
    (tmp_path / "x.png").touch()
    assert like(carrying(tmp_path / "a.png", with_encoder("vgg16", ""))).style.encoder == "vgg16"
    assert like(tmp_path / "a.png", assignments=["encoder=vgg19"]).style.encoder == "vgg19"
    given = carrying(tmp_path / "b.png", with_encoder("vgg16", "0" * 64, weights="own.pth"))
    with pytest.raises(ConfigError, match=r"own\.pth, which its settings name") as error:
        like(given)
    assert "--weights" in error.value.hint
    (tmp_path / "own.pth").touch()
    assert like(given).weights == tmp_path / "own.pth"
    assert like(given, weights=Path("mine.pth")).weights == Path("mine.pth")
    assert like(given, assignments=["encoder=vgg19"]).weights is None


def test_file_whose_content_was_not_known_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    carrying(tmp_path / "a.png", json.dumps(a_record(files={"x.png": ""})))
    with pytest.raises(ConfigError, match="SHA-256 unknown"):
        like(Path("a.png"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[" * 40_000,
        '{"schema": NaN}',
        '{"algorithm": ' + "9" * 5000 + "}",
        "&a [*a, *a]",
        json.dumps(a_record(schema=2)),
        json.dumps(a_record(width_px=0)),
        json.dumps(a_record(fps="1/0; rm")),
        json.dumps(a_record(styles=[])),
        json.dumps(a_record(files={})),
        json.dumps(a_record(composition={"layers": [{"render": "../x"}]})),
        json.dumps(a_record(source=a_record()["source"] | {"name": "../../clip.mp4"})),
        json.dumps(with_path("/etc/hostname")),
        json.dumps(with_path("../x.png")),
        json.dumps(with_path("images/..")),
        json.dumps(with_path("..")),
        json.dumps(with_path("a\u0000")),
        json.dumps(a_record(styles=[a_record()["styles"][0] | {"settings": {"style": "x", "unknown": 1}}])),
    ],
    ids=range(20),
)
def test_records_that_make_no_sense_are_refused(tmp_path: Path, tempera: Tempera, text: str) -> None:
    with pytest.raises(InputError):
        parse_record(text, Path("a.png"))
    carrying(tmp_path / "a.png", text)
    assert_refused(tempera("show", "a.png"), 4)
    assert_refused(tempera("render", "photos", "--like", "a.png"), 4)


def test_record_that_makes_sense_is_taken() -> None:
    assert parse_record(json.dumps(a_record(later=1)), Path("a.png")).source.name == "clip.mp4"


HEAD = b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00"
HOSTILE = {
    "bomb.png": SIGNATURE + png_chunk(b"iTXt", b"tempera\0\1\0\0\0" + zlib.compress(b"a" * 50_000_000)),
    "broken.png": SIGNATURE + png_chunk(b"iTXt", b"tempera\0\1\0\0\0not deflated"),
    "long.png": SIGNATURE + b"\xff\xff\xff\xffiTXt",
    "bytes.png": SIGNATURE + png_chunk(b"iTXt", b"tempera\0\1\0\0\0" + zlib.compress(b"\xff\xfe")),
    "open.gif": b"GIF89a\1\0\1\0\0\0\0!\xfe\xfftempera {",
    "huge.gif": b"GIF89a\1\0\1\0\0\0\0!\xfe" + (b"\xff" + b"a" * 255) * 2000,
    "short.gif": b"GIF89a",
    "open.exr": b"\x76\x2f\x31\x01\x02\0\0\0tempera\0string\0\xff\xff\xff\xff{",
    "cut.exr": b"\x76\x2f\x31\x01\x02\0\0\0tempera",
    "endless.mp4": HEAD + b"\0\0\0\0uuid",
    "backward.mp4": HEAD + b"\0\0\0\1free\xff\xff\xff\xff\xff\xff\xff\xff",
    "large.mp4": HEAD + xmp_box("a" * (MAX_RECORD_BYTES + 1)),
    "false.mp4": HEAD + xmp_box("a")[:40],
    "cut.mkv": b"\x1a\x45\xdf\xa3\x01",
    "cut.jpg": b"\xff\xd8\xff\xe1\xff\xff",
    "cut.webp": b"RIFF\xff\xff\xff\xffWEBPXMP \xff\xff\xff\xff",
    "cut.tif": b"II*\0\xff\xff\xff\xff",
    "cut.avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x08meta",
    "text.txt": b"tempera: &a [*a]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_have_no_settings(tmp_path: Path, tempera: Tempera, name: str) -> None:
    (tmp_path / name).write_bytes(HOSTILE[name])
    assert_refused(tempera("show", name), 4)


def test_missing_file_and_folder_are_refused(tmp_path: Path, tempera: Tempera) -> None:
    assert_refused(tempera("show", "none.mp4"), 4, "no such file")
    assert_refused(tempera("show", "."), 4, "folder")


@pytest.mark.parametrize("name", [*FILES, *STILLS])
def test_cut_and_damaged_exports_end_in_settings_or_an_error(exports: Path, name: str) -> None:
    data = (exports / shown(name)).read_bytes()
    path = exports / f"damaged{Path(name).suffix}"
    for cut in range(1, len(data), max(1, len(data) // 12)):
        path.write_bytes(data[:cut])
        assert read_record(path) in (None, read_record(exports / shown(name)))
        flipped = bytearray(data)
        flipped[cut] ^= 0xFF
        path.write_bytes(flipped)
        record = read_record(path)
        assert record is None or len(record) <= MAX_RECORD_BYTES


def test_mp4_with_them_is_still_read_by_its_boxes(exports: Path) -> None:
    with av.open(str(exports / "v.mp4")) as container:
        assert container.metadata["comment"].startswith("encoded by Tempera")
        assert sum(1 for _ in container.decode(video=0)) == COUNT


def test_settings_that_are_too_long_are_left_out_with_a_note(
    tempera: Tempera, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.media.image.record.MAX_RECORD_BYTES", 100)
    result = tempera("export", "v.render", "-o", "long.gif", "--progress", "plain")
    assert result.code == 0 and "bytes long" in result.err
    assert read_record(home / "long.gif") is None
