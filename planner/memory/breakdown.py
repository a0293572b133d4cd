"""Memory of every device of a replica by part: weights, scales, caches, activations, runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.base.errors import InputError
from planner.hardware.profile import DeviceProfile
from planner.memory.caches import CacheClass, KvOf, cache_classes, request_bytes, token_bytes
from planner.memory.extra_models import NOTHING, ExtraModels, held_layers
from planner.memory.footprint import runtime_of
from planner.memory.images import encoder_budget, image_lines
from planner.memory.overheads import overheads
from planner.memory.resident import (
    FormatOf,
    Line,
    Loading,
    gguf_loading,
    rank_weights,
    stage_ranges,
    total,
)
from planner.memory.usable import UsableMemory
from planner.memory.windows import ALONE, WindowRule
from planner.memory.workspace import PassShape, working_lines
from planner.messages.message import Text
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import PAGE_TOKENS
from planner.placement.layout import Layout, layout_problem

OPTIONAL_PARTS = ("mtp", "vision", "audio")


@dataclass(frozen=True, slots=True)
class Use:
    """What is asked: ``batch`` sequences over all attention-DP ranks, prompts in chunks of
    ``chunk`` tokens, weights of ``parts``. Each holds the cache of ``held`` tokens at its end (0:
    ``context``); there is room for one of ``context``. ``beside``: adapters and a draft.
    ``indexer`` is the cache layout of an indexer's keys, where it is not that of the latents;
    ``windows`` says what is kept of windowed layers."""

    context: int
    batch: int
    chunk: int
    parts: tuple[str, ...] = ("main", "lookup")
    held: int = 0
    beside: ExtraModels = NOTHING
    indexer: str = ""
    windows: WindowRule = ALONE

    @property
    def tokens(self) -> int:
        """Tokens whose cache a sequence holds at its end."""
        return self.held or self.context


@dataclass(frozen=True, slots=True)
class StageMemory:
    """One device of a pipeline stage [B]; the stage has ``devices`` alike.

    ``prefill`` and ``decode`` are the parts of the peaks of the two kinds of step, ``encode`` those
    of a pass over images; the largest sum counts.
    """

    stage: int
    devices: int
    weights: tuple[Line, ...]
    caches: tuple[Line, ...]
    prefill: tuple[Line, ...]
    decode: tuple[Line, ...]
    runtime_bytes: int
    encode: tuple[Line, ...] = ()

    @property
    def weights_bytes(self) -> int:
        return total(self.weights)

    @property
    def cache_bytes(self) -> int:
        return total(self.caches)

    @property
    def activation_bytes(self) -> int:
        """The peak of temporary tensors."""
        return max(total(self.prefill), total(self.decode), total(self.encode))

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes + self.activation_bytes + self.runtime_bytes


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A replica's memory. ``not_loaded`` are parts of the checkpoint left out of the weights;
    ``token_bytes`` and ``request_bytes`` are caches of the device that holds most of them."""

    layout: Layout
    use: Use
    stages: tuple[StageMemory, ...]
    not_loaded: tuple[Line, ...]
    token_bytes: int
    request_bytes: int

    @property
    def fullest(self) -> StageMemory:
        """The stage whose devices hold most."""
        return max(self.stages, key=lambda stage: stage.total_bytes)


def breakdown(
    spec: ModelSpec,
    layout: Layout,
    use: Use,
    *,
    format_of: FormatOf,
    kv: str | KvOf,
    device: DeviceProfile | None,
    usable: UsableMemory | None = None,
) -> Breakdown:
    """The parts of every device's memory; without ``device`` the runtime is 0. ``usable`` says what
    an engine reserves for the layout.

    Raises:
        InputError: a layout that cannot hold the model.
        UnsupportedError: a cache layout that the model's caches do not have.
    """
    problem = layout_problem(spec, layout)
    if problem:
        raise InputError(f"{spec.id}: {problem}", hint="choose another --tp, --pp, --dp, --ep")
    _check_parts(spec, use)
    stages = tuple(
        _stage(spec, layout, use, format_of, kv, device, usable, stage)
        for stage in range(layout.pp)
    )
    classes = [stage_caches(spec, layout, use, kv, stage) for stage in range(layout.pp)]
    left = tuple(
        line
        for part in OPTIONAL_PARTS
        if part not in use.parts
        for line in _part(spec, layout, format_of, part)
    )
    return Breakdown(
        layout,
        use,
        stages,
        left,
        max(map(token_bytes, classes)),
        max(request_bytes(caches, use.context) for caches in classes),
    )


