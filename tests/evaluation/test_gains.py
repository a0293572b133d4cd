"""benchmarks/gains: which rows are compared, what they count under, whose pairs an entry has."""

from __future__ import annotations

import random
from dataclasses import replace
from math import log

import pytest

from benchmarks.gains import COLUMNS, as_csv, left_out
from benchmarks.gains_fit import (
    GainPair,
    entries,
    evidence_of,
    fitted,
    kind_of,
    pairs_of,
    weights,
)
from benchmarks.gains_page import page
from benchmarks.gains_rows import MeasuredConfiguration
from planner.placement.layout import Layout
from planner.planning.choose.calibrated import Configuration

ROW = MeasuredConfiguration(
    "e2e_silicon_shared",
    ("e2e_silicon_shared", "", "shape", "h200-sxm", "closed loop"),
    "shape",
    "a",
    (1024.0, 1024.0),
    Configuration("vllm", "0.11.0", Layout(8, 1, 1, 1), 8, "fp8", "bf16", 64.0),
    ("vllm", "Hopper", "moe", "tp"),
    100.0,
    100.0,
)
NUS = {"measured": 2.0, "related": 2.0}


def changed(measured: float, predicted: float, **change: object) -> MeasuredConfiguration:
    return replace(
        ROW,
        measured=measured,
        predicted=predicted,
        configuration=replace(ROW.configuration, **change),  # type: ignore[arg-type]
    )


def drawn(
    count: int,
    *,
    beta: float,
    sd: float,
    family: str,
    level: str = "measured",
    kind: str = "engine",
) -> list[GainPair]:
    """Pairs whose measured gain is ``beta`` of the predicted one and a normal error."""
    dice = random.Random(f"{family} {kind}")
    made = []
    for i in range(count):
        x = dice.uniform(0.0, 1.5)
        y = beta * x + dice.gauss(0.0, sd)
        unlike = frozenset((kind,))
        made.append(
            GainPair(level, unlike, family, frozenset((family,)), (str(i % 3),), x, y, True)
        )
    return made


def test_a_pair_is_seen_from_the_one_that_is_predicted_to_be_better() -> None:
    (pair,) = pairs_of([ROW, changed(80.0, 150.0, engine="sglang")])
    assert pair.predicted == pytest.approx(log(1.5))
    assert pair.measured == pytest.approx(log(0.8))
    assert (pair.level, pair.kind, pair.unserved) == ("measured", "engine", False)
    assert pairs_of([changed(80.0, 150.0, engine="sglang"), ROW]) == [pair]


def test_other_pages_lengths_and_repeats_are_no_pairs() -> None:
    other = changed(80.0, 150.0, engine="sglang")
    assert not pairs_of([ROW, replace(other, lengths=(1024.0, 1200.0))])
    assert pairs_of([ROW, replace(other, lengths=(1024.0, 1040.0))])
    assert not pairs_of([ROW, replace(other, page=("another",))])
    assert not pairs_of([ROW, changed(80.0, 150.0)])


def test_a_basis_without_served_rows_is_known() -> None:
    lab = replace(ROW, table="e2e_gpustack", page=("lab",))
    other = replace(changed(80.0, 150.0, layout=Layout(1, 1, 8, 1)), table=lab.table, page=lab.page)
    stages = replace(other, basis=("vllm", "Hopper", "moe", "pp"))
    (pair,) = pairs_of([ROW, lab, stages])
    assert (pair.level, pair.kind, pair.unserved) == ("related", "layout", True)
    (pair,) = pairs_of([ROW, lab, other])
    assert not pair.unserved


@pytest.mark.parametrize(
    ("unlike", "kind"),
    [
        ("batch", "batch"),
        ("devices batch", "devices"),
        ("layout devices batch", "layout"),
        ("engine devices", "engine"),
        ("engine layout", "several"),
        ("format version batch", "several"),
    ],
)
def test_a_pair_counts_under_its_hardest_difference(unlike: str, kind: str) -> None:
    assert kind_of(frozenset(unlike.split())) == kind


