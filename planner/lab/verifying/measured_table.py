"""``e2e_verify.csv``: what was measured and predicted, as ``plan validate`` and ``plan calibrate``
read it.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from planner.base.csv_text import csv_cell
from planner.base.units import format_layers
from planner.lab.verifying.records import BUSY_FACT, Verification
from planner.lab.verifying.run import Findings

FILE = "e2e_verify.csv"
COLUMNS = (
    "device",
    "software",
    "engine",
    "model",
    "subject",
    "formats",
    "types",
    "prompt_tokens",
    "output_tokens",
    "threads",
    "cache",
    "quantity",
    "unit",
    "measured",
    "spread",
    "repeats",
    "predicted",
    "low",
    "high",
    "basis",
    "busy",
    "date",
)
"""``formats`` counts weights by ggml type or scheme ("180 Q5_0 + 90 Q4_K"), ``types`` has them by
tensor, by GGUF names whatever the engine (:func:`layered`); ``busy`` is the share of its threads'
time that the run did not get."""
NO_SCHEMES: Mapping[str, Mapping[str, str]] = MappingProxyType({})
_IN_LAYER = re.compile(r"blk\.(\d+)\.(.+)\.weight")


def table_text(
    verified: Verification, run: Findings, schemes: Mapping[str, Mapping[str, str]] = NO_SCHEMES
) -> str:
    """The table of a verification. ``schemes`` {tensor: scheme} of a subject stand for the types of
    what an engine loads without telling them: a plan on vLLM or PyTorch."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(COLUMNS)
    s, date = verified.setting, datetime.date.today().isoformat()
    for row in verified.rows:
        if row.measured is None:
            continue
        facts = run.facts.get(row.subject, {})
        if "types" not in facts and "scheme" not in facts:
            facts = {**facts, "types": schemes.get(row.subject, {})}
        busy = facts.get(BUSY_FACT.get(row.quantity, ""))
        lines.writerow(
            csv_cell(value)
            for value in (
                verified.device,
                f"{verified.engine.name} {verified.engine.version}",
                verified.engine.name,
                verified.model,
                row.subject,
                formats_text(facts),
                layered(facts),
                s.prompt_tokens,
                s.output_tokens,
                s.threads,
                s.cache,
                row.quantity,
                row.unit,
                repr(row.measured),
                repr(row.spread),
                run.values[row.subject][row.quantity].repeats,
                _number(row.predicted),
                _number(row.low),
                _number(row.high),
                row.basis,
                "" if busy is None else f"{busy:.3f}",
                date,
            )
        )
    return out.getvalue()


def layered(facts: Mapping[str, Any]) -> str:
    """Types by tensor in few words: ``attn_q Q5_0 0-29; ffn_down Q6_K 0-2,27-29 …``; ``= SCHEME``
    for a uniform scheme."""
    if "types" not in facts:
        return f"= {facts['scheme']}" if "scheme" in facts else ""
    layers: dict[tuple[str, str], list[int]] = {}
    for name, word in facts["types"].items():
        match = _IN_LAYER.fullmatch(name)
        if word != "F32":
            stem = match[2] if match else name.removesuffix(".weight")
            layers.setdefault((stem, word), []).append(int(match[1]) if match else -1)
    return "; ".join(
        f"{stem} {word}" + (f" {format_layers(tuple(at)).replace(', ', ',')}" if at != [-1] else "")
        for (stem, word), at in layers.items()
    )


def formats_text(facts: Mapping[str, Any]) -> str:
    """``180 Q5_0 + 90 Q4_K``, the most frequent first; the scheme where one is uniform."""
    counts: dict[str, int] = {}
    for word in dict(facts.get("types", {})).values():
        if word != "F32":
            counts[word] = counts.get(word, 0) + 1
    if counts:
        return " + ".join(
            f"{n} {word}"
            for word, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        )
    return str(facts.get("scheme", ""))


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
