"""Tables that were measured, and what earlier sweeps and verifications left, attacked where they
are read."""

import csv
import io
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from support.command_words import DEVICE, MODEL, PRICED, ROOT, Attack, took
from support.laws import LawError, reader
from support.measured_tables import Measured, Table, measured_tables, of
from support.tape import MANY, Tape, damaged, json_bytes, toml_bytes, torn
from support.told_rows import told_rows

SAMPLE = ROOT / "planner" / "lab" / "validation" / "sample"


def tables_calibrated(tape: Tape, folder: Path) -> bool:
    """Tables of one device, whose operators are fitted."""
    sample = tape.of(_fitted())
    data = folder / "data"
    data.mkdir()
    chosen = tape.of(sorted(sample.tables))
    for kind, rows in sample.tables.items():
        text = torn(_csv(damaged(rows, tape, MANY)), tape) if kind == chosen else _csv(rows)
        (data / f"{kind}.csv").write_bytes(text)
    return took(
        [
            "calibrate",
            "data",
            "-o",
            f"{sample.device}.toml",
            "--quiet",
            "--date",
            "2026-01-01",
            *sample.flags,
        ],
        folder,
        may_write=(f"{sample.device}.toml",),
        most_seconds=PRICED,
    )


@cache
def _fitted() -> tuple[Measured, ...]:
    """Made tables with enough rows for fits, and the first rows of one software of the packaged
    ones."""
    from planner.lab.validation.op_rows import profile_of

    out = []
    for path in sorted(SAMPLE.glob("op_*.csv")):
        rows = _rows(path)
        counted = Counter((row["device"], row["software"]) for row in rows)
        (name, software), _ = counted.most_common(1)[0]
        known = profile_of(name)
        if known is not None:
            out.append(
                of(
                    known.id,
                    {
                        path.stem: [
                            row
                            for row in rows
                            if row["device"] == name and row["software"] == software
                        ][:8]
                    },
                )
            )
    return (*measured_tables(), *out)


def _rows(path: Path) -> list[Table]:
    return _rows_of(path.read_bytes())


def _rows_of(text: bytes) -> list[Table]:
    return list(csv.DictReader(io.StringIO(text.decode("utf-8"))))


def _csv(rows: Any) -> bytes:
    """Rows as CSV under the columns that any of them has; what is no row is a cell."""
    listed = [
        row if isinstance(row, dict) else {"x": row}
        for row in (rows if isinstance(rows, list) else [rows])
    ]
    columns = list(dict.fromkeys(key for row in listed for key in row))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([columns, *([row.get(key, "") for key in columns] for row in listed)])
    return text.getvalue().encode("utf-8", "surrogatepass")


def tables_validated(tape: Tape, folder: Path) -> bool:
    """Tables of every kind against their predictors: every row is told with its reason."""
    from planner.lab.validation.run import validate

    name, rows = tape.of(_validated())
    (folder / f"{name}.csv").write_bytes(torn(_csv(damaged(rows, tape, MANY)), tape))
    if tape.below(8) == 1:
        return took(
            ["validate", "--data", ".", "--json", "--rows", "r.csv"],
            folder,
            may_write=("r.csv",),
            most_seconds=PRICED,
        )

    def read() -> None:
        for one in validate(str(folder)).outcomes:
            if one.predicted is None and not one.reason:
                raise LawError(f"row {one.row} without a reason")
            if one.predicted is not None and not (
                0 <= one.low <= one.predicted <= one.high < float("inf")
                and (one.low > 0 or one.metric == "memory")
            ):  # a pool that nothing is left for
                raise LawError(f"row {one.row}: {one.low} {one.predicted} {one.high}")

    return reader(read, folder, most_seconds=PRICED)


