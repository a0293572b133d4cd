"""What a scenario file may hold, and what each mistake is answered with."""

from pathlib import Path

import pytest

from planner.base.errors import DataError, UnknownNameError
from planner.planning.question.scenarios import load_scenario, parse_scenario, scenario_ids
from tests.support import theory

HEAD = 'title = "t"\nquestion = "q?"\n'


def parse(body: str, head: str = HEAD) -> object:
    return parse_scenario((head + body).encode(), place="mine.toml", id="mine")


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("contxt = 8192", "contxt: unknown key", "context"),
        ("[host]\nmemory = 1", "host.memory: unknown key", "memory_bytes_per_device"),
        ('context = "8192"', "context = '8192': a whole number above 0", "131_072"),
        ("context = 8192.0", "context = 8192.0: a whole number above 0", "131_072"),
        ("context = true", "context = True: a whole number above 0", "131_072"),
        ("context = -8192", "context = -8192: a whole number above 0", "131_072"),
        ("batch = 0", "batch = 0: a whole number above 0", "131_072"),
        ("tpot_ms = -1.5", "tpot_ms = -1.5: a number above 0", ""),
        ("tpot_ms = nan", "tpot_ms = nan: a number above 0", ""),
        ("ttft_ms = inf", "ttft_ms = inf: a number above 0", ""),
        ("model = 3", "model: a text is required", 'model = "…"'),
        ('schemes = "bf16"', "schemes: a list of scheme names", "schemes ="),
        ("schemes = []", "schemes: a list of scheme names", "schemes ="),
        ("schemes = [8]", "schemes: a list of scheme names", "schemes ="),
        ("untie = 1", "untie: true or false", "untie = true"),
        ("host = 3", "host: a table is required", "[host]"),
        ("[host]\nusable_fraction = 1.5", "host.usable_fraction = 1.5 is above 1", "share"),
        ("[host]\nscale_up_bytes_per_s = -1", "host.scale_up_bytes_per_s = -1", ""),
        ("context = ", "not valid TOML", "README"),
        ("context = 1\ncontext = 2", "not valid TOML", "README"),
    ],
)
def test_a_mistake_names_the_file_the_key_and_the_way_out(
    body: str, message: str, hint: str
) -> None:
    with pytest.raises(DataError) as caught:
        parse(body)
    assert caught.value.message.startswith("mine.toml: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("head", ['title = "t"\n', 'question = "q"\n', 'title = 1\nquestion = "q"'])
def test_title_and_question_are_required_texts(head: str) -> None:
    with pytest.raises(DataError, match="a text is required"):
        parse("", head)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(DataError, match="not valid TOML"):
        parse_scenario(b'title = "\xff"', place="mine.toml", id="mine")


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_scenario("orin-int4")
    assert "orin-int8" in caught.value.hint


def test_a_missing_file_lists_the_bundled_names(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_scenario(str(tmp_path / "none.toml"))
    assert all(name in caught.value.hint for name in scenario_ids())


def test_spelling_of_a_bundled_name_does_not_matter() -> None:
    assert load_scenario("Orin_INT8") == load_scenario("orin-int8")


def test_a_file_by_path_and_arguments_that_override_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        HEAD + 'model = "llama-3.1-8b"\ndevice = "h100-sxm"\ndevices = 1\n'
        'context = 4096\nschemes = ["bf16"]\n',
        encoding="utf-8",
    )
    assert theory.plan(scenario=str(path)).workload.context_tokens == 4096
    other = theory.plan(device="l40s", scenario=str(path), context=2048)
    assert (other.device.id, other.workload.context_tokens) == ("l40s", 2048)


def test_a_number_of_a_scenario_keeps_its_type() -> None:
    found = parse("tpot_ms = 50\ne2e_ms = 9_000\ncontext = 131_072\n[host]\nprice_usd_per_hour = 2")
    assert found.values["tpot_ms"] == 50.0  # type: ignore[attr-defined]
    assert found.values["e2e_ms"] == 9000.0  # type: ignore[attr-defined]
    assert isinstance(found.values["tpot_ms"], float)  # type: ignore[attr-defined]
    assert found.host.price_usd_per_hour == 2.0  # type: ignore[attr-defined]


def test_the_scheme_of_a_scenario_is_what_estimate_prices(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        HEAD + 'model = "llama-3.1-8b"\ndevice = "h100-sxm"\ndevices = 1\n'
        'context = 2048\nscheme = "fp8-channel"\n',
        encoding="utf-8",
    )
    plan = theory.estimate(scenario=str(path))
    assert "fp8-channel" in {u.scheme for u in plan.units}
    given = theory.estimate(scenario=str(path), scheme="fp16")
    assert "fp8-channel" not in {u.scheme for u in given.units}
