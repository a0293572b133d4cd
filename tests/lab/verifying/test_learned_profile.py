"""What measured files teach a profile, tensor by tensor."""

import json
from types import SimpleNamespace

import pytest

import planner
from planner.lab.verifying.learned import (
    learned_profile,
    loss_basis,
    schemes_of_types,
    schemes_of_uniform,
    shares_of,
)
from planner.lab.verifying.learning import learn, losses_text, read_losses
from planner.lab.verifying.predict import setup_loss
from planner.lab.verifying.records import Reading
from planner.models.gguf_types import scheme_of_type, with_types
from planner.quality.prior import total_band
from planner.quality.profile_file import parse_profile, profile_text
from planner.quality.sensitivity.level import saturated
from planner.quality.sensitivity.predict import sensitivities

SPEC = planner.load_model("smollm2-135m")
DEVICE = "xeon-platinum-8480"


@pytest.fixture(scope="module")
def basis():
    return loss_basis(SPEC, None)


def test_shares_of_a_uniform_file_sum_to_its_loss(basis):
    shares, unknown = shares_of(basis, schemes_of_uniform(SPEC, "ggml-q4_0"))
    told = planner.estimate(SPEC, DEVICE, scheme="ggml-q4_0", engine="any", batch=1).quality.loss
    total = saturated(sum(shares.values()), basis.prior.saturation)
    assert not unknown
    assert total == pytest.approx(told, rel=0.02)


def test_what_verify_predicts_is_what_a_plan_prints(basis):
    shares, _ = shares_of(basis, schemes_of_uniform(SPEC, "ggml-q4_0"))
    band = total_band(sensitivities(SPEC))
    setup = SimpleNamespace(
        basis=basis, loss_band=band, profile=None, task=SimpleNamespace(spec=SPEC)
    )
    told = planner.estimate(SPEC, DEVICE, scheme="ggml-q4_0", engine="any", batch=1).quality
    found = setup_loss(setup, sum(shares.values()))
    assert found.value == pytest.approx(told.loss, rel=1e-4)
    assert found.low == pytest.approx(told.low, rel=1e-4)
    assert found.high == pytest.approx(told.high, rel=1e-4)
    assert setup_loss(setup, 0.0).value == 0.0


def test_parts_of_a_matrix_weigh_by_their_sensitivity(basis):
    q, v = ({f"blk.{n}.attn_{part}.weight": "ggml-q4_0" for n in range(30)} for part in "qv")
    one, other, both = (sum(shares_of(basis, s)[0].values()) for s in (q, v, q | v))
    assert one + other == pytest.approx(both)
    assert 0 < one < both


def test_a_type_without_a_loss_is_named(basis):
    shares, unknown = shares_of(basis, {"blk.3.ffn_down.weight": "ggml-iq9_z"})
    assert unknown == ("blk.3.ffn_down.weight in ggml-iq9_z",)
    assert not shares


def test_a_tied_head_takes_the_embeddings_type(basis):
    shares, _ = shares_of(basis, {"token_embd.weight": "ggml-q8_0"})
    assert {kind for kind, _ in shares} == {"embedding", "head"}


def test_types_are_schemes_by_name():
    found = schemes_of_types({"a": "Q4_K", "b": "BF16", "c": "F16", "d": "IQ2_XXS"})
    assert found == {"a": "ggml-q4_k", "b": "bf16", "c": "fp16", "d": "ggml-iq2_xxs"}
    assert scheme_of_type("q8_0") == "ggml-q8_0"


def test_a_model_in_types_is_stored_so():
    types = {f"blk.{n}.ffn_down.weight": "Q6_K" if n < 3 else "Q4_0" for n in range(30)}
    stored = with_types(SPEC, types)
    down = {row.scheme: row.layers for row in stored.rows if row.kind == "mlp-down"}
    assert down == {"ggml-q6_k": (0, 1, 2), "ggml-q4_0": tuple(range(3, 30))}
    assert {row.scheme for row in stored.rows if row.kind == "attention-qkv"} == {None}


@pytest.fixture(scope="module")
def learned(basis):
    schemes = {
        "one": schemes_of_uniform(SPEC, "ggml-q8_0"),
        "two": schemes_of_uniform(SPEC, "ggml-q4_0"),
    }
    values = {
        "one": {"kl": Reading(0.006, 1e-4), "flips": Reading(0.04)},
        "two": {"kl": Reading(0.20, 0.002), "flips": Reading(0.2)},
    }
    return learn(basis, schemes, values), schemes, values


def test_a_profile_of_measured_files_predicts_them(basis, learned, tmp_path):
    found, _, _ = learned
    profile = learned_profile(
        SPEC,
        basis,
        found.posterior,
        version="1",
        source="a test",
        checks=[(c.name, c.shares, c.kl.value, c.flips) for c in found.checks],
    )
    again = parse_profile(json.loads(profile_text(profile)), "x")
    for scheme, kl in (("ggml-q8_0", 0.006), ("ggml-q4_0", 0.20)):
        plan = planner.estimate(SPEC, DEVICE, scheme=scheme, engine="any", batch=1, profile=again)
        assert 1 / 1.1 < plan.quality.loss / kl < 1.1
        assert plan.quality.low <= kl <= plan.quality.high
        assert plan.quality.tier == "T3 measured here"
    assert {u.kind for u in again.units if u.layer == -1} == {"embedding", "head"}
    slope = (0.04 / 0.006**0.5 * 0.2 / 0.2**0.5) ** 0.5
    assert again.flips_per_root_nat == pytest.approx(slope, rel=1e-6)


