"""Every flag of a serving command is in the data, with its source; rules of mixtures by file."""

import json
from dataclasses import replace
from itertools import product

import pytest
from support.exports import assignment

import planner
from planner.base.errors import UnsupportedError
from planner.export import fp8, llama_cpp, modelopt
from planner.export.launch import SERVERS, command
from planner.export.read_back import imported_assignment, read_configuration
from planner.export.readme import flags, sources_of
from planner.export.run import export_plan
from planner.memory.engines.catalog import parse_engine
from planner.models.catalog import bundled_model
from planner.placement.layout import Layout
from planner.planning.engines.layouts import layout_refusal, layout_rules
from planner.planning.plan.record import Plan


@pytest.fixture(scope="module")
def sparse() -> Plan:
    """A mixture of experts on several devices, in FP8 with an FP8 cache."""
    return planner.estimate(
        "deepseek-v2-lite",
        "h100-sxm",
        scheme="fp8-tensor",
        kv="fp8",
        devices=4,
        tp=2,
        dp=2,
        ep=4,
        batch=8,
    )


@pytest.mark.parametrize("engine", SERVERS)
@pytest.mark.parametrize("device", ["h100-sxm", "xeon-6980p", "jetson-agx-orin-64gb", "gh200"])
def test_flags_are_known_with_their_source(engine: str, device: str, sparse: Plan) -> None:
    words, _ = command(parse_engine(engine), "modelopt", sparse, planner.load_device(device))
    used = [word for word in words if word.startswith("-") and word != "-m"] + [
        word for word in words if word == "-m" and engine == "llama.cpp"
    ]
    assert used
    assert set(used) <= set(flags(engine))
    assert sources_of(engine, words)
    assert all(flag.source and len(flag.date) == 7 for flag in flags(engine).values())


def test_flags_of_llama_quantize_are_known() -> None:
    one = assignment(bundled_model("llama-3.2-1b"), {}, rest="ggml-q8_0")
    script = llama_cpp.export(one).files["quantise.sh"].split()
    assert {word for word in script if word.startswith("--")} == set(flags("llama-quantize"))


def test_sockets_take_the_flags_of_cpus(sparse: Plan) -> None:
    words, unsaid = command(
        parse_engine("sglang"), "compressed-tensors", sparse, planner.load_device("xeon-6980p")
    )
    assert words[:2] == ["env", "SGLANG_USE_CPU_ENGINE=1"]
    assert words[words.index("--device") + 1] == "cpu"
    assert any("sub-NUMA" in text for text in unsaid)
    words, _ = command(
        parse_engine("llama.cpp"), "llama.cpp", sparse, planner.load_device("xeon-6980p")
    )
    assert words[words.index("--n-gpu-layers") + 1] == "0"
    assert "--split-mode" not in words


def test_layouts_that_a_server_has_no_flag_for_are_told(sparse: Plan) -> None:
    _, unsaid = command(parse_engine("tensorrt-llm"), "modelopt", sparse, None)
    assert any(text.startswith("tp 2 within dp 2") for text in unsaid)
    _, unsaid = command(parse_engine("sglang"), "modelopt", sparse, None)
    assert unsaid == []


@pytest.mark.parametrize("engine", SERVERS)
def test_what_an_engine_takes_its_command_says(engine: str, sparse: Plan) -> None:
    """The layout stands in the flags wherever the engine's rules let it pass, and only there."""
    rules = layout_rules(parse_engine(engine), planner.load_device("h100-sxm"))
    seen = set()
    for tp, dp, pp, ep in product((1, 2, 4), (1, 2), (1, 2, 3), (1, 2, 4, 8)):
        layout = Layout(tp, dp, pp, ep)
        if tp * dp % ep:
            continue
        taken = layout_refusal(parse_engine(engine), rules, layout) is None
        words, unsaid = command(
            parse_engine(engine),
            "modelopt",
            replace(sparse, layout=replace(sparse.layout, tp=tp, dp=dp, pp=pp, ep=ep)),
            None,
        )
        against = [text for text in unsaid if text.startswith(("tp ", "ep ", "tensor and"))]
        seen.add(taken)
        if taken:
            assert against == [], layout
            assert said(engine, words, layout) == layout
        else:
            assert against, layout
    assert seen == ({True} if engine == "sglang" else {True, False})


