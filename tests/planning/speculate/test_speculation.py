"""Drafted tokens in a plan: their step by parts, their bytes, the number that is best, how far they
pay, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.base.errors import InputError, PlannerError, UnknownNameError, UnsupportedError
from planner.lookup import load_model
from planner.models.inventory import row_bytes
from planner.placement.layout import Layout
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import Plan
from planner.planning.price.price import price
from planner.planning.price.step import Assignment, pass_seconds, rank_points
from planner.planning.question.question import Question
from planner.planning.question.speculation import Speculation, eagle_head, prediction_layers
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import search
from planner.planning.space.draft_bytes import draft_sequence_bytes
from planner.planning.space.model import build_model
from planner.planning.speculate.info import chance_above, chosen_by_unit, pays_up_to, tpot_at
from planner.quality.prior import load_prior
from planner.throughput.points import decode_phase
from planner.throughput.speculation import Acceptance
from tests.support.questions import question_of

SMALL: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "devices": 1,
    "context": 2048,
    "engine": "vllm",
}
DEEP: dict[str, Any] = {
    "model": "deepseek-v3",
    "device": "h200-sxm",
    "devices": 8,
    "context": 4096,
    "engine": "vllm",
}

FEW: dict[str, Any] = {"schemes": ["bf16"], "kv": "bf16", "batch": 1}
"""A question of few choices."""


def sure(value: float) -> Acceptance:
    return Acceptance(value, value, value, "given")


def drafting(option: Speculation, model: str = "llama-3.1-8b", **asked: Any) -> Question:
    return replace(question_of(model, **asked), speculation=option)


def solved(question: Question) -> SearchResult:
    found = search(build_model(question, load_prior()))
    assert found is not None
    return found


def tpot(found: SearchResult) -> float:
    return price(found.space, found.candidate, found.segments).tpot


def head(count: int, value: float) -> Speculation:
    return eagle_head(load_model("llama-3.1-8b"), count, sure(value))


def test_none_is_the_plan_as_it_was() -> None:
    plain = planner.plan(**SMALL, **FEW)
    assert planner.plan(**SMALL, **FEW, speculation="none").to_dict() == plain.to_dict()
    assert "speculation" not in plain.to_dict()


@pytest.mark.parametrize("count", [1, 3])
def test_a_step_is_verification_and_drafting(count: int) -> None:
    """Products of the verified tokens against the closed loop's pass of as many, which has its own
    code; what is left of the step is attention and the draft's passes."""
    found = solved(drafting(head(count, 0.6), batch=8, schemes=("bf16",), kv="bf16"))
    space, model = found.space, found.space.model
    priced = price(space, found.candidate, found.segments)
    accepted = model.question.accepted
    assert accepted == pytest.approx(sum(0.6**i for i in range(count + 1)))
    seconds: dict[str, float] = {}
    for cost in priced.costs:
        kind = model.units[cost.segment.unit].kind
        seconds[kind] = seconds.get(kind, 0.0) + cost.decode_seconds * accepted
    plan = Assignment(
        model,
        space.tables,
        int(space.pts.layout[found.candidate]),
        found.segments,
    )
    work = model.question.workload
    at = rank_points(plan, np.array([8.0]))
    once = pass_seconds(plan, at, decode_phase(at, work.decode_length, count + 1.0)).by_kind
    for kind in ("attention-qkv", "attention-out", "mlp-gate-up", "mlp-down", "head", "norm"):
        assert seconds[kind] == pytest.approx(float(once[kind][0]), rel=1e-9)
    assert seconds["draft"] > 0
    step = (priced.tpot - priced.interruption) * accepted
    assert step == pytest.approx(sum(seconds.values()), rel=0.05)  # keys and values are one kernel


def test_further_passes_of_the_draft_take_as_long_each() -> None:
    """The first pass takes up what was verified; each further one is the same single pass."""
    spent = []
    for count in (2, 3, 4):
        found = solved(drafting(head(count, 0.6), batch=1, schemes=("bf16",), kv="bf16"))
        priced = price(found.space, found.candidate, found.segments)
        cost = next(
            c for c in priced.costs if found.space.model.units[c.segment.unit].kind == "draft"
        )
        spent.append(cost.decode_seconds * found.space.model.question.accepted)
    one, two = spent[1] - spent[0], spent[2] - spent[1]
    assert one == pytest.approx(two, rel=0.05)
    assert 0 < one < spent[0]


