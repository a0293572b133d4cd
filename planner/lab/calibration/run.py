"""``plan calibrate``: from a folder of measured operator tables to the text of a device profile."""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from planner.base.errors import DataError, InputError, UnknownNameError
from planner.hardware.catalog import HOST
from planner.hardware.checks import check_document
from planner.hardware.host.detect import host_text
from planner.hardware.loader import parse_profile
from planner.hardware.names import canonical_name
from planner.hardware.profile import DeviceProfile, FittedSet
from planner.jobs.core_share import disturbed_note, is_disturbed
from planner.lab.calibration.problem import FitProblem, refit
from planner.lab.validation.op_rows import profile_of, stack_of
from planner.lab.validation.reader import MeasuredTable, read_directory
from planner.lab.validation.table_kinds import FITTED, TableFit, TableKind, kind_of, operators
from planner.models.spec import ModelSpec
from planner.throughput.torch_cpu import STACK as TORCH

Rows = tuple[Mapping[str, str], ...]
Key = tuple[str, str, str]
PREFIX = "calibrated_"
"""Keys of sources that this command writes."""
_KINDS = tuple(kind for kind, _ in FITTED)


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
    tables = {kind.name: _rows(data, kind, profile) for kind, _ in FITTED}
    wanted = [
        (kind, fit)
        for kind, fit in FITTED
        if tables[kind.name][0] and (not only or set(only) & set(fit.operators))
    ]
    disturbed = _disturbed(data, profile)
    if not wanted and disturbed:
        raise DataError(
            f"{data}: {disturbed[0][0]}: {disturbed[0][1]}",
            hint="`plan measure` repeats them; other programs have to end first",
        )
    if not wanted:
        raise DataError(
            f"{data}: no operator table with rows of {profile.id}",
            hint="the columns of each table are in docs/guide/measure.md",
        )
    if few is not None and relative is None:
        raise InputError(
            f"{profile.id} has no relative to start from",
            hint="name one in [transfer], or calibrate without --few",
        )
    fits: list[FittedSet] = []
    skipped = disturbed
    titles: dict[str, str] = {}
    for kind, fit in sorted(wanted, key=lambda pair: pair[1].full_steps):
        rows, names, digest = tables[kind.name]
        if fit.full_steps:
            sets, left = _fit_full_steps(fit, rows, _so_far(profile, fits, titles, date), model)
        else:
            extra = {name: tables[name][0] for name in fit.extra_kinds}
            sets, left = _fit_operators(fit, rows, extra, profile, few, relative)
        key = f"{PREFIX}{kind.name}_{digest}"
        new = [replace(f, source=key, date=date) for f in sets if not only or f.operator in only]
        if new:
            titles[key] = f"{source}; {', '.join(names)}.csv, {len(rows)} rows of {profile.id}"
        fits += new
        skipped += left
    skipped += _unfitted(wanted, tables, fits)
    stale = stale_sets(profile, fits)
    skipped += [
        (" ".join(key), "dropped: operators were fitted anew; `plan verify` measures it again")
        for key in stale
    ]
    return Result(
        profile.id, tuple(fits), tuple(skipped), _text(profile, fits, titles, date, stale)
    )


def _fit_full_steps(
    how: TableFit, rows: Rows, profile: DeviceProfile, model: ModelSpec | None
) -> tuple[list[FittedSet], list[tuple[str, str]]]:
    """(sets, what was skipped) of whole steps, which ``profile``'s operators predict."""
    module: Any = importlib.import_module(how.module)
    given = {"profiles": {row.get("device", ""): profile for row in rows}, "model": model}
    pairs: list[tuple[str, FittedSet]] = module.fit_tables(rows, **given)
    if pairs:
        return [fit for _, fit in pairs], module.left_out(rows, **given)
    return [], [
        *(
            (
                name,
                "no row that can be predicted here: a model that is not bundled is named with "
                "--model",
            )
            for name in how.operators
        ),
        *module.left_out(rows, **given),
    ]


def _so_far(
    profile: DeviceProfile, fits: Sequence[FittedSet], titles: Mapping[str, str], date: str
) -> DeviceProfile:
    """``profile`` with the sets that are fitted already."""
    if not fits:
        return profile
    return parse_profile(_text(profile, fits, titles, date).encode(), path=Path(profile.path))


def stale_sets(profile: DeviceProfile, fits: Sequence[FittedSet]) -> list[Key]:
    """Sets of whole steps that were left over operators which are others now."""
    of_steps = {name for _, fit in FITTED if fit.full_steps for name in fit.operators}
    new = {(f.operator, f.stack, f.variant) for f in fits}
    if not any(key[0] not in of_steps for key in new):
        return []
    return [key for key in profile.fitted if key[0] in of_steps and key not in new]


NO_FORM = "no form describes its kernels: [achieved] of the profile has what it reaches"


def _unfitted(
    wanted: Sequence[tuple[TableKind, TableFit]],
    tables: Mapping[str, tuple[Rows, list[str], str]],
    fits: Sequence[FittedSet],
) -> list[tuple[str, str]]:
    """Software in the tables that is no engine with forms of its own, and had nothing fitted."""
    fitted = {f.stack for f in fits} - {TORCH}
    covered = {
        kind.name
        for kind, how in wanted
        if any(f.stack == TORCH and f.operator in how.operators for f in fits)
    }
    named = {
        (kind.name, row.get("software", "").split(" ")[0].lower())
        for kind, _ in wanted
        for row in tables[kind.name][0]
    }
    return [
        (f"{kind} of {name}", NO_FORM)
        for kind, name in sorted(named)
        if name
        and name not in fitted
        and not stack_of(name)
        and not (name == TORCH and kind in covered and kind != "op_gemm")
    ]


