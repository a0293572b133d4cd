"""What a kernel takes at least in engines that run a graph of small kernels (data/launches.toml).

    t(copy) = t_e        t(reduction over rows) = r·t_e        t(attention of a token) = a·r·t_e

t_e is the floor of an elementwise kernel on the device and r that of data/small_kernels.toml, or
both as measured on its platform; a the kernels of an attention core. The floors of kernel classes
in profiles are those of servers' kernels, which narrow activations or schedule experts in the same
launch. What the engine's own kernels reach of a peak takes the place of a class's share.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.identity_cache import cached_by_identity
from planner.base.records import record
from planner.hardware.profile import Achieved, DeviceProfile
from planner.placement.modules import Gemm, Module

_DATA = Path(__file__).resolve().parent / "data"
ATTENTION = ("attention-decode", "attention-prefill")
COPIES = "elementwise"
GATE_UP = "gate-up"


@record
class Launches:
    """Kernels of an engine beside those that servers run.

    ``attention_kernels`` of one attention core; ``attention``, ``recurrence`` and ``experts`` are
    small kernels of such a layer beside those of every engine. ``activation_bytes`` of an element
    between kernels. ``gate``: the platforms on which gate, up and activation of one token are one
    kernel. ``looped``: the plain formats whose experts are multiplied one after the other beyond
    ``looped_beyond`` tokens on ``looped_on``, each for ``looped_seconds`` of the host.
    ``tile_rows`` of the tiles that a grouped kernel computes for each expert in them, from
    ``least_pairs`` on; 0: the engine's are not known.
    """

    activation_bytes: float
    attention_kernels: float
    attention: float
    recurrence: float
    experts: float
    gate: frozenset[str]
    looped: frozenset[str]
    looped_on: frozenset[str]
    looped_beyond: float
    looped_seconds: float
    tile_rows: float = 0.0
    least_pairs: float = 0.0

    def gate_is_one_kernel(self, device: DeviceProfile) -> bool:
        """Whether gate, up and activation of one token are one kernel on ``device``."""
        return device.platform in self.gate

    def loop_seconds(self, device: DeviceProfile, scheme: str) -> float:
        """Seconds of the host for each expert of ``scheme``; 0 where one kernel takes them all."""
        held = scheme in self.looped and device.platform in self.looped_on
        return self.looped_seconds if held else 0.0


def launches(device: DeviceProfile, engine: str) -> Launches | None:
    """The kernels of ``engine`` on ``device``, None where it runs those of servers or a CPU's."""
    how = None if device.kind == "cpu" else _by_engine().get(engine)
    tiles = _table("launches.toml")["expert_tiles"]
    unit = device.rate("bf16")
    if how is None or unit is None:
        return how
    if engine not in tiles["engines"] or device.platform not in tiles["platforms"]:
        return how
    return replace(
        how,
        tile_rows=float(tiles["rows"].get(unit.unit, 0.0)),
        least_pairs=float(tiles["least_pairs"]),
    )


def loop_seconds(device: DeviceProfile, schemes: Sequence[str], engine: str) -> NDArray[np.float64]:
    """Seconds of the host for each expert of ``schemes``; 0 where one kernel takes them all."""
    how = launches(device, engine)
    return np.array([0.0 if how is None else how.loop_seconds(device, name) for name in schemes])


def kernels_of(gemm: Gemm, engine: Launches | None) -> int:
    """Kernels of a product: one, or one for each matrix of the file."""
    return int(not gemm.joined) if engine is None else len(gemm.members)


def matrices_of(
    module: Module, gemm: Gemm, tokens: NDArray[np.float64], *, one_kernel_gate: bool
) -> NDArray[np.float64]:
    """Matrices of a product that are kernels of their own, for steps of ``tokens`` [C]."""
    alone = one_kernel_gate and module.kind.endswith(GATE_UP)
    return np.where((tokens <= 1.0) & alone, 1.0, float(len(gemm.members)))


def reduction_seconds(device: DeviceProfile) -> float:
    """The least time of a kernel that reduces over rows."""
    floor = _floor(device)
    if floor is not None:
        return float(floor["reduction_seconds"])
    factor = float(_table("small_kernels.toml")["reduction_factor"])
    return factor * device.achieved[COPIES].floor_seconds.value


def copy_seconds(device: DeviceProfile) -> float:
    """The least time of a kernel that copies."""
    floor = _floor(device)
    if floor is not None:
        return float(floor["copy_seconds"])
    return device.achieved[COPIES].floor_seconds.value


@cached_by_identity(32)
def as_launched(device: DeviceProfile, engine: str) -> DeviceProfile:
    """``device`` with the floors that kernels of ``engine`` have on it, and the shares of peaks."""
    how = launches(device, engine)
    if how is None:
        return device
    least, copy = reduction_seconds(device), copy_seconds(device)
    attention = least * how.attention_kernels
    shares = [row for row in _rows("reached", device) if row["engine"] == engine]
    return replace(
        device,
        achieved={
            name: _reaching(
                _from(
                    reached,
                    copy if name == COPIES else attention if name in ATTENTION else least,
                ),
                [row for row in shares if name in row["classes"]],
            )
            for name, reached in device.achieved.items()
        },
    )


def _from(reached: Achieved, seconds: float) -> Achieved:
    if reached.floor_seconds.value == seconds:
        return reached
    floor = replace(reached.floor_seconds, value=seconds, low=None, high=None)
    return replace(reached, floor_seconds=floor)


def _reaching(reached: Achieved, rows: Sequence[Mapping[str, Any]]) -> Achieved:
    """``reached`` with the shares that ``rows`` state."""
    shares = {
        name: replace(
            getattr(reached, name), value=row[name], low=None, high=None, kind=row["kind"]
        )
        for row in rows
        for name in ("compute_fraction", "bandwidth_fraction")
        if name in row
    }
    return replace(reached, **shares) if shares else reached


def pause_seconds(device: DeviceProfile, engine: str, weight_bytes: float) -> float:
    """What a pass of ``engine`` after a pause of a second or more takes beside its kernels, with
    ``weight_bytes`` on ``device``; 0 where its memory stays as it is."""
    rows = [row for row in _rows("pause", device) if engine in row["engines"]]
    return float(rows[0]["seconds_per_byte"]) * weight_bytes if rows else 0.0


def _floor(device: DeviceProfile) -> Mapping[str, Any] | None:
    return next(iter(_rows("floor", device)), None)


def _rows(name: str, device: DeviceProfile) -> list[Mapping[str, Any]]:
    """Entries of a list that hold for the platform and architecture of ``device``."""
    return [
        row
        for row in _table("launches.toml")[name]
        if device.platform in row["platforms"]
        and (not row["architectures"] or device.architecture in row["architectures"])
    ]


@cache
def _by_engine() -> Mapping[str, Launches]:
    loops = _table("launches.toml")["looped"]
    return {
        entry["name"]: Launches(
            entry["activation_bytes"],
            entry["attention_kernels"],
            entry["attention"],
            entry["recurrence"],
            entry["experts"],
            frozenset(entry["one_kernel_gate"]),
            frozenset(loops["schemes"] if entry["name"] in loops["engines"] else ()),
            frozenset(loops["platforms"]),
            float(loops["beyond"]),
            float(loops["seconds"]),
        )
        for entry in _table("launches.toml")["engine"]
    }


@cache
def _table(name: str) -> Mapping[str, Any]:
    return tomllib.loads((_DATA / name).read_text(encoding="utf-8"))
