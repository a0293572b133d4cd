"""Laws of collectives and expert exchanges: growth, links as limits, tables between their sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.throughput.forms.collective import (
    PARAMETERS,
    CollectiveTable,
    collective_seconds,
    monotone,
    sent_share,
    table_of,
)
from planner.throughput.forms.dispatch import (
    ACROSS,
    Exchange,
    copies,
    dispatch_seconds,
)
from planner.throughput.forms.dispatch import PARAMETERS as DISPATCH

LINK = 450e9
OPS = ("custom-allreduce", "all-reduce", "all-gather", "alltoall")
PLAIN = {p.name: p.start for p in PARAMETERS}
SIZE = st.floats(1e2, 1e10)


def at(share: float) -> dict[str, float]:
    return {p.name: p.low ** (1 - share) * p.high**share for p in PARAMETERS}


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(OPS), st.floats(0, 1), st.sampled_from([2, 4, 8, 72]), SIZE, st.floats(1, 10)
)
def test_the_formula_grows_and_no_link_is_exceeded(
    op: str, share: float, ranks: int, size: float, factor: float
) -> None:
    n, sizes = np.asarray(float(ranks)), np.array([size, size * factor])
    few, many = collective_seconds(at(share), op, LINK, n, sizes)
    assert few <= many * (1 + 1e-12)
    # softmin of two branches may undercut the faster one by at most 2^(1/4)
    assert few >= float(sent_share(op, n)) * size / LINK / 2**0.25 * (1 - 1e-9)


def test_one_rank_needs_no_collective() -> None:
    assert float(collective_seconds(PLAIN, "all-reduce", LINK, np.ones(()), np.ones(()))) == 0


def table(times: list[float]) -> CollectiveTable:
    sizes = tuple(1e3 * 4.0**i for i in range(len(times)))
    return table_of(
        "all-reduce",
        {"bytes": sizes, "ranks_2": tuple(times), "ranks_8": tuple(2 * t for t in times)},
        PLAIN,
        LINK,
    )


def test_a_table_returns_what_was_measured() -> None:
    times = [5e-6, 6e-6, 9e-6, 30e-6]
    sizes = np.array([1e3 * 4.0**i for i in range(4)])
    assert table(times).seconds(np.asarray(2.0), sizes) == pytest.approx(times)
    assert table(times).seconds(np.asarray(8.0), sizes) == pytest.approx(np.array(times) * 2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1e-6, 1e-3), min_size=3, max_size=8),
    SIZE,
    st.floats(1, 30),
    st.sampled_from([2.0, 4.0, 8.0, 16.0]),
)
def test_a_table_never_falls(times: list[float], size: float, factor: float, ranks: float) -> None:
    few, many = table(times).seconds(np.asarray(ranks), np.array([size, size * factor]))
    assert few <= many * (1 + 1e-9)


@given(SIZE, st.sampled_from([2.0, 3.0, 8.0, 12.0]), st.floats(1.0, 8.0))
def test_another_stated_link_changes_nothing_that_was_measured(
    size: float, ranks: float, factor: float
) -> None:
    sizes = tuple(1e3 * 4.0**i for i in range(8))
    columns = {
        "bytes": sizes,
        "ranks_2": tuple(5e-6 + s / 2e11 for s in sizes),
        "ranks_8": tuple(8e-6 + s / 1e11 for s in sizes),
    }
    own, other = (
        table_of("all-reduce", columns, PLAIN, link).seconds(np.asarray(ranks), np.array([size]))[0]
        for link in (LINK, LINK * factor)
    )
    assert other <= own * (1 + 1e-12)
    if size <= sizes[-1]:
        assert other == own


def test_beyond_the_largest_size_the_formula_s_bandwidth_counts() -> None:
    found = table([5e-6, 6e-6, 9e-6, 30e-6])
    far = found.seconds(np.asarray(2.0), np.array([1e10, 2e10]))
    plain = collective_seconds(PLAIN, "all-reduce", LINK, np.asarray(2.0), np.array([1e10, 2e10]))
    assert far[1] / far[0] == pytest.approx(plain[1] / plain[0])


def test_sizes_can_be_left_out_and_lines_join_the_rest() -> None:
    columns = {"bytes": (1e3, 1e4, 1e5), "ranks_2": (1e-5, 9e-4, 1e-3)}
    whole = table_of("all-reduce", columns, PLAIN, LINK)
    rest = table_of("all-reduce", columns, PLAIN, LINK, without={2: frozenset({1e4})})
    at_gap = np.array([1e4])
    assert whole.seconds(np.asarray(2.0), at_gap)[0] == pytest.approx(9e-4)
    assert rest.seconds(np.asarray(2.0), at_gap)[0] < 5e-4


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(DataError, match="2 of 3 times"):
        table_of("all-reduce", {"bytes": (1.0, 2.0, 3.0), "ranks_2": (1.0, 2.0)}, PLAIN, LINK)
    with pytest.raises(DataError, match="no times"):
        table_of("all-reduce", {"bytes": (1.0,)}, PLAIN, LINK)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_monotone_keeps_the_mean_and_leaves_rising_values(values: list[float]) -> None:
    found = monotone(np.array(values))
    assert (np.diff(found) >= -1e-12).all()
    assert found.mean() == pytest.approx(np.mean(values), abs=1e-9)
    rising = np.sort(values)
    assert monotone(rising) == pytest.approx(rising)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4096), st.integers(1, 8), st.integers(2, 64))
def test_distinct_ranks_are_fewer_than_copies(tokens: int, per_token: int, ranks: int) -> None:
    each = copies(
        np.asarray(float(tokens)), np.asarray(per_token), np.asarray(ranks), distinct=False
    )
    once = copies(
        np.asarray(float(tokens)), np.asarray(per_token), np.asarray(ranks), distinct=True
    )
    assert 0 < once <= each * (1 + 1e-12)
    assert once <= tokens * ranks


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.integers(1, 4096), st.sampled_from([1.0, 2.0, 8.0]))
def test_an_exchange_is_bound_by_its_links(share: float, tokens: int, nodes: float) -> None:
    variant = "deepep-ll:dispatch:fp8:network" if nodes > 1 else "deepep-ll:dispatch:fp8"
    wanted = ACROSS if nodes > 1 else DISPATCH
    parameters = {p.name: p.low ** (1 - share) * p.high**share for p in wanted}
    sent = Exchange(
        np.asarray(tokens * 8.0),
        np.asarray(7168.0),
        np.asarray(256.0),
        np.asarray(8.0),
        np.asarray(nodes),
    )
    found = float(
        dispatch_seconds(parameters, variant, sent, link_bytes_per_s=LINK, network_bytes_per_s=50e9)
    )
    assert found >= tokens * 8.0 * 7168.0 * (7 / 8) / LINK * (1 - 1e-9)
    assert found >= tokens * 8.0 * 7168.0 * (1 - 1 / nodes) / 50e9 * (1 - 1e-9)


def test_one_device_a_node_needs_no_link_inside_it() -> None:
    """GH200: nodes of one device, whose scale-up link is 0."""
    alone = Exchange(
        np.array([8.0, 64.0]),
        np.array(7168.0),
        np.array(256.0),
        np.array([1.0, 1.0]),
        np.array([2.0, 8.0]),
    )
    p = {one.name: 0.5 for one in DISPATCH}
    found = dispatch_seconds(
        p, "deepep-ll:dispatch:fp8", alone, link_bytes_per_s=0.0, network_bytes_per_s=float("inf")
    )
    linked = dispatch_seconds(
        p, "deepep-ll:dispatch:fp8", alone, link_bytes_per_s=1e9, network_bytes_per_s=float("inf")
    )
    assert np.isfinite(found).all()
    assert found.tolist() == linked.tolist()


def test_tables_made_twice_are_equal_and_other_times_are_not() -> None:
    """Two questions of one device hold tables made apart; a comparison of arrays ended in an
    error."""
    columns = {"bytes": (1e3, 1e4, 1e5), "ranks_2": (1e-5, 2e-5, 5e-5)}
    one, same = (table_of("all-reduce", columns, PLAIN, 1e11) for _ in range(2))
    assert one.knots is not same.knots
    assert one == same
    assert one != table_of("all-reduce", {**columns, "ranks_2": (1e-5, 2e-5, 6e-5)}, PLAIN, 1e11)
