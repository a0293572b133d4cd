"""Names in a plan file that are one of a few: another one is refused, with its place."""

import copy
import csv
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.questions import plan_of

import planner
from planner.base.errors import DataError
from planner.planning.plan.schema import ENGINES, ENUMERATED, parse_plan, plan_json_schema

ROOT = Path(planner.__file__).parent
PLACES = (
    "objective",
    "engine.name",
    "engine.chosen_from.0",
    "model.checkpoint_format",
    "units.0.kind",
    "units.0.scheme",
    "units.0.weight_format",
    "units.0.activation_format",
    "units.0.bound",
    "modules.0.kind",
    "modules.0.scheme",
    "kv_cache.layers.0.kind",
    "kv_cache.layers.0.layout",
    "performance.ttft_seconds.basis",
    "performance.tpot_seconds.basis",
    "quality.unit",
    "quality.word",
    "quality.tier",
    "solver.status",
    "recommendation.verdict",
    "recommendation.alternatives.0.kv",
    "recommendation.alternatives.0.schemes.0",
)


def _put(data: Any, place: str, value: str) -> Any:
    """A copy of ``data`` with another value at a place that is there."""
    data = copy.deepcopy(data)
    *way, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner = data
    for part in way:
        inner = inner[part]
    assert isinstance(inner[last], str)
    inner[last] = value
    return data


@pytest.fixture(scope="module")
def plain() -> Any:
    return planner.plan("smollm2-135m", "h100-sxm", devices=1, batch=1).to_dict()


@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_nothing_has_is_refused_at_its_place(plain: Any, place: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_plan(_put(plain, place, "foo"))
    assert place in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("place", "record", "key"),
    [
        ("schema_version", "Plan", "schema_version"),
        ("objective", "Plan", "objective"),
        ("engine.name", "EngineInfo", "name"),
        ("units.0.kind", "UnitPlan", "kind"),
        ("units.0.bound", "UnitPlan", "bound"),
        ("modules.0.kind", "ModulePlan", "kind"),
        ("kv_cache.layers.0.kind", "CacheLayer", "kind"),
        ("performance.tpot_seconds.basis", "Estimate", "basis"),
        ("performance.tpot_seconds.evidence.level", "Evidence", "level"),
        ("quality.unit", "QualityInfo", "unit"),
        ("solver.status", "SolverInfo", "status"),
    ],
)
def test_the_schema_refuses_the_names_that_the_reader_refuses(
    plain: Any, place: str, record: str, key: str
) -> None:
    schema = plan_json_schema()
    valid = jsonschema.Draft202012Validator(schema).is_valid
    assert valid(copy.deepcopy(plain))
    assert not valid(_put(plain, place, "foo"))
    told = {"Plan": schema, **schema["$defs"]}[record]["properties"][key]["enum"]
    assert told == list(ENUMERATED[record, key])
    for name in told:
        if name != "relative":  # names a scheme as well
            parse_plan(_put(plain, place, name))


def test_every_enumeration_is_tried() -> None:
    assert len(ENUMERATED) == 13


@pytest.mark.parametrize(
    ("unit", "scheme", "message"),
    [
        ("relative", None, "relative_to"),
        ("nats", "fp8-block", "relative_to"),
        ("relative", "foo", "relative_to"),
        ("relative", 8, "relative_to"),
    ],
)
def test_a_relative_loss_names_its_scheme_and_nats_name_none(
    plain: Any, unit: str, scheme: object, message: str
) -> None:
    data = copy.deepcopy(plain)
    data["quality"] |= {"unit": unit, "relative_to": scheme}
    with pytest.raises(DataError, match=message):
        parse_plan(data)
    data["quality"] |= {"unit": "relative", "relative_to": "int8-w8a8"}
    assert parse_plan(data).quality.relative_to == "int8-w8a8"


def test_what_is_written_is_read(plain: Any) -> None:
    assert parse_plan(plain).to_dict() == plain
    assert parse_plan(plan_of().to_dict()) == plan_of()


def test_engines_are_those_of_the_matrix() -> None:
    with (ROOT / "planning" / "data" / "engine_matrix.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        assert {"any", *(row["engine"] for row in rows)} == set(ENGINES)
