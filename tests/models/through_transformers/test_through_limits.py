"""Sizes that no model has are refused before anything is built."""

import pytest

from planner.base.errors import DataError
from planner.models.through_transformers.built import check


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"num_hidden_layers": 10**7}, "num_hidden_layers"),
        ({"text_config": {"num_experts": 10**6}}, "text_config.num_experts"),
        ({"vision_config": {"depth": 5000}}, "vision_config.depth"),
        ({"hidden_size": 2**60}, "hidden_size"),
        ({"layer_types": ["full_attention"] * 10**5}, "layer_types"),
        ({"blocks": [{"n_layers": 2000}]}, "blocks.n_layers"),
        ({"depths": [3, 9999]}, "depths"),
    ],
)
def test_huge_sizes_are_named(values, named):
    with pytest.raises(DataError, match="the most is") as caught:
        check(values, "c.json")
    assert named in caught.value.message


def test_many_layers_of_many_experts():
    with pytest.raises(DataError, match="modules"):
        check({"num_hidden_layers": 1000, "num_experts": 60000}, "c.json")


def test_real_sizes_pass():
    check(
        {
            "num_hidden_layers": 61,
            "n_routed_experts": 384,
            "max_position_embeddings": 262144,
            "vocab_size": 163840,
            "id2label": {str(n): n for n in range(9000)},
            "rope_theta": 10000000,
            "bos": True,
            "x": None,
            "depths": [2, 2, 18, 2],
        },
        "c.json",
    )
