"""How long prompts and answers are: all alike, or as published traces have them."""

from __future__ import annotations

import csv
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError, UnknownNameError
from planner.base.records import record
from planner.requests.stream import RequestStream, Seconds, Tokens, plain_stream

_DATA = Path(__file__).resolve().parent / "data"
_LATER = 0x6C656E
"""Beside a seed: lengths are drawn from numbers of their own, whatever arrivals take."""


@record
class FixedLengths:
    """Prompts of ``input_tokens`` and answers of ``output_tokens``."""

    input_tokens: int
    output_tokens: int


@record
class PublishedLengths:
    """Percentiles of a public trace of ``requests``: a share ``share`` [P] from 0 to 1 has prompts
    of at most ``input_tokens`` [P], and one of answers of at most ``output_tokens`` [P].
    ``rank_correlation`` of the two (Spearman's)."""

    id: str
    title: str
    source: str
    requests: int
    rank_correlation: float
    mean_input_tokens: float
    mean_output_tokens: float
    share: NDArray[np.float64]
    input_tokens: NDArray[np.float64]
    output_tokens: NDArray[np.float64]


Lengths = FixedLengths | PublishedLengths


def length_names() -> tuple[str, ...]:
    """Names of the published lengths, sorted."""
    return tuple(sorted(_index()))


def published_lengths(name: str) -> PublishedLengths:
    """The lengths of a public trace.

    Raises:
        UnknownNameError: no such name.
    """
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    if wanted not in _index():
        raise UnknownNameError("lengths", name, length_names())
    return _published(wanted)


def drawn_lengths(lengths: Lengths, count: int, seed: int) -> tuple[Tokens, Tokens]:
    """Tokens of ``count`` prompts and answers [count], at least 1 each; the same by ``seed``.

    Published ones are drawn by the inverse of their percentiles, linear between them. Prompt and
    answer take the same share of them (the opposite one where they go against each other) as often
    as makes their rank correlation the published one, else each its own: a mixture of copulas,
    whose rank correlation is the mixture's (Nelsen, An Introduction to Copulas, 2006, 5.1.2).

    Raises:
        InputError: fixed lengths below one token.
    """
    if isinstance(lengths, FixedLengths):
        if min(lengths.input_tokens, lengths.output_tokens) < 1:
            raise InputError(
                f"requests of {lengths.input_tokens} and {lengths.output_tokens} tokens",
                hint="at least one token each",
            )
        every = np.ones(count, dtype=np.int64)
        return every * lengths.input_tokens, every * lengths.output_tokens
    draws = np.random.default_rng((seed, _LATER)).random((count, 3))
    first, own, together = draws.T
    same = first if lengths.rank_correlation > 0 else 1 - first
    second = np.where(together < abs(lengths.rank_correlation), same, own)
    return _at(lengths, lengths.input_tokens, first), _at(lengths, lengths.output_tokens, second)


def stream_of(
    arrival_seconds: Seconds, lengths: Lengths, *, seed: int = 0, hit_rate: float = 0.0
) -> RequestStream:
    """Requests that come at ``arrival_seconds`` [N] with drawn lengths; the cache holds a share
    ``hit_rate`` of each prompt."""
    prompts, answers = drawn_lengths(lengths, len(arrival_seconds), seed)
    return plain_stream(arrival_seconds, prompts, answers, hit_rate)


def _at(lengths: PublishedLengths, tokens: NDArray[np.float64], share: Seconds) -> Tokens:
    return np.maximum(np.rint(np.interp(share, lengths.share, tokens)), 1).astype(np.int64)


@cache
def _index() -> dict[str, dict[str, str | int | float]]:
    return tomllib.loads((_DATA / "lengths.toml").read_text(encoding="utf-8"))


@cache
def _published(name: str) -> PublishedLengths:
    with (_DATA / "lengths.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == name]
    share, prompts, answers = (
        np.array([float(row[key]) for row in rows])
        for key in ("percent", "input_tokens", "output_tokens")
    )
    entry = _index()[name]
    return PublishedLengths(
        name,
        str(entry["title"]),
        str(entry["source"]),
        int(entry["requests"]),
        float(entry["rank_correlation"]),
        float(entry["mean_input_tokens"]),
        float(entry["mean_output_tokens"]),
        share / 100,
        prompts,
        answers,
    )
