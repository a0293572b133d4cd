"""What each tier and each baseline predicts for every unit and scheme, before anything is measured
on the loss text."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import settings
from evaluation.left_out import old_alpha
from evaluation.settings import PROBE, PROBE_TEXT, SCHEMES, SEED, SUBJECTS
from evaluation.tiers import alpha_from_probe, as_table, predicted, unit_errors
from planner.lab.probe.gradient import fisher_losses
from planner.lab.probe.model import Doubles, LinearUnit, ProbeModel
from planner.lab.probe.tokens import generated_tokens, random_tokens
from planner.numerics.engines import Engine
from planner.numerics.fast_fused import numba_available
from planner.quality.prior import load_prior
from planner.quality.sensitivity.features import narrow, stem_of
from planner.quality.sensitivity.predict import predict
from planner.quality.sensitivity.records import OUTSIDE, KldSubject, Matrix, Structure

OLD, LEARNED = "T0 of version 0.1", "T0 learned"
DRAWS = 16


@dataclass(frozen=True)
class Predictions:
    """(units, schemes) by name. ``absolute`` are in units of the loss; others only rank.

    ``e`` is the relative output error on the probe text.
    """

    by_name: dict[str, Doubles]
    absolute: frozenset[str]
    e: Doubles
    cpu_seconds: dict[str, float]


def engine() -> Engine:
    """numba where it is installed; the bits are the same."""
    return "numba" if numba_available() else "numpy"


def build(name: str, units: list[LinearUnit], probe: Doubles, out: Path) -> Predictions:
    """All predictions for ``units``; ``probe`` (units,) are losses on the probe text."""
    model, ids = settings.loaded(name), [u.id for u in units]
    tokens = settings.text(name, PROBE_TEXT, SUBJECTS[name].probe_text)
    errors = _kept(out / f"errors-{name}.npz", _text_key(tokens), lambda: _errors(model, tokens))
    seconds = {"errors": float(errors["cpu_seconds"])}
    where = {u.id: n for n, u in enumerate(model.units)}
    rows = [where[u] for u in ids]
    e = errors["output"][rows]
    parameters = np.array([u.parameters for u in units], float)[:, None]
    weight = errors["weight"][rows]
    by_name = {
        "weight SQNR": weight,
        "params × relative weight MSE": parameters * weight,
        "output MSE": errors["mean_square"][rows],
        "relative output error": e,
        OLD: old(units, model.layers),
        LEARNED: learned(units, model.layers),
    }
    by_name[f"T2 {PROBE}"] = predicted(alpha_from_probe(probe, e[:, SCHEMES.index(PROBE)]), e)
    for kind in ("random", "generated") if "KL" in model.loss_name else ("random",):
        fisher = _kept(
            out / f"fisher-{kind}-{name}.npz",
            f"{SEED}/{DRAWS}",
            lambda kind=kind: _fisher(name, model, kind),
        )
        by_name[f"T1 {kind} ids"] = fisher["full"][rows]
        by_name[f"T1 {kind} ids, diagonal"] = fisher["diagonal"][rows]
        seconds[f"T1 {kind} ids"] = float(fisher["cpu_seconds"])
    nats = {LEARNED} if "KL" in model.loss_name else set()
    absolute = frozenset(n for n in by_name if n.startswith(("T1", "T2")) or n in nats)
    return Predictions(by_name, absolute, e, seconds)


def _errors(model: ProbeModel, tokens: Any) -> dict[str, Doubles]:
    found = dict(unit_errors(model, tokens, settings.recipes(), engine=engine()))
    ids = [u.id for u in model.units]
    return {
        "output": as_table({u: r.output for u, r in found.items()}, ids),
        "mean_square": as_table({u: r.output_mean_square for u, r in found.items()}, ids),
        "weight": as_table({u: r.weight for u, r in found.items()}, ids),
    }


def _fisher(name: str, model: ProbeModel, kind: str) -> dict[str, Doubles]:
    """T1 on as many ids as the loss text has, labels sampled from the model."""
    count, length = SUBJECTS[name].loss_text
    vocabulary = max(settings.token_ids(name)) + 1
    tokens = (
        random_tokens(vocabulary, count, length, SEED)
        if kind == "random"
        else generated_tokens(model, vocabulary, count, length, SEED)
    )
    found = fisher_losses(
        model, tokens, settings.recipes(), seed=SEED, draws=DRAWS, engine=engine()
    )
    return {"full": found.full, "diagonal": found.diagonal}


def old(units: list[LinearUnit], layers: int) -> Doubles:
    """T0 as version 0.1 had it: kind × depth × the emulated error, of any scale."""
    prior = load_prior()
    return np.array(
        [
            [
                old_alpha(Matrix(_stem(u.id), u.kind, u.layer), layers)
                * prior.error["bf16"][u.kind][s]
                for s in SCHEMES
            ]
            for u in units
        ]
    )


def learned(units: list[LinearUnit], layers: int) -> Doubles:
    """T0 without a checkpoint: sensitivities that other models taught, times the emulated error of
    the kind [nats]. The structure is read off the matrices; no measured model has it."""
    prior = load_prior()
    hidden = next(u.inputs for u in units if u.kind == "attention-qkv")
    structure = Structure(layers, hidden, (("gqa", layers, 0, 0),), 0, (), layers, tied=True)
    size = sum(u.parameters for u in units) / 1e9
    matrices = [
        Matrix(_stem(u.id), u.kind, u.layer, narrow(_stem(u.id), u.outputs, hidden)) for u in units
    ]
    outside = [Matrix("token_embd", "embedding", OUTSIDE), Matrix("output", "head", OUTSIDE)]
    found = predict(KldSubject(structure, "", size, size), [*matrices, *outside])
    errors = [[prior.error["bf16"][u.kind][s] for s in SCHEMES] for u in units]
    return np.array(found.alpha[: len(units)])[:, None] * np.array(errors)


def _stem(name: str) -> str:
    """llama.cpp's name of a matrix of a decoder, or of a BERT encoder."""
    for part, stem in (
        ("self.query", "attn_q"),
        ("self.key", "attn_k"),
        ("self.value", "attn_v"),
        ("attention.output", "attn_output"),
        ("intermediate", "ffn_up"),
        ("output.dense", "ffn_down"),
    ):
        if part in name:
            return stem
    return stem_of(name)


def _text_key(tokens: Any) -> str:
    return hashlib.sha256(tokens.tobytes() + repr(SCHEMES).encode()).hexdigest()


def _kept(file: Path, key: str, make: Any) -> dict[str, Doubles]:
    """Results of an earlier run with the same key, else made and kept, with their CPU time."""
    if file.exists():
        with np.load(file) as held:
            if str(held["key"]) == key:
                return {n: held[n] for n in held.files if n != "key"}
    begun = time.process_time()
    made: dict[str, Doubles] = make()
    made["cpu_seconds"] = np.array(time.process_time() - begun)
    np.savez(file, key=np.array(key), **made)
    return made
