"""The answer of ``experts``: records that text and JSON are made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from planner.base.display import as_frame, as_table, as_text, with_former_methods
from planner.messages.message import Note
from planner.messages.stored import stored_notes
from planner.placement.tiers import Residency
from planner.planning.serving.offloaded import OffloadedStep
from planner.throughput.residency import Fetch, Link

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class RankSpread:
    """Loads over expert-parallel ranks in the layer with the worst straggler.

    ``straggler`` is the fullest rank's expected pairs over the mean; ``distinct`` the largest
    expected number of distinct experts on a rank, of ``held`` it holds.
    """

    ranks: int
    redundant: int
    held: int
    distinct: float
    straggler: float
    straggler_without_redundancy: float | None


@dataclass(frozen=True, slots=True)
class FetchTimes:
    """Seconds: what a step waits for, one expert over the host link, the whole checkpoint."""

    step: Fetch
    expert_seconds: float
    expert_from_drive_seconds: float
    checkpoint_seconds: float
    host: Link
    drive: Link


@with_former_methods
@dataclass(frozen=True, slots=True)
class ExpertUse:
    """The answer of ``experts``. Distinct counts are a layer's, averaged over the MoE layers."""

    model: str
    device: str | None
    layers: int
    count: int
    per_token: int
    expert_bytes: int
    always_on_bytes: int
    batch: int
    effective_batch: float | None
    popularity: str
    distinct: float
    distinct_uniform: float
    ranks: RankSpread
    room_bytes: int | None
    residency: Residency | None
    times: FetchTimes | None
    assumptions: tuple[Note, ...]
    offloaded: OffloadedStep | None = None

    def to_frame(self) -> pd.DataFrame:
        """One row a place (device, host, drive): experts there, how many a step touches in
        expectation, their share of picks. Without a device, one row for all experts."""
        if self.residency is None:
            touched = self.distinct * self.layers
            return as_frame(
                [
                    {
                        "place": "anywhere",
                        "experts": self.count * self.layers,
                        "touched": touched,
                        "picks": 1.0,
                    }
                ]
            )
        return as_frame(
            [
                {"place": name, **asdict(getattr(self.residency, name))}
                for name in ("device", "host", "drive")
            ]
        )

    __str__ = as_text

    def _repr_html_(self) -> str:
        head = (
            f"{self.batch} tokens touch {self.distinct:.1f} of {self.count} experts a layer "
            f"of {escape(self.model)}"
        )
        return f"<p>{head}</p>" + as_table(self.to_frame())

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON values: SI units, bytes of expectations as numbers."""
        data = asdict(self)
        data["assumptions"] = stored_notes(self.assumptions)
        if self.residency is not None:
            data["residency"] |= {
                "hit_rate": self.residency.hit_rate,
                "pick_hit_rate": self.residency.pick_hit_rate,
                "host_bytes_per_step": self.residency.host_bytes_per_step,
                "drive_bytes_per_step": self.residency.drive_bytes_per_step,
            }
        if self.offloaded is not None:
            data["offloaded"] |= {
                "expert_seconds": self.offloaded.expert_seconds,
                "seconds": self.offloaded.seconds,
            }
        else:
            data.pop("offloaded")
        if self.times is not None:
            data["times"]["step"]["seconds"] = self.times.step.seconds
        return {"schema_version": "1", **data}
