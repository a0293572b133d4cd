"""The published names: ids, kinds, commands, flags and signatures, copied here in full.

A name in these lists is what plan files, scripts and notebooks of users contain. Removing or
renaming one breaks them, so the lists are literal and are not derived from the code.
"""

import dataclasses
import inspect

import pytest
from support.published_flags import keywords

import planner
from planner.cli.main import cli
from planner.formats.elements import ELEMENTS
from planner.formats.kv import KV_KINDS, kv_layout_ids
from planner.formats.schemes import scheme_ids
from planner.hardware.catalog import device_ids, resolve_device
from planner.models.catalog import model_ids, resolve_model
from planner.placement.modules import AS_RELEASED_KINDS, EXPERT_KINDS, PLANNED_KINDS
from tests.project.contract_flags import (
    DEPLOYMENT_DEFAULTS,
    ESTIMATE_DEFAULTS,
    PLAN_DEFAULTS,
    POOL_DEFAULTS,
    RULE,
    words,
)

DEVICES = words("""
h100-sxm h100-pcie h100-nvl h200-sxm h800-sxm h20 b200-sxm gb200 b300-sxm gb300 rtx-pro-6000
rubin-r200 a100-sxm l40s xeon-platinum-8480 xeon-platinum-8490h xeon-platinum-8592 xeon-6980p
jetson-agx-orin-64gb jetson-agx-orin-32gb jetson-orin-nx-16gb jetson-orin-nano-8gb drive-orin-x
jetson-agx-thor-t5000 jetson-t4000 drive-thor-x drive-thor-u rtx-4090 epyc-9575f
mi300x mi325x mi350x mi355x rtx-3090 rtx-5090 rtx-6000-ada dgx-spark l4 a10 t4 gh200 gh200-144gb
gaudi-3 ascend-910b ascend-910c tpu-v5e tpu-v6e tpu-v7 trainium2 trainium3 apple-m3-ultra
apple-m4-max strix-halo graviton4
""")

DEVICE_ALIASES = {
    "h100_sxm": "h100-sxm",
    "h100_sxm5_80": "h100-sxm",
    "h100_pcie_80": "h100-pcie",
    "h100_nvl_94": "h100-nvl",
    "h200_sxm": "h200-sxm",
    "h800_sxm": "h800-sxm",
    "h20_96": "h20",
    "b200": "b200-sxm",
    "b300": "b300-sxm",
    "rtx_pro_6000_bw_server": "rtx-pro-6000",
    "rtx_pro_6000_server": "rtx-pro-6000",
    "a100_sxm_80": "a100-sxm",
    "xeon_8480p": "xeon-platinum-8480",
    "xeon_8490h": "xeon-platinum-8490h",
    "xeon_8592p": "xeon-platinum-8592",
    "jetson_agx_orin_64": "jetson-agx-orin-64gb",
    "jetson_agx_orin_32": "jetson-agx-orin-32gb",
    "jetson_orin_nx_16": "jetson-orin-nx-16gb",
    "jetson_orin_nano_super_8": "jetson-orin-nano-8gb",
    "orin-x": "drive-orin-x",
    "jetson-agx-thor": "jetson-agx-thor-t5000",
    "jetson_thor_t5000": "jetson-agx-thor-t5000",
    "jetson_thor_t4000": "jetson-t4000",
    "gb10": "dgx-spark",
    "ironwood": "tpu-v7",
    "trillium": "tpu-v6e",
    "trn2": "trainium2",
    "trn3": "trainium3",
    "AMD_Instinct_MI300X": "mi300x",
    "m4-max": "apple-m4-max",
    "m3-ultra": "apple-m3-ultra",
    "ryzen-ai-max+-395": "strix-halo",
    "gh200-96gb": "gh200",
    "tesla-t4": "t4",
    "GeForce-RTX-5090": "rtx-5090",
    "cloudmatrix384": "ascend-910c",
}

ELEMENT_FORMATS = {
    "fp32": "F32",
    "tf32": None,
    "bf16": "BF16",
    "fp16": "F16",
    "e4m3fn": "F8_E4M3",
    "e5m2": "F8_E5M2",
    "e3m2": None,
    "e2m3": None,
    "e2m1": None,
    "e8m0": "F8_E8M0",
    "ue4m3": None,
    "int8": "I8",
    "int4": None,
    "e4m3fnuz": "F8_E4M3FNUZ",
    "e5m2fnuz": "F8_E5M2FNUZ",
    "e4m3b11fnuz": None,
    "e4m3": None,
    "e3m4": None,
    "mxint8": None,
}

SCHEMES = words("""
fp32 bf16 fp16 fp8-tensor fp8-channel fp8-block fp8-block-ue8m0 fp8-w8a16 int8-w8a8 int8-block
int8-w8a16 int4-w4a16 int4-w4a16-g32 nvfp4 nvfp4-w4a16 mxfp4 mxfp4-w4a8 mxfp4-w4a16 mxfp8 mxfp6
ggml-q8_0 ggml-q4_0 ggml-q4_k ggml-q6_k
ggml-q5_1 ggml-q5_k ggml-q5_0 ggml-q4_1 ggml-iq4_nl ggml-nvfp4 ggml-mxfp4 ggml-iq4_xs ggml-q3_k
ggml-iq3_s ggml-iq3_xxs ggml-q2_k ggml-iq2_s ggml-iq2_xs ggml-q2_0 ggml-iq2_xxs ggml-tq2_0
ggml-iq1_m ggml-tq1_0 ggml-iq1_s ggml-q1_0
""")

CACHE_LAYOUTS = words("""
bf16 fp16 fp32 fp8 fp8-ds-mla int8-token int4-token int4-channel nvfp4
""")

