"""Whether more than the counts of a model are known."""

from __future__ import annotations

from planner.base.errors import UnsupportedError
from planner.messages.message import Note, message
from planner.models.spec import ModelSpec


def require_planned(spec: ModelSpec) -> None:
    """Refuse a model whose structure is known for its counts alone.

    Raises:
        UnsupportedError: it is; the message says why.
    """
    if spec.unplanned:
        source = f" ({spec.structure})" if spec.structure else ""
        raise UnsupportedError(
            f"{spec.id}: {spec.unplanned}{source}", hint="plan inventory counts it"
        )


def structure_note(spec: ModelSpec) -> tuple[Note, ...]:
    """(name, value, reason) of where the structure is from, if no family of this program gave
    it."""
    if not spec.structure:
        return ()
    return (
        Note(
            "structure",
            spec.structure,
            message("assumptions.its_type_has_no_family"),
        ),
    )
