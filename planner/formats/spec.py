"""Frozen records of number formats, scales, schemes and cache layouts, without behaviour."""

from __future__ import annotations

from typing import Literal

from planner.base.records import record

ElementKind = Literal["float", "int", "scale"]
ExecutionPath = Literal["native", "weight-only", "storage"]
ScaleRule = Literal["amax", "half-range", "ocp-floor", "rceil", "ceil", "even", "four-over-six"]


@record
class ElementFormat:
    """One number format.

    ``kind`` is ``float`` (sign, exponent, mantissa), ``int`` (two's complement) or ``scale``
    (a power of two, E8M0). Sizes are in bits. ``nan`` names the encoding rule: ``ieee`` (all
    exponent bits set, non-zero mantissa), ``all-ones`` (E4M3FN: exponent and mantissa all ones),
    ``negative-zero`` (FNUZ: the code that would be -0, which these formats lack), ``ff`` (E8M0:
    0xFF) or ``none``. Integers count ``min_subnormal`` each (MXINT8: 2^-6).
    """

    id: str
    checkpoint_name: str
    kind: ElementKind
    bits: int
    exponent_bits: int
    mantissa_bits: int
    bias: int
    max_finite: float
    min_normal: float
    min_subnormal: float
    signed: bool
    has_inf: bool
    nan: Literal["ieee", "all-ones", "negative-zero", "ff", "none"]
    source: str


@record
class ScaleSpec:
    """How scales cover a (rows, columns) matrix.

    ``block_rows`` × ``block_columns`` elements share one scale; 0 means the whole axis. Weights are
    (outputs, inputs), activations (tokens, features): per channel and per token are both (1, 0).
    ``tensor_scale`` adds one FP32 scale for the tensor (NVFP4). ``zero_point`` adds one integer of
    the element's width per block. ``rule`` turns the largest magnitude of a block into its scale:
    ``amax`` (amax / max_finite, rounded to ``format``), of integers also ``half-range`` (amax over
    half the range, 127.5 or 7.5, and codes down to -128 or -8), of NVFP4 ``four-over-six`` (the
    largest value becomes 4 or 6, whichever errs less), or a power of two: ``ocp-floor`` and
    ``ceil`` (2^(⌊log2 amax⌋ - emax) and 2^(⌈log2 amax⌉ - emax)), ``even`` (⌊log2⌋ of amax rounded
    half up to the element's precision), ``rceil`` (amax / max_finite rounded up).
    """

    format: str
    block_rows: int
    block_columns: int
    rule: ScaleRule
    tensor_scale: bool = False
    zero_point: bool = False


@record
class TensorFormat:
    """An element format with its scales; ``scale`` is None for plain floats.

    ``block_bytes`` is set for interleaved storage blocks (ggml): that many bytes hold one block of
    ``scale.block_columns`` elements, scales included, in the layout that ``block_type`` names
    (``q4_k``). Every element counts 2^``element_exponent``
    times its code (MXINT8: -6, six bits behind the binary point). ``rotation``: runs of so many
    columns are multiplied by a Hadamard matrix before they are quantised (0: none).
    ``random_bits``: elements are rounded stochastically with so many random bits (0: to nearest).
    """

    element: str
    scale: ScaleSpec | None = None
    block_bytes: int | None = None
    element_exponent: int = 0
    block_type: str = ""
    rotation: int = 0
    random_bits: int = 0


@record
class Scheme:
    """Weights + activations + granularity under one id (the contract's list).

    ``compute`` is the matrix-unit format that the multiplication runs in: a key of a device's
    rates (fp32 tf32 bf16 fp16 fp8 int8 int4 mxfp8 mxfp6 mxfp4 nvfp4). ``kernel`` names the
    kernel class whose achieved fractions and floors apply (a key of a device's ``achieved``).
    ``path`` is ``native`` (the unit multiplies the stored formats), ``weight-only`` (weights are
    converted to ``compute`` on the way) or ``storage``: blocks of a file that no matrix unit takes;
    a ``kernel`` names the library whose own kernels multiply them, empty: none is modelled.
    """

    id: str
    title: str
    weight: TensorFormat
    activation: TensorFormat
    compute: str
    kernel: str
    path: ExecutionPath
    source: str


@record
class KvLayout:
    """How one cache entry is stored.

    ``element`` stores keys and values (for MLA: the latent part); ``scale`` covers the vector of
    one token and head (columns = head width) unless ``scale.block_rows`` > 1 (per channel over a
    group of tokens). ``applies_to`` lists the cache kinds (kv-k, kv-v, kv-latent). ``compute`` is
    the conversion the device must support (a rate key) beyond BF16 arithmetic, or "" for none.
    ``block_bytes`` and ``block_type``: as in TensorFormat, of layouts in ggml's blocks. A layout
    that is ``named_only`` is no choice of a search: it holds where it is asked for.
    """

    id: str
    title: str
    element: str
    scale: ScaleSpec | None
    applies_to: tuple[str, ...]
    compute: str
    source: str
    rope_element: str | None = None
    block_bytes: int | None = None
    block_type: str = ""
    named_only: bool = False

    @property
    def stored(self) -> TensorFormat:
        """The format of its entries, rows being the vectors of one token and head."""
        return TensorFormat(self.element, self.scale, self.block_bytes, block_type=self.block_type)
