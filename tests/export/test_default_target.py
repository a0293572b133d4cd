"""`plan export PLAN DIR` without a format: that of the plan's engine, or none where the engine is
given the release."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import planner
from planner.base.errors import UnknownNameError, UnsupportedError
from planner.cli.export import write_folder
from planner.planning.plan.record import Plan

ASKED = {"context": 4096, "batch": 8}


def made(model: str, device: str, engine: str, **more: object) -> Plan:
    return planner.estimate(model, device, engine=engine, **{**ASKED, **more})


@pytest.mark.sample(5)
@pytest.mark.parametrize(
    ("model", "device", "engine", "more", "target"),
    [
        ("llama-3.1-8b", "h100-sxm", "vllm", {}, "release"),
        ("qwen2.5-1.5b", "h100-sxm", "vllm", {"scheme": "fp8-tensor"}, "release"),
        ("llama-3.1-8b", "h100-sxm", "vllm", {"scheme": "int4-w4a16"}, "compressed-tensors"),
        ("deepseek-v3", "h200-sxm", "sglang", {"devices": 8}, "release"),
        ("llama-3.1-8b", "h100-sxm", "sglang", {"scheme": "int8-block"}, "blockwise-int8"),
        ("llama-3.1-8b", "h100-sxm", "tensorrt-llm", {"scheme": "fp8-tensor"}, "modelopt"),
        ("llama-3.1-8b", "h100-sxm", "pytorch", {"scheme": "int8-w8a8"}, "torchao"),
        ("llama-3.1-8b", "h100-sxm", "llama.cpp", {"scheme": "ggml-q8_0"}, "llama.cpp"),
        ("llama-3.1-8b", "xeon-6980p", "llama.cpp", {}, "release"),
        ("gpt-oss-20b", "h100-sxm", "vllm", {}, "release"),
    ],
)
def test_the_format_is_that_of_the_engine(
    model: str, device: str, engine: str, more: dict[str, object], target: str, tmp_path: Path
) -> None:
    plan = made(model, device, engine, **more)
    found = planner.export_plan(plan)
    assert found.target == target
    assert [one.status for one in found.findings] == ["yes"]
    assert found.findings[0].engine.name == engine
    assert "README.md" in found.files
    again = planner.export_plan(plan, engine)
    assert again.files == found.files
    if target in ("blockwise-int8", "torchao"):
        return  # which import does not read back as a plan
    write_folder(tmp_path / "out", found.files, force=False)
    back = planner.import_plan(tmp_path / "out", model)
    assert {u.unit: u.scheme for u in back.units if u.kind != "norm"} == {
        u.unit: u.scheme for u in plan.units if u.kind != "norm"
    }
    assert back.performance == plan.performance


def test_weights_of_the_release_have_no_recipe() -> None:
    plan = made("llama-3.1-8b", "h100-sxm", "vllm")
    files = planner.export_plan(plan).files
    assert sorted(files) == ["README.md", "deployment.json", "serve-vllm.sh"]
    assert "meta-llama/Llama-3.1-8B" in files["serve-vllm.sh"]
    assert "Nothing is to be made" in files["README.md"]
    assert json.loads(files["deployment.json"])["weights"] == {"made": "release"}
    loaded = planner.export_plan(made("qwen2.5-1.5b", "h100-sxm", "vllm", scheme="fp8-tensor"))
    assert "--quantization fp8_per_tensor" in loaded.files["serve-vllm.sh"]
    assert json.loads(loaded.files["deployment.json"])["weights"]["made"] == "loading"


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "llama.cpp"])
def test_scripts_are_sound_shell(engine: str, tmp_path: Path) -> None:
    """Run with a stand-in for the server, which prints what it is given."""
    plan = made("llama-3.1-8b", "h100-sxm", engine)
    write_folder(tmp_path / "out", planner.export_plan(plan).files, force=False)
    script = tmp_path / "out" / f"serve-{engine}.sh"
    for program in ("vllm", "python", "trtllm-serve", "llama-server"):
        stand_in = tmp_path / program
        stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n')
        stand_in.chmod(0o755)
    for words in (["MINE"], *([[]] if engine != "llama.cpp" else [])):
        ran = subprocess.run(
            ["/bin/sh", str(script), *words],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert (words or ["meta-llama/Llama-3.1-8B"])[0] in ran.stdout.splitlines()


def test_a_library_is_given_no_script_that_is_not_there() -> None:
    """A quantised release in BF16 on pytorch: the README named a quantise.py without one."""
    plan = made("qwen3-32b-fp8", "h100-sxm", "pytorch", scheme="bf16", devices=1)
    found = planner.export_plan(plan, to="pytorch").files
    assert "quantise.py" not in found
    assert "quantise.py" not in found["README.md"]
    assert "widened to 16 bits first" in found["README.md"]


def test_theory_names_engines_that_serve_it() -> None:
    plan = made("llama-3.1-8b", "h100-sxm", "any", scheme="fp8-tensor")
    with pytest.raises(UnsupportedError, match="the plan is for any") as caught:
        planner.export_plan(plan)
    assert "vllm" in caught.value.hint
    name = caught.value.hint.rpartition("--to ")[2]
    assert planner.export_plan(plan, name).findings[0].engine.name == name
    nobody = replace(
        plan,
        units=tuple(
            replace(u, scheme="mxfp6") if u.scheme == "fp8-tensor" else u for u in plan.units
        ),
    )
    with pytest.raises(UnsupportedError) as caught:
        planner.export_plan(nobody)
    assert "no engine" in caught.value.hint


def test_other_engines_and_names_are_refused() -> None:
    plan = made("llama-3.1-8b", "h100-sxm", "vllm", scheme="fp8-tensor")
    with pytest.raises(UnsupportedError, match="no such GGUF type"):
        planner.export_plan(plan, "llama.cpp", engine="llama.cpp")
    with pytest.raises(UnsupportedError, match="does not read modelopt"):
        planner.export_plan(plan, "modelopt", engine="pytorch")
    with pytest.raises(UnknownNameError, match="export target"):
        planner.export_plan(plan, "onnx")
    assert planner.export_plan(plan, "sglang").findings[0].engine.name == "sglang"


def test_a_format_that_a_chosen_engine_does_not_read_is_judged_by_its_readers() -> None:
    plan = made("llama-3.1-8b", "h100-sxm", "tensorrt-llm", scheme="fp8-tensor")
    with pytest.raises(UnsupportedError, match="does not read compressed-tensors"):
        planner.export_plan(plan, "compressed-tensors")
    auto = replace(plan, engine=replace(plan.engine, chosen_from=("vllm", "tensorrt-llm")))
    found = planner.export_plan(auto, "compressed-tensors")
    assert [one.engine.name for one in found.findings] == ["vllm", "sglang"]
