"""What is given and would change nothing is refused, with what to do instead."""

from pathlib import Path
from typing import Any

import pytest
from support.questions import plan_of

import planner
from planner.base.errors import InputError
from planner.cli.main import run

RATE: dict[str, Any] = {"transfer_bytes_per_s": 50e9, "devices": 2, "context": 2048}
MODULE: dict[str, Any] = {"module": "mlp-down", "batch": 8}


@pytest.mark.parametrize(
    ("more", "why", "hint"),
    [
        ({"devices": 1}, "on one device", "leave --transfer-bytes-per-s out"),
        ({"objective": "latency"}, "for --objective latency", "leave --transfer-bytes-per-s out"),
        ({"batch": 8}, "with a --batch unless", "--mode disaggregated asks"),
        ({"engine": "any"}, "in theory unless", "--mode disaggregated asks"),
    ],
)
def test_a_link_between_pools_that_are_not_tried(more: dict[str, Any], why: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"no pools are tried {why}") as caught:
        planner.plan("qwen2.5-0.5b", "h100-sxm", **{**RATE, **more})
    assert str(caught.value.hint).startswith(hint)


@pytest.mark.parametrize("more", [{"solves": 3}, {"imatrix": "none.gguf"}, {"slots": "full"}])
def test_a_module_is_no_plan(more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(more))) as caught:
        planner.explain("qwen2.5-0.5b", "h100-sxm", **MODULE, **more)
    assert "leave" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("more", "why", "hint"),
    [
        ({"transfer_bytes_per_s": 5e10}, "without pools", "--prefill-workers"),
        ({"draft_layers": 2}, "without a draft", "--draft-tokens"),
    ],
)
def test_a_closed_loop_without_pools_or_drafts(more: dict[str, Any], why: str, hint: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        planner.serve("qwen2.5-0.5b", "h100-sxm", concurrency=8, **more)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"tokens": 960}, "tier T0 does not run"),
        ({"probe": "fp8-block"}, "tier T0 has no probe"),
        ({"tier": "T1", "probe": "fp8-block"}, "tier T1 has no probe"),
        *(
            ({"scores": "scores.csv", name: value}, f"scores and {name} exclude")
            for name, value in (
                ("tokens", 960),
                ("probe", "fp8-block"),
                ("seed", 2),
                ("workers", 2),
            )
        ),
    ],
)
def test_a_profile_that_does_not_run_the_model(more: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        planner.profile("qwen2.5-0.5b", **more)


def test_a_folder_of_llama_cpp_where_it_has_no_part(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"llama\.cpp has no part in bandwidth"):
        planner.measure(tmp_path / "out", only=["bandwidth"], engine_dir=tmp_path)


@pytest.mark.parametrize(
    ("engine", "other", "own"),
    [
        ("llama.cpp", "python", "--engine-dir"),
        ("vllm", "engine_dir", "--python"),
        ("pytorch", "engine_dir", "--python"),
    ],
)
def test_the_place_of_another_engine(engine: str, other: str, own: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{other} and {engine}") as caught:
        planner.verify(plan_of(), tmp_path, engine=engine, **{other: tmp_path})  # type: ignore[arg-type]
    assert str(caught.value.hint).startswith(own)


@pytest.mark.parametrize("more", [{"force": True}, {"resume": False}])
def test_a_table_that_is_not_written(more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="a table that is written"):
        planner.sweep([{"model": "qwen2.5-0.5b", "device": "h100-sxm"}], **more)


def test_a_page_has_its_device_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path / "page.html"), "--hardware-dir", str(tmp_path)]) == 2
    assert "a page has its device inside" in capsys.readouterr().err
