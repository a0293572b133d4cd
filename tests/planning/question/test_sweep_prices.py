"""Prices of a sweep: whose counts, and what is refused before any work."""

from pathlib import Path
from typing import Any

import pytest

import planner
from planner.base.errors import InputError, UnknownNameError
from planner.sweeping.read import asks_of, parse_sweep
from planner.sweeping.run import Sweep

MODEL = "qwen2.5-0.5b"
ONE = {
    "verb": "estimate",
    "model": MODEL,
    "engine": "any",
    "devices": 1,
    "tp": 1,
    "batch": 4,
    "scheme": "bf16",
    "context": 2048,
}
USD = "usd_per_million_output_tokens"


def sweep(price: Any, devices: tuple[str, ...] = ("l40s", "h100-sxm"), **more: Any) -> Sweep:
    return Sweep(asks_of([{**ONE, "device": d, **more} for d in devices]), None, price).resolve()


def test_a_price_by_device_makes_the_tokens_cost() -> None:
    asked = [{**ONE, "device": "l40s"}, {**ONE, "device": "h100-sxm"}]
    profile = planner.load_device("h100-sxm").price_usd_per_hour
    assert profile is not None
    frame = planner.sweep(asked, price={"L40S": 0.9})
    assert frame["usd_per_device_hour"].tolist() == [0.9, profile.value]
    rate = frame["output_tokens_per_second_per_device"]
    assert frame[USD].tolist() == pytest.approx(
        (frame["usd_per_device_hour"] / 3600 / rate * 1e6).tolist()
    )
    assert (frame[f"{USD}_low"] < frame[USD]).all()
    assert (frame[USD] < frame[f"{USD}_high"]).all()
    plain = planner.sweep(asked)
    assert plain[USD].isna().tolist() == [True, False]
    assert plain["usd_per_device_hour"].isna().tolist() == [True, False]
    assert plain["key"].tolist()[0] != frame["key"].tolist()[0]
    assert plain["key"].tolist()[1] == frame["key"].tolist()[1]


def test_a_given_price_counts_before_that_of_a_scenario(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        'title = "s"\nquestion = "?"\nmodel = "qwen2.5-0.5b"\n'
        'device = "l40s"\n[host]\nprice_usd_per_hour = 7.0\n',
        encoding="utf-8",
    )
    asked = [{**ONE, "device": "l40s", "scenario": str(file)}]
    dear, cheap = planner.sweep(asked), planner.sweep(asked, price=3.5)
    assert (dear.loc[0, "usd_per_device_hour"], cheap.loc[0, "usd_per_device_hour"]) == (7.0, 3.5)
    assert dear.loc[0, USD] == pytest.approx(2 * cheap.loc[0, USD])


def test_the_argument_counts_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        "price = 2.0\n[[question]]\n"
        + "".join(f"{key} = {value!r}\n" for key, value in {**ONE, "device": "l40s"}.items()),
        encoding="utf-8",
    )
    assert planner.sweep(file).loc[0, "usd_per_device_hour"] == 2.0
    assert planner.sweep(file, price=1.0).loc[0, "usd_per_device_hour"] == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "price = 0",
        "price = -1",
        "price = true",
        "price = 'cheap'",
        "price = [1]",
        "price = nan",
        "price = inf",
        "[price]",
        "[price]\nl40s = '2'",
        "[price]\nl40s = 0.0",
    ],
)
def test_what_is_no_price_is_refused_as_the_file_is_read(text: str) -> None:
    with pytest.raises(InputError, match=r"^f\.toml: price") as caught:
        parse_sweep(f"{text}\n[[question]]\nmodel = 'a'\ndevice = 'b'\n".encode(), "f.toml")
    assert "USD a device-hour" in caught.value.hint


def test_prices_of_what_is_not_asked_about_are_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="price of b200-sxm, which no question asks about"):
        sweep({"b200-sxm": 3.0})
    with pytest.raises(UnknownNameError):
        sweep({"l40z": 3.0})
    with pytest.raises(InputError, match="has two prices"):
        sweep({"l40s": 3.0, "L40S": 2.0})


def test_devices_without_a_price_are_named_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    asked = [{**ONE, "device": device} for device in ("l40s", "h100-sxm", "l40s")]

    def stop(*_: object, **__: object) -> None:
        raise InterruptedError

    monkeypatch.setattr("planner.sweeping.sweep.run", stop)
    with pytest.raises(InterruptedError):
        planner.sweep(asked, notify=told.append)
    assert told == [
        "no price is known of l40s: --price l40s=USD (a device-hour) adds what a "
        "million tokens cost"
    ]
    with pytest.raises(InterruptedError):
        planner.sweep(asked, price=2.0, notify=told.append)
    assert len(told) == 1


def test_a_price_inside_a_question_is_told_where_it_belongs() -> None:
    with pytest.raises(InputError, match="not a key of questions") as caught:
        parse_sweep(b"[[grid]]\nmodel = 'a'\ndevice = 'b'\nprice = 2\n", "f.toml")
    assert "[price]" in caught.value.hint


def test_questions_that_differ_in_price_alone_are_answered_apart() -> None:
    cheap, dear = sweep(1.0), sweep(2.0)
    assert [one.price for one in cheap.asks] == [1.0, 1.0]
    assert cheap.header()["sweep"] != dear.header()["sweep"] != sweep(None).header()["sweep"]
    both = Sweep((*cheap.asks, *dear.asks)).resolve()
    assert len(both.chunks) == 4
    assert both.columns()["usd_per_device_hour"] == [1.0, 1.0, 2.0, 2.0]
