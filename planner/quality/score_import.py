"""Scores that another program measured: NVIDIA ModelOpt, AutoRound, or a plain CSV.

CSV: columns ``module,scheme`` and ``loss_nats`` (mean KL) or ``score`` (any scale). ModelOpt: the
``candidate_stats`` of an auto_quantize state as JSON (formats, scores per module). AutoRound: JSON
of module → {option: score}. Scores have the scale of their batch, so they are relative.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planner.errors import DataError, UnknownNameError
from planner.formats.schemes import scheme as find_scheme
from planner.models.strict_json import parse_object, read_config_bytes, shown

_COLUMNS = "a CSV file has the columns module,scheme,loss_nats; ModelOpt and AutoRound write JSON"

MAX_BYTES = 64 << 20
LARGEST = 1e15
LOSS, SCORE = "loss_nats", "score"
# Names of recipes: modelopt/torch/quantization/config.py and auto_round/schemes.py.
LABELS: Mapping[str, str] = MappingProxyType({
    "none": "bf16", "fp8_default_cfg": "fp8-tensor", "nvfp4_default_cfg": "nvfp4",
    "fp8_per_channel_per_token_cfg": "fp8-channel", "fp8_2d_blockwise_weight_only_cfg":
    "fp8-w8a16", "fp8_pb_wo": "fp8-w8a16", "int8_default_cfg": "int8-w8a8",
    "int8_smoothquant_cfg": "int8-w8a8", "int8_weight_only_cfg": "int8-w8a16",
    "int4_awq_cfg": "int4-w4a16", "int4_blockwise_weight_only_cfg": "int4-w4a16",
    "nvfp4_awq_lite_cfg": "nvfp4", "mxfp4_default_cfg": "mxfp4", "mxfp8_default_cfg": "mxfp8",
    "w4a8_mxfp4_fp8_cfg": "mxfp4-w4a8", "mxfp4_mlp_weight_only_cfg": "mxfp4-w4a16",
    "w4a16": "int4-w4a16", "w8a16": "int8-w8a16", "fpw8a16": "fp8-w8a16", "int8_w8a8": "int8-w8a8",
    "fp8_static": "fp8-tensor", "fp8_block": "fp8-block", "gguf:q8_0": "ggml-q8_0",
    "gguf:q4_0": "ggml-q4_0", "gguf:q4_k_s": "ggml-q4_k", "gguf:q4_k_m": "ggml-q4_k",
    "gguf:q6_k": "ggml-q6_k",
})  # fmt: skip
CALIBRATED = ("awq", "smoothquant")
SNIPPET = ("write it as JSON where it was made: json.dump({'candidate_stats': {n: {'formats': "
           "[str(f) for f in s['formats']], 'scores': [float(x) for x in s['scores']]} for n, s "
           "in state['candidate_stats'].items()}}, file)")


@dataclass(frozen=True, slots=True)
class Score:
    """One score: modules quantised together, the scheme, the value."""

    modules: tuple[str, ...]
    scheme: str
    value: float


@dataclass(frozen=True, slots=True)
class Scores:
    """A file of scores. ``column`` is loss_nats or score; ``program`` says who made it."""

    entries: tuple[Score, ...]
    column: str
    program: str
    notes: tuple[str, ...]


def read_scores(path: Path) -> Scores:
    """The scores in ``path``, by its ending and keys.

    Raises:
        DataError: an unknown kind of file, a value that is negative or not finite, a repeated
            module and scheme.
        UnknownNameError: a scheme or recipe that has no counterpart here.
    """
    if path.suffix.lower() in (".pt", ".pth", ".pkl"):
        raise DataError(f"{path}: a pickle runs code when it is read", hint=SNIPPET)
    if path.suffix.lower() == ".csv":
        text = read_config_bytes(path, limit=MAX_BYTES)
        return _checked(_csv(text, str(path)), path)
    if path.suffix.lower() != ".json":
        raise DataError(f"{path}: scores are read from .csv and .json", hint=_COLUMNS)
    data = parse_object(read_config_bytes(path, limit=MAX_BYTES), str(path))
    if "candidate_stats" in data:
        return _checked(_modelopt(data, str(path)), path)
    return _checked(_autoround(data, str(path)), path)


def _csv(text: bytes, place: str) -> Scores:
    try:
        rows = list(csv.DictReader(io.StringIO(text.decode("utf-8"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{place}: not a CSV file: {error}", hint=_COLUMNS) from None
    header = set(rows[0]) if rows else set()
    column = LOSS if LOSS in header else SCORE
    if header != {"module", "scheme", column}:
        raise DataError(f"{place}: columns {', '.join(sorted(map(str, header))) or 'none'}",
                        hint="columns are module,scheme,loss_nats or module,scheme,score")
    entries = []
    for number, row in enumerate(rows, start=2):
        where = f"{place}: line {number}"
        if any(value is None for value in row.values()):
            raise DataError(f"{where}: fewer columns than the header",
                            hint="every line has a module, a scheme and a number")
        entries.append(Score((row["module"],), find_scheme(row["scheme"]).id,
                             _number(row[column], where)))
    return Scores(tuple(entries), column, "CSV", ())


def _modelopt(data: Mapping[str, object], place: str) -> Scores:
    stats = data["candidate_stats"]
    if not isinstance(stats, dict) or not stats:
        raise DataError(f"{place}: candidate_stats is not an object", hint=_COLUMNS)
    entries: list[Score] = []
    labels: set[str] = set()
    for name, found in stats.items():
        where = f"{place}: {shown(name)}"
        if not isinstance(found, dict):
            raise DataError(f"{where}: not an object", hint=_COLUMNS)
        formats, scores = found.get("formats"), found.get("scores")
        if not isinstance(formats, list) or not isinstance(scores, list) \
                or len(formats) != len(scores):
            raise DataError(f"{where}: needs formats and scores of one length", hint=_COLUMNS)
        modules = found.get("module_names") or [name]
        if not isinstance(modules, list):
            raise DataError(f"{where}: module_names is not a list", hint=_COLUMNS)
        for label, score in zip(formats, scores, strict=True):
            labels.add(str(label))
            entries.append(Score(tuple(str(m) for m in modules), _scheme(str(label)),
                                 _number(score, where)))
    return Scores(tuple(entries), SCORE, "ModelOpt auto_quantize", _calibrated(labels))


def _autoround(data: Mapping[str, object], place: str) -> Scores:
    entries: list[Score] = []
    labels: set[str] = set()
    for name, options in data.items():
        if not isinstance(options, dict) or not options:
            raise DataError(f"{place}: {shown(name)} is not an object of option → score",
                            hint="known files: ModelOpt's candidate_stats, AutoRound's scores, CSV")
        for label, score in options.items():
            labels.add(label)
            entries.append(Score((name,), _scheme(label),
                                 _number(score, f"{place}: {shown(name)}")))
    if not entries:
        raise DataError(f"{place}: no scores", hint=_COLUMNS)
    return Scores(tuple(entries), SCORE, "AutoRound", _calibrated(labels))


def _scheme(label: str) -> str:
    """A recipe's name without what ModelOpt puts behind it."""
    name = label.split("(")[0].strip().lower()
    found = LABELS.get(name)
    if found is not None:
        return found
    try:
        return find_scheme(name).id
    except UnknownNameError:
        raise UnknownNameError("recipe", label, LABELS) from None


def _calibrated(labels: set[str]) -> tuple[str, ...]:
    used = sorted(n for n in labels if any(word in n.lower() for word in CALIBRATED))
    if not used:
        return ()
    return (f"{', '.join(used)} include calibration that plain schemes do not have",)


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: {shown(value)} is not a number",
                        hint="write a number, 0 or more") from None
    if isinstance(value, bool) or not 0 <= number <= LARGEST:
        raise DataError(f"{where}: {shown(value)} is not a loss; it is 0 or more, "
                        f"at most {LARGEST:g}",
                        hint="write the loss against the unquantised checkpoint, 0 or more")
    return number


def _checked(scores: Scores, path: Path) -> Scores:
    if not scores.entries:
        raise DataError(f"{path}: no scores", hint=_COLUMNS)
    seen: set[tuple[str, str]] = set()
    for name, scheme in _pairs(scores):
        if (name, scheme) in seen:
            raise DataError(f"{path}: {shown(name)} under {scheme} is given twice",
                            hint="keep one of the two")
        seen.add((name, scheme))
    return scores


def _pairs(scores: Scores) -> Iterator[tuple[str, str]]:
    for entry in scores.entries:
        for name in entry.modules:
            yield name, entry.scheme
