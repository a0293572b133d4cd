"""Records of a comparison, and the fixed list of reasons for rows that are not predicted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from planner.base.display import as_frame, with_former_methods
from planner.planning.price.evidence import NONE, evidence
from planner.planning.price.kinds import ServedKind
from planner.planning.price.served_sigmas import interval

if TYPE_CHECKING:
    import pandas as pd

HEADLINE = "headline"
EXCLUDED = "excluded: "
WITHOUT_HOST = "host time left out"
"""The regime of a prediction that is repeated without the host's time."""
ROW_COLUMNS = (
    "table",
    "row",
    "metric",
    "device",
    "software",
    "model",
    "format",
    "regime",
    "engine",
    "quantity",
    "mode",
    "measured",
    "predicted",
    "low",
    "high",
    "basis",
    "reason",
    "layout_class",
    "concurrency_range",
    "evidence_level",
)
"""Columns of ``plan validate --rows``; the last three are empty but for served models."""

REASONS = {
    "unknown file": "no predictor for tables with these columns",
    "unreadable file": "not text, not CSV, or too large",
    "malformed row": "a number is missing, not finite or not above 0, has an unknown unit, or lies "
    "outside of its interval",
    "unknown model": "the model's name matches no specification",
    "unknown device": "the device's name matches no profile and no total is printed",
    "unknown format": "the weight or cache format is not one of the catalogue's",
    "unknown engine": "the engine's arithmetic is not modelled",
    "gguf mixture": "types of single tensors are in the file, not in its name",
    "parts missing": "the checkpoint has parts that the configuration does not describe",
    "quantity not predicted": "the quantity is an input of the arithmetic, or noise",
    "setting not stated": "a flag that decides the quantity is not in the table",
    "workers not counted": "how many prefill and decode workers there are is not in the table",
    "no overheads": "the same log has neither overheads nor another figure of the cache",
    "hybrid cache": "layers with caches of different sizes; the printed figure depends on version",
    "partial offload": "the split over devices is not in the table",
    "open arrivals": "requests arrive at a rate of their own; closed loops and bursts are "
    "predicted",
    "context parallelism": "ranks share the cache of a sequence, which is not modelled",
    "not executable": "no unit of the device multiplies the format",
    "not measured": "neither the device nor a relative has measurements of the kernel",
    "not legal": "the layout or the format cannot hold the model",
    "faster than the machine": "its bytes at the peak bandwidth, or its FLOP at the peak rate, "
    "take longer",
}
"""Reason → what it means. Nothing else appears in ``uncovered``."""


