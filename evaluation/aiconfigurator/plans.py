"""One configuration in both tools' words, read from their rows and from our plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from evaluation.aiconfigurator.questions import (
    CACHE_MODES,
    CACHES,
    EXPERT_MODES,
    GEMM_MODES,
    SideQuestion,
)
from planner.planning.plan.deployment import PoolLayout
from planner.planning.plan.record import Plan

EXPERTS = ("experts-gate-up", "experts-down")


@dataclass(frozen=True, slots=True)
class SideWorker:
    """Workers of one shape; ``batch`` sequences (prefill: prompts) of each attention rank, of all
    pipeline stages together (theirs count those of one); ``cp`` prompt shards of their context
    parallelism, which we do not have."""

    workers: int
    tp: int
    dp: int
    pp: int
    ep: int
    batch: int
    cp: int = 1

    @property
    def devices(self) -> int:
        return self.workers * self.tp * self.dp * self.pp * self.cp

    @property
    def words(self) -> str:
        """``2 × tp4 dp2 ep8, batch 16``."""
        parts = [
            f"{name}{value}"
            for name, value in (
                ("tp", self.tp),
                ("cp", self.cp),
                ("dp", self.dp),
                ("pp", self.pp),
                ("ep", self.ep),
            )
            if value > 1
        ]
        return f"{self.workers} × {' '.join(parts) or 'one device'}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Configured:
    """A deployment: ``worker`` of those that do both, or two pools. ``formats`` are their modes by
    kind, ``lost`` says what of ours those cannot express."""

    mode: str
    formats: Mapping[str, str]
    kv: str
    schemes: tuple[str, ...]
    worker: SideWorker | None = None
    prefill: SideWorker | None = None
    decode: SideWorker | None = None
    lost: str = ""

    @property
    def parts(self) -> tuple[SideWorker, ...]:
        """The kinds of workers."""
        return tuple(one for one in (self.worker, self.prefill, self.decode) if one is not None)

    @property
    def devices(self) -> int:
        return sum(one.devices for one in self.parts)

    @property
    def words(self) -> str:
        """Its workers in words."""
        if self.worker is not None:
            return self.worker.words
        assert self.prefill is not None
        assert self.decode is not None
        return f"{self.prefill.words} → {self.decode.words}"

    def asked(self, isl: int) -> dict[str, Any]:
        """The configuration as their script takes it."""
        found: dict[str, Any] = {
            "mode": self.mode,
            "formats": dict(self.formats),
            "context_tokens": [isl, 2 * isl],
        }
        for name in ("worker", "prefill", "decode"):
            one = getattr(self, name)
            if one is not None:
                found[name] = asdict(one) | {"batch": max(one.batch // one.pp, 1)}
        return found


def theirs(row: Mapping[str, Any], question: SideQuestion, *, experts: bool) -> Configured:
    """Their row as a configuration; workers that do both fill the devices."""
    prefixes = ("(p)", "(d)") if "(p)tp" in row else ("",)
    last = prefixes[-1]
    formats = {"gemm": str(row[f"{last}gemm"]), "kvcache": str(row[f"{last}kvcache"])}
    if experts:
        formats["moe"] = str(row[f"{last}moe"])
    kv = CACHES[formats["kvcache"]]
    named = tuple(dict.fromkeys(formats[key] for key in ("gemm", "moe") if key in formats))
    found = [_their_worker(row, prefix, question.devices, experts) for prefix in prefixes]
    if len(found) == 1:
        return Configured("agg", formats, kv, named, worker=found[0])
    copies = question.devices // sum(one.devices for one in found)
    found = [
        SideWorker(copies * one.workers, one.tp, one.dp, one.pp, one.ep, one.batch, one.cp)
        for one in found
    ]
    return Configured("disagg", formats, kv, named, prefill=found[0], decode=found[1])


def _their_worker(row: Mapping[str, Any], prefix: str, devices: int, experts: bool) -> SideWorker:
    tp, pp, dp = (int(row[f"{prefix}{name}"]) for name in ("tp", "pp", "dp"))
    cp = int(row.get(f"{prefix}cp", 1))
    count = int(row[f"{prefix}workers"]) if prefix else devices // (tp * pp * dp * cp)
    return SideWorker(
        count,
        tp,
        dp,
        pp,
        int(row[f"{prefix}moe_ep"]) if experts else 0,
        int(row[f"{prefix}bs"]) * pp,
        cp,
    )


def ours(plan: Plan) -> Configured:
    """Our plan as a configuration."""
    if plan.deployment is None:
        la = plan.layout
        units = [(u.kind, len(u.layers) or 1, u.scheme) for u in plan.units]
        worker = _worker(
            PoolLayout(la.tp, la.dp, la.pp, la.ep), la.replicas, plan.workload.batch // la.dp, plan
        )
        return _configured("agg", units, _kv_of(plan), worker=worker)
    pools = plan.deployment
    units = [
        (u.kind, len(u.layers) or 1, u.scheme)
        for one in (pools.prefill, pools.decode)
        for u in one.units
    ]
    return _configured(
        "disagg",
        units,
        pools.kv,
        prefill=_worker(pools.prefill.layout, pools.prefill.workers, pools.prefill.batch, plan),
        decode=_worker(
            pools.decode.layout,
            pools.decode.workers,
            pools.decode.batch // pools.decode.layout.dp,
            plan,
        ),
    )


def in_their_formats(
    given: Configured,
    scheme: str | None,
    formats: Mapping[str, str],
) -> Configured:
    """Ours, where it serves their very checkpoint, under the modes that they give to it (static
    scales per tensor are a mode of their own)."""
    if given.schemes != (scheme,):
        return given
    return replace(given, formats={**formats, "kvcache": given.formats["kvcache"]})


def _worker(la: PoolLayout, count: int, batch: int, plan: Plan) -> SideWorker:
    experts = any(unit.kind in EXPERTS for unit in plan.units)
    return SideWorker(count, la.tp, la.dp, la.pp, la.ep if experts else 0, max(batch, 1))


def _kv_of(plan: Plan) -> str:
    found = {u.scheme for u in plan.units if u.kind.startswith("kv")}
    return found.pop() if len(found) == 1 else "mixed"


def _configured(
    mode: str, units: Iterable[tuple[str, int, str]], kv: str, **workers: SideWorker
) -> Configured:
    """Formats in their modes: of linears and experts the scheme of most layers."""
    counts: dict[str, dict[str, int]] = {"gemm": {}, "moe": {}}
    for kind, layers, scheme in units:
        if kind in KEPT or kind.startswith("kv"):
            continue
        mine = counts["moe" if kind in EXPERTS else "gemm"]
        mine[scheme] = mine.get(scheme, 0) + layers
    formats, lost = {"kvcache": CACHE_MODES.get(kv, "")}, []
    for key, modes in (("gemm", GEMM_MODES), ("moe", EXPERT_MODES)):
        if not counts[key]:
            continue
        most = max(counts[key], key=lambda name: counts[key][name])
        formats[key] = modes.get(most, "")
        lost += [name for name in counts[key] if name != most]
        if not formats[key]:
            lost.append(most)
    if not formats["kvcache"]:
        lost.append(f"cache {kv}")
    schemes = tuple(dict.fromkeys(name for mine in counts.values() for name in mine))
    return Configured(mode, formats, kv, schemes, lost=", ".join(dict.fromkeys(lost)), **workers)


KEPT = ("embedding", "router", "norm", "head")
