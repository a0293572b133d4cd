"""Every bundled model on every device prices or refuses with a reason; a made-up device too."""

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from planner.base.errors import PlannerError
from planner.hardware.catalog import device_ids
from planner.hardware.variants import family_names, variant_documents
from planner.lookup import load_device, load_model
from planner.models.catalog import model_ids
from planner.planning.plan.record import Plan
from tests.support.theory import estimate, plan

OF_FAMILIES = {
    max(family, key=lambda id: family[id]["memory"]["label"]["value"])
    for family in map(variant_documents, family_names())
}
DEVICES = (*device_ids(), *sorted(OF_FAMILIES))
"""Devices with a file of their own, and the largest of each family."""
PACKAGED = Path(__file__).resolve().parents[2] / "hardware_profiles" / "h100-sxm.toml"


def checked(found: Plan) -> None:
    memory = found.memory_per_device
    assert memory.total_bytes <= memory.usable_bytes
    assert 0 < found.performance.tpot_seconds.low < found.performance.tpot_seconds.value
    assert found.performance.ttft_seconds.value > 0
    assert found.quality.loss >= 0
    assert found.capacity.max_concurrency_at_context >= found.workload.batch
    assert found.capacity.max_context_at_batch >= found.workload.context_tokens


FIRST = (
    "deepseek-v2-lite",
    "deepseek-v2",
    "deepseek-v3",
    "deepseek-r1",
    "deepseek-v3.2",
    "llama-3.1-8b",
    "llama-3.1-70b",
    "llama-3.1-405b",
    "qwen3-8b",
    "qwen3-32b",
    "qwen3-30b-a3b",
    "qwen3-235b-a22b",
    "mixtral-8x7b",
)
"""Models that have been planned from the start: one kind of attention, BF16 or FP8 blocks."""
NOTHING_FITS = {
    "jetson-orin-nano-8gb",
    "jetson-orin-nx-16gb",
    "rubin-r200",
    *(id for id in OF_FAMILIES if load_device(id).label_bytes.value < 20e9),
}
"""8 and 16 GB hold none of them as released; Rubin publishes no BF16 rate."""


def refusal(name: str, device: str) -> PlannerError | None:
    """The refusal of pricing a model on a device, or None where it was priced."""
    try:
        checked(estimate(name, device, context=min(8192, load_model(name).max_context)))
    except PlannerError as error:
        return error
    return None


def refused_with_a_reason(names: Sequence[str], device: str) -> None:
    for name in names:
        error = refusal(name, device)
        assert error is None or (len(error.message) > 20 and error.hint), name


@pytest.mark.sample(5)
@pytest.mark.parametrize("device", DEVICES)
def test_a_model_prices_where_it_fits_and_others_are_refused_with_a_reason(device: str) -> None:
    assert (refusal("qwen3-8b", device) is not None) == (device in NOTHING_FITS)
    refused_with_a_reason(model_ids()[DEVICES.index(device) :: len(DEVICES)], device)


@pytest.mark.exhaustive
@pytest.mark.parametrize("device", DEVICES)
def test_every_model_prices_or_is_refused_with_a_reason(device: str) -> None:
    refused_with_a_reason(model_ids(), device)
    refused = [refusal(name, device) for name in FIRST]
    assert (None not in refused) == (device in NOTHING_FITS)


def test_all_devices_and_the_models_of_the_start_are_here() -> None:
    assert len(DEVICES) >= 54
    assert set(FIRST) <= set(model_ids())


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", FIRST)
def test_every_model_has_a_plan_on_h100_and_says_why_not_on_a100(name: str) -> None:
    checked(estimate(name, "h100-sxm"))
    stored = load_model(name).quantization
    if stored.startswith("fp8"):
        with pytest.raises(PlannerError, match=stored):
            estimate(name, "a100-sxm")
    else:
        checked(estimate(name, "a100-sxm"))


