"""Tier T0: the loss of every choice without a checkpoint, in nats of mean KL.

    loss(unit, scheme) = Σ over its layers α(kind, layer) · e(reference, kind, scheme)

e is the relative output error power of the bit-exact emulator (data/relative_error.json); α comes
from measured models (:mod:`planner.quality.sensitivity`), or is derived for kinds that were never
measured (data/priors.toml). Norms and cached entries included, no checkpoint is read.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.base.errors import UnsupportedError
from planner.base.records import cached_record
from planner.formats.schemes import SCHEMES
from planner.formats.stored_schemes import stored_scheme
from planner.placement.modules import AS_RELEASED_KINDS
from planner.quality.cache_loss import CacheLaw, law_of

if TYPE_CHECKING:
    from planner.quality.sensitivity.records import Sensitivities

_DATA = Path(__file__).resolve().parent / "data"
NORM_SCHEME = "fp8-block"
RULE_KINDS = AS_RELEASED_KINDS
"""Kinds that rules keep as released; their losses never count in the unit of relative loss."""
DERIVED_KINDS = ("router", "indexer", "norm")
"""Kinds whose sensitivity is derived, not measured."""
OUTSIDE = "all"
"""The bucket of what is outside the stack."""
_PLAIN = {"bf16": "bf16", "fp16": "bf16", "fp32": "bf16"}
WEIGH_AS = {"router": "experts-down", "indexer": "attention-out"}
"""Kind that was not measured → the kind whose sensitivity it has, as its error is emulated to that
kind's outputs."""


@cached_record
class Prior:
    """What T0 needs beside sensitivities, as read from the data files.

    ``error[reference][kind][scheme]`` and ``cache_error[kind][layout]`` are relative error powers;
    ``overflow``, ``flushed`` and ``activation_error`` (inputs alone) have the shape of ``error``.
    ``rotated_cache_error`` where an engine rotates heads first; ``caches`` is the law of what they
    lose. ``rule_band`` is the factor
    ÷/× of what DERIVED_KINDS lose, ``format_band`` of one format against
    another. ``imatrix_error`` ``with`` and ``without`` an importance matrix, by kind and scheme, is
    of weights alone.
    """

    error: Mapping[str, Mapping[str, Mapping[str, float]]]
    overflow: Mapping[str, Mapping[str, Mapping[str, float]]]
    flushed: Mapping[str, Mapping[str, Mapping[str, float]]]
    cache_error: Mapping[str, Mapping[str, float]]
    caches: CacheLaw
    ends: int
    rule_band: float
    activation_band: float
    format_band: float
    flushed_limit: float
    seed: int
    date: str = ""
    rotated_cache_error: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    activation_error: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    imatrix_error: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)


@cache
def load_prior() -> Prior:
    """Read the shipped tables (once a process)."""
    priors: dict[str, Any] = tomllib.loads((_DATA / "priors.toml").read_text(encoding="utf-8"))
    tables: dict[str, Any] = json.loads((_DATA / "relative_error.json").read_text(encoding="utf-8"))
    weighed: dict[str, Any] = json.loads((_DATA / "imatrix_error.json").read_text(encoding="utf-8"))
    return Prior(
        error=tables["error"],
        overflow=tables["overflow"],
        flushed=tables["flushed"],
        cache_error=tables["cache_error"],
        caches=law_of(priors["caches"]),
        ends=priors["depth"]["ends_layers"],
        rule_band=priors["rules"]["band_factor"],
        activation_band=priors["activations"]["band_factor"],
        format_band=priors["formats"]["band_factor"],
        flushed_limit=priors["range"]["flushed_share_limit"],
        seed=tables["seed"],
        date=priors["date"],
        rotated_cache_error=tables["rotated_cache_error"],
        activation_error=tables["activation_error"],
        imatrix_error={side: weighed[side] for side in ("with", "without")},
    )


_SUPER_BLOCK = "ggml-q4_k"
"""A scheme whose inputs are rounded as beside every type that needs an importance matrix."""


