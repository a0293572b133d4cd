"""Laws of probes and synthetic tensors that hold whatever the figures: shapes, shares, shared
scales, an encoder's activation, what counts as punctuation."""

from __future__ import annotations

from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.probe_models import tiny_decoder, tiny_encoder, tokens

from planner.base.errors import InputError
from planner.formats.kv import kv_layout
from planner.formats.schemes import scheme
from planner.lab.probe import tokens as probe_tokens
from planner.lab.probe.caches import stored
from planner.lab.probe.emulate import Quantizer, rounded_inputs
from planner.lab.probe.model import as_is
from planner.lab.scores.gguf import read_table
from planner.lab.tables import errors
from planner.models.catalog import resolve_model
from planner.quality.cache_error import head_errors
from planner.quality.sensitivity.estimate import _unmatched
from planner.quality.sensitivity.kld_data import kld_models, subject_of
from planner.quality.sensitivity.prior_fit import prior_without
from planner.quality.synthetic import CacheShape, keys


def test_ascii_marks_and_punctuation_of_other_scripts_are_apart() -> None:
    marks, others = "!$+<^`|~«»—。？", "aZ0 é中\t€"
    assert all(map(probe_tokens._punctuation, marks))
    assert not any(map(probe_tokens._punctuation, others))


def test_ids_are_drawn_from_distributions_of_any_spread() -> None:
    """The second of three ids is e^1000 times as likely as the others, whatever is added to all."""
    for offset in (-5000.0, 0.0, 5000.0):
        logits = np.array([0.0, 1000.0, -1000.0]) + offset
        model: Any = SimpleNamespace(
            loss_name="KL",
            layers=0,
            embed=lambda ids: np.zeros((*ids.shape, 1)),
            output=lambda h, logits=logits: np.tile(logits, (len(h), 1)),
        )
        ids = probe_tokens.generated_tokens(model, 3, chunks=4, length=6, seed=1)
        assert ids.shape == (4, 6)
        assert (ids[:, 1:] == 1).all()


def test_steady_channels_of_keys_have_their_magnitude_in_every_head() -> None:
    shape = CacheShape(tokens=2048)
    for head in np.abs(keys(3, shape)).mean(axis=1):
        steady = np.sort(head)[-shape.key_outliers :]
        assert steady == pytest.approx(shape.key_magnitude, rel=0.05)
        assert np.sort(head)[: -shape.key_outliers].max() < shape.key_magnitude / 2


def test_inputs_of_several_texts_are_rounded_as_rows_of_one() -> None:
    x = np.random.default_rng(1).standard_normal((3, 5, 64)).astype(np.float32)
    for recipe in (
        Quantizer("int8-w8a8"),
        Quantizer("nvfp4"),
        Quantizer("fp8-block"),
        Quantizer("int8-w8a8", static_amax=3.0),
    ):
        found = rounded_inputs(x, recipe)
        assert np.array_equal(found.reshape(15, 64), rounded_inputs(x.reshape(15, 64), recipe))
        assert not np.array_equal(found, x)


@pytest.mark.parametrize(
    ("name", "shared"),
    [("fp8", True), ("int8-token", False), ("int4-channel", False), ("bf16", False)],
)
def test_sequences_of_a_batch_share_what_has_one_scale_alone(name: str, shared: bool) -> None:
    x = np.random.default_rng(2).standard_normal((2, 2, 64, 64)).astype(np.float32)
    more = x.copy()
    more[0] *= 1.7
    before, after = (stored(one, kv_layout(name)) for one in (x, more))
    assert np.array_equal(before[1], after[1]) is not shared
    assert before.shape == x.shape


def test_the_encoder_activates_by_gauss() -> None:
    """Inputs of the last product are those of the one before, times their normal probability."""
    model = tiny_encoder()
    seen: dict[str, Any] = {}

    def run(unit: str, x: Any) -> Any:
        seen[unit] = x, x @ model.weight(unit).T
        return seen[unit][1]

    model.layer(0, model.embed(tokens(1, 4)), run, as_is)
    at = "encoder.layer.0."
    wide = seen[f"{at}intermediate.dense.weight"][1] + model.weights[f"{at}intermediate.dense.bias"]
    likely = np.vectorize(NormalDist().cdf)(wide.astype(float))
    assert seen[f"{at}output.dense.weight"][0] == pytest.approx(wide * likely, abs=1e-6)
    assert np.abs(wide).max() > 0.5


