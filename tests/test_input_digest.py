"""The note about an input saves hashing it again, and is not used once anything has changed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline import cli
from pipeline.errors import InputError
from pipeline.media.reader import source as reader
from pipeline.runtime import atomic
from pipeline.runtime.hashing import files_digest
from pipeline.store.directory import RenderDirectory
from pipeline.types import Source
from pipeline.workflows.input.digest import NOTE_NAME, HashedInput, hash_input, remember_input
from tests.support.clips import texture
from tests.support.torture.fault_cases import small_plan

OLD_S = 1_500_000_000
SECOND_NS = 1_000_000_000


class Home:
    """Three photos with old dates, and a render directory beside them."""

    def __init__(self, folder: Path) -> None:
        self.files = [folder / "in" / f"{index}.jpg" for index in range(3)]
        self.render = folder / "v.render"

    @property
    def source(self) -> Source:
        names = tuple(str(file) for file in self.files)
        return replace(small_plan().source, kind="photos", files=names, decoded_indices=(0, 1, 2))

    def start(self, **options: Any) -> HashedInput:
        """Hash and note the input as every start of a render does; the digest must be right."""
        hashed = hash_input(self.source, self.render, **options)
        assert hashed.digest == files_digest(self.files)
        directory = RenderDirectory.create(self.render, small_plan())
        with directory.lock():
            remember_input(directory, hashed)
        return hashed

    @property
    def note(self) -> Path:
        return self.render / "cache" / NOTE_NAME


def put(file: Path, data: bytes, mtime_ns: int = OLD_S * SECOND_NS) -> None:
    file.write_bytes(data)
    os.utime(file, ns=(mtime_ns, mtime_ns))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = tmp_path / "home"
    (folder / "in").mkdir(parents=True)
    found = Home(folder)
    for index, file in enumerate(found.files):
        put(file, bytes([index]) * 50)
    return found


@pytest.fixture
def hashings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for every time that the files of an input are read."""
    calls: list[str] = []
    real = reader.content_digests

    def counting(source: Source) -> list[str]:
        calls.append(source.path)
        return real(source)

    monkeypatch.setattr(reader, "content_digests", counting)
    return calls


def test_unchanged_input_is_hashed_once(home: Home, hashings: list[str]) -> None:
    first = home.start()
    for _ in range(3):
        assert home.start() == HashedInput(first.digest, None, first.photos)
    assert len(hashings) == 1


def same_size(home: Home) -> None:
    put(home.files[1], b"x" * 50, OLD_S * SECOND_NS + 1)


def set_back(home: Home) -> None:
    """As tools that keep dates do; the system's own time of change still differs."""
    put(home.files[1], b"x" * 50)


def renamed_over(home: Home) -> None:
    put(home.files[1].with_name("new"), b"x" * 50)
    home.files[1].with_name("new").replace(home.files[1])


def other_size(home: Home) -> None:
    put(home.files[1], b"x" * 51)


def touched(home: Home) -> None:
    os.utime(home.files[1], ns=(OLD_S, OLD_S))


def exchanged(home: Home) -> None:
    home.files[:2] = home.files[1::-1]


def one_less(home: Home) -> None:
    home.files[1].unlink()
    home.files[1] = home.files[0]


@pytest.mark.parametrize("change", [same_size, set_back, renamed_over, other_size, touched, exchanged, one_less])
def test_changed_input_is_hashed(home: Home, hashings: list[str], change: Any) -> None:
    home.start()
    change(home)
    home.start()  # which compares the digest with the right one
    assert len(hashings) == 2
    home.start()
    assert len(hashings) == 2  # the new state is noted


@pytest.mark.parametrize(
    ("age_ns", "used"),
    [(2 * SECOND_NS + 1, True), (2 * SECOND_NS, False), (1, False), (0, False), (-3600 * SECOND_NS, False)],
    ids=["settled", "within two seconds", "just now", "at the same moment", "from the future"],
)
def test_input_changed_within_two_seconds_of_hashing_is_hashed_again(
    home: Home, hashings: list[str], monkeypatch: pytest.MonkeyPatch, age_ns: int, used: bool
) -> None:
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    put(home.files[2], b"y" * 50, now_ns - age_ns)
    home.start()
    home.start()
    assert len(hashings) == (1 if used else 2)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + 7200 * SECOND_NS)
    home.start()  # the second hashing was late enough
    home.start()
    assert len(hashings) == (1 if used else 3)


def rewritten(home: Home, **changes: object) -> None:
    """The note with other content, and a checksum that fits it."""
    note = json.loads(home.note.read_bytes())
    content = note["content"] | changes
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    home.note.write_text(json.dumps(note | {"sha256": hashlib.sha256(text.encode()).hexdigest(), "content": content}))


def of_another_version(home: Home) -> None:
    note = json.loads(home.note.read_bytes())
    home.note.write_text(json.dumps(note | {"tempera_input": 2}))


