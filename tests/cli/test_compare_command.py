"""``plan compare``: the table at two widths, JSON, CSV and a page; nothing is half written."""

import csv
import json
from pathlib import Path

import html5lib
import pytest
from support.chinese import latin_texts, latin_words
from support.comparisons import compared

import planner
from planner.cli.compare import prices, table
from planner.cli.main import run
from planner.cli.types import Hinted
from planner.report.render.compared_page import compared_page

ASKED = ["compare", "qwen2.5-0.5b", "l40s", "--context", "2048", "--engine", "vllm", "--quiet"]


@pytest.mark.exhaustive
def test_the_table_fits_eighty_columns_and_forty(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (80, 40):
        monkeypatch.setenv("COLUMNS", str(width))
        assert run(ASKED) == 0
        out = capsys.readouterr().out
        assert all(len(line) <= width for line in out.splitlines()), width
        for words in ("recommended", "published checkpoint", "fp8-tensor", "not nvfp4"):
            assert words in out
    assert "--price DEVICE=USD" in " ".join(out.split())


def test_text_json_csv_and_page_tell_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells, page = tmp_path / "t.csv", tmp_path / "t.html"
    assert (
        run(
            [
                *ASKED,
                "--price",
                "2",
                "--json",
                "--csv",
                str(cells),
                "--report",
                str(page),
                "--lang",
                "zh",
            ]
        )
        == 0
    )
    data = json.loads(capsys.readouterr().out)
    found = planner.compare("qwen2.5-0.5b", "l40s", context=2048, engine="vllm", price=2.0)
    assert data == json.loads(json.dumps(found.to_dict()))
    with cells.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [row["name"] for row in data["rows"]]
    assert float(rows[0]["tpot_seconds"]) == data["rows"][0]["tpot_seconds"]["value"]
    assert rows[-1]["tpot_seconds"] == "" or rows[-1]["reason"] == ""
    text = page.read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(text)
    assert text == compared_page(found, "zh")
    assert "推荐" in text
    assert latin_words(text) == []
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "t.html"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--csv", "t.txt"], "only .csv"),
        (["--report", "t.md"], "only .html"),
        (["--csv", "no/t.csv"], "does not exist"),
        (["--price", "x"], "not a number"),
        (["--price", "l40s=1,b"], "not understood"),
        (["--price", "h20=1"], "not compared"),
        (["--price", "=1"], "not understood"),
        (["--price", "l40s=1,l40s=2"], "l40s twice"),
        (["--price", "l40s=nan"], "out of range"),
        (["--price", "0"], "out of range"),
        (["--price", "nan"], "--price nan is out of range"),
        (["--price", "1e400"], "out of range"),
        (["--report", "t.html", "--lang", "de"], "language 'de'"),
    ],
)
def test_a_bad_flag_is_an_error_and_writes_nothing(
    more: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*ASKED, *more]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert "hint: " in told.err
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_too_many_pairs_are_refused_before_any_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*_: object, **__: object) -> None:
        pytest.fail("read before the pairs were counted")

    monkeypatch.setattr("planner.planning.what_if.compare.load_model", read)
    monkeypatch.setattr("planner.planning.what_if.compare.load_device", read)
    models, devices = ",".join(f"m{n}" for n in range(13)), "a,b,c,d,e"
    assert run(["compare", models, devices]) == 2
    told = capsys.readouterr().err
    assert "13 models on 5 devices are too many" in told
    assert "hint: at most 64 pairs; `plan sweep`" in told


def test_cells_that_a_spreadsheet_would_compute_are_text() -> None:
    found = compared(("=1+1",), ("h100-sxm",))
    rows = list(csv.DictReader(table(found).splitlines()))
    assert {row["model"] for row in rows} == {"'=1+1"}
    assert [float(row["loss"]) for row in rows if row["loss"]] == [
        one.loss for one in found.rows if one.loss is not None
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("models", "devices"),
    [
        ("deepseek-v3", "h100-sxm,b200-sxm"),
        ("qwen3-8b", "l40s,jetson-agx-orin-64gb,xeon-6980p"),
        ("llama-3.1-70b", "mi300x,rtx-3090"),
        ("gpt-oss-20b,qwen3-30b-a3b", "h100-sxm"),
    ],
)
def test_chinese_pages_of_real_answers_have_no_english(
    models: str, devices: str, tmp_path: Path
) -> None:
    page = tmp_path / "t.html"
    assert (
        run(
            [
                "compare",
                models,
                devices,
                "--tpot-ms",
                "15",
                "--lang",
                "zh",
                "--quiet",
                "--report",
                str(page),
            ]
        )
        == 0
    )
    assert latin_texts(page.read_text(encoding="utf-8")) == []


@pytest.mark.exhaustive
def test_nothing_that_runs_is_no_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "deepseek-v3", "l40s", "--devices", "1", "--quiet"]) == 1
    assert "GiB a device" in capsys.readouterr().out


def test_prices() -> None:
    assert prices(None) is None
    assert prices("2.5") == 2.5
    assert prices("a=1, b=2.5") == {"a": 1.0, "b": 2.5}
    with pytest.raises(Hinted):
        prices(",")
