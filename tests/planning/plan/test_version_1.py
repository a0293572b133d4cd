"""Plan files of version 1 are lifted to 2, then to 3: nothing is invented, nothing else changes."""

import json
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.old_plans import FIRST, LAST, LATER, NAMES, old_plan

import planner
from planner.base.errors import DataError
from planner.planning.plan.record import OPTIONAL, Plan
from planner.planning.plan.schema import parse_plan, plan_json_schema
from planner.planning.plan.version_1 import FROM, NOTE_KEY, upgraded

LEFT_OUT = {
    "layouts",
    "measured_anchor",
    "relative",
    "preset",
    "max_concurrency_at_requests",
    "usd_per_million_output_tokens",
    "joules_per_output_token",
    "recommendation",
    "interruption_seconds",
    "mix",
    "word",
    "top1",
    "p99",
}
"""Keys that the last program of version 1 left out where they were null."""
UNKNOWN_SETUP = {"engine", "engine_version", "layout", "evidence"}
"""What other plans did not say before version 3."""
PUBLISHED = {"recipe", "released"}
"""What practice names, which no recommendation knew before version 3."""
NATS = "nats (mean KL of next-token distributions)"


def flat(value: object, place: str = "") -> dict[str, object]:
    """Leaves by place."""
    if isinstance(value, dict):
        return {
            k: v
            for name, item in value.items()
            for k, v in flat(item, f"{place}.{name}".strip(".")).items()
        }
    if isinstance(value, list) and value:
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{place}.{i}").items()}
    return {place: value}


def _without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != name}


