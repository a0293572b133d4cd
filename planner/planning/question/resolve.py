"""From what was asked (flags, then scenario, then defaults) to an exact :class:`Question`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.base.units import GIB
from planner.hardware.power import at_power_mode, fastest_mode
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Note, joined, message, with_name
from planner.models.plain import plain_type
from planner.models.planned import require_planned
from planner.models.spec import ModelSpec
from planner.placement.parts import stored_apart
from planner.planning.engines.mixes import (
    engine_mixes,
)
from planner.planning.engines.rules import kinds_decided_by_quantiser
from planner.planning.plan.record import Plan
from planner.planning.question.caches import (
    BY_LAYER,
    cache_layouts,
    named_apart,
    named_by_layer,
)
from planner.planning.question.declaring import AUTO
from planner.planning.question.device_notes import device_notes
from planner.planning.question.fp16_fallback import fp16_caches, served_in_fp16
from planner.planning.question.given_values import GivenValues
from planner.planning.question.host_notes import host_notes
from planner.planning.question.importance import importance_note
from planner.planning.question.loss_limit import max_loss
from planner.planning.question.machine import host_devices
from planner.planning.question.named import assignment_named
from planner.planning.question.parameters import LIMITS_ON_TIME
from planner.planning.question.percentile_limits import mean_limit
from planner.planning.question.policies import (
    ONE_TYPE,
    dropped_in,
    dropped_kinds,
    kept_layers,
    one_type_note,
    other_types,
    released_choice,
)
from planner.planning.question.prices import at_known_price
from planner.planning.question.question import OBJECTIVES, Question
from planner.planning.question.scenario import Host, Scenario
from planner.planning.question.scheme_choices import scheme_choices
from planner.planning.question.workload import (
    reserves_context,
    slot_note,
    workload,
    workload_notes,
)
from planner.throughput.calibration import ANY_ENGINE, stacks_of
from planner.throughput.collectives import fabric

if TYPE_CHECKING:
    from planner.models.imatrix import ImportanceMatrix
    from planner.quality.profile import Profile

MAX_COUNT = 1 << 20
NO_PRICE = Note("price", "none", message("assumptions.cost_is_counted_in_device"))
NEW_WEIGHTS = ("auto", "yes", "no")
REQUIRED_CLASSES = ("bf16", "attention-prefill", "attention-decode", "elementwise")


def build_question(
    spec: ModelSpec,
    device: DeviceProfile,
    given_values: GivenValues,
    scenario: Scenario | None,
    *,
    uniform: str | None,
    given: Plan | None,
    profile: Profile | None = None,
    engine: Engine | None = None,
    imatrix: ImportanceMatrix | None = None,
) -> Question:
    """Check every value and fill every default; each default leaves a note.

    ``uniform`` is a scheme to price ("" = as released) or None; ``given`` a plan to price;
    ``profile`` a quality profile that belongs to ``spec``; ``engine`` the server, whose measured
    kernels and share of memory count (what it cannot serve:
    :mod:`planner.planning.question.serving_ways`); ``imatrix`` the importance matrix that ggml's
    types are written with.
    """
    given_values = given_values.with_scenario(scenario)
    uniform = assignment_named(uniform) if uniform is not None else None
    spec, device, halved = served_in_fp16(spec, device)
    _check_numbers(given_values)
    require_planned(spec)
    _check_device(device)

    host = scenario.host if scenario is not None else Host()
    device, power_notes = _powered(
        at_known_price(device, given_values.price, host), host, given_values
    )
    server = engine.name if engine is not None else ANY_ENGINE
    importance_notes = importance_note(spec, given, profile, imatrix)
    work = workload(
        spec.max_context,
        context=given_values.context,
        isl=given_values.isl,
        osl=given_values.osl,
        reserved=reserves_context(given_values.slots, server),
        named=given_values.workload,
        prefix_hit_rate=given_values.prefix_hit_rate,
    )

    searched = uniform is None and given is None
    schemes, refused, scheme_notes = scheme_choices(
        spec, device, given_values, uniform, given, engine, bool(importance_notes)
    )
    kv, cache_notes = cache_layouts(
        spec, device, given_values, by_search=uniform is None, given=given, engine=server
    )
    loss_scheme, loss_limit, loss_notes = (
        max_loss(spec, device, given_values, profile) if searched else (None, None, ())
    )
    left_out = _left_out(spec, given_values, schemes) if searched and engine is None else ()
    schemes = tuple(s for s in schemes if s not in left_out)

    machine = host_devices(spec, device, host, given_values, engine)
    unpriced = given_values.objective == "cost" and machine.price_per_hour is None

    notes = (
        *power_notes,
        *spec.remarks,
        *halved,
        *([] if scenario is None else [Note("scenario", scenario.id, scenario.title)]),
        *importance_notes,
        *workload_notes(work, given_values.workload),
        *slot_note(work, given_values.slots, server),
        *scheme_notes,
        *cache_notes,
        *_capacity_notes(device, host, machine.capacity_bytes),
        *host_notes(device),
        *device_notes(device),
        *loss_notes,
        *([NO_PRICE] if unpriced else []),
        *one_type_note(schemes, left_out),
        *machine.notes,
    )
    return released_choice(
        Question(
            spec=spec,
            device=device,
            workload=work,
            objective=_objective(given_values.objective),
            net=fabric(
                device,
                scale_up_devices=host.scale_up_devices,
                scale_up_bytes_per_s=host.scale_up_bytes_per_s,
                scale_out_bytes_per_s=host.scale_out_bytes_per_s,
                stacks=stacks_of(server),
            ),
            schemes=schemes,
            kv=fp16_caches(kv) if halved else kv,
            refused=refused,
            sizes=machine.sizes,
            devices_given=given_values.devices is not None,
            fixed={k: getattr(given_values, k) for k in ("tp", "dp", "pp", "ep")},
            batch=given_values.batch,
            concurrency=given_values.concurrency,
            capacity_bytes=machine.capacity_bytes,
            usable_bytes=machine.usable.bytes,
            ttft_seconds=mean_limit("ttft_seconds", given_values.ttft_seconds),
            tpot_seconds=mean_limit("tpot_seconds", given_values.tpot_seconds),
            e2e_seconds=mean_limit("e2e_seconds", given_values.e2e_seconds),
            memory_bytes=given_values.memory_bytes,
            file_bytes=given_values.file_bytes,
            loss_scheme=loss_scheme,
            loss_limit=loss_limit,
            profile=profile,
            imatrix=bool(importance_notes),
            untie=given_values.untie and profile is None,
            as_released=uniform == "",
            node_devices=machine.node_devices,
            price_per_hour=machine.price_per_hour,
            requests_per_s=host.requests_per_s,
            notes=notes,
            engine=server,
            engine_version=engine.version_text if engine is not None else "",
            usable=machine.usable,
            kept=_kept_layers(spec, given_values) if searched else (),
            dropped=_kinds_without_rule(spec, device, given_values, given, engine)
            if uniform is None or uniform in engine_mixes()
            else (),
            named=uniform if uniform and (uniform in engine_mixes() or len(schemes) > 1) else "",
            apart=_apart(spec, given, uniform),
            left_out=left_out,
            given_chunk_tokens=given_values.chunk_tokens or 0,
            run_requests=given_values.requests,
            same_lengths=given_values.same_lengths,
            kv_given=given_values.kv not in (None, AUTO),
            kv_apart=_in_server_type(named_apart(given_values.kv or AUTO), bool(halved)),
            kv_of_layer=_in_server_type(
                named_by_layer(spec, given_values.kv or AUTO), bool(halved)
            ),
            kv_by_layer=given_values.kv == BY_LAYER and searched,
            loss_default=searched and given_values.max_loss is None,
            more_sizes=machine.more_sizes,
            min_gain=None if given_values.min_gain is None else given_values.min_gain / 100,
            new_weights=given_values.new_weights or NEW_WEIGHTS[0],
            allow_unmeasured=given_values.allow_unmeasured,
        )
    )


def _in_server_type(layouts: tuple[str, ...], halved: bool) -> tuple[str, ...]:
    """``layouts`` as a server keeps them that runs a BF16 model in FP16 (``halved``)."""
    return tuple(fp16_caches((name,))[0] for name in layouts) if halved else layouts


def _left_out(
    spec: ModelSpec, given_values: GivenValues, schemes: tuple[str, ...]
) -> tuple[str, ...]:
    """Plain types that are no choice of their own beside the one that the model has."""
    return other_types(schemes, plain_type(spec)) if _one_type_holds(given_values) else ()


def _apart(spec: ModelSpec, given: Plan | None, uniform: str | None) -> bool:
    """Whether matrices of a layer that others read as one are decided, or stored, apart."""
    if given is not None:
        return any(u.part for u in given.units)
    return uniform == "" and stored_apart(spec)


def _powered(
    device: DeviceProfile,
    host: Host,
    given_values: GivenValues,
) -> tuple[DeviceProfile, list[Note]]:
    """The device in the power mode that holds, and a note where it has several: the scenario's, the
    plan file's, else the fastest."""
    kept = given_values.power_mode if given_values.power_mode in device.power_modes else None
    mode = host.power_mode or kept
    if mode is not None:
        where = (
            message("assumptions.of_plan_file")
            if host.power_mode is None
            else message("assumptions.set_by_scenario")
        )
        return at_power_mode(device, mode), [Note("power mode", mode, where)]
    fastest = fastest_mode(device)
    if fastest is None:
        return device, []
    return device, [
        Note(
            "power mode",
            fastest,
            message("assumptions.fastest_power_mode", modes=", ".join(device.power_modes)),
        )
    ]


