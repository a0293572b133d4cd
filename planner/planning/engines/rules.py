"""What serving engines do with a scheme or cache layout: the rules of ``data/engine_matrix.csv``.

A row holds for an engine from version ``since`` (included) to ``until`` (excluded), on devices in
ranges of compute capability, for some kinds of modules and some checkpoint formats
(``containers``). The first row that fits decides; where none does, nothing is known, and unknown is
never read as supported. A row of the axis ``alike`` names schemes that the engine runs as one, by
default as the last of them.

``head``, ``embedding``, ``router``, ``norm``, ``indexer``, ``compressor`` are kinds of their own:
servers build them apart from ordinary linear layers, so a row is about one of them only if it names
it; ``dense`` and ``*`` do not.
"""

from __future__ import annotations

import csv
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from planner.base.identity_cache import cached_by_identity
from planner.base.records import record
from planner.base.versions import Version, end_of, holds_at, version_of
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.formats.stored_schemes import stored_scheme
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Message, Text, message
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import CacheUnit
from planner.placement.modules import AS_RELEASED_KINDS, EXPERT_KINDS
from planner.planning.engines.routes import cache_choice, scheme_choice
from planner.throughput.attended import COMPRESSED
from planner.throughput.engine_kernels import KernelChoice, version_numbers

Status = Literal["supported", "emulated", "refused", "unquantised", "unknown"]
STATUSES: tuple[Status, ...] = ("supported", "emulated", "refused", "unquantised", "unknown")
KINDS = ("*", "dense", "experts", *AS_RELEASED_KINDS)
"""Words of the column ``kinds``; rules of caches have their own (see :func:`cache_group`)."""
AXES = ("scheme", "kv", "mixed", "caches", "fused", "dtypes", "split", "decided", "alike", "pools")
PLAIN = ("bf16", "fp16", "fp32")
"""Schemes of the server's own data type: every checkpoint format may leave modules in it."""
DATA = Path(__file__).resolve().parents[1] / "data"
_ANY = "*"
OF_V4 = "deepseek-v4"
"""The checkpoints of DeepSeek-V4: FP8 linears and FP4, NVFP4 or FP8 experts under one
quantization_config. Engines that read it build the model from nothing else."""
OF_RELEASES = {"mxfp4": ("mxfp4",), "bitsandbytes": ("nf4", "fp4"), OF_V4: ()}
"""Checkpoint formats that exist for models released in them, with how their schemes begin: nothing
else is written in one. Those of DeepSeek-V4 are told by its attention."""
COMMON = ("", "cuda", "cpu")
SPLITS_UNEQUALLY = ("llama.cpp",)
"""Engines that give unequal cards of a host runs of layers of unequal length."""
"""Platforms that the matrix is about without saying so."""
_CPU_WITH = "cpu-"
PLATFORM = "platform"
"""The axis of the rows of engine_platforms.csv."""
KERNELS_READ = "2026-11"
"""When the engines' selectors were read (data/engine_kernels.csv of planner.throughput)."""


@record
class RuleSource:
    """Where a rule was read: title with address, and date."""

    title: str
    date: str


@record
class SupportCell:
    """What one rule says."""

    status: Status
    note: Text
    source: RuleSource | None

    @property
    def reason(self) -> Text:
        """The note and its source, for people."""
        if self.source is None:
            return self.note
        where = f"{self.source.title}, {self.source.date}"
        return message("structure.dated", text=self.note, source=where) if self.note else where

    @property
    def verdict(self) -> Message:
        """The status with its reason."""
        return message(f"engines.{self.status}_because", x=self.reason)


UNKNOWN = SupportCell("unknown", message("engines.no_source_says"), None)


