"""A reason explains a difference only where it predicts it exactly, shape by shape."""

import dataclasses
import json

import pytest

from evaluation.meta.compare import Compared, cache_difference, own_shapes, own_spec
from evaluation.meta.explained import REASONS, explained, explained_window, text_of
from evaluation.meta.journal import Journal
from evaluation.meta.own import releases, understood
from planner.models.families import FAMILY_OF
from planner.models.kv import LayerCache

TIED = {
    "model_type": "kimi_linear",
    "vocab_size": 10,
    "hidden_size": 4,
    "tie_word_embeddings": True,
}
OWN = {"embed": (10, 4), "norm": (4,)}


def test_a_head_more_is_predicted():
    found = explained("kimi_linear", TIED, OWN, {**OWN, "lm_head.weight": (10, 4)})
    assert found is not None
    assert (found.there, found.here) == ((1, 40), (0, 0))


@pytest.mark.parametrize(
    "meta",
    [
        OWN,
        {**OWN, "lm_head.weight": (11, 4)},
        {**OWN, "lm_head.weight": (10, 4), "more": (1,)},
        {"norm": (4,), "lm_head.weight": (10, 4)},
    ],
)
def test_what_is_off_by_anything_is_not_explained(meta):
    assert explained("kimi_linear", TIED, OWN, meta) is None


def test_a_reason_does_not_hold_for_another_configuration_or_type():
    meta = {**OWN, "lm_head.weight": (10, 4)}
    assert explained("kimi_linear", TIED | {"tie_word_embeddings": False}, OWN, meta) is None
    assert explained("llama", TIED, OWN, meta) is None


def test_every_reason_is_of_a_family():
    assert set(REASONS) <= set(FAMILY_OF)


@pytest.mark.parametrize(
    ("name", "there", "here"),
    [
        ("gemma-3n-e2b", (0, 0), (30, 20_974_080)),
        ("mistral-small-3.2-24b", (0, 0), (1, 671_088_640)),
        ("qwen3-vl-30b-a3b", (96, 28_991_029_248), (96, 28_991_029_248)),
        ("qwen3.5-35b-a3b", (30_720, 32_212_254_720), (80, 32_212_254_720)),
    ],
)
def test_releases_differ_by_what_the_reason_predicts(name, there, here):
    """transformers' side is this program's after the prediction; the sums are of the run behind the
    page on models."""
    config = releases()[name]
    own = own_shapes(own_spec(config, name))
    (reason,) = REASONS[config["model_type"]]
    only_there, only_here = reason.predicts(text_of(config), config, {})
    kept = list(own.values())
    for shape in only_here.elements():
        kept.remove(shape)
    meta = {str(n): shape for n, shape in enumerate([*kept, *only_there.elements()])}
    found = explained(config["model_type"], config, own, meta)
    assert found is not None
    assert (found.there, found.here) == (there, here)
    meta.popitem()
    assert explained(config["model_type"], config, own, meta) is None


def test_windows_differ_by_the_token_itself_alone():
    config = {"model_type": "mimo_v2_flash", "sliding_window_size": 128}
    assert explained_window("mimo_v2_flash", config, 128, 129)
    assert not explained_window("mimo_v2_flash", config, 128, 130)
    assert not explained_window("mistral", config, 128, 129)
    kept = [{"keys": [1, 8, 3, 192], "values": [1, 8, 3, 128], "window": 129}]
    cache = LayerCache(0, "kv", (("k", 192), ("v", 128)), heads=8, window=128)
    text, why = cache_difference(config, [cache], kept, 1)
    assert text
    assert why
    assert cache_difference(config, [dataclasses.replace(cache, heads=4)], kept, 1)[1] == ""
    kept[0]["window"] = 128
    assert cache_difference(config, [cache], kept, 1) == ("", "")


def test_layers_that_attend_twice_are_compared_one_by_one():
    caches = [LayerCache(0, "latent", (("latent", width),)) for width in (24, 40)]
    kept = [{"keys": [1, 1, 3, width - 8], "values": [1, 1, 3, 8]} for width in (24, 40)]
    assert cache_difference({"model_type": "x"}, caches, kept, 1) == ("", "")
    assert cache_difference({"model_type": "x"}, caches, kept[::-1], 1)[0]


def test_a_pattern_of_letters_is_stated_as_their_number():
    assert understood({"sliding_window_pattern": "LLLG"})["sliding_window_pattern"] == 4
    assert understood({"sliding_window_pattern": None}) == {"sliding_window_pattern": None}


def test_an_interrupted_run_goes_on(tmp_path):
    path = tmp_path / "journal"
    one = Compared(
        3,
        40,
        differences=("a",),
        why=explained("kimi_linear", TIED, OWN, {**OWN, "lm_head.weight": (10, 4)}),
        names=("b",),
    )
    assert Journal(path, "state").compared("kind 0", lambda: one) == one
    path.write_text(path.read_text() + json.dumps(["state own kind 1"])[:7], encoding="utf-8")
    again = Journal(path, "state")
    assert again.compared("kind 0", pytest.fail) == one
    assert again.resumed == 1
    other = Compared(4, 41)
    assert Journal(path, "newer").compared("kind 0", lambda: other) == other
    again.close()
    assert not path.exists()
