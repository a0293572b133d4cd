"""The shipped measurements: which models there are, and the points of one of them.

Figures: Thireus, GGUF Tool Suite and its contributors (github.com/Thireus/GGUF-Tool-Suite), made
compact by :mod:`planner.lab.tables.measured_losses`. A model's points are read when it is asked.

Models are alike by structure and architecture, never by name.
"""

from __future__ import annotations

import csv
import json
import math
import tomllib
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planner.base.errors import UnknownNameError
from planner.models.spec import ModelSpec
from planner.quality.sensitivity.features import narrow, structure_of
from planner.quality.sensitivity.level import KnownLevel
from planner.quality.sensitivity.records import (
    KldMatch,
    KldModel,
    KldPoint,
    KldSubject,
    Matrix,
    Structure,
    TierBands,
)

DATA = Path(__file__).resolve().parents[1] / "data"
PROFILES = DATA / "kld" / "profiles"
CREDIT = "Thireus, GGUF Tool Suite and its contributors"
SOURCE = f"{CREDIT}: github.com/Thireus/GGUF-Tool-Suite@384c1f85, kld_results"
FINE_LEVELS = ("bf16", "q8_0")
"""Baselines that a level is told against; over others it is relative to their own grid."""
SOURCE_DATE = "2026-08-21"
KINDS = {
    "token_embd": "embedding", "output": "head", "attn_output": "attention-out",
    "attn_q": "attention-qkv", "attn_k": "attention-qkv", "attn_v": "attention-qkv",
    "attn_q_a": "mla-q", "attn_q_b": "mla-q", "attn_kv_a_mqa": "mla-kv", "attn_k_b": "mla-kv",
    "attn_v_b": "mla-kv", "attn_qkv": "linear-attention", "attn_gate": "linear-attention",
    "ssm_alpha": "linear-attention", "ssm_beta": "linear-attention",
    "ssm_out": "linear-attention", "ffn_gate": "mlp-gate-up", "ffn_up": "mlp-gate-up",
    "ffn_down": "mlp-down", "ffn_gate_exps": "experts-gate-up", "ffn_up_exps": "experts-gate-up",
    "ffn_down_exps": "experts-down", "ffn_gate_shexp": "shared-gate-up",
    "ffn_up_shexp": "shared-gate-up", "ffn_down_shexp": "shared-down",
}  # fmt: skip
"""Module kinds of the matrices that were measured."""


@cache
def kld_models() -> tuple[KldModel, ...]:
    """All measured models, in the order of the index; no points are read."""
    made = json.loads((DATA / "kld" / "levels.json").read_text(encoding="utf-8"))
    return kld_index(made)


def kld_index(
    made: Mapping[str, dict[str, Any]] = MappingProxyType({}),
) -> tuple[KldModel, ...]:
    """The models of the index, with levels and floors as in ``made``."""
    index = tomllib.loads((DATA / "kld_models.toml").read_text(encoding="utf-8"))
    return tuple(_model(entry, made.get(entry["name"], {})) for entry in index["models"])


@cache
def known_levels() -> tuple[KnownLevel, ...]:
    """Every level that was measured: of the measured models, and of models without profiles."""
    index = tomllib.loads((DATA / "kld_models.toml").read_text(encoding="utf-8"))
    own = tuple(
        KnownLevel(
            m.name,
            m.family,
            m.parameters_billion,
            m.active_billion,
            m.level,
            m.level_band,
            m.saturation,
            m.baseline in FINE_LEVELS,
        )
        for m in kld_models()
        if m.level is not None
    )
    return own + tuple(
        KnownLevel(**{k: v for k, v in entry.items() if k != "source"}) for entry in index["levels"]
    )


@cache
def points_of(name: str) -> tuple[KldPoint, ...]:
    """The points of the measured model ``name`` (read once a process).

    Raises:
        UnknownNameError: no such model.
    """
    model = next((m for m in kld_models() if m.name == name), None)
    if model is None:
        raise UnknownNameError("measured model", name, [m.name for m in kld_models()])
    with (DATA / "kld" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            KldPoint(
                tuple(
                    matrix_of(model, stem, int(row["layer"])) for stem in row["stems"].split("+")
                ),
                float(row["signal_nats"]),
                float(row["noise_nats"]),
            )
            for row in csv.DictReader(file)
        )


