"""Dense weight GEMMs under every scheme at once, and the collectives behind modules.

Arrays are [C, S]: candidates × schemes. A weight is read once a pass. Experts are in
:mod:`planner.throughput.experts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.models.spec import Experts
from planner.placement.modules import EXPERT_KINDS, Module
from planner.throughput.calibration import ANY_ENGINE, PRIOR, Certainty
from planner.throughput.collectives import Fabric, all_reduce, expert_exchange, gather
from planner.throughput.curves import ExchangeWork
from planner.throughput.engine_kernels import LAYOUTS
from planner.throughput.forms.gemm import gemm_parts
from planner.throughput.forms.gemm_tiles import GemmForm, stacked_forms
from planner.throughput.fused import fused_layer, narrowed_forms
from planner.throughput.gemm import GemmModel, gemm_model
from planner.throughput.ggml_attention import GgmlAttention
from planner.throughput.ggml_times import GgmlArrays, ggml_arrays, ggml_parts, in_scheme_columns
from planner.throughput.kernels import Kernel, kernel, widened_first
from planner.throughput.launches import Launches, kernels_of, loop_seconds, matrices_of
from planner.throughput.measured_kernels import by_kernel
from planner.throughput.moe import MoeModel, moe_models
from planner.throughput.moe_choice import ExpertServer
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, operator, select_parts
from planner.throughput.torch_cpu import emulated, emulated_kernels, widening_then_product

Array = NDArray[np.float64]
BF16_BYTES = 2.0
ENGINE_LAYOUTS = LAYOUTS[:5]
"""Layouts by which an engine picks its kernels of experts; those of DeepEP are not asked for."""


@record
class KernelArrays:
    """Kernels of S schemes as arrays [S].

    ``form`` prices the schemes that are ``calibrated`` (others have a neighbour's numbers in it),
    the achieved fractions the rest; ``certainty`` says so by scheme. Grouped kernels have ``fused``
    models instead of a form, [layout][scheme] in the order of ENGINE_LAYOUTS; their certainty is
    that of :meth:`sure`. ``emulated`` schemes widen their weights before the product, in every call
    (:mod:`planner.throughput.torch_cpu`), and those ``widened_first`` in products of several rows.
    ``ggml`` has the types that its kernels multiply.
    ``narrowed`` are the forms of schemes whose activations the kernel before narrows in modules of
    some kinds. ``loop_seconds``: of the host for each expert where no kernel takes all.
    """

    schemes: tuple[str, ...]
    peak: Array
    compute_fraction: Array
    bandwidth_fraction: Array
    floor: Array
    conversion: Array
    activation_bytes: Array
    form: GemmForm | None
    calibrated: NDArray[np.bool_]
    certainty: tuple[Certainty, ...]
    emulated: NDArray[np.bool_]
    widened_first: NDArray[np.bool_]
    fused: tuple[tuple[MoeModel | None, ...], ...] = ()
    ggml: GgmlArrays | None = None
    narrowed: Mapping[str, GemmForm] = field(default_factory=dict)
    loop_seconds: Array = field(default_factory=lambda: np.zeros(1))

    def form_of(self, module: Module) -> GemmForm | None:
        """The form in ``module``."""
        gemm_form = self.narrowed.get(module.kind)
        return gemm_form if gemm_form is not None and fused_layer(module) else self.form

    def fused_on(
        self,
        codes: NDArray[np.int64],
    ) -> list[tuple[slice | NDArray[np.int64], tuple[MoeModel | None, ...]]]:
        """(rows, models by scheme) of candidates whose layouts are ``codes`` [C]: one entry for
        all rows where their layouts take the same kernels."""
        groups: dict[tuple[int, ...], list[int]] = {}
        present = sorted(set(codes.tolist()))
        for code in present:
            groups.setdefault(tuple(map(id, self.fused[code])), []).append(code)
        if len(groups) == 1:
            return [(slice(None), self.fused[present[0]])]
        return [
            (np.flatnonzero(np.isin(codes, group)), self.fused[group[0]])
            for group in groups.values()
        ]

    def sure(self, choice: int, code: int = 0) -> Certainty:
        """How sure the time of a scheme is on a layout."""
        model = self.fused[code][choice] if self.fused else None
        return (
            self.certainty[choice]
            if model is None
            else Certainty(model.basis, model.sigma, model.origin)
        )


def kernel_arrays(
    device: DeviceProfile,
    schemes: Sequence[str],
    *,
    experts: bool,
    stacks: Sequence[str] = (),
    static_scales: bool = False,
    engine: str = ANY_ENGINE,
    version: str = "",
    picked: Sequence[str] = (),
    container: str = "",
) -> KernelArrays:
    """Kernel figures of ``schemes`` on the first of ``stacks`` that has each.

    ``picked``: the engine's own names of the kernels, by scheme, where they are known.
    ``static_scales``: see :func:`planner.throughput.gemm.gemm_model`. ``engine`` may have kernels
    of its own (:func:`planner.throughput.ggml_times.ggml_arrays`), and picks those of experts by
    ``version`` and the checkpoint format ``container`` (:mod:`planner.throughput.moe_choice`).

    Raises:
        UnsupportedError: a scheme that the device cannot run.
    """
    costs = [None if experts else emulated(engine, device, s) for s in schemes]
    kernels: list[Kernel] = emulated_kernels(
        [kernel(device, s, experts=experts) for s in schemes], costs, device
    )
    gemms = [
        None if experts else gemm_model(device, s, stacks, static_scales=static_scales)
        for s in schemes
    ]
    if picked:
        gemms = [
            None if m is None else by_kernel(m, device, name, stacks[0])
            for m, name in zip(gemms, picked, strict=True)
        ]
    server = ExpertServer(tuple(stacks), engine, version, static_scales, container)
    by_scheme = [moe_models(device, s, server, ENGINE_LAYOUTS) for s in schemes] if experts else []
    fused = (
        tuple(tuple(of[i] for of in by_scheme) for i, _ in enumerate(ENGINE_LAYOUTS))
        if experts
        else ()
    )
    models = fused[0] if experts else gemms
    some = next((m for m in gemms if m is not None), None)
    blocks = ggml_arrays(device, schemes, experts=experts, engine=engine)
    counted = {} if blocks is None else blocks.sure()
    unknown = [
        counted.get(i, PRIOR) if cost is None else cost.certainty for i, cost in enumerate(costs)
    ]

    def column(name: str) -> Array:
        return np.array([getattr(k, name) for k in kernels], dtype=np.float64)

    return KernelArrays(
        schemes=tuple(schemes),
        peak=column("peak_flop_per_s"),
        compute_fraction=column("compute_fraction"),
        bandwidth_fraction=column("bandwidth_fraction"),
        floor=column("floor_seconds"),
        conversion=column("conversion_elements_per_s"),
        activation_bytes=column("activation_bytes"),
        form=stacked_forms([(m or some).form for m in gemms]) if some is not None else None,
        calibrated=np.array([m is not None for m in models]),
        certainty=tuple(
            how if m is None else Certainty(m.basis, m.sigma, m.origin)
            for m, how in zip(models, unknown, strict=True)
        ),
        emulated=np.array([cost is not None for cost in costs]),
        widened_first=np.array([widened_first(scheme_by_id(s)) for s in schemes]),
        fused=fused,
        ggml=blocks,
        narrowed=narrowed_forms(gemms, device, stacks, static_scales=static_scales),
        loop_seconds=loop_seconds(device, schemes, engine),
    )


@record
class Machine:
    """A device as the operators see it, for a fixed list of schemes.

    ``stacks`` are asked in order for measured kernels; ``plain`` is the BF16 GEMM of modules that
    no scheme changes, None where only achieved fractions are known. ``spread`` is the deviation of
    ln p over a layer's experts, None: the assumption of data/moe.toml. ``beside`` [S]: schemes in
    which shared experts run on a second stream. ``host_seconds``: between the kernels of a layer,
    where cores that compute also run the engine; ``host_certainty``: of the small kernels and of
    it. ``cpu_attention``: an engine's own, None where it is priced as anyone's. ``launches``: of an
    engine of many small kernels, and whether its gate is one. ``stages``: cards that take turns.
    """

    bandwidth: float
    dense: KernelArrays
    grouped: KernelArrays | None
    net: Fabric
    stacks: tuple[str, ...] = ()
    plain: GemmModel | None = None
    spread: float | None = None
    beside: NDArray[np.bool_] | None = None
    host_seconds: float = 0.0
    host_certainty: Certainty = PRIOR
    cpu_attention: GgmlAttention | None = None
    launches: Launches | None = None
    one_kernel_gate: bool = False
    stages: int = 1


def shards(module: Module, pts: Points) -> list[tuple[Array, Array, Array]]:
    """Per GEMM: (outputs, inputs, elements) of one rank, arrays [C]."""
    width = pts.moe_tp if module.kind in EXPERT_KINDS else pts.tp
    out = []
    for gemm in module.gemms:
        outputs = np.zeros(len(pts))
        inputs = np.full(len(pts), float(gemm.inputs))
        for (rows, _), kv in zip(gemm.members, gemm.key_value, strict=True):
            if gemm.shard in ("column", "vocab"):
                rank_elements = np.minimum(width, module.kv_heads) if module.kv_heads else width
                outputs = outputs + (rows - kv) / width + kv / rank_elements
            else:
                outputs = outputs + rows
        if gemm.shard == "row":
            inputs = inputs / width
        out.append((outputs, inputs, outputs * inputs))
    return out


def dense_parts(
    module: Module, machine: Machine, pts: Points, phase: Phase, weight_bytes: Array
) -> Parts:
    """One layer of a dense module. ``weight_bytes`` [C, S] of a rank; returns Parts [C, S]."""
    kern = machine.dense
    m = phase.tokens[:, None]
    gemms = shards(module, pts)
    elements = np.sum([size for _, _, size in gemms], axis=0)[:, None]
    form = kern.form_of(module)
    if form is not None and kern.calibrated.all():
        return _fitted(module, gemms, form, m, weight_bytes / elements).scaled(column(phase.passes))
    flop = np.zeros((len(pts), 1))
    moved = weight_bytes.astype(np.float64)
    for outputs, inputs, size in gemms:
        flop = flop + 2 * m * size[:, None]
        moved = moved + m * (
            inputs[:, None] * kern.activation_bytes + BF16_BYTES * outputs[:, None]
        )
    prior = operator(
        flop=flop,
        moved_bytes=moved,
        converted=np.where(kern.widened_first & (m <= 1), 0.0, elements),
        launch=kern.floor * sum(kernels_of(gemm, machine.launches) for gemm in module.gemms),
        peak=kern.peak,
        compute_fraction=kern.compute_fraction,
        bandwidth=machine.bandwidth,
        bandwidth_fraction=kern.bandwidth_fraction,
        conversion_rate=kern.conversion,
    )
    prior = widening_then_product(prior, kern.emulated | kern.widened_first)
    if kern.ggml is not None:
        prior = in_scheme_columns(
            kern.ggml,
            _blocks(module, gemms, kern.ggml, m, weight_bytes / elements, machine.one_kernel_gate),
            prior,
            len(kern.schemes),
        )
    if form is None:
        return prior.scaled(column(phase.passes))
    parts = _fitted(module, gemms, form, m, weight_bytes / elements)
    return select_parts(kern.calibrated, parts, prior).scaled(column(phase.passes))


def _blocks(
    module: Module,
    gemms: list[tuple[Array, Array, Array]],
    kernels: GgmlArrays,
    m: Array,
    per_element: Array,
    one_kernel_gate: bool,
) -> Parts:
    """The GEMMs of a module in ggml's kernels; ``per_element`` stored bytes [C, S]."""
    total: Parts | None = None
    for gemm, (outputs, inputs, size) in zip(module.gemms, gemms, strict=True):
        parts = ggml_parts(
            kernels,
            rows=m,
            judged=m,
            matrices=np.ones_like(m),
            outputs=outputs[:, None],
            inputs=inputs[:, None],
            kinds=matrices_of(module, gemm, m, one_kernel_gate=one_kernel_gate),
            stored=per_element[:, kernels.places] * size[:, None],
        )
        total = parts if total is None else total.plus(parts)
    assert total is not None
    return total


def _fitted(
    module: Module,
    gemms: list[tuple[Array, Array, Array]],
    form: GemmForm,
    m: Array,
    per_element: Array,
) -> Parts:
    """The GEMMs of a module one after the other; ``per_element`` stored bytes [C, S]. One that is
    joined to an earlier kernel neither launches nor narrows its input again."""
    total: Parts | None = None
    for gemm, (outputs, inputs, size) in zip(module.gemms, gemms, strict=True):
        parts = gemm_parts(
            form,
            m=m,
            n=outputs[:, None],
            k=inputs[:, None],
            weight_bytes=per_element * size[:, None],
            cold=True,
            fused=gemm.joined,
        )
        if gemm.joined:
            parts = replace(parts, launch=np.zeros_like(parts.launch))
        total = parts if total is None else total.plus(parts)
    assert total is not None
    return total


def collective_after(
    kind: str,
    hidden: int,
    experts: Experts | None,
    machine: Machine,
    pts: Points,
    phase: Phase,
    activation_bytes: Array,
) -> Array:
    """Seconds of the collective that follows (or feeds) one layer of ``kind``, [C, S] or [C, 1].

    dp = 1: one all-reduce over tp after attention and one after the MLP or the experts. dp > 1:
    experts exchange tokens (dispatch in the activation format, combine in BF16) at ep > 1, or
    gather (in the same format) and scatter all tokens at ep = 1 and where the engine does so
    inside the domain; dense modules still reduce over tp.
    """
    net = machine.net
    reduces = kind in ("attention-out", "mlp-down")
    routed_kind = kind in EXPERT_KINDS and experts is not None
    if not reduces and not routed_kind and kind != "shared-down":
        return np.zeros((len(pts), 1))
    rows = phase.tokens * hidden * BF16_BYTES
    reduce_tp = (
        0.0
        if kind == "experts-gate-up"
        else all_reduce(net, pts.tp, pts.tp, rows)[:, None] * column(phase.passes)
    )
    if reduces:
        return np.asarray(reduce_tp)
    spread = (pts.dp > 1)[:, None]
    if kind == "shared-down" or experts is None:
        return np.where(spread, reduce_tp, 0.0)
    work = ExchangeWork(
        phase.tokens / pts.tp,
        pts.ep,
        np.ceil(pts.group / net.domain),
        float(experts.per_token),
        float(experts.count),
        float(experts.latent or hidden),
    )
    exchanges = (pts.ep > 1) & ~(net.gathers & (pts.group <= net.domain))
    wide = exchanges[:, None]
    pooled = (phase.pooled * (experts.latent or hidden))[:, None]
    group = pts.group[:, None]
    if kind == "experts-gate-up":
        all_tokens = gather(net, group, group, pooled * activation_bytes)
        routed = _exchange(net, phase, "dispatch", work, pts.group, activation_bytes)
        return np.where(spread, np.where(wide, routed, all_tokens), 0.0) * column(phase.passes)
    all_tokens = gather(net, group, group, pooled * BF16_BYTES)
    combined = _exchange(net, phase, "combine", work, pts.group, np.asarray([BF16_BYTES]))
    return np.where(spread, np.where(wide, combined, all_tokens) * column(phase.passes), reduce_tp)


def all_reduces(module: Module) -> int:
    """All-reduces that follow one layer of ``module``: one for each product whose inputs are
    divided. A layer of two halves (LongCat) has two attentions and two MLPs."""
    if module.kind not in ("attention-out", "mlp-down"):
        return 1
    return max(1, sum(gemm.shard == "row" for gemm in module.gemms))


def _exchange(
    net: Fabric, phase: Phase, leg: str, work: ExchangeWork, span: Array, feature_bytes: Array
) -> Array:
    """The expert exchange of a phase; of a stack, by the kernels of decode steps and of prompts."""
    if phase.stacked is None:
        return expert_exchange(net, phase.name, leg, work, span, feature_bytes)
    return np.concatenate(
        [
            expert_exchange(net, name, leg, work.rows(where), span[where], feature_bytes)
            for name, where in (("decode", phase.stacked.steps), ("prefill", phase.stacked.rest))
        ]
    )
