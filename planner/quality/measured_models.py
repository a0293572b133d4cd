"""Which model a published measurement is of, and how near it is to the model of a plan.

Nearness goes by the record of a model's structure: the same model by name, the same structure
(layers, width, experts), or the same family (model type and vocabulary) within a factor of size.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from math import log2
from pathlib import Path
from types import MappingProxyType

from planner.base.records import record
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec

_PATH = Path(__file__).resolve().parent / "data" / "measured_models.csv"
SAME, ALIKE, FAMILY = 0, 1, 2
"""The same model; another one of the same structure; one of its family and a near size."""
MOST_TIMES = 8.0
"""How much larger or smaller a model of the family may be: small models lose 3 to 10 times more
than the largest do (docs/evidence/meaning.md#nearest-published-accuracies)."""
AS_LARGE = 1.25
"""Within this factor two models count as equally large."""


@record
class Subject:
    """The model of a plan, as far as nearness goes. ``experts`` are those of one layer, 0 for a
    dense model; ``parameters`` of all weights; ``released`` is the scheme of the release."""

    id: str
    model_type: str
    vocab_size: int
    layers: int
    hidden_size: int
    experts: int
    parameters: int
    released: str


@record
class MeasuredModel:
    """A model that was measured. ``ids`` are those of bundled models that it is a release of.

    The first of ``model_types`` is its own, the others are of its family; so with
    ``vocab_sizes``. What is not known is 0 or empty: without a model type nothing is near it.
    """

    name: str
    ids: tuple[str, ...]
    model_types: tuple[str, ...]
    vocab_sizes: tuple[int, ...]
    layers: int
    hidden_size: int
    experts: int
    parameters: float
    source: str

    def relation(self, subject: Subject) -> int | None:
        """SAME, ALIKE or FAMILY; None where it says nothing about ``subject``."""
        if self._alike(subject):
            return SAME if subject.id in self.ids else ALIKE
        kin = subject.model_type in self.model_types and subject.vocab_size in self.vocab_sizes
        return FAMILY if kin and 2 ** self.distance(subject) <= MOST_TIMES else None

    def _alike(self, subject: Subject) -> bool:
        ours = (subject.model_type, subject.layers, subject.hidden_size, subject.experts)
        own = self.model_types[0] if self.model_types else None
        return (
            ours == (own, self.layers, self.hidden_size, self.experts)
            and subject.vocab_size in self.vocab_sizes
        )

    def distance(self, subject: Subject) -> float:
        """|log2| of the ratio of sizes."""
        return abs(log2(self.parameters / subject.parameters))

    def dense(self, subject: Subject) -> bool | None:
        """Whether it is dense where ``subject`` has experts, or the other way; else None."""
        return None if bool(self.experts) == bool(subject.experts) else not self.experts

    def relation_id(self, subject: Subject) -> str:
        """The message of a change on this model: ``nvfp4 on Qwen3-8B, a smaller model of the
        family: …``."""
        relation = self.relation(subject)
        if relation == SAME:
            return "reasons.on_model"
        if relation == ALIKE:
            return "reasons.on_same_structure"
        ratio = self.parameters / subject.parameters
        size = "larger_" if ratio > AS_LARGE else "smaller_" if ratio < 1 / AS_LARGE else ""
        kind = {None: "", True: "dense_", False: "moe_"}[self.dense(subject)]
        return f"reasons.on_{size}{kind}model_of{'_family' * (not size or not kind)}"


def subject_of(spec: ModelSpec) -> Subject:
    """The structure of a model."""
    return Subject(
        spec.id,
        spec.model_type,
        spec.vocab_size,
        spec.layers,
        spec.hidden_size,
        spec.experts.count if spec.experts else 0,
        Inventory(spec).parameters_total,
        spec.quantization,
    )


def plain_name(name: str) -> str:
    """A published name without its owner."""
    return name.rsplit("/", 1)[-1]


@cache
def measured_models() -> Mapping[str, MeasuredModel]:
    """The shipped table by name without owner (read once a process)."""
    with _PATH.open(encoding="utf-8", newline="") as file:
        models = [_model(row) for row in csv.DictReader(file)]
    return MappingProxyType({model.name: model for model in models})


def _model(row: Mapping[str, str]) -> MeasuredModel:
    return MeasuredModel(
        row["model"],
        tuple(row["ids"].split()),
        tuple(row["model_types"].split()),
        tuple(int(v) for v in row["vocab_sizes"].split()),
        int(row["layers"] or 0),
        int(row["hidden_size"] or 0),
        int(row["experts"] or 0),
        float(row["parameters"] or 0),
        row["source"],
    )
