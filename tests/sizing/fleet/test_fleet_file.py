"""A fleet's file: what it says, and all that is wrong in it at once."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from support.fleets import ASKED
from support.wheels import ROOT

from planner.base.errors import DataError, InputError
from planner.base.files import data_folder
from planner.sizing.fleet.fleet_file import DEVICE, MODEL, TOP, WORKLOAD, FileErrors, fleet_input
from planner.sizing.fleet.read import MOST_PAIRS, fleet_question


def asked(**changes: Any) -> dict[str, Any]:
    return {**deepcopy(ASKED), **changes}


def device(**changes: Any) -> dict[str, Any]:
    return asked(device=[{**ASKED["device"][0], **changes}])


def model(**changes: Any) -> dict[str, Any]:
    return asked(model=[{**ASKED["model"][0], **changes}])


def refused(table: dict[str, Any]) -> DataError:
    with pytest.raises(DataError) as found:
        fleet_question(table, None)
    assert found.value.hint
    return found.value


def test_what_a_file_says() -> None:
    question = fleet_question(ASKED, None)
    chat, tags = question.members
    assert (chat.asked.rate, tags.asked.rate) == (30.0, 20.0)
    assert (chat.level.ttft, chat.level.tpot, chat.level.percentile) == (0.8, 0.03, 90.0)
    assert (tags.level.ttft, tags.level.tpot, tags.level.percentile) == (None, 0.02, 95.0)
    assert [kind.name for kind in chat.mix.kinds] == ["chat"]
    assert [(kind.share, kind.isl, kind.osl) for kind in tags.mix.kinds] == [
        (0.75, 600, 40),
        (0.25, 3000, 100),
    ]
    assert tags.asked.engines == ("vllm",)
    assert [(k.profile.id, k.stock.count, k.stock.price) for k in question.kinds] == [
        ("l40s", 4, 0.9),
        ("a100-sxm", 2, 1.9),
    ]
    assert question.size == "2 models × 2 kinds of devices: 4 plans to search"


def test_a_price_of_the_profile_and_hosts_of_the_file() -> None:
    question = fleet_question(
        asked(device=[{"name": "h100-sxm", "count": 8, "devices_per_node": 4}]), None
    )
    (kind,) = question.kinds
    assert kind.stock.price == kind.profile.price_usd_per_hour.value  # type: ignore[union-attr]
    assert kind.price_source == "the device profile's"
    assert (kind.stock.host, kind.profile.devices_per_node, kind.profile.scale_up_devices) == (
        4,
        4,
        4,
    )


@pytest.mark.parametrize(
    ("table", "message", "hint"),
    [
        (asked(gaol="cost"), "gaol: unknown key", "goal"),
        (asked(goal="cheap"), "goal = 'cheap'", "cost"),
        (asked(router="nearest"), "router = 'nearest'", "least-loaded"),
        (asked(engines=["vlm"]), "vlm", "vllm"),
        (asked(engines=[]), "engines", "NAME"),
        (asked(device=[]), "device = []: at least one table", "[[device]]"),
        (asked(model=["x"]), "model 1: not a table", "[[model]]"),
        (device(name="l40"), "unknown device 'l40'", "l40s"),
        (device(cuont=3), "cuont: unknown key", "count"),
        (device(count=-1), "count = -1", "count = 16"),
        (device(count=True), "count = True", "count = 16"),
        (device(count=0), "every count is 0", "16"),
        (device(price=0), "price = 0", "2.5"),
        (device(devices_per_node=0), "devices_per_node = 0", "8"),
        (asked(device=[{"name": "l40s"}]), "the number of devices is required", "count = 16"),
        (asked(device=[{"name": "l40s", "count": 2}]), "l40s: price: none is known", "price = 2.5"),
        (asked(device=[ASKED["device"][0]] * 2), "device l40s is named twice", "add the counts up"),
        (
            asked(device=[{"name": n, "count": 1, "price": 1.0} for n in ("b200", "b200-sxm")]),
            "device b200-sxm stands in two tables",
            "add the counts up",
        ),
        (model(model="llama-3.2-2b"), "llama-3.2-2b", "llama-3.2-1b"),
        (model(rate=0), "rate = 0", "1200/min"),
        (model(rate="5/fortnight"), "5/fortnight", "1200/min"),
        (model(rate="x/min"), "x/min", "1200/min"),
        (model(percentile=100), "percentile = 100", "90"),
        (model(tpot_ms=-1), "tpot_ms = -1", "tpot_ms = 50"),
        (model(max_loss=[1]), "max_loss", "fp8"),
        (model(workload=None), "workload", "chat"),
        (model(workload="chatt"), "chatt", "chat"),
        (model(workload=[{"isl": 5, "osl": 5}, {"isl": 6, "osl": 5}]), "share", "share = 0.5"),
        (
            model(
                workload=[{"isl": 5, "osl": 5, "share": 0.5}, {"isl": 6, "osl": 5, "share": 0.4}]
            ),
            "the shares of its workloads sum to 0.9",
            "sum to 1",
        ),
        (model(workload=[{"isl": 5}]), "osl: tokens are required", "osl = 1024"),
        (model(workload=[{"isl": 5_000_000, "osl": 5}]), "5000005", "context"),
        (
            model(workload=[{"workload": "chat", "prefix_hit_rate": 1.0}]),
            "prefix_hit_rate = 1.0",
            "0.5",
        ),
        (asked(model=[ASKED["model"][0]] * 2), "model chat is named twice", "a name of its own"),
        (
            asked(model=[{k: v for k, v in ASKED["model"][0].items() if k[-3:] != "_ms"}]),
            "a limit on TTFT, on TPOT, on whole requests or on several",
            "tpot_ms = 50",
        ),
    ],
)
def test_what_is_wrong_is_told_with_what_would_do(
    table: dict[str, Any], message: str, hint: str
) -> None:
    error = refused(table)
    assert message in error.message
    assert hint in error.hint


def test_all_that_is_wrong_is_told_at_once() -> None:
    table = asked(gaol="cost")
    table["device"][0] |= {"count": "many", "name": "l40x"}
    table["model"][1] |= {
        "rate": None,
        "percentile": 0,
        "speed": 3,
        "model": "llama-9",
        "workload": "chatt",
    }
    error = refused(table)
    assert error.message.startswith("fleet: 8 errors: (1) gaol: unknown key; (2) l40x: count")
    for part in (
        "tags: rate",
        "tags: percentile = 0",
        "model 2: speed: unknown key",
        "unknown device 'l40x'",
        "llama-9",
        "unknown workload 'chatt'",
    ):
        assert part in error.message
    assert "l40s" in error.hint


def test_no_price_is_needed_for_room() -> None:
    table = asked(goal="spare", device=[{"name": "l40s", "count": 2}])
    (kind,) = fleet_question(table, None).kinds
    assert kind.stock.price is None


def test_a_grid_too_large_is_refused_before_the_work() -> None:
    devices = [
        {"name": name, "count": 1, "price": 1.0}
        for name in (
            "l40s",
            "h100-sxm",
            "h200-sxm",
            "b200-sxm",
            "a100-sxm",
            "rtx-4090",
            "gb200",
            "h100-pcie",
            "h100-nvl",
            "h20",
            "h800-sxm",
        )
    ]
    models = [{**ASKED["model"][0], "name": f"m{n}"} for n in range(10)]
    with pytest.raises(InputError, match="10 models × 11 kinds of devices are 110 plans") as found:
        fleet_question(asked(device=devices, model=models), None)
    assert str(MOST_PAIRS) in found.value.message
    assert "split the file" in found.value.hint


def test_shares_are_scaled_to_one() -> None:
    third = {"isl": 5, "osl": 5, "share": 0.3333}
    errors = FileErrors("x")
    found = fleet_input(model(workload=[third, third, third]), errors)
    assert errors.messages == []
    assert sum(one.share for one in found.models[0].requests) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    "path", sorted((data_folder("scenarios") / "fleets").glob("*.toml")), ids=lambda path: path.stem
)
def test_bundled_fleets_are_questions(path: Path) -> None:
    question = fleet_question(path, None)
    assert question.asked.title != "fleet"
    assert len(question.members) >= 2
    assert len(question.kinds) >= 2


def test_the_example_of_the_guide_is_a_question(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "guide" / "fleet.md").read_text(encoding="utf-8")
    path = tmp_path / "fleet.toml"
    path.write_text(text.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    question = fleet_question(path, None)
    assert question.size == "1 model × 2 kinds of devices: 2 plans to search"
    known = {key for table in (TOP, DEVICE, MODEL, WORKLOAD) for key in table} - {
        "title",
        "device",
        "model",
    }
    assert {key for key in known if f"`{key}`" not in text} == set()
