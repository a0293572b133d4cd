"""What is run where nobody says, and less of it where it would take too long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planner.base.errors import PlannerError
from planner.lab.verifying.predict import Setup, predict
from planner.lab.verifying.records import PLAN, Setting, Trial

USUAL, QUICK = Setting(448, 64, 1, 5, 512, 16, 1800.0), Setting(240, 16, 1, 2, 512, 4, 600.0)
"""What is run where nobody says: prompt and output (together whole cells of a llama.cpp cache),
threads that the machine gives, repeats; length and number of the pieces of text."""
TIMED_SECONDS, QUICK_SECONDS = 120.0, 15.0
"""A prompt or its answer, all repeats together, is made shorter until it is predicted to take no
longer than this."""
LEAST_TOKENS = 32


def given_setting(quick: bool, **given: Any) -> Setting:
    """What is asked for, by fields of :class:`Setting`; else the usual, or what is quick."""
    return replace(QUICK if quick else USUAL, **{k: v for k, v in given.items() if v is not None})


def shortened(
    setup: Setup,
    prompt: bool,
    output: bool,
    pieces: bool = False,
    *,
    quick: bool,
    share: float = 1.0,
) -> tuple[Setup, tuple[str, ...]]:
    """Fewer tokens, and pieces of text where it is to be quick, if all repeats are predicted to
    take longer than that with a ``share`` of the cores; what was given stays. The slowest file is
    the checkpoint itself."""
    s, limit = setup.task.setting, QUICK_SECONDS if quick else TIMED_SECONDS
    try:
        values = predict(setup, Trial(PLAN, PLAN), {}).values
    except PlannerError:
        return setup, ()
    if "prefill_seconds" not in values:
        return setup, ()
    each = values["prefill_seconds"].value / s.prompt_tokens / share
    step = values["decode_seconds"].value / share
    p = _halved(s.prompt_tokens, each * s.repeats, limit) if prompt else s.prompt_tokens
    n = _halved(s.output_tokens, step * s.repeats, limit) if output else s.output_tokens
    k = s.kl_chunks
    while quick and pieces and k > 1 and k * s.kl_context_tokens * each > limit:
        k //= 2
    if (p, n, k) == (s.prompt_tokens, s.output_tokens, s.kl_chunks):
        return setup, ()
    changed = replace(s, prompt_tokens=p, output_tokens=n, kl_chunks=k)
    fewer = [f"{p} + {n} tokens, from {s.prompt_tokens} + {s.output_tokens}"]
    fewer = fewer if (p, n) != (s.prompt_tokens, s.output_tokens) else []
    fewer += [f"{k} of {s.kl_chunks} pieces of text"] if k != s.kl_chunks else []
    return replace(setup, task=replace(setup.task, setting=changed)), (
        f"scaled down to {' and '.join(fewer)}: more would take longer than {limit:.0f} s here",
    )


def _halved(tokens: int, seconds_each: float, limit: float) -> int:
    while tokens > LEAST_TOKENS and tokens * seconds_each > limit:
        tokens //= 2
    return tokens