def with_another_digest(home: Home) -> None:
    note = json.loads(home.note.read_bytes())
    note["content"]["digest"] = "0" * 64
    home.note.write_text(json.dumps(note))


def a_folder(home: Home) -> None:
    home.note.unlink()
    home.note.mkdir()


DAMAGE: dict[str, Any] = {
    "deleted": lambda home: home.note.unlink(),
    "no cache": lambda home: shutil.rmtree(home.note.parent),
    "empty": lambda home: home.note.write_bytes(b""),
    "no JSON": lambda home: home.note.write_bytes(b"\xff\x00{"),
    "null": lambda home: home.note.write_text("null"),
    "a list": lambda home: home.note.write_text("[1, 2]"),
    "deeply nested": lambda home: home.note.write_text("[" * 100_000),
    "another version": of_another_version,
    "another digest": with_another_digest,
    "no files": lambda home: rewritten(home, files=[]),
    "no time": lambda home: rewritten(home, began_ns=None),
    "a folder": a_folder,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_note_is_not_used(home: Home, hashings: list[str], how: str) -> None:
    home.start()
    DAMAGE[how](home)
    home.start()
    assert len(hashings) == 2
    if how != "a folder":
        home.start()
        assert len(hashings) == 2  # it was written anew


def test_note_with_any_flipped_bit_or_truncation_gives_the_right_digest(home: Home) -> None:
    home.start()
    good = home.note.read_bytes()
    wanted = files_digest(home.files)
    for offset in range(len(good)):
        for broken in (good[:offset], good[:offset] + bytes([good[offset] ^ 1 << offset % 8]) + good[offset + 1 :]):
            home.note.write_bytes(broken)
            assert hash_input(home.source, home.render).digest == wanted


def test_note_is_used_after_moving_input_and_directory(home: Home, hashings: list[str], tmp_path: Path) -> None:
    home.start()
    (tmp_path / "else").mkdir()
    there = Home((tmp_path / "home").rename(tmp_path / "else" / "where"))
    there.start()
    assert len(hashings) == 1
    copied = Home(shutil.copytree(tmp_path / "else" / "where", tmp_path / "copy"))
    copied.start()  # new files, so their content is unknown
    assert len(hashings) == 2
    there.render = there.render.rename(tmp_path / "alone.render")
    there.start()
    assert len(hashings) == 3


def test_fresh_render_hashes_its_input(home: Home, hashings: list[str]) -> None:
    home.start()
    home.start(use_note=False)
    assert len(hashings) == 2


def test_input_changed_while_it_is_hashed_is_not_noted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    real = reader.content_digests

    def disturbed(source: Source) -> list[str]:
        digests = real(source)
        put(home.files[0], b"z" * 50)
        return digests

    monkeypatch.setattr(reader, "content_digests", disturbed)
    assert hash_input(home.source, home.render).note is None


def test_missing_input_file_is_named(home: Home) -> None:
    home.start()
    home.files[1].unlink()
    with pytest.raises(InputError, match=r"1\.jpg"):
        hash_input(home.source, home.render)


def test_note_is_left_out_on_a_full_disk(home: Home, hashings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    hashed = hash_input(home.source, home.render)
    directory = RenderDirectory.create(home.render, small_plan())
    with directory.lock():
        monkeypatch.setattr(atomic, "create", full)
        remember_input(directory, hashed)
        monkeypatch.undo()
    assert not home.note.exists()


def test_temporary_file_of_the_note_is_removed(home: Home) -> None:
    home.start()
    leftover = home.note.with_name(f".{NOTE_NAME}.0123456789abcdef.tmp")
    leftover.touch()
    home.start()
    assert not leftover.exists() and home.note.exists()


def test_resumed_render_does_not_read_unchanged_photos(
    tmp_path: Path, hashings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(2):
        Image.fromarray(texture((48, 32), index)).save(photos / f"{index}.bmp")
        os.utime(photos / f"{index}.bmp", (OLD_S, OLD_S))
    Image.fromarray(texture((64, 48), 50)).save(tmp_path / "waves.png")
    words = ["render", str(photos), "-s", str(tmp_path / "waves.png"), "-o", str(tmp_path / "v.mp4")]
    words += ["--progress", "none", "--set=styler=palette", "--set=output.preset=ultrafast"]
    resume = ["resume", str(tmp_path / "v.render"), "--progress", "none"]
    assert [cli.run(words), cli.run(resume), cli.run(words)] == [0, 0, 0]
    assert len(hashings) == 1
    assert cli.run([*words, "--fresh"]) == 0
    assert len(hashings) == 2
    data = (photos / "1.bmp").read_bytes()
    put(photos / "1.bmp", data[:-20] + bytes([data[-20] ^ 1]) + data[-19:], OLD_S * SECOND_NS + SECOND_NS)
    for command in (resume, words):
        capsys.readouterr()
        assert cli.run(command) == 5
        assert "source.digest" in capsys.readouterr().err
    assert len(hashings) == 4
