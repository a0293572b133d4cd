"""A plan file is somebody else's: what it says is refused where it is read, and inert where it is
written all the same."""

import csv
import json
import os
import stat
import subprocess
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import planner
from planner.base.errors import DataError
from planner.export.trtllm import OPTIONS
from planner.planning.answer.offload import KT_METHODS, STATISTICS, WEIGHTS
from planner.planning.engines.rules import DATA
from planner.planning.plan.record import Assumption, Plan
from planner.planning.plan.schema import plan_json_schema
from planner.planning.plan.texts import HOST_FLAGS, METHOD, NAMES, check_texts, strings

LIVE = "LIVE"
PAYLOADS = {
    "substitution": f"a/$(touch {LIVE})",
    "backticks": f"a/`touch {LIVE}`",
    "semicolon": f"a; touch {LIVE}",
    "ampersand": f"a & touch {LIVE}",
    "quote": f"a' ; touch {LIVE} ; '",
    "double quote": f'a" ; touch {LIVE} ; "',
    "brace": f"a}}; touch {LIVE}",
    "dash": "--trust-remote-code",
    "newline": f"a\ntouch {LIVE}\ntrust_remote_code: true",
    "nul": "a\0b",
    "escape": "a\x1b[2Jb",
    "bidi": "a\u202egnp.b",
}
UNREADABLE = ("newline", "nul", "escape", "bidi")
"""Payloads that no string of a plan file may hold."""


@cache
def served() -> Plan:
    """New weights that somebody publishes, on a server."""
    return planner.plan(
        "qwen3-8b",
        "l40s",
        engine="vllm@0.21",
        isl=1000,
        osl=100,
        schemes=["fp8-channel", "fp8-tensor"],
    )


@cache
def drafting(engine: str) -> Plan:
    """The release, with a draft of its own."""
    return planner.plan(
        "llama-3.1-8b",
        "h100-sxm",
        engine=engine,
        batch=1,
        schemes=["bf16"],
        speculation="eagle",
        draft_tokens=3,
    )


@cache
def hosted(engine: str) -> Plan:
    """Weights that the device alone has no room for: no fewer bits are allowed."""
    return planner.plan(
        "qwen3-32b",
        "rtx-4090",
        engine=engine,
        host="xeon-platinum-8480",
        devices=1,
        batch=1,
        max_loss="bf16",
    )


def in_host_memory() -> Plan:
    return planner.plan(
        "qwen3-30b-a3b", "rtx-4090", engine="llama.cpp", host="xeon-platinum-8480", batch=1
    )


def set_at(data: Any, place: str, value: str) -> None:
    """Put ``value`` at a dotted place of plain data."""
    *way, last = place.split(".")
    for key in way:
        data = data[int(key)] if isinstance(data, list) else data[key]
    data[int(last) if isinstance(data, list) else last] = value


PLACES = {
    "recommendation.checkpoint": served,
    "model.id": served,
    "device.id": served,
    "engine.version": served,
    "engine.name": served,
    "recommendation.measure_next.0.command": served,
    "units.0.kind": served,
    "units.0.scheme": served,
    "speculation.model": lambda: drafting("tensorrt-llm"),
    "speculation.method": lambda: drafting("tensorrt-llm"),
    "speculation.kind": lambda: drafting("vllm"),
    "offload.flags.0": lambda: hosted("vllm"),
    "offload.flags.1": lambda: hosted("vllm"),
    "offload.host": lambda: hosted("vllm"),
    "offload.engine": lambda: hosted("vllm"),
}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_a_command_may_not_hold_is_refused_where_it_is_read(
    place: str, payload: str
) -> None:
    data = deepcopy(PLACES[place]().to_dict())
    planner.read_plan(data)
    set_at(data, place, PAYLOADS[payload])
    with pytest.raises(DataError, match="plan file") as caught:
        planner.read_plan(data)
    assert place.split(".")[0] in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("payload", UNREADABLE)
