"""Parameters of a whole deployment: prefixes, drafted tokens, pools
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
        help="How prompts come back: auto (the workload's own), agent, chat, rag, reasoning, or a "
        "workload file; hits then follow from the room for prefixes.",
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
class PoolsParameters:
    """Pools of prefill and decode workers."""

    mode: str = parameter(
        default="auto",
        kind="text",
        metavar="NAME",
        shown_default="auto",
        help="aggregated (workers do both) | disaggregated (pools of prefill and decode workers) "
        "| auto.",
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