@pytest.mark.parametrize(("count", "value", "more"), [(1, 0.3, 0.05), (4, 0.8, 0.02)])
def test_a_better_acceptance_never_slows(count: int, value: float, more: float) -> None:
    worse, better = (
        solved(drafting(head(count, v), batch=4, schemes=("bf16",), kv="bf16"))
        for v in (value, value + more)
    )
    assert tpot(better) < tpot(worse)


def test_nothing_accepted_is_slower_than_nothing_drafted() -> None:
    plain = solved(question_of("llama-3.1-8b", batch=4, schemes=("bf16",), kv="bf16"))
    rejected = solved(drafting(head(2, 1e-6), batch=4, schemes=("bf16",), kv="bf16"))
    assert tpot(rejected) > tpot(plain)
    assert tpot(solved(drafting(head(2, 0.95), batch=1, schemes=("bf16",), kv="bf16"))) < tpot(
        solved(question_of("llama-3.1-8b", batch=1, schemes=("bf16",), kv="bf16"))
    )


def test_weights_and_caches_of_the_draft_are_on_the_device() -> None:
    asked: dict[str, Any] = {"batch": 4, "schemes": ("bf16",), "kv": "bf16"}
    found = solved(drafting(head(2, 0.6), **asked))
    plain = solved(question_of("llama-3.1-8b", **asked))
    with_, without = (price(f.space, f.candidate, f.segments) for f in (found, plain))
    h, kv, width = 4096, 1024, 14336
    own = 2 * (3 * h * h + 2 * h * (h + 2 * kv) + h * h + 3 * h * width + 32_000 * h + 4 * h)
    assert with_.stages[0].weights - without.stages[0].weights == own
    work = found.space.model.question.workload
    tokens = -(-work.cached_tokens // 16) * 16
    one = draft_sequence_bytes(found.space.model, Layout(), work.cached_tokens)
    assert one == tokens * 2 * kv * 2  # keys and values of one layer in BF16
    assert with_.stages[0].cache - without.stages[0].cache == 4 * one
    assert with_.stages[0].activation > without.stages[0].activation  # logits of three tokens


def test_prediction_layers_weigh_what_the_release_stores() -> None:
    plan = planner.estimate(**DEEP, batch=8, speculation="mtp", draft_tokens=1)
    spec = load_model("deepseek-v3")
    assert plan.speculation is not None
    assert plan.speculation.bytes == sum(
        row_bytes(row) for row in spec.rows if row.part == "mtp" and row.copy_of is None
    )
    assert plan.speculation.bytes / 8 <= plan.speculation.bytes_per_device < plan.speculation.bytes
    assert plan.speculation.scheme == "fp8-block"


def test_the_best_number_of_tokens_is_drafted() -> None:
    """Against one answer for each number."""
    asked: dict[str, Any] = {"batch": 2, "schemes": ("bf16", "fp8-block"), "kv": "bf16"}
    best = planner.plan(**SMALL | asked, speculation="eagle", acceptance=0.7, exact=True)
    each = [
        tpot(
            solved(
                replace(drafting(head(count, 0.7), **asked), engine="vllm", engine_version="0.32.0")
            )
        )
        for count in range(1, 9)
    ]
    assert best.speculation is not None
    assert best.speculation.draft_tokens == 1 + int(np.argmin(each))


def test_it_pays_up_to_the_batch_that_is_told() -> None:
    """Against the step with and without at every batch."""
    found = solved(drafting(head(4, 0.5), batch=2, schemes=("bf16",), kv="bf16"))
    model, layout = found.space.model, found.space.layout(found.candidate)
    most = 400
    told = pays_up_to(model, layout, found.segments, most)
    chosen = chosen_by_unit(model, found.segments)
    plain = build_model(replace(model.question, speculation=None), model.prior)
    own = {u.id: c for u, c in zip(model.units, chosen, strict=True)}
    slots = np.arange(1, most + 1, dtype=np.int64)
    pays = tpot_at(model, layout, chosen, slots) < tpot_at(
        plain, layout, [own[u.id] for u in plain.units], slots
    )
    assert 1 <= told < most
    assert pays[told - 1]
    assert not pays[told]


def test_a_plan_tells_it_and_its_file_is_priced_the_same() -> None:
    plan = planner.plan(
        **DEEP,
        schemes=["fp8-block"],
        kv="bf16",
        batch=8,
        tp=8,
        ep=8,
        speculation="mtp",
        draft_tokens=1,
    )
    info = plan.speculation
    assert info is not None
    assert info.gain is not None
    assert (info.kind, info.model, info.method) == ("mtp", "deepseek-v3", "mtp")
    assert info.accepted_tokens == pytest.approx(1 + info.acceptance.value)
    assert info.gain.low < info.gain.value < info.gain.high
    again = planner.read_plan(plan.to_dict())
    assert again == plan
    priced = planner.estimate(plan=again)
    assert priced.performance.tpot_seconds.value == pytest.approx(
        plan.performance.tpot_seconds.value, rel=1e-9
    )
    assert priced.speculation is not None
    assert priced.speculation.gain is None
    assert not any(unit.kind == "draft" for unit in plan.units)


def test_intervals_hold_what_acceptance_may_be() -> None:
    narrow = planner.estimate(**DEEP, batch=8, speculation="mtp", draft_tokens=1, acceptance=0.875)
    wide = planner.estimate(**DEEP, batch=8, speculation="mtp", draft_tokens=1)
    mine, other = (p.performance.tpot_seconds for p in (wide, narrow))
    assert mine.high / mine.value > other.high / other.value
    assert mine.value / mine.low > other.value / other.low


def test_auto_takes_it_where_it_surely_gains() -> None:
    one = planner.plan(**SMALL, **FEW, speculation="auto", acceptance=0.9, draft_tokens=2)
    assert one.speculation is not None
    assert one.speculation.kind == "eagle"
    never = planner.plan(**SMALL, **FEW, speculation="auto", acceptance=0.02, draft_tokens=2)
    assert never.speculation is None
    told = next(a for a in never.assumptions if a.key == "speculation")
    assert "none" in told.value
    assert "chance" in told.reason
    nothing = planner.plan(**SMALL | {"model": "qwen2.5-0.5b"}, **FEW, speculation="auto")
    assert nothing.speculation is None


@pytest.mark.parametrize(
    ("engine", "more", "wanted"),
    [
        ("vllm", {}, ("5%", "80%")),  # published for devices of the maker
        ("sglang", {}, ("15%", "90%")),
        ("sglang", {"allow_unmeasured": True, "min_gain": 12}, ("12%", "80%")),
    ],
)
def test_drafts_are_held_to_the_gains_of_the_rule(
    engine: str, more: dict[str, Any], wanted: tuple[str, str]
) -> None:
    asked = SMALL | {"engine": engine, "speculation": "auto", "draft_tokens": 2, **more}
    plan = planner.plan(**asked, **FEW, acceptance=0.05)
    assert plan.speculation is None
    told = next(a.reason for a in plan.assumptions if a.key == "speculation")
    assert f"more than {wanted[0]} " in told
    assert f"of which {wanted[1]} are wanted" in told


@given(st.floats(-0.2, 0.5), st.floats(0.01, 0.2))
def test_chances_follow_the_interval(value: float, width: float) -> None:
    gain = GainRange(value, (1 + value) / (1 + width) - 1, (1 + value) * (1 + width) - 1)
    assert chance_above(gain, value) == pytest.approx(0.5)
    assert chance_above(gain, gain.low) == pytest.approx(0.9, abs=1e-6)
    assert chance_above(gain, gain.high) == pytest.approx(0.1, abs=1e-6)


def test_prediction_layers_that_take_turns_run_one_a_pass() -> None:
    spec = load_model("qwen3.5-27b")
    option = prediction_layers(spec, 2, sure(0.8))
    assert option.layers_share == 1.0
    assert option.shared == ("embedding", "head")


REFUSED: list[tuple[dict[str, Any], type[PlannerError], str, str]] = [
    ({"speculation": "mtp"}, InputError, "no prediction layers", "--speculation eagle"),
    ({"speculation": "mtp", "acceptance": 1.0}, InputError, "acceptance = 1", "between 0 and 1"),
    ({"speculation": "eagle", "acceptance": 0.0}, InputError, "out of range", "between 0 and 1"),
    ({"speculation": "eagle", "draft_tokens": 17}, InputError, "draft-tokens = 17", "1 to 16"),
    ({"acceptance": 0.5}, InputError, "--acceptance without", "--speculation"),
    ({"draft_tokens": 2}, InputError, "--draft-tokens without", "--speculation"),
    (
        {"speculation": "qwen2.5-0.5b", "acceptance": 0.5},
        InputError,
        "vocabulary of 151,936",
        "same family",
    ),
    ({"speculation": "llama-3.2-1b"}, InputError, "no acceptance is known", "--acceptance"),
    ({"speculation": "llama-3.1-8b"}, InputError, "drafts for itself", "--speculation eagle"),
    ({"speculation": "eagel"}, UnknownNameError, "unknown speculation 'eagel'", "eagle"),
    ({"speculation": "eagle", "engine": "pytorch"}, UnsupportedError, "one sequence", "--engine"),
]


@pytest.mark.parametrize(("asked", "kind", "message", "hint"), REFUSED)
def test_what_cannot_be_is_refused_with_what_would_do(
    asked: dict[str, Any], kind: type[PlannerError], message: str, hint: str
) -> None:
    with pytest.raises(kind) as error:
        planner.plan(**SMALL | asked)
    assert message in error.value.message
    assert hint in error.value.hint


def test_a_draft_model_of_the_same_vocabulary_drafts() -> None:
    plan = planner.plan(
        "llama-3.1-70b",
        "h200-sxm",
        devices=2,
        context=4096,
        tp=2,
        engine="vllm@0.32",
        **FEW,
        speculation="llama-3.2-1b",
        acceptance=0.7,
    )
    assert plan.speculation is not None
    assert plan.speculation.kind == "draft-model"
    assert plan.speculation.bytes == pytest.approx(2.47e9, rel=0.02)  # 1.24 B parameters in BF16


def words(plan: Plan) -> str:
    from planner.export.serve_line import serving_command

    return " ".join(serving_command(plan).words)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("vllm", '--speculative-config {"method": "mtp", "num_speculative_tokens": 2}'),
        (
            "sglang",
            "--speculative-algorithm EAGLE --speculative-num-steps 2 --speculative-eagle-topk 1 "
            "--speculative-num-draft-tokens 3",
        ),
    ],
)
def test_the_command_that_serves_it_drafts(engine: str, expected: str) -> None:
    plan = planner.estimate(**DEEP | {"engine": engine}, batch=8, speculation="mtp", draft_tokens=2)
    assert expected in words(plan)


