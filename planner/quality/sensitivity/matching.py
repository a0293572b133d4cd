"""Which measured models a model is like: by structure and architecture, never by name."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from planner.models.spec import ModelSpec
from planner.quality.sensitivity.matrices import structure_of
from planner.quality.sensitivity.records import KldModel, Structure
from planner.records import record

SISTER, RELATIVE = "sister", "relative"
FARTHEST = math.log(8.0)
"""A relative has at most this |ln| of the ratio of parameters; beyond, the prior is as good."""


@record
class KldSubject:
    """What a prediction needs to know of a model."""

    structure: Structure
    architecture: str
    parameters_billion: float
    active_billion: float


@record
class KldMatch:
    """Measured models of the same structure (``sister``), or of the same architecture in another
    size (``relative``), |ln(ratio of parameters)| = ``distance`` away. More than one family: they
    match equally well."""

    kind: str
    models: tuple[KldModel, ...]
    distance: float

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m.family for m in self.models))


def subject_of(spec: ModelSpec) -> KldSubject:
    """The subject of a configuration; of routed experts those of one token are active."""
    total = active = 0
    for row in spec.rows:
        if row.part != "main" or row.copy_of is not None:
            continue
        size = row.elements * row.copies
        total += size
        if row.experts > 1 and spec.experts is not None:
            size = size * spec.experts.per_token // spec.experts.count
        active += size
    return KldSubject(structure_of(spec), spec.model_type, total / 1e9, active / 1e9)


def subject_of_measured(model: KldModel) -> KldSubject:
    """A measured model as a subject: what evaluations leave out and predict."""
    return KldSubject(
        model.structure, model.architectures[0], model.parameters_billion, model.active_billion
    )


def find_match(
    subject: KldSubject, models: Sequence[KldModel], excluded: Collection[str] = ()
) -> KldMatch | None:
    """The nearest of ``models`` that are not excluded; all that are equally near."""
    allowed = [m for m in models if m.name not in excluded]
    sisters = tuple(m for m in allowed if m.structure == subject.structure)
    if sisters:
        return KldMatch(SISTER, sisters, 0.0)
    distances = {
        m.name: abs(math.log(m.parameters_billion / subject.parameters_billion))
        for m in allowed
        if subject.architecture in m.architectures
        and bool(m.structure.experts) == bool(subject.structure.experts)
        and m.structure.attention_kinds == subject.structure.attention_kinds
    }
    least = min(distances.values(), default=math.inf)
    if least > FARTHEST:
        return None
    near = tuple(m for m in allowed if abs(distances.get(m.name, math.inf) - least) < 1e-9)
    return KldMatch(RELATIVE, near, least)
