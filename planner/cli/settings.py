"""``planner.toml``: values that questions take where no flag gives them. The file of the current
folder goes before the user's; the answer names what it took from them. No key names a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from planner.base.records import record
from planner.base.system import is_path
from planner.messages.catalogue import LANGUAGES

FILE = "planner.toml"
PRICES = "price_usd_per_hour"
QUESTIONS = frozenset(
    (
        *("plan", "estimate", "compare", "capacity", "frontier", "explain", "serve", "replay"),
        *("memory", "experts"),
    )
)
"""Commands that take settings: those that ask about a model on a device. Others take ``lang``."""
LANG = "lang"
ONLINE = "online"
"""Whether the hub may be asked: in the user's own file alone, so that no folder makes it so."""
TAKEN = "planner.taken"
"""Where a context keeps what it took: texts of values by file."""
_HINT = f"{FILE} holds engine, device, devices, workload, lang and a table [{PRICES}]"


@record
class FileValue:
    """A value, and the file that it is from."""

    value: Any
    path: Path


def user_file() -> Path:
    """The user's own file: in ``$XDG_CONFIG_HOME``, else in ``~/.config``."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if home else Path(os.path.expanduser("~")) / ".config"
    return folder / "precision-planner" / FILE


def read_settings() -> dict[str, FileValue]:
    """The settings by key; prices as a table of device → USD an hour.

    Raises:
        DataError: a file is no TOML, has an unknown key, or a value is not understood.
    """
    found: dict[str, FileValue] = {}
    for path in (user_file(), Path(FILE)):
        if path.is_file():
            checks = _CHECKS if path == Path(FILE) else {**_CHECKS, ONLINE: _is_switch}
            found |= {key: FileValue(value, path) for key, value in _read(path, checks).items()}
    return found


def _language_alone() -> dict[str, FileValue]:
    """The language, of commands that ask nothing: a file that is not understood is none of
    theirs."""
    from planner.base.errors import DataError

    try:
        return {key: value for key, value in read_settings().items() if key == LANG}
    except DataError:
        return {}


def with_settings(command: click.Command, context: click.Context) -> None:
    """Let ``context``, of a question, take the settings where its arguments are silent."""
    names = {parameter.name for parameter in command.params}
    if context.resilient_parsing or LANG not in names:
        return
    settings = read_settings() if command.name in QUESTIONS else _language_alone()
    context.default_map = {
        key: setting.value for key, setting in settings.items() if key in names and key != PRICES
    }
    context.meta[FILE] = settings


def take_settings(command: click.Command, context: click.Context) -> None:
    """Keep what the parsed ``context`` took from the files, texts by file, for its answer to name;
    prices are put in."""
    settings: Mapping[str, FileValue] = context.meta.get(FILE, {})
    taken: dict[str, list[str]] = {}
    for key, setting in settings.items():
        if context.get_parameter_source(key) is ParameterSource.DEFAULT_MAP:
            taken.setdefault(_shown(setting.path), []).append(f"{key} {setting.value}")
    prices = settings.get(PRICES)
    if prices is not None and context.params.get("price", 0) is None:
        found = _prices_of(_devices_without_price(context.params), prices.value)
        if found:
            text = ",".join(f"{device}={usd:g}" for device, usd in found.items())
            price = next(p for p in command.params if p.name == "price")
            listed = isinstance(price.type, click.types.StringParamType)
            context.params["price"] = text if listed else next(iter(found.values()))
            taken.setdefault(_shown(prices.path), []).append(f"{PRICES} {text}")
    context.meta.setdefault(TAKEN, {}).update(taken)


def settings_text(file: str, values: Sequence[str]) -> str:
    """That ``values`` are from ``file``, in the language that was asked for."""
    from planner.cli.refusals import say, spoken

    return spoken(say("settings", values=", ".join(values), file=file))


def _shown(path: Path) -> str:
    """A file as people write it: their home as a tilde."""
    home = os.path.expanduser("~")
    text = str(path)
    return "~" + text[len(home) :] if text.startswith(home + os.sep) else text


def _devices_without_price(params: Mapping[str, Any]) -> str:
    """The devices that are asked about; none where a scenario, which goes before the files, says
    what they cost."""
    devices, name = params.get("device"), params.get("scenario")
    if not name:
        return str(devices or "")
    from planner.planning.question.scenarios import load_scenario

    scenario = load_scenario(name)
    priced = scenario.host.price_usd_per_hour is not None
    return "" if priced else str(devices or scenario.values.get("device") or "")


def _prices_of(devices: str, prices: Mapping[str, float]) -> dict[str, float]:
    """The prices of the devices of a list, by id, where every one has a price."""
    from planner.hardware.catalog import device_id

    by_id = {device_id(name): usd for name, usd in prices.items()}
    wanted = [device_id(name.strip()) for name in devices.split(",") if name.strip()]
    return {one: by_id[one] for one in wanted} if all(one in by_id for one in wanted) else {}


def _read(path: Path, checks: Mapping[str, Callable[[object], bool]]) -> dict[str, Any]:
    from planner.base.errors import DataError, nearest_names
    from planner.base.toml_text import parse_toml, read_toml_bytes

    table = parse_toml(read_toml_bytes(path, hint=_HINT), path, hint=_HINT)
    for key, value in table.items():
        check = checks.get(key)
        if check is None:
            raise DataError(f"{path}: unknown key {key!r}", hint=nearest_names(key, checks))
        if not check(value):
            raise DataError(f"{path}: {key} = {str(value)[:40]!r} is not understood", hint=_HINT)
    return table


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not is_path(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_prices(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(usd, (int, float)) and not isinstance(usd, bool) and 0 < usd < float("inf")
        for usd in value.values()
    )


_CHECKS: dict[str, Callable[[object], bool]] = {
    "engine": _is_name,
    "device": _is_name,
    "devices": _is_count,
    "workload": _is_name,
    "lang": lambda value: value in LANGUAGES,
    PRICES: _are_prices,
}
