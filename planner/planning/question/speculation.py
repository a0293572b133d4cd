"""What drafts tokens ahead of a model, and how many of them it accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.base.errors import InputError
from planner.base.records import record
from planner.messages.message import message
from planner.models.spec import ModelSpec
from planner.throughput.speculation import Acceptance, accepted_tokens

if TYPE_CHECKING:
    from planner.planning.plan.speculation import SpeculationInfo

NONE, AUTO, MTP, EAGLE, DRAFT_MODEL = "none", "auto", "mtp", "eagle", "draft-model"
"""What ``--speculation`` takes, but for the name of a draft model."""


@record
class Speculation:
    """``draft_tokens`` proposed a step to every sequence by ``draft``, a model of its own:
    prediction layers, a head on the model's hidden states, a smaller model.

    ``shared`` are kinds of its modules whose weights are the model's own. One pass runs a
    ``layers_share`` of its layers (prediction layers take turns). ``name`` is what serves it: a
    model's id, or the repository of a head.
    """

    kind: str
    draft: ModelSpec
    name: str
    draft_tokens: int
    acceptance: Acceptance
    shared: tuple[str, ...] = ()
    layers_share: float = 1.0

    @property
    def accepted(self) -> float:
        """Tokens that a step yields for a sequence, its own included."""
        return accepted_tokens(self.draft_tokens, self.acceptance.value)


def prediction_layers(spec: ModelSpec, draft_tokens: int, rate: Acceptance) -> Speculation:
    """The model's own prediction layers, which take turns where they are several.

    Raises:
        InputError: it has none.
    """
    from planner.models.drafting import prediction_spec

    return Speculation(
        MTP,
        prediction_spec(spec),
        spec.id,
        draft_tokens,
        rate,
        ("embedding", "head"),
        1 / max(spec.mtp_layers, 1),
    )


def eagle_head(spec: ModelSpec, draft_tokens: int, rate: Acceptance) -> Speculation:
    """The EAGLE-3 head that is known for the model.

    Raises:
        InputError: none is.
    """
    from planner.models.drafting import eagle_spec, head_of

    head = head_of(spec)
    if head is None:
        raise InputError(
            message("assumptions.no_eagle_head_of_is", m=spec.id), hint="--speculation none"
        )
    return Speculation(EAGLE, eagle_spec(spec, head), head.name, draft_tokens, rate, ("embedding",))


def draft_model(draft: ModelSpec, draft_tokens: int, rate: Acceptance) -> Speculation:
    """A smaller model with weights of its own."""
    return Speculation(DRAFT_MODEL, draft, draft.id, draft_tokens, rate)


def as_in_plan(info: SpeculationInfo | None, spec: ModelSpec) -> Speculation | None:
    """What drafts in a plan file, None where nothing does.

    Raises:
        InputError: the model has no such thing. UnknownNameError: no such draft model.
    """
    if info is None:
        return None
    rate = info.acceptance
    acceptance = Acceptance(rate.value, rate.low, rate.high, rate.source)
    if info.kind == MTP:
        return prediction_layers(spec, info.draft_tokens, acceptance)
    if info.kind == EAGLE:
        return eagle_head(spec, info.draft_tokens, acceptance)
    from planner.models.catalog import resolve_model

    return draft_model(resolve_model(info.model), info.draft_tokens, acceptance)
