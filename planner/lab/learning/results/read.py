"""A file of measured runs, whichever program wrote it."""

from __future__ import annotations

import csv
from pathlib import Path

from planner.base.errors import DataError
from planner.base.strict_json import parse_object, read_config_bytes
from planner.lab.learning.results.aiperf import aiperf_csv, aiperf_run, is_aiperf
from planner.lab.learning.results.guidellm import guidellm_csv, guidellm_runs, is_guidellm
from planner.lab.learning.results.llama_bench import is_llama, llama_run, markdown_runs
from planner.lab.learning.results.run import Data, MeasuredRun
from planner.lab.learning.results.serving_clients import (
    is_offline,
    is_served,
    is_sglang,
    offline_run,
    served_run,
    sglang_run,
)

MAX_BYTES = 64 << 20
MOST_ROWS = 10_000
KNOWN = (
    "known are results of vllm bench serve, latency and throughput, SGLang's bench_serving, "
    "GuideLLM, AIPerf, genai-perf and llama-bench"
)


def read_results(path: Path) -> tuple[MeasuredRun, ...]:
    """The runs in a file.

    Raises:
        DataError: it cannot be read, is damaged, or holds no run that is known.
    """
    text = read_config_bytes(path, limit=MAX_BYTES)
    runs = tuple(run for run in _runs(text, path) if _says_something(run))
    if not runs:
        raise DataError(f"{path}: no result of a benchmark that is known", hint=KNOWN)
    return runs


def _says_something(run: MeasuredRun) -> bool:
    return any(x is not None for x in (run.tpot, run.ttft, run.e2e, run.output_rate))


def _runs(text: bytes, path: Path) -> list[MeasuredRun]:
    start, name = text.lstrip()[:1], str(path)
    if start == b"[":
        rows = parse_object(b'{"rows":' + text.strip() + b"}", name, infinite=True)["rows"]
        return _of_rows(rows if isinstance(rows, list) else [], path)
    if start == b"{":
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.lstrip()[:1] == b"{" for line in lines[:2]):
            if len(lines) > MOST_ROWS:
                raise DataError(f"{path}: more than {MOST_ROWS:,} runs", hint=KNOWN)
            return _of_rows(
                [
                    parse_object(line, f"{path}: line {i}", infinite=True)
                    for i, line in enumerate(lines, 1)
                ],
                path,
            )
        data = parse_object(text, name, infinite=True)
        if is_guidellm(data):
            return list(guidellm_runs(data, path.name))
        if isinstance(data.get("results"), list):  # llama-bench, as some wrap it
            return _of_rows(list(data["results"]), path)  # type: ignore[call-overload]
        return _of_rows([data], path)
    return _of_table(text, path)


def _of_rows(rows: list[object], path: Path) -> list[MeasuredRun]:
    out = []
    for i, row in enumerate(rows, 1):
        if isinstance(row, dict):
            source = path.name if len(rows) == 1 else f"{path.name}: row {i}"
            run = _of_object(row, source)
            out += [] if run is None else [run]
    return out


def _of_object(data: Data, source: str) -> MeasuredRun | None:
    """The run of one object; None where it is none that is known."""
    if is_llama(data):
        return llama_run(data, source)
    if is_sglang(data):
        return sglang_run(data, source)
    if is_served(data):
        return served_run(data, source)
    if is_aiperf(data):
        return aiperf_run(data, source)
    return offline_run(data, source) if is_offline(data) else None


def _of_table(text: bytes, path: Path) -> list[MeasuredRun]:
    """Of CSV or Markdown.

    Raises:
        DataError: it is no text, or a cell is too long.
    """
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}", hint=KNOWN) from None
    if any(line.lstrip().startswith("|") for line in lines):
        return list(markdown_runs(lines, path.name))
    try:
        rows = [row for _, row in zip(range(MOST_ROWS), csv.reader(lines), strict=False)]
    except csv.Error as error:
        raise DataError(f"{path}: no table: {error}", hint=KNOWN) from None
    if not rows:
        return []
    head = [cell.strip() for cell in rows[0]]
    if "avg_ts" in head:
        named = [dict(zip(head, row, strict=False)) for row in rows[1:]]
        return _of_rows(list(named), path)
    if head[:1] == ["Metric"]:
        return [aiperf_csv(rows, path.name)]
    if "Run Info" in head and len(rows) > 3:
        return list(guidellm_csv(rows, path.name))
    return []
