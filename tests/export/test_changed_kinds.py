"""Plans that change heads, embeddings, routers and indexers: every format names them or refuses."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

import planner
from planner.base.errors import InputError, UnsupportedError
from planner.export.assignment import ModuleAssignment, assignment_of
from planner.export.read_back import imported_assignment, read_configuration
from planner.export.run import Export, export_plan
from planner.models.catalog import bundled_model
from planner.placement.modules import PLANNED_KINDS
from planner.planning.plan.record import Plan

MOE = "qwen3-30b-a3b"


def planned(model: str = MOE, scheme: str = "int8-w8a16", **changes: str) -> Plan:
    """A real plan with every ordinary linear layer in ``scheme`` and kinds changed by hand (an
    underscore for a hyphen)."""
    more: dict[str, Any] = (
        {"devices": 32, "tp": 8, "dp": 4, "ep": 32} if "v3" in model else {"devices": 1}
    )
    plan = planner.estimate(model, "h200-sxm", scheme="bf16", batch=4, context=4096, **more)
    for kind in changes:
        assert any(unit.kind == kind for unit in plan.units), kind
    wanted = dict.fromkeys(PLANNED_KINDS, scheme) | changes
    return replace(
        plan,
        units=tuple(
            replace(unit, scheme=wanted.get(unit.kind, unit.scheme)) for unit in plan.units
        ),
    )


def exported(plan: Plan, target: str, **more: Any) -> Export:
    return export_plan(
        plan,
        bundled_model(plan.model.id),
        planner.load_device(plan.device.id),
        target,
        "any",
        **more,
    )


def configuration(plan: Plan, target: str) -> dict[str, Any]:
    files = exported(plan, target).files
    name = (
        "hf_quant_config.json"
        if target == "modelopt"
        else "fqn_to_config.json"
        if target == "torchao"
        else "quantization_config.json"
    )
    data: dict[str, Any] = json.loads(files[name])
    return data


def again(plan: Plan, target: str) -> ModuleAssignment:
    spec = bundled_model(plan.model.id)
    text = json.dumps(configuration(plan, target)).encode()
    return imported_assignment(read_configuration(text, target, spec))


def compressed(plan: Plan) -> tuple[dict[str, list[str]], list[str]]:
    """(targets by bits, strategy and group size of the weights, ignored)."""
    data = configuration(plan, "compressed-tensors")
    form = "{type}{num_bits}/{strategy}{group_size}"
    groups = {
        form.format(**{"group_size": "", **g["weights"]}): g["targets"]
        for g in data["config_groups"].values()
    }
    assert len(groups) == len(data["config_groups"])
    return groups, data["ignore"]


@pytest.mark.exhaustive
def test_a_plain_head_is_ignored_and_a_quantised_one_is_not() -> None:
    groups, ignored = compressed(planned())
    assert "lm_head" in ignored
    assert all("lm_head" not in names for names in groups.values())
    groups, ignored = compressed(planned(head="int4-w4a16"))
    assert "lm_head" not in ignored
    assert groups["int4/group128"] == ["lm_head"]
    for target, key in (("modelopt", "exclude_modules"),):
        plain = configuration(planned(scheme="fp8-tensor"), target)["quantization"]
        assert "lm_head" in plain[key]
        one = configuration(planned(scheme="fp8-tensor", head="fp8-tensor"), target)["quantization"]
        assert one["quant_algo"] == "FP8"
        assert "lm_head" not in one[key]
        both = configuration(planned(scheme="fp8-tensor", head="nvfp4"), target)["quantization"]
        assert both["quantized_layers"]["lm_head"] == {"quant_algo": "NVFP4", "group_size": 16}
        assert "lm_head" not in both[key]


def test_compressed_tensors_names_tables_and_gates() -> None:
    plan = planned(embedding="int8-w8a16", router="int8-w8a16", head="int4-w4a16-g32")
    groups, ignored = compressed(plan)
    assert "model.embed_tokens" in groups["int8/channel"]
    gate = next(text for text in groups["int8/channel"] if text.endswith(r"\.mlp\.gate$"))
    assert re.match(gate.removeprefix("re:"), "model.layers.7.mlp.gate")
    assert not re.match(gate.removeprefix("re:"), "model.layers.7.mlp.gate_proj")
    assert groups["int4/group32"] == ["lm_head"]
    assert not any("gate$" in text for text in ignored)
    found = exported(plan, "compressed-tensors")
    assert any("class name Embedding" in note for note in found.notes)
    by_engine = {one.engine.name: one for one in found.findings}
    assert by_engine["vllm"].status == "no"
    assert "router" in by_engine["vllm"].reason
    assert "embedding" in by_engine["sglang"].reason


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("target", "scheme", "changes"),
    [
        ("compressed-tensors", "int8-w8a16", {"head": "int4-w4a16"}),
        ("compressed-tensors", "int8-w8a16", {"embedding": "int8-w8a16", "head": "fp8-channel"}),
        (
            "compressed-tensors",
            "fp8-channel",
            {"router": "int8-w8a8", "embedding": "int4-w4a16-g32"},
        ),
        ("modelopt", "fp8-tensor", {"head": "fp8-tensor"}),
        ("modelopt", "nvfp4", {"head": "fp8-tensor", "router": "fp8-tensor"}),
        ("modelopt", "fp8-tensor", {"router": "fp8-tensor"}),
        ("gptq", "int4-w4a16", {"head": "int4-w4a16"}),
        ("gptq", "int4-w4a16", {"head": "int8-w8a16"}),
    ],
)
def test_it_reads_back(target: str, scheme: str, changes: dict[str, str]) -> None:
    plan = planned(scheme=scheme, **changes)
    one = assignment_of(plan, bundled_model(MOE))
    assert {kind for kind, _ in one.released_kinds()} == set(changes)
    assert again(plan, target).released_kinds() == one.released_kinds()
    assert again(plan, target).decided() == one.decided()


def test_gptq_says_the_head_by_its_flag() -> None:
    data = configuration(planned(scheme="int4-w4a16"), "gptq")
    assert data["lm_head"] is False
    data = configuration(planned(scheme="int4-w4a16", head="int4-w4a16"), "gptq")
    assert data["lm_head"] is True
    assert not any("lm_head" in name for name in data["dynamic"])
    data = configuration(planned(scheme="int4-w4a16", head="int8-w8a16"), "gptq")
    assert (data["lm_head"], data["dynamic"]["+:lm_head$"]) == (True, {"bits": 8, "group_size": -1})


@pytest.mark.parametrize(
    ("target", "scheme", "kind", "to", "said"),
    [
        ("gptq", "int4-w4a16", "embedding", "int4-w4a16", "readers leave a embedding plain"),
        ("gptq", "int4-w4a16", "router", "int4-w4a16", "readers leave a router plain"),
        ("modelopt", "fp8-tensor", "embedding", "nvfp4-w4a16", "leave a embedding plain"),
        ("fp8", "fp8-block", "head", "fp8-block", "readers leave a head plain"),
        ("compressed-tensors", "fp8-channel", "embedding", "fp8-channel", "has no activations"),
        ("torchao", "int8-w8a16", "embedding", "nvfp4-w4a16", "no such configuration"),
        ("llama.cpp", "ggml-q8_0", "router", "ggml-q8_0", "leaves ffn_gate_inp"),
    ],
)
def test_what_readers_never_quantise_is_refused(
    target: str, scheme: str, kind: str, to: str, said: str
) -> None:
    with pytest.raises(UnsupportedError, match=said) as caught:
        exported(planned(scheme=scheme, **{kind: to}), target)
    assert caught.value.hint


def test_torchao_has_a_configuration_for_lookups() -> None:
    data = configuration(
        planned(head="int4-w4a16", embedding="int8-w8a16", router="int8-w8a16"), "torchao"
    )["_data"]["fqn_to_config"]
    assert data["model.embed_tokens"]["_type"] == "IntxWeightOnlyConfig"
    assert data["lm_head"]["_type"] == "Int4WeightOnlyConfig"
    assert data[r"re:model\.layers\.\d+\.mlp\.gate$"]["_type"] == "Int8WeightOnlyConfig"
    plain = configuration(planned(), "torchao")["_data"]["fqn_to_config"]
    assert plain["lm_head"] is None
    assert "model.embed_tokens" not in plain


def words(plan: Plan) -> list[str]:
    return exported(plan, "llama.cpp").files["quantise.sh"].split()


def flag(plan: Plan, name: str) -> str:
    found = words(plan)
    return found[found.index(name) + 1]


def test_llama_quantize_has_flags_for_head_and_table() -> None:
    plan = planned(scheme="ggml-q8_0", head="ggml-q6_k", embedding="ggml-q4_k")
    assert flag(plan, "--output-tensor-type") == "q6_K"
    assert flag(plan, "--token-embedding-type") == "q4_K"
    alone = planned(scheme="bf16", head="ggml-q6_k")
    assert flag(alone, "--output-tensor-type") == "q6_K"
    assert flag(alone, "--token-embedding-type") == "bf16"
    assert exported(plan, "llama.cpp").findings[0].status == "yes"


def test_a_tied_head_goes_with_its_table() -> None:
    plan = planned("llama-3.2-1b", scheme="ggml-q8_0", embedding="ggml-q6_k", head="ggml-q6_k")
    assert flag(plan, "--output-tensor-type") == flag(plan, "--token-embedding-type") == "q6_K"
    groups, ignored = compressed(planned("llama-3.2-1b", embedding="int8-w8a16", head="int8-w8a16"))
    assert "lm_head" not in ignored
    assert "model.embed_tokens" in groups["int8/channel"]
    with pytest.raises(InputError, match="one tensor"):
        exported(planned("llama-3.2-1b", scheme="ggml-q8_0", head="ggml-q4_k"), "llama.cpp")


def test_an_indexer_is_named_where_it_is_changed() -> None:
    """Released in block FP8 but for weights_proj: kept, widened, and in another scheme."""
    released = planned("deepseek-v3.2", "fp8-block-ue8m0")
    assert assignment_of(released, bundled_model("deepseek-v3.2")).released_kinds() == {
        ("indexer", layer): "fp8-block-ue8m0" for layer in range(61)
    }
    names = configuration(released, "fp8")["modules_to_not_convert"]
    assert {"lm_head", "model.layers.3.self_attn.indexer.weights_proj"} <= set(names)
    assert not any(name.endswith(("wq_b", "wk")) for name in names)
    assert configuration(released, "fp8")["scale_fmt"] == "ue8m0"

    plain = planned("deepseek-v3.2", "fp8-block-ue8m0", indexer="bf16")
    names = configuration(plain, "fp8")["modules_to_not_convert"]
    assert {
        f"model.layers.60.self_attn.indexer.{part}" for part in ("wq_b", "wk", "weights_proj")
    } <= set(names)
    assert again(plain, "fp8").released_kinds() == {}

    other = planned("deepseek-v3.2", "fp8-block", indexer="fp8-channel")
    groups, ignored = compressed(other)
    channel = groups["float8/channel"]
    assert any(n.endswith(r"\.indexer\.wk$") for n in channel)
    assert any("weights_proj" in n for n in ignored)
    assert again(other, "compressed-tensors").released_kinds()["indexer", 0] == "fp8-channel"


def test_prediction_layers_keep_the_release_that_is_written() -> None:
    """A checkpoint that keeps its tensors has them in its blocks; in another form they are
    plain."""
    layer = "model.layers.61."
    released = exported(planned("deepseek-v3.2", "fp8-block-ue8m0"), "fp8")
    names = json.loads(released.files["quantization_config.json"])["modules_to_not_convert"]
    assert {name.removeprefix(layer) for name in names if name.startswith(layer)} == {
        "self_attn.indexer.weights_proj",
        "mlp.gate",
        "eh_proj",
        "shared_head.head",
    }
    assert any("keep the blocks of the release" in note for note in released.notes)
    plan = planned("deepseek-v3.2", "fp8-block", indexer="fp8-block")
    names = configuration(plan, "fp8")["modules_to_not_convert"]
    assert layer + "self_attn.o_proj" in names
    assert any("stay unquantised" in note for note in exported(plan, "fp8").notes)


def test_an_indexer_has_gguf_names() -> None:
    plan = planned("deepseek-v3.2", "ggml-q8_0", indexer="ggml-q6_k")
    lines = exported(plan, "llama.cpp").files["tensor_types.txt"].splitlines()
    found = dict(line.rpartition("=")[::2] for line in lines)
    hits = {
        kind
        for pattern, kind in found.items()
        if re.search(pattern, "blk.5.indexer.attn_q_b.weight")
    }
    assert hits == {"q6_K"}


def test_norms_are_vectors_and_names_must_be_known() -> None:
    with pytest.raises(InputError, match="a norm in int8-w8a16: it is a vector"):
        exported(planned(norm="int8-w8a16"), "compressed-tensors")
    with pytest.raises(InputError, match="not in the catalogue"):
        exported(planned(head="int5"), "compressed-tensors")
    plain = planned(norm="fp32", head="fp16")
    assert compressed(plain) == compressed(planned())


def test_a_module_the_model_does_not_have_is_refused() -> None:
    plan = planned("deepseek-v2-lite")
    router = next(unit for unit in plan.units if unit.kind == "router")
    odd = replace(plan, units=(*plan.units, replace(router, layers=(0,), scheme="int8-w8a16")))
    with pytest.raises(InputError, match="no router in layer 0"):
        exported(odd, "compressed-tensors")