@record
class Rule:
    """One row; ``device`` as :func:`on_device` takes it."""

    engine: str
    since: Version
    until: Version | None
    device: str
    axis: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    containers: tuple[str, ...]
    cell: SupportCell

    def fits(self, engine: Engine, device: DeviceProfile, kind: str, container: str) -> bool:
        """Whether the rule is about this engine, device, kind of module and checkpoint format;
        an empty ``kind`` or ``container`` fits all."""
        return (
            self.engine == engine.name
            and holds_at(self.since, self.until, engine.version)
            and on_device(self.device, device)
            and self.is_about(kind, container)
        )

    def is_about(self, kind: str, container: str) -> bool:
        """The same of the kind of module and the checkpoint format alone."""
        return (
            not kind or kind in self.kinds or (_ANY in self.kinds and kind not in AS_RELEASED_KINDS)
        ) and (not container or self.containers == (_ANY,) or container in self.containers)


def kind_group(kind: str) -> str:
    """The word of the matrix for a module kind: experts, dense, or the kind itself for those that
    servers build apart (head, embedding, router, norm, indexer, compressor)."""
    if kind in AS_RELEASED_KINDS:
        return kind
    return "experts" if kind in EXPERT_KINDS else "dense"


def cache_group(unit: CacheUnit) -> str:
    """The word of the matrix for a cache: heads (keys or values), heads-sinks where a learned logit
    takes part in the softmax, latent-dense, latent-sparse, compressed (a window and entries that
    stand for several tokens)."""
    if unit.attention.kind in COMPRESSED:
        return "compressed"
    if unit.kind != "kv-latent":
        return "heads-sinks" if unit.attention.sinks else "heads"
    return "latent-sparse" if unit.attention.indexer_topk else "latent-dense"


def support_cell(
    engine: Engine, device: DeviceProfile, axis: str, name: str, kind: str, container: str
) -> SupportCell:
    """What is known of ``name`` (a scheme or cache layout) for ``kind`` in ``container``; without
    one, in the checkpoint format where it fares best. Where no row speaks against it, the engine's
    own choice of kernels may."""
    if (barred := runs_at_all(engine, device)) is not None:
        return barred
    if not container and axis == "scheme" and name not in PLAIN:
        each = [
            support_cell(engine, device, axis, name, kind, container_name)
            for container_name in containers(engine)
        ]
        return min(
            each, key=lambda c: (STATUSES.index(c.status), c.source is None), default=UNKNOWN
        )
    cell = _by_rule(engine, device, axis, name, kind, container)
    if cell.status not in ("supported", "unknown") or axis not in ("scheme", "kv"):
        return cell
    choice = (
        scheme_choice(engine, device, name, kind, container)
        if axis == "scheme"
        else cache_choice(engine, device, name, kind)
    )
    return (
        cell
        if choice is None or choice.path not in ("refused", "unknown")
        else _of_choice(engine, choice)
    )


def on_platform(engine: Engine, device: DeviceProfile) -> SupportCell | None:
    """What ``data/engine_platforms.csv`` says of an engine on the platform of ``device``. CUDA and
    CPUs, and devices that name no platform, need no row: None."""
    row = next(iter(rules_here(engine, device, PLATFORM)), None)
    cell = None if row is None else row.cell
    if cell is None and device.platform not in COMMON:
        return SupportCell(
            "unknown",
            message("engines.no_source_says_that_runs", e=engine.name, platform=device.platform),
            None,
        )
    return cell


def runs_at_all(engine: Engine, device: DeviceProfile) -> SupportCell | None:
    """What speaks against an engine on the platform of ``device``; None where it runs there."""
    if device.cards and engine.name not in SPLITS_UNEQUALLY:
        return SupportCell("refused", message("engines.wants_equal_cards"), None)
    platform_cell = on_platform(engine, device)
    return None if platform_cell is None or platform_cell.status == "supported" else platform_cell


def _of_choice(engine: Engine, choice: KernelChoice) -> SupportCell:
    """What the engine's choice of a kernel says."""
    source = RuleSource(f"{engine.name} {choice.read_in} {choice.source}", KERNELS_READ)
    if choice.path == "refused":
        return SupportCell("refused", choice.reason, source)
    return SupportCell(
        "unknown", message("engines.is_chosen_whether_it_runs", kernel=choice.kernel), source
    )


