"""Layouts against the rules of the README's layout section, written down a second time here."""

from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.models.catalog import resolve_model
from planner.models.spec import ModelSpec
from planner.placement.layout import (
    Layout,
    considered_layouts,
    device_counts,
    divisors,
    layout_problem,
    powers_of_two,
    stage_of_layer,
)

TRIED = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 64, 128, 256)


def allowed(spec: ModelSpec, tp: int, dp: int, pp: int, ep: int) -> bool:
    attention = spec.attention[0]
    wanted = [attention.heads % tp == 0, spec.vocab_size % tp == 0, pp <= spec.layers]
    if attention.kind == "gqa":
        wanted.append(attention.kv_heads % tp == 0 or tp % attention.kv_heads == 0)
    if spec.dense_width:
        wanted.append(spec.dense_width % tp == 0)
    if spec.experts is None:
        wanted += [dp == 1, ep == 1]
    else:
        group = tp * dp
        wanted += [
            group % ep == 0,
            spec.experts.count % ep == 0,
            spec.experts.shared_width % tp == 0,
        ]
        wanted.append(group % ep == 0 and spec.experts.width % (group // ep) == 0)
    return all(wanted)


@pytest.mark.parametrize("name", ["deepseek-v3", "llama-3.1-70b", "qwen3-30b-a3b", "mixtral-8x7b"])
def test_every_layout_is_judged_as_the_rules_say(name: str) -> None:
    spec = resolve_model(name)
    seen = {True: 0, False: 0}
    for tp, dp, pp, ep in product(TRIED, TRIED, (1, 2, 61, 200), TRIED):
        problem = layout_problem(spec, Layout(tp, dp, pp, ep))
        assert (problem == "") == allowed(spec, tp, dp, pp, ep), (tp, dp, pp, ep, problem)
        seen[problem == ""] += 1
    assert min(seen.values()) > 10


@pytest.mark.parametrize(
    ("name", "layout", "words"),
    [
        ("llama-3.1-8b", Layout(dp=2), "replicas"),
        ("llama-3.1-8b", Layout(ep=2), "ep = 1"),
        ("llama-3.1-8b", Layout(tp=3), "does not divide"),
        ("qwen3-30b-a3b", Layout(tp=8, ep=3), "ep 3 does not divide"),
        ("deepseek-v3", Layout(pp=62), "exceeds the 61 layers"),
        ("deepseek-v3", Layout(tp=0), "at least 1"),
    ],
)
def test_the_reason_names_the_rule(name: str, layout: Layout, words: str) -> None:
    assert words in layout_problem(resolve_model(name), layout)


def test_key_value_heads_may_be_copied_but_not_split() -> None:
    spec = resolve_model("qwen3-30b-a3b")  # 32 query heads over 4 key/value heads
    assert layout_problem(spec, Layout(tp=8)) == ""
    assert layout_problem(spec, Layout(tp=16)) == ""
    assert layout_problem(spec, Layout(tp=64)) != ""


def test_devices_are_the_product() -> None:
    layout = Layout(tp=4, dp=2, pp=3, ep=8, replicas=5)
    assert (layout.ranks, layout.devices, layout.moe_tp) == (24, 120, 1)


@pytest.mark.parametrize("layers", [1, 2, 27, 61, 80])
def test_stages_are_contiguous_even_and_longest_first(layers: int) -> None:
    for pp in range(1, layers + 1):
        stages = stage_of_layer(layers, pp)
        sizes = [stages.count(s) for s in range(pp)]
        assert list(stages) == sorted(stages)
        assert sum(sizes) == layers
        assert max(sizes) - min(sizes) <= 1
        assert sizes == sorted(sizes, reverse=True)


def test_powers_of_two() -> None:
    assert powers_of_two(1) == [1]
    assert powers_of_two(6) == [1, 2, 4]
    assert powers_of_two(64) == [1, 2, 4, 8, 16, 32, 64]


def test_device_counts_are_powers_of_two_and_their_triples() -> None:
    assert device_counts(1) == [1]
    assert device_counts(5) == [1, 2, 3, 4]
    assert device_counts(64) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]


@given(st.integers(1, 5000))
def test_divisors_are_all_that_divide(number: int) -> None:
    assert divisors(number) == tuple(i for i in range(1, number + 1) if number % i == 0)


FREE: dict[str, int | None] = {"tp": None, "dp": None, "pp": None, "ep": None}
MODELS = (
    "deepseek-v3",
    "qwen3-coder-480b-a35b",
    "llama-3.1-8b",
    "smollm2-135m",
    "minimax-m2",
    "qwen3.5-27b",
    "mixtral-8x22b",
)


def replica_layouts(
    spec: ModelSpec, *, counts: Sequence[int], node: int, fixed: Mapping[str, int | None]
) -> list[Layout]:
    """The considered layouts that nothing speaks against."""
    return [
        layout
        for layout, why in considered_layouts(spec, counts=counts, node=node, fixed=fixed)
        if not why
    ]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("counts", [(6,), (1, 2, 3, 6), (1, 2, 3, 4, 6, 8, 12), (1, 5, 25)])
def test_the_search_is_all_whole_numbers_that_are_allowed(
    name: str,
    counts: tuple[int, ...],
) -> None:
    spec, node = resolve_model(name), 8
    found = replica_layouts(spec, counts=counts, node=node, fixed=FREE)
    every = range(1, max(counts) + 1)
    expected = {
        Layout(tp, dp, pp, ep)
        for tp, dp, pp in product(every, every, every)
        if tp * dp * pp in counts and tp <= node
        for ep in range(1, tp * dp + 1)
        if not layout_problem(spec, Layout(tp, dp, pp, ep))
    }
    assert set(found) == expected
    assert len(found) == len(expected)


@given(
    name=st.sampled_from(MODELS),
    devices=st.integers(1, 96),
    node=st.sampled_from((1, 4, 8)),
    fixed=st.fixed_dictionaries({key: st.none() | st.integers(1, 8) for key in FREE}),
)
def test_a_considered_layout_is_legal_or_has_its_reason(
    name: str, devices: int, node: int, fixed: dict[str, int | None]
) -> None:
    spec = resolve_model(name)
    seen = list(considered_layouts(spec, counts=divisors(devices), node=node, fixed=fixed))
    assert len({layout for layout, _ in seen}) == len(seen)
    for layout, why in seen:
        assert devices % layout.ranks == 0
        assert all(value in (None, getattr(layout, key)) for key, value in fixed.items())
        wider = fixed["tp"] is None and layout.tp > node
        assert bool(why) == bool(layout_problem(spec, layout) or wider)
        if not why:
            assert layout.moe_tp * layout.ep == layout.tp * layout.dp


def test_a_width_beyond_the_node_is_taken_where_it_is_given() -> None:
    spec = resolve_model("llama-3.1-405b")
    seen = dict(considered_layouts(spec, counts=(16,), node=8, fixed=FREE))
    assert "wider than a node of 8" in seen[Layout(tp=16)]
    assert replica_layouts(spec, counts=(16,), node=8, fixed={**FREE, "tp": 16}) == [Layout(tp=16)]


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("smollm2-135m", {1, 3}),
        ("minimax-m2", {1, 2, 4, 8, 16, 24}),
        ("llama-3.1-8b", {1, 2, 4, 8, 16}),
    ],
)
def test_tensor_parallel_widths_follow_the_heads(name: str, widths: set[int]) -> None:
    found = replica_layouts(
        resolve_model(name), counts=device_counts(24), node=24, fixed={**FREE, "dp": 1, "pp": 1}
    )
    assert {layout.tp for layout in found} == widths
