"""The file of an unsloth "dynamic" repository (UD-Q4_K_XL …) beside the one that an answer takes.

The types of its tensors stand in its header alone, so it is neither priced nor ranked: its loss is
told as that of a mixture of llama-quantize of its size, between the two that are next in size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, log

from planner.base.records import record
from planner.base.units import GIB
from planner.messages.message import Note, message
from planner.planning.answer.choice_notes import DYNAMIC_KEY
from planner.planning.choose.selection import Selection
from planner.planning.engines.repositories import GGUF
from planner.planning.files.catalogue import PublishedFile, file_at, files_of
from planner.planning.files.sizes import gguf_bytes
from planner.planning.price.price import Priced
from planner.planning.question.named import usable_mixes
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.uniform import uniform_choice, uniform_loss
from planner.planning.space.losses import saturated_loss
from planner.planning.space.model import CostModel

DYNAMIC = "UD-"
"""How the names of such files begin."""
LEAST, MOST = 0.71, 1.58
"""What four such files lost, as multiples of what the ladder of llama.cpp's mixtures of the same
measurement has at their size: UD-Q4_K_XL of Qwen3.6-27B 1.58; UD-Q4_K_XL, UD-Q5_K_XL and UD-Q6_K_XL
of Qwen3-4B-Instruct-2507 1.07, 0.96 and 0.71 (MagicQuant's post on its second version)."""


@record
class SizedLoss:
    """A mixture's ``name``, the ``bytes`` of its file, and what it loses [nats]."""

    name: str
    bytes: int
    loss: float


def dynamic_note(winner: SearchResult, priced: Priced, choice: Selection) -> tuple[Note, ...]:
    """The largest dynamic file that fits in place of the one taken, with its loss by its size, and
    why it is not ranked; nothing where no file was taken or none such is known to fit."""
    model = winner.space.model
    spec = model.question.spec
    place = choice.option.weights.checkpoint
    taken = file_at(place, spec) if place else None
    if taken is None or taken.container != GGUF or not taken.bytes or priced.layout.ranks != 1:
        return ()
    room = taken.bytes + model.question.usable_bytes - priced.fullest.total
    file = largest_dynamic(files_of(spec.id, spec), taken.of, room)
    if file is None or file.bytes is None:
        return ()
    device = model.question.device.id
    found = between(ladder(model, _cache(winner, priced)), file.bytes)
    if found is None:
        return (
            Note(
                DYNAMIC_KEY,
                message("assumptions.dynamic_unranked", place=file.place, gib=_gib(file.bytes)),
                message("assumptions.no_mixture_of_its_size", place=file.place, device=device),
            ),
        )
    below, above = found
    loss = loss_between(below, above, file.bytes)
    return (
        Note(
            DYNAMIC_KEY,
            message(
                "assumptions.dynamic_loses",
                place=file.place,
                gib=_gib(file.bytes),
                loss=f"{loss:.2g}",
                low=f"{loss * LEAST:.2g}",
                high=f"{loss * MOST:.2g}",
            ),
            message(
                "assumptions.types_are_not_published",
                below=below.name,
                above=above.name,
                place=file.place,
                device=device,
            ),
        ),
    )


def largest_dynamic(
    files: Sequence[PublishedFile], of: str, most_bytes: int
) -> PublishedFile | None:
    """The largest dynamic GGUF file of the checkpoint ``of`` within ``most_bytes``; of equal ones
    the first."""
    able = [
        file
        for file in files
        if file.container == GGUF
        and file.quant.startswith(DYNAMIC)
        and file.of.lower() == of.lower()
        and file.bytes is not None
        and file.bytes <= most_bytes
    ]
    return max(able, key=lambda file: file.bytes or 0, default=None)


def ladder(model: CostModel, kv: str) -> list[SizedLoss]:
    """The mixtures that the question may take, with the cache ``kv``, by size; of those that lose
    more than a smaller one nothing."""
    spec = model.question.spec
    steps = []
    for name in usable_mixes(model.question):
        chosen, size = uniform_choice(model, name, kv), gguf_bytes(spec, name)
        if chosen is not None and size is not None:
            loss = saturated_loss(model, uniform_loss(model, chosen))
            steps.append(SizedLoss(name, size, loss))
    falling: list[SizedLoss] = []
    for step in sorted(steps, key=lambda step: (step.bytes, step.loss)):
        if step.loss > 0 and (not falling or step.loss < falling[-1].loss):
            falling.append(step)
    return falling


def between(steps: Sequence[SizedLoss], size: int) -> tuple[SizedLoss, SizedLoss] | None:
    """The neighbours of ``size`` in a ladder; None outside of it."""
    for below, above in pairwise(steps):
        if below.bytes <= size <= above.bytes:
            return below, above
    return None


def loss_between(below: SizedLoss, above: SizedLoss, size: int) -> float:
    """The loss at ``size``, its logarithm linear in bytes [nats]."""
    share = (size - below.bytes) / (above.bytes - below.bytes)
    return exp(log(below.loss) * (1 - share) + log(above.loss) * share)


def _cache(winner: SearchResult, priced: Priced) -> str:
    """The layout of the caches, as questions name it."""
    model = winner.space.model
    names = [
        model.choices[s.choice] for s in winner.segments if model.units[s.unit].role == "cache"
    ]
    return names[0] if names else model.question.kv[0]


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"
