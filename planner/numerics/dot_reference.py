"""Dot products of the fused units in rational arithmetic: the definition, one output at a time.

A term is a product s·2^e of significands and exponents that are *not* normalised: s of a normal
number lies in [1, 2), a subnormal keeps the lowest exponent, e is the sum of both exponents. With E
the largest exponent among terms and accumulator that are not zero, and at least ``min_exponent``,
every term is cut towards zero to a multiple of 2^(E-F); the cut terms are added exactly and the sum
is rounded once. See :mod:`planner.numerics.unit_catalog` for where published models differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from planner.formats.elements import element
from planner.formats.spec import ElementFormat
from planner.numerics.matrix_units import DotRule
from planner.numerics.policies import resolve_policy
from planner.numerics.reference import Exact, decode_exact, encode_exact, floor_log2

Term = tuple[Fraction, int]  # signed value, exponent before normalisation

_NAN = Exact(False, "nan")
_CANONICAL = {"fp32": 0x7FFFFFFF, "fp16": 0x7FFF}


def dot_reference(
    a_codes: Sequence[int], b_codes: Sequence[int], c_bits: int, rule: DotRule,
    a_format: str, b_format: str, a_scales: Sequence[int] = (), b_scales: Sequence[int] = (),
    scale_format: str = "e8m0", scale_group: int = 32,
) -> int:  # fmt: skip
    """Bits of the accumulator after all instructions of one output.

    ``a_codes`` and ``b_codes``: K codes each, K a multiple of ``rule.instruction_k``; ``c_bits``:
    the accumulator's bits (FP32, or FP16 where the rule's accumulator is).
    """
    accumulator = element(rule.accumulator)
    a = [decode_exact(x, element(a_format)) for x in a_codes]
    b = [decode_exact(x, element(b_format)) for x in b_codes]
    total = decode_exact(c_bits, accumulator)
    sa = _expand(a_scales, scale_format, scale_group, len(a))
    sb = _expand(b_scales, scale_format, scale_group, len(b))
    for start in range(0, len(a), rule.instruction_k):
        c = total if rule.c_entry == "fused" else Exact(False, "finite")
        for group in _groups(start, rule):
            if rule.terms == 64:
                factors = [(a[k], b[k], sa[k], sb[k]) for k in group]
                products = _block_products(factors, scale_format)
            else:
                products = [_product(a[k], b[k], element(a_format), element(b_format), sa[k], sb[k])
                            for k in group]  # fmt: skip
            c = fused_add(products, c, rule, accumulator)
        total = c if rule.c_entry == "fused" else _ieee_add(total, c, accumulator)
    return _CANONICAL[rule.accumulator] if total.kind == "nan" else _bits(total, accumulator)


def fused_add(
    products: Iterable[Term | Exact], c: Exact, rule: DotRule, accumulator: ElementFormat
) -> Exact:
    """One fused sum: finite products as terms, infinite or NaN ones as :class:`Exact`."""
    terms: list[Term] = []
    special = [c] if c.kind != "finite" else []
    for p in products:
        if isinstance(p, Exact):
            special.append(p)
        else:
            terms.append(p)
    if special:
        return _combine(special)
    terms.append((_signed(c), _exponent(c, accumulator)))
    bits, floor = rule.fraction_bits or 0, rule.min_exponent or 0
    e_max = max([floor, *(e for value, e in terms if value)])
    unit_in_last_place = _power(e_max - bits)
    total = sum((_cut(value, unit_in_last_place) for value, _ in terms), Fraction(0))
    return round_sum(total, rule.rounding)


def round_sum(total: Fraction, rounding: str) -> Exact:
    """The exact sum as the accumulator holds it; overflow is an infinity, zero is +0."""
    fmt = element("fp16" if rounding == "rne-fp16" else "fp32")
    exact = Exact(total < 0, "finite", abs(total))
    if rounding.startswith("rne"):
        rounded = decode_exact(encode_exact(exact, fmt, resolve_policy("ocp", fmt)), fmt)
    else:
        bits = 13 if rounding == "rz-e8m13" else 23
        e = max(floor_log2(abs(total)), -126) if total else -126
        magnitude = abs(_cut(total, _power(e - bits)))
        rounded = Exact(total < 0, "inf" if e > 127 else "finite", magnitude if e <= 127 else
                        Fraction(0))  # fmt: skip
    zero = rounded.kind == "finite" and not rounded.magnitude
    return Exact(False, "finite") if zero else rounded


def _groups(start: int, rule: DotRule) -> list[list[int]]:
    """The k of each fused sum of the instruction that begins at ``start``."""
    ks = list(range(start, start + rule.instruction_k))
    if rule.k_order == "interleaved":
        ks = [k for k in ks if k % 4 < 2] + [k for k in ks if k % 4 >= 2]
    return [ks[i : i + rule.terms] for i in range(0, len(ks), rule.terms)]


def _expand(scales: Sequence[int], format: str, group: int, k: int) -> list[Exact]:
    if not scales:
        return [Exact(False, "finite", Fraction(1))] * k
    fmt = element(format)
    return [decode_exact(scales[i // group], fmt) for i in range(k)]


def _product(a: Exact, b: Exact, fa: ElementFormat, fb: ElementFormat, sa: Exact,
             sb: Exact) -> Term | Exact:  # fmt: skip
    factors = (a, b, sa, sb)
    if any(f.kind != "finite" for f in factors):
        return _special_product(factors)
    value = _signed(a) * _signed(b) * sa.magnitude * sb.magnitude
    # Block scales are powers of two here (E8M0): they add to the exponent.
    scale_exponent = floor_log2(sa.magnitude) + floor_log2(sb.magnitude)
    return value, _exponent(a, fa) + _exponent(b, fb) + scale_exponent


def _block_products(
    factors: Sequence[tuple[Exact, Exact, Exact, Exact]], scale_format: str
) -> list[Term | Exact]:
    """FP4: sixteen products at a time are added exactly, then multiplied by their two scales.

    The exponent is the scales' own; a group whose products are all zero takes no part in E.
    """
    out: list[Term | Exact] = []
    fmt = element(scale_format)
    for start in range(0, len(factors), 16):
        part = factors[start : start + 16]
        sa, sb = part[0][2], part[0][3]
        if "nan" in (sa.kind, sb.kind):
            out.append(_NAN)
            continue
        products = [_signed(a) * _signed(b) for a, b, _, _ in part]
        value = sum(products, Fraction(0)) * sa.magnitude * sb.magnitude
        exponent = _scale_exponent(sa, fmt) + _scale_exponent(sb, fmt)
        empty = not any(products) or not sa.magnitude or not sb.magnitude
        # Terms that cancel to zero still take part: their exponent is passed by a zero value.
        out.extend(_present(value, exponent, empty))
    return out


def _present(value: Fraction, exponent: int, empty: bool) -> list[Term | Exact]:
    if empty:
        return []
    if value:
        return [(value, exponent)]
    return [(_power(exponent), exponent), (-_power(exponent), exponent)]


def _scale_exponent(scale: Exact, fmt: ElementFormat) -> int:
    lowest = -127 if fmt.id == "e8m0" else 1 - fmt.bias
    return max(floor_log2(scale.magnitude), lowest) if scale.magnitude else lowest


def _special_product(factors: Sequence[Exact]) -> Exact:
    if any(f.kind == "nan" for f in factors):
        return _NAN
    if any(f.kind == "finite" and not f.magnitude for f in factors):
        return _NAN
    return Exact(sum(f.negative for f in factors) % 2 == 1, "inf")


def _combine(special: Sequence[Exact]) -> Exact:
    signs = {s.negative for s in special}
    if any(s.kind == "nan" for s in special) or len(signs) > 1:
        return _NAN
    return special[0]


def _ieee_add(a: Exact, b: Exact, fmt: ElementFormat) -> Exact:
    special = [x for x in (a, b) if x.kind != "finite"]
    if special:
        return _combine(special)
    total = _signed(a) + _signed(b)
    negative = total < 0 or (not total and a.negative and b.negative)
    exact = Exact(negative, "finite", abs(total))
    return decode_exact(encode_exact(exact, fmt, resolve_policy("ocp", fmt)), fmt)


def _exponent(x: Exact, fmt: ElementFormat) -> int:
    lowest = 1 - fmt.bias
    return max(floor_log2(x.magnitude), lowest) if x.magnitude else lowest


def _cut(value: Fraction, step: Fraction) -> Fraction:
    n = abs(value) // step
    return (-n if value < 0 else n) * step


def _signed(x: Exact) -> Fraction:
    return -x.magnitude if x.negative else x.magnitude


def _power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def _bits(x: Exact, fmt: ElementFormat) -> int:
    return encode_exact(x, fmt, resolve_policy("ocp", fmt))
