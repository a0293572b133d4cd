"""``plan train``: text of 80 columns, JSON, exit codes, bad input, advice that is enough."""

import json

import pytest

import planner
from planner.base.errors import PlannerError
from planner.cli.main import run

V3 = [
    "train",
    "deepseek-v3",
    "h800-sxm",
    "--devices",
    "2048",
    "--pp",
    "16",
    "--ep",
    "64",
    "--recipe",
    "fp8-deepseek",
    "--zero",
    "1",
    "--recompute",
    "selective",
]


def test_text_fits_80_columns_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(V3) == 0
    out, err = capsys.readouterr()
    assert max(map(len, (out + err).splitlines())) <= 80
    assert "Fits      yes, " in out
    assert "pp16 dp128 ep64" in out
    assert err.startswith("assumptions:")


def test_json_is_the_answer_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*V3, "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    got = json.loads(out)
    same = planner.train(
        "deepseek-v3",
        "h800-sxm",
        devices=2048,
        pp=16,
        ep=64,
        recipe="fp8-deepseek",
        zero=1,
        recompute="selective",
    )
    assert err == ""
    assert got == json.loads(json.dumps(same.to_dict()))
    memory = got["memory_per_device"]
    parts = [v for k, v in memory.items() if k not in ("total_bytes", "usable_bytes")]
    assert all(isinstance(v, int) and v >= 0 for v in memory.values())
    assert sum(parts) == memory["total_bytes"] == max(s["total_bytes"] for s in got["stages"])
    assert len(got["stages"]) == 16


def test_what_does_not_fit_exits_1_and_the_change_is_enough(
    capsys: pytest.CaptureFixture[str],
) -> None:
    question = ["train", "llama-3.1-8b", "h100-sxm", "--devices", "8"]
    assert run([*question, "--json", "--quiet"]) == 1
    got = json.loads(capsys.readouterr().out)
    assert got["fits"] is False
    assert got["change"]["flags"] == "--zero 1"
    assert run([*question, *got["change"]["flags"].split(), "--json", "--quiet"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["memory_per_device"]["total_bytes"] == got["change"]["total_bytes"]


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "question",
    [
        ["llama-3.1-70b", "h100-sxm", "--devices", "8"],
        ["llama-3.1-70b", "h100-sxm", "--devices", "16", "--tp", "8", "--micro-batch", "8"],
        ["qwen3-30b-a3b", "h100-sxm", "--devices", "16", "--global-batch", "64"],
        ["deepseek-v3", "h200-sxm", "--devices", "64", "--tp", "8", "--sequence-parallel"],
    ],
)
def test_every_proposed_change_fits(
    question: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["train", *question, "--quiet", "--json"]) == 1
    change = json.loads(capsys.readouterr().out)["change"]["flags"].split()
    replaced = [
        a
        for i, a in enumerate(question)
        if a not in change and not (i and question[i - 1] in change)
    ]
    code = run(["train", *replaced, *change, "--quiet"])
    assert (code, capsys.readouterr().err) == (0, "")


def test_fp16_states_its_margin(capsys: pytest.CaptureFixture[str]) -> None:
    run(
        [
            "train",
            "llama-3.1-8b",
            "h200-sxm",
            "--devices",
            "8",
            "--recipe",
            "fp16",
            "--zero",
            "2",
            "--loss-scale",
            "4096",
            "--quiet",
        ]
    )
    text = " ".join(capsys.readouterr().out.split())
    assert "Loss scale 4096: gradients above 15.99 overflow (margin +4.00 bits" in text


def test_adapters_on_a_frozen_base(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            [
                "train",
                "llama-3.1-8b",
                "h100-sxm",
                "--mode",
                "lora",
                "--lora-rank",
                "16",
                "--recompute",
                "full",
                "--json",
                "--quiet",
            ]
        )
        == 0
    )
    got = json.loads(capsys.readouterr().out)
    trained = got["model"]["parameters_trained"]
    assert trained == 41_943_040
    assert got["memory_per_device"]["moments_bytes"] == 8 * trained


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--devices", "12", "--tp", "8"], "multiple of tp"),
        (["--tp", "3"], "does not divide the 32 attention heads"),
        (["--zero", "4"], "zero is 4"),
        (["--recipe", "fp9"], "unknown training recipe"),
        (["--recompute", "some"], "recompute is 'some'"),
        (["--mode", "half"], "mode is 'half'"),
        (["--lora-rank", "8"], "without mode lora"),
        (["--seq", "999999999"], "is longer than"),
        (["--seq", "4099", "--cp", "2", "--devices", "2"], "cp 2 does not divide"),
        (["--ep", "4", "--devices", "4"], "has no experts"),
        (["--pp", "64"], "exceeds the 32 layers"),
        (["--virtual-stages", "2"], "more than one pipeline stage"),
        (["--devices", "4", "--dp", "3"], "contradicts"),
        (["--devices", "4", "--global-batch", "6"], "not a multiple of dp"),
        (["--attention", "ring"], "attention is 'ring'"),
        (["--devices", "99999999"], "at most"),
    ],
)
def test_bad_input(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "llama-3.1-8b", "h100-sxm", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert "\nhint: " in err


def test_a_device_without_fp8_does_not_train_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "llama-3.1-8b", "a100-sxm", "--recipe", "fp8-deepseek"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "a100-sxm does not multiply FP8" in first
    assert "--recipe bf16" in second


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"tp": 4, "ep": 4, "dp": 4}, "dispatch their own part"),
        ({"ep": 3, "dp": 3}, "does not divide the 128 experts"),
        ({"ep": 8, "dp": 4}, "does not divide tp"),
        ({"etp": 5, "dp": 5}, "does not divide the expert width"),
        ({"micro_batch": True}, "micro_batch = True is of type bool"),
        ({"zero": True}, "zero = True is of type bool"),
        ({"mode": "lora", "lora_rank": 0}, "lora_rank is 0"),
        ({"mode": "lora", "lora_targets": "router"}, "lora-targets is 'router'"),
    ],
)
def test_bad_arguments(flags: dict[str, object], message: str) -> None:
    with pytest.raises(PlannerError, match=message):
        planner.train("qwen3-30b-a3b", "h100-sxm", **flags)
