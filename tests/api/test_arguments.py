"""The public names, scenarios under arguments, objects in place of names."""

import inspect
from pathlib import Path

import pytest

import planner
from planner.base.errors import InputError, PlannerError
from planner.hardware.catalog import hardware_folders
from planner.lookup import load_device, load_model
from planner.planning.question.scenarios import load_scenario, scenario_ids
from tests.support.theory import estimate, plan


def test_the_package_offers_the_api_lazily() -> None:
    from planner.api import estimate, plan

    assert planner.plan is plan.plan
    assert planner.estimate is estimate.estimate
    assert set(planner.__all__) <= set(dir(planner))
    for name in planner.__all__:
        assert getattr(planner, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = planner.nothing


def test_everything_after_model_and_device_is_by_keyword() -> None:
    for function in (plan, estimate):
        kinds = [p.kind for p in inspect.signature(function).parameters.values()]
        assert all(k is inspect.Parameter.KEYWORD_ONLY for k in kinds[2:])
        with pytest.raises(TypeError):
            function("llama-3.1-8b", "h100-sxm", 8)  # type: ignore[operator]


def test_records_do_where_names_do() -> None:
    by_name = estimate("llama-3.1-8b", "h100-sxm", devices=1, batch=2)
    by_record = estimate(load_model("llama-3.1-8b"), load_device("h100-sxm"), devices=1, batch=2)
    assert by_record == by_name


def test_values_of_another_type_are_not_read_as_something_else() -> None:
    with pytest.raises(InputError, match="context = True"):
        plan("llama-3.1-8b", "h100-sxm", context=True)
    with pytest.raises(InputError, match="schemes = 'bf16' is one text") as found:
        plan("llama-3.1-8b", "h100-sxm", schemes="bf16")
    assert found.value.hint == "a list of names: ['bf16']"


@pytest.mark.parametrize("name", ["LLAMA_3.1_8B", "meta-llama/Llama-3.1-8B"])
def test_spellings_lead_to_the_same_plan(name: str) -> None:
    assert estimate(name, "H100_SXM", devices=1, batch=2).model.id == "llama-3.1-8b"


def test_an_argument_wins_over_the_scenario() -> None:
    scenario = load_scenario("a100-fp16-int8")
    plain = plan(scenario=scenario)
    assert (plain.model.id, plain.device.id) == ("deepseek-v2-lite", "a100-sxm")
    assert plain.workload.context_tokens == 32768
    other = plan(scenario=scenario, isl=500, osl=100, devices=2)
    assert (other.workload.context_tokens, other.workload.isl) == (600, 500)
    assert other.device.count == 2
    moved = plan(device="l40s", scenario=scenario)
    assert moved.device.id == "l40s"


@pytest.mark.parametrize("name", scenario_ids())
def test_every_scenario_is_its_own_first_argument(name: str) -> None:
    assert load_scenario(name).id == name
    assert load_scenario(name.upper().replace("-", "_")) == load_scenario(name)


def test_without_a_model_or_a_device() -> None:
    with pytest.raises(InputError, match="no model"):
        plan(device="h100-sxm")
    with pytest.raises(InputError, match="no device"):
        plan("llama-3.1-8b")


def test_further_folders_come_from_the_argument_then_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    monkeypatch.setenv("PLAN_HARDWARE_PATH", str(second))
    assert hardware_folders(first) == [first, second]
    monkeypatch.setenv("PLAN_HARDWARE_PATH", str(tmp_path / "none"))
    with pytest.raises(PlannerError, match="does not exist"):
        hardware_folders(None)


@pytest.mark.parametrize(
    ("given", "context", "isl", "osl"),
    [
        ({}, 8192, 7168, 1024),
        ({"context": 131072}, 131072, 130048, 1024),
        ({"context": 1000}, 1000, 875, 125),
        ({"isl": 4000}, 4500, 4000, 500),
        ({"isl": 100_000}, 101_024, 100_000, 1024),
        ({"isl": 500, "osl": 70}, 570, 500, 70),
        ({"isl": 500, "osl": 70, "context": 2000}, 2000, 500, 70),
        ({"context": 2000, "osl": 70}, 2000, 1930, 70),
    ],
)
def test_workloads_are_filled_by_the_stated_rules(
    given: dict[str, int], context: int, isl: int, osl: int
) -> None:
    work = estimate("llama-3.1-8b", "h200-sxm", devices=1, batch=1, **given).workload
    assert (work.context_tokens, work.isl, work.osl) == (context, isl, osl)


def test_rates_are_over_the_whole_deployment() -> None:
    one = estimate("llama-3.1-8b", "h100-sxm", tp=1, devices=1, batch=8)
    four = estimate("llama-3.1-8b", "h100-sxm", tp=1, devices=4, batch=8)
    assert four.layout.replicas == 4
    assert four.workload.batch == 8
    a, b = one.performance, four.performance
    assert b.output_tokens_per_second.value == pytest.approx(4 * a.output_tokens_per_second.value)
    assert b.output_tokens_per_second_per_device == a.output_tokens_per_second_per_device
    assert four.capacity == one.capacity
