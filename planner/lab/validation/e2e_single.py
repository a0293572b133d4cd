"""One user on one machine: prompt and decode tokens/s of llama.cpp and its relatives.

Three tables: llama-bench at depths (``e2e_llamabench``), a laboratory's Macs (``e2e_apple``) and a
community's leaderboard (``e2e_community``). Prompt tokens/s are those of a pass over the prompt
behind what the cache holds already; decode tokens/s those of one sequence at the mean length of its
answer. A mixture of llama-quantize has its type for every matrix. Files of other mixed types,
drafts without a stated acceptance, parts in host memory, files that are larger than the memory
of the device, BF16 by Vulkan on Strix Halo and what is faster than the machine have a reason
instead. So has a row whose command, or context and cache, leaves a part to the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from math import hypot

from planner.base.errors import PlannerError
from planner.lab.validation.cells import MOST_NAME, MOST_TOKENS, count, positive
from planner.lab.validation.home_commands import (
    ALL_LAYERS,
    HomeCommand,
    check_on_card,
    command_of,
)
from planner.lab.validation.machine_limits import check_possible
from planner.lab.validation.names import device_name
from planner.lab.validation.parallelism import Shape
from planner.lab.validation.records import (
    NotCoveredError,
    Outcome,
    Predicted,
)
from planner.lab.validation.served import (
    Deployed,
    assignment,
    certainties,
    check_passes,
    device_of,
    spec_of,
)
from planner.lab.validation.served_kinds import served_kind
from planner.lab.validation.serving_rules import formats
from planner.memory.caches import cache_classes, request_bytes
from planner.placement.layout import Layout
from planner.planning.engines.mixes import mixes_of, mixture_named
from planner.planning.price.measured_errors import OTHER_BUILD
from planner.planning.price.served_sigmas import Shares
from planner.planning.price.step import Assignment, Serving, step_times
from planner.throughput.engine_policy import engine_policy
from planner.throughput.launches import pause_seconds

ONE_USER = "one user"
UBATCH = 512
"""Prompt tokens of a pass of llama.cpp where nothing is stated (n_ubatch)."""
MLX_CHUNK = 2048
"""Prompt tokens of a pass of mlx_lm (prefill_step_size)."""
PROMPT, DECODE = "prefill_tokens_per_second", "decode_tokens_per_second"
_MIXTURE = re.compile(r"(?:I?Q\d_K(?:_[A-Z]+)?|IQ\d\w*|MQ\d)(?![A-Za-z0-9])", re.IGNORECASE)
_MLX = re.compile(r"affine \d bit group \d+|MLX-\dbit|int[48]", re.IGNORECASE)
_OWN_MIXTURE = re.compile(
    r"(?:I?Q\d_K(?:_[SML])?|Q[48]_0|IQ\d_(?:XXS|XS|NL|S|M))(?![A-Za-z0-9_])", re.IGNORECASE
)
_OTHERS = re.compile(r"\bUD\b|_XL|-UD-|^UD", re.IGNORECASE)
"""Quantisers that give tensors types of their own under these names."""
_PLAIN = re.compile(r"MXFP4|NVFP4|BF16|FP16|F16|Q8_0|Q4_0", re.IGNORECASE)
_DEEP_UBATCH = "2048"
"""Of deep rows of kyuz0/amd-strix-halo-toolboxes whose table says "default", but of Vulkan:
benchmark/run_benchmarks.sh at the rows' commit (d1a34be)."""
_WITHOUT = ("BF16",)
"""What Vulkan has no products of on Strix Halo, whose drivers say "bf16: 0" (ggml-org/llama.cpp
#16907 and #18749): it converts them, by kernels that nobody has timed."""
_ENGINES = {
    "llama.cpp": "llama.cpp",
    "llama_cpp_metal": "llama.cpp",
    "ollama": "llama.cpp",
    "mlx_lm": "mlx",
    "mlx": "mlx",
}


@dataclass(frozen=True, slots=True)
class SingleUse:
    """One figure: ``metric`` as measured, of ``model`` in a file of ``types`` by ``engine`` on
    ``device``; ``prompt`` tokens behind ``depth`` cached ones, and ``answer`` tokens. ``paused``:
    the machine was idle before each repetition."""

    metric: str
    measured: str
    engine: str
    device: str
    model: str
    types: str
    depth: str
    prompt: str
    answer: str
    ubatch: str = ""
    refused: str = ""
    said: HomeCommand = field(default_factory=HomeCommand)
    paused: bool = False


