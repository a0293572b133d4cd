"""Measured collectives and expert exchanges of a device, as a deployment's fabric uses them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Message, message
from planner.throughput.calibration import Certainty, fitted_set
from planner.throughput.forms import collective, dispatch
from planner.throughput.forms.base import Parameters
from planner.throughput.silicon import chip

Array = NDArray[np.float64]
_DATA = Path(__file__).resolve().parent / "data"
OTHER = "other"


@cached_record
class Curve:
    """Seconds of one collective inside the domain: a table, or the formula of a relative."""

    op: str
    link_bytes_per_s: float
    formula: Parameters
    table: collective.CollectiveTable | None
    certainty: Certainty

    def seconds(self, ranks: Array, message_bytes: Array) -> Array:
        """Of ``ranks`` ranks and a message of so many bytes in all; 0 for one rank [s]."""
        if self.table is not None:
            return self.table.seconds(ranks, message_bytes)
        return collective.collective_seconds(
            self.formula, self.op, self.link_bytes_per_s, ranks, message_bytes
        )


def curve(
    device: DeviceProfile, what: str, stacks: Sequence[str], link_bytes_per_s: float | None = None
) -> Curve | None:
    """The collective ``what`` (all-reduce, gather) of the first of ``stacks``, or None.

    The device's own table; its own formula where another link is given; else the formula of its
    relative with the device's link.
    """
    figures = chip(device)
    own_link = figures.link_bytes_per_s if figures is not None else 0.0
    link = link_bytes_per_s or own_link
    if link <= 0:
        return None
    choices = _rules()[what]
    for stack, variant in [choices[s] for s in (*stacks, OTHER) if s in choices]:
        formula = fitted_set(device, collective.OPERATOR, [stack], [variant + collective.FORMULA])
        if formula is None:
            continue
        op = variant.partition(":")[0]
        measured = device.fitted.get((collective.OPERATOR, stack, variant))
        if measured is not None and link == own_link:
            table = collective.table_of(op, measured.table, formula.fit.parameters, link)
            how = Certainty("fitted", measured.error.sigma, _source(stack, variant, device.id))
            return Curve(op, link, formula.fit.parameters, table, how)
        basis = formula.basis if link == own_link else "transferred"
        how = Certainty(basis, formula.sigma, _source(stack, variant, formula.origin))
        return Curve(op, link, formula.fit.parameters, None, how)
    return None


@cached_record
class ExchangeCurve:
    """One leg of an expert exchange with one backend: parameters by element type, inside the
    domain and, where measured, across nodes."""

    distinct: bool
    inside: Mapping[str, tuple[str, Parameters]]
    across: Mapping[str, tuple[str, Parameters]]

    def seconds(
        self, work: ExchangeWork, feature_bytes: float, *, link: float, network: float
    ) -> Array:
        """Seconds [C]; NaN for groups across nodes where none were measured."""
        sent = dispatch.Exchange(
            dispatch.copies(
                work.tokens, np.asarray(work.per_token), work.ranks, distinct=self.distinct
            ),
            np.asarray(feature_bytes * work.hidden),
            np.asarray(work.experts),
            np.maximum(work.ranks / work.nodes, 1.0),
            np.minimum(work.nodes, work.ranks),
        )
        variant, parameters = _nearest(self.inside, feature_bytes)
        leg_seconds = dispatch.dispatch_seconds(
            parameters, variant, sent, link_bytes_per_s=link, network_bytes_per_s=np.inf
        )
        wide = work.nodes > 1
        if not wide.any():
            return leg_seconds
        if not self.across:
            return np.where(wide, np.nan, leg_seconds)
        variant, parameters = _nearest(self.across, feature_bytes)
        over = dispatch.dispatch_seconds(
            parameters, variant, sent, link_bytes_per_s=link, network_bytes_per_s=network
        )
        return np.where(wide, over, leg_seconds)


@record
class ExchangeWork:
    """What an exchange moves: ``tokens`` of a rank, over ``ranks`` in ``nodes`` domains, [C];
    ``per_token`` of ``experts`` experts, ``hidden`` features."""

    tokens: Array
    ranks: Array
    nodes: Array
    per_token: float
    experts: float
    hidden: float

    def rows(self, where: slice) -> ExchangeWork:
        """The candidates at ``where``."""
        return replace(
            self, tokens=self.tokens[where], ranks=self.ranks[where], nodes=self.nodes[where]
        )


def exchanges(device: DeviceProfile, stacks: Sequence[str]) -> dict[tuple[str, str], ExchangeCurve]:
    """(phase, leg) → the exchange that the first of ``stacks`` uses; phases decode and prefill,
    legs dispatch and combine. Empty without measurements."""
    exchange_curves: dict[tuple[str, str], ExchangeCurve] = {}
    for phase, by_stack in _rules()["dispatch"].items():
        chosen = by_stack["any"] if len(stacks) != 1 else by_stack.get(stacks[0], [])
        for leg in ("dispatch", "combine"):
            for stack, backend in chosen:
                inside = _sets(device, stack, f"{backend}:{leg}", "")
                if inside:
                    exchange_curves[phase, leg] = ExchangeCurve(
                        backend.endswith("-ht"),
                        inside,
                        _sets(device, stack, f"{backend}:{leg}", dispatch.NETWORK),
                    )
                    break
    return exchange_curves


def gathers_experts(stacks: Sequence[str], domain: int) -> str:
    """Why the engine of ``stacks`` gathers all tokens for its experts inside a host of ``domain``
    devices (all-gather, reduce-scatter) instead of an exchange: the source; empty where it does
    not."""
    if len(stacks) != 1:
        return ""
    return next(
        (
            str(rule["source"])
            for rule in _rules()["inside_host"]
            if rule["stack"] == stacks[0] and domain <= rule["most_domain"]
        ),
        "",
    )


def one_sided_experts(stacks: Sequence[str], domain: int) -> str:
    """Why the engine of ``stacks`` writes tokens straight to the ranks of their experts inside a
    ``domain`` of several hosts: the source; empty where it does not."""
    if len(stacks) != 1:
        return ""
    return next(
        (
            str(rule["source"])
            for rule in _rules()["over_hosts"]
            if rule["stack"] == stacks[0] and domain >= rule["least_domain"]
        ),
        "",
    )


def _sets(
    device: DeviceProfile, stack: str, leg: str, ending: str
) -> dict[str, tuple[str, Parameters]]:
    sets = {}
    for kind in dispatch.BYTES:
        calibration = fitted_set(device, dispatch.OPERATOR, [stack], [f"{leg}:{kind}{ending}"])
        if calibration is not None:
            sets[kind] = (calibration.fit.variant, calibration.fit.parameters)
    return sets


def _nearest(
    sets: Mapping[str, tuple[str, Parameters]], feature_bytes: float
) -> tuple[str, Parameters]:
    """The set of the element type whose bytes are nearest."""
    name = min(sets, key=lambda kind: abs(np.log(dispatch.BYTES[kind] / feature_bytes)))
    return sets[name]


def shared_memory_bytes_per_s() -> float:
    """What collectives between the sockets of a CPU reach through shared memory [B/s]."""
    return float(_rules()["shared_memory"]["bytes_per_s"])


@cache
def _rules() -> Mapping[str, Any]:
    return tomllib.loads((_DATA / "collective.toml").read_text(encoding="utf-8"))


def _source(stack: str, variant: str, device: str) -> Message:
    return message("assumptions.collective_on", stack=stack, variant=variant, device=device)
