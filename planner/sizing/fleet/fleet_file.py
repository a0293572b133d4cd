"""A fleet as it is asked: models with rates and limits, a stock of devices. Read from a table; all
that is wrong with it is told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from planner.base.errors import DataError, InputError, nearest_names
from planner.base.records import record
from planner.planning.question.percentile_limits import LimitAt, limit_at
from planner.requests.request_rate import LEAST, MOST, rate_of
from planner.scheduler.rules import LEAST_LOADED, ROUTERS
from planner.sizing.service_level import ServiceLevel, level_of

COST, SPARE = "cost", "spare"
GOALS = (COST, SPARE)
TOP = ("title", "goal", "engines", "router", "device", "model")
DEVICE = ("name", "count", "price", "devices_per_node")
LIMITS = ("ttft_ms", "tpot_ms", "e2e_ms")
MODEL = (
    "name",
    "model",
    "rate",
    *LIMITS,
    "percentile",
    "max_loss",
    "schemes",
    "kv",
    "engines",
    "workload",
)
WORKLOAD = ("workload", "isl", "osl", "context", "prefix_hit_rate", "share")
MOST_COUNT = 1_000_000
SHARES = 1e-3
"""Shares of a mix sum to 1 within so much, as people round them."""
Table = Mapping[str, Any]


@record
class DeviceInput:
    """``count`` devices of a kind for ``price`` USD an hour each, in hosts of
    ``devices_per_node``; None: the profile's."""

    name: str
    count: int
    price: float | None
    devices_per_node: int | None


@record
class RequestsInput:
    """A kind of request and its share of all: a workload's name or file, and what replaces parts of
    it."""

    workload: str | None
    isl: int | None
    osl: int | None
    context: int | None
    prefix_hit_rate: float | None
    share: float


@record
class ModelInput:
    """A model with ``rate`` requests a second, whose limits are its ``level``."""

    name: str
    model: str
    rate: float
    level: ServiceLevel
    max_loss: str | float | None
    schemes: tuple[str, ...] | None
    kv: str | None
    engines: tuple[str, ...]
    requests: tuple[RequestsInput, ...]


@record
class FleetInput:
    """The whole question. ``goal``: ``cost`` takes the cheapest devices that serve it, ``spare``
    leaves the most room for growth on all of them."""

    title: str
    goal: str
    router: str
    devices: tuple[DeviceInput, ...]
    models: tuple[ModelInput, ...]


