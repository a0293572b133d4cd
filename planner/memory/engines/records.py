"""What an engine is given and what its arithmetic gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from planner.base.errors import InputError
from planner.formats.kv import kv_layout
from planner.formats.spec import TensorFormat
from planner.memory.caches import CacheClass, KvOf
from planner.memory.engines.catalog import Constant
from planner.memory.extra_models import NOTHING, ExtraModels
from planner.memory.resident import Line, Loading, rank_weights, total
from planner.messages.message import message
from planner.models.plain import plain_type
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout, layout_problem

LOGGED = "from the log"


@dataclass(frozen=True, slots=True)
class Settings:
    """The engine's own flags; None is the version's default.

    ``utilisation`` is --gpu-memory-utilization, --mem-fraction-static or
    --kv-cache-free-gpu-mem-fraction. ``total_tokens`` (--max-total-tokens) sets the pool by hand;
    ``kv_bytes`` (--kv-cache-memory-bytes) too. llama.cpp: ``context`` is n_ctx over all
    ``max_seqs`` sequences, ``batched_tokens`` n_ubatch, ``type_k`` and ``type_v`` cache types,
    ``mla`` the fork's switch, ``swa_full`` whole caches of windowed layers too. ``moe_backend``
    names the kernels of experts, by which they are padded ("": the default on the device).
    ``kv_of`` is the layout of each cache where they differ by layer.
    """

    utilisation: float | None = None
    context: int | None = None
    batched_tokens: int | None = None
    max_seqs: int | None = None
    block_tokens: int | None = None
    kv: str = "auto"
    total_tokens: int | None = None
    kv_bytes: int | None = None
    type_k: str = "f16"
    type_v: str = "f16"
    mla: int | None = None
    swa_full: bool = False
    moe_backend: str = ""
    kv_of: KvOf | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """Overheads taken from a log instead of predicted [B]; None is predicted."""

    activation: int | None = None
    nontorch: int | None = None
    graphs: int | None = None
    free: int | None = None
    weights: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A model under a layout on devices of ``total_bytes``, with the formats of its weights.

    ``plain`` replaces the release's 16-bit type. ``large`` devices get larger default batches.
    ``beside``: adapters and a draft. Without ``cuda`` there is no context of a GPU; ``capability``
    is the major number of its compute capability, 0 where none is known. ``own_memory``: the
    device has memory of its own beside that of its host.
    """

    spec: ModelSpec
    layout: Layout
    total_bytes: int
    format_of: Callable[[str, int], TensorFormat | None]
    plain: str = ""
    large: bool = True
    max_positions: int = 0
    parts: tuple[str, ...] = ("main", "lookup")
    cuda: bool = True
    capability: int = 0
    beside: ExtraModels = NOTHING
    own_memory: bool = False

    @property
    def activation_width(self) -> int:
        """Bytes of an element of activations [B]."""
        return 4 if self.plain == "fp32" else 2

    def predicts(self, stage: int) -> bool:
        """Whether the stage keeps the caches of prediction layers."""
        return "mtp" in self.parts and stage == self.layout.pp - 1


def weight_lines(case: Case, load: Loading, given: Given, stage: int) -> list[Line]:
    """The weights of a rank of ``stage``, or what a log says of them."""
    if given.weights is not None:
        return [Line("weights", given.weights, LOGGED)]
    return rank_weights(case.spec, case.layout, load, case.format_of, stage)


def constant_line(name: str, constant: Constant, more: int = 0) -> Line:
    """A version's constant, and ``more`` bytes, with where it comes from."""
    return Line(name, int(constant.value) + more, f"{constant.kind}: {constant.source}")


@dataclass(frozen=True, slots=True)
class Rank:
    """One kind of rank (a pipeline stage): its parts, and the bytes left for caches."""

    stage: int
    weights: tuple[Line, ...]
    overheads: tuple[Line, ...]
    budget_bytes: int
    caches: tuple[CacheClass, ...]

    @property
    def weights_bytes(self) -> int:
        return total(self.weights)


@dataclass(frozen=True, slots=True)
class EngineResult:
    """Capacity as the engine would arrive at it. Bytes are of the rank that limits the pool.

    ``tokens`` and ``max_concurrency`` are of one data-parallel rank, as engines print them;
    ``replica_tokens`` of all. ``starts`` is False where the budget is negative or holds no block;
    ``reason`` says so. ``unexplained`` are parts whose size is not derived from shapes.
    ``grouped``: layers keep different numbers of tokens in one pool, by a rule that is modelled.
    """

    engine: str
    version: str
    settings: tuple[tuple[str, object], ...]
    total_bytes: int
    ranks: tuple[Rank, ...]
    limiting: int
    kv_bytes: int
    block_tokens: int
    block_bytes: int
    blocks: int
    tokens: int
    replica_tokens: int
    max_concurrency: float
    starts: bool
    reason: str
    unexplained: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    grouped: bool = False

    @property
    def rank(self) -> Rank:
        """The rank that limits the pool."""
        return self.ranks[self.limiting]


def check(case: Case, settings: Settings) -> None:
    """Refuse values out of range, each with its flag.

    Raises:
        InputError: a layout that does not hold the model, or a setting out of range.
    """
    problem = layout_problem(case.spec, case.layout)
    if problem:
        raise InputError(f"{case.spec.id}: {problem}", hint="choose another --tp, --pp, --dp, --ep")
    if case.total_bytes < 1:
        raise InputError(f"device memory of {case.total_bytes} bytes", hint="it is above 0")
    fraction = settings.utilisation
    if fraction is not None and not 0 < fraction <= 1:
        raise InputError(f"memory fraction {fraction} is out of range", hint="above 0, at most 1")
    for name in (
        "context",
        "batched_tokens",
        "max_seqs",
        "block_tokens",
        "total_tokens",
        "kv_bytes",
    ):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise InputError(
                f"{name.replace('_', '-')} {value} is out of range", hint="it is at least 1"
            )


def failure(budget: int, block_bytes: int) -> str:
    """Why an engine with ``budget`` bytes for caches does not start; empty if it does."""
    if budget < 0:
        return message("memory.starts_not_over", over=f"{-budget:,}")
    if block_bytes and budget < block_bytes:
        left, block = f"{budget:,}", f"{block_bytes:,}"
        return message("memory.starts_not_block", left=left, block=block)
    return ""


def cache_layout(case: Case, settings: Settings) -> str:
    """The cache layout of ``settings.kv``: auto is the release's own, else its plain type;
    sparse latents in FP8 carry their own scales."""
    name = settings.kv
    if name == "auto":
        name = case.spec.kv_scheme or case.plain or plain_type(case.spec)
    if name == "fp8_e5m2" or kv_layout(name).id == "fp8":
        sparse = any(a.kind == "mla" and a.indexer_topk for a in case.spec.attention)
        return "fp8-ds-mla" if sparse else "fp8"
    return name


def of_kind(lines: Sequence[Line], name: str) -> int:
    """Bytes of the line called ``name``, 0 without one."""
    return sum(line.bytes for line in lines if line.name == name)
