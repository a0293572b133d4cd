"""Weights in host memory against trying everything: what lives where, every format, priced in
full."""

from dataclasses import dataclass, replace
from math import inf

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.brute_force import every
from support.examples import examples
from support.full_price import Place, Setting
from support.random_questions import model_named

from planner.base.errors import InfeasibleError
from planner.planning.question.input import QuestionInput
from planner.planning.question.question import Question
from planner.planning.search.engine_search import solve_objective
from planner.planning.space.smallest import smallest_of_layout

DEVICE = "rtx-4090"
WAYS = (
    ("synthetic-moe-2", "llama.cpp", "epyc-9575f", ("ggml-q8_0", "ggml-q4_k")),
    ("synthetic-moe-2", "sglang", "xeon-6980p", ("bf16", "int8-w8a8")),
    ("synthetic-moe-2", "vllm", "epyc-9575f", ("bf16", "int4-w4a16")),
    ("synthetic-gqa-2", "llama.cpp", "xeon-6980p", ("ggml-q8_0", "ggml-q4_0")),
    ("synthetic-gqa-2", "vllm", "xeon-6980p", ("bf16", "fp8-channel")),
)


@dataclass(frozen=True)
class Beside:
    """One instance: ``share`` of the way from everything in host memory to everything on the device
    has room there, ``host_share`` of what the host needs at the most."""

    way: tuple[str, str, str, tuple[str, ...]]
    batch: int
    share: float
    host_share: float
    objective: str
    loss: str | None

    def questions(self) -> list[Question]:
        model, engine, host, schemes = self.way
        asked = QuestionInput(
            model=model_named(model),
            device=DEVICE,
            engine=engine,
            host=host,
            schemes=schemes,
            kv="bf16",
            batch=self.batch,
            context=1024,
            exact=True,
            objective=self.objective,
            max_loss=self.loss,
            tpot_seconds="none",
        ).questions()
        return [replace(q, apart=False, dropped=()) for q in asked]


@st.composite
def beside(draw: st.DrawFn) -> Beside:
    way = draw(st.sampled_from(WAYS))
    return Beside(
        way,
        draw(st.sampled_from((1, 2, 40))),
        draw(st.sampled_from((0.5, 0.2, 0.9, 1.1))),
        draw(st.sampled_from((2.0, 0.7, 0.4))),
        draw(st.sampled_from(("throughput", "latency", "quality"))),
        draw(st.sampled_from((None, way[3][1]))),
    )


def limited(one: Beside) -> list[Question]:
    """The questions with the memories of the instance."""
    free = one.questions()
    sizes = [_least(q) for q in free]
    low, high = min(sizes), max(sizes)
    there = max(_there(q) for q in free)
    return [
        replace(
            q,
            memory_bytes=int(low + (high - low) * one.share) + 1,
            offload=replace(q.offload, memory_bytes=int(there * one.host_share) + 1),
        )
        for q in free
        if q.offload is not None
    ]


def _least(question: Question) -> int:
    place = _place(question)
    assert question.batch is not None
    space = place.space
    return smallest_of_layout(space.model, space.tables, space.stages[0], 0).at(
        space.model, space.tables, 0, question.batch
    )


def _there(question: Question) -> int:
    space = _place(question).space
    return int(space.tables.host.max(axis=1).sum())


def _place(question: Question) -> Place:
    setting = Setting.of(question)
    assert question.batch is not None
    return setting.place(setting.layouts[0], question.batch)


@settings(max_examples=examples(6), suppress_health_check=[HealthCheck.too_slow])
@given(one=beside())
def test_what_lives_where_is_the_best_of_all_that_keeps_the_limits(one: Beside) -> None:
    try:
        questions = limited(one)
    except InfeasibleError:
        return
    best = min((every(q).value for q in questions), default=inf)
    found, _ = solve_objective(questions)
    if found is None:
        assert best == inf, one
        return
    if one.objective == "quality":  # as good a plan may be taken for its speed
        assert found.bound <= best * (1 + 1e-6) + 1e-12, one
        return
    assert best * (1 - 1e-7) <= found.value <= best * (1 + 1e-6), (found.value, best, one)
