"""Rows of served models whose own data contradict their labels: predicted, out of headlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from planner.lab.validation.records import NotCoveredError
from planner.lab.validation.served import spec_of
from planner.models.spec import ModelSpec
from planner.throughput.serving import Served

TWIN_SHARE = 0.8
"""TPOT over that of the same deployment of a model of the same shape, below which a row is said to
draft tokens: repeats differ by 1 to 4 %."""
HELD_SHARE = 0.5
"""Share of the requests that decode, below which something other than the cache holds them."""
TWIN = "faster than its twin: speculative decoding not labelled?"
HELD = "by Little's law most requests wait although the cache has room: a batch limit not stated"
_SETTING = ("device", "software", "gemm_dtype", "parallelism", "concurrency", "isl", "osl")


@dataclass(frozen=True, slots=True)
class _Twin:
    index: int
    model: str
    tpot: float


def faster_than_twins(rows: Iterable[Mapping[str, str]]) -> frozenset[int]:
    """Numbers of rows that decode faster than TWIN_SHARE of a twin: another model's name for the
    same shape, in the same deployment at the same load."""
    groups: dict[tuple[str, ...], list[_Twin]] = {}
    for i, row in enumerate(rows):
        try:
            spec, tpot = spec_of(row["model"]), float(row["tpot_ms"])
        except (NotCoveredError, ValueError):
            continue
        key = (_shape(spec), *(row[name].strip() for name in _SETTING))
        groups.setdefault(key, []).append(_Twin(i, row["model"], tpot))
    return frozenset(
        one.index
        for twins in groups.values()
        for one in twins
        if any(one.model != other.model and one.tpot < TWIN_SHARE * other.tpot for other in twins)
    )


def _shape(spec: ModelSpec) -> str:
    """What two models have in common whose steps cost alike."""
    return f"{spec.layers} {spec.hidden_size} {spec.vocab_size}"


def held_back(concurrency: float, osl: int, *, tpot: float, ttft: float, found: Served) -> bool:
    """Whether Little's law leaves less than HELD_SHARE of the requests decoding, C·D/(D + W) with
    D = O·TPOT and W = TTFT as measured, where the cache holds them all."""
    decoding = osl * tpot
    return not found.full and decoding / (decoding + ttft) < HELD_SHARE and concurrency > 1
