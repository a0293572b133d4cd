"""What a capacity answer did not take: other devices, formats, counts and layouts as rows, and the
limits at which fewer devices would do."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import format_seconds, format_three
from planner.report.phrases import Phrases
from planner.report.plan_terms import chance
from planner.report.view.record import Items, Section, Table
from planner.report.words import NAMES
from planner.sizing.capacity_record import Capacity, CapacityOption, Compromise
from planner.sizing.options import MOST_RELAXED

MOST_ROWS = 8
MOST_FORMATS = 3
"""Formats that stand before the row of one replica fewer."""
NONE = "-"


def alternatives(own: Phrases, t: Phrases, capacity: Capacity, most: int) -> Iterator[Table]:
    """Up to ``most`` rows: the best on the other devices, the formats that cost least, one replica
    fewer."""
    devices = [_device_cells(own, t, capacity, n) for n in range(len(capacity.others))]
    devices += [_refused_cells(own, t, *pair) for pair in capacity.refused]
    formats = [option for option in capacity.options if option.kind == "format"]
    fewer = [o for o in capacity.options if o.kind == "replicas" and not o.within_limits]
    formats.sort(key=lambda o: (o.devices >= capacity.devices, o.needs_new_weights))
    ranked = [*formats[:MOST_FORMATS], *fewer, *formats[MOST_FORMATS:]]
    rows = [*devices, *(_cells(own, t, capacity, option) for option in ranked)]
    left = len(devices) + len(capacity.options) - 1 - min(len(rows), most)
    if not rows:
        return
    heads = (
        own("table.title"),
        own("table.devices"),
        own("table.dollars"),
        "TTFT",
        "TPOT",
        own("table.loss"),
        own("table.chance"),
        own("table.reason"),
    )
    note = own("table.more", n=left) if left else own("table.key")
    yield Table(heads, tuple(rows[:most]), (0, len(heads) - 1), (note,))


def _device_cells(own: Phrases, t: Phrases, capacity: Capacity, n: int) -> tuple[str, ...]:
    """The answer on another device as a row."""
    other = capacity.others[n]
    one = other.capacity
    name = own("table.on", device=one.device, name=_format_name(capacity, one.answer))
    return (
        name,
        f"{one.devices:,}",
        _dollars(one, one.answer),
        *_figures(one.answer),
        chance(other.chance_cheaper) if other.chance_cheaper is not None else NONE,
        t.original(other.reason),
    )


def _refused_cells(own: Phrases, t: Phrases, device: str, reason: str) -> tuple[str, ...]:
    return (device, *[NONE] * 6, own("table.refused", reason=t.original(reason)))


def _cells(own: Phrases, t: Phrases, capacity: Capacity, option: CapacityOption) -> tuple[str, ...]:
    return (
        _name(own, t, capacity, option),
        f"{option.devices:,}",
        _dollars(capacity, option),
        *_figures(option),
        NONE if option.chance_cheaper is None else chance(option.chance_cheaper),
        t.original(option.reason),
    )


def _figures(option: CapacityOption) -> tuple[str, str, str]:
    """Times at the percentile, and the loss; a dash where a queue has no end."""
    times = (option.ttft_seconds, option.tpot_seconds)
    first, each = (NONE if value is None else format_seconds(value) for value in times)
    return first, each, f"{option.loss:.2g}"


def _dollars(capacity: Capacity, option: CapacityOption) -> str:
    """USD a million output tokens at the rate asked."""
    million, month = capacity.usd_per_million_output_tokens, capacity.answer.usd_per_month
    if million is None or not month or option.usd_per_month is None:
        return NONE
    return format_three(million.value * option.usd_per_month / month)


def _name(own: Phrases, t: Phrases, capacity: Capacity, option: CapacityOption) -> str:
    """Formats, with the engine where it is another; a count of replicas; a layout."""
    if option.kind == "answer":
        return own("table.answer")
    if option.kind == "replicas":
        fewer = option.replicas < capacity.replicas
        return own("table.fewer" if fewer else "table.extra")
    if option.kind == "layout":
        return own("table.layout", layout=t.name(option.layout.upper()))
    engine = "" if option.engine == capacity.engine else f", {engine_called(option.engine)}"
    return _format_name(capacity, option) + engine


def engine_called(engine: str) -> str:
    """An engine's name as people write it, without its version."""
    name = engine.partition(" ")[0]
    return NAMES.get(name, name)


def _format_name(capacity: Capacity, option: CapacityOption) -> str:
    """Weights by their ids, as several are called alike; the cache where it is another."""
    cache = "" if option.kv == capacity.answer.kv else f", KV {option.kv}"
    return " + ".join(option.schemes) + cache


def all_options(own: Phrases, t: Phrases, capacity: Capacity) -> Section:
    """Every option, with money and load."""
    heads = (
        "",
        own("table.replicas"),
        own("table.devices"),
        own("table.load"),
        "TTFT",
        "TPOT",
        own("table.month"),
        own("table.reason"),
    )
    rows = tuple(
        (
            _name(own, t, capacity, option),
            f"{option.replicas:,}",
            f"{option.devices:,}",
            f"{option.load:.0%}",
            *_figures(option)[:2],
            NONE if option.usd_per_month is None else f"{option.usd_per_month:,.0f}",
            t.original(option.reason),
        )
        for option in capacity.options
    )
    return Section(own("table.all"), (Table(heads, rows, (0, len(heads) - 1)),), detail=True)


def cheaper_limits(own: Phrases, capacity: Capacity) -> Section:
    """The limits at which fewer devices would do, with the same formats."""
    texts = tuple(_cheaper(own, one) for one in capacity.compromises)
    none = own("cheaper.none", factor=f"{MOST_RELAXED:g}")
    return Section(own("cheaper.title"), (Items(texts or (none,)),), detail=True)


def _cheaper(own: Phrases, one: Compromise) -> str:
    usd = one.usd_per_month_saved
    told = {
        "saved": own("cheaper.device" if one.saved == 1 else "cheaper.devices", n=f"{one.saved:,}"),
        "usd": "" if usd is None else own("cheaper.usd", value=f"{usd:,.0f}"),
    }
    if one.limit == "percentile":
        return own("cheaper.percentile", value=f"{one.value:g}", asked=f"{one.asked:g}", **told)
    value = format_seconds(one.value)
    if one.limit == "both":
        return own("cheaper.both", value=value, **told)
    what, asked = one.limit[:4].upper(), format_seconds(one.asked)
    return own("cheaper.limit", what=what, value=value, asked=asked, **told)
