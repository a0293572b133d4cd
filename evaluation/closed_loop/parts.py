"""The parts of a run in order, each within the time that there is; what is missing, and why."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from planner.base.errors import PlannerError

Found = TypeVar("Found")
NOT_BEGUN = "the run was ended before it"


class TimeIsUpError(Exception):
    """The time of the run is over before something was begun."""


@dataclass(frozen=True)
class Clock:
    """Counts from when it is made; ``minutes`` is how long parts may begin."""

    minutes: float
    start: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    def tell(self, text: str) -> None:
        """Say what is done now, with the time."""
        print(f"{self.seconds():6.0f} s  {text}", file=sys.stderr, flush=True)

    def check(self, what: str = "") -> None:
        """Let ``what`` begin.

        Raises:
            TimeIsUpError: it is too late.
        """
        if self.seconds() > 60 * self.minutes:
            told = f"{what}: " if what else ""
            raise TimeIsUpError(
                f"{told}left out, as {self.minutes:g} minutes were over; the same "
                "command goes on from there"
            )


@dataclass
class Parts:
    """What is to be done: a part is ``missing`` until it was done whole. ``write`` is called after
    each, so that the page has what there is whenever the run ends; ``log`` gets what no part is
    expected to raise."""

    names: Sequence[str]
    clock: Clock
    write: Callable[[], None]
    log: Path
    missing: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.missing.update(dict.fromkeys(self.names, NOT_BEGUN))

    def do(self, name: str, work: Callable[[], Found]) -> Found | None:
        """Do a part, if there is time; None where it failed, and ``missing`` says why."""
        try:
            self.clock.check()
            self.clock.tell(name)
            found = work()
        except (TimeIsUpError, PlannerError, OSError) as error:
            self.failed(name, error)
            return None
        except Exception as error:
            # One part that breaks in a way nobody thought of must not take the others with it.
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{name}\n{traceback.format_exc()}\n")
            self.failed(name, error, f"{type(error).__name__}: {error}")
            return None
        else:
            self.missing.pop(name, None)
            return found
        finally:
            self.write()

    def failed(self, name: str, error: Exception, words: str = "") -> None:
        """Note why a part is missing."""
        told = words or str(error)
        self.missing[name] = told
        self.clock.tell(f"missing: {name}: {told}")