class NotCoveredError(Exception):
    """A row that cannot be predicted; ``reason`` is one of the fixed list."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row in one mode: what was measured, and the prediction or the reason for none.

    ``predicted``, ``measured``, ``low`` and ``high`` share a unit; low to high holds the measured
    value in 80 % of cases by the predictor's own estimate; ``operators`` is the log-space standard
    deviation that operators alone explain. ``kind`` is what was served how, where rows of a kind
    are evidence for plans; ``layout_class`` and ``concurrency_range`` are those of
    :mod:`planner.placement.deployment_kinds`; ``evidence_level`` is what an answer says of measured
    deployments of its kind.
    """

    table: str
    row: int
    metric: str
    device: str
    software: str
    model: str
    format: str
    regime: str
    engine: str = ""
    quantity: str = ""
    mode: str = ""
    measured: float = 0.0
    predicted: float | None = None
    low: float = 0.0
    high: float = 0.0
    basis: str = ""
    reason: str = ""
    layout_class: str = ""
    concurrency_range: str = ""
    evidence_level: str = ""
    kind: ServedKind | None = None
    operators: float = 0.0

    @property
    def error_percent(self) -> float:
        """(predicted − measured) / measured [%]; 0 where there is no prediction."""
        if self.predicted is None:
            return 0.0
        return 100.0 * (self.predicted - self.measured) / self.measured

    @property
    def inside(self) -> bool:
        """The measured value is within the predicted interval."""
        return self.predicted is not None and self.low <= self.measured <= self.high

    def to_row(self) -> dict[str, Any]:
        """The row in ROW_COLUMNS, counted from 0; None for what an uncovered row lacks."""
        row = {name: getattr(self, name) for name in ROW_COLUMNS}
        if self.predicted is None:
            row |= {"low": None, "high": None}
            if not self.measured:
                row["measured"] = None
        return row

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON values, counted from 1, with its error."""
        return {
            "table": self.table,
            "row": self.row + 1,
            "metric": self.metric,
            "quantity": self.quantity,
            "mode": self.mode,
            "model": self.model,
            "software": self.software,
            "predicted": self.predicted,
            "measured": self.measured,
            "error_percent": self.error_percent,
            "basis": self.basis,
        }


@dataclass(frozen=True, slots=True)
class Predicted:
    """A time, or tokens/s, with its log-space standard deviation, what of it operators explain, and
    what it rests on."""

    value: float
    sigma: float
    operators: float
    basis: str

    def outcome(
        self, blank: Outcome, kind: ServedKind, measured: float, metric: str = "", **named: Any
    ) -> Outcome:
        """``blank`` with this beside what was ``measured`` of ``kind``, and other values of
        ``named``; ``metric`` is the one whose evidence an answer would quote, empty: none."""
        low, high = interval(self.value, self.sigma)
        return replace(
            blank,
            measured=measured,
            predicted=self.value,
            low=low,
            high=high,
            basis=self.basis,
            layout_class=kind.layout,
            concurrency_range=kind.requests,
            evidence_level=evidence(kind, metric).level if metric else NONE,
            kind=kind,
            operators=self.operators,
            **named,
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Errors of rows that share everything but their sizes [%]; None where nothing is predicted."""

    table: str
    metric: str
    device: str
    software: str
    model: str
    format: str
    regime: str
    engine: str
    quantity: str
    mode: str
    n: int
    n_rows: int
    mape: float | None
    median_ape: float | None
    p90_ape: float | None
    bias: float | None
    coverage80: float | None

    def to_dict(self) -> dict[str, Any]:
        """The group as JSON values; memory's keys only where they are set."""
        named: dict[str, Any] = {
            "table": self.table,
            "metric": self.metric,
            "device": self.device,
            "software": self.software,
            "model": self.model,
            "format": self.format,
            "regime": self.regime,
        }
        if self.quantity:
            named |= {"engine": self.engine, "quantity": self.quantity, "mode": self.mode}
        return named | {
            "n": self.n,
            "n_rows": self.n_rows,
            "mape": self.mape,
            "median_ape": self.median_ape,
            "p90_ape": self.p90_ape,
            "bias": self.bias,
            "coverage80": self.coverage80,
        }


@dataclass(frozen=True, slots=True)
class KindErrors:
    """Errors [%] of one ``metric`` of served models over the rows whose column ``by`` has the
    ``value``; excluded rows are left out."""

    by: str
    value: str
    metric: str
    n: int
    median_ape: float | None
    mape: float | None
    bias: float | None
    coverage80: float

    def to_dict(self) -> dict[str, Any]:
        """The group as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Uncovered:
    """Rows of a table without a prediction, by reason."""

    table: str
    reason: str
    n: int


@with_former_methods
@dataclass(frozen=True, slots=True)
class Validation:
    """The whole comparison. ``outcomes`` are all rows, for the list of the worst; ``kinds`` the
    errors of served models by class of layout and range of requests in flight."""

    groups: tuple[Group, ...]
    uncovered: tuple[Uncovered, ...]
    outcomes: tuple[Outcome, ...]
    kinds: tuple[KindErrors, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One line a measured row and metric, in ROW_COLUMNS; predictions of the same row without
        the host's time are left out. None where there is no prediction."""
        return [o.to_row() for o in self.outcomes if o.regime != EXCLUDED + WITHOUT_HOST]

    def to_frame(self) -> pd.DataFrame:
        """:meth:`rows` with error_percent and inside_80."""
        kept = [o for o in self.outcomes if o.regime != EXCLUDED + WITHOUT_HOST]
        return as_frame(
            [
                o.to_row()
                | {
                    "error_percent": o.error_percent if o.predicted is not None else None,
                    "inside_80": o.inside,
                }
                for o in kept
            ],
            columns=[*ROW_COLUMNS, "error_percent", "inside_80"],
        )

    def _repr_html_(self) -> str:
        return as_frame(self.to_dict()["groups"]).to_html(
            index=False, border=0, float_format="{:,.1f}".format
        )

    def to_dict(self) -> dict[str, Any]:
        """``groups``, ``kinds`` and ``uncovered`` as JSON values."""
        return {
            "groups": [group.to_dict() for group in self.groups],
            "kinds": [kind.to_dict() for kind in self.kinds],
            "uncovered": [{"table": u.table, "reason": u.reason, "n": u.n} for u in self.uncovered],
        }
