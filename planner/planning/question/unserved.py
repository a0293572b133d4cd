"""Why an engine does not serve what was asked, in the words of its matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from planner.base.errors import UnsupportedError
from planner.formats.kv import kv_layout_ids
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Text, message, with_name
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units
from planner.placement.modules import modules
from planner.planning.engines.model_classes import first_with, model_bar
from planner.planning.engines.rules import (
    COMMON,
    OF_V4,
    PLAIN,
    cache_group,
    formats_of,
    kind_group,
    runs_at_all,
    support_cell,
)
from planner.planning.question.checkpoint_formats import (
    carried_schemes,
    no_checkpoint_reason,
    other_schemes_error,
)
from planner.planning.question.decisions import split_modules
from planner.planning.question.policies import runs_as_released
from planner.planning.question.question import Question
from planner.planning.question.serving_ways import Way


class ElsewhereError(UnsupportedError):
    """The engine is one of other platforms than CUDA and CPUs."""


def require_platform(engine: Engine, device: DeviceProfile) -> None:
    """Refuse an engine that does not run on the platform of ``device``."""
    bar = runs_at_all(engine, device)
    if bar is None:
        return
    kind = ElsewhereError if device.platform in COMMON else UnsupportedError
    raise kind(
        with_name(engine.label, bar.verdict),
        hint=message("refusals.another_engine_engine_auto_or"),
    )


def require_model(engine: Engine, spec: ModelSpec) -> None:
    """Refuse an engine at a version that does not serve the class of ``spec``.

    Raises:
        UnsupportedError: it does not, or no source says that it does.
    """
    bar = model_bar(engine, spec)
    if bar is None:
        return
    later = first_with(engine, spec)
    raise UnsupportedError(
        with_name(engine.label, bar.reason),
        hint=message("refusals.later_engine", e=later)
        if later
        else message("refusals.another_engine_engine_auto_or"),
    )


def refused_schemes(
    question: Question,
    engine: Engine,
    kinds: Sequence[str],
    ways: Iterable[Way],
) -> tuple[tuple[str, Text], ...]:
    """The device's refusals, then the schemes that no way carries with the engine's reason."""
    carried = {s for way in ways for schemes in way.schemes.values() for s in schemes}
    groups = tuple(dict.fromkeys(kind_group(kind) for kind in kinds))
    out = list(question.refused)
    for name in question.schemes:
        if name not in carried:
            out.append((name, refusal_words(question, engine, "scheme", name, groups)))
    return tuple(out)


def refusal_words(
    question: Question, engine: Engine, axis: str, name: str, groups: Sequence[str]
) -> Text:
    """What the matrix says against a choice: the engine, the status, the note and the source."""
    label = engine.label
    cells = [support_cell(engine, question.device, axis, name, g, "") for g in groups]
    against = [c for c in cells if c.status not in ("supported", "unknown")]
    if against:
        return with_name(label, against[0].verdict)
    if any(c.status == "supported" for c in cells):
        if axis == "scheme" and (why := no_checkpoint_reason(question, engine, name)):
            return with_name(label, why)
        if name in PLAIN:
            return with_name(label, message("engines.one_data_type_server_and"))
        return with_name(label, message("engines.not_for_every_kind_of"))
    said = next(
        (c.reason for c in cells if c.source is not None),
        message("engines.no_source_says_that_it", x=name, d=question.device.id),
    )
    return with_name(label, message("engines.unknown_because", x=said))


def cannot_keep(
    question: Question,
    engine: Engine,
    kept: Sequence[tuple[str, str]],
) -> UnsupportedError:
    """The refusal of a model whose quantised, kept modules no checkpoint format carries, or whose
    caches the engine does not know."""
    groups = {cache_group(u) for u in cache_units(question.spec)}
    caches = [
        support_cell(engine, question.device, "kv", name, group, "")
        for name in question.kv
        for group in groups
    ]
    if len({c.reason for c in caches}) == 1 and caches[0].status in ("refused", "unknown"):
        return UnsupportedError(
            message(
                "engines.on",
                m=question.spec.id,
                d=question.device.id,
                y=with_name(engine.label, caches[0].verdict),
            ),
            hint=message("refusals.another_version_name_version_another"),
        )
    formats = formats_of(engine, question.spec)
    only = formats[0] if len(formats) == 1 else ""
    planned = split_modules(modules(question.spec), question.dropped)[0] if only else []
    carried = carried_schemes(question, engine, [m.kind for m in planned], only)
    stored = [
        (m.kind, runs_as_released(question, m.released_as))
        for m in planned
        if m.released_as not in PLAIN and not carried[kind_group(m.kind)]
    ]
    for kind, scheme in (*kept, *stored):
        kept_cell = support_cell(engine, question.device, "scheme", scheme, kind_group(kind), only)
        if kept_cell.status != "supported":
            words = with_name(engine.label, kept_cell.verdict)
            break
    else:
        kind, scheme = kept[-1]
        together = message("engines.not_together_with", x=", ".join(question.schemes))
        words = with_name(engine.label, together)
        if only == OF_V4 and all(carried.values()):
            return other_schemes_error(question, engine, carried)
    return UnsupportedError(
        message("engines.as_released_in", kind=kind, scheme=scheme, words=words),
        hint=message("refusals.another_version_name_version_another"),
    )


def cannot_serve(
    question: Question, engine: Engine, refused: Mapping[str, Text], gone: Sequence[str]
) -> UnsupportedError:
    groups = tuple({cache_group(u) for u in cache_units(question.spec)})
    reasons = {refused.get(name, "") for name in question.schemes}
    if len(reasons) == 1 and len(question.schemes) > 1 and "" not in reasons:
        return UnsupportedError(
            message("engines.on", m=question.spec.id, d=question.device.id, y=reasons.pop()),
            hint=message("refusals.another_engine_or_engine_any"),
        )
    for name in question.schemes:
        if name in refused:
            return UnsupportedError(
                message("engines.scheme_x_y", x=f"{name!r}", y=refused[name]),
                hint=message("refusals.another_scheme_another_engine_or"),
            )
    if gone:
        words = refusal_words(question, engine, "kv", gone[0], groups)
        return UnsupportedError(
            message("engines.kv_layout", x=f"{gone[0]!r}", words=words),
            hint=_other_layout(question, engine),
        )
    return UnsupportedError(
        with_name(
            engine.label,
            message(
                "engines.no_checkpoint_format_carries_with",
                x=", ".join(question.schemes),
                y=", ".join(question.kv),
            ),
        ),
        hint=message("refusals.one_scheme_one_cache"),
    )


def _other_layout(question: Question, engine: Engine) -> Text:
    """The first layout that the engine serves in every cache of the model, and the other ways."""
    groups = {cache_group(u) for u in cache_units(question.spec)}
    able = (
        name
        for name in kv_layout_ids()
        if all(
            support_cell(engine, question.device, "kv", name, group, "").status == "supported"
            for group in groups
        )
    )
    first = next(able, "")
    if not first:
        return message("refusals.another_version_name_version_another")
    return message("refusals.other_cache_or_version", kv=first)
