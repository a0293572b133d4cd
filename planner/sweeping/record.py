"""One question of a sweep, as it was asked."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from planner.base.errors import InputError, nearest_names
from planner.base.strict_json import short_repr
from planner.formats.kv import kv_layout
from planner.formats.schemes import scheme
from planner.memory.engines.catalog import parse_engine
from planner.planning.question.engine_choice import AUTO_ENGINE
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.question.parameters import (
    LIMITS_ON_TIME,
    MILLISECONDS,
    PARAMETERS,
    SAID_BY_SWEEPS,
)
from planner.planning.question.policies import RULES
from planner.planning.question.question import OBJECTIVES
from planner.planning.question.workload import SLOTS
from planner.throughput.calibration import ANY_ENGINE
from planner.workloads import hit_rate, load_workload

VERBS = ("plan", "estimate")
WHOLE = tuple(SAID_BY_SWEEPS)
NUMBERS = LIMITS_ON_TIME
COMMON = (
    *WHOLE,
    "workload",
    "prefix_hit_rate",
    "slots",
    *NUMBERS,
    "kv",
    "objective",
    "engine",
    "scenario",
    "profile",
)
KEYS = {
    "plan": (*COMMON, "max_loss", "schemes", "untie", "drop_policies", "exact"),
    "estimate": (*COMMON, "scheme"),
}
"""What a question of each kind may set beside verb, model, device and service."""
PRICE_KEY = "price"
"""A question's price, USD a device-hour; given for the whole sweep, by device."""
LARGEST = 1 << 62


@dataclass(frozen=True, slots=True)
class SweepQuestion:
    """A question. ``values`` holds what was given, by the names of the Python API, in the order of
    KEYS; ``service`` is the name of its service level, empty for none. Model and device are None
    where a scenario names them."""

    verb: str
    model: str | None
    device: str | None
    service: str
    values: tuple[tuple[str, Any], ...]

    @property
    def price(self) -> float | None:
        """USD a device-hour where the sweep gives one."""
        own_price: float | None = dict(self.values).get(PRICE_KEY)
        return own_price

    @property
    def key(self) -> str:
        """16 hex digits of what is asked: the same question has the same key in every sweep."""
        text = json.dumps(
            [self.verb, self.model, self.device, self.service, self.values],
            separators=(",", ":"),
            ensure_ascii=False,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def ask(place: str, given: Mapping[str, Any], known: dict[Any, Any] | None = None) -> SweepQuestion:
    """Check one question's values; ``place`` says where it is from, in errors, ``known`` holds
    values that were checked before.

    Raises:
        InputError: an unknown key, or a value of another type or out of range.
    """
    verb = given.get("verb", "plan")
    if verb not in VERBS:
        raise InputError(f"{place}: verb = {short_repr(verb)}", hint="plan or estimate")
    keys = KEYS[verb]
    for key in given:
        if key not in keys and key not in ("verb", "model", "device", "service"):
            raise unknown_key(place, key, verb)
    if "scenario" not in given:
        require_pair(place, given)
    memo = {} if known is None else known
    words = {
        key: _once(place, key, given[key], memo)
        for key in ("model", "device", "service")
        if key in given
    }
    return SweepQuestion(
        verb,
        words.get("model"),
        words.get("device"),
        words.get("service", ""),
        tuple([(key, _once(place, key, given[key], memo)) for key in keys if key in given]),
    )


def _once(place: str, key: str, value: Any, known: dict[Any, Any]) -> Any:
    """``value`` checked, as :func:`checked` does, if an equal one of its type was not before."""
    if not isinstance(value, (str, int, float)):
        return checked(place, key, value)
    known_value = known.get((key, type(value), value))
    if known_value is None:
        known_value = known[key, type(value), value] = checked(place, key, value)
    return known_value


def require_pair(place: str, given: Container[str]) -> None:
    """Refuse a question without a model or a device.

    Raises:
        InputError: there is none.
    """
    for key in ("model", "device"):
        if key not in given:
            raise InputError(
                f"{place}: no {key} given", hint=f'{key} = "…", or a scenario that names it'
            )


def unknown_key(place: str, key: str, verb: str) -> InputError:
    """The error for a key that a question of ``verb`` does not have."""
    other = "estimate" if verb == "plan" else "plan"
    if key in KEYS[other]:
        return InputError(
            f"{place}: {key}: {verb} questions do not have it",
            hint=f'{key} belongs to verb = "{other}"',
        )
    if key == PRICE_KEY:
        return InputError(
            f"{place}: price: not a key of questions",
            hint="price = 2.5 above the tables, or [price] with a line a device",
        )
    known = (*KEYS[verb], "verb", "model", "device", "service", *MILLISECONDS)
    return InputError(f"{place}: {key}: unknown key", hint=nearest_names(key, known))


def checked(place: str, key: str, value: Any) -> Any:
    """``value`` in its canonical spelling.

    Raises:
        InputError: another type, out of range, or an unknown name.
    """
    if key in WHOLE:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < LARGEST:
            raise _wrong(place, key, value, "a whole number above 0")
        return value
    if key in NUMBERS and PARAMETERS[key].may_be_none and value == NO_LIMIT:
        return value
    if key in NUMBERS:
        return _seconds(place, key, value)
    if key == "prefix_hit_rate":
        return hit_rate(place, value)
    if key in ("untie", "exact"):
        if not isinstance(value, bool):
            raise _wrong(place, key, value, "true or false")
        return value
    if key == "schemes":
        return _schemes(place, value)
    if key == "drop_policies":
        return _rules(place, value)
    if key == "max_loss" and isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, int) and abs(value) >= LARGEST:
            raise _wrong(place, key, value, "a number of nats")
        return float(value)
    if not isinstance(value, str) or not value:
        raise _wrong(place, key, value, "a text")
    try:
        return _named(key, value)
    except InputError as error:
        raise InputError(f"{place}: {error.message}", hint=error.hint) from None


