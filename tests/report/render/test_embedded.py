"""A page is made again from its own data, and its plan file makes the same page."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

import planner
from planner import __version__
from planner.api.report import report_extras
from planner.base.errors import DataError
from planner.cli.main import run
from planner.planning.plan.record import Plan
from planner.report.render.embedded import computed_from, read_page
from planner.report.render.html import page

ASKED = ["qwen2.5-0.5b", "h100-sxm", "--devices", "1", "--context", "2048"]


@cache
def plan() -> Plan:
    return planner.plan("qwen2.5-0.5b", "h100-sxm", context=2048, devices=1)


@cache
def told() -> str:
    return page(plan(), "zh", report_extras(plan(), requested="plan <b>", version="7"))


@pytest.mark.exhaustive
def test_a_page_is_made_again_from_the_data_inside_it() -> None:
    again, found, lang = read_page(told(), "x.html")
    assert page(again, lang, found) == told()


@pytest.mark.exhaustive
def test_the_command_makes_the_same_page_from_a_page_and_from_its_plan_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second, third = (tmp_path / f"{n}.html" for n in "abc")
    assert run([*ASKED, "--report", str(first), "--quiet"]) == 0
    assert run(["report", str(first), "-o", str(second), "--quiet"]) == 0
    assert second.read_bytes() == first.read_bytes()
    inside = re.search(
        r'<script type="application/json" id="plan">(.*?)</script>',
        first.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert inside is not None
    kept = tmp_path / "plan.json"
    kept.write_text(inside.group(1), encoding="utf-8")
    assert run(["report", str(kept), "-o", str(third), "--quiet"]) == 0
    asked = " ".join(["plan", *ASKED])
    assert third.read_text(encoding="utf-8") == page(
        planner.read_plan(json.loads(inside.group(1))),
        "en",
        report_extras(plan(), version=__version__),
    )
    assert asked in first.read_text(encoding="utf-8")
    assert run(["report", str(first), "--lang", "zh"]) == 0
    assert "0.5b" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<p>no report</p>", "0 blocks"),
        ('<script type="application/json" id="plan">{}</script>', "schema_version"),
        (lambda t: t + t, "2 blocks"),
        (lambda t: t.replace('"lang":"zh"', '"lang":7'), "data beside"),
        (lambda t: re.sub(r'"flop":[^,]*', '"flop":0', t), "not above 0"),
        (lambda t: re.sub(r'"flop":[^,]*', '"flop":"x"', t), "computed"),
        (lambda t: t.replace('"sensitivity":', '"sensitivities":'), "computed"),
    ],
)
def test_a_page_that_is_none_is_refused(
    text: object, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = text(told()) if callable(text) else str(text)
    path = tmp_path / "x.html"
    path.write_text(made, encoding="utf-8")
    assert run(["report", str(path), "-o", str(tmp_path / "y.html")]) == 2
    out, err = capfd.readouterr()
    assert (out, len(err.splitlines())) == ("", 2)
    assert message in err
    assert not (tmp_path / "y.html").exists()


def test_a_page_of_other_bytes_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.html"
    path.write_bytes(b"\xff\xfe\x00")
    assert run(["report", str(path)]) == 2
    assert run(["report", str(tmp_path / "none.html")]) == 2
    assert "Traceback" not in capfd.readouterr().err


def test_numbers_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(DataError, match="room"):
        computed_from(
            {
                "operators": None,
                "frontier": None,
                "sensitivity": None,
                "room": [{"context": 1}],
                "reasons": [],
            }
        )