def said(engine: str, words: list[str], layout: Layout) -> Layout:
    """The layout that a command's flags stand for; what no flag of it says is that of
    ``layout``."""

    def number(flag: str) -> int:
        return int(words[words.index(flag) + 1]) if flag in words else 1

    if engine == "vllm":
        tp, dp, pp = (number(f"--{name}-parallel-size") for name in ("tensor", "data", "pipeline"))
        return Layout(tp, dp, pp, tp * dp if "--enable-expert-parallel" in words else 1)
    if engine == "sglang":
        dp = number("--dp-size") * number("--attn-dp-size")
        assert ("--enable-dp-attention" in words) == (number("--dp-size") > 1)
        return Layout(number("--tp-size") // dp, dp, number("--pp-size"), number("--ep-size"))
    if engine == "tensorrt-llm":  # attention data parallelism stands in the file of options
        width = number("--tp_size")
        tp, dp = (1, width) if layout.dp > 1 else (width, 1)
        return Layout(tp, dp, number("--pp_size"), number("--ep_size"))
    if engine == "mlx":
        return Layout()
    split = words[words.index("--split-mode") + 1]  # over all devices that it finds
    return Layout(pp=layout.pp if split == "layer" else 1)


def test_block_formats_tell_what_they_cannot_say() -> None:
    """FP8 weights alone have the file of FP8 blocks; INT8 blocks have a method of their own."""
    spec = bundled_model("llama-3.1-8b")
    wide, narrow = (
        fp8.export(assignment(spec, {}, rest=name)) for name in ("fp8-w8a16", "fp8-block")
    )
    assert wide.files == narrow.files
    assert wide.reads_as["fp8-w8a16"] == "fp8-block"
    assert any("activations stay wide" in note for note in wide.notes)
    assert not any("activations" in note for note in narrow.notes)
    integers = fp8.export_integers(assignment(spec, {("mlp-down", 0): "bf16"}, rest="int8-block"))
    text = integers.files["quantization_config.json"]
    data = json.loads(text)
    assert data["quant_method"] == "blockwise_int8"
    assert "model.layers.0.mlp.down_proj" in data["ignored_layers"]
    again = imported_assignment(read_configuration(text.encode(), "x", spec)).decided()
    assert again["mlp-down", 0] == "bf16"
    assert again["mlp-down", 1] == again["attention-qkv", 0] == "int8-block"
    with pytest.raises(UnsupportedError, match="one block format"):
        fp8.export_integers(assignment(spec, {}, rest="int8-w8a8"))


def test_xeons_run_block_fp8_as_weights_alone() -> None:
    """SGLang reads the FP8 file on a Xeon and keeps activations in BF16: named so, it is served."""
    spec, device = bundled_model("llama-3.2-1b"), planner.load_device("xeon-6980p")
    plan = planner.estimate(spec, device, scheme="fp8-w8a16", devices=1, batch=4, engine="any")
    found = export_plan(plan, spec, device, "fp8", "sglang")
    assert [one.status for one in found.findings] == ["yes"]
    assert "SGLANG_USE_CPU_ENGINE=1" in found.files["serve-sglang.sh"]
    assert "flags as in SGLang documentation" in found.files["README.md"]
    native = planner.estimate(spec, device, scheme="fp8-block", devices=1, batch=4, engine="any")
    with pytest.raises(UnsupportedError, match="name fp8-w8a16"):
        export_plan(native, spec, device, "fp8", "sglang")


def test_mixtures_are_linted_in_the_file() -> None:
    def broken(*layers: dict[str, object]) -> list[str]:
        body = {
            "quantization": {"quantized_layers": {f"m.{i}": one for i, one in enumerate(layers)}}
        }
        return modelopt.rules_broken({modelopt.FILE: json.dumps(body)})

    good = {"quant_algo": "NVFP4", "group_size": 16}
    assert (
        broken(good, {"quant_algo": "FP8"}, {"quant_algo": "W4A16_NVFP4", "group_size": 16}) == []
    )
    assert "silence" in broken(good, {"quant_algo": "MXFP8"})[0]
    assert "take one" in broken(good, {"quant_algo": "W4A16_NVFP4", "group_size": 32})[0]
    assert modelopt.rules_broken({}) == []


def test_tensorrt_llm_takes_int4_with_scaled_inputs() -> None:
    spec = bundled_model("llama-3.1-8b")
    found = modelopt.export(assignment(spec, {}, rest="int4-w4a16"))
    text = found.files[modelopt.FILE]
    data = json.loads(text)["quantization"]
    assert (data["quant_algo"], data["group_size"], data["pre_quant_scale"]) == (
        "W4A16_AWQ",
        128,
        True,
    )
    again = imported_assignment(read_configuration(text.encode(), "x", spec)).decided()
    assert {again[key] for key in again if key[0] == "mlp-down"} == {"int4-w4a16"}
    assert any("W4A16_AWQ" in note for note in found.notes)


def test_parts_of_the_mla_projection_agree(sparse: Plan) -> None:
    """q_a and kv_a in several schemes are no plan of an engine that fuses them."""
    spec, device = bundled_model("deepseek-v3.1"), planner.load_device("h200-sxm")
    plan = planner.estimate(spec, device, scheme="fp8-tensor", devices=16, batch=16)
    units = tuple(replace(u, scheme="bf16") if u.kind == "mla-q" else u for u in plan.units)
    for engine in ("vllm", "sglang"):
        with pytest.raises(UnsupportedError, match="one matrix"):
            export_plan(replace(plan, units=units), spec, device, "modelopt", engine)


def test_llama_cpp_has_a_slot_for_each_request_that_comes_not_for_each_stage() -> None:
    plan = planner.estimate(
        "qwen3-0.6b",
        "rtx-4090",
        scheme="ggml-q8_0",
        engine="llama.cpp",
        devices=2,
        pp=2,
        concurrency=1,
    )
    words, _ = command(
        parse_engine("llama.cpp"), "llama.cpp", plan, planner.load_device("rtx-4090")
    )
    assert plan.workload.batch == 2
    assert words[words.index("--parallel") + 1] == "1"
    assert words[words.index("--ctx-size") + 1] == str(plan.workload.context_tokens)
