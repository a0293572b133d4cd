"""The question a plan answers: workload, limits, layout constraints, schemes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.memory.usable import UsableMemory
from planner.memory.windows import WindowRule, window_rule
from planner.messages.message import Note, Text
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.planning.engines.prefill_chunks import PrefillChunk, prefill_chunk
from planner.planning.engines.routes import Route
from planner.planning.plan.record import OBJECTIVES as OBJECTIVES
from planner.planning.plan.record import Objective
from planner.planning.question.corrections import PROMPT, Correction
from planner.planning.question.speculation import Speculation
from planner.planning.question.time_limits import LIMITS, Seconds, limited_times
from planner.planning.question.workload import Workload
from planner.throughput.collectives import Fabric
from planner.throughput.engine_policy import PromptHost, prompt_host

if TYPE_CHECKING:
    from planner.planning.question.host_place import Offload
    from planner.quality.profile import Profile

TIMED: tuple[Objective, ...] = ("throughput", "latency", "cost")
"""Objectives that are the time of a step: by device, or of a token."""
RATES: tuple[Objective, ...] = ("throughput", "cost")
"""Objectives that people read as tokens for the time or money; what is minimised is the inverse."""
LLAMA_CPP = "llama.cpp"
ROUNDING = 1e-9
"""Share of a limit on time that sums of floats may be off by."""


@record
class LoopExcess:
    """By how much the closed loop of what a search proposed on ``layout`` took longer than the
    search had it: TPOT and TTFT, 1 where it did not."""

    layout: Layout
    tpot: float
    ttft: float


@record
class Question:
    """Everything a search needs, resolved. Seconds, bytes and plain counts.

    ``loss_scheme`` or ``loss_limit`` bounds the loss (both None: no limit); with a ``profile`` each
    layer is decided by itself. ``schemes`` is the list
    to choose from in catalogue order, ``kv`` the cache layouts. ``fixed`` pins tp, dp, pp, ep.
    ``sizes`` are the device counts to try. ``as_released``: every module takes what it is stored
    in, and ``schemes`` are all of these. ``engine`` is the server, ``any`` for none in particular;
    what it rules out is in ``barred`` (kind of module or cache entry, choice), kinds of a group in
    ``fused`` decide together, ``container`` is the checkpoint format that carries the plan.
    ``kept``: layers whose linears stay as released, by the scenario's policies; ``dropped``: kinds
    whose rule the user dropped, so that they are planned. ``left_out``: plain types that the rule
    of one data type leaves out of ``schemes``.
    ``routes``: schemes that the engine runs on the kernels of others, with the reason.
    ``usable`` is the rule that ``usable_bytes`` follow, unless they were replaced since.
    ``chosen_from``: the engines that were asked, where none was named. ``loss_widened``: the limit
    on loss is that asked for times its band. ``tpot_default``: the limit on TPOT is a default,
    which is dropped where no layout reaches it. ``apart``: each matrix is decided by itself, as the
    engine types every tensor. ``named``: the assignment that is priced, a scheme with what stands
    in for it or a mixture of the engine's (:mod:`planner.planning.question.named`). ``imatrix``:
    ggml's types are written with an importance matrix. ``eager``: the engine launches operator by
    operator, where by default it compiles (which CPUs alone feel: their cores walk the code).
    ``file_bytes``: the most that the weights' file may have.
    ``offload``: what lives in the memory of a host beside the device.
    ``speculation``: what drafts tokens that each step verifies, None: nothing does.
    ``hold_steps``: steps that a prompt is held until every attention rank has one, 0: none is.
    ``given_chunk_tokens``: prompt tokens of a pass, 0: the engine's own. ``run_requests``: of a run
    that starts with all requests of the batch at once, None: the steady state.
    ``same_lengths``: all requests have the very lengths of the workload. ``loop_excess``: what a
    search has learned of layouts that it proposed. ``conventional``: layouts that neither guides
    nor measured deployments have are left out. ``kv_given``: the cache layouts are named;
    ``kv_apart``: that of keys and that of values, where they are named apart; ``kv_of_layer``: that
    of each layer, where layers are (empty for a layer without a cache). ``kv_by_layer``: the cache
    of each layer is a choice of its own.
    ``loss_default``: the limit on loss is a preference, which is dropped where nothing keeps it.
    ``more_sizes``: device counts to try where the default number is too few. ``min_gain`` (a
    share), ``new_weights`` and ``allow_unmeasured`` say what a plan must bring to be taken in place
    of the conventional one (:mod:`planner.planning.choose.rule`). ``concurrency``: requests in
    flight over all replicas, which fix the batch of each layout in place of ``batch``.
    ``corrections``: what was measured here of the model's class on the device with the engine.
    """

    spec: ModelSpec
    device: DeviceProfile
    net: Fabric
    workload: Workload
    objective: Objective
    schemes: tuple[str, ...]
    kv: tuple[str, ...]
    refused: tuple[tuple[str, Text], ...]
    sizes: tuple[int, ...]
    devices_given: bool
    fixed: dict[str, int | None]
    batch: int | None
    capacity_bytes: int
    usable_bytes: int
    ttft_seconds: float | None = None
    tpot_seconds: float | None = None
    e2e_seconds: float | None = None
    memory_bytes: int | None = None
    file_bytes: int | None = None
    loss_scheme: str | None = None
    loss_limit: float | None = None
    profile: Profile | None = None
    imatrix: bool = False
    untie: bool = False
    as_released: bool = False
    node_devices: int = 8
    price_per_hour: float | None = None
    requests_per_s: float | None = None
    notes: tuple[Note, ...] = field(default_factory=tuple)
    engine: str = "any"
    engine_version: str = ""
    container: str = ""
    barred: frozenset[tuple[str, str]] = frozenset()
    fused: tuple[tuple[str, ...], ...] = ()
    kept: tuple[int, ...] = ()
    dropped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    usable: UsableMemory | None = None
    routes: tuple[Route, ...] = ()
    chosen_from: tuple[str, ...] = ()
    tpot_default: bool = False
    apart: bool = False
    named: str = ""
    loss_widened: bool = False
    eager: bool = False
    offload: Offload | None = None
    speculation: Speculation | None = None
    hold_steps: int = 0
    given_chunk_tokens: int = 0
    run_requests: int | None = None
    same_lengths: bool = False
    loop_excess: tuple[LoopExcess, ...] = ()
    conventional: bool = False
    kv_given: bool = False
    kv_apart: tuple[str, ...] = ()
    kv_of_layer: tuple[str, ...] = ()
    kv_by_layer: bool = False
    loss_default: bool = False
    more_sizes: tuple[int, ...] = ()
    min_gain: float | None = None
    new_weights: str = "auto"
    allow_unmeasured: bool = False
    concurrency: int | None = None
    corrections: tuple[Correction, ...] = ()

    @property
    def is_batch_given(self) -> bool:
        """Whether each layout has one batch: named, or what the requests in flight come to."""
        return self.batch is not None or self.concurrency is not None

    def requests(self, layout: Layout, slot: int) -> float:
        """Requests in flight on one replica of ``layout`` with ``slot`` sequences a rank and
        micro-batch: all of them, or the replica's share of the given ones."""
        most = float(slot * layout.dp * layout.pp)
        if self.concurrency is None:
            return most
        return min(most, self.concurrency / self.replicas(layout.ranks))

    @property
    def floor_dropped(self) -> bool:
        """Whether nothing keeps the default limit on loss, so that the least loss is preferred."""
        return self.loss_default and self.loss_scheme is None and self.loss_limit is None

    @property
    def caches_named(self) -> bool:
        """Whether each cache has a layout that was named for it alone."""
        return bool(self.kv_apart or self.kv_of_layer)

    def layout_of(self, kind: str, layer: int, named: str) -> str:
        """The layout of a kind of cache entry in a layer under one that is ``named`` for all: its
        own where layers, or keys and values, were named apart."""
        if self.kv_of_layer:
            return self.kv_of_layer[layer]
        return self.kv_apart[kind == "kv-v"] if self.kv_apart else named

    @property
    def looks_up_on_host(self) -> bool:
        """Whether the table of tokens stays in the memory of the device's host: llama.cpp keeps
        the input layer on the CPU, and gives a card of its own memory a copy of it where it is the
        head too (ggml-org/llama.cpp@0c1e57098, src/llama-model.cpp load_tensors)."""
        return self.engine == LLAMA_CPP and self.device.has_own_memory

    @property
    def windows(self) -> WindowRule:
        """What the engine keeps of windowed layers."""
        return window_rule(self.spec, None if self.usable is None else self.usable.server)

    @property
    def worker_stages(self) -> int:
        """Pipeline stages of a worker of a pool: as many as are given, else one, since conventional
        layouts have none inside a domain."""
        return self.fixed.get("pp") or 1

    @property
    def verified(self) -> float:
        """Tokens of a sequence that a step passes."""
        return 1.0 if self.speculation is None else self.speculation.draft_tokens + 1.0

    @property
    def accepted(self) -> float:
        """Tokens that a step yields for each sequence."""
        return 1.0 if self.speculation is None else self.speculation.accepted

    @property
    def runs_as(self) -> dict[tuple[str, str], str]:
        """(dense or experts, scheme) → the scheme whose kernel the engine runs in its place."""
        return {(r.group, r.asked): r.runs_as for r in self.routes}

    @property
    def prefill_chunk(self) -> PrefillChunk:
        """What of prompts a step of the engine takes."""
        chunk = prefill_chunk(self.engine, self.device)
        own = 0 if self.offload is None else self.offload.way.prompt_tokens
        own = own or self.given_chunk_tokens
        return chunk if not own else replace(chunk, tokens=own)

    @property
    def chunk_tokens(self) -> int:
        """Tokens of prompts that a step takes at most."""
        return self.prefill_chunk.tokens

    @property
    def prompt_host(self) -> PromptHost:
        """What the engine's host costs a prompt."""
        return prompt_host(
            self.engine,
            self.engine_version,
            self.device.id,
            experts=self.spec.experts is not None,
        ).slower(self.corrected(PROMPT))

    def correction(self, operator: str) -> Correction | None:
        """What was measured here of STEP or PROMPT; None: nothing was."""
        return next((c for c in self.corrections if c.operator == operator), None)

    def corrected(self, operator: str) -> float:
        """What multiplies the seconds of STEP or PROMPT, device and host, by what was measured
        here; 1 where nothing was."""
        known = self.correction(operator)
        return 1.0 if known is None else known.factor

    @property
    def prompt_floor_seconds(self) -> float:
        """Least time of a prompt's way through, which the host launches kernel by kernel where no
        graph was captured for so many tokens."""
        new = self.workload.isl * (1 - self.workload.prefix_hit_rate)
        if min(new, self.chunk_tokens) + 1 <= self.prompt_host.captured_tokens:
            return 0.0
        return self.prompt_host.layer_seconds * self.spec.layers

    def first_token(self, read: NDArray[np.float64]) -> NDArray[np.float64]:
        """TTFT [s] of prompts that wait and are read in ``read`` [s]: at least what the host needs
        to launch them, and its work on the request."""
        return np.asarray(
            np.maximum(read, self.prompt_floor_seconds) + self.prompt_host.handling_seconds
        )

    @property
    def time_limits(self) -> dict[str, float]:
        """The limits on time that hold [s], by their names in messages."""
        given = {name: getattr(self, field_name) for name, field_name in LIMITS.items()}
        return {name: seconds for name, seconds in given.items() if seconds is not None}

    def limited_times(self, ttft: Seconds, tpot: Seconds) -> dict[str, Seconds]:
        """What each limit on time bounds [s], by its name, where a request has these."""
        return limited_times(ttft, tpot, self.workload.osl)

    @property
    def limits_prompts(self) -> bool:
        """Whether a limit bounds how long a prompt may take."""
        return self.ttft_seconds is not None or self.e2e_seconds is not None

    @property
    def tokens_after_first(self) -> int:
        """Tokens of an answer that follow its first."""
        return max(self.workload.osl - 1, 0)

    @property
    def step_limit(self) -> tuple[str, float] | None:
        """(the limit that leaves least for a token, what it leaves [s]): that on TPOT, or what that
        on a whole request leaves of the shortest prompt; None without a limit."""
        limits = {"tpot": self.tpot_seconds} if self.tpot_seconds is not None else {}
        if self.e2e_seconds is not None and self.tokens_after_first:
            left = self._after_host(self.e2e_seconds) - self.prompt_floor_seconds
            limits["e2e"] = max(left, 0.0) / self.tokens_after_first
        return min(limits.items(), key=lambda limit: limit[1], default=None)

    def read_limits(self, pace: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """What the limit on TTFT leaves for a prompt's wait and its way through, where TTFT is
        ``pace`` [C] times what they and the host add up to: 0 where the host alone takes longer;
        None without a limit."""
        return _each(self.ttft_seconds, pace, self._after_host)

    def request_limits(self, pace: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """What the limit on a whole request leaves for a prompt's wait and its way through, and
        1/``pace`` of the tokens after the first [C]; None without a limit."""
        return _each(self.e2e_seconds, pace, self._after_host)

    def _after_host(self, limit: float) -> float:
        """What ``limit`` [s] leaves of the host's work on a prompt: 0 where its kernels' launches
        take longer."""
        left, floor = limit - self.prompt_host.handling_seconds, self.prompt_floor_seconds
        # A limit of floor and handling, as hints name it, may round to less than their sum.
        return max(left, floor) if left >= floor - ROUNDING * limit else 0.0

    def replicas(self, ranks: int) -> int:
        """Replicas of ``ranks`` devices: all that the given devices hold, one in a search."""
        return max(self.sizes) // ranks if self.devices_given else 1


def _each(
    limit: float | None, pace: NDArray[np.float64], left: Callable[[float], float]
) -> NDArray[np.float64] | None:
    """What is ``left`` of a limit over ``pace`` [C]: 0 where nothing is of the limit itself."""
    if limit is None:
        return None
    if left(limit) <= 0:
        return np.zeros(len(pace))
    return np.array([left(seconds) for seconds in (limit / pace).tolist()])


def without_time_limits(question: Question) -> Question:
    """The question without limits on time."""
    changed: dict[str, Any] = dict.fromkeys(LIMITS.values())
    return replace(question, **changed)


def with_time_limit(question: Question, name: str, seconds: float | None) -> Question:
    """The question under another limit on time, by its name in messages."""
    changed: dict[str, Any] = {LIMITS[name]: seconds}
    return replace(question, **changed)


def improvement(objective: str, old: float, new: float) -> float:
    """How much better ``new`` is than ``old``, both to be minimised: as more tokens/s where the
    objective is a rate, else as a share less."""
    if not old > 0 or not new > 0:
        return 0.0 if old == new else float((old - new) / abs(old)) if old else 0.0
    return old / new - 1 if objective in RATES else 1 - new / old
