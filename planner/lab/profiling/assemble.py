"""From the records of a scan to the profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.formats.kv import KV_LAYOUTS
from planner.lab.profiling.fallbacks import unfit_notes
from planner.lab.profiling.jobs import STATISTICS_ONLY, MatrixJob
from planner.lab.profiling.quick import QUICK, level_factor, quick_note
from planner.lab.scores.alphas import reference_for
from planner.lab.scores.read import read_scores
from planner.lab.scores.records import ALPHA, LOSS, SCORE
from planner.lab.scores.units import ANCHORS, score_units
from planner.models.checkpoint_places import Checkpoint
from planner.models.imatrix import ImportanceMatrix, check_imatrix
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units as caches_of
from planner.quality.prior import Prior, total_band
from planner.quality.profile import (
    CACHE_KINDS,
    NATS,
    NOT_MODELLED,
    POLICY,
    PROFILE_VERSION,
    JointCheck,
    Profile,
    ProfiledCheckpoint,
    ProfiledModel,
    ProfileTensor,
    ProfileUnit,
    RouterStatistics,
    Skipped,
    structure_sha256,
)
from planner.quality.profile_units import (
    ANCHOR,
    TIER_BANDS,
    Band,
    Key,
    ProfiledMatrix,
    cache_units,
    expected_loss,
    input_constants,
    learned_alphas,
    measured_caches,
    module_units,
    probed_units,
    scaled,
    unit_errors,
)
from planner.quality.sensitivity.predict import sensitivities

if TYPE_CHECKING:
    from planner.lab.profiling.probing import Probed
    from planner.quality.sensitivity.records import Sensitivities

Records = Mapping[str, Mapping[str, Any]]
BASES = {
    "quick": "backward passes on text, labels sampled from the model, and the probe scheme's error",
    "T1": "backward passes on ids that the model wrote, labels sampled from it",
    "T2": "loss of the probe scheme over its error, by matrix",
    "T3": "measured",
}


@dataclass(frozen=True, slots=True)
class CacheMeasured:
    """Measured cache errors by (kind, layer), and their parts for a latent."""

    error: Mapping[Key, Mapping[str, float]]
    parts: Mapping[Key, Mapping[str, Mapping[str, float]]]


def assemble(
    spec: ModelSpec,
    checkpoint: Checkpoint,
    jobs: Sequence[MatrixJob],
    records: Records,
    *,
    version: str,
    prior: Prior,
    schemes: tuple[str, ...],
    seed: int,
    routers: tuple[RouterStatistics, ...],
    shares: Mapping[tuple[int, int], float],
    probed: Probed | None,
    caches: CacheMeasured,
    importance: Mapping[str, Any] | None = None,
) -> Profile:
    """The profile of what was measured; ``probed`` None: sensitivities of T0; ``importance`` says
    which importance matrix the errors are weighed by."""
    reference = reference_for(spec, prior)
    changed = {} if probed is None else probed.errors
    named = [
        (job.id, _matrix(job, records[job.id], changed.get(job.id, {})))
        for job in jobs
        if "weight_error" in records[job.id]
    ]
    measured = [matrix for _, matrix in named]
    kinds = {m.kind for m in measured}
    errors = unit_errors(measured, input_constants(prior, reference, kinds), shares)

    losses = sensitivities(spec)
    if probed is None:
        units = module_units(errors, learned_alphas(losses, errors), losses.text)
        tier, settings = "T0", dict[str, Any](sensitivity=losses.tier)
        band = Band(total_band(losses), losses.text)
    else:
        units = probed_units(errors, named, probed.losses, probed.scheme, BASES[probed.method])
        tier, settings = probed.tier, dict(probed.settings)
        band = TIER_BANDS[probed.method]
    joint = () if probed is None else _joint_checks(probed, units)
    if importance is not None:
        settings["imatrix"] = importance

    if probed is not None and probed.caches:
        units += _caches_of_probe(probed, caches)
        if probed.method == QUICK:
            settings["level"] = level = level_factor(joint)
            units = [scaled(unit, level) for unit in units]
            joint = tuple(replace(check, total=check.total * level) for check in joint)
    else:
        scale = (
            1.0
            if probed is None
            else sum(u.loss.get(ANCHOR, 0.0) for u in units)
            / expected_loss(losses, prior, reference, errors)
        )
        units += _caches(spec, prior, losses, scale, caches)
    return Profile(
        PROFILE_VERSION,
        version,
        _model(spec),
        ProfiledCheckpoint(
            checkpoint.sha256,
            checkpoint.format,
            checkpoint.files,
            len(jobs),
            checkpoint.payload_bytes,
        ),
        tier,
        NATS,
        ANCHOR,
        band.factor,
        band.basis,
        seed,
        schemes,
        tuple(KV_LAYOUTS),
        tuple(sorted(units, key=lambda u: (u.layer, u.kind))),
        _tensors(jobs, records),
        routers,
        tuple(
            Skipped(j.id, f"{j.kind}.{j.layer}", records[j.id]["skipped"])
            for j in jobs
            if "skipped" in records[j.id]
        ),
        (
            NOT_MODELLED,
            POLICY,
            *_reference_notes(spec, reference, measured),
            *unfit_notes(jobs, records),
            *_importance_notes(importance),
            *_quick_notes(probed),
        ),
        settings,
        joint,
    )


def _joint_checks(probed: Probed, units: Sequence[ProfileUnit]) -> tuple[JointCheck, ...]:
    """What the probe's whole schemes lost beside the sum of what their units lose."""
    return tuple(
        JointCheck(
            scheme, sum(u.loss.get(scheme, 0.0) for u in units), losses["joint"], losses["flips"]
        )
        for scheme, losses in probed.joint.items()
    )


