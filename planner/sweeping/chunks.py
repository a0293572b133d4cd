"""Questions in chunks: what is sent to a worker, journalled and taken up again as one piece.

The division depends on the questions alone, never on who answers them, so that every way of running
a sweep computes the same arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from planner.jobs.workers import unpacked
from planner.sweeping.answer import Context, row
from planner.sweeping.columns import ANSWER
from planner.sweeping.fast import fast_rows
from planner.sweeping.record import PRICE_KEY, SweepQuestion

SIZES = {"plan": 8, "estimate": 2048}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Places of some questions in the sweep, all of one verb and context."""

    id: str
    places: tuple[int, ...]
    context: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """A chunk for a worker: packed model, device, scenario and profile, and the questions."""

    id: str
    context: tuple[bytes, bytes, bytes, bytes, bytes]
    asks: tuple[SweepQuestion, ...]


def chunks_of(asks: Sequence[SweepQuestion]) -> list[Chunk]:
    """All questions, those of one model on one device together."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, question in enumerate(asks):
        values = dict(question.values)
        group = (
            question.verb,
            question.model,
            question.device,
            values.get("scenario"),
            values.get("profile"),
            values.get(PRICE_KEY),
        )
        groups.setdefault(group, []).append(place)
    out: list[Chunk] = []
    for (verb, *key, _), places in groups.items():
        size = SIZES[verb]
        for start in range(0, len(places), size):
            out.append(Chunk(f"chunk {len(out)}", tuple(places[start : start + size]), tuple(key)))
    return out


def answer_chunk(parcel: ChunkTask) -> dict[str, Any]:
    """The record of a chunk: its id and its answers by column."""
    context = Context(*(unpacked(part) for part in parcel.context))
    fast = fast_rows(context, parcel.asks)
    rows = [
        fast[n] if n in fast else row(context, question) for n, question in enumerate(parcel.asks)
    ]
    columns = {name: [r.get(name) for r in rows] for name, _ in ANSWER}
    return {
        "id": parcel.id,
        "rows": {
            name: values for name, values in columns.items() if any(v is not None for v in values)
        },
    }
