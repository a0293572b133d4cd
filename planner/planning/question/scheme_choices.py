"""The schemes that a question may choose from, or takes: asked for, given, or all legal ones."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.errors import InputError, UnsupportedError
from planner.formats.schemes import in_catalogue_order, is_common_name, scheme_ids
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.stored_schemes import mlx_scheme_ids
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Note, Text, message
from planner.models.spec import ModelSpec
from planner.placement.modules import modules
from planner.placement.parts import modules_apart, stored_apart
from planner.planning.engines.mixes import (
    engine_mixes,
    importance_type,
    mix_refusal,
    mix_schemes,
    mix_substitutes,
    mixes_of,
    mixture_named,
    substitute_schemes,
)
from planner.planning.engines.routes import route_words, weight_only_route
from planner.planning.engines.rules import PLAIN, kind_group
from planner.planning.plan.record import Plan
from planner.planning.question.decisions import split_modules
from planner.planning.question.given_values import GivenValues
from planner.planning.question.importance import require_importance, without_importance
from planner.planning.question.named import BY_KIND, by_kind
from planner.planning.question.policies import dropped_in
from planner.throughput.calibration import ANY_ENGINE
from planner.throughput.ggml import runs_on_ggml
from planner.throughput.kernels import kept_for_their_engine, legal_schemes, refusal

LLAMA_CPP = "llama.cpp"
MLX = "mlx"


def scheme_choices(
    spec: ModelSpec,
    device: DeviceProfile,
    given_values: GivenValues,
    uniform: str | None,
    given: Plan | None,
    engine: Engine | None,
    weighed: bool,
) -> tuple[tuple[str, ...], tuple[tuple[str, Text], ...], tuple[Note, ...]]:
    """(schemes to choose from in catalogue order, ((refused scheme, reason), …), notes on what
    stands in for what was named); ``weighed``: ggml's types are written with an importance matrix.

    Raises:
        InputError: no scheme is named.
    """
    if given is not None:
        kept = set(_RELEASED) - set(dropped_in(given, spec, device))
        used = {u.scheme for u in given.units if u.kind not in kept and u.kv_layout is None}
        return _demand(device, in_catalogue_order(used)), (), ()
    if uniform == "":
        planned_modules = modules_apart(spec) if stored_apart(spec) else modules(spec)
        stored = {m.released_as for m in split_modules(planned_modules)[0]}
        names, notes = _served_as(spec, device, engine, stored, released=True)
        return _demand(device, names), (), notes
    if uniform is not None:
        named, others = _named_schemes(spec, uniform, engine, weighed)
        require_importance(spec, named, weighed)
        names, notes = _served_as(spec, device, engine, named)
        return _demand(device, names), (), (*others, *notes)
    if given_values.schemes is not None:
        if not given_values.schemes:
            raise InputError("schemes is empty", hint="name at least one, or leave it out")
        wanted, told = _listed_schemes(spec, given_values.schemes, engine, weighed)
        require_importance(spec, wanted, weighed)
        names, notes = _served_as(spec, device, engine, wanted)
        return _able(device, names, (*told, *notes))
    own = mlx_scheme_ids() if engine is not None and engine.name == MLX else ()
    legal, refused = legal_schemes(device, (*scheme_ids(), *own))
    apart = kept_for_their_engine(engine.name if engine is not None else ANY_ENGINE, legal)
    apart |= without_importance(spec, legal, weighed)
    return tuple(s for s in legal if s not in apart), tuple((refused | apart).items()), ()


def schemes_for(engine: str, names: Sequence[str] | None) -> Sequence[str] | None:
    """Those of the listed ``names`` that may be chosen under ``engine`` where a list mixes
    llama.cpp's types and mixtures with other engines' schemes: plain ones, and of the others its
    own. A list of one kind, or none, stays as it is."""
    if names is None:
        return None
    owners = {name: _owner(name) for name in names}
    if len(set(owners.values()) - {ANY_ENGINE}) < 2:
        return names
    mine = LLAMA_CPP if engine == LLAMA_CPP else ""
    return tuple(name for name, owner in owners.items() if owner in (mine, ANY_ENGINE))


def _owner(name: str) -> str:
    """The engine whose type or mixture a listed name is; ``any`` of plain schemes, none of those
    that several engines of servers share."""
    mixture = mixture_named(name)
    if mixture in engine_mixes():
        return engine_mixes()[mixture].engine
    found = scheme_by_id(name)
    return LLAMA_CPP if runs_on_ggml(found) else ANY_ENGINE if found.id in PLAIN else ""


def _named_schemes(
    spec: ModelSpec,
    name: str,
    engine: Engine | None,
    imatrix: bool,
) -> tuple[set[str], tuple[Note, ...]]:
    """What an assignment takes, with notes: a scheme with what stands in for it where rows are no
    whole blocks, or a mixture of the engine's.

    Raises:
        UnsupportedError: a mixture of another engine, or one that cannot be made.
    """
    if name in engine_mixes():
        served = engine is not None and name in mixes_of(engine.name)
        why = (
            mix_refusal(spec, name, imatrix)
            if served
            else message("devices.mixture_of_s", engine=engine_mixes()[name].engine)
        )
        if why:
            instead = (
                f"--engine {engine_mixes()[name].engine}"
                if not served
                else "--imatrix FILE"
                if importance_type(spec, name) and not imatrix
                else "another mixture"
            )
            raise UnsupportedError(
                message("engines.scheme_x_y", x=f"{name!r}", y=why),
                hint=f"{instead}, or a scheme: see `plan list formats`",
            )
        return set(mix_schemes(spec, name, imatrix)), tuple(
            Note(
                "mixture",
                name,
                message("assumptions.rows_are_no_whole_blocks", scheme=scheme, b=other),
            )
            for scheme, other in mix_substitutes(spec, name, imatrix)
        )
    named = set(by_kind(name).values()) if BY_KIND in name else {scheme_by_id(name).id}
    pairs = {
        (other, scheme)
        for scheme in sorted(named)
        for other in substitute_schemes(modules_apart(spec), scheme)
    }
    return named | {other for other, _ in pairs}, (
        *_common_name_note(name),
        *(
            Note(
                "fallback",
                message("structure.stands_for", name=other, other=scheme),
                message("assumptions.rows_that_are_no_whole"),
            )
            for other, scheme in sorted(pairs)
        ),
    )


def _common_name_note(name: str) -> list[Note]:
    """Which scheme a method's or a family's name was taken for; none for a scheme's own."""
    if not is_common_name(name):
        return []
    reason = message("assumptions.commonest_variant_of", name=name)
    return [Note("schemes", scheme_by_id(name).id, reason)]