class FileErrors:
    """What is wrong with a file, with what would do, in the order in which it was found."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.messages: list[tuple[str, str]] = []

    def add(self, message: str, hint: str) -> None:
        """One more."""
        self.messages.append((message, hint))

    def end(self) -> None:
        """
        Raises:
            DataError: something is wrong; all of it is told.
        """
        if not self.messages:
            return
        hints = list(dict.fromkeys(hint for _, hint in self.messages))
        if len(self.messages) == 1:
            raise DataError(f"{self.place}: {self.messages[0][0]}", hint=hints[0])
        text = "; ".join(
            f"({i}) {message}" for i, (message, _) in enumerate(self.messages, start=1)
        )
        raise DataError(f"{self.place}: {len(self.messages)} errors: {text}", hint="; ".join(hints))


class _Reader:
    """Values of one table by their types; what is wrong is noted, a harmless value stands in."""

    def __init__(self, errors: FileErrors, where: str, table: Table, known: Sequence[str]) -> None:
        self.errors, self.where, self.table = errors, where, table
        for key in table:
            if key not in known:
                errors.add(f"{self.at(str(key))}: unknown key", nearest_names(str(key), known))

    def at(self, key: str) -> str:
        """Where a key stands."""
        return f"{self.where}: {key}" if self.where else key

    def wrong(self, key: str, words: str, hint: str) -> None:
        """Note that a value is not as it must be."""
        value = self.table.get(key)
        text = "" if key not in self.table else f" = {value!r}"
        self.errors.add(f"{self.at(key)}{text}: {words}", hint)

    def text(
        self, key: str, example: str, *, default: str | None = None, choices: Collection[str] = ()
    ) -> str:
        """A text, one ``choices`` several where these are given."""
        value = self.table.get(key, default)
        if not isinstance(value, str) or not value.strip():
            self.wrong(key, "a text is required", f'{key} = "{example}"')
            return ""
        if choices and value not in choices:
            self.wrong(key, "unknown", nearest_names(value, choices))
            return next(iter(choices))
        return value.strip()

    def number(
        self,
        key: str,
        words: str,
        example: str,
        fits: Callable[[float], bool],
        *,
        default: float | None = None,
    ) -> float | None:
        """A number that ``fits``."""
        value = self.table.get(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
            self.wrong(key, words, f"{key} = {example}")
            return default
        return float(value)

    def integer(self, key: str, example: int, *, least: int = 1, most: int = 1 << 40) -> int | None:
        """A whole number in a range."""
        value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.wrong(
                key, f"a whole number from {least:,} to {most:,} is required", f"{key} = {example}"
            )
            return None
        return value

    def names(self, key: str) -> tuple[str, ...] | None:
        """A list of names; None where there is none."""
        value = self.table.get(key)
        if value is None:
            return None
        if (
            not isinstance(value, list | tuple)
            or not value
            or not all(isinstance(v, str) and v.strip() for v in value)
        ):
            self.wrong(key, "a list of names is required", f'{key} = ["NAME", "OTHER"]')
            return None
        return tuple(v.strip() for v in value)

    def tables(self, key: str, example: str) -> Iterator[tuple[int, Table]]:
        """The tables of an array, numbered from 1."""
        value = self.table.get(key)
        if not isinstance(value, list | tuple) or not value:
            self.wrong(key, "at least one table is required", example)
            return
        for n, table in enumerate(value, start=1):
            if isinstance(table, Mapping):
                yield n, table
            else:
                self.errors.add(f"{self.at(key)} {n}: not a table", example)


def fleet_input(table: Table, errors: FileErrors) -> FleetInput:
    """The question in a table. What is wrong in it is noted in ``errors``: unknown keys, values of
    another type or out of range, missing ones; an empty or harmless value stands in."""
    top = _Reader(errors, "", table, TOP)
    engines = top.names("engines") or ()
    devices = tuple(
        _device(_Reader(errors, f"device {n}", entry, DEVICE))
        for n, entry in top.tables("device", '[[device]] with name = "h100-sxm" and count = 16')
    )
    models = tuple(
        _model(_Reader(errors, f"model {n}", entry, MODEL), engines)
        for n, entry in top.tables(
            "model", '[[model]] with model = "llama-3.1-8b", rate, limits and workload'
        )
    )
    for what, names in (("device", [d.name for d in devices]), ("model", [m.name for m in models])):
        for name in sorted({name for name in names if name and names.count(name) > 1}):
            errors.add(
                f"{what} {name} is named twice",
                "add the counts up"
                if what == "device"
                else 'give each a name of its own: name = "chat"',
            )
    return FleetInput(
        top.text("title", "One line", default="fleet"),
        top.text("goal", COST, default=COST, choices=GOALS),
        top.text("router", LEAST_LOADED, default=LEAST_LOADED, choices=ROUTERS),
        devices,
        models,
    )


def _device(read: _Reader) -> DeviceInput:
    name = read.text("name", "h100-sxm")
    read.where = name or read.where
    count = read.integer("count", 16, least=0, most=MOST_COUNT)
    if "count" not in read.table:
        read.wrong("count", "the number of devices is required", "count = 16")
    price = read.number("price", "USD a device-hour, above 0", "2.5", _positive)
    return DeviceInput(
        name,
        count or 0,
        price or (1.0 if "price" in read.table else None),
        read.integer("devices_per_node", 8, most=MOST_COUNT),
    )


def _model(read: _Reader, engines: tuple[str, ...]) -> ModelInput:
    model = read.text("model", "llama-3.1-8b")
    name = read.text("name", "chat", default=model or "model")
    read.where = name or read.where
    first, each, whole = (_limit(read, key) for key in LIMITS)
    if not any(key in read.table for key in LIMITS):
        read.wrong(
            "ttft_ms",
            "a limit on TTFT, on TPOT, on whole requests or on several is required",
            "ttft_ms = 1000 and tpot_ms = 50",
        )
    percentile = read.number(
        "percentile", "above 0 and below 100", "90", lambda value: 0 < value / 100 < 1, default=90.0
    )
    return ModelInput(
        name,
        model,
        _rate(read),
        level_of(first, each, whole, percentile or 90.0),
        _max_loss(read),
        read.names("schemes"),
        read.text("kv", "fp8") if "kv" in read.table else None,
        read.names("engines") or engines,
        _requests(read),
    )


def _limit(read: _Reader, key: str) -> LimitAt | None:
    """Milliseconds, or a percentile with its own: ``"p99:2000"``."""
    value = read.table.get(key)
    if isinstance(value, str):
        try:
            return limit_at(key, f"{value}ms")
        except InputError as error:
            read.wrong(
                key, "milliseconds, or a percentile with them, are required", error.hint or ""
            )
            return None
    milliseconds = read.number(key, "milliseconds, above 0", "50", _positive)
    return None if milliseconds is None else LimitAt(milliseconds * 1e-3)


def _positive(value: float) -> bool:
    return 0 < value < float("inf")


def _rate(read: _Reader) -> float:
    """Requests a second."""
    value = read.table.get("rate")
    example = 'rate = 20 (requests a second), or rate = "1200/min"'
    if isinstance(value, str):
        value = rate_of(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST <= value <= MOST:
        read.wrong(
            "rate", f"a rate from {LEAST:g} to {MOST:g} requests a second is required", example
        )
        return 1.0
    return float(value)


def _max_loss(read: _Reader) -> str | float | None:
    value = read.table.get("max_loss")
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    return read.number("max_loss", "a scheme or a number above 0", '"fp8-block"', _positive)


def _requests(read: _Reader) -> tuple[RequestsInput, ...]:
    """The kinds of requests: one name, or tables with shares."""
    value = read.table.get("workload")
    if isinstance(value, str) and value.strip():
        return (RequestsInput(value.strip(), None, None, None, None, 1.0),)
    if isinstance(value, Mapping):
        value = [value]
    listed = _Reader(read.errors, read.where, {"workload": value}, ("workload",)).tables(
        "workload", 'workload = "chat", or [[model.workload]] with isl, osl and share'
    )
    reads = [
        _Reader(read.errors, f"{read.where}: workload {n}", entry, WORKLOAD) for n, entry in listed
    ]
    kinds = tuple(_kind(entry, single=len(reads) == 1) for entry in reads)
    total = sum(entry.share for entry in kinds)
    if kinds and abs(total - 1) > SHARES:
        read.errors.add(
            f"{read.where}: the shares of its workloads sum to {total:g}",
            "shares sum to 1: share = 0.7 and share = 0.3",
        )
    return (
        tuple(
            RequestsInput(k.workload, k.isl, k.osl, k.context, k.prefix_hit_rate, k.share / total)
            for k in kinds
        )
        if total > 0
        else ()
    )


def _kind(read: _Reader, *, single: bool) -> RequestsInput:
    named = read.text("workload", "chat") if "workload" in read.table else None
    isl, osl, context = (read.integer(key, 1024) for key in ("isl", "osl", "context"))
    if named is None:
        for key in ("isl", "osl"):
            if key not in read.table:
                read.wrong(key, "tokens are required", f'{key} = 1024, or workload = "chat"')
    if "share" not in read.table and not single:
        read.wrong("share", "the share of all requests is required", "share = 0.5")
    share = read.number(
        "share", "above 0, at most 1", "0.5", lambda v: 0 < v <= 1, default=1.0 if single else None
    )
    return RequestsInput(
        named,
        isl,
        osl,
        context,
        read.number("prefix_hit_rate", "from 0 to below 1", "0.5", lambda v: 0 <= v < 1),
        share or 0.0,
    )
