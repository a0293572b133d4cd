"""Texts of the report are complete in every language, and nothing else is left in English."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

import planner
from planner.base.errors import UnknownNameError
from planner.planning.plan.record import Plan
from planner.report import phrases as module
from planner.report.phrases import LANGUAGES, phrases
from planner.report.render.html import TEMPLATES, page
from planner.report.render.markdown import markdown
from planner.report.view.verb_words import FOLDER as VERBS
from planner.report.view.verb_words import verb_phrases

SOURCES = [*sorted(Path(module.__file__).parent.rglob("*.py")), *sorted(TEMPLATES.glob("*.j2"))]
BUILT = (
    "router.",
    "basis.",
    "bound.",
    "aim.",
    "memory.",
    "units.",
    "cache.",
    "question.",
    "assumptions.",
    "operators.",
    "answer.",
    "missing.",
    "phase.",
    "waterfall.",
    "roofline.",
    "metric.",
    "swings.",
    "premises.",
    "kind.",
    "origins.",
    "engines.",
    "reach.",
    "pools.",
    "drafts.",
    "prefixes.",
    "offload.",
    "first.",
    "loss_origin.",
    "plan.because_",
    "plan.bound_",
    "plan.drafts_",
    "plan.module_",
    "plan.experts_",
    "plan.layers_",
    "plan.mlp_",
)
"""Sections whose keys are also put together from a name at run time."""


@cache
def plan() -> Plan:
    return planner.plan("llama-3.1-8b", "h100-sxm", context=4096, devices=1, tpot_seconds=0.02)


def fields(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_the_same_keys_and_the_same_braces(lang: str) -> None:
    base, other = phrases("en"), phrases(lang)
    assert set(base.texts) == set(other.texts)
    assert {k: fields(v) for k, v in base.texts.items()} == {
        k: fields(v) for k, v in other.texts.items()
    }
    assert {k: len(v) for k, v in base.lists.items()} == {k: len(v) for k, v in other.lists.items()}
    assert all(v.strip() for k, v in other.texts.items() if k != "page.original")


def test_keys_that_the_code_names_exist_and_none_is_left_over() -> None:
    named = {
        key
        for path in SOURCES
        for key in re.findall(
            r"\bt\(\s*f?[\"']([a-z_]+\.[a-z_]*[a-z])[\"']", path.read_text(encoding="utf-8")
        )
    }
    assert len(named) > 60
    known = set(phrases("en").texts)
    verbs = {
        key for folder in sorted(VERBS.iterdir()) for key in verb_phrases(folder.name, "en").texts
    }
    assert named - known - verbs == set()
    sources = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    # Chosen by a condition, or put together from a name.
    named |= {
        key for key in known if f'"{key}"' in sources or f'"{key.partition(".")[2]}"' in sources
    }
    unused = {key for key in known - named if not key.startswith(BUILT)} - {"page.original"}
    assert unused == set()


def test_languages_have_files_and_no_other_file_is_there() -> None:
    assert sorted(p.stem for p in module.FOLDER.glob("*.toml")) == sorted(LANGUAGES)


@pytest.mark.exhaustive
def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="fr"):
        page(plan(), "fr")


def test_the_chinese_page_is_chinese_and_has_the_same_numbers() -> None:
    english, chinese = page(plan()), page(plan(), "zh")
    assert '<html lang="zh-Hans">' in chinese
    for text in phrases("en").texts.values():
        if len(text) > 30 and "{" not in text:
            assert text not in chinese

    def numbers(text: str) -> list[str]:
        body = text[text.index("<tbody") : text.index('<script type="application/json"')]
        return re.findall(r'<td[^>]*class="n">([^<]*)', body)

    assert numbers(english) == numbers(chinese)
    assert len(numbers(english)) > 50


def test_sentences_of_a_plan_are_translated() -> None:
    t = phrases("zh")
    reasons = {u.reason for u in plan().units} | {plan().comparison.text}
    assert reasons
    assert {text for text in reasons if t.pieced(text) == text} == set()
    assert {a.key for a in plan().assumptions if t.name(a.key) == a.key} == set()
    assert t.original("a sentence that nobody wrote") == "a sentence that nobody wrote"


def test_the_memory_of_a_cpu_is_none_of_a_gpu() -> None:
    gpu = plan()
    cpu = replace(gpu, device=replace(gpu.device, id="epyc-9575f"))
    assert "显存" in markdown(gpu, "zh")
    told = markdown(cpu, "zh")
    assert "显存" not in told
    assert told.count("内存") >= markdown(gpu, "zh").count("显存")


@pytest.mark.exhaustive
def test_what_a_simple_plan_leaves_is_translated() -> None:
    """A recommended uniform plan has reasons and a comparison of its own."""
    t, plan = phrases("zh"), planner.plan("qwen3-30b-a3b", "l40s", devices=2, workload="chat")
    reasons = {u.reason for u in plan.units if u.reason.startswith("simple: ")}
    assert reasons
    assert all(t.original(text).startswith("从简") for text in reasons)
    assert plan.comparison.text.startswith("none: itself the best uniform plan, ")
    assert re.search("[a-z]{2,} [a-z]{2,} [a-z]{2,}", t.pieced(plan.comparison.text)) is None


def test_markdown_in_both_languages_says_the_answer() -> None:
    for lang in LANGUAGES:
        text = markdown(plan(), lang)
        assert text.startswith("# llama-3.1-8b" if lang == "en" else "# 1 × h100-sxm 上的")
        for label in ("fits", "throughput", "quality", "assumed"):
            assert f"- **{phrases(lang)(f'plan.{label}')}**" in text
