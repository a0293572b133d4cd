"""A larger batch never takes less time, faster hardware never more: every kernel, every choice.

The first is what bounds of intervals of batches rest on. ``make test`` draws fifty questions a law,
``make exhaustive`` hundreds.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.monotone import Case, cases, changes, faster, kernel_times

from planner.lookup import load_device

ROUNDING = 1e-12
PHASES = ("decode", "mixed", "step")


def larger_batches_take_longer(case: Case) -> None:
    for name, phases in kernel_times(case, load_device(case.device)).items():
        for phase, seconds in zip(PHASES, phases, strict=True):
            most = np.maximum.accumulate(seconds, axis=0)
            assert (seconds >= most * (1 - ROUNDING)).all(), (name, phase)


def faster_hardware_takes_no_longer(case: Case, pick: int) -> None:
    device = load_device(case.device)
    every = changes(device)
    fast = kernel_times(case, faster(device, every[pick % len(every)]))
    for name, phases in kernel_times(case, device).items():
        for phase, slow, quick in zip(PHASES, phases, fast[name], strict=True):
            assert (quick <= slow * (1 + ROUNDING)).all(), (name, phase)


@settings(max_examples=examples(20))
@given(cases())
def test_a_larger_batch_never_takes_less_time(case: Case) -> None:
    larger_batches_take_longer(case)


@pytest.mark.exhaustive
@settings(max_examples=1000)
@given(cases())
def test_a_larger_batch_never_takes_less_time_on_many_questions(case: Case) -> None:
    larger_batches_take_longer(case)


@settings(max_examples=examples(20))
@given(cases(), st.integers(0, 99))
def test_faster_hardware_never_takes_more_time(case: Case, pick: int) -> None:
    faster_hardware_takes_no_longer(case, pick)


@pytest.mark.exhaustive
@settings(max_examples=1000)
@given(cases(), st.integers(0, 99))
def test_faster_hardware_never_takes_more_time_on_many_questions(case: Case, pick: int) -> None:
    faster_hardware_takes_no_longer(case, pick)
