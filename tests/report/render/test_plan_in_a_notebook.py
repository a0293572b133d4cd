"""A plan in a notebook cell: its figures, one row a kind, and nothing from outside."""

import re
from dataclasses import replace
from xml.etree import ElementTree

from support.questions import plan_of

from planner.base.units import GIB
from planner.planning.plan.picture import format_colour
from planner.report.render.notebook import fragment


def test_a_row_a_kind_with_its_sums() -> None:
    plan = plan_of()
    text = fragment(plan)
    body = ElementTree.fromstring(text.replace("<br>", "<br/>"))
    rows = {
        row[0].text: ["".join(cell.itertext()) for cell in row]
        for row in list(body.iter("table"))[-1].iter("tr")
        if row[0].tag == "td"
    }
    kinds = list(dict.fromkeys(u.kind for u in plan.units))
    assert list(rows) == kinds
    size = sum(u.weight_bytes for u in plan.units if u.kind == "mlp-down")
    assert rows["mlp-down"][3] == f"{size / GIB:,.2f}"
    step = sum(u.decode_seconds for u in plan.units)
    took = sum(u.decode_seconds for u in plan.units if u.kind == "mlp-down")
    assert rows["mlp-down"][4] == f"{100 * took / step:,.1f}"
    assert format_colour(next(u.scheme for u in plan.units if u.kind == "mlp-down")) in text


def test_names_are_escaped_and_nothing_is_loaded() -> None:
    plan = plan_of()
    text = fragment(replace(plan, model=replace(plan.model, id="<script>x</script>")))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"https?:|src=|href=|<style|<link", text)
