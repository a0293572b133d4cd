"""Parameters of a whole deployment: the CPU beside a device, prefixes, drafted tokens, pools
(:mod:`planner.planning.question.parameters`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from planner.planning.question.declaring import group, parameter

if TYPE_CHECKING:
    from planner.hardware.profile import DeviceProfile
    from planner.models.spec import ModelSpec
    from planner.workloads import NamedWorkload


@group
class PrefixesParameters:
    """Prompts that come back."""

    reuse: str | os.PathLike[str] | NamedWorkload | None = parameter(
        default=None,
        kind="text",
        metavar="NAME|FILE",
        help="How prompts repeat: auto (the workload's), agent, chat, rag, reasoning, or a file.",
    )
    kv_offload: str = parameter(
        default="none",
        kind="text",
        metavar="TIER",
        shown_default="none",
        help="Where prefixes are offloaded: host | nvme.",
    )
    kv_offload_bytes: int | None = parameter(
        default=None, kind="count", help="Bytes for offloaded prefixes per device."
    )


@group
class SpeculationName:
    """What drafts tokens."""

    speculation: str | ModelSpec | None = parameter(
        default=None,
        kind="text",
        metavar="NAME|MODEL",
        help="Draft: auto | none | mtp | eagle, or a model (default: none).",
    )


@group
class DraftNumbers:
    """How many tokens are drafted, and accepted."""

    draft_tokens: int | None = parameter(
        default=None, kind="count", help="Drafted tokens per step (default: searched)."
    )
    acceptance: float | None = parameter(
        default=None,
        kind="share",
        metavar="RATE",
        help="Acceptance rate of drafted tokens (default: published).",
    )


@group
class PoolsParameters:
    """Pools of prefill and decode workers."""

    mode: str = parameter(
        default="auto",
        kind="text",
        metavar="NAME",
        shown_default="auto",
        help="aggregated (one pool) | disaggregated (prefill and decode pools) | auto.",
    )
    prefill_device: str | DeviceProfile | None = parameter(
        default=None,
        kind="text",
        metavar="DEVICE",
        help="Device of the prefill pool (default: DEVICE).",
    )
    transfer_bytes_per_s: float | None = parameter(
        default=None,
        kind="number",
        help="Bandwidth between the pools per device (default: its scale-up link or network).",
    )


@group
class HostMachineParameters:
    """The CPU beside a device."""

    host: str | DeviceProfile | None = parameter(
        default=None,
        kind="text",
        metavar="CPU",
        help="Offload weights that do not fit to this CPU's memory.",
    )
    host_sockets: int | None = parameter(
        default=None, kind="count", help="CPU sockets (default: 1)."
    )
    host_memory_bytes: int | None = parameter(
        default=None, kind="count", help="Host memory for weights (default: its profile's)."
    )


@group
class FileLimit:
    """The limit on what is downloaded, or made."""

    file_bytes: int | None = parameter(
        default=None, kind="count", help="Limit on the weights' file [bytes]."
    )
