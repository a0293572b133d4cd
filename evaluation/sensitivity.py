"""``python -m evaluation.sensitivity``: how well sensitivities of models that were left out are
predicted, and the bands that follow.

Tables of single matrices and levels come from the shipped measurements. Raw signals and whole
models need the tables that those were made from (--data), and are left out, with the reason, where
that folder is not there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluation import left_out_report
from evaluation.floors import PUBLIC_FILES, floors_text
from evaluation.left_out_bands import bands_text
from evaluation.pages import insert
from planner.quality.sensitivity.kld_data import DATA

MEASURED = Path(__file__).resolve().parents[2] / "shared" / "measured"
TABLES = (MEASURED / "kld", MEASURED / "kld_more")
BANDS = DATA / "kld" / "bands.json"


def main() -> int:
    """Print the report; write bands or a document where asked to."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.sensitivity", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=TABLES,
        metavar="FOLDER",
        help="folders of kld_tensors.csv, kld_groups.csv and kld_whole.csv",
    )
    parser.add_argument(
        "--published",
        type=Path,
        default=PUBLIC_FILES,
        metavar="FILE",
        help="public files of whole models with their KL",
    )
    parser.add_argument(
        "--bands", action="store_true", help=f"write {BANDS.name} of the package, and nothing else"
    )
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="FILE",
        help="put the tables into this document, between its markers",
    )
    options = parser.parse_args()
    if options.bands:
        BANDS.write_text(bands_text(), encoding="utf-8")
        return 0
    folders = tuple(f for f in options.data if (f / "kld_whole.csv").is_file())
    shipped = left_out_report.shipped_text()
    print(shipped)
    if len(folders) < len(options.data):
        named = " or ".join(map(str, options.data))
        print(f"raw signals and whole models are left out: no kld_whole.csv in {named}")
    else:
        tables = left_out_report.tables_text(folders)
        print(tables)
    print(floors_text(options.published))
    if options.docs is not None:
        insert(options.docs, shipped, "left out")
        if len(folders) == len(options.data):
            insert(options.docs, tables, "whole types")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
