"""Order-0 entropy of the codes of a number format: what lossless coding of weights can save.

A coder that knows the frequency of every symbol and nothing about order needs H = −Σ f log2 f bits
a symbol (Shannon 1948). Weights of a trained network have next to no order, so this is what
lossless compression of them can reach; being used rarely does not make a weight zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from planner.base.errors import InputError, UnsupportedError
from planner.formats.elements import element


@dataclass(frozen=True, slots=True)
class CodeEntropy:
    """Bits an element: of sign, exponent and mantissa by themselves, and of the whole code.

    ``bits`` are stored today; ``zeros`` is the fraction of codes that are ±0.
    """

    format: str
    count: int
    bits: int
    sign: float
    exponent: float
    mantissa: float
    code: float
    zeros: float

    @property
    def split(self) -> float:
        """Bits an element when the fields are coded apart, as exponent coders do."""
        return self.sign + self.exponent + self.mantissa

    @property
    def saving(self) -> float:
        """Fraction of the bytes that order-0 coding of whole codes saves; tables not counted."""
        return 1 - self.code / self.bits

    @property
    def zero_saving(self) -> float:
        """Fraction saved by leaving zeros out behind a bitmap of one bit an element."""
        return self.zeros - 1 / self.bits


def entropy(symbols: ArrayLike) -> float:
    """−Σ f log2 f over the values of ``symbols`` [bits a symbol]; 0 for an empty array."""
    counts = np.unique(np.asarray(symbols).ravel(), return_counts=True)[1]
    if not counts.size:
        return 0.0
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def code_entropy(codes: ArrayLike, format: str) -> CodeEntropy:
    """Entropies of ``codes``, bit patterns of ``format`` as :func:`planner.numerics.encode` makes.

    Raises:
        InputError: no codes, not unsigned integers, or one that the format does not have.
        UnsupportedError: the format is not a signed float.
    """
    fmt = element(format)
    if fmt.kind != "float" or not fmt.signed or fmt.bits > 16:
        raise UnsupportedError(
            f"{format} codes are not signed floats of at most 16 bits",
            hint="bf16, fp16, e4m3fn, e5m2, e3m2, e2m3 or e2m1",
        )
    values = np.asarray(codes).ravel()
    if not values.size or values.dtype.kind != "u" or int(values.max()) >> fmt.bits:
        raise InputError(
            f"{values.size} codes of {values.dtype} are not {format} bit patterns",
            hint=f"unsigned integers below {1 << fmt.bits}",
        )
    rest = values.astype(np.uint32)
    mantissa = rest & ((1 << fmt.mantissa_bits) - 1)
    exponent = (rest >> fmt.mantissa_bits) & ((1 << fmt.exponent_bits) - 1)
    magnitude = rest & ((1 << (fmt.bits - 1)) - 1)
    return CodeEntropy(
        format=fmt.id,
        count=int(values.size),
        bits=fmt.bits,
        sign=entropy(rest >> (fmt.bits - 1)),
        exponent=entropy(exponent),
        mantissa=entropy(mantissa),
        code=entropy(rest),
        zeros=float((magnitude == 0).mean()),
    )
