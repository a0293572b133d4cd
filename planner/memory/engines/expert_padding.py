"""Sizes that an engine's expert kernels are padded to, by back end: ``data/expert_padding.csv``.

A back end multiplies whole tiles: an expert's intermediate size on a rank and the hidden size are
rounded up, and the padding is held in memory. Which back end runs by default follows from the
device's compute capability.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from planner.base.errors import InputError
from planner.base.records import record
from planner.base.versions import Version, version_of
from planner.memory.engines.catalog import Engine
from planner.memory.engines.records import Case, Settings
from planner.memory.resident import ExpertPad
from planner.models.spec import ModelSpec

_DATA = Path(__file__).resolve().parents[1] / "data" / "expert_padding.csv"
NONE = ExpertPad()


@record
class PaddingRow:
    """One back end of an engine from version ``since``: what it pads, and the majors of compute
    capability it is the default on."""

    engine: str
    since: Version
    scheme: str
    backend: str
    default_on: tuple[str, ...]
    pad: ExpertPad
    source: str


@cache
def padding_rows() -> tuple[PaddingRow, ...]:
    """The table, in its order."""
    with _DATA.open(encoding="utf-8", newline="") as file:
        return tuple(
            PaddingRow(
                row["engine"],
                version_of(row["since"]),
                row["scheme"],
                row["backend"],
                tuple(row["default_on"].split()),
                ExpertPad(
                    int(row["intermediate"]),
                    int(row["hidden"]),
                    row["bias"],
                    int(row["scale_outputs"]),
                    row["kept_scales"] == "1",
                ),
                row["source"],
            )
            for row in csv.DictReader(file)
        )


def backends(engine: str) -> tuple[str, ...]:
    """The back ends of an engine whose padding is known."""
    return tuple(dict.fromkeys(row.backend for row in padding_rows() if row.engine == engine))


def expert_pad(case: Case, engine: Engine, settings: Settings) -> tuple[ExpertPad, str]:
    """The padding of the experts of ``case`` and the back end it is of ("" for none).

    Raises:
        InputError: a back end that the engine does not have.
    """
    known = backends(engine.name)
    if settings.moe_backend and settings.moe_backend not in known:
        raise InputError(
            f"moe backend {settings.moe_backend!r} of {engine.name} is not known",
            hint="understood: " + ", ".join(known),
        )
    scheme = _stored(case.spec)
    if not scheme or case.format_of("experts-gate-up", case.spec.layers - 1) is not None:
        return NONE, ""
    major = "cpu" if not case.cuda else str(case.capability)
    rows = [
        row
        for row in padding_rows()
        if row.engine == engine.name
        and row.scheme == scheme
        and row.since <= engine.version
        and (
            row.backend == settings.moe_backend if settings.moe_backend else major in row.default_on
        )
    ]
    if not rows:
        return NONE, ""
    newest = max(rows, key=lambda row: row.since)
    return newest.pad, newest.backend


def padding_note(case: Case, pad: ExpertPad, backend: str) -> tuple[str, ...]:
    """What the padding makes of an expert's sizes, where it makes any difference."""
    experts = case.spec.experts
    if experts is None or not backend:
        return ()
    width, hidden = -(-experts.width // case.layout.moe_tp), case.spec.hidden_size
    padded = (pad.up(width, pad.intermediate), pad.up(hidden, pad.hidden))
    if padded == (width, hidden):
        return ()
    return (
        f"experts are padded for the {backend} kernels: {padded[0]} × {padded[1]} on a rank "
        f"in place of {width} × {hidden}",
    )


def _stored(spec: ModelSpec) -> str:
    """The family of the experts' scheme: mxfp4 of mxfp4-w4a16."""
    return next(
        (
            row.scheme.split("-")[0]
            for row in spec.rows
            if row.kind == "experts-gate-up" and row.part == "main" and row.scheme
        ),
        "",
    )
