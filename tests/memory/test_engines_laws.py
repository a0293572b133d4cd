"""Laws of the engines' arithmetic, and refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import InputError, UnknownNameError
from planner.base.units import GIB
from planner.formats.schemes import scheme
from planner.memory.caches import cache_classes, request_bytes, token_bytes
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.memory.engines.llamacpp import cache_parts
from planner.memory.engines.records import Case, Settings
from planner.memory.engines.run import engine_size
from planner.memory.resident import Loading, as_released, rank_weights, stage_sizes, total
from planner.models.catalog import resolve_model
from planner.models.inventory import Inventory, patterns_of
from planner.models.spec import ModelSpec, TensorRow
from planner.placement.layout import Layout, layout_problem

MODELS = ("llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v2-lite", "gpt-oss-20b")


def pool(model: str, engine: str, total_bytes: int, **flags: object) -> int:
    case = Case(resolve_model(model), Layout(), total_bytes, as_released)
    return engine_size(case, parse_engine(engine), Settings(**flags)).kv_bytes  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["vllm@0.19", "sglang", "tensorrt-llm"])
@settings(max_examples=25, deadline=None)
@given(small=st.integers(20, 100), more=st.integers(1, 60))
def test_more_memory_is_more_cache(engine: str, small: int, more: int) -> None:
    fraction = {"utilisation": 0.9}
    assert pool("llama-3.1-8b", engine, small * GIB, **fraction) <= pool(
        "llama-3.1-8b", engine, (small + more) * GIB, **fraction
    )


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=30, deadline=None)
@given(context=st.integers(1, 200_000), more=st.integers(0, 10_000))
def test_cache_bytes_grow_with_the_context(model: str, context: int, more: int) -> None:
    classes = cache_classes(resolve_model(model), Layout(), "bf16")
    assert request_bytes(classes, context) <= request_bytes(classes, context + more)


@pytest.mark.parametrize("model", MODELS)
def test_fewer_bits_are_fewer_bytes(model: str) -> None:
    spec = resolve_model(model)
    sizes = [token_bytes(cache_classes(spec, Layout(), kv)) for kv in ("fp8", "bf16", "fp32")]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


@pytest.mark.parametrize("model", MODELS)
def test_one_rank_holds_the_main_model(model: str) -> None:
    spec = resolve_model(model)
    held = total(rank_weights(spec, Layout(), Loading(), as_released, 0))
    main = sum(p.bytes for p in Inventory(spec).patterns if p.part in ("main", "lookup"))
    assert held == main


PARTS = ("main", "lookup", "mtp")


def held_rows(spec: ModelSpec) -> list[TensorRow]:
    return [row for row in spec.rows if row.part in PARTS and row.copy_of is None]


def copies_of_heads(spec: ModelSpec, row: TensorRow, tp: int) -> int:
    """Copies beyond the first of each key or value head of ``row``."""
    found = next((a for a in spec.attention if set(row.layers) & set(a.layers)), spec.attention[0])
    one_head = ".k_proj." in row.name or ".v_proj." in row.name
    return max(tp // found.kv_heads, 1) - 1 if one_head and found.kind == "gqa" else 0


@pytest.mark.parametrize(
    ("model", "tp", "dp", "pp", "ep"),
    [
        ("llama-3.1-8b", 4, 1, 1, 1),
        ("llama-3.1-8b", 1, 1, 4, 1),
        ("llama-3.1-8b", 16, 1, 2, 1),
        ("qwen3-30b-a3b", 4, 1, 2, 4),
        ("deepseek-v2-lite", 2, 1, 3, 2),
        ("gpt-oss-20b", 4, 1, 1, 4),
        ("glm-5-fp8", 8, 1, 1, 8),
        ("deepseek-v3", 8, 1, 2, 8),
        ("deepseek-v3", 1, 8, 1, 8),
        ("mimo-v2-flash", 8, 1, 1, 8),
        ("mimo-v2-flash", 4, 1, 2, 1),
        ("minimax-m2", 2, 4, 1, 8),
        ("glm-4.5-air", 4, 2, 1, 8),
        ("kimi-k2-instruct", 4, 4, 1, 16),
        ("qwen3-coder-480b-a35b", 8, 1, 1, 1),
    ],
)
def test_ranks_add_up_to_the_model_and_its_copies(
    model: str, tp: int, dp: int, pp: int, ep: int
) -> None:
    """Sum over ranks = model + copies of what is not sharded + copies of key and value heads.

    Attention data parallelism copies all but the routed experts, prediction layers' included.
    """
    spec, layout, load = resolve_model(model), Layout(tp, dp, pp, ep), Loading(parts=PARTS)
    summed = sum(
        tp * dp * total(rank_weights(spec, layout, load, as_released, stage)) for stage in range(pp)
    )
    expected = 0
    for row in held_rows(spec):
        size = sum(p.bytes for p in patterns_of(row))
        if row.experts > 1:
            expected += size
        elif row.shard == "replicated":
            expected += size * tp * dp
        else:
            expected += size * dp * (1 + copies_of_heads(spec, row, tp))
    assert summed == expected


@pytest.mark.parametrize(
    "model", ["qwen3-30b-a3b-fp8", "deepseek-v3", "mimo-v2-flash", "llama-4-scout"]
)
@settings(max_examples=20, deadline=None)
@given(tp=st.sampled_from([1, 2, 4]), dp=st.sampled_from([1, 2, 4]), ep=st.sampled_from([1, 2, 4]))
def test_more_ranks_never_hold_more_each(model: str, tp: int, dp: int, ep: int) -> None:
    spec = resolve_model(model)
    if (tp * dp) % ep:
        return
    one, many = Layout(1, dp, 1, 1), Layout(tp, dp, 1, ep)
    if layout_problem(spec, one) or layout_problem(spec, many):
        return
    sizes = [total(rank_weights(spec, layout, Loading(), as_released, 0)) for layout in (one, many)]
    assert sizes[1] <= sizes[0]


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_monotone_in_bits(model: str) -> None:
    spec = resolve_model(model)

    def held(name: str) -> int:
        fmt = scheme(name).weight
        return total(rank_weights(spec, Layout(), Loading(), lambda kind, layer: fmt, 0))

    sizes = [held(name) for name in ("int4-w4a16", "fp8-channel", "bf16", "fp32")]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


@settings(max_examples=50, deadline=None)
@given(layers=st.integers(1, 200), pp=st.integers(1, 16), tail=st.booleans())
def test_every_layer_is_on_one_stage(layers: int, pp: int, tail: bool) -> None:
    pp = min(pp, layers)
    sizes = stage_sizes(layers, pp, tail_first=tail)
    assert sum(sizes) == layers
    assert max(sizes) - min(sizes) <= 1


def test_odd_layers_of_vllm_go_before_the_last_stage() -> None:
    assert stage_sizes(61, 4, tail_first=True) == (15, 15, 16, 15)
    assert stage_sizes(43, 10, tail_first=True) == (4, 4, 4, 4, 4, 4, 5, 5, 5, 4)


def test_every_engine_has_a_default_version() -> None:
    for name in engine_names():
        assert not parse_engine(name).stated


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("vlm", UnknownNameError),
        ("vllm@new", InputError),
        ("sglang@0.5-v1", InputError),
        ("vllm@", InputError),
    ],
)
def test_engines_that_do_not_exist(text: str, kind: type[InputError]) -> None:
    with pytest.raises(kind) as caught:
        parse_engine(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "flags",
    [
        {"utilisation": 1.5},
        {"utilisation": 0.0001, "context": 0},
        {"block_tokens": 0},
        {"max_seqs": -1},
        {"kv_bytes": 0},
    ],
)
def test_settings_out_of_range(flags: dict[str, object]) -> None:
    with pytest.raises(InputError):
        pool("llama-3.1-8b", "vllm", 80 * GIB, **flags)


def test_llama_cpp_refusals() -> None:
    with pytest.raises(UnknownNameError):
        pool("llama-3.1-8b", "llama.cpp", 80 * GIB, type_k="q9_9")
    with pytest.raises(InputError, match="attention are not modelled"):
        pool("deepseek-v4-flash", "llama.cpp", 80 * GIB)
    with pytest.raises(InputError, match="mla"):
        pool("deepseek-v2-lite", "llama.cpp", 80 * GIB, mla=7)


def test_llama_cpp_layers_and_caches_add_up_over_devices() -> None:
    """Gemma 3's windowed layers are uneven over stages; the cache is that of one device."""
    spec, engine = resolve_model("gemma-3-27b-text"), parse_engine("llama.cpp")
    sizes, flags = stage_sizes(spec.layers, 4, tail_first=False), Settings(context=32768)
    whole = cache_parts(Case(spec, Layout(), 1 << 50, as_released), engine, flags)
    split, start = [], 0
    for size in sizes:
        held = range(start, start + size)
        split.append(cache_parts(Case(spec, Layout(), 1 << 50, as_released), engine, flags, held))
        start += size
    assert {w: sum(part[w] for part in split) for w in whole} == whole
    assert len({sum(part.values()) for part in split}) > 1
