"""Read one device profile: TOML text → checked models → frozen records.

Fitted sets are read from the text when they are asked for: a plan uses a third of the hundred that
a device and its relative bring, and reading TOML is slow.
"""

from __future__ import annotations

import copy
import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planner.base.errors import DataError
from planner.base.files import data_folder
from planner.base.toml_text import parse_toml, read_toml_bytes
from planner.hardware.checks import FullDocument, check_document, full_document
from planner.hardware.classes import class_digests
from planner.hardware.profile import (
    Achieved,
    DeviceProfile,
    FitError,
    FittedSet,
    Links,
    PowerMode,
    Quantity,
    Rate,
    Silicon,
    Source,
)
from planner.hardware.variants import family_bytes, family_path, variant_documents

ACCEPTED = "accepted.sha256"


def load_profile(path: Path) -> DeviceProfile:
    """The device that the TOML file ``path`` describes.

    Returns:
        The profile, with the SHA-256 of the file's bytes.

    Raises:
        DataError: the file is unreadable, is no TOML, has an unknown or missing key, or breaks a
            rule; the message names the file and the dotted key.
    """
    if path.parent == data_folder("hardware_profiles") and path.is_file():
        now = path.stat()
        return _bundled(path, now.st_mtime_ns, now.st_size)
    return _read(path)


@lru_cache(maxsize=64)
def _bundled(path: Path, _changed_ns: int, _size_bytes: int) -> DeviceProfile:
    """A bundled profile, read again only where the file is another."""
    return _read(path)


def _read(path: Path) -> DeviceProfile:
    return parse_profile(read_toml_bytes(path, hint="give the path of a device profile"), path=path)


def parse_profile(data: bytes, *, path: Path) -> DeviceProfile:
    """As :func:`load_profile`, from bytes that were read from ``path``.

    A bundled file that the schema and the rules have accepted, byte for byte, is read once and not
    checked again, and its fitted sets are read when they are asked for.
    """
    digest = hashlib.sha256(data).hexdigest()
    if digest in accepted_digests():
        return _accepted(data, path, digest)
    document = parse_toml(data, path, hint="hardware_profiles/README.md describes the format")
    full = check_document(document, path=path)
    return _profile(full, _fitted(full.table), path=path, sha256=digest)


@lru_cache(maxsize=256)
def load_variant(family: str, device: str) -> DeviceProfile:
    """One device of the packaged family ``family``.

    Raises:
        DataError: the family has no such device, or its profile breaks the schema or a rule.
    """
    path, data = family_path(family), family_bytes(family)
    digest = hashlib.sha256(data).hexdigest()
    documents = variant_documents(family)
    if device not in documents:
        raise DataError(f"{path}: no variant {device}", hint="aliases.toml names it")
    document, place = copy.deepcopy(documents[device]), path.with_name(f"{device}.toml")
    digests = (digest, *class_digests(document, place))
    checked = all(each in accepted_digests() for each in digests)
    full = (full_document if checked else check_document)(document, path=place)
    return _profile(full, _fitted(full.table), path=path, sha256=digest)


@lru_cache(maxsize=64)
def _accepted(data: bytes, path: Path, digest: str) -> DeviceProfile:
    """The profile of a bundled file whose bytes need no check."""
    text, sets = split_fitted(data.decode("utf-8"))
    document = tomllib.loads(text)
    checked = all(
        class_digest in accepted_digests() for class_digest in class_digests(document, path)
    )
    full = (full_document if checked else check_document)(document, path=path)
    return _profile(full, _fitted(full.table) if sets is None else sets, path=path, sha256=digest)


def _fitted(document: Mapping[str, Any]) -> Mapping[Key, FittedSet]:
    """The fitted sets of a parsed profile."""
    return MappingProxyType(
        {(f.operator, f.stack, f.variant): f for f in map(fitted_set, document.get("fitted", ()))}
    )


@cache
def accepted_digests() -> frozenset[str]:
    """SHA-256 of the bundled files that were checked; ``make tables`` renews the list.

    Checking them again would triple the start-up of a plan. A file that differs by one byte is not
    in the list and is checked in full; a test holds the list to the files.
    """
    try:
        text = (data_folder("hardware_profiles") / ACCEPTED).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return frozenset()
    return frozenset(line.split()[0] for line in text.splitlines() if line.strip())


def _quantity(table: Mapping[str, Any]) -> Quantity:
    def bound(key: str) -> float | None:
        return float(table[key]) if key in table else None

    return Quantity(
        value=float(table["value"]),
        unit=table["unit"],
        source=table["source"],
        date=table["date"],
        kind=table["kind"],
        low=bound("low"),
        high=bound("high"),
        note=table.get("note", ""),
    )


def _maybe(tables: Mapping[str, Any], key: str) -> Quantity | None:
    return _quantity(tables[key]) if key in tables else None


def _links(table: Mapping[str, Any]) -> Links:
    return Links(
        scale_up_bytes_per_s=_maybe(table, "scale_up"),
        scale_out_bytes_per_s=_maybe(table, "scale_out"),
        host_bytes_per_s=_maybe(table, "host"),
        scale_up_floor_seconds=_maybe(table, "scale_up_floor"),
        scale_out_floor_seconds=_maybe(table, "scale_out_floor"),
    )


def _rates(table: Mapping[str, Any]) -> Mapping[tuple[str, str], Rate]:
    return MappingProxyType(
        {
            (unit, name): Rate(unit, name, _quantity(rate["dense"]), _maybe(rate, "sparse"))
            for unit, formats in table.items()
            for name, rate in formats.items()
        }
    )


def _achieved(table: Mapping[str, Any]) -> Achieved:
    return Achieved(
        _quantity(table["compute_fraction"]),
        _quantity(table["bandwidth_fraction"]),
        _quantity(table["floor_seconds"]),
    )


