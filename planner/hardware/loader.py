"""Read one device profile: TOML text → checked models → frozen records."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from planner.errors import DataError, nearest_names
from planner.hardware.profile import Achieved, DeviceProfile, Links, Quantity, Rate, Source

if TYPE_CHECKING:
    from pydantic import ValidationError

    from planner.hardware.schema import LinksText, ProfileText, QuantityText

_QUANTITY_HINT = ("write { value = …, unit = \"…\", source = \"…\", date = \"YYYY-MM-DD\", "
                  "kind = \"…\" }")


def load_profile(path: Path) -> DeviceProfile:
    """The device that the TOML file ``path`` describes.

    Returns:
        The profile, with the SHA-256 of the file's bytes.

    Raises:
        DataError: the file is unreadable, is no TOML, has an unknown or missing key, or breaks a
            rule; the message names the file and the dotted key.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}",
                        hint="give the path of a device profile") from error
    return parse_profile(data, path=path)


def parse_profile(data: bytes, *, path: Path) -> DeviceProfile:
    """As :func:`load_profile`, from bytes that were read from ``path``."""
    from pydantic import ValidationError

    from planner.hardware.rules import problems
    from planner.hardware.schema import ProfileText

    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: not valid TOML: {error}",
                        hint="hardware_profiles/README.md describes the format") from error
    try:
        text = ProfileText.model_validate(document)
    except ValidationError as error:
        raise _translated(error, path) from None
    for key, reason, fix in problems(text, stem=path.stem):
        raise DataError(f"{path}: {key}: {reason}", hint=fix)
    return _profile(text, path=path, sha256=hashlib.sha256(data).hexdigest())


def _translated(error: ValidationError, path: Path) -> DataError:
    first = error.errors(include_url=False)[0]
    location = tuple(str(part) for part in first["loc"])
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        return DataError(f"{path}: {key}: unknown key",
                         hint=nearest_names(location[-1], _keys_beside(location)))
    if first["type"] == "missing":
        quantity = _keys_beside(location)[:2] == ("value", "unit")
        return DataError(f"{path}: {key}: missing",
                         hint=_QUANTITY_HINT if quantity else f"add {location[-1]}")
    if first["type"] in ("model_type", "model_attributes_type"):
        return DataError(f"{path}: {key}: {first['input']!r} is no table",
                         hint=_QUANTITY_HINT if "value" in _keys_beside((*location, ""))
                         else "write a table")
    reason = str(first["msg"])
    return DataError(f"{path}: {key}: {reason[:1].lower()}{reason[1:]}, got {first['input']!r}",
                     hint="hardware_profiles/README.md describes the format")


def _keys_beside(location: tuple[str, ...]) -> tuple[str, ...]:
    """The keys that are valid in the table that holds the last part of ``location``."""
    from pydantic import BaseModel

    from planner.hardware.schema import ProfileText

    here: Any = ProfileText
    for part in location[:-1]:
        if isinstance(here, type) and issubclass(here, BaseModel):
            if part not in here.model_fields:
                return ()
            here = here.model_fields[part].annotation
            if get_origin(here) in (Union, UnionType):
                here = next((a for a in get_args(here) if _is_model(a)), None)
        else:
            here = (get_args(here) or (None,))[-1]
    return tuple(here.model_fields) if _is_model(here) else ()


def _is_model(annotation: Any) -> bool:
    from pydantic import BaseModel

    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _quantity(text: QuantityText) -> Quantity:
    return Quantity(value=text.value, unit=text.unit, source=text.source, date=text.date,
                    kind=text.kind, low=text.low, high=text.high, note=text.note)


def _maybe(text: QuantityText | None) -> Quantity | None:
    return None if text is None else _quantity(text)


def _links(text: LinksText) -> Links:
    return Links(
        scale_up_bytes_per_s=_maybe(text.scale_up),
        scale_out_bytes_per_s=_maybe(text.scale_out),
        host_bytes_per_s=_maybe(text.host),
        scale_up_floor_seconds=_maybe(text.scale_up_floor),
        scale_out_floor_seconds=_maybe(text.scale_out_floor),
    )


def _rates(text: ProfileText) -> Mapping[tuple[str, str], Rate]:
    return MappingProxyType({
        (unit, name): Rate(unit, name, _quantity(rate.dense), _maybe(rate.sparse))
        for unit, formats in text.rates.items() for name, rate in formats.items()
    })


def _profile(text: ProfileText, *, path: Path, sha256: str) -> DeviceProfile:
    rates = _rates(text)
    vector = [rate.dense for (_, name), rate in rates.items() if name == "fp32"]
    memory = text.memory
    return DeviceProfile(
        id=text.id, name=text.name, aliases=tuple(text.aliases), kind=text.kind,
        status=text.status, architecture=text.architecture,
        compute_capability=text.compute_capability,
        memory_type=memory.type, unified_memory=memory.unified,
        label_bytes=_quantity(memory.label), driver_bytes=_maybe(memory.driver),
        capacity_bytes=_quantity(memory.capacity),
        usable_fraction=_quantity(memory.usable_fraction),
        bandwidth_bytes_per_s=_quantity(memory.bandwidth),
        rates=rates, unsupported=MappingProxyType(dict(text.unsupported)),
        achieved=MappingProxyType({
            name: Achieved(_quantity(reached.compute_fraction),
                           _quantity(reached.bandwidth_fraction),
                           _quantity(reached.floor_seconds))
            for name, reached in text.achieved.items()
        }),
        conversion=MappingProxyType({k: _quantity(v) for k, v in text.conversion.items()}),
        vector_fp32_flop_per_s=max(vector, key=lambda q: q.value, default=None),
        devices_per_node=text.devices_per_node, scale_up_devices=text.scale_up_devices,
        links=_links(text.links),
        power_watts=_maybe(text.power), price_usd_per_hour=_maybe(text.price),
        cautions=tuple(text.cautions),
        sources=tuple(Source(key, s.title, s.date) for key, s in text.sources.items()),
        path=str(path), sha256=sha256,
    )
