"""Units of a loss: relative to a uniform scheme, or nats of mean KL; and when two are equal."""

from __future__ import annotations

from planner.messages.message import Text, message

RELATIVE, NATS = "relative", "nats"
OF_FAMILY = "T0 family("
"""How the tier of a loss known from measured models of its family begins."""


def indistinguishable(ours: float, theirs: float, band: float) -> bool:
    """Whether two losses are called equal: the larger is at most ``band`` × the smaller.

    A band is the factor by which a loss may be off. Plans of one model share most of what makes it
    wrong, so that two losses need not be off in opposite directions: a factor of band², at which
    bands no longer overlap, is not asked for.
    """
    low, high = sorted((ours, theirs))
    return high <= low * band


_RELATIVE = ("relative (1.0 = uniform ", " on this model)")


def loss_unit_of(text: str) -> tuple[str, str]:
    """What :func:`unit_text` made: (NATS, ""), or (RELATIVE, the scheme)."""
    start, end = _RELATIVE
    if not text.startswith(start):
        return NATS, ""
    return RELATIVE, text.removeprefix(start).removesuffix(end)


def unit_text(relative_to: str | None) -> str:
    """The unit of a loss in words: nats, or the loss of uniform ``relative_to``."""
    return (
        "nats (mean KL of next-token distributions)"
        if relative_to is None
        else relative_to.join(_RELATIVE)
    )


def tier_text(tier: str) -> Text:
    """``T0 family(NAME)``, ``T0 learned`` or a profile's tier, as files name it, in words."""
    if tier == "T0 learned":
        return message("assumptions.t0_learned")
    if tier.startswith(OF_FAMILY) and tier.endswith(")"):
        return message("assumptions.t0_family", x=tier.removeprefix(OF_FAMILY)[:-1])
    return tier
