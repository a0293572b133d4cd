"""What a sweep of a hundred thousand plans and a profile of DeepSeek-V3 take on so many workers,
from measured parts (``measured.json``), as a page and a figure:
``python -m benchmarks.scale.page --write docs/evidence/scale.md [--price 0.05]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.simulation import Costs, Ran, Task, simulate
from benchmarks.scale.work import divided, longest_first, matrices, plans
from planner.lookup import load_model

MEASURED = Path(__file__).with_name("measured.json")
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
STORAGES = (1e9, 5e9, 20e9)
RATES = (0.0, 0.05, 0.5, 2.0)
WAY_SECONDS, START_SECONDS, JOURNAL_SECONDS, READER = 0.001, 10.0, 0.001, 5e8
USD_PER_CORE_HOUR = 0.05


@cache
def measured() -> dict[str, Any]:
    """The parts."""
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def costs() -> Costs:
    """The parts of this program and of Dask, and what is assumed of a cluster."""
    few, many = measured()["dask"]["few"], measured()["dask"]["many"]
    return Costs(
        client_message_seconds=(few["client_ms"] - many["client_ms"]) / 1e3,
        client_seconds=many["client_ms"] / 1e3 + JOURNAL_SECONDS,
        scheduler_message_seconds=(few["scheduler_ms"] - many["scheduler_ms"]) / 1e3,
        scheduler_seconds=many["scheduler_ms"] / 1e3,
        worker_seconds=few["worker_ms"] / 1e3,
        way_seconds=WAY_SECONDS,
        start_seconds=START_SECONDS,
    )


def before() -> Costs:
    """The same when every task was a message of its own, and the client waited for the scheduler's
    answer to it."""
    old = measured()["dask_before"]["many"]
    return Costs(
        client_message_seconds=(old["client_ms"] + old["scheduler_ms"]) / 1e3 + JOURNAL_SECONDS,
        at_once=1,
        worker_seconds=old["worker_ms"] / 1e3,
        way_seconds=WAY_SECONDS,
        start_seconds=START_SECONDS,
    )


@cache
def sweep_parts() -> tuple[list[Task], list[Task]]:
    """Parts of the sweep in the order of its questions, and with the largest models first."""
    return plans(measured()["sample"])


def sweep_tasks() -> list[Task]:
    """Parts of the sweep as a cluster is given them."""
    return sweep_parts()[1]


@cache
def profile_tasks() -> tuple[Task, ...]:
    """Matrices of DeepSeek-V3 in BF16."""
    one = measured()["matrix"]
    each = float(np.median(one["seconds"])) / (one["bytes"] / 2)
    return tuple(matrices(load_model("deepseek-v3"), each))


def profile_costs(**more: Any) -> Costs:
    """As :func:`costs`; a worker loads compiled kernels first, and reads."""
    return replace(
        costs(),
        start_seconds=START_SECONDS + measured()["matrix"]["first_seconds"],
        reader_bytes_per_second=READER,
        **more,
    )


def work_hours(tasks: Sequence[Task]) -> float:
    """Core hours of the tasks."""
    return sum(task.seconds for task in tasks) / 3600


def row(ran: Ran, workers: int, tasks: Sequence[Task], price: float) -> tuple[str, ...]:
    """Cells of a run: time, price, share of the workers' time that is work, tail, servers."""
    hours = ran.wall_seconds / 3600
    used = work_hours(tasks) / (hours * workers)
    return (
        f"{workers}",
        span(ran.wall_seconds),
        f"{hours * workers * price:.2f}",
        f"{used:.0%}",
        f"{ran.last_seconds:.1f} s",
        f"{ran.client_seconds / ran.wall_seconds:.1%}",
        f"{ran.scheduler_seconds / ran.wall_seconds:.1%}",
    )