MODULE_KINDS = words("""
embedding attention-qkv mla-q mla-kv attention-out indexer compressor mlp-gate-up mlp-down router
experts-gate-up experts-down shared-gate-up shared-down norm linear-attention mtp head
""")

COMMANDS = words("""
plan models devices formats scenarios inventory estimate schema
train experts numerics
""")

LATER_COMMANDS = words("""
memory validate calibrate explain profile frontier diff export import claims
report sweep serve sensitivity completion compare measure verify capacity learn replay
fleet list lab help engines files workloads make engine fit
""")

PUBLIC_NAMES = words("""
DataError DeviceProfile InfeasibleError InputError MissingPackageError ModelSpec Plan PlannerError
Scenario SolverError UnknownNameError UnsupportedError
capacity claims compare diff estimate experts explain export_plan fit fleet frontier import_plan
inventory layer_error learn load_device load_model load_scenario load_workload measure
memory_use plan plot profile
read_plan sensitivity serve sweep train validate verify what_if
""")

FIGURES = words("""
formats memory time uniform roofline frontier users sensitivity phase_map serving residency
tensor_bytes layer_errors validation_errors fleet compare alternatives sweep
""")

WHAT_IF_ONLY = {"base", "grid", "workers", "journal", "resume", "progress", "notify"}


def test_devices() -> None:
    """What was promised stays; a further device needs no line here."""
    assert len(set(DEVICES)) == 54
    assert set(DEVICES) <= set(device_ids())
    assert len(set(device_ids())) == len(device_ids())


@pytest.mark.parametrize(("alias", "id"), DEVICE_ALIASES.items())
def test_device_aliases(alias: str, id: str) -> None:
    assert resolve_device(alias).id == id


def test_element_formats() -> None:
    assert set(ELEMENT_FORMATS) <= set(ELEMENTS)
    for id, checkpoint_name in ELEMENT_FORMATS.items():
        if checkpoint_name is not None:
            assert ELEMENTS[id].checkpoint_name == checkpoint_name


def test_schemes() -> None:
    assert set(SCHEMES) <= set(scheme_ids())
    assert len(set(scheme_ids())) == len(scheme_ids())


def test_cache_layouts_and_kinds() -> None:
    assert set(CACHE_LAYOUTS) <= set(kv_layout_ids())
    assert len(set(kv_layout_ids())) == len(kv_layout_ids())
    assert KV_KINDS == ("kv-k", "kv-v", "kv-latent")


def test_module_kinds_that_the_planner_knows() -> None:
    known = {*PLANNED_KINDS, *AS_RELEASED_KINDS, *EXPERT_KINDS}
    assert known <= set(MODULE_KINDS)
    assert set(MODULE_KINDS) - known <= {"mtp"}


@pytest.mark.parametrize("id", model_ids())
def test_module_kinds_of_every_bundled_model(id: str) -> None:
    kinds = {row.kind for row in resolve_model(id).rows}
    assert kinds - set(MODULE_KINDS) == set()
    assert {"embedding", "attention-out", "norm"} <= kinds


def test_commands() -> None:
    assert set(COMMANDS) <= set(cli.commands)
    assert set(cli.commands) <= {*COMMANDS, *LATER_COMMANDS}


RECORDS = {
    "WorkloadInfo": "context_tokens isl osl batch preset prefix_hit_rate",
    "EngineInfo": "name version chosen_from",
    "CapacityInfo": "max_concurrency_at_context max_context_at_batch max_concurrency_at_requests",
    "Recommendation": "verdict formats needs_new_weights checkpoint text gain probability "
    "alternatives lossier measure_next",
    "GainRange": "value low high",
    "OtherPlan": "name schemes formats kv needs_new_weights output_tokens_per_second tpot_seconds "
    "loss probability_better why_not gain",
    "NextLossStep": "name schemes kv loss output_tokens_per_second measured_anchor",
    "MeasureNext": "operator scheme shape swing command",
    "QualityInfo": "loss low high unit relative tier word top1 measured_anchor",
}
"""Keys of the plan file that the contract names; a record may have more."""


@pytest.mark.parametrize("name", RECORDS)
def test_keys_of_the_answer(name: str) -> None:
    from planner.planning.plan import recommendation, record

    found = getattr(record, name, None) or getattr(recommendation, name)
    assert set(words(RECORDS[name])) <= {f.name for f in dataclasses.fields(found)}


def test_public_names() -> None:
    assert set(PUBLIC_NAMES) <= set(planner.__all__)
    assert all(hasattr(planner, name) for name in PUBLIC_NAMES)
    assert set(FIGURES) <= set(planner.plot.__all__)
    for name in FIGURES:
        figure = inspect.signature(getattr(planner.plot, name)).parameters
        assert figure["ax"].default is None
    assert list(inspect.signature(planner.read_plan).parameters) == ["source"]


def test_public_signatures() -> None:
    assert keywords("plan") == PLAN_DEFAULTS
    assert keywords("estimate") == ESTIMATE_DEFAULTS
    for function in ("plan", "estimate"):
        assert list(inspect.signature(getattr(planner, function)).parameters)[:2] == [
            "model",
            "device",
        ]
    assert list(inspect.signature(planner.inventory).parameters) == ["model"]
    for loader in ("load_model", "load_device", "load_scenario"):
        assert callable(getattr(planner, loader))


def test_what_if_takes_the_arguments_of_plan() -> None:
    assert set(keywords("what_if")) == WHAT_IF_ONLY | (
        set(PLAN_DEFAULTS)
        - {"anchor", "rate", *RULE}
        - set(DEPLOYMENT_DEFAULTS)
        - set(POOL_DEFAULTS)
    )
