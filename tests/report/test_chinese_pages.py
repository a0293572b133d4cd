"""The Chinese page has no English left: no word in any plan's page that is no name, and no text
that a plan could carry without an entry in the catalogue."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import pytest
from support.chinese import latin_texts, latin_words
from support.machines import epyc, graviton, laptop
from support.told_questions import PLANS, REFUSED, Told
from support.told_texts import device_texts, engine_notes, written_assumptions
from support.wheels import ROOT

import planner
from planner.api.report import report_extras
from planner.base.errors import PlannerError
from planner.export.read_back import NO_CACHE_NAMED
from planner.hardware.host.described import described
from planner.hardware.host.detect import profile_of_draft
from planner.hardware.host.linux import linux_facts
from planner.messages.catalogue import CLOSE, OPEN
from planner.messages.message import message
from planner.messages.words import in_language
from planner.planning.plan.record import Assumption, Plan
from planner.planning.question.host_notes import host_notes
from planner.report.phrases import phrases
from planner.report.render.html import page
from planner.report.render.markdown import markdown
from planner.report.view.assumed_sections import assumption

STORED = ROOT / "tests" / "golden" / "report" / "plan.json"
T = phrases("zh")
SHORT_DEVICE = """name = "Mine"
inherits = "gpu-gddr"
memory = "24 GB"
bandwidth = "900 GB/s"
[rates]
bf16 = "165 TFLOPS"
int8 = "330 TOPS"
"""


def shown(text: str) -> str:
    """A marked text as a page shows it: quotations and commands are not read."""
    told = "".join(text.split("`")[::2])
    return "<p>" + escape(told).replace(OPEN, '<cite lang="en">').replace(CLOSE, "</cite>") + "</p>"


def left(texts: list[str]) -> list[str]:
    """Those whose Chinese has English words."""
    return [text for text in texts if latin_words(shown(T.marked(text)))]


@cache
def stored() -> Plan:
    return planner.read_plan(str(STORED))


def test_a_stored_plan_has_a_page_without_english_words() -> None:
    made = page(stored(), "zh")
    assert latin_texts(made) == []
    assert len(latin_words(page(stored()))) > 300  # the same plan in English


def test_an_engine_without_a_version_says_that_it_serves_the_plan() -> None:
    """Its verdict reads ``yes, as gguf``: a page said that no engine was known."""
    able = replace(
        stored(),
        assumptions=(
            *(a for a in stored().assumptions if not a.key.startswith("servable by ")),
            Assumption(
                "servable by llama.cpp",
                "yes, as gguf",
                "every choice has a source in the engine matrix",
            ),
        ),
    )
    made = page(able, "zh")
    assert latin_texts(made) == []
    assert "| llama.cpp | 可以 格式 gguf |" in markdown(able, "zh")
    assert "可以 格式 gguf" in made


def test_assumptions_in_markdown_are_those_of_the_page() -> None:
    made = markdown(stored(), "zh")
    for item in stored().assumptions:
        assert T.name(item.key) in made
    assert OPEN not in made


def test_notes_of_the_engine_tables_are_chinese() -> None:
    notes = engine_notes()
    assert len(notes) > 250
    assert left(notes) == []


def test_what_devices_say_is_chinese() -> None:
    texts = device_texts()
    assert len(texts) > 50
    assert left(texts) == []


@pytest.mark.parametrize(
    ("machine", "make", "cpus"),
    [("x86_64", epyc, {0, 1}), ("x86_64", laptop, {*range(8)}), ("aarch64", graviton, {*range(4)})],
)
def test_what_a_detected_machine_says_is_chinese(
    tmp_path: Path, machine: str, make: Callable[[Path], Path], cpus: set[int]
) -> None:
    facts = linux_facts(machine, frozenset(cpus), make(tmp_path))
    device = profile_of_draft(described(facts))
    notes = list(host_notes(device))
    assert {"this machine", "memory bandwidth"} <= {key for key, _, _ in notes}
    names = [device.name]
    texts = [T.marked(text) for _, *told in notes for text in told]
    assert latin_words("".join(map(shown, texts)), names) == []
    assert latin_words(shown(T.marked(device.capacity_bytes.note))) == []
    assert f"kind.{device.capacity_bytes.kind}" in T.texts


def test_a_device_of_ones_own_says_in_chinese_what_its_file_leaves_open(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SHORT_DEVICE, encoding="utf-8")
    made = planner.plan("qwen2.5-0.5b", str(path), devices=1, context=2048)
    text = page(made, "zh")
    assert "mine 没有公布 fp8 的速率" in text
    assert "未注明日期" in text
    assert latin_texts(text, ["mine"]) == []
    assert "undated" not in markdown(made, "zh")


def test_what_imported_configurations_say_is_chinese() -> None:
    scheme = {"scheme": "fp8-block"}
    assert (
        left(
            [
                message(
                    "assumptions.read_from_files",
                    file="quantization_config.json",
                    other="deployment.json",
                ),
                message("assumptions.read_from_file", file="hf_quant_config.json"),
                NO_CACHE_NAMED,
                message("assumptions.scales_of_activations_are_calibrated"),
                message(
                    "assumptions.layers_in_two_schemes",
                    kind="mlp-down",
                    layers="0-3",
                    other="bf16",
                    **scheme,
                ),
                message("assumptions.layers_keep_release", kind="router", layers="1-2", **scheme),
                message("assumptions.kind_keeps_release", kind="embedding", scheme="int8-w8a16"),
            ]
        )
        == []
    )


def test_titles_of_workloads_and_scenarios_are_chinese() -> None:
    files = [*(ROOT / "scenarios").glob("*.toml"), *(ROOT / "scenarios/workloads").glob("*.toml")]
    titles = [tomllib.loads(path.read_text(encoding="utf-8"))["title"] for path in files]
    assert len(titles) > 10
    assert left(titles) == []


def test_every_assumption_that_is_written_has_an_entry() -> None:
    """Literal names, values and reasons of assumptions, with a number, a name or nothing for what
    is filled in: one of them must be told without an English word."""
    found = written_assumptions()
    assert len(found) > 120  # those that are messages have an entry (tests/messages)
    missing = {
        place: texts
        for place, ways in found.items()
        for texts in ways
        if "servability.py" not in place
        and all(
            latin_words(shown(T.name(text) if ": name" in place else T.marked(text)))
            for text in texts
        )
    }
    assert missing == {}


def test_others_words_are_quotations_where_no_entry_has_them() -> None:
    name, value, reason = assumption(T, Assumption("scenario", "mine", "Our own service"))
    assert (name, value, reason) == ("场景", f"{OPEN}mine{CLOSE}", f"{OPEN}Our own service{CLOSE}")
    told = assumption(T, Assumption("asked", "devices=1; exact", "given"))
    assert told == ("提问时给出的条件", "`devices=1; exact`", "给定")
    assert assumption(phrases("en"), Assumption("scenario", "mine", "Our own service")) == (
        "scenario",
        "mine",
        "Our own service",
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize(("model", "device", "asked"), REFUSED)
def test_refusals_and_ways_out_are_chinese(model: str, device: str, asked: dict[str, Any]) -> None:
    with pytest.raises(PlannerError) as raised:
        planner.plan(model, device, **asked)
    for text in (raised.value.text, raised.value.way_out or ""):
        assert latin_words(shown(in_language(text, "zh"))) == [], text


@pytest.mark.exhaustive
@pytest.mark.parametrize("told", PLANS, ids=str)
def test_pages_of_all_kinds_of_plans_have_no_english_words(told: Told) -> None:
    verb, model, device, asked = told
    made = getattr(planner, verb)(*filter(None, (model, device)), **asked)
    alone = page(made, "zh")
    assert latin_texts(alone) == []
    with_figures = page(
        planner.read_plan(json.loads(json.dumps(made.to_dict()))),
        "zh",
        report_extras(made, requested="plan MODEL DEVICE"),
    )
    assert latin_texts(with_figures) == []


def test_no_page_says_that_assumptions_are_english() -> None:
    assert "英文原文" not in page(stored(), "zh")
    assert Path(STORED).exists()
