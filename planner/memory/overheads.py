"""What a rank holds beside weights and caches: as an engine counts it, else a plan's own sum.

vLLM takes its pool from what a profile leaves: one pass of the largest batch of tokens and the
sampling of the most sequences, whatever runs later. SGLang keeps activations outside of the share
that it fills. Both load what no checkpoint holds: rotary tables, padded rows, 16-bit copies.
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.identity_cache import cached_by_identity
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.memory.caches import cache_classes
from planner.memory.engines.catalog import Engine
from planner.memory.engines.expert_padding import expert_pad
from planner.memory.engines.records import Case, Settings
from planner.memory.engines.vllm import forward_pass, graph_bytes, loading_of
from planner.memory.engines.vllm_pool import in_groups
from planner.memory.footprint import activation_rates, runtime_bytes, runtime_of
from planner.memory.resident import Line, Loading, as_released, rank_weights, total
from planner.memory.usable import FIT_MARGIN, UsableMemory, is_large
from planner.memory.workspace import PassShape, logits_bytes, peak_lines
from planner.messages.message import Text, message
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout

_CONTEXT = "context_bytes"
"""The constant of an engine for its context and libraries on a device [B]."""


@record
class Overheads:
    """Bytes of one rank: ``token`` of the widest pass's, ``sequence`` of what is sampled, neither
    less than ``floor``, with ``fixed`` beside them; ``runtime`` is what is there without a pass.
    ``source`` says who counts so ("": this program)."""

    token: int
    sequence: int
    runtime: int
    fixed: int = 0
    floor: int = 0
    source: str = ""

    def activations(self, *, chunk_tokens: int, sequences: int) -> int:
        """The peak of temporary tensors [B] of passes of ``chunk_tokens`` and steps of
        ``sequences``."""
        passed = max(chunk_tokens, sequences) * self.token + sequences * self.sequence
        return self.fixed + max(self.floor, passed)

    def times(self, cards: int) -> Overheads:
        """The same on each of ``cards``."""
        return replace(
            self,
            token=self.token * cards,
            sequence=self.sequence * cards,
            runtime=self.runtime * cards,
            fixed=self.fixed * cards,
            floor=self.floor * cards,
        )

    def lines(self, sequences: int) -> list[Line]:
        """The parts of an engine's own peak with ``sequences``."""
        last = max(self.floor, sequences * self.sequence)
        lines = [
            Line("profiled-pass", self.fixed, "the largest batch of tokens, as the engine runs it"),
            Line("sampling", last, "its widest layer, or the logits of the most sequences"),
        ]
        return [line for line in lines if line.bytes]


def overheads(
    spec: ModelSpec,
    layout: Layout,
    device: DeviceProfile | None,
    usable: UsableMemory | None,
    context: int,
) -> Overheads:
    """What a rank of ``layout`` holds on ``device`` under the engine of ``usable``: of unequal
    cards, on all of them; ``context`` is the longest sequence [tokens]."""
    one = _of_one_card(spec, layout, device, usable, context)
    return one if device is None or not device.cards else one.times(len(device.cards))


def _of_one_card(
    spec: ModelSpec,
    layout: Layout,
    device: DeviceProfile | None,
    usable: UsableMemory | None,
    context: int,
) -> Overheads:
    engine = None if usable is None else usable.engine
    if device is None or usable is None or engine is None:
        runtime = 0 if device is None else runtime_bytes(device, layout)
        rates = activation_rates(spec, layout)
        server = None if usable is None else usable.server
        if (
            device is None
            or device.kind != "gpu"
            or server is None
            or FIT_MARGIN not in server.constants
        ):
            return Overheads(*rates, runtime)
        kind = server.constants[_CONTEXT].kind
        source = message("assumptions.context_of_engine", engine=server.name, kind=kind)
        return Overheads(*rates, server.integer(_CONTEXT), source=source)
    key = (layout.tp, layout.dp, layout.pp, layout.ep)
    return _of_engine(spec, device, engine, key, usable, context)


def runtime_source(device: DeviceProfile, counted: Overheads) -> Text:
    """Where the runtime's figure is from."""
    return counted.source or runtime_of(device).source


