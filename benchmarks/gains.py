"""``python -m benchmarks.gains DIR…``: what a predicted gain of one configuration over another is
worth, from pairs of rows of the served tables in the folders, as
planner/planning/data/gain_calibration.csv, and how that answers pairs of left-out models, as
docs/evidence/gains.md.

Pairs share source, model, device, way of loading and lengths, and have output tokens/s of a device
measured and predicted (``benchmarks/gains_rows.py``). A pair that differs in one thing beside
devices and batch counts under that, one that differs in more under ``several``, others under
devices before batch: those two are predicted well whatever else differs, so that they add nothing
to what the harder difference errs by, and pairs without them are too few. The others come first in
the order engine, format, cache, speculation, layout, version: what runs other kernels and another
scheduler shares least of its error with its partner.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.evidence import served_tables
from benchmarks.gains_fit import Entry, GainPair, chosen_nu, entries, pairs_of
from benchmarks.gains_page import page
from benchmarks.gains_rows import MeasuredConfiguration, configurations
from evaluation.pages import publish
from planner.lab.validation.run import validate
from planner.planning.choose import calibrated
from planner.planning.choose.calibrated import FILE, MEASURED, RELATED

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "gains.md"
COLUMNS = (
    "difference",
    "level",
    "without",
    "beta",
    "sd",
    "nu",
    "slope",
    "pairs",
    "models",
    "sign_right",
    "source",
)
HEAD = (
    "# Written by `python -m benchmarks.gains DIR...` from pairs of published results: what a log",
    "# gain predicted is worth. Level measured: tables e2e_silicon* (PyPI aiconfigurator-core",
    "# 0.12.0, NVIDIA, Apache-2.0); others: GPUStack's performance lab (Apache-2.0) and pages of",
    "# TensorRT-LLM's performance and others, as docs/evidence/validation.md names them.",
)


def rows_of(folders: Iterable[Path]) -> list[MeasuredConfiguration]:
    """Measured and predicted configurations of all tables in the folders."""
    rows: list[MeasuredConfiguration] = []
    for folder in folders:
        outcomes = validate(folder, only=served_tables(folder)).outcomes
        rows += configurations(outcomes, folder)
    return rows


def left_out(pairs: Sequence[GainPair], nus: dict[str, float]) -> list[Entry]:
    """Entries that rest on all pairs, then those of each model without its family's pairs."""
    families = {model: pair.family for pair in pairs for model in pair.models}
    made: dict[str, list[Entry]] = {}
    for model, family in families.items():
        if family not in made:
            made[family] = entries(pairs, nus, model)
    lines = entries(pairs, nus)
    for model in sorted(families):
        lines += [replace(entry, without=model) for entry in made[families[model]]]
    return lines


def as_csv(lines: Iterable[Entry]) -> str:
    """The file of ``lines``, without its head."""
    text = [",".join(COLUMNS)]
    for e in lines:
        c = e.calibration
        numbers = (f"{c.beta:.3f}", f"{c.sd:.4f}", f"{c.nu:g}", f"{c.slope:.4f}", c.pairs, c.models)
        text.append(
            ",".join(
                map(str, (e.difference, e.level, e.without, *numbers, f"{e.right:.2f}", e.source))
            )
        )
    return "\n".join(text) + "\n"


def main(folders: Sequence[str]) -> None:
    """Write the data file and the page."""
    pairs = pairs_of(rows_of(map(Path, folders)))
    nus = {level: chosen_nu(pairs, level) for level in (MEASURED, RELATED)}
    lines = left_out(pairs, nus)
    FILE.write_text("\n".join(HEAD) + "\n" + as_csv(lines), encoding="utf-8")
    calibrated.forget()
    publish(PAGE, page(pairs, [e for e in lines if not e.without]))
    print("written:", *(path.relative_to(ROOT) for path in (FILE, PAGE)))


if __name__ == "__main__":
    main(sys.argv[1:])
