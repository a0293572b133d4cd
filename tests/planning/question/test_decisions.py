"""Decision units: every layer of every module once, what is tied, cut and named apart."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.lookup import load_model
from planner.placement.modules import modules
from planner.planning.question.decisions import DecisionUnit, build_units, split_modules

NAMES = ("qwen2.5-0.5b", "deepseek-v2-lite", "gemma-3-1b", "deepseek-v3.2")


def units_of(
    name: str,
    *,
    ends: int = 2,
    by_layer: bool = False,
    fused: tuple[tuple[str, ...], ...] = (),
    kept: tuple[int, ...] = (),
) -> list[DecisionUnit]:
    spec = load_model(name)
    planned, released = split_modules(modules(spec))
    return build_units(spec, planned, released, ends, by_layer=by_layer, fused=fused, kept=kept)


@given(
    st.sampled_from(NAMES),
    st.booleans(),
    st.integers(0, 3),
    st.sets(st.integers(0, 23), max_size=4),
)
def test_layers_are_divided_and_names_are_apart(
    name: str, by_layer: bool, ends: int, kept: set[int]
) -> None:
    spec = load_model(name)
    units = units_of(name, ends=ends, by_layer=by_layer, kept=tuple(sorted(kept)))
    planned, _ = split_modules(modules(spec))
    for row, module in enumerate(planned):
        mine = [u for u in units if u.role == "module" and u.row == row]
        assert Counter(n for u in mine for n in u.layers) == Counter(module.layers)
        assert all(not u.layers or set(u.layers) <= kept or not set(u.layers) & kept for u in mine)
    assert len({u.id for u in units}) == len(units)
    decisions = [u.decision for u in units if u.role != "released"]
    assert set(decisions) == set(range(max(decisions) + 1))
    assert {u.decision for u in units if u.role == "released"} <= {-1}


def test_both_matrices_of_routed_experts_share_a_decision() -> None:
    units = units_of("deepseek-v2-lite")
    up = {u.bucket: u.decision for u in units if u.kind == "experts-gate-up"}
    down = {u.bucket: u.decision for u in units if u.kind == "experts-down"}
    assert up == down
    assert len(set(up.values())) == len(up)
    others = {u.decision for u in units if not u.kind.startswith("experts")}
    assert not others & set(up.values())


def test_a_fused_group_decides_together_and_only_then() -> None:
    group = ("mlp-gate-up", "mlp-down")

    def shared(units: list[DecisionUnit]) -> bool:
        first, second = ({u.decision for u in units if u.kind == kind} for kind in group)
        return first == second

    assert not shared(units_of("qwen2.5-0.5b"))
    assert shared(units_of("qwen2.5-0.5b", fused=(group,)))


@pytest.mark.parametrize("dropped", [(), ("head",)])
def test_a_dropped_rule_is_planned(dropped: tuple[str, ...]) -> None:
    every = modules(load_model("llama-3.1-8b"))
    planned, released = split_modules(every, dropped)
    assert ("head" in {m.kind for m in planned}) == bool(dropped)
    assert len(planned) + len(released) == len(every)
    assert not {m.kind for m in planned} & {m.kind for m in released}
