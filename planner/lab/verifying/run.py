"""The loop of one verification: every step of every subject, kept as it comes."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from planner.base.records import record
from planner.jobs.journal import Journal
from planner.lab.verifying.adapter import Adapter, Step
from planner.lab.verifying.records import Reading, StepResult, Task, Trial
from planner.lab.verifying.writing import JOURNAL
from planner.planning.plan.record import plain_data

CHECKPOINT_STEPS = "checkpoint"
"""The subject of the steps that come before all others, in the journal."""
Progress = Callable[[str], None]


@record
class Findings:
    """What was measured: by subject the values of all its steps, and the facts of each."""

    subjects: tuple[Trial, ...]
    values: dict[str, dict[str, Reading]]
    facts: dict[str, dict[str, Any]]


def measure(
    adapter: Adapter, task: Task, version: str, progress: Progress | None = None
) -> Findings:
    """Run every step that the journal of ``task.folder`` does not have yet.

    Raises:
        InputError: the checkpoint is of another model, or a setting that the engine does not have.
        DataError: a step failed (what was measured stays in the journal), or the journal is of
            another run.
    """
    adapter.check(task)
    subjects = adapter.subjects(task)
    journal = Journal.open(
        task.folder / JOURNAL, _header(task, version), noun="steps done", fits=StepResult.fits
    )
    try:
        before = Trial(CHECKPOINT_STEPS, CHECKPOINT_STEPS)
        todo = [(s, _to_do(journal, s, adapter.steps(task, s))) for s in subjects]
        if any(steps for _, steps in todo):
            todo.insert(
                0,
                (
                    before,
                    [s for s in adapter.before(task) if _open(journal, before, s) or _gone(s)],
                ),
            )
        for subject, steps in todo:
            for step in steps:
                if progress is not None:
                    progress(f"{subject.id}: {step.name}")
                result = step.run()
                journal.append(
                    {"id": _id(subject, step), "subject": subject.id, **result.to_dict()}
                )
    finally:
        journal.close()
    adapter.after(task)
    values: dict[str, dict[str, Reading]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for entry in journal.done.values():
        result = StepResult.of(entry)
        values.setdefault(entry["subject"], {}).update(result.values)
        facts.setdefault(entry["subject"], {}).update(result.facts)
    return Findings(subjects, values, facts)


def _id(subject: Trial, step: Step) -> str:
    return f"{subject.id}: {step.name}"


def _open(journal: Journal, subject: Trial, step: Step) -> bool:
    return _id(subject, step) not in journal.done


def _gone(step: Step) -> bool:
    return not all(path.exists() for path in step.made)


def _to_do(journal: Journal, subject: Trial, steps: Sequence[Step]) -> list[Step]:
    """The steps that are not done, and those whose files are gone while one of them is."""
    left = [_open(journal, subject, step) for step in steps]
    return [
        step
        for step, open_ in zip(steps, left, strict=True)
        if open_ or (any(left) and _gone(step))
    ]


def _header(task: Task, version: str) -> dict[str, Any]:
    """What makes two runs the same: plan, checkpoint, engine, setting, text."""
    plan = hashlib.sha256(json.dumps(plain_data(task.plan), sort_keys=True).encode()).hexdigest()
    return {
        "id": "verify",
        "version": version,
        "sha256": checkpoint_digest(task.checkpoint),
        "plan": plan,
        "engine": plain_data(task.engine),
        "setting": plain_data(task.setting),
        "text": hashlib.sha256(task.text.read_bytes()).hexdigest(),
        **({} if task.imatrix is None else {"imatrix": checkpoint_digest(task.imatrix)}),
    }


def checkpoint_digest(path: Path) -> str:
    """Over names, sizes and first mebibyte of the checkpoint's files: reading all of a large one
    would take longer than running it."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(1 << 20))
    return digest.hexdigest()


MODULES = {
    "llama.cpp": "planner.lab.verifying.llama_cpp",
    "vllm": "planner.lab.verifying.vllm",
    "pytorch": "planner.lab.verifying.pytorch",
}
"""Engine → the module whose ``ADAPTER`` runs it."""


def adapter(name: str) -> Adapter:
    """The adapter of an engine in ``MODULES``."""
    return cast("Adapter", importlib.import_module(MODULES[name]).ADAPTER)
