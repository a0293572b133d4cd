"""What errs together: one measurement's kernels; what a format adds, and what nobody measured,
does not."""

import math

import pytest
from support.choices import choice_of, llama

from planner.planning.choose.error_classes import Errors, unit_errors
from planner.planning.price.intervals import certainty


def errors_of(device: str, scheme: str) -> tuple[Errors, str, float]:
    """(errors of the down projection, basis, σ)."""
    choice = (
        llama()
        if device == "h100-sxm"
        else choice_of("llama-3.1-8b", device, devices=1, engine="vllm")
    )
    model = choice.exact.grid.model
    unit = next(u for u in model.units if u.kind == "mlp-down")
    place = model.choices.index(scheme)
    _, how = certainty(model, unit, place)
    return unit_errors(model, unit, place, decode=True, code=0), how.basis, how.sigma


@pytest.mark.parametrize(
    ("device", "scheme"),
    [
        ("h100-sxm", "fp8-tensor"),
        ("h100-sxm", "fp8-channel"),
        ("h100-sxm", "bf16"),
        ("l40s", "fp8-tensor"),
        ("l40s", "fp8-channel"),
        ("l40s", "int8-w8a8"),
        ("jetson-agx-orin-64gb", "int8-w8a8"),
    ],
)
def test_the_errors_of_a_time_make_its_own(device: str, scheme: str) -> None:
    errors, _, sigma = errors_of(device, scheme)
    assert math.hypot(*(s for _, s in errors)) == pytest.approx(sigma)
    assert len({error.key for error, _ in errors}) == len(errors)


def test_a_format_that_takes_anothers_set_shares_the_error_of_the_set() -> None:
    own, basis, _ = errors_of("h100-sxm", "fp8-tensor")
    lent, other, sigma = errors_of("h100-sxm", "fp8-channel")
    assert (basis, other) == ("fitted", "transferred")
    assert own[0] in lent
    added = dict(lent)
    del added[own[0][0]]
    assert [error.scheme for error in added] == ["fp8-channel"]
    assert 0 < sum(added.values()) < sigma


def test_two_formats_that_nobody_measured_err_apart() -> None:
    found = [errors_of("jetson-agx-orin-64gb", scheme) for scheme in ("bf16", "int8-w8a8")]
    assert {basis for _, basis, _ in found} == {"prior"}
    keys = [{error.key for error, _ in errors} for errors, _, _ in found]
    assert not keys[0] & keys[1]


def test_prompts_and_steps_read_by_kernels_of_their_own() -> None:
    model = llama().exact.grid.model
    unit = next(u for u in model.units if u.role == "cache")
    place = len(model.question.schemes)
    step, prompt = (
        unit_errors(model, unit, place, decode=decode, code=0) for decode in (True, False)
    )
    assert {e.operator for e, _ in step} == {"attention decode"}
    assert {e.operator for e, _ in prompt} == {"attention prefill"}
