"""A question, declared once: its parameters in groups, from which all that takes them follows.

Flags, signatures of verbs, keys of scenarios and sweep files, and the line of a plan file that says
what was asked are made of these. What a verb takes is a class of groups (``verbs.py``). A new
parameter is one declaration here, and its use; ``--help`` waits for no other import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.planning.question.declaring import (
    AUTO,
    ENGINES,
    THROUGHPUT,
    group,
    parameter,
    parameters,
    subject,
)
from planner.planning.question.parameters_deployment import DraftNumbers as DraftNumbers
from planner.planning.question.parameters_deployment import FileLimit as FileLimit
from planner.planning.question.parameters_deployment import (
    HostMachineParameters as HostMachineParameters,
)
from planner.planning.question.parameters_deployment import PoolsParameters as PoolsParameters
from planner.planning.question.parameters_deployment import PrefixesParameters as PrefixesParameters
from planner.planning.question.parameters_deployment import SpeculationName as SpeculationName

if TYPE_CHECKING:
    from planner.hardware.profile import DeviceProfile
    from planner.models.spec import ModelSpec
    from planner.planning.question.scenario import Scenario
    from planner.quality.profile import Profile
    from planner.workloads import NamedWorkload


@group
class SubjectParameters:
    """What is asked about."""

    model: str | ModelSpec | None = subject(default=None, kw_only=False)
    device: str | DeviceProfile | None = subject(default=None, kw_only=False)


@group
class LayoutParameters:
    """How the model is laid out on devices."""

    devices: int | None = parameter(
        default=None, kind="count", help="Number of devices (default: searched)."
    )
    tp: int | None = parameter(default=None, kind="count", help="Attention tensor parallel size.")
    dp: int | None = parameter(default=None, kind="count", help="Attention data parallel size.")
    pp: int | None = parameter(default=None, kind="count", help="Pipeline parallel size.")
    ep: int | None = parameter(
        default=None, kind="count", help="Expert parallel size; divides tp·dp."
    )


@group
class LengthsParameters:
    """Tokens of a request."""

    context: int | None = parameter(
        default=None, kind="count", help="Maximum context length [tokens].", recorded=False
    )
    isl: int | None = parameter(
        default=None, kind="count", help="Input tokens of a request.", recorded=False
    )
    osl: int | None = parameter(
        default=None, kind="count", help="Output tokens of a request.", recorded=False
    )


@group
class BatchParameters:
    """Concurrent sequences of a replica."""

    batch: int | None = parameter(
        default=None, kind="count", help="Concurrent sequences of a replica."
    )
    concurrency: int | None = parameter(
        default=None,
        kind="count",
        help="Requests in flight over all replicas; sets the batch.",
    )


@group
class RequestsParameters:
    """What requests are, by name, and what of them is cached."""

    workload: str | NamedWorkload | None = parameter(
        default=None,
        kind="text",
        metavar="NAME|FILE",
        help="agent, batch, chat, long, rag, reasoning, or a file.",
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
class LoadParameters:
    """How a benchmark loads a deployment, beside its lengths and users."""

    chunk_tokens: int | None = parameter(
        default=None,
        kind="count",
        help="Prompt tokens per step (default: the engine's).",
    )
    requests: int | None = parameter(
        default=None,
        kind="count",
        help="A finite run of this many requests (default: steady state).",
    )
    same_lengths: bool = parameter(
        default=False,
        kind="switch",
        help="All requests have exactly these lengths, as in a benchmark.",
    )


@group
class ObjectiveParameters:
    """What is minimised."""

    objective: str = parameter(
        default=THROUGHPUT,
        kind="text",
        metavar="NAME",
        help="throughput | latency | memory | quality | cost.",
        recorded=False,
    )


@group
class PriceParameters:
    """What a device costs."""

    price: float | None = parameter(
        default=None,
        kind="number",
        metavar="USD",
        help="USD per device-hour (default: the scenario's or the device's).",
    )


@group
class TimeLimits:
    """Limits on time."""

    ttft_seconds: float | str | None = parameter(
        default=None, kind="seconds", metavar="NUMBER", help="Limit on time to first token [ms]."
    )
    tpot_seconds: float | str | None = parameter(
        default=None,
        kind="seconds",
        metavar="NUMBER",
        may_be_none=True,
        help="Limit on time per output token [ms], or none (default: 50).",
    )
    e2e_seconds: float | str | None = parameter(
        default=None, kind="seconds", metavar="NUMBER", help="Limit on a whole request [ms]."
    )


@group
class LossLimit:
    """The limit on loss."""

    max_loss: str | float | None = parameter(
        default=None,
        kind="text",
        metavar="SCHEME|NUMBER|none",
        help="Quality limit: a scheme's loss, nats of KL, or none (default: 8-bit).",
    )


@group
class SchemesParameters:
    """Formats of weights."""

    schemes: Sequence[str] | None = parameter(
        default=None,
        kind="names",
        metavar="A,B",
        help="Schemes to choose from (plan list formats).",
    )


@group
class CacheLayoutParameters:
    """The format of caches."""

    kv: str = parameter(
        default=AUTO,
        kind="text",
        metavar="LAYOUT",
        help="KV cache layout (fp8; fp8,windows=bf16; fp8,0-1=bf16), by-layer, or auto.",
    )


@group
class SlotsParameters:
    """What a sequence keeps room for."""

    slots: str | None = parameter(
        default=None,
        kind="text",
        metavar="NAME",
        help="Cache reserved per sequence: requests | full (the whole context).",
    )


@group
class MemoryLimit:
    """The limit on bytes."""

    memory_bytes: int | None = parameter(
        default=None, kind="count", help="Memory limit per device [bytes]."
    )


@group
class EngineParameters:
    """Who serves it."""

    engine: str = parameter(
        default=ENGINES,
        kind="text",
        metavar="NAME[@VERSION]",
        shown_default="auto",
        help="Engine to use; auto: all are considered, any: ignore engines' rules.",
        recorded=False,
    )


@group
class ScenarioName:
    """A file of values."""

    scenario: str | Scenario | None = parameter(
        default=None,
        kind="text",
        metavar="NAME",
        recorded=False,
        help="A scenario's name or file.",
    )


@group
class ProfileFile:
    """What was measured of a checkpoint."""

    profile: str | Profile | None = parameter(
        default=None,
        kind="text",
        metavar="FILE",
        help="Quality profile (plan profile).",
        recorded=False,
    )


@group
class ImportanceFile:
    """What ggml's types are written with."""

    imatrix: str | os.PathLike[str] | None = parameter(
        default=None,
        kind="text",
        metavar="FILE",
        help="llama.cpp: importance matrix to quantize with.",
        recorded=False,
    )


