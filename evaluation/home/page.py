"""The tables of the page: how many answers a person can use, every answer, what fails, sources."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from evaluation.answers import table
from evaluation.home.ask import HomeAnswer
from evaluation.home.criteria import judged
from planner.base.markdown_text import escape
from planner.base.units import GIB, format_rate


def summary(answers: Sequence[HomeAnswer]) -> str:
    """Counts of all questions; those whose question waits for the product are told apart."""
    waiting = [a for a in answers if a.plan is None and a.question.pending]
    good = [a for a in answers if not judged(a)]
    rows = [
        ("usable", f"{len(good)} of {len(answers)}"),
        ("pending", f"{len(waiting)} of {len(answers)}"),
        ("exit code 0", f"{sum(a.code == 0 for a in answers)} of {len(answers)}"),
        ("median processor seconds", f"{median(a.seconds for a in answers):.1f}"),
    ]
    return table(("", "answers"), rows)


def decoded(answers: Sequence[HomeAnswer]) -> str:
    """Each question with the decode of one request beside what owners measured."""
    rows = []
    for a in answers:
        low, high = a.question.decode
        speed = "" if a.plan is None else format_rate(a.speeds[1])
        rows.append((f"`{a.question.command}`", speed, f"{low:g}–{high:g}", _state(a)))
    return table(("question", "tokens/s", "measured", "usable"), rows)


def _state(answer: HomeAnswer) -> str:
    fails = judged(answer)
    if answer.plan is None and answer.question.pending:
        return "pending"
    return "no: " + ", ".join(fails) if fails else "yes"


def answers_table(answers: Sequence[HomeAnswer]) -> str:
    """Each question with what is answered."""
    heads = (
        "question",
        "file",
        "GiB",
        "engine",
        "context",
        "prompt, tokens/s",
        "decode, tokens/s",
        "published",
        "KL",
        "s",
        "usable",
    )
    return table(heads, [_row(a) for a in answers])


def _row(answer: HomeAnswer) -> tuple[str, ...]:
    asked, plan = answer.question, answer.plan
    verdict = "; ".join(f"{name}: {words}" for name, words in judged(answer).items())
    published = f"{asked.decode[0]:g}–{asked.decode[1]:g}"
    if plan is None:
        state = f"pending: {asked.pending}" if asked.pending else f"no: {verdict}"
        dashes = ("",) * 6
        return (f"`{asked.command}`", *dashes, published, "", f"{answer.seconds:.1f}", state)
    prompt, decode, low, high = answer.speeds
    size = answer.file.bytes if answer.file is not None else None
    return (
        f"`{asked.command}`",
        f"`{answer.place}`",
        f"{(size or plan.memory_per_device.weights_bytes) / GIB:.1f}",
        plan.engine.name,
        f"{answer.window:,}",
        format_rate(prompt),
        f"{format_rate(decode)} ({format_rate(low)}–{format_rate(high)})",
        published,
        f"{plan.quality.loss:.3g}",
        f"{answer.seconds:.1f}",
        escape(f"no: {verdict}") if verdict else "yes",
    )


def commands(answers: Sequence[HomeAnswer]) -> str:
    """The command that each answer prints."""
    rows = [
        (f"`{a.question.command}`", f"`{' '.join(a.command.words)}`")
        for a in answers
        if a.command is not None
    ]
    return table(("question", "command"), rows)


def sources(answers: Sequence[HomeAnswer]) -> str:
    """What is published for each machine, and where."""
    rows = [
        (
            a.question.machine,
            escape(a.question.asks),
            ", ".join(a.question.engines),
            ", ".join(a.question.files),
            f"{a.question.decode[0]:g}–{a.question.decode[1]:g}",
            escape(a.question.derived),
            escape("; ".join(a.question.sources)),
        )
        for a in answers
    ]
    return table(
        ("machine", "asks", "engines", "files", "decode, tokens/s", "derived", "sources"), rows
    )
