"""The rule: the simplest plan that no other beats by more than 3 % with a chance of 80 %."""

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planner.planning.choose.rule import SURE, Simplicity, simplest_unbeaten

SIMPLE = Simplicity(0, False, 0)
UNIFORM = Simplicity(1, True, 7)
MIX = Simplicity(3, True, 7)


def chances(*rows: list[float]) -> np.ndarray:
    return np.array(rows)


def test_the_simplest_that_nothing_surely_beats() -> None:
    order = [SIMPLE, UNIFORM, MIX]
    values, losses = [1.3, 1.0, 0.99], [0.0, 1.0, 1.0]
    beats = chances([0, 0, 0], [0.79, 0, 0.1], [0.79, 0.2, 0])
    assert simplest_unbeaten(order, values, losses, beats) == 0
    beats[1, 0] = SURE
    assert simplest_unbeaten(order, values, losses, beats) == 1
    beats[2, 1] = SURE
    assert simplest_unbeaten(order, values, losses, beats) == 2


def test_no_new_weights_go_before_fewer_changes() -> None:
    ready, made = Simplicity(1, False, 8), Simplicity(1, True, 2)
    assert simplest_unbeaten([made, ready], [1.0, 1.0], [1.0, 1.0], np.zeros((2, 2))) == 1
    assert (
        simplest_unbeaten([Simplicity(1, True, 8), made], [1.0, 1.0], [1.0, 1.0], np.zeros((2, 2)))
        == 1
    )


def test_equals_in_all_that_are_told_by_their_value_then_by_loss() -> None:
    none = np.zeros((2, 2))
    assert simplest_unbeaten([UNIFORM, UNIFORM], [1.2, 1.0], [0.5, 1.0], none) == 1
    assert simplest_unbeaten([UNIFORM, UNIFORM], [1.005, 1.0], [0.5, 1.0], none) == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.booleans(),
            st.integers(0, 9),
            st.floats(0.5, 2.0),
            st.floats(0.0, 2.0),
        ),
        min_size=1,
        max_size=6,
        unique=True,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_plans_does_not_matter(
    some: list[tuple[int, bool, int, float, float]], random: Random
) -> None:
    count = len(some)
    raw = np.array([[random.random() for _ in range(count)] for _ in range(count)])
    beats = np.triu(raw, 1)
    order = list(range(count))
    random.shuffle(order)

    def taken(places: list[int]) -> int:
        rows = [some[i] for i in places]
        return places[
            simplest_unbeaten(
                [Simplicity(f, n, c) for f, n, c, _, _ in rows],
                [v for *_, v, _ in rows],
                [x for *_, x in rows],
                beats[np.ix_(places, places)],
            )
        ]

    assert taken(list(range(count))) == taken(order)


def test_where_all_are_beaten_the_least_likely_is_taken() -> None:
    ring = np.roll(np.eye(5), 1, axis=1) * 0.8
    ring[4, 0] = 0.85
    assert simplest_unbeaten([SIMPLE] * 5, [1.0] * 5, [1.0] * 5, ring) in (1, 2, 3, 4)