@group
class KeptModules:
    """Modules that stay as released: said by scenarios alone, without flags."""

    keep_first_layers: int | None = parameter(default=None, kind="count", help="")
    keep_last_layers: int | None = parameter(default=None, kind="count", help="")
    policies: Sequence[str] | None = parameter(default=None, kind="names", help="")


@group
class FreedomParameters:
    """Protection rules to turn off."""

    untie: bool = parameter(
        default=False, kind="switch", help="Choose a format for every layer by itself."
    )
    drop_policies: Sequence[str] | None = parameter(
        default=None,
        kind="names",
        metavar="A,B",
        help="Protection rules to turn off: embedding, head, router, norm, indexer, first-layers, "
        "last-layers, one-data-type.",
    )


@group
class ExactnessParameters:
    """Whether the optimum is wanted."""

    exact: bool = parameter(
        default=False,
        kind="switch",
        help="The optimum of the predictions, however uncertain.",
    )


@group
class RuleParameters:
    """What it takes to leave what is published or conventional."""

    min_gain: float | None = parameter(
        default=None,
        kind="number",
        metavar="PERCENT",
        help="Gain needed to leave the published plan [%] (default: 5; 15 to requantize, and for "
        "unmeasured kinds).",
    )
    new_weights: str | None = parameter(
        default=None,
        kind="text",
        metavar="auto|yes|no",
        help="Requantize: for a 15 % gain (auto), like any change (yes), or never (no).",
    )
    allow_unmeasured: bool = parameter(
        default=False,
        kind="switch",
        help="Unmeasured kinds of deployment compete on equal terms.",
    )


@group
class AnchorParameters:
    """A measured point."""

    anchor: str | None = parameter(
        default=None,
        kind="text",
        metavar="NAME=VALUE",
        help="Your measured tpot_ms, ttft_ms or output_tokens_per_second, to compare.",
        recorded=False,
    )


@group
class FolderParameters:
    """Where profiles are, and whether what was measured here counts."""

    hardware_dir: str | os.PathLike[str] | None = parameter(
        default=None,
        kind="text",
        metavar="DIR",
        help="Folder with more device profiles.",
        recorded=False,
    )
    no_learned: bool = parameter(
        default=False,
        kind="switch",
        help="Without what plan learn measured here.",
        recorded=False,
    )


GROUPS = tuple(
    one
    for one in list(vars().values())
    if isinstance(one, type) and one.__module__.startswith(__name__)
)
PARAMETERS = parameters(*GROUPS)
"""All of them, by name."""
LIMITS_ON_TIME = tuple(parameters(TimeLimits))
MILLISECONDS = {
    declaration.key: name
    for name, declaration in PARAMETERS.items()
    if declaration.kind == "seconds"
}
"""Keys in milliseconds, and the parameters in seconds that they are."""
SAID_BY_SCENARIOS = parameters(
    LayoutParameters, LengthsParameters, BatchParameters, TimeLimits, MemoryLimit, KeptModules
)
"""What scenarios say in numbers, and of the modules that stay."""
SAID_BY_SWEEPS = parameters(LayoutParameters, LengthsParameters, BatchParameters, MemoryLimit)
"""Counts of a sweep's questions."""
