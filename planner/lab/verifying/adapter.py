"""What an engine's adapter does, and which there are.

An adapter finds its engine, checks the checkpoint, names what is run beside the plan, and gives the
steps of each. The loop (:mod:`planner.lab.verifying.run`) keeps every result in a journal as it
comes: a step that was done is not done again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from planner.base.records import record
from planner.lab.verifying.records import InstalledEngine, StepResult, Task, Trial


@record
class Address:
    """Where the user says that an engine is: a folder of programs, a Python of its own; which
    ``programs`` of the folder are needed (empty: all)."""

    folder: str | None = None
    python: str | None = None
    programs: tuple[str, ...] = ()


@record
class Step:
    """One thing to do, by name (unique within its subject); ``quantities`` are what it measures,
    ``made`` what it leaves for later steps: where that is gone, and one is still to do, the step is
    done again.

    ``run`` raises a :class:`planner.PlannerError` with a hint where the engine fails; it
    leaves no half-written file under a name that a later step would take for whole."""

    name: str
    quantities: tuple[str, ...]
    run: Callable[[], StepResult]
    made: tuple[Path, ...] = ()


class Adapter(Protocol):
    """One engine."""

    name: str

    def find(self, where: Address) -> InstalledEngine:
        """The engine on this machine, asked for its version.

        Raises:
            InputError: it is absent, does not answer, or is too old.
        """

    def check(self, task: Task) -> None:
        """Refuse a checkpoint that is not the plan's model, or that the engine cannot read.

        Raises:
            InputError: which, and what to give instead.
        """

    def subjects(self, task: Task) -> tuple[Trial, ...]:
        """What is run: the plan first, then the engine's default, then what else is asked for.

        Raises:
            InputError: a setting that the engine does not have.
        """

    def before(self, task: Task) -> tuple[Step, ...]:
        """Steps that come once, before all subjects (what the checkpoint answers)."""

    def steps(self, task: Task, subject: Trial) -> tuple[Step, ...]:
        """Steps of a subject in order; files and settings of earlier ones are in the folder."""

    def after(self, task: Task) -> None:
        """Remove what is large and was needed for the steps alone."""
