"""``plan profile``: the whole run, from a checkpoint's folder to a profile."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.base.atomic_files import draft, replace_text
from planner.base.errors import DataError, InputError, UnsupportedError
from planner.base.files import NOT_A_FILE, is_special
from planner.formats.ggml_types import needs_imatrix
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import scheme as find_scheme
from planner.formats.schemes import scheme_ids
from planner.jobs.journal import Journal, are_numbers, is_number
from planner.jobs.workers import Where
from planner.lab.profiling.assemble import (
    CacheMeasured,
    assemble,
    assemble_scores,
    importance_used,
)
from planner.lab.profiling.emulate import default_schemes
from planner.lab.profiling.fallbacks import stand_ins, with_stand_ins
from planner.lab.profiling.jobs import MatrixJob, jobs_of
from planner.lab.profiling.measure import ScanSettings
from planner.lab.profiling.routers import router_statistics
from planner.lab.profiling.scan import scan
from planner.models.checkpoint_places import Checkpoint, read_places
from planner.models.imatrix import check_imatrix, load_imatrix
from planner.models.spec import ModelSpec
from planner.numerics.engines import Engine
from planner.quality.prior import load_prior
from planner.quality.profile import Profile
from planner.quality.profile_file import profile_text
from planner.quality.profile_units import ANCHOR

WORTH_COMPILING = 1 << 25
if TYPE_CHECKING:
    from planner.lab.profiling.probe_tokens import ProbeSetup
    from planner.lab.profiling.probing import Probe

Progress = Callable[[int, int, MatrixJob | None], None]
"""Told (matrices done, matrices in all, the one that landed)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure; ``inputs`` a folder of real inputs, ``shares`` of tokens by (layer,
    expert), ``imatrix`` a file of llama-imatrix."""

    version: str
    schemes: tuple[str, ...]
    where: Where
    seed: int
    inputs: Path | None = None
    shares: Mapping[tuple[int, int], float] | None = None
    caches: CacheMeasured | None = None
    probe: ProbeSetup | None = None
    imatrix: Path | None = None


def engine_here(jobs: Sequence[MatrixJob]) -> Engine:
    """numba where it is installed and the work is worth its compilation; the bits are the same."""
    if sum(job.elements for job in jobs) < WORTH_COMPILING:
        return "numpy"
    try:
        import numba  # noqa: F401
    except ImportError:
        return "numpy"
    return "numba"


def schemes_to_measure(
    names: Sequence[str] | None,
    *,
    weighted: bool = False,
) -> tuple[str, ...]:
    """The schemes to emulate, in catalogue order; fp8-block, the unit of loss, is always in.

    Raises:
        UnsupportedError: a scheme that is written with an importance matrix only, where none is
            used (``weighted``).
        InputError: no scheme is named.
    """
    if names is None:
        return default_schemes()
    if not names:
        raise InputError("schemes is empty", hint="name at least one, or leave it out")
    wanted = {find_scheme(name).id for name in names} | {ANCHOR}
    needing = sorted(name for name in wanted if needs_imatrix(name))
    if needing and not weighted:
        raise UnsupportedError(
            f"scheme {needing[0]!r}: llama-quantize writes it with an importance matrix only",
            hint="give the model's: --imatrix FILE",
        )
    return tuple(name for name in scheme_ids() if name in wanted)


def profile_checkpoint(
    path: Path,
    spec: ModelSpec,
    request: Request,
    output: Path | None,
    progress: Progress,
    notify: Callable[[str], None],
) -> Profile:
    """Scan ``path``, the checkpoint of ``spec``, and write the profile to ``output``.

    Results land in ``output`` + ``.journal``, from which an interrupted run goes on; without an
    output they land in a temporary folder, which is removed. ``notify`` gets lines for people about
    what was found there.

    Raises:
        DataError: an invalid checkpoint, a journal of another run, a disk that is full, a worker
            that was killed; what was measured stays in the journal.
    """
    checkpoint = read_places(path if request.where.cluster is None else path.absolute())
    if request.imatrix is not None:
        check_imatrix(load_imatrix(request.imatrix), spec)
    jobs = jobs_of(spec, checkpoint)
    if not jobs:
        raise DataError(
            f"{path}: no weight matrix to measure",
            hint="name a checkpoint with weights: a folder of .safetensors files, or a GGUF file",
        )
    if output is not None:
        _check_output(output)
    request = _with_stand_ins(request, jobs, notify)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="profile-")))
        stack.enter_context(draft(folder))
        probe = None
        if request.probe is not None:
            from planner.lab.profiling.probing import Probe

            probe = Probe(path, spec, request.probe, engine_here(jobs))
            probe.write_inputs(folder)
            request = replace(request, inputs=folder)
        place = _journal_path(output) if output is not None else folder / "journal"
        journal = Journal.open(place, _header(checkpoint, request), fits=fits)
        stack.callback(journal.close)
        return _run(spec, request, output, checkpoint, jobs, journal, progress, notify, probe)


FIGURES = ("amax", "rms", "kurtosis", "outlier_channels")
ERRORS = ("weight_error", "flushed", "overflow")


def fits(record: Mapping[str, Any]) -> bool:
    """Whether a journal's record is one of a matrix, of a loss, or of a tensor without either."""
    if "skipped" in record:
        return isinstance(record["skipped"], str)
    if "joint" in record:
        return is_number(record["joint"]) and is_number(record.get("flips"))
    if "loss" in record:
        return are_numbers(record["loss"])
    errors = [record[key] for key in ERRORS if key in record]
    return (
        all(is_number(record.get(key)) for key in FIGURES)
        and len(errors) in (0, len(ERRORS))
        and all(map(are_numbers, errors))
    )