def _llamabench(row: Mapping[str, str]) -> list[SingleUse]:
    metric = {"pp": PROMPT, "tg": DECODE}.get(row["test"], row["test"])
    ubatch = row["batch_ubatch"].partition("/")[2]
    deep = row["depth_tokens"].strip() not in ("", "0")
    if row["batch_ubatch"] == "default" and deep and "vulkan" not in row["backend"].lower():
        ubatch = _DEEP_UBATCH
    widened = "vulkan" in row["backend"].lower() and row["file_quant"].strip() in _WITHOUT
    return [
        SingleUse(
            metric,
            row["tokens_per_s"],
            row["engine"].split()[0] if row["engine"].strip() else "",
            row["device"].partition("(")[0] + row["device"],
            row["model"],
            row["file_quant"],
            row["depth_tokens"],
            row["prompt_tokens"],
            row["generation_tokens"],
            ubatch,
            "not measured" if widened else "",
        )
    ]


def _apple(row: Mapping[str, str]) -> list[SingleUse]:
    """Its repetitions are 15 s apart (scripts/bench_mlx_inference_stack.py at the rows' commit)."""
    metric = {"prefill_tok_s": PROMPT, "decode_tok_s": DECODE}.get(row["metric"], row["metric"])
    return [
        SingleUse(
            metric,
            row["median"],
            row["engine"],
            row["device"],
            row["model"],
            row["weights"],
            "0" if metric != DECODE else row["prompt_tokens"],
            row["prompt_tokens"],
            row["generation_tokens"],
            paused=True,
        )
    ]


def _community(row: Mapping[str, str]) -> list[SingleUse]:
    refused, said = "", HomeCommand()
    try:
        said = command_of(row)
    except NotCoveredError as error:
        refused = error.reason
    if row["spec_decoding"].strip().lower() == "true" or row["mtp"].strip().lower() == "true":
        refused = "setting not stated"
    elif row["batch"].strip() not in ("", "1", "1.0") and not row["decode_tokens_per_s"].strip():
        refused = "malformed row"
    if not row["gpu"].strip():  # nothing of it is on a card
        said = replace(said, layers=ALL_LAYERS, hosted=False)
    depth = said.depth or "0"
    return [
        SingleUse(
            metric,
            row[column],
            row["engine"],
            row["gpu"] or row["cpu"],
            row["model"],
            row["quantization"],
            depth if metric == PROMPT or said.bench else row["prompt_tokens"],
            row["prompt_tokens"],
            row["output_tokens"],
            said.ubatch,
            refused,
            said,
        )
        for metric, column in (
            (PROMPT, "prefill_tokens_per_s"),
            (DECODE, "decode_tokens_per_s"),
        )
    ]


_READERS: tuple[tuple[str, Callable[[Mapping[str, str]], list[SingleUse]]], ...] = (
    ("batch_ubatch", _llamabench),
    ("safetensor_bytes", _apple),
    ("spec_decoding", _community),
)
"""A column that only one of the tables has, and what reads its rows."""


