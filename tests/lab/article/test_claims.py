"""The article's claims: one test each, on figures known from elsewhere."""

import json
import math
from functools import cache
from typing import get_args

import pytest

from planner.base.errors import UnknownNameError
from planner.cli.main import run
from planner.lab.article.claims import CHECKS, claims
from planner.lab.article.ratios import TIMES
from planner.lab.article.record import VERDICTS, Basis, Finding, Part, article, overall
from planner.lab.article.record import claims as all_claims

CLAIMS = {c.id: c for c in all_claims()}
NUMBERED = [str(n) for n in range(1, 24)]

# Verdict and one figure of each: (name starts with, value, relative tolerance). Values are from
# the published configuration, specifications and datasheets, worked out apart from this code.
EXPECTED: dict[str, tuple[str, tuple[str, float, float]]] = {
    "1": ("confirmed", ("parameters", 671_026_419_200, 0)),
    "2": ("confirmed", ("share", 37.55 / 671.026, 1e-3)),
    "3": ("wrong", ("cached", 512 + 64, 0)),
    "4": ("imprecise", ("vs llama-3.1-405b", 516_096 / 70_272, 1e-9)),
    "5": ("confirmed", ("MLA alone", 0.822, 1e-3)),
    "6": ("imprecise", ("parameters stored", 669.07e9 / 671.026e9, 1e-3)),
    "7": ("confirmed", ("fp8-block weights", 1 + 4 / 128**2, 1e-12)),
    "8": ("confirmed", ("ratio", 0.5, 5e-3)),
    "9": ("imprecise", ("dense peak", 2, 1e-3)),
    "10": ("imprecise", ("cache saved", 1 - 656 / 1152, 1e-12)),
    "11": ("imprecise", ("8- and 4-bit formats of jetson-agx-orin-64gb", 1, 0)),
    "12": ("imprecise", ("INT8 ÷ FP8 on b300-sxm", 1 / 29.3, 0.02)),
    "13": ("confirmed", ("weight rows", 128, 0)),
    "13b": ("wrong", ("scales", 4 / 128**2, 1e-9)),
    "14": ("wrong", ("routed experts", 653.9 / 671.026, 1e-3)),
    "15": ("wrong", ("h100-sxm dense", 1.979e15, 1e-3)),
    "16": ("confirmed", ("AMX ÷ AVX-512, BF16, xeon-6980p", 16, 1e-9)),
    "17": ("wrong", ("drive-thor-x INT8 sparse", 1000e12, 1e-9)),
    "18": ("confirmed", ("fewest h200-sxm for bf16", 12, 0)),
    "19": ("confirmed", ("largest E4M3", 448, 0)),
    "20": ("wrong", ("gradient, master and moments, fp8-deepseek", 12, 0)),
    "21": ("imprecise", ("INT8 ÷ BF16", 2, 1e-3)),
    "22": ("confirmed", ("largest FP16", 65_504, 0)),
    "23": ("confirmed", ("gaussian, INT8", 43.8, 5e-3)),
    "r1": ("imprecise", ("FP8 share of linear weights, l40s", 1, 0)),
    "r2": ("imprecise", ("advised mixture ÷ uniform INT8, loss, a100-sxm", 0.5, 0.1)),
    "r3": ("imprecise", ("weights", 2, 0.05)),
}


@cache
def finding(id: str) -> Finding:
    """What is found of a claim, once for all tests."""
    return CHECKS[id](CLAIMS[id])


def test_every_numbered_claim_is_there_and_tested() -> None:
    assert [c for c in CLAIMS if c.isdigit()] == NUMBERED
    assert set(CLAIMS) == set(CHECKS) == set(EXPECTED)


@pytest.mark.sample(8)
@pytest.mark.parametrize("id", EXPECTED)
def test_a_claim(id: str) -> None:
    verdict, (start, value, tolerance) = EXPECTED[id]
    found = finding(id)
    assert found.verdict == verdict
    assert found.text
    assert all(math.isfinite(f.value) for f in found.figures)
    figure = next(f for f in found.figures if f.name.startswith(start))
    assert figure.value == pytest.approx(value, rel=tolerance or 1e-15)


