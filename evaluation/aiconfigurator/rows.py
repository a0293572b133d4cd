"""``python -m evaluation.aiconfigurator.rows --rival PYTHON --data DIR``: TPOT and TTFT of measured
rows by both tools, kept in rows.json for docs/evidence/beside-aiconfigurator.md.

DIR has the tables ``e2e_silicon*.csv``; of them the rows of workers that do both, as
``plan validate`` reads them. PYTHON is an interpreter with aiconfigurator, also from
AICONFIGURATOR_PYTHON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time
from typing import Any
from zlib import crc32

from benchmarks.prompt_host import Figures, policy_of, read_off, rows_of
from evaluation.aiconfigurator.__main__ import ANSWERS, PAGE, VARIABLE, asked_of, machine
from evaluation.aiconfigurator.page import ROWS, page
from evaluation.aiconfigurator.questions import CACHE_MODES
from evaluation.aiconfigurator.rows_table import summary
from planner import __version__
from planner.lab.validation.e2e_silicon import ServedRow, predict_rows, resolved
from planner.lab.validation.records import EXCLUDED, NotCoveredError, Outcome
from planner.lab.validation.served import assignment, layout_of, serve, spec_of, table

TABLES = "e2e_silicon*.csv"
SYSTEMS = {"h100-sxm": "h100_sxm", "h200-sxm": "h200_sxm", "b200-sxm": "b200_sxm"}
BACKENDS = {"tensorrt-llm": "trtllm", "vllm": "vllm", "sglang": "sglang"}
CHECKPOINTS: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
    ("qwen3-32b", "bf16"): ("Qwen/Qwen3-32B", {}),
    ("qwen3-32b", "fp8-block"): ("Qwen/Qwen3-32B-FP8", {}),
    ("llama-3.1-70b", "fp8-tensor"): ("nvidia/Llama-3.1-70B-Instruct-FP8", {}),
    ("llama-3.1-70b", "nvfp4"): ("meta-llama/Meta-Llama-3.1-70B", {"gemm": "nvfp4"}),
    ("deepseek-v3", "fp8-block"): ("deepseek-ai/DeepSeek-V3", {}),
    ("deepseek-v3", "nvfp4"): ("nvidia/DeepSeek-V3.1-NVFP4", {}),
    ("deepseek-r1", "fp8-block"): ("deepseek-ai/DeepSeek-R1", {}),
    ("gpt-oss-120b", "mxfp4-w4a16"): ("openai/gpt-oss-120b", {"moe": "w4a16_mxfp4"}),
    ("gpt-oss-120b", "mxfp4-w4a8"): ("openai/gpt-oss-120b", {"moe": "w4a8_mxfp4_mxfp8"}),
    ("minimax-m2.5", "fp8-block"): ("MiniMaxAI/MiniMax-M2.5", {}),
}
"""(model, format of its experts or, without any, of its linears) → their checkpoint in that format,
and the modes that it does not bring."""
Rival = Callable[[dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Priced:
    """A row with our times [s] and what they took [CPU s]; the regimes are those of ``plan
    validate``. ``unseen``: our times by the host's figures that other models gave, empty where no
    other model of the kind was served."""

    model: str
    experts: bool
    row: ServedRow
    question: dict[str, Any]
    measured: dict[str, float]
    ours: dict[str, float]
    regimes: dict[str, str]
    cpu: float
    unseen: dict[str, float] = field(default_factory=dict)


def pooled_rows(path: Path) -> list[dict[str, str]]:
    """The rows of ``path`` whose workers do both."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["mode"] == "agg"]


def drawn(row: Mapping[str, str], share: int) -> bool:
    """Whether ``row`` is of the ``share``-th part that is priced, by its identity: no stride of
    loads or lengths is preferred."""
    return crc32(row["row_id"].encode()) % share == 0


def question_of(row: ServedRow) -> dict[str, Any]:
    """The configuration of ``row`` in their words: the same lengths, requests, ranks, formats.

    Raises:
        NotCoveredError: they have no such device or checkpoint.
    """
    case = row.case
    spec = spec_of(case.model)
    experts = spec.experts is not None
    layout = layout_of(spec, case.engine, case.shape, case.recipe.experts)
    key = (spec.id, case.recipe.experts if experts else case.recipe.dense)
    if case.device not in SYSTEMS or key not in CHECKPOINTS:
        raise NotCoveredError(f"no checkpoint of {key[0]} in {key[1]} on {case.device}")
    model, modes = CHECKPOINTS[key]
    return {
        "model": model,
        "system": SYSTEMS[case.device],
        "backend": BACKENDS[case.engine],
        "isl": case.isl,
        "osl": case.osl,
        "layout": {
            "tp": layout.tp,
            "pp": layout.pp,
            "dp": layout.dp,
            "moe_ep": layout.ep if experts else 1,
            "moe_tp": layout.tp * layout.dp // layout.ep if experts else 1,
        },
        "batch": max(round(row.concurrency / layout.dp), 1),
        "chunk": case.chunk,
        "formats": {**modes, "kvcache": CACHE_MODES[case.recipe.kv]},
    }


def our_times(row: ServedRow) -> tuple[dict[str, float], float]:
    """(TPOT and TTFT [s] of the law, CPU seconds of an estimate that builds its own table).

    Raises:
        NotCoveredError: the planner refuses the combination.
    """
    table.cache_clear()
    assignment.cache_clear()
    begun = process_time()
    loop = serve(row.case, row.policy, row.concurrency, requests=row.requests, alike=row.alike)
    return {"tpot": loop.tpot, "ttft": loop.ttft}, process_time() - begun


