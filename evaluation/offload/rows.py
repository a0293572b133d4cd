"""Published rows, ``published.csv``, and what is predicted for each without having seen it.

A row's host is a CPU of the catalogue with its own cores, clock, width of the vector units
(relative to the catalogue's) and memory channels; everything else of the profile stays.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from planner.base.records import record
from planner.hardware.profile import DeviceProfile, Quantity, Rate
from planner.lookup import load_device
from planner.planning.price.intervals import performance
from planner.planning.price.price import price
from planner.planning.question.host_place import Offload
from planner.planning.question.input import QuestionInput
from planner.planning.question.offload import offload_layers
from planner.planning.question.question import Question
from planner.planning.search.question_search import solve_questions

FILE = Path(__file__).resolve().parent / "published.csv"
DECODE, PREFILL = "decode", "prefill"
BASE_GHZ = {"xeon-platinum-8480": 2.0, "epyc-9575f": 3.3, "xeon-6980p": 2.0}
"""Clocks that the rates of the profiles stand at."""


@record
class Published:
    """One row: a speed in tokens/s, and the machine and format that it was measured with."""

    id: str
    engine: str
    software: str
    model: str
    stands_for: str
    scheme: str
    device: str
    sockets: int
    host: DeviceProfile
    hosted_layers: int | None
    together: bool
    fetched_from: int
    prompt_tokens: int
    output_tokens: int
    metric: str
    value: float
    note: str
    source: str
    date: str


@record
class Predicted:
    """Tokens/s with the 80 % interval; what of a decode step is the host's, as a share."""

    value: float
    low: float
    high: float
    host_share: float


def published() -> list[Published]:
    """The rows of the file, in order."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return [_row(row) for row in csv.DictReader(file)]


def predicted(row: Published) -> Predicted:
    """The speed of ``row`` from its machine and format alone."""
    question = question_of(row)
    found = solve_questions([question])
    if found is None:
        raise ValueError(f"{row.id}: does not fit")
    priced = price(found.space, found.candidate, found.segments)
    perf = performance(found.space.model, priced, 1)
    step = priced.tpot - priced.interruption
    there = sum(
        c.decode_seconds for c in priced.costs if found.space.model.units[c.segment.unit].place
    )
    if row.metric == DECODE:
        each = perf.tpot_seconds
        return Predicted(
            1 / step, each.value / each.high / step, each.value / each.low / step, there / step
        )
    read = perf.ttft_seconds
    seconds = read.value - priced.queue
    return Predicted(
        row.prompt_tokens / seconds,
        row.prompt_tokens / seconds * read.value / read.high,
        row.prompt_tokens / seconds * read.value / read.low,
        there / step,
    )


def question_of(row: Published) -> Question:
    """The question with the layers in host memory that the row had there, read by its engine's
    rules; KTransformers before kt-kernel ran llama.cpp's types in llamafile's kernels."""
    engine = "llama.cpp" if row.engine == "ktransformers" else row.engine
    ask = QuestionInput(
        model=row.stands_for,
        device=row.device,
        scheme=row.scheme or None,
        engine=engine,
        host=row.host,
        host_sockets=row.sockets,
        host_memory_bytes=4 << 40,
        batch=1,
        isl=row.prompt_tokens,
        osl=row.output_tokens,
        tpot_seconds="none",
    )
    for question in ask.ways(uniform=row.scheme):
        offload = question.offload
        if offload is not None and _as_published(question, offload, row):
            way = replace(offload.way, together=row.together, fetched_from=row.fetched_from)
            return replace(question, offload=replace(offload, way=way))
    raise ValueError(f"{row.id}: no such placement")


def _as_published(question: Question, offload: Offload, row: Published) -> bool:
    if offload.by_experts:
        return offload.resident == 0
    every = len(offload_layers(question.spec, offload))
    return len(offload.layers) == (every if row.hosted_layers is None else row.hosted_layers)


def _row(row: dict[str, str]) -> Published:
    hosted = row["hosted_layers"]
    return Published(
        row["id"],
        row["engine"],
        row["software"],
        row["model"],
        row["stands_for"],
        row["scheme"],
        row["device"],
        int(row["sockets"]),
        _host(row),
        None if hosted == "all" else int(hosted),
        row["together"] == "yes",
        int(row["fetched_from"]),
        int(row["prompt_tokens"]),
        int(row["output_tokens"]),
        row["metric"],
        float(row["published"]),
        row["note"],
        row["source"],
        row["date"],
    )


def _host(row: dict[str, str]) -> DeviceProfile:
    """The CPU of a row, made of one of the catalogue."""
    base = load_device(row["host_base"])
    assert base.silicon is not None
    cores = float(row["cores"])
    clocks = (
        cores / base.silicon.multiprocessors.value * float(row["clock_ghz"]) / BASE_GHZ[base.id]
    )
    wide = clocks * float(row["width"])
    architecture = "Zen 4" if float(row["width"]) < 1 else base.architecture
    bandwidth = float(row["channels"]) * float(row["transfers_mt"]) * 8e6
    return replace(
        base,
        id=row["id"],
        architecture=architecture,
        rates={key: _scaled(rate, wide) for key, rate in base.rates.items()},
        conversion={key: _times(figure, wide) for key, figure in base.conversion.items()},
        bandwidth_bytes_per_s=replace(
            base.bandwidth_bytes_per_s, value=bandwidth, low=None, high=None
        ),
        silicon=replace(
            base.silicon,
            multiprocessors=replace(base.silicon.multiprocessors, value=cores, low=None, high=None),
        ),
    )


def _scaled(rate: Rate, factor: float) -> Rate:
    return replace(rate, dense=_times(rate.dense, factor))


def _times(figure: Quantity, factor: float) -> Quantity:
    return replace(figure, value=figure.value * factor, low=None, high=None)
