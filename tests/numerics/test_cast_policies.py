"""Policies: every field of an unknown value is an error that says what there is."""

from dataclasses import fields

import pytest

from planner.base.errors import InputError, UnknownNameError
from planner.numerics import Policy, policy_names
from planner.numerics.policies import PRESETS

WRONG = {
    "overflow": "clamp",
    "infinity": "inf",
    "nan_sign": "keep",
    "nan_payload": "all",
    "missing_nan": "zero",
    "tie": "odd",
    "keep_negative_zero": "yes",
    "unsigned": "abs",
    "power_rounding": "down",
    "reciprocal": 1,
    "rounding": "nearest ",
    "scaling": "torch",
    "random_bits": 16,
}


def test_every_field_is_here() -> None:
    assert {*WRONG, "id"} == {f.name for f in fields(Policy)}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_choice_is_an_error(name: str) -> None:
    for value in (WRONG[name], None, 3.5, "", []):
        with pytest.raises(InputError) as caught:
            Policy("mine", **{name: value})
        assert name.replace("_", " ") in str(caught.value).replace("_", " ")
        assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "typo", "nearest"),
    [
        ("overflow", "saturated", "saturate"),
        ("tie", "evn", "even"),
        ("rounding", "toward_zero", "toward-zero"),
        ("scaling", "compressed_tensors", "compressed-tensors"),
    ],
)
def test_a_typo_gets_the_nearest(name: str, typo: str, nearest: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown policy {name}") as caught:
        Policy("mine", **{name: typo})
    assert nearest in caught.value.hint


def test_library_presets_are_named() -> None:
    assert {"modelopt", "torchao", "compressed-tensors"} <= set(policy_names())
    assert [PRESETS[i].scaling for i in ("modelopt", "torchao", "compressed-tensors", "ocp")] == [
        "modelopt",
        "torchao",
        "compressed-tensors",
        "plain",
    ]
