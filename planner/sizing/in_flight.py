"""How many requests are in flight: state-dependent processor sharing with a limit of slots.

Requests of a rank decode together, each at the pace 1/τ(n) that n of them leave, so a rank is a
processor that is shared and whose total speed depends on how many share it. Its stationary law is
the product form of generalised processor sharing (Cohen, "The multiple phase service network with
generalized processor sharing", Acta Informatica 12, 1979), which does not depend on the
distribution of lengths:

    p(n) / p(n − 1) = λ·s(n) / n,   s(n) the seconds that a request holds a slot among n

Every arrival also halts the others while its prompt is read: of r, the share of time that goes to
prompts, it lengthens their stay so that 1/(1 − r) requests more are there, not one. Fluctuations
are wider by α = 1/(1 − r) (linear noise about the mean); their law is p(n)^(1/α²), scaled to 1. Of
R ranks that step together a prompt halts all, each by x = r/(R·(1 − r)): where each is a queue of
its own α² is (1 + x)² + (R − 1)·x².

With M slots no more than M are served, and the rest waits in order of arrival (limited processor
sharing, Zhang and Zwart, Queueing Systems 60, 2008): beyond M the law is geometric with ratio
ρ = λ·s(M)/M, the chance of a wait is its mass (of Erlang C where s is constant), and the mean wait
of those that wait is Allen and Cunneen's,

    W = s(M)/(M·(1 − ρ)) · (c_a² + c_s²)/2,   c_a = α (Poisson: 1), c_s = 0 (one length).

Assumed: Poisson arrivals; requests of one length; a wait that is exponential among those that wait.
Where the router sends each request to the rank with the fewest, or to each in turn, G ranks hold
equal numbers but for one, so n counts the requests of all of them, and n/G share a rank. Where it
draws a rank, each is a queue of its own (G = 1).
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.sizing.rank import RankPace, ServedRank
from planner.throughput.queueing import shared_slots

Array = NDArray[np.float64]
NEGLIGIBLE = 30.0
"""Natural logarithm of how much less likely than the likeliest a number is that is left out."""
FIRST = 64


@record
class InFlight:
    """Requests that hold slots over ``servers`` ranks: ``chance`` [n] of n = 0, 1, 2 …, of which
    the last includes those that wait; fluctuations are ``wider`` by that factor than this law's.
    ``waits`` is the chance that an arrival finds no slot, ``wait_seconds`` the mean wait of those;
    ``idle`` the share of time that a rank has nothing."""

    servers: int
    chance: Array
    wider: float
    waits: float
    wait_seconds: float
    idle: float

    @property
    def mean(self) -> float:
        """Mean number, over all ranks."""
        return float(np.arange(len(self.chance)) @ self.chance)

    def quantile(self, share: float) -> float:
        """The number that is not exceeded with a chance of ``share``; between whole numbers as if
        each were spread over half a request to either side."""
        below = np.cumsum(self.chance)
        k = min(int(np.searchsorted(below, share)), len(self.chance) - 1)
        before = float(below[k - 1]) if k else 0.0
        inside = (share - before) / max(float(self.chance[k]), 1e-300)
        return max(k - 0.5 + min(max(inside, 0.0), 1.0), 0.0)


def in_flight(rank: ServedRank, paced: RankPace, rate: float, servers: int) -> InFlight | None:
    """The law of requests in flight at ``rate`` requests a second and rank, ``servers`` ranks
    sharing them evenly; None where more come than are served."""
    most = servers * rank.slots
    full, _ = paced.slot_seconds(rank.osl, float(rank.slots))
    ratio = float(full) * rate / rank.slots
    if not ratio < 1.0:
        return None
    logs = _logs(rank, paced, rate, servers, most)
    chance, _ = _law(logs, most, ratio)
    mean = float(np.arange(len(chance)) @ chance) / servers
    wider = _wider(rank, paced, mean, pooled=servers > 1)
    _, waits = _law(logs / wider**2, most, ratio ** (1.0 / wider**2))
    empty = np.maximum(1.0 - np.arange(min(servers, len(chance))) / servers, 0.0)
    return InFlight(
        servers,
        chance,
        wider,
        waits,
        shared_slots(float(full), most, ratio, wider**2),
        float(chance[: len(empty)] @ empty),
    )


def _law(logs: Array, most: int, ratio: float) -> tuple[Array, float]:
    """(chances of 0, 1, 2 …, that all slots are taken): a geometric tail with ``ratio`` beyond
    ``most``."""
    chance = np.exp(logs - logs.max())
    if len(chance) <= most:
        return chance / chance.sum(), 0.0
    chance[-1] += chance[-1] * ratio / (1.0 - ratio)
    chance /= chance.sum()
    return chance, float(chance[-1])


def _wider(rank: ServedRank, paced: RankPace, sequences: float, *, pooled: bool) -> float:
    """α, from the share of time that goes to prompts at the mean."""
    _, decoding = paced.slot_seconds(rank.osl, sequences)
    wider = float(paced.at(paced.step, decoding) / paced.at(paced.bare, decoding))
    if pooled:
        return wider
    each = (wider - 1.0) / rank.ranks
    return sqrt((1.0 + each) ** 2 + (rank.ranks - 1) * each**2)


def _logs(rank: ServedRank, paced: RankPace, rate: float, servers: int, most: int) -> Array:
    """Logarithms of p(n)/p(0) from n = 0, up to ``most`` or to where nothing is left."""
    top = min(FIRST, most)
    while True:
        count = np.arange(1.0, top + 1.0)
        seconds, _ = paced.slot_seconds(rank.osl, count / servers)
        steps = np.log(rate * servers * seconds / count)
        logs = np.concatenate([[0.0], np.cumsum(steps)])
        if top == most or (steps[-1] < 0 and logs[-1] < logs.max() - NEGLIGIBLE):
            return logs
        top = min(2 * top, most)
