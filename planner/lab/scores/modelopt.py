"""Scores of NVIDIA ModelOpt: the state of auto_quantize, or per-layer-sensitivity.json.

The state's ``candidate_stats`` hold formats and scores per module. per-layer-sensitivity.json is
a summary that scripts around auto_quantize write: ``scheme.quant_formats``, and a list
``layer_sensitivity`` of {layer, num_bits, sensitivity, size_cost}; of q, k and v, or gate and up,
the first stands for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from planner.errors import DataError, UnknownNameError
from planner.lab.scores.records import SENSITIVITY, Score, Scores, loss_number
from planner.models.strict_json import shown

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
    for name, found in stats.items():
        where = f"{place}: {shown(name)}"
        if not isinstance(found, dict):
            raise DataError(f"{where}: not an object", hint=_HINT)
        formats, scores = found.get("formats"), found.get("scores")
        if (
            not isinstance(formats, list)
            or not isinstance(scores, list)
            or len(formats) != len(scores)
        ):
            raise DataError(f"{where}: needs formats and scores of one length", hint=_HINT)
        modules = found.get("module_names") or [name]
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
            f"{place}: layer_sensitivity is {shown(listed)}, not a list of layers",
            hint="give per-layer-sensitivity.json, not the manifest beside it",
        )
    scheme, note = _recipe(data, place, scheme_of)
    entries: list[Score] = []
    for number, found in enumerate(listed):
        where = f"{place}: layer_sensitivity {number}"
        name = found.get("layer") if isinstance(found, dict) else None
        if not isinstance(found, dict) or not isinstance(name, str):
            raise DataError(f"{where}: no layer", hint=_HINT)
        bits = found.get("num_bits")
        if isinstance(bits, bool) or not isinstance(bits, int | float):
            raise DataError(
                f"{where}: num_bits is {shown(bits)}: one number is understood", hint=SNIPPET
            )
        if bits < _PLAIN_BITS:  # else the recipe does not apply: no score
            entries.append(
                Score(
                    (name,),
                    scheme,
                    loss_number(found.get("sensitivity"), f"{place}: {shown(name)}"),
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
        f"recipe {shown(label or 'not named')} is no scheme here: its error is taken as "
        "equal for all kinds, and only the order of layers is sure",
    )
