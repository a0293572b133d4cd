"""The Python side of ``plan profile``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.base.display import with_former_keywords
from planner.base.errors import InputError, UnknownNameError
from planner.base.typed import typed
from planner.jobs.cluster import where
from planner.jobs.workers import own_version
from planner.models.catalog import resolve_model
from planner.quality.profile import TIERS, Profile

if TYPE_CHECKING:
    from planner.lab.probe.options import InputOptions
    from planner.lab.profiling.jobs import MatrixJob
    from planner.lab.profiling.probe_tokens import ProbeSetup
    from planner.models.spec import ModelSpec

SEED = 1
TOKENS = 192
PROBE = "int4-w4a16-g32"
_OLD_NAMES = {"T0": ("prior",)}


def _nothing(*_: object) -> None:
    """Tell nobody."""


@with_former_keywords(told="notify")
@typed
def profile(
    checkpoint: str | os.PathLike[str],
    *,
    tier: str | None = None,
    output: str | os.PathLike[str] | None = None,
    schemes: Sequence[str] | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    seed: int = SEED,
    inputs: str | os.PathLike[str] | None = None,
    routing: str | os.PathLike[str] | None = None,
    scores: str | os.PathLike[str] | None = None,
    tokens: int | None = None,
    text: str | os.PathLike[str] | None = None,
    probe: str | None = None,
    quick: bool = False,
    static_scales: bool = False,
    smoothquant: float | None = None,
    imatrix: str | os.PathLike[str] | None = None,
    ignore_keys: Sequence[str] = (),
    progress: Callable[[int, int, MatrixJob | None], None] = _nothing,
    notify: Callable[[str], None] = _nothing,
) -> Profile:
    """Measure a checkpoint and return (and write) its quality profile.

    Args:
        checkpoint: a folder with config.json and *.safetensors, or a GGUF file; with ``scores``
            any model.
        tier: T0 learned; T1 backward passes on ids that the model writes; T2 one probe format on
            text; T3 measured loss. Default T0, with ``scores`` T3.
        output: file to write; ``output`` + ``.journal`` keeps results until then.
        schemes: schemes to emulate (default: all); fp8-block is always in.
        workers: processes (default: the cores of this machine).
        cluster: address of a Dask cluster whose workers see the checkpoint under the same path, or
            ``local`` for one that is started here with ``workers`` processes.
        inputs: folder of real inputs: ``<kind>.<layer>.npy`` or ``<tensor>.npy`` (tokens, inputs),
            ``attention.<layer>.npz``.
        routing: CSV of layer,expert,tokens.
        scores: what another program measured: CSV, JSON of ModelOpt, ExLlama or AutoRound, or a
            table of the GGUF Tool Suite (by Thireus and its contributors).
        tokens: how many the model runs on (T1 to T3: 192; quick: 384). seed: of inputs and tokens
            drawn.
        text: T2, T3, quick: prose, or .npy of token ids (chunks, length); default: Python's topics.
        probe: the scheme whose loss T2 measures, or whose error a quick profile takes; default
            int4-w4a16-g32 under T2, nvfp4 under quick.
        quick: instead of a tier: losses in nats from a few backward passes on text, in a wider
            band than T2's.
        static_scales: T1 to T3: fixed scales of inputs for fp8-tensor and int8-w8a8, from a
            calibration text, instead of dynamic ones.
        smoothquant: T1 to T3: SmoothQuant strength from 0 to 1 for int8-w8a8.
        imatrix: T0: llama.cpp's importance matrix: its mean squares are inputs of errors.
        ignore_keys: keys of the configuration to pass over, as :func:`planner.load_model` has it.
        progress, notify: called as the work goes on.
    Raises:
        DataError: an invalid checkpoint or file. InputError: an unknown tier, scheme or number.
    """
    from planner.lab.profiling import run

    if quick:
        _check_quick(tier, scores=scores, inputs=inputs, imatrix=imatrix)
    name = "T1" if quick else _tier(tier or ("T0" if scores is None else "T3"))
    place_of_work = where(workers, cluster)
    target, folder = (None if path is None else Path(path) for path in (output, inputs))
    spec = resolve_model(_as_path(os.fspath(checkpoint)), ignore_keys=ignore_keys)
    if scores is not None:
        _only_scores(
            name,
            inputs=inputs,
            routing=routing,
            schemes=schemes,
            text=text,
            static_scales=static_scales or None,
            smoothquant=smoothquant,
            imatrix=imatrix,
            workers=workers,
            cluster=cluster,
            **_of_a_run(tokens, probe, seed),
        )
        return run.profile_scores(spec, Path(scores), target, own_version())
    _check_tier(name, folder, text, static_scales or smoothquant is not None)
    _check_imatrix(imatrix, name, folder)
    _check_run(name, **_of_a_run(tokens, probe, seed), quick=quick)
    question = (
        None
        if name == "T0"
        else replace(
            _probe(name, tokens, seed, text, probe, quick=quick),
            options=_options(static_scales, smoothquant),
        )
    )
    request = run.Request(
        own_version(),
        run.schemes_to_measure(schemes, weighted=imatrix is not None),
        place_of_work,
        seed,
        folder,
        *_given(spec, routing, folder),
        question,
        None if imatrix is None else Path(imatrix),
    )
    return run.profile_checkpoint(Path(checkpoint), spec, request, target, progress, notify)


def _given(
    spec: ModelSpec,
    routing: str | os.PathLike[str] | None,
    folder: Path | None,
) -> tuple[Any, Any]:
    """(routing, inputs of caches) from files, None where there are none."""
    from planner.lab.profiling.given import read_caches, read_routing

    return (
        None if routing is None else read_routing(Path(routing), spec),
        None if folder is None else read_caches(folder, spec),
    )


def _check_imatrix(given: object, tier: str, folder: Path | None) -> None:
    if given is not None and (tier != "T0" or folder is not None):
        raise InputError(
            f"imatrix and {'inputs' if folder is not None else f'tier {tier}'} "
            "exclude each other: both say what comes in",
            hint="leave one out",
        )


def _check_quick(tier: str | None, **others: object) -> None:
    """Refuse what says otherwise how losses are known."""
    given = {"tier": tier} | others
    for flag, value in given.items():
        if value is not None:
            raise InputError(
                f"quick and {flag} exclude each other: quick says itself where losses come from",
                hint=f"leave out one of the two: quick runs the model on text, {_INSTEAD[flag]}",
            )


_INSTEAD = {
    "tier": "a tier is another way to know losses",
    "scores": "scores were measured elsewhere",
    "inputs": "inputs are those of T0",
    "imatrix": "an importance matrix is for T0",
}


def _only_scores(tier: str, **others: object) -> None:
    """Refuse what scores leave no room for."""
    for flag, value in others.items():
        if value is not None:
            raise InputError(
                f"scores and {flag} exclude each other: scores are taken as they are",
                hint=f"leave out {flag}",
            )
    if tier not in ("T0", "T3"):
        raise InputError(f"scores are tier T3, not {tier}", hint="leave out the tier")


def _check_tier(tier: str, folder: Path | None, text: object, scaled: bool) -> None:
    """Refuse inputs that are no folder, and what the tier does not read; ``scaled``: other scales
    of inputs than the schemes' own are asked."""
    if tier == "T0" and scaled:
        raise InputError(
            "static scales and SmoothQuant need inputs that the model makes itself",
            hint="choose T1, T2 or T3",
        )
    if folder is not None and not folder.is_dir():
        raise InputError(
            f"inputs: {str(folder)!r} is not a folder",
            hint="name a folder that holds KIND.LAYER.npy and attention.LAYER.npz files",
        )
    if tier != "T0" and folder is not None:
        raise InputError(
            f"inputs and tier {tier} exclude each other: the model runs and makes its own",
            hint="leave one out",
        )
    if tier == "T0" and text is not None:
        raise InputError("tier T0 reads no text", hint="choose T2 or T3")


