"""The one shell command that serves a plan on its engine, from the plan's record alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from planner.base.errors import PlannerError
from planner.base.records import record
from planner.export.launch import SERVERS, command
from planner.export.release import bundled_release, given_file, hub_release, is_as_released
from planner.export.serving_facts import layout_of
from planner.export.trtllm import CHECKPOINT, OPTIONS
from planner.formats.stored_schemes import MLX
from planner.hardware.catalog import is_device, resolve_device
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.messages.message import Text, message
from planner.models.catalog import bundled_model, named_repository
from planner.models.spec import ModelSpec
from planner.planning.answer.servability import SERVABLE, status_of
from planner.planning.engines.checkpoints import (
    checkpoint_of,
    made_while_loading,
    named_checkpoint,
)
from planner.planning.engines.published import converted_releases
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.checkpoint_units import in_checkpoint
from planner.planning.plan.record import Plan
from planner.throughput.calibration import ANY_ENGINE

if TYPE_CHECKING:
    from planner.export.nodes import NodeCommand

MODEL, GGUF = "MODEL", "OUT.gguf"
"""Stand for the folder of a model that is not bundled, and for its file in llama.cpp's format."""


@record
class ServeLine:
    """``words`` of the command for one replica, none where ``engine`` has none (``notes`` say
    why); ``notes``: what the command cannot say. ``nodes``: what each node runs, where one is not
    enough; the addresses of nodes are NODE0, NODE1, … in it."""

    words: tuple[str, ...]
    engine: str
    notes: tuple[str, ...]
    nodes: tuple[NodeCommand, ...] = ()


def serving_command(plan: Plan) -> ServeLine:
    """The command that serves ``plan`` on its engine with its layout, batch, caches and prefill
    chunk.

    The checkpoint is the model's public name where the plan is as released or made while loading,
    the repository of a public release of its schemes where one is known, else ``CHECKPOINT``, the
    folder that the steps of `plan export` make.
    """
    plan, name = in_checkpoint(plan), plan.engine.name
    if name == ANY_ENGINE:
        return ServeLine(
            (),
            name,
            (message("reasons.no_engine_serves_it_engine"),),
        )
    refused = next(
        (a for a in plan.assumptions if a.key == SERVABLE + name and status_of(a.value)[0] == "no"),
        None,
    )
    if refused is not None:
        why = message("reasons.does_not_serve_it", e=name, reason=refused.reason)
        return ServeLine((), name, (why,))
    if name not in SERVERS:
        return ServeLine(
            (),
            name,
            (message("reasons.is_library_plan_export_writes", e=name),),
        )
    try:
        engine = parse_engine(f"{name}@{plan.engine.version or ''}".rstrip("@"))
    except PlannerError as error:
        return ServeLine((), name, (str(error),))
    device = resolve_device(plan.device.id) if is_device(plan.device.id) else None
    weights = weights_of(plan, engine, device)
    words, unsaid = command(engine, weights.container, plan, device)
    more = weights.notes
    if OPTIONS in words:
        more = (
            *more,
            message("reasons.plan_export_writes_it_cache", options=OPTIONS),
        )
    placed = words_at(words, weights)
    nodes, apart = on_nodes(plan, engine, device, placed)
    return ServeLine(placed, name, (*more, *unsaid, *apart), nodes)


def on_nodes(
    plan: Plan, engine: Engine, device: DeviceProfile | None, words: Sequence[str]
) -> tuple[tuple[NodeCommand, ...], list[Text]]:
    """(what each node runs, what they cannot say) where one replica is wider than a node of
    ``device``; nothing where it is not, or the device is not at hand."""
    layout = layout_of(plan)
    if device is None or layout.ranks <= device.devices_per_node:
        return (), []
    from planner.export.nodes import node_commands, node_count

    return node_commands(engine, words, layout, node_count(layout, device.devices_per_node))


@record
class WeightsOfPlan:
    """``made`` tells where weights come from: ``release``, ``given`` (the file that the plan was
    made for), ``loading`` (the engine quantises the release, by ``flags``), ``ready`` (a public
    release of the schemes, in the format ``container``), or ``new``. ``place`` stands for the
    checkpoint in a command."""

    made: Literal["release", "given", "loading", "ready", "new"]
    place: str
    flags: tuple[str, ...] = ()
    notes: tuple[Text, ...] = ()
    container: str = ""


