"""A uniform assignment of a scheme that the question does not have is none."""

from support.questions import model_of

from planner.planning.search.uniform import uniform_choice


def test_what_the_question_leaves_out_is_no_assignment() -> None:
    model = model_of(schemes=("bf16",), kv="bf16")
    found = uniform_choice(model, "bf16", "bf16")
    assert found is not None
    assert {model.choices[c] for c in found if c >= 0} == {"bf16"}
    assert uniform_choice(model, "fp8-block", "bf16") is None
