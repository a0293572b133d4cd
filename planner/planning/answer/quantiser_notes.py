"""How the weights of a plan are quantised, and how far its loss depends on the text."""

from __future__ import annotations

from planner.messages.message import LINKED, Note, Text, joined, message
from planner.planning.engines.release_quantisers import QuantisedRelease
from planner.planning.price.price import Priced
from planner.planning.space.model import CostModel
from planner.planning.space.quantised import quantised_release
from planner.quality.meaning import DomainLoss, domain_losses
from planner.quality.quantisers import ROUNDING, QuantiserFactor, factors_of, quantiser_factor

KEY = "quantiser"


def quantiser_notes(model: CostModel, priced: Priced) -> list[Note]:
    """A note for each scheme of weights that loses something, in the order of the plan's units:
    what made its public release and the factor of its loss, or what calibration would be worth.
    None under a profile, which measured what it says."""
    if model.question.profile is not None:
        return []
    releases: dict[str, QuantisedRelease | None] = {}
    for cost in priced.costs:
        unit = model.units[cost.segment.unit]
        if unit.role == "module" and cost.segment.choice >= 0 and cost.loss > 0:
            scheme = model.choices[cost.segment.choice]
            found = quantised_release(model, unit, scheme)
            releases[scheme] = releases.get(scheme) or found
    return [_note(scheme, release) for scheme, release in releases.items()]


def _note(scheme: str, release: QuantisedRelease | None) -> Note:
    if release is None:
        return Note(KEY, message("assumptions.rounded_by_nobody", scheme=scheme), _worth(scheme))
    made = release.made
    if made is None:
        return Note(
            KEY,
            message("assumptions.quantiser_not_stated", release=release.repository, scheme=scheme),
            message("assumptions.loss_is_of_rounding"),
        )
    if made.quantiser == ROUNDING:
        value = message("assumptions.release_is_rounded", release=release.repository, scheme=scheme)
        return Note(KEY, value, made.source)
    factor = quantiser_factor(made.quantiser, scheme)
    value = message(
        "assumptions.release_is_quantised",
        release=release.repository,
        scheme=scheme,
        quantiser=joined(made.quantiser.split(" and "), LINKED),
    )
    if factor is None or not factor.is_applied:
        return Note(KEY, value, message("assumptions.no_factor_known"))
    return Note(KEY, value, _factor_text(factor))


def _factor_text(factor: QuantiserFactor) -> Text:
    return message(
        "assumptions.quantiser_factor",
        factor=f"{factor.value:.2g}",
        low=f"{factor.low:.2g}",
        high=f"{factor.high:.2g}",
        models=factor.models,
        sources="; ".join(factor.sources),
    )


def _worth(scheme: str) -> Text:
    """What quantisers that are known in ``scheme`` would lose."""
    factors = factors_of(scheme)
    if not factors:
        return message("assumptions.no_factor_known")
    told = ", ".join(f"{f.quantiser} {f.value:.2g}" for f in factors)
    return message(
        "assumptions.calibration_would_lose",
        told=told,
        sources="; ".join(dict.fromkeys(s for f in factors for s in f.sources)),
    )


def domain_note(priced: Priced) -> list[Note]:
    """What a loss is on other text than prose; none where nothing is lost."""
    if priced.loss <= 0:
        return []
    rows = domain_losses()
    least, worst = rows[0], rows[-1]
    value = message(
        "assumptions.domains_lose_more",
        worst=_domain(worst),
        times=f"{worst.kl / least.kl:.2g}",
        least=_domain(least),
    )
    told = tuple(
        message("assumptions.domain_kl", domain=_domain(row), kl=f"{row.kl:g}") for row in rows
    )
    reason = message(
        "assumptions.domains_of_one_file",
        file=worst.file,
        model=worst.model,
        told=message("structure.clauses", parts=told),
        source=worst.source,
    )
    return [Note("loss by domain", value, reason)]


def _domain(row: DomainLoss) -> Text:
    return message(f"assumptions.domain_{row.domain}")
