"""From measured losses of whole files to a profile of the model, on this machine's own evidence.

What a file has is told by tensor: of each kind in each layer, which share of its sensitivity lies
in which scheme. The prior is T0, or the profile that the predictions were made with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from planner.base.errors import DataError
from planner.base.records import record
from planner.export.assignment import ModuleAssignment
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.lab.scores.alphas import reference_for
from planner.lab.verifying.posterior import Cell, LossPrior, Posterior, Shares
from planner.models.gguf_names import gguf_matrices
from planner.models.gguf_types import scheme_of_type
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units as caches_of
from planner.placement.modules import PLANNED_KINDS
from planner.planning.engines.rules import PLAIN
from planner.quality.prior import Prior, load_prior, module_error
from planner.quality.profile import (
    CACHE_KINDS,
    MEASURED,
    NATS,
    NOT_MODELLED,
    PROFILE_VERSION,
    JointCheck,
    Profile,
    ProfiledCheckpoint,
    ProfiledModel,
    ProfileUnit,
    structure_sha256,
)
from planner.quality.profile_units import ANCHOR, cache_units
from planner.quality.sensitivity.predict import sensitivities, six_digits

Key = tuple[str, int]
OUTSIDE = -1
FILES = "files"
"""A profile's setting: digests of the files that it was learned from."""
Schemes = Mapping[str, str]
"""Tensor of the GGUF file → scheme."""


@record
class LossBasis:
    """The prior of a model's losses: nats by (kind, layer) and scheme, unsaturated; ``parts`` the
    share of each tensor in its unit's sensitivity; what it rests on. ``counted`` are the digests of
    files whose losses it was learned from."""

    loss: Mapping[Key, Mapping[str, float]]
    alpha: Mapping[Key, float]
    error: Mapping[Key, Mapping[str, float]]
    parts: Mapping[Key, Mapping[str, float]]
    prior: LossPrior
    tier: str
    text: str
    counted: tuple[str, ...] = ()


def loss_basis(spec: ModelSpec, profile: Profile | None, *, weighed: bool = False) -> LossBasis:
    """The prior: T0's, or the profile's units (head and embedding from T0 where it has none).
    ``weighed``: ggml's types are written with an importance matrix.

    Raises:
        DataError: the profile is not in nats.
    """
    learned, prior = sensitivities(spec), load_prior()
    reference = reference_for(spec, prior)
    table = prior.error[reference]
    if weighed:
        table = {kind: _weighed(prior, reference, kind) for kind in table}
    alpha = {key: a for key, a in learned.by_unit.items() if key[0] in table}
    error = {key: dict(table[key[0]]) for key in alpha}
    loss = {key: {s: a * e for s, e in error[key].items()} for key, a in alpha.items()}
    parts: dict[Key, dict[str, float]] = {}
    for matrix, a in zip(learned.matrices, learned.alpha, strict=True):
        parts.setdefault((matrix.kind, matrix.layer), {})[matrix.name] = a
    bands = LossPrior(learned.level_band, learned.mix_band, prior.format_band, learned.saturation)
    if profile is None:
        return LossBasis(loss, alpha, error, parts, bands, f"T0 {learned.tier}", learned.text)
    if profile.unit != NATS:
        raise DataError(
            "the profile's losses are relative, and measured ones are nats",
            hint="profile the checkpoint with --tier T1 or T2",
        )
    for unit in profile.units:
        if unit.kind not in CACHE_KINDS:
            key = unit.kind, unit.layer
            loss[key], error[key] = dict(unit.loss), dict(unit.error)
            alpha[key] = unit.alpha if unit.alpha is not None else alpha.get(key, 0.0)
    band = profile.band_factor
    bands = LossPrior(band, min(band, learned.mix_band), prior.format_band, profile.saturation)
    return LossBasis(
        loss,
        alpha,
        error,
        parts,
        bands,
        profile.label,
        profile.band_basis,
        tuple(map(str, profile.settings.get(FILES, ()))),
    )


def _weighed(prior: Prior, reference: str, kind: str) -> dict[str, float]:
    """Errors of a kind by scheme, of types that are written with an importance matrix."""
    names = {*prior.error[reference][kind], *prior.imatrix_error["with"].get(kind, {})}
    errors = {name: module_error(prior, reference, kind, name, weighed=True) for name in names}
    return {name: error for name, error in errors.items() if error is not None}


def shares_of(basis: LossBasis, schemes: Schemes) -> tuple[dict[Cell, float], tuple[str, ...]]:
    """(nats by kind and scheme of a file, tensors whose type has no loss); a tensor that the file
    does not name, as a tied head's, takes the embedding's type."""
    table = schemes.get("token_embd.weight", "bf16")
    out: dict[Cell, float] = {}
    unknown = []
    for key, tensors in basis.parts.items():
        if key not in basis.loss:
            continue
        total = math.fsum(tensors.values())
        for name, alpha in tensors.items():
            scheme = schemes.get(name, table if key[1] == OUTSIDE else "bf16")
            if scheme in PLAIN:
                continue
            loss = basis.loss[key].get(scheme)
            if loss is None:
                unknown.append(f"{name} in {scheme}")
            elif total > 0:
                cell = key[0], scheme
                out[cell] = out.get(cell, 0.0) + loss * alpha / total
    return out, tuple(unknown)


