"""The frozen record of a device. Every figure is a :class:`Quantity` that knows its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from planner.base.records import record
from planner.messages.message import Text, message

QuantityKind = Literal[
    "datasheet", "secondary", "measured", "fitted", "derived", "recalled", "detected", "assumed"
]
DeviceKind = Literal["gpu", "cpu", "soc", "accelerator"]
Platform = Literal["cuda", "cpu", "rocm", "xpu", "tpu", "neuron", "gaudi", "ascend", "metal"]
"""What software an engine needs to run on a device; ``target`` is the generation, as that software
names it (``gfx942``, ``v6e``, ``trn2``)."""


@record
class Quantity:
    """A number with its unit, source key, date and kind; ``low``/``high`` when it is a range.

    ``note`` says why ``value`` was chosen from the range, or how it was derived.
    """

    value: float
    unit: str
    source: str
    date: str
    kind: QuantityKind
    low: float | None = None
    high: float | None = None
    note: str = ""


@record
class Rate:
    """Multiply-accumulate throughput of one unit in one format [FLOP/s or OP/s].

    ``dense`` is what a planner may use; ``sparse`` (2:4 structured) is kept for the record.
    """

    unit: str
    format: str
    dense: Quantity
    sparse: Quantity | None = None


@record
class Achieved:
    """What a kernel class reaches: fractions of dense peak and of bandwidth, time floor [s]."""

    compute_fraction: Quantity
    bandwidth_fraction: Quantity
    floor_seconds: Quantity


@record
class Silicon:
    """What operator forms need of a chip beside its rates.

    ``multiprocessors`` are SMs (cores of a CPU), ``l2_bytes`` the last cache level in front of
    memory, ``exp_per_s`` exponentials a second of all of them (absent: vector FP32 FLOP/s ÷ 16).
    """

    multiprocessors: Quantity
    l2_bytes: Quantity
    exp_per_s: Quantity | None


@record
class FitError:
    """Errors of a fit on the groups that it did not see.

    ``mean``, ``median`` and ``bias`` are relative; ``sigma`` is the log-space standard deviation
    whose 80 % interval holds 80 % of those rows; ``coverage`` is the share it holds.
    """

    rows: int
    held_out: int
    mean: float
    median: float
    bias: float
    sigma: float
    coverage: float


@record
class FittedSet:
    """Parameters of one operator form on one software stack, fitted to published measurements.

    ``stack`` is an engine's name, ``software`` its version; ``variant`` tells formats and kernels
    of one operator apart. ``parameters`` are numbers in SI units; ``table`` holds measured times
    for interpolation where no form is as good.
    """

    operator: str
    stack: str
    software: str
    variant: str
    parameters: Mapping[str, float]
    table: Mapping[str, tuple[float, ...]]
    error: FitError
    kind: QuantityKind
    source: str
    date: str
    note: str = ""


@record
class Links:
    """Bandwidths per device and direction [B/s] and latency floors [s] of one message."""

    scale_up_bytes_per_s: Quantity | None
    scale_out_bytes_per_s: Quantity | None
    host_bytes_per_s: Quantity | None
    scale_up_floor_seconds: Quantity | None
    scale_out_floor_seconds: Quantity | None


@record
class PowerMode:
    """A power mode: what it draws at most, and its shares of the rates and of the bandwidth."""

    watts: Quantity
    compute_share: Quantity
    bandwidth_share: Quantity


@record
class Source:
    """A reference that quantities point at by ``key``."""

    key: str
    title: str
    date: str


def is_card_sum(name: str) -> bool:
    """Whether ``name`` may spell several cards of a host; no device's id has a plus."""
    return "+" in name


def layers_of_cards(name: str) -> tuple[int, ...]:
    """The layers that a name says of every card; none where it says of none."""
    said = [part.rpartition(":")[2] for part in name.split("+")] if is_card_sum(name) else []
    return tuple(map(int, said)) if all(map(str.isdecimal, said)) else ()


@record
class CardShare:
    """One of unequal cards of a host: its ``layers`` (0: by memory) and its ``share`` of all."""

    profile: DeviceProfile
    layers: int
    share: float


@record
class DeviceProfile:
    """One device. ``rates`` is keyed by (unit, format); ``unsupported`` gives a reason by format.

    ``achieved`` is keyed by kernel class (see :class:`planner.formats.spec.Scheme.kernel`, plus
    ``attention-prefill``, ``attention-decode``, ``elementwise``). ``conversion`` holds software
    format conversion rates [elements/s], keyed by source format. ``fitted`` is keyed by (operator,
    stack, variant); ``inherited`` holds what is missing there and the relatives from
    ``transfer_from`` on have: (their id, their architecture, the set). ``capacity_bytes`` is what
    an engine can see; ``label_bytes`` what the box says; for a CPU ``capacity_bytes`` is the
    default that a scenario may replace. ``power_modes`` by name, where the vendor states any; the
    other figures are those of the fastest. ``platform`` and ``target`` say which rules of engines
    hold; ``classes`` are the classes that the profile inherits from, nearest first, and ``taken``
    the dotted keys of what it has from them. ``family_name``: the bare name that it was found by as
    the commonest variant. ``cards``: those of a host of unequal ones.
    """

    id: str
    name: str
    aliases: tuple[str, ...]
    kind: DeviceKind
    status: Literal["released", "preliminary"]
    architecture: str
    compute_capability: str | None
    memory_type: str
    unified_memory: bool
    label_bytes: Quantity
    driver_bytes: Quantity | None
    capacity_bytes: Quantity
    usable_fraction: Quantity
    bandwidth_bytes_per_s: Quantity
    rates: Mapping[tuple[str, str], Rate]
    unsupported: Mapping[str, str]
    achieved: Mapping[str, Achieved]
    conversion: Mapping[str, Quantity]
    silicon: Silicon | None
    fitted: Mapping[tuple[str, str, str], FittedSet]
    transfer_from: str
    inherited: Mapping[tuple[str, str, str], tuple[str, str, FittedSet]]
    vector_fp32_flop_per_s: Quantity | None
    devices_per_node: int
    scale_up_devices: int
    links: Links
    power_watts: Quantity | None
    price_usd_per_hour: Quantity | None
    cautions: tuple[str, ...]
    sources: tuple[Source, ...]
    path: str
    sha256: str
    power_modes: Mapping[str, PowerMode] = field(default_factory=dict)
    platform: str = ""
    target: str = ""
    classes: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    family_name: str = ""
    cards: tuple[CardShare, ...] = ()

    def rate(self, format_id: str) -> Rate | None:
        """The fastest unit that multiplies ``format_id``, or None."""
        rates = [r for (_, f), r in self.rates.items() if f == format_id]
        return max(rates, key=lambda r: r.dense.value, default=None)

    @property
    def has_own_memory(self) -> bool:
        """Whether its memory is another than that of the CPU beside it."""
        return self.kind in ("gpu", "accelerator") and not self.unified_memory

    def why_not(self, format_id: str) -> Text:
        """Why the device has no rate for ``format_id`` (the profile's words, or a plain one)."""
        return self.unsupported.get(format_id) or message(
            "devices.publishes_no_rate", x=self.id, format_id=format_id
        )
