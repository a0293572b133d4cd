"""Times of units on many candidates: rows are shared only by what an operator cannot tell apart."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.questions import model_of

from planner.placement.layout import Layout
from planner.planning.space.tables import layout_tables
from planner.planning.space.times import SEEN, Lengths, rows_of, timed_units
from planner.throughput.points import points

LAYOUTS = [Layout(1, 1, 1, 1), Layout(1, 1, 2, 1), Layout(2, 1, 1, 1), Layout(2, 2, 1, 4)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(1, 4), st.integers(1, 3), st.sampled_from([1.0, 2.5])
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(sorted(SEEN)),
)
def test_a_row_stands_for_equal_candidates_alone(
    rows: list[tuple[int, int, int, float]], kind: str
) -> None:
    pts = points(LAYOUTS, [(layout, slot) for layout, slot, *_ in rows])
    isl = np.array([100 * n for *_, n, _ in rows], dtype=np.int64)
    prompts = np.array([p for *_, p in rows])
    found = rows_of(LAYOUTS, pts, Lengths(isl + 8.0, isl, prompts), SEEN[kind])
    keys = [(SEEN[kind](LAYOUTS[layout]), slot, n, p) for layout, slot, n, p in rows]
    assert found.phase.stacked is not None
    assert found.phase.stacked.mixed.prompts[found.at].tolist() == prompts.tolist()
    for i, one in enumerate(keys):
        for j, other in enumerate(keys):
            assert (found.at[i] == found.at[j]) == (one == other)
            assert (found.prompt_at[i] == found.prompt_at[j]) == (
                (one[0], one[2]) == (other[0], other[2])
            )


def test_a_candidate_takes_the_time_that_it_takes_alone() -> None:
    model = model_of(devices=4)
    layouts = LAYOUTS[:3]
    tables = layout_tables(model, layouts)
    pairs = [(0, 1), (0, 8), (1, 8), (2, 8)]
    work = Lengths(1500.0, 1000)
    many = timed_units(model, tables, points(layouts, pairs), work)
    for n, pair in enumerate(pairs):
        alone = timed_units(model, tables, points(layouts, [pair]), work)
        for key, one in alone.items():
            assert many[key].mechanisms(n, 0) == one.mechanisms(0, 0)
    dense = next(u for u in model.units if u.kind == "mlp-down")
    rows = many[dense.role, dense.row]
    assert rows.at[1] == rows.at[2] != rows.at[3]  # a pipeline is not seen, tensor ranks are
    decode, mixed = rows.seconds
    assert (mixed > decode).all()
