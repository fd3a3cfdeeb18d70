"""The file of a plan: restored exactly, and refused where it is damaged, incomplete or hostile."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RenderDirectoryError
from pipeline.plan.identity import identity_digest
from pipeline.plan.plan_file import plan_from_json, plan_to_json
from pipeline.plan.planning import make_plan
from pipeline.runtime.hashing import canonical_json
from pipeline.types import Chain, ColorTags, RenderPlan, Source
from tests.support.plans import CURVE, NAMES, a_config, a_plan, a_style, shots_of, value_at

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
        interlaced=draw(st.booleans()),
        peak_nits=draw(st.integers(0, 10_000)),
        blended=tuple(draw(st.just([]) | st.lists(st.integers(1, 9), min_size=count, max_size=count))),
    )
    weight = st.floats(0, 1e9, allow_nan=False)
    styles = [
        a_style(name, a_config(losses={"tv": {"weight": draw(weight)}}, seed=draw(st.integers(0, 2**32 - 1))))
        for name in names
    ]
    outputs = {name: f"{name}.mp4" for name in names}
    curve = st.tuples(*[st.integers(-750, 750)] * len(CURVE)) | st.just(())
    exposure = draw(st.just([]) | st.lists(curve, min_size=count, max_size=count))
    levels = draw(st.just([]) | st.lists(st.integers(0, 25500), min_size=count, max_size=count))
    contrasts = draw(st.just([]) | st.lists(st.integers(0, 12750), min_size=len(levels), max_size=len(levels)))
    return make_plan(
        source,
        64,
        48,
        shots,
        styles,
        outputs=outputs,
        render_dir=Path("/out/x.render"),
        exposure=exposure,
        levels=levels,
        contrasts=contrasts,
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


def test_plan_of_version_2_is_read_as_one_without_levels() -> None:
    written = json.loads(plan_to_json(a_plan(levels=[1200] * 6)))
    new = ("tempera_plan", "levels", "contrasts", "shot_colors", "photo_digests")
    old = {"tempera_plan": 2, **{key: value for key, value in written.items() if key not in new}}
    assert plan_from_json(sealed(old)) == a_plan()
    added = [(2, {**old, name: []}) for name in new[1:]]
    for version, document in (*added, (3, old), (1, old), (4, old)):
        with pytest.raises(RenderDirectoryError):
            plan_from_json(sealed({**document, "tempera_plan": version}))


def test_plan_whose_source_knows_no_gaps_is_read() -> None:
    written = json.loads(plan_to_json(a_plan()))
    del written["source"]["gaps_to_fill"]
    assert plan_from_json(sealed(written)) == a_plan()
    for gaps in ([6], [-1]):
        with pytest.raises(RenderDirectoryError, match="a gap is outside"):
            plan_from_json(sealed({**written, "source": {**written["source"], "gaps_to_fill": gaps}}))


def test_plan_without_later_fields_is_read() -> None:
    written = json.loads(plan_to_json(a_plan(levels=[1200] * 6)))
    for name in ("contrasts", "shot_colors", "photo_digests"):
        del written[name]
    assert plan_from_json(sealed(written)) == a_plan(levels=[1200] * 6)


def test_plan_whose_source_lacks_later_facts_is_read() -> None:
    written = json.loads(plan_to_json(a_plan()))
    for name in ("interlaced", "peak_nits", "blended"):
        del written["source"][name]
    assert plan_from_json(sealed(written)) == a_plan()
    with pytest.raises(RenderDirectoryError):
        plan_from_json(sealed({**written, "source": {**written["source"], "blended": [2]}}))


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


DOCUMENT = json.loads(
    plan_to_json(
        a_plan(outputs={"swirl": "x.mp4"}, exposure=(CURVE, (), (), (), (), CURVE), levels=range(6), contrasts=range(6))
    )
)
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


@pytest.mark.parametrize("levels", [(0,), (0,) * 7, (-1,) * 6, (25501,) * 6])
def test_impossible_levels_are_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="level"):
        a_plan(levels=levels)


@pytest.mark.parametrize("contrasts", [(0,), (0,) * 7, (-1,) * 6, (12751,) * 6])
def test_impossible_contrasts_are_refused(contrasts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="contrast"):
        a_plan(levels=[1200] * 6, contrasts=contrasts)


def test_levels_and_contrasts_are_not_in_the_digest() -> None:
    assert a_plan(levels=[1200] * 6, contrasts=[900] * 6).digest == a_plan().digest


def test_tone_curves_that_differ_from_the_identity_are_refused() -> None:
    plan = a_plan(exposure=(CURVE,) * 6)
    for other in ((), ((),) * 6):
        with pytest.raises(RenderDirectoryError, match="tone curves"):
            plan_from_json(plan_to_json(dataclasses.replace(plan, exposure=other)))
