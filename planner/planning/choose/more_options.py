"""Plans that the rule did not choose among, held against the one that it took.

A comparison shows plans of other caches, engines and losses than those of the choice. Each becomes
an option as the rivals were, and the same draws, calibrated gains and thresholds say how likely it
is better and what it lacks. What was taken stays taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from planner.planning.choose.chances import objective_draws
from planner.planning.choose.option import Option, pair_levels
from planner.planning.choose.rule import displaces
from planner.planning.choose.selection import (
    Selection,
    option_chances,
    option_gains,
    remade_options,
    standing_of,
)
from planner.planning.price.evidence import NONE


def with_options(choice: Selection, more: Sequence[Option]) -> Selection:
    """``choice`` with ``more`` options after its own, whose places stay; what is taken does too."""
    if not more:
        return choice
    options = (*choice.options, *more)
    question = choice.exact.space.model.question
    drawn = objective_draws([option.weighed for option in options])
    levels = pair_levels(options)
    gains = option_gains(question, options, levels, drawn)
    chances = partial(option_chances, options, gains, drawn)
    base = options[choice.conventional]
    standings = [standing_of(option, base, drawn[i]) for i, option in enumerate(options)]
    unmeasured = np.array([[level == NONE for level in row] for row in levels])
    return replace(
        choice,
        options=options,
        drawn=drawn,
        better=chances(0.0),
        beaten=displaces(standings, chances, choice.rule, unmeasured),
        gains=gains,
        standings=tuple(standings),
        unmeasured=unmeasured,
        remade=frozenset(remade_options(options, question)),
    )


def place_of(choice: Selection, option: Option) -> int | None:
    """The first option of ``choice`` that is the same plan; None where none is."""
    return next((i for i, own in enumerate(choice.options) if own.same_as(option)), None)
