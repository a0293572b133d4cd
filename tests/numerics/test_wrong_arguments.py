"""Every argument of every public function of numerics under values of a wrong kind."""

import contextlib
import inspect

import numpy as np
import pytest

import planner.numerics as numerics
from planner.base.errors import InputError

X = np.ones((4, 32), np.float32)
CODES = numerics.encode(X, "bf16")
VALID = {
    "decode": {"codes": CODES, "format": "bf16"},
    "encode": {"x": X, "format": "bf16"},
    "error": {"x": X, "y": X},
    "ggml_encode": {"x": X, "id": "ggml-q8_0"},
    "ggml_decode": {"storage": numerics.ggml_encode(X, "ggml-q8_0"), "id": "ggml-q8_0"},
    "matmul": {
        "a_codes": CODES,
        "b_codes": CODES.T.copy(),
        "a_format": "bf16",
        "b_format": "bf16",
        "unit": "ampere",
    },
    "matmul_fp64": {"a": X, "b": X.T.copy(), "c": np.ones((4, 4))},
    "matmul_int32": {
        "a_codes": np.ones((4, 32), np.uint8),
        "b_codes": np.ones((32, 4), np.uint8),
        "unit": "int8-imma",
    },
    "hadamard": {"x": X, "size": 16},
    "pack4": {"codes": np.ones(4, np.uint8)},
    "unpack4": {"packed": np.ones(4, np.uint8)},
    "quantize": {"x": X, "scheme": "fp8-tensor"},
    "round_trip": {"x": X, "scheme": "fp8-tensor"},
    "unit": {"id": "ampere"},
    "vcvtneps2bf16": {"x": X},
    "view": {"codes": CODES, "format": "bf16"},
}
ALWAYS_WRONG = (
    {"a": 1},
    object(),
    lambda: 0,
    type,
    b"x",
    np.array(["a"]),
    np.array([None]),
    [[1], [2, 3]],
    1j * np.ones(3),
    np.datetime64("2020-01-01"),
)
ODD = (
    3,
    -1,
    0,
    2**70,
    1.5,
    float("nan"),
    -1.0,
    "",
    "x",
    None,
    True,
    [],
    [[]],
    ["x"],
    [1],
    (),
    np.zeros(3),
    np.zeros((2, 2)),
)
ARGUMENTS = [
    pytest.param(name, argument, id=f"{name}.{argument}")
    for name in VALID
    for argument in inspect.signature(getattr(numerics, name)).parameters
]


def test_every_public_function_is_here() -> None:
    functions = {n for n in numerics.__all__ if inspect.isfunction(getattr(numerics, n))}
    assert functions == {*VALID, "policy_names", "unit_ids"}


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_what_no_argument_takes_is_an_input_error(name: str, argument: str) -> None:
    for value in ALWAYS_WRONG:
        with pytest.raises(InputError):
            getattr(numerics, name)(**{**VALID[name], argument: value})
    for value in ODD:
        with contextlib.suppress(InputError):
            getattr(numerics, name)(**{**VALID[name], argument: value})
