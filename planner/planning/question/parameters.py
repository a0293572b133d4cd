"""A question, declared once: its parameters in groups, from which all that takes them follows.

Flags of commands, signatures of verbs, keys of scenarios and sweep files, and the line of a plan
file that says what was asked are made from these declarations. A verb's input is a class of its
groups and of what is its own; :func:`verb` makes the function that users call. A new parameter is
one line here and its use.

Nothing is imported that ``--help`` would wait for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, dataclass_transform

from planner.records import record

if TYPE_CHECKING:
    from planner.hardware.profile import DeviceProfile
    from planner.models.spec import ModelSpec
    from planner.planning.question.scenarios import Scenario
    from planner.quality.profile import Profile
    from planner.workloads import NamedWorkload

Class = TypeVar("Class")
Kind = Literal["count", "seconds", "number", "share", "text", "names", "switch"]
"""What a value is: a whole number above 0, a time (milliseconds where people write it), a number
above 0, a share, a text, a list of names, or a flag without a value."""
NO_LIMIT: Literal["none"] = "none"
"""That a limit shall not hold, be it a default."""
ANY_ENGINE, AUTO_ENGINE = "any", "auto"


class Default(str):
    """A default that can be told from the same word given: only the latter overrides a scenario."""

    __slots__ = ()


THROUGHPUT, AUTO, BF16, ANY, ENGINES = (
    Default(v) for v in ("throughput", "auto", "bf16", ANY_ENGINE, AUTO_ENGINE)
)


@record
class Parameter:
    """How a value is said: its flag, what it is, and the line of ``--help``. ``recorded``: plan
    files say it among what was asked. ``may_be_none``: a limit that the word none leaves out.
    ``shown_default``: the flag's own default, which ``--help`` shows."""

    flag: str
    kind: Kind
    help: str
    metavar: str | None = None
    also: str = ""
    recorded: bool = True
    may_be_none: bool = False
    shown_default: str | None = None

    @property
    def key(self) -> str:
        """The flag as a key of files and of click's values."""
        return self.flag.removeprefix("--").replace("-", "_")


def parameter(
    *,
    default: Any,
    kind: Kind,
    help: str,
    flag: str = "",
    metavar: str | None = None,
    also: str = "",
    recorded: bool = True,
    may_be_none: bool = False,
    shown_default: str | None = None,
) -> Any:
    """A field with how people say it; the flag is made of its name."""
    told = Parameter(flag, kind, help, metavar, also, recorded, may_be_none, shown_default)
    return field(default=default, metadata={"parameter": told})


def subject(*, default: Any = MISSING, kw_only: bool = False) -> Any:
    """A field that may be given by its position."""
    return field(default=default)


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(Field, field, parameter, subject)
)
def group(cls: type[Class]) -> type[Class]:
    """The class as a group of parameters, of which others are made."""
    return dataclass(init=False, repr=False, eq=False)(cls)


@group
class Subject:
    """What is asked about."""

    model: str | ModelSpec | None = subject(default=None, kw_only=False)
    device: str | DeviceProfile | None = subject(default=None, kw_only=False)


@group
class Layout:
    """How the model is laid out on devices."""

    devices: int | None = parameter(
        default=None, kind="count", help="Devices in all (searched if absent)."
    )
    tp: int | None = parameter(default=None, kind="count", help="Attention tensor parallel.")
    dp: int | None = parameter(default=None, kind="count", help="Attention data parallel.")
    pp: int | None = parameter(default=None, kind="count", help="Pipeline stages.")
    ep: int | None = parameter(default=None, kind="count", help="Expert parallel; divides tp·dp.")


@group
class Lengths:
    """Tokens of a request."""

    context: int | None = parameter(
        default=None, kind="count", help="Longest sequence of a slot [tokens].", recorded=False
    )
    isl: int | None = parameter(default=None, kind="count", help="Prompt tokens.", recorded=False)
    osl: int | None = parameter(default=None, kind="count", help="Answer tokens.", recorded=False)


@group
class Batch:
    """Sequences decoded together."""

    batch: int | None = parameter(default=None, kind="count", help="Sequences decoded together.")


