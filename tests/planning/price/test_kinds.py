"""Classes of models, layouts and loads."""

import pytest

from planner.lookup import load_model
from planner.planning.price.kinds import RELAXED, model_class


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("llama-3.1-8b", "dense"),
        ("gpt-oss-120b", "moe"),
        ("deepseek-v3", "mla"),
        ("deepseek-v4-flash", "compressed"),
    ],
)
def test_class_of_a_model(model: str, name: str) -> None:
    assert model_class(load_model(model)) == name


def test_no_step_gives_up_the_engine_or_the_class_of_model() -> None:
    assert RELAXED[0] == ()
    assert not {"engine", "model"} & {key for step in RELAXED for key in step}
