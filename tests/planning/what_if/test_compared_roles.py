"""The rows of a comparison that decide: at most twelve, each for what it is, one plan once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.comparisons import compared, estimate, row

from planner.planning.what_if.compared import ComparedPlan, Role
from planner.planning.what_if.compared_roles import (
    DAMAGING,
    MOST_ROWS,
    ROLES,
    same_plan,
    shown_rows,
    with_roles,
)

BEST = row("recommended", 100, 0.003, kind="recommended", schemes=("fp8-block",))


def roles(*rows: ComparedPlan, objective: str = "throughput") -> dict[str, tuple[Role, ...]]:
    return {one.name: one.roles for one in with_roles(rows, objective)}


def test_each_row_is_shown_for_what_it_is() -> None:
    got = roles(
        BEST,
        row("published recipe", 90, 0.003, kind="recipe"),
        row("as released", 50, 0.0, kind="released"),
        row("int8-w8a8", 300, 0.006),
        row("int4-w4a16", 250, 0.04),
        row("nvfp4", 240, 0.03),
        row("int8-w8a16", 60, 0.002),
    )
    assert got == {
        "recommended": ("recommended",),
        "published recipe": ("recipe",),
        "as released": ("released", "least_loss"),
        "int8-w8a8": ("fastest", "cheapest"),
        "int4-w4a16": (),
        "nvfp4": ("common_4bit",),
        "int8-w8a16": (),
    }


def test_one_plan_under_two_names_is_shown_once_as_the_recommended_one() -> None:
    own = replace(BEST, name="fp8-block", kind="uniform", probability_better=0.5, why_not="same")
    recipe = replace(BEST, name="published recipe", kind="recipe")
    assert same_plan(BEST, own)
    assert roles(BEST, recipe, own) == {
        "recommended": ("recommended", "recipe", "fastest", "cheapest", "least_loss"),
        "published recipe": (),
        "fp8-block": (),
    }
    assert not same_plan(BEST, replace(own, users=40))


def test_nothing_that_does_damage_is_fastest_while_anything_else_runs() -> None:
    broken = row("Q1_0", 900, 3.2, meaning=DAMAGING)
    assert roles(BEST, broken)["Q1_0"] == ()
    alone = roles(broken)
    assert alone["Q1_0"] == ("fastest", "cheapest", "least_loss")


def test_what_is_late_is_fastest_only_where_nothing_keeps_the_limits() -> None:
    late = row("nvfp4", 900, 0.03, within_limits=False)
    assert roles(BEST, late)["nvfp4"] == ()
    assert "fastest" in roles(late, row("bf16", 10, 0.0, within_limits=False))["nvfp4"]


def test_the_fastest_by_latency_has_the_shortest_time() -> None:
    quick = row("int8-w8a8", 80, 0.006, tpot_seconds=estimate(0.01))
    assert "fastest" in roles(BEST, quick, objective="latency")["int8-w8a8"]
    assert "fastest" in roles(BEST, quick)["recommended"]


def test_nothing_is_cheapest_without_a_price() -> None:
    free = replace(BEST, usd_per_million_output_tokens=None)
    assert "cheapest" not in roles(free)["recommended"]


def test_the_commonest_four_bits_are_those_that_most_releases_of_the_model_have() -> None:
    some = [row("int4-w4a16", 10, 0.07), row("nvfp4", 11, 0.06), row("mxfp4", 12, 0.1)]
    of_v3 = roles(*(replace(one, model="deepseek-v3") for one in some))
    assert "common_4bit" in of_v3["nvfp4"], (
        "DeepSeek-V3 is released in NVFP4 by its maker's partner"
    )
    unknown = roles(*(replace(one, model="nobody's") for one in some))
    assert sum("common_4bit" in mine for mine in unknown.values()) == 1
    assert not any("common_4bit" in mine for mine in roles(row("int4-made-up", 1, 0.1)).values())


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, MOST_ROWS))
def test_at_most_so_many_rows_are_shown_and_the_recommended_go_first(
    models: int, devices: int, most: int
) -> None:
    found = compared(tuple(f"m{n}" for n in range(models)), tuple(f"d{n}" for n in range(devices)))
    shown = [one for _, rows in shown_rows(found, most) for one in rows]
    having = [one for one in found.rows if one.roles]
    assert len(shown) == min(most, len(having))
    pairs = models * devices
    assert sum("recommended" in one.roles for one in shown) == min(most, pairs)
    assert all(one in having for one in shown)


def test_every_role_is_one_of_the_records() -> None:
    assert ROLES[0] == "recommended"
    assert len(set(ROLES)) == len(ROLES) == 8


@pytest.mark.parametrize("name", ["roles"])
def test_roles_are_in_the_frame_and_the_data(name: str) -> None:
    found = compared(("qwen3-32b",), ("h100-sxm",))
    assert found.cells()[0][name] == "recommended"
    assert found.to_dict()["rows"][0][name] == ["recommended"]
