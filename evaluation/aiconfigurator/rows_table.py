"""Errors of both tools over the same measured rows: the figures, and their part of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import expm1, log
from statistics import fmean, median
from typing import Any

from evaluation.pages import moved, narrow

METRICS = ("tpot", "ttft")
TOOLS = ("ours", "theirs", "theirs, chunks")
Record = Mapping[str, Any]


def errors(rows: Iterable[Record], tool: str, metric: str) -> list[float]:
    """predicted ÷ measured − 1 of the rows that count for ``metric``."""
    return [
        row[tool][metric] / row["measured"][metric] - 1.0
        for row in rows
        if row["counts"].get(metric, False)
    ]


def figures(rows: Sequence[Record]) -> dict[str, Any]:
    """Of every tool and metric: rows, median and mean of |error|, and the median signed factor
    less 1."""
    out: dict[str, Any] = {}
    for tool in TOOLS:
        for metric in METRICS:
            signed = errors(rows, tool, metric)
            if signed:
                sizes = [abs(error) for error in signed]
                out.setdefault(tool, {})[metric] = {
                    "rows": len(signed),
                    "median": median(sizes),
                    "mean": fmean(sizes),
                    "signed": expm1(median(log(1.0 + error) for error in signed)),
                }
    return out


def summary(rows: Sequence[Record]) -> dict[str, Any]:
    """Figures by class, by model and of all; CPU seconds an estimate."""
    groups = {"all": rows}
    for key in ("class", "model"):
        for name in sorted({str(row[key]) for row in rows}):
            groups[f"{key}: {name}"] = [row for row in rows if row[key] == name]
    unseen = [{**row, "ours": row["ours, unseen"]} for row in rows if row.get("ours, unseen")]
    groups["unseen"] = unseen
    for name in sorted({str(row["class"]) for row in unseen}):
        groups[f"unseen: {name}"] = [row for row in unseen if row["class"] == name]
    return {
        "groups": {name: figures(part) for name, part in groups.items() if part},
        "cpu_seconds": {
            tool: {
                "median": median(row["cpu"][tool] for row in rows),
                "mean": fmean(row["cpu"][tool] for row in rows),
            }
            for tool in ("ours", "theirs")
            if rows
        },
    }


def section(kept: Record) -> str:
    """The part of the page; ``kept`` as :mod:`evaluation.aiconfigurator.rows` writes it."""
    groups = kept["groups"]
    share = f" --share {kept['share']}" if kept["share"] > 1 else ""
    said = [
        "## The same measured rows",
        "",
        f"TPOT and TTFT of {_rows(groups['all'])} measured rows of one pool "
        f"({', '.join(kept['tables'])}), {kept['date']}, aiconfigurator {kept['version']} and this "
        f"planner {kept['ours']}: median |predicted ÷ measured − 1| in percent. Theirs is the "
        "point of their search for that configuration with the newest version of an engine that "
        "they have; with as many context tokens as a pass of the engine (*chunks*) in the data. "
        "A few constants of ours an engine were read off rows of these tables, which are not "
        "counted; *unseen* has none that the model's own rows gave. "
        "`python -m evaluation.aiconfigurator.rows --rival PYTHON "
        f"--data DIR{share}{' --unseen' if 'unseen' in groups else ''}`",
        "",
    ]
    rows = [
        "| rows | metric | n | ours: median | mean | signed | theirs: median | mean | signed | "
        "theirs, chunks: median | mean | signed |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    names = [
        ("class: dense", "dense"),
        ("class: MoE", "MoE"),
        ("all", "**all**"),
        ("unseen: dense", "dense, unseen"),
        ("unseen: MoE", "MoE, unseen"),
        ("unseen", "all, unseen"),
    ]
    rows += [line for key, name in names for line in _lines(name, groups.get(key, {}))]
    cpu = kept["cpu_seconds"]
    models = [
        "| model | rows | TPOT ours | theirs | TTFT ours | theirs |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for key in sorted(groups):
        if key.startswith("model: "):
            cells = [
                _percent(groups[key].get(tool, {}).get(metric, {}).get("median"))
                for metric in METRICS
                for tool in TOOLS[:2]
            ]
            name = key.removeprefix("model: ")
            models.append(f"| {name} | {_rows(groups[key])} | {' | '.join(cells)} |")
    cpu = kept["cpu_seconds"]
    return "\n".join(
        [
            *said,
            narrow(rows, (0, 1, 2, 3, 6)).replace(" %", ""),
            "",
            f"CPU seconds an estimate: ours {cpu['ours']['median']:.3f} in the median, theirs "
            f"{cpu['theirs']['median']:.3f}.",
            moved("aiconfigurator-rows", "Mean and signed errors", rows),
            moved("aiconfigurator-models", "By model", models),
            moved("aiconfigurator-left-out", "Rows left out or priced otherwise", _counts(kept)),
        ]
    )


def _lines(name: str, group: Record) -> list[str]:
    lines = []
    for metric in METRICS:
        parts = [group.get(tool, {}).get(metric) for tool in TOOLS]
        if all(part is not None for part in parts):
            cells = [
                cell
                for part in parts
                for cell in (
                    _percent(part["median"]),
                    _percent(part["mean"]),
                    _percent(part["signed"], signed=True),
                )
            ]
            lines.append(
                f"| {name} | {metric.upper()} | {parts[0]['rows']} | {' | '.join(cells)} |"
            )
    return lines


def _counts(kept: Record) -> list[str]:
    """What is not in the table, and what of theirs stands for something else."""
    lines = [f"* {count} rows {reason}." for reason, count in kept["others"].items()]
    lines += [f"* {count} rows they refuse: {reason}." for reason, count in kept["refused"].items()]
    if kept["default_formats"]:
        lines.append(
            f"* {kept['default_formats']} rows they price in the experts' format that they default "
            "to: they have no data of the one that was served."
        )
    lines.append(
        f"* {kept['beyond_cache']} rows are beyond their cache; they give times, and a warning."
    )
    return lines


def _rows(group: Record) -> int:
    return int(group.get("ours", {}).get("tpot", {}).get("rows", 0))


def _percent(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "—"
    return f"{100 * value:{'+' if signed else ''}.1f} %".replace("-", "−")
