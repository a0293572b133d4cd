"""--engine: what it cannot serve is absent with the reason; the plan says who serves it."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.formats.schemes import SCHEMES
from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import parse_engine
from planner.planning.answer.servability import verdicts
from planner.planning.plan.record import Plan
from planner.planning.question.engine_questions import engine_questions
from planner.planning.question.given_values import GivenValues
from planner.planning.question.resolve import build_question
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from tests.support import theory
from tests.support.theory import estimate

plan = partial(theory.plan, exact=True)


def linears(result: Plan) -> set[str]:
    return {
        u.scheme
        for u in result.units
        if u.kv_layout is None and u.kind not in ("embedding", "head", "norm", "router", "indexer")
    }


def caches(result: Plan) -> set[str]:
    return {u.kv_layout for u in result.units if u.kv_layout is not None}


def judged(result: Plan, engine: str) -> str:
    spec, device = load_model(result.model.id), load_device(result.device.id)
    return verdicts(spec, device, result.units, result.layout, [engine])[0].status


QUESTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("llama-3.1-8b", "h100-sxm", {"devices": 2}),
    ("llama-3.1-8b", "a100-sxm", {"devices": 1}),
    ("deepseek-v2-lite", "h100-sxm", {"devices": 2}),
    ("qwen3-30b-a3b", "rtx-pro-6000", {"devices": 1, "max_loss": "nvfp4"}),
    ("deepseek-v2-lite", "jetson-agx-orin-64gb", {"max_loss": "int8-w8a8"}),
]


@pytest.mark.sample(1)
@pytest.mark.parametrize("engine", ["vllm@0.25", "sglang"])
@pytest.mark.parametrize(("model", "device", "asked"), QUESTIONS)
def test_a_plan_for_an_engine_is_servable_by_it(
    model: str, device: str, asked: dict[str, Any], engine: str
) -> None:
    result = plan(model, device, engine=engine, **asked)
    assert result.engine.name == engine.partition("@")[0]
    assert judged(result, engine) == "yes"
    assert [a.key for a in result.assumptions if a.key.startswith("servable")] == [
        f"servable by {result.engine.name}"
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize("untie", [False, True])
def test_fused_matrices_of_mla_share_their_scheme(untie: bool) -> None:
    result = plan("deepseek-v3", "h200-sxm", devices=8, engine="vllm", untie=untie)
    by_layer: dict[int, set[str]] = {}
    for unit in result.units:
        if unit.kind in ("mla-q", "mla-kv"):
            for layer in unit.layers:
                by_layer.setdefault(layer, set()).add(unit.scheme)
    assert set(map(len, by_layer.values())) == {1}
    assert judged(result, "vllm") == "yes"


def test_queries_that_are_not_compressed_are_not_fused() -> None:
    spec = load_model("deepseek-v2-lite")
    question = build_question(
        spec,
        load_device("h100-sxm"),
        GivenValues(devices=1),
        None,
        uniform=None,
        given=None,
        engine=parse_engine("vllm"),
    )
    questions = engine_questions(question)
    assert questions
    assert {names for q in questions for names in q.fused} <= {("kv-k", "kv-v")}


def test_int8_is_absent_on_blackwell_with_the_reason() -> None:
    question = build_question(
        load_model("llama-3.1-8b"),
        load_device("b200-sxm"),
        GivenValues(devices=1),
        None,
        uniform=None,
        given=None,
        engine=parse_engine("vllm"),
    )
    found = engine_questions(question)
    assert all("int8-w8a8" not in q.schemes for q in found)
    assert "54311" in dict(found[0].refused)["int8-w8a8"]
    with pytest.raises(UnsupportedError, match=r"int8-w8a8.*refused.*54311"):
        plan("llama-3.1-8b", "b200-sxm", devices=1, engine="vllm", schemes=["bf16", "int8-w8a8"])
    with pytest.raises(UnsupportedError, match="refused"):
        estimate("llama-3.1-8b", "b200-sxm", devices=1, engine="vllm", scheme="int8-w8a8")


def test_what_no_source_states_is_refused_as_unknown() -> None:
    with pytest.raises(UnsupportedError, match="unknown: no source"):
        estimate("llama-3.1-8b", "h100-sxm", devices=1, engine="sglang", scheme="mxfp4-w4a16")
    with pytest.raises(UnsupportedError, match="another record"):
        plan("llama-3.1-8b", "h100-sxm", devices=1, engine="sglang", kv="int8-token")


@pytest.mark.exhaustive
def test_one_cache_type_for_a_server_and_several_for_none() -> None:
    free = plan("llama-3.1-8b", "h100-sxm", devices=2)
    assert len(caches(free)) > 1
    assert judged(free, "vllm") == "no"
    words = {a.key: a for a in free.assumptions if a.key.startswith("servable by")}
    assert set(words) == {
        f"servable by {e}" for e in ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "pytorch")
    }
    assert "one type a server" in words["servable by vllm"].reason
    assert len(caches(plan("llama-3.1-8b", "h100-sxm", devices=2, engine="vllm"))) == 1


@pytest.mark.exhaustive
def test_a_format_that_takes_one_scheme_has_one() -> None:
    """SGLang is not known to mix schemes: what is quantised is in one."""
    result = plan("llama-3.1-8b", "h100-sxm", devices=2, engine="sglang")
    assert len(linears(result) - {"bf16"}) <= 1
    assert judged(result, "sglang") == "yes"


@pytest.mark.exhaustive
def test_uniform_plans_of_every_cache_type_and_format_are_rivals() -> None:
    """SGLang serves this plan in one way (a format, a cache type) and its best rival in another."""
    asked: dict[str, Any] = {"devices": 1, "tp": 1, "engine": "sglang"}
    result = plan("deepseek-v2-lite", "h100-sxm", **asked)
    rival = plan("deepseek-v2-lite", "h100-sxm", schemes=["fp8-block"], kv="bf16", **asked)
    assert linears(rival) == {"fp8-block"}
    ratio = (
        result.performance.output_tokens_per_second.value
        / rival.performance.output_tokens_per_second.value
    )
    # The rival inside the band of the loss, whatever its cache, is as fast as this one at least.
    assert 0 <= result.comparison.gain <= ratio - 1 + 0.01
    assert any(row.name == "fp8-block" and row.feasible for row in result.baselines)


@pytest.mark.exhaustive
def test_tensorrt_llm_does_not_mix_schemes_over_experts() -> None:
    result = plan("deepseek-v2-lite", "h100-sxm", devices=2, engine="tensorrt-llm")
    assert len(linears(result) - {"bf16"}) <= 1


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "pytorch"])
def test_no_engine_beats_the_plan_that_is_free_of_engines(engine: str) -> None:
    """With one set of kernels, an engine only takes choices away."""
    question = build_question(
        load_model("llama-3.1-8b"),
        load_device("h100-sxm"),
        GivenValues(devices=1),
        None,
        uniform=None,
        given=None,
        engine=parse_engine(engine),
    )
    for one in engine_questions(question):
        assert set(one.schemes) <= set(question.schemes)
        assert set(one.kv) <= set(question.kv)
        model = build_model(one, load_prior())
        assert model.possible.any(axis=1)[[u.decision >= 0 for u in model.units]].all()


@pytest.mark.exhaustive
def test_llama_cpp_splits_layers_alone() -> None:
    result = plan("llama-3.1-8b", "h100-sxm", devices=2, engine="llama.cpp")
    assert (result.layout.tp, result.layout.dp, result.layout.ep) == (1, 1, 1)
    with pytest.raises(InputError, match="splits layers"):
        plan("llama-3.1-8b", "h100-sxm", devices=2, tp=2, engine="llama.cpp")


@pytest.mark.exhaustive
def test_the_share_of_memory_is_the_engines_by_version() -> None:
    old = plan("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm@0.10")
    new = plan("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm")
    ratio = new.memory_per_device.usable_bytes / old.memory_per_device.usable_bytes
    assert ratio == pytest.approx(0.92 / 0.90)
    reason = next(a.reason for a in new.assumptions if a.key == "usable memory")
    assert "vLLM 0.21" in reason


@pytest.mark.parametrize(
    ("engine", "said"), [("vllm@999", True), ("vllm@0.24", False), ("sglang", False)]
)
def test_a_version_that_is_not_known_is_said_to_be(engine: str, said: bool) -> None:
    made = estimate("qwen2.5-0.5b", "l40s", devices=1, batch=2, engine=engine)
    reason = next(a.reason for a in made.assumptions if a.key == "engine")
    assert ("is not known here: taken as 0.33.0" in reason) is said


def test_times_are_those_of_the_engines_kernels() -> None:
    asked: dict[str, Any] = {"devices": 1, "batch": 8, "tp": 1, "scheme": "bf16"}
    times = {
        e: estimate("llama-3.1-8b", "h100-sxm", engine=e, **asked).performance.tpot_seconds
        for e in ("vllm", "tensorrt-llm", "pytorch")
    }
    assert len({t.value for t in times.values()}) == 3
    assert times["pytorch"].basis == "prior"


@pytest.mark.exhaustive
def test_a_given_plan_is_checked_against_the_engine() -> None:
    made = plan("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm")
    same = estimate(plan=made, engine="vllm")
    assert same.performance.tpot_seconds.value == pytest.approx(made.performance.tpot_seconds.value)
    free = plan("llama-3.1-8b", "h100-sxm", devices=2)
    with pytest.raises(UnsupportedError):
        estimate(plan=free, engine="vllm")


@pytest.mark.parametrize("engine", ["no-such", "vllm@x", "", "vllm@"])
def test_engines_that_do_not_exist_are_refused(engine: str) -> None:
    with pytest.raises((UnknownNameError, InputError)):
        plan("llama-3.1-8b", "h100-sxm", engine=engine)


RELEASED = "fp8-block-ue8m0"


@pytest.mark.parametrize("device", ["h200-sxm", "b200-sxm"])
@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm@1.2"])
def test_deepseek_v3_2_is_priced_as_released(engine: str, device: str) -> None:
    """No scheme is named: the release, which the engine serves from its own checkpoint."""
    tp, dp = (1, 16) if engine.startswith("tensorrt-llm") else (8, 2)  # its dp is alone
    made = estimate(
        "deepseek-v3.2", device, devices=16, tp=tp, dp=dp, ep=16, batch=64, engine=engine
    )
    assert linears(made) == {RELEASED}
    assert judged(made, engine) == "yes"


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_deepseek_v3_2_can_keep_its_released_form(engine: str) -> None:
    made = plan(
        "deepseek-v3.2",
        "h200-sxm",
        devices=16,
        tp=8,
        dp=2,
        ep=16,
        batch=64,
        engine=engine,
        schemes=[RELEASED],
    )
    assert linears(made) == {RELEASED}
    assert judged(made, engine) == "yes"


def test_what_is_kept_is_served_in_the_same_checkpoint() -> None:
    """The indexer stays in block FP8; SGLang reads that from one format, which takes no other
    scheme beside it. Without the kept indexer it would take INT8 blocks from another."""
    asked: dict[str, Any] = {"devices": 16, "tp": 8, "dp": 2, "ep": 16, "batch": 64}
    made = plan("deepseek-v3.2", "h200-sxm", engine="sglang", **asked)
    assert linears(made) <= {"bf16", RELEASED}
    with pytest.raises(UnsupportedError, match="int8-block") as caught:
        plan("deepseek-v3.2", "h200-sxm", engine="sglang", schemes=["bf16", "int8-block"], **asked)
    assert caught.value.hint
    spec, device = load_model("deepseek-v3.2"), load_device("h200-sxm")
    for engine, scheme, expected in (
        ("sglang", "int8-block", "unknown"),
        ("vllm", "int8-w8a8", "yes"),
    ):
        units = tuple(
            replace(u, scheme=scheme) if u.scheme == RELEASED and u.kind != "indexer" else u
            for u in made.units
        )
        assert verdicts(spec, device, units, made.layout, [engine])[0].status == expected


@pytest.mark.exhaustive
def test_a_kept_module_that_no_format_carries_is_the_reason() -> None:
    with pytest.raises(UnsupportedError, match="indexer as released, in fp8-block-ue8m0") as caught:
        plan("deepseek-v3.2", "h200-sxm", engine="tensorrt-llm@1.0")
    assert "unknown" in caught.value.message
    with pytest.raises(UnsupportedError, match="no such GGUF tensor type"):
        plan("deepseek-v3.2", "h200-sxm", engine="llama.cpp")
    wide = plan(
        "deepseek-v3.2",
        "h200-sxm",
        engine="llama.cpp",
        devices=16,
        batch=16,
        drop_policies=["indexer"],
    )
    assert {u.scheme for u in wide.units if u.kind == "indexer"} == {"bf16"}
    assert judged(wide, "llama.cpp") == "yes"


@pytest.mark.exhaustive
def test_llama_cpp_splits_kv_b_into_rows_that_k_types_do_not_fill() -> None:
    """attn_k_b has rows of 128 inputs: half a super-block, four blocks of 32."""
    found = plan(
        "deepseek-v2-lite",
        "l40s",
        engine="llama.cpp",
        devices=1,
        context=2048,
        batch=1,
        objective="memory",
        max_loss="ggml-q4_0",
    )
    taken = {u.scheme for u in found.units if u.kind == "mla-kv"}
    assert taken
    assert all(
        (scale := SCHEMES[name].weight.scale) is not None and scale.block_columns == 32
        for name in taken
    )
    units = [replace(u, scheme="ggml-q4_k") if u.kind == "mla-kv" else u for u in found.units]
    spec, device = load_model("deepseek-v2-lite"), load_device("l40s")
    before, after = (
        verdicts(spec, device, some, found.layout, ["llama.cpp"])[0]
        for some in (found.units, units)
    )
    assert (before.status, after.status) == ("yes", "no")
    assert after.reason == "llama.cpp splits kv_b; rows of 128 are not whole blocks of 256"


def test_a_cache_that_is_not_served_names_one_that_is() -> None:
    """The release's own FP8 cache has no source on this device; BF16 has."""
    asked: dict[str, Any] = {"devices": 8, "tp": 8, "batch": 8, "engine": "vllm@0.21"}
    with pytest.raises(UnsupportedError, match="KV layout 'fp8'") as caught:
        estimate("deepseek-v3.1-nvfp4", "rtx-pro-6000", **asked)
    assert caught.value.hint.startswith("--kv bf16, another version (NAME@VERSION)")
    made = estimate("deepseek-v3.1-nvfp4", "rtx-pro-6000", kv="bf16", **asked)
    assert caches(made) == {"bf16"}


@pytest.mark.parametrize("kv", ["bf16", "fp32"])
def test_no_wider_cache_is_offered_where_no_back_end_attends(kv: str) -> None:
    with pytest.raises(UnsupportedError, match="no attention back end") as caught:
        estimate("glm-5", "l40s", devices=64, tp=8, engine="vllm", kv=kv)
    assert "--kv" not in caught.value.hint
