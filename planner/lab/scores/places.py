"""Names of modules and tensors in score files, matched to the units of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from planner.base.errors import DataError
from planner.base.strict_json import short_repr
from planner.models.gguf_names import gguf_alias, gguf_matrices
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS

Key = tuple[str, int]
Place = tuple[str, int | None]
"""(kind, layer); None: the model has the module, and plans keep it as released."""
TIED = {"experts-gate-up": "experts-down", "experts-down": "experts-gate-up"}
"""Both projections of the experts are one decision."""
_Pattern = tuple[re.Pattern[str], str, frozenset[int] | None]
NUMBER = "[0-9]{1,6}"
_UNIT = re.compile(rf"([a-z-]+)\.({NUMBER})")
_EXPERT = re.compile(rf"\.experts\.{NUMBER}\.(gate|up|down)_proj$")
_STACKED = {
    "gate": ".experts.gate_up_proj",
    "up": ".experts.gate_up_proj",
    "down": ".experts.down_proj",
}


@dataclass(frozen=True)
class Places:
    """The names that score files may have for modules of one model."""

    spec: ModelSpec
    units: frozenset[Key]
    patterns: tuple[_Pattern, ...]
    gguf: dict[str, Place] = field(default_factory=dict)

    def of(self, name: str) -> Place:
        """Kind and layer of a module, a unit id, or a tensor of the checkpoint or a GGUF file.

        Raises:
            DataError: the model has no module of that name.
        """
        unit = _UNIT.fullmatch(name)
        if unit and (unit[1], int(unit[2])) in self.units:
            return unit[1], int(unit[2])
        if name.startswith("blk.") or name in ("output.weight", "token_embd.weight"):
            return self._gguf_place(name)
        bare = _plain(name.removesuffix(".quant_recipe"))
        stacked = _EXPERT.sub(lambda match: _STACKED[match[1]], bare)
        for pattern, row_kind, layers in self.patterns:
            match = pattern.fullmatch(bare) or pattern.fullmatch(stacked)
            if match and layers is None:
                return row_kind, None
            if match and int(match["layer"]) in (layers or ()):
                return row_kind, int(match["layer"])
        raise DataError(
            f"scores: {self._sized()} has no module {short_repr(name)}",
            hint="names are those of the checkpoint, such as "
            "model.layers.0.self_attn.q_proj, or units such as mlp-down.0",
        )

    def _gguf_place(self, name: str) -> Place:
        if not self.gguf:
            self.gguf.update(_gguf_places(self.spec))
        if name not in self.gguf:
            raise DataError(
                f"scores: {self._sized()} has no tensor {short_repr(name)} in its GGUF file",
                hint="give the table of this model or of a release of the same structure",
            )
        return self.gguf[name]

    def _sized(self) -> str:
        return f"{self.spec.id} ({self.spec.layers} layers)"


def places_of(spec: ModelSpec) -> Places:
    """The names of ``spec``. GGUF names are made when the first of them is asked."""
    planned = [
        row
        for row in spec.rows
        if row.part == "main" and row.is_matrix and row.kind in PLANNED_KINDS
    ]
    units = frozenset(
        (row.kind, layer) for row in planned if row.copy_of is None for layer in row.layers
    )
    patterns = [_pattern(row.name, row.kind, frozenset(row.layers)) for row in planned]
    patterns += [_pattern(row.name, row.kind, None) for row in spec.rows if row not in planned]
    return Places(spec, units, tuple(patterns))


def _plain(name: str) -> str:
    """Without what only some releases put before the decoder's names."""
    return (
        name.removesuffix(".weight")
        .removeprefix("language_model.")
        .replace("model.language_model.", "model.", 1)
    )


def _pattern(name: str, kind: str, layers: frozenset[int] | None) -> _Pattern:
    text = re.escape(_plain(name))
    text = text.replace(re.escape("{layer}"), f"(?P<layer>{NUMBER})", 1)
    text = text.replace(re.escape("{layer}"), r"(?P=layer)")
    return re.compile(text.replace(re.escape("{expert}"), NUMBER)), kind, layers


def _gguf_places(spec: ModelSpec) -> Mapping[str, Place]:
    places: dict[str, Place] = {
        matrix.name: (matrix.kind, matrix.layer if matrix.kind in PLANNED_KINDS else None)
        for matrix in gguf_matrices(spec)
    }
    return places | {alias: places[names[0]] for alias, names in gguf_alias(spec).items()}
