"""What strings of a plan file may be: somebody else wrote it, and scripts are made of it.

Every string is one line that is read as it is written: no control characters, and none that are
invisible or turn the direction of writing. Names that reach a command, a file or a manifest have a
grammar besides (``NAMES``); what is written there is quoted as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import fields, is_dataclass
from unicodedata import category

from planner.base.errors import DataError
from planner.planning.plan.bounds import UNSEEN
from planner.planning.plan.record import Plan

NAME = re.compile(r"[\w.~/][\w .,:@+=~^/×–-]*")
"""Models, devices, hosts: a file's name is one; a shell reads no character of it as its own."""
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*){0,2}(:[\w.-]+)?", re.ASCII)
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*")
COMMAND = re.compile(r"plan [\w .,:@+=~^/×#-]*")
METHOD = re.compile(
    "mtp|eagle3|draft_model|EAGLE|EAGLE3|STANDALONE|MTP|Eagle|Eagle3|Draft_Target"
    "|draft-mtp|draft-eagle3|draft-simple"
)
"""What engines call a kind of drafting: those of engine_speculation.csv."""
KIND = re.compile("mtp|eagle|draft-model")
VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
TOGETHER = " + "
"""Between the checkpoints of two pools."""
_COUNT = re.compile(r"[0-9]{1,6}", re.ASCII)
HOST_FLAGS: dict[str, re.Pattern[str]] = {
    "--n-cpu-moe": _COUNT,
    "--n-cpu-ffn": _COUNT,
    "--cpu-offload-gb": re.compile(r"[0-9]{1,6}\.[0-9]{2}", re.ASCII),
    "--kt-method": re.compile("BF16|FP8|FP8_PERCHANNEL|RAWINT4|AMXINT8"),
    "--kt-weight-path": re.compile("KT_WEIGHTS"),
    "--kt-cpuinfer": _COUNT,
    "--kt-threadpool-count": _COUNT,
    "--kt-num-gpu-experts": _COUNT,
    "--kt-expert-placement-strategy": re.compile("frequency"),
    "--init-expert-location": re.compile(r"EXPERT_STATISTICS\.pt"),
}
"""Flags of engines for weights in host memory, and what may follow each: no other is written."""
DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
NAMES: dict[tuple[str, str], re.Pattern[str]] = {
    ("ModelInfo", "id"): NAME,
    ("ModelInfo", "config_sha256"): DIGEST,
    ("DeviceInfo", "id"): NAME,
    ("DeviceInfo", "profile_sha256"): DIGEST,
    ("PrefillPool", "device"): NAME,
    ("DecodePool", "device"): NAME,
    ("OffloadInfo", "host"): NAME,
    ("OffloadInfo", "engine"): VALUE,
    ("EngineInfo", "version"): VERSION,
    ("SpeculationInfo", "model"): NAME,
    ("SpeculationInfo", "kind"): KIND,
    ("SpeculationInfo", "method"): METHOD,
    ("MeasureNext", "command"): COMMAND,
    ("UnitPlan", "part"): NAME,
    ("ModulePlan", "part"): NAME,
    ("PoolUnit", "part"): NAME,
}
"""The grammar of a record's name; an empty one says that there is none."""


def check_texts(plan: Plan) -> None:
    """Refuse strings that are not what they seem, and names that are none.

    Raises:
        DataError: with the place.
    """
    for place, owner, key, text in strings(plan):
        bad = next((c for c in text if category(c) in UNSEEN), None)
        if bad is not None:
            raise DataError(
                f"plan file: {place}: holds the character U+{ord(bad):04X}",
                hint="texts of a plan file are one line of what can be seen: plan again (`--json`)",
            )
        grammar = NAMES.get((owner, key))
        if grammar is not None and text and not grammar.fullmatch(text):
            raise _no_name(place, text)
    said = "" if plan.recommendation is None else plan.recommendation.checkpoint
    if said and not all(REPOSITORY.fullmatch(name) for name in said.split(TOGETHER)):
        raise _no_name("recommendation.checkpoint", said)
    if plan.offload is not None:
        _check_flags(plan.offload.flags)


def _check_flags(words: Collection[str]) -> None:
    """Refuse what is not pairs of an engine's own flag and a value that it takes, each once."""
    words = tuple(words)
    known = (
        len(words) % 2 == 0
        and len({*words[::2]}) == len(words) // 2
        and all(
            flag in HOST_FLAGS and HOST_FLAGS[flag].fullmatch(value)
            for flag, value in zip(words[::2], words[1::2], strict=True)
        )
    )
    if not known:
        raise _no_name("offload.flags", " ".join(words))


def _no_name(place: str, text: str) -> DataError:
    return DataError(
        f"plan file: {place}: {text[:60]!r} is no name that a command may hold",
        hint="no plan that is made here has it: plan again (`plan … --json`)",
    )


def strings(value: object, place: str = "", owner: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(place, record, key, text) of every string inside a record."""
    if isinstance(value, str):
        yield place, owner, place.rpartition(".")[2], value
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            if isinstance(item, str):
                yield f"{place}.{i}", owner, place.rpartition(".")[2], item
            else:
                yield from strings(item, f"{place}.{i}")
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            here = f"{place}.{item.name}" if place else item.name
            yield from strings(getattr(value, item.name), here, type(value).__name__)