def stage_caches(
    spec: ModelSpec, layout: Layout, use: Use, kv: str | KvOf, stage: int
) -> tuple[CacheClass, ...]:
    """Caches of one device of a stage; prediction layers, where loaded, are on the last."""
    stage_layers = stage_ranges(spec.layers, layout.pp, tail_first=False)[stage]
    own = cache_classes(
        spec,
        layout,
        kv,
        layers=stage_layers,
        prediction="mtp" in use.parts and stage == layout.pp - 1,
        indexer=use.indexer,
    )
    kept = tuple(replace(c, kept=use.windows) if c.window and c.kind == "kv" else c for c in own)
    return (*kept, *use.beside.caches(layout, kv, stage))


def _check_parts(spec: ModelSpec, use: Use) -> None:
    """Raises InputError where an optional part is asked for that the model does not have."""
    has = {row.part for row in spec.rows}
    for part in ("mtp", "vision"):  # sound comes with images
        if part in use.parts and part not in has:
            what = "prediction layers" if part == "mtp" else "vision encoder"
            raise InputError(
                f"{spec.id} has no {what} in its configuration", hint=f"leave out --with-{part}"
            )


def kept_bytes(caches: tuple[CacheClass, ...], use: Use, sequences: int) -> int:
    """Bytes for so many sequences of a device, and for one of the context in their place [B]."""
    return sum(
        max(sequences * c.layer_bytes(_pages(c, use.tokens)), c.layer_bytes(_pages(c, use.context)))
        * len(c.layers)
        for c in caches
    )


def _pages(cache: CacheClass, context: int) -> int:
    page = PAGE_TOKENS["gqa" if cache.kind.endswith("kv") else "mla"]
    return -(-context // page) * page


def _stage(
    spec: ModelSpec,
    layout: Layout,
    use: Use,
    format_of: FormatOf,
    kv: str | KvOf,
    device: DeviceProfile | None,
    usable: UsableMemory | None,
    stage: int,
) -> StageMemory:
    loading = Loading(parts=use.parts)
    if usable is not None and usable.server is not None and usable.server.name == "llama.cpp":
        own_memory = device is not None and device.has_own_memory
        loading = gguf_loading(use.parts, own_memory=own_memory)
    mine = -(-use.batch // layout.dp)
    caches = [
        Line(_cache_name(c), kept_bytes((c,), use, mine), _cache_basis(c))
        for c in stage_caches(spec, layout, use, kv, stage)
    ]
    last = stage == layout.pp - 1
    chunk = PassShape(tokens=use.chunk, sequences=1, context=use.context)
    step = PassShape(tokens=mine, sequences=mine, context=use.context)
    counted = overheads(spec, layout, device, usable, use.context)
    own = bool(counted.source)
    images, kept = _images(spec, layout, use, stage)
    return StageMemory(
        stage=stage,
        devices=layout.tp * layout.dp,
        weights=(
            *rank_weights(spec, layout, loading, format_of, stage),
            *use.beside.weights(spec, layout, stage, layers_here=held_layers(spec, layout, stage)),
        ),
        caches=tuple(caches),
        prefill=(
            *(counted.lines(mine) if own else working_lines(spec, layout, chunk, samples=last)),
            *kept,
        ),
        decode=(
            *(counted.lines(mine) if own else working_lines(spec, layout, step, samples=last)),
            *kept,
        ),
        encode=images,
        runtime_bytes=counted.runtime,
    )


def _images(
    spec: ModelSpec,
    layout: Layout,
    use: Use,
    stage: int,
) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Lines of a pass over images, and of outputs kept beside other steps, on the first stage."""
    if spec.encoder is None or "vision" not in use.parts or stage:
        return (), ()
    budget = encoder_budget(
        spec.encoder, tokens=use.chunk, sequences=use.batch, context=use.context
    )
    passed, kept = image_lines(spec, budget, layout.tp, PassShape(0, 0, 0).width)
    return tuple(passed), tuple(kept)


def _cache_name(cache: CacheClass) -> str:
    """The kind, with what tells classes of one kind apart: cache-kv-window-128."""
    window = f"-window-{cache.window}" if cache.window else ""
    return f"cache-{cache.kind}{window}" + (f"-of-{cache.ratio}" if cache.ratio > 1 else "")


def _cache_basis(cache: CacheClass) -> str:
    if cache.kind.endswith("state"):
        return f"{len(cache.layers)} layers, a fixed state a sequence"
    often = "every token" if cache.ratio == 1 else f"every {cache.ratio} tokens"
    window = f", the last {cache.window}" if cache.window else ""
    return f"{len(cache.layers)} layers, {cache.entry_bytes} B for {often}{window}"


def _part(spec: ModelSpec, layout: Layout, format_of: FormatOf, part: str) -> list[Line]:
    """What loading ``part`` too would take on the stage that has it."""
    size = max(
        total(rank_weights(spec, layout, Loading(parts=(part,)), format_of, stage))
        for stage in (0, layout.pp - 1)
    )
    return [Line(part, size, "in the checkpoint, not loaded")] if size else []


def runtime_basis(device: DeviceProfile) -> Text:
    """Where the runtime's figure is from."""
    return runtime_of(device).source