def _quick_notes(probed: Probed | None) -> tuple[str, ...]:
    quick = probed is not None and probed.method == QUICK
    return (quick_note(probed.settings, probed.scheme),) if probed is not None and quick else ()


def _caches_of_probe(probed: Probed, caches: CacheMeasured) -> list[ProfileUnit]:
    basis = (
        "measured under every layout"
        if probed.tier == "T3"
        else "measured under one layout, times the ratio of the entries' errors"
    )
    return measured_caches(probed.caches, caches.error, basis)


def importance_used(matrix: ImportanceMatrix, spec: ModelSpec) -> dict[str, Any]:
    """What a profile says of the importance matrix it was made with."""
    return {
        "file": matrix.path,
        "sha256": matrix.sha256,
        "entries": len(matrix.entries),
        "chunks": matrix.chunks,
        "without": check_imatrix(matrix, spec),
    }


def _importance_notes(used: Mapping[str, Any] | None) -> tuple[str, ...]:
    if used is None:
        return ()
    notes = [
        f"errors of weights act on inputs of the mean squares in {Path(used['file']).name} "
        f"({used['entries']} entries), and ggml's types are written with that importance "
        "matrix"
    ]
    if used["without"]:
        notes.append(
            f"{used['without']} matrices have no entry in it: their errors count all "
            "inputs alike, and llama-quantize writes them without importance"
        )
    return tuple(notes)


def _model(spec: ModelSpec) -> ProfiledModel:
    return ProfiledModel(
        spec.id,
        spec.model_type,
        spec.layers,
        spec.hidden_size,
        spec.quantization,
        spec.config_sha256,
        structure_sha256(spec),
    )


def _matrix(
    job: MatrixJob, record: Mapping[str, Any], changed: Mapping[str, float]
) -> ProfiledMatrix:
    """``changed``: errors of the output that the probe's options replace."""
    output = record.get("output_error", {})
    power = (
        record["output_power"]
        if output
        else record.get("input_power", record["rms"] ** 2 * job.elements)
    )
    return ProfiledMatrix(
        job.group,
        job.kind,
        job.layer,
        job.expert,
        job.elements,
        power,
        record["weight_error"],
        {**output, **changed},
        record["flushed"],
        record["overflow"],
    )


def _caches(
    spec: ModelSpec,
    prior: Prior,
    sensitivities: Sensitivities,
    scale: float,
    measured: CacheMeasured,
) -> list[ProfileUnit]:
    kinds: dict[str, list[int]] = {}
    for cache in caches_of(spec):
        if cache.kind in CACHE_KINDS:
            kinds.setdefault(cache.kind, []).extend(cache.layers)
    return cache_units(
        prior,
        sensitivities,
        kinds,
        scale=scale,
        layouts=tuple(KV_LAYOUTS),
        measured=measured.error,
        parts=measured.parts,
    )


