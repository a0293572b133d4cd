"""Why a stock does not serve the rates: which model, which rate, and the smallest that would."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from planner.base.errors import InfeasibleError
from planner.messages.message import CLAUSES, Text, joined, message, with_name
from planner.sizing.fleet.assign import growth_factor, smallest_stock
from planner.sizing.fleet.problem import FleetProblem
from planner.sizing.options import rounded_down
from planner.sizing.refusals import limits
from planner.sizing.service_level import ServiceLevel

ENOUGH = 1 - 1e-9


def no_device_serves(
    name: str, rate: float, level: ServiceLevel, reasons: Sequence[tuple[str, Text]]
) -> InfeasibleError:
    """No kind of device serves a model, however many there are."""
    text = joined([with_name(device, reason) for device, reason in reasons])
    return InfeasibleError(
        message(
            "refusals.at_s_within_for_of",
            x=name,
            rate=f"{rate:g}",
            level=limits(level),
            percentile=f"{level.percentile:g}",
            y=text,
        ),
        hint=message("refusals.other_limits_another_max_loss", x=name),
    )


def stock_too_small(
    problem: FleetProblem,
    names: Sequence[str],
    devices: Sequence[str],
) -> InfeasibleError:
    """The stock does not serve all rates: what each model would get, and what would do."""
    alone = [growth_factor(problem.of_model(m), of=m).factor for m in range(len(names))]
    texts: list[Text] = [
        message(
            "refusals.at_s_all_devices_together",
            x=names[m],
            r=f"{problem.rates[m]:g}",
            s=rounded_down(share * problem.rates[m]),
        )
        for m, share in enumerate(alone)
        if share < ENOUGH
    ]
    if not texts:
        texts = [message("refusals.each_model_alone_is_served")]
        beside = [(m, growth_factor(problem, of=m).factor) for m in range(len(names))]
        texts += [
            message(
                "refusals.at_s_beside_others_s",
                x=names[m],
                r=f"{problem.rates[m]:g}",
                s=rounded_down(share * problem.rates[m]),
            )
            for m, share in beside
            if share > 0
        ]
    together = growth_factor(problem).factor
    if together > 0:
        texts.append(
            message("refusals.of_all_rates_are_served", p=f"{floor(together * 1000) / 10:g}")
        )
    return InfeasibleError(
        message("refusals.stock_does_not_serve_these", x=joined(texts)),
        hint=_stock(problem, devices),
    )


def _stock(problem: FleetProblem, devices: Sequence[str]) -> Text:
    """The smallest stock that would do."""
    bought = smallest_stock(problem)
    if bought is None:
        return message("refusals.no_number_of_these_devices")
    parts = [
        message("refusals.more", n=stock.count + more, d=name, more=more)
        for name, stock, more in zip(devices, problem.stock, bought, strict=True)
        if more
    ]
    price = sum(
        (stock.price or 0.0) * more for stock, more in zip(problem.stock, bought, strict=True)
    )
    least = (
        message("refusals.cheapest_addition_at_usd_hour", x=f"{price:,.2f}")
        if problem.priced
        else message("refusals.fewest_devices_more")
    )
    bought_text = message(
        "refusals.smallest_stock_that_would_do", x=joined([*parts, least], CLAUSES)
    )
    return joined([bought_text, message("refusals.or_lower_rates_or_other")])
