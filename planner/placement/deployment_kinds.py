"""What measured deployments are compared by: the class of a layout, the range of its load."""

from __future__ import annotations

from bisect import bisect_left

from planner.placement.layout import Layout

POOLED = ("pools", "pools+pp")
"""Classes of two pools: decode workers without and with pipeline stages."""
LAYOUT_CLASSES = ("tp", "tp+ep", "attention dp", "pp", *POOLED)
"""Classes of layouts that engines run by different code."""
CONCURRENCY_RANGES = ("1-8", "9-32", "33-128", "129-256", ">256")
"""Ranges of the requests in flight over a deployment."""
_LAST = (8.0, 32.0, 128.0, 256.0)


def layout_class(layout: Layout, *, pools: bool = False) -> str:
    """The class of ``layout``, of LAYOUT_CLASSES: the first that applies of ``pools`` (prefill
    workers apart from decode workers, of which ``layout`` is), pipeline stages, attention data
    parallel, experts on ranks of their own; tensor parallel, and one device, else."""
    if pools:
        return POOLED[layout.pp > 1]
    if layout.pp > 1:
        return "pp"
    if layout.dp > 1:
        return "attention dp"
    return "tp+ep" if layout.ep > 1 else "tp"


def concurrency_range(requests: float) -> str:
    """The range of CONCURRENCY_RANGES that ``requests`` in flight lie in; a fraction counts to the
    range above the number that it exceeds."""
    return CONCURRENCY_RANGES[bisect_left(_LAST, requests)]
