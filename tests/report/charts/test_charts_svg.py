"""Charts as SVG: marks lie where the axis says, names are whole, colours are classes."""

import re
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log10
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.chart_samples import BARS, DOTS, MAP, PANELS

from planner.planning.plan.picture import contrast
from planner.report.charts.bars_svg import grouped_bars_svg
from planner.report.charts.dots_svg import dot_plot_svg, panels_svg
from planner.report.charts.heat_svg import heat_map_svg
from planner.report.charts.records import levels
from planner.report.charts.svg import text_width, truncated, wrapped

SVG = "{http://www.w3.org/2000/svg}"
CSS = (Path(__file__).parents[3] / "planner/report/templates/charts.css").read_text("utf-8")
PAPERS = {"light": "#ffffff", "dark": "#14171b", "print": "#ffffff"}
DRAWN = {
    "dots": partial(dot_plot_svg, DOTS),
    "panels": partial(panels_svg, PANELS),
    "heat": partial(heat_map_svg, MAP),
    "bars": partial(grouped_bars_svg, BARS),
}


def tree(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(
        text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    )


def of(root: ElementTree.Element, tag: str, kind: str) -> list[ElementTree.Element]:
    return [e for e in root.iter(SVG + tag) if kind in e.get("class", "").split()]


def axis(root: ElementTree.Element) -> list[tuple[float, float]]:
    """(pixels, value) of the ticks that have a number."""
    return [
        (float(e.get("x", "")), float((e.text or "").replace(",", "")))
        for e in of(root, "text", "tick")
    ]


def place(ticks: list[tuple[float, float]], value: float) -> float:
    """Pixels of a value on a linear axis."""
    (x0, v0), (x1, v1) = ticks[0], ticks[-1]
    return x0 + (value - v0) / (v1 - v0) * (x1 - x0)


def centre(group: ElementTree.Element) -> float:
    """Pixels from the left of a row's mark."""
    for circle in of(group, "circle", "mark"):
        return float(circle.get("cx", ""))
    for square in of(group, "rect", "mark"):
        return float(square.get("x", "")) + float(square.get("width", "")) / 2
    return float(of(group, "path", "mark")[0].get("d", "")[1:].split()[0])


@pytest.mark.parametrize("kind", DRAWN)
def test_a_chart_is_one_named_and_described_picture(kind: str) -> None:
    root = tree(DRAWN[kind]("one"))
    assert root.get("role") == "img"
    first = [e.tag for e in root][:2]
    assert first == [SVG + "title", SVG + "desc"]
    title, desc = (root.find(SVG + part) for part in ("title", "desc"))
    assert title is not None
    assert desc is not None
    assert title.text
    assert desc.text
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    ids = {e.get("id") for e in root.iter() if e.get("id")}
    other = {e.get("id") for e in tree(DRAWN[kind]("two")).iter() if e.get("id")}
    assert not ids & other
    assert DRAWN[kind]("one") == DRAWN[kind]("one")


@pytest.mark.parametrize("kind", DRAWN)
def test_every_class_has_a_rule_and_no_colour_stands_in_a_chart(kind: str) -> None:
    text = DRAWN[kind]("k")
    assert not re.search(r"#[0-9a-f]{3,6}\b|fill:|stroke:", text)
    for name in {c for names in re.findall(r'class="([^"]+)"', text) for c in names.split()}:
        neutral = name in {"row", "panels", "released"}
        assert neutral or re.search(rf"\.{name}\b", CSS), name


def test_a_dot_and_its_interval_lie_where_the_axis_says() -> None:
    root = tree(dot_plot_svg(DOTS, "k"))
    ticks = axis(root)
    groups = of(root, "g", "row")
    assert len(groups) == len(DOTS.rows)
    for row, group in zip(DOTS.rows, groups, strict=True):
        spans = of(group, "line", "span")
        if row.low is None or row.high is None:
            assert not spans
        else:
            assert float(spans[0].get("x1", "")) == pytest.approx(place(ticks, row.low), abs=0.2)
            assert float(spans[0].get("x2", "")) == pytest.approx(place(ticks, row.high), abs=0.2)
        assert centre(group) == pytest.approx(place(ticks, row.value), abs=0.2)
        names = " ".join(e.text or "" for e in of(group, "text", "name"))
        assert names.replace(" ", "") == row.name.replace(" ", "")
        told = group.find(SVG + "title")
        assert told is not None
        assert str(row.name) in (told.text or "")


def test_only_the_recommended_row_has_a_diamond_and_rows_lie_apart() -> None:
    groups = of(tree(dot_plot_svg(DOTS, "k")), "g", "row")
    assert [bool(of(g, "path", "mark")) for g in groups] == [
        r.mark == "recommended" for r in DOTS.rows
    ]
    at = [[float(e.get("y", "")) for e in g.iter(SVG + "text")] for g in groups]
    assert all(max(a) + 10 < min(b) for a, b in pairwise(at))


def test_panels_share_one_axis() -> None:
    root = tree(panels_svg(PANELS, "k"))
    ticks = axis(root)
    rows = [row for panel in PANELS.panels for row in panel.rows]
    for row, group in zip(rows, of(root, "g", "row"), strict=True):
        spans = of(group, "line", "span")
        if row.low is not None:
            assert float(spans[0].get("x1", "")) == pytest.approx(place(ticks, row.low), abs=0.2)
    assert [e.text for e in of(root, "text", "head")] == [p.title for p in PANELS.panels]
    assert len(of(root, "text", "title")) == 1


def test_a_cell_has_the_shade_of_its_value_and_one_without_a_plan_is_hatched() -> None:
    root = tree(heat_map_svg(MAP, "k"))
    cells = list(root.iter(SVG + "g"))
    wanted = [shade for row in levels(MAP) for shade in row]
    assert len(cells) == len(wanted)
    for group, shade, cell in zip(
        cells, wanted, (c for row in MAP.cells for c in row), strict=True
    ):
        rect, title = group.find(SVG + "rect"), group.find(SVG + "title")
        assert rect is not None
        assert title is not None
        assert rect.get("class") == ("none" if shade is None else f"s{shade}")
        assert rect.get("fill") == ("url(#k-hatch)" if shade is None else None)
        assert cell.why in (title.text or "")
        assert cell.text in (title.text or "")
        shown = "".join(e.text or "" for e in group.iter(SVG + "text"))
        assert shown.replace(" ", "") == cell.text.replace(" ", "")
    assert MAP.unit in [e.text for e in of(root, "text", "title")]


def test_a_bar_ends_at_its_value_and_its_whisker_at_its_interval() -> None:
    root = tree(grouped_bars_svg(BARS, "k"))
    ticks = axis(root)
    bars = [bar for group in BARS.groups for bar in group.bars]
    for bar, group in zip(bars, root.iter(SVG + "g"), strict=True):
        pillars = of(group, "rect", "pillar")
        if bar.value is None or bar.low is None or bar.high is None:
            assert not pillars
            assert bar.why[:12] in "".join(group.itertext())
            continue
        start, size = (float(pillars[0].get(key, "")) for key in ("x", "width"))
        assert start == pytest.approx(place(ticks, 0.0), abs=0.2)
        assert start + size == pytest.approx(place(ticks, bar.value), abs=0.2)
        whisker = of(group, "line", "whisker")[0]
        assert float(whisker.get("x1", "")) == pytest.approx(place(ticks, bar.low), abs=0.2)
        assert float(whisker.get("x2", "")) == pytest.approx(place(ticks, bar.high), abs=0.2)
    fills = {
        bar.name: {
            c
            for c in of(group, "rect", "pillar")[0].get("class", "").split()
            if re.fullmatch(r"f\d", c)
        }
        for bar, group in zip(bars, root.iter(SVG + "g"), strict=True)
        if bar.value
    }
    assert len({frozenset(f) for f in fills.values()}) == len(fills)


def test_on_a_logarithm_a_bar_is_a_point_at_its_value() -> None:
    wide = replace(BARS, log=True)
    root = tree(grouped_bars_svg(wide, "k"))
    bars = [bar for group in wide.groups for bar in group.bars if bar.value is not None]
    assert not of(root, "rect", "pillar")
    points = of(root, "circle", "point")
    whiskers = [line for line in of(root, "line", "whisker") if line.get("y1") == line.get("y2")]
    for bar, point, line in zip(bars, points, whiskers, strict=True):
        assert bar.low is not None
        assert bar.high is not None
        assert bar.value is not None
        left, right = (float(line.get(key, "")) for key in ("x1", "x2"))
        share = log10(bar.value / bar.low) / log10(bar.high / bar.low)
        assert float(point.get("cx", "")) == pytest.approx(left + share * (right - left), abs=0.3)


def variables(part: str) -> dict[str, str]:
    start = {
        "light": 0,
        "dark": CSS.index("(prefers-color-scheme: dark)"),
        "print": CSS.index("@media print"),
    }[part]
    block = CSS[CSS.index(":root {", start) :]
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block[: block.index("}")]))


@pytest.mark.parametrize("part", PAPERS)
def test_texts_are_read_on_their_shades_and_bars_are_seen_on_the_page(part: str) -> None:
    found = variables(part)
    assert len(found) == 22
    for n in range(7):
        assert contrast(found[f"t{n}"], found[f"s{n}"]) >= 4.5, (part, n)
    for n in range(8):
        assert contrast(found[f"f{n}"], PAPERS[part]) >= 4.5, (part, n)
    page = [contrast(found[f"s{n}"], PAPERS[part]) for n in range(7)]
    assert page == sorted(page), "better values stand out more"


def test_names_wrap_without_losing_a_letter() -> None:
    for words in (
        "best uniform: fp8-block with fp8-e4m3 cache",
        "x" * 90,
        "按发布的权重，缓存用八比特",
    ):
        lines = wrapped(words, 120.0)
        assert "".join(lines).replace(" ", "") == words.replace(" ", "")
        assert all(text_width(one) <= 120.0 for one in lines)
    assert text_width(truncated("x" * 90, 100.0)) <= 100.0
    assert truncated("short", 100.0) == "short"
