"""Predict a served model: from a deployment, its formats and a load to TPOT and TTFT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache

from planner.base.errors import PlannerError
from planner.base.system import is_path
from planner.base.versions import version_of
from planner.formats.schemes import scheme
from planner.hardware.catalog import is_device_id, resolve_device
from planner.hardware.profile import DeviceProfile
from planner.lab.validation.cpu_share import shared_device
from planner.lab.validation.names import model_name
from planner.lab.validation.parallelism import Shape
from planner.lab.validation.records import NotCoveredError
from planner.memory.engines.catalog import default_version, engine_at, engine_names
from planner.memory.engines.records import Case, EngineResult, Settings
from planner.memory.engines.run import engine_size
from planner.memory.usable import is_large
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.placement.modules import EXPERT_KINDS
from planner.planning.price.recipe import SchemeSet, recipe_assignment
from planner.planning.price.step import Assignment, Serving, step_times
from planner.planning.price.step_intervals import StepSpread, step_spread
from planner.quality.prior import load_prior
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.serving import SteadyState, closed_loop

CHUNK_TOKENS = 8192
"""Most prompt tokens of one pass, where nothing else is known: the default of current servers."""
MOST_PASSES = 512
"""Passes of a prompt: 262,144 tokens at llama.cpp's 512 a pass."""
MOST_COPIES = 4
"""Most copies of all experts that a deployment is taken to hold."""
GRID = 512.0
"""Largest batch of a rank that is tabulated at once; a load beyond it extends its own table."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A model on a device, formats, engine, shape and lengths: what a table of steps depends on.

    ``version_text``: the version with more than its numbers; ``drafts``: tokens that prediction
    layers propose a step; ``length``: tokens of a sequence's cache where it decodes, 0 for the mean
    over requests of one length.
    """

    model: str
    device: str
    engine: str
    version: tuple[int, ...]
    recipe: SchemeSet
    shape: Shape
    isl: int
    osl: int
    chunk: int = CHUNK_TOKENS
    one_sided: bool = False
    version_text: str = ""
    drafts: int = 0
    length: float = 0.0

    @property
    def engine_version(self) -> str:
        """The version as it is stated, with its release candidate or post; empty for none."""
        return self.version_text or ".".join(map(str, self.version))


