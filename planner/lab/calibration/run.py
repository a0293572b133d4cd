"""``plan calibrate``: from a folder of measured operator tables to the text of a device profile."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from planner.errors import DataError, InputError, UnknownNameError
from planner.hardware.catalog import HOST, canonical_name
from planner.hardware.checks import check_document
from planner.hardware.host.detect import host_text
from planner.hardware.loader import parse_profile
from planner.hardware.profile import DeviceProfile, FittedSet
from planner.lab.calibration.problem import FitProblem, refit
from planner.lab.calibration.profile_text import with_fits
from planner.lab.calibration.registry import REGISTRY, Entry, operators
from planner.lab.validation.op_rows import profile_of, stack_of
from planner.lab.validation.reader import MeasuredTable, read_directory
from planner.models.spec import ModelSpec
from planner.throughput.torch_cpu import STACK as TORCH

Rows = tuple[Mapping[str, str], ...]
Key = tuple[str, str, str]
PREFIX = "calibrated_"
"""Keys of sources that this command writes."""


@dataclass(frozen=True)
class Result:
    """What a calibration found: ``fits`` (new sets, in order), ``skipped`` (what could not be
    fitted, and why) and the whole profile as ``text``."""

    device: str
    fits: tuple[FittedSet, ...]
    skipped: tuple[tuple[str, str], ...]
    text: str


def calibrate(
    data: Path,
    profile: DeviceProfile,
    *,
    source: str,
    date: str,
    only: Sequence[str] = (),
    few: int | None = None,
    relative: DeviceProfile | None = None,
    model: ModelSpec | None = None,
) -> Result:
    """Fit the operators of ``profile`` to the tables in ``data``, then, for the models that whole
    steps were measured of, what is left of them.

    Args:
        source: where the tables come from, for the profile's list of sources.
        date: of the calibration, YYYY-MM-DD.
        only: operators to fit; all that have a table where empty.
        few: refit only the device parameters of ``relative``'s sets, to so many rows each.
        model: of rows of whole steps whose model is not bundled.

    Raises:
        DataError: no table, no row of the device, or too few rows.
        UnknownNameError: an operator that cannot be calibrated.
        InputError: no relative to start from.
    """
    for name in only:
        if name not in operators():
            raise UnknownNameError("operator", name, operators())
    tables = {entry.kind: _rows(data, entry, profile) for entry in REGISTRY}
    wanted = [
        e for e in REGISTRY if tables[e.kind][0] and (not only or set(only) & set(e.operators))
    ]
    if not wanted:
        raise DataError(
            f"{data}: no operator table with rows of {profile.id}",
            hint="the columns of each table are in docs/guide/calibration.md",
        )
    if few is not None and relative is None:
        raise InputError(
            f"{profile.id} has no relative to start from",
            hint="name one in [transfer], or calibrate without --few",
        )
    found: list[FittedSet] = []
    skipped: list[tuple[str, str]] = []
    titles: dict[str, str] = {}
    for entry in sorted(wanted, key=lambda e: e.whole):
        rows, names, digest = tables[entry.kind]
        beside: dict[str, Any] = {k: tables[k][0] for k in entry.beside}
        if entry.whole:
            sets, left = _whole(entry, rows, _so_far(profile, found, titles, date), model)
        else:
            sets, left = _fit(entry, rows, beside, profile, few, relative)
        key = f"{PREFIX}{entry.kind}_{digest}"
        kept = [replace(f, source=key, date=date) for f in sets if not only or f.operator in only]
        if kept:
            titles[key] = f"{source}; {', '.join(names)}.csv, {len(rows)} rows of {profile.id}"
        found += kept
        skipped += left
    skipped += _unfitted(wanted, tables, found)
    stale = stale_sets(profile, found)
    skipped += [
        (" ".join(key), "dropped: operators were fitted anew; `plan verify` measures it again")
        for key in stale
    ]
    return Result(
        profile.id, tuple(found), tuple(skipped), _text(profile, found, titles, date, stale)
    )


def _whole(
    entry: Entry, rows: Rows, profile: DeviceProfile, model: ModelSpec | None
) -> tuple[list[FittedSet], list[tuple[str, str]]]:
    """(sets, what was skipped) of whole steps, which ``profile``'s operators predict."""
    module: Any = importlib.import_module(entry.module)
    given = {"profiles": {row.get("device", ""): profile for row in rows}, "model": model}
    pairs: list[tuple[str, FittedSet]] = module.fit_tables(rows, **given)
    if pairs:
        return [fit for _, fit in pairs], module.left_out(rows, **given)
    return [], [
        (
            name,
            "no row that can be predicted here: a model that is not bundled is named with --model",
        )
        for name in entry.operators
    ]


def _so_far(
    profile: DeviceProfile, found: Sequence[FittedSet], titles: Mapping[str, str], date: str
) -> DeviceProfile:
    """``profile`` with the sets that are fitted already."""
    if not found:
        return profile
    return parse_profile(_text(profile, found, titles, date).encode(), path=Path(profile.path))


def stale_sets(profile: DeviceProfile, found: Sequence[FittedSet]) -> list[Key]:
    """Sets of whole steps that were left over operators which are others now."""
    whole = {name for entry in REGISTRY if entry.whole for name in entry.operators}
    new = {(f.operator, f.stack, f.variant) for f in found}
    if not any(key[0] not in whole for key in new):
        return []
    return [key for key in profile.fitted if key[0] in whole and key not in new]


