"""One device: every figure with unit, kind, source, date, range and note."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from io import StringIO
from textwrap import wrap
from typing import Any

from planner.base.units import format_bytes, format_seconds
from planner.hardware.profile import DeviceProfile, FittedSet, Links, Quantity, Silicon
from planner.report.columns import console

_PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6))
_NAME, _VALUE, _KIND, _SOURCE = 25, 15, 9, 15
_LINKS = (
    ("scale_up_bytes_per_s", "scale-up, a direction"),
    ("scale_up_floor_seconds", "scale-up floor"),
    ("scale_out_bytes_per_s", "scale-out, a direction"),
    ("scale_out_floor_seconds", "scale-out floor"),
    ("host_bytes_per_s", "host, a direction"),
)
Figure = tuple[str, Quantity]


def device_dict(device: DeviceProfile) -> dict[str, Any]:
    """The profile as plain data in SI units; ``rates`` is a list, the file's path is left out."""
    data: dict[str, Any] = {}
    for name in device.__dataclass_fields__:
        value = getattr(device, name)
        if name == "path":
            continue
        if name == "rates":
            data[name] = [_integer_bytes(asdict(rate)) for rate in value.values()]
        elif name == "fitted":
            data[name] = [fit_dict(fit) for fit in value.values()]
        elif name == "inherited":
            data[name] = [fit_dict(fit) | {"origin": origin} for origin, _, fit in value.values()]
        elif name == "sources":
            data[name] = {s.key: {"title": s.title, "date": s.date} for s in value}
        else:
            data[name] = _plain(value)
    return data


