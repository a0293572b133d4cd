"""What `plan learn` answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from planner.base.display import as_text
from planner.base.records import cached_record, record
from planner.hardware.learned_runs import LearnedRun
from planner.messages.message import Text


@record
class ComparedTime:
    """A quantity (of ``*_seconds``, or ``output_tokens_per_second``) as it was predicted with its
    80 % interval (None: without one) and ``basis``, and as it was measured; ``error`` is the
    relative standard error of the measured mean, ``learned`` the prediction with what runs before
    this one taught, None where nothing was."""

    quantity: str
    predicted: float
    low: float | None
    high: float | None
    basis: str
    measured: float
    error: float
    learned: float | None = None

    @property
    def ratio(self) -> float:
        """MeasuredTime ÷ predicted."""
        return self.measured / self.predicted

    @property
    def inside(self) -> bool | None:
        """Whether it was measured inside the interval; None where there is none."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.measured <= self.high


@record
class ComparedRun:
    """A run beside its prediction: ``times``, why it is ``refused`` (nothing: it is not), what was
    ``learned`` and whether that is ``kept``."""

    source: str
    tool: str
    model: str
    device: str
    engine: str
    load: Text
    times: tuple[ComparedTime, ...]
    refused: tuple[Text, ...]
    learned: LearnedRun | None
    kept: bool = False


@cached_record
class Learning:
    """``plan learn``: runs beside their predictions, all that is ``kept`` now, files that are
    ``damaged``, ids that are ``forgotten``."""

    runs: tuple[ComparedRun, ...]
    kept: tuple[LearnedRun, ...]
    damaged: tuple[str, ...]
    forgotten: tuple[str, ...] = ()

    __str__ = as_text

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain data."""
        return {
            "runs": [_run_data(run) for run in self.runs],
            "kept": [{"id": run.id, **asdict(run)} for run in self.kept],
            "damaged": list(self.damaged),
            "forgotten": list(self.forgotten),
        }


def _run_data(run: ComparedRun) -> dict[str, Any]:
    return {
        "source": run.source,
        "tool": run.tool,
        "model": run.model,
        "device": run.device,
        "engine": run.engine,
        "load": run.load,
        "times": [{**asdict(one), "ratio": one.ratio, "inside": one.inside} for one in run.times],
        "refused": list(run.refused),
        "id": None if run.learned is None else run.learned.id,
        "factors": {
            name: None if run.learned is None else _factor_data(getattr(run.learned, name))
            for name in ("steps", "prompts")
        },
        "kept": run.kept,
    }


def _factor_data(part: Any) -> float | None:
    return None if part is None else float(part.factor)