def as_version_1(value: Any) -> Any:
    """What the last program of version 1 wrote for a plan of version 2."""
    if isinstance(value, dict):
        anchors = value.get("measured_anchor", [])
        if anchors:
            value = {**value, "measured_anchor": _without(anchors[0], "kind")}
        elif "measured_anchor" in value:
            value = _without(value, "measured_anchor")
        out = {
            key: as_version_1(item)
            for key, item in value.items()
            if not (key in LEFT_OUT and item is None)
        }
        anchor = out.pop("relative_to", None)
        if {"tier", "unit"} <= set(out):
            out["unit"] = (
                NATS if anchor is None else f"relative (1.0 = uniform {anchor} on this model)"
            )
        return out | ({"schema_version": FROM} if "schema_version" in out else {})
    return [as_version_1(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_version_1_is_read_and_is_then_one_of_version_3(name: str) -> None:
    old = old_plan(name)
    plan = planner.read_plan(old)
    assert old == old_plan(name)  # the reader changes no data of others
    new = json.loads(json.dumps(plan.to_dict()))
    jsonschema.Draft202012Validator(plan_json_schema()).validate(new)
    assert new["schema_version"] == "3"
    assert planner.read_plan(new) == plan


@pytest.mark.parametrize("name", NAMES)
def test_a_lift_changes_the_version_and_the_unit_and_adds_no_figure(name: str) -> None:
    before, after = flat(old_plan(name)), flat(planner.read_plan(old_plan(name)).to_dict())
    changed = {key for key in before if after.get(key) != before[key]}
    dropped = ".lossier" if name == "no-devices" else "-"
    listed = {k for k in changed if ".measured_anchor." in k and dropped not in k}
    for key in listed:
        assert after[key.replace("anchor.", "anchor.0.")] == before[key]
    changed -= listed
    lost = {key for key in changed if ".alternatives" in key or ".lossier" in key}
    quoted = {key for key in changed if ".validated." in key}
    for key in quoted:
        assert after[key.replace("validated", "evidence")] == before[key]
    changed -= quoted
    renamed = before.get("recommendation.verdict") == "as-released"
    assert changed - lost == {"schema_version", "quality.unit"} | (
        {"recommendation.verdict"} if renamed else set()
    )
    assert (name == "no-devices") == bool(lost)
    if "recommendation.verdict" in before:
        verdict = "released" if renamed else before["recommendation.verdict"]
        assert after["recommendation.verdict"] == verdict
    added = {
        key: value
        for key, value in after.items()
        if key not in before
        and not key.startswith("assumptions.")
        and ".evidence." not in key
        and ".measured_anchor." not in key
    }
    empty = {key for key, value in added.items() if value == ""}
    assert {key.rpartition(".")[2] for key in empty} <= UNKNOWN_SETUP
    figures = {
        key: value for key, value in added.items() if value not in (None, [], "", "fp8-block")
    }
    assert figures == (
        {} if "workload.prefix_hit_rate" in before else {"workload.prefix_hit_rate": 0.0}
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_no_recommendation_knew_before_version_3_is_unknown(name: str) -> None:
    recommendation = planner.read_plan(old_plan(name)).to_dict()["recommendation"]
    if recommendation is None:
        assert "recommendation" not in old_plan(name)
        return
    assert {key: recommendation[key] for key in PUBLISHED} == dict.fromkeys(PUBLISHED)
    for other in recommendation["alternatives"]:
        assert (other["engine"], other["engine_version"], other["layout"]) == ("", None, "")
        known = other["evidence"]
        assert (known["level"], known["n"], known["median_ape"]) == ("none", 0, None)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *(
            (
                name,
                {
                    "layouts",
                    "recommendation",
                    "quality.relative",
                    "quality.measured_anchor",
                    "capacity.max_concurrency_at_requests",
                    "performance.usd_per_million_output_tokens",
                    "performance.joules_per_output_token",
                    "performance.interruption_seconds",
                },
            )
            for name in FIRST
        ),
        (
            "anchored",
            {
                "recommendation",
                "capacity.max_concurrency_at_requests",
                "performance.usd_per_million_output_tokens",
                "performance.joules_per_output_token",
                "performance.interruption_seconds",
            },
        ),
        ("no-devices", {"recommendation.alternatives", "recommendation.lossier"}),
        ("no-gain", {"recommendation.alternatives.gain"}),
        ("pools", {"recommendation.alternatives.gain", "deployment.aggregated.holding"}),
        ("host", {"recommendation.alternatives.gain"}),
        *((name, set()) for name in LAST),
    ],
)
def test_an_assumption_names_what_version_1_did_not_tell(name: str, told: set[str]) -> None:
    notes = [a for a in planner.read_plan(old_plan(name)).assumptions if a.key == NOTE_KEY]
    assert [a.value for a in notes] == (["version 1"] if told else [])
    assert {key for a in notes for key in a.reason.partition(": ")[2].split(", ")} == told


@pytest.mark.parametrize(
    ("unit", "word", "scheme"),
    [
        (NATS, "nats", None),
        ("nats", "nats", None),
        ("relative (1.0 = uniform fp8-block on this model)", "relative", "fp8-block"),
        ("relative (1.0 = uniform int8-w8a8 on this model)", "relative", "int8-w8a8"),
    ],
)
def test_the_unit_of_a_loss_is_a_word_and_its_scheme_a_key(
    unit: str, word: str, scheme: str | None
) -> None:
    data = old_plan("plain")
    data["quality"]["unit"] = unit
    found = planner.read_plan(data).quality
    assert (found.unit, found.relative_to) == (word, scheme)


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_of_version_2_written_as_version_1_comes_back_as_it_was(name: str) -> None:
    made = planner.read_plan(old_plan(name))
    assert parse_plan(as_version_1(made.to_dict())) == made


@settings(max_examples=examples(30))
@given(st.sampled_from(NAMES), st.randoms(use_true_random=False))
def test_a_lift_is_idempotent_and_pure_whatever_keys_are_missing(name: str, chance: Any) -> None:
    data = old_plan(name)
    for place in chance.sample(sorted(LEFT_OUT), chance.randint(0, len(LEFT_OUT))):
        for part in (
            data,
            data["quality"],
            data["performance"],
            data["capacity"],
            data["workload"],
        ):
            part.pop(place, None)
    before = deepcopy(data)
    once = upgraded(data)
    assert data == before
    assert upgraded(once) == once
    assert upgraded(once) is once  # of version 2 already
    assert parse_plan(once).to_dict() == parse_plan(data).to_dict()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "quality",
                    "unit",
                    "engine",
                    "recommendation",
                    "gain",
                    "alternatives",
                    "lossier",
                    "deployment",
                    "mix",
                    "aggregated",
                    "assumptions",
                    "speculation",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([f.name for f in fields(Plan)]), anything))