def fit_dict(fit: FittedSet) -> dict[str, Any]:
    """A fitted set as plain data: relative errors, log-space sigma, SI parameters."""
    data = {
        name: getattr(fit, name)
        for name in ("operator", "stack", "software", "variant", "kind", "source", "date", "note")
    }
    return data | {
        "parameters": dict(fit.parameters),
        "error": asdict(fit.error),
        "table": {k: list(v) for k, v in fit.table.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Quantity | Links | Silicon):
        return _integer_bytes(asdict(value))
    if isinstance(value, tuple):
        return list(value)
    if hasattr(value, "items"):
        return {
            key: item if isinstance(item, str) else _integer_bytes(asdict(item))
            for key, item in value.items()
        }
    return value


def _integer_bytes(data: dict[str, Any]) -> dict[str, Any]:
    """A quantity in bytes as integers; nested quantities alike."""
    if data.get("unit") == "B":
        for key in ("value", "low", "high"):
            if data[key] is not None:
                data[key] = int(data[key])
    for item in data.values():
        if isinstance(item, dict):
            _integer_bytes(item)
    return data


def device_page(device: DeviceProfile) -> str:
    """Everything the profile says, for a terminal; ends with a newline."""
    out = StringIO()
    con = console(out)
    width = con.width

    def line(text: str, style: str = "") -> None:
        con.print(text, style=style or None, markup=False, overflow="fold")

    line(f"{device.id} — {device.name}", "bold")
    for text in _identity(device):
        line(text)
    for title, figures in _sections(device):
        line("")
        line(title, "bold")
        for name, quantity in figures:
            for text in _row(name, quantity, width):
                line(text)
            for text in _remark(quantity, width):
                line(text)
    for title, texts in _lists(device):
        line("")
        line(title, "bold")
        for text in texts:
            for part in wrap(text, width - 1, initial_indent="  ", subsequent_indent="    "):
                line(part)
    return "\n".join(text.rstrip() for text in out.getvalue().splitlines()) + "\n"


def _identity(device: DeviceProfile) -> list[str]:
    chip = f", compute capability {device.compute_capability}" if device.compute_capability else ""
    chip += f", {device.platform} {device.target}".rstrip() if device.target else ""
    memory = "unified " if device.unified_memory else ""
    return [
        f"{device.kind}, {device.architecture}{chip}, {device.status}; "
        f"{memory}{device.memory_type}",
        f"{device.devices_per_node} a node, {device.scale_up_devices} in a scale-up domain",
        f"also called {', '.join(device.aliases)}" if device.aliases else "no other names",
        *(
            [f"inherits from {' → '.join(device.classes)} what its notes say so of"]
            if device.classes
            else []
        ),
    ]


def _sections(device: DeviceProfile) -> Iterator[tuple[str, list[Figure]]]:
    memory: list[tuple[str, Quantity | None]] = [
        ("label", device.label_bytes),
        ("driver", device.driver_bytes),
        ("visible to an engine", device.capacity_bytes),
        ("usable share", device.usable_fraction),
        ("bandwidth", device.bandwidth_bytes_per_s),
    ]
    yield "memory", _given(memory)
    rates = [
        (f"{r.unit} {r.format}{suffix}", quantity)
        for r in device.rates.values()
        for suffix, quantity in (("", r.dense), (" sparse", r.sparse))
    ]
    yield (
        "rates (dense; 2:4 sparse for the record only)",
        _given([*rates, ("vector fp32", device.vector_fp32_flop_per_s)]),
    )
    for name, a in device.achieved.items():
        yield (
            f"achieved by {name} (shares; floor = least time of a call)",
            [
                ("compute", a.compute_fraction),
                ("bandwidth", a.bandwidth_fraction),
                ("floor", a.floor_seconds),
            ],
        )
    if device.conversion:
        yield (
            "conversion of stored weights in software",
            [(f"from {name}", quantity) for name, quantity in device.conversion.items()],
        )
    links = _given([(title, getattr(device.links, field)) for field, title in _LINKS])
    if links:
        yield "links", links
    if device.silicon is not None:
        chip = device.silicon
        yield (
            "silicon",
            _given(
                [
                    ("multiprocessors", chip.multiprocessors),
                    ("last cache before memory", chip.l2_bytes),
                    ("exponentials", chip.exp_per_s),
                ]
            ),
        )
    other = _given([("power", device.power_watts), ("price", device.price_usd_per_hour)])
    if other:
        yield "power and price", other


def _given(figures: list[tuple[str, Quantity | None]]) -> list[Figure]:
    return [(name, quantity) for name, quantity in figures if quantity is not None]


def _lists(device: DeviceProfile) -> Iterator[tuple[str, list[str]]]:
    if device.unsupported:
        yield (
            "formats without a rate",
            [f"{name}: {why}" for name, why in device.unsupported.items()],
        )
    if device.fitted:
        yield "operators fitted to measurements", [_fit_line(f) for f in device.fitted.values()]
    if device.inherited:
        origins = dict.fromkeys(origin for origin, _, _ in device.inherited.values())
        yield (
            "operators carried over",
            [
                f"{sum(o == origin for o, _, _ in device.inherited.values())} from {origin}, "
                f"with a "
                "wider interval"
                for origin in origins
            ],
        )
    if device.cautions:
        yield "cautions", list(device.cautions)
    yield "sources", [f"{s.key}: {s.title} ({s.date})" for s in device.sources]
    yield "profile", [f"sha256 {device.sha256}"]


def _fit_line(fit: FittedSet) -> str:
    error = fit.error
    text = f"{fit.operator} {fit.stack} {fit.variant}: "
    if error.held_out:
        text += f"median error {error.median:.1%} of {error.held_out:,} rows kept back; "
    return text + f"{error.rows:,} rows of {fit.source} ({fit.software})"


def _row(name: str, quantity: Quantity, width: int) -> list[str]:
    figure = f"  {name:<{_NAME - 2}} {show(quantity.value, quantity.unit):>{_VALUE}}"
    origin = f"{quantity.kind:<{_KIND}} {quantity.source:<{_SOURCE}} {quantity.date}"
    if len(figure) + 1 + len(origin) <= width:
        return [f"{figure} {origin}"]
    value = " ".join(show(quantity.value, quantity.unit).split())
    return [
        *wrap(f"{name} {value}", width - 1, initial_indent="  ", subsequent_indent="    "),
        *wrap(
            " ".join(origin.split()), width - 1, initial_indent="      ", subsequent_indent="      "
        ),
    ]


def _remark(quantity: Quantity, width: int) -> list[str]:
    """The range and the note, indented under the figure."""
    ends = [
        show(value, quantity.unit) for value in (quantity.low, quantity.high) if value is not None
    ]
    text = "; ".join(t for t in ("range " + " to ".join(ends) if ends else "", quantity.note) if t)
    return wrap(text, width - 1, initial_indent="      ", subsequent_indent="      ")


def show(value: float, unit: str) -> str:
    """A figure with its unit and an SI prefix; bytes in GiB and GB both mean what they say."""
    if unit == "s":
        return format_seconds(value)
    if unit == "1":
        return f"{value:.4g}"
    if unit == "B":
        gigabytes = value / 1e9
        return (
            f"{gigabytes:,.0f} GB"
            if gigabytes and gigabytes == int(gigabytes)
            else format_bytes(value)
        )
    if unit in ("W", "USD/h"):
        return f"{value:,.6g} {unit}"
    for prefix, size in _PREFIXES:
        if value >= size:
            return (
                f"{value / size:,.5g} {prefix}{unit}"
                if unit != "elements/s"
                else f"{value / size:,.5g} {prefix} elem/s"
            )
    return f"{value:,.5g} {unit}"
