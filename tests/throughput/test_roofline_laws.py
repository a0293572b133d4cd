"""Laws that a roofline obeys for any operator, and the two helpers that read it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.throughput.forms.base import power_sum
from planner.throughput.roofline import (
    BOUNDS,
    MECHANISMS,
    Parts,
    fused_operators,
    main_bound,
    operator,
    overlapped,
    parts,
    zero_parts,
)
from planner.throughput.roofline import seconds as seconds_of

positive = st.floats(1e-3, 1e18)
fraction = st.floats(0.01, 1.0)
seconds = st.floats(0.0, 1e-3)


def one(
    flop: float,
    moved: float,
    converted: float,
    launch: float,
    peak: float,
    cf: float,
    bandwidth: float,
    bf: float,
    rate: float,
) -> Parts:
    return operator(
        flop=np.asarray(flop),
        moved_bytes=np.asarray(moved),
        converted=np.asarray(converted),
        launch=np.asarray(launch),
        peak=np.asarray(peak),
        compute_fraction=np.asarray(cf),
        bandwidth=bandwidth,
        bandwidth_fraction=np.asarray(bf),
        conversion_rate=np.asarray(rate),
    )


arguments = st.tuples(
    positive, positive, positive, seconds, positive, fraction, positive, fraction, positive
)


@given(arguments)
def test_never_below_its_floor_or_either_bound(args: tuple[float, ...]) -> None:
    flop, moved, converted, launch, peak, cf, bandwidth, bf, rate = args
    total = float(one(*args).total())
    for bound in (flop / (peak * cf), moved / (bandwidth * bf), converted / rate):
        assert total >= launch + bound * (1 - 1e-12)
    parts = [flop / (peak * cf), moved / (bandwidth * bf), converted / rate]
    assert total == pytest.approx(launch + max(parts), rel=1e-12)


@given(arguments, st.floats(1.0, 1e3), st.sampled_from([0, 1, 2, 3]))
def test_more_work_is_never_faster(args: tuple[float, ...], factor: float, which: int) -> None:
    more = list(args)
    more[which] *= factor
    assert float(one(*more).total()) >= float(one(*args).total())


@given(arguments, st.floats(1.0, 1e3), st.sampled_from([4, 6, 8]))
def test_a_faster_machine_is_never_slower(
    args: tuple[float, ...], factor: float, which: int
) -> None:
    better = list(args)
    better[which] *= factor
    assert float(one(*better).total()) <= float(one(*args).total())


@given(st.lists(arguments, min_size=1, max_size=6))
def test_an_array_is_its_scalars(rows: list[tuple[float, ...]]) -> None:
    column = [np.array(c) for c in zip(*rows, strict=True)]
    together = operator(
        flop=column[0],
        moved_bytes=column[1],
        converted=column[2],
        launch=column[3],
        peak=column[4],
        compute_fraction=column[5],
        bandwidth=1e12,
        bandwidth_fraction=column[7],
        conversion_rate=column[8],
    ).total()
    for i, row in enumerate(rows):
        alone = one(*row[:6], 1e12, *row[7:]).total()
        assert together[i] == alone


def test_sums_and_factors_act_on_every_mechanism() -> None:
    a = one(1e12, 1e9, 0, 2e-6, 1e15, 0.5, 1e12, 0.5, np.inf)
    double = a.plus(a)
    for name in MECHANISMS:
        assert getattr(double, name) == pytest.approx(2 * getattr(a, name))
        assert getattr(a.scaled(3.0), name) == pytest.approx(3 * getattr(a, name))
    assert zero_parts((2, 3)).total().tolist() == np.zeros((2, 3)).tolist()


def test_the_bound_is_the_largest_mechanism_and_ties_go_to_the_earlier() -> None:
    parts = dict.fromkeys(BOUNDS, 1.0)
    assert main_bound(parts) == "compute"
    for name in BOUNDS:
        assert main_bound({**parts, name: 2.0}) == name


def test_an_index_beyond_a_single_column_reads_that_column() -> None:
    parts = Parts(*(np.full((2, 1), float(i)) for i in range(7)))
    assert parts.at(1, 7) == {
        **dict(zip(MECHANISMS, map(float, range(7)), strict=True)),
        "overlap": 0.0,
    }


def member(compute: float, memory: float, launch: float, calibrated: bool) -> Parts:
    """A unit of a fused kernel, [1, 1]: a plain roofline, or a kernel whose terms overlap
    partly."""
    c, m = np.full((1, 1), compute), np.full((1, 1), memory)
    busy = power_sum(c, m, 2.5) if calibrated else np.maximum(c, m)
    return parts(compute=c, memory=m, launch=np.asarray(launch), busy=busy, overlap=not calibrated)


times = st.floats(1e-7, 1e-2)
members = st.lists(st.tuples(times, times, times, st.booleans()), min_size=2, max_size=3)


@given(members, st.floats(1.0, 1e3), st.integers(0, 2), st.integers(0, 2))
def test_a_fused_kernel_grows_with_each_of_its_units(
    units: list[tuple[float, float, float, bool]], factor: float, which: int, term: int
) -> None:
    def total(rows: list[tuple[float, float, float, bool]]) -> float:
        each = [member(*row) for row in rows]
        found = float(fused_operators(each).total()[0, 0])
        assert found == pytest.approx(seconds_of(fused_operators(each).at(0, 0)), rel=1e-14)
        assert found <= sum(float(p.total()[0, 0]) for p in each) * (1 + 1e-14)
        return found

    which %= len(units)
    more = list(units[which])
    more[term] *= factor
    grown = [*units[:which], (more[0], more[1], more[2], units[which][3]), *units[which + 1 :]]
    assert total(grown) >= total(units) * (1 - 1e-14)


@given(times, times, times, st.booleans(), st.floats(0.1, 10))
def test_units_of_one_format_are_the_whole_kernel(
    compute: float, memory: float, launch: float, calibrated: bool, share: float
) -> None:
    whole = member(compute, memory, launch, calibrated)
    found = fused_operators([whole, whole.scaled(share)])
    assert float(found.total()[0, 0]) == pytest.approx((1 + share) * float(whole.total()[0, 0]))


@given(st.lists(seconds, min_size=5, max_size=5))
def test_beside_another_stream_only_launches_and_waits_are_hidden(times: list[float]) -> None:
    compute, memory, launch, quantise, more = (np.asarray(t) for t in times)
    alone = parts(
        compute=compute,
        memory=memory,
        launch=launch,
        quantise=quantise,
        busy=np.maximum(compute, memory) + more,
    )
    hidden = overlapped(alone)
    assert hidden.total() <= alone.total()
    assert hidden.total() == np.maximum(compute, memory)
