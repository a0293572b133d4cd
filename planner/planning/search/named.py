"""Assignments that have a name: as released, one scheme everywhere, an engine's own mixtures.

A scheme with interleaved blocks that a matrix's rows are no whole number of is stood in for by the
scheme that the engine's quantiser takes instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from planner.formats.schemes import SCHEMES
from planner.formats.schemes import scheme as scheme_by_id
from planner.models.spec import ModelSpec
from planner.placement.modules import AS_RELEASED_KINDS, PLANNED_KINDS, Module
from planner.planning.engines.mixes import (
    OUTSIDE,
    engine_mixes,
    mix_places,
    mixes_of,
    needs_imatrix,
    stand_in,
)
from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.question import Question
from planner.planning.space.model import CostModel

RELEASED = "as released"
"""The assignment of a checkpoint that stores its linears in several schemes."""
MIXES = {"fp16 attention, int8 experts": ("fp16", "int8-w8a8")}
"""Named assignments: the scheme of the attention's linears, that of all others."""
ATTENTION = frozenset(("attention-qkv", "mla-q", "mla-kv", "attention-out", "linear-attention"))
_TYPED = (*PLANNED_KINDS, "embedding", "head")
"""Kinds that a mixture gives a type to."""


def named_scheme(model: CostModel, unit: DecisionUnit, name: str) -> str | None:
    """What a named assignment gives to a planned module's unit; None where its layers differ, or a
    mixture says nothing. Kinds that rules keep stay as released, but for a mixture's."""
    module = model.planned[unit.row]
    if name in engine_mixes() and unit.kind in _TYPED:
        places = mix_places(model.question.spec, name)
        found = {places[place].scheme if place in places else None
                 for place in ((unit.kind, unit.part, n) for n in unit.layers or (OUTSIDE,))}
        return found.pop() if len(found) == 1 else None
    if name == RELEASED or module.kind in AS_RELEASED_KINDS:
        return module.released_as
    attention, others = MIXES.get(name, (name, name))
    return fitted_scheme(module, attention if module.kind in ATTENTION else others)


def fitted_scheme(module: Module, scheme: str) -> str:
    """``scheme``, or what stands in for it where rows of the module are no whole blocks of it."""
    weight = scheme_by_id(scheme).weight
    if weight.block_bytes is None:
        return scheme
    return stand_in(scheme, [columns for gemm in module.gemms for _, columns in gemm.members])


def stand_ins(modules: Iterable[Module], scheme: str) -> tuple[str, ...]:
    """What stands in for ``scheme`` in any of the linears, once each."""
    found = (fitted_scheme(m, scheme) for m in modules if m.kind in PLANNED_KINDS)
    return tuple(dict.fromkeys(name for name in found if name != scheme))


def schemes_of(name: str, spec: ModelSpec) -> tuple[str, ...]:
    """The schemes that a named assignment takes, beside what stands in for them."""
    if name in engine_mixes():
        found = (one.scheme for (kind, _, _), one in mix_places(spec, name).items()
                 if kind in _TYPED)
        return tuple(dict.fromkeys(found))
    return MIXES.get(name, (name,))


def usable_mixes(question: Question) -> list[str]:
    """The mixtures of the question's engine that its choices can make, each once: those of experts
    are another mixture in a model without."""
    found: dict[tuple[object, ...], str] = {}
    for name in mixes_of(question.engine):
        if not mix_problem(question, name):
            places = mix_places(question.spec, name)
            found.setdefault(tuple((at, places[at].scheme) for at in sorted(places)), name)
    return list(found.values())


def mix_problem(question: Question, name: str) -> str:
    """Why a mixture is no choice; empty if it is one."""
    taken = schemes_of(name, question.spec)
    if not taken:
        return "llama-quantize's rules name no types for this model's tensors"
    kind = needs_imatrix(question.spec, name)
    if kind:
        return f"{kind} needs an importance matrix (llama-quantize --imatrix)"
    missing = [one for one in taken if one not in question.schemes]
    unknown = [one for one in missing if one not in SCHEMES]
    if unknown:
        return f"{', '.join(unknown)} is not in the catalogue"
    return f"{', '.join(missing)} is no choice here" if missing else ""
