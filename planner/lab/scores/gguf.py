"""Tables of the GGUF Tool Suite (Thireus and its contributors): one KLD a tensor and type.

``kld_results.csv``: a column QTYPE, then one a GGUF tensor; each row one type, each value the mean
KL divergence [nats] of the model with that tensor alone in that type, or with the tensors that were
cut together, which then have one value. Source: Thireus/GGUF-Tool-Suite, models/*/kld_results.csv.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median

from planner.base.errors import DataError
from planner.base.strict_json import short_repr
from planner.lab.scores.places import NUMBER, Places
from planner.lab.scores.records import KLD, SENSITIVITY, Score, Scores, loss_number

PROGRAM = "GGUF Tool Suite, by Thireus and its contributors"
_HINT = "give models/NAME/kld_results.csv: QTYPE, then one column a tensor"
_GROUP = re.compile(r"group[0-9]+")
_BLOCK = re.compile(rf"blk\.({NUMBER})\.(.+)")
_PLAIN = ("bf16", "f16", "f32")
_BROKEN = re.compile(r"_bn(_r\d+)?$")
FLOOR_SHARE = 0.01
"""Of the tensors lie at the noise floor where none is known to do nothing."""
_FAILED = ("404", "404%")
Table = Mapping[str, float]


def is_table(text: bytes) -> bool:
    """Whether a CSV file is one of these."""
    return text.removeprefix(b"\xef\xbb\xbf")[:6].upper() in (b"QTYPE,", b"QTYPE\n", b"QTYPE\r")


def read_table(text: bytes, place: str) -> Scores:
    """Every value of a table, by tensor and type.

    Raises:
        DataError: groups without their tensors, a value that is missing, negative, NaN, a change of
            perplexity or a failed run, a repeated tensor or type, or no usable row.
    """
    try:
        rows = list(csv.reader(io.StringIO(text.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{place}: not a CSV file: {error}", hint=_HINT) from None
    names = [name.strip() for name in rows[0][1:]]
    _check_columns(names, place)
    entries: list[Score] = []
    left: list[str] = []
    seen: set[str] = set()
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        kind = row[0].strip().lower()
        if kind in seen or len(row) != len(names) + 1:
            raise DataError(
                f"{place}: line {number}: {short_repr(kind)} is given twice or has another "
                "number of values than there are tensors",
                hint=_HINT,
            )
        seen.add(kind)
        if kind in _PLAIN or _BROKEN.search(kind):
            left.append(kind)
            continue
        values = [
            _value(text, f"{place}: {name} under {kind}")
            for name, text in zip(names, row[1:], strict=True)
        ]
        if not any(values):
            left.append(kind)
            continue
        entries += [Score((name,), kind, value) for name, value in zip(names, values, strict=True)]
    if not entries:
        raise DataError(f"{place}: no row of a low-bit type with values", hint=_HINT)
    notes = (f"types left out, as plain, not measured or broken (*_bn): {', '.join(left)}",)
    return Scores(tuple(entries), KLD, PROGRAM, notes if left else ())


def _check_columns(names: Sequence[str], place: str) -> None:
    groups = [name for name in names if _GROUP.fullmatch(name)]
    if groups and len(groups) == len(names) == 1:
        raise DataError(
            f"{place}: {groups[0]} is the whole model in each type; it tells no layer from another",
            hint=_HINT,
        )
    if groups:
        raise DataError(
            f"{place}: column {groups[0]} does not say which tensors it holds",
            hint="collect the results again with groups expanded: one column a tensor",
        )
    if not names:
        raise DataError(f"{place}: no tensors", hint=_HINT)
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(
            f"{place}: {short_repr(twice)} is given twice", hint="keep one of the two columns"
        )


def _value(text: str, where: str) -> float:
    text = text.strip()
    if not text:
        raise DataError(f"{where}: no value", hint="take out the row or the column, or measure it")
    if text in _FAILED:
        raise DataError(
            f"{where}: {text} stands for a run without a result",
            hint="run that benchmark again, or take out the row or the column",
        )
    if text.endswith("%"):
        raise DataError(
            f"{where}: {short_repr(text)} is a change of perplexity, not a divergence",
            hint="give kld_results.csv instead of ppl_results.csv",
        )
    return loss_number(text, where)


def above_floor(scores: Scores, places: Places) -> Scores:
    """The sensitivities in a table: what lies above its noise floor, groups counted once.

    A tensor's relative error is nearly the same under one type, so that its share of the summed
    loss is its share of the summed sensitivity; several types count by what lies above their floor.

    Raises:
        DataError: a tensor that the model does not have, or nothing above the floor.
    """
    tables: dict[str, dict[str, float]] = {}
    for entry in scores.entries:
        tables.setdefault(entry.scheme, {})[entry.modules[0]] = entry.value
    idle = [name for name in next(iter(tables.values())) if places.of(name)[0] == "mtp"]
    groups = joint_groups(tables)
    shares = [0.0] * len(groups)
    notes = list(scores.notes)
    basis = "the prediction layer, which does not run" if idle else "1st percentile"
    for kind, table in tables.items():
        floor = noise_floor(table, idle)
        above = [max(table[group[0]] - floor, 0.0) for group in groups]
        total = math.fsum(above)
        if total <= 0:
            raise DataError(
                f"scores: nothing under {kind} lies above the noise floor of {floor:g} nats",
                hint="measure on more text, or with fewer bits",
            )
        weight = total / (total + floor * len(groups))
        shares = [old + weight * value / total for old, value in zip(shares, above, strict=True)]
        notes.append(
            f"{kind}: a noise floor of {floor:.3g} nats is subtracted ({basis}), "
            f"{1 - weight:.0%} of the sum"
        )
    entries = [
        Score(group, "", share)
        for group, share in zip(groups, shares, strict=True)
        if group[0] not in idle
    ]
    joint = sum(len(group) > 1 for group in groups)
    if joint:
        notes.append(
            f"{joint} groups of tensors were measured together; each counts once, shared "
            "evenly by its tensors"
        )
    notes.append("levels at these types do not carry to others: the level is T0's")
    return Scores(tuple(entries), SENSITIVITY, scores.program, tuple(notes))


def noise_floor(table: Table, idle: Sequence[str]) -> float:
    """The KLD [nats] that a tensor which does nothing shows: the median of ``idle`` ones, else the
    first percentile."""
    if idle:
        return median(table[name] for name in idle)
    ordered = sorted(table.values())
    return ordered[int(FLOOR_SHARE * (len(ordered) - 1))]


def joint_groups(tables: Mapping[str, Table]) -> list[tuple[str, ...]]:
    """The tensors that were cut together; one that was cut alone is a group of its own.

    Two tensors of a layer were, where their values agree in every type, in this and in most layers.
    """
    names = list(next(iter(tables.values())))
    layers: dict[str, dict[str, tuple[float, ...]]] = {}
    for name in names:
        match = _BLOCK.fullmatch(name)
        if match:
            layers.setdefault(match[1], {})[match[2]] = tuple(t[name] for t in tables.values())
    both, equal = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for values in layers.values():
        for pair in combinations(sorted(values), 2):
            both[pair] += 1
            equal[pair] += values[pair[0]] == values[pair[1]]
    joined = {pair for pair, count in equal.items() if 2 * count > both[pair]}
    group_of = {name: name for name in names}
    for layer, values in layers.items():
        for first, second in combinations(sorted(values), 2):
            if (first, second) in joined and values[first] == values[second]:
                group_of[f"blk.{layer}.{second}"] = group_of[f"blk.{layer}.{first}"]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(group_of[name], []).append(name)
    return [tuple(group) for group in groups.values()]
