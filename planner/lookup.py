"""Names and paths to records: models, devices, workloads, quality profiles, inventories."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.base.errors import DataError, InputError, UnknownNameError
from planner.base.typed import typed
from planner.hardware.catalog import hardware_folders, is_device, resolve_device
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Note
from planner.models.catalog import is_model, model_ids, resolve_model
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec
from planner.workloads import NamedWorkload
from planner.workloads import load_workload as _load_workload

if TYPE_CHECKING:
    from planner.quality.profile import Profile


def known_spec(model_id: str) -> ModelSpec | None:
    """The bundled model with this very id; None for another, whose configuration is not kept."""
    return load_model(model_id) if model_id in model_ids() else None


@typed
def load_model(
    model: str | ModelSpec, *, ignore_keys: Sequence[str] = (), online: bool = False
) -> ModelSpec:
    """A model by id, alias, public name, short name (``llama3``), directory, or configuration file,
    or of the hub (``hf:org/name``), once it has been read.

    Args:
        ignore_keys: keys of its configuration that are not understood and shall be passed over
            (``name``, or ``text_config.name``): your word that they change neither tensors nor
            caches. Every answer repeats them.
        online: the hub may be asked for what is not bundled, and what it says is kept. Nothing is
            fetched without it.
    Raises:
        UnknownNameError: no such model, or several of that short name. DataError: a configuration
            that is not understood.
        InputError: a key to pass over that is not there or is understood, or a model that has
            been read already.
    """
    if isinstance(ignore_keys, str):
        ignore_keys = (ignore_keys,)
    if isinstance(model, ModelSpec):
        if ignore_keys:
            raise InputError(
                "ignore_keys: the model has been read already",
                hint="load_model(PATH, ignore_keys=...) reads it with them",
            )
        return model
    if online:
        from planner.models.online import fetch_model

        fetch_model(str(model))
    try:
        return resolve_model(str(model), ignore_keys=ignore_keys)
    except UnknownNameError as error:
        from planner.models.common_names import common_name

        if is_device(str(model)):
            raise _other_kind(error, "a device", "plan list devices") from None
        common = common_name(str(model))
        if common is None:
            raise
    return resolve_model(common.id, ignore_keys=ignore_keys)


@typed
def load_device(
    device: str | DeviceProfile, *, hardware_dir: str | os.PathLike[str] | None = None
) -> DeviceProfile:
    """A device by id, alias, or profile path; ``hardware_dir`` is searched before the others."""
    if isinstance(device, DeviceProfile):
        return device
    try:
        return resolve_device(str(device), hardware_folders(hardware_dir))
    except UnknownNameError as error:
        if is_model(str(device)):
            raise _other_kind(error, "a model", "plan inventory") from None
        raise


def _other_kind(error: UnknownNameError, kind: str, command: str) -> UnknownNameError:
    """The error of a name that belongs to the other catalogue."""
    other_error = UnknownNameError(error.what, error.name, (), note=f"it is {kind}")
    other_error.hint = f"the model comes first, then the device; `{command} {error.name}` shows it"
    return other_error


@typed
def load_workload(workload: str | NamedWorkload) -> NamedWorkload:
    """A workload by name or TOML path."""
    return workload if isinstance(workload, NamedWorkload) else _load_workload(workload)


@typed
def inventory(model: str | ModelSpec) -> Inventory:
    """Counts, bytes and tensor classes of a model."""
    return Inventory(load_model(model))


def load_profile(
    profile: str | Profile,
    spec: ModelSpec,
    model: Any,
) -> tuple[Profile, tuple[Note, ...]]:
    """The profile, checked against the model, with notes on what could not be checked.

    Raises:
        DataError: it was made of another checkpoint.
    """
    from planner.quality.profile import check_profile

    place = "profile"
    if isinstance(profile, (str, os.PathLike)):
        from planner.quality.profile_file import read_profile

        place, profile = str(profile), read_profile(Path(profile))
    notes = check_profile(profile, spec, place)
    named = isinstance(model, (str, os.PathLike))
    path = Path(model) if named and spec.source_kind == "file" else None
    if (
        path is not None
        and profile.checkpoint.sha256
        and (path.suffix == ".gguf" or any(path.glob("*.safetensors")))
    ):
        from planner.models.checkpoint_places import read_places

        if read_places(path).sha256 != profile.checkpoint.sha256:
            raise DataError(
                f"{place}: made of other files than those in {path}",
                hint="profile this checkpoint: plan profile " + str(path),
            )
    return profile, tuple(Note("profile", place, note) for note in notes)