def _tensors(jobs: Sequence[MatrixJob], records: Records) -> tuple[ProfileTensor, ...]:
    """One row a template and layer; experts together."""
    groups: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for job in jobs:
        if "skipped" not in records[job.id]:
            groups.setdefault((job.template, job.kind, job.layer), []).append(records[job.id])
    return tuple(
        ProfileTensor(
            name.replace("{layer}", str(layer)),
            kind,
            layer,
            len(members),
            max(r["amax"] for r in members),
            max(r["kurtosis"] for r in members),
            max(r["outlier_channels"] for r in members),
            {} if kind in STATISTICS_ONLY else _mean_error(members),
        )
        for (name, kind, layer), members in groups.items()
    )


def _mean_error(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = set.intersection(*(set(r["weight_error"]) for r in records))
    return {
        n: float(f"{sum(r['weight_error'][n] for r in records) / len(records):.5e}")
        for n in sorted(names)
    }


def _reference_notes(
    spec: ModelSpec, reference: str, measured: Sequence[ProfiledMatrix]
) -> list[str]:
    notes = [
        f"the reference is the checkpoint as released ({spec.quantization}): weights that a "
        "scheme stores unchanged have no error"
    ]
    if spec.quantization.startswith("ggml-"):
        notes.append(
            f"the weights already sit on the grid of {spec.quantization}; errors count "
            "from there, not from the model before it was converted"
        )
    if not all(m.output_error for m in measured):
        notes.append(
            f"errors of inputs are constants of format and kind, emulated on synthetic "
            f"tensors for checkpoints released in {reference}, where no real inputs were "
            "given"
        )
    return notes


def _band(column: str, spec: ModelSpec) -> tuple[float, str]:
    """Of a profile of imported scores: the factor ÷/×, and what it rests on."""
    if column == LOSS:
        return 1.0, "as measured; the sampling error of the scores is not in them"
    learned = sensitivities(spec)
    if column == SCORE:
        return total_band(learned), "scale of the scores unknown: T0's level and band"
    return (
        total_band(learned),
        "sensitivities measured elsewhere, errors of schemes emulated: T0's band",
    )


def assemble_scores(
    spec: ModelSpec, path: Path, prior: Prior, layouts: tuple[str, ...], version: str
) -> Profile:
    """A T3 profile from scores measured elsewhere.

    Raises:
        DataError: the file is not understood, or names modules that the model does not have.
    """
    scores = read_scores(path)
    units, anchor, notes = score_units(scores, spec)
    nats = scores.column in (LOSS, ALPHA)
    reference = reference_for(spec, prior)
    schemes = sorted({name for u in units for name in u.loss})
    common = [a for a in ANCHORS if all(a in u.loss for u in units)]
    learned = sensitivities(spec)
    keys = [(u.kind, u.layer) for u in units]
    if not nats:
        level = expected_loss(learned, prior, reference, keys, anchor)
        units = [scaled(u, level) for u in units]
        notes.append(
            f"scores have no scale of their own: uniform {anchor} counts as {level:.3g} "
            f"nats, which is T0's level ({learned.level_basis})"
        )
    uniform = sum(u.loss[common[0]] for u in units) if common else 0.0
    if uniform > 0:
        scale = uniform / expected_loss(learned, prior, reference, keys, common[0])
        units += _caches(spec, prior, learned, scale, CacheMeasured({}, {}))
        notes.append(f"cache losses: T0's ratio to the uniform loss of {common[0]}")
    else:
        notes.append("no 8-bit scheme covers every unit, so that caches have no loss and stay BF16")
    band, basis = _band(scores.column, spec)
    return Profile(
        PROFILE_VERSION,
        version,
        _model(spec),
        ProfiledCheckpoint("", "none", 0, 0, 0),
        "T3",
        NATS,
        anchor,
        band,
        basis,
        0,
        tuple(schemes),
        layouts,
        tuple(sorted(units, key=lambda u: (u.layer, u.kind))),
        (),
        (),
        (),
        (*notes, NOT_MODELLED, POLICY),
        {"scores": path.name, "program": scores.program},
    )
