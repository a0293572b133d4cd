"""docs/evidence/served.md: what the printed commands did, predicted and measured."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HEAD = """# Printed commands, served

The command that a plan prints, started on this machine by the script that `plan export` writes,
with a checkpoint as its argument; {requests} requests of the plan's own workload over HTTP (for
vLLM by `vllm bench serve`), as many at once as the plan has sequences. Written by `make engines`
(`evaluation/closed_loop/served.py`). **Machine**: {machine}.

The weights are those of [closed-loop.md](closed-loop.md). Predictions are of a free machine, with
their 80 % intervals in brackets; none is fitted to what stands here. Measured are medians over the
requests. *Load*: runnable processes before and after, the server's own among them: where it is far
above the number of cores, others took most of them.

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
    for run in runs:
        out += [
            "",
            f"## {run['model']} on {run['engine']}",
            "",
            f"`{run['question']}` printed, and {run['client']} asked:",
            "",
            "```sh",
            shlex.join(run["command"]),
            "```",
            *(["", run["note"]] if "note" in run else []),
        ]
    return "\n".join(out) + "\n"


def write(path: Path, runs: Sequence[Mapping[str, Any]], machine: str) -> None:
    """The page at ``path``."""
    counts = {run["measured"]["completed"] for run in runs}
    path.write_text(page(runs, machine, max(counts, default=0)), encoding="utf-8")


def _interval(one: Mapping[str, Any]) -> str:
    """An estimate in milliseconds, with its interval and basis."""
    value, low, high = (1e3 * one[key] for key in ("value", "low", "high"))
    return f"{value:.3g} [{low:.3g}, {high:.3g}] ms, {one['basis']}"


def _cell(measured: float, one: Mapping[str, Any]) -> str:
    """A measured time in milliseconds; bold outside the interval."""
    text = f"{1e3 * measured:.3g} ms"
    return text if one["low"] <= measured <= one["high"] else f"**{text}**"
