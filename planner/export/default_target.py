"""Which format a plan is exported in where none is named: that of its engine, or none at all where
the engine is given the release or a public checkpoint of it."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.errors import UnknownNameError, UnsupportedError
from planner.export.launch import COMMANDS
from planner.export.serve_line import GGUF, WeightsOfPlan, weights_of
from planner.export.targets import TARGETS
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, engine_names, parse_engine
from planner.models.spec import ModelSpec
from planner.planning.answer.servability import SERVABLE, ServingVerdict, status_of, verdicts
from planner.planning.engines.rules import containers
from planner.planning.plan.record import Plan
from planner.throughput.calibration import ANY_ENGINE

RELEASED = "release"
"""The target of weights that need not be made."""


def chosen(
    plan: Plan, spec: ModelSpec, device: DeviceProfile, to: str, engine: str, formats: Sequence[str]
) -> tuple[str, str]:
    """(target, engine) of an export: ``to`` is one of ``formats``, an engine, or empty for the
    plan's engine.

    Raises:
        UnknownNameError: ``to`` is neither.
        UnsupportedError: the engine does not serve the plan, or none is named and the plan is
        theory; the hint names those that do.
    """
    if to in formats and to != plan.engine.name:
        return to, engine
    if to and to not in (*formats, *engine_names()):
        raise UnknownNameError("export target", to[:80], (*formats, *engine_names()))
    named = _named(plan, to, engine)
    if named is None:
        raise UnsupportedError(
            f"{plan.model.id}: no engine is named, and the plan is for any",
            hint=_serving(plan, spec, device),
        )
    verdict = verdicts(
        spec, device, plan.units, plan.layout, (named.address,), container=_priced_as(plan, named)
    )[0]
    if verdict.status != "yes":
        raise UnsupportedError(
            f"{named.label}: {_against(verdict)}", hint=_serving(plan, spec, device, but=named.name)
        )
    if weights_of(plan, named, device, spec).made in ("release", "given", "loading"):
        return RELEASED, named.address
    container = verdict.container or containers(named)[0]
    if container not in TARGETS:
        raise UnsupportedError(
            f"{named.label}: no writer makes weights in the format {container}",
            hint="--new-weights no takes weights that are published alone",
        )
    return TARGETS[container], named.address


def _priced_as(plan: Plan, engine: Engine) -> str:
    """The checkpoint format that the plan names for ``engine``, whose kernels it is priced with;
    else the one whose weights a script of the export makes."""
    said = next((a.value for a in plan.assumptions if a.key == SERVABLE + engine.name), "")
    return status_of(said)[1] or "compressed-tensors"


def _named(plan: Plan, to: str, engine: str) -> Engine | None:
    """The engine of an export: what is named, else the plan's; None where that is any."""
    own = plan.engine.name
    engine_name = engine if engine not in ("", ANY_ENGINE) else to or own
    if engine_name == ANY_ENGINE:
        return None
    version = f"@{plan.engine.version}" if engine_name == own and plan.engine.version else ""
    return parse_engine(engine_name + version)


def _against(verdict: ServingVerdict) -> str:
    words = "does not serve it" if verdict.status == "no" else "no source says that it serves it"
    return f"{words}: {verdict.reason}"


def _serving(plan: Plan, spec: ModelSpec, device: DeviceProfile, but: str = "") -> str:
    """The hint: engines that serve the plan, by a command that is known."""
    able = [
        verdict.engine
        for verdict in verdicts(spec, device, plan.units, plan.layout)
        if verdict.status == "yes"
        and verdict.engine != but
        and parse_engine(verdict.engine).name in COMMANDS
    ]
    if able:
        return "served by " + ", ".join(able) + f": --to {able[0]}"
    return (
        "no engine is known to serve it: plan with --engine auto; or write a format by name "
        "with --engine any"
    )


def release_steps(weights: WeightsOfPlan, engine: Engine) -> tuple[str, ...]:
    """How the release is served, or made ready for ``engine``."""
    if engine.name == "llama.cpp" and weights.place == GGUF:
        return (
            f"Convert the release: `convert_hf_to_gguf.py MODEL --outfile {weights.place}`; "
            "its types stay.",
        )
    if weights.made == "given":
        return ("Nothing is to be made: the file is served as it is.",)
    if engine.name == "pytorch":
        return (
            f'`AutoModelForCausalLM.from_pretrained("{weights.place}", dtype="auto", '
            'device_map="auto")` of transformers loads the release as it is.',
        )
    if weights.flags:
        return (
            f"Nothing is to be made: {' '.join(weights.flags)} quantises the release while it "
            f"is loaded. `--to compressed-tensors` writes a recipe instead.",
        )
    return ("Nothing is to be made: the release is served as it is.",)