def priced_rows(paths: Iterable[Path], share: int = 1) -> tuple[list[Priced], Counter[str]]:
    """(rows that both may price, how many others by reason). A row left out of the headline by
    ``plan validate`` is one of the others."""
    priced: list[Priced] = []
    others: Counter[str] = Counter()
    for path in paths:
        rows = pooled_rows(path)
        first: dict[int, tuple[ServedRow, dict[str, float], float]] = {}
        for i, row in enumerate(rows):
            if not drawn(row, share):
                others["not drawn"] += 1
                continue
            try:
                served = resolved(i, row)
                first[i] = (served, *our_times(served))
            except NotCoveredError as error:
                others[f"not read: {error.reason}"] += 1
        regimes = _regimes(predict_rows(path.stem, rows))
        for i, (served, ours, cpu) in first.items():
            regime = regimes[i]
            if regime["tpot"].startswith(EXCLUDED):
                others[f"left out: {regime['tpot'].removeprefix(EXCLUDED)}"] += 1
                continue
            try:
                question = question_of(served)
            except NotCoveredError as error:
                others[error.reason] += 1
                continue
            spec = spec_of(served.case.model)
            measured = {"tpot": served.tpot, "ttft": served.ttft}
            experts = spec.experts is not None
            priced.append(Priced(spec.id, experts, served, question, measured, ours, regime, cpu))
    return priced, others


def with_unseen(priced: Iterable[Priced], data: Path) -> list[Priced]:
    """``priced`` with our times by figures of the host that the other models of the same engine and
    kind in ``data`` gave (benchmarks/prompt_host.py)."""
    figures: dict[tuple[str, bool, str], Figures] = {}
    for (engine, experts), models in rows_of(data).items():
        for model in models:
            others = [row for name, rows in models.items() if name != model for row in rows]
            if others:
                figures[engine, experts, model] = read_off(others)
    out = []
    for item in priced:
        row = item.row
        mine = figures.get((row.case.engine, item.experts, item.model))
        if mine is not None:
            loop = serve(
                row.case,
                policy_of(row, mine),
                row.concurrency,
                requests=row.requests,
                alike=row.alike,
            )
            item = replace(item, unseen={"tpot": loop.tpot, "ttft": loop.ttft})
        out.append(item)
    return out


def _regimes(outcomes: Iterable[Outcome]) -> dict[int, dict[str, str]]:
    """Of every row the regime of its times with the host's work, which are told first."""
    regimes: dict[int, dict[str, str]] = {}
    for outcome in outcomes:
        regimes.setdefault(outcome.row, {}).setdefault(outcome.metric, outcome.regime)
    return regimes


def compared(priced: Sequence[Priced], rival: Rival) -> dict[str, Any]:
    """Both tools' errors over the rows that ``rival`` answers, as they are kept."""
    answer = rival({"ask": "rows", "rows": [row.question for row in priced]})
    prices = answer.get("prices") or [answer] * len(priced)
    refused = Counter(str(price["refused"]) for price in prices if "refused" in price)
    pairs = [
        (row, price) for row, price in zip(priced, prices, strict=True) if "refused" not in price
    ]
    return {
        "version": answer.get("version", ""),
        "databases": answer.get("databases", {}),
        "refused": dict(sorted(refused.items())),
        "beyond_cache": sum(bool(price["beyond"]) for _, price in pairs),
        "default_formats": sum(bool(price["default"]) for _, price in pairs),
        **summary(
            [
                {
                    "model": row.model,
                    "class": "MoE" if row.experts else "dense",
                    "measured": row.measured,
                    "counts": {
                        metric: not regime.startswith(EXCLUDED)
                        for metric, regime in row.regimes.items()
                    },
                    "ours": row.ours,
                    "ours, unseen": row.unseen,
                    "theirs": price["isl"],
                    "theirs, chunks": price["chunk"],
                    "beyond": bool(price["beyond"]),
                    "cpu": {"ours": row.cpu, "theirs": price["cpu"]},
                }
                for row, price in pairs
            ]
        ),
    }


def main() -> int:
    """Price, keep, write."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.aiconfigurator.rows", description=__doc__
    )
    parser.add_argument("--rival", default=os.environ.get(VARIABLE), metavar="PYTHON")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--tables", default=TABLES, help=f"files of DIR (default: {TABLES})")
    parser.add_argument("--share", type=int, default=1, help="one row in so many (default: 1)")
    parser.add_argument(
        "--unseen", action="store_true", help="also by figures of the host that other models gave"
    )
    parser.add_argument("--date", required=True, help="the day, as it is printed")
    options = parser.parse_args()
    if not options.rival:
        print(f"skipped: no interpreter with aiconfigurator (--rival PYTHON or {VARIABLE})")
        return 0
    paths = sorted(options.data.glob(options.tables))
    priced, others = priced_rows(paths, options.share)
    if options.unseen:
        priced = with_unseen(priced, options.data)
    both = compared(priced, lambda request: asked_of(options.rival, request))
    if not both["groups"]:
        print(f"nothing to compare: {both['refused'] or dict(others)}")
        return 1
    kept = {
        "date": options.date,
        "machine": machine(),
        "ours": __version__,
        "share": options.share,
        "tables": [path.name for path in paths],
        "others": dict(sorted(others.items())),
        **both,
    }
    ROWS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    PAGE.write_text(page(json.loads(ANSWERS.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"wrote {ROWS.name} and {PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
