"""A question, declared once: its parameters in groups, from which all that takes them follows.

Flags, signatures of verbs, keys of scenarios and sweep files, and the line of a plan file that says
what was asked are made of these. What a verb takes is a class of groups (``verbs.py``). A new
parameter is one declaration here, and its use; ``--help`` waits for no other import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

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
        default=None, kind="count", help="Devices in all (searched if absent)."
    )
    tp: int | None = parameter(default=None, kind="count", help="Attention tensor parallel.")
    dp: int | None = parameter(default=None, kind="count", help="Attention data parallel.")
    pp: int | None = parameter(default=None, kind="count", help="Pipeline stages.")
    ep: int | None = parameter(default=None, kind="count", help="Expert parallel; divides tp·dp.")


@group
class LengthsParameters:
    """Tokens of a request."""

    context: int | None = parameter(
        default=None, kind="count", help="Longest sequence of a slot [tokens].", recorded=False
    )
    isl: int | None = parameter(default=None, kind="count", help="Prompt tokens.", recorded=False)
    osl: int | None = parameter(default=None, kind="count", help="Answer tokens.", recorded=False)


@group
class BatchParameters:
    """Sequences decoded together."""

    batch: int | None = parameter(default=None, kind="count", help="Sequences decoded together.")


@group
class RequestsParameters:
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
class LoadParameters:
    """How a benchmark loads a deployment, beside its lengths and users."""

    chunk_tokens: int | None = parameter(
        default=None,
        kind="count",
        help="Most prompt tokens of one pass (default: the engine's).",
    )
    requests: int | None = parameter(
        default=None,
        kind="count",
        help="A run of so many requests, as many as the batch at once (default: steady).",
    )
    same_lengths: bool = parameter(
        default=False,
        kind="switch",
        help="All requests have these very lengths, so that they stay in step.",
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
    e2e_seconds: float | None = parameter(
        default=None,
        kind="seconds",
        help="Limit on a whole request [ms]: TTFT + (osl - 1) x TPOT.",
    )


@group
class LossLimit:
    """The limit on loss."""

    max_loss: str | float | None = parameter(
        default=None,
        kind="text",
        metavar="SCHEME|NUMBER|none",
        help="No lossier than this scheme uniformly, nats of mean KL, or none (default: 8 bits, "
        "where they fit).",
    )


@group
class SchemesParameters:
    """Formats of weights."""

    schemes: Sequence[str] | None = parameter(
        default=None, kind="names", metavar="A,B", help="Schemes to choose from."
    )


@group
class CacheLayoutParameters:
    """The format of caches."""

    kv: str = parameter(default=AUTO, kind="text", metavar="LAYOUT", help="Cache layout, or auto.")


@group
class SlotsParameters:
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
class EngineParameters:
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
class FreedomParameters:
    """Rules that shall not hold."""

    untie: bool = parameter(default=False, kind="switch", help="Decide layer by layer.")
    drop_policies: Sequence[str] | None = parameter(
        default=None,
        kind="names",
        metavar="A,B",
        help="Rules that shall not hold: embedding, head, router, norm, indexer, first-layers, "
        "last-layers, one-data-type.",
    )


@group
class ExactnessParameters:
    """Whether the optimum is wanted."""

    exact: bool = parameter(
        default=False,
        kind="switch",
        help="The optimum, without regard to how sure the numbers are.",
    )


@group
class RuleParameters:
    """What it takes to leave what is published or conventional."""

    min_gain: float | None = parameter(
        default=None,
        kind="number",
        metavar="PERCENT",
        help="Gain that is worth leaving the conventional plan (default: 5; 15 for new weights and "
        "for plans of a kind that nobody measured).",
    )
    new_weights: str | None = parameter(
        default=None,
        kind="text",
        metavar="auto|yes|no",
        help="Weights that must be made: for 15 % (auto), as a change of settings (yes), never.",
    )
    allow_unmeasured: bool = parameter(
        default=False,
        kind="switch",
        help="Plans of kinds that nobody measured compete on equal terms.",
    )


@group
class AnchorParameters:
    """A measured point."""

    anchor: str | None = parameter(
        default=None,
        kind="text",
        metavar="NAME=VALUE",
        help="A measured tpot_ms, ttft_ms or output_tokens_per_second to compare with.",
        recorded=False,
    )


@group
class HostMachineParameters:
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
class FolderParameters:
    """Where profiles are."""

    hardware_dir: str | os.PathLike[str] | None = parameter(
        default=None,
        kind="text",
        metavar="DIR",
        help="Further device profiles.",
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
