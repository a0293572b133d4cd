"""Policies of a scenario: kept layers stay as released, the plan says whether they bind."""

import re

import pytest

from planner.api import load_model, plan
from planner.errors import DataError, InputError, PlannerError, UnknownNameError, UnsupportedError
from planner.scenarios import Scenario, parse_scenario

HEAD = 'title = "t"\nquestion = "q"\nmodel = "llama-3.1-8b"\ndevice = "h100-sxm"\ndevices = 1\n'
ALL = '["embedding", "head", "indexer", "norm", "router"]'


def scenario(more: str) -> Scenario:
    return parse_scenario((HEAD + more).encode(), place="t.toml", id="t")


def test_the_ends_stay_as_released_and_the_price_is_told() -> None:
    kept = plan(scenario=scenario("keep_first_layers = 3\nkeep_last_layers = 1\n"))
    free = plan(scenario=scenario(""))
    released = load_model("llama-3.1-8b").quantization
    ends = {0, 1, 2, 31}
    for unit in kept.units:
        if unit.kv_layout is None and ends & set(unit.layers) and unit.kind.startswith(
                ("attention", "mlp")):
            assert unit.scheme == released
    words = {a.key: a.value for a in kept.assumptions}
    assert words["policy: kept layers"].startswith("0-2, 31 as released")
    assert "policy: kept layers" not in {a.key for a in free.assumptions}
    rates = [p.performance.output_tokens_per_second.value for p in (kept, free)]
    assert rates[0] <= rates[1] * (1 + 1e-3)
    binds = "does not bind" not in words["policy: kept layers"]
    assert binds == (rates[0] < rates[1] * (1 - 1e-6))


def test_each_end_has_its_own_price() -> None:
    """Against plans that keep one end only."""
    def best(more: str) -> float:
        return plan(scenario=scenario(more)).solver.bound

    kept = plan(scenario=scenario("keep_first_layers = 8\nkeep_last_layers = 6\n"))
    told = {a.key: a.value for a in kept.assumptions}["policy: kept layers"]
    found = re.search(r"binds: ([\d.]+)% better without \(the first ([\d.]+)%, the last ([\d.]+)%",
                      told)
    assert found is not None
    both, first, last = (float(text) / 100 for text in found.groups())
    now = kept.solver.bound
    assert both == pytest.approx(1 - best("") / now, abs=6e-4)
    assert first == pytest.approx(1 - best("keep_last_layers = 6\n") / now, abs=6e-4)
    assert last == pytest.approx(1 - best("keep_first_layers = 8\n") / now, abs=6e-4)


def test_rules_that_always_hold_say_what_they_could_cost_at_most() -> None:
    found = plan(scenario=scenario(""))
    told = {a.key: a.value for a in found.assumptions}["policies"]
    kinds, _, rest = told.partition(" as released: ")
    assert set(kinds.split(", ")) == {"embedding", "head", "norm"}
    kept = [u for u in found.units if u.kind in ("embedding", "head", "norm")]
    share = sum(u.decode_seconds for u in kept) / sum(u.decode_seconds for u in found.units)
    assert rest.startswith(f"{share:.1%} of the step, ")


def test_a_limit_that_no_format_passes_does_not_bind() -> None:
    found = plan(scenario=scenario('keep_first_layers = 2\nschemes = ["bf16"]\n'))
    assert any("does not bind" in a.value for a in found.assumptions)


def test_untied_layers_are_kept_too() -> None:
    found = plan(scenario=scenario("keep_last_layers = 4\nuntie = true\n"))
    for unit in found.units:
        if unit.kind.startswith("mlp") and {28, 29, 30, 31} & set(unit.layers):
            assert unit.scheme == "bf16"


@pytest.mark.parametrize(("more", "error"), [
    ('policies = ["router"]\n', UnsupportedError), ('policies = ["routers"]\n', UnknownNameError),
    ("policies = 3\n", DataError), ("keep_first_layers = 0\n", DataError),
    ("keep_first_layers = 30\nkeep_last_layers = 3\n", InputError),
    ("keep_layers = 3\n", DataError),
])
def test_rules_that_cannot_be_are_refused(more: str, error: type[PlannerError]) -> None:
    with pytest.raises(error):
        plan(scenario=scenario(more))


def test_the_rules_that_hold_anyway_may_be_named() -> None:
    assert plan(scenario=scenario(f"policies = {ALL}\n")).units \
        == plan(scenario=scenario("")).units
