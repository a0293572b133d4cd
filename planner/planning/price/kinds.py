"""Kinds of served deployments: what an answer has in common with deployments that were measured.

Rows are of the *very* kind of an answer where all keys are the same. Where there are none, keys are
given up in the order of RELAXED, the least telling first; engine and class of model never are, and
of layouts only tensor parallelism with and without expert parallelism stand for each other.
"""

from __future__ import annotations

from dataclasses import fields

from planner.base.records import record
from planner.throughput.attended import model_class as model_class
from planner.throughput.calibration import ANY_ENGINE

PLAIN_CACHES = ("bf16", "fp16", "fp8")
"""Cache layouts whose rows may stand for each other; packed ones have kernels of their own."""
OFFLOAD = "offload"
"""Weights in host memory, of which no row was served."""
ONE_POOL = ("tp", "tp+ep")
RELAXED: tuple[tuple[str, ...], ...] = (
    (),
    ("requests",),
    ("requests", "cache"),
    ("requests", "cache", "device"),
    ("requests", "cache", "precision"),
    ("requests", "cache", "device", "precision"),
    ("requests", "cache", "device", "precision", "layout"),
)
"""Keys that are given up, in order. Without ``device`` the architecture stays."""


@record
class ServedKind:
    """What is served how: ``model`` is dense, moe, mla or compressed, ``layout`` a class of
    :mod:`planner.placement.deployment_kinds` or OFFLOAD, ``requests`` a range of them,
    ``precision`` the scheme of the experts where there are any, else of the dense linears,
    ``cache`` its layout."""

    engine: str
    architecture: str
    device: str
    model: str
    layout: str
    precision: str
    cache: str
    requests: str

    def without(self, given_up: tuple[str, ...]) -> str:
        """The keys that are left, as plans tell them."""
        return ", ".join(
            getattr(self, f.name)
            for f in fields(self)
            if f.name not in given_up
            and (f.name != "architecture" or "device" in given_up)
            and not (f.name == "engine" and self.engine == ANY_ENGINE)
        )

    def stands_for(self, other: ServedKind, given_up: tuple[str, ...]) -> bool:
        """Whether rows of this kind speak for ``other`` when some keys are given up."""
        return (
            other.engine in (self.engine, ANY_ENGINE)
            and self.model == other.model
            and self.architecture == other.architecture
            and ("device" in given_up or self.device == other.device)
            and ("precision" in given_up or self.precision == other.precision)
            and ("requests" in given_up or self.requests == other.requests)
            and _same(self.cache, other.cache, PLAIN_CACHES if "cache" in given_up else ())
            and _same(self.layout, other.layout, ONE_POOL if "layout" in given_up else ())
        )


def _same(one: str, other: str, alike: tuple[str, ...]) -> bool:
    return one == other or (one in alike and other in alike)