@cache
def _validated() -> tuple[tuple[str, list[Table]], ...]:
    tables = [(path.stem, _rows(path)) for path in sorted(SAMPLE.glob("*.csv"))]
    spread = [(name, rows[:: max(1, len(rows) // 3)][:3]) for name, rows in tables]
    return (*spread, *told_rows())


def sweep_left(tape: Tape, folder: Path) -> bool:
    """What an earlier sweep left: its journal, or its table."""
    from planner.jobs.journal import _line

    (folder / "q.toml").write_bytes(toml_bytes(ESTIMATES))
    words = ["sweep", "q.toml", "-o", "o.csv", "--quiet"]
    table, records = left_by_sweep()
    if tape.below(2):
        (folder / "o.csv").write_bytes(torn(_csv(damaged(_rows_of(table), tape, MANY)), tape))
    else:
        listed = damaged(records, tape, MANY)
        try:
            lines = b"".join(map(_line, listed))
        except (TypeError, ValueError):
            return False
        (folder / "o.csv.journal").write_bytes(torn(lines, tape))
    return took(words, folder, may_write=("o.csv", "o.csv.journal"), most_seconds=PRICED)


ESTIMATES = {
    "common": {"devices": 1, "context": 2048, "batch": 4, "verb": "estimate"},
    "grid": [{"model": MODEL, "device": [DEVICE, "a100-sxm"]}],
    "question": [{"scenario": "h100-fp8-throughput", "model": MODEL, "device": DEVICE}],
    "price": {DEVICE: 0.9},
}


@cache
def left_by_sweep() -> tuple[bytes, list[dict[str, Any]]]:
    """(the table, the records of the journal) of a small sweep."""
    import tempfile
    from unittest.mock import patch

    from planner.jobs.journal import Journal, _parse
    from planner.sweeping.sweep import answers

    with tempfile.TemporaryDirectory() as made, patch.object(Journal, "remove", Journal.close):
        path = Path(made) / "q.toml"
        path.write_bytes(toml_bytes(ESTIMATES))
        answers(str(path), output=str(Path(made) / "o.csv"))
        lines = (Path(made) / "o.csv.journal").read_bytes().splitlines()
        records = [record for line in lines if (record := _parse(line)) is not None]
        return (Path(made) / "o.csv").read_bytes(), records


def losses(tape: Tape, folder: Path) -> bool:
    """Losses of an earlier verification, which a later one learns a profile from."""
    from planner.lab.verifying.learned import learned_profile
    from planner.lab.verifying.learning import learn, read_losses
    from planner.lookup import load_model
    from planner.quality.profile_file import as_dict

    (folder / "losses.json").write_bytes(torn(json_bytes(damaged(_losses(), tape, MANY)), tape))

    def read() -> None:
        basis = _basis()
        schemes, values, row = _measured_now() if tape.below(2) else ({}, {}, ())
        learned = learn(basis, schemes, values, read_losses(folder, MODEL, basis))
        if learned is not None:
            learned.notes()
            for one in learned.rows(row):
                if not 0 < one.low <= one.predicted <= one.high < float("inf"):
                    raise LawError(f"{one.subject}: {one.low} {one.predicted} {one.high}")
        if learned is not None and learned.posterior is not None:
            made = learned_profile(
                load_model(MODEL),
                basis,
                learned.posterior,
                version="b1",
                source="llama.cpp",
                checks=[(c.name, c.shares, c.kl.value, c.flips) for c in learned.checks],
                counted=[c.digest for c in learned.checks],
            )
            json.dumps(as_dict(made), allow_nan=False)

    return reader(read, folder)


@cache
def _basis() -> Any:
    from planner.lab.verifying.learned import loss_basis
    from planner.lookup import load_model

    return loss_basis(load_model(MODEL), None)


@cache
def _measured_now() -> Any:
    """(schemes, readings, rows) of a verification that learns from the earlier one: the first of
    its files is measured again."""
    from planner.lab.verifying.records import ComparedRow, Reading

    schemes = {
        "plan": _losses()["files"]["plan"]["schemes"],
        "now": dict.fromkeys(_losses()["files"]["plan"]["schemes"], "ggml-q8_0"),
        "untold": {},
    }
    values = {name: {"kl": Reading(0.01, 0.001), "flips": Reading(0.02)} for name in schemes}
    row = ComparedRow("plan", "kl", "nats", 0.02, 0.01, 0.04, "prior", 0.01, 0.001)
    return schemes, values, (row,)


@cache
def _losses() -> Any:
    tensors = [name for parts in _basis().parts.values() for name in parts][:12]
    one = {
        "kl": 0.02,
        "error": 0.001,
        "flips": 0.05,
        "made_of": "x",
        "schemes": dict.fromkeys(tensors, "ggml-q4_k"),
    }
    return {
        "schema_version": "1",
        "model": MODEL,
        "files": {"plan": one, "other": one | {"made_of": "y", "kl": 0.03}},
    }


TABLES: dict[str, Attack] = {
    "calibrate": tables_calibrated,
    "validate": tables_validated,
    "sweep-left": sweep_left,
    "losses": losses,
}
