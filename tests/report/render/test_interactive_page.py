"""The what-if page of a report: texts of the report, safe, bounded, the same bytes."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from string import Formatter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import what_if as small
from support import what_if_made as made

from planner.base.errors import InputError
from planner.planning.what_if.grid import PlannedPoint
from planner.planning.what_if.grid_axes import NAMES, Axis
from planner.planning.what_if.grid_points import point_of_plan
from planner.report import words
from planner.report.phrases import LANGUAGES, phrases
from planner.report.plan_terms import request_capacity
from planner.report.render import interactive as module
from planner.report.render.embedded import script_json
from planner.report.render.html import page
from planner.report.render.interactive import (
    LANGUAGE_FOLDER,
    SCRIPTS,
    check_bytes,
    grouped_axes,
    hourly_price,
    interactive,
)
from planner.report.render.interactive_rows import (
    DIGITS,
    NUMBER,
    POWERS,
    SEPARATOR,
    joined_table,
    packed_integers,
    packed_number,
)

DATA = re.compile(r'<script type="application/json" id="what-if-data">(.*?)</script>', re.DOTALL)


def data(lang: str = "en", text: str = "") -> dict[str, Any]:
    found = DATA.search(text or made.html(lang))
    assert found is not None
    return dict(json.loads(found[1]))


def cells(found: dict[str, Any], name: str) -> list[Any]:
    """A column of the page as its script reads it."""
    table, text = found["columns"][name]
    if not table:
        return [unpacked_number(text[n : n + NUMBER]) for n in range(0, len(text), NUMBER)]
    named, width = found["tables"][table], len(text) // found["rows"]
    named = named.split(SEPARATOR) if isinstance(named, str) else named
    return [named[n] for n in unpacked(text, width)]


def places(found: dict[str, Any]) -> list[int]:
    """The row of each position, or the number of its reason after the rows."""
    return unpacked(found["index"], len(found["index"]) // found["positions"])


@pytest.mark.parametrize("source", [small, made])
def test_each_position_has_the_texts_of_its_plan(source: Any) -> None:
    grid, found = source.grid(), data(text=source.html())
    columns = {name: cells(found, name) for name in found["columns"]}
    assert found["positions"] == len(grid.points)
    for place, point in zip(places(found), grid.points, strict=True):
        if not isinstance(point, PlannedPoint):
            limit, need, have, missing = found["refused"][place - found["rows"]]
            assert limit == point.limit
            tokens = limit == "context"
            assert (need, have, missing) == tuple(
                words.count(size) if tokens else f"{size / 2**30:.1f}"
                for size in (point.need, point.have, point.need - point.have)
            )
            continue
        perf, loss = point.performance, point.quality
        rate, each = perf.output_tokens_per_second, perf.output_tokens_per_second_per_device
        told = {name: column[place] for name, column in columns.items()}
        assert (told["rate"], told["low"], told["high"]) == tuple(
            words.three_digits(v) for v in (rate.value, rate.low, rate.high)
        )
        assert (told["speed"], told["speed_low"], told["speed_high"]) == pytest.approx(
            (each.value, each.low, each.high), rel=1e-6
        )
        assert told["tpot"] == " ".join(words.seconds(perf.tpot_seconds.value))
        assert told["ttft"] == " ".join(words.seconds(perf.ttft_seconds.value))
        assert (told["loss"], told["loss_low"], told["loss_high"]) == tuple(
            words.loss(v) for v in (loss.loss, loss.low, loss.high)
        )
        assert told["used"] == f"{point.memory.total / 2**30:.1f}"
        assert told["users"] == words.count(point.room * point.replicas)
        assert told["engine"] == point.engine
        counts = {
            sum(count for count, _ in found["strips"][s]) for s in told["formats"][1] if s >= 0
        }
        assert counts == {24}


def test_the_plan_of_the_report_is_a_row_of_its_own() -> None:
    found, plan = data(), small.plan()
    own = {name: cells(found, name)[found["own"]] for name in found["columns"]}
    assert own["rate"] == words.three_digits(plan.performance.output_tokens_per_second.value)
    assert own["users"] == words.count(request_capacity(plan))
    assert own["used"] == f"{plan.memory_per_device.total_bytes / 2**30:.1f}"
    base = small.grid().points[small.grid().base]
    assert point_of_plan(plan) == base


def test_the_price_is_the_one_that_the_plan_was_priced_at() -> None:
    plan = small.plan()
    assert hourly_price(plan) == ""
    perf = plan.performance
    each = perf.output_tokens_per_second_per_device.value
    money = replace(perf.tpot_seconds, value=2.35 * 1e6 / 3600 / each)
    assert (
        hourly_price(replace(plan, performance=replace(perf, usd_per_million_output_tokens=money)))
        == "2.35"
    )


def test_axes_stand_in_the_order_of_a_question_and_single_values_are_hidden() -> None:
    groups = dict(grouped_axes(made.axes()))
    names = {group: [made.axes()[n].name for n in at] for group, at in groups.items()}
    assert names == {
        "question": ["workload", "tpot-ms", "devices"],
        "formats": ["max-loss", "engine", "kv"],
    }
    text = made.html()
    assert 'data-axis="kv"' in text
    assert not re.search('data-axis="(context|batch|schemes)"', text)
    other = Axis("host", ("no", "yes"), ("", "--host"), 0)
    assert dict(grouped_axes((other,)))["formats"] == (0,)


def test_every_axis_and_limit_has_its_words() -> None:
    for lang in LANGUAGES:
        w = phrases(lang, LANGUAGE_FOLDER)
        for name in NAMES:
            assert w.texts[f"axis.{name}"]
            assert w.texts[f"value.{name}"]
        chips = {label for axis in data(lang)["axes"] for label in axis["labels"]}
        assert not any("{" in label for label in chips)
    tokens = data()["axes"][0]["notes"]
    assert tokens == [
        "3,584 → 512",
        "1,024 → 1,024",
        "32,768 → 1,024, 90% cached",
        "fills the context",
    ]


def test_the_policy_allows_the_one_script_and_no_connection() -> None:
    text = small.html()
    script = text[text.rindex("<script>") + 8 : text.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text
    for part in SCRIPTS:
        assert part.read_text(encoding="utf-8") in script
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
        k: braces(v) for k, v in texts["zh"].items()
    }
    assert sorted(p.stem for p in LANGUAGE_FOLDER.glob("*.toml")) == sorted(LANGUAGES)


def test_every_text_is_used_and_every_used_text_exists() -> None:
    sources = [
        *(part.read_text(encoding="utf-8") for part in SCRIPTS),
        (SCRIPTS[0].parent / "interactive.html.j2").read_text(encoding="utf-8"),
        *(p.read_text(encoding="utf-8") for p in (module.HERE / "render").glob("interactive*.py")),
    ]
    named = {
        key
        for text in sources
        for key in re.findall(
            r"[\"'`]((?:page|group|axis|value|requests|price|answer|refused|limit|figure|change|table|"
            r"memory|map|chart|command|note|pools)"
            r"\.[a-z_-]+)[\"'`]",
            text,
        )
    }
    known = set(phrases("en", LANGUAGE_FOLDER).texts)
    assert named <= known
    built = ("axis.", "value.", "refused.", "figure.", "group.", "limit.")
    assert {key for key in known - named if not key.startswith(built)} == set()


def test_the_chinese_page_has_the_same_numbers() -> None:
    english, chinese = data(), data("zh")
    assert english["index"] == chinese["index"]
    for name in english["columns"]:
        if name not in ("together", "layout", "formats"):
            assert cells(english, name) == cells(chinese, name)
    assert "如果改变条件" in made.html("zh")


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


def test_data_of_many_positions_stay_small() -> None:
    values = {
        **made.VALUES,
        "workload": ("own", "chat", "rag", "reasoning", "agent", "long"),
        "tpot-ms": ("none", "100", "50", "25", "12.5"),
        "devices": ("1", "2", "4", "8"),
        "max-loss": ("bf16", "int8-w8a8", "int4-w4a16"),
        "kv": ("auto",),
        "engine": ("auto", "vllm", "sglang", "tensorrt-llm", "llama.cpp"),
    }
    grid = made.made(small.plan(), made.axes(tuple(values.items())))
    found = interactive(grid, small.plan(), "en").data
    assert found["positions"] == 1800
    assert found["rows"] > 1000
    size = len(script_json(found).encode())
    assert 60_000 < size < 110_000, "1,800 positions and a report of 150 kB are to fit 500 kB"
    page_alone = len(made.html().encode()) - len(script_json(data()).encode())
    assert page_alone < len(page(small.plan()).encode()) + 50_000


def test_data_too_large_to_embed_is_refused() -> None:
    check_bytes(2 << 20)
    with pytest.raises(InputError, match=r"2\.0 MiB") as caught:
        check_bytes((2 << 20) + 1)
    assert "--grid" in caught.value.hint


def unpacked(text: str, width: int) -> list[int]:
    """What ``packed`` wrote."""
    return [
        int("".join(f"{DIGITS.index(c):06b}" for c in text[n : n + width]), 2)
        for n in range(0, len(text), width)
    ]


def unpacked_number(text: str) -> float:
    """What ``packed_number`` wrote."""
    (power,), (whole,) = unpacked(text[:1], 1), unpacked(text[1:], NUMBER - 1)
    return float(whole * 10.0 ** (power - POWERS))


@given(st.lists(st.integers(0, 300_000), min_size=1))
def test_whole_numbers_come_back_from_their_digits(numbers: list[int]) -> None:
    size = max(numbers) + 1
    text = packed_integers(numbers, size)
    width = len(text) // len(numbers)
    assert unpacked(text, width) == numbers
    assert size <= 64**width
    assert width == 1 or size > 64 ** (width - 1)


@given(st.floats(1e-20, 1e20))
def test_numbers_come_back_to_seven_figures(value: float) -> None:
    text = packed_number(value)
    assert len(text) == NUMBER
    assert unpacked_number(text) == pytest.approx(value, rel=0.6e-6)


def test_zero_is_packed_and_a_table_with_the_separator_stays_a_list() -> None:
    assert unpacked_number(packed_number(0)) == 0
    assert joined_table(["1", "2"]) == "1|2"
    assert joined_table(["1|2", "3"]) == ["1|2", "3"]
    assert joined_table([("formats", (1, 2))]) == [("formats", (1, 2))]