def test_embeddings_of_an_encoder_add_up_before_they_are_normed() -> None:
    model = tiny_encoder()
    ids = tokens(2, 5)
    names = ("word", "position", "token_type")
    word, place, kind = (model.weights[f"embeddings.{name}_embeddings.weight"] for name in names)
    x = (word[ids] + place[:5] + kind[0]).astype(float)
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    scale, bias = (model.weights[f"embeddings.LayerNorm.{name}"] for name in ("weight", "bias"))
    assert model.embed(ids) == pytest.approx(x * scale + bias, abs=1e-4)


def test_a_decoder_has_no_such_embeddings() -> None:
    model = tiny_decoder()
    ids = tokens(2, 5)
    assert np.array_equal(model.embed(ids), model.weights["embed"][ids])


def test_heads_of_a_cache_serve_whole_groups_of_queries() -> None:
    random = np.random.default_rng(3)

    def errors(heads: int, kv_heads: int, length: int) -> Any:
        q, k, v = (
            random.standard_normal((count, length, 16)).astype(np.float32)
            for count in (heads, kv_heads, kv_heads)
        )
        return head_errors(q, k, v, scale=0.25, layouts=("fp8",))

    for length in (3, 4):
        assert errors(4, 2, length).error["kv-k"]["fp8"] > 0
        with pytest.raises(InputError, match="do not fit"):
            errors(3, 2, length)


def test_a_family_that_is_left_out_gives_nothing_of_its_own() -> None:
    prior = prior_without(frozenset())
    model = next(m for m in kld_models() if m.family in prior.fit.families and m.architectures)
    structure = model.structure
    subject: Any = SimpleNamespace(architecture=model.architectures[0], structure=structure)
    own = _unmatched(prior, subject, frozenset())
    assert np.array_equal(own, prior.of_family(structure, model.family))
    every = frozenset(m.name for m in kld_models())
    assert np.array_equal(_unmatched(prior, subject, every), prior.of_family(structure, "none"))
    assert not np.array_equal(own, prior.of_family(structure, "none"))


def test_range_failures_are_shares_of_weights_and_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 8 weights and two of 32 inputs overflow, four and three are flushed."""
    layer: Any = SimpleNamespace(
        kind="attention-qkv",
        x=np.ones((4, 8)),
        _reference=lambda _: np.ones((2, 4)),
        _quantised_weights=lambda *_: np.ones((2, 4)),
        _inputs=lambda _: SimpleNamespace(failures=(2, 3)),
        _linear_errors=lambda *_: {},
    )
    monkeypatch.setattr(errors, "_range_failures", lambda *_: (1, 4))
    found = errors._Layer.row(layer, "bf16", scheme("fp8-tensor"))
    assert found == {"overflow": 3 / 40, "flushed": 7 / 40}


def test_a_type_is_left_out_where_all_its_values_are_nought() -> None:
    names = "QTYPE,blk.0.attn_q.weight,blk.0.attn_k.weight\n"
    found = read_table(f"{names}q4_K,0.01,0\nq5_K,0,0\n".encode(), "t.csv")
    assert {(one.modules, one.value) for one in found.entries} == {
        (("blk.0.attn_q.weight",), 0.01),
        (("blk.0.attn_k.weight",), 0.0),
    }
    assert any("q5_k" in note for note in found.notes)


@pytest.mark.parametrize(
    ("model", "billion", "active"),
    [
        ("deepseek-v3", 671.026, 37.552),
        ("qwen3-0.6b", 0.596, 0.596),
        ("llama-3.1-8b", 8.030, 8.030),
    ],
)
def test_a_subject_has_the_published_parameters(model: str, billion: float, active: float) -> None:
    """Without prediction layers; a table that is embedding and head counts once; 8 of 256."""
    found = subject_of(resolve_model(model))
    assert found.parameters_billion == pytest.approx(billion, abs=6e-4)
    assert found.active_billion == pytest.approx(active, abs=6e-4)
