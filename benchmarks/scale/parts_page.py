"""The measured parts, and measured runs beside simulated ones, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.scale.parts_cost import measured, sweep_tasks, table, work_hours


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
