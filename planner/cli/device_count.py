"""``plan MODEL 2x4090``: a device with its number, as people write a machine."""

from __future__ import annotations

import re

import click
from click.core import ParameterSource

from planner.cli.refusals import say
from planner.cli.settings import TAKEN
from planner.cli.types import Hinted

_COUNTED = re.compile(r"\s*(\d{1,6})\s*[x×*]\s*(\S.*)", re.ASCII | re.DOTALL)


def without_count(text: str) -> str:
    """The device of a text that may begin with its number."""
    found = _counted(text)
    return text if found is None else found[2].strip()


def _counted(text: str) -> re.Match[str] | None:
    """Number and device of a text; None where it has none, or is a device as a whole (7900 XTX,
    cards of several kinds)."""
    from planner.hardware.catalog import is_device

    found = _COUNTED.fullmatch(text)
    return None if found is None or is_device(text) else found


def take_device_count(context: click.Context) -> None:
    """Read ``2x4090`` as 4090 and --devices 2 in a parsed ``context`` that has both; the answer
    names the number beside what it is from.

    Raises:
        Hinted: no device at all, another number by the flag, or a command without the flag.
    """
    text = context.params.get("device")
    if not isinstance(text, str) or "," in text:
        return
    found = _counted(text)
    if found is None:
        return
    count, device = int(found[1]), found[2].strip()
    if "devices" not in context.params:
        raise Hinted(say("counts_itself", name=repr(text[:60])), say("device_alone", name=device))
    typed = context.params["devices"]
    by_flag = context.get_parameter_source("devices") is ParameterSource.COMMANDLINE
    if count < 1 or (by_flag and typed != count):
        raise Hinted(
            say("counted_twice", name=repr(text[:60]), n=0 if not by_flag else typed),
            say("leave_out", flag=f"{found[1]}x" if by_flag else "0x"),
        )
    context.params |= {"device": device, "devices": count}
    context.set_parameter_source("devices", ParameterSource.COMMANDLINE)
    context.meta.setdefault(TAKEN, {})[text.strip()] = [f"devices {count}"]
