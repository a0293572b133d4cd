"""A row of a published table resolved: who serves what, in which layout, under which load."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from planner.hardware.profile import DeviceProfile
from planner.lab.validation.cells import MOST_DEVICES, count, parse_int, positive, tokens
from planner.lab.validation.cpu_share import share_name
from planner.lab.validation.names import device_name
from planner.lab.validation.parallelism import Shape, deployment
from planner.lab.validation.published_metric import (
    TIMES,
    MetricMeaning,
    RequestLoad,
    load,
    measured,
    older_prompts,
)
from planner.lab.validation.records import EXCLUDED, NotCoveredError
from planner.lab.validation.served import (
    Deployed,
    device_of,
    spec_of,
    with_spare_experts,
)
from planner.lab.validation.serving_rules import (
    Benchmark,
    benchmark,
    cache_layout,
    formats,
    runnable,
)
from planner.lab.validation.trtllm_bench import BenchRun, bench_run
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout, divisors, layout_problem
from planner.planning.price.recipe import SchemeSet
from planner.throughput.engine_policy import engine_policy
from planner.throughput.scheduling import Scheduling

_ENGINES = (
    ("tensorrt-edge-llm", r"edge-?llm"),
    ("tensorrt-llm", r"tensorrt|trt-?llm"),
    ("vllm", r"vllm"),
    ("sglang", r"sglang"),
    ("llama.cpp", r"llama\.?cpp|ggml|ollama"),
    ("pytorch", r"pytorch|ipex|transformers|mlc"),
)
_VERSION = re.compile(r"(?:llm|sglang|llama\.cpp)[ v]*(\d+(?:\.\d+)+)", re.IGNORECASE)
_NODES = re.compile(r"(\d+) nodes|nodes ?= ?(\d+)", re.IGNORECASE)
_OF_DEVICE = re.compile(r"([^/]+?) ?\(([^)]+)\)")
_MIXTURE = re.compile(r"(ud-)?(i?q\d_k_\w+|iq\d.*)|~?\d-bit", re.IGNORECASE)
SWAPPED = "the prompts' length is that of the task's answers"
SAME_LENGTH, ANOTHER_LENGTH = 1.1, 1.5
"""Ratios of a stated length to a task's mean below which it is that one, above which another."""
_SCENARIO = re.compile(r"offline|server|interactive", re.IGNORECASE)
LISTED = "published"


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row resolved. ``value`` in seconds or per second over all ``devices``; ``cases`` are the
    layouts that may have run, the stated one alone where the row states it; ``load`` the load over
    all devices (0: as many as fit). ``phase``: decode, prefill, or empty for both; ``overlap``: two
    micro-batches; ``static``: a batch that is read and decoded together; ``bench``: a run of
    requests that are given at once."""

    what: MetricMeaning
    load: RequestLoad
    cases: tuple[Deployed, ...]
    stated: bool
    policy: Scheduling
    devices: int
    value: float
    task: Benchmark | None
    phase: str
    overlap: bool
    static: bool
    regime: str
    bench: BenchRun | None = None


def resolve(row: Mapping[str, str]) -> PublishedRow:
    """``row`` with every name looked up.

    Raises:
        NotCoveredError: with the reason for which it cannot be predicted.
    """
    what = measured(row["metric"], row["unit"])
    device = device_of(device_name(row["device"]).id)
    part = share_name(device, row["device"], row["parallelism"])
    spec = spec_of(row["model"])
    engine = engine_of(row["software"])
    recipe, regime = _recipe(row, engine, spec, device)
    devices = count(row["n_devices"], MOST_DEVICES)
    task = benchmark(row["model"])
    isl, osl = _lengths(row, what, task)
    text = row["parallelism"]
    version = _VERSION.search(row["software"])
    number = version[1] if version is not None else ""
    base = Deployed(
        row["model"],
        part,
        engine,
        tuple(map(parse_int, number.split("."))) if number else (),
        recipe,
        Shape(1, 1, 1, 0, 0),
        isl,
        osl,
    )
    shape = stated_shape(text, spec)
    requested = load(row["batch_or_concurrency"], what)
    shapes = (shape,) if shape is not None else _unstated(spec, device, devices, what, text)
    static = "static" in (row["software"] + row["note"]).lower()
    phase = next(
        (
            p
            for p in ("decode", "prefill")
            if text.lower().startswith(p) or what.quantity.startswith(p)
        ),
        "",
    )
    value = _value(row, what, devices, device)
    if what.of == "requests" and what.quantity == "output_tokens_per_second":
        regime = EXCLUDED + "counted in tokens, printed as queries"
        what = replace(what, of="total")
    if regime == LISTED and (older := older_prompts(row["software"], what)):
        regime = EXCLUDED + older
    if task is not None and _swapped(row, task, isl):
        regime = EXCLUDED + SWAPPED
    return PublishedRow(
        what,
        requested,
        tuple(replace(base, shape=s) for s in shapes),
        shape is not None,
        engine_policy(engine, number).policy,
        devices,
        value,
        task,
        phase,
        re.search(r"\bTBO\b|two.?batch", text, re.IGNORECASE) is not None,
        static,
        regime,
        bench_run(row["software"], row["batch_or_concurrency"], isl, osl),
    )


def engine_of(software: str) -> str:
    """The engine that ``software`` names; its first word where it is none that is modelled."""
    words = software.lower().split() or [""]
    return next(
        (name for name, pattern in _ENGINES if re.search(pattern, software, re.IGNORECASE)),
        words[0],
    )


def _unstated(
    spec: ModelSpec, device: DeviceProfile, devices: int, what: MetricMeaning, text: str
) -> tuple[Shape, ...]:
    """Layouts of a row that names none: all devices together for a time, else any replicas. An
    instance a socket is stated by that word."""
    together = Shape(devices, 1, 1, 0, 0)
    if device.kind == "soc" or "instance" in text.lower():
        return (Shape(1, 1, 1, 0, 0),)
    if what.quantity in TIMES or (device.kind == "cpu" and text.strip().upper().startswith("TP")):
        return (together,)
    return tuple(possible_shapes(spec, device, devices)) or (together,)


def _recipe(
    row: Mapping[str, str],
    engine: str,
    spec: ModelSpec,
    device: DeviceProfile,
) -> tuple[SchemeSet, str]:
    """(schemes of a row, its regime)."""
    label, regime = row["w_dtype"].strip(), LISTED
    for name, of in _OF_DEVICE.findall(label):
        if of.lower() in device.name.lower():
            label = name.strip(" /")
    if label.lower() in ("unset", "auto", "?"):
        raise NotCoveredError("setting not stated")
    if _MIXTURE.fullmatch(label):
        raise NotCoveredError("gguf mixture")
    blackwell = device.architecture.startswith("Blackwell")
    if not label and row["metric"].startswith("throughput_"):
        label = "fp4" if blackwell else "fp8" if device.rate("fp8") is not None else "int8"
        regime = EXCLUDED + f"format not stated, taken as {label}"
    chosen = formats(spec.id, label, engine=engine, blackwell=blackwell)
    if chosen is None:
        raise NotCoveredError("unknown format")
    chosen = runnable(chosen, device)
    kv = _cache(row["kv_dtype"]) or cache_layout(engine, spec.id, label, device.id)
    return chosen.recipe(kv, experts=spec.experts is not None), regime


def _cache(label: str) -> str:
    """The layout that a cell names, empty for an empty one."""
    label = label.strip().lower()
    if not label:
        return ""
    if label.startswith("fp8"):
        return "fp8"
    return "int8-token" if label.startswith("int8") else "bf16"


def _lengths(
    row: Mapping[str, str], what: MetricMeaning, task: Benchmark | None
) -> tuple[int, int]:
    """(prompt, answer) [tokens]; what the quantity does not depend on is 1."""
    text = row["parallelism"].lower()
    no_prompt = what.quantity == "decode_tokens_per_second" and what.single_sequence
    no_answer = (
        what.quantity in ("ttft", "prefill_time", "prefill_tokens_per_second")
        or text.startswith(("decode", "prefill"))
        or (what.quantity == "decode_tokens_per_second" and not what.single_sequence)
    )
    isl = what.isl or (1 if no_prompt else tokens(row["isl"], task.isl if task else 0))
    osl = what.osl or tokens(row["osl"], 1 if no_answer else task.osl if task else 0)
    return isl, osl


def _swapped(row: Mapping[str, str], task: Benchmark, isl: int) -> bool:
    """Whether a row of an MLPerf scenario states the answers' length for its prompts: it is that of
    the task's answers, and not near that of its prompts."""
    scenario = _SCENARIO.search(f"{row['metric']} {row['batch_or_concurrency']}") is not None
    near, far = (
        max(isl, task.osl) / min(isl, task.osl),
        max(isl, task.isl) / max(min(isl, task.isl), 1),
    )
    return scenario and task.isl > 0 and near < SAME_LENGTH < ANOTHER_LENGTH < far


