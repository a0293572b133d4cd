"""``planner.fit``: models and published files that suit a machine."""

from __future__ import annotations

from planner.base.errors import InputError, UnknownNameError
from planner.base.typed import typed
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device
from planner.planning.fit.candidates import ENGINES, engines_for
from planner.planning.fit.ranked import Fitting, fitting_files
from planner.planning.fit.rating import use_named


@typed
def fit(
    device: str | DeviceProfile = "host",
    *,
    use: str = "chat",
    engine: str | None = None,
    count: int = 10,
) -> Fitting:
    """The ``count`` best published files for a use on one device, one a model.

    Args:
        device: an id or a profile; ``host`` is this machine.
        use: chat, coding, long (or long-context), reasoning or edge.
        engine: llama.cpp (GGUF files), mlx (MLX's) or vllm (AWQ, GPTQ, FP8, NVFP4); all that run on
            the device by default.
        count: how many files, at least 1.

    Raises:
        UnknownNameError: no such device, use or engine. InputError: ``count`` is below 1, or no
            engine whose files are known runs on the device.
    """
    if count < 1:
        raise InputError(f"count must be at least 1, not {count}", hint="count=10")
    wanted = use_named(use)
    if engine is not None and engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    profile = load_device(device)
    usable = engines_for(profile)
    engines = usable if engine is None else tuple(name for name in usable if name == engine)
    if not engines:
        none = f"no engine whose files are known runs on {profile.id}"
        raise InputError(
            none if engine is None else f"{engine} does not run on {profile.id}",
            hint="engine=" + " or ".join(usable) if usable else "plan list engines",
        )
    return fitting_files(profile, wanted, count, engines)
