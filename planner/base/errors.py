"""Every exception this package raises on purpose, with the exit code each maps to.

Each error says the value, the place and the reason; ``hint`` says the fix, and ``str(error)`` holds
both. Where a text of its own is built from an error, it takes ``message``. The command line turns
one into an ``error:`` line and a ``hint:`` line, never a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

EXIT_INFEASIBLE = 1
EXIT_USAGE = 2
LONGEST_NAME = 120


class PlannerError(Exception):
    """Base of all deliberate errors."""

    exit_code = EXIT_USAGE

    def __init__(self, message: object, *, hint: object = "", details: Iterable[str] = ()) -> None:
        """``text`` and ``way_out`` are the message and the hint as they were given, text or a
        message of the catalogues; ``message`` and ``hint`` are their English.
        ``details``: where several things are wrong at once, each on a line of its own."""
        self.text: Any = message
        self.way_out: Any = hint
        self.message, self.hint = str(message), str(hint)
        super().__init__(self.message)
        self.details = tuple(details)

    def __str__(self) -> str:
        return "\n".join(
            [
                self.message,
                *(f"  {detail}" for detail in self.details),
                *([f"hint: {self.hint}"] if self.hint else []),
            ]
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker's error comes back whole: a class with parameters of its own, and the hint."""
        return _restored, (type(self), self.text, self.way_out), dict(self.__dict__)


class InputError(PlannerError):
    """A value is malformed, out of range, or contradicts another."""


class UnknownNameError(InputError):
    """A name is not in its catalogue; the hint carries the nearest valid names."""

    def __init__(
        self, what: str, name: str, known: Iterable[str], *, note: str = "", own: str = ""
    ) -> None:
        """``own``: how the user can name what is in no catalogue."""
        self.what, self.name, self.note = what, name, note
        names = sorted(known)
        self.shown = repr(name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…")
        self.near, self.own = nearest_of(name[:LONGEST_NAME], names), own
        near = NEAREST[self.near[0]].format(names=self.near[1])
        super().__init__(
            f"unknown {what} {self.shown}" + (f": {note}" if note else ""),
            hint=f"{near} {own}" if own else near,
        )

    @classmethod
    def ambiguous(cls, what: str, name: str, candidates: Iterable[str]) -> UnknownNameError:
        """The error of a name that several entries of the catalogue have."""
        error = cls(what, name, (), note="several have that name")
        named = ", ".join(sorted(candidates))
        error.near = ("which", named)
        error.hint = error.way_out = NEAREST["which"].format(names=named)
        return error


class UnsupportedError(InputError):
    """The combination is understood and cannot be executed; the message gives the reason."""


class DataError(InputError):
    """A file (configuration, checkpoint header, profile, scenario, plan) is invalid."""


class MissingPackageError(InputError):
    """An optional package that the request needs is not installed."""

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(
            f"this needs the package {package}, which is not installed",
            hint=f"pip install 'precision-planner[{extra}]'",
        )


def needs(package: str, *, extra: str) -> None:
    """Refuse to go on without an optional ``package``, which ``extra`` of this one installs; it is
    not imported.

    Raises:
        MissingPackageError: it is not installed.
    """
    if find_spec(package) is None:
        raise MissingPackageError(package, extra=extra)


class SolverError(PlannerError):
    """The exact solver ended without an answer and without a proof that there is none; the message
    holds the question that it was asked."""

    NARROWER = "narrow the question: give --tp, --pp, --ep and --batch, or fewer --schemes"


class InfeasibleError(PlannerError):
    """No plan satisfies the limits; the message names the binding one, the hint the way out."""

    exit_code = EXIT_INFEASIBLE


def _restored(cls: type[PlannerError], message: object, hint: object) -> PlannerError:
    error = cls.__new__(cls)
    PlannerError.__init__(error, message, hint=hint)
    return error


NEAREST = {
    "did_you_mean": "did you mean {names}?",
    "none_here": "there are none here",
    "valid_names": "valid names: {names}",
    "which": "which: {names}?",
}
"""Hints of :func:`nearest_of` by kind; their ids in the section ``command`` of the catalogues."""


def nearest_names(name: str, known: Iterable[str], *, count: int = 3) -> str:
    """A one-line hint with up to ``count`` close names, or the first few when none is close."""
    kind, names = nearest_of(name, known, count=count)
    return NEAREST[kind].format(names=names)


def nearest_of(name: str, known: Iterable[str], *, count: int = 3) -> tuple[str, str]:
    """(a kind of NEAREST, the names that it shows)."""
    from difflib import get_close_matches

    names = sorted(known)
    spelt = {n.lower(): n for n in names}
    close = [spelt[n] for n in get_close_matches(name.lower(), spelt, n=count, cutoff=0.5)]
    if not close:
        contained = [n for n in names if name.lower() in n.lower() or n.lower() in name.lower()]
        close = contained[:count]
    if close:
        return "did_you_mean", ", ".join(close)
    if not names:
        return "none_here", ""
    shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    return "valid_names", shown