def _with_stand_ins(
    request: Request, jobs: Sequence[MatrixJob], notify: Callable[[str], None]
) -> Request:
    """What llama-quantize writes where a type's blocks do not fill the rows is measured too, and
    the scheme whose loss T2 measures."""
    probe = request.probe
    requested = set(request.schemes)
    if probe is not None and probe.by_one_scheme:
        requested.add(probe.scheme)
    schemes = with_stand_ins(tuple(requested), jobs)
    for name, instead in stand_ins(request.schemes, jobs).items():
        notify(
            f"{name} does not fill the rows of every matrix: "
            + (
                f"{' and '.join(instead)} is measured too, which llama-quantize writes there"
                if instead
                else "llama-quantize stops there"
            )
        )
    return replace(request, schemes=schemes)


def _header(checkpoint: Checkpoint, request: Request) -> dict[str, object]:
    """What a journal belongs to."""
    probe = request.probe
    return {
        "id": "header",
        "sha256": checkpoint.sha256,
        "version": request.version,
        "schemes": list(request.schemes),
        "seed": request.seed,
        "inputs": None if request.inputs is None else _folder_digest(request.inputs),
        "tier": "T0" if probe is None else probe.label,
        **({} if request.imatrix is None else {"imatrix": load_imatrix(request.imatrix).sha256}),
    }


def _run(
    spec: ModelSpec,
    request: Request,
    output: Path | None,
    checkpoint: Checkpoint,
    jobs: tuple[MatrixJob, ...],
    journal: Journal,
    progress: Progress,
    notify: Callable[[str], None],
    probe: Probe | None,
) -> Profile:
    settings = ScanSettings(request.schemes, engine_here(jobs))
    _notify_resumed(journal, jobs, notify)
    count = len(set(journal.done) & {job.id for job in jobs})
    progress(count, len(jobs), None)

    def landed(job: MatrixJob) -> None:
        nonlocal count
        count += 1
        progress(count, len(jobs), job)

    scan(
        jobs,
        settings,
        journal,
        where=request.where,
        inputs=request.inputs,
        landed=landed,
        imatrix=request.imatrix,
    )
    routers = router_statistics(
        spec, jobs, seed=request.seed, inputs=request.inputs, engine=settings.engine
    )
    profile = assemble(
        spec,
        checkpoint,
        jobs,
        journal.done,
        version=request.version,
        prior=load_prior(),
        schemes=request.schemes,
        seed=request.seed,
        routers=routers,
        shares=request.shares or {},
        probed=None if probe is None else probe.run(request.schemes, journal, notify),
        caches=request.caches or CacheMeasured({}, {}),
        importance=None
        if request.imatrix is None
        else importance_used(load_imatrix(request.imatrix), spec),
    )
    if output is not None:
        write_profile(output, profile)
    journal.remove()
    return profile


def profile_scores(
    spec: ModelSpec,
    scores: Path,
    output: Path | None,
    version: str,
) -> Profile:
    """A T3 profile of scores that another program measured; no tensor is read."""
    profile = assemble_scores(spec, scores, load_prior(), tuple(KV_LAYOUTS), version)
    if output is not None:
        _check_output(output)
        write_profile(output, profile)
    return profile


def write_profile(path: Path, profile: Profile) -> None:
    """Write beside the target, then rename.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    try:
        replace_text(path, profile_text(profile), exclusive=True)
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}; the profile is not written, what was measured "
            f"is kept in {_journal_path(path)}",
            hint="make room and run the same command again",
        ) from None


def _check_output(output: Path) -> None:
    if not output.parent.is_dir():
        raise InputError(
            f"folder {str(output.parent)!r} does not exist", hint="make the folder first"
        )
    if output.is_dir():
        raise InputError(f"{str(output)!r} is a folder", hint="name a file with -o")
    if is_special(output):
        raise InputError(f"{str(output)!r} is {NOT_A_FILE}", hint="name a file with -o")


def _journal_path(output: Path) -> Path:
    return output.with_name(output.name + ".journal")


def _notify_resumed(
    journal: Journal, jobs: Sequence[MatrixJob], notify: Callable[[str], None]
) -> None:
    if journal.damaged:
        notify(f"{journal.damaged} damaged line(s) of {journal.path} dropped; measured again")
    count = len(set(journal.done) & {job.id for job in jobs})
    if count:
        notify(f"going on after {count} of {len(jobs)} matrices ({journal.path})")


def _folder_digest(folder: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.npy")):
        digest.update(json.dumps([path.name, path.stat().st_size]).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
