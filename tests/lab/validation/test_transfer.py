"""Sets carried to another device: relations, what is not carried, errors, left-out coverage."""

import csv
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from planner.hardware.catalog import LINKED, device_ids, memory_kind, resolve_device
from planner.lab.validation.op_rows import Z80
from planner.lab.validation.transfer import (
    Carried,
    carried,
    pairs,
    summarise,
    without_own,
)
from planner.throughput import calibration
from planner.throughput.calibration import architecture_relation, fitted_set, transfer_sigma

RELATIONS = ("same", "other", "gddr")
SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "measured"
RULES = tomllib.loads(
    (Path(calibration.__file__).parent / "data" / "transfer.toml").read_text(encoding="utf-8")
)["rule"]
H100, B200, L40S = map(resolve_device, ("h100-sxm", "b200-sxm", "l40s"))


def made_up(device: str, relative: str, added: float, count: int = 4000) -> Carried:
    noise = np.random.default_rng(count).normal(0.0, np.hypot(0.08, added), count)
    return Carried("gemm", "bf16", "same", device, relative, noise, 0.08)


def coverage(groups: Iterable[Carried], added: float) -> float:
    """Share of carried rows inside the 80 % interval of a transfer that adds ``added``."""
    inside = [np.abs(g.log_ratio) <= Z80 * np.hypot(g.own_sigma, added) for g in groups]
    return float(np.concatenate(inside).mean())


def coverage_left_out(groups: Sequence[Carried]) -> dict[tuple[str, str], float]:
    """(device, relative) → coverage of its rows by what the transfers of the other pairs add."""
    found = {}
    for key in dict.fromkeys((g.device, g.relative) for g in groups):
        rest = summarise(g for g in groups if (g.device, g.relative) != key)
        if rest is not None:
            mine = [g for g in groups if (g.device, g.relative) == key]
            found[key] = coverage(mine, rest.sigma)
    return found


def test_relations_are_of_architecture_and_memory() -> None:
    assert architecture_relation(resolve_device("h200-sxm"), H100.architecture) == "same"
    assert architecture_relation(resolve_device("gb300"), B200.architecture) == "same"
    assert architecture_relation(B200, H100.architecture) == "other"
    assert architecture_relation(L40S, resolve_device("rtx-pro-6000").architecture) == "gddr"


def test_a_part_with_gddr_takes_no_kernel_of_one_with_hbm() -> None:
    for device in map(resolve_device, device_ids()):
        for key, (origin, _, _) in device.inherited.items():
            if memory_kind(resolve_device(origin)) != memory_kind(device):
                assert key[0] in LINKED, (device.id, key)
    assert any(key[0] == "collective" for key in L40S.inherited)
    assert fitted_set(L40S, "mla-decode", ["trtllm"], ["bf16/bf16"]) is None


def test_superchips_follow_the_part_of_their_die() -> None:
    for name, origin in (("gb200", "b200-sxm"), ("gb300", "b300-sxm"), ("rubin-r200", "b300-sxm")):
        found = fitted_set(resolve_device(name), "gemm", ["trtllm"], ["nvfp4"])
        assert found is not None
        assert found.origin == origin
        assert found.basis == "transferred"


def test_every_relation_of_every_operator_has_an_error() -> None:
    for operator in ("gemm", "moe", "attention-decode", "mla-prefill", "collective", "new"):
        for how in RELATIONS:
            assert 0.03 <= transfer_sigma(operator, "any", how) < 2
    assert transfer_sigma("gemm", "bf16", "same") < transfer_sigma("gemm", "nvfp4", "same")


@pytest.mark.parametrize(
    ("operator", "most"),
    [("gemm", 12), ("attention-prefill", 12), ("attention-decode", 12), ("moe", 18)],
)
def test_within_a_family_of_hbm_parts_errors_are_small(operator: str, most: float) -> None:
    [rule] = [r for r in RULES if r["operator"] == operator and r["variant"] == "*"]
    assert rule["same"]["pairs"] >= 4
    assert rule["same"]["mean"] <= most
    assert rule["same"]["mean"] < rule["gddr"]["mean"]


def test_the_added_error_is_what_the_sets_own_does_not_explain() -> None:
    found = summarise([made_up("a", "b", 0.2), made_up("b", "a", 0.2)])
    assert found is not None
    assert found.sigma == pytest.approx(0.2, rel=0.05)
    assert (found.rows, found.pairs) == (8000, 2)
    assert coverage([made_up("a", "b", 0.2)], found.sigma) == pytest.approx(0.8, abs=0.02)
    assert summarise([made_up("a", "b", 0.2, 99)]) is None
    left = coverage_left_out([made_up("a", "b", 0.2), made_up("b", "a", 0.2, 4001)])
    assert set(left) == {("a", "b"), ("b", "a")}
    assert all(0.77 < share < 0.83 for share in left.values())


def test_a_device_without_its_sets_has_its_relatives() -> None:
    bare = without_own(B200, H100)
    found = fitted_set(bare, "gemm", ["vllm"], ["bf16"])
    assert found is not None
    assert (found.basis, found.origin) == ("transferred", "h100-sxm")
    own = H100.fitted["gemm", "vllm", "bf16"].error.sigma
    assert found.sigma == pytest.approx(np.hypot(own, transfer_sigma("gemm", "bf16", "other")))


def test_pairs_hold_each_device_out_in_turn() -> None:
    found = {(a.id, b.id) for a, b in pairs()}
    assert {
        ("b300-sxm", "b200-sxm"),
        ("b200-sxm", "b300-sxm"),
        ("h200-sxm", "h100-sxm"),
        ("l40s", "rtx-pro-6000"),
        ("rtx-pro-6000", "l40s"),
        ("a100-sxm", "h100-sxm"),
    } <= found
    assert ("l40s", "h100-sxm") not in found


def test_intervals_cover_devices_that_were_left_out() -> None:
    """Each pair by what the transfers of the others add: near 80 % together, no pair far off."""
    groups: dict[tuple[str, str], list[Carried]] = {}
    for name in ("op_gemm", "op_gemm_2", "op_attn_generation", "op_attn_generation_2"):
        path = SHARED / f"{name}.csv"
        if not path.is_file():
            pytest.skip(f"{name}.csv is not beside the repository")
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[::5]
        for device, relative in pairs():
            for one in carried(name.removesuffix("_2"), rows, device, relative):
                groups.setdefault((one.operator, one.relation), []).append(one)
    shares = [share for some in groups.values() for share in coverage_left_out(some).values()]
    assert len(shares) >= 12
    assert min(shares) > 0.5
    assert 0.7 < float(np.mean(shares)) < 0.9
