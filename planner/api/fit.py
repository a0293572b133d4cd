"""``planner.fit``: models and published files that suit a machine."""

from __future__ import annotations

from planner.base.errors import InputError
from planner.base.typed import typed
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device
from planner.planning.fit.ranked import Fitting, fitting_files
from planner.planning.fit.rating import use_named


@typed
def fit(device: str | DeviceProfile = "host", *, use: str = "chat", count: int = 10) -> Fitting:
    """The ``count`` best published GGUF files for a use on one device, one a model.

    Args:
        device: an id or a profile; ``host`` is this machine.
        use: chat, coding, long, reasoning or edge.
        count: how many files, at least 1.

    Raises:
        UnknownNameError: no such device or use. InputError: ``count`` is below 1.
    """
    if count < 1:
        raise InputError(f"count must be at least 1, not {count}", hint="count=10")
    return fitting_files(load_device(device), use_named(use), count)
