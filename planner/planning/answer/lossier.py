"""The next step of loss in a line: what 4-bit weights buy here, each plan with nats and anchor."""

from __future__ import annotations

from planner.planning.answer.measured_anchor import measured_anchor
from planner.planning.plan.recommendation import Lossier
from planner.planning.price.price import Priced, price
from planner.planning.search.lossier import FourBit
from planner.planning.search.rivals import Rival
from planner.planning.space.losses import told_loss


def lossier(found: FourBit) -> Lossier | None:
    """The better of the uniform plan and the mix; None where there is neither."""
    best = found.mix or found.uniform
    return None if best is None else _told(best)


def lossier_plans(found: FourBit) -> tuple[Lossier, ...]:
    """The uniform plan and the mix, as far as they are known."""
    return tuple(_told(one) for one in (found.uniform, found.mix) if one is not None)


def _told(rival: Rival) -> Lossier:
    space = rival.found.space
    priced = price(space, rival.found.candidate, rival.found.segments)
    return Lossier(rival.name, rival.schemes, rival.kv, told_loss(space.model, priced.loss),
                   _rate(rival, priced), _devices(rival, priced),
                   measured_anchor(space.model, priced))


def _devices(rival: Rival, priced: Priced) -> int:
    ranks = priced.layout.ranks
    return rival.found.space.model.question.replicas(ranks) * ranks


def _rate(rival: Rival, priced: Priced) -> float:
    """Output tokens a second of the whole deployment."""
    question = rival.found.space.model.question
    return priced.tokens_per_second(question.replicas(priced.layout.ranks))
