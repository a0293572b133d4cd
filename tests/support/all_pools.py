"""The best two pools by trying everything: all assignments of both × batches × workers.

Passes are priced one by one; the queue of prompts is that of the closed loop
(:mod:`planner.throughput.pools`), a number at a time. Nothing here looks at the optimiser.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from planner.planning.pools.candidates import prefill_space, prompt_counts, prompts_per_pass
from planner.planning.price.price import price
from planner.planning.question.question import Question
from planner.planning.space.layouts import possible_layouts
from planner.planning.space.memory import budget
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.throughput.pool_rates import MOST_BUSY
from planner.throughput.pools import PrefillPoolState
from support.full_price import Setting, broken, parts_of

STREAM = 1e15
"""Requests in flight of which one more makes no difference."""


@dataclass(frozen=True)
class Reads:
    """A prefill worker under one assignment."""

    devices: int
    tp: int
    dp: int
    group: tuple[float, ...]
    link: float


@dataclass(frozen=True)
class Decodes:
    """A decode worker under one assignment with one batch."""

    devices: int
    tp: int
    seconds: float
    rate: float


def with_cache(question: Question, kv: str) -> Question:
    """The question with one cache layout and no limit on TTFT, which is that of both pools."""
    return replace(question, kv=(kv,), ttft_seconds=None)


def decoders(question: Question, sizes: dict[int, int], link: float) -> Iterator[Decodes]:
    """Every decode worker that keeps the limits."""
    setting = Setting.of(replace(question, tpot_seconds=None))
    parts, osl = parts_of(setting.model, by_layer=False), question.workload.osl
    for layout in setting.layouts:
        for slot in itertools.count(1) if layout.pp == 1 else ():
            place, fits = setting.place(layout, slot), False
            for taken in itertools.product(*(place.able(part) for part in parts)):
                segments = place.segments(parts, taken)
                priced, sums = place.priced(segments), place.sums(segments)
                over = broken(setting, priced, sums)
                fits |= "memory" not in over
                seconds = sums.step
                limit = question.tpot_seconds
                if not over and (limit is None or seconds <= limit * (1 + 1e-9)):
                    rate = min(
                        slot * layout.dp / (osl * seconds), layout.dp * link / sizes[layout.tp]
                    )
                    yield Decodes(layout.ranks, layout.tp, seconds, rate)
            if not fits:
                break


def readers(question: Question, sizes: dict[int, int], link: float) -> Iterator[Reads]:
    """Every prefill worker that keeps the limits."""
    setting = Setting.of(replace(question, tpot_seconds=None))
    parts = parts_of(setting.model, by_layer=False)
    most = prompts_per_pass(question)
    counts = prompt_counts(most)
    space = prefill_space(build_model(question, load_prior()), counts)
    layouts = possible_layouts(question)
    for first in range(0, 0 if space is None else len(space), len(counts)):
        assert space is not None
        layout = layouts[int(space.pts.layout[first])]
        place = setting.place(layout, 1)
        for taken in itertools.product(*(place.able(part) for part in parts)):
            segments = place.segments(parts, taken)
            priced = [price(space, first + i, segments) for i in range(len(counts))]
            limit = setting.loss_limit
            if priced[-1].fullest.total > budget(question) or (
                limit is not None and priced[-1].loss > limit * (1 + 1e-9)
            ):
                continue
            floor = question.prompt_floor_seconds
            group = np.interp(range(1, most + 1), counts, [max(p.tpot, floor) for p in priced])
            yield Reads(
                layout.ranks,
                layout.tp,
                layout.dp,
                tuple(map(float, group)),
                layout.dp * link / sizes[layout.tp],
            )


def most_in_time(one: Reads, workers: int, seconds: float) -> float:
    """Requests/s that ``workers`` read within ``seconds`` each."""
    pool = PrefillPoolState(workers, workers * one.dp, len(one.group), one.group)
    most = min(MOST_BUSY * pool.fastest, workers * one.link)
    if pool.seconds(most, STREAM) <= seconds:
        return most
    if one.group[0] > seconds:
        return 0.0
    low, high = 0.0, most
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if pool.seconds(middle, STREAM) <= seconds else (low, middle)
    return low


def best_rate(question: Question, kv: str, sizes: dict[int, int], link: float) -> float:
    """Requests/s of the best pools of the question's devices whose caches are in ``kv``."""
    plain = with_cache(question, kv)
    prefill = sorted(set_of(readers(plain, sizes, link)), key=lambda one: one.group)
    decode = sorted(set_of(decoders(plain, sizes, link)), key=lambda one: -one.rate)
    devices, best = max(question.sizes), 0.0
    handling = question.prompt_host.handling_seconds
    for read, answer in itertools.product(prefill, decode):
        move = max(sizes[read.tp], sizes[answer.tp]) / link
        left = (
            float("inf")
            if question.ttft_seconds is None
            else question.ttft_seconds - handling - move - answer.seconds
        )
        for n in range(1, (devices - answer.devices) // read.devices + 1):
            m = (devices - n * read.devices) // answer.devices
            hoped = min(n * MOST_BUSY * read.dp * len(read.group) / read.group[-1], m * answer.rate)
            if hoped > best:
                best = max(best, min(most_in_time(read, n, left), m * answer.rate))
    return best


def set_of(found: Iterator[Reads] | Iterator[Decodes]) -> set:  # type: ignore[type-arg]
    """Each once."""
    return set(found)
