"""What is predicted of each file that `plan verify` runs, at exactly the measured setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from planner.base.errors import PlannerError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.jobs.core_share import LEAST_SHARE
from planner.lab.verifying.learned import (
    LossBasis,
    Schemes,
    schemes_of_plan,
    schemes_of_types,
    schemes_of_uniform,
    shares_of,
)
from planner.lab.verifying.pool import address, pool
from planner.lab.verifying.records import (
    BUSY_FACT,
    DEPTH,
    PLAN,
    Forecast,
    Setting,
    Task,
    Trial,
    depth_of,
)
from planner.lab.verifying.run import Findings, checkpoint_digest
from planner.messages.message import message
from planner.models.gguf_types import with_types
from planner.planning.engines.mixes import mixes_of
from planner.planning.inspect.batch_one import BatchOneRun, price_batch_one, prompt_and_step
from planner.planning.plan.record import Estimate, Plan
from planner.planning.question.importance import KEY
from planner.planning.question.question import LLAMA_CPP
from planner.quality.profile import Profile

CELLS = 256
"""llama.cpp allocates its cache in so many cells."""
COUNTED = 1.005
"""Factor ÷/× of bytes that are counted: what surrounds the tensors in a file."""
LESS = "less was measured than asked for, as the engine's steps take long"


@record
class Prediction:
    """Of one subject: ``values`` by quantity; ``schemes`` of its tensors, None where they are not
    known; ``why`` says what is not predicted."""

    values: Mapping[str, Forecast]
    schemes: Schemes | None
    why: tuple[str, ...] = ()


@record
class Setup:
    """What all predictions of a verification share. ``header_bytes`` is what a file has beside its
    tensors."""

    task: Task
    device: DeviceProfile
    profile: Profile | None
    basis: LossBasis
    loss_band: float
    header_bytes: int


def predict(setup: Setup, subject: Trial, facts: Mapping[str, Any]) -> Prediction:
    """The prediction of a subject; ``facts`` are those that its steps found: ``types`` {tensor:
    ggml type} or ``scheme``, a uniform one ("" as released)."""
    spec = setup.task.spec
    why: list[str] = []
    if subject.role == DEPTH:
        return _at_depth(setup, subject, facts)
    schemes = _schemes(setup, subject, facts)
    try:
        priced = _priced(setup, subject, facts)
        values = _of_plan(setup, priced)
        values |= pool(setup.task, setup.device, facts, priced.memory_per_device.weights_bytes)
    except PlannerError as error:
        values = {}
        why.append(f"{subject.id}: times and bytes are not predicted: {error.message}")
    if schemes is None:
        why.append(
            f"{subject.id}: its loss is not predicted: {setup.task.engine.name} does not "
            "tell its formats"
        )
        return Prediction(values, None, tuple(why))
    shares, unknown = shares_of(setup.basis, schemes)
    if unknown:
        why.append(
            f"{subject.id}: its loss is not predicted: no error is known of {unknown[0]}"
            + (f" and {len(unknown) - 1} more" if unknown[1:] else "")
            + f" of {spec.id}"
        )
        return Prediction(values, schemes, tuple(why))
    loss = setup_loss(setup, math.fsum(shares.values()))
    return Prediction({**values, "kl": loss, **_flips(setup, loss)}, schemes, tuple(why))


def _at_depth(setup: Setup, subject: Trial, facts: Mapping[str, Any]) -> Prediction:
    """Of the plan after more tokens: a token and the cache; all else is as above it."""
    try:
        values = _of_plan(setup, _priced(setup, subject, facts))
    except PlannerError as error:
        return Prediction({}, None, (f"{subject.id}: it is not predicted: {error.message}",))
    kept = ("decode_seconds", "cache_bytes", "cache_tokens")
    return Prediction({name: values[name] for name in kept}, None)


def setup_loss(setup: Setup, total: float) -> Forecast:
    """A loss whose cells sum to ``total`` nats, in the prior's band, with the floor of any change
    and its own: what a plan prints."""
    from planner.quality.floor import NO_FLOOR, UNCHANGED_NATS, floor_with_profile
    from planner.quality.sensitivity.level import saturated

    g, band = setup.basis.prior.saturation, setup.loss_band
    changed = total > UNCHANGED_NATS
    floor = floor_with_profile(setup.task.spec, setup.profile) if changed else NO_FLOOR
    return Forecast(
        floor.value_nats + saturated(total, g),
        floor.low_nats + saturated(total / band, g),
        floor.high_nats + saturated(total * band, g),
        setup.basis.tier,
    )


def _flips(setup: Setup, loss: Forecast) -> dict[str, Forecast]:
    """Flipped tokens by c·√loss, where the profile has c."""
    slope = None if setup.profile is None else setup.profile.flips_per_root_nat
    if slope is None:
        return {}
    value, low, high = (min(1.0, slope * math.sqrt(x)) for x in (loss.value, loss.low, loss.high))
    return {"flips": Forecast(value, low, high, loss.basis)}


def _schemes(setup: Setup, subject: Trial, facts: Mapping[str, Any]) -> Schemes | None:
    if "types" in facts:
        return schemes_of_types(facts["types"])
    if subject.role == PLAN:
        given = setup.task.assignment
        return None if given is None else schemes_of_plan(given)
    if "scheme" in facts:
        return schemes_of_uniform(setup.task.spec, str(facts["scheme"])) if facts["scheme"] else {}
    return None


def _priced(setup: Setup, subject: Trial, facts: Mapping[str, Any]) -> Plan:
    """The subject priced for the device at the measured setting: a prompt, then tokens, alone."""
    task = setup.task
    s = task.setting
    tokens = depth_of(subject) if subject.role == DEPTH else s.prompt_tokens
    how = batch_one_run(setup.device, address(task), replace(s, prompt_tokens=tokens))
    if subject.role in (PLAN, DEPTH):
        return price_batch_one(task.spec, how, plan=task.plan, profile=setup.profile)
    if subject.id in mixes_of(task.engine.name):
        return price_batch_one(task.spec, how, scheme=subject.id)
    if "types" in facts:
        return price_batch_one(with_types(task.spec, facts["types"]), how)
    return price_batch_one(task.spec, how, scheme=str(facts.get("scheme", "")))


def batch_one_run(device: DeviceProfile, engine: str, s: Setting) -> BatchOneRun:
    """A request of ``s`` alone on ``device``; its cache has whole cells."""
    context = -(-(s.prompt_tokens + s.output_tokens) // CELLS) * CELLS
    return BatchOneRun(device, engine, s.prompt_tokens, s.output_tokens, context, s.cache)


def _of_plan(setup: Setup, priced: Plan) -> dict[str, Forecast]:
    """Times and bytes of the bare prompt and the bare step."""
    prompt, step = prompt_and_step(priced)
    weights, cache = (
        priced.memory_per_device.weights_bytes,
        priced.memory_per_device.kv_cache_bytes,
    )
    units = [u for u in priced.units if u.kv_layout is None]
    file = sum(u.weight_bytes for u in units) + setup.header_bytes
    if setup.task.engine.name == LLAMA_CPP:  # its log tells of the host's buffer too
        weights += sum(
            u.weight_bytes - u.weight_bytes_per_device for u in units if u.kind == "embedding"
        )
    return {
        "prefill_seconds": _estimated(prompt),
        "decode_seconds": _estimated(step),
        "file_bytes": Forecast(file, file / COUNTED, file * COUNTED, "counted"),
        "weight_bytes": Forecast(
            weights, weights / COUNTED, weights * 2.0, "counted; what is repacked lies there twice"
        ),
        "cache_bytes": Forecast(cache, cache / COUNTED, cache * COUNTED, "counted"),
        "cache_tokens": Forecast(*(float(priced.workload.context_tokens),) * 3, "counted"),
    }


def _estimated(estimate: Estimate) -> Forecast:
    return Forecast(estimate.value, estimate.low, estimate.high, estimate.basis)


def own_figures(plan: Plan, device: DeviceProfile) -> tuple[str, ...]:
    """What the plan file itself says, where it was made for another device."""
    if plan.device.id == device.id:
        return ()
    step, work = plan.performance.tpot_seconds, plan.workload
    return (
        f"the plan was made for {plan.device.count} × {plan.device.id}: "
        f"{step.value * 1e3:.3g} ms a token at batch {work.batch}, {work.isl} + {work.osl} "
        f"tokens; here it is priced for {device.id}",
    )


def weighed_notes(setup: Setup) -> tuple[str, ...]:
    """A plan whose script passes an importance matrix on, where the losses know nothing of it."""
    known = setup.profile is not None or setup.task.imatrix is not None
    if known or all(a.key != KEY for a in setup.task.plan.assumptions):
        return ()
    return (message("verbs.verify_imatrix"),)


def files_made_of(task: Task, subjects: Sequence[Trial]) -> dict[str, str]:
    """What each file is made of: the checkpoint, and the importance matrix that is given for all,
    or that the plan's script passes on."""
    base = checkpoint_digest(task.checkpoint)
    if task.imatrix is not None:
        return dict.fromkeys((s.id for s in subjects), f"{base} {checkpoint_digest(task.imatrix)}")
    matrix = "".join(f" {a.value}" for a in task.plan.assumptions if a.key == KEY)
    return {s.id: base + (matrix if s.role == PLAN else "") for s in subjects}


def fewer_notes(run: Findings) -> tuple[str, ...]:
    """What was measured less often than asked for, by subject."""
    kinds = ("fewer_runs", "fewer_pieces")
    reasons_by_subject = {
        subject: [str(facts[kind]) for kind in kinds if kind in facts]
        for subject, facts in run.facts.items()
    }
    return tuple(
        f"{subject}: {LESS}: " + "; ".join(words)
        for subject, words in reasons_by_subject.items()
        if words
    )


def busy_notes(run: Findings) -> tuple[str, ...]:
    """A machine that did not give the engine its threads' time: its times say little."""
    shares = [
        float(facts[name])
        for facts in run.facts.values()
        for name in BUSY_FACT.values()
        if name in facts
    ]
    if not shares or 1.0 - max(shares) >= LEAST_SHARE:
        return ()
    low, high = f"{1 - max(shares):.0%}", f"{1 - min(shares):.0%}"
    return (message("verbs.verify_busy", low=low, high=high),)
