"""How sure many candidates are, against the spread of each alone."""

import numpy as np
import pytest
from support.questions import model_of

from planner.planning.price.batched_intervals import spreads
from planner.planning.price.intervals import BASES, Z80, certainty, common_of, spread


def test_equal_to_one_by_one() -> None:
    model, rng = model_of(), np.random.default_rng(3)
    choice = [
        int(np.flatnonzero(model.possible[i])[-1]) if u.decision >= 0 else -1
        for i, u in enumerate(model.units)
    ]
    times = []
    for _ in model.units:
        total = rng.random(4) + 0.1
        times.append((total, total * rng.random(4)))
    found = spreads(model, choice, times, decode=True)
    for n in range(4):
        items = []
        for unit, c, (total, talk) in zip(model.units, choice, times, strict=True):
            name, how = certainty(model, unit, c, decode=True)
            items += [
                (name, how, float(total[n] - talk[n]) * unit.count),
                ("collective", model.machine.net.certainty, float(talk[n]) * unit.count),
            ]
        one = spread(items, common_of(model, "tpot"))
        assert found.factor[n] == pytest.approx(one.factor, rel=1e-12)
        assert BASES[found.basis[n]] == one.basis


def test_no_sum_is_surer_than_what_all_operators_share() -> None:
    model = model_of()
    choice = [
        int(np.flatnonzero(model.possible[i])[0]) if u.decision >= 0 else -1
        for i, u in enumerate(model.units)
    ]
    times = [(np.ones(1), np.zeros(1)) for _ in model.units]
    assert spreads(model, choice, times, decode=False).factor[0] > np.exp(
        Z80 * common_of(model, "ttft")
    )
