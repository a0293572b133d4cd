"""The what-if page of a report: texts of the report, safe, bounded, the same bytes."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from string import Formatter
from typing import Any

import pytest
from support import what_if as small

from planner.errors import InputError
from planner.planning.whatif.grid import Planned
from planner.report import words
from planner.report.page import interactive as module
from planner.report.page.html import page
from planner.report.page.interactive import LANGUAGE_FOLDER, SCRIPT, check_bytes, interactive
from planner.report.phrases import LANGUAGES, phrases

DATA = re.compile(r'<script type="application/json" id="what-if-data">(.*?)</script>', re.DOTALL)


def data(lang: str = "en") -> dict[str, Any]:
    found = DATA.search(small.html(lang))
    assert found is not None
    return dict(json.loads(found[1]))


def test_each_position_has_the_texts_of_its_plan() -> None:
    grid, found = small.grid(), data()
    assert len(found["index"]) == len(grid.points)
    for place, point in zip(found["index"], grid.points, strict=True):
        if not isinstance(point, Planned):
            limit, need, _ = found["refused"][-1 - place]
            assert limit == point.limit
            assert need == f"{point.need / 2**30:.1f}"
            continue
        row = dict(zip(found["fields"], found["rows"][place].split("|"), strict=True))
        rate = point.performance.output_tokens_per_second
        assert (row["rate"], row["low"], row["high"]) == tuple(
            words.three(v) for v in (rate.value, rate.low, rate.high))
        assert row["tpot"] == " ".join(words.seconds(point.performance.tpot_seconds.value))
        assert row["used"] == f"{point.memory.total / 2**30:.1f}"
        strips = found["formats"][int(row["formats"])][1]
        counts = {sum(count for count, _ in found["strips"][s]) for s in strips if s >= 0}
        assert counts == {24}


def test_the_policy_allows_the_one_script_and_no_connection() -> None:
    text = small.html()
    script = text[text.rindex("<script>") + 8:text.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text
    assert script.strip() == SCRIPT.read_text(encoding="utf-8").strip()
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import|innerHTML|eval)\b", script)


def test_a_report_without_it_is_the_same_as_ever() -> None:
    alone = page(small.plan())
    assert "what-if" not in alone
    assert "Content-Security-Policy" not in alone
    assert small.html() == page(small.plan(), around=interactive(small.grid(), small.plan(), "en"))


def test_the_static_report_is_in_the_page_whole() -> None:
    alone, text = page(small.plan()), small.html()
    for section in re.findall(r"<section>.*?</section>", alone, re.DOTALL):
        assert section in text


def test_languages_have_the_same_keys_and_braces() -> None:
    texts = {lang: phrases(lang, LANGUAGE_FOLDER).texts for lang in LANGUAGES}

    def braces(text: str) -> list[str]:
        return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)

    assert {k: braces(v) for k, v in texts["en"].items()} == {
        k: braces(v) for k, v in texts["zh"].items()}
    assert sorted(p.stem for p in LANGUAGE_FOLDER.glob("*.toml")) == sorted(LANGUAGES)


def test_every_text_is_used_and_every_used_text_exists() -> None:
    sources = [SCRIPT.read_text(encoding="utf-8"),
               (SCRIPT.parent / "interactive.html.j2").read_text(encoding="utf-8"),
               *(p.read_text(encoding="utf-8") for p in module.HERE.glob("interactive*.py"))]
    named = {key for text in sources for key in re.findall(
        r"[\"'`]((?:page|axis|value|answer|refused|figure|memory|map|chart|command|note|pools)"
        r"\.[a-z_-]+)[\"'`]", text)}
    known = set(phrases("en", LANGUAGE_FOLDER).texts)
    assert named <= known | {"answer.sentence"}
    built = ("axis.", "value.", "refused.", "figure.", "pools.")
    assert {key for key in known - named if not key.startswith(built)} == set()


def test_the_chinese_page_has_the_same_numbers() -> None:
    english, chinese = data(), data("zh")
    assert english["index"] == chinese["index"]
    at = english["fields"].index("rate")
    assert [r.split("|")[at] for r in english["rows"]] == [
        r.split("|")[at] for r in chinese["rows"]]
    assert "如果改变条件" in small.html("zh")


def test_names_with_markup_stay_text() -> None:
    hostile = "</script><script>alert(1)</script><b onclick='x'>\u2028"
    plan = small.plan()
    plan = replace(plan, device=replace(plan.device, id=hostile))
    grid = replace(small.grid(), command=f"plan {hostile}")
    text = page(plan, around=interactive(grid, plan, "en"))
    assert text.count("</script>") == small.html().count("</script>")
    assert "<b onclick" not in text
    found = DATA.search(text)
    assert found is not None
    assert json.loads(found[1])["command"] == f"plan {hostile}"


def test_data_too_large_to_embed_is_refused() -> None:
    check_bytes(2 << 20)
    with pytest.raises(InputError, match=r"2\.0 MiB") as caught:
        check_bytes((2 << 20) + 1)
    assert "--grid" in caught.value.hint
