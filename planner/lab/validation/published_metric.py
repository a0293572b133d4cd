"""Metric names, units and loads of published tables → what is predicted; data/published.toml."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from planner.lab.validation.cells import MOST_REQUESTS, MOST_TOKENS, count, parse_int, positive
from planner.lab.validation.records import NotCoveredError

_FILE = Path(__file__).resolve().parent / "data" / "published.toml"
_NAMED = re.compile(r"(?:bs|batch(?: size)?|c|conc(?:urrency)?)\s*[=: ]\s*(\d+(?:\.0)?)", re.I)
_PER_DEVICE = re.compile(r"(\d+(?:\.0)?)\s*/\s*(?:gpu|device|rank)", re.I)
_RATE = re.compile(r"\brate\b|req(uests)?/s", re.IGNORECASE)
TIMES = frozenset({"ttft", "tpot", "latency", "prefill_time"})


@dataclass(frozen=True, slots=True)
class MetricMeaning:
    """What a row's value is. ``quantity``: a time, or a rate over ``of`` (total, device, node,
    user, requests). ``isl``, ``osl``: lengths in the name, 0 for none; ``single_sequence``: one
    in flight. ``seconds``: the unit of a time. ``scenario``: server, interactive or empty."""

    quantity: str
    of: str
    isl: int
    osl: int
    single_sequence: bool
    seconds: float
    scenario: str


@dataclass(frozen=True, slots=True)
class RequestLoad:
    """Requests in flight: ``batch`` over all devices or ``each`` a device (0: as many as fit);
    ``limits`` names those of a task."""

    batch: float
    each: float
    limits: str


def measured(metric: str, unit: str) -> MetricMeaning:
    """The quantity behind a metric's name and unit.

    Raises:
        NotCoveredError: another quantity, or a unit that does not fit it.
    """
    entry, match = _first("metric", metric)
    if entry is None or match is None:
        raise NotCoveredError("quantity not predicted")
    quantity = str(entry["quantity"])
    name, _ = _first("unit", unit)
    if name is None:
        raise NotCoveredError("malformed row")
    of = str(name.get("of") or entry.get("of", "total"))
    if quantity in TIMES and of != "user" and "seconds" not in name:
        raise NotCoveredError("malformed row")
    if (quantity not in TIMES or of == "user") and "seconds" in name:
        raise NotCoveredError("malformed row")
    lengths = {k: parse_int(v) for k, v in match.groupdict().items() if v}
    scenario = re.search(r"server|interactive", metric, re.I)
    return MetricMeaning(
        quantity,
        of,
        min(lengths.get("isl", 0), MOST_TOKENS),
        min(lengths.get("osl", 0), MOST_TOKENS),
        bool(entry.get("alone")),
        float(name.get("seconds", 1.0)),
        scenario[0].lower() if scenario else "",
    )


def load(text: str, what: MetricMeaning) -> RequestLoad:
    """The load that a cell of ``batch_or_concurrency`` names; ranges and other text are not one.

    Raises:
        NotCoveredError: no single load.
    """
    text = text.strip()
    if _RATE.search(text):
        raise NotCoveredError("open arrivals")
    if what.single_sequence:
        return RequestLoad(1.0, 0.0, "")
    if not text:
        if what.quantity in TIMES or what.quantity.startswith(("decode", "prefill")):
            raise NotCoveredError("setting not stated")
        return RequestLoad(0.0, 0.0, what.scenario)
    entry, _ = _first("load", text)
    if entry is not None:
        return RequestLoad(
            float(entry.get("batch", 0)), 0.0, str(entry.get("limits", what.scenario))
        )
    each = _PER_DEVICE.fullmatch(text)
    if each is not None:
        return RequestLoad(0.0, float(count(each[1], MOST_REQUESTS)), "")
    named = _NAMED.fullmatch(text)
    number = named[1] if named is not None else text
    try:
        float(number)
    except ValueError:
        raise NotCoveredError("setting not stated") from None
    return RequestLoad(max(1.0, positive(number, MOST_REQUESTS)), 0.0, "")


def older_prompts(software: str, what: MetricMeaning) -> str:
    """Why the prompts of ``software`` ran on other kernels than those modelled; empty if not."""
    entry, _ = _first("older", software)
    prompts = what.quantity in ("ttft", "latency", "prefill_time", "prefill_tokens_per_second")
    return str(entry["reason"]) if entry is not None and prompts else ""


def _first(table: str, text: str) -> tuple[dict[str, Any] | None, re.Match[str] | None]:
    """The first entry of ``table`` that matches all of ``text``, and the match."""
    for pattern, entry in _patterns()[table]:
        match = pattern.fullmatch(text.strip())
        if match is not None:
            return entry, match
    return None, None


@cache
def _patterns() -> dict[str, list[tuple[re.Pattern[str], dict[str, Any]]]]:
    rules = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {
        name: [(re.compile(e["match"], re.I | re.S), e) for e in rules[name]]
        for name in ("metric", "unit", "load", "older")
    }
