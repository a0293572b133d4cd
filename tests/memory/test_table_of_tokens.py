"""llama.cpp keeps the table of tokens in the memory of the host: to the byte of what it logged."""

import pytest

import planner
from planner.memory.engines.catalog import parse_engine
from planner.memory.engines.records import Case, Settings
from planner.memory.engines.run import engine_size
from planner.memory.resident import as_released
from planner.models.catalog import resolve_model
from planner.models.gguf_types import with_types
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.planning.engines.mixes import mix_types
from planner.planning.plan.record import Plan

MIB = 1 << 20
CUDA0, HOST, WHOLE = 16303.48, 471.75, 16775.23
"""ikawrakow/ik_llama.cpp#344, GLM-Z1-32B-0414 IQ4_XS: "CUDA0 buffer size", "CPU buffer size" with
all layers on an RTX 3090 Ti, and "CPU buffer size" with none [MiB]."""
QWEN_TABLE = 315.30
"""ikawrakow/ik_llama.cpp#370, Qwen3-30B-A3B with token_embd in Q8_0: "CPU buffer size" [MiB]."""


def glm() -> ModelSpec:
    """With an importance matrix, without which IQ4_XS has Q5_K in the first layers."""
    spec = resolve_model("glm-4-32b-0414")
    types = mix_types(spec, "IQ4_XS", imatrix=True)
    return with_types(spec, {name: one.type for name, one in types.items()})


def served(spec: ModelSpec | str, device: str, **more: object) -> Plan:
    asked = {"batch": 1, "context": 4096, "kv": "fp16", "tpot_seconds": "none", **more}
    return planner.estimate(spec, device, engine="llama.cpp", **asked)  # type: ignore[arg-type]


def table(plan: Plan) -> tuple[int, int]:
    """(bytes of the table, bytes of it on the device)."""
    unit = next(u for u in plan.units if u.kind == "embedding")
    return unit.weight_bytes, unit.weight_bytes_per_device


@pytest.mark.parametrize("device", ["rtx-3090", "rx-7900-xtx"])
def test_a_card_holds_what_was_logged(device: str) -> None:
    plan = served(glm(), device)
    assert round(plan.memory_per_device.weights_bytes / MIB, 2) == CUDA0
    size, here = table(plan)
    assert (round(size / MIB, 2), here) == (HOST, 0)
    told = {a.key: str(a.value) for a in plan.assumptions}
    assert told["table of tokens"] == "471.75 MiB in the memory of the host"


def test_a_processor_holds_all_of_it() -> None:
    plan = served(glm(), "epyc-9575f")
    assert round(plan.memory_per_device.weights_bytes / MIB, 2) == WHOLE
    assert "table of tokens" not in {a.key for a in plan.assumptions}


def test_the_table_of_another_log() -> None:
    plan = served("qwen3-30b-a3b", "rtx-3090", scheme="Q8_0", host="epyc-9575f")
    assert round(table(plan)[0] / MIB, 2) == QWEN_TABLE


@pytest.mark.parametrize("model", ["llama-3.2-1b", "qwen3-8b"])
def test_memory_of_the_engine_is_that_of_the_plan(model: str) -> None:
    """Tied: a copy is the head on the card, and the only one where memory is shared."""
    spec = resolve_model(model)
    for device in ("rtx-4090", "apple-m4-max-128gb"):
        plan = served(model, device, scheme="bf16")
        memory = planner.memory_use(model, device, engine="llama.cpp", context=4096)
        assert memory.engine is not None
        assert memory.engine.rank.weights_bytes == plan.memory_per_device.weights_bytes
        assert memory.parts.fullest.weights_bytes == plan.memory_per_device.weights_bytes
    own = Case(spec, Layout(), 1 << 40, as_released, own_memory=True)
    both = [
        engine_size(case, parse_engine("llama.cpp"), Settings(context=4096)).rank.weights_bytes
        for case in (own, Case(spec, Layout(), 1 << 40, as_released))
    ]
    rows = spec.vocab_size * spec.hidden_size * 2
    assert both[1] - both[0] == (0 if spec.tied_embeddings else rows)


def test_stages_hold_it_once_as_the_head() -> None:
    """The first of two cards has no table, the last has the head."""
    spec = resolve_model("llama-3.2-1b")
    case = Case(spec, Layout(pp=2), 1 << 40, as_released, own_memory=True)
    ranks = engine_size(case, parse_engine("llama.cpp"), Settings(context=4096)).ranks
    tables = [{line.name for line in rank.weights} & {"embedding", "head"} for rank in ranks]
    assert tables == [set(), {"embedding"}]
    plan = served("llama-3.2-1b", "rtx-4090", scheme="bf16", devices=2, pp=2, batch=2)
    assert plan.memory_per_device.weights_bytes == max(rank.weights_bytes for rank in ranks)
