"""Text to token ids of the model's own vocabulary, and the bundled text.

Two algorithms: byte-level BPE as GPT-2 uses it, with single digits apart (the ``smollm``
pre-tokeniser of GGUF files), and WordPiece as uncased BERT models use it.
"""

from __future__ import annotations

import hashlib
import re
import struct
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from planner.base.errors import DataError, InputError, UnsupportedError
from planner.lab.probe.model import ProbeModel, Tokens, as_is, exact
from planner.models.gguf_header import read_gguf

_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
_DIGIT = re.compile(r"(\d)")


@dataclass(frozen=True)
class BytePairs:
    """Byte-level BPE: ids by token, ranks by pair."""

    ids: dict[str, int]
    ranks: dict[tuple[str, str], int]

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, without special tokens."""
        out: list[int] = []
        known: dict[str, list[int]] = {}
        for piece in _DIGIT.split(text):
            for word in [piece] if _DIGIT.fullmatch(piece) else _WORDS.findall(piece):
                if word not in known:
                    known[word] = [self.ids[part] for part in self._merge(word)]
                out += known[word]
        return out

    def decode(self, ids: list[int]) -> str:
        """The text of ``ids``."""
        names = {n: token for token, n in self.ids.items()}
        back = {c: b for b, c in byte_letters().items()}
        return bytes(back[c] for i in ids for c in names[i]).decode("utf-8", "replace")

    def _merge(self, word: str) -> list[str]:
        letters = byte_letters()
        parts = [letters[b] for b in word.encode()]
        while len(parts) > 1:
            ranks = [self.ranks.get(pair, 1 << 30) for pair in pairwise(parts)]
            best = min(ranks)
            if best == 1 << 30:
                break
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return parts


@dataclass(frozen=True)
class WordPieces:
    """Greedy longest match inside lower-case words without accents."""

    ids: dict[str, int]

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, without special tokens."""
        return [i for word in _bert_words(text) for i in self._pieces(word)]

    def _pieces(self, word: str) -> list[int]:
        out, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            end = next(
                (e for e in range(len(word), start, -1) if mark + word[start:e] in self.ids), 0
            )
            if not end or len(word) > 100:
                return [self.ids["[UNK]"]]
            out.append(self.ids[mark + word[start:end]])
            start = end
        return out


