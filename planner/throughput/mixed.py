"""Operators that serve decoding sequences and prompts by separate kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from planner.models.spec import Attention
from planner.throughput.attended import computed_share
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, one_after_another


def by_part(run: Callable[[Points, Phase], Parts], pts: Points, phase: Phase) -> Parts:
    """``run`` on a phase; on a mixed one, on what decodes (in every chunk's pass) and each of its
    prompts, which separate kernels serve; on a pass of several prompts, on each of them."""
    if phase.stacked is not None:
        stacked_phases = phase.stacked
        decode = run(pts.take(stacked_phases.steps), stacked_phases.step)
        prompt = run(pts.take(stacked_phases.prompts), stacked_phases.prompt)
        mixed = decode.scaled(column(stacked_phases.mixed.passes)).plus(
            prompt.rows(stacked_phases.prompt_of).scaled(column(stacked_phases.mixed.prompts))
        )
        return one_after_another([decode, mixed, prompt])
    if phase.name == "prefill" and np.any(np.asarray(phase.prompts) != 1.0):
        return run(pts, phase.one_prompt).scaled(column(phase.prompts))
    if phase.name != "mixed":
        return run(pts, phase)
    return (
        run(pts, phase.decode_part)
        .scaled(column(phase.passes))
        .plus(run(pts, phase.prompt_part).scaled(column(phase.prompts)))
    )


def without_cached_pairs(parts: Parts, attention: Attention, phase: Phase) -> Parts:
    """``parts`` of a whole prompt's attention without those of its cached tokens: the share of the
    pairs that are computed. Every pass launches its kernels."""
    if phase.name == "decode" or not np.any(phase.cached):
        return parts
    share = column(computed_share(attention, phase.kv_len, phase.cached))
    return replace(parts.scaled(share), launch=parts.launch)
