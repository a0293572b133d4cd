"""Accumulators: the shipped table, the path of a scheme on a device, and their part in a plan."""

import json

import pytest

from planner.formats.schemes import SCHEMES
from planner.quality import accumulator_tables
from planner.quality.accumulators import EXACT, UNKNOWN, load_accumulators, path_of
from planner.quality.synthetic import LINEAR_KINDS
from tests.support import theory


@pytest.fixture(scope="module")
def table():
    return json.loads(accumulator_tables.PATH.read_text(encoding="utf-8"))


def test_the_shipped_table_is_what_the_code_computes(table) -> None:
    assert set(table["added"]) == set(accumulator_tables.SAMPLED)
    assert all(set(kinds) == set(LINEAR_KINDS) for kinds in table["added"].values())
    for path in ("hopper-wgmma", "hopper-wgmma/128"):
        fresh = accumulator_tables._added("attention-out", 512, path, table["seed"])
        assert fresh == pytest.approx(table["added"][path]["attention-out"][0], rel=1e-4)
    text = accumulator_tables.PATH.read_text(encoding="utf-8")
    assert accumulator_tables.to_json(table) == text


def test_promotion_and_wider_sums_add_less_and_long_sums_more() -> None:
    found = load_accumulators()
    for kind in LINEAR_KINDS:
        narrow, promoted, wide = (found.error(path, kind, 8192) for path in
                                  ("hopper-wgmma", "hopper-wgmma/128", "blackwell-tcgen05"))
        assert narrow > 2 * promoted > 20 * wide
        assert found.error("hopper-wgmma", kind, 32768) > found.error("hopper-wgmma", kind, 512)


def test_between_tabulated_inputs_the_error_lies_between_theirs() -> None:
    found = load_accumulators()
    row = found.added["hopper-wgmma"]["mlp-down"]
    assert found.error("hopper-wgmma", "mlp-down", 2048) == pytest.approx(row[1])
    middle = found.error("hopper-wgmma", "mlp-down", 4096)
    assert min(row[1:3]) <= middle <= max(row[1:3])
    assert found.error("hopper-wgmma", "mlp-down", 1 << 20) == pytest.approx(row[-1])


@pytest.mark.parametrize(("capability", "scheme", "path"), [
    ("9.0", "fp8-tensor", "hopper-wgmma"), ("9.0", "fp8-channel", "hopper-wgmma"),
    ("9.0", "fp8-block", "hopper-wgmma/128"), ("9.0", "int8-w8a8", EXACT),
    ("9.0", "bf16", EXACT), ("9.0", "int4-w4a16", EXACT), ("9.0", "nvfp4", UNKNOWN),
    ("8.9", "fp8-tensor", "ada"), ("8.0", "fp8-tensor", UNKNOWN),
    ("10.0", "fp8-block", "blackwell-tcgen05"), ("10.0", "nvfp4", "blackwell-block-scaled"),
    ("12.0", "fp8-tensor", "blackwell-mma"), ("10.7", "fp8-tensor", UNKNOWN),
    (None, "fp8-tensor", UNKNOWN), (None, "int8-w8a8", EXACT),
])
def test_the_path_of_a_scheme(capability: str | None, scheme: str, path: str) -> None:
    assert path_of(capability, SCHEMES[scheme]) == path


def test_a_plan_counts_them_and_says_so() -> None:
    def loss(device: str, scheme: str) -> float:
        return theory.estimate("qwen2.5-0.5b", device, scheme=scheme, devices=1,
                                context=1024, batch=1).quality.loss

    assert loss("h100-sxm", "fp8-block") >= loss("b200-sxm", "fp8-block") > 0
    hopper, blackwell = loss("h100-sxm", "fp8-tensor"), loss("b200-sxm", "fp8-tensor")
    assert blackwell < hopper < 1.2 * blackwell
    assert loss("h100-sxm", "int8-w8a8") == pytest.approx(loss("a100-sxm", "int8-w8a8"), rel=1e-3)
    made = theory.estimate("qwen2.5-0.5b", "h100-sxm", scheme="fp8-tensor", devices=1,
                            context=1024, batch=1)
    [said] = [a.value for a in made.assumptions if a.key == "accumulators"]
    assert "fp8-tensor at most" in said
    assert "hopper-wgmma" in said
