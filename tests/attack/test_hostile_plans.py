"""Figures of plan files that nothing has: refused where the file is read, whoever asks."""

import json
from typing import Any

import pytest
from support.entrances import plan_sample
from support.laws import command
from support.slow_entrances import plan_of
from support.tape import json_bytes

import planner
from planner.base.errors import DataError
from planner.lookup import resolve_device
from planner.throughput.linear import ENGINE_LAYOUTS, kernel_arrays


def changed(place: str, value: object, sample: Any = None) -> Any:
    """A plan file with one value replaced; ``place`` is dotted."""
    tree = here = planner.read_plan(sample or plan_sample()).to_dict()
    *way, last = (int(part) if part.isdigit() else part for part in place.split("."))
    for part in way:
        here = here[part]
    here[last] = value
    return tree


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("layout.dp", 0, "layout.dp: 0 is less than 1"),
        ("layout.tp", -2, "layout.tp: -2 is less"),
        ("layout.replicas", 0, "less than 1"),
        ("layout.replicas", -1, "less than 1"),
        ("device.count", 0, "less than 1"),
        ("workload.batch", 0, "workload.batch: 0 is less than 1"),
        ("workload.context_tokens", 0, "less than 1"),
        ("workload.isl", 0, "less than 1"),
        ("workload.osl", -1, "less than 1"),
        ("units", [], "units: there are none"),
        ("units.0.decode_seconds", -1e-9, "units.0.decode_seconds: -1e-09 is less than 0"),
        ("units.0.loss", -0.5, "less than 0"),
        ("modules.0.weight_bytes", -1, "less than 0"),
        ("memory_per_device.total_bytes", -1, "less than 0"),
        ("kv_cache.capacity_tokens", -1, "less"),
        ("performance.tpot_seconds.value", -1.0, "less than 0"),
        ("performance.tpot_seconds.low", 1e9, "is not from low to high"),
        ("performance.ttft_seconds.high", 0.0, "is not from low to high"),
        ("units.0.layers", [10**9], "units.0.layers: layer 1000000000 is none of 2000"),
        ("kv_cache.layers.0.layer", 10**18, "is none of"),
        ("kv_cache.layers.0.layer", -1, "less than"),
        ("recommendation.alternatives.0.devices", 0, "devices: 0 is less than 1"),
        ("recommendation.lossier.devices", 0, "recommendation.lossier.devices: 0 is less than 1"),
        ("layout.replicas", 10**18, "layout.replicas: 10{18} is more than 1048576"),
        ("device.count", 1 << 21, "device.count: 2097152 is more than 1048576"),
        ("quality.loss", -1.0, "less than 0"),
        ("capacity.max_context_at_batch", -1, "less than 0"),
    ],
)
def test_a_figure_that_nothing_has(place: str, value: object, words: str) -> None:
    with pytest.raises(DataError, match=words) as told:
        planner.read_plan(changed(place, value))
    assert told.value.hint


def test_an_export_never_names_more_workers_than_there_are_devices() -> None:
    """A list of that many addresses took all memory of the machine."""
    data = changed("deployment.decode.workers", 10**18, plan_of("pools"))
    with pytest.raises(DataError, match=r"decode\.workers: 10{18} is more than"):
        planner.read_plan(data)


@pytest.mark.parametrize("place", ["comparison.gain", "solver.gap"])
def test_gains_and_gaps_may_be_losses(place: str) -> None:
    data = changed(place, -0.25)
    assert planner.read_plan(data).to_dict() == data


@pytest.mark.parametrize(
    "words",
    [
        ["report", "p.json", "-o", "r.html"],
        ["estimate", "--plan", "p.json", "--json"],
        ["export", "p.json", "out"],
        ["diff", "p.json", "p.json"],
    ],
)
def test_no_replica_is_refused_by_every_command(words: list[str], tmp_path: Any) -> None:
    (tmp_path / "p.json").write_bytes(json_bytes(changed("layout.replicas", 0)))
    ended = command(words, tmp_path)
    assert ended.code == 2
    assert "layout.replicas" in ended.err


def test_an_anchor_without_words_is_not_told(tmp_path: Any) -> None:
    anchor = {"text": "", "source": ""}
    (tmp_path / "p.json").write_bytes(json_bytes(changed("quality.measured_anchor", anchor)))
    assert command(["report", "p.json", "-o", "r.md"], tmp_path, may_write=("r.md",)).code == 0


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("prefill.units.0.scheme", "x"),
        ("decode.units.0.kind", "mlp"),
        ("decode.schemes.0", "x"),
        ("prefill.schemes", ["bf16", "fp99"]),
        ("kv", "x"),
        ("limit", "nothing"),
        ("aggregated.kv", "x"),
        ("aggregated.schemes.0", "x"),
        ("aggregated.batch", 0),
        ("decode.workers", 0),
        ("prefill.layout.tp", 0),
        ("prefill.units.0.layers", [10**6]),
    ],
)
def test_pools_of_formats_and_counts_that_nothing_has(place: str, value: object) -> None:
    """A scheme that is none reached the export, which ended in a traceback."""
    pools = plan_of("pools")
    with pytest.raises(DataError, match=f"deployment.{place}") as told:
        planner.read_plan(changed(f"deployment.{place}", value, pools))
    assert told.value.hint


@pytest.mark.parametrize("loss", [0.0, 5e-324])
def test_a_change_over_next_to_nothing_is_no_number(loss: float, tmp_path: Any) -> None:
    """Infinity is no JSON, so the comparison ended in a traceback."""
    (tmp_path / "p.json").write_bytes(json_bytes(changed("quality.loss", loss)))
    (tmp_path / "q.json").write_bytes(json_bytes(changed("quality.loss", 0.5)))
    ended = command(["diff", "p.json", "q.json", "--json"], tmp_path)
    changes = {one["metric"]: one["relative"] for one in json.loads(ended.out)["metrics"]}
    assert changes["loss"] is None
    assert changes["tpot"] == 0


@pytest.mark.parametrize("kept", ["kv-", "mlp-down"])
@pytest.mark.parametrize(
    "words", [["report", "p.json", "-o", "r.html"], ["estimate", "--plan", "p.json", "--json"]]
)
def test_units_without_any_cache_or_any_weight(words: list[str], kept: str, tmp_path: Any) -> None:
    """A TypeError of numpy, where nothing was left to choose from."""
    units = [unit for unit in plan_of("estimate")["units"] if unit["kind"].startswith(kept)]
    assert units
    (tmp_path / "p.json").write_bytes(json_bytes(changed("units", units, plan_of("estimate"))))
    ended = command(words, tmp_path, may_write=("r.html",))
    assert ended.code == (2 if words[0] == "estimate" else 0), ended


def test_experts_of_no_scheme_have_no_kernels() -> None:
    """A plan of experts that only names its embedding: a report of it was an IndexError."""
    found = kernel_arrays(resolve_device("rtx-4090"), [], experts=True)
    assert found.fused == ((),) * len(ENGINE_LAYOUTS)
    assert found.certainty == ()
