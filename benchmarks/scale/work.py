"""The tasks of the two runs that are simulated: a hundred thousand plans, and a profile of
DeepSeek-V3 in BF16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.scale.sample import FILE
from benchmarks.scale.simulation import Task
from planner.lab.profiling.jobs import STATISTICS_ONLY
from planner.lab.profiling.measure import KEPT_ELEMENTS
from planner.lookup import load_model
from planner.models.inventory import inventory_of
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS
from planner.sweeping.read import read_sweep
from planner.sweeping.run import Sweep, largest_first

NEAREST = 9
"""Sampled parts that a part's seconds are drawn from: those of the nearest models in size."""


def plans(sample: Sequence[Mapping[str, Any]], seed: int = 1) -> tuple[list[Task], list[Task]]:
    """The parts of the sweep in the order of its questions, and in that in which a cluster is given
    them. Each has the seconds of a sampled part, one of the nearest in parameters by chance, so
    that large models cost what large ones did."""
    sweep = Sweep(read_sweep(FILE).asks).resolve()
    draw = np.random.default_rng(seed)
    names = {chunk.id: sweep.names(sweep.asks[chunk.places[0]])[0] for chunk in sweep.chunks}
    sizes = {
        name: inventory_of(load_model(name)).parameters_total
        for name in dict.fromkeys(names.values())
    }
    each = sorted(
        (sizes[one["model"]], one["seconds"] / one["questions"]) for one in sample if one["cold"]
    )
    known = np.log([size for size, _ in each])
    tasks = {}
    for chunk in sweep.chunks:
        distance = np.abs(known - np.log(sizes[names[chunk.id]]))
        nearest = np.argsort(distance, kind="stable")[:NEAREST]
        tasks[chunk.id] = Task(each[int(draw.choice(nearest))][1] * len(chunk.places))
    ordered = largest_first(sweep, sweep.chunks)
    return list(tasks.values()), [tasks[chunk.id] for chunk in ordered]


def matrices(spec: ModelSpec, seconds_per_element: float) -> list[Task]:
    """The matrices of a checkpoint in BF16, in the order of its layers; those that are not kept
    between two passes are read twice."""
    found = []
    for order, row in enumerate(spec.rows):
        if (
            row.part == "main"
            and row.copy_of is None
            and row.is_matrix
            and row.kind in (*PLANNED_KINDS, *STATISTICS_ONLY)
        ):
            elements = row.shape[0] * row.shape[1]
            passes = 1 if elements <= KEPT_ELEMENTS else 2
            task = Task(elements * seconds_per_element, read_bytes=2.0 * elements * passes)
            found += [
                (layer, order, task) for layer in row.layers or (-1,) for _ in range(row.experts)
            ]
    return [task for *_, task in sorted(found, key=lambda one: one[:2])]


def longest_first(tasks: Sequence[Task]) -> list[Task]:
    """The order that wastes least at the end, if seconds were known before."""
    return sorted(tasks, key=lambda task: -task.seconds)


def divided(tasks: Sequence[Task], by: int) -> list[Task]:
    """Each task as so many smaller ones."""
    return [replace(task, seconds=task.seconds / by) for task in tasks for _ in range(by)]
