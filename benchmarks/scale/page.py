"""What a sweep of a hundred thousand plans and a profile of DeepSeek-V3 take on so many workers,
from measured parts (``measured.json``), as a page and a figure:
``python -m benchmarks.scale.page --write docs/evidence/scale.md [--price 0.05]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.scale.parts_cost import (
    JOURNAL_SECONDS,
    READER,
    START_SECONDS,
    STORAGES,
    WAY_SECONDS,
    WORKERS,
    before,
    costs,
    measured,
    profile_costs,
    profile_tasks,
    row,
    span,
    sweep_parts,
    sweep_tasks,
    table,
    work_hours,
)
from benchmarks.scale.parts_page import beside_told, parts_told
from benchmarks.scale.simulation import Task, simulate
from benchmarks.scale.work import divided, longest_first
from evaluation.pages import moved, publish

RATES = (0.0, 0.05, 0.5, 2.0)

USD_PER_CORE_HOUR = 0.05

HEAD = ("workers", "wall", "USD", "used", "end", "client", "scheduler")


def sweep_told(price: float) -> list[str]:
    """The sweep over workers, and what orders and divisions change."""
    tasks, parts = sweep_tasks(), costs()
    rows = [row(simulate(tasks, n, parts), n, tasks, price) for n in (*WORKERS, 1024)]
    given, most = sweep_parts()[0], 512
    longest = max(task.seconds for task in tasks)
    outlier = [*tasks[: len(tasks) // 2], Task(10 * longest), *tasks[len(tasks) // 2 :]]
    wall = {
        name: simulate(some, most, cost).wall_seconds
        for name, some, cost in (
            ("now", tasks, parts),
            ("given", given, parts),
            ("best", longest_first(tasks), parts),
            ("small", divided(tasks, 4), parts),
            ("outlier", outlier, parts),
            ("before", given, before()),
        )
    }
    return [
        "## `plan sweep` of 100,000 plans",
        "",
        "`used` is work over the time that workers are paid for, `end` from the last part that is "
        "given to the last result, client (with its journal) and scheduler the share of the time "
        "that they are busy.",
        "",
        *table(HEAD, rows),
        f"Nothing here is near its limit at 512 workers but the end: {span(wall['now'])} where "
        f"{span(work_hours(tasks) * 3600 / most + START_SECONDS)} would be even. A part that takes "
        f"ten times the longest of the sample ({span(10 * longest)}), given halfway, would make it "
        f"{span(wall['outlier'])}: beyond some hundred workers the longest part decides, and it "
        "was not measured. Parts of large "
        f"models go first, since they take longest: {wall['given'] / wall['now']:.2f} × as quick "
        "as in the order of this file, small models first; "
        f"{wall['now'] / wall['best']:.2f} × would be left to gain if the seconds of every part "
        "were known before. Four times as many parts of a quarter would take "
        f"{wall['small'] / wall['now']:.2f} × as long if each cost no more; but each would, as "
        "questions of a part share what was computed. In the order of the file and with a message "
        f"a task, as before, it is {span(wall['before'])} "
        f"({wall['before'] / wall['now']:.2f} ×).",
        "",
    ]


def profile_told(price: float) -> list[str]:
    """The profile over workers and storages."""
    tasks, rows = profile_tasks(), []
    for n in WORKERS:
        ran = [
            simulate(tasks, n, profile_costs(storage_bytes_per_second=speed)) for speed in STORAGES
        ]
        rows.append(
            (
                f"{n}",
                *(
                    f"{span(one.wall_seconds)}, {one.wall_seconds / 3600 * n * price:.2f}"
                    for one in ran
                ),
            )
        )
    now = simulate(tasks, 512, profile_costs()).wall_seconds
    old = simulate(
        tasks,
        512,
        replace(
            before(), start_seconds=profile_costs().start_seconds, reader_bytes_per_second=READER
        ),
    ).wall_seconds
    disk = measured()["journal"]["median_ms"] / 1e3
    slow = simulate(
        tasks, 512, profile_costs(client_seconds=costs().client_seconds - JOURNAL_SECONDS + disk)
    ).wall_seconds
    size = sum(task.read_bytes for task in tasks)
    each = size / (work_hours(tasks) * 3600)
    return [
        "## `plan profile` of 1.3 TB",
        "",
        f"DeepSeek-V3 in BF16, 163 shards of 8 GB: {len(tasks):,} matrices, a task each, "
        f"{work_hours(tasks):.1f} core hours, {size / 1e12:.2f} TB read (matrices of more than "
        "16.8 million elements twice). Wall time and USD by what the storage gives to all; one "
        f"reader gets {READER / 1e9:.1f} GB/s at most.",
        "",
        *table(("workers", *(f"{speed / 1e9:.0f} GB/s" for speed in STORAGES)), rows),
        f"A core takes {each / 1e6:.0f} MB/s, so a storage is full at "
        + ", ".join(f"{speed / each:.0f}" for speed in STORAGES)
        + " workers; beyond that they are paid to wait. With no limit of all readers 512 workers "
        f"take {span(now)}; with a message a task, as before, {span(old)} ({old / now:.1f} ×; "
        "simulated, client and scheduler taking turns): tasks of a second are many for one client. "
        "Each result is a line of the journal that is "
        f"synchronised before the next: with a disk that takes {disk * 1e3:.1f} ms for it, 512 "
        f"workers take {span(slow)}. Real inputs (`--inputs`) are sent along with "
        "each matrix and are not in this figure.",
        "",
    ]


def losses_told() -> list[str]:
    """Lost workers."""
    rows = []
    for name, tasks, parts in (
        ("sweep", sweep_tasks(), costs()),
        ("profile", profile_tasks(), profile_costs()),
    ):
        base = simulate(tasks, 256, parts).wall_seconds
        for rate in RATES:
            runs = [
                simulate(tasks, 256, parts, losses_per_worker_hour=rate, seed=seed)
                for seed in range(3 if rate else 1)
            ]
            rows.append(
                (
                    name,
                    f"{rate:g}",
                    f"{np.mean([one.losses for one in runs]):.0f}",
                    f"{np.mean([one.lost_seconds / one.work_seconds for one in runs]):.2%}",
                    f"{np.mean([one.wall_seconds for one in runs]) / base - 1:+.1%}",
                )
            )
    return [
        "## Lost workers",
        "",
        "256 workers; one that is lost comes again after "
        f"{START_SECONDS:.0f} s, and its task starts again. 0.05 an hour is a machine that is "
        "taken away about once a day; 2 is a storm.",
        "",
        *table(("run", "losses a worker-hour", "losses", "work repeated", "wall"), rows),
        "A task holds seconds of work, so a loss costs seconds. Dask gives a task to another "
        "worker three times; one that kills them all ends the run with its reason. Where the "
        "client or the scheduler is lost the same command goes on from the journal, which is "
        "on the client's disk.",
        "",
    ]


def _shown(told: Sequence[str]) -> list[str]:
    """Of the table of ``told`` every second number of workers."""
    head, rule, *rows = (line for line in told if line.startswith("|"))
    return [head, rule, *rows[::2]]


def page(price: float) -> str:
    """All of it."""
    sweep, profile = sweep_told(price), profile_told(price)
    every = [*parts_told(), *beside_told(), *sweep, *profile, *losses_told()]
    return "\n".join(
        [
            "# Scale: a hundred thousand plans, a checkpoint of 1.3 TB",
            "",
            "What large runs take and cost on a Dask cluster ([how to run "
            "them](../guide/scale.md)). Parts are measured, runs of more than 4 workers are "
            "**simulated** from them; nobody "
            f"has run this on 512 workers. A core-hour costs {price:.2f} USD, recalled, not looked "
            f"up; assumed are {WAY_SECONDS * 1e3:.0f} ms from machine to machine, "
            f"{START_SECONDS:.0f} s until a worker is there and {JOURNAL_SECONDS * 1e3:.0f} ms for "
            "a line of the journal. Made by `python -m benchmarks.scale.page --write "
            "docs/evidence/scale.md --price 0.05`.",
            "",
            "![Wall hours and cost over workers](scale.svg)",
            "",
            sweep[0],
            "",
            *_shown(sweep),
            "",
            profile[0],
            "",
            "Wall time and USD by what the storage gives to all readers.",
            "",
            *_shown(profile),
            "",
            moved("scale", "All rows, measured parts, lost workers", every),
            "",
        ]
    )


def drawn(price: float) -> str:
    """Hours and cost over workers, as SVG."""
    from matplotlib.figure import Figure

    from planner.plot.axes import as_svg, describe, tidy

    figure = Figure(figsize=(4.8, 5.6), layout="constrained", facecolor="white")
    above, below = figure.subplots(2, 1, sharex=True)  # one below the other: read on a phone too
    for name, tasks, parts, color, mark in (
        ("100,000 plans", sweep_tasks(), costs(), "#1d5f9e", "o"),
        (
            "profile, 20 GB/s",
            profile_tasks(),
            profile_costs(storage_bytes_per_second=STORAGES[-1]),
            "#b5541c",
            "s",
        ),
        (
            "profile, 1 GB/s",
            profile_tasks(),
            profile_costs(storage_bytes_per_second=STORAGES[0]),
            "#7a7f87",
            "^",
        ),
    ):
        hours = [simulate(tasks, n, parts).wall_seconds / 3600 for n in WORKERS]
        above.plot(WORKERS, hours, color=color, marker=mark, label=name)
        below.plot(
            WORKERS,
            [n * one * price for n, one in zip(WORKERS, hours, strict=True)],
            color=color,
            marker=mark,
            label=name,
        )
    for ax, unit, title in (
        (above, "wall time [hours]", "time"),
        (below, "cost [USD]", "cost of workers"),
    ):
        ax.set(xlabel="workers" if ax is below else "", ylabel=unit, xscale="log")
        ax.set_xticks(WORKERS, [str(n) for n in WORKERS])
        ax.minorticks_off()
        tidy(ax, title, grid="y")
        describe(ax, f"{title} over 1 to 512 workers, of a sweep and of a profile.")
    above.set_yscale("log")
    above.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    below.set_ylim(0, None)
    above.legend(frameon=False)
    return as_svg(figure)


def main() -> int:
    """Print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--price", type=float, default=USD_PER_CORE_HOUR, help="USD a core-hour")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    text = page(given.price)
    print(text)
    if given.write is not None:
        publish(given.write, text)
        given.write.with_suffix(".svg").write_text(drawn(given.price), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
