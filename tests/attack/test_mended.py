"""Defects that attacks, and the reading around them, found; docs/evidence/fuzzing.md lists them."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import llama_config
from support.command_words import DEVICE, MODEL, QUICK
from support.entrances import device_sample, plan_sample, profile_sample
from support.laws import Ended, command
from support.tape import json_bytes, toml_bytes

from planner.base.errors import DataError
from planner.lab.scores.read import read_scores
from planner.models.quantization.plan import expression

DEEP = b"x = " + b"[" * 3000 + b"]" * 3000
DIGITS = b"devices = " + b"9" * 5000
DOTTED = b"a." * 100_000 + b"b = 1"


def refused(words: list[str], folder: Path) -> Ended:
    ended = command(words, folder)
    assert ended.code == 2, ended
    return ended


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DEEP, "nested deeper"),
        (DIGITS, "digits"),
        (DOTTED, "parts"),
        (b"x = 1 #" + b"a" * (1 << 20), "larger than"),
        (b"devices = 99999999999999999999", "64"),
    ],
    ids=["deep", "digits", "dotted", "large", "wide"],
)
def test_toml_that_its_parser_cannot_take(text: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(text)
    (tmp_path / "hw").mkdir()
    (tmp_path / "hw" / "aliases.toml").write_bytes(text)
    for words in (
        ["--scenario", "s.toml"],
        ["devices", "./s.toml"],
        ["devices", "l40s", "--hardware-dir", "hw"],
    ):
        assert why in refused(words, tmp_path).err


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "aliases.toml")
    os.mkfifo(tmp_path / "s.toml")
    refused(["--scenario", "s.toml"], tmp_path)
    refused(["devices", "./s.toml"], tmp_path)
    assert command(["devices", "l40s", "--hardware-dir", "."], tmp_path).code == 0


@pytest.mark.parametrize("hostile", ["\x1b[2Jgone", "\u202etxet", "a" * 5000, "\x07", "\x9b31m"])
def test_an_error_line_is_shown_and_not_obeyed(hostile: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(
        toml_bytes({"title": "t", "question": "q", hostile: 1})
        .replace(b"\x1b", b"\\u001b")
        .replace(b"\x07", b"\\u0007")
    )
    refused(["--scenario", "s.toml"], tmp_path)
    refused([hostile, DEVICE], tmp_path)
    refused(["plan", MODEL, DEVICE, "--kv", hostile], tmp_path)


@pytest.mark.parametrize("value", [10**400, 1e300])
def test_a_score_beyond_any_loss(value: float, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(json_bytes({"model.layers.0.mlp.down_proj": {"W4A16": value}}))
    with pytest.raises(DataError, match=r"at most 1e\+15|not a number"):
        read_scores(path)


@pytest.mark.parametrize("loads", [[10**400] * 64, [1e308] * 64])
def test_loads_that_overflow(loads: list[float], tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(json_bytes({"loads": loads}))
    refused(["experts", "deepseek-v2-lite", "--popularity", "p.json"], tmp_path)


@pytest.mark.parametrize("rows", ["1,0,\0\n", "1,0," + "9" * 400 + "\n", "1,0," + "9" * 200_000])
def test_routing_that_overflows_or_cannot_be_split(rows: str, tmp_path: Path) -> None:
    from planner.lab.profiling.given import read_routing
    from planner.lookup import load_model

    path = tmp_path / "r.csv"
    path.write_text("layer,expert,tokens\n" + rows, encoding="utf-8")
    with pytest.raises(DataError):
        read_routing(path, load_model("deepseek-v2-lite"))


def with_value(sample: Any, place: str, value: Any) -> Any:
    """A copy of ``sample`` with one value replaced; ``place`` is dotted."""
    tree = copy.deepcopy(sample)
    *way, last = place.split(".")
    here = tree
    for part in way:
        here = here[int(part)] if isinstance(here, list) else here[part]
    here[int(last) if isinstance(here, list) else last] = value
    return tree


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("workload.context_tokens", 10**30),
        ("workload.batch", 10**300),
        ("layout.tp", 2**64),
        ("units.0.weight_bytes", 10**40),
        ("units.0.decode_seconds", 1e308),
        ("performance.tpot_seconds.value", 1e300),
    ],
)
def test_a_plan_file_with_a_figure_beyond_measure(place: str, value: float, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(json_bytes(with_value(plan_sample(), place, value)))
    for words in (
        ["estimate", "--plan", "p.json", "--json"],
        ["diff", "p.json", "p.json"],
        ["report", "p.json"],
    ):
        refused(words, tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("memory.bandwidth.value", 1e308),
        ("memory.bandwidth.value", 5e-324),
        ("memory.capacity.value", 1e300),
        ("achieved.bf16.floor_seconds.value", 1e308),
        ("power.value", 1e308),
    ],
)
def test_a_device_beyond_physics(place: str, value: float, tmp_path: Path) -> None:
    (tmp_path / "made-up.toml").write_bytes(
        toml_bytes(with_value(device_sample("l40s"), place, value))
    )
    refused(["estimate", MODEL, "./made-up.toml", *QUICK], tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [("units.0.loss.fp8-block", 1e308), ("units.0.alpha", 1e300), ("band_factor", 1e308)],
)
def test_a_profile_with_a_loss_beyond_measure(place: str, value: float, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(llama_config()), encoding="utf-8")
    (tmp_path / "f.json").write_bytes(json_bytes(with_value(profile_sample(), place, value)))
    refused(["estimate", "./config.json", DEVICE, "--profile", "f.json", *QUICK], tmp_path)


@pytest.mark.parametrize("text", ["[[a]", "x[a--b]", "[]a&&b]", "[^a~~b]", "[a||b]"])
def test_an_expression_that_pythons_may_read_differently_is_refused(text: str) -> None:
    """Python warned of it on stderr, and took it."""
    with pytest.raises(DataError, match="a set within a set"):
        expression(text, "config")


@pytest.mark.parametrize("text", [r"\[[ab]", r"[\[a]", r"a--b", "[a-b]--", r"[a\-&]", "[^[a]"])
def test_sets_that_only_look_nested_are_read(text: str) -> None:
    assert expression(text, "config").pattern == text
