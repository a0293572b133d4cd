"""The dynamic file beside the one that is taken: told by its size, never ranked."""

from __future__ import annotations

from dataclasses import replace

import pytest

import planner
from planner.planning.answer.choice_notes import DYNAMIC_KEY
from planner.planning.answer.dynamic_file import (
    LEAST,
    MOST,
    SizedLoss,
    between,
    largest_dynamic,
    loss_between,
)
from planner.planning.files.catalogue import files_of
from planner.planning.plan.record import Plan
from planner.report.render.plan_text import MOST_LINES, plan_text

STEPS = [SizedLoss("A", 100, 0.08), SizedLoss("B", 200, 0.02), SizedLoss("C", 300, 0.01)]


def values(plan: Plan) -> dict[str, str]:
    said = [n.value for n in plan.assumptions if n.key == DYNAMIC_KEY]
    return dict(said[0].values) if said else {}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planner.plan("qwen3-14b", "m4 pro 24gb", engine="llama.cpp")


def test_a_loss_is_between_those_of_its_neighbours_in_size() -> None:
    found = between(STEPS, 150)
    assert found == (STEPS[0], STEPS[1])
    assert loss_between(*found, 150) == pytest.approx(0.04)  # the geometric mean of both
    assert loss_between(*found, 100) == pytest.approx(0.08)
    assert loss_between(*found, 200) == pytest.approx(0.02)
    assert between(STEPS, 99) is None
    assert between(STEPS, 301) is None


def test_the_largest_that_fits_of_the_same_checkpoint_is_told() -> None:
    spec = planner.load_model("qwen3-14b")
    files = files_of("qwen3-14b", spec)
    size = {f.quant: f.bytes or 0 for f in files if f.quant.startswith("UD-")}
    found = largest_dynamic(files, "Qwen/Qwen3-14B", size["UD-Q5_K_XL"])
    assert found is not None
    assert found.quant == "UD-Q5_K_XL"
    assert largest_dynamic(files, "Qwen/Qwen3-14B", size["UD-Q5_K_XL"] - 1) != found
    assert largest_dynamic(files, "someone/else", 1 << 40) is None
    assert largest_dynamic(files, "Qwen/Qwen3-14B", 1) is None


def test_an_answer_tells_of_it_with_its_basis_and_range(plan: Plan) -> None:
    said = values(plan)
    loss = float(said["loss"])
    assert float(said["low"]) == pytest.approx(loss * LEAST, rel=0.1)
    assert float(said["high"]) == pytest.approx(loss * MOST, rel=0.1)
    assert said["place"].startswith("unsloth/Qwen3-14B")
    (note,) = [n for n in plan.assumptions if n.key == DYNAMIC_KEY]
    assert "between" in note.reason
    assert "not ranked" in note.reason
    memory = plan.memory_per_device
    room = memory.weights_bytes + memory.usable_bytes - memory.total_bytes
    assert float(said["gib"]) * 2**30 <= room * 1.01
    text = plan_text(plan)
    assert said["place"].partition(":")[2] in text
    assert text.count("\n") <= MOST_LINES
    assert said["place"].partition(":")[2] in plan_text(plan, "zh")


def test_it_is_never_what_is_served(plan: Plan) -> None:
    named = plan.recommendation
    assert named is not None
    assert "UD-" not in named.checkpoint
    assert not any("UD-" in str(other.name) for other in named.alternatives)


def test_plans_without_a_published_file_say_nothing_of_it(plan: Plan) -> None:
    assert values(planner.plan("gpt-oss-20b", "rtx-4090", engine="llama.cpp")) == {}
    assert values(replace(plan, assumptions=())) == {}
