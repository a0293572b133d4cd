"""The line on drafted tokens: what drafts, what a step yields, what it gains, how far it pays."""

from __future__ import annotations

from planner.planning.plan.record import Plan
from planner.planning.plan.speculation import MEMORY
from planner.planning.question.question import RATES

NAMES = {"mtp": "prediction layers", "eagle": "an EAGLE-3 head"}


def draft_lines(plan: Plan) -> list[str]:
    """One line where tokens are drafted; none elsewhere."""
    info = plan.speculation
    if info is None:
        return []
    rate, count = info.acceptance, info.draft_tokens
    band = f"{rate.low:.2f}–{rate.high:.2f}" if rate.low < rate.high else f"{rate.value:.2f}"
    told = [
        f"drafts {count} token{'s' * (count > 1)} by {NAMES.get(info.kind, info.model)}: "
        f"{info.accepted_tokens:.2f} tokens a step (acceptance {band})"
    ]
    if info.gain is not None:
        what = "tokens/s" if plan.objective in RATES else "pace"
        told.append(
            f"{what} {info.gain.value:+.0%} ({info.gain.low:+.0%} to {info.gain.high:+.0%})"
        )
    users = info.pays_up_to_batch
    many = f"{users:,} user{'s' * (users > 1)} a replica"
    told.append(
        "pays for no batch here"
        if not users
        else f"pays up to {many}" + (", all that fit" if info.pays_limit == MEMORY else "")
    )
    return ["; ".join(told)]
