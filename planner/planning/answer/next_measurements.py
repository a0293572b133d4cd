"""What to measure before anything else: operators, or a loss, that decide the recommendation."""

from __future__ import annotations

from planner.hardware.profile import DeviceProfile
from planner.messages.message import CLAUSES, Message, Text, joined, message
from planner.placement.modules import EXPERT_KINDS
from planner.planning.choose.error_classes import COLLECTIVE, ErrorClass, unit_errors
from planner.planning.choose.measure_next import decisive_errors
from planner.planning.choose.option import Option
from planner.planning.choose.selection import Selection
from planner.planning.plan.recommendation import MeasureNext
from planner.planning.price.intervals import layout_code
from planner.planning.price.price import SegmentCost
from planner.throughput.ggml import engine_runs

TABLES, LOSSES = "plan calibrate TABLES", "plan profile CHECKPOINT"
"""The commands that take tables of operators that nothing here measures, and measure losses of a
checkpoint."""
MEASURED = {
    "gemm": "gemm",
    "attention": "attention",
    "elementwise": "bandwidth",
    "quantise": "quantise",
}
"""First words of operators → what ``plan measure --only`` calls them."""
OF_GGML = ("gemm", "attention", "quantise")
"""Those that llama.cpp's own libraries are timed for: DIR is where they lie."""
HERE = "host"
"""The device that is this machine."""
DIGITS = 3


def measure_next(choice: Selection, rival: int | None) -> tuple[MeasureNext, ...]:
    """Up to three operators (under the objective quality the loss of a kind) whose error decides
    whether option ``rival`` is better than the taken plan; none where there is no such rival."""
    if rival is None:
        return ()
    ours, theirs = choice.option, choice.options[rival]
    if choice.objective == "quality":
        return _loss(choice, rival)
    measurements = []
    question = ours.space.model.question
    for error in decisive_errors(choice.objective, ours.weighed, theirs.weighed):
        scheme, shape = _largest((theirs, ours), error.error)
        measurements.append(
            MeasureNext(
                error.error.operator,
                scheme,
                shape,
                float(f"{error.swing:.{DIGITS}g}"),
                command_of(error.error.operator, question.device, question.engine),
            )
        )
    return tuple(measurements)


def command_of(operator: str, device: DeviceProfile, engine: str) -> str:
    """The command that measures ``operator`` of ``engine``, into a folder of its own; on another
    device than this machine, in a comment of the shell, that it is run there. Experts and
    collectives are measured by no command here, and of an engine's kernels on a GPU only tables of
    its own say anything: the command that takes them.
    """
    only = MEASURED.get(operator.split(" ")[0])
    if only is None or device.kind != "cpu":
        return TABLES
    command = f"plan measure --only {only}"
    if engine_runs(engine) and only in OF_GGML:
        command += " --engine-dir DIR"
    return f"{command} -o measured-{only}" if device.id == HERE else f"{command}  # on {device.id}"


def _largest(options: tuple[Option, ...], error: ErrorClass) -> tuple[str, Text]:
    """(scheme, shape) of what takes most time of those that err with ``error``."""
    if error.operator == COLLECTIVE:
        priced = max(
            (weighed_option.priced for weighed_option in options), key=lambda p: p.layout.ranks
        )
        ranks = message("reasons.of_ranks", n=priced.layout.ranks)
        return "", joined([ranks, _tokens(priced.slot)], CLAUSES)
    best: tuple[float, str, Text] = (-1.0, error.scheme, "")
    for option in options:
        for cost in option.priced.costs:
            if not _errs(option, cost, error):
                continue
            time = cost.decode_seconds if "prefill" not in error.operator else cost.prefill_seconds
            if time > best[0]:
                best = (time, _scheme(option, cost), _shape(option, cost))
    return best[1:]


def _errs(option: Option, cost: SegmentCost, error: ErrorClass) -> bool:
    """Whether a segment errs with ``error``, in decode or in a prompt."""
    model = option.space.model
    unit, code = model.units[cost.segment.unit], layout_code(option.priced.layout)
    return any(
        error == other
        for decode in (True, False)
        for other, _ in unit_errors(model, unit, cost.segment.choice, decode=decode, code=code)
    )


def _scheme(option: Option, cost: SegmentCost) -> str:
    model = option.space.model
    unit = model.units[cost.segment.unit]
    return (
        model.choices[cost.segment.choice]
        if cost.segment.choice >= 0
        else model.released[unit.row].dtype
    )


def _shape(option: Option, cost: SegmentCost) -> Text:
    """The widest product of a module with the tokens of a step, or the cache that a step reads."""
    model, priced = option.space.model, option.priced
    unit = model.units[cost.segment.unit]
    if unit.role == "cache":
        length = model.question.workload.decode_length
        return message(
            "reasons.sequence_of_tokens" if priced.slot == 1 else "reasons.sequences_of_tokens",
            k=unit.kind,
            n=f"{priced.slot:,}",
            m=f"{length:,.0f}",
        )
    module = (model.planned if unit.role == "module" else model.released)[unit.row]
    if not module.gemms:
        return unit.kind
    widest = max(module.gemms, key=lambda g: g.inputs * sum(m[0] for m in g.members))
    tokens = priced.slot * priced.layout.dp if unit.kind in EXPERT_KINDS else priced.slot
    outputs = sum(member[0] for member in widest.members)
    return joined([f"{unit.kind} {outputs} × {widest.inputs}", _tokens(tokens)], CLAUSES)


def _tokens(count: int) -> Message:
    """``1 token``, ``2 tokens``."""
    if count == 1:
        return message("assumptions.token", n=count)
    return message("assumptions.tokens", context=f"{count:,}")


def _loss(choice: Selection, rival: int) -> tuple[MeasureNext, ...]:
    """The kind of unit in whose loss the two plans differ most: when the losses are known, the
    chance is 0 or 1, so that it moves by 2·p·(1 − p) on average."""
    ours, theirs = choice.option, choice.options[rival]
    chance = float(choice.better[rival, choice.taken])
    swing = 2 * chance * (1 - chance)
    mine, other = ours.losses, theirs.losses
    kinds = sorted(mine.keys() | other.keys())
    if not kinds or swing <= 0:
        return ()
    kind = max(kinds, key=lambda k: abs(mine.get(k, 0.0) - other.get(k, 0.0)))
    model = ours.space.model
    scheme = next(
        (
            model.choices[c.segment.choice]
            for c in ours.priced.costs
            if model.units[c.segment.unit].kind == kind and c.segment.choice >= 0
        ),
        "",
    )
    what = message("reasons.loss_of", kind=kind)
    return (MeasureNext(what, scheme, "", float(f"{swing:.{DIGITS}g}"), LOSSES),)