def _one_type_holds(given_values: GivenValues) -> bool:
    """Whether what no format narrows shares a type: unless schemes are named or the rule
    dropped."""
    return given_values.schemes is None and ONE_TYPE not in (given_values.drop_policies or ())


def _kept_layers(spec: ModelSpec, given_values: GivenValues) -> tuple[int, ...]:
    gone = given_values.drop_policies or ()
    first = 0 if "first-layers" in gone else given_values.keep_first_layers or 0
    last = 0 if "last-layers" in gone else given_values.keep_last_layers or 0
    return kept_layers(spec.layers, first, last)


def _kinds_without_rule(
    spec: ModelSpec,
    device: DeviceProfile,
    given_values: GivenValues,
    given: Plan | None,
    engine: Engine | None,
) -> tuple[str, ...]:
    """Kinds that are planned though a rule keeps them: asked for, so in the given plan, or typed by
    the engine's own quantiser as other matrices are, where policies are not named."""
    if given is not None:
        return dropped_in(given, spec, device)
    more = (
        kinds_decided_by_quantiser(engine, device)
        if engine is not None and given_values.policies is None
        else ()
    )
    return dropped_kinds(spec, given_values.policies, (*(given_values.drop_policies or ()), *more))


def _check_numbers(given_values: GivenValues) -> None:
    for name in (
        "devices",
        "tp",
        "dp",
        "pp",
        "ep",
        "context",
        "isl",
        "osl",
        "batch",
        "concurrency",
    ):
        value = getattr(given_values, name)
        limit = MAX_COUNT if name not in ("context", "isl", "osl") else 1 << 40
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_integer and 1 <= value <= limit):
            raise InputError(
                f"{name} = {value!r} is out of range",
                hint=f"{name} is a whole number from 1 to {limit}",
            )
    if given_values.batch is not None and given_values.concurrency is not None:
        raise InputError(
            f"batch {given_values.batch} and concurrency {given_values.concurrency} exclude each "
            "other",
            hint="--batch counts the sequences of one replica, --concurrency the requests in "
            "flight over all replicas: leave one out",
        )
    if given_values.new_weights not in (None, *NEW_WEIGHTS):
        raise UnknownNameError("new-weights", str(given_values.new_weights), NEW_WEIGHTS)
    gain = given_values.min_gain
    if gain is not None and not 0 <= gain < float("inf"):
        raise InputError(f"min-gain = {gain!r} is out of range", hint="percent, 0 or more")
    limits = {name: mean_limit(name, getattr(given_values, name)) for name in LIMITS_ON_TIME}
    sizes = {name: getattr(given_values, name) for name in ("memory_bytes", "file_bytes")}
    for name, value in {**limits, **sizes}.items():
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{name} = {value!r} is out of range", hint=f"{name} is above 0")


