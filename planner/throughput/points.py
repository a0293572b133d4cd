"""The candidates of a search as arrays: layouts × sequences per rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.placement.layout import Layout

Array = NDArray[np.float64]
Int = NDArray[np.int64]


@record
class Points:
    """C candidates. ``layout`` indexes the layout list; the other fields are float arrays [C].

    ``slot`` = sequences of one attention rank in one pipeline micro-batch, so that
    batch = slot · dp · pp.
    """

    layout: Int
    tp: Array
    dp: Array
    pp: Array
    ep: Array
    slot: Array

    @property
    def batch(self) -> Int:
        """Sequences decoded together in one replica [C]."""
        return np.asarray(np.rint(self.slot * self.dp * self.pp), dtype=np.int64)

    @property
    def group(self) -> Array:
        """Ranks of one pipeline stage: tp·dp [C]."""
        return self.tp * self.dp

    @property
    def moe_tp(self) -> Array:
        return self.group / self.ep

    def __len__(self) -> int:
        return len(self.layout)

    def take(self, index: Int | slice) -> Points:
        """The candidates at ``index``."""
        return Points(
            self.layout[index],
            self.tp[index],
            self.dp[index],
            self.pp[index],
            self.ep[index],
            self.slot[index],
        )


def concatenate(groups: Sequence[Points]) -> Points:
    """Candidates of several groups over the same layouts, one after the other."""

    def joined(name: str) -> Array:
        return np.concatenate([getattr(g, name) for g in groups])

    return Points(
        np.concatenate([g.layout for g in groups]),
        joined("tp"),
        joined("dp"),
        joined("pp"),
        joined("ep"),
        joined("slot"),
    )


def points(layouts: Sequence[Layout], pairs: Sequence[tuple[int, int]]) -> Points:
    """Candidates from (layout index, slot) pairs."""
    index = np.array([p[0] for p in pairs], dtype=np.int64)

    def column(name: str) -> Array:
        values = np.array([getattr(la, name) for la in layouts], dtype=np.float64)
        return values[index]

    return Points(
        layout=index,
        tp=column("tp"),
        dp=column("dp"),
        pp=column("pp"),
        ep=column("ep"),
        slot=np.array([p[1] for p in pairs], dtype=np.float64),
    )


Number = float | Array
"""One number for all candidates, or one each [C]."""


def column(value: Number) -> Number:
    """A number that broadcasts over choices: [C] becomes [C, 1]."""
    return value[:, None] if isinstance(value, np.ndarray) else value


@record
class Phase:
    """One forward pass. ``tokens`` per attention rank, ``pooled`` in the expert group, [C].

    ``passes`` chunks of that size are run (prefill); ``sequences`` per rank; ``kv_len`` tokens
    attended by each (decode) or prompt length (prefill); ``logit_rows`` per rank. A ``mixed`` pass
    reads a chunk of each of ``prompts`` prompts of ``prompt_length`` tokens beside the sequences
    that decode. The first ``cached`` tokens of a prompt are found in the cache: they are attended,
    not computed. A ``stack`` has rows of other phases one after the other (:func:`stack_phases`).
    Each decoding sequence passes ``verified`` tokens: its last one and those drafted after it.
    """

    name: str
    tokens: Array
    pooled: Array
    passes: Number
    sequences: Array
    kv_len: Number
    logit_rows: Array
    prompt_length: Number = 0.0
    prompts: Number = 1.0
    stacked: StackedPhases | None = None
    cached: Number = 0.0
    verified: float = 1.0

    @property
    def decode_part(self) -> Phase:
        """The sequences of a mixed pass that decode, once."""
        return replace(self, name="decode", passes=1.0, tokens=self.sequences * self.verified)

    @property
    def one_prompt(self) -> Phase:
        """One of the prompts that a pass of several reads (:func:`prompts_phase`)."""
        prompt_tokens = self.tokens / self.prompts
        return replace(
            self,
            tokens=prompt_tokens,
            pooled=prompt_tokens,
            sequences=self.sequences / self.prompts,
            logit_rows=self.logit_rows / self.prompts,
            prompts=1.0,
        )

    @property
    def prompt_part(self) -> Phase:
        """One prompt of a mixed pass."""
        ones = np.ones(len(self.tokens))
        tokens = ones * ((self.prompt_length - self.cached) / self.passes)
        return Phase(
            "prefill",
            tokens=tokens,
            pooled=tokens,
            passes=self.passes,
            sequences=ones,
            kv_len=self.prompt_length,
            logit_rows=ones / self.passes,
            cached=self.cached,
        )


@record
class StackedPhases:
    """What a ``stack`` holds: D decode steps, D mixed passes, then L prompts alone; ``prompt_of``
    [D] is the prompt (0 … L − 1) of each mixed pass."""

    step: Phase
    mixed: Phase
    prompt: Phase
    prompt_of: Int

    @property
    def steps(self) -> slice:
        """Rows of the decode steps."""
        return slice(0, len(self.prompt_of))

    @property
    def mixes(self) -> slice:
        """Rows of the mixed passes."""
        return slice(len(self.prompt_of), 2 * len(self.prompt_of))

    @property
    def rest(self) -> slice:
        """Rows of the mixed passes and the prompts."""
        return slice(len(self.prompt_of), None)

    @property
    def prompts(self) -> slice:
        """Rows of the prompts."""
        return slice(2 * len(self.prompt_of), None)


def stack_phases(step: Phase, mixed: Phase, prompt: Phase, prompt_of: Int) -> Phase:
    """Three phases as rows of one [3, C], so that each operator is asked once."""
    phases = (step, mixed, prompt)

    def joined(name: str) -> Array:
        return np.concatenate(
            [
                np.broadcast_to(np.asarray(getattr(p, name), dtype=np.float64), p.tokens.shape)
                for p in phases
            ]
        )

    return Phase(
        "stack",
        joined("tokens"),
        joined("pooled"),
        joined("passes"),
        joined("sequences"),
        joined("kv_len"),
        joined("logit_rows"),
        joined("prompt_length"),
        stacked=StackedPhases(step, mixed, prompt, prompt_of),
        cached=joined("cached"),
    )


def decode_phase(pts: Points, kv_len: Number, verified: float = 1.0) -> Phase:
    """One token for every sequence of a micro-batch, or ``verified`` ones with as many logits."""
    tokens = pts.slot * verified
    return Phase(
        "decode",
        tokens=tokens,
        pooled=tokens * pts.dp,
        passes=1.0,
        sequences=pts.slot,
        kv_len=kv_len,
        logit_rows=tokens,
        verified=verified,
    )


def prefill_phase(pts: Points, isl: int | Int, chunk: int, cached: int | Int = 0) -> Phase:
    """The prompt of one request on one attention rank [C], in chunks of at most ``chunk`` tokens;
    its first ``cached`` are not computed."""
    new = isl - cached
    passes, length = _number(-(-new // chunk)), _number(new)
    ones = np.ones(len(pts))
    tokens = ones * (length / passes)
    return Phase(
        "prefill",
        tokens=tokens,
        pooled=tokens,
        passes=passes,
        sequences=ones,
        kv_len=_number(isl),
        logit_rows=ones / passes,
        cached=_number(cached),
    )


def prompts_phase(pts: Points, isl: int, chunk: int, prompts: Array, cached: int = 0) -> Phase:
    """``prompts`` [C] prompts of every attention rank read together by a worker that decodes
    nothing: all ranks of ``dp`` read in the same pass, which their experts see."""
    phase = prefill_phase(pts, isl, chunk, cached)
    tokens = prompts * phase.tokens
    return replace(
        phase,
        tokens=tokens,
        pooled=tokens * pts.dp,
        sequences=prompts * phase.sequences,
        logit_rows=prompts * phase.logit_rows,
        prompts=prompts,
    )


def _number(value: int | Int) -> Number:
    return value.astype(np.float64) if isinstance(value, np.ndarray) else float(value)


def mixed_phase(
    pts: Points,
    kv_len: Number,
    isl: int | Int,
    chunk: int,
    prompts: Number = 1.0,
    reading: Number = 1.0,
    cached: int | Int = 0,
    verified: float = 1.0,
) -> Phase:
    """A prompt, chunk by chunk, beside the sequences that decode [C]: weights are read once for
    both.

    Each pass carries a chunk of ``prompts`` prompts, a mean of at least 1; ``reading`` attention
    ranks read as many in the same pass, which their experts see.
    """
    phase, decoded = prefill_phase(pts, isl, chunk, cached), pts.slot * verified
    return Phase(
        "mixed",
        tokens=decoded + prompts * phase.tokens,
        pooled=decoded * pts.dp + prompts * reading * phase.pooled,
        passes=phase.passes,
        sequences=pts.slot,
        kv_len=kv_len,
        logit_rows=decoded + prompts * phase.logit_rows,
        prompt_length=phase.kv_len,
        prompts=prompts,
        cached=phase.cached,
        verified=verified,
    )
