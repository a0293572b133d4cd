"""A replica on several nodes: ranks and addresses, and the script that holds all of them."""

import re
import subprocess
from pathlib import Path

import pytest

import planner
from planner.base.errors import PlannerError
from planner.export.nodes import NodeCommand, address, node_commands, node_count
from planner.export.serve_line import serving_command
from planner.memory.engines.catalog import parse_engine
from planner.placement.layout import Layout
from planner.planning.plan.record import Plan

WORDS = ("server", "CHECKPOINT")


def value(words: tuple[str, ...], flag: str) -> str:
    return words[words.index(flag) + 1]


@pytest.mark.parametrize(
    ("layout", "each", "nodes"), [(Layout(8), 8, 1), (Layout(16), 8, 2), (Layout(4, 3), 8, 2)]
)
def test_a_replica_takes_the_fewest_nodes(layout: Layout, each: int, nodes: int) -> None:
    assert node_count(layout, each) == nodes


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_every_node_has_its_rank_and_the_first_address(engine: str) -> None:
    commands, unsaid = node_commands(parse_engine(engine), WORDS, Layout(8, pp=4), 4)
    assert unsaid == []
    assert [command.node for command in commands] == [0, 1, 2, 3]
    assert [value(command.words, "--node-rank") for command in commands] == ["0", "1", "2", "3"]
    for command in commands:
        assert value(command.words, "--nnodes") == "4"
        assert any(word.startswith(address(0)) for word in command.words)
        assert (("--headless" in command.words) == (command.node > 0)) or engine == "sglang"


def test_attention_ranks_of_vllm_are_spread_over_the_nodes() -> None:
    commands, _ = node_commands(parse_engine("vllm"), WORDS, Layout(4, 8), 4)
    starts = [value(command.words, "--data-parallel-start-rank") for command in commands[1:]]
    assert starts == ["2", "4", "6"]
    assert {value(command.words, "--data-parallel-size-local") for command in commands} == {"2"}


@pytest.mark.parametrize("engine", ["vllm@0.11", "vllm"])
def test_ray_joins_nodes_where_vllm_cannot(engine: str) -> None:
    layout = Layout(16) if "@" in engine else Layout(16, 2, 2)
    commands, _ = node_commands(parse_engine(engine), WORDS, layout, layout.ranks // 8)
    assert commands[0].words == ("ray", "start", "--head", "--port=6379")
    assert commands[-1].node == 0
    assert value(commands[-1].words, "--distributed-executor-backend") == "ray"


def test_tensorrt_llm_starts_all_ranks_from_the_first_node() -> None:
    (command,), _ = node_commands(parse_engine("tensorrt-llm"), WORDS, Layout(16), 2)
    assert command.words[:6] == (
        "mpirun", "-n", "16", "-H", "NODE0:8,NODE1:8", "trtllm-llmapi-launch",
    )  # fmt: skip
    assert value(command.words, "--gpus_per_node") == "8"


def test_llama_cpp_reaches_the_other_nodes_over_rpc() -> None:
    commands, unsaid = node_commands(parse_engine("llama.cpp"), WORDS, Layout(pp=16), 2)
    assert [command.node for command in commands] == [1, 0]
    assert commands[0].words[0] == "rpc-server"
    assert value(commands[1].words, "--rpc") == "NODE1:50052"
    assert unsaid


def test_ranks_that_do_not_divide_are_told() -> None:
    assert node_commands(parse_engine("sglang"), WORDS, Layout(3, pp=3), 2)[0] == ()
    assert node_commands(parse_engine("sglang"), WORDS, Layout(4, pp=3), 2)[1]


def wide(engine: str, **layout: int) -> Plan:
    try:
        return planner.estimate("deepseek-v3", "h100-sxm", devices=16, engine=engine, **layout)
    except PlannerError as error:
        pytest.fail(str(error))


@pytest.mark.parametrize(
    ("engine", "layout", "servers"),
    [("vllm", {"tp": 8, "pp": 2}, 2), ("sglang", {"tp": 16}, 2), ("vllm", {"tp": 4, "dp": 4}, 2)],
)
def test_the_script_runs_the_line_of_its_node(
    engine: str, layout: dict[str, int], servers: int, tmp_path: Path
) -> None:
    plan = wide(engine, **layout)
    line = serving_command(plan)
    assert len(line.nodes) == servers
    script = tmp_path / "serve.sh"
    script.write_text(planner.export_plan(plan).files[f"serve-{engine}.sh"], encoding="utf-8")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    stub = bin_folder / line.words[0]
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@" > "$OUT"\n', encoding="utf-8")
    stub.chmod(0o755)
    for node in line.nodes:
        out = tmp_path / f"out{node.node}"
        done = subprocess.run(
            ["sh", script, "CHECKPOINT HERE", str(node.node), "10.0.0.1"],
            env={"PATH": f"{bin_folder}:/usr/bin:/bin", "OUT": str(out)},
            check=True,
        )
        assert done.returncode == 0
        said = out.read_text(encoding="utf-8").splitlines()[1:]
        assert said == [
            re.sub("NODE0", "10.0.0.1", word) if word != place(line.words) else "CHECKPOINT HERE"
            for word in node.words[1:]
        ]
    refused = subprocess.run(["sh", script, "x", "7", "10.0.0.1"], capture_output=True, check=False)
    assert refused.returncode == 2
    missing = subprocess.run(["sh", script, "x"], capture_output=True, text=True, check=False)
    assert missing.returncode != 0
    assert "number of this node" in missing.stderr


def place(words: tuple[str, ...]) -> str:
    """The word of a command that stands for the checkpoint."""
    return words[2] if words[0] == "vllm" else words[words.index("--model-path") + 1]


def test_one_node_has_one_command() -> None:
    plan = planner.estimate("llama-3.1-8b", "h100-sxm", devices=2, tp=2, engine="vllm")
    assert serving_command(plan).nodes == ()


def test_commands_are_of_whole_words() -> None:
    commands, _ = node_commands(parse_engine("vllm"), WORDS, Layout(16), 2)
    assert all(isinstance(command, NodeCommand) for command in commands)
    assert all(isinstance(word, str) for command in commands for word in command.words)