def test_what_only_says_version_1_is_refused_with_a_way_on(data: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^plan file") as caught:
        parse_plan(data | {"schema_version": "1"})
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("plain", ("units",), 3, "units"),
        ("plain", ("engine",), [], "engine"),
        ("plain", ("quality", "unit"), "bits", "no unit of version 1"),
        ("plain", ("quality", "unit"), None, "no unit of version 1"),
        ("plain", ("quality", "relative_to"), "fp8-block", "no key of version 1"),
        ("plain", ("quality", "loss"), "small", "quality.loss"),
        ("plain", ("surprise",), 1, "surprise"),
        ("plain", ("assumptions",), None, "assumptions"),
        ("no-gain", ("recommendation", "alternatives"), [7], "alternatives"),
        ("pools", ("deployment", "prefill", "extra"), 1, "extra"),
    ],
)
def test_what_cannot_be_lifted_is_refused_by_its_place(
    name: str, place: tuple[str, ...], value: object, message: str
) -> None:
    data = old_plan(name)
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(DataError, match=message) as caught:
        planner.read_plan(data)
    assert "plan again" in caught.value.hint


@pytest.mark.parametrize("name", FIRST[:1] + LATER[3:])
def test_a_key_that_0_1_0_wrote_must_be_there(name: str) -> None:
    old = old_plan(name)
    for key in ("model", "units", "kv_cache", "solver", "sources", "quality"):
        data = {k: v for k, v in old.items() if k != key}
        with pytest.raises(DataError, match=key):
            planner.read_plan(data)


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        ("4", "upgrade"),
        ("17", "upgrade"),
        ("0", "write the plan again"),
        (2, "write"),
        ("two", "write"),
        (None, "write"),
        ("9" * 5000, "upgrade"),
        ("1.0", "write"),
    ],
)
def test_other_versions_are_refused_with_what_to_do(version: object, hint: str) -> None:
    data = planner.read_plan(old_plan("estimate")).to_dict() | {"schema_version": version}
    with pytest.raises(DataError, match="is none of 1, 2, 3") as caught:
        planner.read_plan(data)
    assert hint in caught.value.hint
    assert len(caught.value.message) < 120


def records(record: Any) -> set[type]:
    """The classes of the records inside a record."""
    if isinstance(record, tuple):
        return set().union(*(records(item) for item in record))
    if not is_dataclass(record):
        return set()
    return {type(record)}.union(*(records(getattr(record, f.name)) for f in fields(record)))


def test_every_key_without_a_default_is_required_and_only_those_left_out_have_one() -> None:
    schema = plan_json_schema()
    known = {"Plan": schema, **schema["$defs"]}
    seen = set().union(*(records(planner.read_plan(old_plan(name))) for name in NAMES))
    assert len(seen) > 35
    for one in seen:
        told = known[one.__name__]
        optional = set(told["properties"]) - set(told["required"])
        assert optional == {f.name for f in fields(one)} & OPTIONAL - (set(told["required"])), one
        assert optional <= {
            "kv_layout",
            "part",
            "place",
            "evidence",
            "offload",
            "prefix_cache",
            "speculation",
            "deployment",
            "open_arrivals",
        }, one
