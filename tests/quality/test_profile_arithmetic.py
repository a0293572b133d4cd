"""From matrices to units: shares, groups in a row, sensitivities, losses."""

import pytest

from planner.base.errors import DataError
from planner.models.catalog import resolve_model
from planner.quality.prior import load_prior
from planner.quality.profile_units import (
    CONSTANT_INPUTS,
    REAL_INPUTS,
    ProfiledMatrix,
    cache_units,
    expected_loss,
    input_constants,
    learned_alphas,
    module_units,
    probed_units,
    unit_errors,
)
from planner.quality.sensitivity.predict import sensitivities

PRIOR = load_prior()
FOUND = sensitivities(resolve_model("llama-3.1-8b"))
ZERO = {"fp8-block": 0.0, "nvfp4": 0.0}


def matrix(
    group: str = "down",
    kind: str = "mlp-down",
    layer: int = 0,
    expert: int = -1,
    power: float = 1.0,
    e: float = 0.01,
    **more: object,
) -> ProfiledMatrix:
    return ProfiledMatrix(
        group, kind, layer, expert, 100, power, {"fp8-block": e, "nvfp4": 10 * e}, **more
    )  # type: ignore[arg-type]


def test_parallel_matrices_are_weighted_by_power() -> None:
    found = unit_errors(
        [
            matrix("qkv", "attention-qkv", power=3, e=0.01),
            matrix("qkv", "attention-qkv", power=1, e=0.05),
        ],
        {"attention-qkv": ZERO},
        {},
    )
    assert found["attention-qkv", 0].error["fp8-block"] == pytest.approx(0.02)


def test_matrices_in_a_row_add() -> None:
    found = unit_errors(
        [matrix("q-a", "mla-q", e=0.01), matrix("q-b", "mla-q", e=0.02)], {"mla-q": ZERO}, {}
    )
    assert found["mla-q", 0].error["nvfp4"] == pytest.approx(0.3)


def test_constants_of_inputs_are_added_only_without_real_inputs() -> None:
    constants = {"mlp-down": {"fp8-block": 0.001, "nvfp4": 0.002}}
    assumed = unit_errors([matrix()], constants, {})["mlp-down", 0]
    assert assumed.error == {"fp8-block": pytest.approx(0.011), "nvfp4": pytest.approx(0.102)}
    assert assumed.basis == CONSTANT_INPUTS
    real = unit_errors([matrix(output_error={"fp8-block": 0.5, "nvfp4": 0.6})], constants, {})[
        "mlp-down", 0
    ]
    assert real.error == {"fp8-block": 0.5, "nvfp4": 0.6}
    assert real.basis == REAL_INPUTS


def test_experts_count_with_their_share_of_the_tokens() -> None:
    experts = [
        matrix("experts-down", "experts-down", expert=0, e=0.01),
        matrix("experts-down", "experts-down", expert=1, e=0.03),
    ]
    constants = {"experts-down": ZERO}
    even = unit_errors(experts, constants, {})["experts-down", 0].error["fp8-block"]
    busy = unit_errors(experts, constants, {(0, 0): 0.5, (0, 1): 1.5})["experts-down", 0]
    assert even == pytest.approx(0.02)
    assert busy.error["fp8-block"] == pytest.approx(0.025)


def test_a_scheme_that_one_matrix_lacks_is_not_in_the_unit() -> None:
    short = ProfiledMatrix("qkv", "attention-qkv", 0, -1, 1, 1.0, {"fp8-block": 0.1})
    found = unit_errors([matrix("qkv", "attention-qkv"), short], {"attention-qkv": ZERO}, {})
    assert set(found["attention-qkv", 0].error) == {"fp8-block"}


def test_t0_takes_the_sensitivity_of_each_layer() -> None:
    errors = unit_errors(
        [matrix(layer=n, e=0.01 * (n + 1)) for n in range(8)], {"mlp-down": ZERO}, {}
    )
    alphas = learned_alphas(FOUND, errors)
    assert alphas == {("mlp-down", n): FOUND.by_unit["mlp-down", n] for n in range(8)}
    for unit in module_units(errors, alphas, "learned"):
        assert unit.loss["fp8-block"] == pytest.approx(
            alphas["mlp-down", unit.layer] * 0.01 * (unit.layer + 1), rel=1e-4
        )
    assert learned_alphas(FOUND, [("no-kind", 0)]) == {}


