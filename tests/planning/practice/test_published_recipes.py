"""Published deployments as they ship: known names, ranks that make their devices, sources."""

import math
import re
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from benchmarks.practice import table_of, text_of
from planner.formats.schemes import SCHEMES
from planner.hardware.catalog import device_ids
from planner.models.catalog import model_ids, resolve_model
from planner.models.inventory import Inventory
from planner.planning.engines.mixes import engine_mixes
from planner.planning.practice import recipes as module
from planner.planning.practice.recipes import (
    COLUMNS,
    FAMILIES,
    FORMATS,
    LAYOUTS,
    TABLE,
    Recipe,
    recipes,
    recipes_for,
)

GUIDES = Path(__file__).resolve().parents[3] / "../shared/facts/recipes"
LARGE = 7e9
DRAFT = re.compile(r"(mtp|eagle3?|dspark|dflash|draft)(:[1-9]\d*)?")
"""Ways to draft tokens, and how many."""


def test_many_large_models_have_practice() -> None:
    served = {recipe.model for recipe in recipes()}
    large = {m for m in served if Inventory(resolve_model(m)).parameters_total > LARGE}
    assert len(recipes()) >= 150
    assert len(large) >= 60
    assert {"guide", "config", "sweep"} <= {recipe.kind for recipe in recipes()}


def test_every_name_is_known() -> None:
    for recipe in recipes():
        assert recipe.model in model_ids(), recipe
        assert recipe.device in (*device_ids(), *FAMILIES), recipe
        assert recipe.layout in LAYOUTS, recipe
        assert recipe.weights in ("", *FORMATS, *SCHEMES, *engine_mixes()), recipe
        assert not recipe.speculation or DRAFT.fullmatch(recipe.speculation), recipe


def test_every_row_has_a_source_and_a_date_or_none() -> None:
    for recipe in recipes():
        assert "/" in recipe.source, recipe
        assert not recipe.date or date.fromisoformat(recipe.date) <= date.today(), recipe


def test_ranks_make_the_devices() -> None:
    for recipe in recipes():
        ranks = recipe.tp * recipe.dp * recipe.pp * recipe.workers
        assert recipe.attention_dp == (recipe.dp > 1), recipe
        if recipe.layout != "pools":
            assert ranks == recipe.devices, recipe
            continue
        number, _, worker = recipe.prefill.partition(" x ")
        sizes = {name: int(n) for name, n in re.findall(r"(tp|dp|pp|ep)(\d+)", worker)}
        sizes.pop("ep", None)
        assert ranks + int(number) * math.prod(sizes.values()) == recipe.devices, recipe


def test_the_layout_is_that_of_the_ranks() -> None:
    for recipe in recipes():
        if recipe.layout in ("tp", "tp+ep", "attention dp", "pp"):
            one = "pp" if recipe.pp > 1 else "attention dp" if recipe.dp > 1 else ""
            assert recipe.layout == (one or ("tp+ep" if recipe.ep > 1 else "tp")), recipe
            assert recipe.workers == 1, recipe


def test_experts_are_divided_among_ranks_of_models_that_have_some() -> None:
    for recipe in recipes():
        if recipe.ep > 1:
            assert resolve_model(recipe.model).experts is not None, recipe


def test_loads_are_ranges() -> None:
    for recipe in recipes():
        low, high = recipe.concurrency_low, recipe.concurrency_high
        assert (low is None) == (high is None), recipe
        assert low is None or high is None or 1 <= low <= high, recipe


def test_no_deployment_stands_twice() -> None:
    names = ("model", "device", "devices", "engine", "tp", "pp", "dp", "ep", "workers", "prefill",
             "layout", "weights", "kv", "speculation", "isl", "osl")  # fmt: skip
    rows = Counter(tuple(getattr(recipe, name) for name in names) for recipe in recipes())
    assert rows.most_common(1)[0][1] == 1


def test_a_release_has_the_rows_of_its_base() -> None:
    release = recipes_for("glm-5-fp8")
    assert release
    assert {r.checkpoint.lower() for r in release} == {"zai-org/glm-5-fp8"}
    bases = {r.source for r in recipes_for("glm-5")}
    assert {r.source for r in release} <= bases


def test_r1_on_eight_h200_is_served_as_released() -> None:
    rows = [r for r in recipes_for("deepseek-r1") if (r.device, r.devices) == ("h200-sxm", 8)]
    assert {"vllm", "sglang"} <= {r.engine for r in rows}
    assert {r.weights for r in rows if r.kind == "guide"} == {"fp8-block"}


def test_an_unknown_model_has_none() -> None:
    assert recipes_for("no-such-model") == ()


@pytest.mark.parametrize(
    ("column", "cell", "problem"),
    [
        ("engine", "triton", "engine"),
        ("layout", "ring", "layout"),
        ("weights", "fp7", "format"),
        ("kv", "fp7", "cache"),
        ("kind", "rumour", "kind"),
        ("device", "h999", "device"),
        ("purpose", "fun", "purpose"),
        ("attention_dp", "maybe", "attention"),
        ("devices", "999", "devices"),
        ("ep", "7", "ep"),
        ("prefill", "1 x tp4", "prefill"),
    ],
)
def test_a_wrong_row_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, cell: str, problem: str
) -> None:
    head, *lines = TABLE.read_text(encoding="utf-8").splitlines()
    cells = next(line for line in lines if ",attention dp," in line and '"' not in line).split(",")
    assert cells[COLUMNS.index("prefill")] == ""
    cells[COLUMNS.index(column)] = cell
    table = tmp_path / "table.csv"
    table.write_text(f"{head}\n{','.join(cells)}\n", encoding="utf-8")
    monkeypatch.setattr(module, "TABLE", table)
    monkeypatch.setattr(module, "_lines", module._lines.__wrapped__)
    with pytest.raises(ValueError, match=problem):
        module.recipes_for.__wrapped__(cells[0])


def test_the_file_is_what_its_builder_makes() -> None:
    if not (GUIDES / "guides.csv").is_file():
        pytest.skip("the collected rows of guides are not beside this checkout")
    rows, left_out = table_of(GUIDES)
    assert text_of(rows) == TABLE.read_text(encoding="utf-8")
    assert left_out["the same deployment"] > 0


def test_a_record_has_every_column() -> None:
    row = recipes()[0]
    assert isinstance(row, Recipe)
    names = {"concurrency_low", "concurrency_high", "isl", "osl", "date"}
    assert names <= set(COLUMNS)
    assert [name for name in COLUMNS if not hasattr(row, name)] == []


def test_the_page_has_the_counts_of_the_file() -> None:
    page = (TABLE.parents[3] / "docs/reference/published-practice.md").read_text(encoding="utf-8")
    models = {recipe.model for recipe in recipes()}
    assert f"{len(recipes()):,} deployments of {len(models)} bundled" in page
    for column in ("kind", "layout"):
        for name, number in Counter(getattr(r, column) for r in recipes()).items():
            assert re.search(rf"^\| {re.escape(name)} \| {number:,} \|", page, re.MULTILINE), name


def test_a_model_without_prediction_layers_drafts_by_another() -> None:
    drafts = {r.speculation for r in recipes_for("llama-3.1-70b")} - {""}
    assert drafts
    assert not any(draft.startswith("mtp") for draft in drafts)
    assert any(r.speculation.startswith("mtp") for r in recipes_for("deepseek-r1"))
