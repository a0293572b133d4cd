"""How engines schedule and what their host costs a step, by version.

From ``data/engine_policy.toml``.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from planner.base.records import record
from planner.throughput.pipelining import pipelining
from planner.throughput.scheduling import Scheduling

_FILE = Path(__file__).resolve().parent / "data" / "engine_policy.toml"


@record
class EnginePolicy:
    """A scheduler and where its host figures come from; ``supplied`` describes rows that gave
    them."""

    policy: Scheduling
    supplied: tuple[tuple[str, Any], ...]
    source: str


@record
class HostClass:
    """What drives a device: ``factor`` on every time of the host that the rules state."""

    name: str
    factor: float
    source: str


def host_class(device: str) -> HostClass:
    """The host that a ``device`` (its id; empty: none in particular) is taken to have."""
    return next(
        HostClass(str(entry["class"]), float(entry["factor"]), str(entry["source"]))
        for entry in _rules()["host"]
        if _is(entry["device"], device)
    )


def engine_policy(engine: str, version: str, device: str = "") -> EnginePolicy:
    """How ``engine`` schedules at ``version`` on the host of ``device``."""
    host = host_class(device)
    pace = host.factor * 1e-6
    for entry in _rules()["policy"]:
        if (
            _is(entry["engine"], engine)
            and _is(entry["version"], version)
            and _is(entry.get("device", ".*"), device)
        ):
            policy = Scheduling(
                exclusive=entry["exclusive"],
                reserve=entry["reserve"],
                host_seconds=entry["host_us"] * pace,
                host_seconds_per_sequence=entry["host_us_per_sequence"] * pace,
                overlapped=entry["overlapped"],
                exposed_seconds_per_sequence=entry.get("exposed_us_per_sequence", 0) * pace,
                ahead=entry.get("ahead", int(entry["overlapped"])),
                cohorts=entry.get("cohorts", False),
                pipelining=pipelining(engine, version),
            )
            source = f"{entry['source']}; {host.source}" if entry["host_us"] else entry["source"]
            return EnginePolicy(policy, tuple(sorted(entry.get("supplied", {}).items())), source)
    raise AssertionError("the last rule matches everything")


@record
class PromptHost:
    """What the host costs a prompt: seconds a layer of a pass without a captured graph, seconds of
    a request outside the pass; ``concurrency`` up to which rows of the same engine, version and
    kind of model gave both (0: none did). ``factor``: what a prompt adds to a pass over the sum of
    its operators; ``captured_tokens``: of passes that replay a graph."""

    layer_seconds: float
    handling_seconds: float
    concurrency: float
    source: str
    factor: float = 1.0
    captured_tokens: float = 0.0

    def slower(self, factor: float) -> PromptHost:
        """The same host where all of its work takes ``factor`` times as long."""
        if factor == 1.0:
            return self
        return replace(
            self,
            layer_seconds=self.layer_seconds * factor,
            handling_seconds=self.handling_seconds * factor,
        )


@lru_cache(maxsize=1024)
def prompt_host(engine: str, version: str, device: str = "", *, experts: bool) -> PromptHost:
    """The host's cost of a prompt in ``engine`` at ``version`` on the host of ``device``, for
    models with ``experts`` or without."""
    pace = host_class(device).factor * 1e-6
    for entry in _rules()["prompt"]:
        if (
            _is(entry["engine"], engine)
            and _is(entry["version"], version)
            and entry.get("experts", experts) == experts
        ):
            return PromptHost(
                entry["us_per_layer"] * pace,
                entry["handling_us"] * pace,
                float(entry.get("supplied_concurrency", 0)),
                entry["source"],
                *_reading(engine, version),
            )
    raise AssertionError("the last rule matches everything")


def _reading(engine: str, version: str) -> tuple[float, float]:
    """(what a prompt adds to a pass of ``engine`` over the sum of its operators, tokens of a pass
    up to which graphs are captured)."""
    return next(
        (float(entry["factor"]), float(entry.get("captured_tokens", 0)))
        for entry in _rules()["reading"]
        if _is(entry["engine"], engine) and _is(entry["version"], version)
    )


def with_slower_steps(policy: Scheduling, factor: float) -> Scheduling:
    """``policy`` where the host's work for a step takes ``factor`` times as long."""
    if factor == 1.0:
        return policy
    return replace(
        policy,
        host_seconds=policy.host_seconds * factor,
        host_seconds_per_sequence=policy.host_seconds_per_sequence * factor,
        exposed_seconds_per_sequence=policy.exposed_seconds_per_sequence * factor,
    )


def with_slower_prompts(policy: Scheduling, factor: float) -> Scheduling:
    """``policy`` where the host's work for a prompt takes ``factor`` times as long."""
    return replace(
        policy,
        prompt_floor_seconds=policy.prompt_floor_seconds * factor,
        handling_seconds=policy.handling_seconds * factor,
    )


def with_prompt_host(policy: Scheduling, host: PromptHost, layers: int) -> Scheduling:
    """``policy`` of a model with ``layers`` layers, prompts at the cost of ``host``."""
    return replace(
        policy,
        reading_factor=host.factor,
        captured_tokens=host.captured_tokens,
        prompt_floor_seconds=host.layer_seconds * layers,
        handling_seconds=host.handling_seconds,
    )


def supplied_host_time(rule: EnginePolicy, facts: dict[str, Any]) -> bool:
    """Whether a row with these ``facts`` (model, tp, isl, osl) gave the policy its host time."""
    if not rule.supplied:
        return False
    for key, wanted in rule.supplied:
        value = facts[key]
        if isinstance(wanted, str):
            if wanted.lower() not in str(value).lower():
                return False
        elif value not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def shared_experts_overlap(engine: str, scheme: str) -> str:
    """Why ``engine`` runs shared experts in ``scheme`` on a second stream beside the routed ones:
    the source; empty where it does not."""
    return next(
        (
            str(entry["source"])
            for entry in _rules()["second_stream"]
            if _is(entry["engine"], engine) and scheme in entry["schemes"]
        ),
        "",
    )


def stored_scales(engine: str) -> str:
    """Why checkpoints of ``engine`` in FP8 per tensor carry the scales of activations: the source;
    empty where they may not."""
    return next(
        (
            str(entry["source"])
            for entry in _rules()["stored_scales"]
            if _is(entry["engine"], engine)
        ),
        "",
    )


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text.strip(), re.IGNORECASE | re.DOTALL) is not None


@cache
def _rules() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
