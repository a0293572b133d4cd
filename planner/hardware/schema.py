"""The shape of a device profile as text. Imported only while a file is being read.

These models check types, unknown keys and enumerated words; :mod:`planner.hardware.rules` checks
what relates one value to another. Nothing outside the loader sees them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from planner.hardware.profile import DeviceKind, Platform, QuantityKind

UnitName = Literal[
    "FLOP/s", "OP/s", "B", "B/s", "1", "s", "elements/s", "W", "USD/h", "count", "exp/s"
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+([-.][a-z0-9]+)*$")]
IsoDate = Annotated[str, Field(pattern=r"^(\d{4}(-\d{2}(-\d{2})?)?|undated)$")]
Text = Annotated[str, Field(min_length=1)]
Capability = Annotated[str, Field(pattern=r"^\d{1,2}\.\d$")]
Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    """No coercion, no unknown keys; validators are built on first use."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


class QuantityText(_Strict):
    """One number with everything that makes it checkable."""

    value: Finite
    unit: UnitName
    source: Text
    date: IsoDate
    kind: QuantityKind
    low: Finite | None = None
    high: Finite | None = None
    note: str = ""


class RateText(_Strict):
    """Throughput of one unit in one format, dense and 2:4 sparse apart."""

    dense: QuantityText
    sparse: QuantityText | None = None


class AchievedText(_Strict):
    """What one kernel class reaches."""

    compute_fraction: QuantityText
    bandwidth_fraction: QuantityText
    floor_seconds: QuantityText


class MemoryText(_Strict):
    """The memory that weights and caches live in."""

    type: Text
    unified: bool = False
    label: QuantityText
    driver: QuantityText | None = None
    capacity: QuantityText
    usable_fraction: QuantityText
    bandwidth: QuantityText


class LinksText(_Strict):
    """Per device and direction; absent where the device has no such link."""

    scale_up: QuantityText | None = None
    scale_up_floor: QuantityText | None = None
    scale_out: QuantityText | None = None
    scale_out_floor: QuantityText | None = None
    host: QuantityText | None = None


class SiliconText(_Strict):
    """What operator forms need of the chip beside its rates."""

    multiprocessors: QuantityText
    l2: QuantityText
    exp: QuantityText | None = None


class PowerModeText(_Strict):
    """A power mode: most watts, shares of the rates and of the bandwidth above."""

    watts: QuantityText
    compute: QuantityText
    bandwidth: QuantityText


class FitErrorText(_Strict):
    """Errors on the groups that the fit did not see."""

    rows: Count
    held_out: Annotated[int, Field(ge=0)]
    mean: Finite
    median: Finite
    bias: Finite
    sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    coverage: Annotated[float, Field(ge=0, le=1)]


class FittedText(_Strict):
    """Parameters of one operator form on one stack."""

    operator: Name
    stack: Name
    software: Text
    variant: Text
    parameters: dict[str, Finite] = {}
    table: dict[str, list[Finite]] = {}
    error: FitErrorText
    kind: Literal["fitted", "measured"]
    source: Text
    date: IsoDate
    note: str = ""


class TransferText(_Strict):
    """The relative whose fitted parameters stand in for those that are missing."""

    device: Name


class SourceText(_Strict):
    """Where quantities with this key come from."""

    title: Text
    date: IsoDate


class ProfileText(_Strict):
    """A whole file."""

    id: Name
    name: Text
    aliases: list[Text] = []
    kind: DeviceKind
    status: Literal["released", "preliminary"] = "released"
    architecture: Text
    compute_capability: Capability | None = None
    platform: Platform | None = None
    target: Name | None = None
    inherits: Name | None = None
    devices_per_node: Count = 1
    scale_up_devices: Count = 1
    cautions: list[Text] = []
    memory: MemoryText
    rates: Annotated[dict[Name, dict[Name, RateText]], Field(min_length=1)]
    unsupported: dict[Name, Text] = {}
    achieved: Annotated[dict[Name, AchievedText], Field(min_length=1)]
    conversion: dict[Name, QuantityText] = {}
    links: LinksText = LinksText.model_construct()
    silicon: SiliconText | None = None
    transfer: TransferText | None = None
    fitted: list[FittedText] = []
    power: QuantityText | None = None
    power_modes: dict[Name, PowerModeText] = {}
    price: QuantityText | None = None
    sources: Annotated[dict[str, SourceText], Field(min_length=1)]
