"""What ``planner.compare`` answers: plans of several schemes, devices and models as one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from planner.base.display import as_axes, as_frame, as_text
from planner.base.records import cached_record
from planner.messages.message import Text
from planner.planning.plan.recommendation import MeasuredAnchor
from planner.planning.plan.record import Estimate, plain_data

if TYPE_CHECKING:
    import pandas as pd

PARTS = "; "
"""Between published measurements in a cell."""
Weights = Literal["released", "ready-made", "made while loading", "new", ""]
Role = Literal[
    "recommended", "released", "recipe", "fastest", "cheapest", "least_loss", "common_4bit", "named"
]
"""What a row is shown for."""
FIGURES = (
    "output_tokens_per_second",
    "output_tokens_per_second_per_device",
    "tpot_seconds",
    "ttft_seconds",
    "usd_per_million_output_tokens",
    "joules_per_output_token",
)


@cached_record
class ComparedPlan:
    """One row. ``kind`` is recommended, released, recipe or uniform; ``schemes`` are those of the
    linear layers. A row that does not run has a ``reason`` and no figures. ``users`` are
    concurrent requests over all replicas, bytes those of the fullest device, ``loss`` in
    ``loss_unit``; rates, times and costs as in a plan file. ``within_limits`` is False where no
    plan keeps the latency limits: it is the fastest that fits. ``weights``: whether they must be
    requantized; ``checkpoint``: what to load, or flags that quantize while loading.
    ``probability_better``: that it beats the recommendation (None: it is that, or not known);
    ``why_not``: why it is rejected. ``roles``: what it is shown for; ``mode``: one pool or two;
    ``meaning``: the word for its loss.
    """

    model: str
    device: str
    name: str
    kind: str
    engine: str
    schemes: tuple[str, ...]
    kv: str
    reason: Text
    within_limits: bool = False
    weights: Weights = ""
    checkpoint: str = ""
    devices: int | None = None
    tp: int | None = None
    dp: int | None = None
    pp: int | None = None
    ep: int | None = None
    users: int | None = None
    total_bytes_per_device: int | None = None
    output_tokens_per_second: Estimate | None = None
    output_tokens_per_second_per_device: Estimate | None = None
    tpot_seconds: Estimate | None = None
    ttft_seconds: Estimate | None = None
    usd_per_million_output_tokens: Estimate | None = None
    joules_per_output_token: Estimate | None = None
    loss: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    loss_unit: str = ""
    measured_anchor: tuple[MeasuredAnchor, ...] = ()
    probability_better: float | None = None
    why_not: str = ""
    roles: tuple[Role, ...] = ()
    mode: str = "aggregated"
    meaning: str = ""

    @property
    def feasible(self) -> bool:
        """Whether there is a plan to look at."""
        return self.devices is not None


@cached_record
class ComparedPair:
    """One model on one device: the schemes that its checkpoint is ``released`` in, tokens of a
    request, limits and defaults in words (empty where nothing could be asked), and the price of a
    device-hour with its source. The recommendation loses ``loss_limit`` at most, None: any."""

    model: str
    device: str
    released: tuple[str, ...]
    requests: str
    limits: str
    price_usd_per_hour: float | None
    price_source: str
    loss_limit: float | None = None


@cached_record
class LeftOut:
    """A scheme that was named and does not run on a device, and why."""

    device: str
    scheme: str
    reason: str


@cached_record
class Compared:
    """All rows, by pair of model and device in the given order: the recommendation, the published
    recipe and checkpoint, uniform schemes by falling rate (damaging ones last), then what does not
    run. ``left_out``: schemes that were named and do not run somewhere."""

    objective: str
    pairs: tuple[ComparedPair, ...]
    rows: tuple[ComparedPlan, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """The models, each once."""
        return tuple(dict.fromkeys(pair.model for pair in self.pairs))

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices, each once."""
        return tuple(dict.fromkeys(pair.device for pair in self.pairs))

    def of(self, pair: ComparedPair) -> tuple[ComparedPlan, ...]:
        """The rows of one model on one device."""
        return tuple(r for r in self.rows if (r.model, r.device) == (pair.model, pair.device))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what ``--json`` prints."""
        data = plain_data(self)
        assert isinstance(data, dict)
        return data

    def to_frame(self) -> pd.DataFrame:
        """One row a plan; units of measure are in the column names."""
        return as_frame(self.cells())

    def cells(self) -> list[dict[str, Any]]:
        """Rows of plain values by column, None where empty: a figure is three columns, its value,
        ``_low`` and ``_high``."""
        out = []
        for row in self.rows:
            cells = plain_data(row)
            for name in FIGURES:
                value = getattr(row, name)
                cells.pop(name, None)
                for end in ("", "_low", "_high"):
                    cells[name + end] = (
                        None if value is None else getattr(value, end[1:] or "value")
                    )
            del cells["measured_anchor"]
            out.append(
                {
                    **cells,
                    "schemes": ", ".join(row.schemes),
                    "roles": ", ".join(row.roles),
                    "anchor": PARTS.join(a.text for a in row.measured_anchor) or None,
                }
            )
        return out

    plot = as_axes
    __str__ = as_text
