"""Defaults of a question that move its answer: a pace for users, and one user on an edge device.

Whoever asks for throughput or cost and sets no limit on time is held to TPOT_SECONDS, unless no
layout reaches it (:mod:`planner.planning.search.engine_search`). A board with unified memory or a
CPU serves one user, unless something says otherwise: as fast as the given devices can, or on as few
as hold it. Each leaves a note.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from planner.base.units import format_seconds
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Note, message
from planner.planning.question.given_values import NO_LIMIT, TPOT_KEY, USERS_KEY, GivenValues
from planner.planning.question.parameters import LIMITS_ON_TIME
from planner.planning.question.question import RATES, Question

TPOT_SECONDS = 0.05
TPOT_NOTE: Note = Note(
    TPOT_KEY,
    format_seconds(TPOT_SECONDS),
    message("assumptions.n_20_tokens_s_for_each"),
)
USERS_NOTE: Note = Note(
    USERS_KEY,
    "1",
    message("assumptions.edge_device_or_cpu_serves"),
)
HOST_NOTE: Note = Note(
    USERS_KEY,
    "1",
    message("assumptions.weights_in_host_memory_serve"),
)
Default = Literal["", "tpot", "users", "latency"]
"""Of limits, of users on the fewest devices, of users on all that are given."""


def default_of(given_values: GivenValues, device: DeviceProfile) -> Default:
    """The default that holds for what was ``asked``, with a scenario's values."""
    free = (
        given_values.tpot_seconds is None
        and given_values.objective is None
        and given_values.batch is None
        and given_values.concurrency is None
    )
    if free and (device.unified_memory or device.kind == "cpu" or given_values.host is not None):
        return "users" if given_values.devices in (None, 1) else "latency"
    timed = any(getattr(given_values, name) is not None for name in LIMITS_ON_TIME)
    rate = given_values.objective is None or given_values.objective in RATES
    return "tpot" if rate and not timed else ""


def with_default(
    build: Callable[[GivenValues], Question], given_values: GivenValues, default: Default
) -> Question:
    """The question of ``asked`` with a default and its note."""
    if default == "users":
        return with_note(
            build(replace(given_values, batch=1)),
            USERS_NOTE if given_values.host is None else HOST_NOTE,
        )
    if default == "latency":
        return with_note(build(replace(given_values, batch=1, objective="latency")), USERS_NOTE)
    if default == "tpot":
        question = build(replace(given_values, tpot_seconds=TPOT_SECONDS))
        return replace(with_note(question, TPOT_NOTE), tpot_default=True)
    return build(given_values)


def with_note(question: Question, note: Note) -> Question:
    """``question`` with a note more."""
    return replace(question, notes=(*question.notes, note))


def without_default_limit(given_values: GivenValues, default: Default) -> GivenValues:
    """What was asked, without the default limit on TPOT."""
    return replace(given_values, tpot_seconds=NO_LIMIT) if default == "tpot" else given_values
