"""``planner.train``: names and defaults of a training question, resolved to exact records."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TypeVar

from planner.base.errors import InputError, UnsupportedError
from planner.base.typed import typed
from planner.hardware.profile import DeviceProfile
from planner.memory.footprint import runtime_of
from planner.memory.training import (
    TrainingMemory,
    layer_breakdown,
    stages_of,
    train_problem,
)
from planner.memory.training_activations import CHUNK, COMPRESSED, MAMBA_CHUNK
from planner.memory.training_advice import smallest_change
from planner.memory.training_setup import (
    KERNELS,
    MODES,
    RECOMPUTE,
    TrainLayout,
    TrainSetup,
    loss_scaling,
)
from planner.memory.training_setup import recipe as recipe_by_id
from planner.memory.training_states import ATTENTION_KINDS, trainable_rows
from planner.memory.usable import usable_memory
from planner.messages.message import Note, message
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS

T = TypeVar("T")
LORA_TARGETS = {"linear": frozenset(PLANNED_KINDS), "attention": frozenset(ATTENTION_KINDS)}
_HINTS = (
    (
        "first and last stage",
        "choose --first-stage-layers and --last-stage-layers that leave the others their part",
    ),
    ("are left for", "choose layers that leave a multiple"),
    ("experts under tensor", "add --sequence-parallel"),
    ("heads", "choose a smaller --tp"),
    ("virtual", "leave out --virtual-stages, or raise --pp"),
    ("layers", "lower --pp"),
)


@typed
def train(
    model: str | ModelSpec,
    device: str | DeviceProfile,
    *,
    devices: int | None = None,
    tp: int = 1,
    pp: int = 1,
    dp: int | None = None,
    ep: int = 1,
    cp: int = 1,
    etp: int | None = None,
    virtual_stages: int = 1,
    first_stage_layers: int | None = None,
    last_stage_layers: int | None = None,
    recipe: str = "bf16",
    mode: str = "full",
    lora_rank: int | None = None,
    lora_targets: str = "linear",
    fp32_gradients: bool = False,
    zero: int = 0,
    sequence_parallel: bool = False,
    recompute: str = "none",
    seq: int | None = None,
    micro_batch: int = 1,
    global_batch: int | None = None,
    attention: str = "flash",
    dropout: bool = False,
    loss_scale: int = 65536,
    memory_bytes: int | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> TrainingMemory:
    """Bytes of one training step of ``model`` on every pipeline stage of ``device``.

    Of ``devices`` and ``dp`` one follows from the other. ``etp`` (tensor parallel inside an
    expert) is ``tp`` unless given, ``first_stage_layers`` and ``last_stage_layers`` are those of
    the stages that hold the embedding and the head, ``seq`` [tokens] min(4096, the model's
    maximum). ``micro_batch``
    and ``global_batch`` count samples; without the latter the pipeline is taken as full.
    ``fp32_gradients`` accumulates the gradients of a 16-bit recipe in FP32.

    Raises:
        InputError: a value out of range, names that are unknown, sizes that do not divide.
        UnsupportedError: the model has layers whose activations in training are not modelled, or
            the device lacks the recipe's format.
    """
    from planner.lookup import load_device, load_model

    spec, target = load_model(model), load_device(device, hardware_dir=hardware_dir)
    layout = _layout(
        spec,
        devices,
        dp,
        TrainLayout(
            tp=_positive("tp", tp),
            cp=_positive("cp", cp),
            pp=_positive("pp", pp),
            dp=1,
            ep=_positive("ep", ep),
            chunks=_positive("virtual_stages", virtual_stages),
            etp=_positive("etp", etp if etp is not None else (tp if spec.experts else 1)),
            first=_stated("first_stage_layers", first_stage_layers),
            last=_stated("last_stage_layers", last_stage_layers),
        ),
    )
    setup = TrainSetup(
        recipe=recipe_by_id(recipe),
        mode=_one_of("mode", mode, MODES),
        zero=_one_of("zero", zero, (0, 1, 2, 3)),
        seq=_sequence(spec, seq),
        micro_batch=_positive("micro_batch", micro_batch),
        recompute=_one_of("recompute", recompute, RECOMPUTE),
        sequence_parallel=sequence_parallel,
        kernel=_one_of("attention", attention, KERNELS),
        dropout=dropout,
        micro_batches=_micro_batches(layout, micro_batch, global_batch),
    )
    if setup.recipe.id.startswith("fp8") and target.rate("fp8") is None:
        raise UnsupportedError(
            f"{target.id} does not multiply FP8, which {recipe} trains in", hint="--recipe bf16"
        )
    setup = _with_gradients(_with_lora(setup, lora_rank, lora_targets), fp32_gradients)
    problem = train_problem(spec, layout, setup)
    if problem:
        raise InputError(
            problem,
            hint=next((h for word, h in _HINTS if word in problem), "choose sizes that divide"),
        )
    return _answer(spec, target, layout, setup, loss_scale, memory_bytes)


def _answer(
    spec: ModelSpec,
    device: DeviceProfile,
    layout: TrainLayout,
    setup: TrainSetup,
    loss_scale: int,
    memory_bytes: int | None,
) -> TrainingMemory:
    usable = usable_memory(device).bytes if memory_bytes is None else memory_bytes
    stages = stages_of(spec, device, layout, setup)
    rows = list(trainable_rows(spec, setup))
    fits = max(stage.total for stage in stages) <= usable
    scaled = setup.recipe.loss_scaled
    return TrainingMemory(
        model=spec.id,
        device=device.id,
        layout=layout,
        setup=setup,
        parameters=sum(
            r.elements * r.copies for r, _ in rows if not r.name.endswith((".lora_a", ".lora_b"))
        ),
        trained=sum(r.elements * r.copies for r, trained in rows if trained),
        stages=stages,
        usable_bytes=usable,
        change=None if fits else smallest_change(spec, device, layout, setup, usable),
        layer=layer_breakdown(spec, layout, setup),
        loss_scaling=loss_scaling(_positive("loss_scale", loss_scale)) if scaled else None,
        assumptions=_assumptions(spec, device, layout, setup, memory_bytes),
    )


def _layout(
    spec: ModelSpec,
    devices: int | None,
    dp: int | None,
    parts: TrainLayout,
) -> TrainLayout:
    inner = parts.devices
    if devices is None and dp is None:
        return parts
    if devices is not None:
        _positive("devices", devices)
        if devices % inner:
            raise InputError(
                f"devices {devices} is not a multiple of tp · cp · pp = {inner}",
                hint=f"for example --devices {-(-devices // inner) * inner}",
            )
        if dp is not None and _positive("dp", dp) * inner != devices:
            raise InputError(
                f"dp {dp} contradicts devices {devices}: tp · cp · pp · dp = {dp * inner}",
                hint="leave one of them out",
            )
        return replace(parts, dp=devices // inner)
    assert dp is not None
    return replace(parts, dp=_positive("dp", dp))


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 40:
        raise InputError(
            f"{name} is {value!r}; it is a whole number of at least 1",
            hint=f"for example --{name.replace('_', '-')} 1",
        )
    return value


def _stated(name: str, value: int | None) -> int:
    return 0 if value is None else _positive(name, value)


def _one_of(name: str, value: object, known: tuple[T, ...]) -> T:
    for candidate in known:
        if value == candidate and not isinstance(value, bool):
            return candidate
    raise InputError(
        f"{name} is {value!r}; it is one of {', '.join(map(str, known))}",
        hint=f"for example --{name} {known[0]}",
    )


def _sequence(spec: ModelSpec, seq: int | None) -> int:
    if seq is None:
        return min(4096, spec.max_context)
    if _positive("seq", seq) > spec.max_context:
        raise InputError(
            f"seq {seq} is longer than the {spec.max_context} tokens of {spec.id}",
            hint=f"at most --seq {spec.max_context}",
        )
    return seq


def _micro_batches(layout: TrainLayout, micro_batch: int, global_batch: int | None) -> int | None:
    if global_batch is None:
        return None
    step = layout.dp * micro_batch
    if _positive("global_batch", global_batch) % step:
        raise InputError(
            f"global_batch {global_batch} is not a multiple of dp · micro_batch = {step}",
            hint=f"for example --global-batch {step * layout.pp}",
        )
    return global_batch // step


def _with_lora(setup: TrainSetup, rank: int | None, targets: str) -> TrainSetup:
    if setup.mode != "lora":
        if rank is not None:
            raise InputError(f"lora_rank {rank} without mode lora", hint="add --mode lora")
        return setup
    kinds = LORA_TARGETS[_one_of("lora-targets", targets, tuple(LORA_TARGETS))]
    return replace(
        setup, lora_rank=_positive("lora_rank", 16 if rank is None else rank), lora_kinds=kinds
    )


def _with_gradients(setup: TrainSetup, fp32: bool) -> TrainSetup:
    return replace(setup, recipe=replace(setup.recipe, gradient=4)) if fp32 else setup


def _assumptions(
    spec: ModelSpec,
    device: DeviceProfile,
    layout: TrainLayout,
    setup: TrainSetup,
    memory_bytes: int | None,
) -> tuple[Note, ...]:
    notes = [
        *spec.remarks,
        Note("states", setup.recipe.id, setup.recipe.source),
        Note("runtime", message("memory.runtime_of_training"), runtime_of(device).source),
        Note(
            "activations",
            message("memory.activations_by_layer"),
            message("memory.activations_source"),
        ),
    ]
    if memory_bytes is None:
        notes.append(
            Note(
                "usable memory",
                message("memory.share_of_capacity", share=f"{device.usable_fraction.value:g}"),
                message("memory.profile_unless_memory_bytes"),
            )
        )
    if layout.pp > 1:
        passes = setup.micro_batches
        notes.append(
            Note(
                "pipeline",
                message("memory.pipeline_full")
                if passes is None
                else message("memory.micro_batches_a_step", count=passes),
                message("memory.interleaved_schedule")
                if layout.chunks > 1
                else message("memory.plain_schedule"),
            )
        )
    if spec.mtp_layers:
        notes.append(
            Note(
                "prediction layers",
                message("memory.not_trained"),
                message("memory.prediction_layers_left_out"),
            )
        )
    rules = {a.rule for a in spec.attention if a.kind == "linear"}
    if "mamba2" in rules:
        notes.append(
            Note(
                "Mamba-2",
                message("memory.chunks_of_tokens", tokens=MAMBA_CHUNK),
                message("memory.mamba_kernel_keeps"),
            )
        )
    if any(a.kind in COMPRESSED for a in spec.attention):
        notes.append(
            Note(
                "compressed attention",
                message("memory.compressed_activations"),
                message("memory.compressed_kernels_not_known"),
            )
        )
    if rules & {"delta", "kda"}:
        notes.append(
            Note(
                "gated delta nets",
                message("memory.chunks_of_tokens", tokens=CHUNK),
                message("memory.delta_rule_keeps"),
            )
        )
    if spec.experts is not None and layout.tp > 1:
        notes.append(
            Note(
                "etp",
                str(layout.etp),
                message("memory.tensor_parallel_in_expert"),
            )
        )
    if setup.mode == "lora":
        notes.append(
            Note(
                "base",
                message("memory.base_frozen", format=setup.recipe.weights),
                message("memory.adapters_of_rank", rank=setup.lora_rank, format=setup.recipe.other),
            )
        )
    return tuple(notes)
