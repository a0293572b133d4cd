"""What a predicted gain of one configuration over another is worth.

``planning/data/gain_calibration.csv``, which ``benchmarks/gains.py`` writes from pairs of measured
configurations, says for each kind of difference how much of a predicted gain was measured:
log measured = ``beta`` × log predicted, and around it a Student-t of ``nu`` degrees of freedom and
scale sqrt(``sd``² + (``slope`` × log predicted)²). An entry ``without`` a model rests on the pairs
of others and serves that model, so that no answer about a model rests on its own rows.

Laws, for gains and thresholds of 0 and more: P rises with the gain and falls with the threshold; a
gain of 0 is above 0 in half of all cases, and both sides of a pair add up to 1; a wider spread
draws P towards 1/2.
"""

from __future__ import annotations

import csv
from functools import cache, lru_cache
from math import erfc, inf, log1p, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.base.records import record
from planner.placement.deployment_kinds import layout_class
from planner.placement.layout import Layout

FILE = Path(__file__).resolve().parents[1] / "data" / "gain_calibration.csv"
DIFFERENCES = (
    "engine",
    "format",
    "cache",
    "speculation",
    "layout",
    "version",
    "devices",
    "batch",
)
"""What two configurations may differ in, the hardest to predict first."""
EASY = frozenset(("devices", "batch"))
"""Differences that are predicted well beside any other."""
SEVERAL = "several"
"""The kind of a pair with two differences or more beside those of EASY."""
ANY = "any"
"""Any difference beside those of EASY, where nobody measured such a deployment."""
MEASURED, RELATED, RECIPE, NONE = "measured", "related", "recipe", "none"
LEVELS = {MEASURED: MEASURED, RELATED: RELATED, RECIPE: RELATED, NONE: NONE}
"""Levels of evidence → those of the file: a recipe says that a configuration is run, not how fast,
and counts as related."""
INSIDE = 0.80
"""The share of cases that an interval holds."""
Array = NDArray[np.float64]


@record
class Configuration:
    """What is compared of a deployment: ``layout`` of one replica, ``devices`` over all, ``format``
    of the weights, layout of the ``cache``, ``requests`` in flight over all devices, tokens that
    are drafted a step, and whether prompts are read by workers apart (``pools``, in words)."""

    engine: str
    version: str
    layout: Layout
    devices: int
    format: str
    cache: str
    requests: float
    drafts: int = 0
    pools: str = ""

    @property
    def layout_class(self) -> str:
        """The class of its layout."""
        return layout_class(self.layout, pools=bool(self.pools))


@record
class GainCalibration:
    """log measured gain = ``beta`` × log predicted gain, and a Student-t of ``nu`` degrees of
    freedom around it, whose scale is sqrt(``sd``² + (``slope`` × log predicted)²); from ``pairs``
    of measured configurations of ``models``."""

    beta: float
    sd: float
    nu: float
    slope: float
    pairs: int
    models: int


SAME = GainCalibration(1.0, 0.0, inf, 0.0, 0, 0)
"""Two configurations without a difference: their gain is taken as predicted."""


def differences(one: Configuration, other: Configuration) -> frozenset[str]:
    """What the two differ in, of DIFFERENCES.

    Layouts of one class over more or fewer devices differ in ``devices`` alone: the same code runs.
    ``layout``: another class, or other degrees on as many devices.
    """
    resized = one.devices != other.devices
    another = one.layout != other.layout or one.pools != other.pools
    same_class = one.layout_class == other.layout_class
    requests = one.requests / max(one.devices, 1), other.requests / max(other.devices, 1)
    unlike = {
        "engine": one.engine != other.engine,
        "format": one.format != other.format,
        "cache": one.cache != other.cache,
        "speculation": one.drafts != other.drafts,
        "layout": another and not (resized and same_class),
        "version": one.engine == other.engine and one.version != other.version,
        "devices": resized,
        "batch": one.requests != other.requests and requests[0] != requests[1],
    }
    return frozenset(name for name, is_unlike in unlike.items() if is_unlike)


def calibration(unlike: frozenset[str], level: str, model_id: str) -> GainCalibration:
    """What a gain between two configurations of ``model_id`` that differ in ``unlike`` is worth
    where they were measured as far as ``level`` says: of its kinds the smallest β and the widest
    spread; SAME for no difference.

    Kinds that nobody measured at the level are taken for the widest of the next weaker one.
    """
    assert unlike <= set(DIFFERENCES), unlike
    return _combined(unlike, LEVELS[level], model_id)


@lru_cache(maxsize=4096)
def _combined(unlike: frozenset[str], level: str, model_id: str) -> GainCalibration:
    if not unlike:
        return SAME
    kinds = sorted(unlike) + ([SEVERAL] if len(unlike - EASY) > 1 else [])
    some = [_of_kind(kind, level, model_id) for kind in kinds]
    return GainCalibration(
        min(c.beta for c in some),
        max(c.sd for c in some),
        min(c.nu for c in some),
        max(c.slope for c in some),
        min(c.pairs for c in some),
        min(c.models for c in some),
    )


