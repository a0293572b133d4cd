"""Own families still make the tensors that transformers made of the same drawn sizes."""

import json
from pathlib import Path

import pytest

from evaluation.meta.compare import digest, own_shapes, own_spec
from evaluation.meta.own import releases
from evaluation.meta.perturb import drawn

RECORD = json.loads((Path(__file__).parents[1] / "models" / "meta_digests.json").read_text())
DIGESTS = RECORD["digests"]
SAMPLE = 3
"""Draws of a type; all of them where transformers is installed (test_meta_oracle)."""


@pytest.fixture(scope="module")
def references():
    found = {}
    for config in releases().values():
        found.setdefault(config["model_type"], config)
    return found


@pytest.mark.parametrize("kind", sorted(DIGESTS))
def test_drawn_sizes_make_the_recorded_tensors(kind, references):
    reference = RECORD["references"].get(kind) or references[kind]
    for number in sorted(DIGESTS[kind], key=int)[:SAMPLE]:
        spec = own_spec(drawn(reference, int(number)), kind)
        assert digest(own_shapes(spec)) == DIGESTS[kind][number], number


def test_the_record_covers_most_types():
    from planner.models.families import FAMILY_OF

    assert len(set(DIGESTS) & set(FAMILY_OF)) >= RECORD["least_types"]


def test_a_digest_sees_a_name_and_a_shape():
    one = {"a": (2, 3), "b": (4,)}
    assert digest(one) == digest(dict(reversed(one.items())))
    assert digest(one) != digest({"a": (3, 2), "b": (4,)})
    assert digest(one) != digest({"c": (2, 3), "b": (4,)})


def test_a_draw_is_the_same_every_time_and_leaves_its_reference_alone():
    reference = {
        "model_type": "llama",
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
        "intermediate_size": 11008,
        "tie_word_embeddings": False,
    }
    before = json.dumps(reference)
    first = [drawn(reference, number) for number in range(10)]
    assert first == [drawn(reference, number) for number in range(10)]
    assert json.dumps(reference) == before
    assert len({config["hidden_size"] for config in first}) > 3
    assert {config["tie_word_embeddings"] for config in first} == {True, False}
