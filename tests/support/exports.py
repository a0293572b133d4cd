"""Assignments on bundled models, for tests of exports."""

from collections.abc import Mapping

from hypothesis import strategies as st

from planner.export.assignment import ModuleAssignment, from_schemes
from planner.models.catalog import bundled_model
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units
from planner.placement.modules import PLANNED_KINDS

TIED = {"experts-down": "experts-gate-up"}


def planned_keys(spec: ModelSpec) -> list[tuple[str, int]]:
    """(kind, layer) of everything a plan decides, in reading order."""
    found = dict.fromkeys(
        (row.kind, layer)
        for row in spec.rows
        if row.part == "main" and row.kind in PLANNED_KINDS and row.quantisable
        for layer in row.layers
    )
    return list(found)


def assignment(
    spec: ModelSpec,
    schemes: Mapping[tuple[str, int], str],
    *,
    rest: str = "bf16",
    kv: str = "bf16",
    apart: Mapping[tuple[str, int], str] | None = None,
) -> ModuleAssignment:
    """``schemes`` by (kind, layer), ``rest`` elsewhere, one cache layout; ``apart``: heads,
    embeddings, routers, indexers that are not as released."""
    caches = {(unit.kind, layer): kv for unit in cache_units(spec) for layer in unit.layers}
    return from_schemes(
        spec, {key: schemes.get(key, rest) for key in planned_keys(spec)}, caches, apart
    )


@st.composite
def assignments(
    draw: st.DrawFn,
    model: str,
    pool: tuple[str, ...],
    kv: tuple[str, ...] = ("bf16",),
) -> ModuleAssignment:
    """A random scheme for each of a few runs of layers of every kind; both halves of the experts
    alike, as in every plan."""
    spec = bundled_model(model)
    chosen: dict[tuple[str, int], str] = {}
    runs: dict[str, tuple[int, list[str]]] = {}
    for kind, layer in planned_keys(spec):
        name = TIED.get(kind, kind)
        if name not in runs:
            runs[name] = (
                draw(st.integers(1, 7)),
                draw(st.lists(st.sampled_from(pool), min_size=1, max_size=5)),
            )
        period, names = runs[name]
        chosen[kind, layer] = names[layer // period % len(names)]
    return assignment(spec, chosen, kv=draw(st.sampled_from(kv)))


def golden_exports() -> dict[str, str]:
    """target/file → text for one small plan in every format: the first and last layer's MLP stay
    in BF16, the rest is quantised, caches in FP8; two devices."""
    from dataclasses import replace

    import planner
    from planner.export.run import export_plan

    spec, device = bundled_model("llama-3.2-1b"), planner.load_device("h100-sxm")
    base = planner.estimate(
        spec,
        device,
        scheme="fp8-channel",
        kv="fp8",
        devices=2,
        tp=2,
        batch=16,
        context=4096,
        engine="any",
    )
    out: dict[str, str] = {}
    for target, scheme, mixed in (
        ("compressed-tensors", "fp8-channel", "int4-w4a16"),
        ("modelopt", "fp8-tensor", "nvfp4"),
        ("fp8", "fp8-block", "fp8-block"),
        ("gptq", "int4-w4a16", "int8-w8a16"),
        ("torchao", "fp8-channel", "int8-w8a16"),
        ("llama.cpp", "ggml-q8_0", "ggml-q4_k"),
    ):

        def scheme_of(kind: str, bucket: str, scheme: str = scheme, mixed: str = mixed) -> str:
            ends = kind.startswith("mlp") and bucket in ("first", "last")
            return "bf16" if ends else mixed if kind == "mlp-down" else scheme

        units = tuple(
            u
            if u.kv_layout or u.scheme == "bf16"
            else replace(u, scheme=scheme_of(u.kind, u.unit.rpartition(".")[2]))
            for u in base.units
        )
        found = export_plan(replace(base, units=units), spec, device, target, "any")
        out |= {
            f"{target}/{name}": text for name, text in found.files.items() if name != "README.md"
        }
    return out