def _seconds(place: str, key: str, value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value <= sys.float_info.max
    ):
        raise _wrong(place, key, value, "a number above 0")
    return float(value)


def _schemes(place: str, value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if (
        not isinstance(names, (list, tuple))
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        raise _wrong(place, "schemes", value, "a list of scheme names")
    return tuple(_checked_name(place, name.strip()) for name in names)


def _rules(place: str, value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if (
        not isinstance(names, (list, tuple))
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        raise _wrong(place, "drop_policies", value, "a list of rules")
    for name in names:
        if name.strip() not in RULES:
            raise InputError(
                f"{place}: drop_policies: unknown rule {name!r}", hint=nearest_names(name, RULES)
            )
    return tuple(name.strip() for name in names)


def _checked_name(place: str, name: str) -> str:
    try:
        return scheme(name).id
    except InputError as error:
        raise InputError(f"{place}: {error.message}", hint=error.hint) from None


def _named(key: str, value: str) -> str:
    """Names that are in a catalogue, by their ids."""
    if key == "scheme":
        return scheme(value).id
    if key == "kv" and value != "auto":
        return kv_layout(value).id
    if key == "objective" and value not in OBJECTIVES:
        raise InputError(f"objective = {value!r}", hint=", ".join(OBJECTIVES))
    if key == "engine" and value not in (ANY_ENGINE, AUTO_ENGINE):
        parse_engine(value)
    if key == "slots" and value not in SLOTS:
        raise InputError(f"slots = {value!r}", hint=" or ".join(SLOTS))
    if key == "workload":
        load_workload(value)
    return value


def _wrong(place: str, key: str, value: object, wanted: str) -> InputError:
    text = short_repr(value) if isinstance(value, int) else repr(value)
    text = text if len(text) < 80 else text[:77] + "…"
    return InputError(
        f"{place}: {key} = {text}: {wanted} is required",
        hint="docs/guide/scale.md lists the keys and their types",
    )