def _rows(data: Path, kind: TableKind, profile: DeviceProfile) -> tuple[Rows, list[str], str]:
    """(rows of the device in tables of one kind, the tables, a digest of the rows); those that were
    timed while other programs took the cores are left out."""
    rows: list[Mapping[str, str]] = []
    names = []
    for table, timed in _of_device(data, kind, profile):
        mine = [row for row in timed if not is_disturbed(row)]
        if mine:
            rows += mine
            names.append(table.name)
    text = "\n".join(",".join(f"{k}={row[k]}" for k in sorted(row)) for row in rows)
    return tuple(rows), names, sha256(text.encode()).hexdigest()[:8]


def _of_device(
    data: Path, kind: TableKind, profile: DeviceProfile
) -> Iterator[tuple[MeasuredTable, list[Mapping[str, str]]]]:
    """(table, its rows of the device) of every table of one kind."""
    for table in read_directory(data):
        if table.rows is not None and kind_of(table.columns, _KINDS) is kind:
            yield table, [row for row in table.rows if _is(row.get("device", ""), profile)]


def _disturbed(data: Path, profile: DeviceProfile) -> list[tuple[str, str]]:
    """(table, why rows of it count for nothing)."""
    notes = [
        (table.name, disturbed_note(rows))
        for kind in _KINDS
        for table, rows in _of_device(data, kind, profile)
    ]
    return [(name, note) for name, note in notes if note]


def _is(name: str, profile: DeviceProfile) -> bool:
    if canonical_name(name) in {profile.id, *map(canonical_name, profile.aliases)}:
        return True
    known = profile_of(name)
    return known is not None and known.id == profile.id


def devices_in(data: Path) -> list[str]:
    """Ids (or, where no profile matches, names) of the devices in the tables of ``data``."""
    devices: dict[str, None] = {}
    for table in read_directory(data):
        if table.rows is not None and kind_of(table.columns, _KINDS) is not None:
            for name in dict.fromkeys(row.get("device", "") for row in table.rows):
                known = profile_of(name)
                devices[known.id if known is not None else name] = None
    return list(devices)


def _fit_operators(
    how: TableFit,
    rows: Rows,
    extra: Mapping[str, Rows],
    profile: DeviceProfile,
    few: int | None,
    relative: DeviceProfile | None,
) -> tuple[list[FittedSet], list[tuple[str, str]]]:
    """(sets, what was skipped and why) of one kind of table."""
    module: Any = importlib.import_module(how.module)
    given: dict[str, Any] = {**extra, "profiles": {row.get("device", ""): profile for row in rows}}
    if few is None:
        pairs: list[tuple[str, FittedSet]] = module.fit_tables(rows, **given)
        left = module.left_out(rows, **given) if hasattr(module, "left_out") else []
        return [fit for device, fit in pairs if device == profile.id], left
    assert relative is not None
    if not hasattr(module, "problems"):
        return [], [(name, "has no fit to few rows") for name in how.operators]
    known = {**{key: entry[2] for key, entry in relative.inherited.items()}, **relative.fitted}
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
    fits: Sequence[FittedSet],
    titles: Mapping[str, str],
    date: str,
    stale: Sequence[Key] = (),
) -> str:
    """The profile's text with ``fits`` in the place of sets of the same key, without ``stale``;
    checked. This machine, where no file describes it, is described anew."""
    merged = {**profile.fitted, **{(f.operator, f.stack, f.variant): f for f in fits}}
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


HEADER = "# Fitted to operator tables by `plan calibrate`; errors are on groups kept back.\n"


def with_fits(text: str, fits: Iterable[FittedSet], *, sources: dict[str, str], date: str) -> str:
    """``text`` of a profile with its ``[[fitted]]`` tables, which stand last, replaced by ``fits``.

    ``sources`` (key → title) are added to ``[sources]``, dated ``date``, where they are missing.
    """
    head = text.split("[[fitted]]", 1)[0].rstrip()
    head = head.removesuffix(HEADER.rstrip()).rstrip() + "\n"
    for key, title in sources.items():
        if f"\n{key} = {{" not in head:
            head += f"{key} = {{ title = {_string(title)}, date = {_string(date)} }}\n"
    return head + "\n" + HEADER + "".join(map(_block, fits))


def _block(fit: FittedSet) -> str:
    e = fit.error
    lines = [
        "[[fitted]]",
        *(
            f"{name} = {_string(getattr(fit, name))}"
            for name in ("operator", "stack", "software", "variant", "kind", "source", "date")
        ),
    ]
    if fit.note:
        lines.append(f"note = {_string(fit.note)}")
    if fit.parameters:
        pairs = ", ".join(f"{k} = {_number(v)}" for k, v in fit.parameters.items())
        lines.append(f"parameters = {{ {pairs} }}")
    lines.append(
        f"error = {{ rows = {e.rows}, held_out = {e.held_out}, mean = {e.mean:.4f}, "
        f"median = {e.median:.4f}, bias = {e.bias:.4f}, sigma = {e.sigma:.4f}, "
        f"coverage = {e.coverage:.3f} }}"
    )
    for key, column in fit.table.items():
        lines.append(f"table.{key} = [{', '.join(map(_number, column))}]")
    return "\n".join(lines) + "\n\n"


def _number(value: float) -> str:
    """``value`` with five significant digits, as a TOML integer where it is whole."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(float(f"{value:.5g}"))


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON leaves it
