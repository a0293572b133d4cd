"""docs/evidence/served.md: what the printed commands did, predicted and measured."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.pages import moved, publish

HEAD = """# Printed commands, served

The command that a plan prints, started on this machine ({machine}) by the script that
`plan export` writes, with the checkpoints of [the closed loop](closed-loop.md); {requests}
requests of the plan's own workload over HTTP. Predictions are of a free machine, with their 80 %
intervals; none is fitted to these rows. Measured are medians; *load*: runnable processes before
and after. Made by `make engines`.

| model | engine | TTFT predicted | measured | TPOT predicted | measured | tokens/s | sent | load |
|---|---|---|---:|---|---:|---:|---:|---|
"""


def page(runs: Sequence[Mapping[str, Any]], machine: str, requests: int) -> str:
    """The whole page."""
    out = [HEAD.format(machine=machine, requests=requests).rstrip("\n")]
    for run in runs:
        said, found = run["predicted"], run["measured"]
        out.append(
            f"| {run['model']} | {run['engine']} {run['version']} | {_interval(said['ttft'])} | "
            f"{_cell(found['ttft'], said['ttft'])} | {_interval(said['tpot'])} | "
            f"{_cell(found['tpot'], said['tpot'])} | {found['tokens_per_second']:.1f} | "
            f"{found['completed']} | {run['load'][0]:.1f}, {run['load'][1]:.1f} |"
        )
    rows = [
        "| model | engine | question | asked by | command | note |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        command = shlex.join(run["command"]).replace("|", "\\|")
        rows.append(
            f"| {run['model']} | {run['engine']} | {run['question']} | {run['client']} | {command} "
            f"| {run.get('note', '')} |"
        )
    return "\n".join([*out, "", moved("served-commands", "Questions and commands", rows)]) + "\n"


def write(path: Path, runs: Sequence[Mapping[str, Any]], machine: str) -> None:
    """The page at ``path``."""
    counts = {run["measured"]["completed"] for run in runs}
    publish(path, page(runs, machine, max(counts, default=0)))


def _interval(one: Mapping[str, Any]) -> str:
    """An estimate in milliseconds, with its interval and basis."""
    value, low, high = (1e3 * one[key] for key in ("value", "low", "high"))
    return f"{value:.3g} [{low:.3g}, {high:.3g}] ms, {one['basis']}"


def _cell(measured: float, one: Mapping[str, Any]) -> str:
    """A measured time in milliseconds; bold outside the interval."""
    text = f"{1e3 * measured:.3g} ms"
    return text if one["low"] <= measured <= one["high"] else f"**{text}**"