@group
class Requests:
    """What requests are, by name, and what of them is cached."""

    workload: str | NamedWorkload | None = parameter(
        default=None,
        kind="text",
        metavar="NAME|FILE",
        help="Requests by name: agent, batch, chat, long, rag, reasoning; or a file.",
        recorded=False,
    )
    prefix_hit_rate: float | None = parameter(
        default=None,
        kind="share",
        flag="--prefix-hit",
        also="--prefix-hit-rate",
        metavar="RATE",
        help="Share of a prompt found in the prefix cache.",
        recorded=False,
    )


@group
class Objective:
    """What is minimised."""

    objective: str = parameter(
        default=THROUGHPUT,
        kind="text",
        metavar="NAME",
        help="throughput | latency | memory | quality | cost.",
        recorded=False,
    )


@group
class TimeLimits:
    """Limits on time."""

    ttft_seconds: float | None = parameter(
        default=None, kind="seconds", help="Limit on the time to the first token [ms]."
    )
    tpot_seconds: float | Literal["none"] | None = parameter(
        default=None,
        kind="seconds",
        metavar="NUMBER",
        may_be_none=True,
        help="Limit on the time per output token [ms], or none (default: 50 "
        "under throughput and cost).",
    )


@group
class LossLimit:
    """The limit on loss."""

    max_loss: str | float | None = parameter(
        default=None,
        kind="text",
        metavar="SCHEME|NUMBER",
        help="No lossier than this scheme uniformly, or nats of mean KL.",
    )


@group
class Schemes:
    """Formats of weights."""

    schemes: Sequence[str] | None = parameter(
        default=None, kind="names", metavar="A,B", help="Schemes to choose from."
    )


@group
class CacheLayout:
    """The format of caches."""

    kv: str = parameter(default=AUTO, kind="text", metavar="LAYOUT", help="Cache layout, or auto.")


@group
class Slots:
    """What a sequence keeps room for."""

    slots: str | None = parameter(
        default=None,
        kind="text",
        metavar="NAME",
        help="Cache of a sequence: requests (what it holds) | full (the whole context).",
    )


@group
class MemoryLimit:
    """The limit on bytes."""

    memory_bytes: int | None = parameter(
        default=None, kind="count", help="Limit on bytes of one device."
    )


@group
class EngineName:
    """Who serves it."""

    engine: str = parameter(
        default=ENGINES,
        kind="text",
        metavar="NAME[@VERSION]",
        shown_default="auto",
        help="Engine that must serve it; auto: the best of all, any: theory, no engine's rules.",
        recorded=False,
    )


@group
class ScenarioName:
    """A file of values."""

    scenario: str | Scenario | None = parameter(
        default=None,
        kind="text",
        metavar="NAME",
        help="A scenario's name or file.",
        recorded=False,
    )


@group
class ProfileFile:
    """What was measured of a checkpoint."""

    profile: str | Profile | None = parameter(
        default=None,
        kind="text",
        metavar="FILE",
        help="Quality profile of a checkpoint.",
        recorded=False,
    )


@group
class ImportanceFile:
    """What ggml's types are written with."""

    imatrix: str | os.PathLike[str] | None = parameter(
        default=None,
        kind="text",
        metavar="FILE",
        help="Importance matrix (llama-imatrix) that llama.cpp's types are written with.",
        recorded=False,
    )


@group
class KeptModules:
    """Modules that stay as released: said by scenarios alone, without flags."""

    keep_first_layers: int | None = parameter(default=None, kind="count", help="")
    keep_last_layers: int | None = parameter(default=None, kind="count", help="")
    policies: Sequence[str] | None = parameter(default=None, kind="names", help="")


@group
class Freedom:
    """Rules that shall not hold."""

    untie: bool = parameter(default=False, kind="switch", help="Decide layer by layer.")
    drop_policies: Sequence[str] | None = parameter(
        default=None,
        kind="names",
        metavar="A,B",
        help="Rules that shall not "
        "hold: embedding, head, router, norm, indexer, first-layers, "
        "last-layers, one-data-type.",
    )


@group
class Exactness:
    """Whether the optimum is wanted."""

    exact: bool = parameter(
        default=False,
        kind="switch",
        help="The optimum, without regard to how sure the numbers are.",
    )


@group
class Anchor:
    """A measured point."""

    anchor: str | None = parameter(
        default=None,
        kind="text",
        metavar="NAME=VALUE",
        help="A measured tpot_ms, ttft_ms or output_tokens_per_second to compare with.",
        recorded=False,
    )


