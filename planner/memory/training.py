"""Bytes of a training step by pipeline stage and component, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from planner.base.display import as_frame, as_table, as_text, with_former_methods
from planner.hardware.profile import DeviceProfile
from planner.memory.footprint import runtime_of
from planner.memory.training_activations import Saved, after_recompute, layer_tensors, rank_tokens
from planner.memory.training_setup import LossScaling, TrainLayout, TrainSetup
from planner.memory.training_states import chunk_layers, rank_states, stage_layers
from planner.messages.message import Note
from planner.messages.stored import stored_notes
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout, layout_problem

if TYPE_CHECKING:
    import pandas as pd

COMPONENTS = (
    "weights",
    "gradients",
    "master",
    "moments",
    "buffers",
    "activations",
    "recompute",
    "runtime",
)
MAX_DEVICES = 1 << 20


@dataclass(frozen=True, slots=True)
class TrainingStage:
    """Bytes of every rank of one pipeline stage [B], and the parameters it holds."""

    stage: int
    weights: int
    gradients: int
    master: int
    moments: int
    buffers: int
    activations: int
    recompute: int
    runtime: int
    dense_parameters: int
    expert_parameters: int
    trained_parameters: int

    @property
    def total(self) -> int:
        """Bytes of one rank of the stage."""
        return sum(int(getattr(self, name)) for name in COMPONENTS)

    @property
    def largest(self) -> str:
        """The component with most bytes."""
        return max(COMPONENTS, key=lambda name: int(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class FittingChange:
    """A change of the question after which it fits: flags in words, and the bytes then."""

    flags: str
    total_bytes: int


@dataclass(frozen=True, slots=True)
class LayerActivation:
    """One saved tensor of a layer: ``bytes`` of one micro-batch on one rank, kept or remade."""

    layer: int
    name: str
    bytes: int
    kept: bool


@with_former_methods
@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """The answer of ``train``: every stage, the fullest one, and what to change if it is too full.

    ``parameters`` counts the main model once, ``trained`` what the optimizer updates.
    ``usable_bytes`` is what one device offers. ``change`` is None where it fits, or where no
    change of the flags tried is enough.
    """

    model: str
    device: str
    layout: TrainLayout
    setup: TrainSetup
    parameters: int
    trained: int
    stages: tuple[TrainingStage, ...]
    usable_bytes: int
    change: FittingChange | None
    layer: tuple[LayerActivation, ...]
    loss_scaling: LossScaling | None
    assumptions: tuple[Note, ...]

    @property
    def fullest(self) -> TrainingStage:
        """The stage whose ranks hold most; the first of equals."""
        return max(self.stages, key=lambda s: (s.total, -s.stage))

    @property
    def fits(self) -> bool:
        return self.fullest.total <= self.usable_bytes

    def to_frame(self) -> pd.DataFrame:
        """One row a pipeline stage: bytes of each component on one device."""
        return as_frame(
            [
                {
                    "stage": s.stage,
                    **{f"{name}_bytes": int(getattr(s, name)) for name in COMPONENTS},
                    "total_bytes": s.total,
                }
                for s in self.stages
            ]
        )

    __str__ = as_text

    def _repr_html_(self) -> str:
        return as_table(self.to_frame())

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON values, keys in reading order: bytes are whole integers and count one
        device, ``memory_per_device`` is the fullest stage's."""
        layout, setup, fullest = self.layout, self.setup, self.fullest
        return {
            "schema_version": "1",
            "model": {
                "id": self.model,
                "parameters_total": self.parameters,
                "parameters_trained": self.trained,
            },
            "device": {"id": self.device, "count": layout.devices},
            "layout": {
                "tp": layout.tp,
                "cp": layout.cp,
                "pp": layout.pp,
                "dp": layout.dp,
                "ep": layout.ep,
                "etp": layout.etp,
                "virtual_stages": layout.chunks,
                "first_stage_layers": layout.first or None,
                "last_stage_layers": layout.last or None,
                "dense_shards": layout.dense_shards,
                "expert_shards": layout.expert_shards,
            },
            "recipe": {
                "id": setup.recipe.id,
                "source": setup.recipe.source,
                "mode": setup.mode,
                "lora_rank": setup.lora_rank,
                "lora_kinds": sorted(setup.lora_kinds),
                "gradient_bytes_per_parameter": setup.recipe.gradient,
                "master_bytes_per_parameter": setup.recipe.master,
                "moments_bytes_per_parameter": setup.recipe.moments,
            },
            "settings": {
                "zero": setup.zero,
                "sequence_parallel": setup.sequence_parallel,
                "recompute": setup.recompute,
                "seq": setup.seq,
                "micro_batch": setup.micro_batch,
                "micro_batches": setup.micro_batches,
                "attention": setup.kernel,
                "dropout": setup.dropout,
            },
            "memory_per_device": {
                **_components(fullest),
                "total_bytes": fullest.total,
                "usable_bytes": self.usable_bytes,
            },
            "fits": self.fits,
            "fullest_stage": fullest.stage,
            "largest_component": fullest.largest,
            "change": asdict(self.change) if self.change is not None else None,
            "stages": [
                {
                    "stage": s.stage,
                    **_components(s),
                    "total_bytes": s.total,
                    "dense_parameters": s.dense_parameters,
                    "expert_parameters": s.expert_parameters,
                    "trained_parameters": s.trained_parameters,
                }
                for s in self.stages
            ],
            "layer_activations": [asdict(t) for t in self.layer],
            "loss_scaling": asdict(self.loss_scaling) if self.loss_scaling is not None else None,
            "assumptions": stored_notes(self.assumptions),
        }


