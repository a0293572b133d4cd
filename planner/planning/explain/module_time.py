"""Where the time of one module goes under each scheme, and where the order of schemes changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.base.display import as_text
from planner.base.errors import UnknownNameError, UnsupportedError
from planner.base.units import format_layers
from planner.messages.catalogue import NAMES
from planner.messages.message import Message, Text, message
from planner.planning.plan.record import Assumption, plain_data
from planner.planning.price.intervals import certainty, layout_code
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.model import CostModel
from planner.planning.space.operators import released_scheme, unit_parts
from planner.planning.space.tables import LayoutTables
from planner.throughput.points import decode_phase, points, prefill_phase
from planner.throughput.roofline import Parts, main_bound

Array = NDArray[np.float64]
GRID = np.unique(
    np.concatenate([np.arange(1, 257), np.rint(np.geomspace(256, 16384, 170)).astype(np.int64)])
).astype(np.float64)
"""Tokens at which crossovers are looked for: every one to 256, then steps of 2.5 %."""
SHOWN = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)
SAME = 0.02
"""Relative difference in time below which two schemes are called equal."""
MOST_TURNS = 3
"""Changes of order that a sentence names."""


@dataclass(frozen=True, slots=True)
class Split:
    """Seconds of one layer by mechanism. ``busy_seconds`` is what compute, memory and conversion
    take together (they overlap); total = busy + quantise + launch + communication."""

    total_seconds: float
    busy_seconds: float
    compute_seconds: float
    memory_seconds: float
    conversion_seconds: float
    quantise_seconds: float
    launch_seconds: float
    communication_seconds: float
    bound: str


@dataclass(frozen=True, slots=True)
class SchemeTime:
    """One scheme: its decode step at the batch, its prompt, how they were found, and the total at
    each of the explanation's ``tokens`` [s]."""

    scheme: str
    basis: str
    origin: str
    decode: Split
    prefill: Split
    at_tokens_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Crossover:
    """From ``tokens`` a rank on, ``faster`` takes less time than ``slower``."""

    tokens: int
    faster: str
    slower: str


