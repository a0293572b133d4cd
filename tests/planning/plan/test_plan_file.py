"""The plan file: its schema, a lossless round trip, strict reading, and pricing it again."""

import json
import os
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from planner.base.errors import (
    DataError,
    InfeasibleError,
    InputError,
    PlannerError,
    UnsupportedError,
)
from planner.planning.plan.file import MAX_PLAN_BYTES, read_plan
from planner.planning.plan.record import Plan
from planner.planning.plan.schema import parse_plan, plan_json_schema
from planner.planning.serving.serve import serve
from tests.support.theory import estimate, plan

MADE: dict[str, dict[str, Any]] = {
    "dense": {"model": "llama-3.1-8b", "device": "h100-sxm", "devices": 2, "tp": 2},
    "mixed": {"model": "deepseek-v2-lite", "device": "l40s", "devices": 1, "batch": 3},
    "staged": {
        "model": "llama-3.1-70b",
        "device": "h100-sxm",
        "devices": 4,
        "tp": 2,
        "pp": 2,
        "batch": 32,
    },
    "sparse": {
        "model": "deepseek-v3.2",
        "device": "h200-sxm",
        "devices": 16,
        "context": 16384,
        "batch": 64,
    },
    "untied": {
        "model": "qwen3-30b-a3b",
        "device": "b200-sxm",
        "devices": 1,
        "untie": True,
        "max_loss": "nvfp4",
        "batch": 32,
    },
    "software": {"model": "llama-3.1-8b", "device": "xeon-platinum-8480", "objective": "latency"},
}


@cache
def planned(name: str) -> Plan:
    return plan(**MADE[name])


@pytest.fixture(scope="module", params=sorted(MADE))
def made(request: pytest.FixtureRequest) -> Plan:
    return planned(request.param)


@pytest.fixture(scope="module")
def dense() -> Plan:
    return planned("dense")


@pytest.mark.sample(1)
def test_the_file_satisfies_its_schema(made: Plan) -> None:
    schema = plan_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(made.to_dict())))


@pytest.mark.sample(2)
def test_the_round_trip_loses_nothing(made: Plan) -> None:
    text = json.dumps(made.to_dict(), allow_nan=False)
    again = read_plan(json.loads(text))
    assert again == made
    assert json.dumps(again.to_dict()) == text


def test_pricing_the_plan_again_gives_the_same_numbers(made: Plan) -> None:
    again = estimate(plan=made)
    for name in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second"):
        ours, theirs = getattr(made.performance, name), getattr(again.performance, name)
        assert theirs.value == pytest.approx(ours.value, rel=1e-12)
    assert again.memory_per_device == made.memory_per_device
    assert again.capacity == made.capacity
    assert again.kv_cache == made.kv_cache
    assert again.layout == made.layout
    assert again.workload == made.workload
    assert again.quality.loss == pytest.approx(made.quality.loss, rel=1e-12, abs=1e-15)
    assert [(u.kind, u.layers, u.scheme, u.weight_bytes) for u in again.units] == [
        (u.kind, u.layers, u.scheme, u.weight_bytes) for u in made.units
    ]


def test_a_plan_for_an_engine_is_priced_and_served_in_it() -> None:
    made = plan("qwen2.5-0.5b", "h20", devices=1, batch=16, engine="sglang")
    again, named, other = (
        estimate(plan=made),
        estimate(plan=made, engine="sglang"),
        estimate(plan=made, engine="any"),
    )
    assert again.engine == made.engine
    assert again.performance == named.performance
    assert again.performance.tpot_seconds.value == pytest.approx(
        made.performance.tpot_seconds.value, rel=1e-12
    )
    assert other.engine.name == "any"
    assert other.performance.tpot_seconds.value != again.performance.tpot_seconds.value
    assert serve(plan=made, concurrency=8).engine.startswith("sglang")
    assert serve(plan=made, concurrency=8, engine="any").engine == "any"


def test_every_layer_of_every_kind_has_exactly_one_unit(made: Plan) -> None:
    covered: dict[str, list[int]] = {}
    for unit in made.units:
        covered.setdefault(unit.kind, []).extend(unit.layers)
        assert list(unit.layers) == sorted(unit.layers)
        assert unit.reason
        assert (unit.kv_layout is not None) == unit.kind.startswith("kv-")
        if unit.kv_layout is not None:
            assert (unit.scheme, unit.weight_format, unit.weight_bytes) == (unit.kv_layout, None, 0)
    for layers in covered.values():
        assert len(layers) == len(set(layers))
    grown = made.quality.loss - (made.quality.floor or 0.0)
    assert sum(u.loss for u in made.units) == pytest.approx(grown)
    assert sum(m.loss for m in made.modules) == pytest.approx(grown)


def test_the_frame_has_a_row_a_unit_and_units_in_its_columns(made: Plan) -> None:
    frame = made.to_frame()
    assert len(frame) == len(made.units)
    assert {"weight_bytes", "decode_seconds", "prefill_seconds"} <= set(frame.columns)
    assert frame["weight_bytes"].sum() == sum(u.weight_bytes for u in made.units)