def test_without_any_error_there_is_no_unit_of_loss() -> None:
    errors = unit_errors([matrix(e=0.0)], {"mlp-down": ZERO}, {})
    with pytest.raises(DataError, match="no unit of loss"):
        expected_loss(FOUND, PRIOR, "bf16", [])
    assert errors["mlp-down", 0].error["fp8-block"] == 0


def test_t0_expects_the_sum_of_alpha_times_error() -> None:
    keys = [("mlp-down", n) for n in range(8)]
    alpha = sum(FOUND.by_unit[key] for key in keys)
    for scheme in ("fp8-block", "nvfp4"):
        assert expected_loss(FOUND, PRIOR, "bf16", keys, scheme) == pytest.approx(
            alpha * PRIOR.error["bf16"]["mlp-down"][scheme]
        )


def test_t2_scales_the_probe_loss_by_errors_matrix_by_matrix() -> None:
    gate = matrix("gate-up", "mlp-gate-up", output_error={"fp8-block": 0.01, "nvfp4": 0.1})
    up = matrix("gate-up", "mlp-gate-up", output_error={"fp8-block": 0.04, "nvfp4": 0.1})
    named = [("gate", gate), ("up", up)]
    errors = unit_errors([gate, up], {}, {})
    [unit] = probed_units(
        errors, named, {"gate": {"nvfp4": 0.2}, "up": {"nvfp4": 0.1}}, "nvfp4", "T2"
    )
    assert unit.loss["nvfp4"] == pytest.approx(0.3)
    assert unit.loss["fp8-block"] == pytest.approx(0.2 * 0.1 + 0.1 * 0.4)
    assert unit.alpha == pytest.approx(0.3 / errors["mlp-gate-up", 0].error["nvfp4"], rel=1e-4)


def test_t1_and_t3_sum_losses_and_leave_out_what_has_none() -> None:
    a, b = (matrix(layer=n, output_error={"fp8-block": 0.01, "nvfp4": 0.1}) for n in (0, 1))
    errors = unit_errors([a, b], {}, {})
    units = probed_units(
        errors, [("a", a), ("b", b)], {"a": {"fp8-block": 0.5, "nvfp4": 0.7}}, "", "T3"
    )
    assert [u.layer for u in units] == [0]
    assert units[0].loss == {"fp8-block": 0.5, "nvfp4": 0.7}


def test_a_unit_is_left_out_where_one_of_its_tensors_has_no_loss() -> None:
    error = {"fp8-block": 0.01, "nvfp4": 0.1}
    gate, up = (matrix("gate-up", "mlp-gate-up", output_error=error) for _ in range(2))
    errors = unit_errors([gate, up], {}, {})
    one = {"fp8-block": 0.5}
    assert probed_units(errors, [("gate", gate), ("up", up)], {"gate": one}, "", "T3") == []
    assert probed_units({}, [("gate", gate), ("up", up)], {"gate": one, "up": one}, "", "T3") == []
    [whole] = probed_units(errors, [("gate", gate), ("up", up)], {"gate": one, "up": one}, "", "T3")
    assert whole.loss == {"fp8-block": 1.0}


def test_cache_losses_follow_measured_errors_or_constants() -> None:
    layouts = ("bf16", "fp8", "int4-token")
    assumed = cache_units(
        PRIOR, FOUND, {"kv-k": (0, 1)}, scale=1.0, layouts=layouts, measured={}, parts={}
    )
    fp8 = PRIOR.cache_error["kv-k"]["fp8"]
    given = cache_units(
        PRIOR,
        FOUND,
        {"kv-k": (0, 1)},
        scale=1.0,
        layouts=layouts,
        measured={("kv-k", 1): {"fp8": 2 * fp8, "bf16": 0.0}},
        parts={},
    )
    assert given[0] == assumed[0]
    assert given[1].loss["fp8"] == pytest.approx(2 * assumed[1].loss["fp8"], rel=1e-4)
    assert "measured" in given[1].error_basis
    assert "constant" in assumed[1].error_basis
    twice = cache_units(
        PRIOR, FOUND, {"kv-k": (0,)}, scale=2.0, layouts=layouts, measured={}, parts={}
    )
    assert twice[0].loss["fp8"] == pytest.approx(2 * assumed[0].loss["fp8"], rel=1e-4)


def test_constants_exist_for_every_kind_and_fall_to_bf16() -> None:
    table = input_constants(PRIOR, "unheard-of", ["mlp-down", "no-kind"])
    assert table == {"mlp-down": PRIOR.activation_error["bf16"]["mlp-down"]}
