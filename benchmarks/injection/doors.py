"""Strings that come by another door than a plan file: configurations, folders, devices, scenarios,
quantisation configurations and exports that are read back."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import planner
from benchmarks.injection.judge import live
from benchmarks.injection.payloads import HARMLESS, PAYLOADS
from benchmarks.injection.table import Tally, kind_of
from planner.api.report import report_extras
from planner.base.errors import PlannerError
from planner.planning.plan.record import Plan
from planner.report.columns import plain_width
from planner.report.render.html import page
from planner.report.render.markdown import markdown
from planner.report.render.plan_text import assumptions_text, plan_text

ROOT = Path(__file__).resolve().parents[2]
MODEL, DEVICE = "llama-3.2-1b", "l40s"
ONE: dict[str, Any] = {"devices": 1, "batch": 1, "isl": 100, "osl": 10, "engine": "vllm"}
Door = Callable[[Path, str], Plan]


def _model(folder: Path, change: Callable[[dict[str, Any]], None], name: str = "model") -> Plan:
    """The price of a configuration of somebody else."""
    source = ROOT / "planner" / "models" / "configs" / f"{MODEL}.json"
    data = json.loads(source.read_text(encoding="utf-8"))
    change(data)
    place = folder / name
    place.mkdir()
    (place / "config.json").write_text(json.dumps(data), encoding="utf-8")
    return planner.estimate(str(place), DEVICE, **ONE)


def _config(*way: str | int) -> Door:
    def door(folder: Path, text: str) -> Plan:
        def change(data: dict[str, Any]) -> None:
            here: Any = data
            for key in way[:-1]:
                here = here.setdefault(key, {}) if isinstance(here, dict) else here[int(key)]
            here[way[-1]] = text

        return _model(folder, change)

    return door


def _folder(folder: Path, text: str) -> Plan:
    return _model(folder, lambda data: None, named(text))


def _device(key: str) -> Door:
    """A string of a device's file in place of the first that has the key."""

    def door(folder: Path, text: str) -> Plan:
        source = (ROOT / "hardware_profiles" / f"{DEVICE}.toml").read_text(encoding="utf-8")
        word = json.dumps(text)
        changed = re.sub(
            rf'^(.*\b{key} = )"[^"]*"', lambda m: m[1] + word, source, count=1, flags=re.MULTILINE
        )
        place = folder / "device.toml"
        place.write_text(changed, encoding="utf-8")
        return planner.estimate(MODEL, str(place), **ONE)

    return door


def _device_name(folder: Path, text: str) -> Plan:
    """A device's file that is called so."""
    source = ROOT / "hardware_profiles" / f"{DEVICE}.toml"
    place = folder / f"{named(text)}.toml"
    place.write_bytes(source.read_bytes())
    return planner.estimate(MODEL, str(place), **ONE)


def _scenario(key: str) -> Door:
    def door(folder: Path, text: str) -> Plan:
        words = {"title": "a", "question": "b", "model": MODEL, "device": DEVICE, key: text}
        place = folder / "scenario.toml"
        lines = [f"{name} = {json.dumps(word)}" for name, word in words.items()]
        place.write_text("\n".join([*lines, ""]), encoding="utf-8")
        return planner.estimate(scenario=str(place), **ONE)

    return door


def _imported(*way: str | int) -> Door:
    """A quantisation configuration that `plan import` reads."""

    def door(folder: Path, text: str) -> Plan:
        plan = planner.estimate(MODEL, "h100-sxm", scheme="fp8-channel", **ONE)
        data = json.loads(
            planner.export_plan(plan, "compressed-tensors").files["quantization_config.json"]
        )
        here: Any = data
        for key in way[:-1]:
            here = here[key]
        here[way[-1]] = text
        place = folder / "quantization_config.json"
        place.write_text(json.dumps(data), encoding="utf-8")
        return planner.import_plan(place, MODEL, "h100-sxm", batch=1, isl=100, osl=10)

    return door


