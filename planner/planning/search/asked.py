"""What the solver was asked, in a line: what an error of it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from planner.errors import SolverError
from planner.planning.space.candidates import Space


@contextmanager
def error_context(space: Space, c: int) -> Iterator[None]:
    """An error of the solver inside says the question and the candidate that it was asked about.

    Raises:
        SolverError: as it came, with these data in its message.
    """
    try:
        yield
    except SolverError as error:
        raise SolverError(
            f"{error.message}; asked: {question_line(space, c)}", hint=error.hint
        ) from None


def question_line(space: Space, c: int) -> str:
    """Model, device, candidate, objective and limits in one line, as flags where there are some."""
    question, la = space.model.question, space.tables.layouts[space.pts.layout[c]]
    limits = {
        "ttft-ms": _ms(question.ttft_seconds),
        "tpot-ms": _ms(question.tpot_seconds),
        "memory-bytes": question.memory_bytes,
        "max-loss": question.loss_scheme or question.loss_limit,
    }
    parts = [
        f"{question.spec.id} {question.device.id}",
        f"--tp {la.tp} --dp {la.dp} --pp {la.pp} --ep {la.ep}",
        f"--batch {space.pts.batch[c]:.0f} --context {question.workload.context} "
        f"--isl {question.workload.isl} --osl {question.workload.osl}",
        f"--objective {question.objective}",
        *(f"--{name} {value}" for name, value in limits.items() if value is not None),
        f"--schemes {','.join(question.schemes)}",
        f"--engine {question.engine}",
    ]
    return " ".join([*parts, *(["--untie"] if question.untie else [])])


def _ms(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1e3:.12g}"