def _of_kind(kind: str, level: str, model_id: str) -> GainCalibration:
    """The entry of ``kind`` at ``level`` or the next weaker that has one. Nothing is known of
    batches and devices alone at NONE, where what is related stands for them."""
    known = _entries().get(model_id) or _entries()[""]
    weaker = [RELATED] if kind in EASY else []
    weaker = {MEASURED: [MEASURED, RELATED], RELATED: [RELATED], NONE: weaker}[level]
    entries = (known[kind, place] for place in weaker if (kind, place) in known)
    return next(entries, known[ANY, NONE])


@cache
def _entries() -> dict[str, dict[tuple[str, str], GainCalibration]]:
    """Entries of (difference, level) by the model that they leave out, empty for none."""
    entries: dict[str, dict[tuple[str, str], GainCalibration]] = {}
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            entries.setdefault(row["without"], {})[row["difference"], row["level"]] = (
                GainCalibration(
                    float(row["beta"]),
                    float(row["sd"]),
                    float(row["nu"]),
                    float(row["slope"]),
                    int(row["pairs"]),
                    int(row["models"]),
                )
            )
    return entries


def forget() -> None:
    """Read the data again: they were written anew."""
    for known in (_entries, _combined):
        known.cache_clear()


def gain_distribution(
    log_gain: ArrayLike, worth: GainCalibration, own_sd: ArrayLike = 0.0
) -> tuple[Any, Any]:
    """(middle, scale) of the calibrated log gain, a number or an array as ``log_gain``: mean and
    standard deviation of a normal distribution, those of a Student-t otherwise.

    The scale is that of the calibration, or that with the 80 % interval which ``own_sd``, what the
    pair's own draws say of the log gain, gives a normal distribution, whichever is wider: both
    describe the same error, so they do not add up.
    """
    gain = np.asarray(log_gain, dtype=np.float64)
    own = np.asarray(own_sd, np.float64) * (student_reach(inf) / student_reach(worth.nu))
    scale = np.maximum(np.hypot(worth.sd, worth.slope * gain), own)
    return _plain(worth.beta * gain), _plain(scale + np.zeros_like(gain))


def probability_above(
    log_gain: ArrayLike, threshold: float, worth: GainCalibration, own_sd: ArrayLike = 0.0
) -> Any:
    """P(calibrated log gain >= log(1 + ``threshold``)), a number or an array as ``log_gain``;
    ``threshold`` is a relative gain above -1. Without any spread: 1 or 0, and 1/2 where the gain
    is the threshold."""
    middle, scale = gain_distribution(log_gain, worth, own_sd)
    apart = np.asarray(middle - log1p(threshold), dtype=np.float64)
    sure = 0.5 * (1.0 + np.sign(apart))
    with np.errstate(divide="ignore", invalid="ignore"):
        below = student_below(apart / scale, worth.nu)
    return _plain(np.where(np.asarray(scale) > 0, below, sure))


def interval(
    log_gain: ArrayLike, worth: GainCalibration, own_sd: ArrayLike = 0.0
) -> tuple[Any, Any]:
    """The log gains between which the calibrated one lies in INSIDE of all cases."""
    middle, scale = gain_distribution(log_gain, worth, own_sd)
    reach = student_reach(worth.nu) * np.asarray(scale)
    return _plain(middle - reach), _plain(middle + reach)


def student_below(at: ArrayLike, nu: float) -> Array:
    """P(T <= ``at``) of a Student-t of ``nu`` degrees of freedom: a whole number, or inf for the
    normal distribution; by the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    x = np.asarray(at, dtype=np.float64)
    if nu == inf:
        return np.asarray(0.5 * np.vectorize(erfc, otypes=[float])(-x / sqrt(2)))
    assert nu >= 1, nu
    assert nu == int(nu), nu
    angle = np.arctan(x / sqrt(nu))
    cosine, odd = np.cos(angle), int(nu) % 2
    term = cosine if odd else np.ones_like(x)
    total = np.zeros_like(x)
    for i in range(odd, int(nu) - 1, 2):
        total = total + term
        term = term * cosine**2 * (i + 1) / (i + 2)
    inside = np.sin(angle) * total
    return np.asarray(0.5 + ((angle + inside) / pi if odd else inside / 2))


@cache
def student_reach(nu: float) -> float:
    """How many scales from the middle INSIDE of a Student-t lies, by halving."""
    low, high = 0.0, 64.0
    for _ in range(80):
        middle = (low + high) / 2
        if float(student_below(middle, nu)) < 0.5 + INSIDE / 2:
            low = middle
        else:
            high = middle
    return high


def _plain(values: ArrayLike) -> Any:
    """A number for an array without axes."""
    array = np.asarray(values)
    return float(array) if array.ndim == 0 else array
