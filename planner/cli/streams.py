"""Standard output and error as they are: closed, full, read no longer, or of few letters."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from planner.base.errors import PlannerError
from planner.base.system import reader_is_gone

PLAIN = {
    "×": "x",
    "÷": "/",
    "–": "-",
    "—": "-",
    "−": "-",
    "→": "->",
    "←": "<-",
    "…": "...",
    "·": ".",
    "≤": "<=",
    "≥": ">=",
    "±": "+/-",
    "≈": "~",
    "µ": "u",
    "μ": "u",
    "α": "alpha",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "\N{NO-BREAK SPACE}": " ",
    "\N{NARROW NO-BREAK SPACE}": " ",
    "\N{THIN SPACE}": " ",
    "✓": "yes",
    "✗": "no",
}
"""What an encoding without the sign shows instead; other signs become question marks."""
_HANDLER = "planner-plain"


class ReaderGoneError(Exception):
    """Nobody reads standard output (or error) any longer: the command has done what it was for."""


def prepare_streams() -> None:
    """Let every text be written: a closed stream swallows it, an encoding without a sign of it
    shows another."""
    codecs.register_error(_HANDLER, _plainly)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before the start; its number must not become a file's
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, codecs.StreamWriter) or not hasattr(stream, "reconfigure"):
            continue
        elif stream.errors == "strict" or (
            stream.errors == "backslashreplace" and not writes_everything(stream)
        ):
            stream.reconfigure(errors=_HANDLER)


def writes_everything(stream: TextIO | None) -> bool:
    """Whether the encoding of ``stream`` has every sign."""
    return (
        (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-").startswith("utf")
    )


@contextlib.contextmanager
def until_reader_goes() -> Iterator[None]:
    """Turn a write into a pipe that nobody reads into :class:`ReaderGoneError`; click would end
    with 1, which is the exit code of no feasible plan.

    Raises:
        PlannerError: another connection was closed from the other side.
    """
    try:
        yield
    except BrokenPipeError:
        if any(reader_is_gone(number) for number in (1, 2)):
            raise ReaderGoneError from None
        raise PlannerError(
            "a connection was closed from the other side", hint="run the same command again"
        ) from None


def flushed() -> None:
    """Write what is left.

    Raises:
        BrokenPipeError: nobody reads it. OSError: it cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def is_standard_output(error: OSError) -> bool:
    """Whether ``error`` came from writing on standard output: it was raised where click prints, or
    where the rest is flushed."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    name = place.tb_frame.f_globals.get("__name__") if place is not None else None
    return error.filename is None and name in ("click.utils", __name__)


def discard_output(*numbers: int) -> None:
    """Send what is still to be written to the null device: the interpreter writes it when it
    ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number in numbers or (1, 2):
        with contextlib.suppress(OSError):
            os.dup2(null, number)
    os.close(null)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """The handler of an encoding: signs as :data:`PLAIN` has them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    shown = "".join(PLAIN.get(sign, "?") for sign in part)
    return shown, error.end
