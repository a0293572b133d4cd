"""How sure many candidates are, against the spread of each alone."""

import numpy as np
import pytest
from support.questions import model_of

from planner.planning.price.intervals import BASES, certainty, spread, spreads


def items_of(model, choice, times, *, decode):
    """(class, certainty, seconds) of every unit and of the collective behind it."""
    items = []
    for unit, c, (total, talk) in zip(model.units, choice, times, strict=True):
        name, how = certainty(model, unit, c, decode=decode)
        items += [
            (name, how, (total - talk) * unit.count),
            ("collective", model.machine.net.certainty, talk * unit.count),
        ]
    return items


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
    found = spreads(items_of(model, choice, times, decode=True))
    for n in range(4):
        own = [(float(total[n]), float(talk[n])) for total, talk in times]
        one = spread(items_of(model, choice, own, decode=True))
        assert found.sigma[n] == pytest.approx(one.sigma, rel=1e-15)
        assert BASES[found.basis[n]] == one.basis
