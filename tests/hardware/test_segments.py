"""Whom a device is built for, and how many of it a question is about where it says none."""

from dataclasses import replace

import pytest

import planner
from planner.hardware.catalog import device_ids
from planner.hardware.segments import in_data_centre, one_by_default, segment
from planner.planning.question.input import QuestionInput

SEGMENTS = {
    "consumer": ("rtx-3090", "rtx-4090", "rtx-5090"),
    "unified memory": (
        "apple-m3-ultra",
        "apple-m4-max",
        "dgx-spark",
        "drive-orin-x",
        "drive-thor-u",
        "drive-thor-x",
        "jetson-agx-orin-32gb",
        "jetson-agx-orin-64gb",
        "jetson-agx-thor-t5000",
        "jetson-orin-nano-8gb",
        "jetson-orin-nx-16gb",
        "jetson-t4000",
        "strix-halo",
    ),
    "cpu": (
        "epyc-9575f",
        "graviton4",
        "xeon-6980p",
        "xeon-platinum-8480",
        "xeon-platinum-8490h",
        "xeon-platinum-8592",
    ),
    "data centre": (
        "a10",
        "a100-sxm",
        "ascend-910b",
        "ascend-910c",
        "b200-sxm",
        "b300-sxm",
        "gaudi-3",
        "gb200",
        "gb300",
        "gh200",
        "gh200-144gb",
        "h100-nvl",
        "h100-pcie",
        "h100-sxm",
        "h20",
        "h200-sxm",
        "h800-sxm",
        "l4",
        "l40s",
        "mi300x",
        "mi325x",
        "mi350x",
        "mi355x",
        "rtx-6000-ada",
        "rtx-pro-6000",
        "rubin-r200",
        "t4",
        "tpu-v5e",
        "tpu-v6e",
        "tpu-v7",
        "trainium2",
        "trainium3",
    ),
}
OF_DEVICE = {device: name for name, devices in SEGMENTS.items() for device in devices}


def test_every_bundled_device_has_its_segment() -> None:
    assert {device: segment(planner.load_device(device)) for device in device_ids()} == OF_DEVICE


@pytest.mark.parametrize("name", SEGMENTS)
def test_owners_of_consumer_cards_and_boards_have_one(name: str) -> None:
    for device in map(planner.load_device, SEGMENTS[name]):
        assert one_by_default(device) == (name in ("consumer", "unified memory"))
        assert in_data_centre(device) == (name == "data centre")


def test_a_processor_shares_its_memory_with_nobody() -> None:
    """A kind goes before its memory, and shared memory before the line of products."""
    card = planner.load_device("rtx-4090")
    assert segment(replace(card, unified_memory=True)) == "unified memory"
    assert segment(replace(card, unified_memory=True, kind="cpu")) == "cpu"
    assert segment(replace(card, name="NVIDIA RTX 4090D for servers")) == "data centre"
    for line in ("AMD Radeon RX 7900 XTX", "Intel Arc B580", "NVIDIA GeForce RTX 3060"):
        assert segment(replace(card, name=line)) == "consumer"


@pytest.mark.parametrize("device", ["rtx-4090", "dgx-spark", "apple-m3-ultra"])
def test_one_is_asked_about_by_default_and_more_where_a_number_says_so(device: str) -> None:
    (question, *_) = QuestionInput(model="llama-3.1-8b", device=device).questions()
    assert question.sizes == (1,)
    assert not question.devices_given
    assert max(question.more_sizes) > 1, "where one is too few"
    (two, *_) = QuestionInput(model="llama-3.1-8b", device=device, devices=2).questions()
    assert (two.sizes, two.more_sizes) == ((2,), ())


@pytest.mark.parametrize("device", ["h100-sxm", "l4", "xeon-6980p"])
def test_servers_have_several(device: str) -> None:
    (question, *_) = QuestionInput(model="llama-3.1-8b", device=device).questions()
    assert len(question.sizes) > 1
    assert question.more_sizes == ()


def test_a_gaming_card_serves_alone_unless_one_is_too_few() -> None:
    """With llama.cpp, one beside a desktop is enough; vLLM keeps all layers on cards."""
    small, beside, large = (
        planner.plan(model, "rtx-4090", max_loss="fp8-block", engine=engine)
        for model, engine in (
            ("llama-3.2-1b", "auto"),
            ("qwen3-32b", "auto"),
            ("qwen3-32b", "vllm"),
        )
    )
    plans = (small, beside, large)
    counts = [p.layout.tp * p.layout.dp * p.layout.pp * p.layout.replicas for p in plans]
    assert counts[0] == counts[1] == 1 < counts[2]
    said = [[a.value for a in p.assumptions if a.key == "devices"] for p in plans]
    assert said == [["1"], ["1"], ["more than one"]]
    assert [any(u.place == "host" for u in p.units) for p in plans] == [False, True, False]
