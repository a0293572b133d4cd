"""What a plan takes for granted about drafted tokens."""

from __future__ import annotations

from planner.messages.message import Note, message
from planner.planning.question.question import Question
from planner.planning.question.speculation import MTP


def tokens_per_step(question: Question) -> Note:
    """Tokens that a step yields for a sequence, and how sure that is."""
    asked = question.speculation
    if asked is None:
        return Note("tokens per step", "1", message("assumptions.no_speculative_decoding"))
    rate = asked.acceptance
    accepted = f"{rate.value:.2f}"
    return Note(
        "tokens per step",
        message(
            "assumptions.of_drafted_and_one",
            accepted=f"{asked.accepted:.2f}",
            draft_tokens=asked.draft_tokens,
        ),
        message(
            "assumptions.accepted_between",
            kind=asked.kind,
            rate=accepted,
            low=f"{rate.low:.2f}",
            high=f"{rate.high:.2f}",
            source=rate.source,
        )
        if rate.low < rate.high
        else message("assumptions.accepted_at", kind=asked.kind, rate=accepted, source=rate.source),
    )


def unloaded_layers(question: Question) -> list[Note]:
    """That prediction layers of the model are not loaded, and why; nothing where they draft."""
    drafts = question.speculation
    if not question.spec.mtp_layers or (drafts is not None and drafts.kind == MTP):
        return []
    return [
        Note(
            "MTP layer",
            message("assumptions.not_loaded"),
            message("assumptions.no_speculative_decoding")
            if drafts is None
            else message("assumptions.drafts", kind=drafts.kind),
        )
    ]
