"""Schemes that quantise a listed one's way with a recipe: found by id, listed nowhere, chosen by no
plan, as their errors have no table. ``plan numerics`` shows them beside the plain scheme.

Bytes and matrix unit are those of the plain scheme but for 16 × 16 blocks, which an engine stores
repeated for every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from planner.formats.spec import ScaleRule, ScaleSpec, Scheme, TensorFormat

_FOUR = (
    "Four Over Six (arXiv 2512.02010; mit-han-lab/fouroversix; transformers "
    "FourOverSixConfig; ModelOpt's MSE calibration)"
)
_TE = (
    "Pretraining Large Language Models with NVFP4 (arXiv 2509.25149); Transformer Engine, "
    "NVFP4BlockScaling: {}"
)
_MR = (
    "MR-GPTQ (arXiv 2509.23202); transformers FPQuantConfig and vLLM's fp_quant, "
    "hadamard_group_size {}"
)
_RS = (
    "NVIDIA PTX ISA 8.7, cvt.rs.satfinite.e2m1x4.f32, 8 random bits an element (NVIDIA/"
    "TransformerEngine pull request 3281); gradients in Transformer Engine, here the inputs"
)


@dataclass(frozen=True, slots=True)
class FormatRecipe:
    """A recipe of the scheme ``base``, and the schemes it makes of both tensors."""

    id: str
    base: str
    title: str
    source: str
    rule: ScaleRule | None = None
    weight_rows: int = 0
    rotation: int = 0
    input_bits: int = 0

    def made(self, base: Scheme) -> Scheme:
        """The scheme, from the one it is named after."""
        weight, activation = base.weight, base.activation
        if self.rule is not None:
            weight, activation = (_ruled(fmt, self.rule) for fmt in (weight, activation))
        if self.weight_rows and weight.scale is not None:
            weight = replace(weight, scale=replace(weight.scale, block_rows=self.weight_rows))
        if self.rotation:
            weight = replace(weight, rotation=self.rotation)
            activation = replace(activation, rotation=self.rotation)
        if self.input_bits:
            activation = replace(activation, random_bits=self.input_bits)
        return replace(
            base,
            id=self.id,
            title=self.title,
            weight=weight,
            activation=activation,
            source=self.source,
        )


def _ruled(fmt: TensorFormat, rule: ScaleRule) -> TensorFormat:
    spec = fmt.scale
    assert isinstance(spec, ScaleSpec)
    return replace(fmt, scale=replace(spec, rule=rule))


RECIPES: Mapping[str, FormatRecipe] = MappingProxyType(
    {
        one.id: one
        for one in (
            FormatRecipe(
                "nvfp4-4over6",
                "nvfp4",
                "NVFP4, the largest of a block at 4 or at 6",
                _FOUR,
                rule="four-over-six",
            ),
            FormatRecipe(
                "nvfp4-16x16",
                "nvfp4",
                "NVFP4, weights in blocks of 16 × 16",
                _TE.format("weights in two dimensions"),
                weight_rows=16,
            ),
            FormatRecipe(
                "nvfp4-hadamard16",
                "nvfp4",
                "NVFP4, runs of 16 rotated before",
                _MR.format(16),
                rotation=16,
            ),
            FormatRecipe(
                "nvfp4-sr8",
                "nvfp4",
                "NVFP4, inputs rounded stochastically with 8 bits",
                _RS,
                input_bits=8,
            ),
            FormatRecipe(
                "mxfp4-hadamard32",
                "mxfp4",
                "MXFP4, runs of 32 rotated before",
                _MR.format(32),
                rotation=32,
            ),
        )
    }
)


def recipes_of(base: str) -> tuple[str, ...]:
    """The ids of the recipes of a scheme."""
    return tuple(
        format_recipe.id for format_recipe in RECIPES.values() if format_recipe.base == base
    )
