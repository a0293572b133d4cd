"""What reading a configuration came upon, beside the keys that were understood."""

from __future__ import annotations

from collections.abc import Iterable


class Ledger:
    """What reading one configuration came upon beside the keys that it understood.

    ``allowed`` are keys that the user says to pass over, by name or by place and name; ``dtype`` is
    the type of elements that the model states.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = frozenset(allowed)
        self.harmless: set[str] = set()
        self.assumed: dict[str, str] = {}
        self.passed_over: set[str] = set()
        self.left_out: list[str] = []
        self.dtype: object = None
        self._used: set[str] = set()

    def allow(self, name: str, place: str) -> bool:
        """Whether the user says to pass over ``name`` at ``place``; it is noted if so."""
        meant = {name, place + name} & self.allowed
        self._used |= meant
        if meant:
            self.passed_over.add(place + name)
        return bool(meant)

    @property
    def idle(self) -> tuple[str, ...]:
        """Keys to pass over that no configuration had unread."""
        return tuple(sorted(self.allowed - self._used))
