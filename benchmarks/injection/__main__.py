"""Hostile strings in files of others, in every output.

    python -m benchmarks.injection [--only NAME,NAME] [--write docs/evidence/untrusted-files.md]

Every string of a plan file (drawn from its schema), and of the other files that somebody else may
have written, gets each payload. A cell is a field × a payload × an output: refused where the file
is read, with its place and a hint; or written and inert, which is proved by running the script with
stubs of the engines on the path that write their words down, and by reading YAML, JSON, Python,
Markdown, HTML and tables again and comparing them with those of a harmless word.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from benchmarks.injection import doors
from benchmarks.injection.payloads import PAYLOADS, declared, of_each
from benchmarks.injection.samples import MADE, sample
from benchmarks.injection.table import (
    Field,
    Tally,
    behind_the_reader,
    of_sample,
    outputs_of,
    refused,
)
from evaluation.pages import moved, publish

SHOWN = 40
"""Live cells that are told in words."""


def main() -> int:
    """Print the table; 1 where a cell is live or a field has no sample."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.injection", description=__doc__)
    parser.add_argument("--only", default=",".join(MADE), help="samples of plans, with commas")
    parser.add_argument("--write", type=Path, help="the page to write")
    parser.add_argument("--plans-only", action="store_true", help="no other files")
    given = parser.parse_args()
    names = given.only.split(",")
    tally, known = Tally(), refused(tuple(names))
    for name in names:
        start = time.monotonic()
        for payload in PAYLOADS:
            of_sample(name, payload, tally, known)
            behind_the_reader(name, payload, tally)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    shut = {} if given.plans_only else doors.DOORS
    beside = doors.tried(shut)
    tried = {field for name in names for field in of_each(sample(name))}
    missing = declared() - tried if {*MADE} <= {*names} else set()
    live = [*tally.live, *beside.live, *(f"no sample has {'.'.join(one)}" for one in missing)]
    text = page(names, tried, shut, tally, beside, live)
    print(text)
    if given.write:
        publish(given.write, text)
    for one in live[:SHOWN]:
        print(f"live: {one}", file=sys.stderr)
    return int(bool(live))


def page(
    names: Sequence[str],
    tried: Collection[Field],
    shut: Collection[str],
    tally: Tally,
    beside: Tally,
    live: Sequence[str],
) -> str:
    """The counts as a page."""
    cells = sum(one.refused.total() + one.inert.total() for one in (tally, beside)) + len(live)
    out = [
        "# Strings of untrusted files",
        "",
        "Every string of a file is replaced by payloads and every output is read again: a cell is "
        "a field × a payload × an output. *Refused*: by the reader, with place and hint, or by the "
        "export. *Inert*: scripts ran with stubs of the engines, and YAML, JSON, Python, Markdown, "
        "HTML and terminal text parsed as they do with a harmless word. Made by `python -m "
        "benchmarks.injection --write docs/evidence/untrusted-files.md`.",
        "",
        f"**{cells:,} cells tried, {len(live)} live**: {len(tried)} of the {len(declared())} "
        f"strings that `plan schema` knows, in {len(names)} plans ({', '.join(names)}), and "
        f"{len(shut)} of other files, with {len(PAYLOADS)} payloads.",
        "",
    ]
    rows = ["| output | refused | inert |", "|---|---:|---:|"]
    for title, one in (("plan files", tally), ("other files", beside)):
        shut, inert = outputs_of(one.refused), outputs_of(one.inert)
        rows += [
            f"| {title}: {output} | {shut[output]:,} | {inert[output]:,} |"
            for output in sorted({*shut, *inert})
        ]
    payloads = [f"| {name} | {_shown(text)} |" for name, text in PAYLOADS.items()]
    fields = [f"| {name} |" for name in shut]
    out += [
        moved("untrusted-outputs", "Cells by output", rows),
        moved("untrusted-payloads", "Payloads", ["| name | text |", "|---|---|", *payloads]),
        moved("untrusted-fields", "Fields of other files", ["| field |", "|---|", *fields]),
    ]
    return "\n".join(out) + "\n"


def _shown(text: str) -> str:
    """A payload as code in a cell."""
    return "`` " + text.encode("unicode_escape").decode().replace("|", "\\|") + " ``"


if __name__ == "__main__":
    raise SystemExit(main())
