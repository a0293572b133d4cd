"""The plan file: frozen records, one to one with the JSON that ``--json`` prints.

SI base units, bytes as whole integers, no time stamps. ``to_dict`` leaves out optional keys that
are None, and all others stand in every file; ``planner.read_plan`` validates strictly (unknown and
missing keys are errors) and lifts files of older versions.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from planner.base.display import as_cell, as_frame, as_text, with_former_methods
from planner.base.records import cached_record
from planner.base.units import format_layers
from planner.messages.message import Message, Text
from planner.messages.stored import stored
from planner.planning.plan.deployment import DeploymentInfo as DeploymentInfo
from planner.planning.plan.evidence import Estimate as Estimate
from planner.planning.plan.evidence import Evidence as Evidence
from planner.planning.plan.offload import OffloadInfo as OffloadInfo
from planner.planning.plan.open_arrivals import OpenArrivals as OpenArrivals
from planner.planning.plan.prefix_cache import PrefixCache as PrefixCache
from planner.planning.plan.recommendation import MeasuredAnchor, Recommendation
from planner.planning.plan.speculation import SpeculationInfo as SpeculationInfo

if TYPE_CHECKING:
    import pandas as pd

Objective = Literal["throughput", "latency", "memory", "quality", "cost"]
OBJECTIVES: tuple[Objective, ...] = ("throughput", "latency", "memory", "quality", "cost")
SCHEMA_VERSION = "3"
OPTIONAL = frozenset(
    {
        "kv_layout",
        "part",
        "place",
        "evidence",
        "offload",
        "prefix_cache",
        "speculation",
        "deployment",
        "open_arrivals",
        "usd_per_million_output_tokens",
        "joules_per_output_token",
    }
)


@cached_record
class ActiveParameters:
    """Parameters that act on one token, by the three conventions in use."""

    with_embedding: int
    without_input_embedding: int
    without_embedding_and_head: int


@cached_record
class ModelInfo:
    id: str
    source: str
    config_sha256: str
    checkpoint_format: str
    parameters_total: int
    parameters_mtp: int
    parameters_active: ActiveParameters


@cached_record
class DeviceInfo:
    id: str
    count: int
    profile_sha256: str


@cached_record
class EngineInfo:
    """The engine that serves the plan; ``chosen_from`` are the engines that were compared (none
    where you named it)."""

    name: str
    version: str | None
    chosen_from: tuple[str, ...]


@cached_record
class WorkloadInfo:
    """Tokens of a request and concurrent sequences of a replica; ``prefix_hit_rate`` is the share
    of a prompt that is already in the prefix cache, ``preset`` the workload's name where it has
    one."""

    context_tokens: int
    isl: int
    osl: int
    batch: int
    preset: str | None
    prefix_hit_rate: float


@cached_record
class LayoutInfo:
    tp: int
    dp: int
    pp: int
    ep: int
    replicas: int


@cached_record
class SkippedLayouts:
    """Layouts (``tp3 dp1 pp1 ep1``) that were excluded for one reason."""

    reason: Text
    layouts: tuple[str, ...]


@cached_record
class LayoutsInfo:
    """Layouts of one replica: ``considered`` that the device counts allow, of which so many were
    searched; the others are grouped by reason."""

    considered: int
    searched: int
    skipped: tuple[SkippedLayouts, ...]


@cached_record
class NextBest:
    """The best other choice that keeps every limit; ``delta`` is the relative change of the
    objective (0.02 = 2 % worse)."""

    scheme: str
    delta: float


@cached_record
class UnitPlan:
    """One decision. Bytes, seconds and loss are sums over its layers and experts; seconds are those
    of one step of one replica. ``part`` is one matrix of the kind (q, k, v, gate, up) where an
    engine types every tensor by itself; ``place`` is ``host`` for weights in host memory."""

    unit: str
    kind: str
    layers: tuple[int, ...]
    multiplicity: int
    scheme: str
    weight_format: str | None
    activation_format: str | None
    weight_bytes: int
    weight_bytes_per_device: int
    prefill_seconds: float
    decode_seconds: float
    bound: str
    loss: float
    reason: Text
    next_best: NextBest | None
    kv_layout: str | None = None
    part: str | None = None
    place: str | None = None

    @property
    def matrix(self) -> str:
        """The kind, and the part where it is one matrix of it: ``attention-qkv.v``."""
        return f"{self.kind}.{self.part}" if self.part else self.kind


@cached_record
class ModulePlan:
    """Units of one kind (one ``part`` of it), scheme and ``place`` over a range of layers, as
    answers show them."""

    kind: str
    layers: str
    scheme: str
    weight_bytes: int
    weight_bytes_per_device: int
    prefill_seconds: float
    decode_seconds: float
    loss: float
    part: str | None = None
    place: str | None = None

    @property
    def matrix(self) -> str:
        """The kind, and the part where it is one matrix of it."""
        return f"{self.kind}.{self.part}" if self.part else self.kind


@cached_record
class CacheLayer:
    layer: int
    kind: str
    layout: str
    bytes_per_token: int
    fixed_bytes: int


@cached_record
class CacheInfo:
    bytes_per_token: int
    bytes_per_token_per_device: int
    capacity_tokens: int
    layers: tuple[CacheLayer, ...]


@cached_record
class MemoryInfo:
    """Bytes of the fullest device."""

    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    runtime_bytes: int
    total_bytes: int
    usable_bytes: int
    capacity_bytes: int


@cached_record
class CapacityInfo:
    """How many sequences fit on one replica: each as long as the context window, or as long as the
    requests."""

    max_concurrency_at_context: int
    max_context_at_batch: int
    max_concurrency_at_requests: int | None


@cached_record
class PerformanceInfo:
    """Times and rates. ``interruption_seconds`` is the part of TPOT that is prefill interference;
    what TPOT has beyond that and the units' decode seconds is pipeline bubbles and transfers, or
    (negative) what joint kernels save."""

    ttft_seconds: Estimate
    tpot_seconds: Estimate
    output_tokens_per_second: Estimate
    output_tokens_per_second_per_device: Estimate
    usd_per_million_output_tokens: Estimate | None
    joules_per_output_token: Estimate | None
    interruption_seconds: float | None


@cached_record
class QualityInfo:
    """The loss with its 80 % interval in nats of mean KL divergence, or (``unit`` is ``relative``)
    as a multiple of the loss of uniform ``relative_to``; ``relative`` is the multiple of uniform
    fp8-block, None where that has no loss. ``floor`` is the part that any change of a model causes
    [nats]; 0 for the unchanged checkpoint. ``word`` says what the loss means
    (:mod:`planner.quality.meaning`), ``top1`` is the share of tokens whose most likely next token
    stays the same, ``p99`` the 99th percentile of KL [nats]; these are None in other units and in
    older files. ``measured_anchor``: published benchmarks under these formats, the nearest first.
    """

    loss: float
    low: float
    high: float
    unit: str
    relative_to: str | None
    relative: float | None
    tier: str
    measured_anchor: tuple[MeasuredAnchor, ...]
    word: str | None
    top1: float | None
    p99: float | None
    floor: float | None


@cached_record
class Baseline:
    """A uniform scheme on its own best layout and batch. Where it is infeasible, it has the reason
    and zeros."""

    name: Text
    feasible: bool
    reason: Text
    devices: int
    batch: int
    total_bytes_per_device: int
    ttft_seconds: float
    tpot_seconds: float
    output_tokens_per_second: float
    output_tokens_per_second_per_device: float
    loss: float


@cached_record
class Comparison:
    """Against the best uniform plan at no more loss; ``gain`` is the relative gain in the objective
    (0 where uniform is best), ``text`` the sentence or the reason."""

    scheme: str
    gain: float
    text: Text


@cached_record
class SolverInfo:
    status: str
    gap: float
    bound: float
    candidates: int
    proved: bool


@cached_record
class Assumption:
    key: str
    value: Text
    reason: Text


@cached_record
class SourceRef:
    """A reference; ``date`` is empty where none is known (a configuration is identified by its
    digest)."""

    key: str
    title: str
    date: str


@with_former_methods
@cached_record
class Plan:
    """The answer: a scheme for every unit, the layout, and what it costs."""

    schema_version: str
    model: ModelInfo
    device: DeviceInfo
    engine: EngineInfo
    workload: WorkloadInfo
    layout: LayoutInfo
    objective: str
    units: tuple[UnitPlan, ...]
    modules: tuple[ModulePlan, ...]
    kv_cache: CacheInfo
    memory_per_device: MemoryInfo
    capacity: CapacityInfo
    performance: PerformanceInfo
    quality: QualityInfo
    baselines: tuple[Baseline, ...]
    comparison: Comparison
    solver: SolverInfo
    assumptions: tuple[Assumption, ...]
    sources: tuple[SourceRef, ...]
    layouts: LayoutsInfo | None
    recommendation: Recommendation | None
    offload: OffloadInfo | None = None
    prefix_cache: PrefixCache | None = None
    speculation: SpeculationInfo | None = None
    deployment: DeploymentInfo | None = None
    open_arrivals: OpenArrivals | None = None

    @property
    def power_mode(self) -> str | None:
        """The power mode that the plan was made in, None where its device states none."""
        return next((str(a.value) for a in self.assumptions if a.key == "power mode"), None)

    def to_dict(self) -> dict[str, Any]:
        """The plan file as plain data."""
        return dict(plain_data(self))

    def to_frame(self) -> pd.DataFrame:
        """One row a unit; units of measure are in the column names."""
        frame = as_frame([plain_data(u) | {"reason": u.reason} for u in self.units])
        frame["layers"] = [format_layers(u.layers) for u in self.units]
        frame["next_best"] = [u.next_best.scheme if u.next_best else None for u in self.units]
        return frame

    def __repr__(self) -> str:
        model, device = self.model.id, f"{self.device.count} × {self.device.id}"
        rate = self.performance.output_tokens_per_second.value
        return f"<Plan: {model} on {device}, {rate:.4g} tokens/s>"

    __str__ = as_text
    _repr_html_ = as_cell


def plain_data(value: Any, said: bool = False) -> Any:
    """Records as files have them, without keys that are optional there and None; of fields that
    are declared as ``Text`` messages are kept, of others their English."""
    if is_dataclass(value):
        return {
            f.name: plain_data(getattr(value, f.name), "Text" in str(f.type))
            for f in fields(value)
            if not (f.name in OPTIONAL and f.default is None is getattr(value, f.name))
        }
    if isinstance(value, tuple):
        return [plain_data(v, said) for v in value]
    return stored(value) if said else str(value) if isinstance(value, Message) else value