def test_families_weigh_alike_and_pages_of_a_family() -> None:
    many = drawn(30, beta=1.0, sd=0.1, family="many")
    few = drawn(2, beta=1.0, sd=0.1, family="few")
    share = weights([*many, *few])
    assert share.sum() == pytest.approx(32)
    assert share[30:].sum() == pytest.approx(16)


def test_a_fit_tells_what_pairs_were_drawn_with() -> None:
    pairs = [p for name in "abcd" for p in drawn(200, beta=0.7, sd=0.1, family=name)]
    fit = fitted(pairs, 30.0)
    assert fit.beta == pytest.approx(0.7, abs=0.03)
    assert fit.sd == pytest.approx(0.1 * (1 + 1 / 4) ** 0.5, rel=0.12)
    assert fit.slope < 0.06
    more = fitted([replace(p, measured=3 * p.measured) for p in pairs], 30.0)
    assert more.beta == 1.0


def test_few_pairs_borrow_from_the_other_level() -> None:
    served = drawn(9, beta=1.0, sd=0.1, family="a")
    laboratory = drawn(9, beta=1.0, sd=0.1, family="b", level="related")
    assert len(evidence_of(served, "engine", "measured")[0]) == 0
    assert len(evidence_of([*served, *laboratory], "engine", "measured")[0]) == 18
    beside = [replace(p, unlike=frozenset(("engine", "cache"))) for p in (*served, *laboratory)]
    some, source = evidence_of(beside, "cache", "measured")
    assert len(some) == 18
    assert "differ in more" in source


def test_an_entry_without_a_model_does_not_see_its_pairs() -> None:
    others = [p for name in "bcd" for p in drawn(12, beta=0.9, sd=0.1, family=name)]
    lab = [p for n in "ef" for p in drawn(8, beta=0.5, sd=0.3, family=n, level="related")]
    own = drawn(12, beta=0.2, sd=0.5, family="a")
    absurd = [replace(p, measured=9.0 + p.measured) for p in own]
    assert entries([*own, *others, *lab], NUS, "a") == entries([*absurd, *others, *lab], NUS, "a")
    assert entries([*own, *others, *lab], NUS) != entries([*absurd, *others, *lab], NUS)


def test_weaker_levels_are_never_surer() -> None:
    served = [p for name in "bcd" for p in drawn(12, beta=0.6, sd=0.3, family=name)]
    lab = [p for n in "ef" for p in drawn(12, beta=1.0, sd=0.05, family=n, level="related")]
    made = {(e.difference, e.level): e.calibration for e in entries([*served, *lab], NUS)}
    strong, weak = made["engine", "measured"], made["engine", "related"]
    nothing = made["any", "none"]
    assert nothing.sd >= weak.sd >= strong.sd
    assert nothing.beta <= weak.beta <= strong.beta


def test_the_file_has_a_line_for_every_model_and_the_page_its_claims() -> None:
    served = [p for name in "bcd" for p in drawn(12, beta=0.9, sd=0.1, family=name)]
    lab = [p for n in "ef" for p in drawn(9, beta=0.7, sd=0.3, family=n, level="related")]
    lines = left_out([*served, *lab], NUS)
    text = as_csv(lines).splitlines()
    assert text[0].split(",") == list(COLUMNS)
    assert all(len(line.split(",")) == len(COLUMNS) for line in text)
    assert {e.without for e in lines} == set("bcdef") | {""}
    written = page([*served, *lab], [e for e in lines if not e.without])
    claims = [line for line in written.splitlines() if line.startswith("| measured | 0.9 to 1 |")]
    shown, *whole = claims
    assert len(whole) == 3
    right = [float(line.split(" | ")[5]) for line in whole]
    assert shown.split(" | ")[4] == whole[0].split(" | ")[5]
    clear = [p for p in served if p.predicted > 0.4]
    assert right == [1.0] * 3 or min(p.measured for p in clear) < 0
    for kind, level in (("engine", "measured"), ("engine", "related"), ("any", "none")):
        assert f"| {kind} | {level} |" in written