def _by_rule(
    engine: Engine, device: DeviceProfile, axis: str, name: str, kind: str, container: str
) -> SupportCell:
    for rule in rules_here(engine, device, axis):
        if (name in rule.names or rule.names == (_ANY,)) and rule.is_about(kind, container):
            return rule.cell
    return UNKNOWN


def rule_names(engine: Engine, device: DeviceProfile, axis: str) -> tuple[tuple[str, ...], ...]:
    """The names of every rule of ``axis`` that holds, in order."""
    return tuple(rule.names for rule in rules_here(engine, device, axis))


def requantised(engine: Engine, device: DeviceProfile, scheme: str) -> SupportCell | None:
    """What ``engine`` makes of ``scheme`` on its own account: the row of the axis ``alike`` in
    which another scheme is the last; None where it takes it as it is."""
    return next(
        (rule.cell for rule in rules_here(engine, device, "alike") if scheme in rule.names[:-1]),
        None,
    )


def types_each_matrix(engine: Engine, device: DeviceProfile) -> bool:
    """Whether the engine gives every matrix a type of its own: gate and up, queries, keys and
    values too."""
    return any("matrices" in names for names in rule_names(engine, device, "split"))


def kinds_decided_by_quantiser(engine: Engine, device: DeviceProfile) -> tuple[str, ...]:
    """Kinds that rules keep as released elsewhere and that the engine's own quantiser types as it
    does others: planned there unless policies are named."""
    return tuple(kind for names in rule_names(engine, device, "decided") for kind in names)


def split_problem(
    engine: Engine, device: DeviceProfile, spec: ModelSpec, kind: str, scheme: str
) -> Text:
    """Why a scheme's blocks do not fill the rows of the matrices that an engine splits MLA's kv_b
    into; empty if they do, or it splits none."""
    weight = SCHEMES[scheme].weight
    if (
        weight.block_bytes is None
        or weight.scale is None
        or not any(kind in names for names in rule_names(engine, device, "split"))
    ):
        return ""
    block = weight.scale.block_columns
    short = sorted({a.nope_dim for a in spec.attention if a.kind == "mla" and a.nope_dim % block})
    return (
        message("engines.splits_kv_b_rows_of", e=engine.name, n=short[0], block=block)
        if short
        else ""
    )


def containers(engine: Engine) -> tuple[str, ...]:
    """The checkpoint formats that the matrix knows for ``engine``, in order."""
    container_names = [
        c for rule in rules("scheme", engine.name) for c in rule.containers if c != _ANY
    ]
    return tuple(dict.fromkeys(container_names))


def formats_of(engine: Engine, spec: ModelSpec) -> tuple[str, ...]:
    """The checkpoint formats of :func:`containers` in which weights of ``spec`` can be written;
    one that they are released in, and nothing else is written in, goes first."""
    able = [
        c
        for c in containers(engine)
        if c not in OF_RELEASES or spec.quantization.startswith(OF_RELEASES[c])
    ]
    if OF_V4 in containers(engine) and any(a.kind in COMPRESSED for a in spec.attention):
        return (OF_V4,)
    return tuple(sorted(able, key=lambda c: c not in OF_RELEASES))


@cache
def rules(axis: str, engine: str) -> tuple[Rule, ...]:
    """The rules of an axis and engine, in the order of the file."""
    return tuple(rule for rule in _all() if rule.axis == axis and rule.engine == engine)


@cached_by_identity(
    256, of=lambda engine, device, axis: (engine.name, engine.version, device, axis)
)
def rules_here(engine: Engine, device: DeviceProfile, axis: str) -> tuple[Rule, ...]:
    """Those of them that are about this engine and device, or the rows of platforms."""
    all_rules = _platforms() if axis == PLATFORM else rules(axis, engine.name)
    return tuple(rule for rule in all_rules if rule.fits(engine, device, "", ""))


