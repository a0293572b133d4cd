"""Contradictory limits are named as an irreducible set."""

from typing import Any

import pytest

from planner.base.errors import InfeasibleError
from planner.cli.main import run
from tests.support import theory

FIXED: dict[str, Any] = {"devices": 1, "isl": 512, "osl": 128, "kv": "bf16"}
MODEL, DEVICE = "llama-3.1-8b", "h100-sxm"
SMALL = 12 * 2**30


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "limits",
    [{"memory_bytes": SMALL, "max_loss": "bf16"}, {"tpot_seconds": 0.005, "max_loss": "bf16"}],
)
def test_the_pair_is_named_and_is_irreducible(limits: dict[str, Any]) -> None:
    with pytest.raises(InfeasibleError, match="contradict each other") as caught:
        theory.plan(MODEL, DEVICE, **FIXED, **limits)
    for name in limits:
        word = {"memory_bytes": "memory-bytes", "tpot_seconds": "tpot"}.get(name, "max-loss")
        assert word in caught.value.message
        # Without it the rest has a plan (the default limit on loss is another one, so name all).
        rest = {k: v for k, v in limits.items() if k != name}
        rest.setdefault("max_loss", "int4-w4a16")
        assert theory.plan(MODEL, DEVICE, **FIXED, **rest).units
    assert caught.value.hint


def test_a_third_limit_that_is_not_to_blame_is_left_out() -> None:
    with pytest.raises(InfeasibleError) as caught:
        theory.plan(MODEL, DEVICE, **FIXED, memory_bytes=SMALL, max_loss="bf16", ttft_seconds=60)
    assert "ttft" not in caught.value.message


@pytest.mark.exhaustive
def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["plan", MODEL, DEVICE, "--devices", "1", "--quiet"]
    assert (
        run(
            [
                *base,
                "--kv",
                "bf16",
                "--memory-bytes",
                str(SMALL),
                "--max-loss",
                "bf16",
                "--isl",
                "512",
                "--osl",
                "128",
            ]
        )
        == 1
    )
    assert "contradict each other" in capsys.readouterr().err
    for arguments in (["--schemes", ""], ["--schemes", ","], ["--tp", "3"], ["--tp", "4"]):
        assert run([*base, *arguments]) == 2
        assert "hint: " in capsys.readouterr().err