def _listed_schemes(
    spec: ModelSpec, names: Sequence[str], engine: Engine | None, weighed: bool
) -> tuple[set[str], tuple[Note, ...]]:
    """What a list of names may be chosen from, with a note on each that is no scheme's id: a name
    that people use for one, or a mixture, whose types it means."""
    wanted: set[str] = set()
    notes: list[Note] = []
    for name in names:
        mixture = mixture_named(name)
        if mixture in engine_mixes():
            types, _ = _named_schemes(spec, mixture, engine, weighed)
            wanted |= types
            chosen = ", ".join(in_catalogue_order(types))
            notes.append(
                Note("schemes", chosen, message("assumptions.types_of_mixture", mixture=mixture))
            )
            continue
        wanted.add(scheme_by_id(name).id)
        notes += _common_name_note(name)
    return wanted, tuple(notes)


def _served_as(
    spec: ModelSpec,
    device: DeviceProfile,
    engine: Engine | None,
    names: set[str],
    *,
    released: bool = False,
) -> tuple[list[str], tuple[Note, ...]]:
    """``names`` in catalogue order, those that ``engine`` serves weight-only on a device without
    their unit as that weight-only scheme, with a note on each; ``released``: as they are stored."""
    groups = tuple(dict.fromkeys(kind_group(m.kind) for m in split_modules(modules(spec))[0]))
    used, notes = set(), []
    for name in names:
        route = weight_only_route(engine, device, name, groups, released=released)
        used.add(name if route is None else route.runs_as)
        if route is not None and engine is not None:
            notes.append(route_words(engine, device, route, "weights"))
    return in_catalogue_order(used), tuple(notes)


def _able(
    device: DeviceProfile, names: list[str], notes: tuple[Note, ...]
) -> tuple[tuple[str, ...], tuple[tuple[str, Text], ...], tuple[Note, ...]]:
    """Those of a list that the device multiplies, the others with the reason and a note on each.

    Raises:
        UnsupportedError: it multiplies none.
    """
    refused = tuple((name, why) for name in names if (why := refusal(device, scheme_by_id(name))))
    if len(refused) == len(names):
        return _demand(device, names), (), notes
    left_out = [name for name, _ in refused]
    told = tuple(
        Note("schemes", message("assumptions.is_left_out", x=name), why) for name, why in refused
    )
    return tuple(name for name in names if name not in left_out), refused, (*notes, *told)


_RELEASED = ("embedding", "indexer", "compressor", "router", "norm", "head", "mtp")


def _demand(device: DeviceProfile, names: list[str]) -> tuple[str, ...]:
    for name in names:
        why = refusal(device, scheme_by_id(name))
        if why:
            legal, _ = legal_schemes(device, scheme_ids())
            raise UnsupportedError(
                f"scheme {name!r} on {device.id}: {why}",
                hint=message("refusals.legal_here", x=", ".join(legal))
                if legal
                else "no scheme is legal here: complete the device's profile",
            )
    return tuple(names)
