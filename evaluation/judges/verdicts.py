"""What engines said of the cases: accepted, refused and why, computed otherwise than priced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.judges.cases import Case
from evaluation.judges.priced import CHUNK, CONTEXT, REPLAYED, SEQUENCES, SHARE

SHARE_SLACK = 0.002
"""Fractions are rounded to three digits, by both."""
PADDING_SLACK = 0.1
"""Sequences that a graph has more than the batch, of the batch: less than a step's own error."""
Difference = tuple[str, str, str]
"""Name, the engine's value, the priced one."""


@dataclass(frozen=True)
class Judged:
    """A case with the judge's version, its reason to refuse (none: accepted), the values that
    differ, and whether values were compared at all."""

    case: Case
    judge: str
    refused: str
    differing: tuple[Difference, ...]
    compared: bool


def read(case: Case, verdict: Mapping[str, Any], judge: str) -> Judged:
    """The verdict on ``case``."""
    if "error" in verdict:
        return Judged(case, judge, str(verdict["error"]), (), compared=False)
    computed = verdict.get("computed") or {}
    impossible = unstartable(case.engine, computed)
    if impossible:
        return Judged(case, judge, impossible, (), compared=False)
    if not case.priced or not computed:
        return Judged(case, judge, "", (), compared=False)
    return Judged(case, judge, "", tuple(differences(case, computed)), compared=True)


def unstartable(engine: str, computed: Mapping[str, Any]) -> str:
    """Why a server cannot start with what was computed, though its parser took the words."""
    if engine == "sglang":
        share = computed.get("mem_fraction_static")
        if share is not None and not 0 < share < 1:
            return f"computed mem_fraction_static {share}: no memory is left for weights"
    return ""


def differences(case: Case, computed: Mapping[str, Any]) -> list[Difference]:
    """Values that the engine computes otherwise than the plan priced them."""
    priced = case.priced
    values = _READERS[case.engine](computed, priced)
    out: list[Difference] = []
    for name, value in values.items():
        expected = priced.get(name)
        if expected is None or value is None:
            continue
        if name == SHARE:
            if abs(value - expected) > SHARE_SLACK:
                out.append((name, f"{value:.3f}", f"{expected:.3f}"))
        elif value != expected:
            out.append((name, str(value), str(expected)))
    sizes, batch = values.get("sizes"), priced.get(REPLAYED)
    drafting = any("speculative" in word for word in case.words)
    if batch is not None and sizes is not None and not drafting:
        size = next((n for n in sorted(sizes) if n >= batch), None)
        if size is None or size > batch * (1 + PADDING_SLACK):
            out.append((REPLAYED, "none" if size is None else str(size), str(batch)))
    return out


def _vllm(computed: Mapping[str, Any], priced: Mapping[str, Any]) -> dict[str, Any]:
    graphs = "NONE" not in str(computed.get("graphs")) and not computed.get("eager")
    return {
        SEQUENCES: computed["sequences"],
        CHUNK: computed["tokens"],
        CONTEXT: computed["context"],
        SHARE: computed["memory_fraction"],
        "tp": computed["tp"],
        "pp": computed["pp"],
        "dp": computed["dp"],
        "sizes": (computed.get("graph_sizes") or []) if graphs else [],
    }


def _sglang(computed: Mapping[str, Any], priced: Mapping[str, Any]) -> dict[str, Any]:
    ranks = max(1, computed.get("attn_dp_size") or computed.get("dp_size") or 1)
    running = computed.get("max_running_requests")
    return {
        SEQUENCES: None if running is None else max(1, running // ranks),
        CHUNK: computed["chunked_prefill_size"],
        CONTEXT: computed["context_length"],
        SHARE: computed["mem_fraction_static"],
        "tp": computed["tp_size"] // ranks,
        "dp": ranks,
        "pp": computed["pp_size"],
        "ep": computed["ep_size"],
        "sizes": [] if computed.get("graphs") == "disabled" else computed.get("graph_sizes"),
    }


def _trtllm(computed: Mapping[str, Any], priced: Mapping[str, Any]) -> dict[str, Any]:
    stages = computed["pp"]
    slots = computed["sequences"] * stages
    cut = computed["tokens"] < computed["context"]
    expected = -(-priced[SEQUENCES] // stages) * stages
    return {
        SEQUENCES: priced[SEQUENCES] if slots == expected else slots,
        CHUNK: computed["tokens"] if computed["chunked"] or not cut else "whole prompts only",
        CONTEXT: computed["context"],
        "pp": stages,
        "dp": computed["tp"] // priced["tp"] if computed["attention_dp"] else 1,
        "sizes": computed["graph_sizes"] if computed["padded"] else [],
    }


def _llamacpp(computed: Mapping[str, Any], priced: Mapping[str, Any]) -> dict[str, Any]:
    return {}


_READERS = {"vllm": _vllm, "sglang": _sglang, "tensorrt-llm": _trtllm, "llama.cpp": _llamacpp}


def reason(text: str) -> str:
    """The first telling line of an error without names and numbers, to group by."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = lines[0] if lines else "no words"
    if first.endswith(("VllmConfig", "ModelConfig", "ParallelConfig", "Config", "EngineArgs")):
        first = f"{first}: {lines[1]}" if len(lines) > 1 else first
    first = re.sub(r"/[^\s'\",\]]+", "PATH", first)
    first = re.sub(r"\b\d+(\.\d+)?\b", "N", first)
    return re.sub(r"\s+", " ", first)[:200]


def grouped(judged: Sequence[Judged]) -> dict[tuple[str, str], list[Judged]]:
    """(engine, reason) → the refused cases, the most frequent first."""
    out: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        if one.refused:
            out.setdefault((one.case.engine, reason(one.refused)), []).append(one)
    return dict(sorted(out.items(), key=lambda item: (-len(item[1]), item[0])))
