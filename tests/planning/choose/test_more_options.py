"""Plans held against a choice that was made without them: it stays, and equals say the same."""

from dataclasses import replace

import numpy as np
import pytest
from support.choices import llama

from planner.planning.choose.more_options import place_of, with_options
from planner.planning.choose.selection import Selection


def made() -> Selection:
    return llama()


def test_without_more_options_it_is_the_same_choice() -> None:
    assert with_options(made(), ()) is made()


def test_what_was_chosen_stays_and_so_do_the_chances_among_its_own() -> None:
    choice = made()
    more = with_options(choice, choice.options[:2])
    count = len(choice.options)
    assert more.taken == choice.taken
    assert more.options[:count] == choice.options
    assert np.array_equal(more.better[:count, :count], choice.better)


def test_an_option_again_says_what_it_said() -> None:
    choice = made()
    again = choice.options[0]
    more = with_options(choice, (again,))
    last = len(choice.options)
    if place_of(choice, again) != choice.taken:
        assert more.better[last, choice.taken] == choice.better[0, choice.taken]
    assert place_of(more, again) == 0


def test_what_is_slower_is_likely_slower() -> None:
    """A wrong sign would call it the faster one."""
    choice = made()
    taken = choice.option
    slow = replace(taken, weighed=replace(taken.weighed, value=3 * taken.weighed.value))
    fast = replace(taken, weighed=replace(taken.weighed, value=taken.weighed.value / 3))
    more = with_options(choice, (slow, fast))
    last = len(more.options) - 1
    assert more.better[last - 1, choice.taken] < 0.5 < more.better[last, choice.taken]
    assert more.better[choice.taken, last - 1] == pytest.approx(
        1 - more.better[last - 1, choice.taken]
    )


def test_what_is_no_option_has_no_place() -> None:
    choice = made()
    other = replace(choice.options[0], priced=replace(choice.options[0].priced, batch=12345))
    assert place_of(choice, other) is None
