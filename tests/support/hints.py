"""Hints of a refusal as changes of the question, so that a test can follow them."""

import re
from collections.abc import Mapping
from typing import Any

FLAG = re.compile(r"(raise )?--([a-z-]+)(?: to)? ([\w.+-]+)")
LEFT_OUT = re.compile(r"leave out ((?:--[a-z-]+(?: and )?)+)")
ELSEWHERE = re.compile(r"it fits on (\d+) × ([\w-]+)")
NUMBERS = {
    "batch": int,
    "context": int,
    "isl": int,
    "osl": int,
    "devices": int,
    "memory_bytes": int,
}
NO_FLAG = ("use devices with more memory", "name another device")


def alternatives(hint: str) -> list[str]:
    """The changes that a hint offers, each enough by itself."""
    return hint.split("; or ")


def followed(asked: Mapping[str, Any], text: str) -> dict[str, Any]:
    """What is asked after one alternative: every flag with its value, what is left out gone; the
    same without a flag in the text.

    Raises:
        AssertionError: the text holds a flag that is read as neither.
    """
    out = dict(asked)
    read = 0
    for names in LEFT_OUT.findall(text):
        for name in re.findall(r"--([a-z-]+)", names):
            out.pop(name.replace("-", "_"), None)
            read += 1
    for _, flag, value in FLAG.findall(LEFT_OUT.sub("", text)):
        name = flag.replace("-", "_")
        if name.endswith("_ms"):
            out[name.removesuffix("_ms") + "_seconds"] = float(value) * 1e-3
        else:
            out[name] = NUMBERS.get(name, str)(value)
        read += 1
    if found := ELSEWHERE.search(text):
        out |= {"devices": int(found[1]), "device": found[2]}
    assert read == text.count("--"), text
    return out