def _components(stage: TrainingStage) -> dict[str, int]:
    return {f"{name}_bytes": int(getattr(stage, name)) for name in COMPONENTS}


def train_problem(spec: ModelSpec, layout: TrainLayout, setup: TrainSetup) -> str:
    """Why ``layout`` and ``setup`` cannot train ``spec``; an empty string if they can."""
    if layout.devices > MAX_DEVICES:
        return f"{layout.devices} devices; at most {MAX_DEVICES} are modelled"
    parts = layout.pp * layout.chunks
    if parts > spec.layers:
        return f"pp · virtual stages = {parts} exceeds the {spec.layers} layers of {spec.id}"
    if layout.chunks > 1 and layout.pp == 1:
        return f"{layout.chunks} virtual stages need more than one pipeline stage"
    if layout.first or layout.last:
        uneven = _uneven_problem(spec.layers, layout)
        if uneven:
            return uneven
    problem = str(layout_problem(spec, Layout(tp=layout.tp, ep=1)))
    moe_width = problem.startswith("MoE tensor parallel")
    return (
        (problem if problem and not moe_width else "")
        or _expert_problem(spec, layout, setup)
        or _sequence_problem(layout, setup)
    )


def _uneven_problem(layers: int, layout: TrainLayout) -> str:
    """Why the stated layers of the first and last stage cannot be; empty if they can."""
    if layout.pp == 1:
        return "layers of the first and last stage need more than one pipeline stage (pp)"
    left = layers - layout.first - layout.last
    middle = layout.pp - bool(layout.first) - bool(layout.last)
    if left < middle or (left and not middle):
        return (
            f"first and last stage hold {layout.first + layout.last} of {layers} layers, and "
            f"{middle} stages between them the other {max(left, 0)}"
        )
    if middle and left % middle:
        return f"{left} layers are left for {middle} stages, which they do not divide by"
    if any(size % layout.chunks for size in stage_layers(layers, layout)):
        return f"{layout.chunks} virtual stages do not divide the layers of every stage"
    return ""


def _expert_problem(spec: ModelSpec, layout: TrainLayout, setup: TrainSetup) -> str:
    experts = spec.experts
    if experts is None:
        return f"{spec.id} has no experts; ep is 1" if layout.ep * layout.etp > 1 else ""
    if experts.count % layout.ep:
        return f"ep {layout.ep} does not divide the {experts.count} experts"
    if experts.width % layout.etp:
        return f"etp {layout.etp} does not divide the expert width {experts.width}"
    ranks = layout.tp * layout.cp * layout.dp
    if ranks % (layout.ep * layout.etp):
        return f"ep · etp = {layout.ep * layout.etp} does not divide tp · cp · dp = {ranks}"
    if layout.tp > 1 and not setup.sequence_parallel and (layout.ep > 1 or layout.etp != layout.tp):
        return "experts under tensor parallelism dispatch their own part of the sequence"
    return ""


def _sequence_problem(layout: TrainLayout, setup: TrainSetup) -> str:
    if setup.seq % layout.cp:
        return f"cp {layout.cp} does not divide {setup.seq} tokens"
    if setup.sequence_parallel and setup.seq // layout.cp % layout.tp:
        return f"tp {layout.tp} does not divide the {setup.seq // layout.cp} tokens of a rank"
    if layout.chunks > 1 and setup.micro_batches is not None and setup.micro_batches % layout.pp:
        return (
            f"pp {layout.pp} does not divide {setup.micro_batches} micro-batches "
            "(interleaved schedule)"
        )
    return ""