NO_FORM = "no form describes its kernels: [achieved] of the profile has what it reaches"


def _unfitted(
    wanted: Sequence[Entry],
    tables: Mapping[str, tuple[Rows, list[str], str]],
    found: Sequence[FittedSet],
) -> list[tuple[str, str]]:
    """Software in the tables that is no engine with forms of its own, and had nothing fitted."""
    fitted = {one.stack for one in found} - {TORCH}
    covered = {
        entry.kind
        for entry in wanted
        if any(one.stack == TORCH and one.operator in entry.operators for one in found)
    }
    named = {
        (entry.kind, row.get("software", "").split(" ")[0].lower())
        for entry in wanted
        for row in tables[entry.kind][0]
    }
    return [
        (f"{kind} of {name}", NO_FORM)
        for kind, name in sorted(named)
        if name
        and name not in fitted
        and not stack_of(name)
        and not (name == TORCH and kind in covered and kind != "op_gemm")
    ]


def _rows(data: Path, entry: Entry, profile: DeviceProfile) -> tuple[Rows, list[str], str]:
    """(rows of the device in tables of one kind, the tables, a digest of the rows)."""
    rows: list[Mapping[str, str]] = []
    names = []
    for table in _tables(data):
        if table.rows is None or _kind(table) != entry.kind:
            continue
        mine = [row for row in table.rows if _is(row.get("device", ""), profile)]
        if mine:
            rows += mine
            names.append(table.name)
    text = "\n".join(",".join(f"{k}={row[k]}" for k in sorted(row)) for row in rows)
    return tuple(rows), names, sha256(text.encode()).hexdigest()[:8]


def _tables(data: Path) -> list[MeasuredTable]:
    return read_directory(data)


def _kind(table: MeasuredTable) -> str:
    return next((e.kind for e in REGISTRY if e.columns <= set(table.columns)), "")


def _is(name: str, profile: DeviceProfile) -> bool:
    if canonical_name(name) in {profile.id, *map(canonical_name, profile.aliases)}:
        return True
    known = profile_of(name)
    return known is not None and known.id == profile.id


def devices_in(data: Path) -> list[str]:
    """Ids (or, where no profile matches, names) of the devices in the tables of ``data``."""
    found: dict[str, None] = {}
    for table in _tables(data):
        if table.rows is not None and _kind(table):
            for name in dict.fromkeys(row.get("device", "") for row in table.rows):
                known = profile_of(name)
                found[known.id if known is not None else name] = None
    return list(found)


def _fit(
    entry: Entry,
    rows: Rows,
    beside: Mapping[str, Rows],
    profile: DeviceProfile,
    few: int | None,
    relative: DeviceProfile | None,
) -> tuple[list[FittedSet], list[tuple[str, str]]]:
    """(sets, what was skipped and why) of one kind of table."""
    module: Any = importlib.import_module(entry.module)
    given: dict[str, Any] = dict(beside)
    if entry.own_devices:
        given["profiles"] = {row.get("device", ""): profile for row in rows}
    elif profile_of(profile.id) is None:
        return [], [(name, "fits packaged devices only") for name in entry.operators]
    if few is None:
        pairs: list[tuple[str, FittedSet]] = module.fit_tables(rows, **given)
        left = module.left_out(rows, **given) if hasattr(module, "left_out") else []
        return [fit for device, fit in pairs if device == profile.id], left
    assert relative is not None
    if not hasattr(module, "problems"):
        return [], [(name, "has no fit to few rows") for name in entry.operators]
    known = {**{key: found[2] for key, found in relative.inherited.items()}, **relative.fitted}
    return _refits(module.problems(rows, **given), known, few)


def _refits(
    problems: Iterable[FitProblem],
    known: Mapping[Key, FittedSet],
    few: int,
) -> tuple[list[FittedSet], list[tuple[str, str]]]:
    sets, skipped = [], []
    for problem in problems:
        base = known.get((problem.operator, problem.stack, problem.variant))
        if base is None:
            skipped.append((problem.name, "no relative has a set to start from"))
            continue
        if not any(p.device for p in problem.parameters):
            skipped.append((problem.name, "no parameter is the device's own"))
            continue
        sets.append(refit(problem, base, few))
    return sets, skipped


def _text(
    profile: DeviceProfile,
    found: Sequence[FittedSet],
    titles: Mapping[str, str],
    date: str,
    stale: Sequence[Key] = (),
) -> str:
    """The profile's text with ``found`` in the place of sets of the same key, without ``stale``;
    checked. This machine, where no file describes it, is described anew."""
    merged = {**profile.fitted, **{(f.operator, f.stack, f.variant): f for f in found}}
    ordered = [merged[key] for key in sorted(merged) if key not in stale]
    path = Path(profile.path)
    before = (
        host_text(date)
        if profile.id == HOST and not path.is_file()
        else path.read_text(encoding="utf-8")
    )
    text = with_fits(before, ordered, sources=dict(titles), date=date)
    used = {fit.source for fit in ordered}
    text = "".join(
        line
        for line in text.splitlines(keepends=True)
        if not line.startswith(PREFIX) or line.split(" ", 1)[0] in used
    )
    check_document(tomllib.loads(text), path=path)
    return text