def _exported(*way: str) -> Door:
    """The folder of an export, read back."""

    def door(folder: Path, text: str) -> Plan:
        plan = planner.estimate(MODEL, "h100-sxm", scheme="fp8-channel", **ONE)
        for name, words in planner.export_plan(plan).files.items():
            if name == "deployment.json":
                data = json.loads(words)
                here = data
                for key in way[:-1]:
                    here = here[key]
                here[way[-1]] = text
                words = json.dumps(data)
            (folder / name).write_text(words, encoding="utf-8")
        return planner.import_plan(folder, MODEL)

    return door


DOORS: dict[str, Door] = {
    "config.json: model_type": _config("model_type"),
    "config.json: architectures": _config("architectures", 0),
    "config.json: torch_dtype": _config("torch_dtype"),
    "config.json: _name_or_path": _config("_name_or_path"),
    "config.json: transformers_version": _config("transformers_version"),
    "config.json: auto_map": _config("auto_map", "AutoConfig"),
    "config.json: hidden_act": _config("hidden_act"),
    "config.json: quantization_config.quant_method": _config("quantization_config", "quant_method"),
    "config.json: rope_scaling.rope_type": _config("rope_scaling", "rope_type"),
    "a model's folder: its name": _folder,
    "device file: its name": _device_name,
    "device file: id": _device("id"),
    "device file: name": _device("name"),
    "device file: source": _device("source"),
    "device file: memory_type": _device("memory_type"),
    "scenario: title": _scenario("title"),
    "scenario: question": _scenario("question"),
    "scenario: model": _scenario("model"),
    "scenario: device": _scenario("device"),
    "imported configuration: format": _imported("format"),
    "imported configuration: quant_method": _imported("quant_method"),
    "imported configuration: ignore": _imported("ignore", 0),
    "imported configuration: targets": _imported("config_groups", "group_0", "targets", 0),
    "imported export: engine": _exported("engine"),
    "imported export: device": _exported("device"),
    "imported export: model": _exported("model"),
}
"""Name → a plan with a text at that place."""


def written(plan: Plan, folder: Path) -> Iterator[tuple[str, str]]:
    """(output, text) of a plan whose model or device may be a file."""
    with suppress(PlannerError):
        yield from planner.export_plan(plan).files.items()
    with plain_width():
        yield "terminal", plan_text(plan).replace(str(folder), "")
        yield "assumptions on the terminal", assumptions_text(plan).replace(str(folder), "")
    extras = report_extras(plan)
    yield "report.html", page(plan, "en", extras).replace(str(folder), "")
    yield "report.md", markdown(plan, "en", extras).replace(str(folder), "")
    yield "plan.json", json.dumps(plan.to_dict(), ensure_ascii=False).replace(str(folder), "")


def named(text: str) -> str:
    """A text as the name of a file: one part of a path."""
    return text.replace("/", "-")


def said_at(name: str, text: str) -> str:
    """What a door is really given of a text."""
    return named(text) if name.endswith("its name") else text


def through(door: Door, text: str) -> dict[str, str] | None:
    """The outputs with a text at the door; None where it is refused."""
    with tempfile.TemporaryDirectory() as place:
        try:
            plan = door(Path(place), text)
        except PlannerError as error:
            return None if error.hint else {"terminal": f"\0no hint: {error}"}
        except (OSError, ValueError) as error:  # the system's own refusal of a name
            if isinstance(error, (UnicodeError, OSError)) or "null" in str(error):
                return None
            raise
        return dict(written(plan, Path(place)))


def tried(doors: Mapping[str, Door]) -> Tally:
    """Every payload at each of some doors."""
    tally = Tally()
    for name, door in doors.items():
        meant = through(door, HARMLESS)
        for payload, text in PAYLOADS.items():
            bad = through(door, text)
            if bad is None:
                tally.refused["every output"] += 1
                continue
            for output, words in bad.items():
                good = (meant or {}).get(output)
                why = (
                    live(kind_of(output), words, good, said_at(name, text))
                    if good is not None
                    else "taken, and a harmless word is not"
                )
                if why:
                    tally.live.append(f"{name}: {output}: {payload}: {why}")
                else:
                    tally.inert[output] += 1
    return tally
