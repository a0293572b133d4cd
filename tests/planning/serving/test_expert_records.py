"""The answer of ``experts`` as a table and as JSON."""

from planner.placement.tiers import Residency, Tier
from planner.planning.serving.experts import ExpertUse

HOME = Residency(1000, 1, Tier(60, 30.0, 0.75), Tier(30, 8.0, 0.2), Tier(10, 2.0, 0.05))


def use(residency: Residency | None) -> ExpertUse:
    return ExpertUse(
        model="<m>",
        device=None,
        layers=4,
        count=25,
        per_token=2,
        expert_bytes=1000,
        always_on_bytes=5,
        batch=3,
        effective_batch=None,
        popularity="uniform",
        distinct=5.5,
        distinct_uniform=6.0,
        ranks=None,
        room_bytes=None,
        residency=residency,
        times=None,
        assumptions=(("a", "b", "c"),),
    )


def test_without_a_device_one_row_holds_all() -> None:
    (row,) = use(None).to_frame().to_dict("records")
    assert row == {"place": "anywhere", "experts": 100, "touched": 22.0, "picks": 1.0}


def test_places_hold_every_expert_and_pick() -> None:
    frame = use(HOME).to_frame()
    assert frame["place"].tolist() == ["device", "host", "drive"]
    assert (frame["experts"].sum(), frame["touched"].sum()) == (100, 40.0)
    assert frame["picks"].tolist() == [0.75, 0.2, 0.05]


def test_json_has_what_follows_from_the_places() -> None:
    data = use(HOME).to_dict()
    assert data["residency"]["hit_rate"] == 0.75
    assert data["residency"]["host_bytes_per_step"] == 8000.0
    assert data["residency"]["drive_bytes_per_step"] == 2000.0
    assert data["assumptions"] == [{"key": "a", "value": "b", "reason": "c"}]
    assert "offloaded" not in data


def test_names_are_escaped_in_a_notebook() -> None:
    assert (
        use(None)
        ._repr_html_()
        .startswith("<p>3 tokens touch 5.5 of 25 experts a layer of &lt;m&gt;</p>")
    )