@group
class HostMachine:
    """The CPU beside a device."""

    host: str | DeviceProfile | None = parameter(
        default=None,
        kind="text",
        metavar="CPU",
        help="CPU beside one device: weights that the device has no room for live in its memory.",
    )
    host_sockets: int | None = parameter(
        default=None, kind="count", help="Its sockets (default 1)."
    )
    host_memory_bytes: int | None = parameter(
        default=None, kind="count", help="Its memory for weights (default: its profile's)."
    )


@group
class Prefixes:
    """Prompts that come back."""

    reuse: str | os.PathLike[str] | NamedWorkload | None = parameter(
        default=None,
        kind="text",
        metavar="NAME|FILE",
        help="How prompts come back: auto (the "
        "workload's own), agent, chat, rag, reasoning, or a workload file; hits "
        "then follow from the room for prefixes.",
    )
    kv_offload: str = parameter(
        default="none",
        kind="text",
        metavar="TIER",
        shown_default="none",
        help="Prefixes beyond the device: host (its memory) | nvme.",
    )
    kv_offload_bytes: int | None = parameter(
        default=None, kind="count", help="Bytes for them beside each device."
    )


@group
class SpeculationName:
    """What drafts tokens."""

    speculation: str | ModelSpec | None = parameter(
        default=None,
        kind="text",
        metavar="NAME|MODEL",
        help="What drafts tokens: auto | none | mtp | eagle, or a model (default: none).",
    )


@group
class DraftNumbers:
    """How many tokens are drafted, and accepted."""

    draft_tokens: int | None = parameter(
        default=None, kind="count", help="Tokens drafted a step (searched if absent)."
    )
    acceptance: float | None = parameter(
        default=None,
        kind="share",
        metavar="RATE",
        help="Share of drafted tokens that is accepted (default: published).",
    )


@group
class Pools:
    """Pools of prefill and decode workers."""

    mode: str = parameter(
        default="auto",
        kind="text",
        metavar="NAME",
        shown_default="auto",
        help="aggregated (workers do both) | disaggregated (pools of prefill and "
        "decode workers) | auto.",
    )
    prefill_device: str | DeviceProfile | None = parameter(
        default=None,
        kind="text",
        metavar="DEVICE",
        help="Another device for the prefill pool.",
    )
    transfer_bytes_per_s: float | None = parameter(
        default=None,
        kind="number",
        help="Link between the pools, each device (default: its network).",
    )


@group
class Folder:
    """Where profiles are."""

    hardware_dir: str | os.PathLike[str] | None = parameter(
        default=None,
        kind="text",
        metavar="DIR",
        help="Further device profiles.",
        recorded=False,
    )


def parameters(*groups: type) -> dict[str, Parameter]:
    """The parameters of groups by name, in the order in which they are declared."""
    out: dict[str, Parameter] = {}
    for one in groups:
        for f in fields(one):
            told: Parameter | None = f.metadata.get("parameter")
            if told is not None:
                flag = told.flag or "--" + f.name.replace("_seconds", "-ms").replace("_", "-")
                out[f.name] = replace(told, flag=flag)
    return out


GROUPS = (
    Layout,
    Lengths,
    Batch,
    Requests,
    Objective,
    TimeLimits,
    LossLimit,
    Schemes,
    CacheLayout,
    Slots,
    MemoryLimit,
    EngineName,
    ScenarioName,
    ProfileFile,
    ImportanceFile,
    KeptModules,
    Freedom,
    Exactness,
    Anchor,
    HostMachine,
    Prefixes,
    SpeculationName,
    DraftNumbers,
    Pools,
    Folder,
)
PARAMETERS = parameters(*GROUPS)
"""All of them, by name."""
LIMITS_ON_TIME = tuple(parameters(TimeLimits))
MILLISECONDS = {told.key: name for name, told in PARAMETERS.items() if told.kind == "seconds"}
"""Keys in milliseconds, and the parameters in seconds that they are."""
SAID_BY_SCENARIOS = parameters(Layout, Lengths, Batch, TimeLimits, MemoryLimit, KeptModules)
"""What scenarios say in numbers, and of the modules that stay."""
SAID_BY_SWEEPS = parameters(Layout, Lengths, Batch, MemoryLimit)
"""Counts of a sweep's questions."""
