"""What drafts tokens, as a model of its own: its question, and its place among the modules.

It stands outside the stack, in the last pipeline stage, with its weights as released and a cache of
its own; its time is that of the passes it makes in a step
(:func:`planner.planning.space.operators.draft_parts`).
"""

from __future__ import annotations

from dataclasses import replace

from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import scheme as scheme_by_id
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units, stores
from planner.placement.layout import Layout, layout_problem
from planner.placement.modules import DRAFT, PLANNED_KINDS, Module, modules
from planner.placement.shards import module_bytes
from planner.planning.question.question import Question
from planner.planning.question.speculation import Speculation
from planner.throughput.kernels import legal_schemes

PLAIN = "bf16"
"""What a draft's weights run in where the device cannot multiply them, and its cache."""
PLAIN_TYPES = ("bf16", "fp16", "fp32")
OF_GGML = "llama.cpp"


def draft_question(question: Question, speculation: Speculation) -> Question:
    """The question that the draft is, on the same device, engine and requests."""
    spec = speculation.draft
    names = [draft_scheme(question, m) for m in modules(spec) if m.kind in PLANNED_KINDS]
    return replace(
        question,
        spec=spec,
        speculation=None,
        schemes=tuple(sorted({*names, PLAIN})),
        kv=(draft_cache(question, spec),),
        kv_apart=(),
        kv_of_layer=(),
        kv_by_layer=False,
        refused=(),
        barred=frozenset(),
        fused=(),
        routes=(),
        kept=(),
        dropped=(),
        left_out=(),
        profile=None,
        imatrix=False,
        untie=False,
        named="",
        as_released=True,
        apart=False,
        loss_scheme=None,
        loss_limit=None,
        notes=(),
    )


def draft_scheme(question: Question, module: Module) -> str:
    """The scheme that a module of the draft runs in: as released where the device multiplies it and
    the engine reads it, else plain (llama.cpp reads blocks of its own)."""
    stored = module.released_as
    foreign = (
        question.engine == OF_GGML and stored not in PLAIN_TYPES and not stored.startswith("ggml-")
    )
    return stored if not foreign and legal_schemes(question.device, [stored])[0] else PLAIN


def draft_cache(question: Question, spec: ModelSpec) -> str:
    """The cache layout of the draft: the model's where it is one that the draft stores, else
    plain."""
    only = question.kv[0] if len(question.kv) == 1 else PLAIN
    units = cache_units(spec)
    return only if only in KV_LAYOUTS and all(stores(unit, only) for unit in units) else PLAIN


def draft_module(question: Question, speculation: Speculation) -> Module:
    """The draft as one module outside the stack of the model."""
    own = [m for m in modules(speculation.draft) if m.kind not in speculation.shared]
    sizes = [_size(question, m) * max(1, len(m.layers)) for m in own]
    largest = own[sizes.index(max(sizes))]
    return Module(
        kind=DRAFT,
        layers=(),
        experts=1,
        gemms=(),
        stored_bytes=sum(sizes),
        vector_bytes=0,
        dtype=draft_scheme(question, largest),
    )


def _size(question: Question, module: Module) -> int:
    """Bytes of one layer of a module of the draft, in what it runs in."""
    name = draft_scheme(question, module)
    if module.kind not in PLANNED_KINDS or name == module.released_as:
        return module.stored_bytes
    return module_bytes(module, scheme_by_id(name))


def draft_layout(spec: ModelSpec, layout: Layout) -> Layout:
    """How the draft lies on the ranks of ``layout``: as the model where it divides so, else whole
    on every rank (engines take the model's tensor parallelism or none)."""
    wanted = (
        Layout(layout.tp, layout.dp, 1, layout.ep)
        if spec.experts is not None
        else Layout(layout.tp)
    )
    if layout_problem(spec, wanted):
        return Layout(1, layout.dp)
    return replace(wanted, dp=layout.dp)
