"""Public pairs of cache types: what is held of them, and what their fit and tables say."""

import csv
import math
from dataclasses import replace

import pytest

from evaluation import caches
from evaluation.caches import DATA, Pair, before, fitted, growth, pairs, predicted
from planner.formats.kv import kv_layout
from planner.models.catalog import bundled_model, is_model
from planner.quality.floor import floor_of
from planner.quality.prior import load_prior

LAW = load_prior().caches


def test_every_pair_has_a_source_a_date_and_known_names() -> None:
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 60
    for row in rows:
        assert row["source"]
        assert row["date"]
        assert is_model(row["model"])
        assert kv_layout(row["keys"]).id == row["keys"]
        assert kv_layout(row["values"]).id == row["values"]
        assert row["rotated"] in ("yes", "no")
        assert float(row["measured_nats"]) > 0
    assert len({tuple(row.items()) for row in rows}) == len(rows)


def test_what_ships_is_what_the_pairs_give() -> None:
    found = fitted([pair for pair in pairs() if pair.of_prose], LAW)
    for kind, share in LAW.share.items():
        assert found.share[kind] == pytest.approx(share, rel=0.02)
    assert found.beside_states == pytest.approx(LAW.beside_states, rel=0.05)
    assert growth() == pytest.approx(LAW.growth, rel=0.05)


def test_a_cache_of_its_own_kind_is_nearer_than_before_with_its_family_left_out() -> None:
    out = caches.left_out(LAW)
    prose = [pair for pair in pairs() if pair.of_prose]
    known = [pair for pair in prose if before(pair) is not None]

    def median(found: list[float]) -> float:
        return sorted(found)[len(found) // 2]

    old = median(caches.factors(known, before))
    new = median(caches.factors(known, out.__getitem__))
    assert new < 2.5 < 3 < old
    inside = sum(f <= LAW.band_factor for f in caches.factors(prose, out.__getitem__))
    assert 0.7 * len(prose) <= inside <= 0.9 * len(prose)


def test_a_prediction_is_the_sum_over_units_with_one_floor() -> None:
    pair = Pair("", "qwen3-8b", "", "q4_0", "fp16", 4096, False, "kl", 1.0, "prose", True, "")
    floor = floor_of(bundled_model("qwen3-8b")).value_nats
    both = replace(pair, values="q4_0")
    values = replace(pair, keys="fp16", values="q4_0")
    twice = predicted(pair, LAW) + predicted(values, LAW)
    assert predicted(both, LAW) == pytest.approx(twice - floor)
    assert predicted(replace(pair, keys="fp16"), LAW) == 0.0
    bare = predicted(replace(pair, floor=False), LAW)
    assert predicted(pair, LAW) - bare == pytest.approx(floor)
    assert predicted(replace(pair, rotated=True, floor=False), LAW) < bare / 2
    longer = replace(pair, context=65_536, floor=False)
    assert math.log(predicted(longer, LAW) / bare) == pytest.approx(LAW.growth * math.log(16))


def test_the_page_takes_the_tables(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(caches, "left_out", lambda law: {p: predicted(p, law) for p in pairs()})
    page = tmp_path / "caches.md"
    names = ("cache-summary", "cache-pairs", "cache-lengths")
    page.write_text("".join(f"<!-- {n}: begin --><!-- {n}: end -->\n" for n in names), "utf-8")
    assert caches.main(["--docs", str(page)]) == 0
    text = page.read_text("utf-8")
    summary = (tmp_path / "data" / "caches-summary.csv").read_text("utf-8")
    assert 'prose and code,"after, family left out",' in summary
    assert "(data/caches-pairs.csv): 68 rows." in text
    assert "\nGemma-4-31B,q8_0/q8_0," in (tmp_path / "data" / "caches-pairs.csv").read_text("utf-8")
    lengths = (tmp_path / "data" / "caches-lengths.csv").read_text("utf-8")
    assert lengths.startswith('qwen3.5-27b,"4,096","32,768","131,072"\n')
    assert caches.main([]) == 0
    assert "prose and code" in capsys.readouterr().out
