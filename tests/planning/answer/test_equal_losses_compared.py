"""Two plans whose losses cannot be told apart: the speed of both is told beside, with its sign."""

from types import SimpleNamespace

import pytest

from planner.planning.answer import compare

FLOOR = 0.25


def told(
    loss: tuple[float, float], seconds: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> tuple[float, str]:
    """(gain, sentence) of a plan beside another: (its own, the other's) losses and seconds."""
    monkeypatch.setattr(compare, "device_seconds", lambda priced: priced.seconds)
    monkeypatch.setattr(compare, "band_factor", lambda _: 1.5)
    space = SimpleNamespace(model=SimpleNamespace(floor=SimpleNamespace(value_nats=FLOOR)))
    ours, rival = (
        SimpleNamespace(
            priced=SimpleNamespace(loss=value, seconds=pace),
            weighed=SimpleNamespace(value=value + FLOOR),
            space=space,
        )
        for value, pace in zip(loss, seconds, strict=True)
    )
    gain, text = compare._equal(ours, rival, "the best")  # type: ignore[arg-type]
    return gain, text


def test_speed_is_told_with_its_sign_where_it_prints_as_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seconds, words in (
        ((1.0, 1.1), "; 10.0% more tokens/s per device"),
        ((1.25, 1.0), "; 20.0% fewer tokens/s per device"),
        ((1.0, 1.0006), "; 0.1% more tokens/s per device"),
        ((1.0, 1.0004), ""),
    ):
        _, text = told((1.0, 1.2), seconds, monkeypatch)
        assert (
            text == "indistinguishable in loss from the best: a factor of 1.20 lies inside "
            f"the band of 1.5{words}"
        )


def test_losses_that_the_floor_hides_are_told_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = told((0.1, 0.3), (1.0, 1.0), monkeypatch)
    assert text == (
        "indistinguishable in loss from the best: they differ by less than the floor of any "
        "change, 0.25 nats"
    )


def test_what_loses_more_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told((1.2, 1.0), (1.0, 1.0), monkeypatch)[0] == 0.0
    assert told((1.0, 1.25), (1.0, 1.0), monkeypatch)[0] > 0.1