@cache
def sources() -> dict[str, RuleSource]:
    """Where rules were read, by key."""
    with (DATA / "engine_sources.csv").open(encoding="utf-8", newline="") as file:
        return {row["key"]: RuleSource(row["title"], row["date"]) for row in csv.DictReader(file)}


@cache
def _platforms() -> tuple[Rule, ...]:
    known = sources()
    with (DATA / "engine_platforms.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Rule(
                row["engine"],
                version_of(row["since"]),
                end_of(row["until"]),
                row["device"],
                PLATFORM,
                (),
                (_ANY,),
                (_ANY,),
                SupportCell(_status(row), row["note"], known[row["source"]]),
            )
            for row in csv.DictReader(file)
        )


def _status(row: dict[str, str]) -> Status:
    for status in STATUSES:
        if row["status"] == status:
            return status
    raise ValueError(f"no such status: {row}")


@cache
def _all() -> tuple[Rule, ...]:
    known = sources()
    with (DATA / "engine_matrix.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_rule(row, known) for row in csv.DictReader(file))


def _rule(row: dict[str, str], origins: dict[str, RuleSource]) -> Rule:
    status = row["status"]
    if status not in STATUSES or row["axis"] not in AXES:
        raise ValueError(f"engine_matrix.csv: {row}")
    names = tuple(row["names"].split())
    known = {"scheme": SCHEMES, "kv": KV_LAYOUTS, "pools": KV_LAYOUTS}.get(row["axis"])
    if (
        known is not None
        and names != (_ANY,)
        and not all(name in known or (known is SCHEMES and stored_scheme(name)) for name in names)
    ):
        raise ValueError(f"engine_matrix.csv: {names} are no {row['axis']} names")
    if row["axis"] in ("scheme", "mixed") and not set(row["kinds"].split()) <= set(KINDS):
        raise ValueError(f"engine_matrix.csv: {row['kinds']} are no kinds of modules")
    return Rule(
        row["engine"],
        version_of(row["since"]),
        end_of(row["until"]),
        row["device"],
        row["axis"],
        names,
        tuple(row["kinds"].split()),
        tuple(row["containers"].split()),
        SupportCell(status, row["note"], origins[row["source"]]),
    )


def on_device(wanted: str, device: DeviceProfile) -> bool:
    """Whether a row's ``device`` holds here: ``*``, ``gpu`` (of CUDA, or without a platform),
    ``cpu``, ``cpu-UNIT`` of CPUs whose profile has rates of that unit (``cpu-amx``, ``cpu-neon``),
    a platform (``rocm``), a target (``gfx942``), or ranges of compute capability, ends included
    (``8.0-8.6 8.9-9.0``; ``10.0-`` has no upper end)."""
    if wanted.startswith(_CPU_WITH):
        units = {f"{_CPU_WITH}{unit}" for unit, _ in device.rates}
        return device.kind == "cpu" and not units.isdisjoint(wanted.split())
    return wanted == _ANY or _holds(
        wanted, device.kind, device.platform, device.target, device.compute_capability
    )


@lru_cache(maxsize=8192)
def _holds(wanted: str, kind: str, platform: str, target: str, capability: str | None) -> bool:
    """:func:`on_device`, from what it asks of a device."""
    if wanted == "cpu":
        return kind == "cpu"
    if wanted == "gpu":
        return kind != "cpu" and platform in COMMON
    words = wanted.split()
    if (platform and platform in words) or (target and target in words):
        return True
    if capability is None:
        return False
    here = version_numbers(capability)
    ends = [word.partition("-") for word in words if word[0].isdigit() and "." in word]
    return any(
        version_numbers(low) <= here and (not high or here <= version_numbers(high))
        for low, _, high in ends
    )