def _silicon(table: Mapping[str, Any]) -> Silicon:
    return Silicon(
        _quantity(table["multiprocessors"]), _quantity(table["l2"]), _maybe(table, "exp")
    )


def _profile(
    document: FullDocument, fitted: Mapping[Key, FittedSet], *, path: Path, sha256: str
) -> DeviceProfile:
    """The record of a checked document; optional keys take the schema's defaults."""
    table = document.table
    rates = _rates(table["rates"])
    vector = [rate.dense for (_, name), rate in rates.items() if name == "fp32"]
    memory = table["memory"]
    return DeviceProfile(
        id=table["id"],
        name=table["name"],
        aliases=tuple(table.get("aliases", ())),
        kind=table["kind"],
        status=table.get("status", "released"),
        architecture=table["architecture"],
        compute_capability=table.get("compute_capability"),
        memory_type=memory["type"],
        unified_memory=memory.get("unified", False),
        label_bytes=_quantity(memory["label"]),
        driver_bytes=_maybe(memory, "driver"),
        capacity_bytes=_quantity(memory["capacity"]),
        usable_fraction=_quantity(memory["usable_fraction"]),
        bandwidth_bytes_per_s=_quantity(memory["bandwidth"]),
        rates=rates,
        unsupported=MappingProxyType(dict(table.get("unsupported", {}))),
        achieved=MappingProxyType({k: _achieved(v) for k, v in table["achieved"].items()}),
        conversion=MappingProxyType(
            {k: _quantity(v) for k, v in table.get("conversion", {}).items()}
        ),
        silicon=_silicon(table["silicon"]) if "silicon" in table else None,
        fitted=fitted,
        transfer_from=table.get("transfer", {}).get("device", ""),
        inherited=MappingProxyType({}),
        vector_fp32_flop_per_s=max(vector, key=lambda q: q.value, default=None),
        devices_per_node=table.get("devices_per_node", 1),
        scale_up_devices=table.get("scale_up_devices", 1),
        links=_links(table.get("links", {})),
        power_watts=_maybe(table, "power"),
        price_usd_per_hour=_maybe(table, "price"),
        cautions=tuple(table.get("cautions", ())),
        sources=tuple(Source(k, v["title"], v["date"]) for k, v in table["sources"].items()),
        path=str(path),
        sha256=sha256,
        power_modes=MappingProxyType(
            {
                name: PowerMode(*(_quantity(mode[k]) for k in ("watts", "compute", "bandwidth")))
                for name, mode in table.get("power_modes", {}).items()
            }
        ),
        platform=_platform(table),
        target=table.get("target", ""),
        classes=document.classes,
        taken=document.taken,
    )


def _platform(table: Mapping[str, Any]) -> str:
    """The platform that a profile names, else the one that its other keys imply; empty where
    nothing tells."""
    implied = "cuda" if "compute_capability" in table else "cpu" if table["kind"] == "cpu" else ""
    return str(table.get("platform", implied))


Key = tuple[str, str, str]
"""Operator, stack, variant."""
_HEADER = "\n[[fitted]]\n"
_NAMES = re.compile(r'^(operator|stack|variant) = "([^"\\]*)"$', re.MULTILINE)


class FittedSets(Mapping[Key, FittedSet]):
    """Sets by key, from the text of each."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[Key, str]) -> None:
        self._texts = texts

    def __getitem__(self, key: Key) -> FittedSet:
        return _parsed_set(self._texts[key])

    def __contains__(self, key: object) -> bool:
        return key in self._texts

    def __iter__(self) -> Iterator[Key]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


class InheritedSets(Mapping[Key, tuple[str, str, FittedSet]]):
    """(device, architecture, set) by key, from the mapping that holds each set."""

    __slots__ = ("_places",)

    def __init__(self, places: Mapping[Key, tuple[str, str, Mapping[Key, FittedSet]]]) -> None:
        self._places = places

    def __getitem__(self, key: Key) -> tuple[str, str, FittedSet]:
        device, architecture, sets = self._places[key]
        return device, architecture, sets[key]

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def split_fitted(text: str) -> tuple[str, FittedSets | None]:
    """(the profile without its fitted sets, the sets), or (``text``, None) where they are not the
    end of the file, one plain table each."""
    core, *tails = text.split(_HEADER)
    texts: dict[Key, str] = {}
    for tail in tails:
        names = _NAMES.findall(tail)
        fitted_keys = dict(names)
        if len(names) != 3 or len(fitted_keys) != 3 or "\n[" in tail or tail.startswith("["):
            return text, None
        texts[fitted_keys["operator"], fitted_keys["stack"], fitted_keys["variant"]] = tail
    return (core + "\n", FittedSets(texts)) if len(texts) == len(tails) else (text, None)


@cache
def _parsed_set(text: str) -> FittedSet:
    return fitted_set(tomllib.loads(text))


def fitted_set(table: Mapping[str, Any]) -> FittedSet:
    """The record of one ``[[fitted]]`` table."""
    error = table["error"]
    return FittedSet(
        operator=table["operator"],
        stack=table["stack"],
        software=table["software"],
        variant=table["variant"],
        parameters=MappingProxyType({k: float(v) for k, v in table.get("parameters", {}).items()}),
        table=MappingProxyType(
            {k: tuple(map(float, v)) for k, v in table.get("table", {}).items()}
        ),
        error=FitError(
            int(error["rows"]),
            int(error["held_out"]),
            *(float(error[k]) for k in ("mean", "median", "bias", "sigma", "coverage")),
        ),
        kind=table["kind"],
        source=table["source"],
        date=table["date"],
        note=table.get("note", ""),
    )
