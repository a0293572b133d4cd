"""Code that a release carries: its flag is in a command only where the user gave it, and the answer
says which release needs it."""

import json
import shlex
from pathlib import Path

import pytest
from support.wheels import ROOT

import planner
from planner.cli.main import run
from planner.export.serve_line import serving_command
from planner.memory.engines.catalog import parse_engine
from planner.models.catalog import bundled_model, catalog
from planner.planning.engines.remote_code import (
    FLAGS,
    remote_code,
    remote_code_rows,
    trusted_flags,
    trusting,
)
from planner.planning.plan.record import Assumption, Plan

QUESTION = {"devices": 8, "batch": 8, "isl": 1000, "osl": 100}


def priced(model: str, engine: str) -> Plan:
    return planner.estimate(model, "h200-sxm", engine=engine, **QUESTION)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_the_flag_is_in_a_command_only_where_it_was_given(engine: str) -> None:
    plan = planner.estimate("llama-3.2-1b", "h100-sxm", engine=engine, batch=1, isl=100, osl=10)
    assert FLAGS[engine] not in serving_command(plan).words
    script = planner.export_plan(plan).files[f"serve-{engine}.sh"]
    assert FLAGS[engine] not in script
    with trusting(True):
        line = serving_command(plan)
    assert line.words.count(FLAGS[engine]) == 1
    assert any("not needed" in note for note in line.notes)
    files = planner.export_plan(plan, trust_remote_code=True).files
    words = shlex.split(files[f"serve-{engine}.sh"].splitlines()[-1])
    assert words.count(FLAGS[engine]) == 1
    assert FLAGS[engine] in files["README.md"]
    assert trusted_flags(engine) == []


def test_manifests_have_it_where_it_was_given() -> None:
    plan = planner.estimate("llama-3.2-1b", "h100-sxm", engine="vllm", batch=1, isl=100, osl=10)
    for given in (False, True):
        files = planner.export_plan(plan, deploy="kubernetes", trust_remote_code=given).files
        assert (FLAGS["vllm"] in files["kubernetes.yaml"]) is given


def test_llama_cpp_runs_no_code_and_says_so() -> None:
    plan = planner.estimate(
        "llama-3.2-1b", "rtx-4090", engine="llama.cpp", batch=1, isl=100, osl=10
    )
    with trusting(True):
        line = serving_command(plan)
    assert not any("trust" in word for word in line.words)
    assert any("runs no code of a release" in note for note in line.notes)


def test_a_release_that_needs_it_says_so_until_it_is_given() -> None:
    plan = priced("nemotron-super-49b", "vllm")
    line = serving_command(plan)
    assert any("its configuration, which needs --trust-remote-code" in n for n in line.notes)
    assert "--trust-remote-code" in planner.export_plan(plan).files["README.md"]
    with trusting(True):
        given = serving_command(plan)
    assert "--trust-remote-code" in given.words
    assert not any("own code" in note for note in given.notes)


def test_what_no_source_says_is_not_taken_for_either() -> None:
    line = serving_command(priced("nemotron-super-49b", "tensorrt-llm"))
    assert any("no source says whether tensorrt-llm runs it" in note for note in line.notes)


def test_a_plan_file_never_brings_the_flag() -> None:
    plan = planner.estimate("llama-3.2-1b", "h100-sxm", engine="vllm", batch=1, isl=100, osl=10)
    data = plan.to_dict()
    for key in ("code of its own", "trust_remote_code", "--trust-remote-code"):
        note = Assumption(key, "--trust-remote-code", "given")
        data["assumptions"].append({"key": note.key, "value": note.value, "reason": note.reason})
    files = planner.export_plan(planner.read_plan(data)).files
    assert "trust" not in files["serve-vllm.sh"]


def test_a_configuration_of_the_user_says_that_it_names_code(tmp_path: Path) -> None:
    source = ROOT / "planner" / "models" / "configs" / "llama-3.2-1b.json"
    data = json.loads(source.read_text(encoding="utf-8"))
    data["auto_map"] = {"AutoConfig": "configuration_x.X"}
    (tmp_path / "config.json").write_text(json.dumps(data), encoding="utf-8")
    plan = planner.estimate(str(tmp_path), "h100-sxm", engine="vllm", batch=1, isl=100, osl=10)
    note = next(a for a in plan.assumptions if a.key == "code of its own")
    assert note.value == "llama"
    assert any("no source says" in text for text in serving_command(plan).notes)


def test_the_commands_take_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["llama-3.2-1b", "h100-sxm", "--devices", "1", "--batch", "1", "--isl", "100"]
    words += ["--osl", "10", "--engine", "vllm", "--quiet"]
    assert run([*words, "--trust-remote-code"]) == 0
    assert "--trust-remote-code" in capsys.readouterr().out.partition("Run it")[2]
    assert run([*words, "--trust-remote-code", "--json"]) == 0
    (tmp_path / "plan.json").write_text(capsys.readouterr().out, encoding="utf-8")
    for more, there in (([], False), (["--trust-remote-code"], True)):
        out = tmp_path / f"out{len(more)}"
        assert run(["export", str(tmp_path / "plan.json"), str(out), *more]) == 0
        script = (out / "serve-vllm.sh").read_text(encoding="utf-8")
        assert ("--trust-remote-code" in script) is there


def test_every_row_is_of_a_release_that_carries_code() -> None:
    types = {bundled_model(name).model_type for name in catalog() if bundled_model(name).own_code}
    for row in remote_code_rows():
        assert row.engine in FLAGS
        assert row.model_type in types
        assert row.runs in ("nothing", "configuration", "tokenizer")
        assert row.source
        assert row.date


def test_a_newer_version_may_need_less() -> None:
    runs = {v: remote_code(parse_engine(f"vllm@{v}"), "nemotron_h") for v in ("0.20", "0.33")}
    assert {v: row.runs for v, row in runs.items() if row} == {
        "0.20": "configuration",
        "0.33": "nothing",
    }