def schemes_of_types(types: Mapping[str, str]) -> Schemes:
    """Tensor → scheme, from ggml types as a GGUF file names them; a type that has no scheme keeps
    its own name."""
    return {tensor: scheme_of_type(word) for tensor, word in types.items()}


def schemes_of_plan(assignment: ModuleAssignment) -> Schemes:
    """Tensor of the GGUF file → scheme, of a plan that another engine runs; one scheme where
    stacked or split tensors are of one row."""
    by_row: dict[tuple[str, int], str] = {}
    for linear in assignment.linears:
        for layer in linear.layers or (OUTSIDE,):
            by_row[linear.module, layer] = linear.scheme
    out = {}
    for matrix in gguf_matrices(assignment.spec):
        layer = OUTSIDE if matrix.layer is None else matrix.layer
        schemes = [
            by_row[row.removesuffix(".weight"), layer]
            for row in matrix.rows
            if (row.removesuffix(".weight"), layer) in by_row
        ]
        if schemes:
            out[matrix.name] = schemes[0]
    return out


def schemes_of_uniform(spec: ModelSpec, scheme: str) -> Schemes:
    """Tensor → ``scheme`` for every matrix that plans decide."""
    return {m.name: scheme for m in gguf_matrices(spec) if m.kind in PLANNED_KINDS}


def learned_profile(
    spec: ModelSpec,
    basis: LossBasis,
    posterior: Posterior,
    *,
    version: str,
    checks: Sequence[tuple[str, Shares, float, float]],
    source: str,
    counted: Sequence[str] = (),
) -> Profile:
    """The profile with the posterior's losses. ``checks`` are (name, shares, KL, flipped share) of
    the measured files, ``source`` says what measured them, ``counted`` are their digests.

    Its one band is that of the scheme that is known least, uniformly: files of what was measured
    are known better, as the notes say.
    """
    prior = load_prior()
    units = [
        ProfileUnit(
            f"{kind}.{layer}" if layer >= 0 else kind,
            kind,
            layer,
            six_digits(basis.alpha[kind, layer] * posterior.factor(kind, "")),
            f"{basis.tier}, corrected by {posterior.files} files {MEASURED}",
            "as the prior's, times what files of the format lost here",
            dict(basis.error[kind, layer]),
            {
                s: six_digits(x * posterior.factor(kind, s))
                for s, x in losses.items()
                if s in SCHEMES
            },
        )
        for (kind, layer), losses in basis.loss.items()
    ]
    units += _caches(spec, prior, posterior)
    schemes = tuple(s for s in SCHEMES if any(s in u.loss for u in units))
    measured = {cell[1] for _, shares, _, _ in checks for cell in shares}
    bands = {s: posterior.band(uniform_shares(basis, s)) for s in schemes if s not in PLAIN}
    seen = max((b for s, b in bands.items() if s in measured), default=max(bands.values()))
    widest = six_digits(max(bands.values()))
    settings = {
        "sensitivity": MEASURED,
        "saturation": basis.prior.saturation,
        "bands": {s: six_digits(b) for s, b in bands.items()},
        FILES: sorted({*basis.counted, *counted}),
    }
    notes = (
        f"losses of {posterior.files} files {MEASURED} ({source}) moved {basis.tier} by "
        f"×{posterior.factor('', ''):.2f} in level; formats in them are known within ×/÷ "
        f"{seen:.2f}, others within ×/÷ {widest:.2f}",
        NOT_MODELLED,
    )
    joint = tuple(
        JointCheck(name, math.fsum(x * posterior.factor(*c) for c, x in shares.items()), kl, flips)
        for name, shares, kl, flips in checks
    )
    return Profile(
        PROFILE_VERSION,
        version,
        ProfiledModel(
            spec.id,
            spec.model_type,
            spec.layers,
            spec.hidden_size,
            spec.quantization,
            spec.config_sha256,
            structure_sha256(spec),
        ),
        ProfiledCheckpoint("", "none", 0, 0, 0),
        "T3",
        NATS,
        ANCHOR,
        widest,
        f"posterior of {posterior.files} files {MEASURED}; of formats in them ×/÷ {seen:.2f}",
        0,
        schemes,
        tuple(KV_LAYOUTS),
        tuple(sorted(units, key=lambda u: (u.layer, u.kind))),
        (),
        (),
        (),
        notes,
        settings,
        joint,
    )


def uniform_shares(basis: LossBasis, scheme: str) -> dict[Cell, float]:
    """Nats by kind of one scheme on all of the stack that has a loss in it."""
    out: dict[Cell, float] = {}
    for (kind, layer), losses in basis.loss.items():
        if layer != OUTSIDE and scheme in losses:
            out[kind, scheme] = out.get((kind, scheme), 0.0) + losses[scheme]
    return out


def _caches(spec: ModelSpec, prior: Prior, posterior: Posterior) -> list[ProfileUnit]:
    """T0's caches at the level that was found; no file tells them apart."""
    kinds: dict[str, list[int]] = {}
    for cache in caches_of(spec):
        if cache.kind in CACHE_KINDS:
            kinds.setdefault(cache.kind, []).extend(cache.layers)
    units = cache_units(
        prior,
        sensitivities(spec),
        kinds,
        scale=posterior.factor("", ""),
        layouts=tuple(KV_LAYOUTS),
        measured={},
        parts={},
    )
    return [replace(u, alpha_basis=f"{u.alpha_basis}; level {MEASURED}") for u in units]
