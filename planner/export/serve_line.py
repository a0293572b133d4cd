"""The one shell command that serves a plan on its engine, from the plan's record alone."""

from __future__ import annotations

from planner.errors import PlannerError
from planner.export.launch import CHECKPOINT, OPTIONS, SERVERS, command
from planner.export.release import is_as_released, public_name
from planner.export.served import served_of
from planner.hardware.catalog import is_device, resolve_device
from planner.memory.engines.catalog import Engine, parse_engine
from planner.planning.engines.online import FLAG, made_while_loading
from planner.planning.plan.record import Plan
from planner.records import record
from planner.throughput.calibration import ANY_ENGINE

MODEL, GGUF = "MODEL", "OUT.gguf"
"""Stand for the folder of a model that is not bundled, and for its file in llama.cpp's format."""


@record
class ServeLine:
    """``words`` of the command for one replica, none where ``engine`` has none (``notes`` say
    why); ``notes``: what the command cannot say."""

    words: tuple[str, ...]
    engine: str
    notes: tuple[str, ...]


def serving_command(plan: Plan) -> ServeLine:
    """The command that serves ``plan`` on its engine with its layout, batch, caches and prefill
    chunk.

    The checkpoint is the model's public name where the plan is as released or made while loading,
    the repository of a ready-made one where the plan names it, else ``CHECKPOINT``, the folder
    that the steps of `plan export` make.
    """
    name = plan.engine.name
    if name == ANY_ENGINE:
        return ServeLine((), name, ("no engine serves it: engine any is theory; --engine auto, or "
                                    "an engine by name, gives a plan that one serves",))
    refused = next((a for a in plan.assumptions if a.key == f"servable by {name}"
                    and a.value.startswith("no")), None)
    if refused is not None:
        return ServeLine((), name, (f"{name} does not serve it: {refused.reason}",))
    if name not in SERVERS:
        return ServeLine((), name, (f"{name} is a library: `plan export` writes the script that "
                                    "quantises the model",))
    try:
        engine = parse_engine(f"{name}@{plan.engine.version or ''}".rstrip("@"))
    except PlannerError as error:
        return ServeLine((), name, (str(error),))
    place, flag, more = checkpoint(plan, engine)
    words, unsaid = command(engine, "", plan, cpu=_on_cpu(plan))
    if OPTIONS in words:
        more = (*more, f"{OPTIONS}: `plan export` writes it (cache type, attention data "
                "parallelism)")
    return ServeLine((*_placed(words, place), *flag), name, (*more, *unsaid))


def checkpoint(plan: Plan, engine: Engine) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """(what stands for the checkpoint, words of a flag that makes the weights while loading,
    notes) of a plan on ``engine``."""
    said = plan.recommendation
    own = public_name(plan) or MODEL
    note = () if own != MODEL else (f"{MODEL}: the folder of {plan.model.id}",)
    if is_as_released(plan):
        if engine.name == "llama.cpp":
            return GGUF, (), (f"{GGUF}: made by `convert_hf_to_gguf.py` from {own}", *note)
        return own, (), note
    if said is not None and said.checkpoint:
        return said.checkpoint, (), ()
    served = served_of(plan)
    made = made_while_loading(engine, plan.model.checkpoint_format, served.used,
                              experts=served.experts)
    if made is not None:
        return own, (FLAG, made.flag), note
    where = GGUF if engine.name == "llama.cpp" else CHECKPOINT
    return where, (), (f"{where}: new weights, by the steps of `plan export`",)


def _placed(words: list[str], place: str) -> list[str]:
    """``words`` with the checkpoint in its place; llama.cpp takes a repository by another flag."""
    if "llama-server" in words and place != GGUF:
        at = words.index("-m")
        return [*words[:at], "-hf", place, *words[at + 2:]]
    return [place if word in (CHECKPOINT, GGUF) else word for word in words]


def _on_cpu(plan: Plan) -> bool:
    """Whether the plan's device is a CPU, as far as its name tells."""
    return is_device(plan.device.id) and resolve_device(plan.device.id).kind == "cpu"
