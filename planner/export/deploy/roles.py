"""The kinds of workers of a deployment: one that does everything, or prefill and decode workers.

Their commands are the exporter's own, with an address, a place in the container for weights that
are no repository, and the connector between the pools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.export.launch import START_REPLICAS, command
from planner.export.serve_line import GGUF, MODEL, WeightsOfPlan, words_at
from planner.export.trtllm import CHECKPOINT, OPTIONS
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Message, message
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec
from planner.planning.engines.pool_rules import stages_refusal
from planner.planning.plan.record import LayoutInfo, Plan, UnitPlan

RoleName = Literal["server", "prefill", "decode"]
MODELS, CONFIG = "/models", "/config"
"""Where the volume of models and files of the export are in a container."""
PORT, DECODE_PORT, BOOTSTRAP, SIDE_CHANNEL = 8000, 8200, 8998, 5600
"""Ports: the server; a decode worker behind llm-d's sidecar; SGLang's and NIXL's handshakes."""
_CONNECTED = ("vllm", "sglang")
_NAMED = ("vllm", "sglang")
"""Servers whose --served-model-name gives a folder the model's name."""
_ON_VOLUME = {
    name: f"{MODELS}/{name.lower()}"
    for name in ("DRAFT.gguf", "KT_WEIGHTS", "EXPERT_STATISTICS.pt")
}
"""What commands call files by that a hub does not have → where they are in a container."""
MOST_ROUTED = 10_000
"""Workers of two pools together: each is an address in the words of their router."""
_OUTSIDE = -1
"""Stands for the layer of tensors outside the stack."""
Weights = Callable[[Plan, Engine], WeightsOfPlan]
"""Where the weights of a plan come from on an engine."""


@record
class ServerRole:
    """Workers of one kind. ``words`` serve one worker on all of its nodes, without an address;
    ``unsaid`` is what they cannot say; ``devices`` and ``nodes`` are those of a worker;
    ``weight_bytes`` those of its checkpoint, which comes from a hub (``from_hub``) or lies on the
    volume at ``checkpoint``."""

    name: RoleName
    words: tuple[str, ...]
    unsaid: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    workers: int
    devices: int
    nodes: int
    data_parallel: int
    weight_bytes: int
    from_hub: bool
    checkpoint: str
    model_name: str
    options: str
    plan: Plan

    @property
    def devices_per_node(self) -> int:
        """Devices of one of a worker's nodes."""
        return self.devices // self.nodes


def roles_of(
    plan: Plan,
    spec: ModelSpec,
    device: DeviceProfile,
    engine: Engine,
    container: str,
    weights: Weights,
) -> tuple[ServerRole, ...]:
    """The workers of ``plan`` on ``engine``: those of its pools, where it has two.

    Raises:
        UnsupportedError: pools on an engine without a connector, or a worker that leaves a part of
        a node idle.
    """
    pools = plan.deployment
    if pools is None or pools.mode != "disaggregated":
        return (
            _role("server", plan, plan.layout.replicas, spec, device, engine, container, weights),
        )
    if engine.name not in (*_CONNECTED, "tensorrt-llm"):
        raise UnsupportedError(
            f"{engine.label}: it has no connector between prefill and decode",
            hint="make a plan without pools, or one for --engine vllm",
        )
    other = pools.prefill.device
    if other != pools.decode.device:
        raise UnsupportedError(
            f"prefill on {other} and decode on {pools.decode.device}: one export is for one device",
            hint="make a plan without pools for each of the two devices, and export both",
        )
    stages = pools.prefill.layout.pp, pools.decode.layout.pp
    if why := stages_refusal(engine, *stages):
        raise UnsupportedError(
            f"{why}; the plan's have {stages[0]} and {stages[1]}",
            hint="make a plan without --pp, or one for --engine sglang or tensorrt-llm",
        )
    if pools.prefill.workers + pools.decode.workers > MOST_ROUTED:
        raise UnsupportedError(
            f"{pools.prefill.workers + pools.decode.workers} workers in two pools: their router is "
            f"given the address of each, at most {MOST_ROUTED}",
            hint="export a plan for fewer devices, and deploy it several times",
        )
    # A prefill rank reads so many prompts at once in every stage, a decode worker holds so many
    # sequences.
    reading = pools.prefill.batch * pools.prefill.layout.dp * pools.prefill.layout.pp
    both: tuple[tuple[RoleName, Any, int], ...] = (
        ("prefill", pools.prefill, reading),
        ("decode", pools.decode, pools.decode.batch),
    )
    return tuple(
        _role(
            name,
            _pool_plan(plan, pool, batch),
            pool.workers,
            spec,
            device,
            engine,
            container,
            weights,
        )
        for name, pool, batch in both
    )


def _pool_plan(plan: Plan, pool: Any, batch: int) -> Plan:
    """``plan`` with what one of its pools has of its own: layout, batch, schemes."""
    wanted = {axis: int(getattr(pool.layout, axis)) for axis in ("tp", "dp", "pp", "ep")}
    schemes = {
        (pool_unit.kind, pool_unit.part, layer): pool_unit.scheme
        for pool_unit in pool.units
        for layer in pool_unit.layers or (_OUTSIDE,)
    }
    units = tuple(part for unit in plan.units for part in _in_schemes(unit, schemes))
    # What is recommended is said of the plan's own schemes.
    said = plan.recommendation if units == plan.units else None
    return replace(
        plan,
        layout=LayoutInfo(**wanted, replicas=1),
        units=units,
        recommendation=said,
        workload=replace(plan.workload, batch=batch),
    )


