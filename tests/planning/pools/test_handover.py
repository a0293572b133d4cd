"""What a prompt's cache takes on its way, over which link, and what says so."""

from dataclasses import replace

import pytest

from planner.base.errors import InputError
from planner.planning.pools.handover import handover
from planner.planning.question.pool_link import link_between
from planner.planning.question.question import Question
from tests.support import theory

H100 = theory.ask("llama-3.1-70b", "h100-sxm", devices=16).questions()[0]
NODE = theory.ask("llama-3.1-70b", "h100-sxm", devices=8).questions()[0]


def test_inside_a_domain_its_links_else_the_network() -> None:
    inside, outside = link_between(NODE, NODE, None), link_between(H100, H100, None)
    assert (inside.bytes_per_second, inside.name) == (450e9, "scale-up link")
    assert (outside.bytes_per_second, outside.name) == (50e9, "network")
    assert outside.basis.startswith("secondary: h100-sxm, each device and direction (aic, 20")


def test_a_link_that_is_given_counts() -> None:
    link = link_between(NODE, NODE, 1e9)
    assert (link.bytes_per_second, link.basis) == (1e9, "--transfer-bytes-per-s")


def test_the_slower_network_of_two_kinds_of_devices_counts() -> None:
    slow = theory.ask("llama-3.1-70b", "a100-sxm", devices=16).questions()[0]
    assert link_between(slow, H100, None).bytes_per_second == 25e9


@pytest.mark.parametrize(
    "other",
    [
        replace(H100, net=replace(H100.net, network_bytes_per_s=0.0)),
        replace(H100, device=replace(H100.device, id="other", name="Another maker's device")),
    ],
)
def test_without_a_known_link_one_must_be_given(other: Question) -> None:
    with pytest.raises(InputError) as error:
        link_between(other, H100, None)
    assert "--transfer-bytes-per-s" in error.value.hint
    flag, value = error.value.hint.split()[-2:]
    assert flag == "--transfer-bytes-per-s"
    assert link_between(other, H100, float(value)).bytes_per_second == float(value)


def test_bytes_are_those_of_the_prompt_by_hand() -> None:
    """80 layers × 8 heads × 128 × keys and values × 2 bytes × 7,168 tokens of 16 a page."""
    found = handover(NODE, "bf16", (1, 2, 8, 16), link_between(NODE, NODE, None), indexer_fp8=False)
    whole = 80 * 8 * 128 * 2 * 2 * 7168
    assert found.sizes[1] == whole
    assert found.sizes[2] == whole // 2
    assert found.sizes[8] == found.sizes[16] == whole // 8
    assert found.seconds(2, 8) == found.seconds(8, 2) == pytest.approx(whole / 2 / 450e9)
    assert found.bytes(8) == whole
    assert found.rate(8, 1) == pytest.approx(450e9 / (whole / 8))


def test_a_narrower_cache_moves_faster() -> None:
    sizes = [
        handover(NODE, kv, (8,), link_between(NODE, NODE, None), indexer_fp8=False).sizes[8]
        for kv in ("bf16", "fp8")
    ]
    assert sizes[1] == sizes[0] / 2