def test_options_of_tensorrt_and_llama_cpp() -> None:
    from planner.export.optional_flags import draft_words
    from planner.export.trtllm import options_text
    from planner.memory.engines.catalog import parse_engine

    plan = planner.estimate(
        **DEEP | {"engine": "tensorrt-llm"}, batch=8, speculation="mtp", draft_tokens=3
    )
    assert (
        "speculative_config:\n  decoding_type: MTP\n  num_nextn_predict_layers: 3\n"
        in options_text(plan, parse_engine("tensorrt-llm"), None)
    )
    small = planner.estimate(
        **SMALL | {"engine": "llama.cpp"},
        kv="bf16",
        batch=1,
        scheme="bf16",
        speculation="llama-3.2-1b",
        acceptance=0.7,
        draft_tokens=4,
    )
    flags, unsaid = draft_words("llama.cpp", small)
    assert flags == [
        "--spec-type",
        "draft-simple",
        "--spec-draft-n-max",
        "4",
        "--spec-draft-model",
        "DRAFT.gguf",
        "--spec-draft-ngl",
        "999",
    ]
    assert "meta-llama/Llama-3.2-1B" in unsaid[0]


def test_a_lopsided_interval_is_read_on_the_side_of_the_margin() -> None:
    gain = GainRange(0.1, 0.05, 0.5)
    assert chance_above(gain, gain.low) == pytest.approx(0.9, abs=1e-6)
    assert chance_above(gain, gain.high) == pytest.approx(0.1, abs=1e-6)
