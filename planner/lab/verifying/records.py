"""What is asked of an engine, what it measured, and how that stands beside the prediction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.base.display import as_text
from planner.base.records import cached_record, record
from planner.export.assignment import ModuleAssignment
from planner.jobs.journal import is_number
from planner.models.spec import ModelSpec
from planner.planning.plan.record import Plan, plain_data

QUANTITIES: Mapping[str, str] = {
    "file_bytes": "bytes",
    "weight_bytes": "bytes",
    "cache_bytes": "bytes",
    "cache_tokens": "tokens",
    "compute_bytes": "bytes",
    "prefill_seconds": "seconds",
    "decode_seconds": "seconds",
    "kl": "nats",
    "flips": "share",
}
"""What an adapter may measure, and its unit: the file on disk, weights loaded, the cache and the
tokens that it holds, the engine's buffers; seconds of the prompt and of one decoded token; mean KL
divergence from the checkpoint and the share of most likely tokens that differ from the
checkpoint's."""
PLAN, CHECKPOINT, DEFAULT, ALSO, DEPTH = "plan", "checkpoint", "default", "also", "depth"
"""Roles of subjects: the plan itself, the weights that it was made from, what the engine makes
where nobody chooses, what else was asked for, and the plan after more tokens."""


@record
class InstalledEngine:
    """An engine on this machine: ``place`` is the folder of its programs or its Python;
    ``machine`` what it says of the processor or device it runs on."""

    name: str
    version: str
    place: str
    machine: str = ""


@record
class Setting:
    """What is run: a prompt of ``prompt_tokens``, then ``output_tokens`` after it, one sequence,
    ``repeats`` times on ``threads`` threads; ``kl_chunks`` pieces of ``kl_context_tokens`` of the
    text for the loss. A step that takes longer than ``step_seconds`` is stopped. ``cache`` is the
    plan's cache layout, ``on_cpu`` tells that its device is a CPU."""

    prompt_tokens: int
    output_tokens: int
    threads: int
    repeats: int
    kl_context_tokens: int
    kl_chunks: int
    step_seconds: float
    cache: str = "bf16"
    on_cpu: bool = True


@record
class Task:
    """One verification. ``assignment`` has the plan's schemes by module (None: the file tells),
    ``files`` are those that `plan export` writes for the engine, by name; ``also`` are further
    settings of the engine, by its own names; ``depths`` are tokens before those that are timed once
    more. A checkpoint that ``is_finished`` is run as it is, and its loss measured against ``base``,
    the same model in BF16 or F16. Files are quantised with ``imatrix``, an importance matrix.
    All that is written goes into ``folder``."""

    plan: Plan
    spec: ModelSpec
    assignment: ModuleAssignment | None
    files: Mapping[str, str]
    checkpoint: Path
    text: Path
    folder: Path
    engine: InstalledEngine
    setting: Setting
    also: tuple[str, ...] = ()
    depths: tuple[int, ...] = ()
    is_finished: bool = False
    base: Path | None = None
    imatrix: Path | None = None

    @property
    def losses_from(self) -> Path | None:
        """What losses count from: the checkpoint; of a finished file its base, where one is
        given."""
        return self.base if self.is_finished else self.checkpoint


@record
class Trial:
    """What is measured: ``id`` (``plan``, or a setting by the engine's name) in its ``role``."""

    id: str
    role: str


DEPTH_PREFIX = "depth "
BUSY_FACT: Mapping[str, str] = {
    "prefill_seconds": "busy_prompt",
    "decode_seconds": "busy_tokens",
}
"""The fact that says which share of its threads' time a timing did not get."""


def depth_trial(tokens: int) -> Trial:
    """The plan after ``tokens`` others."""
    return Trial(f"{DEPTH_PREFIX}{tokens}", DEPTH)


def depth_of(subject: Trial) -> int:
    """Tokens before those that are timed, of a subject of that role."""
    return int(subject.id.removeprefix(DEPTH_PREFIX))


