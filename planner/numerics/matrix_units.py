"""Matrix units as records: what each one adds together, how it rounds, and who has checked that.

The ids are those of ``planner.numerics.matmul``. A unit holds one rule per group of operand formats
and accumulator; a rule describes one *instruction chain*. Libraries choose tiles, split-K and the
order of instructions on top of it, so bit-exactness is claimed for the chain, not for a library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from planner.base.errors import UnsupportedError

Accumulator = Literal["fp32", "fp16", "fp64", "int32"]
Rounding = Literal["rz-fp32", "rz-e8m13", "rne-fp16", "rne-fp32", "rne-fp32-daz-ftz", "rne-fp64",
                   "wrap-int32", "saturate-int16-wrap-int32"]  # fmt: skip
KOrder = Literal["any", "sequential", "interleaved", "odd-first", "two-chains", "even-and-odd"]
Kind = Literal["fused", "block-scaled", "exact", "fma", "integer", "mfma"]
Arithmetic = Literal["", "fma", "exact-groups", "flushed-pairs", "two-stage"]


@dataclass(frozen=True, slots=True)
class DotRule:
    """How one instruction chain forms a dot product.

    ``a_formats`` × ``b_formats`` are the operands (only equal pairs unless ``mixed``).
    ``terms`` products and the accumulator are added at once (0: all of K). Each is first cut,
    towards zero, to ``fraction_bits`` below the largest exponent among them (None: nothing is cut);
    that exponent is never below ``min_exponent``. The sum is rounded by ``rounding``.
    ``instruction_k`` is the K that operands are padded to. ``k_order``: ``any`` (does not matter),
    ``sequential``, ``interleaved`` (of every instruction first the k with k mod 4 in {0, 1}, then
    the rest), ``odd-first`` (of every pair the second element first), ``two-chains`` (even and
    odd elements apart) or ``even-and-odd`` (two sums of products, added before the accumulator).
    ``c_entry``: the accumulator is one of the terms (``fused``) or is added in its own format after
    the instruction (``added``). ``scales`` lists the block scales taken, as (element format,
    group). ``arithmetic``: how a rule of an ``mfma`` unit adds, see
    :mod:`planner.numerics.dot_amd`.
    """

    a_formats: tuple[str, ...]
    b_formats: tuple[str, ...]
    accumulator: Accumulator
    terms: int
    fraction_bits: int | None
    rounding: Rounding
    instruction_k: int
    min_exponent: int | None = None
    k_order: KOrder = "sequential"
    c_entry: Literal["fused", "added"] = "fused"
    mixed: bool = False
    scales: tuple[tuple[str, int], ...] = ()
    arithmetic: Arithmetic = ""

    def takes(self, a_format: str, b_format: str) -> bool:
        """Whether the rule multiplies these operand formats."""
        known = a_format in self.a_formats and b_format in self.b_formats
        return known and (self.mixed or a_format == b_format)


@dataclass(frozen=True, slots=True)
class Unit:
    """A matrix unit: its rules, whether partial sums may be promoted, and what was checked.

    ``promotion``: ``matmul`` may add partial sums in FP32 outside the unit (``promote_every``).
    ``verified_against`` says in words which results of real hardware, which other model, or which
    documents the unit's arithmetic was compared with, and what was not.
    """

    id: str
    title: str
    kind: Kind
    rules: tuple[DotRule, ...]
    promotion: bool
    verified_against: str
    source: str

    def formats(self) -> tuple[str, ...]:
        """The operand formats taken, in the order of the rules."""
        return tuple(dict.fromkeys(f for r in self.rules for f in (*r.a_formats, *r.b_formats)))

    def rule(self, a_format: str, b_format: str, accumulator: str) -> DotRule:
        """The rule for these operands.

        Raises UnsupportedError, naming what the unit takes, where there is none.
        """
        for rule in self.rules:
            if rule.takes(a_format, b_format) and rule.accumulator == accumulator:
                return rule
        raise UnsupportedError(
            f"unit {self.id} does not multiply {a_format} × {b_format} into {accumulator}",
            hint=f"{self.id} takes " + "; ".join(_describe(r) for r in self.rules),
        )


def _describe(rule: DotRule) -> str:
    sides = [" or ".join(f) for f in (rule.a_formats, rule.b_formats)]
    pairs = " × ".join(sides) if rule.mixed else f"{sides[0]} with itself"
    return f"{pairs} into {rule.accumulator}"


def index_units(units: tuple[Unit, ...]) -> Mapping[str, Unit]:
    """Units by id, read-only."""
    return MappingProxyType({u.id: u for u in units})