def _value(
    row: Mapping[str, str], what: MetricMeaning, devices: int, device: DeviceProfile
) -> float:
    """Seconds, or a rate over all devices."""
    value = positive(row["value"])
    if what.of == "user":
        return 1.0 / value
    if what.quantity in TIMES:
        return value * what.seconds
    if what.of == "device":
        return value * devices
    if what.of == "node":
        match = _NODES.search(row["parallelism"])
        nodes = float(match[1] or match[2]) if match else devices / device.devices_per_node
        return value * max(min(nodes, float(MOST_DEVICES)), 1.0)
    return value


_WORD = re.compile(r"(?<![A-Za-z])(DEP|TEP|DTP|ADP|TP|PP|DP|EP)[ =_]?(\d+)", re.IGNORECASE)


def stated_shape(text: str, spec: ModelSpec) -> Shape | None:
    """The ranks that ``text`` names, None where it names none.

    Raises:
        NotCoveredError: ranks that are 0 or beyond any deployment.
    """
    if "/" in text and (workers := deployment(text)) is not None:
        return _checked(workers.decode)
    words = {name.upper(): parse_int(number) for name, number in _WORD.findall(text)}
    if not words:
        return None
    if any(not 1 <= number <= MOST_DEVICES for number in words.values()):
        raise NotCoveredError("not legal")
    pp, experts = words.get("PP", 1), spec.experts is not None
    n = words.get("DEP", words.get("TEP", words.get("DTP", 0)))
    if n and not experts:
        return Shape(n, pp, 1, 0, 0)
    if n:
        return (
            Shape(n, pp, 1, 1, n)
            if "TEP" in words
            else Shape(1, pp, n, 1, n)
            if "DEP" in words
            else Shape(1, pp, n, n, 1)
        )
    tp, dp = words.get("TP", 1), words.get("ADP", words.get("DP", 1))
    ep = words.get("EP", 0)
    if not experts:
        return Shape(tp, pp, 1, 0, 0)
    if ep and tp * dp == 1:
        return Shape(1, pp, ep, 1, ep)
    return Shape(tp, pp, dp, tp * dp // ep if ep and tp * dp % ep == 0 else 0, ep)


def _checked(shape: Shape) -> Shape:
    if shape.ranks > MOST_DEVICES or max(shape.moe_tp, shape.moe_ep) > MOST_DEVICES:
        raise NotCoveredError("not legal")
    return shape


def possible_shapes(spec: ModelSpec, device: DeviceProfile, count: int) -> Iterator[Shape]:
    """Layouts of one replica that divide ``count`` devices, inside one fast domain or node, and
    hold ``spec`` by the rules of engines; the narrowest first."""
    reach = min(count, max(device.scale_up_devices, device.devices_per_node))
    for ranks in divisors(count):
        if ranks > reach:
            return
        shapes = [Shape(ranks, 1, 1, 0, 0)]
        if spec.experts is not None and ranks > 1:
            shapes = [
                Shape(ranks, 1, 1, ranks, 1),
                Shape(ranks, 1, 1, 1, ranks),
                Shape(1, 1, ranks, 1, ranks),
            ]
        for shape in shapes:
            ep = shape.moe_ep or 1
            layout = Layout(shape.tp, shape.dp, shape.pp, ep)
            if not layout_problem(with_spare_experts(spec, ep), layout):
                yield shape


def words(shape: Shape, replicas: int) -> str:
    """The layout in the tables' words, e.g. ``4 × TP2``."""
    parts = [f"TP{shape.tp}"] if shape.tp > 1 or shape.dp == 1 else []
    parts += [f"DP{shape.dp}"] if shape.dp > 1 else []
    parts += [f"PP{shape.pp}"] if shape.pp > 1 else []
    parts += [f"EP{shape.moe_ep}"] if shape.moe_ep > 1 else []
    return f"{replicas} × {'/'.join(parts)}"