def span(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 100 else f"{seconds:.0f} s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """As Markdown; all columns but the first to the right."""
    return [
        "| " + " | ".join(head) + " |",
        "|---" + "|---:" * (len(head) - 1) + "|",
        *("| " + " | ".join(cells) + " |" for cells in rows),
        "",
    ]


def band(sample: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """Core hours of 100,000 questions, the mean and its 80 % interval over redrawn parts."""
    cold = [one for one in sample if one["cold"]]
    seconds = np.array([one["seconds"] for one in cold])
    questions = np.array([one["questions"] for one in cold])
    draws = np.random.default_rng(1).integers(0, len(cold), (4000, len(cold)))
    each = seconds[draws].sum(axis=1) / questions[draws].sum(axis=1) * 1e5 / 3600
    low, high = np.quantile(each, (0.1, 0.9))
    return float(seconds.sum() / questions.sum() * 1e5 / 3600), float(low), float(high)


def parts_told() -> list[str]:
    """Measured parts."""
    found, sample = measured(), measured()["sample"]
    cold = [one for one in sample if one["cold"]]
    each = np.array([one["seconds"] / one["questions"] for one in cold])
    dask, old, one = found["dask"], found["dask_before"], found["matrix"]
    mean, low, high = band(sample)
    lines = [
        "## Measured parts",
        "",
        "CPU seconds of processes on two x86-64 cores that other work shared (more than it would "
        "take on idle ones).",
        "",
        f"* **A plan**: {len(cold)} parts ({sum(x['questions'] for x in cold)} questions) drawn at "
        "random from `benchmarks/scale/hundred-thousand.toml` (50 models × 20 devices × 5 contexts "
        f"× 20 services, 13,000 parts): {mean * 3600 / 1e5:.3f} s a question, all seconds over all "
        f"questions (parts have {min(x['questions'] for x in cold)} to "
        f"{max(x['questions'] for x in cold)} of them); by part {each.min():.2f} to "
        f"{each.max():.2f}, median {np.median(each):.2f}; the longest part "
        f"{max(x['seconds'] for x in cold):.0f} s. All 100,000: **{mean:.1f} core hours** "
        f"(80 %: {low:.0f} to {high:.0f}, parts redrawn); {work_hours(sweep_tasks()):.0f} where "
        "every part takes the seconds of a model of its size, as below. The sample is small: it "
        "cannot show the longest of 13,000 parts, and parts under way when it was stopped are not "
        "in it, which favours short ones.",
        f"* **A task**: {found['task_kb']['after']:.0f} kB on average "
        f"({found['task_kb']['before']:.0f} before models and devices were compressed), its result "
        f"{np.mean([x['result_bytes'] for x in cold]) / 1e3:.1f} kB, its line in the journal "
        f"{np.mean([x['journal_bytes'] for x in cold]) / 1e3:.1f} kB: "
        f"{np.mean([x['journal_bytes'] for x in cold]) * 13e3 / 1e6:.0f} MB in all.",
        f"* **A line of the journal**, synchronised: {found['journal']['least_ms']:.1f} ms at "
        f"best, {found['journal']['median_ms']:.1f} ms in the median on the busy disk (1 ms is "
        "assumed below).",
        f"* **A matrix**: an expert's of DeepSeek-V3 in BF16 ({one['bytes'] / 1e6:.1f} MB) through "
        f"{one['schemes']} schemes: {np.median(one['seconds']):.2f} s (made-up weights, "
        f"{len(one['seconds'])} runs; others by their elements); the first of a process "
        f"{one['first_seconds']:.1f} s (compiled kernels are loaded). Task "
        f"{one['task_bytes'] / 1e3:.1f} kB, result {one['result_bytes'] / 1e3:.1f} kB.",
        f"* **Memory** of a worker: at most {found['memory']['sweep_bytes'] / 1e6:.0f} MB after "
        "parts of many models (the process that sampled, which held all questions too), "
        f"{one['resident_bytes'] / 1e6:.0f} MB in a profile. A result of some kilobytes is fetched "
        "as soon as it is there, so that nothing is left to spill. A worker whose limit is too "
        "small is paused by Dask, and the run ends after 60 s with its reason (limits of 80 and "
        "110 MB); with 150 MB small plans are answered.",
        "",
        "An empty task, CPU milliseconds (before: of 20 kB, now: of 35 kB; 512 workers: one "
        "process of 512 threads):",
        "",
    ]
    return lines + table(
        ("tasks under way for", "client", "scheduler", "worker"),
        [
            (
                f"{name}, {who}",
                *(f"{kind[key][part]:.2f}" for part in ("client_ms", "scheduler_ms", "worker_ms")),
            )
            for who, kind in (("before", old), ("now", dask))
            for name, key in (("1 worker", "few"), ("512 workers", "many"))
        ],
    )


def beside_told() -> list[str]:
    """Measured runs beside simulated ones."""
    replay = measured()["replay"]
    lines = [
        "## Measured beside simulated",
        "",
        f"`benchmarks/scale/replay.py`: {replay['tasks']} tasks that sleep, spread as parts "
        f"of plans are ({replay['seconds']:.0f} s in all, the longest "
        f"{replay['longest']:.1f} s), through a real scheduler and this program's client; the "
        "simulation knows what an empty task takes with one worker "
        f"({replay['empty'] * 1e3:.0f} ms by the wall, nothing else running).",
        "",
    ]
    lines += table(
        ("workers", "measured", "simulated", "error"),
        [
            (
                n,
                f"{replay[n]['wall']:.1f} s",
                f"{replay[n]['predicted']:.1f} s",
                f"{replay[n]['error']:+.1%}",
            )
            for n in ("1", "2", "4")
        ],
    )
    killed = replay["killed"]
    lines += [
        "One run each. What a scheduler, a network and storage do to hundreds of workers was "
        "not seen here: read those figures as what is possible.",
        "",
        "With one of two workers killed (SIGKILL) after half of the results every result "
        f"came once and {killed['begun_again']} task was begun again; the worker that was "
        f"left took {killed['wall']:.0f} s for all.",
        "",
    ]
    return lines + real_told()


def real_told() -> list[str]:
    """Plans that were answered, and a checkpoint that was profiled, on each number of workers."""
    real, profile, spilled = (measured()[name] for name in ("real", "profile", "spilled"))
    head = ("workers", "CPU of workers", "of the scheduler", "wall", "most memory")
    lines = [
        f"{real['1']['plans']} plans really answered, the same table (digest "
        f"`{real['1']['digest']}`) whoever worked:",
        "",
        *table(head, _ran(real)),
        f"A checkpoint of {profile['1']['matrices']} small matrices really profiled, the same "
        f"file (digest `{profile['1']['digest']}`); each worker loads its compiled kernels, "
        "some seconds of CPU, which a checkpoint of 1.3 TB does not notice and this one does "
        "(four workers share two cores):",
        "",
        *table(head, _ran(profile)),
    ]
    same = spilled["digest"] == real["1"]["digest"]
    return [
        *lines,
        "**Spilling, forced**: two workers that may keep some kilobytes, so that Dask "
        f"writes every result to disk, gave {'the same' if same else 'ANOTHER'} table of "
        f"plans; of {spilled['large']} results of 100 kB that nobody fetched for a second "
        f"{spilled['most_on_disk']} lay on disk at the most (no more are under way), and "
        f"{'all' if spilled['whole'] else 'NOT all'} came back whole and once.",
        "",
    ]


def _ran(runs: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            n,
            f"{runs[n]['workers_cpu']:.1f} s",
            f"{runs[n]['scheduler_cpu']:.1f} s",
            f"{runs[n]['wall']:.1f} s",
            f"{runs[n]['resident_bytes'] / 1e6:.0f} MB",
        )
        for n in ("1", "2", "4")
    ]


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


def page(price: float) -> str:
    """All of it."""
    return "\n".join(
        [
            "# Scale: a hundred thousand plans, a checkpoint of 1.3 TB",
            "",
            "What large runs take and cost on a Dask cluster, how far workers help, and what "
            "ends it "
            "([how to run them](../guide/scale.md)). Parts are measured, runs of more than 4 "
            "workers "
            "are **simulated** from them; nobody has run this on 512 workers.",
            "",
            "```console",
            "$ python -m benchmarks.scale.page --write docs/evidence/scale.md --price 0.05",
            "```",
            "",
            f"A core-hour costs {price:.2f} USD here: about the list price of an on-demand general "
            "machine of a large cloud (0.10 USD an hour for two virtual cores; recalled, not "
            "looked "
            "up). Client and scheduler need a core each beside. Assumed, not measured: "
            f"{WAY_SECONDS * 1e3:.0f} ms from machine to machine, {START_SECONDS:.0f} s until a "
            f"worker "
            f"is there, {JOURNAL_SECONDS * 1e3:.0f} ms for a line of the journal.",
            "",
            "![Wall hours and cost over workers](scale.svg)",
            "",
            *parts_told(),
            *beside_told(),
            *sweep_told(price),
            *profile_told(price),
            *losses_told(),
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
        given.write.write_text(text, encoding="utf-8")
        given.write.with_suffix(".svg").write_text(drawn(given.price), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
