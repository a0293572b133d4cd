"""Rows that ``plan verify`` wrote (``e2e_verify*``): what an engine measured on the machine that it
ran on, beside what was predicted for that machine then.

The prediction is the row's own: the machine is the one that the table was made on, which need not
be the one that reads it. ``plan calibrate`` predicts anew (:func:`predicted_seconds`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from planner.base.csv_text import csv_value
from planner.base.errors import PlannerError
from planner.hardware.profile import DeviceProfile
from planner.lab.validation.cells import MOST_TOKENS, positive
from planner.lab.validation.records import NotCoveredError, Outcome
from planner.models.catalog import resolve_model
from planner.models.gguf_types import with_types
from planner.models.spec import ModelSpec
from planner.planning.engines.mixes import mixes_of
from planner.planning.inspect.batch_one import BatchOneRun, price_batch_one, prompt_and_step

REGIME = "as predicted by plan verify"
DECODE, PREFILL = "decode_seconds", "prefill_seconds"
CELLS = 256
"""llama.cpp allocates its cache in so many cells."""
_RELEASE = re.compile(r"\b\d+\.\d+")
LARGEST, MOST_LAYERS, MOST_NAMES = 1e15, 1 << 12, 1 << 16


def predict_rows(table: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """One outcome a row."""
    return [_outcome(table, i, row) for i, row in enumerate(rows)]


def _outcome(table: str, i: int, row: Mapping[str, str]) -> Outcome:
    blank = Outcome(
        table=table,
        row=i,
        metric=row["quantity"],
        device=row["device"],
        software=row["software"],
        model=row["model"],
        format=row["subject"],
        regime=REGIME,
        engine=row["engine"],
    )
    try:
        measured = positive(row["measured"], LARGEST)
        blank = replace(blank, measured=measured)
        if not row["predicted"]:
            raise NotCoveredError("quantity not predicted")
        value, low, high = (positive(row[name], LARGEST) for name in ("predicted", "low", "high"))
        if not low <= value <= high:
            raise NotCoveredError("malformed row")
    except NotCoveredError as error:
        return replace(blank, reason=error.reason)
    return replace(blank, predicted=value, low=low, high=high, basis=row["basis"])


def model_of(row: Mapping[str, str]) -> ModelSpec:
    """The bundled model of a row.

    Raises:
        NotCoveredError: it is none.
    """
    try:
        return resolve_model(row["model"])
    except PlannerError:
        raise NotCoveredError("unknown model") from None


def predicted_seconds(row: Mapping[str, str], device: DeviceProfile, spec: ModelSpec) -> float:
    """Seconds of the row's prompt or step on ``device``.

    Raises:
        NotCoveredError: a row without times, formats that are not known, or that cannot run.
    """
    if row["quantity"] not in (DECODE, PREFILL):
        raise NotCoveredError("quantity not predicted")
    isl, osl = (
        int(positive(row[name], MOST_TOKENS)) for name in ("prompt_tokens", "output_tokens")
    )
    context = -(-(isl + osl) // CELLS) * CELLS
    how = BatchOneRun(device, engine_of(row), isl, osl, context, row["cache"])
    said = (csv_value(row["types"]) or "").strip()
    try:
        if row["subject"] in mixes_of(row["engine"]):
            priced = price_batch_one(spec, how, scheme=row["subject"])
        elif said.startswith("="):
            priced = price_batch_one(spec, how, scheme=said[1:].strip())
        else:
            priced = price_batch_one(with_types(spec, types_of(said)), how)
    except PlannerError:
        raise NotCoveredError("not executable") from None
    prompt, step = prompt_and_step(priced)
    return step.value if row["quantity"] == DECODE else prompt.value


def engine_of(row: Mapping[str, str]) -> str:
    """The row's engine as rules read it: vLLM, whose versions differ in what they run, at its
    own."""
    release = _RELEASE.search(row["software"])
    return f"{row['engine']}@{release[0]}" if row["engine"] == "vllm" and release else row["engine"]


def types_of(text: str) -> dict[str, str]:
    """{GGUF tensor: type or scheme} from ``attn_q Q5_0 0-29; token_embd Q8_0``.

    Raises:
        NotCoveredError: it is no such list.
    """
    out: dict[str, str] = {}
    count = 0
    try:
        for part in filter(None, (p.strip() for p in text.split(";"))):
            stem, word, *layers = part.split()
            if not layers:
                out[f"{stem}.weight"] = word
                continue
            for span in layers[0].split(","):
                first, _, last = span.partition("-")
                named = range(int(first), min(int(last or first), MOST_LAYERS) + 1)
                count += len(named)
                if count > MOST_NAMES:  # a cell that says the same again and again
                    raise NotCoveredError("unknown format")
                for layer in named:
                    out[f"blk.{layer}.{stem}.weight"] = word
    except ValueError:
        raise NotCoveredError("unknown format") from None
    if not out:
        raise NotCoveredError("unknown format")
    return out
