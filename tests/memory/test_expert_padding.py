"""Experts padded for an engine's kernels, states in the engine's type, whole windowed caches."""

from dataclasses import replace

import pytest

from planner.base.errors import InputError
from planner.memory.engines.catalog import parse_engine
from planner.memory.engines.expert_padding import expert_pad, padding_rows
from planner.memory.engines.records import Case, EngineResult, Settings
from planner.memory.engines.run import engine_size
from planner.memory.resident import as_released
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout

OSS = resolve_model("gpt-oss-120b")
LAYERS = 36
EXPERTS = LAYERS * 128
MIB = 1 << 20
TOTAL = 140 * 2**30


def sized(
    engine: str,
    capability: int,
    tp: int = 1,
    settings: Settings | None = None,
    model: str = "gpt-oss-120b",
) -> EngineResult:
    case = Case(
        spec=resolve_model(model),
        layout=Layout(tp, 1, 1, 1),
        total_bytes=TOTAL,
        format_of=as_released,
        capability=capability,
    )
    return engine_size(case, parse_engine(engine), settings or Settings(context=4096))


def experts(result: EngineResult) -> int:
    return sum(
        line.bytes
        for line in result.rank.weights
        if line.name in ("experts-gate-up", "experts-down")
    )


def by_hand(width: int, hidden: int, bias: int) -> int:
    """Elements of both matrices in halves of a byte, a parameter of a layer in whole 2 MiB where no
    more than 1 MiB is over, and biases of ``bias`` bytes."""
    size = EXPERTS * (2 * width + hidden) * bias
    for elements in (2 * width * hidden, width * hidden):
        one = EXPERTS // LAYERS * elements // 2
        up = -(-one // (2 * MIB)) * 2 * MIB
        size += LAYERS * (up if up - one <= MIB else one)
    return size


@pytest.mark.parametrize(
    ("engine", "capability", "tp", "width", "hidden", "bias"),
    [
        ("vllm@0.19", 8, 1, 2944, 3072, 2),
        ("vllm@0.19", 9, 1, 2880, 2880, 4),
        ("vllm@0.19", 9, 8, 384, 2880, 4),
        ("vllm@0.19", 10, 2, 1536, 3072, 4),
        ("vllm@0.32", 10, 8, 384, 3072, 4),
        ("sglang@0.5.8", 9, 8, 384, 2880, 4),
        ("vllm@0.9", 9, 1, 2880, 2880, 2),
        ("vllm@0.19", 0, 1, 2880, 2880, 2),
    ],
)
def test_experts_on_a_rank(
    engine: str, capability: int, tp: int, width: int, hidden: int, bias: int
) -> None:
    result = sized(engine, capability, tp)
    assert experts(result) == by_hand(width, hidden, bias)
    padded = (width, hidden) != (-(-2880 // tp), 2880)
    assert any("padded" in note for note in result.notes) == padded


def test_a_named_backend_counts_and_an_unknown_one_is_refused() -> None:
    settings = Settings(context=4096, moe_backend="marlin")
    assert experts(sized("vllm@0.19", 9, settings=settings)) == by_hand(2944, 3072, 2)
    with pytest.raises(InputError, match="not known"):
        sized("vllm@0.19", 9, settings=replace(settings, moe_backend="marlyn"))


def test_only_the_scheme_of_the_table_is_padded() -> None:
    case = Case(
        spec=resolve_model("qwen3-30b-a3b"),
        layout=Layout(1, 1, 1, 1),
        total_bytes=TOTAL,
        format_of=as_released,
        capability=8,
    )
    assert expert_pad(case, parse_engine("vllm@0.19"), Settings())[1] == ""
    assert all(row.source for row in padding_rows())


def test_a_state_without_a_stated_type_is_the_engines() -> None:
    """Qwen3-Next: 36 delta nets of 32 heads, 128 × 128, and convolutions in the model's type."""
    elements, convolution = 36 * 32 * 128 * 128, 36 * 8192 * 3 * 2
    for engine, width in (("vllm", 2), ("sglang", 4)):
        result = sized(engine, 9, settings=Settings(context=4096), model="qwen3-next-80b-a3b")
        states = [c.fixed_bytes * len(c.layers) for c in result.rank.caches if c.kind == "state"]
        assert states == [elements * width + convolution]


def test_windowed_layers_with_whole_caches() -> None:
    """18 layers of 2 × 512 elements; a window keeps 128 + 512 cells, padded to 768."""
    settings = Settings(context=32768, batched_tokens=512, type_k="q8_0", type_v="f16")
    cell = 18 * (512 // 32 * 34 + 512 * 2)
    assert sized("llama.cpp", 9, settings=settings).kv_bytes == cell * (32768 + 768)
    whole = replace(settings, swa_full=True)
    assert sized("llama.cpp", 9, settings=whole).kv_bytes == cell * 2 * 32768


def test_states_of_linear_layers_are_f32_in_llama_cpp() -> None:
    """A state and a convolution of 36 layers for each of four sequences, beside 12 layers of keys
    and values of 2 × 256 elements."""
    settings = Settings(context=8192, max_seqs=4)
    found = sized("llama.cpp", 9, settings=settings, model="qwen3-next-80b-a3b").kv_bytes
    states = 36 * (32 * 128 * 128 + 8192 * 3) * 4 * 4
    assert found == states + 12 * 2 * 2 * 256 * 2 * 8192