@pytest.mark.parametrize("id", ["1", "3", "15", "17"])
def test_a_verdict_follows_the_stated_figure(id: str) -> None:
    """With the computed figure in place of the stated one the verdict turns, and back."""
    from dataclasses import replace

    claim = CLAIMS[id]
    found = CHECKS[id](claim)
    near = next(f.value for f in found.figures)
    agreed = CHECKS[id](replace(claim, stated=dict.fromkeys(claim.stated, near)))
    far = CHECKS[id](replace(claim, stated=dict.fromkeys(claim.stated, near * 97.3)))
    assert any(p.verdict == "confirmed" for p in agreed.parts)
    assert all(p.verdict == "wrong" for p in far.parts)


@pytest.mark.exhaustive
def test_recommendations_are_tested_part_by_part() -> None:
    """FP8 is the choice on Hopper, Ada and Blackwell under vLLM; the advised mixture loses less
    than INT8 alone at nearly its speed, and no recommended plan keeps FP16."""
    first = {p.text: p.verdict for p in finding("r1").parts}
    assert first["FP8 is the choice on h100-sxm"] == "confirmed"
    assert first["FP8 is the choice on l40s"] == "confirmed"
    second = {p.text: p.verdict for p in finding("r2").parts}
    assert {v for k, v in second.items() if k.startswith("INT8 experts")} == {"confirmed"}
    assert {v for k, v in second.items() if k.startswith("FP16 attention")} == {"wrong"}
    assert {v for k, v in second.items() if k.startswith("the mixture")} == {"confirmed"}
    third = {f.name: f.value for f in finding("r3").figures}
    assert third["FP32 states of BF16 training"] == 4 + 8
    assert third["loss saved"] == 0


@pytest.mark.sample(8)
@pytest.mark.parametrize("id", EXPECTED)
def test_every_figure_says_what_it_rests_on(id: str) -> None:
    """Times have an interval around their value; what is counted or read has none."""
    for figure in finding(id).figures:
        assert figure.basis in get_args(Basis)
        if figure.basis in TIMES:
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low < figure.value < figure.high
        else:
            assert figure.low is figure.high is None


@pytest.mark.sample(2)
@pytest.mark.parametrize("id", [c.id for c in CLAIMS.values() if c.before is not None])
def test_what_an_earlier_version_found_is_another_thing(id: str) -> None:
    """An entry whose words are those of today would tell a change that is none."""
    claim = CLAIMS[id]
    assert claim.before is not None
    assert claim.before.verdict in VERDICTS
    assert claim.before.why
    found = finding(id)
    assert found.verdict != claim.before.verdict or claim.before.found not in found.text


def test_verdicts_that_turned_are_told_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["claims", "--only", "18,10"]) == 0
    title, head, rest = capsys.readouterr().out.split("\n\n", 2)
    assert title
    turned = "10 (wrong → imprecise), 18 (not computable → confirmed)"
    assert f"than version 0.1.0: {turned}" in " ".join(head.split())
    assert "0.1.0 found it wrong: 17.1 %" in rest
    assert "in brackets 80 % intervals" in rest
    assert run(["claims", "--only", "3"]) == 0
    assert "than version 0.1.0: none" in capsys.readouterr().out


def test_sources_have_a_title_and_a_date() -> None:
    sources = article()["sources"]
    for claim in CLAIMS.values():
        assert claim.quote
        assert claim.sources
        for key in claim.sources:
            assert sources[key]["title"]
            assert len(sources[key]["date"]) == 10


def test_parts_that_disagree_are_imprecise() -> None:
    yes, no, unknown = (Part("", v) for v in ("confirmed", "wrong", "not computable"))
    assert overall((yes, no)) == "imprecise"
    assert overall((yes, unknown)) == "confirmed"
    assert overall((unknown,)) == "not computable"


def test_some_claims(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["claims", "--only", "3,13b", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [c["id"] for c in found["claims"]] == ["3", "13b"]
    assert found["verdicts"] == {v: 2 * (v == "wrong") for v in VERDICTS}
    assert run(["claims", "--only", "7", "--markdown"]) == 0
    table = capsys.readouterr().out
    assert "| 7 |" in table
    assert "FP32 \\| 4" in table
    assert run(["claims", "--only", "3"]) == 0
    assert "576 elements" in capsys.readouterr().out


def test_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError):
        claims(only=["99"])
    for arguments in (["--only", "99"], ["--only", ","], ["--json", "--markdown"]):
        assert run(["claims", *arguments]) == 2
        assert "hint: " in capsys.readouterr().err
