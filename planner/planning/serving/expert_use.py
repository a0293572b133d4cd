"""``planner.experts``: experts that a step touches, where they live, and the time to fetch them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import DataError, InputError
from planner.base.files import decode_text, read_bounded
from planner.base.strict_json import parse_object
from planner.base.typed import typed
from planner.hardware.profile import DeviceProfile
from planner.memory.experts import always_on_bytes, expert_bytes, experts_of, place
from planner.memory.usable import usable_memory
from planner.messages.message import Note, message
from planner.models.spec import ModelSpec
from planner.placement.routing import (
    balanced_placement,
    contiguous_placement,
    effective_tokens,
    given_popularity,
    power_law_popularity,
    rank_loads,
    touched,
    touched_correlated,
)
from planner.placement.tiers import Residency
from planner.planning.serving.experts import ExpertUse, FetchTimes, RankSpread
from planner.planning.serving.offloaded import offloaded_step
from planner.throughput.residency import DRIVE, Link, fetch_seconds, host_link, load_seconds

Array = NDArray[np.float64]
MAX_POPULARITY_BYTES = 64 << 20
MAX_SKEW = 64
SHUFFLE_SEED = 0


@typed
def experts(
    model: str | ModelSpec,
    device: str | DeviceProfile | None = None,
    *,
    batch: int = 1,
    skew: float = 0.0,
    popularity: str | os.PathLike[str] | Sequence[Any] | None = None,
    requests: int | None = None,
    correlation: float = 0.0,
    ep: int = 1,
    redundant: int = 0,
    memory_bytes: int | None = None,
    host_bytes: int | None = None,
    link: str = "pcie",
    host_cpu: str | DeviceProfile | None = None,
    sockets: int = 1,
    context: int = 4096,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> ExpertUse:
    """Distinct experts of a step, their residency, and the time to fetch what is missing.

    ``batch`` counts the tokens that an MoE layer routes together (over all ``ep`` ranks).
    ``popularity`` is a file or list of loads, one an expert or one list a MoE layer; it takes the
    place of ``skew``. ``correlation`` is shared by the tokens of one of ``requests`` requests.
    ``memory_bytes`` limits what one device holds (default: what ``device`` offers); what the
    always-on weights leave is room for experts. ``host_bytes`` is room in host memory. With a
    ``host_cpu``, a decode step of ``batch`` sequences of ``context`` tokens is priced whose experts
    run on ``sockets`` of it.

    Raises:
        InputError: a value out of range, a popularity that no router can have.
        UnsupportedError: a model without experts, a device without the link.
    """
    from planner.lookup import load_device, load_model

    spec = load_model(model)
    target = load_device(device, hardware_dir=hardware_dir) if device is not None else None
    moe, size = experts_of(spec), expert_bytes(spec)
    _check(batch, ep, redundant, requests, correlation)
    _check_placement(spec, ep, redundant)
    _check_device(device, link, host_cpu)

    p, named = _popularity(spec, skew, popularity)
    hits = _touched(p, batch, requests, correlation)
    distinct = float(hits.sum(axis=1).mean())
    tokens_kept = None if requests is None else effective_tokens(p[0], float(hits[0].sum()))

    room = _bytes_for_experts(spec, target, memory_bytes)
    host, host_room = _host(target, link, host_bytes)
    residency = (
        None
        if room is None
        else place(p, hits, size=size, device_bytes=room, host_bytes=host_room, ranks=ep)
    )
    offloaded = None
    if host_cpu is not None and target is not None and host is not None:
        offloaded = offloaded_step(
            spec,
            target,
            load_device(host_cpu, hardware_dir=hardware_dir),
            host,
            batch=batch,
            touched=distinct,
            context=context,
            sockets=sockets,
        )

    return ExpertUse(
        model=spec.id,
        device=target.id if target else None,
        layers=len(moe.layers),
        count=moe.count,
        per_token=moe.per_token,
        expert_bytes=size,
        always_on_bytes=always_on_bytes(spec),
        batch=batch,
        effective_batch=tokens_kept,
        popularity=named,
        distinct=distinct,
        distinct_uniform=moe.count * (1 - (1 - moe.per_token / moe.count) ** batch),
        ranks=_spread(p, ep, redundant, batch),
        room_bytes=room,
        residency=residency,
        times=_times(spec, residency, host),
        assumptions=(
            *spec.remarks,
            *_assumptions(host, correlation, shuffled=popularity is None and skew > 0),
        ),
        offloaded=offloaded,
    )


def _check(batch: int, ep: int, redundant: int, requests: int | None, correlation: float) -> None:
    if batch < 1 or ep < 1 or redundant < 0:
        raise InputError(
            f"batch {batch}, ep {ep}, redundant {redundant}",
            hint="batch and ep are at least 1, redundant at least 0",
        )
    if (requests is None) != (correlation == 0):
        raise InputError(
            f"requests {requests} with correlation {correlation:g}",
            hint="tokens that route alike need both, independent ones neither",
        )


def _check_placement(spec: ModelSpec, ep: int, redundant: int) -> None:
    """Refuse more copies of experts than there are places."""
    count = experts_of(spec).count
    if redundant > count * ep:
        raise InputError(
            f"redundant {redundant} is more than every expert on every rank",
            hint=f"{spec.id} has {count} experts, on {ep} ranks",
        )


def _check_device(
    device: str | DeviceProfile | None, link: str, host_cpu: str | DeviceProfile | None
) -> None:
    """Refuse a link, and experts on a CPU, without a device."""
    if device is None and link != "pcie":
        raise InputError(f"link {link!r} without a device", hint="name a device after the model")
    if device is None and host_cpu is not None:
        raise InputError(
            "experts on a CPU without a device for the rest",
            hint="name a device after the model",
        )


def _popularity(spec: ModelSpec, skew: float, given: Any) -> tuple[Array, str]:
    """(popularity [layer, expert], its name)."""
    moe = experts_of(spec)
    layers = len(moe.layers)
    name = message("verbs.power_law", x=f"{skew:g}") if skew else message("verbs.uniform")
    if given is None:
        if skew > MAX_SKEW:
            raise InputError(
                f"skew is {skew:g}; it is a number from 0 to {MAX_SKEW}",
                hint="0 is uniform, 1 is Zipf's law",
            )
        popularity = power_law_popularity(moe.count, moe.per_token, skew)
        popularity = np.random.default_rng(SHUFFLE_SEED).permutation(popularity)
        return np.broadcast_to(popularity, (layers, moe.count)), name
    if skew:
        raise InputError(f"skew {skew:g} and a popularity exclude each other", hint="leave one out")
    if isinstance(given, str | os.PathLike):
        given, name = _read(Path(given)), message("verbs.loads_of", file=Path(given).name)
    else:
        name = message("verbs.loads_given")
    rows = list(given)
    nested = bool(rows) and isinstance(rows[0], list | tuple | np.ndarray)
    table = rows if nested else [rows] * layers
    lists = all(isinstance(row, list | tuple | np.ndarray) for row in table)
    if not lists or len(table) != layers or any(len(row) != moe.count for row in table):
        stated = f"{len(rows)} lists" if nested else f"{len(rows)} numbers"
        raise InputError(
            f"popularity of {stated}; {spec.id} has {layers} MoE layers of {moe.count} experts",
            hint="one number an expert, or one such list a MoE layer",
        )
    try:
        return np.stack([given_popularity(row, moe.per_token) for row in table]), name
    except (TypeError, ValueError) as error:
        raise InputError(
            f"popularity holds something that is not a number: {error}", hint="numbers only"
        ) from error


def _read(path: Path) -> Any:
    """Numbers of a file: JSON {"loads": [...]}, or one number a line."""
    if not path.is_file():
        raise InputError(
            f"popularity file {str(path)!r} does not exist",
            hint='one number an expert, one a line, or JSON {"loads": [...]}',
        )
    data = read_bounded(
        path,
        MAX_POPULARITY_BYTES,
        DataError(
            f"popularity file {str(path)!r} is larger than {MAX_POPULARITY_BYTES} bytes",
            hint="one number an expert and layer is enough",
        ),
    )
    if path.suffix.lower() == ".json":
        values = parse_object(data, str(path))
        if set(values) != {"loads"} or not isinstance(values["loads"], list):
            raise DataError(
                f"{path}: keys {sorted(values)}; it holds one list, loads",
                hint='{"loads": [...]}, a list a layer or one for all',
            )
        return values["loads"]
    try:
        return [float(line) for line in decode_text(data).split()]
    except ValueError as error:
        raise DataError(f"{path}: {error}", hint="one number a line") from error


def _touched(p: Array, batch: int, requests: int | None, correlation: float) -> Array:
    if requests is None:
        return touched(p, float(batch))
    unique, where = np.unique(p, axis=0, return_inverse=True)
    touched_counts = np.stack(
        [touched_correlated(row, batch, requests, correlation) for row in unique]
    )
    return np.asarray(touched_counts[where.ravel()], dtype=np.float64)


def _spread(p: Array, ranks: int, redundant: int, batch: int) -> RankSpread:
    """The worst layer under contiguous placement, or balanced with redundant experts."""
    count, rows = p.shape[1], np.unique(p, axis=0)

    def worst(extra: int, balanced: bool) -> tuple[float, float]:
        rank_spreads = []
        for row in rows:
            places = (
                balanced_placement(row, ranks, extra)
                if balanced
                else contiguous_placement(count, ranks)
            )
            loads = rank_loads(row, places, batch)
            rank_spreads.append((loads.straggler, float(loads.distinct.max())))
        return max(rank_spreads)

    plain = worst(0, False)[0] if redundant and count % ranks == 0 else None
    straggler, distinct = worst(redundant, redundant > 0)
    return RankSpread(ranks, redundant, (count + redundant) // ranks, distinct, straggler, plain)


def _bytes_for_experts(
    spec: ModelSpec, device: DeviceProfile | None, memory_bytes: int | None
) -> int | None:
    if device is None and memory_bytes is None:
        return None
    limit = memory_bytes
    if limit is None:
        assert device is not None
        limit = usable_memory(device).bytes
    left = limit - always_on_bytes(spec)
    if left < 0:
        raise InputError(
            f"{limit} bytes a device hold less than the {always_on_bytes(spec)} bytes "
            f"that every token of {spec.id} passes",
            hint=f"--memory-bytes of at least {always_on_bytes(spec)}",
        )
    return left


def _host(
    device: DeviceProfile | None,
    link: str,
    host_bytes: int | None,
) -> tuple[Link | None, int | None]:
    """(link to host memory, room there); a device that shares its host's memory has neither."""
    if device is None:
        return None, host_bytes
    if device.links.host_bytes_per_s is None and link == "pcie":
        if host_bytes is not None:
            host_link(device, link)
        rate = device.bandwidth_bytes_per_s
        return Link("memory", rate.value, 0.0, f"{device.id} profile, bandwidth ({rate.kind})"), 0
    return host_link(device, link), host_bytes


