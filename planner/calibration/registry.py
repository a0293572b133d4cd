"""Which tables are fitted by which module. Add a line for a new operator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind of table, known by its columns, and the module whose ``fit_tables(rows)`` fits it.

    ``operators`` are the ids of the sets it makes. ``beside`` names further kinds whose rows the
    module takes by keyword. A module with ``problems(rows)`` can also refit a relative's sets to
    few rows; ``own_devices`` says that its functions take ``profiles`` (name in the table →
    profile), so that it can fit a device that is not packaged.
    """

    kind: str
    columns: frozenset[str]
    module: str
    operators: tuple[str, ...]
    beside: tuple[str, ...] = ()
    own_devices: bool = False


REGISTRY = (
    Entry("op_gemm", frozenset({"device", "software", "w_a_dtype", "m", "n", "k", "latency_us"}),
          "planner.calibration.gemm", ("gemm",), beside=("op_quantize",), own_devices=True),
    Entry("op_quantize", frozenset({"device", "software", "op", "quant_dtype", "m", "k",
                                    "latency_us"}),
          "planner.calibration.quantise", ("quantise",), own_devices=True),
)
"""A table is of the first kind all of whose columns it has."""


def operators() -> tuple[str, ...]:
    """Operators that can be calibrated, in order."""
    return tuple(name for entry in REGISTRY for name in entry.operators)