def module_error(
    prior: Prior,
    reference: str,
    kind: str,
    scheme: str,
    *,
    weighed: bool = False,
) -> float | None:
    """Relative output error power of ``kind`` in ``scheme``; None where it was not emulated.

    ``weighed``: a ggml type is written with an importance matrix of the model. Its inputs lose what
    they lose, its weights with / without times as much, as measured on synthetic tensors
    (:mod:`planner.lab.tables.imatrix`); what a file already stores so loses nothing.
    """
    error = prior.error[reference].get(kind, {}).get(scheme)
    better = prior.imatrix_error.get("with", {}).get(kind, {}).get(scheme) if weighed else None
    if better is None:
        return error
    table = prior.activation_error.get(reference) or prior.activation_error["bf16"]
    inputs = table[kind].get(scheme, table[kind].get(_SUPER_BLOCK, 0.0))
    if error is None:
        return inputs + better
    before = prior.imatrix_error["without"][kind][scheme]
    return inputs + max(0.0, error - inputs) * (better / before)


def reference_of(quantization: str, prior: Prior) -> str:
    """The error table for weights released in ``quantization``: that of the same weight format; of
    a ggml type or a scheme of checkpoints without one that of BF16 (:func:`stands_in` tells it).

    Raises:
        UnsupportedError: no table was computed for that reference.
    """
    name = _PLAIN.get(quantization, quantization)
    if name in prior.error:
        return name
    stored = SCHEMES[name].weight if name in SCHEMES else None
    for known in prior.error:
        if stored is not None and SCHEMES[known].weight == stored:
            return known
    if stands_in(quantization, prior):
        return "bf16"
    raise UnsupportedError(
        f"no emulated error for weights released as {quantization!r}",
        hint="known references: " + ", ".join(sorted(prior.error)),
    )


def stands_in(quantization: str, prior: Prior) -> bool:
    """Whether BF16's errors stand for those of weights that are stored in a ggml type, or in a
    scheme that only checkpoints have: values on a grid lose no more by another one than values on
    none."""
    if stored_scheme(quantization) is not None:
        return quantization not in prior.error
    return (
        quantization.startswith("ggml-")
        and quantization not in prior.error
        and quantization in SCHEMES
    )


def bucket_of(layer: int, layers: int, ends: int) -> str:
    """first, middle or last by position in the stack."""
    if layer < ends:
        return "first"
    return "last" if layer >= layers - ends else "middle"


def module_alpha(sensitivities: Sensitivities, kind: str, layer: int) -> float | None:
    """α of a module kind in a layer (−1 outside the stack) [nats per unit of relative output error
    power]; None where the model has no such matrices."""
    if kind == "norm":
        return sensitivities.level / max(1, len({m.layer for m in sensitivities.matrices}))
    return sensitivities.by_unit.get((WEIGH_AS.get(kind, kind), layer))


def part_alpha(sensitivities: Sensitivities, kind: str, part: str, layer: int) -> float | None:
    """α of one matrix of a module kind in a layer (:mod:`planner.placement.parts`)."""
    return sensitivities.by_part.get((kind, part, layer))


def cache_error(prior: Prior, kind: str, layout: str, *, rotated: bool = False) -> float | None:
    """Relative error power of the attention output with entries of ``kind`` in ``layout``; None
    where it was not emulated. ``rotated``: the engine rotates heads before it quantises them."""
    plain = prior.cache_error.get(kind, {}).get(layout)
    return prior.rotated_cache_error.get(kind, {}).get(layout, plain) if rotated else plain


def mix_band(sensitivities: Sensitivities, prior: Prior) -> float:
    """The factor ÷/× within which two losses of one model cannot be told apart: what is unknown of
    the level is common to both, what is unknown of kinds and formats is not."""
    return combined(sensitivities.mix_band, prior.format_band)


def total_band(sensitivities: Sensitivities) -> float:
    """The factor ÷/× of a loss itself, as whole models in one format held it."""
    return sensitivities.whole_band


def combined(*factors: float) -> float:
    """The factor of independent errors that each hold a factor ÷/×."""
    return math.exp(math.sqrt(math.fsum(math.log(f) ** 2 for f in factors)))


def range_failure(prior: Prior, reference: str, kind: str, scheme: str) -> str:
    """Why the number range of ``scheme`` is too small for ``kind``; empty if it is not."""
    overflow = prior.overflow[reference].get(kind, {}).get(scheme, 0.0)
    flushed = prior.flushed[reference].get(kind, {}).get(scheme, 0.0)
    if overflow > 0:
        return f"{scheme} overflows on {overflow:.2g} of {kind} elements"
    if flushed > prior.flushed_limit:
        return f"{scheme} flushes {flushed:.1%} of {kind} elements to zero"
    return ""
