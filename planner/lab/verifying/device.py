"""The device that a verification is predicted for: this machine, with the threads that are used."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from planner.base.errors import UnsupportedError
from planner.base.system import usable_cpus
from planner.hardware.catalog import HOST
from planner.hardware.host.described import described
from planner.hardware.host.detect import host_facts, profile_of_draft
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device
from planner.planning.plan.record import Plan


def predicted_device(
    plan: Plan,
    device: str | DeviceProfile | None,
    folder: str | os.PathLike[str] | None,
    threads: int | None,
) -> tuple[DeviceProfile, tuple[str, ...]]:
    """(the named device, else this machine, else the plan's; what must be told of the choice).

    This machine as it is detected has as many cores as ``threads``; a profile that was measured
    has those that it was measured with.
    """
    if device is not None:
        profile = load_device(device, hardware_dir=folder)
    else:
        try:
            profile = load_device(HOST, hardware_dir=folder)
        except UnsupportedError as error:
            profile = load_device(plan.device.id, hardware_dir=folder)
            return profile, (
                f"predictions are for {profile.id}, the plan's device: {error.message}",
            )
    cores = _cores(profile)
    if threads is None or cores is None or threads == cores:
        return profile, ()
    if profile.id == HOST and not Path(profile.path).is_file() and threads < cores:
        return profile_of_draft(described(replace(host_facts(), cores=threads))), ()
    return profile, (
        f"predictions are for {cores} cores of {profile.id}, and the engine has {threads} "
        f"thread{'s' * (threads > 1)}",
    )


def threads_of(device: DeviceProfile) -> int:
    """Cores that the process may use, at most those of this machine's profile."""
    count = len(usable_cpus())
    cores = _cores(device) if device.id == HOST else None
    return max(1, min(count, cores or count))


def _cores(device: DeviceProfile) -> int | None:
    if device.kind != "cpu" or device.silicon is None:
        return None
    return int(device.silicon.multiprocessors.value)