def _times(spec: ModelSpec, residency: Residency | None, host: Link | None) -> FetchTimes | None:
    if residency is None or host is None:
        return None
    size = residency.expert_bytes
    total = always_on_bytes(spec) + residency.experts * size
    drive = Link(
        DRIVE.id,
        min(DRIVE.bytes_per_s, host.bytes_per_s),
        DRIVE.floor_seconds + host.floor_seconds,
        DRIVE.source,
    )
    return FetchTimes(
        fetch_seconds(residency, host, DRIVE),
        load_seconds(size, 1, host),
        load_seconds(size, 1, drive),
        load_seconds(total, 1, drive),
        host,
        DRIVE,
    )


def _assumptions(
    host: Link | None,
    correlation: float,
    *,
    shuffled: bool,
) -> Iterator[Note]:
    """What is taken for granted of routing, of where experts live and of the links to them."""
    if correlation:
        yield Note(
            "routing", message("memory.one_factor_probit"), message("memory.normal_router_scores")
        )
    else:
        yield Note(
            "routing", message("memory.independent_tokens"), message("memory.exact_for_popularity")
        )
    yield Note(
        "residency", message("memory.hottest_experts_stay"), message("memory.least_expected_bytes")
    )
    yield Note(
        "room", message("memory.always_on_everywhere"), message("memory.room_without_caches")
    )
    if shuffled:
        yield Note(
            "order",
            message("memory.experts_shuffled", seed=SHUFFLE_SEED),
            message("memory.hot_experts_not_known"),
        )
    if host is not None:
        for name, link in (("host link", host), ("drive", DRIVE)):
            rate = f"{link.bytes_per_s:.3g}"
            yield Note(name, message("memory.link_rate", link=link.id, rate=rate), link.source)
