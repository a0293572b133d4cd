"""Scores that another program measured, by what is in the file.

CSV: columns ``module,scheme`` and ``loss_nats`` (mean KL) or ``score`` (any scale); or a table of
the GGUF Tool Suite. JSON: ModelOpt (state of auto_quantize, per-layer-sensitivity.json), ExLlamaV2
and V3 (measurement.json), AutoRound (module → {option: score}). Scores have the scale of their
batch, so they are relative; only nats of the model's own KL are taken as such.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from planner.base.errors import DataError, UnknownNameError, UnsupportedError
from planner.base.files import decode_text
from planner.base.strict_json import parse_object, read_config_bytes, short_repr
from planner.formats.schemes import scheme as find_scheme
from planner.lab.scores.exllama import read_v2, read_v3
from planner.lab.scores.gguf import is_table, read_table
from planner.lab.scores.records import LOSS, SCORE, SENSITIVITY, Score, Scores, loss_number

_COLUMNS = (
    "a CSV file has the columns module,scheme,loss_nats, or QTYPE and tensors; ModelOpt, "
    "ExLlama and AutoRound write JSON"
)

MAX_BYTES = 64 << 20
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


def read_scores(path: Path) -> Scores:
    """The scores in ``path``, by what it holds.

    Raises:
        DataError: an unknown kind of file, a value that is missing, negative or not finite, a
            repeated module and scheme.
        UnknownNameError: a scheme or recipe that has no counterpart here.
        UnsupportedError: a file that holds choices and no losses.
    """
    kind = path.suffix.lower()
    if kind in (".pt", ".pth", ".pkl"):
        raise DataError(f"{path}: a pickle runs code when it is read", hint=SNIPPET)
    if kind not in (".csv", ".json", ".yaml", ".yml"):
        raise DataError(f"{path}: scores are read from .csv and .json", hint=_COLUMNS)
    text = read_config_bytes(path, limit=MAX_BYTES)
    if kind in (".yaml", ".yml"):
        if _KVTUNER.encode() in text:
            raise _no_losses(path, text.count(_KVTUNER.encode()))
        raise DataError(f"{path}: YAML that no program writes scores in", hint=_COLUMNS)
    if kind == ".csv":
        return _checked(
            read_table(text, str(path)) if is_table(text) else _csv(text, str(path)), path
        )
    return _checked(_json(parse_object(text, str(path)), path), path)


def _json(data: Mapping[str, object], path: Path) -> Scores:
    place = str(path)
    if "candidate_stats" in data:
        entries, labels = read_state(data, place, _scheme)
        return Scores(tuple(entries), SCORE, "ModelOpt auto_quantize", _calibrated(labels))
    if "layer_sensitivity" in data:
        return read_sensitivity(data, place, _scheme)
    if "measurement" in data:
        return read_v2(data, place)
    if "groups" in data and "alts" in data:
        return read_v3(data, place)
    presets = [value for value in data.values() if isinstance(value, dict) and _KVTUNER in value]
    if presets:
        raise _no_losses(path, len(presets))
    return _autoround(data, place)


_KVTUNER = "nbits_key"


def _no_losses(path: Path, layers: int) -> UnsupportedError:
    """KVTuner's presets (cmd2001/KVTuner, calibration_presets) are the outcome of a search."""
    return UnsupportedError(
        f"{path}: a KVTuner preset: the bits of keys and values that a search chose for {layers} "
        "layers, and no losses",
        hint="`plan profile CHECKPOINT --tier T3` measures the loss of "
        "every cache layout, layer by layer; --kv takes one layout for all",
    )


