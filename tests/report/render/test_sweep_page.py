"""The page of a sweep: what it shows of the answers, and that it is sound."""

import re
import warnings
from xml.etree import ElementTree

import html5lib
import pytest
from support import sweeps
from support.chinese import latin_words

from planner.base.errors import InputError, UnknownNameError
from planner.report.phrases import LANGUAGES, phrases
from planner.report.render import sweep_page
from planner.report.render.sweep_page import sweep_report
from planner.report.sweep_axes import grid
from planner.report.view.sweep_charts import (
    BY_NAME,
    MEASURES,
    bars,
    drawing,
    heat_map,
    line_chart,
    shown_measures,
)
from planner.report.view.sweep_words import FOLDER, sweep_phrases

XHTML = "{http://www.w3.org/1999/xhtml}"
EN = sweep_phrases("en")


def tree(text: str) -> ElementTree.Element:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = html5lib.HTMLParser(strict=True).parse(text)
    assert isinstance(found, ElementTree.Element)
    return found


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    "columns",
    [sweeps.grid(), sweeps.contexts(), sweeps.columns([sweeps.row("llama-3.1-8b", "l40s", 100.0)])],
    ids=["grid", "contexts", "one"],
)
def test_the_page_is_valid_and_the_same_again(columns: dict[str, list[object]], lang: str) -> None:
    text = sweep_report(columns, ".html", 'a "<title>"', lang)
    assert text == sweep_report(columns, ".html", 'a "<title>"', lang)
    root = tree(text)
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids))
    wanted = {
        name
        for e in root.iter()
        for key in ("aria-labelledby", "for")
        for name in e.attrib.get(key, "").split()
    }
    wanted |= {e.attrib["href"][1:] for e in root.iter(f"{XHTML}a")}
    assert wanted <= set(ids)
    assert root.findtext(f".//{XHTML}h1") == 'a "<title>"'
    assert not re.search(r'(?:src|href)="(?!#)', text)


def test_both_languages_have_the_same_keys() -> None:
    english, chinese = (phrases(lang, FOLDER) for lang in LANGUAGES)
    assert english.texts.keys() == chinese.texts.keys()
    assert english.names.keys() == chinese.names.keys()
    for key, text in english.texts.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(
            re.findall(r"{\w+}", chinese.texts[key])
        ), key


@pytest.mark.parametrize("columns", [sweeps.grid(), sweeps.contexts()], ids=["grid", "contexts"])
def test_no_english_is_left_in_chinese(columns: dict[str, list[object]]) -> None:
    text = sweep_report(columns, ".html", "二十个模型", "zh")
    assert latin_words(text) == []


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        sweep_report(sweeps.grid(), ".html", "x", "fr")


def test_a_map_has_models_by_devices_and_the_reason_where_nothing_runs() -> None:
    columns = sweeps.grid()
    found = grid(columns)
    made = heat_map(EN, columns, found, found.views[0], BY_NAME["rate"])
    assert (made.rows, made.columns) == (sweeps.MODELS, sweeps.DEVICES)
    assert [[cell.value for cell in row] for row in made.cells] == [
        [4000, 2000],
        [pytest.approx(4000 / 3), 1000],
        [None, None],
    ]
    assert made.cells[2][0].text == "memory"
    assert "80.2 GiB" in made.cells[2][0].why
    assert (made.cells[2][1].text, made.cells[2][1].why) == ("not supported", "no engine serves it")
    assert (made.better, heat_map(EN, columns, found, found.views[0], BY_NAME["usd"]).better) == (
        "high",
        "low",
    )


@pytest.mark.parametrize("name", [one.name for one in MEASURES])
def test_bars_have_the_interval_of_their_column(name: str) -> None:
    columns, one = sweeps.grid(), BY_NAME[name]
    found = grid(columns)
    made = bars(EN, columns, found, found.views[0], one)
    bar = made.groups[0].bars[1]
    assert bar.name == "l40s"
    if not one.ends:
        assert (bar.low, bar.high) == (None, None)
        return
    low, value, high = (
        columns[f"{one.column}{end}"][1] * one.scale for end in ("_low", "", "_high")
    )
    assert (bar.low, bar.value, bar.high) == (low, value, high)
    assert one.unit(EN, columns) in made.y_title


def test_values_too_far_apart_for_bars_are_points_on_a_logarithm() -> None:
    for ratio, log in ((29.0, False), (31.0, True)):
        columns = sweeps.columns(
            [
                sweeps.row("qwen3-8b", "h100-sxm", 1000.0),
                sweeps.row("qwen3-8b", "l40s", 1000.0 / ratio),
            ]
        )
        found = grid(columns)
        assert bars(EN, columns, found, found.views[0], BY_NAME["rate"]).log is log
        text = sweep_report(columns, ".html", "x")
        assert (EN("map.points") in text) is log
        assert ('class="point' in text) is log
        assert 'class="pillar' in text  # of costs or of losses


