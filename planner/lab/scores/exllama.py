"""measurement.json of ExLlamaV2 and of ExLlamaV3, as sensitivities.

Weights of b bits have a relative error power of about 4^-b (the rate-distortion bound of a Gaussian
source; EXL3's trellis lies within a few per cent of it, scalar grids further above).

ExLlamaV2 (exllamav2/conversion/measure.py): for each block options of mixed bits with an accuracy,
1 − mean ‖x̂ − x‖/‖x‖ of the block's own output. ExLlamaV3 (conversion/measure_model.py): for each
group of modules the change of the model's KL divergence when it takes more bits than the base.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from planner.base.errors import DataError
from planner.base.strict_json import short_repr
from planner.lab.scores.places import NUMBER
from planner.lab.scores.records import (
    ALPHA,
    SENSITIVITY,
    Score,
    Scores,
    loss_number,
    real_number,
)

_V2, _V3 = "ExLlamaV2", "ExLlamaV3"
_HINT = "give measurement.json as the converter wrote it"
_BLOCK = re.compile(
    rf"(?:.*\.)?layers\.({NUMBER})(?:\.\w+)?\."
    r"(self_attn|mlp|block_sparse_moe|linear_attn|parallel_decoder)"
)
# Kinds of the projections of each block.
_KINDS: Mapping[str, Mapping[str, str]] = {
    "self_attn": {"q_proj": "attention-qkv", "k_proj": "attention-qkv", "v_proj": "attention-qkv",
                  "o_proj": "attention-out"},
    "linear_attn": {"o_proj": "linear-attention"},
    "mlp": {"gate_proj": "mlp-gate-up", "up_proj": "mlp-gate-up", "down_proj": "mlp-down"},
    "block_sparse_moe": {"w1": "experts-gate-up", "w3": "experts-gate-up", "w2": "experts-down"},
}  # fmt: skip
_PARALLEL = {"attn": "self_attn", "mlp": "mlp"}
MOST_BITS = 32.0


def read_v2(data: Mapping[str, object], place: str) -> Scores:
    """Sensitivities of the kinds in each block, fitted to its options.

    Raises:
        DataError: another layout, an accuracy outside 0 to 1, or a block without options.
    """
    measured = data["measurement"]
    if not isinstance(measured, dict):
        raise DataError(f"{place}: measurement is not an object", hint=_HINT)
    entries: list[Score] = []
    for name, options in measured.items():
        if options is None:  # norms and the head are not measured
            continue
        where = f"{place}: {short_repr(name)}"
        match = _BLOCK.fullmatch(name)
        if match is None:
            raise DataError(f"{where}: not a block that is known", hint=_HINT)
        for block, listed in _blocks(match[2], options, where):
            entries += [
                Score((f"{kind}.{match[1]}",), "", value)
                for kind, value in _fit(block, listed, where).items()
            ]
    return Scores(
        tuple(entries),
        SENSITIVITY,
        _V2,
        (
            "accuracies are of each block's own output, not of the model's: how a change goes on "
            "through later blocks is not in them, so that layers compare less surely than kinds "
            "of one",
        ),
    )


def _blocks(block: str, options: object, where: str) -> Iterator[tuple[str, list[object]]]:
    if block != "parallel_decoder":
        if not isinstance(options, list) or not options:
            raise DataError(f"{where}: no options", hint=_HINT)
        yield block, options
        return
    if not isinstance(options, dict) or set(options) != set(_PARALLEL):
        raise DataError(f"{where}: needs attn and mlp", hint=_HINT)
    for part, inner in _PARALLEL.items():
        yield from _blocks(inner, options[part], f"{where}: {part}")


def _fit(block: str, options: Sequence[object], where: str) -> dict[str, float]:
    """Sensitivity by kind: least squares of error² = Σ α·4^-b, in relative terms, α ≥ 0."""
    kinds = dict.fromkeys(_KINDS[block].values())
    rows: list[list[float]] = []
    for option in options:
        if not isinstance(option, dict):
            raise DataError(f"{where}: {short_repr(option)} is not an option", hint=_HINT)
        accuracy = real_number(option.get("accuracy"), f"{where}: accuracy", 0.0, 1.0)
        if accuracy < 1:
            error = (1.0 - accuracy) ** 2
            rows.append([_error_of(block, kind, option, where) / error for kind in kinds])
    if not rows:
        return dict.fromkeys(kinds, 0.0)
    return dict(zip(kinds, _shares(rows), strict=True))


def _error_of(block: str, kind: str, option: Mapping[str, object], where: str) -> float:
    """Mean error power of the projections of ``kind``."""
    errors: list[float] = []
    for name in (name for name, own in _KINDS[block].items() if own == kind and name in option):
        given = option[name]
        bits = given.get("bits") if isinstance(given, dict) else None
        parts = given.get("bits_prop") if isinstance(given, dict) else None
        if (
            not isinstance(bits, list)
            or not isinstance(parts, list)
            or not bits
            or len(bits) != len(parts)
        ):
            raise DataError(f"{where}: {name} needs bits and bits_prop of one length", hint=_HINT)
        errors.append(
            math.fsum(
                real_number(part, f"{where}: bits_prop", 0.0, 1.0)
                * 4.0 ** -real_number(bit, f"{where}: bits", 1.0, MOST_BITS)
                for bit, part in zip(bits, parts, strict=True)
            )
        )
    if not errors or min(errors) <= 0:
        raise DataError(f"{where}: an option without bits of {kind}", hint=_HINT)
    return math.fsum(errors) / len(errors)


def _shares(rows: Sequence[Sequence[float]]) -> list[float]:
    """x ≥ 0 of one or two unknowns that brings rows·x nearest to 1; equal where rows cannot tell
    the two apart."""
    alone = [_slope([row[n] for row in rows]) for n in range(len(rows[0]))]
    if len(alone) == 1:
        return alone
    aa, ab, bb = (math.fsum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = (math.fsum(row[n] for row in rows) for n in (0, 1))
    determinant = aa * bb - ab * ab
    if determinant <= 1e-9 * aa * bb:
        return [_slope([sum(row) for row in rows])] * 2
    first, second = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
    if first < 0:
        return [0.0, alone[1]]
    return [alone[0], 0.0] if second < 0 else [first, second]


def _slope(values: Sequence[float]) -> float:
    return math.fsum(values) / math.fsum(value * value for value in values)


def read_v3(data: Mapping[str, object], place: str) -> Scores:
    """Sensitivities in nats of the groups: −ΔKL over the error power that the further bits remove.

    Raises:
        DataError: another layout, bits that do not grow, or a group without modules.
    """
    base = _bits(data.get("base"), f"{place}: base")
    alternatives = data.get("alts")
    groups = data["groups"]
    if not isinstance(alternatives, list) or not alternatives or not isinstance(groups, list):
        raise DataError(f"{place}: needs alts and groups, as lists", hint=_HINT)
    removed = [
        4.0**-base - 4.0 ** -_bits(alternative, f"{place}: alts") for alternative in alternatives
    ]
    if min(removed) <= 0:
        raise DataError(
            f"{place}: an alternative has no more bits than the base",
            hint="measure with the base of the fewest bits first",
        )
    entries: list[Score] = []
    worse = 0
    for number, group in enumerate(groups):
        where = f"{place}: group {number}"
        names, gains = _group(group, len(removed), where)
        slope = math.fsum(map(math.prod, zip(gains, removed, strict=True))) / math.fsum(
            x * x for x in removed
        )
        worse += slope < 0
        entries.append(Score(names, "", loss_number(max(slope, 0.0), where)))
    notes = [f"nats from an error power of 4^-bits at {base:g} bits a weight and more"]
    if worse:
        notes.append(f"{worse} groups lost nothing measurable with fewer bits")
    return Scores(tuple(entries), ALPHA, _V3, tuple(notes))


def _bits(model: object, where: str) -> float:
    bits = model.get("bpw") if isinstance(model, dict) else None
    return real_number(bits, f"{where}: bpw", 0.5, MOST_BITS)


def _group(group: object, count: int, where: str) -> tuple[tuple[str, ...], list[float]]:
    """The modules of a group, and what each candidate gains [nats]."""
    layers = group.get("layers") if isinstance(group, dict) else None
    candidates = group.get("candidates") if isinstance(group, dict) else None
    if (
        not isinstance(layers, list)
        or not layers
        or not all(isinstance(name, str) for name in layers)
    ):
        raise DataError(f"{where}: no layers", hint=_HINT)
    if not isinstance(candidates, list) or len(candidates) != count:
        raise DataError(
            f"{where}: needs one candidate for each of the {count} alternatives", hint=_HINT
        )
    gains = [
        -real_number(
            candidate.get("dkld") if isinstance(candidate, dict) else None,
            f"{where}: dkld",
            -1e6,
            1e6,
        )
        for candidate in candidates
    ]
    return tuple(layers), gains
