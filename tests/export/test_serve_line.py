"""The one command that serves a plan: its checkpoint, its flags, or why there is none."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import planner
from planner.export.serve_line import serving_command
from planner.messages.message import Message
from planner.planning.engines.published import converted_releases
from planner.planning.plan.recommendation import Recommendation
from planner.planning.plan.record import Assumption, Plan


@pytest.fixture(scope="module")
def plain() -> Plan:
    """A released BF16 model on one device."""
    return planner.estimate("llama-3.1-8b", "h100-sxm", engine="vllm", context=8192, batch=16)


def recommended(plan: Plan, checkpoint: str) -> Plan:
    """``plan`` as a ready-made checkpoint."""
    return replace(
        plan,
        recommendation=Recommendation(
            verdict="uniform",
            formats=1,
            needs_new_weights=False,
            checkpoint=checkpoint,
            text="",
            gain=None,
            probability=None,
            alternatives=(),
            recipe=None,
            released=None,
            lossier=None,
            measure_next=(),
        ),
    )


def following(words: tuple[str, ...], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_released_weights_are_served_by_their_public_name(plain: Plan) -> None:
    line = serving_command(plain)
    assert line.words[:3] == ("vllm", "serve", "meta-llama/Llama-3.1-8B")
    assert "--quantization" not in line.words
    assert "--tensor-parallel-size" not in line.words
    assert following(line.words, "--max-num-seqs") == "16"
    assert line.notes == ()


def test_mlx_says_what_its_own_converter_makes() -> None:
    plan = planner.estimate("llama-3.2-1b", "m4 pro 24gb", engine="mlx", scheme="mlx-4bit")
    line = serving_command(plan)
    assert line.words[:2] == ("mlx_lm.server", "--model")
    assert [note.id for note in line.notes if isinstance(note, Message)][:1] == [
        "reasons.mlx_convert_by_matrix"
    ]
    alike = replace(
        plan,
        units=tuple(
            replace(unit, scheme="mlx-4bit-g64") if unit.kv_layout is None else unit
            for unit in plan.units
        ),
    )
    (note, *_) = serving_command(alike).notes
    assert isinstance(note, Message)
    assert note.id == "reasons.mlx_convert"
    assert dict(note.values) | {"bits": "4", "group": "64"} == dict(note.values)


def test_the_prefill_chunk_is_what_times_assume(plain: Plan) -> None:
    chunk = next(a.value for a in plain.assumptions if a.key == "prefill chunk").split()[0]
    assert following(serving_command(plain).words, "--max-num-batched-tokens") == chunk
    many = replace(plain, workload=replace(plain.workload, batch=9 * int(chunk)))
    assert following(serving_command(many).words, "--max-num-batched-tokens") == str(9 * int(chunk))


@pytest.mark.parametrize(
    ("version", "scheme", "flag"),
    [
        ("vllm@0.21", "fp8-tensor", "fp8_per_tensor"),
        ("vllm@0.19", "fp8-tensor", "fp8"),
        ("vllm@0.21", "fp8-block", "fp8_per_block"),
        ("vllm@0.33", "fp8-channel", "fp8_per_channel"),
        ("sglang@0.5.23", "fp8-channel", "fp8"),
    ],
)
def test_what_an_engine_makes_while_loading_needs_no_checkpoint(
    version: str, scheme: str, flag: str
) -> None:
    line = serving_command(
        planner.estimate(
            "qwen2.5-1.5b", "h100-sxm", scheme=scheme, engine=version, context=8192, batch=16
        )
    )
    assert "Qwen/Qwen2.5-1.5B" in line.words
    assert following(line.words, "--quantization") == flag


def test_other_formats_need_weights_or_a_ready_made_checkpoint() -> None:
    plan = planner.estimate(
        "qwen2.5-1.5b", "h100-sxm", scheme="int8-w8a8", engine="vllm", context=8192, batch=16
    )
    assert serving_command(plan).words[2] == "CHECKPOINT"
    assert "plan export" in serving_command(plan).notes[0]
    made = serving_command(recommended(plan, "someone/model-int8"))
    assert made.words[2] == "someone/model-int8"
    assert made.notes == ()


def test_a_known_release_of_the_schemes_is_named() -> None:
    plan = planner.estimate(
        "llama-3.1-8b", "h100-sxm", scheme="int8-w8a8", engine="vllm", context=8192, batch=16
    )
    line = serving_command(plan)
    assert line.words[2].count("/") == 1
    assert any("Instruct" in note for note in line.notes)


def test_llamacpp_takes_a_file_or_a_repository() -> None:
    plan = planner.estimate(
        "qwen2.5-1.5b",
        "h100-sxm",
        scheme="ggml-q8_0",
        engine="llama.cpp",
        context=8192,
        batch=4,
        kv="fp16",
    )
    assert following(serving_command(plan).words, "-m") == "OUT.gguf"
    named = serving_command(recommended(plan, "someone/model-GGUF"))
    assert following(named.words, "-hf") == "someone/model-GGUF"
    assert "-m" not in named.words


@pytest.mark.parametrize(
    ("version", "flags"),
    [("0.5.21", ("--dp-size", "--enable-dp-attention")), ("0.5.22", ("--attn-dp-size",))],
)
def test_sglang_flags_are_those_of_its_version(version: str, flags: tuple[str, ...]) -> None:
    plan = planner.estimate(
        "deepseek-v3",
        "h200-sxm",
        engine=f"sglang@{version}",
        devices=8,
        tp=1,
        dp=8,
        ep=8,
        context=8192,
        batch=64,
    )
    words = serving_command(plan).words
    assert {w for w in words if "dp-" in w} == set(flags)
    assert following(words, flags[0]) == "8"


def test_there_is_no_command_without_a_server(plain: Plan) -> None:
    theory = replace(plain, engine=replace(plain.engine, name="any", version=None))
    assert serving_command(theory).words == ()
    assert "theory" in serving_command(theory).notes[0]
    refused = replace(
        plain,
        assumptions=(*plain.assumptions, Assumption("servable by vllm", "no (0.21)", "a reason")),
    )
    refused = replace(refused, assumptions=refused.assumptions[-1:])
    assert serving_command(refused).words == ()
    assert "a reason" in serving_command(refused).notes[0]
    library = replace(
        plain, engine=replace(plain.engine, name="pytorch", version=None), assumptions=()
    )
    assert serving_command(library).words == ()


def test_weight_only_twins_of_the_release_need_no_new_weights() -> None:
    plan = planner.estimate(
        "qwen3-32b-fp8",
        "a100-sxm",
        scheme="fp8-w8a16",
        engine="vllm",
        devices=2,
        context=4096,
        batch=4,
    )
    assert serving_command(plan).words[2] == "Qwen/Qwen3-32B-FP8"


def test_experts_in_integers_take_the_method_that_runs_them() -> None:
    plan = planner.estimate(
        "qwen3-30b-a3b", "a100-sxm", scheme="int8-w8a8", engine="sglang", context=4096, batch=8
    )
    assert following(serving_command(plan).words, "--quantization") == "w8a8_int8"
    dense = planner.estimate(
        "qwen2.5-1.5b", "a100-sxm", scheme="int8-w8a8", engine="sglang", context=4096, batch=8
    )
    assert "--quantization" not in serving_command(dense).words


def test_a_folder_that_keeps_its_own_type_needs_no_new_weights(tmp_path: Path) -> None:
    """An estimate of a user's own model has no recommendation to say so."""
    config = {"model_type": "llama", "hidden_size": 512, "intermediate_size": 1024,
              "num_hidden_layers": 2, "num_attention_heads": 8, "vocab_size": 1000,
              "torch_dtype": "bfloat16", "max_position_embeddings": 4096, "architectures":
              ["LlamaForCausalLM"]}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for scheme, place in (("bf16", "MODEL"), ("fp8-tensor", "CHECKPOINT")):
        found = planner.estimate(
            str(tmp_path), "h100-sxm", scheme=scheme, engine="sglang", devices=1
        )
        line = serving_command(found)
        assert place in line.words, scheme


def test_a_release_that_is_published_in_gguf_is_served_from_there() -> None:
    plan = planner.estimate("gpt-oss-20b", "rtx-4090", devices=1, engine="llama.cpp")
    line = serving_command(plan)
    assert following(line.words, "-hf") == "ggml-org/gpt-oss-20b-GGUF"
    assert not any("convert_hf_to_gguf" in note for note in line.notes)
    script = planner.export_plan(plan).files["serve-llama.cpp.sh"]
    assert "checkpoint=${1:-ggml-org/gpt-oss-20b-GGUF}" in script


def test_published_conversions_are_of_bundled_models() -> None:
    for model, repository in converted_releases().items():
        assert planner.load_model(model).source_kind != "file"
        assert re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", repository)
