"""One export from plan to files: names, configuration, lint, and the reading back that proves
it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from planner.base.errors import InputError, UnsupportedError
from planner.export import compressed_tensors, fp8, gptq, llama_cpp, modelopt, torchao
from planner.export.assignment import ModuleAssignment, assignment_of
from planner.export.default_target import RELEASED, chosen, release_steps
from planner.export.lint import CONSUMERS, EngineFinding, lint
from planner.export.llama_cpp_back import read_any
from planner.export.read_back import imported_assignment
from planner.export.readme import bundle
from planner.export.released_kinds import OUTSIDE, released_as
from planner.export.serve_line import weights_of
from planner.export.targets import Exported
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.models.spec import ModelSpec
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.record import Plan
from planner.planning.question.importance import KEY as IMPORTANCE
from planner.throughput.calibration import ANY_ENGINE

_WRITERS: Mapping[str, Callable[..., Exported]] = {
    "compressed-tensors": compressed_tensors.export,
    "modelopt": modelopt.export,
    "fp8": fp8.export,
    "gptq": gptq.export,
    "blockwise-int8": fp8.export_integers,
    "torchao": torchao.export,
    "llama.cpp": llama_cpp.export,
}
_EXPANDING = ("compressed-tensors", "torchao")
"""Formats that take expressions; the others name every module or tensor as they must."""
_READABLE = {
    "compressed-tensors": "quantization_config.json",
    "modelopt": "hf_quant_config.json",
    "fp8": "quantization_config.json",
    "gptq": "quantization_config.json",
    "blockwise-int8": "quantization_config.json",
    "llama.cpp": llama_cpp.FILE,
}


@dataclass(frozen=True, slots=True)
class Export:
    """Files by name, the verdict on each engine that reads them, and what they cannot say."""

    target: str
    files: dict[str, str]
    findings: tuple[EngineFinding, ...]
    notes: tuple[str, ...]


def export_plan(
    plan: Plan,
    spec: ModelSpec,
    device: DeviceProfile,
    target: str,
    engine: str = "",
    *,
    expand: bool = False,
) -> Export:
    """``plan`` as the configuration ``target``: a format, or an engine whose own format is taken
    (empty: the plan's engine). Weights that need not be made have no configuration; then the files
    say how the release is served.

    ``engine`` (default: the plan's own) must serve it; with ``any`` each consumer's verdict is
    told and none is demanded. ``expand`` names every module in full, without expressions.

    Raises:
        UnsupportedError: the format has no word for a scheme, or the named engine does not serve.
        InputError: the plan is not of this model.
    """
    assignment = assignment_of(plan, spec)
    target, engine = chosen(plan, spec, device, target, engine, tuple(_WRITERS))
    if target == RELEASED:
        return _released(plan, spec, device, assignment, parse_engine(engine))
    if expand and target not in _EXPANDING:
        raise InputError(
            f"expand with {target}: it has no expressions to expand",
            hint="for " + " and ".join(_EXPANDING),
        )
    engine = engine or _default_engine(target, plan)
    exported = _WRITERS[target](assignment, **_more(target, plan, expand))
    _read_again(target, exported, assignment)
    findings = tuple(
        lint(target, exported, assignment, plan, spec, device, reader)
        for reader in _engines(target, engine)
    )
    if engine != ANY_ENGINE:
        _demand(findings, target)
    files = bundle(target, exported, plan, assignment, findings, device)
    return Export(target, files, findings, exported.notes)


def _more(target: str, plan: Plan, expand: bool) -> dict[str, object]:
    """What a writer is told beside the schemes: to name every module, and the importance matrix."""
    matrix = next((str(a.value) for a in plan.assumptions if a.key == IMPORTANCE), "")
    options: dict[str, object] = {"expand": True} if expand else {}
    return options | ({"imatrix": matrix} if matrix and target == llama_cpp.TARGET else {})


def _released(
    plan: Plan, spec: ModelSpec, device: DeviceProfile, assignment: ModuleAssignment, engine: Engine
) -> Export:
    """The files of a plan whose weights ``engine`` is given as they are, or makes itself."""
    weights = weights_of(plan, engine, device, spec)
    exported = Exported({}, (), (), release_steps(weights, engine))
    findings = (EngineFinding(engine, "yes", ""),)
    files = bundle(RELEASED, exported, plan, assignment, findings, device)
    return Export(RELEASED, files, findings, ())


def _default_engine(target: str, plan: Plan) -> str:
    """The engine that must serve an export where none is named: the plan's, unless that was chosen
    for it and does not read the format."""
    own = plan.engine
    if own.name == ANY_ENGINE or (own.chosen_from and own.name not in CONSUMERS[target]):
        return ANY_ENGINE
    return own.name + (f"@{own.version}" if own.version else "")


def _engines(target: str, engine: str) -> list[Engine]:
    if engine != ANY_ENGINE:
        return [parse_engine(engine)]
    return [parse_engine(name) for name in CONSUMERS[target]]


def _demand(findings: tuple[EngineFinding, ...], target: str) -> None:
    for finding in findings:
        if finding.status == "no":
            raise UnsupportedError(
                f"{finding.engine.label} with {target}: {finding.reason}",
                hint="another --to, another --engine, or --engine any to write it all the same",
            )


def _read_again(target: str, exported: Exported, assignment: ModuleAssignment) -> None:
    """Read the configuration as `plan import` does; it must give the same schemes."""
    text = exported.files.get(_READABLE.get(target, ""))
    if text is None:
        return
    spec = assignment.spec
    again = imported_assignment(read_any(text.encode(), _READABLE[target], target, spec))
    caches = {cache.kind for cache in assignment.caches}
    planned, read = assignment.decided(), again.decided()
    plain = {scheme for scheme in planned.values() if scheme in PLAIN}

    def same(scheme: str | None, stored: str | None) -> bool:
        """Whether ``stored`` is how the configuration says ``scheme``; a single plain type is the
        server's --dtype, whatever the release has."""
        if scheme in PLAIN and stored in PLAIN and len(plain) < 2:
            return True
        return stored in (scheme, exported.reads_as.get(scheme or ""))

    differing = [
        key
        for key, scheme in read.items()
        if key[0] not in caches and not same(planned.get(key), scheme)
    ]
    ours, theirs = assignment.released_kinds(), again.released_kinds()
    stored = released_as(spec)  # what a list of all types names although the plan keeps it
    differing += [
        key
        for key in {**ours, **theirs}
        if not same(ours.get(key), theirs.get(key))
        and (key in ours or theirs.get(key) not in stored.get(key, ()))
    ]
    if differing:
        kind, layer = differing[0]
        where = f" of layer {layer}" if layer != OUTSIDE else ""
        meant = {**assignment.decided(), **assignment.released_kinds()}.get(differing[0], "plain")
        raise UnsupportedError(
            f"{target}: {kind}{where} would not read back as {meant}", hint="another --to"
        )
