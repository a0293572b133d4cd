"""``python benchmarks/transfer.py DIR [--write]``: errors of sets carried to another device, from
the operator tables in DIR, each measured device without its own sets in turn.

With ``--write`` the errors replace planner/throughput/data/transfer.toml; rules of operators that
DIR has no tables of stay as they are.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from planner.lab.validation.reader import read_directory
from planner.lab.validation.table_kinds import kind_of
from planner.lab.validation.transfer import TABLES, Carried, Error, carried, pairs, summarise

DATA = Path(__file__).resolve().parents[1] / "planner" / "throughput" / "data" / "transfer.toml"
SOURCE = (
    "each measured device predicted from its relatives' sets without its own, on the "
    "operator tables of PyPI aiconfigurator-core 0.12.0 (benchmarks/transfer.py)"
)
RELATIONS = ("same", "other", "gddr")
"""See planner.throughput.calibration.architecture_relation."""
BY_VARIANT = ("gemm", "quantise", "moe")
"""Operators whose kernels are other programs by format."""
DIFFERS = 1.5
"""Ratio of a variant's sigma to its operator's from which it has a rule."""
HEAD = """# Log-space standard deviation that a transfer of fitted parameters adds to a set's own.
# By operator and variant; the first rule that matches and has the relation counts. "same": both
# devices are of a family of architectures; "other": of two, both with HBM; "gddr": of two, both
# with GDDR. Beside it n rows of so many pairs of devices, mean, median and bias of the carried
# predictions in percent. Variants whose error is much like their operator's have no rule.
# Written by `make evaluate-transfer DATA=DIR`; rules without n are judgement.
"""


def main(argv: Sequence[str]) -> int:
    """Print the errors, by pair of devices and by relation; ``--write`` writes the rules."""
    folder = Path(argv[0])
    found = measure(folder)
    for group in sorted({(g.operator, g.device, g.relative, g.relation) for g in found}):
        one = summarise(g for g in found if (g.operator, g.device, g.relative, g.relation) == group)
        if one is not None:
            print(f"{group[0]:18s} {group[1]:13s} from {group[2]:13s} {group[3]:6s} {_text(one)}")
    rules = rules_of(found)
    for rule in rules:
        for how in RELATIONS:
            if how in rule:
                print(f"{rule['operator']:18s} {rule['variant']:28s} {how:6s} {_text(rule[how])}")
    if "--write" in argv:
        DATA.write_text(text_of(rules), encoding="utf-8")
    return 0


def measure(folder: Path) -> list[Carried]:
    """The carried rows of every table in ``folder`` and every pair of devices."""
    found = []
    for table in read_directory(folder):
        kind = kind_of(table.columns)
        if table.rows is not None and kind is not None and kind.name in TABLES:
            for device, relative in pairs():
                found += carried(kind.name, table.rows, device, relative)
    return found


def rules_of(found: Sequence[Carried]) -> list[dict[str, Any]]:
    """Rules with an Error by relation: of an operator, and before it of a variant where that is
    another (see DIFFERS)."""
    rules = []
    for operator in dict.fromkeys(g.operator for g in found):
        mine = [g for g in found if g.operator == operator]
        whole = _errors(mine)
        for variant in dict.fromkeys(g.variant for g in mine) if operator in BY_VARIANT else ():
            own = {
                how: e
                for how, e in _errors(g for g in mine if g.variant == variant).items()
                if _another(e, whole[how])
            }
            if own:
                rules.append({"operator": operator, "variant": variant, **own})
        if whole:
            rules.append({"operator": operator, "variant": "*", **whole})
    return rules


def _errors(groups: Iterable[Carried]) -> dict[str, Error]:
    some = list(groups)
    return {
        how: e
        for how in RELATIONS
        if (e := summarise(g for g in some if g.relation == how)) is not None
    }


def _another(own: Error, whole: Error) -> bool:
    """Whether a variant has a rule of its own: a larger error, or a smaller one over two pairs."""
    return own.sigma > DIFFERS * whole.sigma or (
        own.pairs > 1 and own.sigma < whole.sigma / DIFFERS
    )


def text_of(rules: Sequence[dict[str, Any]]) -> str:
    """The data file: ``rules`` first, then what stays of the file."""
    kept = [
        r
        for r in tomllib.loads(DATA.read_text(encoding="utf-8"))["rule"]
        if r["operator"] not in {m["operator"] for m in rules} or r["variant"] == "*"
    ]
    lines = [HEAD + f'source = "{SOURCE}"\ndate = "{date.today().isoformat()}"\n']
    lines += [_rule(r) for r in (*rules, *_last(kept, rules))]
    return "\n".join(lines)


def _last(kept: Iterable[dict[str, Any]], rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules that were not measured, in what relations none was; the widest at the end."""
    have = {(r["operator"], r["variant"], how) for r in rules for how in RELATIONS if how in r}
    left = []
    for rule in kept:
        more = {
            how: rule[how]
            for how in RELATIONS
            if how in rule and (rule["operator"], rule["variant"], how) not in have
        }
        if more:
            left.append({"operator": rule["operator"], "variant": rule["variant"], **more})
    return sorted(left, key=lambda r: r["operator"] == "*")


def _rule(rule: dict[str, Any]) -> str:
    lines = ["[[rule]]", f'operator = "{rule["operator"]}"', f'variant = "{rule["variant"]}"']
    for how in RELATIONS:
        if how in rule:
            e = rule[how]
            if isinstance(e, Error):
                lines.append(
                    f"{how} = {{ sigma = {e.sigma:.3f}, n = {e.rows}, pairs = {e.pairs}, "
                    f"mean = {e.mean:.1f}, median = {e.median:.1f}, bias = {e.bias:.1f} }}"
                )
            else:
                inside = ", ".join(f"{k} = {v}" for k, v in e.items())
                lines.append(f"{how} = {{ {inside} }}")
    return "\n".join(lines) + "\n"


def _text(e: Error) -> str:
    return (
        f"n {e.rows:6d} of {e.pairs} pairs: mean {e.mean:5.1f} median {e.median:5.1f} bias "
        f"{e.bias:+6.1f} sigma {e.sigma:.3f}"
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
