"""An English sentence that is remembered as a message, for those who say it in another language."""

from __future__ import annotations


class Said(str):
    """The English words of a message: text wherever text is asked, and ``id`` with ``values`` for
    a catalogue of another language (:mod:`planner.messages`)."""

    __slots__ = ("id", "values")
    id: str
    values: tuple[tuple[str, object], ...]

    def __new__(cls, text: str, id: str, values: tuple[tuple[str, object], ...] = ()) -> Said:
        """``values`` are (hole, text or message) in the order of their names."""
        said = super().__new__(cls, text)
        said.id, said.values = id, values
        return said

    def __getnewargs__(self) -> tuple[str, str, tuple[tuple[str, object], ...]]:  # type: ignore[override]
        """What a copy, or another process, makes it of."""
        return str(self), self.id, self.values