def made_up(folder: Path, **numbers: str) -> Path:
    text = PACKAGED.read_text(encoding="utf-8")
    text = text.replace('id = "h100-sxm"', 'id = "made-up"')
    text = re.sub(r"^aliases = .*$", 'aliases = ["made-up-alias"]', text, flags=re.MULTILINE)
    for before, after in numbers.items():
        assert before in text or before.replace("_", "") in text
        text = text.replace(before, after)
    (folder / "aliases.toml").write_text('[aliases]\nmade-up-alias = "made-up"\n')
    path = folder / "made-up.toml"
    path.write_text(text, encoding="utf-8")
    return path


def values(plan: Plan) -> dict[str, float]:
    """The figures of a plan; what was measured is of the device that it says."""
    figures = {f.name: getattr(plan.performance, f.name) for f in fields(plan.performance)}
    return {name: figure.value for name, figure in figures.items() if hasattr(figure, "value")}


def test_a_made_up_device_by_folder_by_alias_and_by_path(tmp_path: Path) -> None:
    path = made_up(tmp_path)
    plain = estimate("llama-3.1-8b", "h100-sxm", devices=1, batch=8)
    for name, folder in (("made-up", tmp_path), ("made-up-alias", tmp_path), (str(path), None)):
        found = estimate("llama-3.1-8b", name, devices=1, batch=8, hardware_dir=folder)
        assert found.device.id == "made-up"
        assert values(found) == values(plain)
        assert found.memory_per_device == plain.memory_per_device
        assert found.device.profile_sha256 != plain.device.profile_sha256


def test_its_numbers_count(tmp_path: Path) -> None:
    """Without fitted operators a device is its roofline: twice the bandwidth, half the time."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    slow, quick = (
        made_up(tmp_path / n, **changed)
        for n, changed in (("a", {}), ("b", {"value = 3.35e12": "value = 6.70e12"}))
    )
    for path in (slow, quick):
        path.write_text(path.read_text(encoding="utf-8").split("[[fitted]]")[0], encoding="utf-8")
    # Long answers: prompts, which arithmetic bounds, take next to nothing of a token's time.
    plain, fast = (
        estimate("llama-3.1-8b", str(path), devices=1, batch=8, isl=16, osl=8000)
        for path in (slow, quick)
    )
    ratio = plain.performance.tpot_seconds.value / fast.performance.tpot_seconds.value
    assert 1.7 < ratio < 2.0
    assert fast.performance.ttft_seconds.value <= plain.performance.ttft_seconds.value


def test_its_numbers_count_in_fitted_operators_too(tmp_path: Path) -> None:
    path = made_up(tmp_path, **{"value = 3.35e12": "value = 6.70e12"})
    plain = estimate("llama-3.1-8b", "h100-sxm", devices=1, batch=8)
    fast = estimate("llama-3.1-8b", str(path), devices=1, batch=8)
    units = {u.unit: u.decode_seconds for u in plain.units}
    gate = [units[u.unit] / u.decode_seconds for u in fast.units if u.kind == "mlp-gate-up"]
    assert gate
    assert all(1.6 < ratio < 2.0 for ratio in gate)  # 235 MB of weights, a measured launch
    assert fast.performance.tpot_seconds.value < plain.performance.tpot_seconds.value
    assert fast.performance.ttft_seconds.value <= plain.performance.ttft_seconds.value


@pytest.mark.exhaustive
def test_more_bandwidth_is_never_slower_for_any_plan(tmp_path: Path) -> None:
    path = made_up(tmp_path, **{"value = 3.35e12": "value = 5e12"})
    for name, batch in (("llama-3.2-1b", None), ("deepseek-v2-lite", 32), ("qwen3-30b-a3b", 32)):
        slow, fast = (plan(name, d, devices=1, batch=batch) for d in ("h100-sxm", str(path)))
        assert (
            fast.performance.output_tokens_per_second.value
            >= slow.performance.output_tokens_per_second.value
        )
