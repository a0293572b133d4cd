"""``plan validate``: every table of a directory against the predictor of its kind."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

from planner.base.errors import UnknownNameError
from planner.base.typed import typed
from planner.hardware.loader import load_profile
from planner.hardware.profile import DeviceProfile
from planner.lab.validation.grouping import group, uncovered
from planner.lab.validation.reader import MeasuredTable, read_directory
from planner.lab.validation.records import Outcome, Uncovered, Validation
from planner.lab.validation.served_kinds import by_kind
from planner.lab.validation.table_kinds import PREDICTED, kind_of

SAMPLE = Path(__file__).resolve().parent / "sample"
"""Measured rows that ship with the package (see sample/README.md)."""
Predict = Callable[..., list[Outcome]]


@typed
def validate(data: str | os.PathLike[str] | None = None, *, only: str | None = None) -> Validation:
    """Compare predictions with every table in ``data`` (None: the sample of the package).

    ``only`` names kinds of tables or file stems, with commas between them. Profiles beside the
    tables go before packaged ones.

    Raises:
        DataError: no such directory, or an invalid profile in it.
        UnknownNameError: no such kind, and no such file in the directory.
    """
    folder = Path(data) if data is not None else SAMPLE
    tables = read_directory(folder)
    own = own_profiles(folder)
    wanted = _wanted(only, tables)
    outcomes: list[Outcome] = []
    unknown: list[Uncovered] = []
    for table in tables:
        kind = kind_of(table.columns, PREDICTED)
        if (
            wanted is not None
            and table.name not in wanted
            and (kind is None or kind.name not in wanted)
        ):
            continue
        if table.name in own and not table.columns:
            continue  # the profile of a device
        if table.rows is None:
            unknown.append(Uncovered(table.name, "unreadable file", table.lines))
        elif kind is None:
            unknown.append(Uncovered(table.name, "unknown file", max(1, len(table.rows))))
        else:
            module = importlib.import_module(kind.predictor)
            given = {"profiles": own} if kind.own_devices and own else {}
            outcomes += cast("Predict", module.predict_rows)(table.name, table.rows, **given)
    return Validation(
        group(outcomes), (*unknown, *uncovered(outcomes)), tuple(outcomes), by_kind(outcomes)
    )


def own_profiles(folder: Path) -> dict[str, DeviceProfile]:
    """Devices whose profiles lie beside the tables (``plan measure`` writes host.toml), by id.

    Raises:
        DataError: such a profile is invalid.
    """
    profiles = [load_profile(path) for path in sorted(folder.glob("*.toml"))]
    return {profile.id: profile for profile in profiles}


def _wanted(only: str | None, tables: list[MeasuredTable]) -> frozenset[str] | None:
    """Kinds and stems that ``only`` names; None for all."""
    if only is None:
        return None
    names = frozenset(part.strip() for part in only.split(",") if part.strip())
    known = {kind.name for kind in PREDICTED} | {table.name for table in tables}
    for name in sorted(names) or [only]:
        if name not in known:
            raise UnknownNameError("table or kind of table", name, known)
    return names
