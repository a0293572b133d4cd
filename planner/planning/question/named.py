"""Assignments that have a name: as released, one scheme everywhere, an engine's own mixtures.

A scheme with interleaved blocks that a matrix's rows are no whole number of is stood in for by the
scheme that the engine's quantiser takes instead.
"""

from __future__ import annotations

from planner.base.errors import InputError
from planner.formats.schemes import scheme as scheme_by_id
from planner.messages.message import Text
from planner.placement.modules import AS_RELEASED_KINDS, EXPERT_KINDS, PLANNED_KINDS, Module
from planner.planning.engines.mixes import (
    OUTSIDE,
    TYPED_KINDS,
    engine_mixes,
    fitted_scheme,
    mix_key,
    mix_places,
    mix_refusal,
    mix_schemes,
    mixes_of,
    mixture_named,
)
from planner.planning.plan import names
from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.policies import runs_as_released
from planner.planning.question.question import Question

RELEASED = "as released"
"""The assignment of a checkpoint that stores its linears in several schemes, as it is asked for."""
FP16_INT8 = "fp16 attention, int8 experts"
MIXES = {FP16_INT8: ("fp16", "int8-w8a8")}
"""Named assignments: the scheme of the attention's linears, that of all others."""
BY_KIND = "="
"""In a name: what stands before it takes the scheme behind it, as in
``fp8-block,experts=nvfp4,attention=bf16``."""
GROUPS = {
    "experts": frozenset(EXPERT_KINDS),
    "shared": frozenset(("shared-gate-up", "shared-down")),
    "mlp": frozenset(("mlp-gate-up", "mlp-down")),
}
ATTENTION = frozenset(("attention-qkv", "mla-q", "mla-kv", "attention-out", "linear-attention"))


def by_kind(name: str) -> dict[str, str]:
    """The scheme of each kind of module that a name like ``fp8-block,experts=nvfp4`` gives; that of
    all others under an empty key.

    Raises:
        InputError: a part that is no kind with its scheme, or a kind twice.
    """
    groups = GROUPS | {"attention": ATTENTION}
    out: dict[str, str] = {}
    for part in name.split(","):
        kind, _, scheme = part.strip().rpartition(BY_KIND)
        kinds = groups.get(kind, (kind,))
        unknown = [k for k in kinds if k and k not in PLANNED_KINDS]
        if unknown or not scheme or any(k in out for k in kinds):
            raise InputError(
                f"scheme {name!r}: {part.strip()!r} is no kind of module with its scheme",
                hint="a scheme, then kinds with theirs: fp8-block,experts=nvfp4,attention=bf16; "
                f"kinds: {', '.join((*groups, *PLANNED_KINDS))}",
            )
        out |= dict.fromkeys(kinds, scheme_by_id(scheme).id)
    if "" not in out:
        raise InputError(
            f"scheme {name!r}: no scheme for all other modules",
            hint="begin with it: bf16,experts=nvfp4",
        )
    return out


def assignment_named(name: str) -> str:
    """The assignment that ``name`` spells, whatever its case: a mixture, a scheme by its id, or one
    that has a name of its own."""
    mixture = mixture_named(name)
    own = (*engine_mixes(), *MIXES, RELEASED, "")
    return mixture if mixture in own or BY_KIND in name else scheme_by_id(name).id


def shown_name(name: str) -> Text:
    """What an assignment is called in an answer."""
    return {RELEASED: names.RELEASED, FP16_INT8: names.FP16_INT8}.get(name, name)


def named_scheme(question: Question, module: Module, unit: DecisionUnit, name: str) -> str | None:
    """What a named assignment gives to the unit of a planned module; None where its layers differ,
    or a mixture says nothing. Kinds that rules keep stay as released, but for a mixture's."""
    if name in engine_mixes() and unit.kind in TYPED_KINDS:
        places = mix_places(question.spec, name, question.imatrix)
        schemes = {
            places[place].scheme if place in places else None
            for place in ((unit.kind, unit.part, n) for n in unit.layers or (OUTSIDE,))
        }
        return schemes.pop() if len(schemes) == 1 else None
    if name == RELEASED:
        return runs_as_released(question, module.released_as)
    if module.kind in AS_RELEASED_KINDS:
        return module.released_as
    if BY_KIND in name:
        named = by_kind(name)
        return fitted_scheme(module, named.get(module.kind, named[""]))
    attention, others = MIXES.get(name, (name, name))
    return fitted_scheme(module, attention if module.kind in ATTENTION else others)


def schemes_of(name: str, question: Question) -> tuple[str, ...]:
    """The schemes that a named assignment takes, beside what stands in for them; a mixture takes
    others with an importance matrix."""
    if BY_KIND in name:
        return tuple(dict.fromkeys(by_kind(name).values()))
    return (
        mix_schemes(question.spec, name, question.imatrix)
        if name in engine_mixes()
        else MIXES.get(name, (name,))
    )


def usable_mixes(question: Question) -> list[str]:
    """The mixtures of the question's engine that its choices can make, each once: those of experts
    are another mixture in a model without."""
    names_by_key: dict[tuple[object, ...], str] = {}
    for name in mixes_of(question.engine):
        if not mix_problem(question, name):
            names_by_key.setdefault(mix_key(question.spec, name, question.imatrix), name)
    return list(names_by_key.values())


def mix_problem(question: Question, name: str) -> str:
    """Why a mixture is no choice; empty if it is one."""
    why = mix_refusal(question.spec, name, question.imatrix)
    taken = mix_schemes(question.spec, name, question.imatrix)
    missing = [scheme for scheme in taken if scheme not in question.schemes]
    return why or (f"{', '.join(missing)} is no choice here" if missing else "")
