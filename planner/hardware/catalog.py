"""Find devices by name, alias or path. Reading one device parses no other profile but the relatives
whose fitted parameters stand in for missing ones."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from planner.base.errors import DataError, InputError, UnknownNameError
from planner.base.files import data_folder
from planner.base.identity_cache import cached_by_identity
from planner.base.records import record
from planner.base.system import is_path
from planner.base.toml_text import parse_toml, read_toml_bytes
from planner.hardware.loader import InheritedSets, Key, load_profile, load_variant
from planner.hardware.names import Spelling, canonical_name, meant
from planner.hardware.profile import DeviceProfile, FittedSet, is_card_sum
from planner.messages.message import message

_INDEX = "aliases.toml"
_INDEX_HINT = "it holds order = […], and tables [variants], [aliases] and [families]"
HOST = "host"
"""The device that is this machine: detected, unless a folder has a profile of that name."""
_MAC = re.compile(r"(apple|mac([ -]?(book|studio|mini|pro))*([ -]?(pro|air))?)", re.ASCII)
"""Machines that have several chips."""
_THOR_X_SUPER = re.compile(r"(nvidia-)?(drive-)?(agx-)?thor-?x-?super")
_THOR_X_SUPER_NOTE = (
    "no such product is documented by its vendor, whose list has drive-thor-x and drive-thor-u "
    "only; the 18.4 TOPS quoted for it are probably 2 × 2,560 FMA lanes × 2 × 1.8 GHz "
    "= 18.43 FP32 TFLOPS, no INT8 rate (hypothesis)"
)


@record
class _Index:
    """``aliases.toml`` of a folder: the printing order, ids of variants → the family file that has
    them, other spellings → id, and bare names → the id of the commonest variant."""

    order: tuple[str, ...]
    variants: Mapping[str, str]
    aliases: Mapping[str, str]
    families: Mapping[str, str]


def device_ids() -> tuple[str, ...]:
    """Ids of the packaged devices that have a file of their own, in the order they are printed."""
    return _index(_packaged()).order


def variant_ids() -> tuple[str, ...]:
    """Ids of the packaged devices that a family's file holds, in the order they are printed."""
    return tuple(_index(_packaged()).variants)


def is_device(name: str) -> bool:
    """Whether ``name`` is a packaged device's, this machine or cards of several kinds; paths and
    further folders are not looked at."""
    if canonical_name(name) == HOST or _meant(name, ()).id:
        return True
    if not is_card_sum(name):
        return False
    from planner.hardware.card_sums import card_names

    return all(_meant(card, ()).id for card in card_names(name))


def is_device_id(name: str) -> bool:
    """Whether ``name`` is written as a packaged device's id or alias, but for case and
    underscores: no family, no vendor's words."""
    wanted, index = canonical_name(name), _index(_packaged())
    known = (index.order, index.variants, index.aliases)
    return wanted == HOST or any(wanted in names for names in known)


def device_id(name: str) -> str:
    """The id of the packaged device that ``name`` means; ``name`` itself where none is meant."""
    return _meant(name, ()).id or name


def resolve_device(name: str, folders: Sequence[Path] = ()) -> DeviceProfile:
    """The device called ``name``: a path to a TOML file, an id, or an alias.

    Args:
        name: contains a slash or ends in ``.toml`` → a path; anything else is a name, read without
            regard to case, spaces, signs and vendors' words; a bare family (``h100``) is its
            commonest variant, which the profile says in ``family_name``. ``host`` is this machine.
        folders: searched first to last for ``<id>.toml``, before the packaged profiles.

    Raises:
        UnknownNameError: no folder has such a device.
        DataError: the file or a folder does not exist, or the profile is invalid.
    """
    if is_path(name) or name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise DataError(
                f"device profile {name!r}: no such file",
                hint="give an existing TOML file, or the id of a device",
            )
        return with_inherited(load_profile(path), folders)
    if canonical_name(name) == HOST and not any(
        (folder / f"{HOST}.toml").is_file() for folder in folders
    ):
        from planner.hardware.host.detect import host_profile

        return host_profile()
    spelling = _meant(name, folders)
    if is_card_sum(name) and not spelling.id:
        from planner.hardware.card_sums import card_sum

        return card_sum(name, lambda card: resolve_device(card, folders))
    found = with_inherited(_profile(spelling.id or name, folders, spelling), folders)
    return _as_variant(found, name.strip()) if spelling.of_family else found


@cached_by_identity(16)
def _as_variant(profile: DeviceProfile, name: str) -> DeviceProfile:
    """``profile``, as the commonest variant that the bare ``name`` means."""
    return replace(profile, family_name=name)


LINKED = ("collective", "dispatch")
"""Operators that links shape."""


def memory_kind(profile: DeviceProfile) -> str:
    """HBM, GDDR, LPDDR …: the letters that ``memory_type`` begins with."""
    return profile.memory_type.rstrip("0123456789eExX-")


def with_inherited(profile: DeviceProfile, folders: Sequence[Path] = ()) -> DeviceProfile:
    """``profile`` with the fitted sets that it lacks and its chain of relatives has, nearest first.

    A relative with another kind of memory gives what links shape and no kernel's parameters: L2
    over memory, launches and tiles of a GDDR part are not those of an HBM part.

    Raises:
        UnknownNameError: a relative does not exist.
        DataError: a relative's profile is invalid, or the chain closes on itself.
    """
    chain, here = [profile], profile
    while here.transfer_from:
        if here.transfer_from in (device.id for device in chain):
            raise DataError(
                f"{profile.path}: transfer: {' → '.join(device.id for device in chain)} "
                f"comes back to {here.transfer_from}",
                hint="name a device that has its own fits",
            )
        here = _profile(here.transfer_from, folders)
        chain.append(here)
    return _inheriting(*chain)


