"""Floors from losses of whole models in q8_0, and how they scatter."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.whole_types import whole_tables
from planner.base.errors import DataError
from planner.lab.tables.floors import (
    _likelihoods,
    _structures,
    left_out_predictions,
    main,
    measured_floors,
    reach,
    scatters,
)
from planner.quality.floor import DENSE, EXPERTS, KnownFloor, Scatter, covariance, known_floors
from planner.quality.sensitivity.kld_data import DATA, RELATIVE, SISTER, kld_models
from planner.quality.sensitivity.predict import LEARNED

SHARED = Path(__file__).resolve().parents[4] / "shared" / "measured"
ROWS = [
    KnownFloor(f"{family}{n}", family, f"{family}{n // 2}", routed=True, floor_nats=value)
    for family, values in (("a", (0.001, 0.0011, 0.002)), ("b", (0.01, 0.012, 0.02)))
    for n, value in enumerate(values)
]


def test_shipped_floors_are_those_of_the_table() -> None:
    assert known_floors() == measured_floors()


def test_the_shipped_file_is_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = json.loads((DATA / "floors.json").read_text(encoding="utf-8"))
    (tmp_path / "floors.csv").write_bytes((DATA / "floors.csv").read_bytes())
    monkeypatch.setattr("planner.lab.tables.floors.DATA", tmp_path)
    main()
    assert json.loads((tmp_path / "floors.json").read_text(encoding="utf-8")) == shipped


def test_a_floor_is_most_of_what_q8_0_loses() -> None:
    with (DATA / "floors.csv").open(encoding="utf-8", newline="") as file:
        losses = {
            (row["model"], row["q8_0_nats"]): float(row["q8_0_nats"])
            for row in csv.DictReader(file)
            if not row["reason"]
        }
    for known, loss in zip(known_floors(), losses.values(), strict=True):
        assert 0.6 * loss < known.floor_nats < loss, known.name


def test_measured_losses_are_those_of_the_public_tables() -> None:
    if not (SHARED / "kld" / "kld_whole.csv").is_file():
        pytest.skip(f"no tables in {SHARED}")
    public = {
        name: types["q8_0"]
        for folder in ("kld", "kld_more")
        for name, types in whole_tables(SHARED / folder).items()
    }
    with (DATA / "floors.csv").open(encoding="utf-8", newline="") as file:
        shipped = {
            row["model"]: float(row["q8_0_nats"])
            for row in csv.DictReader(file)
            if "Thireus" in row["source"]
        }
    assert shipped == public


def test_names_of_structures_and_families_are_those_of_the_measured_models() -> None:
    models = {m.name: m for m in kld_models()}
    for known in known_floors():
        if known.name in models:
            assert models[known.name].family == known.family
            first = next(
                m.name for m in kld_models() if m.structure == models[known.name].structure
            )
            assert known.structure == first


def test_scatters_are_found_again() -> None:
    """Drawn with known deviations, enough of them."""
    rng = np.random.default_rng(1)
    rows = []
    for f in range(40):
        family = rng.normal(0, 1.2)
        for s in range(3):
            structure = rng.normal(0, 0.5)
            for n in range(2):
                log = -6 + family + structure + rng.normal(0, 0.2)
                rows.append(
                    KnownFloor(
                        f"{f}{s}{n}", f"{f}", f"{f}{s}", routed=True, floor_nats=math.exp(log)
                    )
                )
    found = scatters(rows)[EXPERTS]
    assert (found.family, found.structure, found.own) == pytest.approx((1.2, 0.5, 0.2), abs=0.25)
    assert reach(rows, EXPERTS, found) == pytest.approx(1.28, abs=0.2)


def likelihood(rows: list[KnownFloor], spread: Scatter) -> float:
    """As the fit has it, of one pair of its grid."""
    families, structures = np.array([spread.family]), np.array([spread.structure])
    return float(_likelihoods(_structures(rows), families, structures, spread.own)[0, 0])


def test_a_structure_of_two_families_is_refused() -> None:
    with pytest.raises(DataError, match="two families"):
        scatters([*ROWS, replace(ROWS[0], family="b")])


def test_likelihood_does_not_depend_on_the_unit() -> None:
    spread = Scatter(1.0, 0.5, 0.3)
    scaled = [replace(k, floor_nats=7 * k.floor_nats) for k in ROWS]
    assert likelihood(ROWS, spread) == pytest.approx(likelihood(scaled, spread))


@pytest.mark.parametrize(
    "spread", [Scatter(1.0, 0.5, 0.3), Scatter(0.0, 0.5, 0.3), Scatter(1.2, 0.0, 0.05)]
)
@pytest.mark.parametrize("rows", [ROWS, ROWS[:2], ROWS[1:]])
def test_likelihood_is_that_of_the_whole_covariance(
    rows: list[KnownFloor], spread: Scatter
) -> None:
    logs, ones = np.log([k.floor_nats for k in rows]), np.ones(len(rows))
    within = covariance(rows, spread)
    inverse = np.linalg.inv(within)
    weight = ones @ inverse @ ones
    off = logs - (ones @ inverse @ logs) / weight
    whole = np.linalg.slogdet(within)[1] + off @ inverse @ off + np.log(weight)
    assert likelihood(rows, spread) == pytest.approx(-0.5 * whole)


def test_covariance_is_what_families_structures_and_measurements_share() -> None:
    found = covariance(ROWS, Scatter(1.0, 0.5, 0.3))
    assert np.diag(found) == pytest.approx(1.34)
    assert found[1, 0] == found[0, 1] == pytest.approx(1.25)  # a0 and a1: one structure
    assert found[0, 2] == pytest.approx(1.0)  # one family
    assert found[0, 3] == 0.0


def test_what_is_left_out_by_tier() -> None:
    found = left_out_predictions(ROWS[0], ROWS, Scatter(1.0, 0.5, 0.3))
    assert set(found) == {LEARNED, RELATIVE, SISTER}
    assert found[LEARNED][0] > found[RELATIVE][0] > found[SISTER][0]
    alone = left_out_predictions(ROWS[2], ROWS, Scatter(1.0, 0.5, 0.3))
    assert set(alone) == {LEARNED, RELATIVE}


def test_both_classes_have_their_scatter() -> None:
    assert set(scatters(measured_floors())) == {DENSE, EXPERTS}