def stage_memory(
    spec: ModelSpec, layout: TrainLayout, setup: TrainSetup, stage: int, runtime: int
) -> TrainingStage:
    """Bytes of a rank of pipeline stage ``stage``; ``runtime`` [B] is added as it is."""
    states = rank_states(spec, layout, setup, stage)
    activations = rank_activations(spec, layout, setup, stage)
    return TrainingStage(
        stage=stage,
        weights=states.weights,
        gradients=states.gradients,
        master=states.master,
        moments=states.moments,
        buffers=states.buffers,
        activations=activations.kept,
        recompute=activations.recomputed,
        runtime=runtime,
        dense_parameters=states.dense_parameters,
        expert_parameters=states.expert_parameters,
        trained_parameters=states.trained_parameters,
    )


def stages_of(
    spec: ModelSpec,
    device: DeviceProfile,
    layout: TrainLayout,
    setup: TrainSetup,
) -> tuple[TrainingStage, ...]:
    """Every pipeline stage on ``device``."""
    kept = runtime_of(device)
    runtime = kept.context_bytes + (kept.collective_bytes if layout.devices > 1 else 0)
    return tuple(stage_memory(spec, layout, setup, stage, runtime) for stage in range(layout.pp))


def layer_breakdown(
    spec: ModelSpec,
    layout: TrainLayout,
    setup: TrainSetup,
) -> tuple[LayerActivation, ...]:
    """The tensors of the last layer, which is of the kind most layers are."""
    layer, tokens = spec.layers - 1, rank_tokens(layout, setup)
    dropped = setup.recipe.selective if setup.recompute == "selective" else frozenset()

    def is_kept(tensor: Saved) -> bool:
        return setup.recompute != "full" and tensor.group not in dropped

    return tuple(
        LayerActivation(layer, t.name, t.bytes_of(tokens, setup.recipe), is_kept(t))
        for t in layer_tensors(spec, layout, setup, layer)
    )


def in_flight(layout: TrainLayout, setup: TrainSetup, stage: int) -> tuple[int, ...]:
    """Micro-batches whose activations each chunk of rank ``stage`` keeps at the peak.

    One-forward-one-backward: min(m, pp − stage). Interleaved over v chunks: v·pp + pp − 1 − 2·stage
    chunk passes, handed out pp at a time (Narayanan et al., arXiv 2104.04473; the first rank's is
    the factor 1 + (p − 1)/(p·v) of Korthikanti, section 4.2.3).
    """
    m = setup.micro_batches
    if layout.chunks == 1:
        depth = layout.pp - stage
        return (depth if m is None else min(m, depth),)
    total = layout.chunks * layout.pp + layout.pp - 1 - 2 * stage
    total = total if m is None else min(total, m * layout.chunks)
    counts = [0] * layout.chunks
    for done in range(total):
        counts[done // layout.pp % layout.chunks] += 1
    return tuple(counts)


@dataclass(frozen=True, slots=True)
class Activations:
    """Bytes of one rank: kept to the backward pass, and made again for the layer at work [B]."""

    kept: int
    recomputed: int


def _ends(
    spec: ModelSpec, layout: TrainLayout, setup: TrainSetup, stage: int, flights: tuple[int, ...]
) -> Iterator[tuple[Saved, int]]:
    """Embedding dropout on the first stage; final norm, head input and FP32 logits on the last."""
    shared = layout.tp if setup.sequence_parallel else 1
    if stage == 0 and setup.dropout:
        yield Saved("embedding dropout mask", "mask", spec.hidden_size, shared), flights[0]
    if stage == layout.pp - 1:
        yield Saved("final norm input", "activation", spec.hidden_size, shared), 1
        if setup.mode == "full":
            yield Saved("head input", "activation", spec.hidden_size, shared), 1
        yield Saved("logits", "statistic", spec.vocab_size, layout.tp), 1


def rank_activations(
    spec: ModelSpec,
    layout: TrainLayout,
    setup: TrainSetup,
    stage: int,
) -> Activations:
    """Activations of a rank of pipeline stage ``stage`` at its peak."""
    tokens, recipe = rank_tokens(layout, setup), setup.recipe
    total, again = 0, 0
    sizes: dict[tuple[Saved, ...], tuple[int, int]] = {}
    flights = in_flight(layout, setup, stage)
    for layers, passes in zip(chunk_layers(spec, layout, stage), flights, strict=True):
        for layer in layers:
            every = layer_tensors(spec, layout, setup, layer)
            if every not in sizes:
                left = after_recompute(every, spec, layout, setup)
                size = sum(t.bytes_of(tokens, recipe) for t in left)
                full = sum(t.bytes_of(tokens, recipe) for t in every)
                dropped = full if setup.recompute == "full" else full - size
                sizes[every] = size, dropped
            total += sizes[every][0] * passes
            again = max(again, sizes[every][1])
    for item, passes in _ends(spec, layout, setup, stage, flights):
        total += item.bytes_of(tokens, recipe) * passes
    return Activations(total, again)