def weights_of(
    plan: Plan, engine: Engine, device: DeviceProfile | None, spec: ModelSpec | None = None
) -> WeightsOfPlan:
    """Where the weights of ``plan`` come from on ``engine``; a checkpoint that its recommendation
    names goes first, then what needs none.

    ``device`` and ``spec`` are the plan's own, None where they are files that are not at hand.
    """
    spec = spec or bundled_release(plan)
    own = _own_name(plan, spec)
    note = () if own != MODEL else (message("reasons.folder_of", model=MODEL, m=plan.model.id),)
    gguf = engine.name == "llama.cpp"
    at_hub = hub_release(plan)
    file = given_file(plan) if own == MODEL or at_hub else ""
    if is_as_released(plan, spec):
        if gguf and file:
            return WeightsOfPlan("release" if at_hub else "given", file)
        if gguf and own != MODEL and plan.model.id in converted_releases():
            return WeightsOfPlan("release", converted_releases()[plan.model.id])
        if gguf:
            return WeightsOfPlan(
                "release",
                GGUF,
                (),
                (message("reasons.made_by_convert_hf_to", draft_gguf=GGUF, made=own), *note),
            )
        return WeightsOfPlan("release", own, (), note)
    units = [(u.matrix, u.layers, u.scheme) for u in plan.units if u.kv_layout is None]
    said = "" if plan.recommendation is None else plan.recommendation.checkpoint
    if spec is not None and device is not None:
        made = made_while_loading(spec, device, engine, units)
        if made is not None and not said and made.command.startswith("--"):
            return WeightsOfPlan(
                "loading", own, tuple(made.command.split()), (*note, *filter(None, (made.note,)))
            )
        ready = checkpoint_of(
            spec,
            device,
            engine,
            units,
            sorted({u.kv_layout for u in plan.units if u.kv_layout is not None}),
            named=said,
        )
        if ready is not None and said in ("", ready.repository):
            return WeightsOfPlan("ready", ready.repository, (), ready.differences, ready.container)
    if said:
        return WeightsOfPlan("ready", said)
    where = GGUF if gguf else CHECKPOINT
    if engine.name == "mlx":
        return WeightsOfPlan("new", where, (), (_mlx_convert(plan, where, own),))
    if gguf and file:
        plain = plan.model.checkpoint_format in PLAIN
        name = "reasons.new_file_from" if plain else "reasons.new_file_from_quantised"
        return WeightsOfPlan("new", where, (), (message(name, where=where, file=file),))
    made_by = message("reasons.new_weights_by_steps_of", where=where)
    return WeightsOfPlan("new", where, (), (made_by,))


def _mlx_convert(plan: Plan, where: str, model: str) -> Text:
    """How MLX's own converter makes the weights: one command where every matrix that it quantises
    has one format."""
    kept = {"norm", "router", "indexer", "compressor"}
    schemes = {u.scheme for u in plan.units if u.kv_layout is None and u.kind not in kept}
    if len(schemes) != 1:
        return message("reasons.mlx_convert_by_matrix", where=where)
    (scheme,) = schemes
    bits, _, group = scheme.removeprefix(MLX).partition("bit-g")
    if not group:
        return message("reasons.mlx_convert_mode", where=where, model=model, mode=bits)
    return message("reasons.mlx_convert", where=where, model=model, bits=bits, group=group)


def _own_name(plan: Plan, spec: ModelSpec | None) -> str:
    """The public name of the plan's model: of the checkpoint that was named where it is another of
    the same structure, which a plan file says and the catalogue of models must know."""
    if spec is None or spec.source_kind == "file":
        return hub_release(plan) or MODEL
    other = named_checkpoint((item.reason for item in plan.assumptions), "another")
    known = other and named_repository(other) == other and bundled_model(other).id == spec.id
    return other if known else spec.public_name


def words_at(words: list[str], weights: WeightsOfPlan) -> tuple[str, ...]:
    """The words of a command with its checkpoint in place, and what makes it while loading."""
    return (*_placed(words, weights), *weights.flags)


def _placed(words: list[str], weights: WeightsOfPlan) -> list[str]:
    """``words`` with the checkpoint in its place; llama.cpp takes a repository by another flag."""
    place = weights.place
    if "llama-server" in words and place != GGUF and weights.made != "given":
        at = words.index("-m")
        return [*words[:at], "-hf", place, *words[at + 2 :]]
    return [place if word in (CHECKPOINT, GGUF) else word for word in words]
