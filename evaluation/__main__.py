"""``python -m evaluation``: measure, compare, write out/evaluation/{results.json,report.md}."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from evaluation import report, run, settings
from evaluation.pages import insert


def main() -> int:
    """Evaluate the models whose packages are installed; say which are not."""
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument(
        "--model",
        action="append",
        choices=sorted(settings.SUBJECTS),
        help="one model alone (may be given again)",
    )
    parser.add_argument("--out", type=Path, default=Path("out/evaluation"))
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="FILE",
        help="put the tables into this document, between its markers",
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begun, results = time.time(), []
    for name in options.model or reversed(settings.SUBJECTS):
        subject = settings.SUBJECTS[name]
        if settings.path_of(subject) is None:
            print(f"{name} is skipped: the package {subject.package} is not installed")
            continue
        results.append(run.evaluate(name, options.out, options.processes))
    if not results:
        print("nothing was evaluated")
        return 2
    whole = {
        "environment": run.environment(),
        "models": results,
        "wall_seconds": round(time.time() - begun),
    }
    (options.out / "results.json").write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")
    text = report.markdown(whole)
    (options.out / "report.md").write_text(text)
    if options.docs is not None:
        insert(options.docs, report.brief(whole))
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
