"""Who dominates whom, and in which words."""

from planner.lab.verifying.records import Forecast, Reading, Trial
from planner.lab.verifying.verdict import compared_rows, verdict

PLAN, DEFAULT = Trial("plan", "plan"), Trial("Q4_K_M", "default")


def values(size, seconds, kl, error=1e-4):
    return {
        "file_bytes": Reading(size),
        "decode_seconds": Reading(seconds),
        "kl": Reading(kl, error),
    }


def said(plan, default):
    return verdict((PLAN, DEFAULT), {"plan": plan, "Q4_K_M": default})


def test_an_exact_prediction_is_met_within_the_error_of_the_measurement():
    def inside(measured, low, high):
        rows = compared_rows(
            (PLAN,),
            {"plan": {"kl": measured}},
            {"plan": {"kl": Forecast(low, low, high, "counted")}},
        )
        return rows[0].inside

    assert inside(Reading(1e-6, 1e-6), 0.0, 0.0)
    assert not inside(Reading(1e-5, 1e-6), 0.0, 0.0)
    assert not inside(Reading(1e-6), 0.0, 0.0)
    assert not inside(Reading(2.1, 1.0), 1.0, 2.0)


def test_a_default_that_is_better_in_all_dominates():
    text = said(values(120e6, 0.02, 0.25), values(105e6, 0.0199, 0.0637))
    assert text.startswith("the plan is dominated by Q4_K_M")
    assert "12.5% fewer bytes" in text
    assert "as much decode time" in text
    assert "0.25 × the loss" in text


def test_a_plan_that_is_better_in_one_is_not_dominated():
    text = said(values(100e6, 0.02, 0.08), values(105e6, 0.02, 0.0637))
    assert text.startswith("the plan is not dominated by Q4_K_M; against Q4_K_M it has 4.8% fewer")
    assert "25.6% more loss" in text


def test_what_the_spread_can_make_is_no_difference():
    same = values(105e6, 0.02, 0.0637, error=0.01)
    assert "not dominated" in said(values(105e6, 0.0203, 0.070, error=0.01), same)


def test_an_equal_loss_with_more_bytes_is_dominated():
    assert "is dominated" in said(
        values(110e6, 0.02, 0.064, error=0.01), values(105e6, 0.02, 0.0637, error=0.01)
    )


def test_no_verdict_without_the_plans_own_figures():
    assert said({}, values(1, 1, 1)).startswith("no verdict")
    assert verdict((PLAN,), {"plan": values(1, 1, 1)}) == "nothing was run beside the plan"


def test_rows_have_what_was_measured_or_predicted():
    rows = compared_rows(
        (PLAN,),
        {"plan": {"kl": Reading(0.1, 0.01)}},
        {
            "plan": {
                "kl": Forecast(0.2, 0.15, 0.3, "T0"),
                "file_bytes": Forecast(10, 9, 11, "counted"),
            }
        },
    )
    by = {r.quantity: r for r in rows}
    assert by["kl"].inside is False
    assert by["file_bytes"].measured is None
    assert by["file_bytes"].inside is None
    assert by["kl"].to_dict()["unit"] == "nats"


def test_times_that_scatter_are_not_told_apart():
    slow, fast = values(100e6, 0.064, 0.01), values(100e6, 0.060, 0.01)
    assert "is dominated" in said(slow, fast)
    scattered = {**slow, "decode_seconds": type(slow["kl"])(0.064, 0.007, 5)}
    assert "not dominated" in said(scattered, fast)
