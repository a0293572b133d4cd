"""One measured operating point beside a prediction: the ratio is told, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from planner.base.errors import InputError, UnknownNameError
from planner.messages.message import Note, Text, message

UNITS = {
    "tpot_ms": ("tpot_seconds", 1e-3),
    "ttft_ms": ("ttft_seconds", 1e-3),
    "output_tokens_per_second": ("output_tokens_per_second", 1.0),
}
"""What may be measured → (the prediction's name, factor to SI units)."""
REASON = message("assumptions.one_measured_operating_point_reported")


@dataclass(frozen=True, slots=True)
class Anchor:
    """A measured value, its prediction and predicted / measured, in SI units."""

    quantity: str
    measured: float
    predicted: float
    ratio: float


def parse_anchor(text: str) -> tuple[str, float]:
    """``NAME=VALUE`` → (the prediction's name, value in SI units).

    Raises:
        InputError: not of this form, or a value that is not above 0.
        UnknownNameError: a quantity that no plan predicts.
    """
    name, mark, number = (part.strip() for part in text.partition("="))
    if not mark:
        raise InputError(f"anchor {text!r} is not NAME=VALUE", hint="for example tpot_ms=12.3")
    key = name.lower().replace("-", "_")
    if key not in UNITS:
        raise UnknownNameError("anchor", name, UNITS)
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(
            f"anchor {name} = {number!r} is not a number above 0", hint="for example tpot_ms=12.3"
        )
    quantity, factor = UNITS[key]
    return quantity, value * factor


def anchored(text: str, predicted: dict[str, float]) -> Anchor:
    """The anchor ``text`` beside ``predicted`` (by the names of UNITS, SI units)."""
    name, measured = parse_anchor(text)
    return Anchor(name, measured, predicted[name], predicted[name] / measured)


def anchor_note(anchor: Anchor) -> Note:
    """The anchor as a line of a plan's assumptions."""

    def word(value: float) -> Text:
        return (
            " ".join((f"{value * 1e3:.4g}", "ms"))
            if anchor.quantity.endswith("_seconds")
            else message("assumptions.tokens_s", x=f"{value:,.4g}")
        )

    return Note(
        f"anchor {anchor.quantity}",
        message(
            "assumptions.predicted_measured",
            predicted=word(anchor.predicted),
            measured=word(anchor.measured),
            ratio=f"{anchor.ratio:.3f}",
        ),
        REASON,
    )
