"""Whether an answer is one that a person with that machine can use, by criteria that are written
down.

Each says in words what fails it, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from evaluation.home.ask import HomeAnswer
from evaluation.practice.criteria import flags_of
from planner.export.readme import flags
from planner.report.render.plan_text import MOST_LINES

BELOW, ABOVE = 1.5, 1.25
"""By which factor a predicted decode may be below the published range, as published runs mostly
have short contexts and answers one of 8,192 tokens, and above it."""
MOST_LOSS = 0.08
"""KL in nats above which a model is damaged."""
SHORT_FLAGS = {"-hf", "-m"}
"""Flags of llama-server in their short form, which the table of flags has no row for."""


def machine_fails(answer: HomeAnswer) -> str:
    """It is for another machine, or for more of it, or does not fit it."""
    plan, asked = answer.plan, answer.question
    assert plan is not None
    if (cards_named(plan.device.id), plan.device.count) != (cards_named(asked.device), asked.count):
        return f"for {plan.device.count} × {plan.device.id}"
    memory = plan.memory_per_device
    if memory.total_bytes > memory.usable_bytes:
        return f"{memory.total_bytes:,} of {memory.usable_bytes:,} bytes"
    return ""


def cards_named(device: str) -> list[str]:
    """The cards of a device in no order, without the layers that a plan gives them."""
    return sorted(part.partition(":")[0] for part in device.split("+"))


def file_fails(answer: HomeAnswer) -> str:
    """No published repository is named, no source shows the named file, or it has to be made."""
    plan = answer.plan
    assert plan is not None
    said = plan.recommendation
    if "/" not in answer.place:
        return f"no repository: {answer.place or 'no command'}"
    if said is not None and said.needs_new_weights:
        return "to be made"
    if ":" in answer.place and answer.file is None:
        return f"no source shows {answer.place}"
    return ""


def command_fails(answer: HomeAnswer) -> str:
    """It has no command, a flag that the engine's table does not have, or a context that is too
    short for the request."""
    line, plan = answer.command, answer.plan
    assert line is not None
    assert plan is not None
    if not line.words:
        return "; ".join(line.notes) or "no command"
    known = set(flags(line.engine)) | SHORT_FLAGS
    unknown = [flag for flag in flags_of(line.words) if flag not in known]
    if unknown:
        return f"unknown: {' '.join(unknown)}"
    for name in ("--ctx-size", "--max-model-len"):
        if name in line.words and (
            int(line.words[line.words.index(name) + 1]) < plan.workload.context_tokens
        ):
            return f"{name} is shorter than the request"
    return ""


def practice_fails(answer: HomeAnswer) -> str:
    """Nobody published the engine for such a machine, nor files of such bits."""
    plan, asked = answer.plan, answer.question
    assert plan is not None
    if plan.engine.name not in asked.engines:
        return f"{plan.engine.name}; published: {', '.join(asked.engines)}"
    if not any(name.startswith(asked.files) for name in answer.formats):
        return f"{', '.join(answer.formats)}; published: {', '.join(asked.files)}"
    return ""


def decode_fails(answer: HomeAnswer) -> str:
    """Its decode of one request lies outside what is published."""
    low, high = answer.question.decode
    decode = answer.speeds[1]
    if low / BELOW <= decode <= high * ABOVE:
        return ""
    return f"{decode:.3g} tokens/s; published {low:g} to {high:g}"


def window_fails(answer: HomeAnswer) -> str:
    """The context that fits is not told, or is shorter than the request."""
    plan = answer.plan
    assert plan is not None
    if answer.window < plan.workload.context_tokens:
        return f"{answer.window:,} tokens"
    return "" if f"{answer.window:,}" in answer.text else "not told"


def loss_fails(answer: HomeAnswer) -> str:
    """It loses more than a damaged model, or does not say what it loses."""
    plan = answer.plan
    assert plan is not None
    if plan.quality.loss > MOST_LOSS:
        return f"KL {plan.quality.loss:.2g}"
    return "" if "KL " in answer.text else "not told"


def length_fails(answer: HomeAnswer) -> str:
    """It is longer than one screen."""
    lines = answer.text.count("\n")
    return f"{lines} lines" if lines > MOST_LINES else ""


CRITERIA: dict[str, Callable[[HomeAnswer], str]] = {
    "machine": machine_fails,
    "file": file_fails,
    "command": command_fails,
    "practice": practice_fails,
    "decode": decode_fails,
    "context": window_fails,
    "loss": loss_fails,
    "length": length_fails,
}


def judged(answer: HomeAnswer) -> dict[str, str]:
    """What every criterion that fails says, by name; ``refused`` where there is no answer."""
    if answer.plan is None:
        return {"refused": answer.refusal.splitlines()[0] if answer.refusal else "no answer"}
    return {name: words for name, fails in CRITERIA.items() if (words := fails(answer))}
