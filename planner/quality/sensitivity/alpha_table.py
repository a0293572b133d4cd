"""Sensitivities as a table: a row a module kind and layer, or a row a tensor of a GGUF file."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from planner.base.errors import InputError, UnknownNameError, needs
from planner.base.records import record
from planner.models.gguf_names import gguf_matrices
from planner.models.spec import ModelSpec
from planner.placement.modules import UNRULED
from planner.quality.prior import WEIGH_AS, combined, load_prior, module_alpha
from planner.quality.sensitivity.features import class_of
from planner.quality.sensitivity.kld_data import CREDIT, kld_models, known_levels
from planner.quality.sensitivity.measured_names import excluded_models
from planner.quality.sensitivity.predict import sensitivities
from planner.quality.sensitivity.records import OUTSIDE, Matrix, Sensitivities

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("module", "gguf")
UNIT = "nats per unit of relative output error power"
ORDER = (
    "embedding",
    "attention-qkv",
    "mla-q",
    "mla-kv",
    "linear-attention",
    "attention-out",
    "indexer",
    "mlp-gate-up",
    "mlp-down",
    "router",
    "experts-gate-up",
    "experts-down",
    "shared-gate-up",
    "shared-down",
    "head",
)
"""Module kinds as a token meets them."""
ATTRS = ("rests_on", "bands", "credit")
LEAST_LEVELS = 2
"""Levels of whole models that must be left to learn from: a line is fitted to them."""


@record
class AlphaRow:
    """α [UNIT] of a kind in a layer, or of a tensor, and the interval that holds 80 %.

    ``layer`` is None outside the stack, ``tensor`` empty in rows of kinds.
    """

    layer: int | None
    kind: str
    tensor: str
    alpha: float
    low: float
    high: float
    source: str
    tier: str


@record
class AlphaTable:
    """The rows of one model, and the sensitivities that they are made of."""

    model: str
    names: str
    found: Sensitivities
    rows: tuple[AlphaRow, ...]

    @property
    def tier(self) -> str:
        """``T0 family(NAME)`` or ``T0 learned``."""
        return tier_of(self.found)

    def to_dict(self) -> dict[str, Any]:
        """What ``plan sensitivity --json`` prints."""
        alphas = self.found
        return {
            "model": self.model,
            "tier": self.tier,
            "rests_on": alphas.text,
            "unit": UNIT,
            "level": {
                "nats": alphas.level,
                "low": alphas.level / alphas.level_band,
                "high": alphas.level * alphas.level_band,
                "basis": alphas.level_basis,
            },
            "bands": {name: class_band(alphas, name) for name in _classes(alphas)},
            "names": self.names,
            "rows": [asdict(row) for row in self.rows],
            "credit": CREDIT,
            "sources": list(alphas.sources),
        }

    def to_frame(self) -> pd.DataFrame:
        """A row each; ``layer`` is Int64, NA outside the stack. ``attrs``: what the rows rest on,
        the bands of the classes of matrices, and whose measurements they are."""
        needs("pandas", extra="frames")
        import pandas as pd

        kinds = {"layer": "Int64", "alpha": "float64", "low": "float64", "high": "float64"}
        frame = pd.DataFrame(
            {
                f.name: pd.Series(
                    [getattr(row, f.name) for row in self.rows], dtype=kinds.get(f.name, "string")
                )
                for f in fields(AlphaRow)
            }
        )
        table_data = self.to_dict()
        frame.attrs |= {name: table_data[name] for name in ATTRS}
        return frame


def alpha_table(
    spec: ModelSpec,
    exclude_models: Collection[str] = (),
    names: str = "module",
) -> AlphaTable:
    """The table of ``spec``; ``exclude_models`` are measured models or families that contribute
    nothing, ``names`` one of NAMES.

    Raises:
        UnknownNameError: a name that is no measured model, family or bundled model; other
            ``names``. InputError: too few models are left to learn from. UnsupportedError: GGUF
            names of a model that llama.cpp does not know.
    """
    if names not in NAMES:
        raise UnknownNameError("choice of names", names, NAMES)
    excluded = excluded_models(exclude_models)
    _check_rest(excluded)
    learned = sensitivities(spec, excluded)
    rows = _by_tensor(spec, learned) if names == "gguf" else _by_kind(spec, learned)
    return AlphaTable(spec.id, names, learned, rows)


def in_order(kinds: Iterable[str]) -> list[str]:
    """The kinds, each once, as a token meets them; others last."""
    return sorted(dict.fromkeys(kinds), key=lambda k: ORDER.index(k) if k in ORDER else len(ORDER))


def _check_rest(excluded: frozenset[str]) -> None:
    fitted = sum(m.fitted and m.name not in excluded for m in kld_models())
    levels = sum(k.name not in excluded for k in known_levels())
    if not fitted or levels < LEAST_LEVELS:
        raise InputError(
            f"exclude_models leave {fitted} models to learn kinds and depth from, and "
            f"{levels} levels",
            hint="leave at least one of the measured models, and "
            f"{LEAST_LEVELS} levels: exclude fewer families",
        )


def tier_of(sensitivities: Sensitivities) -> str:
    """The tier as it is shown."""
    return f"T0 {sensitivities.tier}"


def class_band(sensitivities: Sensitivities, name: str) -> float:
    """The factor of single matrices of a class, relative to the level."""
    return sensitivities.bands.get(name, sensitivities.pooled_band)


def _classes(sensitivities: Sensitivities) -> list[str]:
    return list(dict.fromkeys(class_of(m) for m in sensitivities.matrices))


def _by_kind(spec: ModelSpec, sensitivities: Sensitivities) -> tuple[AlphaRow, ...]:
    """α summed over the matrices of a kind in a layer, by depth."""
    units: dict[tuple[int, str], list[tuple[Matrix, float]]] = {}
    for matrix, alpha in zip(sensitivities.matrices, sensitivities.alpha, strict=True):
        units.setdefault((matrix.layer, matrix.kind), []).append((matrix, alpha))
    rows = [
        _measured(sensitivities, layer, kind, "", parts) for (layer, kind), parts in units.items()
    ]
    rows += [_derived(sensitivities, layer, kind, "", 1) for layer, kind in _unmeasured(spec)]
    return _in_reading_order(rows)


def _by_tensor(spec: ModelSpec, sensitivities: Sensitivities) -> tuple[AlphaRow, ...]:
    """α of every tensor of the GGUF file, prediction layers left out."""
    by_name = {
        m.name: (m, alpha)
        for m, alpha in zip(sensitivities.matrices, sensitivities.alpha, strict=True)
    }
    tensors = [matrix for matrix in gguf_matrices(spec) if matrix.kind != "mtp"]
    tensor_names = {tensor.name for tensor in tensors}
    tied = [part for name, part in by_name.items() if name not in tensor_names]
    tensors = [tensor for tensor in tensors if tensor.kind not in UNRULED]
    counts: dict[tuple[int, str], int] = {}
    for gguf_matrix in tensors:
        key = (_layer(gguf_matrix.layer), gguf_matrix.kind)
        counts[key] = counts.get(key, 0) + 1
    rows = []
    for gguf_matrix in tensors:
        layer = _layer(gguf_matrix.layer)
        if gguf_matrix.kind in WEIGH_AS:
            rows.append(
                _derived(
                    sensitivities,
                    layer,
                    gguf_matrix.kind,
                    gguf_matrix.name,
                    counts[layer, gguf_matrix.kind],
                )
            )
            continue
        parts = [by_name[gguf_matrix.name], *(tied if gguf_matrix.kind == "embedding" else ())]
        rows.append(_measured(sensitivities, layer, gguf_matrix.kind, gguf_matrix.name, parts))
    return _in_reading_order(rows)


def _layer(layer: int | None) -> int:
    return OUTSIDE if layer is None else layer


def _unmeasured(spec: ModelSpec) -> list[tuple[int, str]]:
    """(layer, kind) of routers and indexers."""
    return sorted(
        {
            (layer, row.kind)
            for row in spec.rows
            if row.part == "main" and row.is_matrix and row.kind in WEIGH_AS
            for layer in row.layers
        }
    )


def _in_reading_order(rows: Iterable[AlphaRow]) -> tuple[AlphaRow, ...]:
    ends = {"embedding": -1.0, "head": math.inf}
    return tuple(
        sorted(
            rows,
            key=lambda r: (
                ends.get(r.kind, -1.0) if r.layer is None else r.layer,
                ORDER.index(r.kind),
            ),
        )
    )


def _measured(
    sensitivities: Sensitivities,
    layer: int,
    kind: str,
    tensor: str,
    parts: Sequence[tuple[Matrix, float]],
) -> AlphaRow:
    """A row of matrices whose kind was measured; their errors may be one, so bounds add up."""
    bands = [
        (alpha, combined(class_band(sensitivities, class_of(m)), sensitivities.level_band))
        for m, alpha in parts
    ]
    both = tensor and {m.kind for m, _ in parts} == {"embedding", "head"}
    source = "; ".join((*(["head and embedding together"] if both else []), *sensitivities.sources))
    return AlphaRow(
        None if layer == OUTSIDE else layer,
        kind,
        tensor,
        sum(alpha for alpha, _ in bands),
        sum(alpha / b for alpha, b in bands),
        sum(alpha * b for alpha, b in bands),
        source,
        tier_of(sensitivities),
    )


def _derived(
    sensitivities: Sensitivities, layer: int, kind: str, tensor: str, parts: int
) -> AlphaRow:
    """A row of a kind that was not measured, or of one of its ``parts`` tensors."""
    like, kind_alpha = WEIGH_AS[kind], module_alpha(sensitivities, kind, layer)
    assert kind_alpha is not None, f"layer {layer} has {kind} and no {like}"
    alpha = kind_alpha / parts
    matrix = next(m for m in sensitivities.matrices if (m.kind, m.layer) == (like, layer))
    band = max(
        load_prior().rule_band,
        combined(class_band(sensitivities, class_of(matrix)), sensitivities.level_band),
    )
    shared = f", one of {parts} tensors that share it" if parts > 1 else ""
    source = (
        f"derived, not measured: α of {like} of the layer{shared}; its error is emulated "
        "to those outputs"
    )
    return AlphaRow(
        layer,
        kind,
        tensor,
        alpha,
        alpha / band,
        alpha * band,
        "; ".join((source, *sensitivities.sources)),
        tier_of(sensitivities),
    )
