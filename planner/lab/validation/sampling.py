"""The sample of measured rows that ships with the package:
``python -m planner.lab.validation.sampling DIR`` writes it from whole tables.

The rule: of every group (device, software, kernel and formats) the rows with the smallest SHA-256
of their cells. Operator tables give only shapes that no fit saw; rows with a reason to be excluded
are left out. Nothing is chosen by its error.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from planner.lab.validation.op_rows import is_held_out
from planner.lab.validation.reader import MeasuredTable, read_directory
from planner.lab.validation.run import SAMPLE

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SamplingRule:
    """Tables whose stem starts with ``stem``: ``each`` rows of every group by the columns
    ``group``; ``unseen`` is the key of the hold-out (None: no fit saw any row)."""

    stem: str
    group: tuple[str, ...]
    each: int
    unseen: Callable[[Row], str] | None = None


def _joined(*names: str) -> Callable[[Row], str]:
    return lambda row: ",".join(
        str(int(float(row[n]))) if row[n].replace(".", "").isdigit() else row[n] for n in names
    )


RULES = (
    SamplingRule("op_gemm", ("device", "software", "kernel", "w_a_dtype"), 8, _joined("n", "k")),
    SamplingRule("op_quantize", ("device", "software", "op"), 3, _joined("k")),
    SamplingRule(
        "op_attn_context",
        ("device", "software", "attn_dtype", "kv_dtype"),
        5,
        _joined("heads", "kv_heads", "head_dim"),
    ),
    SamplingRule(
        "op_attn_generation",
        ("device", "software", "attn_dtype", "kv_dtype"),
        6,
        _joined("heads", "kv_heads", "head_dim"),
    ),
    SamplingRule(
        "op_mla",
        ("device", "software", "phase", "mla_dtype", "kv_dtype"),
        4,
        _joined("heads", "batch"),
    ),
    SamplingRule(
        "op_attn_module",
        ("device", "software", "module", "phase", "kv_dtype", "gemm_dtype"),
        1,
        _joined("heads", "batch"),
    ),
    SamplingRule(
        "op_linear_attention", ("device", "software", "kernel"), 2, _joined("k_heads", "v_heads")
    ),
    SamplingRule(
        "op_moe_a2a",
        ("device", "software", "comm_backend", "phase", "comm_dtype"),
        2,
        _joined("hidden_size", "topk", "num_experts"),
    ),
    SamplingRule("op_moe", ("device", "software", "kernel", "moe_dtype"), 4),
    SamplingRule(
        "op_comm",
        ("device", "software", "op", "mode"),
        3,
        _joined("op", "num_gpus", "message_elements"),
    ),
    SamplingRule("e2e_silicon", ("model", "software", "mode"), 6),
    SamplingRule("e2e_trtllm", ("model", "device", "metric"), 1),
    SamplingRule("e2e_xeon", ("model", "device", "metric"), 1),
    SamplingRule("e2e_jetson", ("model", "device", "metric"), 1),
)
"""Experts have no hold-out by a key: shapes are left out in turn, and ``validate`` tells held-out
rows from fitted ones."""
DROPPED = ("parallelism_as_recorded",)


def sample_rows(table: MeasuredTable, rule: SamplingRule) -> list[Row]:
    """The rows of ``table`` that ``rule`` takes, in the order of the table."""
    groups: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    rows = table.rows or ()
    for i, row in enumerate(rows):
        if row.get("exclude") or row.get("suspect"):
            continue
        if rule.unseen is not None and not is_held_out(rule.unseen(row)):
            continue
        digest = sha256("\x1f".join(row.values()).encode()).hexdigest()
        groups.setdefault(tuple(row[g] for g in rule.group), []).append((digest, i))
    chosen = sorted(i for members in groups.values() for _, i in sorted(members)[: rule.each])
    return [rows[i] for i in chosen]


def rule_of(name: str) -> SamplingRule | None:
    """The rule of a table by its stem."""
    return next((rule for rule in RULES if name.startswith(rule.stem)), None)


def write_sample(data: Path, target: Path) -> dict[str, int]:
    """Write the sample of every table in ``data`` to ``target``; returns rows by table."""
    counts = {}
    for table in read_directory(data):
        rule = rule_of(table.name)
        if rule is None or not table.rows:
            continue
        columns = [c for c in table.columns if c not in DROPPED]
        rows = sample_rows(table, rule)
        with (target / f"{table.name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([row[c] for c in columns] for row in rows)
        counts[table.name] = len(rows)
    return counts


if __name__ == "__main__":
    for name, count in write_sample(Path(sys.argv[1]), SAMPLE).items():
        print(f"{name}: {count}")
