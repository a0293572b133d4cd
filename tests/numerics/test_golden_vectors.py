"""Committed cast vectors: neither the reference nor the fast casts may drift."""

import json
from pathlib import Path

import numpy as np
import pytest

from planner.formats.elements import element
from planner.numerics import encode, policy_names
from planner.numerics.reference import encode_reference

VECTORS = json.loads(
    (Path(__file__).resolve().parents[1] / "golden" / "cast_vectors.json").read_text("utf-8")
)
INPUTS = [int(VECTORS["inputs"][i : i + 8], 16) for i in range(0, len(VECTORS["inputs"]), 8)]


def expected(name: str) -> list[int]:
    line = VECTORS["codes"][name]
    digits = 4 if element(name.split()[0]).bits == 16 else 2
    return [int(line[i : i + digits], 16) for i in range(0, len(line), digits)]


def test_coverage():
    covered = {(n.split()[0], p) for n in VECTORS["codes"] for p in n.split()[1].split(",")}
    assert {p for _, p in covered} == set(policy_names())
    assert len(covered) == 17 * len(policy_names())
    assert len(INPUTS) * len(VECTORS["codes"]) > 5000


@pytest.mark.parametrize("name", sorted(VECTORS["codes"]))
def test_codes(name):
    format, policies = name.split()
    x = np.array(INPUTS, np.uint32).view(np.float32)
    for policy in policies.split(","):
        assert encode(x, format, policy=policy).tolist() == expected(name)
    first = policies.split(",")[0]
    assert [encode_reference(b, format, policy=first) for b in INPUTS] == expected(name)