def predict_rows(table_name: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """Outcomes of every row: one, or prompt and decode of the community's."""
    out = []
    for i, row in enumerate(rows):
        read = next(reader for column, reader in _READERS if column in row)
        out += [_outcome(table_name, i, use) for use in read(row)]
    return out


def _outcome(table_name: str, i: int, use: SingleUse) -> Outcome:
    blank = Outcome(
        table=table_name,
        row=i,
        metric=use.metric,
        device=use.device,
        software=use.engine,
        model=use.model,
        format=use.types,
        regime=ONE_USER,
    )
    try:
        if use.metric not in (PROMPT, DECODE):
            raise NotCoveredError("quantity not predicted")
        case = _case(use)
        measured = positive(use.measured)
        _check_held(case, use.said)
        found = _predicted(case, use.metric, *_lengths(use), paused=use.paused)
        check_possible(
            device_of(case.device), _assigned(case), measured, reads_prompts=use.metric == PROMPT
        )
        kind = served_kind(case, 1.0)
    except NotCoveredError as error:
        return replace(blank, reason=error.reason)
    return found.outcome(
        blank,
        kind,
        measured,
        "tpot" if use.metric == DECODE else "ttft",
        device=case.device,
        model=spec_of(case.model).id,
        format=case.recipe.experts,
    )


def _case(use: SingleUse) -> Deployed:
    """The model on its machine.

    Raises:
        NotCoveredError: something is not known.
    """
    engine = _ENGINES.get(use.engine.strip().lower())
    if engine is None:
        raise NotCoveredError("unknown engine")
    device = device_of(device_name(use.device[:MOST_NAME]).id)
    if use.refused:
        raise NotCoveredError(use.refused)
    spec = spec_of(use.model)
    check_on_card(use.said, spec, use.model)
    mixture = _mixture(engine, use)
    stated = (_MLX if engine == "mlx" else _PLAIN).search("Q8_0" if mixture else use.types)
    if stated is None:
        raise NotCoveredError("unknown format")
    label = stated[0]
    chosen = formats(spec.id, label, engine=engine, blackwell=False)
    if chosen is None:
        raise NotCoveredError("unknown format")
    cache = use.said.cache or "bf16"
    usual = MLX_CHUNK if engine == "mlx" else UBATCH
    ubatch = count(use.ubatch, MOST_TOKENS) if use.ubatch.strip() else usual
    return Deployed(
        use.model,
        device.id,
        engine,
        (),
        replace(
            chosen.recipe(cache, experts=spec.experts is not None),
            mixture=mixture,
        ),
        Shape(1, 1, 1, 0, 0),
        1,
        1,
        chunk=ubatch,
    )


def _mixture(engine: str, use: SingleUse) -> str:
    """The mixture of llama-quantize that a file's types name, empty where they name none.

    Raises:
        NotCoveredError: another quantiser's mixture, whose types are in the file alone.
    """
    if engine == "mlx":
        if _OTHERS.search(use.model):
            raise NotCoveredError("gguf mixture")
        return ""
    words = _OWN_MIXTURE.search(use.types)
    own = mixture_named(words[0]) if words and not _OTHERS.search(use.model + use.types) else ""
    if own in mixes_of(engine):
        return own
    if _MIXTURE.search(use.types):
        raise NotCoveredError("gguf mixture")
    return ""


def _lengths(use: SingleUse) -> tuple[int, int, int]:
    """(cached tokens, prompt, answer); what a figure does not depend on is 1."""
    depth = count(use.depth, MOST_TOKENS) if use.depth.strip() not in ("", "0", "0.0") else 0
    if use.metric == PROMPT:
        return depth, count(use.prompt, MOST_TOKENS), 1
    return depth, 1, count(use.answer, MOST_TOKENS)


def weight_bytes(assigned: Assignment) -> float:
    """Bytes of the matrices with a choice: a file takes no less of its device."""
    shard = assigned.tables.shard[assigned.layout]
    units = assigned.model.units
    return float(
        sum(
            max(len(segment.layers), 1) * shard[units[segment.unit].row, segment.choice]
            for segment in assigned.segments
            if segment.choice >= 0 and units[segment.unit].role == "module"
        )
    )


@cache
def _assigned(case: Deployed) -> Assignment:
    """The case with its formats, whatever is sent to it."""
    return assignment(case)


def _check_held(case: Deployed, said: HomeCommand) -> None:
    """Stop at weights and a cache of the stated context that the device does not hold: drivers
    move the rest to the host.

    Raises:
        NotCoveredError: it holds less, or does not store the cache.
    """
    spec = spec_of(case.model)
    try:
        caches = cache_classes(spec, Layout(1, 1, 1, 1), case.recipe.kv)
    except PlannerError as error:
        raise NotCoveredError("not legal") from error
    held = weight_bytes(_assigned(case)) + request_bytes(caches, said.context)
    if held > device_of(case.device).capacity_bytes.value:
        raise NotCoveredError("not legal")


@cache
def _predicted(
    case: Deployed, metric: str, depth: int, prompt: int, answer: int, *, paused: bool
) -> Predicted:
    """Tokens/s, with what builds of one engine differ by.

    Raises:
        NotCoveredError: the planner refuses the combination.
    """
    isl = depth + prompt
    case = replace(case, isl=isl, osl=answer)
    check_passes(case)
    policy = engine_policy(case.engine, "").policy
    work = Serving(
        isl,
        answer,
        1.0,
        case.chunk,
        hit_rate=depth / isl,
        length=float(depth + answer / 2),
    )
    assigned = _assigned(case)
    try:
        times = step_times(assigned, work)
    except PlannerError as error:
        raise NotCoveredError("not legal") from error
    sure, kind = certainties(case, 1.0), served_kind(case, 1.0)
    if metric == PROMPT:
        seconds = policy.step(times.prompt, 0.0)
        if case.engine == "mlx":  # the last token of a prompt is a step of its own
            seconds += policy.step(times.step(1.0), 1.0)
        if paused:
            device = device_of(case.device)
            seconds += pause_seconds(device, case.engine, weight_bytes(assigned))
        rate = prompt / seconds
        sigma, alone = sure.reading(kind), sure.prompt
    else:
        rate = 1.0 / policy.step(times.step(1.0), 1.0)
        sigma = sure.sigmas(1.0, Shares(), kind).tpot
        alone = sure.operators(1.0, Shares()).tpot
    return Predicted(rate, hypot(sigma, OTHER_BUILD), hypot(alone, OTHER_BUILD), sure.basis)