def _csv(text: bytes, place: str) -> Scores:
    try:
        rows = list(csv.DictReader(io.StringIO(decode_text(text))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{place}: not a CSV file: {error}", hint=_COLUMNS) from None
    header = set(rows[0]) if rows else set()
    column = LOSS if LOSS in header else SCORE
    if header != {"module", "scheme", column}:
        raise DataError(
            f"{place}: columns {', '.join(sorted(map(str, header))) or 'none'}",
            hint="columns are module,scheme,loss_nats or module,scheme,score",
        )
    entries = []
    for number, row in enumerate(rows, start=2):
        where = f"{place}: line {number}"
        if any(value is None for value in row.values()):
            raise DataError(
                f"{where}: fewer columns than the header",
                hint="every line has a module, a scheme and a number",
            )
        entries.append(
            Score((row["module"],), find_scheme(row["scheme"]).id, loss_number(row[column], where))
        )
    return Scores(tuple(entries), column, "CSV", ())


def _autoround(data: Mapping[str, object], place: str) -> Scores:
    entries: list[Score] = []
    labels: set[str] = set()
    for name, options in data.items():
        if not isinstance(options, dict) or not options:
            raise DataError(
                f"{place}: {short_repr(name)} is not an object of option → score",
                hint="known JSON: ModelOpt's candidate_stats or layer_sensitivity, "
                "ExLlama's measurement, AutoRound's scores",
            )
        for label, score in options.items():
            labels.add(label)
            entries.append(
                Score((name,), _scheme(label), loss_number(score, f"{place}: {short_repr(name)}"))
            )
    if not entries:
        raise DataError(f"{place}: no scores", hint=_COLUMNS)
    return Scores(tuple(entries), SCORE, "AutoRound", _calibrated(labels))


def _scheme(label: str) -> str:
    """A recipe's name without what ModelOpt puts behind it."""
    name = label.split("(")[0].strip().lower()
    known = LABELS.get(name)
    if known is not None:
        return known
    try:
        return find_scheme(name).id
    except UnknownNameError:
        raise UnknownNameError("recipe", label, LABELS) from None


def _calibrated(labels: set[str]) -> tuple[str, ...]:
    used = sorted(n for n in labels if any(word in n.lower() for word in CALIBRATED))
    if not used:
        return ()
    return (f"{', '.join(used)} include calibration that plain schemes do not have",)


def _checked(scores: Scores, path: Path) -> Scores:
    if not scores.entries:
        raise DataError(f"{path}: no scores", hint=_COLUMNS)
    seen: set[tuple[str, str]] = set()
    for name, scheme in _pairs(scores):
        if (name, scheme) in seen:
            under = f" under {scheme}" if scheme else ""
            raise DataError(
                f"{path}: {short_repr(name)}{under} is given twice", hint="keep one of the two"
            )
        seen.add((name, scheme))
    return scores


def _pairs(scores: Scores) -> Iterator[tuple[str, str]]:
    for entry in scores.entries:
        for name in entry.modules:
            yield name, entry.scheme


_HINT = "ModelOpt's candidate_stats as JSON, or a per-layer-sensitivity.json"
_PLAIN_BITS = 16
SNIPPET = (
    "write it as JSON where it was made: json.dump({'candidate_stats': {n: {'formats': "
    "[str(f) for f in s['formats']], 'scores': [float(x) for x in s['scores']]} for n, s "
    "in state['candidate_stats'].items()}}, file)"
)
SchemeOf = Callable[[str], str]


def read_state(
    data: Mapping[str, object], place: str, scheme_of: SchemeOf
) -> tuple[list[Score], set[str]]:
    """Entries of ``candidate_stats``, and the recipes that they name.

    Raises:
        DataError: another layout. UnknownNameError: a recipe that has no counterpart here.
    """
    stats = data["candidate_stats"]
    if not isinstance(stats, dict) or not stats:
        raise DataError(f"{place}: candidate_stats is not an object", hint=_HINT)
    entries: list[Score] = []
    labels: set[str] = set()
    for name, entry in stats.items():
        where = f"{place}: {short_repr(name)}"
        if not isinstance(entry, dict):
            raise DataError(f"{where}: not an object", hint=_HINT)
        formats, scores = entry.get("formats"), entry.get("scores")
        if (
            not isinstance(formats, list)
            or not isinstance(scores, list)
            or len(formats) != len(scores)
        ):
            raise DataError(f"{where}: needs formats and scores of one length", hint=_HINT)
        modules = entry.get("module_names") or [name]
        if not isinstance(modules, list):
            raise DataError(f"{where}: module_names is not a list", hint=_HINT)
        for label, score in zip(formats, scores, strict=True):
            labels.add(str(label))
            entries.append(
                Score(
                    tuple(str(m) for m in modules), scheme_of(str(label)), loss_number(score, where)
                )
            )
    return entries, labels


def read_sensitivity(data: Mapping[str, object], place: str, scheme_of: SchemeOf) -> Scores:
    """Sensitivities of a per-layer-sensitivity.json, whose scores are of one recipe.

    Raises:
        DataError: another layout, several recipes, or none that was applied.
    """
    listed = data["layer_sensitivity"]
    if not isinstance(listed, list):
        raise DataError(
            f"{place}: layer_sensitivity is {short_repr(listed)}, not a list of layers",
            hint="give per-layer-sensitivity.json, not the manifest beside it",
        )
    scheme, note = _recipe(data, place, scheme_of)
    entries: list[Score] = []
    for number, entry in enumerate(listed):
        where = f"{place}: layer_sensitivity {number}"
        name = entry.get("layer") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(name, str):
            raise DataError(f"{where}: no layer", hint=_HINT)
        bits = entry.get("num_bits")
        if isinstance(bits, bool) or not isinstance(bits, int | float):
            raise DataError(
                f"{where}: num_bits is {short_repr(bits)}: one number is understood", hint=SNIPPET
            )
        if bits < _PLAIN_BITS:  # else the recipe does not apply: no score
            entries.append(
                Score(
                    (name,),
                    scheme,
                    loss_number(entry.get("sensitivity"), f"{place}: {short_repr(name)}"),
                )
            )
    return Scores(tuple(entries), SENSITIVITY, "ModelOpt auto_quantize", note)


def _recipe(
    data: Mapping[str, object], place: str, scheme_of: SchemeOf
) -> tuple[str, tuple[str, ...]]:
    """The scheme of the recipe, "" where it has none here; and what to say of it."""
    about = data.get("scheme")
    formats = about.get("quant_formats") if isinstance(about, dict) else None
    if isinstance(formats, list) and len(formats) > 1:
        raise DataError(
            f"{place}: {len(formats)} recipes, and scores that do not say whose they are",
            hint=SNIPPET,
        )
    label = str(formats[0]) if isinstance(formats, list) and formats else ""
    try:
        if label:
            return scheme_of(label), ()
    except UnknownNameError:
        pass
    return "", (
        f"recipe {short_repr(label or 'not named')} is no scheme here: its error is taken as "
        "equal for all kinds, and only the order of layers is sure",
    )