@record
class Reading:
    """A value with its ``spread``: of times the standard deviation over ``repeats`` (the value is
    the least), of means their standard error."""

    value: float
    spread: float = 0.0
    repeats: int = 1


@record
class StepResult:
    """What one step found: ``values`` by quantity, and what else later steps or predictions need as
    JSON values: ``types`` {tensor: type} of what was really made, ``busy…`` the share of its
    threads' time that the process did not get."""

    values: Mapping[str, Reading]
    facts: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for the journal."""
        return {
            "values": {k: [v.value, v.spread, v.repeats] for k, v in self.values.items()},
            "facts": dict(self.facts),
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> StepResult:
        """The result that :meth:`to_dict` gave."""
        return cls(
            {k: Reading(float(v[0]), float(v[1]), int(v[2])) for k, v in data["values"].items()},
            dict(data["facts"]),
        )

    @classmethod
    def fits(cls, data: Mapping[str, Any]) -> bool:
        """Whether :meth:`of` takes it: numbers by quantity, and facts, of a subject."""
        values, facts = data.get("values"), data.get("facts")
        return (
            isinstance(data.get("subject"), str)
            and isinstance(facts, dict)
            and isinstance(values, dict)
            and all(
                isinstance(v, list) and len(v) == 3 and all(map(is_number, v))
                for v in values.values()
            )
        )


@record
class Forecast:
    """A prediction with its 80 % interval and basis."""

    value: float
    low: float
    high: float
    basis: str


SURE = 1.2815515655446004
"""Standard errors that hold 80 %."""


@record
class ComparedRow:
    """One quantity of one subject: predicted (None: nothing predicts it) and measured (None: the
    engine does not tell it), ``disturbed`` where other programs took the engine's cores."""

    subject: str
    quantity: str
    unit: str
    predicted: float | None
    low: float | None
    high: float | None
    basis: str
    measured: float | None
    spread: float
    disturbed: bool = False

    @property
    def inside(self) -> bool | None:
        """Whether the measured value is in the interval; None where one of the two is missing, or
        other programs disturbed the measurement. What
        is predicted exactly is met within the measurement's own error."""
        if self.measured is None or self.predicted is None or self.disturbed:
            return None
        assert self.low is not None
        assert self.high is not None
        room = SURE * self.spread if self.low == self.high else 0.0
        return self.low - room <= self.measured <= self.high + room

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, in the order of the columns."""
        return {**plain_data(self), "inside": self.inside}


@cached_record
class Verification:
    """The whole comparison. ``subjects`` maps an id to its role; ``posterior`` are the rows again
    as predicted after learning from these measurements; ``files`` are those written."""

    model: str
    device: str
    engine: InstalledEngine
    setting: Setting
    text: str
    subjects: Mapping[str, str]
    rows: tuple[ComparedRow, ...]
    posterior: tuple[ComparedRow, ...]
    verdict: str
    notes: tuple[str, ...]
    files: tuple[str, ...]

    def row(self, subject: str, quantity: str) -> ComparedRow | None:
        """One row, None where there is none."""
        return next((r for r in self.rows if (r.subject, r.quantity) == (subject, quantity)), None)

    def to_dict(self) -> dict[str, Any]:
        """``verify.json`` as plain data."""
        return {
            "schema_version": "1",
            "model": self.model,
            "device": self.device,
            "engine": plain_data(self.engine),
            "setting": plain_data(self.setting),
            "text": self.text,
            "subjects": dict(self.subjects),
            "rows": [r.to_dict() for r in self.rows],
            "posterior": [r.to_dict() for r in self.posterior],
            "verdict": self.verdict,
            "notes": list(self.notes),
            "files": list(self.files),
        }

    def __repr__(self) -> str:
        judged = [r.inside for r in self.rows if r.inside is not None]
        inside = f"{sum(judged)} of {len(judged)} inside"
        return f"<Verification: {self.model} on {self.engine.name}, {inside}>"

    __str__ = as_text