def test_an_axis_of_tokens_has_its_unit() -> None:
    columns = sweeps.contexts()
    plan = drawing(columns)
    assert plan is not None
    assert line_chart(EN, columns, plan).x_title == "context [tokens]"


def test_users_are_those_of_all_replicas() -> None:
    assert BY_NAME["users"].value(sweeps.grid(), 0) == 4 * 16


def test_a_column_that_is_empty_is_not_offered() -> None:
    columns = sweeps.grid()
    columns["usd_per_million_output_tokens"] = [None] * 6
    names = [one.name for one in shown_measures(columns)]
    assert "usd" not in names
    assert 'value="usd"' not in sweep_report(columns, ".html", "x")
    assert 'value="usd"' in sweep_report(sweeps.grid(), ".html", "x")


def test_the_first_lines_say_what_it_comes_to() -> None:
    text = sweep_report(sweeps.grid(), ".html", "x")
    assert "6 questions: 4 answered, 1 without a plan, 1 not supported." in text
    assert "Most tokens per second and device: h100-sxm in 2 of 2." in text
    assert "Intervals that do not overlap: 1 of 2." in text  # ×/÷ 1.2: 4000 beside 2000 alone
    assert "as released in 1, one format in 2, a mix of formats in 1; with new weights: 1." in text


def test_intervals_that_overlap_are_not_told_apart() -> None:
    columns = sweeps.columns(
        [
            sweeps.row("qwen3-8b", "h100-sxm", 1000.0),
            sweeps.row("qwen3-8b", "l40s", 1000 / 1.43),
            sweeps.row("qwen3-4b", "h100-sxm", 1000.0),
            sweeps.row("qwen3-4b", "l40s", 1000 / 1.45),
        ]
    )
    assert "Intervals that do not overlap: 1 of 2." in sweep_report(columns, ".html", "x")


def test_numbers_have_three_figures() -> None:
    columns = sweeps.columns(
        [
            sweeps.row("qwen3-8b", device, rate)
            for device, rate in (("l40s", 1234.56789), ("h100-sxm", 0.123456789))
        ]
    )
    text = sweep_report(columns, ".html", "x")
    seen = re.sub(r"<(script|style)>.*?</\1>|<svg.*?</svg>|<[^>]*>", " ", text, flags=re.DOTALL)
    figures = [found.replace(".", "").lstrip("0") for found in re.findall(r"\d+\.\d+", seen)]
    assert len(figures) > 20
    assert max(map(len, figures)) <= 3
    assert "1,235" in seen
    assert "0.123" in seen


def test_views_beyond_the_budget_are_said_and_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = sweeps.contexts()
    monkeypatch.setattr(sweep_page, "MOST_CELLS", 4)
    text = sweep_report(columns, ".html", "x")
    assert "2 more combinations are not drawn" in text
    assert 'data-view="1"' not in text
    assert text.count('<tr><th scope="row"') == 12
    monkeypatch.setattr(sweep_page, "MOST_CELLS", 2)
    assert "The first 1 rows are drawn" in sweep_report(columns, ".html", "x")


def test_lines_are_drawn_along_numbers_only_and_in_their_order() -> None:
    assert drawing(sweeps.grid()) is None
    columns = sweeps.contexts()
    plan = drawing(columns)
    assert plan is not None
    assert plan.across.name == "asked_context"
    assert plan.across.values == (4096, 8192, 16384)
    chart = line_chart(EN, columns, plan)
    lines = [points for panel in chart.panels for _, points in panel.lines]
    assert len(lines) == 4
    assert all([point.at for point in points] == [0, 1, 2] for points in lines)
    assert [point.why for point in lines[-1]] == ["", "", "TPOT"]


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        (sweeps.grid(), "heat"),
        (sweeps.contexts(), "series"),
        (sweeps.columns([sweeps.row(m, "l40s", 9.0) for m in sweeps.MODELS]), "groups"),
    ],
    ids=["map", "lines", "bars"],
)
def test_a_figure_alone_is_a_file_with_its_colours(
    columns: dict[str, list[object]], kind: str
) -> None:
    text = sweep_report(columns, ".svg", "x")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert f"chart {kind}" in root.attrib["class"]
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert used <= set(re.findall(r"(--[\w-]+):", text))


def test_no_figure_where_there_is_nothing_to_draw() -> None:
    for columns in (
        sweeps.columns([sweeps.row("qwen3-8b", "l40s", 1.0)]),
        sweeps.columns([sweeps.gone(m, "l40s", "memory", "") for m in sweeps.MODELS]),
    ):
        with pytest.raises(InputError, match="no figure"):
            sweep_report(columns, ".svg", "x")
        tree(sweep_report(columns, ".html", "x"))