@cache
def byte_letters() -> dict[int, str]:
    """GPT-2's printable letter of every byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + n) for n, b in enumerate(others)}


def load_tokenizer(checkpoint: Path) -> BytePairs | WordPieces:
    """The tokeniser stored with a checkpoint: in a GGUF file, or vocab.txt beside safetensors.

    Raises UnsupportedError for another kind, DataError where there is none.
    """
    if checkpoint.suffix != ".gguf":
        vocabulary = checkpoint / "vocab.txt"
        if not vocabulary.is_file():
            raise DataError(f"{checkpoint}: no vocab.txt", hint="give token ids instead of text")
        lines = vocabulary.read_text(encoding="utf-8").splitlines()
        return WordPieces({token: n for n, token in enumerate(lines)})
    kind = read_gguf(checkpoint).metadata.get("tokenizer.ggml.pre")
    if kind != "smollm":
        raise UnsupportedError(
            f"{checkpoint}: no pre-tokeniser {kind!r} here", hint="give token ids instead of text"
        )
    tokens, merges = (_texts(checkpoint, f"tokenizer.ggml.{key}") for key in ("tokens", "merges"))
    pairs = [tuple(m.split(" ")) for m in merges]
    return BytePairs(
        {t: n for n, t in enumerate(tokens)}, {(p[0], p[1]): n for n, p in enumerate(pairs)}
    )


def _texts(checkpoint: Path, key: str) -> list[str]:
    """An array of texts in the header of a GGUF file that read_gguf found valid."""
    with checkpoint.open("rb") as file:
        header = file.read(read_gguf(checkpoint).data_begin)
    mark = struct.pack("<Q", len(key)) + key.encode()
    at = header.find(mark)
    if at < 0 or struct.unpack_from("<II", header, at + len(mark)) != (9, 8):
        raise DataError(
            f"{checkpoint}: no array of texts {key}",
            hint="convert the model again with its tokenizer, or give --text as .npy of token ids",
        )
    at += len(mark) + 8
    count, at, out = struct.unpack_from("<Q", header, at)[0], at + 8, []
    for _ in range(count):
        size = struct.unpack_from("<Q", header, at)[0]
        out.append(header[at + 8 : at + 8 + size].decode())
        at += 8 + size
    return out


def bundled_text() -> str:
    """Reference prose of the Python language, from the standard library (pydoc_data.topics).

    It depends on the Python version; :func:`text_sha256` says which text a result stands on.
    """
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def text_sha256(text: str) -> str:
    """The digest that identifies a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def chunks_of(ids: list[int], length: int, count: int, *, offset: int, stride: int) -> Tokens:
    """``count`` chunks of ``length`` ids: numbers offset, offset + stride, … of the whole text,
    spread over it. Different offsets below ``stride`` share no chunk.

    Raises InputError where the text is too short.
    """
    available = range(offset, len(ids) // length, stride)
    if not 0 <= offset < stride or len(available) < count:
        raise InputError(
            f"{len(available)} chunks of {length} tokens at offset {offset} of "
            f"{stride}, {count} wanted",
            hint="give a longer text or fewer chunks",
        )
    return _cut(ids, length, _spread(available, count))


def further_chunks(ids: list[int], length: int, count: int, *, taken: int) -> Tokens:
    """``count`` chunks of the text, spread over those that ``chunks_of`` leaves when it takes
    ``taken`` of the whole text.

    Raises InputError where the text is too short.
    """
    every = range(len(ids) // length)
    used = set(_spread(every, taken)) if taken <= len(every) else set(every)
    left = [c for c in every if c not in used]
    if len(left) < count:
        raise InputError(
            f"{len(left)} chunks of {length} tokens are left, {count} wanted",
            hint="give a longer text or fewer tokens",
        )
    return _cut(ids, length, _spread(left, count))


def _spread(available: Sequence[int], count: int) -> list[int]:
    return [available[len(available) * n // count] for n in range(count)]


def _cut(ids: list[int], length: int, chosen: Sequence[int]) -> Tokens:
    return np.array([ids[c * length : (c + 1) * length] for c in chosen], dtype=np.int64)


def random_tokens(vocabulary: int, chunks: int, length: int, seed: int) -> Tokens:
    """Uniform random ids [chunks, length]."""
    return np.random.default_rng(seed).integers(0, vocabulary, (chunks, length))


def generated_tokens(
    model: ProbeModel, vocabulary: int, chunks: int, length: int, seed: int
) -> Tokens:
    """Ids [chunks, length] that a decoder wrote itself: random first ids, then draws from its own
    distributions.

    No text is needed, and unlike random ids these are the sequences that the model expects.
    Raises UnsupportedError for a model that does not predict next tokens.
    """
    if "KL" not in model.loss_name:
        raise UnsupportedError("this model does not predict next tokens", hint="use random ids")
    rng = np.random.default_rng(seed)
    ids, plain = rng.integers(0, vocabulary, (chunks, 1)), exact(model)
    while ids.shape[1] < length:
        h = model.embed(ids)
        for index in range(model.layers):
            h = model.layer(index, h, plain, as_is)
        logits = model.output(h[:, -1]).astype(np.float64)
        edges = np.cumsum(np.exp(logits - logits.max(axis=1, keepdims=True)), axis=1)
        drawn = (edges < (rng.random(chunks) * edges[:, -1])[:, None]).sum(axis=1)
        ids = np.concatenate([ids, drawn[:, None]], axis=1)
    return ids


def _bert_words(text: str) -> Iterator[str]:
    word = ""
    for c in unicodedata.normalize("NFD", text.lower()):
        if unicodedata.category(c) == "Mn":
            continue
        alone = _punctuation(c) or 0x4E00 <= ord(c) <= 0x9FFF
        if (alone or c.isspace()) and word:
            yield word
            word = ""
        if alone:
            yield c
        elif not c.isspace():
            word += c
    if word:
        yield word


def _punctuation(c: str) -> bool:
    """BERT counts every ASCII character that is neither letter, digit nor space."""
    ascii_mark = 33 <= ord(c) <= 126 and not c.isalnum()
    return ascii_mark or unicodedata.category(c).startswith("P")
