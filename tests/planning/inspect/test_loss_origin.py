"""The measured models that a loss rests on are those of the prediction, its band is the plan's."""

import pytest

from planner.models.catalog import resolve_model
from planner.planning.inspect.loss_origin import loss_origin
from planner.quality.prior import total_band
from planner.quality.sensitivity.predict import sensitivities

MATCHES = {"deepseek-v3": "sister", "qwen3-0.6b": "relative", "llama-3.1-8b": "learned"}


@pytest.mark.parametrize("name", MATCHES)
def test_models_and_band_are_those_of_the_prediction(name: str) -> None:
    spec = resolve_model(name)
    told, found = loss_origin(spec), sensitivities(spec)
    assert told.match == MATCHES[name]
    if told.match == "learned":
        assert f"learned from {len(told.models)} measured models" in found.text
        assert len({one.family for one in told.models}) > 3
    else:
        assert all(one.name in found.text for one in told.models)
    assert told.band == total_band(found)
    assert min(told.band, told.level, told.kinds, told.formats) > 1
    assert f"rank correlation {told.rank:.2f}" in found.text
    assert (told.source, told.date) == (*found.sources, found.date)
    assert all(one.points > 100 for one in told.models)
