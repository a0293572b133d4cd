"""Records of measured sensitivities and of what is predicted from them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from planner.base.records import cached_record, record
from planner.messages.message import Text
from planner.placement.parts import part_of_stem

OUTSIDE = -1
"""The layer of what is outside the stack: embedding and head."""


@record
class Structure:
    """What decides which measured model a model is like; names do not.

    ``attention`` are (kind, layers, heads, kv heads) of each group; ``experts`` (count, chosen a
    token, width, width of the shared ones), () without; ``dense_layers`` are the layers before the
    first with experts, all of them without experts.
    """

    layers: int
    hidden_size: int
    attention: tuple[tuple[str, int, int, int], ...]
    dense_width: int
    experts: tuple[int, ...]
    dense_layers: int
    tied: bool

    @property
    def attention_kinds(self) -> tuple[str, ...]:
        return tuple(sorted(group[0] for group in self.attention))


@record
class Matrix:
    """One matrix of a model, or all experts' matrices of one layer.

    ``stem`` is llama.cpp's name without layer and ending ("attn_q"), ``kind`` the module kind,
    ``narrow`` ln(outputs / hidden size) of attention's projections with fewer outputs, else 0.
    """

    stem: str
    kind: str
    layer: int
    narrow: float = 0.0

    @property
    def name(self) -> str:
        """The tensor in a GGUF file."""
        return (
            f"{self.stem}.weight"
            if self.layer == OUTSIDE
            else f"blk.{self.layer}.{self.stem}.weight"
        )


@record
class KldPoint:
    """Mean KL divergence [nats] over the floor when ``matrices`` together were cut to one type of
    about 1.75 bits, and its noise (one standard deviation)."""

    matrices: tuple[Matrix, ...]
    signal_nats: float
    noise_nats: float


@record
class KldModel:
    """A model whose matrices were measured one by one.

    ``family`` groups releases and sizes of one maker's architecture, ``architectures`` are the
    ``model_type`` of its configurations; parameters in billions. ``level`` is KL over relative
    output error power when every matrix is quantised [nats], None where its whole-model table
    cannot give one (not ``levelled``); ``baseline`` the type that was compared with; ``saturation``
    g of :mod:`planner.quality.sensitivity.level`. A model that is not ``fitted`` gives a family
    profile and no part of the prior; ``reason`` says why of both. ``clean`` ones judge evaluations.
    """

    name: str
    family: str
    architectures: tuple[str, ...]
    structure: Structure
    parameters_billion: float
    active_billion: float
    outputs: Mapping[str, int]
    baseline: str
    fitted: bool
    levelled: bool
    clean: bool
    reason: str
    qtype: str = ""
    floor_nats: float = 0.0
    level: float | None = None
    level_band: float = 1.0
    saturation: float | None = None


@record
class TierBands:
    """How well one kind of match predicted what was left out: factors ÷/× that hold 80 %.

    ``classes`` of single matrices by class, ``factor`` of all of them, ``rank`` the median rank
    correlation inside a model, ``mix`` of sums over one module kind, ``level`` of the sum of all
    sensitivities, ``whole`` of what whole models lose over their floor.
    """

    classes: Mapping[str, float]
    factor: float
    rank: float
    mix: float
    level: float
    whole: float
    models: int


@cached_record
class Sensitivities:
    """α of every matrix of one model [nats of mean KL per unit of relative output error power].

    ``tier`` is ``family(NAME)`` or ``learned``; ``text`` says in a line what the losses rest on and
    how well that kind of match predicted models that were left out. ``level`` is the sum of all α,
    known within ×/÷ ``level_band``, and what whole models lose over their floor within
    ``whole_band``; ``mix_band`` holds 80 % of sums over one kind of matrices
    relative to the level, ``bands`` single matrices by class, ``pooled_band`` those of a class that
    ``bands`` has not.
    """

    tier: str
    text: Text
    matrices: tuple[Matrix, ...]
    alpha: tuple[float, ...]
    bands: Mapping[str, float]
    pooled_band: float
    level: float
    level_band: float
    whole_band: float
    mix_band: float
    level_basis: str
    saturation: float
    sources: tuple[str, ...]
    date: str

    @cached_property
    def by_unit(self) -> Mapping[tuple[str, int], float]:
        """Σα of the matrices of a module kind in a layer; OUTSIDE for embedding and head."""
        alpha_by_unit: dict[tuple[str, int], float] = {}
        for matrix, alpha in zip(self.matrices, self.alpha, strict=True):
            key = (matrix.kind, matrix.layer)
            alpha_by_unit[key] = alpha_by_unit.get(key, 0.0) + alpha
        return alpha_by_unit

    @cached_property
    def by_part(self) -> Mapping[tuple[str, str, int], float]:
        """α of the matrices of a part (:mod:`planner.placement.parts`) of a module kind in a
        layer."""
        alpha_by_part: dict[tuple[str, str, int], float] = {}
        for matrix, alpha in zip(self.matrices, self.alpha, strict=True):
            key = (matrix.kind, part_of_stem(matrix.stem), matrix.layer)
            alpha_by_part[key] = alpha_by_part.get(key, 0.0) + alpha
        return alpha_by_part


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
