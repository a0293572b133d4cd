"""Expert dispatch and combine: tokens to the ranks of their experts and back.

    t = (u^q + v^q)^(1/q)
    u = a0 + ae·E + [m > 1]·a1
    v = max( s·(1 − 1/g)·H·b / (e·L),  s·(1 − 1/m)·H·b / (ew·W) )       second one for m > 1 nodes
    s = T·k                            low-latency kernels: a copy for each expert
    s = T·ep·(1 − (1 − 1/ep)^k)        high-throughput kernels: a copy for each distinct rank

T tokens of a rank, k of E experts each, on ep ranks in m nodes of g; H features of b bytes; L
bytes/s of the links in a node, W of the network, each of a device in one direction. u waits for
counts and signals, one for each expert; q says how far the copies overlap with it. Combine moves
BF16 whatever the dispatch does. Forms of the kernels: github.com/deepseek-ai/DeepEP.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.throughput.forms.base import Parameter, Parameters, checked_parameters, power_sum

Array = NDArray[np.float64]

OPERATOR = "dispatch"
NETWORK = ":network"
"""Ending of the variant of a set that was measured across nodes."""
PARAMETERS = (
    Parameter("launch_seconds", 2e-5, 1e-6, 5e-4, "s", device=True),
    Parameter("expert_seconds", 1e-8, 1e-11, 1e-6, "s", prior=3.0),
    Parameter("link_fraction", 0.6, 0.02, 1.0, prior=1.0, device=True),
    Parameter("sharpness", 1.5, 1.0, 6.0, prior=1.0),
)
ACROSS = (
    *PARAMETERS,
    Parameter("node_seconds", 1e-5, 1e-8, 2e-4, "s"),
    Parameter("network_fraction", 0.8, 0.1, 1.0, prior=0.5, device=True),
)
BYTES = {"bf16": 2.0, "fp8": 1.0 + 4.0 / 128.0, "nvfp4": 0.5625, "fp4": 0.5625}
"""Bytes of a dispatched feature, scales included."""


@record
class Exchange:
    """What a rank sends, numbers or arrays that broadcast. ``copies`` is s; ``feature_bytes`` H·b
    of one copy; ``per_node`` devices of the group in a node."""

    copies: Array
    feature_bytes: Array
    experts: Array
    per_node: Array
    nodes: Array


def copies(tokens: Array, per_token: Array, ranks: Array, *, distinct: bool) -> Array:
    """Copies of its tokens that a rank sends (broadcast): one an expert, or one a ``distinct``
    rank."""
    if not distinct:
        return np.asarray(tokens * per_token)
    return np.asarray(tokens * ranks * (1.0 - (1.0 - 1.0 / ranks) ** per_token))


def parameters_of(variant: str) -> tuple[Parameter, ...]:
    """The parameters of ``BACKEND:PHASE:DTYPE``, with those of the network where measured."""
    return ACROSS if variant.endswith(NETWORK) else PARAMETERS


def dispatch_seconds(
    parameters: Parameters,
    variant: str,
    exchange: Exchange,
    *,
    link_bytes_per_s: float,
    network_bytes_per_s: float,
) -> Array:
    """Seconds of one exchange; a group across nodes needs a set with the network's parameters."""
    p = checked_parameters(parameters, parameters_of(variant), f"{OPERATOR} {variant}")
    moved = exchange.copies * exchange.feature_bytes
    start = p["launch_seconds"] + p["expert_seconds"] * exchange.experts
    sent = np.asarray(moved * (1.0 - 1.0 / exchange.per_node))
    # One device a node has no link inside it, and sends nothing there.
    busy = np.divide(
        sent, p["link_fraction"] * link_bytes_per_s, out=np.zeros_like(sent), where=sent > 0
    )
    if "network_fraction" in p:
        across = (
            moved * (1.0 - 1.0 / exchange.nodes) / (p["network_fraction"] * network_bytes_per_s)
        )
        start = start + np.where(exchange.nodes > 1, p["node_seconds"], 0.0)
        busy = np.maximum(busy, across)
    return power_sum(np.asarray(start), np.asarray(busy), p["sharpness"])
