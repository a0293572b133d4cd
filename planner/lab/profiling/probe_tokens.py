"""What a probe is asked, and the token ids that it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planner.base.errors import DataError, InputError
from planner.lab.probe.model import ProbeModel, Tokens
from planner.lab.probe.options import InputOptions
from planner.lab.probe.tokens import (
    bundled_text,
    chunks_of,
    further_chunks,
    generated_tokens,
    load_tokenizer,
    text_sha256,
)
from planner.models.spec import ModelSpec

LENGTH = 96
DYNAMIC = InputOptions()
CALIBRATION_CHUNKS = 8


@dataclass(frozen=True, slots=True)
class ProbeSetup:
    """What a probe runs on: ``tokens`` in all, in chunks of 96; ``text`` a file of prose, or .npy
    of ids (chunks, length); ``scheme`` the probe of T2, or of a ``quick`` T1."""

    tier: str
    tokens: int
    seed: int
    text: Path | None
    scheme: str
    options: InputOptions = DYNAMIC
    quick: bool = False

    @property
    def label(self) -> str:
        """What a journal of this question belongs to."""
        tier = f"{self.tier} quick" if self.quick else self.tier
        return " ".join(filter(None, (tier, str(self.tokens), self.scheme, self.options.text)))

    @property
    def by_one_scheme(self) -> bool:
        """Whether the loss of ``scheme`` alone gives those of all others."""
        return self.tier == "T2" or self.quick

    @property
    def writes_itself(self) -> bool:
        """Whether the model writes what it runs on."""
        return self.tier == "T1" and not self.quick


def probe_tokens(
    path: Path,
    spec: ModelSpec,
    question: ProbeSetup,
    model: ProbeModel,
) -> tuple[Tokens, dict[str, Any]]:
    """Ids (chunks, length) that a probe runs on, and what a profile says of them.

    Raises:
        InputError: a text under T1. DataError: no text, or no ids of this model.
    """
    chunks = _chunks(question)
    if question.writes_itself:
        if question.text is not None:
            raise InputError(
                "tier T1 runs on ids that the model writes itself",
                hint="leave out --text, or use T2 or --quick",
            )
        return (
            generated_tokens(model, spec.vocab_size, chunks, LENGTH, question.seed),
            {"tokens": chunks * LENGTH, "text": "written by the model"},
        )
    if question.text is not None and question.text.suffix == ".npy":
        ids = _ids(question.text, spec)
        return ids, {"tokens": int(ids.size), "text": question.text.name}
    text, name = _text(question)
    tokens = chunks_of(load_tokenizer(path).encode(text), LENGTH, chunks, offset=0, stride=1)
    return tokens, {"tokens": int(tokens.size), "text_sha256": text_sha256(text), "text": name}


def calibration_tokens(
    path: Path,
    spec: ModelSpec,
    question: ProbeSetup,
    model: ProbeModel,
) -> tuple[Tokens, str]:
    """Other ids that fix static scales and SmoothQuant's factors, and where they are from: other
    chunks of the text, or more of what the model writes. An array of ids serves
    both purposes."""
    if question.writes_itself:
        return (
            generated_tokens(model, spec.vocab_size, CALIBRATION_CHUNKS, LENGTH, question.seed + 1),
            "written by the model, apart from the probe's",
        )
    if question.text is not None and question.text.suffix == ".npy":
        return _ids(question.text, spec), "the probe's own ids"
    text, name = _text(question)
    tokens = further_chunks(
        load_tokenizer(path).encode(text), LENGTH, CALIBRATION_CHUNKS, taken=_chunks(question)
    )
    return tokens, f"{name}, {len(tokens) * LENGTH} tokens beside the probe's"


def _chunks(question: ProbeSetup) -> int:
    return max(1, question.tokens // LENGTH)


def _text(question: ProbeSetup) -> tuple[str, str]:
    if question.text is None:
        return bundled_text(), "pydoc_data.topics"
    return _read(question.text), question.text.name


def _ids(path: Path, spec: ModelSpec) -> Tokens:
    try:
        ids = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not an array of token ids: {error}",
            hint="write the ids with numpy.save: whole numbers, a row a chunk",
        ) from None
    if (
        ids.ndim != 2
        or ids.size == 0
        or ids.dtype.kind not in "iu"
        or ids.min() < 0
        or ids.max() >= spec.vocab_size
    ):
        raise DataError(
            f"{path}: token ids are integers (chunks, length) below {spec.vocab_size}",
            hint="write the ids with numpy.save: whole numbers, a row a chunk",
        )
    tokens: Tokens = ids.astype(np.int64)
    return tokens


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not a text: {error}", hint="save it as UTF-8, or give token ids as .npy"
        ) from None
