"""What a plan's caches find of prompts: on the devices, and in a tier beyond them."""

from __future__ import annotations

from collections.abc import Callable

from planner.base.records import record
from planner.planning.answer.capacity import grows_alike
from planner.planning.price.price import Priced
from planner.planning.question.question import Question
from planner.planning.question.workload import RESERVING, Workload
from planner.planning.reuse.tier import OffloadTier
from planner.planning.space.memory import budget
from planner.reuse import Reuse, hit_rate, kept_share, lifetime
from planner.throughput.queueing import one_server

MOST_BUSY = 0.8
"""Share of time that a link may load: the rest of what it holds is computed."""


@record
class PrefixRoom:
    """Prefixes that one rank keeps: ``tokens`` beside its weights and sequences, at ``token_bytes``
    each on its fullest stage."""

    tokens: float
    token_bytes: float


@record
class OffloadRoom:
    """A tier beyond the devices: ``tokens`` of one rank; whether they ``include`` the devices'."""

    tier: OffloadTier
    tokens: float
    includes: bool
    source: str


@record
class PrefixLoads:
    """What an average prompt takes from the tier: its tokens, seconds with the wait for the link,
    seconds to compute the same, share of time that the link loads, and whether it is worth it."""

    tokens: float
    seconds: float
    compute_seconds: float
    busy: float
    worth: bool


@record
class PrefixHits:
    """Share of a prompt that is found: on the ``device``, and ``whole`` with what is loaded."""

    lifetime: float
    rate: float
    device: float
    whole: float
    loads: PrefixLoads | None = None


def room_of(question: Question, priced: Priced) -> PrefixRoom:
    """Room for prefixes beside what ``priced`` keeps; none in slots of a whole context, which an
    engine that reserves them keeps for sequences."""
    tokens, largest = float("inf"), 0.0
    for stage, cached in zip(priced.stages, priced.caches, strict=True):
        each = (
            float(cached.token)
            if grows_alike(question)
            else sum(cached.each) / question.workload.cached_tokens
        )
        if each > 0:
            tokens = min(tokens, max(budget(question) - stage.total, 0) / each)
            largest = max(largest, each)
    return PrefixRoom(0.0 if question.engine in RESERVING else tokens, largest)


def offload_room(
    room: PrefixRoom, tier: OffloadTier, *, includes: bool, source: str
) -> OffloadRoom:
    """The tier as ``room`` fills it."""
    return OffloadRoom(tier, tier.bytes_per_device / room.token_bytes, includes, source)


def request_rate(priced: Priced, work: Workload, tpot: float) -> float:
    """Requests a second of one rank whose sequences take ``tpot`` a token."""
    return priced.slot * priced.layout.pp / (tpot * work.osl)


def hits_of(
    reuse: Reuse,
    work: Workload,
    room: PrefixRoom,
    tier: OffloadRoom | None,
    rate: float,
    read: Callable[[float], float],
) -> PrefixHits:
    """What is found at ``rate`` requests a second; ``read`` has the seconds until the first token
    where so much of a prompt is found."""
    stays = lifetime(reuse, room.tokens, rate, isl=work.isl, osl=work.osl)
    device = kept_share(reuse, stays, rate)
    if tier is None:
        return PrefixHits(stays, rate, device, device)
    kept = max(room.tokens, tier.tokens) if tier.includes else room.tokens + tier.tokens
    more = max(hit_rate(reuse, kept, rate, isl=work.isl, osl=work.osl) - device, 0.0)
    link = tier.tier.link
    load_seconds = work.isl * more * room.token_bytes / link.bytes_per_s + link.floor_seconds * (
        more > 0
    )
    share = min(1.0, MOST_BUSY / (rate * load_seconds)) if more > 0 else 1.0
    more, busy = more * share, rate * load_seconds * share
    seconds = load_seconds * share * (1 + float(one_server(busy)))
    computed = read(device) - read(device + more)
    loads = PrefixLoads(work.isl * more, seconds, computed, busy, more > 0 and seconds < computed)
    return PrefixHits(stays, rate, device, device + more if loads.worth else device, loads)
