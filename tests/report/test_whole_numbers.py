"""Whole numbers have their thousands apart, in every text that people read."""

import re

import pytest

from planner.cli.main import run

JOINED = re.compile(r"(?<![\w.,@-])\d{4,}(?![\w.-])")
ON = ["qwen2.5-0.5b", "h100-sxm"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve", *ON, "--devices", "1", "--concurrency", "2000"], "2,000 requests in flight"),
        (
            ["explain", *ON, "--module", "attention-out", "--schemes", "bf16,fp8-block"],
            "a prompt of 7,168 tokens",
        ),
        (["memory", *ON], "of 8,192 tokens"),
        (
            [
                "numerics",
                ON[0],
                "--module",
                "mlp-down",
                "--schemes",
                "bf16",
                "--units",
                "fp32",
                "--tokens",
                "4",
                "--outputs",
                "4",
            ],
            "K = 4,864",
        ),
        (["train", *ON, "--seq", "4096"], "4,096 tokens"),
        (
            ["frontier", *ON, "--devices", "1", "--points", "2", "--schemes", "bf16"],
            "context 8,192",
        ),
        (
            ["capacity", *ON, "--rate", "5", "--tpot-ms", "50", "--schemes", "bf16"],
            "7,168 tokens in",
        ),
        ([*ON, "--devices", "1", "--schemes", "bf16"], "7,168 tokens in"),
    ],
    ids=lambda v: v[0],
)
def test_thousands_are_apart(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    text = capsys.readouterr().out.partition("\nRun it")[0]
    assert told in " ".join(text.split())
    assert not [
        line
        for line in text.splitlines()
        if JOINED.search(line) and " × " not in line and "μs" not in line
    ]
