"""The axes of a what-if grid: their values, the flags that ask for each, and how large a grid is.

The plan that the grid belongs to is one of its points: its own value is on every axis.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.formats.kv import kv_layout
from planner.formats.schemes import scheme
from planner.formats.sizes import bits_per_element
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.space.losses import additive_loss, uniform_loss
from planner.planning.space.model import CostModel
from planner.quality.loss_units import NATS
from planner.throughput.calibration import ANY_ENGINE
from planner.workloads import load_workload

NAMES = (
    "workload",
    "context",
    "batch",
    "tpot-ms",
    "devices",
    "max-loss",
    "engine",
    "schemes",
    "kv",
)
MAX_POINTS = 5000
"""Points of a grid: about 150 bytes of page each, and a thirtieth of a second where formats are
kept."""
DEFAULT_POINTS, SEARCHED_POINTS = 450, 24
"""Up to so many the axes that are not named take values of their own: of formats that are kept, and
of such as are searched for, which takes about a second each."""
GROWING = ("tpot-ms", "workload", "devices", "schemes", "kv")
"""Axes that do, each a value in turn."""
AUTO = "auto"
LOSS_LADDER = ("bf16", "fp8-block", "int8-w8a8", "fp8-tensor", "int4-w4a16", "nvfp4")
STEPS_APART = 4.0
"""Limits on loss closer than this factor are one step."""
KV_LADDER = ("bf16", "fp8", "int8-token")
Values = dict[str, tuple[str, ...]]
"""Values by axis."""


OWN = "own"
"""The value that stands for what the plan has itself: requests, formats, cache."""
AS_RELEASED = "released"
"""The value of the axis of schemes that stands for the checkpoint unchanged."""
WORKLOADS = ("chat", "rag", "reasoning", "agent", "long")
"""Of the bundled ones; batch has the lengths of rag."""
TPOTS = (NO_LIMIT, "25", "15", "100", "50")
"""Milliseconds, in the order in which a grid takes them."""


@dataclass(frozen=True, slots=True)
class Axis:
    """``values`` as they are given to ``--grid``, ``flags`` as they are given to ``plan`` (empty
    where the flag is left out), ``base`` the position of the plan's own value."""

    name: str
    values: tuple[str, ...]
    flags: tuple[str, ...]
    base: int

    def __len__(self) -> int:
        return len(self.values)

    def only(self, values: Collection[str]) -> Axis:
        """The axis with some of its ``values``, of which its own stays."""
        own = self.values[self.base]
        kept = [
            (v, f) for v, f in zip(self.values, self.flags, strict=True) if v == own or v in values
        ]
        names = tuple(v for v, _ in kept)
        return Axis(self.name, names, tuple(f for _, f in kept), names.index(own))


def fitted_axes(
    axes: Sequence[Axis], ladders: Mapping[str, Sequence[str]], most: int = DEFAULT_POINTS
) -> tuple[Axis, ...]:
    """The axes, of which those in ``ladders`` begin at their own value and take a value of their
    ladder in turn, while there are at most ``most`` points."""
    kept = {
        axis.name: [axis.values[axis.base]] if axis.name in ladders else list(axis.values)
        for axis in axes
    }
    waiting = {
        name: [v for v in ladders[name] if v not in kept[name]]
        for name in GROWING
        if name in ladders
    }
    while any(waiting.values()):
        for name, values in waiting.items():
            points = math.prod(len(own) for own in kept.values())
            if values and points // len(kept[name]) * (len(kept[name]) + 1) <= most:
                kept[name].append(values.pop(0))
            else:
                values.clear()
    return tuple(axis.only(kept[axis.name]) for axis in axes)


def parse_grid(texts: Sequence[str]) -> Values:
    """``AXIS=VALUE,VALUE`` by axis; schemes that may be mixed are joined by ``+``.

    Raises:
        InputError: not of that form, an axis twice, a value twice or none.
        UnknownNameError: no such axis.
    """
    values_by_axis: Values = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if not equals:
            raise InputError(
                f"--grid {text!r} is not AXIS=VALUES", hint="for example --grid context=8192,32768"
            )
        name = name.strip().lower().replace("_", "-")
        if name not in NAMES:
            raise UnknownNameError("axis", name, NAMES)
        values = tuple(part.strip() for part in rest.split(",") if part.strip())
        if not values or name in values_by_axis or len(set(values)) < len(values):
            problem = (
                "names no value"
                if not values
                else "is given twice"
                if name in values_by_axis
                else "names a value twice"
            )
            raise InputError(
                f"--grid {name} {problem}", hint=f"once, with its values: --grid {name}=A,B"
            )
        values_by_axis[name] = values
    return values_by_axis


