"""Names of assignments: mixtures, schemes however they are spelt, and those with a name of their
own."""

import pytest

import planner
from planner.planning.question.named import FP16_INT8, RELEASED, assignment_named


@pytest.mark.parametrize("name", ["q4_k", "Q4_K", "ggml-q4_k"])
def test_a_type_is_read_however_it_is_spelt(name: str) -> None:
    """Rows of other widths take a stand-in, which was looked for under the name as given."""
    found = planner.estimate("qwen2.5-0.5b", "l4", devices=1, engine="llama.cpp", scheme=name)
    assert "ggml-q4_k" in {u.scheme for u in found.units}
    assert assignment_named(name) == "ggml-q4_k"


def test_assignments_with_a_name_keep_it() -> None:
    for name in ("", RELEASED, FP16_INT8, "bf16,experts=fp8"):
        assert assignment_named(name) == name
    assert assignment_named("q4_k_m") == "Q4_K_M"