def test_no_string_at_all_holds_what_cannot_be_seen(payload: str) -> None:
    data = served().to_dict()
    places = [place for place, *_ in strings(served())]
    assert len(places) > 200
    for place in places[:: max(len(places) // 40, 1)]:
        changed = deepcopy(data)
        set_at(changed, place, PAYLOADS[payload])
        with pytest.raises(DataError):
            planner.read_plan(changed)


def test_every_name_with_a_grammar_is_a_text_of_a_plan_file() -> None:
    """A key that moves takes its grammar along."""
    schema = plan_json_schema()["$defs"]
    for record, key in NAMES:
        assert "string" in json.dumps(schema[record]["properties"][key]), (record, key)


def run(script: str, options: str | None, folder: Path) -> list[str]:
    """The words that a stub of the server is called with by a script."""
    for name in ("vllm", "python", "trtllm-serve", "llama-server", "llama-quantize", "env"):
        stub = folder / "bin" / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text('#!/bin/sh\nfor word in "$0" "$@"; do printf "%s\\0" "$word"; done\n')
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    (folder / "serve.sh").write_text(script, encoding="utf-8")
    if options is not None:
        (folder / OPTIONS).write_text(options, encoding="utf-8")
    done = subprocess.run(
        ["/bin/sh", "serve.sh"],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    assert not (folder / LIVE).exists()
    return done.stdout.decode().split("\0")[1:-1]


INERT = [name for name in PAYLOADS if name not in ("nul", "dash")]


@pytest.mark.parametrize("payload", INERT)
def test_a_checkpoint_is_one_word_of_the_script_whatever_it_holds(
    tmp_path: Path, payload: str
) -> None:
    plan, text = served(), PAYLOADS[payload]
    assert plan.recommendation is not None
    bad = replace(plan, recommendation=replace(plan.recommendation, checkpoint=text))
    files = planner.export_plan(bad, engine="vllm").files
    assert run(files["serve-vllm.sh"], None, tmp_path)[:2] == ["serve", text]


@pytest.mark.parametrize("payload", INERT)
@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_what_drafts_is_one_value_of_a_command_or_a_file(
    tmp_path: Path, engine: str, payload: str
) -> None:
    plan, text = drafting(engine), PAYLOADS[payload]
    assert plan.speculation is not None
    bad = replace(plan, speculation=replace(plan.speculation, model=text))
    files, good = (planner.export_plan(one, engine=engine).files for one in (bad, plan))
    options = files.get(OPTIONS)
    words = run(files[f"serve-{engine}.sh"], options, tmp_path)
    if options is not None:
        said, meant = (yaml.safe_load(one[OPTIONS]) for one in (files, good))
        assert said.keys() == meant.keys()
        drafted = said["speculative_config"]
        assert drafted.keys() == meant["speculative_config"].keys()
        assert text in drafted.values()
    elif engine == "vllm":
        at = words.index("--speculative-config")
        assert json.loads(words[at + 1])["model"] == text
    else:
        assert words[words.index("--speculative-draft-model-path") + 1] == text


@pytest.mark.parametrize("payload", INERT)
def test_an_importance_matrix_is_one_word_of_the_script(tmp_path: Path, payload: str) -> None:
    plan = planner.estimate(
        "qwen3-8b", "rtx-4090", scheme="ggml-q4_k", engine="llama.cpp", batch=1, devices=1
    )
    text = PAYLOADS[payload]
    noted = Assumption("importance matrix", text, "given")
    files = planner.export_plan(replace(plan, assumptions=(*plan.assumptions, noted))).files
    script = files["quantise.sh"].replace("${1:?IN.gguf}", "in").replace("${2:?OUT.gguf}", "out")
    words = run(script, None, tmp_path)
    assert words[words.index("--imatrix") + 1] == text


@pytest.mark.parametrize("target", ["compose", "kubernetes", "llm-d", "dynamo"])
@pytest.mark.parametrize("payload", ["newline", "quote", "double quote", "bidi"])
def test_manifests_keep_their_keys(target: str, payload: str) -> None:
    plan = served()
    assert plan.recommendation is not None
    bad = replace(plan, recommendation=replace(plan.recommendation, checkpoint=PAYLOADS[payload]))

    def shapes(files: dict[str, str]) -> list[Any]:
        return [
            shape(one)
            for name, text in sorted(files.items())
            if name.endswith((".yaml", ".yml"))
            for one in yaml.safe_load_all(text)
        ]

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__

    good = planner.export_plan(plan, deploy=target).files
    assert len(shapes(good)) > 0
    assert shapes(planner.export_plan(bad, deploy=target).files) == shapes(good)


def test_plans_that_are_made_here_are_read() -> None:
    for make in (served, lambda: drafting("sglang"), lambda: hosted("vllm"), in_host_memory):
        check_texts(make())


def test_words_of_commands_are_those_of_our_own_data() -> None:
    """What the grammar names is what the tables and the planner write, no more and no less."""
    with (DATA / "engine_speculation.csv").open(encoding="utf-8", newline="") as file:
        methods = {row["method"] for row in csv.DictReader(file)} - {""}
    assert set(METHOD.pattern.split("|")) == methods
    assert set(HOST_FLAGS["--kt-method"].pattern.split("|")) == set(KT_METHODS.values())
    assert HOST_FLAGS["--kt-weight-path"].fullmatch(WEIGHTS)
    assert HOST_FLAGS["--init-expert-location"].fullmatch(STATISTICS)


@pytest.mark.parametrize(
    "flags",
    [
        ("--trust-remote-code", "1"),
        ("--cpu-offload-gb", "--trust-remote-code"),
        ("--cpu-offload-gb", "1.00", "--cpu-offload-gb", "2.00"),
        ("--cpu-offload-gb",),
        ("--kt-weight-path", "elsewhere"),
        ("--init-expert-location", "other.pt"),
    ],
)
def test_a_plan_file_brings_no_flag_of_its_own(flags: tuple[str, ...]) -> None:
    data = deepcopy(hosted("vllm").to_dict())
    data["offload"]["flags"] = list(flags)
    with pytest.raises(DataError, match=r"offload\.flags"):
        planner.read_plan(data)
