"""``--anchor``: one measured operating point beside a plan."""

import pytest

import planner
from planner.base.errors import InputError, UnknownNameError
from planner.cli.main import run
from tests.support import theory

CASE = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "devices": 1,
    "batch": 16,
    "isl": 1024,
    "osl": 256,
}


@pytest.mark.parametrize(
    ("anchor", "name", "factor"),
    [
        ("tpot_ms=10", "tpot_seconds", 1e3),
        ("ttft_ms=200", "ttft_seconds", 1e3),
        ("output-tokens-per-second=1000", "output_tokens_per_second", 1.0),
    ],
)
def test_the_ratio_is_told_and_nothing_changes(anchor: str, name: str, factor: float) -> None:
    plain = theory.estimate(**CASE, scheme="bf16")
    found = theory.estimate(**CASE, scheme="bf16", anchor=anchor)
    assert found.performance == plain.performance
    (note,) = [a for a in found.assumptions if a.key == f"anchor {name}"]
    measured = float(anchor.partition("=")[2])
    ratio = getattr(plain.performance, name).value * factor / measured
    assert note.value.endswith(f"= {ratio:.3f}")
    assert "not used by it" in note.reason
    assert planner.read_plan(found.to_dict()) == found


def test_a_search_takes_an_anchor_too() -> None:
    found = theory.plan(**CASE, anchor="tpot_ms=10")
    assert any(a.key == "anchor tpot_seconds" for a in found.assumptions)


@pytest.mark.parametrize(
    ("anchor", "error"),
    [
        ("tpot_ms", InputError),
        ("tpot_ms=0", InputError),
        ("tpot_ms=fast", InputError),
        ("tpot=3", UnknownNameError),
        ("", InputError),
    ],
)
def test_malformed(anchor: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        theory.estimate(**CASE, scheme="bf16", anchor=anchor)
    assert caught.value.hint


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            [
                "estimate",
                "llama-3.1-8b",
                "h100-sxm",
                "--devices",
                "1",
                "--batch",
                "16",
                "--scheme",
                "bf16",
                "--anchor",
                "tpot_ms=10",
            ]
        )
        == 0
    )
    assert "predicted / 10 ms measured" in " ".join(capsys.readouterr().out.split())
