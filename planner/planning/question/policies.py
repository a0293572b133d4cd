"""Policies: named rules that keep modules as released, which a user can drop.

``embedding``, ``head``, ``norm``, ``router`` and ``indexer`` stay as released in every plan unless
a user drops the rule; then they are planned as other modules are. ``first-layers`` and
``last-layers`` do the same for the linears of layers at the ends, where a scenario keeps some. The
plan says of each rule whether it binds. ``one-data-type``: what no format narrows shares a plain
type, as it does in every server, where neither schemes nor an engine are named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.base.errors import InputError, UnknownNameError
from planner.base.units import format_bytes, format_layers
from planner.formats.schemes import in_catalogue_order
from planner.hardware.profile import DeviceProfile
from planner.messages.message import LINKED, Message, Note, joined, message
from planner.models.spec import ModelSpec
from planner.placement.modules import AS_RELEASED_KINDS, PLANNED_KINDS, UNRULED, modules
from planner.planning.engines.routes import same_weights
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.record import Plan, UnitPlan
from planner.planning.question.question import Question
from planner.throughput.kernels import WEIGHT_ONLY_OF, legal_schemes

if TYPE_CHECKING:
    pass

BINDS = 1e-6
"""Relative gain above which a rule binds."""
ENDS = ("first-layers", "last-layers")
ONE_TYPE = "one-data-type"
RULES = (*(kind for kind in AS_RELEASED_KINDS if kind not in UNRULED), *ENDS, ONE_TYPE)
NO_OTHER = ("norm",)
"""Kinds that no kernel computes in another format."""


def dropped_kinds(
    spec: ModelSpec,
    keep_policies: Sequence[str] | None,
    drop_policies: Sequence[str] | None,
) -> tuple[str, ...]:
    """The kinds of ``spec`` whose rule does not hold: left out of ``keep_policies`` (None:
    all hold), or named in ``drop_policies``; in reading order.

    Raises:
        UnknownNameError: no rule has that name.
        InputError: one of two uses of one matrix is dropped.
    """
    for name in (*(keep_policies or ()), *(drop_policies or ())):
        if name not in RULES:
            raise UnknownNameError("policy", name, RULES)
    gone = set(drop_policies or ())
    if keep_policies is not None:
        gone |= set(AS_RELEASED_KINDS) - set(keep_policies) - set(UNRULED)
    both = {"embedding", "head"}
    if spec.tied_embeddings and len(gone & both) == 1:
        raise InputError(
            f"{spec.id}: embedding and head are one matrix: their rules go together",
            hint="drop both, or neither",
        )
    present = {m.kind for m in modules(spec)} | (both if spec.tied_embeddings else set())
    return tuple(k for k in AS_RELEASED_KINDS if k in gone and k in present)


def kept_layers(layers: int, first: int, last: int) -> tuple[int, ...]:
    """The first and last layers of ``layers`` that stay as released, in order.

    Raises:
        InputError: the model has fewer.
    """
    if first + last > layers:
        raise InputError(
            f"keep_first_layers {first} + keep_last_layers {last} exceed the model's "
            f"{layers} layers",
            hint="keep fewer",
        )
    return tuple(range(first)) + tuple(range(layers - last, layers))


def kept_scheme(question: Question, released: str) -> str:
    """What a kept module runs in: as it was released where that is a choice, else BF16."""
    released_scheme = runs_as_released(question, released)
    return released_scheme if released_scheme in question.schemes else "bf16"


def runs_as_released(question: Question, released: str) -> str:
    """``released``, or the weight-only scheme of the same weights where only that is a choice."""
    twin = WEIGHT_ONLY_OF.get(released, "")
    return (
        twin
        if released not in question.schemes
        and twin in question.schemes
        and (question.as_released or same_weights(released))
        else released
    )


def released_choice(question: Question) -> Question:
    """``question`` with what modules of dropped rules are stored in among its schemes, where it was
    not: for these modules alone."""
    stored = {m.released_as for m in modules(question.spec) if m.kind in question.dropped}
    added = stored - set(question.schemes)
    if not added:
        return question
    names = tuple(in_catalogue_order({*added, *question.schemes}))
    barred = {(kind, name) for kind in PLANNED_KINDS for name in added}
    return replace(question, schemes=names, barred=question.barred | barred)


def other_types(schemes: tuple[str, ...], released: str) -> tuple[str, ...]:
    """The plain types among ``schemes`` that the rule leaves out: all but the release's where it
    has 16 bits and the device takes it, else all but the first of PLAIN."""
    able = [s for s in PLAIN if s in schemes]
    kept = released if released in able and released != "fp32" else able[0] if able else ""
    return tuple(s for s in able if s != kept)


def one_type_note(schemes: Sequence[str], left_out: Sequence[str]) -> list[Note]:
    """What the rule leaves out, and how to have it back; nothing where it leaves nothing out."""
    if not left_out:
        return []
    kept = next(s for s in PLAIN if s in schemes)
    return [
        Note(
            "policy: one data type",
            kept,
            message(
                "assumptions.servers_have_one_for_what",
                left_out=joined(left_out, LINKED),
                one_type=ONE_TYPE,
            ),
        )
    ]


def dropped_in(plan: Plan, spec: ModelSpec, device: DeviceProfile) -> tuple[str, ...]:
    """The kinds that a plan file gives another scheme than the release, in reading order; what the
    device cannot execute as released is kept in BF16."""
    stored: dict[str, set[str]] = {}
    for module in modules(spec):
        own = module.released_as
        wide = {"bf16"} if own not in PLAIN and not legal_schemes(device, [own])[0] else set()
        stored.setdefault(module.kind, set()).update((own, module.dtype, *wide))
    stored.setdefault("head", stored.get("embedding", set()))
    changed = {
        u.kind
        for u in plan.units
        if u.kv_layout is None and u.scheme not in stored.get(u.kind, {u.scheme})
    }
    if spec.tied_embeddings and changed & {"embedding", "head"}:
        changed |= {"embedding", "head"}
    return tuple(k for k in AS_RELEASED_KINDS if k in changed and k not in UNRULED)


def policy_notes(
    question: Question,
    value: float,
    free: Callable[[Question], float | None],
) -> list[Note]:
    """What the kept layers cost: ``value`` is the best objective with them, ``free`` that of a
    question without some of them; each end by itself where both are kept and it matters."""
    if not question.kept:
        return []
    better = _better(value, free(replace(question, kept=())))
    words = (
        message("assumptions.binds", better=f"{better:.1%}")
        if better > BINDS
        else message("assumptions.does_not_bind")
    )
    half = question.spec.layers // 2
    ends = {
        "first": tuple(n for n in question.kept if n < half),
        "last": tuple(n for n in question.kept if n >= half),
    }
    if better > BINDS and all(ends.values()):
        alone = {
            name: _better(
                value,
                free(replace(question, kept=tuple(n for n in question.kept if n not in layers))),
            )
            for name, layers in ends.items()
        }
        words = message(
            "assumptions.binds_by_end",
            better=f"{better:.1%}",
            ends=message(
                "structure.clauses", parts=tuple(_end_gain(*item) for item in alone.items())
            ),
        )
    return [
        Note(
            "policy: kept layers",
            message(
                "assumptions.layers_as_released", layers=format_layers(question.kept), words=words
            ),
            message("assumptions.keep_first_layers_keep_last"),
        )
    ]


def _end_gain(end: str, gain: float) -> Message:
    """What dropping the kept layers of one end (``first`` or ``last``) would gain."""
    first, better = end == "first", f"{gain:.1%}"
    if gain > BINDS and first:
        return message("assumptions.first_layers_gain", gain=better)
    if gain > BINDS:
        return message("assumptions.last_layers_gain", gain=better)
    if first:
        return message("assumptions.first_layers_gain_nothing")
    return message("assumptions.last_layers_gain_nothing")


def _cost(gains: Mapping[str, float] | None) -> Message:
    """What the rules cost: the gain without each that binds."""
    if gains is None:
        return message("assumptions.no_losses_of_these_kinds")
    if not gains:
        return message("assumptions.no_kernel_computes_them_in")
    binding = [_bound(kinds, gain) for kinds, gain in gains.items() if gain > BINDS]
    if not binding:
        return message("assumptions.no_rule_binds")
    rules = message("structure.clauses", parts=tuple(binding))
    return message("assumptions.rules_that_bind", rules=rules)


def _bound(kinds: str, gain: float) -> Message:
    """That the rule of one kind, or the rules of several, binds."""
    several, better = ", " in kinds, f"{gain:.1%}"
    if gain < 5e-4:
        if several:
            return message("assumptions.rules_bind_little", kinds=kinds)
        return message("assumptions.rule_binds_little", kinds=kinds)
    if several:
        return message("assumptions.rules_bind", kinds=kinds, better=better)
    return message("assumptions.rule_binds", kinds=kinds, better=better)


def _worth(kinds: Sequence[str], weight: Mapping[str, float]) -> tuple[Message, ...]:
    """Of what equal errors in every matrix would lose, the share that the kept kinds have."""
    known = [f"{kind} {weight[kind]:.1%}" for kind in dict.fromkeys(kinds) if kind in weight]
    if not known:
        return ()
    return (message("assumptions.shares_of_equal_errors", shares=", ".join(known)),)


def _better(value: float, free: float | None) -> float:
    return 0.0 if free is None or not value else (value - free) / abs(value)


def rule_notes(
    units: Sequence[UnitPlan],
    without_rule: Collection[str],
    gains: Mapping[str, float] | None,
    weight: Mapping[str, float] | None = None,
    decided: Collection[str] = (),
    engine: str = "",
) -> list[Note]:
    """The rules that hold: what they take, what each costs (``gains``; None: nothing is known of
    it), and what they save: ``weight``, the share of the model's summed sensitivity that each kind
    has; then those that were dropped, of which ``engine`` types those ``decided`` anyway."""
    out = []
    kept = [u for u in units if u.kind in AS_RELEASED_KINDS and u.kind not in without_rule]
    if kept:
        step = sum(u.decode_seconds for u in units) or 1.0
        kinds = ", ".join(dict.fromkeys(u.kind for u in kept))
        share = sum(u.decode_seconds for u in kept) / step
        size = sum(u.weight_bytes_per_device for u in kept)
        out.append(
            Note(
                "policies",
                message(
                    "assumptions.as_released_of_step_device",
                    kinds=kinds,
                    share=f"{share:.1%}",
                    size=format_bytes(size),
                ),
                message(
                    "structure.semicolons",
                    parts=(_cost(gains), *_worth([u.kind for u in kept], weight or {})),
                ),
            )
        )
    for kind in without_rule:
        schemes = dict.fromkeys(u.scheme for u in units if u.kind == kind)
        words = (
            message("assumptions.no_kernel_computes_it_in")
            if kind in NO_OTHER
            else message("assumptions.planned", schemes=", ".join(schemes))
        )
        why = (
            message("assumptions.types_it_as_it_does", engine=engine)
            if kind in decided
            else message("assumptions.asked_for")
        )
        out.append(Note("policy dropped", message("structure.named", name=kind, text=words), why))
    return out