def keys(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    if isinstance(value, dict):
        return [path] + [k for name, v in value.items() for k in keys(v, (*path, name))]
    if isinstance(value, list) and value:
        return keys(value[0], (*path, 0))
    return []


def at(data: Any, path: tuple[object, ...]) -> dict[str, Any]:
    for step in path:
        data = data[step]
    assert isinstance(data, dict)
    return data


@pytest.mark.exhaustive
def test_an_unknown_key_is_refused_wherever_it_is(dense: Plan) -> None:
    good = dense.to_dict()
    validator = jsonschema.Draft202012Validator(plan_json_schema())
    places = keys(good)
    assert len(places) > 15
    for path in places:
        bad = deepcopy(good)
        at(bad, path)["surprise"] = 1
        with pytest.raises(DataError, match="surprise"):
            read_plan(bad)
        assert not validator.is_valid(json.loads(json.dumps(bad))), path


def test_a_missing_key_is_refused_with_its_place(dense: Plan) -> None:
    optional = {"kv_layout", "evidence"}
    for path in keys(dense.to_dict()):
        for name in at(dense.to_dict(), path):
            if name in optional:
                continue
            bad = dense.to_dict()
            del at(bad, path)[name]
            with pytest.raises(DataError, match=name) as caught:
                read_plan(bad)
            assert caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        None,
        5,
        "plan",
        [],
        {},
        {"schema_version": 1},
        {"schema_version": "4"},
        {"schema_version": "2"},
        {"schema_version": "2", "units": 3},
        {"schema_version": "1"},
    ],
)
def test_what_is_not_a_plan_is_refused(data: object) -> None:
    with pytest.raises(DataError) as caught:
        parse_plan(data)
    assert caught.value.message.startswith("plan file")
    assert caught.value.hint


def test_a_file_and_its_data_are_the_same_plan(dense: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(dense.to_dict()), encoding="utf-8")
    assert read_plan(path) == read_plan(str(path)) == read_plan(dense.to_dict()) == dense


def test_a_file_that_is_no_plan_is_refused_with_its_name(dense: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for missing in (path, tmp_path):
        with pytest.raises(InputError, match="does not exist") as caught:
            read_plan(missing)
        assert repr(str(missing)) in caught.value.message
        assert caught.value.hint == "write one with --json"
    for text, message in (
        ("", "plan.json"),
        ("[]", "plan.json"),
        ('{"units": NaN}', "plan.json"),
        ('{"units": 1, "units": 2}', "units"),
        ("{}", "schema_version None"),
        (json.dumps({**dense.to_dict(), "surprise": 1}), "surprise"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_plan(path)
    path.write_bytes(b"\xff{}")
    with pytest.raises(DataError, match=r"plan\.json"):
        read_plan(path)
    os.truncate(path, MAX_PLAN_BYTES + 1)
    with pytest.raises(DataError, match=f"larger than {MAX_PLAN_BYTES} bytes"):
        read_plan(path)


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path, mode: str) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(DataError, match="cannot be read: Permission denied") as caught:
        read_plan(tmp_path / "plan.json")
    assert caught.value.hint


@pytest.mark.parametrize("source", [None, 5, [], b"plan.json"])
def test_what_is_neither_a_file_nor_data_is_refused(source: Any) -> None:
    with pytest.raises(InputError, match="source") as caught:
        read_plan(source)
    assert caught.value.hint == "source is a name, a path or a dict"


def changed(source: Plan, **values: Any) -> Plan:
    data = source.to_dict()
    for unit in data["units"]:
        if unit["kind"] == values["kind"]:
            unit.update({k: v for k, v in values.items() if k != "kind"})
    return read_plan(data)


def test_a_unit_that_cannot_be_is_refused(dense: Plan) -> None:
    with pytest.raises(PlannerError, match="nvfp4"):
        estimate(plan=changed(dense, kind="mlp-down", scheme="nvfp4"))
    with pytest.raises(PlannerError):
        estimate(plan=changed(dense, kind="mlp-down", scheme="no-such-scheme"))
    with pytest.raises(InputError, match="layer 0 has no unit"):
        estimate(plan=changed(dense, kind="mlp-down", layers=[]))


def test_a_cache_that_the_device_cannot_read_is_refused() -> None:
    source = estimate("llama-3.1-8b", "h100-sxm", scheme="bf16", kv="fp8", devices=1, batch=1)
    with pytest.raises(UnsupportedError, match="fp8"):
        estimate(device="a100-sxm", plan=source)


def test_a_plan_of_another_model_is_refused() -> None:
    source = estimate("deepseek-v2-lite", "h100-sxm", devices=1, batch=1)
    with pytest.raises(PlannerError) as caught:
        estimate("llama-3.1-8b", plan=source)
    assert caught.value.hint


def test_limits_apply_to_a_given_plan(dense: Plan) -> None:
    tpot = dense.performance.tpot_seconds.value
    assert estimate(plan=dense, tpot_seconds=tpot * 1.001).units
    with pytest.raises(InfeasibleError, match="tpot"):
        estimate(plan=dense, tpot_seconds=tpot * 0.99)
    with pytest.raises(InfeasibleError, match="ttft"):
        estimate(plan=dense, ttft_seconds=1e-6)
    with pytest.raises(InfeasibleError, match="memory"):
        estimate(plan=dense, memory_bytes=dense.memory_per_device.total_bytes - 1)


@pytest.mark.parametrize("asked", [{"scheme": "bf16"}, {"kv": "fp8"}])
def test_a_plan_excludes_other_choices(dense: Plan, asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="exclude"):
        estimate(plan=dense, **asked)


def test_a_plan_can_be_moved_to_another_workload(dense: Plan) -> None:
    other = estimate(plan=dense, isl=1000, osl=100, batch=2)
    assert (other.workload.isl, other.workload.osl, other.workload.batch) == (1000, 100, 2)
    assert other.workload.context_tokens == 1100
    assert other.performance.tpot_seconds.value < dense.performance.tpot_seconds.value


def test_read_from_disk_by_the_command(
    dense: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from planner.cli.main import run

    path = tmp_path / "plan.json"
    path.write_text(json.dumps(dense.to_dict()), encoding="utf-8")
    assert run(["estimate", "--plan", str(path), "--json", "--quiet"]) == 0
    printed = read_plan(json.loads(capsys.readouterr().out))
    assert printed.performance == dense.performance