def _check_device(device: DeviceProfile) -> None:
    """Refuse a device whose profile lacks what every model needs."""
    if device.rate("bf16") is None:
        raise UnsupportedError(
            with_name(
                device.id,
                joined([device.why_not("bf16"), message("refusals.every_model_keeps_bf16")]),
            ),
            hint="see `plan list devices` for devices with a BF16 rate",
        )
    for name in REQUIRED_CLASSES:
        if name not in device.achieved:
            raise UnsupportedError(
                f"{device.id}: the profile has no [achieved.{name}]",
                hint="see hardware_profiles/README.md",
            )


def _objective(name: str | None) -> Any:
    wanted = name or "throughput"
    if wanted not in OBJECTIVES:
        raise UnknownNameError("objective", wanted, OBJECTIVES)
    return wanted


def _capacity_notes(
    device: DeviceProfile,
    host: Host,
    capacity: int,
) -> list[Note]:
    if host.memory_bytes_per_device is not None:
        return [
            Note(
                "memory per device",
                message("assumptions.gib", memory=f"{capacity / GIB:.0f}"),
                message("assumptions.set_by_scenario"),
            )
        ]
    if device.kind == "cpu":
        return [
            Note(
                "memory per socket",
                message("assumptions.gib", memory=f"{capacity / GIB:.0f}"),
                device.capacity_bytes.note or message("assumptions.profile_default"),
            )
        ]
    return []
