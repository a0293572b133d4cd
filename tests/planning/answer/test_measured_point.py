"""One measured point beside a prediction: units, the ratio's direction, what is refused."""

import pytest

from planner.base.errors import InputError, UnknownNameError
from planner.planning.answer.measured_point import Anchor, anchor_note, anchored, parse_anchor
from planner.planning.plan.notes import written


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("tpot_ms=12.5", "tpot_seconds", 0.0125),
        (" TTFT-ms = 2e3 ", "ttft_seconds", 2.0),
        ("output_tokens_per_second=300", "output_tokens_per_second", 300.0),
    ],
)
def test_names_and_units(text: str, name: str, value: float) -> None:
    found, number = parse_anchor(text)
    assert (found, number) == (name, pytest.approx(value, rel=1e-12))


def test_the_ratio_is_predicted_over_measured() -> None:
    found = anchored("tpot_ms=12.5", {"tpot_seconds": 0.02})
    assert found == Anchor("tpot_seconds", 0.0125, 0.02, pytest.approx(1.6))
    (note,) = written([anchor_note(found)])
    assert note.key == "anchor tpot_seconds"
    assert note.value == "20 ms predicted / 12.5 ms measured = 1.600"
    (rate,) = written([anchor_note(Anchor("output_tokens_per_second", 2000.0, 1000.0, 0.5))])
    assert rate.value == "1,000 tokens/s predicted / 2,000 tokens/s measured = 0.500"


@pytest.mark.parametrize(
    "text",
    ["tpot_ms", "tpot_ms=", "tpot_ms=0", "tpot_ms=-1", "tpot_ms=inf", "tpot_ms=nan", "tpot_ms=x"],
)
def test_what_is_no_measurement_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_anchor(text)


def test_an_unknown_quantity_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        parse_anchor("joules=3")
