"""A plan with a profile: each layer decides by itself, in the profile's own unit."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.checkpoints import write_llama

from planner.api.explain import explain
from planner.base.errors import DataError, InfeasibleError, InputError, PlannerError
from planner.lab.profiling.profile import profile
from planner.planning.plan.record import Plan
from planner.quality.profile import NATS, RELATIVE, Profile
from planner.quality.profile_file import profile_text, read_profile
from planner.report.render.results import text_of
from tests.support.theory import estimate, plan

H100 = "h100-sxm"
LAYERS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(
        tmp_path_factory.mktemp("model") / "tiny",
        num_hidden_layers=LAYERS,
        hidden_size=256,
        head_dim=64,
        intermediate_size=384,
    )


@pytest.fixture(scope="module")
def made(folder: Path) -> Profile:
    return profile(folder, workers=1)


def in_nats(made: Profile, **scale: float) -> Profile:
    """A T2 profile whose uniform fp8-block loses 0.001 nats, units ``kind_layer`` scaled."""
    one = made.uniform_loss("fp8-block")
    assert one is not None
    units = tuple(
        replace(
            u,
            loss={
                s: v * scale.get(u.unit.replace("-", "_").replace(".", "_"), 1.0) * 1e-3 / one
                for s, v in u.loss.items()
            },
        )
        for u in made.units
    )
    return replace(made, tier="T2", unit=NATS, band_factor=1.5, units=units, settings={})


def in_scores(made: Profile) -> Profile:
    """The profile as one of scores, whose uniform fp8-block loses 1."""
    one = made.uniform_loss("fp8-block")
    assert one is not None
    units = tuple(replace(u, loss={s: v / one for s, v in u.loss.items()}) for u in made.units)
    return replace(made, tier="T3", unit=RELATIVE, units=units)


def schemes_of(found: Plan, kind: str) -> dict[int, str]:
    return {layer: u.scheme for u in found.units if u.kind == kind for layer in u.layers}


def test_the_sensitive_layer_keeps_more_bits(folder: Path, made: Profile) -> None:
    sensitive = in_nats(made, mlp_down_3=500.0)
    limit = 0.3 * 1e-3 * 10
    found = plan(
        str(folder),
        H100,
        profile=sensitive,
        max_loss=limit,
        context=512,
        batch=8,
        objective="memory",
        kv="bf16",
    )
    chosen = schemes_of(found, "mlp-down")
    size = {u.layers[0]: u.weight_bytes for u in found.units if u.kind == "mlp-down"}
    assert size[3] == max(size.values())
    assert len(set(chosen.values())) > 1
    assert found.quality.unit.startswith("nats")
    assert found.quality.tier == "T2 probe-format"
    assert found.quality.loss <= limit * (1 + 1e-9)
    grown = sum(u.loss for u in found.units)
    assert found.quality.floor > 0
    assert found.quality.loss == pytest.approx(grown + found.quality.floor)
    assert found.quality.high > grown * 1.5 + found.quality.floor


def test_every_layer_is_a_unit_and_the_file_is_read_back(
    folder: Path, made: Profile, tmp_path: Path
) -> None:
    path = tmp_path / "p.json"
    path.write_text(profile_text(made), encoding="utf-8")
    assert read_profile(path) == made
    found = plan(str(folder), H100, profile=str(path), context=512, batch=8)
    for kind in ("attention-qkv", "mlp-down", "kv-k", "kv-v"):
        assert sorted(u.layers for u in found.units if u.kind == kind) == [
            (n,) for n in range(LAYERS)
        ]
    assert any(a.key == "loss basis" and "T0" in a.value for a in found.assumptions)
    assert any("not modelled" in a.value for a in found.assumptions)
    assert any("policy" in a.value for a in found.assumptions)
    again = estimate(str(folder), H100, plan=found, profile=str(path))
    assert again.quality.loss == pytest.approx(found.quality.loss)


def test_uniform_loss_is_the_profiles(folder: Path, made: Profile) -> None:
    found = estimate(str(folder), H100, scheme="int8-w8a8", profile=made, context=512)
    assert found.quality.floor > 0
    grown = found.quality.loss - found.quality.floor
    assert grown == pytest.approx(made.uniform_loss("int8-w8a8"))
    anchor = estimate(str(folder), H100, scheme="fp8-block", profile=made, context=512)
    assert anchor.quality.relative == pytest.approx(1.0, rel=1e-4)


def test_a_scheme_without_range_is_refused(folder: Path, made: Profile) -> None:
    units = tuple(
        replace(u, overflow={"fp16": 0.01}) if u.unit == "mlp-down.2" else u for u in made.units
    )
    with pytest.raises(PlannerError):
        estimate(str(folder), H100, scheme="fp16", profile=replace(made, units=units), context=512)
    assert estimate(str(folder), H100, scheme="fp16", profile=made, context=512)


@pytest.mark.exhaustive
def test_nats_are_a_limit_only_where_losses_are_nats(folder: Path, made: Profile) -> None:
    scores = in_scores(made)
    with pytest.raises(InputError, match="relative, not nats"):
        plan(str(folder), H100, profile=scores, max_loss="0.1 nats", context=512)
    found = plan(str(folder), H100, profile=scores, max_loss=0.1, context=512, batch=8)
    assert 0 <= found.quality.loss <= 0.1
    for limit in (0.01, "0.01", "0.01nats", "0.01 nats"):
        found = plan(str(folder), H100, max_loss=limit, context=512, batch=8)
        assert 0 < found.quality.loss <= 0.01
    with pytest.raises((InfeasibleError, InputError)):
        plan(str(folder), H100, profile=in_nats(made), max_loss=-1, context=512)
    tight = plan(str(folder), H100, profile=in_nats(made), max_loss=0, context=512, batch=8)
    assert tight.quality.loss == 0


def test_a_unit_without_a_loss_stays_as_released(folder: Path, made: Profile) -> None:
    some = replace(made, units=tuple(u for u in made.units if u.unit != "mlp-down.1"))
    found = plan(str(folder), H100, profile=some, context=512, batch=8, max_loss="nvfp4-w4a16")
    assert schemes_of(found, "mlp-down")[1] == "bf16"
    assert any(a.key == "not profiled" and "mlp-down.1" in a.value for a in found.assumptions)


def test_profiles_of_other_models_are_refused(folder: Path, made: Profile, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not llama-3\.1-8b"):
        plan("llama-3.1-8b", H100, profile=made)
    other = write_llama(
        tmp_path / "other",
        num_hidden_layers=LAYERS,
        hidden_size=256,
        head_dim=64,
        intermediate_size=384,
        vocab_size=130,
    )
    with pytest.raises(DataError, match=r"is not other|differs in its matrices"):
        plan(str(other), H100, profile=made, context=512)
    fp8 = replace(made, model=replace(made.model, quantization="fp8-block"))
    with pytest.raises(DataError, match="released in fp8-block"):
        plan(str(folder), H100, profile=fp8, context=512)
    files = replace(made, checkpoint=replace(made.checkpoint, sha256="0" * 64))
    with pytest.raises(DataError, match="other files"):
        plan(str(folder), H100, profile=files, context=512)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"tier": "T0"', '"tier": "T7"', "tier"),
        ('"seed": 1', '"seed": 1, "more": 2', "more"),
        ('"profile_version": "1"', '"profile_version": "2"', "profile_version"),
        ('"alpha": ', '"alpha": -', "alpha"),
        ("{", "", "JSON"),
    ],
)
def test_bad_profile_files(
    folder: Path, made: Profile, tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = tmp_path / "p.json"
    path.write_text(profile_text(made).replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=words):
        plan(str(folder), H100, profile=str(path), context=512)
    with pytest.raises(DataError, match="does not exist"):
        plan(str(folder), H100, profile=str(tmp_path / "none"), context=512)


@pytest.mark.exhaustive
def test_prices_of_limits_are_in_nats_under_a_profile(folder: Path, made: Profile) -> None:
    nats = in_nats(made)
    limit = 0.4 * sum(unit.loss["int4-w4a16"] for unit in nats.units if "int4-w4a16" in unit.loss)
    told = explain(
        str(folder),
        H100,
        profile=nats,
        max_loss=limit,
        context=512,
        batch=8,
        devices=1,
        tp=1,
        solves=0,
    )
    assert told.loss_unit.startswith("nats")
    price = next(p for p in told.limits if p.name == "max-loss")
    assert price.value == pytest.approx(limit)
    assert price.gain >= 0
    assert any(text.startswith("layers: ") for text in told.basis)
    assert "what each limit costs" in text_of(told)