@dataclass(frozen=True, slots=True)
class ModuleSplit:
    """One module in layers that are alike: schemes fastest first in decode, crossovers by tokens,
    and one sentence."""

    unit: str
    kind: str
    layers: str
    tokens: int
    shapes: tuple[str, ...]
    schemes: tuple[SchemeTime, ...]
    crossovers: tuple[Crossover, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class ModuleExplanation:
    """``plan explain``: modules of one kind on a device and layout. ``tokens``: columns of
    ``at_tokens_seconds``; ``refused``: schemes that the device cannot run, with the reason."""

    model: str
    device: str
    module: str
    batch: int
    isl: int
    osl: int
    tp: int
    dp: int
    ep: int
    reference: str
    tokens: tuple[int, ...]
    modules: tuple[ModuleSplit, ...]
    refused: tuple[tuple[str, Text], ...]
    assumptions: tuple[Assumption, ...]

    __str__ = as_text

    def to_dict(self) -> dict[str, object]:
        """The explanation as plain data."""
        data = plain_data(self)
        assert isinstance(data, dict)
        data["refused"] = [{"scheme": s, "reason": plain_data(why)} for s, why in self.refused]
        return data


def named_units(model: CostModel, name: str) -> list[DecisionUnit]:
    """The first unit of each module that ``name`` (a kind, or a unit) means.

    Raises:
        UnknownNameError: the model has no such kind or unit.
    """
    kinds = {u.kind for u in model.units}
    wanted = name.strip().lower().replace("_", "-")
    decision_units = [u for u in model.units if wanted in (u.kind, u.id)]
    if not decision_units:
        raise UnknownNameError(
            f"module of {model.question.spec.id}", name, kinds | {u.id for u in model.units}
        )
    rows: dict[tuple[str, int], DecisionUnit] = {}
    for unit in decision_units:
        key = (unit.role, unit.row)
        decision_unit = rows.get(key)
        rows[key] = (
            unit
            if decision_unit is None
            else replace(decision_unit, layers=decision_unit.layers + unit.layers)
        )
    if wanted in kinds:
        return [
            replace(u, id=u.id.rsplit(".", 1)[0] if u.bucket != "all" else u.id)
            for u in rows.values()
        ]
    return list(rows.values())


def module_split(
    model: CostModel,
    tables: LayoutTables,
    unit: DecisionUnit,
    *,
    batch: int,
    reference: str,
    focus: str | None,
) -> ModuleSplit:
    """The times of one layer of ``unit`` on the only layout of ``tables``.

    ``batch`` sequences are decoded over all dp ranks; ``focus`` is the scheme that the sentence
    compares with ``reference`` (None: the fastest, or the next where that is the reference).

    Raises:
        UnsupportedError: the module cannot take ``focus``.
    """
    layout = tables.layouts[0]
    slot = batch / layout.dp
    grid = np.concatenate([[slot], SHOWN, GRID])
    pts = replace(points(tables.layouts, [(0, 1)] * len(grid)), slot=grid)
    work = model.question.workload
    decode = unit_parts(
        model, tables, pts, decode_phase(pts, work.decode_length, model.question.verified), unit
    )
    first_point = pts.take(np.array([0], dtype=np.int64))
    prompt = unit_parts(
        model,
        tables,
        first_point,
        prefill_phase(first_point, work.isl, model.question.chunk_tokens, work.cached),
        unit,
    )
    names, columns = _choices(model, tables, unit)
    if focus is not None and focus not in names:
        raise UnsupportedError(
            f"{unit.id} cannot take {focus} here", hint="possible: " + ", ".join(names)
        )
    total = np.broadcast_to(decode.total(), (len(grid), len(names) if unit.decision >= 0 else 1))
    rows = []
    for name, j in zip(names, columns, strict=True):
        how = certainty(model, unit, _choice(model, unit, j), code=layout_code(layout))[1]
        rows.append(
            SchemeTime(
                name,
                how.basis,
                how.origin,
                _split(decode, 0, j),
                _split(prompt, 0, j),
                tuple(float(t) for t in total[1 : 1 + len(SHOWN), j]),
            )
        )
    fine = total[1 + len(SHOWN) :]
    changes = crossovers(GRID, fine[:, columns], names)
    ordered = tuple(sorted(rows, key=lambda r: (r.decode.total_seconds, r.scheme)))
    return ModuleSplit(
        unit.id,
        unit.kind,
        format_layers(unit.layers),
        max(1, round(slot)),
        _shapes(model, unit),
        ordered,
        changes,
        sentence(ordered, changes, reference=reference, focus=focus, tokens=max(1, round(slot))),
    )


def _choices(
    model: CostModel, tables: LayoutTables, unit: DecisionUnit
) -> tuple[list[str], list[int]]:
    """(names, columns of the unit's Parts) of what the unit may take."""
    schemes = model.question.schemes
    if unit.role == "released":
        module = model.released[unit.row]
        name = released_scheme(model, module) if module.kind == "indexer" else module.dtype
        return [name], [0]
    index = next(i for i, u in enumerate(model.units) if (u.role, u.row) == (unit.role, unit.row))
    possible = model.possible[index]
    if unit.role == "cache":
        columns = [j for j in range(len(model.question.kv)) if possible[len(schemes) + j]]
        return [model.question.kv[j] for j in columns], columns
    columns = [j for j in range(len(schemes)) if possible[j] and tables.blocks[0, unit.row, j]]
    return [schemes[j] for j in columns], columns


def _choice(model: CostModel, unit: DecisionUnit, column: int) -> int:
    return column + (len(model.question.schemes) if unit.role == "cache" else 0)


def _shapes(model: CostModel, unit: DecisionUnit) -> tuple[str, ...]:
    """GEMMs of the module as outputs × inputs, whole."""
    if unit.role != "module":
        return ()
    module = model.planned[unit.row]
    many = f"{module.experts} × " if module.experts > 1 else ""
    return tuple(f"{many}{sum(n for n, _ in g.members)} × {g.inputs}" for g in module.gemms)


def _split(parts: Parts, row: int, column: int) -> Split:
    at = parts.at(row, column)
    total = at["busy"] + at["quantise"] + at["launch"] + at["communication"]
    return Split(
        total,
        at["busy"],
        at["compute"],
        at["memory"],
        at["conversion"],
        at["quantise"],
        at["launch"],
        at["communication"],
        main_bound(at),
    )


def crossovers(tokens: Array, seconds: Array, names: Sequence[str]) -> tuple[Crossover, ...]:
    """Where the order of two columns of ``seconds`` [G, S] changes along ``tokens`` [G].

    Differences below SAME leave the order as it was.
    """
    out = []
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            ratio = np.log(seconds[:, a] / seconds[:, b])
            sign = np.where(np.abs(ratio) < np.log1p(SAME), 0.0, np.sign(ratio))
            decided = np.flatnonzero(sign)
            turns = decided[1:][sign[decided[1:]] != sign[decided[:-1]]]
            for i in turns:
                fast, slow = (a, b) if sign[i] < 0 else (b, a)
                out.append(Crossover(int(tokens[i]), names[fast], names[slow]))
    return tuple(sorted(out, key=lambda c: (c.tokens, c.faster, c.slower)))


def sentence(
    rows: Sequence[SchemeTime],
    changes: Sequence[Crossover],
    *,
    reference: str,
    focus: str | None,
    tokens: int,
) -> str:
    """Why one scheme is faster or slower than the reference at ``tokens``, and from where on."""
    by_name = {r.scheme: r for r in rows}
    if len(rows) == 1:
        only = rows[0]
        return message("verbs.only_scheme", scheme=only.scheme, part=_part(only.decode.bound))
    base = by_name.get(reference, rows[-1])
    chosen = by_name.get(focus or "") or next(r for r in rows if r is not base)
    faster, other = chosen.decode, base.decode
    gain = faster.total_seconds / other.total_seconds - 1
    same = abs(gain) < SAME
    verdict = "take_the_same" if same else "is_slower" if gain > 0 else "is_faster"
    turns = [c for c in changes if {c.faster, c.slower} == {chosen.scheme, base.scheme}]
    text = message(
        f"verbs.{verdict}",
        a=chosen.scheme,
        b=base.scheme,
        tokens=f"{tokens:,}",
        reasons=_reasons(faster, other),
        **({} if same else {"gain": f"{abs(gain):.0%}"}),
    )
    after = [message("verbs.turns", a=c.faster, tokens=f"{c.tokens:,}") for c in turns[:MOST_TURNS]]
    if len(turns) > MOST_TURNS:
        after.append(message("verbs.more_turns", n=len(turns) - MOST_TURNS))
    if not turns and not same:
        after.append(message("verbs.no_turn", tokens=f"{int(GRID[-1]):,}"))
    return message("structure.semicolons", parts=(text, *after))


def _part(name: str) -> Message:
    """A part of the time, e.g. the memory's."""
    return message(f"verbs.part_{name or 'none'}")


def _reasons(split: Split, other: Split) -> Message:
    """The differences of two splits, the largest first."""
    words = {
        "busy_seconds": _bound(split, other),
        "quantise_seconds": message("verbs.of_quantising"),
        "launch_seconds": _part("launch"),
        "communication_seconds": _part("communication"),
    }
    delta = {name: getattr(split, name) - getattr(other, name) for name in words}
    total = max(other.total_seconds, 1e-30)
    reasons = [
        message(
            "verbs.costs" if d > 0 else "verbs.saves", what=words[name], us=f"{abs(d) * 1e6:.2f}"
        )
        for name, d in sorted(delta.items(), key=lambda item: -abs(item[1]))
        if abs(d) / total >= 0.005
    ]
    if not reasons:
        return message("verbs.all_the_same")
    return message(NAMES, parts=tuple(reasons))


def _bound(faster: Split, other: Split) -> Message:
    def word(split: Split) -> str:
        shown = {
            "compute": split.compute_seconds,
            "memory": split.memory_seconds,
            "conversion": split.conversion_seconds,
        }
        return max(shown, key=lambda name: shown[name])

    first, second = word(faster), word(other)
    if first == second:
        return message("verbs.of_product", now=_part(first))
    return message("verbs.of_product_before", now=_part(first), before=_part(second))