def _in_schemes(
    unit: UnitPlan,
    schemes: Mapping[tuple[str, str | None, int], str],
) -> Iterator[UnitPlan]:
    """``unit`` in the schemes of a pool, in parts where its layers differ; caches and what the pool
    does not name are the plan's. Bytes follow the bits of the weights."""
    if unit.kv_layout is not None:
        yield unit
        return
    layers: dict[str, list[int]] = {}
    for layer in unit.layers or (_OUTSIDE,):
        layers.setdefault(schemes.get((unit.kind, unit.part, layer), unit.scheme), []).append(layer)
    if list(layers) == [unit.scheme]:
        yield unit
        return
    for scheme, own in layers.items():
        share = _bits(scheme) / _bits(unit.scheme) * len(own) / max(1, len(unit.layers))
        yield replace(
            unit,
            scheme=scheme,
            layers=tuple(own) if unit.layers else (),
            weight_bytes=round(unit.weight_bytes * share),
        )


def _bits(scheme: str) -> float:
    """Bits of a weight with its scales; of a plain type, its own."""
    return bits_per_element(SCHEMES[scheme].weight)


def _role(
    name: RoleName,
    plan: Plan,
    workers: int,
    spec: ModelSpec,
    device: DeviceProfile,
    engine: Engine,
    container: str,
    weights: Weights,
) -> ServerRole:
    layout = plan.layout
    devices = layout.tp * layout.dp * layout.pp
    source = weights(plan, engine)
    place = _place(source, name)
    words, unsaid = command(engine, source.container or container, plan, device)
    files = {**_ON_VOLUME, OPTIONS: f"{CONFIG}/{OPTIONS}", source.place: place}
    placed = [files.get(word, word) for word in words_at(words, source)]
    environment, placed = _environment(placed)
    from_hub = place == source.place
    if not from_hub and engine.name in _NAMED:
        placed += ["--served-model-name", spec.public_name]
    released = Inventory(spec).payload_bytes
    stored = sum(unit.weight_bytes for unit in plan.units)
    notes = [
        message("structure.named", name=place, text=text) if source.made == "ready" else text
        for text in source.notes
    ]
    left = tuple(
        text
        for text in (*notes, *unsaid)
        if not (isinstance(text, Message) and text.id == START_REPLICAS)
    )
    return ServerRole(
        name,
        tuple(placed),
        left,
        tuple(environment),
        workers,
        devices,
        _nodes(devices, device),
        layout.dp,
        stored if source.made in ("new", "ready") else max(stored, released),
        from_hub,
        place,
        spec.public_name,
        OPTIONS if OPTIONS in words else "",
        plan,
    )


def _place(weights: WeightsOfPlan, name: RoleName) -> str:
    """The checkpoint in a container: a repository as it is, others on the volume."""
    suffix = "" if name == "server" else f"-{name}"
    if weights.place == GGUF or weights.made == "given":
        return f"{MODELS}/model{suffix}.gguf"
    if weights.place in (CHECKPOINT, MODEL):
        return f"{MODELS}/checkpoint{suffix}"
    return weights.place


def _environment(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Variables that the command sets, and the command without them; an interpreter is the
    image's."""
    variables: list[tuple[str, str]] = []
    if words[0] == "env":
        words = words[1:]
        while "=" in words[0]:
            key, _, value = words[0].partition("=")
            variables.append((key, value))
            words = words[1:]
    return variables, ["python3" if words[0] == "python" else words[0], *words[1:]]


def _nodes(devices: int, device: DeviceProfile) -> int:
    """Nodes of a worker.

    Raises:
        UnsupportedError: it spans nodes and leaves a part of one idle.
    """
    most = device.devices_per_node
    if devices <= most:
        return 1
    if devices % most:
        raise UnsupportedError(
            f"a worker of {devices} × {device.id} leaves a part of a node of {most} idle",
            hint=f"give --tp, --dp and --pp whose product divides {most} or is a multiple of it",
        )
    return devices // most


def connected(role: ServerRole, engine: Engine) -> tuple[str, ...]:
    """The role's command with the connector of its pool; as it is without pools.

    Sources: vLLM documentation, NixlConnector Usage Guide; SGLang documentation, PD Disaggregation.

    Raises:
        UnsupportedError: an engine whose pools are not exported.
    """
    if role.name == "server":
        return role.words
    if engine.name == "vllm":
        return (
            *role.words,
            "--kv-transfer-config",
            '{"kv_connector":"NixlConnector","kv_role":"kv_both"}',
        )
    if engine.name != "sglang":
        raise UnsupportedError(
            f"{engine.label}: pools are exported for Dynamo alone",
            hint="--deploy dynamo, or make the plan for --engine vllm",
        )
    port = ("--disaggregation-bootstrap-port", str(BOOTSTRAP)) if role.name == "prefill" else ()
    return (
        *role.words,
        "--disaggregation-mode",
        role.name,
        "--disaggregation-transfer-backend",
        "nixl",
        *port,
    )