def check_size(axes: Sequence[Axis]) -> int:
    """The number of points.

    Raises:
        InputError: more than MAX_POINTS.
    """
    count = math.prod(len(axis) for axis in axes)
    if count > MAX_POINTS:
        shape = " × ".join(f"{len(axis)} {axis.name}" for axis in axes)
        raise InputError(
            f"the grid has {shape} = {count:,} points; at most {MAX_POINTS:,} are embedded",
            hint="name fewer values; axes that are not named take no more than fit",
        )
    return count


def number_axis(
    name: str,
    requested: Sequence[str] | None,
    default: Iterable[int],
    base: int | None,
    *,
    most: int,
    auto: bool = False,
) -> Axis:
    """An axis of whole numbers in rising order, ``auto`` first; ``base`` None: auto.

    Raises:
        InputError: a value that is no whole number from 1 to ``most``.
    """
    numbers = (
        {_parse_count(name, text, most, auto) for text in requested}
        if requested is not None
        else {*default, *([None] if auto else [])}
    )
    numbers.add(base)
    ordered = [None] * (None in numbers) + sorted(n for n in numbers if n is not None)
    return Axis(
        name,
        tuple(AUTO if n is None else str(n) for n in ordered),
        tuple("" if n is None else f"--{name} {n}" for n in ordered),
        ordered.index(base),
    )


def _parse_count(name: str, text: str, most: int, auto: bool) -> int | None:
    if auto and text == AUTO:
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:18]) <= most or len(text) > 18:
        raise InputError(
            f"--grid {name}: {text!r} is not a whole number from 1 to {most:,}",
            hint=f"for example --grid {name}=" + ("auto,16,64" if auto else "8,16"),
        )
    return int(text)


