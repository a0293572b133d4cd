"""Typed reads of a model configuration: what is not understood is an error that names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planner.base.errors import LONGEST_NAME, DataError
from planner.base.strict_json import short_repr
from planner.models.defaults import (
    EVERY,
    Ledger,
    class_defaults,
    defaults_version,
    harmless_keys,
)

MAX_LAYERS = 1000
MAX_EXPERTS = 65536
MAX_WIDTH = 2**24
MAX_CONTEXT = 2**31
MOST_LISTED, FEW_LISTED = 20, 8

HARMLESS = GENERIC = frozenset(key for key, only in harmless_keys(EVERY).items() if only is None)
"""Keys that change no tensor of any model; ``finish`` knows them and those of the type itself."""


def listed(known: list[str], value: object) -> str:
    """The names that are understood; of more than MOST_LISTED those near ``value``, else the first
    few."""
    if len(known) <= MOST_LISTED:
        return ", ".join(known)
    from difflib import get_close_matches

    near = (
        get_close_matches(value[:LONGEST_NAME].lower(), known, n=FEW_LISTED, cutoff=0.5)
        if isinstance(value, str)
        else []
    )
    some = near or known[:FEW_LISTED]
    return f"{', '.join(some)} and {len(known) - len(some)} more"


class Fields:
    """One JSON object read key by key; ``finish`` reports the keys that nobody read.

    Every reader raises DataError for a value of the wrong type or out of range. With a ``ledger``
    it is a model's configuration (``prefix`` is its place in a larger one): an absent key takes
    the class default of its ``model_type``, and harmless keys are passed over; both are noted.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        place: str,
        *,
        ledger: Ledger | None = None,
        prefix: str = "",
        model_type: str = "",
    ) -> None:
        self._values = values
        self._read: set[str] = set()
        self.place = place
        self._ledger, self._prefix = ledger, prefix
        own = values.get("model_type")
        self._type = own if isinstance(own, str) else model_type
        if ledger is not None:
            self._read.add("model_type")

    def assume_type(self, model_type: str) -> None:
        """Read keys as of ``model_type`` where the object does not say what it is."""
        self._type = self._type or model_type

    def take(self, name: str) -> object:
        """The raw value of key ``name``, None where it is absent; the key counts as read."""
        self._read.add(name)
        return self._values.get(name)

    def take_default(self, name: str) -> object:
        """The raw value of key ``name``; where it is absent, the default of the configuration
        class (noted as taken), None where it has none. A stated null stays null."""
        self._read.add(name)
        if name in self._values or self._ledger is None:
            return self._values.get(name)
        value = class_defaults(self._type, nested=bool(self._prefix)).get(name)
        if value is not None:
            self._ledger.assumed[self._prefix + name] = f"{_json(value)} ({self._source})"
        return value

    @property
    def _source(self) -> str:
        version = defaults_version(self._type)
        return f"default of {self._type} in {version}" if version else f"default of {self._type}"

    @property
    def is_class_default(self) -> bool:
        """Whether it holds what its class assumes and no more: the library wrote it, since the
        file before had none."""
        assumed = class_defaults(self._type, nested=True)
        return bool(assumed) and all(
            value == assumed[name] for name, value in self._values.items() if name in assumed
        )

    def names(self) -> tuple[str, ...]:
        """The keys, in the order of the file."""
        return tuple(self._values)

    def everything(self) -> Mapping[str, object]:
        """The whole object as it was given; every key counts as read."""
        self._read.update(self._values)
        return self._values

    def inherit(self, outer: Fields, name: str) -> None:
        """Take key ``name`` from ``outer`` where it is absent here.

        Raises:
            DataError: both have it, with different values.
        """
        value = outer.take(name)
        if value is None:
            return
        own = self._values.get(name)
        if own is not None and own != value:
            raise self.error(name, f"is {short_repr(own)}, and {short_repr(value)} outside")
        self._values = {**self._values, name: value}

    def alias(self, name: str, other: str) -> None:
        """``other`` is a further name of key ``name``: either may be stated, or both alike.

        Raises:
            DataError: both are there, with different values.
        """
        value = self.take(other)
        if value is None:
            return
        own = self._values.get(name)
        if own is not None and own != value:
            raise self.error(other, f"is {short_repr(value)}, and {name} is {short_repr(own)}")
        self._values = {**self._values, name: value}

    def state(self, name: str, value: object) -> None:
        """Take ``value`` as that of key ``name``, which another key implies.

        Raises:
            DataError: the key is there with another value.
        """
        own = self._values.get(name)
        if own is not None and own != value:
            raise self.error(name, f"is {short_repr(own)}; other keys imply {short_repr(value)}")
        self._values = {**self._values, name: value}

    def agree(self, name: str, value: bool) -> None:
        """Read key ``name``, which can only be ``value`` in this family, stated or not.

        Raises:
            DataError: it is another.
        """
        own = self.take(name)
        if own is not None and own is not value:
            raise self.error(name, f"is {short_repr(own)}; only {str(value).lower()} is modelled")

    def change(self, name: str, value: object) -> None:
        """Take ``value`` as that of key ``name``, whatever it states: as other families mean it."""
        self._values = {**self._values, name: value}

    def has_read(self, name: str) -> bool:
        """Whether key ``name`` was read."""
        return name in self._read

    def assume(self, name: str, value: str) -> None:
        """Say that ``value`` is taken for key ``name``, which is not stated."""
        if self._ledger is not None:
            self._ledger.assumed[self._prefix + name] = value

    def allowed(self, name: str) -> bool:
        """Whether the user says to pass over key ``name``; it is noted if so."""
        return self._ledger is not None and self._ledger.allow(name, self._prefix)

    def note_dtype(self, stated: str) -> None:
        """Note the type of elements of the model."""
        if self._ledger is not None:
            self._ledger.dtype = stated

    def leave_out(self, part: str) -> None:
        """Say that ``part`` of what the configuration describes is not counted."""
        if self._ledger is not None:
            self._ledger.left_out.append(part)

    def error(self, name: str, reason: str) -> DataError:
        """A DataError about key ``name``; it says where the value is from if nobody stated it."""
        taken = self._ledger.assumed.get(self._prefix + name) if self._ledger else None
        note = f" ({name} is not stated: {taken})" if taken else ""
        return DataError(
            f"{self.place}: {name} {reason}{note}",
            hint="compare the key with the configuration of the release: of a bundled "
            "model it is in planner/models/configs",
        )

    def optional_integer(self, name: str, *, low: int = 1, high: int = MAX_WIDTH) -> int | None:
        """An integer in [low, high], or None where the key is null or absent."""
        value = self.take_default(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(name, f"is {short_repr(value)}; an integer is needed")
        if not low <= value <= high:
            raise self.error(name, f"is {short_repr(value)}; the range is {low} to {high}")
        return value

    def integer(
        self, name: str, *, low: int = 1, high: int = MAX_WIDTH, default: int | None = None
    ) -> int:
        """An integer in [low, high]; without ``default`` it must be present."""
        value = self.optional_integer(name, low=low, high=high)
        if value is None:
            value = default
        if value is None:
            raise self.error(name, "is missing")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        """A boolean, or ``default`` where the key is null or absent."""
        value = self.take_default(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(name, f"is {short_repr(value)}; true or false is needed")
        return value

    def choice(self, name: str, options: Iterable[str], *, default: str | None) -> str:
        """One of ``options``; without ``default`` it must be present."""
        value = self.take_default(name)
        if value is None and default is not None:
            return default
        known = sorted(options)
        if not isinstance(value, str) or value not in known:
            stated = "is missing" if value is None else f"is {short_repr(value)}"
            raise self.error(name, f"{stated}; understood: {listed(known, value)}")
        return value

    def integers(self, name: str, *, low: int, high: int) -> tuple[int, ...]:
        """A list of integers in [low, high]; empty where the key is null or absent."""
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.error(name, f"is {short_repr(value)}; a list of integers is needed")
        for item in value:
            if isinstance(item, bool) or not isinstance(item, int) or not low <= item <= high:
                raise self.error(name, f"holds {short_repr(item)}; the range is {low} to {high}")
        return tuple(value)

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty where the key is null or absent."""
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(name, f"is {short_repr(value)}; a list of strings is needed")
        return tuple(value)

    def nested(self, name: str) -> Fields | None:
        """The object under ``name``, or None where the key is null or absent."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(name, f"is {short_repr(value)}; an object is needed")
        return Fields(
            value, f"{self.place}: {name}", ledger=self._ledger, prefix=f"{self._prefix}{name}."
        )

    def part(self, values: Mapping[str, object], name: str, model_type: str) -> Fields:
        """``values`` read as the configuration ``model_type`` inside this one, under ``name``, or
        beside its keys where ``name`` is ""."""
        own = {key: value for key, value in values.items() if key != "model_type"}
        place = f"{self.place}: {name}" if name else self.place
        return Fields(
            {**own, "model_type": model_type},
            place,
            ledger=self._ledger,
            prefix=f"{self._prefix}{name}." if name else self._prefix,
        )

    def finish(self, harmless: Iterable[str] = ()) -> None:
        """Check that every key was read or is harmless: by ``harmless``, or by the lists of data.

        Raises:
            DataError: naming the keys that are not understood.
        """
        left = set(self._values) - self._read - set(harmless)
        unknown = []
        for name in sorted(left):
            if self._ledger is not None and self._is_harmless(name):
                self._ledger.harmless.add(self._prefix + name)
            elif not self.allowed(name):
                unknown.append(name)
        if self._ledger is not None:
            self._ledger.harmless |= {
                self._prefix + name for name in set(self._values) & set(harmless) - self._read
            }
        if unknown:
            raise self._not_understood(unknown)

    def _is_harmless(self, name: str) -> bool:
        """Whether a list of data says that ``name`` changes nothing at the value it has; a part of
        a model may repeat the type of elements that the model has."""
        if self._ledger is not None and self._prefix and name in ("dtype", "torch_dtype"):
            return self._values[name] in (None, self._ledger.dtype)
        for section in (EVERY, self._type):
            keys = harmless_keys(section)
            if name in keys:
                return self._at_harmless_value(name, keys[name])
        return False

    def _at_harmless_value(self, name: str, only: object) -> bool:
        value = self._values[name]
        if only is None or value is None:
            return True
        if isinstance(only, str):
            other = only.removeprefix("=")
            return value == self._values.get(other, class_defaults(self._type).get(other))
        assert isinstance(only, list)
        parts = value if isinstance(value, list) else [value] if value != {} else []
        return all(
            any(
                part == harmless and isinstance(part, bool) == isinstance(harmless, bool)
                for harmless in only
            )
            for part in parts
        )

    def _not_understood(self, unknown: list[str]) -> DataError:
        stated = [
            f"{short_repr(name)} ({short_repr(self._values[name])})"
            if self._listed_for_values(name)
            else short_repr(name)
            for name in unknown[:5]
        ]
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        hint = "a key that changes the structure must be modelled before it can be planned"
        if self._ledger is not None:
            flag = ",".join(self._prefix + name for name in unknown[:5])
            hint = (
                "such a key may change tensors or the cache; if you know that these do not, "
                f"say so with --ignore-keys {flag}{',…' if more else ''}"
            )
        return DataError(f"{self.place}: keys not understood: {', '.join(stated)}{more}", hint=hint)

    def _listed_for_values(self, name: str) -> bool:
        """Whether ``name`` would be harmless at another value, so that the value is the news."""
        return any(name in harmless_keys(section) for section in (EVERY, self._type))


def _json(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
