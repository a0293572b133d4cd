"""The best pools against trying everything: both pools' assignments, batches and workers."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.all_pools import best_rate
from support.random_questions import model_named, thorough

from planner.planning.pools.cases import pool_question, pool_spaces
from planner.planning.pools.find_pools import demand_of, device_budget
from planner.planning.pools.handover import handover
from planner.planning.pools.search import PoolSearch
from planner.planning.question.pool_link import PoolLink
from planner.planning.question.question import Question
from planner.planning.space.layouts import possible_layouts
from planner.planning.space.memory import tables_and_stages
from planner.planning.space.model import build_model
from planner.planning.space.smallest import least_bytes
from planner.quality.prior import load_prior
from tests.support import theory

CASES = (
    ("synthetic-gqa-2", {"isl": 5000, "osl": 64}),
    ("synthetic-gqa-2", {"isl": 6000, "osl": 16}),
    ("synthetic-moe-2", {"isl": 4096, "osl": 32}),
    ("synthetic-mla-2", {"isl": 4096, "osl": 16}),
    ("synthetic-gqa-2", {"isl": 8000, "osl": 32, "prefix_hit_rate": 0.5}),
)
SCHEMES = (("bf16", "int8-w8a8"), ("bf16", "int4-w4a16"))
ROOM = 6
"""Sequences of a rank that fit at the most."""


def asked(
    model: str,
    work: dict[str, float],
    schemes: tuple[str, ...],
    devices: int,
    kv: tuple[str, ...],
    loss: str | None,
) -> Question:
    question = theory.ask(
        model_named(model), "h100-sxm", devices=devices, schemes=schemes, max_loss=loss, **work
    ).questions()[0]
    held = tuple(k for k in question.kv if k in kv)
    return replace(question, kv=held or question.kv[:1])


def roomy(question: Question) -> Question:
    """``question`` with memory for about ROOM sequences, so that every batch can be tried."""
    model = build_model(question, load_prior())
    layouts = possible_layouts(question)
    tables, stages = tables_and_stages(model, layouts)
    first = next(i for i, la in enumerate(layouts) if la.ranks == 1)
    most = least_bytes(model, tables, stages[first], first, ROOM)
    return replace(question, memory_bytes=most + 1)


@settings(
    max_examples=200 if thorough() else 4,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    case=st.sampled_from(CASES),
    schemes=st.sampled_from(SCHEMES),
    devices=st.sampled_from((2, 3, 4)),
    loss=st.sampled_from((None, "int8-w8a8")),
    kv=st.sampled_from((("bf16",), ("bf16", "int8-token"))),
    limits=st.sampled_from(((), ("tpot",), ("ttft",), ("tpot", "ttft"))),
    factor=st.sampled_from((0.9, 1.02, 1.3)),
    speed=st.sampled_from((50e9, 2e8)),
)
def test_the_pools_are_the_best_of_all(
    case: tuple[str, dict[str, float]],
    schemes: tuple[str, ...],
    devices: int,
    loss: str | None,
    kv: tuple[str, ...],
    limits: tuple[str, ...],
    factor: float,
    speed: float,
) -> None:
    link = PoolLink(speed, "given", "test")
    question = roomy(asked(case[0], case[1], schemes, devices, kv, loss))
    free = found(question, link)
    if free is None:
        assert brute(question, link) == 0.0
        return
    for name in limits:
        seconds = free.tpot if name == "tpot" else free.ttft
        question = replace(question, **{f"{name}_seconds": seconds * factor})
    answer = found(question, link)
    rate = 0.0 if answer is None else answer.rate
    assert rate == pytest.approx(brute(question, link), rel=2e-6)


class Answer:
    """The figures of what the search found."""

    def __init__(self, search: PoolSearch) -> None:
        best = search.best
        assert best is not None
        self.best, self.rate, self.tpot = best, best.rate, best.decoding.seconds
        over = best.shared.handover
        read = best.reading.group[0]
        self.ttft = (
            read * 2
            + over.seconds(best.reading.tp, best.decoding.tp)
            + self.tpot
            + best.decoding.pool.question.prompt_host.handling_seconds
        )
        assert search.bound <= search.value * (1 + 1e-6), "proved"


def found(question: Question, link: PoolLink) -> Answer | None:
    ways = (question,)
    spaces, against = pool_spaces(ways, ways, link)
    assert not against
    search = PoolSearch(
        [one.shared() for one in spaces], device_budget(ways, ways), demand_of(question)
    )
    return None if search.run() is None else Answer(search)


def brute(question: Question, link: PoolLink) -> float:
    degrees = (1, 2, 3, 4)
    best = 0.0
    for kv in question.kv:
        over = handover(question, kv, degrees, link, indexer_fp8=False)
        best = max(
            best, best_rate(pool_question(question), kv, dict(over.sizes), link.bytes_per_second)
        )
    return best