@cached_by_identity(64)
def _inheriting(profile: DeviceProfile, *relatives: DeviceProfile) -> DeviceProfile:
    """``profile`` with what it lacks of ``relatives``, the first that has it."""
    inherited: dict[Key, tuple[str, str, Mapping[Key, FittedSet]]] = {}
    for here in relatives:
        alike = memory_kind(here) == memory_kind(profile)
        for key in here.fitted:
            if key not in profile.fitted and (alike or key[0] in LINKED):
                inherited.setdefault(key, (here.id, here.architecture, here.fitted))
    return replace(profile, inherited=InheritedSets(inherited))


def list_devices(folders: Sequence[Path] = ()) -> list[DeviceProfile]:
    """Every device: the packaged ones in their order, those of families behind, then the others of
    ``folders`` by id.

    A file of an earlier folder replaces one of the same name further back.

    Raises:
        DataError: a folder does not exist or a profile is invalid.
    """
    paths: dict[str, Path] = {}
    for folder in (*folders, _packaged()):
        for path in _profiles(folder):
            paths.setdefault(path.stem, path)
    packaged = (*device_ids(), *variant_ids())
    others = sorted(paths.keys() - set(packaged))
    return [with_inherited(_profile(device, folders), folders) for device in (*packaged, *others)]


def _packaged() -> Path:
    return data_folder("hardware_profiles")


def _profiles(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(
            f"hardware folder {str(folder)!r}: no such folder",
            hint="--hardware-dir names a folder of device profiles",
        )
    paths = _ours(folder) if folder == _packaged() else _listed(folder)
    return list(paths)


def _listed(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.glob("*.toml") if path.name != _INDEX))


@lru_cache(maxsize=4)
def _ours(folder: Path) -> tuple[Path, ...]:
    """The packaged profiles, listed once: nothing is added to them while a program runs."""
    return _listed(folder)


def _meant(name: str, folders: Sequence[Path]) -> Spelling:
    """What ``name`` means among the devices of ``folders`` and the packaged ones."""
    packaged = _index(_packaged())
    indexes = [*map(_index, folders), packaged]
    own = [path.stem for folder in folders for path in _profiles(folder)]
    return meant(
        name,
        dict.fromkeys([*own, *packaged.order, *packaged.variants]),
        {spelling: id for index in reversed(indexes) for spelling, id in index.aliases.items()},
        {bare: id for index in reversed(indexes) for bare, id in index.families.items()},
    )


def _profile(name: str, folders: Sequence[Path], spelling: Spelling | None = None) -> DeviceProfile:
    """The profile of the device that ``name`` means; ``spelling``: what it was found to mean."""
    meaning = _meant(name, folders) if spelling is None else spelling
    packaged = _packaged()
    for folder in (*folders, packaged):
        for path in _profiles(folder):
            if path.stem == meaning.id:
                return load_profile(path)
    variants = _index(packaged).variants
    if meaning.id in variants:
        return load_variant(variants[meaning.id], meaning.id)
    if _THOR_X_SUPER.fullmatch(canonical_name(name)):
        raise UnknownNameError("device", name, ["drive-thor-x"], note=_THOR_X_SUPER_NOTE)
    if len(meaning.candidates) > 1 and not _MAC.fullmatch(canonical_name(name)):
        raise UnknownNameError.ambiguous("device", name, meaning.candidates)
    every = {HOST, *variants}
    every.update(path.stem for folder in (*folders, packaged) for path in _profiles(folder))
    if _MAC.fullmatch(canonical_name(name)):
        chips = [id for id in every if id.startswith("apple-")]
        raise UnknownNameError.ambiguous("device", name, chips)
    raise UnknownNameError("device", name, every, own=message("command.own_device"))


def _index(folder: Path) -> _Index:
    path = folder / _INDEX
    return (
        _read_index(read_toml_bytes(path, hint=_INDEX_HINT), path)
        if path.is_file()
        else _Index((), {}, {}, {})
    )


@lru_cache(maxsize=16)
def _read_index(data: bytes, path: Path) -> _Index:
    """The index that the file ``path`` holds as ``data``."""
    table = parse_toml(data, path, hint=_INDEX_HINT)
    keys = ("variants", "aliases", "families")
    order, names = table.get("order", []), [table.get(key, {}) for key in keys]
    unknown = sorted(table.keys() - {"order", *keys})
    understood = isinstance(order, list) and all(isinstance(each, dict) for each in names)
    texts = [*order, *(id for each in names for id in each.values())] if understood else [None]
    if unknown or not all(isinstance(text, str) for text in texts):
        raise DataError(
            f"{path}: {', '.join(unknown) or 'order, variants, aliases or families'}: "
            "not understood",
            hint="it holds order = [ids], [variants] of id = family, and tables [aliases] and "
            "[families] of spelling = id",
        )
    variants, aliases, families = ({canonical_name(k): v for k, v in t.items()} for t in names)
    return _Index(tuple(order), variants, aliases, families)


HARDWARE_VARIABLE = "PLAN_HARDWARE_PATH"


def hardware_folders(first: str | os.PathLike[str] | None) -> list[Path]:
    """Folders of device profiles before the packaged one: the argument, then the variable's.

    Raises:
        InputError: a folder does not exist.
    """
    folders = [Path(first)] if first is not None else []
    folders += [Path(p) for p in os.environ.get(HARDWARE_VARIABLE, "").split(os.pathsep) if p]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"hardware folder {str(folder)!r} does not exist",
                hint=f"check --hardware-dir and {HARDWARE_VARIABLE}",
            )
    return folders