def layout_of(spec: ModelSpec, engine: str, shape: Shape, experts: str) -> Layout:
    """The layout of a worker. Rows write expert-parallel runs as mTPg/mEP1 where the engine runs
    experts in parallel, and where the experts' width does not split by whole scale blocks of 128.

    Raises:
        NotCoveredError: the experts' ranks are not those of attention.
    """
    group = shape.tp * shape.dp
    if spec.experts is None:
        if shape.dp > 1:
            raise NotCoveredError("not legal")
        return Layout(shape.tp, 1, shape.pp, 1)
    ep = shape.moe_ep or 1
    if (
        ep == 1
        and group > 1
        and (
            engine == "tensorrt-llm"
            or (experts == "fp8-block" and spec.experts.width // group % 128)
        )
    ):
        ep = group
    if group % ep or (shape.moe_tp and shape.moe_ep and shape.moe_tp * shape.moe_ep != group):
        raise NotCoveredError("not legal")
    return Layout(shape.tp, shape.dp, shape.pp, ep)


@cache
def device_of(name: str) -> DeviceProfile:
    """The bundled profile ``name`` or the share of a CPU, read once.

    Raises:
        NotCoveredError: no such device.
    """
    if is_path(name) or ".toml" in name:  # a table opens no file
        raise NotCoveredError("unknown device")
    id = name.partition("@")[0].removesuffix("-noamx")
    if not is_device_id(id):  # a row's device is what it says, no commonest variant
        raise NotCoveredError("unknown device")
    try:
        profile = resolve_device(id)
    except PlannerError:
        raise NotCoveredError("unknown device") from None
    return shared_device(profile, name) if profile.kind == "cpu" else profile


@cache
def spec_of(name: str) -> ModelSpec:
    """The model that a table calls ``name``.

    Raises:
        NotCoveredError: no such model.
    """
    known = model_name(name)
    if known is None:
        raise NotCoveredError("unknown model")
    return known.spec


@lru_cache(maxsize=256)
def with_spare_experts(spec: ModelSpec, ep: int) -> ModelSpec:
    """``spec`` with as many redundant experts as ``ep`` ranks need to hold equally many.

    Engines place copies of busy experts there; the copies share their tokens, so that a step meets
    a layer of that many experts.
    """
    experts = spec.experts
    if experts is None or experts.count % ep == 0 or ep > MOST_COPIES * experts.count:
        return spec
    count = -(-experts.count // ep) * ep
    rows = tuple(
        replace(row, experts=count)
        if row.kind in EXPERT_KINDS and row.experts == experts.count
        else row
        for row in spec.rows
    )
    return replace(spec, experts=replace(experts, count=count), rows=rows)


@cache
def assignment(case: Deployed) -> Assignment:
    """``case`` on one replica.

    Raises:
        NotCoveredError: the planner refuses the combination.
    """
    spec, device = spec_of(case.model), device_of(case.device)
    layout = layout_of(spec, case.engine, case.shape, case.recipe.experts)
    model_spec = with_spare_experts(spec, layout.ep)
    try:
        assigned = recipe_assignment(
            model_spec,
            device,
            layout,
            case.recipe,
            load_prior(),
            isl=case.isl,
            osl=case.osl,
            engine=case.engine,
            version=case.engine_version,
            one_sided=case.one_sided,
        )
    except PlannerError as error:
        raise NotCoveredError("not legal") from error
    if model_spec is spec:
        return assigned
    # Copies go to the busiest experts, until the ranks' loads are even.
    machine = replace(assigned.model.machine, spread=0.0)
    return replace(assigned, model=replace(assigned.model, machine=machine))


def check_passes(case: Deployed) -> None:
    """Stop at prompts of more passes than any deployment reads one in.

    Raises:
        NotCoveredError: they take more than MOST_PASSES.
    """
    if case.isl > MOST_PASSES * case.chunk:
        raise NotCoveredError("malformed row")


@cache
def table(case: Deployed, most: float) -> StepTimes:
    """Step times of ``case`` for batches up to ``most`` sequences a rank.

    Raises:
        NotCoveredError: prompts that take more than MOST_PASSES.
    """
    check_passes(case)
    return step_times(
        assignment(case),
        Serving(case.isl, case.osl, most, case.chunk, draft=case.drafts, length=case.length),
    )


@cache
def reading_table(case: Deployed) -> StepTimes:
    """Passes of a worker that only reads prompts, on all its attention ranks in the same step."""
    return step_times(
        assignment(case), Serving(case.isl, case.osl, 1.0, case.chunk, reading=float(case.shape.dp))
    )


@cache
def certainties(case: Deployed, most: float) -> StepSpread:
    """How sure the step times of ``case`` are."""
    return step_spread(assignment(case), most, case.isl + case.osl / 2, case.isl)


@cache
def cache_tokens(case: Deployed) -> float:
    """Tokens that one rank's cache holds by the engine's own arithmetic; inf where not modelled.

    Raises:
        NotCoveredError: the engine would not start.
    """
    if case.engine not in engine_names():
        return float("inf")
    return float(_sized(case, Settings(), "").tokens)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine allows one rank: ``tokens`` in its cache, ``chunk`` prompt tokens a pass, and
    ``slots`` sequences, inf where it sets no number."""

    tokens: float
    chunk: int
    slots: float


@cache
def engine_limits(case: Deployed, settings: Settings) -> Limits:
    """The limits of ``case`` under ``settings``, those of the engine's version where they say
    nothing; the chunk of one rank where attention ranks share one.

    Raises:
        NotCoveredError: the engine is not modelled, or would not start.
    """
    if case.engine not in engine_names():
        raise NotCoveredError("unknown engine")
    result = _sized(case, settings, device_of(case.device).id)
    own = dict(result.settings)
    batched = next((own[name] for name in _BATCHED if name in own), CHUNK_TOKENS)
    shared = case.shape.dp if case.engine == "sglang" else 1
    slots = next((own[name] for name in _SLOTS if name in own), settings.max_seqs)
    return Limits(
        float(result.tokens),
        max(int(str(batched)) // shared, 1),
        float(str(slots)) if slots else float("inf"),
    )


_BATCHED = ("max-num-batched-tokens", "chunked-prefill-size", "max-num-tokens")
_SLOTS = ("max-num-seqs", "max-batch-size")


def _sized(case: Deployed, settings: Settings, device_id: str) -> EngineResult:
    """The engine's sizes of ``case`` at its lengths and in its cache; ``device_id`` where the
    engine's defaults depend on it.

    Raises:
        NotCoveredError: the engine would not start.
    """
    spec, device = spec_of(case.model), device_of(case.device)
    layout = layout_of(spec, case.engine, case.shape, case.recipe.experts)
    spec = with_spare_experts(spec, layout.ep)
    recipe = case.recipe
    kept = ("embedding", "head", "norm", "router")
    total = int(device.capacity_bytes.value)
    version = version_of(case.engine_version) if case.engine_version else None
    try:
        result = engine_size(
            Case(
                spec=spec,
                layout=layout,
                total_bytes=total,
                large=is_large(device_id, total),
                format_of=lambda kind, layer: (
                    None if kind in kept else scheme(recipe.of(kind)).weight
                ),
            ),
            engine_at(case.engine, version or default_version(case.engine)),
            replace(
                settings,
                context=settings.context or case.isl + case.osl,
                kv="auto" if case.recipe.kv == "bf16" else case.recipe.kv,
            ),
        )
    except PlannerError as error:
        raise NotCoveredError("not legal") from error
    if not result.starts:
        raise NotCoveredError("not legal")
    return result


def serve(
    case: Deployed,
    policy: Scheduling,
    concurrency: float,
    *,
    requests: float | None,
    alike: bool = False,
) -> SteadyState:
    """The closed loop of ``case`` at ``concurrency`` requests a replica.

    Raises:
        NotCoveredError: the planner or the engine refuses the combination.
    """
    ranks = case.shape.dp
    most = max(GRID, concurrency / ranks)
    load = Load(concurrency, case.isl, case.osl, ranks, requests, cache_tokens(case), alike=alike)
    try:
        return closed_loop(table(case, most), load, policy)
    except PlannerError as error:
        raise NotCoveredError("not legal") from error


def without_host(policy: Scheduling) -> Scheduling:
    """``policy`` without the host's work, on steps and on prompts."""
    return replace(
        policy,
        host_seconds=0.0,
        host_seconds_per_sequence=0.0,
        exposed_seconds_per_sequence=0.0,
        prompt_floor_seconds=0.0,
        handling_seconds=0.0,
    )