def _of_a_run(tokens: int | None, probe: str | None, seed: int) -> dict[str, int | str | None]:
    """What a run of the model is told beside its text, None where it is the default."""
    return {
        "tokens": None if tokens == TOKENS else tokens,
        "probe": None if probe == PROBE else probe,
        "seed": None if seed == SEED else seed,
    }


def _check_run(tier: str, *, tokens: object, probe: object, quick: bool, **_: object) -> None:
    """Refuse what the tier does not run."""
    if tier == "T0" and tokens is not None:
        raise InputError(
            f"tokens = {tokens}: tier T0 does not run the model", hint="choose T1, T2 or T3"
        )
    if tier != "T2" and not quick and probe is not None:
        raise InputError(
            f"probe {probe}: tier {tier} has no probe scheme", hint="choose T2, or quick"
        )


def _probe(
    tier: str,
    tokens: int | None,
    seed: int,
    text: str | os.PathLike[str] | None,
    probe: str | None,
    *,
    quick: bool,
) -> ProbeSetup:
    from planner.formats.schemes import scheme
    from planner.lab.profiling import quick as quick_profile
    from planner.lab.profiling.probe_tokens import LENGTH, ProbeSetup

    if tokens is None:
        tokens = quick_profile.TOKENS if quick else TOKENS
    if tokens < LENGTH:
        raise InputError(f"tokens = {tokens} is out of range", hint=f"{LENGTH} or more")
    default = quick_profile.PROBE if quick else PROBE
    return ProbeSetup(
        tier,
        tokens,
        seed,
        None if text is None else Path(text),
        scheme(probe or default).id,
        quick=quick,
    )


def _options(static_scales: bool, smoothquant: float | None) -> InputOptions:
    from planner.lab.probe.options import InputOptions

    return InputOptions(static_scales, smoothquant)


def default_output(checkpoint: str, ignore_keys: Sequence[str] = ()) -> str:
    """``<model id>.profile.json`` in the working folder."""
    return f"{resolve_model(_as_path(checkpoint), ignore_keys=ignore_keys).id}.profile.json"


def _as_path(text: str) -> str:
    """A folder or file of that name is meant, even where the name has no slash."""
    return text if os.sep in text or not os.path.exists(text) else f"./{text}"


def _tier(text: str) -> str:
    """``T1``, ``t1``, ``probe-random`` …"""
    wanted = text.strip().lower()
    for tier, name in TIERS.items():
        if wanted in (tier.lower(), name, *_OLD_NAMES.get(tier, ())):
            return tier
    raise UnknownNameError("tier", text, [*TIERS, *TIERS.values()])