def test_the_band_of_the_profile_covers_what_no_file_had(basis, learned):
    found, _, _ = learned
    profile = learned_profile(
        SPEC,
        basis,
        found.posterior,
        version="1",
        source="a test",
        checks=[(c.name, c.shares, c.kl.value, c.flips) for c in found.checks],
    )
    bands = profile.settings["bands"]
    assert profile.band_factor == max(bands.values())
    assert bands["ggml-q8_0"] < bands["int8-w8a8"] <= profile.band_factor
    assert "others within" in profile.notes[0]


def test_earlier_losses_count_as_well(basis, learned, tmp_path):
    found, schemes, values = learned
    (tmp_path / "losses.json").write_text(losses_text(SPEC.id, schemes, values))
    earlier = read_losses(tmp_path, SPEC.id, basis)
    assert {c.name.split(" ")[0] for c in earlier} == {"one", "two"}
    again = learn(basis, {}, {}, earlier)
    assert again.posterior.mean == pytest.approx(found.posterior.mean)


def test_files_that_the_profile_has_are_not_counted_again(learned):
    _, schemes, values = learned
    made_of = {"one": "a checkpoint", "two": "a checkpoint"}
    first = learn(loss_basis(SPEC, None), schemes, values, made_of=made_of)
    profile = parse_profile(
        json.loads(
            profile_text(
                learned_profile(
                    SPEC,
                    loss_basis(SPEC, None),
                    first.posterior,
                    version="1",
                    source="a test",
                    checks=[(c.name, c.shares, c.kl.value, c.flips) for c in first.checks],
                    counted=[c.digest for c in first.checks],
                )
            )
        ),
        "x",
    )
    again = loss_basis(SPEC, profile)
    same = learn(again, schemes, values, made_of=made_of)
    assert same.posterior is None
    assert not same.rows(())
    assert "not counted again: one, two" in same.notes()[0]
    assert "no profile is written" in same.notes()[0]
    more = {**schemes, "new": schemes_of_uniform(SPEC, "ggml-q6_k")}
    told = learn(
        again,
        more,
        {**values, "new": {"kl": Reading(0.012, 1e-4)}},
        made_of={**made_of, "new": "a checkpoint"},
    )
    assert [c.name for c in told.checks] == ["new"]
    assert told.posterior.files == 1
    assert "no profile" not in told.notes()[0]
    other = learn(again, schemes, values, made_of={"one": "another", "two": "another"})
    assert [c.name for c in other.checks] == ["one", "two"]
    assert other.notes() == ()


def test_a_file_that_two_verifications_have_counts_once(basis, learned, tmp_path):
    found, schemes, values = learned
    made_of = {"one": "a checkpoint", "two": "a checkpoint"}
    (tmp_path / "losses.json").write_text(losses_text(SPEC.id, schemes, values, made_of=made_of))
    both = learn(basis, schemes, values, read_losses(tmp_path, SPEC.id, basis), made_of=made_of)
    assert [c.name for c in both.checks] == ["one", "two"]
    assert both.posterior.mean == pytest.approx(found.posterior.mean)
    assert len(both.known) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "losses of"),
        ('{"model": "smollm2-135m"}', "damaged"),
        ('{"model": "smollm2-135m", "files": [1]}', "damaged"),
    ],
)
def test_damaged_losses_are_refused(text, why, basis, tmp_path):
    (tmp_path / "losses.json").write_text(text)
    with pytest.raises(planner.DataError, match=why):
        read_losses(tmp_path, SPEC.id, basis)


@pytest.mark.parametrize(
    "changed",
    [
        '"kl": -1',
        '"kl": "nan"',
        '"kl": "0.1"',
        '"kl": true',
        '"kl": 1e300',
        '"kl": 1' + "0" * 400,
        '"error": "inf"',
        '"error": -1',
        '"flips": 1.5',
        '"flips": -0.1',
    ],
)
def test_losses_that_are_none_are_refused(changed, basis, tmp_path):
    """A text that reads as NaN went through every law, and the profile could not be written."""
    one = '"kl": 0.1, "error": 0, "flips": 0, "schemes": {}'
    key = changed.partition(":")[0]
    kept = ", ".join(part for part in one.split(", ") if not part.startswith(key))
    (tmp_path / "losses.json").write_text(
        f'{{"model": "smollm2-135m", "files": {{"a": {{{kept}, {changed}}}}}}}'
    )
    with pytest.raises(planner.DataError, match=r"a: .* is not a number from 0") as told:
        read_losses(tmp_path, SPEC.id, basis)
    assert told.value.hint


def test_no_losses_are_refused(basis, tmp_path):
    with pytest.raises(planner.DataError, match="no losses"):
        read_losses(tmp_path, SPEC.id, basis)
