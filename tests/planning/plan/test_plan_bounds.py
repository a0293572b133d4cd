"""Bounds on what a plan file may hold: the last value that passes, the first that does not."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.questions import plan_of

from planner.base.errors import DataError
from planner.planning.plan.bounds import (
    LARGEST_COUNT,
    LARGEST_FIGURE,
    MOST_CHARACTERS,
    MOST_DRAFTED,
    MOST_ITEMS,
    MOST_OF_AN_ID,
    check_bounds,
    check_ids,
    check_measure,
    check_sizes,
)
from planner.planning.plan.record import Assumption
from planner.planning.plan.speculation import AcceptanceInfo, SpeculationInfo


@pytest.mark.parametrize(
    "value",
    [
        "x" * MOST_CHARACTERS,
        (0,) * MOST_ITEMS,
        LARGEST_FIGURE,
        -LARGEST_FIGURE,
        LARGEST_COUNT,
        None,
        True,
        "line\nand\ttab",
    ],
)
def test_what_passes(value: object) -> None:
    check_measure((value,))


@pytest.mark.parametrize(
    "value",
    [
        "x" * (MOST_CHARACTERS + 1),
        (0,) * (MOST_ITEMS + 1),
        LARGEST_FIGURE * 1.01,
        math.inf,
        -math.inf,
        math.nan,
        LARGEST_COUNT + 1,
        -LARGEST_COUNT - 1,
        "\x1b[2J",
        "a\x00",
        "\u202e",
    ],
)
def test_what_is_refused(value: object) -> None:
    with pytest.raises(DataError):
        check_measure((value,))


def test_the_place_is_told() -> None:
    with pytest.raises(DataError, match=r"plan file: assumptions\.1\.value: text of 1 "):
        check_measure(
            replace(
                plan_of(), assumptions=(Assumption("a", "b", "c"), Assumption("a", "\x07", "c"))
            )
        )


@pytest.mark.parametrize("name", ["llama-3.1-8b", "a" * MOST_OF_AN_ID, "Qwen@1 b:2+c", "模型"])
def test_words_are_ids(name: str) -> None:
    check_ids({"model.id": name})


@pytest.mark.parametrize(
    "name", ["", "a" * (MOST_OF_AN_ID + 1), "../up", "a/b", "<b>", "-a", ".a", "a\\b", "a\n", 'a"']
)
def test_paths_and_markup_are_no_ids(name: str) -> None:
    with pytest.raises(DataError, match=r"plan file: units\.3\.kind"):
        check_ids({"device.id": "ok", "units.3.kind": name})


@given(st.text())
def test_no_id_leaves_a_folder_or_opens_a_tag(name: str) -> None:
    try:
        check_ids({"model.id": name})
    except DataError:
        return
    assert not set(name) & set("/\\<>&\"'\n\x00")
    assert not name.startswith(".")


def test_sizes_of_units_at_their_bounds() -> None:
    check_sizes([((), 0, 1), ((0, 1), 5, 2)])
    for layers, size, count in (((1, 1), 5, 1), ((-1,), 5, 1), ((0,), -1, 1), ((0,), 5, 0)):
        with pytest.raises(DataError, match=r"plan file: units\.1"):
            check_sizes([((0,), 0, 1), (layers, size, count)])


def drafted(accepted: float, tokens: int = 3) -> SpeculationInfo:
    return SpeculationInfo(
        "mtp",
        "m",
        tokens,
        AcceptanceInfo(0.0, 0.0, 0.0, "given"),
        accepted,
        0,
        0,
        "bf16",
        "bf16",
        0,
        0.0,
        0.0,
        0,
        "none",
        "",
        None,
    )


def test_a_step_yields_its_own_token_and_at_most_all_that_are_drafted() -> None:
    for info in (drafted(1.0), drafted(4.0), drafted(2.0, 1), drafted(17.0, MOST_DRAFTED)):
        check_bounds(replace(plan_of(), speculation=info))
    for info in (drafted(0.99), drafted(4.01), drafted(1.0, 0), drafted(1.0, MOST_DRAFTED + 1)):
        with pytest.raises(DataError, match="tokens or acceptance out of range"):
            check_bounds(replace(plan_of(), speculation=info))