@cached_by_identity(
    4096,
    lambda spec, device, engine, key, usable, context: (
        spec, device, engine, key, usable.capacity_bytes, usable.share, usable.chunk_tokens,
        context,
    ),
)  # fmt: skip
def _of_engine(
    spec: ModelSpec,
    device: DeviceProfile,
    engine: Engine,
    key: tuple[int, int, int, int],
    usable: UsableMemory,
    context: int,
) -> Overheads:
    layout = Layout(*key)
    case = Case(
        spec,
        layout,
        usable.capacity_bytes,
        as_released,
        large=is_large(device.id, usable.capacity_bytes),
        capability=int((device.compute_capability or "0").split(".")[0]),
    )
    settings = Settings(batched_tokens=usable.chunk_tokens or None)
    loaded = _engine_tables(case, engine, settings)
    if engine.name == "sglang":
        taken = engine.integer(_CONTEXT)
        taken += engine.integer("parallel_bytes") if layout.ranks > 1 else 0
        share = usable.share - usable.reserved_bytes(layout) / usable.capacity_bytes
        runtime = int(taken * share) + usable.reserved_bytes(layout) + loaded
        return Overheads(0, 0, runtime, source=_words(engine, _CONTEXT))
    run = forward_pass(case, engine, settings, context)
    lines = peak_lines(spec, layout, run)
    last = lines.pop()
    per_sequence = logits_bytes(spec, layout, replace(run, sequences=1))
    runtime = engine.integer("nontorch_bytes") + engine.integer("margin_bytes") + loaded
    runtime += engine.integer("nontorch_parallel_bytes") if layout.tp > 1 else 0
    if engine.integer("graphs_deducted"):
        stage_layers = -(-spec.layers // layout.pp)
        runtime += graph_bytes(case, engine, stage_layers, run)
    return Overheads(
        0,
        per_sequence,
        runtime,
        fixed=total(lines) + _prompts_in_windows(spec, layout, engine, run),
        floor=last.bytes,
        source=_words(engine, "nontorch_bytes"),
    )


def _words(engine: Engine, key: str) -> Text:
    constant = engine.constants[key]
    return message(
        "assumptions.as_engine_counts_it",
        engine=engine.name,
        version=engine.version_text,
        kind=constant.kind,
        source=constant.source,
    )


def _engine_tables(case: Case, engine: Engine, settings: Settings) -> int:
    """Bytes that the engine loads beside the released tensors on a rank of the largest stage."""
    layout = case.layout
    key = (layout.tp, layout.dp, layout.ep)
    size = _tables_of_all_layers(case.spec, engine, key, case.capability, settings.moe_backend)
    return -(-size * -(-case.spec.layers // layout.pp) // case.spec.layers)


@cached_by_identity(512)
def _tables_of_all_layers(
    spec: ModelSpec, engine: Engine, key: tuple[int, int, int], capability: int, backend: str
) -> int:
    tp, dp, ep = key
    case = Case(spec, Layout(tp, dp, 1, ep), 1, as_released, capability=capability)
    pad = expert_pad(case, engine, Settings(moe_backend=backend))[0]
    latent = engine.name != "vllm" or bool(engine.integer("mla_cache"))
    load = loading_of(case, engine.integer("vocab_pad"), mla=latent, pad=pad)
    sizes = [
        total(rank_weights(spec, case.layout, loading, as_released, 0))
        for loading in (load, Loading())
    ]
    return max(0, sizes[0] - sizes[1])


def _prompts_in_windows(spec: ModelSpec, layout: Layout, engine: Engine, run: PassShape) -> int:
    """BF16 entries of windowed layers of the prompts of one step: they are let go when the step is
    over, and a pool of groups has them until then."""
    if not in_groups(spec, engine) or not any(a.window == 0 for a in spec.attention):
        return 0
    caches = cache_classes(spec, layout, "bf16")
    size = sum(
        c.entry_bytes * len(c.layers) * max(0, min(c.window + run.tokens, run.context) - c.window)
        for c in caches
        if c.window and c.kind == "kv"
    )
    return -(-size // layout.pp)