@cache
def uniform_losses() -> Mapping[str, Mapping[str, float]]:
    """Mean KL [nats] of whole models in one ggml type, by model and type, as measured: their floors
    are in it."""
    found: dict[str, dict[str, float]] = {}
    with (DATA / "kld" / "whole.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["model"], {})[row["qtype"]] = float(row["kld_nats"])
    return found


@cache
def bands_of(kind: str) -> TierBands:
    """What a kind of match (learned, sister, relative) was measured to hold."""
    data = json.loads((DATA / "kld" / "bands.json").read_text(encoding="utf-8"))[kind]
    return TierBands(**data)


@cache
def family_profile(name: str) -> Mapping[tuple[str, int], float]:
    """ln α by (stem, layer) of the structure of the measured model ``name``, up to a constant;
    empty where none is shipped under that name."""
    path = PROFILES / f"{name}.json"
    if not path.is_file():
        return {}
    data: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return {
        (stem, int(layer)): value
        for stem, layers in data.items()
        for layer, value in layers.items()
    }


def matrix_of(model: KldModel, stem: str, layer: int) -> Matrix:
    """A matrix of a measured model."""
    return Matrix(
        stem,
        KINDS[stem],
        layer,
        narrow(stem, model.outputs.get(stem, 0), model.structure.hidden_size),
    )


def _model(entry: dict[str, Any], made: dict[str, Any]) -> KldModel:
    structure = Structure(
        layers=entry["layers"],
        hidden_size=entry["hidden_size"],
        attention=tuple((kind, *numbers) for kind, *numbers in entry["attention"]),
        dense_width=entry["dense_width"],
        experts=tuple(entry["experts"]),
        dense_layers=entry["dense_layers"],
        tied=entry.get("tied", False),
    )
    return KldModel(
        entry["name"],
        entry["family"],
        tuple(entry["architectures"]),
        structure,
        entry["parameters_billion"],
        entry["active_billion"],
        entry["outputs"],
        entry["baseline"],
        entry.get("fitted", True),
        entry.get("levelled", True),
        entry.get("clean", False),
        entry.get("reason", ""),
        made.get("qtype", ""),
        made.get("floor_nats", 0.0),
        made.get("level"),
        made.get("level_band", 1.0),
        made.get("saturation"),
    )


SISTER, RELATIVE = "sister", "relative"
FARTHEST = math.log(8.0)
"""A relative has at most this |ln| of the ratio of parameters; beyond, the prior is as good."""


def subject_of(spec: ModelSpec) -> KldSubject:
    """The subject of a configuration; of routed experts those of one token are active."""
    total = active = 0
    for row in spec.rows:
        if row.part != "main" or row.copy_of is not None:
            continue
        size = row.elements * row.copies
        total += size
        if row.experts > 1 and spec.experts is not None:
            size = size * spec.experts.per_token // spec.experts.count
        active += size
    return KldSubject(structure_of(spec), spec.model_type, total / 1e9, active / 1e9)


def subject_of_measured(model: KldModel) -> KldSubject:
    """A measured model as a subject: what evaluations leave out and predict."""
    return KldSubject(
        model.structure, model.architectures[0], model.parameters_billion, model.active_billion
    )


def find_match(
    subject: KldSubject, models: Sequence[KldModel], excluded: Collection[str] = ()
) -> KldMatch | None:
    """The nearest of ``models`` that are not excluded; all that are equally near."""
    allowed = [m for m in models if m.name not in excluded]
    sisters = tuple(m for m in allowed if m.structure == subject.structure)
    if sisters:
        return KldMatch(SISTER, sisters, 0.0)
    distances = {
        m.name: abs(math.log(m.parameters_billion / subject.parameters_billion))
        for m in allowed
        if subject.architecture in m.architectures
        and bool(m.structure.experts) == bool(subject.structure.experts)
        and m.structure.attention_kinds == subject.structure.attention_kinds
    }
    least = min(distances.values(), default=math.inf)
    if least > FARTHEST:
        return None
    near = tuple(m for m in allowed if abs(distances.get(m.name, math.inf) - least) < 1e-9)
    return KldMatch(RELATIVE, near, least)
