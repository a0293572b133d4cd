"""Results of `llama-bench -o json`, `jsonl`, `csv` or `md`, as
https://github.com/ggml-org/llama.cpp/tree/master/tools/llama-bench writes them.

A test reads ``n_prompt`` tokens or writes ``n_gen``, behind ``n_depth`` tokens of context, several
times; one that does both (`-pg`) says nothing of either. Tables in Markdown have a test as
``pp512 @ d4096`` and no version but that of the line behind them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from planner.lab.learning.results.run import (
    DECODE,
    PROMPT,
    Data,
    MeasuredRun,
    MeasuredTime,
    count_of,
    lost_share,
    number,
    positive,
    word,
)

TOOL = "llama-bench"
REPEATS = 5
"""Repeats of a test by default, where a table of means does not say them."""
NS = 1e-9
_TEST = re.compile(r"(pp|tg) ?(\d{1,9})(?: @ d(\d{1,9}))?")
_RATE = re.compile(r"([\d.]+) ± ([\d.]+)")
_BUILD = re.compile(r"build: ([0-9a-f]+) \((\d+)\)")
_TYPE = re.compile(r"\b(I?Q\d\w*|F16|BF16|F32|MXFP4|TQ\d_\d)\b(?: - (Small|Medium|Large))?")


def is_llama(data: Data) -> bool:
    """Whether ``data`` is a test of llama-bench."""
    return "avg_ts" in data and "n_prompt" in data and "n_gen" in data


def llama_run(data: Data, source: str) -> MeasuredRun | None:
    """The run of a test; None where it both reads and writes, or neither."""
    read, written, depth = (count_of(data, name) for name in ("n_prompt", "n_gen", "n_depth"))
    rate = positive(data, "avg_ts")
    if bool(read) == bool(written) or rate is None:
        return None
    samples = data.get("samples_ts")
    repeats = len(samples) if isinstance(samples, list) else REPEATS
    tokens = read or written
    seconds = (positive(data, "avg_ns") or tokens / rate / NS) * NS
    spread = number(data, "stddev_ns")
    if spread is None and (of_rate := number(data, "stddev_ts")) is not None:
        spread = seconds / NS * of_rate / rate
    known = spread is not None and spread >= 0
    build = count_of(data, "build_number")
    model_type = word(data, "model_type") or ""
    return _test(
        source,
        (read, written, depth),
        MeasuredTime(
            seconds, spread * NS if known and spread is not None else None, max(repeats, 1)
        ),
        version=f"b{build}" if build else word(data, "build_commit"),
        model=word(data, "model_filename"),
        device=word(data, "gpu_info") or word(data, "cpu_info"),
        model_type=model_type,
        cache=word(data, "type_k") or "f16",
        lost=lost_share(data),
        date=word(data, "test_time") or "",
    )


def _test(
    source: str,
    tokens: tuple[int, int, int],
    test_time: MeasuredTime,
    *,
    version: str | None,
    model: str | None,
    device: str | None,
    model_type: str,
    cache: str,
    lost: float | None = None,
    date: str = "",
) -> MeasuredRun:
    """A test of (read, written, depth) ``tokens`` that takes ``test_time``."""
    read, written, depth = tokens
    share = 1.0 / written if written else 1.0
    each = MeasuredTime(
        test_time.mean * share,
        None if test_time.deviation is None else test_time.deviation * share,
        test_time.count,
    )
    return MeasuredRun(
        TOOL,
        source,
        DECODE if written else PROMPT,
        engine="llama.cpp",
        version=version,
        model=model,
        device=device,
        scheme=scheme_of(model_type),
        kv=cache,
        isl=float(depth + read) if read else float(max(depth, 1)),
        osl=float(written or 1),
        cached=float(depth),
        concurrency=1.0,
        completed=test_time.count,
        tpot=each if written else None,
        ttft=None if written else each,
        lost=lost,
        date=date,
    )


def scheme_of(model_type: str) -> str | None:
    """The mixture that a model type names: q4_k_m of ``qwen2 7B Q4_K - Medium``; None: none."""
    found = _TYPE.search(model_type)
    if found is None:
        return None
    size = (found[2] or "")[:1].lower()
    return found[1].lower() + (f"_{size}" if size else "")


def markdown_runs(lines: Iterable[str], source: str) -> tuple[MeasuredRun, ...]:
    """The runs of a table in Markdown; its heads name the cells."""
    heads: list[str] = []
    rows: list[Mapping[str, str]] = []
    build = None
    for line in lines:
        text = line.strip()
        if text.startswith("|"):
            cells = [cell.strip() for cell in text.strip("|").split("|")]
            if "t/s" in cells:
                heads = cells
            elif heads and len(cells) == len(heads) and not set(text) <= set("|-: "):
                rows.append(dict(zip(heads, cells, strict=True)))
        elif (found := _BUILD.search(text)) is not None:
            build = f"b{found[2]}"
    out = []
    for i, row in enumerate(rows, 1):
        test, rate = _TEST.fullmatch(row.get("test", "")), _RATE.fullmatch(row.get("t/s", ""))
        if test is None or rate is None:
            continue
        tokens, speed = int(test[2]), number({"t/s": rate[1]}, "t/s")
        if not tokens or not speed:
            continue
        spread = number({"t/s": rate[2]}, "t/s") or 0.0
        seconds = tokens / speed
        is_prompt = test[1] == "pp"
        out.append(
            _test(
                f"{source}: row {i}",
                (tokens if is_prompt else 0, 0 if is_prompt else tokens, int(test[3] or 0)),
                MeasuredTime(seconds, seconds * spread / speed, REPEATS),
                version=build,
                model=None,
                device=None,
                model_type=row.get("model", ""),
                cache=row.get("type_k", "f16"),
            )
        )
    return tuple(out)
