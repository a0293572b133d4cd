"""Tier T0: the relative loss of every choice, from emulated error and a prior sensitivity.

    loss(unit, scheme) = layers · α(kind) · depth(bucket) · e(reference, kind, scheme) / N

e is the relative output error power of the bit-exact emulator (data/relative_error.json), α and
depth the prior (data/priors.toml), N the same sum for uniform fp8-block on the same model, so that
1.0 = uniform fp8-block. No checkpoint is read and no nats are claimed.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any

from planner.errors import UnsupportedError
from planner.formats.schemes import SCHEMES
from planner.placement.modules import AS_RELEASED_KINDS
from planner.records import cached_record

_DATA = Path(__file__).resolve().parent / "data"
NORM_SCHEME = "fp8-block"
ANCHOR_KINDS = ("attention-qkv", "attention-out", "mlp-gate-up", "mlp-down")
RULE_KINDS = AS_RELEASED_KINDS
"""Kinds that rules keep as released; their losses never count in the unit of relative loss."""
OUTSIDE = "all"
"""The bucket of what is outside the stack."""
_PLAIN = {"bf16": "bf16", "fp16": "bf16", "fp32": "bf16"}


@cached_record
class Prior:
    """Everything T0 needs, as read from the data files.

    ``error[reference][kind][scheme]`` and ``cache_error[kind][layout]`` are relative error powers;
    ``overflow``, ``flushed`` and ``activation_error`` (inputs alone) have the shape of ``error``.
    ``rule_band`` is the factor ÷/× of what kinds of RULE_KINDS lose, ``band`` that of the others.
    """

    error: Mapping[str, Mapping[str, Mapping[str, float]]]
    overflow: Mapping[str, Mapping[str, Mapping[str, float]]]
    flushed: Mapping[str, Mapping[str, Mapping[str, float]]]
    cache_error: Mapping[str, Mapping[str, float]]
    kind: Mapping[str, float]
    depth: Mapping[str, float]
    ends: int
    rule_band: float
    cache_ratio: Mapping[str, float]
    anchor_layout: str
    flushed_limit: float
    band: float
    seed: int
    date: str = ""
    activation_error: Mapping[str, Mapping[str, Mapping[str, float]]] = field(
        default_factory=dict)


@cache
def load_prior() -> Prior:
    """Read the shipped tables (once a process)."""
    priors: dict[str, Any] = tomllib.loads((_DATA / "priors.toml").read_text(encoding="utf-8"))
    tables: dict[str, Any] = json.loads(
        (_DATA / "relative_error.json").read_text(encoding="utf-8"))
    return Prior(
        error=tables["error"], overflow=tables["overflow"], flushed=tables["flushed"],
        cache_error=tables["cache_error"],
        kind={**{k: v for k, v in priors["kind"].items() if k != "source"},
              **{k: priors["rules"][k] for k in RULE_KINDS}},
        depth={OUTSIDE: 1.0, **{k: priors["depth"][k] for k in ("first", "middle", "last")}},
        ends=priors["depth"]["ends_layers"], rule_band=priors["rules"]["band_factor"],
        cache_ratio={k: v for k, v in priors["cache"].items() if k.startswith("kv-")},
        anchor_layout=priors["cache"]["anchor_layout"],
        flushed_limit=priors["range"]["flushed_share_limit"], band=priors["band_factor"],
        seed=tables["seed"], date=priors["date"], activation_error=tables["activation_error"])


def reference_of(quantization: str, prior: Prior) -> str:
    """The error table for weights released in ``quantization``: that of the same weight format.

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
    raise UnsupportedError(
        f"no emulated error for weights released as {quantization!r}",
        hint="known references: " + ", ".join(sorted(prior.error)))


def bucket_of(layer: int, layers: int, ends: int) -> str:
    """first, middle or last by position in the stack."""
    if layer < ends:
        return "first"
    return "last" if layer >= layers - ends else "middle"


def layer_loss(prior: Prior, reference: str, kind: str, bucket: str, scheme: str) -> float | None:
    """α · depth · e of one layer, not yet relative; None where no error was emulated."""
    error = prior.error[reference].get(kind, {}).get(scheme)
    if error is None or kind not in prior.kind:
        return None
    return prior.kind[kind] * prior.depth[bucket] * error


def cache_layer_loss(prior: Prior, kind: str, bucket: str, layout: str) -> float | None:
    """The same for a cache unit, anchored to the measured ratio of an FP8 cache (priors.toml)."""
    errors = prior.cache_error.get(kind, {})
    if layout not in errors:
        return None
    dense = math.fsum(prior.kind[k] * prior.error["bf16"][k][NORM_SCHEME] for k in ANCHOR_KINDS)
    alpha = prior.cache_ratio[kind] * dense / errors[prior.anchor_layout]
    return alpha * prior.depth[bucket] * errors[layout]


def range_failure(prior: Prior, reference: str, kind: str, scheme: str) -> str:
    """Why the number range of ``scheme`` is too small for ``kind``; empty if it is not."""
    overflow = prior.overflow[reference].get(kind, {}).get(scheme, 0.0)
    flushed = prior.flushed[reference].get(kind, {}).get(scheme, 0.0)
    if overflow > 0:
        return f"{scheme} overflows on {overflow:.2g} of {kind} elements"
    if flushed > prior.flushed_limit:
        return f"{scheme} flushes {flushed:.1%} of {kind} elements to zero"
    return ""


def normaliser(prior: Prior, units: Sequence[tuple[str, str, str, int]]) -> float:
    """Unscaled loss of uniform fp8-block over ``units`` = (reference, kind, bucket, layers)."""
    total = 0.0
    for reference, kind, bucket, layers in units:
        loss = layer_loss(prior, reference, kind, bucket, NORM_SCHEME)
        if loss is not None:
            total += layers * loss
    return total