def default_devices(base: int, most: int) -> list[int]:
    """The base, twice and half of it."""
    return [n for n in dict.fromkeys((base, base * 2, base // 2)) if 1 <= n <= max(most, base)]


def loss_axis(requested: Sequence[str] | None, model: CostModel, base: str, given: bool) -> Axis:
    """Limits on loss in rising order. ``base`` is the plan's (not ``given``: the default, whose
    flag is left out); without a list, schemes whose uniform losses are clearly apart."""
    losses = {base: _loss(model, base)}
    for name in requested if requested is not None else LOSS_LADDER:
        try:
            name = name if _number(name) is not None else scheme(name).id
            loss = _loss(model, name)
        except UnsupportedError:
            if requested is None:
                continue
            raise
        apart = all(max(loss, known) > STEPS_APART * min(loss, known) for known in losses.values())
        if requested is not None or apart:
            losses[name] = loss
    names = sorted(losses, key=lambda n: (losses[n], n))
    return Axis(
        "max-loss",
        tuple(names),
        tuple("" if n == base and not given else f"--max-loss {n}" for n in names),
        names.index(base),
    )


def _loss(model: CostModel, name: str) -> float:
    number = _number(name)
    if number is None:
        return uniform_loss(model, name)
    profile = model.question.profile
    if profile is None or profile.unit != NATS or not 0 <= number < math.inf:
        raise InputError(
            f"--grid max-loss: {name} is no limit: loss is relative, not nats"
            if profile is None or profile.unit != NATS
            else f"--grid max-loss: {name} is out of range",
            hint="name a scheme: no worse than it uniformly, such as fp8-block",
        )
    return additive_loss(model, number)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


BY_WIDTH = (("bf16",), ("fp8-block", "fp8-channel", "int8-w8a8"), ("nvfp4", "mxfp4", "int4-w4a16"))
"""Schemes of 16, 8 and 4 bits, of which a page shows the first that is there."""


def other_widths(own: str, able: Collection[str]) -> list[str]:
    """A scheme of each width that weights in ``own`` do not have, among those that are ``able``."""
    bits = element_bits(own)
    found = (next((s for s in some if s in able), None) for some in BY_WIDTH)
    return [s for s in found if s is not None and element_bits(s) != bits]


def element_bits(name: str) -> int:
    """Bits of an element of a scheme's weights."""
    return round(bits_per_element(scheme(name).weight))


def scheme_axis(
    requested: Sequence[str] | None,
    base: str,
    given: tuple[str, ...] | None,
    default: Sequence[str],
) -> Axis:
    """What the plan's formats are first (OWN, or AUTO where they cannot be kept), asked for by the
    schemes that were ``given``; then schemes that all weights take, the checkpoint as released, or
    sets to choose from."""
    names = [base]
    for text in requested if requested is not None else default:
        name = (
            text
            if text in (AUTO, OWN, AS_RELEASED)
            else "+".join(dict.fromkeys(scheme(part.strip()).id for part in text.split("+")))
        )
        if name not in names and name != OWN:
            names.append(name)
    flags = {
        base: "" if given is None else "--schemes " + ",".join(given),
        AUTO: "",
        AS_RELEASED: "--new-weights no",
    }
    return Axis(
        "schemes",
        tuple(names),
        tuple(flags.get(n, "--schemes " + n.replace("+", ",")) for n in names),
        0,
    )


def kv_axis(
    requested: Sequence[str] | None, base: str, given: str | None, default: Sequence[str]
) -> Axis:
    """The plan's own cache first (OWN, or AUTO where it is searched for), asked for by the layout
    that was ``given``; then layouts as named."""
    names = [base]
    for text in requested if requested is not None else default:
        name = text if text in (AUTO, OWN) else kv_layout(text).id
        if name not in names and name != OWN:
            names.append(name)
    flags = {AUTO: "" if given is None else "--kv auto", base: f"--kv {given}" if given else ""}
    return Axis("kv", tuple(names), tuple(flags.get(n, f"--kv {n}") for n in names), 0)


def workload_axis(requested: Sequence[str] | None, base: str, own_flags: str) -> Axis:
    """The plan's own requests (``base``: OWN, or the bundled workload that was asked for), then
    bundled workloads.

    Raises:
        UnknownNameError: no such workload.
    """
    names = [base]
    for text in requested if requested is not None else WORKLOADS:
        name = OWN if text == OWN else load_workload(text).id
        if name not in names and not (name == OWN and base != OWN):
            names.append(name)
    return Axis(
        "workload",
        tuple(names),
        tuple(own_flags if name == OWN else f"--workload {name}" for name in names),
        0,
    )


def tpot_axis(requested: Sequence[str] | None, base: str) -> Axis:
    """Limits on TPOT in milliseconds from loose to strict, first none.

    Raises:
        InputError: a value that is none.
    """
    milliseconds = {
        _milliseconds(text) for text in (base, *(requested if requested is not None else TPOTS))
    }
    ordered = sorted(milliseconds, key=lambda ms: -ms)
    values = tuple(NO_LIMIT if ms == math.inf else f"{ms:.12g}" for ms in ordered)
    return Axis(
        "tpot-ms",
        values,
        tuple(f"--tpot-ms {v}" for v in values),
        ordered.index(_milliseconds(base)),
    )


def _milliseconds(text: str) -> float:
    try:
        milliseconds = math.inf if text == NO_LIMIT else float(text)
    except ValueError:
        milliseconds = math.nan
    if not milliseconds > 0 or (milliseconds == math.inf and text != NO_LIMIT):
        raise InputError(
            f"--grid tpot-ms: {text!r} is no limit",
            hint="milliseconds, or none: --grid tpot-ms=none,50,25",
        )
    return milliseconds


def engine_axis(requested: Sequence[str], base: str, *, default: bool) -> Axis:
    """The engine that was asked for, then those that are named. ``default``: it is what a command
    without the flag asks.

    Raises:
        UnknownNameError: no such engine. InputError: no such version.
    """
    names = [base]
    for text in requested:
        name = text if text in (AUTO, ANY_ENGINE) else _named(text)
        if name not in names:
            names.append(name)
    return Axis(
        "engine",
        tuple(names),
        tuple("" if default and n == base else f"--engine {n}" for n in names),
        0,
    )


def _named(text: str) -> str:
    engine = parse_engine(text)
    return engine.name if text.strip().lower() in engine_names() else engine.address
