"""docs/evidence/schedulers.md: a row a scheduler of an engine, a row a trace beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluation.pages import moved
from evaluation.schedulers.compare import Compared
from evaluation.schedulers.golden import Batch

HEAD = """# Engines' own schedulers, pass by pass

Each trace went through the engine's own scheduler and through the planner's, at the same settings
and seconds a pass; equal passes hold the same requests with as many tokens each. vLLM's scheduler
classes ran without GPU and model, called as its engine core calls them: `Scheduler` hears what a
pass made before it forms the next, `AsyncScheduler`, the default, after. llama.cpp's server served
SmolLM2-135M with 8 slots and 128 tokens a batch, and its log has the passes. SGLang's `Scheduler`
ran on CPU pools, called as by its two event loops (the second is the default). In one trace its
radix tree, which evicts the leaf that was accessed longest ago, keeps a prefix that ours, which
goes by the end of the last use, has evicted.
"""
BRIEF = (
    "| engine | scheduler | traces | equal | passes | preempted | settings reached |\n"
    "|---|---|--:|--:|--:|--:|---|"
)
ROWS = (
    "| engine | scheduler | trace | tokens a pass | sequences | cache blocks | prefix cache |"
    " requests | passes | preempted | first that differs |\n"
    "|---|---|---|--:|--:|--:|---|--:|--:|--:|--:|"
)
FOOT = "Made by `python -m evaluation.schedulers --write docs/evidence/schedulers.md`."
SHOWN = 160


def page(compared: Mapping[tuple[str, str], Sequence[Compared]]) -> str:
    """The page, of what was compared by engine and version."""
    brief, rows, told = [BRIEF], [ROWS], []
    for (engine, version), both in compared.items():
        name = f"{engine} {version}"
        for scheduler in dict.fromkeys(one.recorded.scheduler for one in both):
            own = [one for one in both if one.recorded.scheduler == scheduler]
            brief.append(_line(name, scheduler, *_sums(own)))
            rows += [_line(name, scheduler, *_cells(one)) for one in own]
            told += [_difference(one) for one in own if not one.equal]
    data = moved("schedulers", "Every trace, with its settings", rows)
    return "\n\n".join([HEAD.rstrip(), "\n".join(brief), *told, data, FOOT]) + "\n"


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _sums(own: Sequence[Compared]) -> tuple[object, ...]:
    """Traces, equal ones, passes, evictions, and in how many traces which limit was reached."""
    reached = {
        "tokens": sum(_most_tokens(one) == one.recorded.trace.token_budget for one in own),
        "sequences": sum(_most(one) == one.recorded.trace.max_sequences for one in own),
        "cache": sum(one.recorded.preempted > 0 for one in own),
    }
    return (
        len(own),
        sum(one.equal for one in own),
        sum(len(one.recorded.batches) for one in own),
        sum(one.recorded.preempted for one in own),
        ", ".join(f"{name} {count}" for name, count in reached.items()),
    )


def _most_tokens(one: Compared) -> int:
    return max(sum(tokens for _, tokens in batch) for batch in one.recorded.batches)


def _most(one: Compared) -> int:
    return max(map(len, one.recorded.batches))


def _cells(one: Compared) -> tuple[object, ...]:
    trace = one.recorded.trace
    return (
        trace.name,
        trace.token_budget,
        trace.max_sequences,
        trace.blocks,
        "on" if trace.prefix_cache else "off",
        len(trace.input_tokens),
        len(one.recorded.batches),
        one.recorded.preempted,
        "" if one.differs is None else one.differs + 1,
    )


def _difference(one: Compared) -> str:
    name, at = one.recorded.trace.name, one.differs
    if at is None:
        return f"{name}: {one.preempted} were preempted here."
    return (
        f"{name}, pass {at + 1}: {one.recorded.scheduler}'s {_shown(one.recorded.batches, at)},"
        f" ours {_shown(one.batches, at)}."
    )


def _shown(batches: Sequence[Batch], at: int) -> str:
    """Requests and tokens of a pass."""
    if at >= len(batches):
        return "none"
    text = " ".join(str(r) if n == 1 else f"{r}:{n}" for r, n in batches[at])
    return f"`{text[:SHOWN]}`"
