"""``--plan FILE`` names the model and the device in every command that takes it."""

import json
from pathlib import Path

import pytest

import planner
from planner.cli.main import run

COMMANDS = {
    "estimate": [],
    "serve": ["--concurrency", "4"],
    "explain": ["--solves", "0"],
    "memory": [],
}


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    made = planner.plan(
        "qwen2.5-0.5b",
        "h100-sxm",
        devices=2,
        tp=2,
        context=2048,
        batch=8,
        schemes=["bf16", "fp8-block"],
    )
    path.write_text(json.dumps(made.to_dict()), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_is_enough_and_its_own_names_may_stand_beside_it(
    command: str, plan_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [command, "--plan", plan_file, *COMMANDS[command], "--quiet"]
    assert run(asked) == 0
    alone = capsys.readouterr().out
    assert "qwen2.5-0.5b" in alone
    assert "2 × h100-sxm" in " ".join(alone.split())
    assert run([command, "Qwen/Qwen2.5-0.5B", "H100_SXM", *asked[1:]]) == 0
    assert capsys.readouterr().out == alone


@pytest.mark.parametrize("command", COMMANDS)
def test_another_model_is_refused(
    command: str, plan_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "llama-3.1-8b", "--plan", plan_file, *COMMANDS[command]]) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "error: the plan is for qwen2.5-0.5b, not llama-3.1-8b",
        "hint: leave the model out, or name qwen2.5-0.5b",
    ]


def test_a_plan_is_priced_on_another_device_and_explained_on_its_own(
    plan_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("estimate", "serve", "memory"):
        assert (
            run(
                [
                    command,
                    "qwen2.5-0.5b",
                    "h200-sxm",
                    "--plan",
                    plan_file,
                    "--quiet",
                    *COMMANDS[command],
                ]
            )
            == 0
        )
        assert "2 × h200-sxm" in " ".join(capsys.readouterr().out.split())
    assert run(["explain", "qwen2.5-0.5b", "h200-sxm", "--plan", plan_file]) == 2
    assert "the plan is for h100-sxm, not h200-sxm" in capsys.readouterr().err


def test_memory_takes_the_workload_of_the_plan(
    plan_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["memory", "--plan", plan_file, "--json", "--quiet"]) == 0
    answer = json.loads(capsys.readouterr().out)
    plan = json.loads(Path(plan_file).read_text(encoding="utf-8"))
    assert answer["layout"] == {"tp": 2, "dp": 1, "pp": 1, "ep": 1}
    assert answer["workload"]["context_tokens"] == 2048
    assert answer["workload"]["batch"] == 8
    # A plan copies the biases that memory splits over ranks.
    assert answer["devices"][0]["weights_bytes"] == pytest.approx(
        plan["memory_per_device"]["weights_bytes"], rel=1e-3
    )
    assert run(["memory", "--plan", plan_file, "--batch", "1", "--tp", "0"]) == 2
    assert "tp" in capsys.readouterr().err


def test_memory_without_either_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["memory"]) == 2
    assert "no model given" in capsys.readouterr().err
